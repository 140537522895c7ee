//! All that the exchange shows of a market and some accounts.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use rust_decimal::Decimal;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::Channel;
use xbook_proto::v1::market_data_service_client::MarketDataServiceClient;
use xbook_proto::v1::stream_order_updates_response::Event;
use xbook_proto::v1::trading_service_client::TradingServiceClient;
use xbook_proto::v1::{
    Fill, GetMarketRequest, GetOrderBookRequest, GetOrderBookResponse, Level, ListFillsRequest,
    ListOrdersRequest, ListTradesRequest, Order, OrderStatus, OrderUpdate, Side, StreamOrderUpdatesRequest,
    Trade,
};

use super::promises::{Broken, check};
use super::request_of;

/// What a market shows while nobody trades.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Record {
    /// Its position.
    pub position: u64,
    /// All orders, by id.
    pub orders: BTreeMap<String, Order>,
    /// All trades, by position.
    pub trades: BTreeMap<u64, Trade>,
    fills: BTreeMap<(String, u64), Fill>,
    updates: BTreeMap<(String, u64), OrderUpdate>,
    book: GetOrderBookResponse,
}

impl Record {
    /// Reads it, from the first position on.
    ///
    /// # Errors
    /// A call fails.
    pub async fn read(channel: &Channel, market: &str, accounts: &[AsciiMetadataValue]) -> Result<Self> {
        let mut data = MarketDataServiceClient::new(channel.clone());
        let shown = data.get_market(GetMarketRequest { market: market.into() }).await?.into_inner();
        let position = shown.market.context("no market")?.position;
        let request = GetOrderBookRequest { market: market.into(), depth: 1_000, ..Default::default() };
        let book = data.get_order_book(request).await?.into_inner();
        let mut record = Self { position, book, ..Self::default() };
        record.read_trades(&mut data, market).await.context("the trades")?;
        let mut trading = TradingServiceClient::new(channel.clone());
        for account in accounts {
            record.read_orders(&mut trading, market, account).await.context("the orders")?;
            record.read_fills(&mut trading, market, account).await.context("the fills")?;
            record.read_updates(&mut trading, market, account).await.context("the updates")?;
        }
        Ok(record)
    }

    async fn read_trades(&mut self, data: &mut MarketDataServiceClient<Channel>, market: &str) -> Result<()> {
        let mut request = ListTradesRequest { market: market.into(), page_size: 1_000, ..Default::default() };
        loop {
            let page = data.list_trades(request.clone()).await?.into_inner();
            for trade in page.trades {
                let before = self.trades.insert(trade.position, trade);
                anyhow::ensure!(before.is_none(), "two trades at one position: {before:?}");
            }
            if page.next_page_token.is_empty() {
                return Ok(());
            }
            request.page_token = page.next_page_token;
        }
    }

    async fn read_orders(
        &mut self,
        trading: &mut TradingServiceClient<Channel>,
        market: &str,
        account: &AsciiMetadataValue,
    ) -> Result<()> {
        let mut request = ListOrdersRequest {
            market: market.into(),
            include_closed: true,
            page_size: 1_000,
            ..Default::default()
        };
        loop {
            let page = trading.list_orders(request_of(account, request.clone())).await?.into_inner();
            for order in page.orders {
                let before = self.orders.insert(order.order_id.clone(), order);
                anyhow::ensure!(before.is_none(), "listed twice: {before:?}");
            }
            if page.next_page_token.is_empty() {
                return Ok(());
            }
            request.page_token = page.next_page_token;
        }
    }

    async fn read_fills(
        &mut self,
        trading: &mut TradingServiceClient<Channel>,
        market: &str,
        account: &AsciiMetadataValue,
    ) -> Result<()> {
        let mut request = ListFillsRequest { market: market.into(), page_size: 1_000, ..Default::default() };
        loop {
            let page = trading.list_fills(request_of(account, request.clone())).await?.into_inner();
            for fill in page.fills {
                let before = self.fills.insert((fill.order_id.clone(), fill.position), fill);
                anyhow::ensure!(before.is_none(), "filled twice at one position: {before:?}");
            }
            if page.next_page_token.is_empty() {
                return Ok(());
            }
            request.page_token = page.next_page_token;
        }
    }

    async fn read_updates(
        &mut self,
        trading: &mut TradingServiceClient<Channel>,
        market: &str,
        account: &AsciiMetadataValue,
    ) -> Result<()> {
        let request = StreamOrderUpdatesRequest { market: market.into(), after_position: Some(0) };
        let mut updates = trading.stream_order_updates(request_of(account, request)).await?.into_inner();
        let account = account.to_str()?;
        // Each order was changed by what it was changed by last; two may have been at one position.
        let orders = self.orders.values().filter(|order| order.account == account);
        let mut missing: BTreeSet<_> = orders.map(|order| (order.order_id.clone(), order.position)).collect();
        let mut reached = 0;
        while !missing.is_empty() {
            let message = updates.message().await?.context("the stream ended")?;
            match message.event.context("an empty message")? {
                Event::Updates(event) => {
                    anyhow::ensure!(event.position > reached, "out of order after {reached}: {event:?}");
                    reached = event.position;
                    for update in event.updates {
                        let order = update.order.clone().context("an update without an order")?;
                        anyhow::ensure!(order.position == reached, "elsewhere than at {reached}: {order:?}");
                        let at = (order.order_id, order.position);
                        missing.remove(&at);
                        let before = self.updates.insert(at, update);
                        anyhow::ensure!(before.is_none(), "updated twice at one position: {before:?}");
                    }
                }
                Event::Heartbeat(heartbeat) => {
                    let nothing_more = heartbeat.position >= self.position;
                    anyhow::ensure!(!nothing_more, "updates were not streamed: {missing:?}");
                }
            }
        }
        Ok(())
    }

    /// An order as of the position of one of its changes.
    ///
    /// # Errors
    /// It did not change there.
    pub fn update(&self, id: &str, position: u64) -> Result<&Order, Broken> {
        self.standing(id, position)
            .ok()
            .filter(|order| order.position == position)
            .ok_or_else(|| Broken(format!("the change of {id} at {position} was told and is gone")))
    }

    /// An order as of a position: after the last of its changes up to there.
    ///
    /// # Errors
    /// It was not there yet.
    pub fn standing(&self, id: &str, position: u64) -> Result<&Order, Broken> {
        let until = self.updates.range((id.to_owned(), 0)..=(id.to_owned(), position));
        until
            .last()
            .and_then(|(_, update)| update.order.as_ref())
            .ok_or_else(|| Broken(format!("{id} was told of at {position} and was not there yet")))
    }

    /// A fill of an order.
    ///
    /// # Errors
    /// It was not filled there.
    pub fn fill(&self, id: &str, position: u64) -> Result<&Fill, Broken> {
        self.fills
            .get(&(id.to_owned(), position))
            .ok_or_else(|| Broken(format!("the fill of {id} at {position} was told and is gone")))
    }

    /// Whether an order's price or size was ever changed.
    #[must_use]
    pub fn was_amended(&self, id: &str) -> bool {
        let mut states = self.updates_of(id).filter_map(|update| update.order.as_ref());
        let first = states.next().map(|order| (&order.price, &order.quantity));
        states.any(|order| Some((&order.price, &order.quantity)) != first)
    }

    fn updates_of(&self, id: &str) -> impl Iterator<Item = &OrderUpdate> {
        self.updates.range((id.to_owned(), 0)..=(id.to_owned(), u64::MAX)).map(|(_, update)| update)
    }

    /// Checks that what is shown in one place agrees with every other place.
    ///
    /// # Errors
    /// The first contradiction.
    pub fn agrees_with_itself(&self) -> Result<(), Broken> {
        self.orders.values().try_for_each(|order| self.order_agrees(order))?;
        self.fills.values().try_for_each(|fill| self.fill_agrees(fill))?;
        check(self.fills.len() == 2 * self.trades.len(), || {
            format!("{} trades, but {} fills", self.trades.len(), self.fills.len())
        })?;
        for (side, levels) in [(Side::Buy, &self.book.bids), (Side::Sell, &self.book.asks)] {
            check(self.levels(side) == shown_levels(levels), || {
                format!("{side:?} levels of the book: {levels:?}\nof the orders: {:?}", self.levels(side))
            })?;
        }
        let (bid, ask) = (self.book.bids.first(), self.book.asks.first());
        let crossed = bid.zip(ask).is_some_and(|(bid, ask)| decimal(&bid.price) >= decimal(&ask.price));
        check(!crossed, || format!("the book is crossed: {:?}", self.book))
    }

    fn order_agrees(&self, order: &Order) -> Result<(), Broken> {
        let id = &order.order_id;
        let last = self.updates_of(id).filter_map(|update| update.order.as_ref()).last();
        check(last == Some(order), || format!("listed: {order:?}\nlast update: {last:?}"))?;
        let fills = self.fills.range((id.clone(), 0)..=(id.clone(), u64::MAX));
        let filled: Decimal = fills.map(|(_, fill)| decimal(&fill.quantity)).sum();
        check(filled == decimal(&order.filled_quantity), || format!("fills sum up to {filled}: {order:?}"))?;
        check(filled <= decimal(&order.quantity), || format!("filled beyond its quantity: {order:?}"))?;
        let open = decimal(&order.open_quantity);
        let expected = match order.status() {
            OrderStatus::Open | OrderStatus::PartiallyFilled => decimal(&order.quantity) - filled,
            _ => Decimal::ZERO,
        };
        check(open == expected, || format!("{expected} should be open: {order:?}"))
    }

    fn fill_agrees(&self, fill: &Fill) -> Result<(), Broken> {
        let trade = self.trades.get(&fill.position);
        let told = |trade: &Trade| (trade.price.clone(), trade.quantity.clone());
        check(trade.map(told) == Some((fill.price.clone(), fill.quantity.clone())), || {
            format!("fill: {fill:?}\ntrade: {trade:?}")
        })?;
        let other = self.fill(&fill.counter_order_id, fill.position)?;
        check(other.counter_order_id == fill.order_id && other.side != fill.side, || {
            format!("one side: {fill:?}\nthe other: {other:?}")
        })
    }

    /// Price levels as the orders make them.
    fn levels(&self, side: Side) -> BTreeMap<Decimal, (Decimal, u32)> {
        let mut levels = BTreeMap::<Decimal, (Decimal, u32)>::new();
        let live = |order: &&Order| {
            matches!(order.status(), OrderStatus::Open | OrderStatus::PartiallyFilled) && order.side() == side
        };
        for order in self.orders.values().filter(live) {
            let level = levels.entry(decimal(&order.price)).or_default();
            level.0 += decimal(&order.open_quantity);
            level.1 += 1;
        }
        levels
    }
}

fn shown_levels(levels: &[Level]) -> BTreeMap<Decimal, (Decimal, u32)> {
    let shown = |level: &Level| (decimal(&level.price), (decimal(&level.quantity), level.order_count));
    levels.iter().map(shown).collect()
}

/// A number of an answer.
///
/// # Panics
/// If it is none.
fn decimal(text: &str) -> Decimal {
    text.parse().unwrap_or_else(|_| panic!("{text:?} is not a number"))
}
