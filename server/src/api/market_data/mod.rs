//! `MarketDataService`.

pub(in crate::api) mod books;
pub(in crate::api) mod candles;
pub(in crate::api) mod ladder;
pub(in crate::api) mod past;

use tonic::{Request, Response, Status};
use xbook_proto::v1;
use xbook_proto::v1::market_data_service_server::MarketDataService;

use crate::api::Api;
use crate::api::admission;
use crate::api::convert::{self, Units};
use crate::api::error::Refusal;
use crate::api::markets::units;
use crate::api::pages::{self, Cursor, Pick, Token};
use crate::api::streams;
use crate::api::streams::Answers;
use crate::api::submit::read_history;
use crate::history::StoredBlock;
use crate::node::MarketHandle;
use crate::types::{Micros, Position};

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl MarketDataService for Api {
    type StreamOrderBookStream = Answers<v1::StreamOrderBookResponse>;
    type StreamTradesStream = Answers<v1::StreamTradesResponse>;

    async fn list_markets(&self, _call: Request<v1::ListMarketsRequest>) -> Answer<v1::ListMarketsResponse> {
        if !self.node.knows_directory() && self.node.directory().shown() == Position(0) {
            return Err(Refusal::starting("the markets").into());
        }
        let mut markets = Vec::new();
        for market in self.node.markets() {
            markets.push(match market.quarantine() {
                Some(reason) => v1::Market {
                    name: market.name().to_owned(),
                    quarantined: reason.to_string(),
                    ..v1::Market::default()
                },
                None => describe(&market.usable().map_err(Refusal::from)?, self.clock_now())?,
            });
        }
        Ok(Response::new(v1::ListMarketsResponse { markets }))
    }

    async fn get_market(&self, call: Request<v1::GetMarketRequest>) -> Answer<v1::GetMarketResponse> {
        let market = self.find_market(&call.get_ref().market)?;
        Ok(Response::new(v1::GetMarketResponse { market: Some(describe(&market, self.clock_now())?) }))
    }

    async fn get_order_book(
        &self,
        call: Request<v1::GetOrderBookRequest>,
    ) -> Answer<v1::GetOrderBookResponse> {
        Ok(Response::new(books::get(self, call).await?))
    }

    async fn stream_order_book(
        &self,
        call: Request<v1::StreamOrderBookRequest>,
    ) -> Answer<Self::StreamOrderBookStream> {
        let market = self.find_market(&call.get_ref().market)?;
        Ok(Response::new(books::stream(self, &market, self.unread.of_call(&call))?))
    }

    async fn get_ticker(&self, call: Request<v1::GetTickerRequest>) -> Answer<v1::GetTickerResponse> {
        Ok(Response::new(candles::ticker(self, call).await?))
    }

    async fn list_candles(&self, call: Request<v1::ListCandlesRequest>) -> Answer<v1::ListCandlesResponse> {
        Ok(Response::new(candles::list(self, call).await?))
    }

    async fn list_trades(&self, call: Request<v1::ListTradesRequest>) -> Answer<v1::ListTradesResponse> {
        Ok(Response::new(list_trades(self, call).await?))
    }

    async fn stream_trades(
        &self,
        call: Request<v1::StreamTradesRequest>,
    ) -> Answer<Self::StreamTradesStream> {
        let unread = self.unread.of_call(&call);
        let message = call.into_inner();
        let market = self.find_market(&message.market)?;
        let trades = streams::follow(self, &market, message.after_position, streams::Trades, unread);
        Ok(Response::new(trades.await?))
    }
}

/// A market and where its book stands.
pub(in crate::api) fn describe(market: &MarketHandle, now: Micros) -> Result<v1::Market, Refusal> {
    let (units, summary) = (units(market), market.summary()?);
    let found = summary.market.as_ref().ok_or_else(|| Refusal::unknown_market(market.name()))?;
    let price = |price: Option<_>| price.map(|price| units.price(price)).unwrap_or_default();
    Ok(v1::Market {
        name: market.name().to_owned(),
        rules: Some(convert::rules(&found.rules)),
        position: summary.status.position.0,
        best_bid: price(found.bid.map(|level| level.price)),
        best_ask: price(found.ask.map(|level| level.price)),
        last_price: price(found.last_price),
        open_orders: found.open_orders as u64,
        quarantined: String::new(),
        tape_ahead_us: market.tape_wrong(now).map(|ahead| ahead.0),
        state: convert::market_state(found.state).into(),
        indication: found.indication.map(|auction| units.indication(&auction)),
        auction_end_time: found.auction_ends.map(convert::timestamp),
    })
}

/// `ListTrades`, newest first.
async fn list_trades(
    api: &Api,
    call: Request<v1::ListTradesRequest>,
) -> Result<v1::ListTradesResponse, Refusal> {
    let deadline = api.deadline(&call);
    let message = call.into_inner();
    let room = pages::size(message.page_size)?;
    let time = |field, at: &Option<_>| at.as_ref().map(|at| admission::time(field, at)).transpose();
    let (begin, end) = (time("begin_time", &message.begin_time)?, time("end_time", &message.end_time)?);
    let (after, before) = (Position(message.after_position), Position(message.before_position));
    let list = format!("trades {} {after:?} {before:?} {begin:?} {end:?}", message.market);
    let token = Token::read(&message.page_token, &list)?;
    let market = api.market_at(&message.market, message.at_least, deadline).await?;
    let position = market.shown();
    let last = if before == Position(0) { position } else { position.min(Position(before.0 - 1)) };
    let history = market.history();
    let name = message.market;
    let read = read_history(history, move |history| {
        // Where the list begins is found once: a page's token tells it to the next one.
        let cursor = match (token, end) {
            (Some(token), _) => Cursor::from_token(token),
            (None, Some(end)) => Cursor::at(last.min(history.last_before_time(end)?)),
            (None, None) => Cursor::at(last),
        };
        let blocks = history.blocks_before(cursor.position.next());
        let earlier = |block: &StoredBlock| {
            block.block.last <= after || begin.is_some_and(|begin| block.block.time < begin)
        };
        let blocks = blocks.take_while(|block| !block.as_ref().is_ok_and(earlier));
        pages::scan(blocks, cursor, room, |change, sizes| {
            let trade = Units { market: &name, sizes }.trade(change);
            trade.filter(|trade| trade.position > after.0).map_or(Pick::Skip, Pick::Take)
        })
    });
    let (trades, next) = deadline.wait(read).await??;
    let next_page_token = next.map(|cursor| cursor.token('t').text(&list)).unwrap_or_default();
    Ok(v1::ListTradesResponse { trades, next_page_token, position: position.0 })
}
