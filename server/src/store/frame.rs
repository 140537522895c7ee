//! A checksum before each record.

/// The record with its CRC-32 before it.
pub(crate) fn close(record: &[u8]) -> Vec<u8> {
    let mut framed = Vec::with_capacity(record.len() + 4);
    framed.extend_from_slice(&crc32fast::hash(record).to_be_bytes());
    framed.extend_from_slice(record);
    framed
}

/// The record in a frame; `None` if its checksum is wrong.
pub(crate) fn open(framed: &[u8]) -> Option<&[u8]> {
    let (checksum, record) = framed.split_first_chunk::<4>()?;
    (crc32fast::hash(record).to_be_bytes() == *checksum).then_some(record)
}
