//! Records in a file: a mark, the length, a checksum, the record.
//!
//! A file begins with a line that says what it is. What can't be read is skipped up to the next mark
//! whose checksum is right, so damage costs the records that it hit and no others.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

/// What a file begins with: what it is, and its format. The line is `words number`.
pub(crate) struct Title {
    pub words: &'static str,
    pub format: u32,
}

/// Most digits of a format.
const FORMAT_DIGITS: usize = 9;

const MARK: [u8; 4] = *b"xblk";
const FRAME_BYTES: usize = 12;

impl Title {
    /// The line.
    pub fn line(&self) -> Vec<u8> {
        format!("{} {}\n", self.words, self.format).into_bytes()
    }

    /// The format that a file's title names, if it is another one than this program's. A damaged title names
    /// none.
    pub fn other_format(&self, file: &File) -> io::Result<Option<u32>> {
        let mut title = vec![0; self.words.len() + 1 + FORMAT_DIGITS + 1];
        let read = file.read_at(&mut title, 0)?;
        let rest = title[..read].strip_prefix(self.words.as_bytes()).and_then(|rest| rest.strip_prefix(b" "));
        let number = rest.and_then(|rest| rest.split(|byte| *byte == b'\n').next());
        let number = number.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
        Ok(number.filter(|format| *format != self.format))
    }
}

/// Length of a record of so many bytes in its frame.
pub(crate) fn framed_bytes(record: usize) -> usize {
    FRAME_BYTES + record
}

/// A record in its frame.
pub(crate) fn close(record: &[u8]) -> Vec<u8> {
    let mut framed = Vec::with_capacity(FRAME_BYTES + record.len());
    append(&mut framed, |framed| framed.extend_from_slice(record));
    framed
}

/// Appends a record in its frame, which `write` appends without it.
pub(crate) fn append(buffer: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let at = buffer.len();
    buffer.extend_from_slice(&[0; FRAME_BYTES]);
    write(buffer);
    let record = &buffer[at + FRAME_BYTES..];
    // A record has at most some hundred MB.
    let length = u32::try_from(record.len()).unwrap_or(u32::MAX).to_be_bytes();
    let checksum = checksum(length, record);
    for (place, bytes) in [MARK, length, checksum].iter().enumerate() {
        let place = at + 4 * place;
        buffer[place..place + 4].copy_from_slice(bytes);
    }
}

fn checksum(length: [u8; 4], record: &[u8]) -> [u8; 4] {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&length);
    hasher.update(record);
    hasher.finalize().to_be_bytes()
}

/// Length and checksum in a frame; `None` if it is none.
fn parse(frame: &[u8]) -> Option<([u8; 4], [u8; 4])> {
    let (mark, rest) = frame.split_first_chunk::<4>()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    (*mark == MARK).then_some((*length, *rest.first_chunk::<4>()?))
}

/// The record in the frame at an offset; `None` if it is damaged or not there.
pub(crate) fn read(file: &File, offset: u64) -> io::Result<Option<Vec<u8>>> {
    let mut frame = [0; FRAME_BYTES];
    if !read_whole(file, &mut frame, offset)? {
        return Ok(None);
    }
    let Some((length, expected)) = parse(&frame) else {
        return Ok(None);
    };
    let (begin, bytes) = (offset + FRAME_BYTES as u64, u64::from(u32::from_be_bytes(length)));
    // A damaged length must not cost memory.
    if begin.saturating_add(bytes) > file.metadata()?.len() {
        return Ok(None);
    }
    let mut record = vec![0; u32::from_be_bytes(length) as usize];
    let whole = read_whole(file, &mut record, begin)?;
    Ok(Some(record).filter(|record| whole && checksum(length, record) == expected))
}

/// Fills a buffer; `false` if the file ends before.
pub(crate) fn read_whole(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<bool> {
    match file.read_exact_at(buffer, offset) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// What a whole file holds.
#[derive(PartialEq, Eq, Default, Debug)]
pub(crate) struct Scan {
    /// Where each frame begins, and its record.
    pub records: Vec<(u64, Range<usize>)>,
    /// Whether something before the last record, or the title, can't be read.
    pub damaged: bool,
    /// End of the last record.
    pub end: usize,
}

/// Finds the records of a file.
pub(crate) fn scan(title: &Title, bytes: &[u8]) -> Scan {
    let line = title.line();
    let titled = bytes.starts_with(&line);
    let mut at = if titled { line.len() } else { 0 };
    let mut found = Scan { damaged: !titled && !bytes.is_empty(), end: at, ..Scan::default() };
    while at < bytes.len() {
        if let Some(record) = record_at(bytes, at) {
            found.damaged |= at > found.end;
            found.end = record.end;
            found.records.push((at as u64, record.clone()));
            at = record.end;
        } else {
            let next = bytes[at + 1..].windows(MARK.len()).position(|window| *window == MARK);
            at = next.map_or(bytes.len(), |step| at + 1 + step);
        }
    }
    found
}

/// The place of the record whose frame begins there; `None` if there is none, or it is damaged.
pub(crate) fn record_at(bytes: &[u8], at: usize) -> Option<Range<usize>> {
    let (place, expected) = shape_at(bytes, at)?;
    let length = u32::try_from(place.len()).ok()?.to_be_bytes();
    (checksum(length, &bytes[place.clone()]) == expected).then_some(place)
}

/// Whether something of the shape of a whole record begins there, damaged or not.
pub(crate) fn is_shaped_at(bytes: &[u8], at: usize) -> bool {
    shape_at(bytes, at).is_some()
}

/// The place of a record, and its checksum.
fn shape_at(bytes: &[u8], at: usize) -> Option<(Range<usize>, [u8; 4])> {
    let (length, expected) = parse(bytes.get(at..)?)?;
    let begin = at + FRAME_BYTES;
    let end = begin.checked_add(u32::from_be_bytes(length) as usize)?;
    (end <= bytes.len()).then_some((begin..end, expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TITLE: Title = Title { words: "xbook history", format: 1 };

    fn segment() -> Vec<u8> {
        let records: [&[u8]; 3] = [b"one", b"two xblk two", b"three"];
        [TITLE.line()].into_iter().chain(records.map(close)).flatten().collect()
    }

    fn found<'a>(bytes: &'a [u8], scan: &Scan) -> Vec<&'a [u8]> {
        scan.records.iter().map(|(_, record)| &bytes[record.clone()]).collect()
    }

    #[test]
    fn each_flipped_bit_costs_one_record_at_most() {
        let whole = segment();
        assert_eq!(scan(&TITLE, &whole).records.len(), 3);
        assert!(!scan(&TITLE, &whole).damaged);
        for at in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[at / 8] ^= 1 << (at % 8);
            let scan = scan(&TITLE, &bytes);
            let records = found(&bytes, &scan);
            let whole_scan = super::scan(&TITLE, &whole);
            assert!(records.len() >= 2, "bit {at}");
            assert!(records.iter().all(|record| found(&whole, &whole_scan).contains(record)), "bit {at}");
            // Damage of the last record is told by where the last whole one ends.
            assert!(scan.damaged || scan.end < whole.len(), "bit {at}");
        }
    }

    #[test]
    fn each_cut_is_a_torn_tail() {
        let whole = segment();
        for length in TITLE.line().len()..whole.len() {
            let scan = scan(&TITLE, &whole[..length]);
            assert!(!scan.damaged, "{length}");
            assert!(scan.end <= length && scan.records.len() < 3, "{length}");
        }
        assert_eq!(scan(&TITLE, &[]), Scan::default());
        assert_eq!(scan(&TITLE, &vec![0; whole.len()]).records, []);
    }

    #[test]
    fn only_a_whole_title_of_another_format_is_one() {
        let other = |title: &[u8]| {
            let mut file = tempfile::tempfile().unwrap();
            io::Write::write_all(&mut file, title).unwrap();
            TITLE.other_format(&file).unwrap()
        };
        assert_eq!(other(b"xbook history 2\nxblk"), Some(2));
        assert_eq!(other(b"xbook history 10\n"), Some(10));
        for damaged_or_known in
            [&segment()[..], b"", b"xbook history ", b"xbook h1story 2\n", b"xbook history x\n"]
        {
            assert_eq!(other(damaged_or_known), None);
        }
    }
}
