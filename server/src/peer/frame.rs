//! Frames as bytes and back, bounded before they are decoded.
//!
//! Decoded, each element of a list takes some forty bytes, however few it had on the wire. So what
//! lists a frame has is counted first.

use bytes::Bytes;
use prost::Message;
use xbook_proto::peer::v1::{Frame, frame::Content};

use super::PeerError;

/// Largest frame, in bytes: two of the largest changes.
pub(super) const MAX_FRAME_BYTES: usize = 16 * 1024 * 1024;

/// Largest frame before both sides know each other.
pub(super) const MAX_GREETING_BYTES: usize = 64 * 1024;

/// Most fields in a frame, over all the levels on which it has lists.
const MAX_FIELDS: usize = 65_536;

/// Which fields of a message have lists in them, at what depth ever.
struct Shape(&'static [(u64, Shape)]);

const LIST: Shape = Shape(&[]);
const HELLO: Shape = Shape(&[(2, LIST), (3, LIST)]);
const GENESIS_PART: Shape = Shape(&[(1, LIST)]);
const MESSAGE: Shape = Shape(&[(3, HELLO), (4, LIST), (5, LIST), (13, GENESIS_PART)]);
const FRAME: Shape = Shape(&[(1, GENESIS_PART), (2, MESSAGE), (4, LIST)]);

pub(super) fn encode(content: Content) -> Bytes {
    Frame { content: Some(content) }.encode_to_vec().into()
}

/// What is in a frame.
pub(super) fn decode(frame: Bytes, most: usize) -> Result<Content, PeerError> {
    if frame.len() > most {
        return Err(PeerError::TooLarge { bytes: frame.len(), most });
    }
    let mut left = MAX_FIELDS;
    count(&frame, &FRAME, &mut left)?;
    let frame = Frame::decode(frame).map_err(|_| PeerError::Malformed("a frame"))?;
    frame.content.ok_or(PeerError::Malformed("a frame"))
}

/// Takes the fields of a message, and of the lists in it, from those that it may have.
fn count(mut message: &[u8], shape: &Shape, left: &mut usize) -> Result<(), PeerError> {
    while !message.is_empty() {
        let (number, content) = field(&mut message).ok_or(PeerError::Malformed("a frame"))?;
        *left = left.checked_sub(1).ok_or(PeerError::TooManyFields { most: MAX_FIELDS })?;
        if let (Some((_, shape)), Some(content)) = (shape.0.iter().find(|(of, _)| *of == number), content) {
            count(content, shape, left)?;
        }
    }
    Ok(())
}

/// The next field's number, and its content if it is a message, a text or bytes.
fn field<'a>(message: &mut &'a [u8]) -> Option<(u64, Option<&'a [u8]>)> {
    let key = leb128::read::unsigned(message).ok()?;
    let length = match key & 7 {
        0 => {
            leb128::read::unsigned(message).ok()?;
            return Some((key >> 3, None));
        }
        1 => 8,
        2 => usize::try_from(leb128::read::unsigned(message).ok()?).ok()?,
        5 => 4,
        _ => return None,
    };
    let (content, rest) = message.split_at_checked(length)?;
    *message = rest;
    Some((key >> 3, (key & 7 == 2).then_some(content)))
}

#[cfg(test)]
mod tests {
    use xbook_proto::peer::v1::document_message::Message as Said;
    use xbook_proto::peer::v1::{Ack, Changes, DocumentMessage, Hello, HistoryPart};

    use xbook_proto::record::v1::{ActorChanges, HeardAck};

    use super::*;

    fn said(said: Said) -> Content {
        Content::Message(DocumentMessage { message: Some(said), ..DocumentMessage::default() })
    }

    fn with(count: usize) -> [Content; 5] {
        let changes = vec![ActorChanges::default(); count];
        let ack = Ack { label: 1, changes: changes.clone(), mark: Bytes::new() };
        let heard = Some(HeardAck { changes, ..HeardAck::default() });
        let hello = Hello { ack: Some(ack.clone()), ..Hello::default() };
        [
            said(Said::Changes(Changes { changes: vec![Bytes::new(); count] })),
            said(Said::Ack(ack)),
            said(Said::Hello(hello)),
            said(Said::Hello(Hello { heard, ..Hello::default() })),
            Content::HistoryPart(HistoryPart { blocks: vec![Bytes::new(); count], ..HistoryPart::default() }),
        ]
    }

    #[test]
    fn what_has_few_elements_comes_out_as_it_went_in() {
        for content in with(1_000) {
            assert_eq!(decode(encode(content.clone()), MAX_FRAME_BYTES).unwrap(), content);
        }
    }

    #[test]
    fn lists_are_counted_before_they_are_decoded() {
        for content in with(MAX_FIELDS) {
            let refused = decode(encode(content), MAX_FRAME_BYTES);
            assert!(matches!(refused, Err(PeerError::TooManyFields { .. })));
        }
    }

    #[test]
    fn the_parts_of_one_message_count_together() {
        // A message may come in parts, which are merged.
        let half = encode(with(MAX_FIELDS / 2)[0].clone());
        let refused = decode([half.clone(), half].concat().into(), MAX_FRAME_BYTES);
        assert!(matches!(refused, Err(PeerError::TooManyFields { .. })));
    }

    #[test]
    fn no_bytes_are_too_odd() {
        let whole = encode(with(3)[0].clone());
        for end in 0..whole.len() {
            let _ = decode(whole.slice(..end), MAX_FRAME_BYTES);
        }
        for frame in [&[][..], &[0xFF; 40], &[0x0B], &[0x12, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F], &[0x32, 0]] {
            let decoded = decode(Bytes::copy_from_slice(frame), MAX_FRAME_BYTES);
            assert!(decoded.is_err() || frame == [0x32, 0], "{frame:?}");
        }
        let large = decode(whole, 5);
        assert!(matches!(large, Err(PeerError::TooLarge { .. })));
    }
}
