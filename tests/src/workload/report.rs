//! The report of workload E1: one line for everything that an engine must say, and its hash.

use sha2::{Digest, Sha256};
use xbook::book::{self, Command, Event, Refusal};
use xbook::types::{Side, Ticks};

use super::e1::{Action, Message};

/// What became of a message, as far as the report tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// A new order was accepted.
    Accepted {
        /// A part of it, or all, was cancelled at once because it was IOC.
        cancelled: bool,
    },
    /// The order was modified.
    Modified,
    /// The order was cancelled.
    Cancelled {
        /// The price at which it rested, in ticks.
        price: u64,
    },
    /// A cancel or modify of what does not rest.
    Refused,
}

/// One trade of the message's order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Trade {
    /// The resting order, as the workload numbers it.
    pub maker: u32,
    /// In ticks.
    pub price: u64,
    /// In lots.
    pub quantity: u64,
}

impl Answer {
    /// The answer that a book's events mean; nothing for a new order that was refused, which the
    /// report has no line for. `rested` is where the order rested before.
    #[must_use]
    pub fn from_events(
        message: &Message,
        result: Result<(), Refusal>,
        events: &[Event],
        rested: Option<Ticks>,
    ) -> Option<Self> {
        match (result, message.action) {
            (Err(_), Action::New { .. }) => None,
            (Err(_), _) => Some(Self::Refused),
            (Ok(()), Action::New { .. }) => {
                let cancelled = matches!(events.last(), Some(Event::Removed { .. }));
                Some(Self::Accepted { cancelled })
            }
            (Ok(()), Action::Modify { .. }) => Some(Self::Modified),
            (Ok(()), Action::Cancel) => Some(Self::Cancelled { price: rested?.0 }),
        }
    }
}

impl Trade {
    /// The trade that an event tells of.
    #[must_use]
    pub fn of(event: &Event) -> Option<Self> {
        let Event::Traded(book::Trade { maker, price, quantity, .. }) = event else {
            return None;
        };
        Some(Self { maker: maker.counter as u32, price: price.0, quantity: quantity.0 })
    }
}

/// Writes the report, hashing as it goes.
#[derive(Default)]
pub struct Reports {
    hasher: Sha256,
    buffer: Vec<u8>,
    lines: u64,
}

impl Reports {
    /// Adds what became of a message. The caller goes through the messages in their order.
    pub fn add(&mut self, message: &Message, answer: Answer, trades: impl IntoIterator<Item = Trade>) {
        let (seq, order) = (u64::from(message.seq), u64::from(message.order));
        let side = match message.side {
            Side::Buy => 0,
            Side::Sell => 1,
        };
        if let (Action::New { price, quantity, .. }, Answer::Accepted { .. }) = (message.action, answer) {
            self.line(&[0, seq, side, order, price, u64::from(quantity)]);
        }
        for trade in trades {
            self.line(&[1, seq, trade.price, trade.quantity, u64::from(trade.maker), order]);
        }
        match (answer, message.action) {
            (Answer::Accepted { cancelled: true }, Action::New { price, .. }) => {
                self.line(&[2, seq, side, order, price]);
            }
            (Answer::Cancelled { price }, _) => self.line(&[2, seq, side, order, price]),
            (Answer::Modified, Action::Modify { price, quantity }) => {
                self.line(&[3, seq, side, order, price, u64::from(quantity)]);
            }
            (Answer::Refused, Action::Cancel) => self.line(&[4, seq, order]),
            (Answer::Refused, _) => self.line(&[5, seq, order]),
            _ => {}
        }
    }

    fn line(&mut self, numbers: &[u64]) {
        const FLUSH_BYTES: usize = 1 << 16;
        if self.lines > 0 {
            self.buffer.push(b'\n');
        }
        self.lines += 1;
        for (place, number) in numbers.iter().enumerate() {
            if place > 0 {
                self.buffer.push(b',');
            }
            push_decimal(&mut self.buffer, *number);
        }
        if self.buffer.len() >= FLUSH_BYTES {
            self.hasher.update(&self.buffer);
            self.buffer.clear();
        }
    }

    /// How many lines there are.
    #[must_use]
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// The SHA-256 of the report, in hex.
    #[must_use]
    pub fn hash(mut self) -> String {
        self.hasher.update(&self.buffer);
        self.hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

fn push_decimal(buffer: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    buffer.extend_from_slice(&digits[first..]);
}

/// Runs all messages through a book and returns the report's hash.
///
/// `apply` applies a command, appends its events, and returns the price at which its order rested before.
///
/// # Errors
/// The first message that was refused though it is new.
pub fn report_hash(
    messages: &[Message],
    mut apply: impl FnMut(&Command, &mut Vec<Event>) -> (Option<Ticks>, Result<(), Refusal>),
) -> Result<String, Message> {
    let mut reports = Reports::default();
    let mut events = Vec::new();
    for message in messages {
        events.clear();
        let (rested, result) = apply(&message.command(), &mut events);
        let answer = Answer::from_events(message, result, &events, rested).ok_or(*message)?;
        reports.add(message, answer, events.iter().filter_map(Trade::of));
    }
    Ok(reports.hash())
}
