//! The code generated from xbook's proto files. The comments are those of the proto files.
//!
//! Without features there are the records alone, and no network code is a dependency.

/// The API for clients: its messages and, with the feature `grpc`, its services.
#[cfg(feature = "api")]
#[allow(missing_docs, clippy::all, reason = "generated")]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/xbook.v1.rs"));
}

/// The records that documents and the history log are made of.
pub mod record {
    /// Version 1 of the records.
    #[allow(missing_docs, clippy::all, reason = "generated")]
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/xbook.record.v1.rs"));
    }
}

/// What nodes say to each other.
#[cfg(feature = "grpc")]
pub mod peer {
    /// Version 1 of the messages.
    #[allow(missing_docs, clippy::all, reason = "generated")]
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/xbook.peer.v1.rs"));
    }
}

/// All proto files as an encoded `google.protobuf.FileDescriptorSet`, for server reflection.
#[cfg(feature = "api")]
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
