//! The file that says who a node is, and what it knows of its directory. It is written as a whole and seldom.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use prost::Message;
use xbook_proto::record::v1 as record;

use super::error::{StoreError, io_at};
use super::{FORMAT, Identity};
use crate::frames::{self, Title};
use crate::types::NodeId;

/// What the file begins with.
const TITLE: Title = Title { words: "xbook node", format: FORMAT };

/// The file.
pub(super) struct Meta {
    path: PathBuf,
    stored: Mutex<record::StoreMeta>,
}

impl Meta {
    /// Opens the file; makes it if the store is new.
    pub fn open(path: &Path, is_new: bool) -> Result<Self, StoreError> {
        let of = |stored| Self { path: path.to_owned(), stored: Mutex::new(stored) };
        match std::fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && is_new => {
                let stamp = getrandom::u64().map_err(|error| io_at(path)(io::Error::other(error)))?;
                let meta = of(record::StoreMeta::default());
                meta.change(|meta| (meta.format, meta.stamp) = (FORMAT, stamp))?;
                Ok(meta)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(StoreError::Meta { path: path.to_owned(), missing: true })
            }
            read => Self::parse(path, &read.map_err(io_at(path))?).map(of),
        }
    }

    fn parse(path: &Path, bytes: &[u8]) -> Result<record::StoreMeta, StoreError> {
        let file = File::open(path).map_err(io_at(path))?;
        if let Some(format) = TITLE.other_format(&file).map_err(io_at(path))? {
            return Err(StoreError::Format { path: path.to_owned(), format });
        }
        let begin = TITLE.line().len();
        let record = bytes.starts_with(&TITLE.line()).then(|| frames::record_at(bytes, begin)).flatten();
        let whole = record.filter(|record| record.end == bytes.len());
        let stored = whole.and_then(|record| record::StoreMeta::decode(&bytes[record]).ok());
        stored.ok_or_else(|| StoreError::Meta { path: path.to_owned(), missing: false })
    }

    fn stored(&self) -> MutexGuard<'_, record::StoreMeta> {
        self.stored.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What tells the blocks of this directory's journal from others.
    pub fn stamp(&self) -> u64 {
        self.stored().stamp
    }

    /// Who the node is; `None` if it is nobody yet.
    pub fn identity(&self) -> Result<Option<Identity>, StoreError> {
        let stored = self.stored();
        let damaged = || StoreError::Meta { path: self.path.clone(), missing: false };
        let identity = |node| {
            let secret = stored.secret.as_ref().try_into().map_err(|_| damaged())?;
            Ok(Identity { node: NodeId(node), secret })
        };
        stored.node.map(identity).transpose()
    }

    /// What it has stored.
    pub fn read<T>(&self, read: impl FnOnce(&record::StoreMeta) -> T) -> T {
        read(&self.stored())
    }

    /// Changes it, durably: all of it or nothing.
    pub fn change(&self, change: impl FnOnce(&mut record::StoreMeta)) -> Result<(), StoreError> {
        let mut stored = self.stored();
        let mut changed = stored.clone();
        change(&mut changed);
        let unfinished = self.path.with_extension("new");
        let write = || {
            let mut file = File::create(&unfinished)?;
            file.write_all(&TITLE.line())?;
            file.write_all(&frames::close(&changed.encode_to_vec()))?;
            file.sync_all()?;
            std::fs::rename(&unfinished, &self.path)?;
            self.path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
        };
        write().map_err(io_at(&self.path))?;
        *stored = changed;
        Ok(())
    }
}
