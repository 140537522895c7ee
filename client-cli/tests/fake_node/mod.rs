//! A node that answers as the name of the market asks it to, to see how `xcli` takes it.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_stream::{Stream, StreamExt};
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_types::{ErrorDetails, StatusExt};
use xbook_proto::v1::cluster_service_server::{ClusterService, ClusterServiceServer};
use xbook_proto::v1::market_data_service_server::{MarketDataService, MarketDataServiceServer};
use xbook_proto::v1::trading_service_server::{TradingService, TradingServiceServer};
use xbook_proto::v1::*;

type Answer<T> = Result<Response<T>, Status>;
type Items<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// The fake's services share how often a stream was opened, or a call made that is counted.
#[derive(Clone, Default)]
struct Fake {
    opened: Arc<AtomicU32>,
}

/// Starts the fake; returns its address.
pub async fn start() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let fake = Fake::default();
    let server = tonic::transport::Server::builder()
        .add_service(TradingServiceServer::new(fake.clone()))
        .add_service(MarketDataServiceServer::new(fake.clone()))
        .add_service(ClusterServiceServer::new(fake));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    format!("http://{address}")
}

fn off_tick(price: &str) -> Status {
    let metadata = [("field", "order.price"), ("value", price), ("limit", "0.01")]
        .map(|(key, value)| (key.to_owned(), value.to_owned()));
    let details = ErrorDetails::with_error_info("OFF_TICK", "xbook", metadata);
    Status::with_error_details(Code::InvalidArgument, "the price is off the market's grid", details)
}

/// What a node says that waits for a majority.
fn starting() -> Status {
    let none: [(String, String); 0] = [];
    let details = ErrorDetails::with_error_info("STARTING", "xbook", none);
    Status::with_error_details(Code::Unavailable, "this node has just started: ask again", details)
}

/// The end of a test's stream: an error that `xcli` does not try to mend.
fn over() -> Status {
    Status::not_found("the test is over")
}

fn items<T: Send + 'static>(items: Vec<Result<T, Status>>) -> Answer<Items<T>> {
    Ok(Response::new(Box::pin(tokio_stream::iter(items))))
}

/// One message, and then nothing, for as long as the reader likes.
fn quiet<T: Send + 'static>(message: T) -> Answer<Items<T>> {
    Ok(Response::new(Box::pin(tokio_stream::iter([Ok(message)]).chain(tokio_stream::pending()))))
}

fn order_of(request: PlaceOrderRequest, account: String) -> Order {
    let new = request.order.unwrap_or_default();
    Order {
        order_id: "0000000000007f3a-1".to_owned(),
        market: request.market,
        account,
        request_id: request.request_id,
        side: new.side,
        r#type: new.r#type,
        time_in_force: new.time_in_force,
        price: new.price,
        open_quantity: new.quantity.clone(),
        quantity: new.quantity,
        filled_quantity: "0".to_owned(),
        filled_value: "0".to_owned(),
        status: OrderStatus::Open.into(),
        position: 7,
        ..Order::default()
    }
}

#[tonic::async_trait]
impl TradingService for Fake {
    async fn place_order(&self, request: Request<PlaceOrderRequest>) -> Answer<PlaceOrderResponse> {
        let account = request.metadata().get("xbook-account").ok_or_else(over)?;
        let account = account.to_str().map_err(|_| over())?.to_owned();
        request.metadata().get("grpc-timeout").ok_or_else(over)?;
        let mut order = order_of(request.into_inner(), account);
        match order.market.as_str() {
            "OFF/TICK" => return Err(off_tick(&order.price)),
            "SLOW/X" => tokio::time::sleep(Duration::from_secs(60)).await,
            "LOST/X" => return Err(Status::unavailable("")),
            "NEVER/X" => return Err(starting()),
            "SOON/X" if self.opened.fetch_add(1, Ordering::Relaxed) < 2 => return Err(starting()),
            "POST/ONLY" => {
                order.status = OrderStatus::Rejected.into();
                order.reason = Reason::WouldTake.into();
            }
            "PENDING/X" => {
                order.status = OrderStatus::Pending.into();
                order.position = 0;
                order.accept_time = Some(prost_types::Timestamp { seconds: 86_400, nanos: 0 });
            }
            _ => {}
        }
        let more_fills = order.market == "SWEEP/X";
        let order = Some(order);
        Ok(Response::new(PlaceOrderResponse { order, fills: Vec::new(), position: 7, more_fills }))
    }

    async fn list_orders(&self, request: Request<ListOrdersRequest>) -> Answer<ListOrdersResponse> {
        let market = request.into_inner().market;
        let order = Order { order_id: "0000000000007f3a-1".to_owned(), market, ..Order::default() };
        let orders = if order.market == "LIST/ED" { vec![order] } else { Vec::new() };
        Ok(Response::new(ListOrdersResponse { orders, ..Default::default() }))
    }

    /// 40 are filled.
    async fn amend_order(&self, request: Request<AmendOrderRequest>) -> Answer<AmendOrderResponse> {
        let Some(amend_order_request::Size::TotalQuantity(total)) = request.into_inner().size else {
            return Err(Status::unimplemented(""));
        };
        let metadata =
            [("field", "total_quantity"), ("value", &total), ("limit", "must be above 40, which are filled")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()));
        let details = ErrorDetails::with_error_info("BELOW_FILLED", "xbook", metadata);
        let words = format!("total_quantity is \"{total}\": must be above 40, which are filled");
        Err(Status::with_error_details(Code::FailedPrecondition, words, details))
    }

    async fn replace_order(&self, call: Request<ReplaceOrderRequest>) -> Answer<ReplaceOrderResponse> {
        let message = call.into_inner();
        let replaced = Order {
            order_id: message.order_id,
            market: message.market.clone(),
            status: OrderStatus::Cancelled.into(),
            reason: Reason::Replaced.into(),
            ..Order::default()
        };
        let new = message.order.unwrap_or_default();
        let order = Order {
            order_id: "0000000000007f3a-2".to_owned(),
            market: message.market,
            side: new.side,
            price: new.price,
            quantity: new.quantity.clone(),
            open_quantity: new.quantity,
            status: OrderStatus::Open.into(),
            ..Order::default()
        };
        let (order, replaced) = (Some(order), Some(replaced));
        Ok(Response::new(ReplaceOrderResponse { order, replaced, ..ReplaceOrderResponse::default() }))
    }

    async fn cancel_order(&self, _: Request<CancelOrderRequest>) -> Answer<CancelOrderResponse> {
        Ok(Response::new(CancelOrderResponse { withdrawn: true, ..CancelOrderResponse::default() }))
    }

    async fn cancel_all_orders(&self, _: Request<CancelAllOrdersRequest>) -> Answer<CancelAllOrdersResponse> {
        let order_ids = vec!["a-1".to_owned(), "a-2".to_owned()];
        Ok(Response::new(CancelAllOrdersResponse {
            order_ids,
            count: 30_000,
            position: 7,
            markets: Vec::new(),
        }))
    }

    async fn cancel_all_after(&self, _: Request<CancelAllAfterRequest>) -> Answer<CancelAllAfterResponse> {
        let fire_time = Some(prost_types::Timestamp { seconds: 60, nanos: 0 });
        Ok(Response::new(CancelAllAfterResponse { fire_time, position: 7, markets: Vec::new() }))
    }

    async fn kill_account(&self, _: Request<KillAccountRequest>) -> Answer<KillAccountResponse> {
        Ok(Response::new(KillAccountResponse {
            order_ids: vec!["a-1".to_owned()],
            count: 1,
            ..Default::default()
        }))
    }

    async fn set_account_limits(
        &self,
        _: Request<SetAccountLimitsRequest>,
    ) -> Answer<SetAccountLimitsResponse> {
        Err(Status::unimplemented(""))
    }

    async fn get_account_limits(
        &self,
        _: Request<GetAccountLimitsRequest>,
    ) -> Answer<GetAccountLimitsResponse> {
        Err(Status::unimplemented(""))
    }

    async fn get_order(&self, _: Request<GetOrderRequest>) -> Answer<GetOrderResponse> {
        Err(Status::unimplemented(""))
    }

    async fn list_positions(&self, _: Request<ListPositionsRequest>) -> Answer<ListPositionsResponse> {
        Ok(Response::new(ListPositionsResponse::default()))
    }

    async fn list_fills(&self, _: Request<ListFillsRequest>) -> Answer<ListFillsResponse> {
        Err(Status::unimplemented(""))
    }

    type TradeStream = Items<TradeResponse>;

    async fn trade(&self, _: Request<Streaming<TradeRequest>>) -> Answer<Self::TradeStream> {
        Err(Status::unimplemented(""))
    }

    type StreamOrderUpdatesStream = Items<StreamOrderUpdatesResponse>;

    /// From now on at first, where "now" is position 40; then the connection is lost, and every
    /// position after the heartbeat must be asked for.
    async fn stream_order_updates(
        &self,
        request: Request<StreamOrderUpdatesRequest>,
    ) -> Answer<Self::StreamOrderUpdatesStream> {
        use stream_order_updates_response::Event;
        let event = |event| Ok(StreamOrderUpdatesResponse { event: Some(event) });
        let request = request.into_inner();
        match request.after_position {
            None if request.market == "QUIET/X" => quiet(StreamOrderUpdatesResponse {
                event: Some(Event::Heartbeat(Heartbeat { position: 40 })),
            }),
            None => items(vec![
                event(Event::Heartbeat(Heartbeat { position: 40 })),
                Err(Status::unavailable("lost")),
            ]),
            Some(40) => {
                let order =
                    Order { order_id: "0000000000007f3a-4".to_owned(), position: 41, ..Order::default() };
                let position = order.position;
                let updates = vec![OrderUpdate { order: Some(order), fill: None }];
                items(vec![event(Event::Updates(OrderUpdates { position, updates })), Err(over())])
            }
            Some(other) => Err(Status::internal(format!("resumed after {other}"))),
        }
    }
}

#[tonic::async_trait]
impl MarketDataService for Fake {
    async fn list_markets(&self, request: Request<ListMarketsRequest>) -> Answer<ListMarketsResponse> {
        if request.metadata().get("xbook-account").is_some_and(|account| account == "nobody") {
            return Ok(Response::new(ListMarketsResponse::default()));
        }
        let markets = ["A/B", "LIST/ED"].map(|name| Market { name: name.to_owned(), ..Market::default() });
        Ok(Response::new(ListMarketsResponse { markets: markets.into() }))
    }

    async fn get_market(&self, request: Request<GetMarketRequest>) -> Answer<GetMarketResponse> {
        match request.into_inner().market.as_str() {
            "GRID/X" => Ok(Response::new(GetMarketResponse { market: Some(on_a_grid("GRID/X")) })),
            _ => Err(Status::unimplemented("")),
        }
    }

    /// Two pages, of which the second goes on within the first's last level.
    async fn get_order_book(&self, request: Request<GetOrderBookRequest>) -> Answer<GetOrderBookResponse> {
        let GetOrderBookRequest { market, page_token, .. } = request.into_inner();
        let level = |price: &str, orders: &[&str], continued| {
            let id = |id: &&str| BookOrder { order_id: (*id).to_owned(), quantity: "1".to_owned() };
            let orders = orders.iter().map(id).collect();
            Level { price: price.to_owned(), quantity: "2".to_owned(), order_count: 2, orders, continued }
        };
        let (position, bids, next_page_token) = match page_token.as_str() {
            "" => (5, vec![level("10", &["a"], false)], "second".to_owned()),
            "second" => (6, vec![level("10", &["b"], true), level("9", &["c", "d"], false)], String::new()),
            other => return Err(Status::internal(format!("the token {other}"))),
        };
        Ok(Response::new(GetOrderBookResponse {
            market,
            position,
            bids,
            next_page_token,
            ..GetOrderBookResponse::default()
        }))
    }

    type StreamOrderBookStream = Items<StreamOrderBookResponse>;

    /// A snapshot, a change, then a change that does not follow; the next opening sees the book as
    /// it should have become.
    async fn stream_order_book(
        &self,
        request: Request<StreamOrderBookRequest>,
    ) -> Answer<Self::StreamOrderBookStream> {
        use stream_order_book_response::Event;
        if request.into_inner().market == "QUIET/X" {
            return quiet(StreamOrderBookResponse { event: Some(Event::Snapshot(BookSnapshot::default())) });
        }
        let level = |quantity: &str| Level {
            price: "10".to_owned(),
            quantity: quantity.to_owned(),
            order_count: 1,
            ..Level::default()
        };
        let event = |event| Ok(StreamOrderBookResponse { event: Some(event) });
        let snapshot = |position, quantity| {
            let bids = vec![level(quantity)];
            event(Event::Snapshot(BookSnapshot { position, bids, ..BookSnapshot::default() }))
        };
        let delta = |previous_position, position, quantity| {
            let bids = vec![level(quantity)];
            event(Event::Delta(BookDelta { previous_position, position, bids, ..BookDelta::default() }))
        };
        if self.opened.fetch_add(1, Ordering::Relaxed) == 0 {
            items(vec![snapshot(5, "75"), delta(5, 6, "60"), delta(7, 8, "1")])
        } else {
            items(vec![snapshot(8, "2"), Err(over())])
        }
    }

    /// A quiet market.
    async fn get_ticker(&self, request: Request<GetTickerRequest>) -> Answer<GetTickerResponse> {
        let market = request.into_inner().market;
        let quote = BestQuote { market: market.clone(), position: 5, ..BestQuote::default() };
        let ticker = Ticker { market, position: 5, volume: "0".to_owned(), ..Ticker::default() };
        Ok(Response::new(GetTickerResponse { quote: Some(quote), ticker: Some(ticker) }))
    }

    /// Two pages of a candle each.
    async fn list_candles(&self, request: Request<ListCandlesRequest>) -> Answer<ListCandlesResponse> {
        let ListCandlesRequest { interval, page_token, .. } = request.into_inner();
        let (seconds, next_page_token) = match page_token.as_str() {
            "" => (0, "second".to_owned()),
            "second" => (i64::from(interval), String::new()),
            other => return Err(Status::internal(format!("the token {other}"))),
        };
        let candle = Candle {
            start_time: Some(prost_types::Timestamp { seconds, nanos: 0 }),
            open_price: "10".to_owned(),
            ..Candle::default()
        };
        Ok(Response::new(ListCandlesResponse { candles: vec![candle], next_page_token, position: 5 }))
    }

    async fn list_trades(&self, request: Request<ListTradesRequest>) -> Answer<ListTradesResponse> {
        if request.into_inner().market == "QUIET/X" {
            return Ok(Response::new(ListTradesResponse::default()));
        }
        let trades = [20, 10].map(|position| Trade { position, ..Trade::default() }).into();
        Ok(Response::new(ListTradesResponse { trades, next_page_token: String::new(), position: 25 }))
    }

    type StreamTradesStream = Items<StreamTradesResponse>;

    /// A trade and then a lost connection, twice; each opening must resume where the last ended.
    async fn stream_trades(&self, request: Request<StreamTradesRequest>) -> Answer<Self::StreamTradesStream> {
        use stream_trades_response::Event;
        let trade = |position| {
            let event = Some(Event::Trade(Trade { position, ..Trade::default() }));
            Ok(StreamTradesResponse { event })
        };
        match request.into_inner().after_position {
            Some(0) => {
                let event = Some(Event::Heartbeat(Heartbeat { position: 40 }));
                quiet(StreamTradesResponse { event })
            }
            Some(25) => items(vec![trade(30), Err(Status::unavailable("lost"))]),
            Some(30) => items(vec![trade(31)]),
            Some(31) => items(vec![Err(over())]),
            other => Err(Status::internal(format!("resumed after {other:?}"))),
        }
    }
}

#[tonic::async_trait]
impl ClusterService for Fake {
    async fn get_node(&self, _: Request<GetNodeRequest>) -> Answer<GetNodeResponse> {
        let node_id = "0000000000007f3a".to_owned();
        let document = |name: &str| DocumentStatus {
            name: name.to_owned(),
            voters: vec![node_id.clone()],
            position: 20_000,
            ..DocumentStatus::default()
        };
        let documents = vec![document("directory"), document("A/B")];
        Ok(Response::new(GetNodeResponse { documents, node_id, ..GetNodeResponse::default() }))
    }

    async fn create_market(&self, request: Request<CreateMarketRequest>) -> Answer<CreateMarketResponse> {
        if request.into_inner().market == "GRID/X" {
            return Ok(Response::new(CreateMarketResponse {
                market: Some(on_a_grid("GRID/X")),
                position: 3,
            }));
        }
        let none: [(String, String); 0] = [];
        let details = ErrorDetails::with_error_info("MARKET_EXISTS", "xbook", none);
        Err(Status::with_error_details(Code::AlreadyExists, "", details))
    }

    async fn update_market(&self, call: Request<UpdateMarketRequest>) -> Answer<UpdateMarketResponse> {
        Ok(Response::new(UpdateMarketResponse { rules: call.into_inner().rules, position: 9 }))
    }

    async fn set_market_state(&self, _: Request<SetMarketStateRequest>) -> Answer<SetMarketStateResponse> {
        Ok(Response::new(SetMarketStateResponse { position: 9, ended_orders: 2 }))
    }

    async fn list_nodes(&self, _: Request<ListNodesRequest>) -> Answer<ListNodesResponse> {
        let node = |node_id: &str, address: &str, voter| ClusterNode {
            node_id: node_id.to_owned(),
            address: address.to_owned(),
            connected: voter,
            voter,
            ..ClusterNode::default()
        };
        let this = ClusterNode { this_node: true, ..node("0000000000007f3a", "10.0.0.1:7001", true) };
        // A clock that is wrong, and an address where nobody answers clients.
        let wrong = ClusterNode {
            connected: true,
            clock_ahead_us: Some(-7_250_000),
            ..node("0000000000007f3c", "127.0.0.1:1", false)
        };
        let nodes = vec![this, node("0000000000007f3b", "10.0.0.2:7001", false), wrong];
        Ok(Response::new(ListNodesResponse { nodes, position: 5 }))
    }

    async fn create_join_token(
        &self,
        request: Request<CreateJoinTokenRequest>,
    ) -> Answer<CreateJoinTokenResponse> {
        let CreateJoinTokenRequest { token, lifetime, .. } = request.into_inner();
        // The token is drawn at random; the test knows its form.
        assert!(token.len() == 32 && token.bytes().all(|byte| byte.is_ascii_hexdigit()));
        Ok(Response::new(CreateJoinTokenResponse {
            expire_time: lifetime.map(|span| prost_types::Timestamp { seconds: span.seconds, nanos: 0 }),
            peer_address: "10.0.0.1:7101".to_owned(),
            position: 9,
            token: "00112233445566778899aabbccddeeff".to_owned(),
        }))
    }

    async fn remove_node(&self, _: Request<RemoveNodeRequest>) -> Answer<RemoveNodeResponse> {
        Ok(Response::new(RemoveNodeResponse { position: 6 }))
    }

    async fn add_voter(&self, request: Request<AddVoterRequest>) -> Answer<AddVoterResponse> {
        let AddVoterRequest { node_id, market, .. } = request.into_inner();
        let voters = vec!["0000000000007f3a".to_owned(), node_id];
        let documents = vec![DocumentVoters { name: market, generation: 1, voters }];
        Ok(Response::new(AddVoterResponse { documents }))
    }

    async fn get_digest(&self, _: Request<GetDigestRequest>) -> Answer<GetDigestResponse> {
        Err(Status::unimplemented("for nodes"))
    }

    async fn verify_market(&self, request: Request<VerifyMarketRequest>) -> Answer<VerifyMarketResponse> {
        let mut answer = VerifyMarketResponse { position: 7, ..VerifyMarketResponse::default() };
        match request.into_inner().market.as_str() {
            "AWAY/X" => {
                answer.unverified = vec!["node 1 was not reached: it is silent".to_owned()];
                answer.set_verdict(VerifyVerdict::Incomplete);
            }
            _ => {
                answer.findings = vec!["it differs".to_owned()];
                answer.set_verdict(VerifyVerdict::Wrong);
            }
        }
        Ok(Response::new(answer))
    }

    async fn remove_voter(&self, _: Request<RemoveVoterRequest>) -> Answer<RemoveVoterResponse> {
        let none: [(String, String); 0] = [];
        let details = ErrorDetails::with_error_info("LAST_VOTER", "xbook", none);
        Err(Status::with_error_details(Code::FailedPrecondition, "", details))
    }

    async fn list_leases(&self, request: Request<ListLeasesRequest>) -> Answer<ListLeasesResponse> {
        let leases = vec![lease(request.into_inner().market, "0000000000007f3a".to_owned())];
        Ok(Response::new(ListLeasesResponse { leases }))
    }

    async fn upgrade_document(
        &self,
        request: Request<UpgradeDocumentRequest>,
    ) -> Answer<UpgradeDocumentResponse> {
        let asked = request.into_inner().format;
        if asked > 2 {
            let none: [(String, String); 0] = [];
            let details = ErrorDetails::with_error_info("FORMAT_UNREADY", "xbook", none);
            return Err(Status::with_error_details(Code::FailedPrecondition, "", details));
        }
        let format = if asked == 0 { 2 } else { asked };
        Ok(Response::new(UpgradeDocumentResponse { format, generation: 7 }))
    }

    async fn transfer_lease(&self, request: Request<TransferLeaseRequest>) -> Answer<TransferLeaseResponse> {
        let TransferLeaseRequest { market, node_id } = request.into_inner();
        Ok(Response::new(TransferLeaseResponse { lease: Some(lease(market, node_id)) }))
    }
}

/// A market whose examples are not 10 and 1.
fn on_a_grid(name: &str) -> Market {
    let rules = MarketRules {
        tick_size: "0.03".to_owned(),
        lot_size: "0.3".to_owned(),
        min_quantity: "0.3".to_owned(),
        ..MarketRules::default()
    };
    Market { name: name.to_owned(), rules: Some(rules), ..Market::default() }
}

fn lease(document: String, holder: String) -> Lease {
    let voters = vec!["0000000000007f3a".to_owned(), "0000000000007f3b".to_owned()];
    Lease { document, term: 3, holder, promised_by: voters.clone(), voters, held: true, ..Lease::default() }
}
