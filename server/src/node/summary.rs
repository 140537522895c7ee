//! A document as its task saw it after its last step, published for all who ask.
//!
//! Status, tickers, leases and lists of markets are asked for often and by many. None of them stands in the queue of
//! the task that matches: the task leaves a summary behind before it does what the step wants done, so whoever was
//! told of an outcome finds it there.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;

use crate::book::{Auction, LevelView};
use crate::machine::Rules;
use crate::replica::{LeaseStatus, Replica, ReplicaStatus};
use crate::types::{MarketState, Micros, NodeId, Position, Side, Ticks};

/// What there is to know of a document at a glance.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Generation, voters, position, sizes.
    pub status: ReplicaStatus,
    /// Who holds the lease, and until when it is renewed.
    pub lease: LeaseStatus,
    /// How far clocks are ahead of a majority's, in microseconds, as far as this node knows.
    pub clocks: BTreeMap<NodeId, i64>,
    /// Where the view will be without help.
    pub committed: Position,
    /// Whether nobody who can be asked is known to have more than the view shows.
    pub is_current: bool,
    /// The market, or nothing for the directory.
    pub market: Option<MarketSummary>,
}

/// Where a market's book stands.
#[derive(Clone, Debug)]
pub struct MarketSummary {
    /// Its rules.
    pub rules: Rules,
    /// The best bid's level.
    pub bid: Option<LevelView>,
    /// The best offer's level.
    pub ask: Option<LevelView>,
    /// Price of the last trade.
    pub last_price: Option<Ticks>,
    /// How many orders rest.
    pub open_orders: usize,
    /// What is allowed in it.
    pub state: MarketState,
    /// What its auction would give.
    pub indication: Option<Auction>,
    /// When its auction ends by itself.
    pub auction_ends: Option<Micros>,
}

/// Where a task leaves its summaries.
pub(super) type Publish = watch::Sender<Option<Arc<Summary>>>;

/// Where they are found.
#[derive(Clone)]
pub(super) struct Summaries(watch::Receiver<Option<Arc<Summary>>>);

impl Summary {
    /// Of a replica between two steps.
    pub(super) fn of(replica: &Replica, now: Micros) -> Self {
        let market = replica.view().machine.market().map(|market| MarketSummary {
            rules: market.rules().clone(),
            bid: market.book().best(Side::Buy),
            ask: market.book().best(Side::Sell),
            last_price: market.last_price(),
            open_orders: market.book().len(),
            state: market.state(),
            indication: market.indication(),
            auction_ends: market.auction_ends(),
        });
        Self {
            status: replica.status(),
            lease: replica.lease_status(),
            clocks: replica.clock_differences(now),
            committed: replica.committed_position(),
            is_current: replica.is_current(),
            market,
        }
    }
}

/// A channel for the summaries of one document.
pub(super) fn channel() -> (Publish, Summaries) {
    let (publish, summaries) = watch::channel(None);
    (publish, Summaries(summaries))
}

impl Summaries {
    /// Of a document of which nothing runs.
    pub fn none() -> Self {
        channel().1
    }

    /// The newest one; `None` once the task has ended.
    pub fn newest(&self) -> Option<Arc<Summary>> {
        // Only a dropped sender makes this an error.
        self.0.has_changed().ok()?;
        self.0.borrow().clone()
    }
}
