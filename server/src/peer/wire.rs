//! Replica messages as frames and back.

use bytes::Bytes;
use xbook_proto::peer::v1 as wire;
use xbook_proto::peer::v1::document_message::Message as Wire;
use xbook_proto::peer::v1::frame::Content;
use xbook_proto::record::v1 as record;

use crate::document::Actor;
use crate::format::{Format, Formats};
use crate::replica::message::{Ack, Ballot, Candidacy, Echo, Envelope, HeardAck, Message, Told};
use crate::types::{BatchIndex, GenerationNumber, Micros, NodeId, Term};

/// A message about a document as the content of a frame.
#[must_use]
pub fn encode(document: &str, envelope: Envelope) -> Content {
    let message = match envelope.message {
        Message::Hello { genesis, ack, heard, answer, formats } => Wire::Hello(wire::Hello {
            genesis: Bytes::copy_from_slice(&genesis),
            ack: Some(encode_ack(ack)),
            // Whose it is goes without saying: the receiver's.
            heard: heard.map(|heard| heard.to_record(NodeId(0))),
            answer,
            oldest_format: formats.oldest.0,
            newest_format: formats.newest.0,
        }),
        Message::Changes(changes) => Wire::Changes(wire::Changes { changes }),
        Message::Ack(ack) => Wire::Ack(encode_ack(ack)),
        Message::Heartbeat { term, sent, majority } => Wire::Heartbeat(wire::Heartbeat {
            term: term.0,
            sent_us: sent.0,
            majority_us: majority.map_or(0, |clock| clock.0),
        }),
        Message::Echo(Echo { label, sent, clock }) => {
            Wire::Echo(wire::Echo { label: label.0, sent_us: sent.0, clock_us: clock.0 })
        }
        Message::Candidate(Candidacy { term, actor, trial, handed_over_by }) => {
            Wire::Candidate(wire::Candidate {
                term: term.0,
                actor: encode_actor(actor),
                trial,
                handed_over_by: handed_over_by.map(|term| term.0),
            })
        }
        Message::Ballot(Ballot { term, trial, granted, label }) => {
            Wire::Ballot(wire::Ballot { term: term.0, trial, granted, label: label.0 })
        }
        Message::Committed(Told { term, batches }) => {
            Wire::Committed(wire::Committed { term: term.0, batches: batches.0 })
        }
        Message::HandOver { term } => Wire::HandOver(wire::HandOver { term: term.0 }),
        Message::HandOverWish { to } => Wire::HandOverWish(wire::HandOverWish { to: to.0 }),
        Message::UpgradeWish { to } => Wire::UpgradeWish(wire::UpgradeWish { format: to.0 }),
        Message::Fetch { part } => Wire::Fetch(wire::Fetch { part }),
        Message::GenesisPart { genesis, part, content } => {
            Wire::GenesisPart(wire::GenesisPart { genesis: Some(*genesis), part, content })
        }
    };
    let document = document.to_owned();
    let generation = envelope.generation;
    Content::Message(wire::DocumentMessage { document, generation: generation.0, message: Some(message) })
}

/// The document and the message of a frame; `None` if it is malformed.
#[must_use]
pub fn decode(frame: wire::DocumentMessage) -> Option<(String, Envelope)> {
    let message = match frame.message? {
        Wire::Hello(wire::Hello { genesis, ack, heard, answer, oldest_format, newest_format }) => {
            let heard = heard.map(HeardAck::from_record);
            let heard = if let Some(heard) = heard { Some(heard?) } else { None };
            Message::Hello {
                genesis: genesis.as_ref().try_into().ok()?,
                ack: decode_ack(ack?)?,
                heard,
                answer,
                formats: Formats { oldest: Format(oldest_format), newest: Format(newest_format) },
            }
        }
        Wire::Changes(changes) => Message::Changes(changes.changes),
        Wire::Ack(ack) => Message::Ack(decode_ack(ack)?),
        Wire::Heartbeat(heartbeat) => Message::Heartbeat {
            term: Term(heartbeat.term),
            sent: Micros(heartbeat.sent_us),
            majority: (heartbeat.majority_us > 0).then_some(Micros(heartbeat.majority_us)),
        },
        Wire::Echo(echo) => Message::Echo(Echo {
            label: Term(echo.label),
            sent: Micros(echo.sent_us),
            clock: Micros(echo.clock_us),
        }),
        Wire::Candidate(candidate) => Message::Candidate(Candidacy {
            term: Term(candidate.term),
            actor: decode_actor(&candidate.actor)?,
            trial: candidate.trial,
            handed_over_by: candidate.handed_over_by.map(Term),
        }),
        Wire::Ballot(wire::Ballot { term, trial, granted, label }) => {
            Message::Ballot(Ballot { term: Term(term), trial, granted, label: Term(label) })
        }
        Wire::Committed(committed) => {
            Message::Committed(Told { term: Term(committed.term), batches: BatchIndex(committed.batches) })
        }
        Wire::HandOver(hand_over) => Message::HandOver { term: Term(hand_over.term) },
        Wire::HandOverWish(wish) => Message::HandOverWish { to: NodeId(wish.to) },
        Wire::UpgradeWish(wish) => Message::UpgradeWish { to: Format(wish.format) },
        Wire::Fetch(fetch) => Message::Fetch { part: fetch.part },
        Wire::GenesisPart(wire::GenesisPart { genesis, part, content }) => {
            Message::GenesisPart { genesis: Box::new(genesis?), part, content }
        }
    };
    Some((frame.document, Envelope { generation: GenerationNumber(frame.generation), message }))
}

fn encode_ack(ack: Ack) -> wire::Ack {
    let record::HeardAck { label, changes, mark, .. } =
        HeardAck { generation: GenerationNumber(0), ack }.to_record(NodeId(0));
    wire::Ack { label, changes, mark }
}

fn decode_ack(wire::Ack { label, changes, mark }: wire::Ack) -> Option<Ack> {
    let ack = record::HeardAck { label, changes, mark, ..record::HeardAck::default() };
    HeardAck::from_record(ack).map(|heard| heard.ack)
}

fn encode_actor(actor: Actor) -> Bytes {
    Bytes::copy_from_slice(&actor.0)
}

fn decode_actor(bytes: &[u8]) -> Option<Actor> {
    bytes.try_into().ok().map(Actor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_out_as_they_went_in() {
        let actor = Actor([7; 16]);
        let ack = Ack { label: Term(3), vector: [(actor, 9)].into(), mark: Some([8; 16]) };
        let heard = HeardAck { generation: GenerationNumber(4), ack: ack.clone() };
        let formats = Formats { oldest: Format(3), newest: Format(5) };
        let messages = [
            Message::Hello { genesis: [1; 32], ack: ack.clone(), heard: Some(heard), answer: true, formats },
            Message::Hello { genesis: [1; 32], ack: Ack::default(), heard: None, answer: false, formats },
            Message::Changes(vec![Bytes::from_static(b"change")]),
            Message::Ack(ack),
            Message::Heartbeat { term: Term(1), sent: Micros(2), majority: None },
            Message::Heartbeat { term: Term(1), sent: Micros(2), majority: Some(Micros(3)) },
            Message::Echo(Echo { label: Term(1), sent: Micros(2), clock: Micros(3) }),
            Message::Candidate(Candidacy {
                term: Term(4),
                actor,
                trial: true,
                handed_over_by: Some(Term(3)),
            }),
            Message::Ballot(Ballot { term: Term(4), trial: false, granted: true, label: Term(4) }),
            Message::Committed(Told { term: Term(4), batches: BatchIndex(17) }),
            Message::HandOver { term: Term(4) },
            Message::HandOverWish { to: NodeId(5) },
            Message::UpgradeWish { to: Format(4) },
            Message::Fetch { part: 3 },
            Message::GenesisPart {
                genesis: Box::new(record::Genesis { generation: 3, ..record::Genesis::default() }),
                part: 3,
                content: Bytes::from_static(b"part"),
            },
        ];
        for message in messages {
            let envelope = Envelope { generation: GenerationNumber(2), message };
            let Content::Message(frame) = encode("BTC/USDT", envelope.clone()) else {
                panic!("a message is no greeting");
            };
            assert_eq!(decode(frame), Some(("BTC/USDT".to_owned(), envelope)));
        }
    }
}
