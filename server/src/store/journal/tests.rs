//! What was written is recovered, whatever was torn; what was lost is told.

use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::store::files::Files;

const STAMP: u64 = 77;

struct Kept {
    directory: TempDir,
    journal: Option<Journal>,
}

impl Kept {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("journal")).unwrap();
        let mut written = Self { directory, journal: None };
        written.restart();
        written
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("journal")
    }

    fn files(&self) -> Files {
        Files::open(self.directory.path().join("files")).unwrap()
    }

    fn recover(&self) -> Result<Recovered, StoreError> {
        recover(&self.path(), STAMP)
    }

    /// Ends without a word, and starts again.
    fn restart(&mut self) {
        self.journal = None;
        let recovered = self.recover().unwrap();
        self.journal = Some(Journal::resume(&self.path(), STAMP, &recovered, self.files()).unwrap());
    }

    fn write(&mut self, entries: &[u8]) {
        self.journal.as_mut().unwrap().write(entries).unwrap();
    }

    fn blocks(&self) -> Vec<Vec<u8>> {
        self.recover().unwrap().blocks.iter().map(|block| block.to_vec()).collect()
    }

    fn segments(&self) -> Vec<u64> {
        segment::numbers(&self.path()).unwrap()
    }

    fn bytes(&self, segment: u64) -> Vec<u8> {
        std::fs::read(segment::path_of(&self.path(), segment)).unwrap()
    }
}

#[test]
fn what_was_written_is_recovered_in_order() {
    let mut written = Kept::new();
    assert_eq!(written.blocks(), Vec::<Vec<u8>>::new());
    for entries in [&b"one"[..], b"two", b""] {
        written.write(entries);
    }
    assert_eq!(written.blocks(), [&b"one"[..], b"two", b""]);
    // All of it is in files now: only what is written from here on has to be.
    written.restart();
    written.write(b"three");
    assert_eq!(written.blocks(), [b"three"]);
    assert_eq!(written.recover().unwrap().next, 5);
}

#[test]
fn another_journals_blocks_are_none() {
    let mut written = Kept::new();
    written.write(b"one");
    assert!(recover(&written.path(), STAMP + 1).unwrap().blocks.is_empty());
}

#[test]
fn each_torn_write_is_cut_off_and_each_earlier_damage_is_told() {
    let mut written = Kept::new();
    for entries in [&[1; 5_000][..], &[2; 20], &[3; 9_000]] {
        written.write(entries);
    }
    written.journal = None;
    let whole = written.bytes(0);
    let path = segment::path_of(&written.path(), 0);
    // The second one begins at 8,192, and the third one at 12,288.
    for at in (0..12_288 + 9_000).step_by(97) {
        let mut bytes = whole.clone();
        bytes[at] ^= 4;
        std::fs::write(&path, bytes).unwrap();
        match written.recover() {
            Ok(recovered) => {
                let is_padding = (5_000 + 36..8_192).contains(&at) || (8_192 + 56..12_288).contains(&at);
                let is_torn = at >= 12_288;
                assert!(is_padding || is_torn, "{at}");
                assert_eq!(recovered.blocks.len(), if is_torn { 2 } else { 3 }, "{at}");
            }
            Err(StoreError::Journal { block, .. }) => {
                assert_eq!(block, if at < 8_192 { 1 } else { 2 }, "{at}");
            }
            Err(error) => panic!("{at}: {error}"),
        }
    }
}

#[test]
fn segments_are_used_again_and_what_is_needed_is_always_there() {
    let mut written = Kept::new();
    let big = vec![9; 700 * 1_024];
    let mut last = 0;
    // Several times around, with blocks that are larger than a segment among them.
    for round in 0_u64..80 {
        let entries = if round % 31 == 30 { vec![8; 9 * 1_024 * 1_024] } else { big.clone() };
        written.write(&[&round.to_be_bytes()[..], &entries].concat());
        let recovered = written.recover().unwrap();
        let newest = recovered.blocks.iter().rev().find(|block| !block.is_empty()).unwrap();
        assert_eq!(newest[..8], round.to_be_bytes(), "what was written last is there");
        assert!(recovered.next > last);
        last = recovered.next;
        if round % 17 == 16 {
            written.restart();
        }
    }
    let usual = |number: &&u64| written.bytes(**number).len() as u64 == SEGMENT_BYTES;
    assert!(written.segments().iter().filter(usual).count() <= SEGMENTS, "{:?}", written.segments());
    assert!(written.segments().len() <= SEGMENTS + 2, "{:?}", written.segments());
}

#[test]
fn a_torn_first_write_to_a_segment_takes_nothing_that_is_needed() {
    let mut written = Kept::new();
    let big = vec![9; 1_024 * 1_024];
    for round in 0_u64..60 {
        written.write(&[&round.to_be_bytes()[..], &big].concat());
        // Whatever the last write did to what was there before, it is as if it had not been.
        let journal = written.journal.as_ref().unwrap();
        let (length, end) = (block_bytes(&[0; 1_024 * 1_024 + 8]), journal.at);
        let path = journal.current.path().to_owned();
        let whole = std::fs::read(&path).unwrap();
        let mut torn = whole.clone();
        let begin = usize::try_from(end - length).unwrap();
        torn[begin + 4_096..begin + 8_192].fill(0);
        std::fs::write(&path, torn).unwrap();
        let recovered = written.recover().unwrap_or_else(|error| panic!("{round}: {error}"));
        if round > 0 {
            let newest = recovered.blocks.iter().rev().find(|block| !block.is_empty());
            // After a change of segment the one before may be in files already.
            assert!(newest.is_none_or(|newest| newest[..8] == (round - 1).to_be_bytes()), "{round}");
        }
        std::fs::write(&path, whole).unwrap();
    }
}
