//! Books: by pages, and as a stream of a snapshot and what changed since.

mod pages;

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
use crate::book::{LevelView, Resting};
use crate::machine::{Block, LevelChange, Market};
use crate::node::ReplicaHandle;
use crate::types::{Position, Side};
use pages::{PageLevel, Place, Room};

const DEFAULT_DEPTH: u32 = 50;
const MAX_DEPTH: u32 = 1_000;

/// Most orders of a side on a page. With the longest texts there are, a page of both sides takes 3 MB.
const MAX_ORDERS: usize = 20_000;

/// Most levels in a message of a stream: with the longest texts there are, 2 MB.
const MAX_LEVELS: usize = 20_000;

/// Most messages that wait for a reader of a book.
const BUFFERED: u32 = 256;

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
    let orders = (detail == BookDetail::Orders).then_some(MAX_ORDERS);
    let room = Room { levels: depth(message.depth)?, orders };
    let list = pages::list_of(&message.market, detail);
    let Place { read_at, sides } = Place::of_token(&message.page_token, &list)?;
    // A page is never older than the one before, also of another node.
    let at_least = message.at_least.max(read_at.0);
    let market = api.market_at(&message.market, at_least, deadline).await?;
    let [buys, sells] = sides;
    let read = read_market(&market, move |market| {
        [(Side::Buy, buys), (Side::Sell, sells)]
            .map(|(side, begin)| pages::read(market, side, begin, read_at, room))
    });
    let (sides, position) = deadline.wait(read).await??;
    let next = Place { read_at: position, sides: [sides[0].next, sides[1].next] };
    let units = units(&market)?;
    let [bids, asks] =
        sides.map(|side| side.levels.into_iter().map(|level| level_of(&units, &level)).collect());
    let next_page_token = next.token(&list);
    Ok(v1::GetOrderBookResponse { market: message.market, position: position.0, bids, asks, next_page_token })
}

pub(super) fn depth(asked: u32) -> Result<usize, Refusal> {
    match asked {
        0 => Ok(DEFAULT_DEPTH as usize),
        1..=MAX_DEPTH => Ok(asked as usize),
        _ => {
            let limit = format!("must be at most {MAX_DEPTH}");
            Err(Refusal::new(Reason::AboveMaximum, limit).field("depth").value(asked))
        }
    }
}

/// Reads from a market, with the position that it is read at.
pub(super) async fn read_market<T, F>(market: &ReplicaHandle, read: F) -> Result<(T, Position), Refusal>
where
    T: Send + 'static,
    F: FnOnce(&Market) -> T + Send + 'static,
{
    let found = market.read(move |replica| {
        let view = replica.view();
        view.machine.market().map(|market| (read(market), view.position()))
    });
    found.await?.ok_or_else(|| Refusal::unknown_market(market.name()))
}

fn level_of(units: &Units<'_>, level: &PageLevel) -> v1::Level {
    let order = |order: &Resting| v1::BookOrder {
        order_id: order.id.to_string(),
        quantity: units.quantity(order.open),
    };
    let orders = level.orders.iter().map(order).collect();
    v1::Level { orders, continued: level.continued, ..view_of(units, &level.view) }
}

fn view_of(units: &Units<'_>, level: &LevelView) -> v1::Level {
    units.level(level.price, level.open, level.orders)
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
    loop {
        let mut blocks = market.subscribe();
        let mut seen = send_snapshot(market, &units, outlet).await?;
        // Position of the last message, which the next change is based on.
        let mut sent = seen;
        silence.reset();
        loop {
            let received = tokio::select! {
                biased;
                refusal = stopping.requested() => return Err(refusal.into()),
                () = outlet.gone() => return Err(Stop::Gone),
                _ = silence.tick() => {
                    sent = seen;
                    send(outlet, Event::Heartbeat(v1::Heartbeat { position: seen.0 })).await?;
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
                send_delta(&units, &block, sent, outlet).await?;
                sent = seen;
                silence.reset();
            }
        }
    }
}

async fn send(outlet: &Outlet<v1::StreamOrderBookResponse>, event: Event) -> Result<(), Stop> {
    outlet.send(v1::StreamOrderBookResponse { event: Some(event) }).await
}

/// Sends the whole book, in messages of a bounded size; returns its position.
async fn send_snapshot(
    market: &ReplicaHandle,
    units: &Units<'_>,
    outlet: &Outlet<v1::StreamOrderBookResponse>,
) -> Result<Position, Stop> {
    let read = |market: &Market| {
        let levels = |side| market.book().levels(side).map(move |level| (side, level));
        levels(Side::Buy).chain(levels(Side::Sell)).collect::<Vec<_>>()
    };
    let (levels, position) = read_market(market, read).await?;
    let parts = parts(&levels, MAX_LEVELS, |level| view_of(units, level));
    for Part { bids, asks, more } in parts {
        let snapshot = v1::BookSnapshot { position: position.0, bids, asks, more };
        send(outlet, Event::Snapshot(snapshot)).await?;
    }
    Ok(position)
}

/// Sends what a block changed of the book, in messages of a bounded size.
async fn send_delta(
    units: &Units<'_>,
    block: &Block,
    previous: Position,
    outlet: &Outlet<v1::StreamOrderBookResponse>,
) -> Result<(), Stop> {
    let of =
        |side| block.levels.iter().filter(move |level| level.side == side).map(|level| (level.side, level));
    let levels: Vec<(Side, &LevelChange)> = of(Side::Buy).chain(of(Side::Sell)).collect();
    let parts = parts(&levels, MAX_LEVELS, |level| units.level(level.price, level.open, level.orders));
    for Part { bids, asks, more } in parts {
        let (previous_position, position) = (previous.0, block.last.0);
        let delta = v1::BookDelta { previous_position, position, bids, asks, more };
        send(outlet, Event::Delta(delta)).await?;
    }
    Ok(())
}

/// What a message has of a book that may be too large for one.
struct Part {
    bids: Vec<v1::Level>,
    asks: Vec<v1::Level>,
    more: bool,
}

/// Levels, bids first, in parts of at most so many; one without levels if there are none.
fn parts<T>(
    levels: &[(Side, T)],
    most: usize,
    level_of: impl Fn(&T) -> v1::Level,
) -> impl Iterator<Item = Part> {
    let count = levels.len().div_ceil(most).max(1);
    (1..=count).map(move |number| {
        let levels = levels.chunks(most).nth(number - 1).unwrap_or_default();
        let (bids, asks) = levels.split_at(levels.partition_point(|(side, _)| *side == Side::Buy));
        let [bids, asks] = [bids, asks].map(|side| side.iter().map(|(_, level)| level_of(level)).collect());
        Part { bids, asks, more: number < count }
    })
}

#[cfg(test)]
mod tests;
