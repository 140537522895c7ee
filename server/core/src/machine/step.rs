//! Tape batches in the server's words, and their records.

use bytes::Bytes;
use prost::encoding::encoded_len_varint;
use xbook_proto::record::v1 as record;
use xbook_proto::record::v1::Outcome;

use crate::format::Format;
use crate::types::{Lots, Micros, NodeId, OrderId, Position, Reason};

/// What became of one intent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    /// The outcome; never unspecified.
    pub outcome: Outcome,
    /// Why it was refused, or why the remainder did not rest.
    pub reason: Reason,
    /// Executions as a taker, in their order.
    pub fills: Vec<StepFill>,
    /// What rests of a placed or amended order.
    pub open: Lots,
    /// The orders concerned (see the record's comment).
    pub orders: Vec<OrderId>,
}

/// One execution of a step. The price is the maker's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StepFill {
    /// The maker.
    pub maker: OrderId,
    /// The quantity.
    pub quantity: Lots,
}

/// A tape batch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Batch {
    /// The holder's term.
    pub term: u64,
    /// Position of the first event.
    pub first: Position,
    /// Tape time.
    pub time: Micros,
    /// Last position that the holder knew to be committed.
    pub committed: Position,
    /// The intents consumed: node, first counter, how many.
    pub runs: Vec<(NodeId, u64, u64)>,
    /// Orders whose time came, before anything was consumed.
    pub expired: Vec<OrderId>,
    /// What became of each consumed intent.
    pub steps: Vec<Step>,
    /// Running digest after the batch.
    pub digest: [u8; 32],
    /// Set in the last batch of a generation.
    pub seal: Option<Seal>,
}

/// The end of a generation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Seal {
    /// The next generation's voters, ascending.
    pub voters: Vec<NodeId>,
    /// The actor that wrote it and goes on as the holder.
    pub holder: [u8; 16],
    /// Hash of the next generation's genesis.
    pub genesis: [u8; 32],
    /// Format of the next generation.
    pub format: Format,
}

impl Step {
    /// A step without executions.
    pub(super) fn plain(outcome: Outcome, reason: Reason) -> Self {
        Self { outcome, reason, fills: Vec::new(), open: Lots::ZERO, orders: Vec::new() }
    }

    /// A refusal.
    pub(super) fn refused(reason: Reason) -> Self {
        Self::plain(Outcome::Refused, reason)
    }
}

impl Step {
    /// Bytes of its record, to within a few.
    pub(super) fn bytes(&self) -> usize {
        // Tags, lengths and the small numbers; nodes are few, so an index is a byte.
        let number = encoded_len_varint;
        let fill = |fill: &StepFill| 6 + number(fill.maker.counter) + number(fill.quantity.0);
        let fills: usize = self.fills.iter().map(fill).sum();
        let orders: usize = self.orders.iter().map(|id| 5 + number(id.counter)).sum();
        8 + number(self.open.0) + fills + orders
    }
}

impl Batch {
    /// Notes that an intent was consumed.
    pub(super) fn consumed(&mut self, id: OrderId, step: Step) {
        match self.runs.last_mut() {
            Some((node, first, count)) if *node == id.node && *first + *count == id.counter => *count += 1,
            _ => self.runs.push((id.node, id.counter, 1)),
        }
        self.steps.push(step);
    }

    /// The ids of the consumed intents, in their order.
    pub fn consumed_ids(&self) -> impl Iterator<Item = OrderId> + '_ {
        self.runs.iter().flat_map(|&(node, first, count)| {
            (0..count).map(move |step| OrderId { node, counter: first.saturating_add(step) })
        })
    }

    /// The batch's record.
    #[must_use]
    pub fn to_record(&self) -> record::TapeBatch {
        let mut nodes = NodeTable::default();
        let expired = self.expired.iter().map(|id| nodes.key(*id)).collect();
        let steps = self
            .steps
            .iter()
            .map(|step| record::Step {
                outcome: step.outcome.into(),
                reason: step.reason.into(),
                fills: step.fills.iter().map(|fill| nodes.fill(fill)).collect(),
                open: step.open.0,
                orders: step.orders.iter().map(|id| nodes.key(*id)).collect(),
            })
            .collect();
        record::TapeBatch {
            term: self.term,
            first_position: self.first.0,
            time_us: self.time.0,
            committed: self.committed.0,
            runs: self
                .runs
                .iter()
                .map(|&(node, first_counter, count)| record::Run { node: node.0, first_counter, count })
                .collect(),
            nodes: nodes.nodes,
            expired,
            steps,
            digest: Bytes::copy_from_slice(&self.digest),
            seal: self.seal.as_ref().map(Seal::to_record),
        }
    }

    /// Reads a record; `None` if it is malformed.
    #[must_use]
    pub fn from_record(record: &record::TapeBatch) -> Option<Self> {
        let id = |node: u32, counter: u64| {
            Some(OrderId { node: NodeId(*record.nodes.get(node as usize)?), counter })
        };
        let steps = record.steps.iter().map(|step| {
            let outcome = step.outcome();
            (outcome != Outcome::Unspecified).then_some(())?;
            let fills = step.fills.iter().map(|fill| {
                Some(StepFill { maker: id(fill.node, fill.counter)?, quantity: Lots(fill.quantity) })
            });
            Some(Step {
                outcome,
                reason: step.reason(),
                fills: fills.collect::<Option<_>>()?,
                open: Lots(step.open),
                orders: step.orders.iter().map(|key| id(key.node, key.counter)).collect::<Option<_>>()?,
            })
        });
        let consumed = record.runs.iter().try_fold(0_u64, |sum, run| sum.checked_add(run.count))?;
        (consumed == record.steps.len() as u64).then_some(())?;
        Some(Self {
            term: record.term,
            first: Position(record.first_position),
            time: Micros(record.time_us),
            committed: Position(record.committed),
            runs: record.runs.iter().map(|run| (NodeId(run.node), run.first_counter, run.count)).collect(),
            expired: record.expired.iter().map(|key| id(key.node, key.counter)).collect::<Option<_>>()?,
            steps: steps.collect::<Option<_>>()?,
            digest: record.digest.as_ref().try_into().ok()?,
            seal: match &record.seal {
                None => None,
                Some(seal) => Some(Seal::from_record(seal)?),
            },
        })
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

/// The nodes that a batch's record speaks of: few, so ids are an index and a counter.
#[derive(Default)]
struct NodeTable {
    nodes: Vec<u64>,
}

impl NodeTable {
    fn index(&mut self, node: NodeId) -> u32 {
        let at = self.nodes.iter().position(|known| *known == node.0).unwrap_or_else(|| {
            self.nodes.push(node.0);
            self.nodes.len() - 1
        });
        u32::try_from(at).unwrap_or(u32::MAX)
    }

    fn key(&mut self, id: OrderId) -> record::OrderKey {
        record::OrderKey { node: self.index(id.node), counter: id.counter }
    }

    fn fill(&mut self, fill: &StepFill) -> record::StepFill {
        let node = self.index(fill.maker.node);
        record::StepFill { node, counter: fill.maker.counter, quantity: fill.quantity.0 }
    }
}
