//! Books: snapshots, and the stream of a snapshot and what changed since.

use std::sync::Arc;

use tokio::sync::broadcast::error::RecvError;
use tonic::Request;
use tracing::Instrument;
use xbook_proto::v1::stream_order_book_response::Event;
use xbook_proto::v1::{self, BookDetail, Reason};

use super::call::Deadline;
use super::convert::Units;
use super::error::Refusal;
use super::outlet::{self, Outlet, Stop};
use super::streams::SILENCE;
use super::trading::{Answers, units};
use super::unread::Unread;
use super::{Api, Stopping};
use crate::book::{Book, LevelView, Resting};
use crate::machine::{Block, LevelChange};
use crate::node::ReplicaHandle;
use crate::types::{Position, Side, Ticks};

const DEFAULT_DEPTH: u32 = 50;
const MAX_DEPTH: u32 = 1_000;

/// Most orders of a side that one answer lists. It says where it left some out.
const MAX_ORDERS: usize = 20_000;

/// Most messages that wait for a reader of a book.
const BUFFERED: u32 = 256;

/// The levels of a side, with their orders if they are wanted.
struct Levels {
    levels: Vec<(LevelView, Vec<Resting>)>,
    /// Price of the first level of which some are left out.
    cut_at: Option<Ticks>,
}

/// `GetOrderBook`.
pub(super) async fn get(
    api: &Api,
    call: Request<v1::GetOrderBookRequest>,
) -> Result<v1::GetOrderBookResponse, Refusal> {
    let deadline = Deadline::of(call.metadata(), api.clock_now());
    let message = call.into_inner();
    let detail = BookDetail::try_from(message.detail).map_err(|_| {
        let limit = "must be a value that this node knows";
        Refusal::new(Reason::UnknownValue, limit).field("detail").value(message.detail)
    })?;
    let depth = depth(message.depth)?;
    let market = api.market_at(&message.market, message.at_least, deadline).await?;
    let orders = (detail == BookDetail::Orders).then_some(MAX_ORDERS);
    let read =
        read_book(&market, move |book| [Side::Buy, Side::Sell].map(|side| levels(book, side, depth, orders)));
    let (sides, position) = deadline.wait(read).await??;
    let units = units(&market)?;
    let cut_at = |side: &Levels| side.cut_at.map(|price| units.price(price)).unwrap_or_default();
    let [bids_cut_at, asks_cut_at] = [cut_at(&sides[0]), cut_at(&sides[1])];
    let [bids, asks] =
        sides.map(|side| side.levels.into_iter().map(|level| level_of(&units, level)).collect());
    let (market, position) = (message.market, position.0);
    Ok(v1::GetOrderBookResponse { market, position, bids, asks, bids_cut_at, asks_cut_at })
}

fn depth(asked: u32) -> Result<usize, Refusal> {
    match asked {
        0 => Ok(DEFAULT_DEPTH as usize),
        1..=MAX_DEPTH => Ok(asked as usize),
        _ => {
            let limit = format!("must be at most {MAX_DEPTH}");
            Err(Refusal::new(Reason::AboveMaximum, limit).field("depth").value(asked))
        }
    }
}

/// Reads from a market's book, with the position that it is read at.
pub(super) async fn read_book<T, F>(market: &ReplicaHandle, read: F) -> Result<(T, Position), Refusal>
where
    T: Send + 'static,
    F: FnOnce(&Book) -> T + Send + 'static,
{
    let found = market.read(move |replica| {
        let view = replica.view();
        view.machine.market().map(|market| (read(market.book()), view.position()))
    });
    found.await?.ok_or_else(|| Refusal::unknown_market(market.name()))
}

/// The best levels of a side, with at most so many orders if they are wanted.
fn levels(book: &Book, side: Side, depth: usize, orders: Option<usize>) -> Levels {
    let (mut left, mut cut_at) = (orders.unwrap_or(0), None);
    let level = |level: LevelView| {
        let resting: Vec<_> = book.orders_at(side, level.price).take(left).collect();
        left -= resting.len();
        if orders.is_some() && resting.len() < level.orders as usize {
            cut_at.get_or_insert(level.price);
        }
        (level, resting)
    };
    let levels = book.levels(side).take(depth).map(level).collect();
    Levels { levels, cut_at }
}

fn level_of(units: &Units<'_>, (level, resting): (LevelView, Vec<Resting>)) -> v1::Level {
    let order = |order: &Resting| v1::BookOrder {
        order_id: order.id.to_string(),
        quantity: units.quantity(order.open),
    };
    let orders = resting.iter().map(order).collect();
    v1::Level { orders, ..units.level(level.price, level.open, level.orders) }
}

/// `StreamOrderBook`.
pub(super) fn stream(
    api: &Api,
    market: &ReplicaHandle,
    unread: Unread,
) -> Result<Answers<v1::StreamOrderBookResponse>, Refusal> {
    let (outlet, answers) = outlet::channel(BUFFERED, unread)?;
    let (stopping, market) = (api.stopping.clone(), market.clone());
    let task = async move {
        let result = run(&market, &outlet, stopping).await;
        outlet.end(result);
    };
    tokio::spawn(task.in_current_span());
    Ok(answers)
}

/// Sends a snapshot and then what changed; again from a snapshot if the reader fell behind.
async fn run(
    market: &ReplicaHandle,
    outlet: &Outlet<v1::StreamOrderBookResponse>,
    mut stopping: Stopping,
) -> Result<(), Stop> {
    let units = units(market)?;
    let mut silence = tokio::time::interval(SILENCE);
    let send = |event| outlet.send(v1::StreamOrderBookResponse { event: Some(event) });
    loop {
        let mut blocks = market.subscribe();
        let (snapshot, mut seen) = snapshot(market, &units).await?;
        // Position of the last message, which the next change is based on.
        let mut sent = seen;
        send(Event::Snapshot(snapshot)).await?;
        silence.reset();
        loop {
            let received = tokio::select! {
                biased;
                refusal = stopping.requested() => return Err(refusal.into()),
                () = outlet.gone() => return Err(Stop::Gone),
                _ = silence.tick() => {
                    sent = seen;
                    send(Event::Heartbeat(v1::Heartbeat { position: seen.0 })).await?;
                    continue;
                }
                received = blocks.recv() => received,
                closed = market.faulted() => return Err(Refusal::from(closed).into()),
            };
            let block: Arc<Block> = match received {
                Ok(block) if block.last <= seen => continue,
                Ok(block) if block.first == seen.next() => block,
                Ok(_) | Err(RecvError::Lagged(_)) => break,
                Err(RecvError::Closed) => return Err(Refusal::shutting_down().into()),
            };
            seen = block.last;
            if !block.levels.is_empty() {
                let delta = delta(&units, &block, sent);
                sent = seen;
                send(Event::Delta(delta)).await?;
                silence.reset();
            }
        }
    }
}

async fn snapshot(
    market: &ReplicaHandle,
    units: &Units<'_>,
) -> Result<(v1::BookSnapshot, Position), Refusal> {
    let read = |book: &Book| [Side::Buy, Side::Sell].map(|side| book.levels(side).collect::<Vec<_>>());
    let (sides, position) = read_book(market, read).await?;
    let level = |level: LevelView| units.level(level.price, level.open, level.orders);
    let [bids, asks] = sides.map(|levels| levels.into_iter().map(level).collect());
    Ok((v1::BookSnapshot { position: position.0, bids, asks }, position))
}

fn delta(units: &Units<'_>, block: &Block, previous: Position) -> v1::BookDelta {
    let side = |side| {
        let levels = block.levels.iter().filter(move |level: &&LevelChange| level.side == side);
        levels.map(|level| units.level(level.price, level.open, level.orders)).collect()
    };
    v1::BookDelta {
        previous_position: previous.0,
        position: block.last.0,
        bids: side(Side::Buy),
        asks: side(Side::Sell),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::book::{Command, Style};
    use crate::types::{Lots, NodeId, OrderId};

    #[test]
    fn a_side_with_more_orders_than_an_answer_lists_says_where_it_is_cut() {
        let mut book = Book::new();
        // Two orders at 10, three at 9, one at 8.
        for (counter, price) in [10, 10, 9, 9, 9, 8].into_iter().enumerate() {
            let id = OrderId { node: NodeId(1), counter: counter as u64 + 1 };
            let command = Command::Place {
                id,
                side: Side::Buy,
                limit: Some(Ticks(price)),
                quantity: Lots(1),
                style: Style::Rest,
            };
            let _ = book.apply(&command, &mut Vec::new());
        }
        let listed = |depth, orders| {
            let side = levels(&book, Side::Buy, depth, orders);
            let counts: Vec<usize> = side.levels.iter().map(|(_, resting)| resting.len()).collect();
            (counts, side.cut_at)
        };
        assert_eq!(listed(9, Some(6)), (vec![2, 3, 1], None));
        assert_eq!(listed(9, Some(5)), (vec![2, 3, 0], Some(Ticks(8))));
        assert_eq!(listed(9, Some(3)), (vec![2, 1, 0], Some(Ticks(9))));
        assert_eq!(listed(1, Some(2)), (vec![2], None));
        assert_eq!(listed(9, None), (vec![0, 0, 0], None));
    }
}
