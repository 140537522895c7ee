//! Batches as records. Steps and events are one list of numbers: no message around each, and a kind that
//! is not known makes the batch one that can't be read.

use bytes::Bytes;
use xbook_proto::record::v1 as record;

use super::{Batch, Cause, Event, Seal, Step};
use crate::book::{Auction, Prevented, Trade};
use crate::format::Format;
use crate::machine::{Fee, Fees};
use crate::types::{Lots, MarketState, Micros, NodeId, OrderId, Position, Reason, Side, Term, Ticks};

/// The kinds of events, as the comment of the record's `steps` lists them.
mod kind {
    pub const ACCEPTED: u64 = 1;
    pub const REFUSED: u64 = 2;
    pub const REPEATED: u64 = 3;
    pub const WITHDRAWN: u64 = 4;
    pub const NOTHING: u64 = 5;
    pub const TRADED: u64 = 6;
    pub const RESTED: u64 = 7;
    pub const REDUCED: u64 = 8;
    pub const LIFTED: u64 = 9;
    pub const REMOVED: u64 = 10;
    pub const VOTERS_CHANGED: u64 = 11;
    pub const MARKET_CREATED: u64 = 12;
    pub const NODE_CHANGED: u64 = 13;
    pub const PREVENTED: u64 = 14;
    pub const ACCEPTED_AT: u64 = 15;
    pub const ACCEPTED_UNTIL: u64 = 16;
    pub const RESTED_SHOWING: u64 = 20;
    pub const REPLENISHED: u64 = 21;
    pub const WAITING: u64 = 22;
    pub const TRIGGERED: u64 = 23;
    pub const TRIGGER_MOVED: u64 = 24;
    pub const TRIGGERED_AT: u64 = 25;
    pub const SWITCH_SET: u64 = 32;
    pub const SWITCH_FIRED: u64 = 33;
    pub const KILLED: u64 = 34;
    pub const TRADED_FOR: u64 = 35;
    pub const STATE_CHANGED: u64 = 36;
    pub const LIMITS_SET: u64 = 37;
    pub const RESTED_AT_MARKET: u64 = 38;
    pub const UNCROSSED: u64 = 39;
    pub const INDICATED: u64 = 40;
    pub const RULES_CHANGED: u64 = 41;
}

/// The kinds of causes.
const INTENT: u64 = 0;
const EXPIRY: u64 = 1;
const TRIGGER: u64 = 4;
const SWITCH: u64 = 5;
const UNCROSS: u64 = 6;
const SESSION: u64 = 7;

/// A step begins with how many events it has, times this, plus the kind of its cause.
const CAUSES: u64 = 16;

impl Batch {
    /// The batch's record.
    #[must_use]
    pub fn to_record(&self) -> record::TapeBatch {
        let mut writer = Writer { numbers: Vec::with_capacity(8 * self.events.len()), ..Writer::default() };
        self.steps().for_each(|(cause, events)| writer.step(cause, events));
        let runs = self.runs().map(|(node, first_counter, count)| record::Run {
            node: node.0,
            first_counter,
            count,
        });
        record::TapeBatch {
            term: self.term.0,
            first_position: self.first.0,
            time_us: self.time.0,
            committed: self.committed.0,
            runs: runs.collect(),
            nodes: writer.nodes,
            steps: writer.numbers,
            digest: Bytes::copy_from_slice(&self.digest),
            seal: self.seal.as_ref().map(Seal::to_record),
        }
    }

    /// Reads a record; `None` if it is malformed.
    #[must_use]
    pub fn from_record(record: &record::TapeBatch) -> Option<Self> {
        let mut batch = Self::new(
            Term(record.term),
            Position(record.first_position),
            Micros(record.time_us),
            Position(record.committed),
        );
        let mut reader = Reader { numbers: record.steps.iter(), nodes: &record.nodes, own: None };
        let mut consumed = record.runs.iter().flat_map(|run| {
            (0..run.count).map(move |step| {
                let counter = run.first_counter.checked_add(step)?;
                Some(OrderId { node: NodeId(run.node), counter })
            })
        });
        while let Some(head) = reader.numbers.next() {
            let (cause, own) = match head % CAUSES {
                INTENT => consumed.next()?.map(|id| (Cause::Intent(id), Some(id)))?,
                EXPIRY => (Cause::Expiry { due: Micros(reader.number()?) }, None),
                TRIGGER => {
                    reader.own = None;
                    let id = reader.id()?;
                    (Cause::Trigger(id), Some(id))
                }
                SWITCH => (Cause::Switch { due: Micros(reader.number()?) }, None),
                UNCROSS => (Cause::Uncross, None),
                SESSION => (Cause::Session { due: Micros(reader.number()?) }, None),
                _ => return None,
            };
            reader.own = own;
            let count = usize::try_from(head / CAUSES).ok().filter(|count| *count > 0)?;
            for _ in 0..count {
                batch.events.push(reader.event()?);
            }
            batch.steps.push(Step { cause, events: count });
        }
        consumed.next().is_none().then_some(())?;
        batch.digest = record.digest.as_ref().try_into().ok()?;
        batch.seal = match &record.seal {
            None => None,
            Some(seal) => Some(Seal::from_record(seal)?),
        };
        Some(batch)
    }
}

impl Seal {
    fn to_record(&self) -> record::Seal {
        record::Seal {
            voters: self.voters.iter().map(|node| node.0).collect(),
            holder: Bytes::copy_from_slice(&self.holder),
            genesis: Bytes::copy_from_slice(&self.genesis),
            format: self.format.0,
        }
    }

    fn from_record(record: &record::Seal) -> Option<Self> {
        let holder = record.holder.as_ref().try_into().ok()?;
        let genesis = record.genesis.as_ref().try_into().ok()?;
        let ascending = record.voters.is_sorted_by(|a, b| a < b) && !record.voters.is_empty();
        ascending.then(|| Self {
            voters: record.voters.iter().copied().map(NodeId).collect(),
            holder,
            genesis,
            format: Format(record.format),
        })
    }
}

/// Writes steps as numbers. Ids are an index into the batch's nodes, which are few, and a counter.
#[derive(Default)]
struct Writer {
    numbers: Vec<u64>,
    nodes: Vec<u64>,
    /// The order of the running step's intent, which has the shortest name.
    own: Option<OrderId>,
}

impl Writer {
    fn step(&mut self, cause: Cause, events: &[Event]) {
        let head = events.len() as u64 * CAUSES;
        match cause {
            Cause::Intent(id) => {
                self.own = Some(id);
                self.put([head + INTENT]);
            }
            Cause::Expiry { due } => {
                self.own = None;
                self.put([head + EXPIRY, due.0]);
            }
            Cause::Trigger(id) => {
                self.own = None;
                self.about(head + TRIGGER, id, []);
                self.own = Some(id);
            }
            Cause::Switch { due } => {
                self.own = None;
                self.put([head + SWITCH, due.0]);
            }
            Cause::Session { due } => {
                self.own = None;
                self.put([head + SESSION, due.0]);
            }
            Cause::Uncross => {
                self.own = None;
                self.put([head + UNCROSS]);
            }
        }
        events.iter().for_each(|event| self.event(event));
    }

    fn event(&mut self, event: &Event) {
        match *event {
            Event::Accepted { order, price, expires } => self.accepted(order, price, expires),
            Event::Refused { reason } => self.put([kind::REFUSED, reason as u64]),
            Event::Repeated { first: Some(first) } => self.about(kind::REPEATED, first, []),
            // The intent itself is never its own repeat.
            Event::Repeated { first: None } => self.put([kind::REPEATED, 0]),
            Event::Withdrawn { order } => self.about(kind::WITHDRAWN, order, []),
            Event::Nothing => self.put([kind::NOTHING]),
            Event::Traded(ref trade, fees) => self.traded(trade, fees),
            Event::Prevented(Prevented { maker, taker, quantity, maker_open, taker_open }) => {
                self.about(kind::PREVENTED, maker, []);
                self.id(taker);
                self.put([quantity.0, maker_open.0, taker_open.0]);
            }
            Event::Rested { order, side, price, open, shown } if open == shown => {
                self.about(kind::RESTED, order, [u64::from(side == Side::Sell), price.0, open.0]);
            }
            Event::Rested { order, side, price, open, shown } => {
                let fields = [u64::from(side == Side::Sell), price.0, open.0, shown.0];
                self.about(kind::RESTED_SHOWING, order, fields);
            }
            Event::Waiting { order, trigger, price, open } => {
                let price = price.map_or(0, |price| price.0);
                self.about(kind::WAITING, order, [trigger.0, price, open.0]);
            }
            Event::Triggered { order, trigger: None } => self.about(kind::TRIGGERED, order, []),
            Event::Triggered { order, trigger: Some(trigger) } => {
                self.about(kind::TRIGGERED_AT, order, [trigger.0]);
            }
            Event::TriggerMoved { order, trigger } => self.about(kind::TRIGGER_MOVED, order, [trigger.0]),
            Event::Replenished { order, shown } => self.about(kind::REPLENISHED, order, [shown.0]),
            Event::Reduced { order, open } => self.about(kind::REDUCED, order, [open.0]),
            Event::Lifted { order, price, open, quantity } => {
                self.about(kind::LIFTED, order, [price.0, open.0, quantity.0]);
            }
            Event::Removed { order, open, reason } => {
                self.about(kind::REMOVED, order, [open.0, reason as u64]);
            }
            Event::SwitchSet { fires } => self.put([kind::SWITCH_SET, fires.map_or(0, |at| at.0)]),
            Event::SwitchFired { switch } => self.about(kind::SWITCH_FIRED, switch, []),
            Event::Killed => self.put([kind::KILLED]),
            Event::LimitsSet => self.put([kind::LIMITS_SET]),
            Event::StateChanged { state, until } => {
                self.put([kind::STATE_CHANGED, state as u64, until.map_or(0, |at| at.0)]);
            }
            Event::RulesChanged => self.put([kind::RULES_CHANGED]),
            Event::RestedAtMarket { order, open } => self.about(kind::RESTED_AT_MARKET, order, [open.0]),
            Event::Uncrossed(auction) => self.auction(kind::UNCROSSED, Some(auction)),
            Event::Indicated(auction) => self.auction(kind::INDICATED, auction),
            Event::VotersChanged => self.put([kind::VOTERS_CHANGED]),
            Event::MarketCreated => self.put([kind::MARKET_CREATED]),
            Event::NodeChanged => self.put([kind::NODE_CHANGED]),
        }
    }

    /// What a fill costs stands in a kind of its own, and nothing of it where it costs nothing.
    fn traded(&mut self, trade: &Trade, fees: Fees) {
        let Trade { maker, taker, price, quantity, maker_open, taker_open } = *trade;
        let free = fees == Fees::default();
        self.about(if free { kind::TRADED } else { kind::TRADED_FOR }, maker, []);
        self.id(taker);
        self.put([price.0, quantity.0, maker_open.0, taker_open.0]);
        if !free {
            self.put([fees.maker.0, fees.taker.0].map(zigzag));
        }
    }

    /// What the rules made of few orders stands in kinds of their own.
    fn accepted(&mut self, order: OrderId, price: Option<Ticks>, expires: Option<Micros>) {
        match (price, expires) {
            (None, None) => self.about(kind::ACCEPTED, order, []),
            (Some(price), None) => self.about(kind::ACCEPTED_AT, order, [price.0]),
            (price, Some(at)) => {
                self.about(kind::ACCEPTED_UNTIL, order, [price.map_or(0, |price| price.0), at.0]);
            }
        }
    }

    fn auction(&mut self, kind: u64, auction: Option<Auction>) {
        let none = Auction { price: Ticks(0), volume: Lots::ZERO, surplus: 0 };
        let Auction { price, volume, surplus } = auction.unwrap_or(none);
        self.put([kind, price.0, volume.0, zigzag(surplus)]);
    }

    fn about<const N: usize>(&mut self, kind: u64, order: OrderId, fields: [u64; N]) {
        self.put([kind]);
        self.id(order);
        self.put(fields);
    }

    fn id(&mut self, id: OrderId) {
        if self.own == Some(id) {
            return self.put([0]);
        }
        let known = self.nodes.iter().position(|node| *node == id.node.0);
        let index = known.unwrap_or_else(|| {
            self.nodes.push(id.node.0);
            self.nodes.len() - 1
        });
        self.put([index as u64 + 1, id.counter]);
    }

    fn put<const N: usize>(&mut self, numbers: [u64; N]) {
        self.numbers.extend_from_slice(&numbers);
    }
}

/// A number that may be below zero: small ones stay small, whatever their sign.
fn zigzag(number: i64) -> u64 {
    (number << 1 ^ number >> 63).cast_unsigned()
}

/// Reads them back.
struct Reader<'a> {
    numbers: std::slice::Iter<'a, u64>,
    nodes: &'a [u64],
    own: Option<OrderId>,
}

impl Reader<'_> {
    fn event(&mut self) -> Option<Event> {
        Some(match self.number()? {
            kind::ACCEPTED => Event::Accepted { order: self.id()?, price: None, expires: None },
            kind::ACCEPTED_AT => {
                Event::Accepted { order: self.id()?, price: Some(self.price()?), expires: None }
            }
            kind::ACCEPTED_UNTIL => Event::Accepted {
                order: self.id()?,
                price: Some(self.price()?).filter(|price| price.0 > 0),
                expires: Some(Micros(self.number()?)),
            },
            kind::REFUSED => Event::Refused { reason: self.reason()? },
            kind::REPEATED => Event::Repeated { first: self.first()? },
            kind::WITHDRAWN => Event::Withdrawn { order: self.id()? },
            kind::NOTHING => Event::Nothing,
            kind::TRADED => Event::Traded(self.trade()?, Fees::default()),
            kind::TRADED_FOR => Event::Traded(self.trade()?, Fees { maker: self.fee()?, taker: self.fee()? }),
            kind::PREVENTED => Event::Prevented(Prevented {
                maker: self.id()?,
                taker: self.id()?,
                quantity: self.lots()?,
                maker_open: self.lots()?,
                taker_open: self.lots()?,
            }),
            kind::RESTED => {
                let (order, side, price, open) = (self.id()?, self.side()?, self.price()?, self.lots()?);
                Event::Rested { order, side, price, open, shown: open }
            }
            kind::RESTED_SHOWING => Event::Rested {
                order: self.id()?,
                side: self.side()?,
                price: self.price()?,
                open: self.lots()?,
                shown: self.lots()?,
            },
            kind::WAITING => Event::Waiting {
                order: self.id()?,
                trigger: self.price()?,
                price: Some(self.price()?).filter(|price| price.0 > 0),
                open: self.lots()?,
            },
            kind::TRIGGERED => Event::Triggered { order: self.id()?, trigger: None },
            kind::TRIGGERED_AT => Event::Triggered { order: self.id()?, trigger: Some(self.price()?) },
            kind::TRIGGER_MOVED => Event::TriggerMoved { order: self.id()?, trigger: self.price()? },
            kind::REPLENISHED => Event::Replenished { order: self.id()?, shown: self.lots()? },
            kind::REDUCED => Event::Reduced { order: self.id()?, open: self.lots()? },
            kind::LIFTED => Event::Lifted {
                order: self.id()?,
                price: self.price()?,
                open: self.lots()?,
                quantity: self.lots()?,
            },
            kind::REMOVED => Event::Removed { order: self.id()?, open: self.lots()?, reason: self.reason()? },
            kind::SWITCH_SET => {
                Event::SwitchSet { fires: Some(Micros(self.number()?)).filter(|at| at.0 > 0) }
            }
            kind::SWITCH_FIRED => Event::SwitchFired { switch: self.id()? },
            kind::KILLED => Event::Killed,
            kind::LIMITS_SET => Event::LimitsSet,
            kind::STATE_CHANGED => self.state_changed()?,
            kind::RULES_CHANGED => Event::RulesChanged,
            kind::RESTED_AT_MARKET => Event::RestedAtMarket { order: self.id()?, open: self.lots()? },
            kind::UNCROSSED => Event::Uncrossed(self.auction()?.filter(|auction| auction.price > Ticks(0))?),
            kind::INDICATED => Event::Indicated(self.auction()?),
            kind::VOTERS_CHANGED => Event::VotersChanged,
            kind::MARKET_CREATED => Event::MarketCreated,
            kind::NODE_CHANGED => Event::NodeChanged,
            _ => return None,
        })
    }

    fn trade(&mut self) -> Option<Trade> {
        Some(Trade {
            maker: self.id()?,
            taker: self.id()?,
            price: self.price()?,
            quantity: self.lots()?,
            maker_open: self.lots()?,
            taker_open: self.lots()?,
        })
    }

    fn fee(&mut self) -> Option<Fee> {
        self.signed().map(Fee)
    }

    fn signed(&mut self) -> Option<i64> {
        let number = self.number()?;
        Some((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    fn state_changed(&mut self) -> Option<Event> {
        let state = MarketState::try_from(i32::try_from(self.number()?).ok()?).ok()?;
        Some(Event::StateChanged { state, until: Some(Micros(self.number()?)).filter(|at| at.0 > 0) })
    }

    /// What an auction gives; `Some(None)` without a price.
    fn auction(&mut self) -> Option<Option<Auction>> {
        let (price, volume, surplus) = (self.price()?, self.lots()?, self.signed()?);
        Some((price > Ticks(0)).then_some(Auction { price, volume, surplus }))
    }

    fn number(&mut self) -> Option<u64> {
        self.numbers.next().copied()
    }

    fn price(&mut self) -> Option<Ticks> {
        self.number().map(Ticks)
    }

    fn lots(&mut self) -> Option<Lots> {
        self.number().map(Lots)
    }

    fn reason(&mut self) -> Option<Reason> {
        Reason::try_from(i32::try_from(self.number()?).ok()?).ok()
    }

    fn side(&mut self) -> Option<Side> {
        match self.number()? {
            0 => Some(Side::Buy),
            1 => Some(Side::Sell),
            _ => None,
        }
    }

    fn id(&mut self) -> Option<OrderId> {
        self.first()?.or(self.own)
    }

    /// An id of another order than the step's own; `Some(None)` for a zero.
    fn first(&mut self) -> Option<Option<OrderId>> {
        let Some(index) = self.number()?.checked_sub(1) else {
            return Some(None);
        };
        let node = NodeId(*self.nodes.get(usize::try_from(index).ok()?)?);
        Some(Some(OrderId { node, counter: self.number()? }))
    }
}
