//! Lines of what happened: trades, tickers, candles.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use xbook_proto::v1;
use xbook_proto::v1::subscribe_response::Event;

use super::{End, Forever, Line};
use crate::api::convert::Units;
use crate::api::market_data::candles::{day, told};
use crate::api::streams::OrderUpdates;
use crate::api::streams::follow::{Fresh, Tail};
use crate::api::submit::read_history;
use crate::history::{CandlePage, CandlesWanted};
use crate::machine::Account;
use crate::types::{Micros, Position};

/// Most trades, and candles, in a message.
const MAX_ENTRIES: usize = 1_000;

/// How often at most.
const TICKER_EVERY: Duration = Duration::from_millis(250);
const CANDLES_EVERY: Duration = Duration::from_millis(100);

impl Line<'_> {
    pub async fn trades(&mut self, after: Option<Position>) -> Forever {
        let mut tail = Tail::new(self.market, None, after)?;
        self.heartbeat(tail.done()).await?;
        loop {
            let fresh = self.fresh(&mut tail).await?;
            let events = trades_of(self.market.name(), &fresh);
            if !events.is_empty() {
                self.send(tail.done(), events.into_iter(), false, None).await?;
            }
        }
    }

    pub async fn updates(&mut self, after: Option<Position>, account: Account) -> Forever {
        let mut tail = Tail::new(self.market, Some(account.clone()), after)?;
        let story = OrderUpdates { account };
        self.heartbeat(tail.done()).await?;
        loop {
            let fresh = self.fresh(&mut tail).await?;
            let units = Units { market: self.market.name(), sizes: fresh.sizes };
            let events = fresh.changes().chunk_by(|one, other| one.position() == other.position());
            for updates in events.filter_map(|changes| story.updates(&units, changes)) {
                self.tell(Position(updates.position), Event::Updates(updates)).await?;
            }
        }
    }

    /// The next block of a market or an account. Meanwhile says that all before was sent, when nothing was for
    /// long.
    async fn fresh(&mut self, tail: &mut Tail) -> Result<Fresh, End> {
        loop {
            tokio::select! {
                biased;
                () = sleep_until(self.silent_until) => self.heartbeat(tail.done()).await?,
                fresh = tail.next() => return Ok(fresh?),
            }
        }
    }

    pub async fn ticker(&mut self) -> Forever {
        let mut sent: Option<v1::Ticker> = None;
        loop {
            let begun = Instant::now();
            let now = day(self.market, None).await?;
            let seen = Position(now.position);
            // The time alone is no news.
            let (begin_time, end_time, position) = (now.begin_time, now.end_time, now.position);
            let same =
                |sent: &v1::Ticker| v1::Ticker { begin_time, end_time, position, ..sent.clone() } == now;
            if !sent.as_ref().is_some_and(same) {
                self.tell(seen, Event::Ticker(now.clone())).await?;
                sent = Some(now);
            }
            self.wait(seen).await?;
            sleep_until(begun + TICKER_EVERY).await;
        }
    }

    pub async fn candles(&mut self, seconds: u64, after: Option<Position>) -> Forever {
        let mut begin = match after {
            Some(after) => Some(self.time_at(after).await?),
            None => None,
        };
        let mut last: Option<v1::Candle> = None;
        loop {
            let begun = Instant::now();
            let room = if begin.is_none() { 1 } else { MAX_ENTRIES as u64 };
            let page = self.candle_page(CandlesWanted { seconds, begin, end: None, room }).await?;
            let market = self.market.name().to_owned();
            let mut candles: Vec<v1::Candle> =
                page.candles.iter().map(|candle| told(&market, candle, seconds, page.time)).collect();
            let (newest, start) = (candles.last().cloned(), page.candles.last().map(|candle| candle.start));
            // The first one is that which was sent last.
            if last.is_some() && candles.first() == last.as_ref() {
                candles.remove(0);
            }
            // All up to there is sent only with the last page.
            let seen = if page.next.is_some() { self.position } else { page.position };
            match candles.is_empty() {
                true if !self.begun => self.heartbeat(seen).await?,
                true => {}
                false => self.tell(seen, Event::Candles(v1::Candles { candles })).await?,
            }
            self.begun = true;
            begin = start.map(|start| Micros(start.saturating_mul(1_000_000))).or(begin).or(Some(page.time));
            last = newest.or(last);
            if page.next.is_none() {
                self.wait(seen).await?;
                sleep_until(begun + CANDLES_EVERY).await;
            }
        }
    }

    async fn candle_page(&self, wanted: CandlesWanted) -> Result<CandlePage, End> {
        let history = self.market.history();
        let shown = self.market.shown();
        Ok(read_history(history, move |history| history.candles(shown, wanted)).await?)
    }

    /// Tape time at a position.
    async fn time_at(&self, position: Position) -> Result<Micros, End> {
        let history = self.market.history();
        let found = read_history(history, move |history| history.block_at(position)).await?;
        Ok(found.map_or(Micros(0), |stored| stored.block.time))
    }
}

/// The trades of a block, in messages of a bounded size.
fn trades_of(market: &str, fresh: &Fresh) -> Vec<Event> {
    let units = Units { market, sizes: fresh.sizes };
    let trades: Vec<v1::Trade> = fresh.changes().iter().filter_map(|change| units.trade(change)).collect();
    let parts = trades.chunks(MAX_ENTRIES);
    parts.map(|part| Event::Trades(v1::Trades { trades: part.to_vec() })).collect()
}
