//! The streams of order updates and trades: what followed blocks tell, and signs of life.

pub(in crate::api) mod follow;
pub(in crate::api) mod outlet;
pub(in crate::api) mod unread;

use std::pin::Pin;

use futures::Stream;
use std::time::Duration;
use tonic::Status;

use tracing::Instrument;
use xbook_proto::v1;

use crate::api::Api;
use crate::api::Stopping;
use crate::api::convert::Units;
use crate::api::error::Refusal;
use crate::machine::{Account, Change};
use crate::node::MarketHandle;
use crate::types::Position;
use follow::Tail;
use outlet::{Outlet, Stop};
use unread::Unread;

/// The answers of a streaming call.
pub(in crate::api) type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// How long a stream may be silent.
pub(in crate::api) const SILENCE: Duration = Duration::from_secs(5);

/// Most messages that wait for a reader.
const BUFFERED: u32 = 1_024;

/// What a stream tells of committed blocks.
pub(in crate::api) trait Story: Send + Sync + 'static {
    /// Its messages.
    type Message: prost::Message + Unpin + 'static;

    /// The account whose changes alone matter, if it is one account's stream.
    fn account(&self) -> Option<Account>;

    /// What it tells of what one event changed.
    fn tell(&self, units: &Units<'_>, changes: &[Change]) -> Option<Self::Message>;

    /// A sign of life: all up to a position was sent.
    fn heartbeat(&self, position: Position) -> Self::Message;
}

/// Every change of an account's orders.
pub(in crate::api) struct OrderUpdates {
    pub account: Account,
}

/// Every trade.
pub(in crate::api) struct Trades;

impl Story for OrderUpdates {
    type Message = v1::StreamOrderUpdatesResponse;

    fn account(&self) -> Option<Account> {
        Some(self.account.clone())
    }

    fn tell(&self, units: &Units<'_>, changes: &[Change]) -> Option<Self::Message> {
        let event = v1::stream_order_updates_response::Event::Updates(self.updates(units, changes)?);
        Some(v1::StreamOrderUpdatesResponse { event: Some(event) })
    }

    fn heartbeat(&self, position: Position) -> Self::Message {
        let heartbeat = v1::Heartbeat { position: position.0 };
        v1::StreamOrderUpdatesResponse {
            event: Some(v1::stream_order_updates_response::Event::Heartbeat(heartbeat)),
        }
    }
}

impl OrderUpdates {
    /// What one event changed for the account, if it did.
    pub fn updates(&self, units: &Units<'_>, changes: &[Change]) -> Option<v1::OrderUpdates> {
        let position = changes.first()?.position();
        let updates: Vec<v1::OrderUpdate> =
            changes.iter().filter_map(|change| self.update(units, change)).collect();
        (!updates.is_empty()).then_some(v1::OrderUpdates { position: position.0, updates })
    }

    fn update(&self, units: &Units<'_>, change: &Change) -> Option<v1::OrderUpdate> {
        let Change::Order { order, fill, placed } = change else {
            return None;
        };
        // What never rests is not shown as if it did.
        let passing = *placed && order.is_live() && !order.may_rest();
        (order.account == self.account && !passing).then(|| v1::OrderUpdate {
            order: Some(units.order(order)),
            fill: fill.as_ref().map(|fill| units.fill(order, fill)),
        })
    }
}

impl Story for Trades {
    type Message = v1::StreamTradesResponse;

    fn account(&self) -> Option<Account> {
        None
    }

    fn tell(&self, units: &Units<'_>, changes: &[Change]) -> Option<Self::Message> {
        let trade = changes.iter().find_map(|change| units.trade(change))?;
        Some(v1::StreamTradesResponse { event: Some(v1::stream_trades_response::Event::Trade(trade)) })
    }

    fn heartbeat(&self, position: Position) -> Self::Message {
        let heartbeat = v1::Heartbeat { position: position.0 };
        v1::StreamTradesResponse { event: Some(v1::stream_trades_response::Event::Heartbeat(heartbeat)) }
    }
}

/// Tells a market's story after a position; without one, from now on.
pub(in crate::api) async fn follow<S: Story>(
    api: &Api,
    market: &MarketHandle,
    after: Option<u64>,
    story: S,
    unread: Unread,
) -> Result<Answers<S::Message>, Refusal> {
    let tail = Tail::new(market, story.account(), after.map(Position))?;
    tail.check_beginning().await?;
    let (outlet, answers) = outlet::channel(BUFFERED, unread)?;
    let (stopping, market) = (api.stopping.clone(), market.clone());
    let task = async move {
        let result = run(tail, market.name(), &story, &outlet, stopping).await;
        outlet.end(result);
    };
    tokio::spawn(task.in_current_span());
    Ok(answers)
}

async fn run<S: Story>(
    mut tail: Tail,
    market: &str,
    story: &S,
    outlet: &Outlet<S::Message>,
    mut stopping: Stopping,
) -> Result<(), Stop> {
    tail.wait_for_beginning().await?;
    outlet.send(story.heartbeat(tail.done())).await?;
    let mut silence = tokio::time::interval(SILENCE);
    silence.reset();
    loop {
        tokio::select! {
            biased;
            refusal = stopping.requested() => return Err(refusal.into()),
            () = outlet.gone() => return Err(Stop::Gone),
            _ = silence.tick() => outlet.send(story.heartbeat(tail.done())).await?,
            fresh = tail.next() => {
                let fresh = fresh?;
                let units = Units { market, sizes: fresh.sizes };
                let events = fresh.changes().chunk_by(|one, other| one.position() == other.position());
                for message in events.filter_map(|changes| story.tell(&units, changes)) {
                    outlet.send(message).await?;
                    silence.reset();
                }
            }
        }
    }
}
