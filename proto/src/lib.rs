//! The code generated from xbook's proto files. The comments are those of the proto files.

/// The services and their messages.
#[allow(missing_docs, clippy::all, reason = "generated")]
pub mod v1 {
    tonic::include_proto!("xbook.v1");
}

/// The records that documents and the history log are made of.
pub mod record {
    /// Version 1 of the records.
    #[allow(missing_docs, clippy::all, reason = "generated")]
    pub mod v1 {
        tonic::include_proto!("xbook.record.v1");
    }
}

/// What nodes say to each other.
pub mod peer {
    /// Version 1 of the messages.
    #[allow(missing_docs, clippy::all, reason = "generated")]
    pub mod v1 {
        tonic::include_proto!("xbook.peer.v1");
    }
}

/// All proto files as an encoded `google.protobuf.FileDescriptorSet`, for server reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
