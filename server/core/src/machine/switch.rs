//! Dead man's switches as intents ask for them: of an account, or of a stream of a session.

use std::sync::Arc;

use xbook_proto::record::v1 as record;

use super::market::DAY;
use crate::types::Micros;

/// The longest time after which a switch fires.
pub const MAX_SWITCH: Micros = DAY;

/// What becomes of a switch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Switch {
    /// That of the whole account fires so long after this intent's turn; `None` disarms it.
    Account(Option<Micros>),
    /// That of a session, by the word of the node that has a stream of it. Nobody else asks for it.
    Stream {
        /// The session's name.
        session: Arc<str>,
        /// Tells the streams of a session apart; a later one has a higher number.
        stream: u64,
        /// What the node says of it.
        does: StreamSwitch,
    },
}

/// What a node says of a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StreamSwitch {
    /// It lives.
    Lives {
        /// Its switch fires so long after this intent's turn.
        after: Micros,
        /// Tape time after which this word is of no use: its node must have said so again, unless it is gone.
        by: Micros,
    },
    /// Its client said goodbye: its switch is disarmed.
    Left,
    /// It broke off: its switch fires.
    Lost,
}

pub(super) fn encode_switch(switch: &Switch) -> record::Switch {
    match switch {
        Switch::Account(after) => {
            record::Switch { timeout_us: after.map_or(0, |after| after.0), stream: None }
        }
        Switch::Stream { session, stream, does } => {
            let (timeout_us, by_us, lost) = match does {
                StreamSwitch::Lives { after, by } => (after.0, by.0, false),
                StreamSwitch::Left => (0, 0, false),
                StreamSwitch::Lost => (0, 0, true),
            };
            let session = session.to_string();
            let stream = record::StreamOfSession { session, number: *stream, lost, by_us };
            record::Switch { timeout_us, stream: Some(stream) }
        }
    }
}

pub(super) fn decode_switch(switch: record::Switch) -> Option<Switch> {
    let after = (switch.timeout_us > 0).then_some(Micros(switch.timeout_us));
    let Some(record::StreamOfSession { session, number, lost, by_us }) = switch.stream else {
        return Some(Switch::Account(after));
    };
    let does = match (after, by_us, lost) {
        (Some(after), by, false) => StreamSwitch::Lives { after, by: Micros(by) },
        (None, 0, false) => StreamSwitch::Left,
        (None, 0, true) => StreamSwitch::Lost,
        _ => return None,
    };
    Some(Switch::Stream { session: session.into(), stream: number, does })
}
