//! The code generated from xbook's proto files. The comments are those of the proto files.
//!
//! Without the feature `grpc` there are the messages alone, and no network code is a dependency.

/// The services and their messages.
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
pub mod peer {
    /// Version 1 of the messages.
    #[allow(missing_docs, clippy::all, reason = "generated")]
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/xbook.peer.v1.rs"));
    }
}

/// All proto files as an encoded `google.protobuf.FileDescriptorSet`, for server reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
