//! The directory: which markets there are. The same kind of replica as a market's, over a
//! registry instead of a book.

use std::collections::BTreeMap;
use std::sync::Arc;

use xbook_proto::record::v1::Outcome;
use xbook_proto::v1::Reason;

use super::FoldError;
use super::intent::{Action, Intent, NewMarket};
use super::journal::Journal;
use super::parts::{Part, Writer};
use super::step::Step;
use super::{Digest, Rules};
use crate::types::{NodeId, OrderId, Position};

/// Most markets that a directory holds.
const MAX_MARKETS: usize = 1_000;

/// A market as the directory knows it. It alone determines generation 0 of the market's document.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MarketEntry {
    /// Its name.
    pub name: Arc<str>,
    /// Its first rules; later ones are in the market's own document.
    pub rules: Rules,
    /// The voters of its generation 0, ascending.
    pub voters: Vec<NodeId>,
    /// Position of its creation on the directory's tape.
    pub position: Position,
}

/// The directory's state: a pure function of its tape.
#[derive(Clone, Default, Debug)]
pub struct Directory {
    markets: BTreeMap<Arc<str>, MarketEntry>,
}

impl Directory {
    /// The markets, by name.
    pub fn markets(&self) -> impl Iterator<Item = &MarketEntry> {
        self.markets.values()
    }

    /// A market.
    #[must_use]
    pub fn market(&self, name: &str) -> Option<&MarketEntry> {
        self.markets.get(name)
    }

    /// Decides what becomes of an intent and applies it.
    pub(super) fn sequence(
        &mut self,
        id: OrderId,
        intent: &Intent,
        journal: &mut Journal,
    ) -> Result<Step, FoldError> {
        let step = match &intent.request.action {
            Action::CreateMarket(new) if self.markets.contains_key(&new.name) => {
                Step::refused(Reason::MarketExists)
            }
            Action::CreateMarket(_) if self.markets.len() >= MAX_MARKETS => Step::refused(Reason::TooMany),
            Action::CreateMarket(_) => Step::plain(Outcome::Created, Reason::Unspecified),
            _ => Step::refused(Reason::UnknownValue),
        };
        self.apply(id, intent, &step, journal)?;
        Ok(step)
    }

    /// Applies a recorded step.
    pub(super) fn apply(
        &mut self,
        id: OrderId,
        intent: &Intent,
        step: &Step,
        journal: &mut Journal,
    ) -> Result<(), FoldError> {
        let position = journal.advance();
        match (step.outcome, &intent.request.action) {
            (Outcome::Created, Action::CreateMarket(new)) => {
                let entry = entry(new, position);
                journal.market(&entry);
                self.markets.insert(entry.name.clone(), entry);
                Ok(())
            }
            (Outcome::Refused | Outcome::Expired | Outcome::Repeated, _) => Ok(()),
            _ => Err(FoldError::Misfit { intent: id }),
        }
    }

    pub(super) fn write_parts(&self, writer: &mut Writer) {
        self.markets().for_each(|market| writer.market(market));
    }

    /// Takes what a part says about the directory; `None` if it can't be.
    pub(super) fn read_part(&mut self, part: &mut Part) -> Option<()> {
        for market in part.markets()? {
            let ascends = self.markets.last_key_value().is_none_or(|(name, _)| *name < market.name);
            (ascends && self.markets.len() < MAX_MARKETS).then_some(())?;
            self.markets.insert(market.name.clone(), market);
        }
        Some(())
    }

    /// Puts what a step left behind into the digest.
    pub(super) fn digest(&self, id: OrderId, step: &Step, digest: &mut Digest) {
        let markets = self.markets.len() as u64;
        digest.put([id.node.0, id.counter, step.outcome as u64, step.reason as u64, markets]);
    }
}

fn entry(new: &NewMarket, position: Position) -> MarketEntry {
    MarketEntry { name: new.name.clone(), rules: new.rules.clone(), voters: new.voters.clone(), position }
}
