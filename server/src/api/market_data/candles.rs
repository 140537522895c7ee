//! `GetTicker` and `ListCandles`: what trades add up to.

use tonic::Request;
use xbook_proto::v1::{self, CandleInterval, Reason};

use crate::api::Api;
use crate::api::access::Deadline;
use crate::api::admission;
use crate::api::convert::{self, Units};
use crate::api::error::Refusal;
use crate::api::markets::units;
use crate::api::pages::{self, Token};
use crate::api::submit::read_history;
use crate::book::LevelView;
use crate::history::{Candle, CandlePage, CandlesWanted, DayTraded};
use crate::node::MarketHandle;
use crate::types::Micros;

const MICROS: u64 = 1_000_000;

/// Seconds of an interval.
///
/// # Errors
/// It is not set, or this node does not know it.
pub(in crate::api) fn seconds(interval: i32) -> Result<u64, Refusal> {
    Ok(match CandleInterval::try_from(interval) {
        Ok(CandleInterval::S1) => 1,
        Ok(CandleInterval::S5) => 5,
        Ok(CandleInterval::S15) => 15,
        Ok(CandleInterval::S30) => 30,
        Ok(CandleInterval::M1) => 60,
        Ok(CandleInterval::M5) => 5 * 60,
        Ok(CandleInterval::M15) => 15 * 60,
        Ok(CandleInterval::M30) => 30 * 60,
        Ok(CandleInterval::H1) => 3_600,
        Ok(CandleInterval::H4) => 4 * 3_600,
        Ok(CandleInterval::H12) => 12 * 3_600,
        Ok(CandleInterval::D1) => 86_400,
        Ok(CandleInterval::Unspecified) => {
            return Err(Refusal::new(Reason::MissingField, "must be set").field("interval"));
        }
        Err(_) => return Err(admission::unknown("interval", interval)),
    })
}

/// `ListCandles`, oldest first.
pub(in crate::api) async fn list(
    api: &Api,
    call: Request<v1::ListCandlesRequest>,
) -> Result<v1::ListCandlesResponse, Refusal> {
    let deadline = api.deadline(&call);
    let message = call.into_inner();
    let seconds = seconds(message.interval)?;
    let room = pages::size(message.page_size)? as u64;
    let time = |field, at: &Option<_>| at.as_ref().map(|at| admission::time(field, at)).transpose();
    let (begin, end) = (time("begin_time", &message.begin_time)?, time("end_time", &message.end_time)?);
    let list = format!("candles {} {seconds} {begin:?} {end:?}", message.market);
    let next = Token::<2>::read(&message.page_token, &list)?;
    let begin = next.map(|token| Micros(token.at[0].saturating_mul(MICROS))).or(begin);
    let market = api.market_at(&message.market, message.at_least, deadline).await?;
    let page = page(&market, deadline, CandlesWanted { seconds, begin, end, room }).await?;
    let told = |candle: &Candle| told(&message.market, candle, seconds, page.time);
    let token = |second| Token { part: 'k', at: [second, 0] }.text(&list);
    Ok(v1::ListCandlesResponse {
        candles: page.candles.iter().map(told).collect(),
        next_page_token: page.next.map(token).unwrap_or_default(),
        position: page.position.0,
    })
}

async fn page(
    market: &MarketHandle,
    deadline: Deadline,
    wanted: CandlesWanted,
) -> Result<CandlePage, Refusal> {
    let history = market.history();
    let shown = market.shown();
    deadline.wait(read_history(history, move |history| history.candles(shown, wanted))).await?
}

/// A candle as the proto file says it, at a tape time.
pub(in crate::api) fn told(market: &str, candle: &Candle, seconds: u64, time: Micros) -> v1::Candle {
    let units = Units { market, sizes: candle.sizes };
    v1::Candle {
        start_time: Some(convert::timestamp(Micros(candle.start.saturating_mul(MICROS)))),
        open_price: units.price(candle.open),
        high_price: units.price(candle.high),
        low_price: units.price(candle.low),
        close_price: units.price(candle.close),
        volume: candle.sizes.lot.sum_text(candle.volume),
        value: candle.sizes.tick.product_text(candle.sizes.lot, candle.value),
        trade_count: candle.trades,
        first_position: candle.positions.0.0,
        last_position: candle.positions.1.0,
        closed: time.0 / MICROS >= candle.start.saturating_add(seconds),
    }
}

/// `GetTicker`.
pub(in crate::api) async fn ticker(
    api: &Api,
    call: Request<v1::GetTickerRequest>,
) -> Result<v1::GetTickerResponse, Refusal> {
    let deadline = api.deadline(&call);
    let message = call.into_inner();
    let end = message.end_time.as_ref().map(|at| admission::time("end_time", at)).transpose()?;
    let market = api.market_at(&message.market, message.at_least, deadline).await?;
    let quote = quote(&market)?;
    let ticker = deadline.wait(day(&market, end)).await??;
    Ok(v1::GetTickerResponse { quote: Some(quote), ticker: Some(ticker) })
}

/// The best bid and offer.
fn quote(market: &MarketHandle) -> Result<v1::BestQuote, Refusal> {
    let (units, summary) = (units(market), market.summary()?);
    let book = summary.market.as_ref().ok_or_else(|| Refusal::unknown_market(market.name()))?;
    let [bid, ask] = [book.bid, book.ask]
        .map(|best| best.map(|LevelView { price, open, orders }| units.level(price, open, orders)));
    Ok(v1::BestQuote { market: market.name().to_owned(), position: summary.status.position.0, bid, ask })
}

/// What was traded in the day up to a time.
pub(in crate::api) async fn day(market: &MarketHandle, end: Option<Micros>) -> Result<v1::Ticker, Refusal> {
    let history = market.history();
    let shown = market.shown();
    let DayTraded { sum, last, begin, end, position } =
        read_history(history, move |history| history.day_traded(shown, end)).await?;
    let (units, summary) = (units(market), market.summary()?);
    let now = summary.market.as_ref().ok_or_else(|| Refusal::unknown_market(market.name()))?;
    let sum = sum.map(|sum| told(market.name(), &sum, 0, Micros(0))).unwrap_or_else(|| v1::Candle {
        volume: "0".to_owned(),
        value: "0".to_owned(),
        ..v1::Candle::default()
    });
    Ok(v1::Ticker {
        market: market.name().to_owned(),
        position: position.0,
        begin_time: Some(convert::timestamp(Micros(begin.saturating_mul(MICROS)))),
        end_time: Some(convert::timestamp(end)),
        open_price: sum.open_price,
        high_price: sum.high_price,
        low_price: sum.low_price,
        last_price: last.map(|(price, sizes)| sizes.tick.text(price.0)).unwrap_or_default(),
        volume: sum.volume,
        value: sum.value,
        trade_count: sum.trade_count,
        state: convert::market_state(now.state).into(),
        indication: now.indication.map(|auction| units.indication(&auction)),
    })
}
