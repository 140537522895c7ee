//! The attacked node.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use tokio::time::timeout;
use tonic::transport::Channel;
use xbook::decimal::Grid;
use xbook::document::{Actor, Document, Entry, Genesis};
use xbook::format::Formats;
use xbook::machine::{Action, Announcement, NewMarket, Origin, Request, Rules, encode_batch};
use xbook::types::{Lots, Micros, NodeId, SelfTrade};
use xbook_proto::peer::v1::document_message::Message as Said;
use xbook_proto::peer::v1::frame::Content;
use xbook_proto::peer::v1::{Ack, Changes, Greeting, Hello};
use xbook_proto::record::v1 as record;
use xbook_proto::v1::cluster_service_client::ClusterServiceClient;
use xbook_proto::v1::market_data_service_client::MarketDataServiceClient;
use xbook_proto::v1::trading_service_client::TradingServiceClient;
use xbook_proto::v1::{self, OrderStatus, Side};
use xbook_tests::clock::Stopwatch;
use xbook_tests::process::{Home, JOIN_TOKEN, Usage, Xnode};

use super::fake::{Fake, PROTOCOL, Who, about, frame};

pub const MARKET: &str = "BTC/USDT";
pub const DIRECTORY: &str = "directory";

/// Most that a node may take for an order, on a machine that does other things too.
const NORMAL: Duration = Duration::from_secs(2);

/// Most memory that it may have in the end, in bytes.
const MOST_MEMORY: u64 = 400 * 1024 * 1024;

/// A node, and the fake peers that are in its directory.
pub struct Target {
    home: Home,
    node: Option<Xnode>,
    pub id: u64,
    /// The genesis of its cluster's directory.
    pub directory: record::Genesis,
    members: Vec<Who>,
    turn: usize,
    placed: u32,
    /// The book as it must stay.
    book: v1::GetOrderBookResponse,
}

impl Target {
    /// A node with a market and some orders, and so many members of its cluster that are fakes.
    pub async fn start(members: u8) -> Result<Self> {
        let mut home = Home::new()?;
        let node = Xnode::start(&mut home).await?;
        let question = Greeting { protocol: PROTOCOL, oldest_protocol: PROTOCOL, ..Greeting::default() };
        let asked = Fake::open(node.peer_address(), frame(Content::Greeting(question))).await?;
        let directory = asked.greeting.directory.context("it names no cluster")?;
        let id = u64::from_str_radix(node.id(), 16)?;
        let (members_asked, book) = (members, v1::GetOrderBookResponse::default());
        let mut target =
            Self { home, node: Some(node), id, directory, members: Vec::new(), turn: 0, placed: 0, book };
        target.create_market().await?;
        for price in ["9", "10", "11"] {
            target.place(Side::Buy, price, "rests").await?;
            target.place(Side::Sell, &format!("2{price}"), "rests").await?;
        }
        target.book = target.read_book().await?;
        for number in 1..=members_asked {
            target.join(number).await?;
        }
        target.check().await?;
        Ok(target)
    }

    pub fn peer_address(&self) -> SocketAddr {
        self.home.peer_address()
    }

    /// The next member, in turns: none may connect too often.
    pub fn member(&mut self) -> Result<Who> {
        self.turn += 1;
        let at = self.turn % self.members.len().max(1);
        self.members.get(at).cloned().context("no member is a fake")
    }

    /// A member's connection.
    pub async fn connect(&mut self) -> Result<(Who, Fake)> {
        let who = self.member()?;
        let mut fake = Fake::connect(self.peer_address(), &who, &self.directory).await?;
        // The first word about the market says that it is let in.
        fake.hear(MARKET, |_, said| matches!(said, Said::Hello(_)).then_some(())).await?;
        Ok((who, fake))
    }

    /// The genesis of the market.
    pub fn market_genesis(&self) -> Result<Genesis> {
        let grid = |text: &str| -> Result<Grid> { Ok(Grid::new(text.parse()?)?) };
        let rules = Rules::new(grid("0.01")?, grid("0.001")?);
        let self_trade = SelfTrade::Allow;
        let rules = Rules { min_lots: Lots(2), max_lots: Lots(1_000_000), self_trade, ..rules };
        Ok(Genesis::market(&NewMarket { name: MARKET.into(), rules, voters: vec![NodeId(self.id)] }))
    }

    /// The genesis of the directory.
    pub fn directory_genesis(&self) -> Result<Genesis> {
        Ok(Genesis::from_record(self.directory.clone(), Vec::new(), Formats::KNOWN)?)
    }

    /// Orders are placed and cancelled in time, memory is bounded, and the book is as it was.
    pub async fn check(&mut self) -> Result<()> {
        let began = Stopwatch::start();
        let order = self.place(Side::Buy, "1", "probe").await?;
        ensure!(order.status() == OrderStatus::Open, "the order is {:?}", order.status());
        let cancel = v1::CancelOrderRequest {
            request_id: format!("cancel-{}", self.placed),
            market: MARKET.into(),
            order_id: order.order_id,
            ..Default::default()
        };
        let mut trading = TradingServiceClient::new(self.channel().await?);
        timeout(NORMAL, trading.cancel_order(cancel)).await.context("a cancel takes too long")??;
        let took = began.elapsed();
        ensure!(took < NORMAL, "an order and its cancel took {took:?}");
        let (book, before) = (self.read_book().await?, &self.book);
        ensure!((&book.bids, &book.asks) == (&before.bids, &before.asks), "the book is {book:?}");
        let process = self.node.as_ref().and_then(Xnode::process).context("the node has ended")?;
        let memory = Usage::of(process)?.resident;
        ensure!(memory < MOST_MEMORY, "the node has {memory} bytes");
        ensure!(!self.home.log().contains("panicked"), "a panic:\n{}", self.home.log());
        let (_, holder) = self.lease(MARKET).await?;
        ensure!(holder == format!("{:016x}", self.id), "the lease is held by {holder}");
        let status = ClusterServiceClient::new(self.channel().await?).get_node(v1::GetNodeRequest {}).await?;
        for document in status.into_inner().documents {
            ensure!(document.quarantined.is_empty(), "{}: {}", document.name, document.quarantined);
        }
        Ok(())
    }

    /// The node's memory, in bytes.
    pub fn memory(&self) -> Result<u64> {
        let process = self.node.as_ref().and_then(Xnode::process).context("the node has ended")?;
        Ok(Usage::of(process)?.resident)
    }

    pub async fn restart(&mut self) -> Result<()> {
        self.node.take().context("the node has ended")?.kill().await?;
        self.node = Some(Xnode::start(&mut self.home).await?);
        Ok(())
    }

    pub async fn channel(&self) -> Result<Channel> {
        self.home.address().connect().await
    }

    /// The lease's term and holder of a document.
    async fn lease(&self, document: &str) -> Result<(u64, String)> {
        let request = v1::ListLeasesRequest { market: document.to_owned() };
        let leases =
            ClusterServiceClient::new(self.channel().await?).list_leases(request).await?.into_inner();
        let lease = leases.leases.into_iter().next().context("no lease")?;
        Ok((lease.term, lease.holder))
    }

    pub async fn place(&mut self, side: Side, price: &str, id: &str) -> Result<v1::Order> {
        self.placed += 1;
        let order = v1::NewOrder {
            side: side.into(),
            price: price.into(),
            quantity: "1".into(),
            ..Default::default()
        };
        let request = v1::PlaceOrderRequest {
            request_id: format!("{id}-{}", self.placed),
            market: MARKET.into(),
            order: Some(order),
            answer_when: 0,
        };
        let mut trading = TradingServiceClient::new(self.channel().await?);
        let placed =
            timeout(NORMAL, trading.place_order(request)).await.context("an order takes too long")??;
        placed.into_inner().order.context("no order")
    }

    /// Cancels all orders of this price and side that came in between.
    pub async fn cancel_all(&mut self, price: &str) -> Result<()> {
        let mut trading = TradingServiceClient::new(self.channel().await?);
        let request = v1::ListOrdersRequest { market: MARKET.into(), page_size: 1_000, ..Default::default() };
        let orders = trading.list_orders(request).await?.into_inner().orders;
        for order in orders.into_iter().filter(|order| order.price == price && order.open_quantity != "0") {
            let cancel = v1::CancelOrderRequest {
                request_id: format!("cancel-{}", order.order_id),
                market: MARKET.into(),
                order_id: order.order_id,
                ..Default::default()
            };
            trading.cancel_order(cancel).await?;
        }
        Ok(())
    }

    async fn read_book(&self) -> Result<v1::GetOrderBookResponse> {
        let request = v1::GetOrderBookRequest { market: MARKET.into(), ..Default::default() };
        Ok(MarketDataServiceClient::new(self.channel().await?).get_order_book(request).await?.into_inner())
    }

    async fn create_market(&self) -> Result<()> {
        let rules = v1::MarketRules {
            tick_size: "0.01".into(),
            lot_size: "0.001".into(),
            min_quantity: "0.002".into(),
            max_quantity: "1000".into(),
            default_self_trade_prevention: v1::SelfTradePrevention::Allow.into(),
            ..Default::default()
        };
        let request = v1::CreateMarketRequest {
            request_id: "market".into(),
            market: MARKET.into(),
            rules: Some(rules),
            voters: Vec::new(),
        };
        ClusterServiceClient::new(self.channel().await?).create_market(request).await?;
        Ok(())
    }

    /// A fake becomes a node of the directory, as a node does: with a token, and by its announcement.
    async fn join(&mut self, number: u8) -> Result<()> {
        let token = u128::from_str_radix(JOIN_TOKEN, 16)?.to_be_bytes();
        let who = Who::new(number).with_token(&token);
        let mut fake = Fake::connect(self.peer_address(), &who, &self.directory).await?;
        let genesis = self.directory_genesis()?;
        let announcement = Announcement {
            address: "".into(),
            peer_address: "".into(),
            key: who.key.verifying_key().to_bytes(),
            token: Some(xbook::machine::JoinToken(token)),
        };
        let request = Request {
            account: "".into(),
            origin: Origin::Request(format!("announce-{number}").into()),
            body_hash: 0,
            action: Action::Announce(announcement),
        };
        let batch = encode_batch(NodeId(who.node), 1, Micros(0), Micros(1), &[request]);
        let change = own_change(&genesis, &who, &[Entry::Intents(batch)])?;
        fake.say(about(DIRECTORY, 0, hello(&genesis)));
        fake.say(about(DIRECTORY, 0, Said::Changes(Changes { changes: vec![change] })));
        // It is spoken with about the market once the directory has it.
        let heard = fake.hear(MARKET, |_, said| matches!(said, Said::Hello(_)).then_some(())).await;
        heard.with_context(|| format!("it does not become a member:\n{}", self.home.log()))?;
        self.members.push(Who { token: Bytes::new(), ..who });
        Ok(())
    }
}

/// The first word about a document, from who has nothing of it.
pub fn hello(genesis: &Genesis) -> Said {
    let genesis = Bytes::copy_from_slice(&genesis.digest());
    Said::Hello(Hello { genesis, ack: Some(Ack::default()), ..Default::default() })
}

/// The first change of an actor of a fake, on top of nothing but the genesis.
pub fn own_change(genesis: &Genesis, who: &Who, entries: &[Entry]) -> Result<Bytes> {
    change_of(genesis, actor(who.node), entries)
}

/// The first change of any actor.
pub fn change_of(genesis: &Genesis, actor: Actor, entries: &[Entry]) -> Result<Bytes> {
    Ok(Document::new(genesis, actor)?.append(entries)?.bytes)
}

/// A fresh actor of a node: no two of these tests use the same.
pub fn actor(node: u64) -> Actor {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(1);
    Actor::new(Micros(NEXT.fetch_add(1, Ordering::Relaxed) * 1_000), NodeId(node), 7)
}
