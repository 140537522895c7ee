//! Reading candles: pages of them, and what was traded in a day.

use super::candle::Candle;
use super::{BASES, SeriesError, State};
use crate::history::{History, Sizes};
use crate::types::{Micros, Position, Ticks};

type Result<T> = std::result::Result<T, SeriesError>;

/// Seconds of the ticker's span.
const DAY: u64 = 86_400;

const MICROS: u64 = 1_000_000;

/// Which candles are asked for.
#[derive(Clone, Copy, Debug)]
pub struct CandlesWanted {
    /// Seconds of their intervals: one of the lengths that the API has.
    pub seconds: u64,
    /// The first is that of the interval which this is in; without it, the newest.
    pub begin: Option<Micros>,
    /// Only intervals that begin before this.
    pub end: Option<Micros>,
    /// At most so many.
    pub room: u64,
}

/// A page of candles.
#[derive(Clone, Default, Debug)]
pub struct CandlePage {
    /// The candles, oldest first, without a gap.
    pub candles: Vec<Candle>,
    /// When the next page begins, in seconds, if there is more.
    pub next: Option<u64>,
    /// Position of the last event that counts.
    pub position: Position,
    /// Tape time there.
    pub time: Micros,
}

/// What was traded in the day that ends with a second.
#[derive(Clone, Default, Debug)]
pub struct DayTraded {
    /// All of it as one candle; `None` if nothing was.
    pub sum: Option<Candle>,
    /// Price of the last trade up to the end, and the sizes that it counts in.
    pub last: Option<(Ticks, Sizes)>,
    /// The second with which the day begins.
    pub begin: u64,
    /// The time that was asked for, or tape time.
    pub end: Micros,
    /// Position of the last event that counts.
    pub position: Position,
}

impl History {
    /// A page of candles, once all up to a position count.
    ///
    /// # Errors
    /// The store's own, or some of the history is not here.
    pub fn candles(&self, at_least: Position, wanted: CandlesWanted) -> crate::history::Result<CandlePage> {
        self.with_candles(at_least, |state| state.page(wanted))
    }

    /// What was traded in the day up to a time; without one, up to tape time.
    ///
    /// # Errors
    /// The store's own, or some of the history is not here.
    pub fn day_traded(&self, at_least: Position, end: Option<Micros>) -> crate::history::Result<DayTraded> {
        self.with_candles(at_least, |state| state.day(end))
    }
}

impl State {
    fn page(&self, wanted: CandlesWanted) -> Result<CandlePage> {
        let CandlesWanted { seconds, room, .. } = wanted;
        let mut page =
            CandlePage { position: self.reached.position, time: self.reached.time, ..CandlePage::default() };
        let Some(first) = self.first()? else { return Ok(page) };
        let floor = |second: u64| second - second % seconds;
        // The last interval that there is, and the first that is not wanted any more.
        let last = floor(self.reached.time.0 / MICROS);
        let end = wanted.end.map_or(u64::MAX, |end| end.0.div_ceil(MICROS).div_ceil(seconds) * seconds);
        let end = end.min(last.saturating_add(seconds));
        let newest = || end.saturating_sub(room.saturating_mul(seconds));
        let begin = wanted.begin.map_or_else(newest, |begin| floor(begin.0 / MICROS)).max(floor(first));
        if begin >= end {
            return Ok(page);
        }
        let page_end = begin.saturating_add(room.saturating_mul(seconds)).min(end);
        page.candles = self.without_gaps(begin, page_end, seconds)?;
        page.next = (page_end < end).then_some(page_end);
        Ok(page)
    }

    /// When the first candle begins.
    fn first(&self) -> Result<Option<u64>> {
        let base = &self.bases[0];
        if base.len() == 0 { Ok(None) } else { base.get(&self.market, 0).map(|first| Some(first.start)) }
    }

    /// One for each interval; the first one is not before the first trade's.
    fn without_gaps(&self, begin: u64, end: u64, seconds: u64) -> Result<Vec<Candle>> {
        let mut parts = self.base_of(seconds, begin, end)?.into_iter().peekable();
        let mut close = self.before(begin)?.map(|before| (before.close, before.sizes));
        let mut candles = Vec::new();
        let mut start = begin;
        while start < end {
            let mut candle: Option<Candle> = None;
            while let Some(part) = parts.next_if(|part| part.start < start + seconds) {
                match &mut candle {
                    Some(candle) => candle.join(&part),
                    None => candle = Some(Candle { start, ..part }),
                }
            }
            let candle = candle.or_else(|| close.map(|(close, sizes)| Candle::flat(start, close, sizes)));
            let candle = candle.ok_or(SeriesError::Damaged)?;
            close = Some((candle.close, candle.sizes));
            candles.push(candle);
            start += seconds;
        }
        Ok(candles)
    }

    /// The candles of the largest base interval that fits into one.
    fn base_of(&self, seconds: u64, begin: u64, end: u64) -> Result<Vec<Candle>> {
        let base = self.bases.iter().rev().find(|base| seconds.is_multiple_of(base.seconds));
        let base = base.unwrap_or(&self.bases[0]);
        base.range(&self.market, base.at(&self.market, begin)?, base.at(&self.market, end)?)
    }

    /// The last second before one in which something was traded.
    fn before(&self, second: u64) -> Result<Option<Candle>> {
        let base = &self.bases[0];
        match base.at(&self.market, second)? {
            0 => Ok(None),
            at => base.get(&self.market, at - 1).map(Some),
        }
    }

    fn day(&self, end: Option<Micros>) -> Result<DayTraded> {
        let end = end.unwrap_or(self.reached.time);
        // The first second after the day.
        let after = end.0 / MICROS + 1;
        let begin = after.saturating_sub(DAY);
        Ok(DayTraded {
            sum: self.sum(begin, after)?,
            last: self.before(after)?.map(|last| (last.close, last.sizes)),
            begin,
            end,
            position: self.reached.position,
        })
    }

    /// Everything between two seconds, from candles that are as large as possible.
    fn sum(&self, begin: u64, end: u64) -> Result<Option<Candle>> {
        let mut total: Option<Candle> = None;
        let mut at = begin;
        while at < end {
            let fits = |seconds: &&u64| at.is_multiple_of(**seconds) && at + **seconds <= end;
            let seconds = BASES.iter().rev().find(fits).copied().unwrap_or(1);
            // Up to where the next larger one begins, or to the end.
            let larger = BASES.iter().find(|larger| **larger > seconds).copied().unwrap_or(u64::MAX);
            let until = (at / larger + 1).saturating_mul(larger).min(end - (end - at) % seconds);
            for part in self.base_of(seconds, at, until)? {
                match &mut total {
                    Some(total) => total.join(&part),
                    None => total = Some(part),
                }
            }
            at = until;
        }
        Ok(total)
    }
}
