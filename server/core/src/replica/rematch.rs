//! The tape matched again: that what a document records is what the matcher does.
//!
//! The fold applies what the tape says and never matches. Here every consumed intent is matched
//! once more, batch by batch, and compared with what was recorded; beside it the recorded steps are
//! applied and their fills added up.

use std::collections::BTreeMap;

use super::Replica;
use crate::document::{Actor, LeaseId};
use crate::machine::{
    Action, Batch, Block, Cause, ChainHead, Change, FoldError, State, is_withdrawn, refused,
};
use crate::types::{Liquidity, Lots, OrderId, Position, Reason};

/// What was matched again.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Rematch {
    /// Position of the last event before the generation.
    pub after: Position,
    /// Position of the last event that was matched again.
    pub through: Position,
    /// Batches.
    pub batches: u64,
    /// Intents.
    pub intents: u64,
    /// Executions.
    pub fills: u64,
    /// Quantity executed.
    pub quantity: u128,
    /// Digest at the end.
    pub digest: [u8; 32],
    /// Head of the chain over the market's history at the end.
    pub chain: ChainHead,
    /// Digest of the next generation's genesis, if the generation has ended.
    pub sealed: Option<[u8; 32]>,
}

/// What is wrong with a tape.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RematchError {
    /// It does not fit together.
    #[error("the batch after position {after} does not fit: {error}")]
    Fold {
        /// Position before the batch.
        after: Position,
        /// What does not fit.
        error: FoldError,
    },
    /// Matched again, an intent ends otherwise.
    #[error("matched again, intent {intent} after position {after} has another outcome than recorded")]
    Outcome {
        /// The first intent for which it is so.
        intent: OrderId,
        /// Position before its batch.
        after: Position,
    },
    /// The batch differs elsewhere: in what expired, in its time or in its digest.
    #[error("the batch after position {after} differs from what the same intents lead to")]
    Batch {
        /// Position before the batch.
        after: Position,
    },
    /// An order is filled beyond its quantity.
    #[error("order {order} is filled with {filled} of {quantity} lots at position {at}")]
    Filled {
        /// The order.
        order: OrderId,
        /// What its fills add up to.
        filled: u64,
        /// Its quantity.
        quantity: u64,
        /// Where.
        at: Position,
    },
    /// Makers and takers do not trade the same.
    #[error("takers traded {taken} lots up to position {at}, makers {made}")]
    Unbalanced {
        /// What takers traded.
        taken: u128,
        /// What makers traded.
        made: u128,
        /// Where.
        at: Position,
    },
}

/// What fills add up to.
#[derive(Default)]
struct Sums {
    filled: BTreeMap<OrderId, u64>,
    taken: u128,
    made: u128,
    fills: u64,
}

impl Replica {
    /// Matches the effective tape again from the generation's start up to a position. Only for a
    /// replica that has just been opened and has shown nothing: later it has let go of what it
    /// needs. `progress` is told the position after each batch.
    ///
    /// # Errors
    /// [`RematchError`]: the tape is not what its intents lead to.
    pub fn rematch(
        &self,
        through: Position,
        mut progress: impl FnMut(Position),
    ) -> Result<Rematch, RematchError> {
        let mut matched = self.view.clone();
        let mut applied = self.view.clone();
        let mut sums = Sums::default();
        let after = matched.position();
        let (mut intents, mut sealed) = (0, None);
        while let Some(batch) =
            self.current.tape.batch(matched.batches()).filter(|batch| batch.first <= through)
        {
            let before = matched.position();
            let again = self
                .match_again(&mut matched, batch)
                .map_err(|error| RematchError::Fold { after: before, error })?;
            compare(batch, &again, before)?;
            let block = applied.apply(batch, |id| self.current.inbox.get(id));
            sums.add(&block.map_err(|error| RematchError::Fold { after: before, error })?)?;
            intents += batch.consumed_ids().count() as u64;
            sealed = batch.seal.as_ref().map(|seal| seal.genesis);
            progress(matched.position());
        }
        Ok(Rematch {
            after,
            through: matched.position(),
            batches: matched.batches().0,
            intents,
            fills: sums.fills,
            quantity: sums.taken,
            digest: matched.digest(),
            chain: matched.chain(),
            sealed,
        })
    }

    fn match_again(&self, state: &mut State, batch: &Batch) -> Result<Batch, FoldError> {
        let inbox = &self.current.inbox;
        let mut builder = state.begin(batch.term, batch.time, batch.committed)?;
        for (cause, events) in batch.steps() {
            let Cause::Intent(id) = cause else {
                continue;
            };
            let intent = inbox.get(id).ok_or(FoldError::OutOfTurn { intent: id })?;
            // What else the holder had seen by then only the outcome tells: of a place, whether it saw a
            // withdraw; of a withdraw, whether it saw the order, whatever it made of that.
            let withdraws = matches!(intent.request.action, Action::Withdraw(_));
            let saw = is_withdrawn(events) || withdraws && refused(events) != Reason::UnknownOrder;
            match saw {
                true => state.sequence(&mut builder, id, intent, inbox)?,
                false => state.sequence(&mut builder, id, intent, &())?,
            }
        }
        let Some(seal) = &batch.seal else {
            return Ok(state.end(builder));
        };
        let mut again = state.seal(builder, seal.voters.clone(), seal.holder, seal.format, |_| true);
        if let Some(sealed) = &mut again.seal {
            let lease = LeaseId { term: batch.term, holder: Actor(seal.holder) };
            let parts = state.to_parts();
            sealed.genesis =
                self.current.genesis.after((state, parts), seal.format, &seal.voters, lease).digest();
        }
        Ok(again)
    }
}

fn compare(recorded: &Batch, again: &Batch, after: Position) -> Result<(), RematchError> {
    if recorded == again {
        return Ok(());
    }
    let differing = recorded.steps().zip(again.steps()).find(|(recorded, again)| recorded != again);
    Err(match differing {
        Some(((Cause::Intent(intent), _), _)) => RematchError::Outcome { intent, after },
        _ => RematchError::Batch { after },
    })
}

impl Sums {
    fn add(&mut self, block: &Block) -> Result<(), RematchError> {
        for change in &block.changes {
            let Change::Order { order, fill: Some(fill), .. } = change else {
                continue;
            };
            let Lots(quantity) = fill.quantity;
            match fill.liquidity {
                Liquidity::Maker => self.made += u128::from(quantity),
                _ => {
                    self.taken += u128::from(quantity);
                    self.fills += 1;
                }
            }
            // Fills of earlier generations come with the order.
            let filled = self.filled.entry(order.id).or_insert(order.filled.0.saturating_sub(quantity));
            *filled = filled.saturating_add(quantity);
            if *filled > order.quantity.0 || *filled != order.filled.0 {
                return Err(RematchError::Filled {
                    order: order.id,
                    filled: *filled,
                    quantity: order.quantity.0,
                    at: order.position,
                });
            }
        }
        if self.taken != self.made {
            return Err(RematchError::Unbalanced { taken: self.taken, made: self.made, at: block.last });
        }
        Ok(())
    }
}
