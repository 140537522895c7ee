//! Books: by pages, and as a stream of a snapshot and what changed since.

mod pages;

use tokio::sync::broadcast::error::RecvError;
use tonic::Request;
use tracing::Instrument;
use xbook_proto::v1::stream_order_book_response::Event;
use xbook_proto::v1::subscribe_response::Event as LevelEvent;
use xbook_proto::v1::{self, BookDetail, Reason};

use super::ladder::Step;
use super::past::{self, AsOf};
use crate::api::Api;
use crate::api::Stopping;
use crate::api::access::Deadline;
use crate::api::convert::{self, Units};
use crate::api::error::Refusal;
use crate::api::markets::units;
use crate::api::streams::Answers;
use crate::api::streams::SILENCE;
use crate::api::streams::outlet::{self, Outlet, Stop};
use crate::api::streams::unread::Unread;
use crate::api::subscribe::{self, Feed};
use crate::book::Resting;
use crate::history::Sizes;
use crate::machine::Market;
use crate::node::MarketHandle;
use crate::types::{Micros, Position, Side};
use pages::{PageLevel, PageSide, Place, Room};

const DEFAULT_DEPTH: u32 = 50;
const MAX_DEPTH: u32 = 1_000;

/// Most orders of a side on a page. With the longest texts there are, a page of both sides takes 3 MB.
const MAX_ORDERS: usize = 20_000;

/// Most messages that wait for a reader of a book.
const BUFFERED: u32 = 256;

/// `GetOrderBook`.
pub(in crate::api) async fn get(
    api: &Api,
    call: Request<v1::GetOrderBookRequest>,
) -> Result<v1::GetOrderBookResponse, Refusal> {
    let deadline = api.deadline(&call);
    let message = call.into_inner();
    let detail = BookDetail::try_from(message.detail).map_err(|_| {
        let limit = "must be a value that this node knows";
        Refusal::new(Reason::UnknownValue, limit).field("detail").value(message.detail)
    })?;
    let orders = (detail == BookDetail::Orders).then_some(MAX_ORDERS);
    if orders.is_some() && !message.price_step.is_empty() {
        let limit = "must not be set where orders are wanted";
        let refusal = Refusal::new(Reason::ConflictingFields, limit);
        return Err(refusal.field("price_step").value(&message.price_step));
    }
    let levels = depth(message.depth)?;
    let as_of = message.as_of.as_ref().map(past::asked).transpose()?;
    let list = pages::list_of(&message);
    let place = Place::of_token(&message.page_token, &list)?;
    // A page is never older than the one before, also of another node.
    let at_least = message.at_least.max(place.read_at.0);
    let market = api.market_at(&message.market, at_least, deadline).await?;
    let step = Step::asked(&message.price_step, &units(&market))?;
    let page = page(api, &market, as_of, (place, Room { levels, orders, step }), deadline).await?;
    let Page { sides, position, time, sizes } = page;
    let units = Units { market: market.name(), sizes };
    let next = Place { read_at: position, sides: [sides[0].next, sides[1].next] };
    let [bids, asks] =
        sides.map(|side| side.levels.into_iter().map(|level| level_of(&units, &level)).collect());
    let next_page_token = next.token(&list);
    let time = time.map(convert::timestamp);
    Ok(v1::GetOrderBookResponse {
        market: message.market,
        position: position.0,
        bids,
        asks,
        next_page_token,
        time,
    })
}

/// A page of both sides.
struct Page {
    sides: [PageSide; 2],
    position: Position,
    time: Option<Micros>,
    sizes: Sizes,
}

/// Reads a page, of the book as it is or as it was.
async fn page(
    api: &Api,
    market: &MarketHandle,
    as_of: Option<AsOf>,
    (Place { read_at, sides }, room): (Place, Room),
    deadline: Deadline,
) -> Result<Page, Refusal> {
    let [buys, sells] = sides;
    let sides = [(Side::Buy, buys), (Side::Sell, sells)];
    match as_of {
        None => {
            let read = move |market: &Market| {
                sides.map(|(side, begin)| pages::read(market, side, begin, read_at, room))
            };
            let (sides, position) = deadline.wait(read_market(market, read)).await??;
            Ok(Page { sides, position, time: None, sizes: units(market).sizes })
        }
        Some(as_of) => {
            let past = deadline.wait(api.pasts.at(market, as_of)).await??;
            let sides = sides.map(|(side, begin)| pages::read(&past.mirror, side, begin, read_at, room));
            let time = (past.position > Position(0)).then_some(past.time);
            Ok(Page { sides, position: past.position, time, sizes: past.sizes })
        }
    }
}

pub(in crate::api) fn depth(asked: u32) -> Result<usize, Refusal> {
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
pub(in crate::api) async fn read_market<T, F>(
    market: &MarketHandle,
    read: F,
) -> Result<(T, Position), Refusal>
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
    v1::Level { orders, continued: level.continued, ..level.rung.told(units) }
}

/// `StreamOrderBook`.
pub(in crate::api) fn stream(
    api: &Api,
    market: &MarketHandle,
    unread: Unread,
) -> Result<Answers<v1::StreamOrderBookResponse>, Refusal> {
    let (outlet, answers) = outlet::channel(BUFFERED, unread)?;
    let (stopping, feed, market) = (api.stopping.clone(), api.feeds.of(market), market.clone());
    let task = async move {
        let result = run(&market, &feed, &outlet, stopping).await;
        outlet.end(result);
    };
    tokio::spawn(task.in_current_span());
    Ok(answers)
}

/// Sends a snapshot and then what changed; again a snapshot if that is not known any more.
async fn run(
    market: &MarketHandle,
    feed: &Feed,
    outlet: &Outlet<v1::StreamOrderBookResponse>,
    mut stopping: Stopping,
) -> Result<(), Stop> {
    let units = units(market);
    let mut blocks = market.subscribe();
    let mut silence = tokio::time::interval(SILENCE);
    silence.reset();
    // Position of the last message, which the next change is based on.
    let mut sent = None;
    loop {
        let read = |book: &subscribe::Book| subscribe::all_levels(&units, book, Step::TICK, sent);
        let (told, seen) = feed.read(market, read).await?;
        if let Some(told) = told {
            let (parts, previous) = (told.events(&units), sent.unwrap_or_default());
            let count = parts.len();
            for (part, number) in parts.zip(1..) {
                let event = message(part, (previous, told.position), number < count);
                outlet.send(v1::StreamOrderBookResponse { event }).await?;
            }
            sent = Some(seen);
            silence.reset();
        }
        tokio::select! {
            biased;
            refusal = stopping.requested() => return Err(refusal.into()),
            () = outlet.gone() => return Err(Stop::Gone),
            _ = silence.tick() => {
                sent = Some(seen);
                let event = Some(Event::Heartbeat(v1::Heartbeat { position: seen.0 }));
                outlet.send(v1::StreamOrderBookResponse { event }).await?;
            }
            received = blocks.recv() => if matches!(received, Err(RecvError::Closed)) {
                return Err(Refusal::shutting_down().into());
            },
            closed = market.faulted() => return Err(Refusal::from(closed).into()),
        }
    }
}

/// A part of what is told of a book, as this stream says it.
fn message(event: LevelEvent, (previous, position): (Position, Position), more: bool) -> Option<Event> {
    let (previous_position, position) = (previous.0, position.0);
    match event {
        LevelEvent::LevelsSnapshot(v1::BookLevels { bids, asks }) => {
            Some(Event::Snapshot(v1::BookSnapshot { position, bids, asks, more }))
        }
        LevelEvent::LevelsChange(v1::BookLevels { bids, asks }) => {
            Some(Event::Delta(v1::BookDelta { previous_position, position, bids, asks, more }))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
