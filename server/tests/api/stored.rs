//! Records in the files of a data directory, as whoever damages them sees them.

use std::ops::Range;
use std::path::{Path, PathBuf};

use prost::Message;
use xbook_proto::record::v1::{StoredChange, StoredEntry, stored_entry::What};

use super::support::MARKET;

/// Mark, length and checksum.
const FRAME_BYTES: usize = 12;

/// The file of a generation of a document.
pub fn file(data: &Path, document: &str, generation: u64) -> PathBuf {
    let name = document.replace('/', "%2F");
    data.join(format!("documents/files/{name}/{generation:010}.document"))
}

/// Without it a file's records are not there twice.
pub fn forget_journal(data: &Path) {
    std::fs::remove_dir_all(data.join("documents/journal")).unwrap();
}

/// The place of each record of a file, without its frame.
fn places(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut at = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let mut places = Vec::new();
    while at < bytes.len() {
        let length = u32::from_be_bytes(bytes[at + 4..at + 8].try_into().unwrap());
        let begin = at + FRAME_BYTES;
        at = begin + length as usize;
        places.push(begin..at);
    }
    places
}

fn entry(bytes: &[u8], place: &Range<usize>) -> What {
    StoredEntry::decode(&bytes[place.clone()]).unwrap().what.unwrap()
}

/// The place of a change.
fn change(bytes: &[u8], index: u64) -> Range<usize> {
    let is_it =
        |place: &Range<usize>| matches!(entry(bytes, place), What::Change(change) if change.index == index);
    places(bytes).into_iter().find(is_it).unwrap()
}

/// Flips a bit of a change of a document.
pub fn flip_change(data: &Path, document: &str, generation: u64, index: u64) {
    forget_journal(data);
    let file = file(data, document, generation);
    let mut bytes = std::fs::read(&file).unwrap();
    let place = change(&bytes, index);
    bytes[place.end - 1] ^= 1;
    std::fs::write(file, bytes).unwrap();
}

/// Flips a bit of what a generation of the market begins with.
pub fn flip_genesis(data: &Path, generation: u64) {
    forget_journal(data);
    let file = file(data, MARKET, generation);
    let mut bytes = std::fs::read(&file).unwrap();
    let place = places(&bytes).remove(0);
    bytes[place.end - 1] ^= 1;
    std::fs::write(file, bytes).unwrap();
}

/// Puts a record with a right checksum in place of the market's first change.
pub fn replace_first_change(data: &Path, change_bytes: &[u8]) {
    forget_journal(data);
    let file = file(data, MARKET, 0);
    let bytes = std::fs::read(&file).unwrap();
    let place = change(&bytes, 0);
    let what = What::Change(StoredChange { index: 0, bytes: change_bytes.to_vec().into() });
    let record = StoredEntry { document: MARKET.into(), generation: 0, what: Some(what) }.encode_to_vec();
    let length = u32::try_from(record.len()).unwrap().to_be_bytes();
    let checksum = crc32fast::hash(&[&length[..], &record].concat()).to_be_bytes();
    let frame = [b"xblk", &length[..], &checksum, &record].concat();
    let changed = [&bytes[..place.start - FRAME_BYTES], &frame, &bytes[place.end..]].concat();
    std::fs::write(file, changed).unwrap();
}

/// Cuts the market's changes off, as if none had been stored.
pub fn cut_changes(data: &Path) {
    forget_journal(data);
    let file = file(data, MARKET, 0);
    let bytes = std::fs::read(&file).unwrap();
    let genesis = places(&bytes).remove(0);
    std::fs::write(file, &bytes[..genesis.end]).unwrap();
}
