//! Why the store can't be used.

use std::io;
use std::path::PathBuf;

use super::{FORMAT, WatermarkDamage};
use crate::document::GenesisError;

/// Why the store can't be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has it open.
    #[error("{path} is used by another process")]
    InUse {
        /// Where.
        path: PathBuf,
    },
    /// From the file system.
    #[error("{path} failed: {}", words(error))]
    Io {
        /// Where.
        path: PathBuf,
        /// What.
        error: io::Error,
    },
    /// Blocks of the journal are gone that were followed by others.
    #[error(
        "the journal in {path} is damaged: block {block} can't be read, and a later one can. What was in it may \
         be lost, so this node may have forgotten what it promised: start a new node with an empty directory"
    )]
    Journal {
        /// Where.
        path: PathBuf,
        /// The first such block.
        block: u64,
    },
    /// A record that is not what was written.
    #[error("{what} of {document} is damaged")]
    Damaged {
        /// The document.
        document: String,
        /// The record.
        what: String,
    },
    /// The file that says who the node is.
    #[error(
        "{path} {}: this data directory is damaged or an incomplete copy. A node that does not know who it is may \
         have forgotten what it promised: start a new node with an empty directory",
        if *missing { "is missing" } else { "is damaged" }
    )]
    Meta {
        /// Where.
        path: PathBuf,
        /// Whether there is none.
        missing: bool,
    },
    /// Records that had been synced are gone.
    #[error(
        "{found} records are stored, but {synced} had been synced: this data directory is damaged or an old \
         copy. A node that lost records has forgotten what it promised: start a new node with an empty directory"
    )]
    Lost {
        /// How many were synced.
        synced: u64,
        /// How many are there.
        found: u64,
    },
    /// A peer has proved that the directory is an old copy.
    #[error("this data directory was refused before: {reason}")]
    Outdated {
        /// What the peer said.
        reason: String,
    },
    /// How much had been synced can't be told.
    #[error(
        "{path} {what}: this data directory is damaged or an incomplete copy. A node that can't tell what it had \
         synced may have forgotten what it promised: start a new node with an empty directory"
    )]
    Watermark {
        /// Where.
        path: PathBuf,
        /// What is wrong.
        what: WatermarkDamage,
    },
    /// A genesis in a format that can't be read.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    /// The store itself is laid out as this program does not know.
    #[error(
        "the store in {path} has format {format}, and this program reads format {FORMAT}: start a newer one"
    )]
    Format {
        /// Where.
        path: PathBuf,
        /// Its format.
        format: u32,
    },
}

impl StoreError {
    /// Whether it is the fault of the records of one document, not of the disk.
    #[must_use]
    pub fn of_document(&self) -> bool {
        match self {
            Self::Damaged { .. } | Self::Genesis(_) => true,
            Self::InUse { .. }
            | Self::Io { .. }
            | Self::Journal { .. }
            | Self::Meta { .. }
            | Self::Lost { .. }
            | Self::Watermark { .. }
            | Self::Outdated { .. }
            | Self::Format { .. } => false,
        }
    }
}

/// What is wrong with the disk, and what to do where that is known.
fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::FileTooLarge => {
            format!("{error}: a file would grow beyond this process' limit on its size; raise it (ulimit -f)")
        }
        io::ErrorKind::StorageFull => format!("{error}: make room on the disk"),
        _ => error.to_string(),
    }
}

/// What makes an error of the file system one of the store's.
pub(super) fn io_at(path: &std::path::Path) -> impl FnOnce(io::Error) -> StoreError {
    move |error| StoreError::Io { path: path.to_owned(), error }
}

/// A damaged record of a document.
pub(super) fn damaged(document: &str, what: impl Into<String>) -> StoreError {
    StoreError::Damaged { document: document.to_owned(), what: what.into() }
}
