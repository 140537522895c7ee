//! The files of a history, damaged: what is read is what was written, or it is missing and said so.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use xbook::history::HistoryStore;
use xbook::machine::Block;
use xbook::types::Position;

use super::node::{MARKET, Node, market, rules};
use super::reader::Reader;

/// Bytes at which a segment is sealed.
const SEGMENT_BYTES: u64 = 2_048;

/// What was written: the blocks, and the files with them.
struct Recorded {
    blocks: BTreeMap<Position, Arc<Block>>,
    files: Vec<(String, Vec<u8>)>,
}

/// Damages files here and there, and reads.
pub(super) fn take(bytes: &[u8]) {
    let written = written();
    let directory = tempfile::tempdir().expect("a directory");
    let mut files = written.files.clone();
    let mut reader = Reader(bytes);
    while damage(&mut files, &mut reader).is_some() {}
    for (name, content) in &files {
        fs::write(directory.path().join(name), content).expect("a file");
    }
    // Twice: what was mended at the first start stays so.
    for _ in 0..2 {
        let Ok(store) = HistoryStore::open(directory.path(), SEGMENT_BYTES) else { return };
        let history = store.market(MARKET, &rules());
        let mut found = 0;
        for block in history.blocks_after(Position(0)) {
            let Ok(block) = block else { break };
            let stored = written.blocks.get(&block.block.last);
            let stored = stored.unwrap_or_else(|| panic!("nobody wrote a block at {:?}", block.block.last));
            assert_eq!(block.block.changes, stored.changes);
            assert_eq!(block.after(), stored.chain.1);
            found += 1;
        }
        assert!(
            found == written.blocks.len() || misses(&history, written),
            "{found} blocks, and none is missed"
        );
    }
}

/// Whether the history says that it is shorter, or has gaps, or which block can't be read.
fn misses(history: &xbook::history::History, written: &Recorded) -> bool {
    let last = written.blocks.keys().next_back().copied().unwrap_or_default();
    let unreadable = history.blocks_after(Position(0)).any(|block| block.is_err());
    unreadable || history.last() < last || !history.gaps().is_empty()
}

/// The next damage; `None` at the end of the bytes.
fn damage(files: &mut [(String, Vec<u8>)], reader: &mut Reader<'_>) -> Option<()> {
    let what = reader.byte()?;
    let file = usize::from(reader.byte()?) % files.len();
    let content = &mut files[file].1;
    let at = usize::from(reader.short()?) % (content.len() + 1);
    match what % 5 {
        0 if at < content.len() => content[at] ^= 1 << (what / 5 % 8),
        1 => content.truncate(at),
        2 => {
            let run = reader.run()?;
            content.splice(at..at, run.iter().copied());
        }
        3 => {
            let run = reader.run()?;
            let end = (at + run.len()).min(content.len());
            content[at..end].copy_from_slice(&run[..end - at]);
        }
        4 => content[at..].fill(0),
        _ => {}
    }
    Some(())
}

fn written() -> &'static Recorded {
    static WRITTEN: OnceLock<Recorded> = OnceLock::new();
    WRITTEN.get_or_init(|| {
        let mut node = Node::new(market(), u64::MAX);
        (0..4).for_each(|_| node.trade());
        let directory = tempfile::tempdir().expect("a directory");
        let store = HistoryStore::open(directory.path(), SEGMENT_BYTES).expect("a history");
        let history = store.market(MARKET, &rules());
        let mut blocks = BTreeMap::new();
        for block in &node.blocks {
            history.append(block).expect("a block");
            if block.last >= block.first {
                blocks.insert(block.last, Arc::clone(block));
            }
        }
        history.sync().expect("a sync");
        drop((history, store));
        Recorded { blocks, files: files(directory.path()) }
    })
}

fn files(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(directory)
        .expect("a directory")
        .map(|entry| {
            let path = entry.expect("a file").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            (name, fs::read(path).expect("a file"))
        })
        .collect();
    files.sort();
    files
}

pub(super) fn samples() -> Vec<Vec<u8>> {
    let files = written().files.len() as u8;
    (0..files).flat_map(|file| (0..5).map(move |what| vec![what, file, 40 + file, 0, 2, 0, 9, 9])).collect()
}
