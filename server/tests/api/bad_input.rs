//! Bad input: each with its code, its reason, and words that name field, value and limit.

use std::time::Duration;

use prost_types::Timestamp;
use tonic::{Code, Request};
use xbook_proto::v1::{self, OrderType, Side, TimeInForce};

use super::support::{
    MARKET, Served, assert_refused, buy, by, create_request, new_order, order, reason, within,
};

const INVALID: Code = Code::InvalidArgument;

#[tokio::test(flavor = "multi_thread")]
async fn bad_orders_are_refused() {
    let mut served = Served::start().await;
    let thirty = format!("0.{}1", "0".repeat(29));
    let huge = "9".repeat(28);
    let long_text = "9".repeat(500);
    let plain = "must be a plain decimal of at most 28 digits, such as \"10.25\"";
    let table: Vec<(&str, &str, &str, String)> = vec![
        ("10.005", "1", "OFF_TICK", "order.price is \"10.005\": must be a multiple of 0.01".into()),
        ("10", "1.0005", "OFF_LOT", "order.quantity is \"1.0005\": must be a multiple of 0.001".into()),
        ("0", "1", "NOT_POSITIVE", "order.price is \"0\": must be greater than zero".into()),
        ("-10", "1", "NOT_POSITIVE", "order.price is \"-10\": must be greater than zero".into()),
        ("10", "0", "NOT_POSITIVE", "order.quantity is \"0\": must be greater than zero".into()),
        ("10", "-1", "NOT_POSITIVE", "order.quantity is \"-1\": must be greater than zero".into()),
        ("10", "0.001", "BELOW_MINIMUM", "order.quantity is \"0.001\": must be at least 0.002".into()),
        ("10", "1000.001", "ABOVE_MAXIMUM", "order.quantity is \"1000.001\": must be at most 1000".into()),
        (
            "10",
            &huge,
            "ABOVE_MAXIMUM",
            format!("order.quantity is \"{huge}\": must be at most 1000000000000"),
        ),
        (&huge, "1", "ABOVE_MAXIMUM", format!("order.price is \"{huge}\": must be at most 10000000000000")),
        ("10", &thirty, "MALFORMED_DECIMAL", format!("order.quantity is \"{thirty}\": {plain}")),
        ("NaN", "1", "MALFORMED_DECIMAL", format!("order.price is \"NaN\": {plain}")),
        ("10", "1e3", "MALFORMED_DECIMAL", format!("order.quantity is \"1e3\": {plain}")),
        ("10", "+1", "MALFORMED_DECIMAL", format!("order.quantity is \"+1\": {plain}")),
        ("10", " 1", "MALFORMED_DECIMAL", format!("order.quantity is \" 1\": {plain}")),
        (
            "10",
            &long_text,
            "MALFORMED_DECIMAL",
            format!("order.quantity is \"{}...\": {plain}", "9".repeat(64)),
        ),
        ("10", "", "MISSING_FIELD", "order.quantity: must be set".into()),
        // The first reason by precedence, whatever the order of the fields.
        ("10.005", "NaN", "MALFORMED_DECIMAL", format!("order.quantity is \"NaN\": {plain}")),
        ("10.005", "-1", "NOT_POSITIVE", "order.quantity is \"-1\": must be greater than zero".into()),
    ];
    for (n, (price, quantity, reason, message)) in table.iter().enumerate() {
        let placed = served.place(buy(&format!("r{n}"), price, quantity)).await;
        assert_refused(placed, INVALID, reason, message);
    }
    let book = served.book(0).await;
    assert_eq!((book.position, book.bids.len()), (0, 0));
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_that_do_not_fit_are_refused() {
    let mut served = Served::start().await;
    let base = || new_order(Side::Buy, "10", "1");
    let tif = |time_in_force: TimeInForce| v1::NewOrder { time_in_force: time_in_force.into(), ..base() };
    let past = Some(Timestamp { seconds: 1, nanos: 0 });
    let later = Some(Timestamp { seconds: 4_000_000_000, nanos: 0 });
    let table = [
        (v1::NewOrder { side: 0, ..base() }, "MISSING_FIELD", "order.side: must be set"),
        (
            v1::NewOrder { side: 9, ..base() },
            "UNKNOWN_VALUE",
            "order.side is \"9\": must be a value that this node knows",
        ),
        (
            v1::NewOrder { r#type: 7, ..base() },
            "UNKNOWN_VALUE",
            "order.type is \"7\": must be a value that this node knows",
        ),
        (
            v1::NewOrder { time_in_force: -1, ..base() },
            "UNKNOWN_VALUE",
            "order.time_in_force is \"-1\": must be a value that this node knows",
        ),
        (
            v1::NewOrder { r#type: OrderType::Limit.into(), price: String::new(), ..base() },
            "MISSING_FIELD",
            "order.price: must be set",
        ),
        (
            v1::NewOrder { r#type: OrderType::Market.into(), ..base() },
            "CONFLICTING_FIELDS",
            "order.price is \"10\": must be empty for a market, a market-to-limit and a stop order",
        ),
        (
            v1::NewOrder { price: String::new(), ..tif(TimeInForce::Gtc) },
            "CONFLICTING_FIELDS",
            "order.time_in_force is \"TIME_IN_FORCE_GTC\": must be IOC, FOK or AUCTION for a market order",
        ),
        (
            v1::NewOrder { post_only: true, ..tif(TimeInForce::Ioc) },
            "CONFLICTING_FIELDS",
            "order.post_only is \"true\": must not be set with IOC, FOK, AUCTION, a market or a market-to-limit order",
        ),
        (
            v1::NewOrder { post_only: true, price: String::new(), ..base() },
            "CONFLICTING_FIELDS",
            "order.post_only is \"true\": must not be set with IOC, FOK, AUCTION, a market or a market-to-limit order",
        ),
        (tif(TimeInForce::Gtd), "MISSING_FIELD", "order.expire_time: must be set"),
        (
            v1::NewOrder { expire_time: later, ..base() },
            "CONFLICTING_FIELDS",
            "order.expire_time is \"2096-10-02T07:06:40Z\": must not be set without GTD",
        ),
        (
            v1::NewOrder { expire_time: Some(Timestamp { seconds: -1, nanos: 0 }), ..tif(TimeInForce::Gtd) },
            "MALFORMED_TEXT",
            "order.expire_time is \"-1s 0ns\": must be a time from 1970 to 9999",
        ),
    ];
    for (n, (new, reason, message)) in table.into_iter().enumerate() {
        assert_refused(served.place(order(&format!("r{n}"), new)).await, INVALID, reason, message);
    }
    for new in [
        v1::NewOrder { expire_time: past, ..tif(TimeInForce::Gtd) },
        v1::NewOrder { sequence_by: past, ..base() },
    ] {
        let status = served.place(order("past", new)).await.unwrap_err();
        assert_eq!((status.code(), super::support::reason(&status).as_str()), (INVALID, "TIME_PASSED"));
        assert!(
            status
                .message()
                .contains("is \"1970-01-01T00:00:01Z\": must be later than this node's clock, 20"),
            "{status:?}"
        );
    }
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_names_are_refused() {
    let mut served = Served::start().await;
    let named = |id: &str, market: &str| {
        let order = Some(new_order(Side::Buy, "10", "1"));
        v1::PlaceOrderRequest { request_id: id.into(), market: market.into(), order, answer_when: 0 }
    };
    let form = "must be BASE/QUOTE, each 1 to 12 of A-Z and 0-9";
    let table = [
        (named("", MARKET), INVALID, "MISSING_FIELD", "request_id: must be set".to_owned()),
        (
            named("a b", MARKET),
            INVALID,
            "MALFORMED_TEXT",
            "request_id is \"a b\": must be 1 to 64 visible ASCII characters".to_owned(),
        ),
        (named("1", ""), INVALID, "MISSING_FIELD", "market: must be set".to_owned()),
        (named("1", "btc/usdt"), INVALID, "MALFORMED_TEXT", format!("market is \"btc/usdt\": {form}")),
        (
            named("1", "ETH/USDT"),
            Code::NotFound,
            "UNKNOWN_MARKET",
            "market is \"ETH/USDT\": no such market".to_owned(),
        ),
        (
            v1::PlaceOrderRequest { order: None, ..named("1", MARKET) },
            INVALID,
            "MISSING_FIELD",
            "order: must be set".to_owned(),
        ),
        (
            v1::PlaceOrderRequest { answer_when: 5, ..named("1", MARKET) },
            INVALID,
            "UNKNOWN_VALUE",
            "answer_when is \"5\": must be a value that this node knows".to_owned(),
        ),
        // A bad field comes before an unknown market.
        (
            v1::PlaceOrderRequest { order: Some(new_order(Side::Buy, "x", "1")), ..named("1", "ETH/USDT") },
            INVALID,
            "MALFORMED_DECIMAL",
            "order.price is \"x\": must be a plain decimal of at most 28 digits, such as \"10.25\""
                .to_owned(),
        ),
    ];
    for (request, code, reason, message) in table {
        assert_refused(served.place(request).await, code, reason, &message);
    }
    let placed = served.place_as("a b", buy("1", "10", "1")).await;
    let words = "xbook-account is \"a b\": must be 1 to 32 of A-Z, a-z, 0-9, '.', '_' and '-'";
    assert_refused(placed, INVALID, "MALFORMED_TEXT", words);
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_orders_are_refused() {
    let mut served = Served::start().await;
    let unknown = "00000000000000ff-1";
    let words = format!("order_id is \"{unknown}\": no such order in this market");
    let get = |id: &str| v1::GetOrderRequest {
        market: MARKET.into(),
        order_id: id.into(),
        at_least: 0,
        ..Default::default()
    };
    assert_refused(served.trading.get_order(get(unknown)).await, Code::NotFound, "UNKNOWN_ORDER", &words);
    let form = "must be 16 lower-case hex digits, a dash and a number";
    for id in ["x", "0000000000000000-1", "00000000000000FF-1"] {
        let words = format!("order_id is \"{id}\": {form}");
        assert_refused(served.trading.get_order(get(id)).await, INVALID, "MALFORMED_TEXT", &words);
    }
    let cancel = v1::CancelOrderRequest {
        request_id: "1".into(),
        market: MARKET.into(),
        order_id: unknown.into(),
        withdraw: false,
        ..Default::default()
    };
    assert_refused(served.trading.cancel_order(cancel).await, Code::NotFound, "UNKNOWN_ORDER", &words);
    let amend = v1::AmendOrderRequest {
        request_id: "2".into(),
        market: MARKET.into(),
        order_id: unknown.into(),
        price: "10".into(),
        size: None,
        ..Default::default()
    };
    assert_refused(served.trading.amend_order(amend.clone()).await, Code::NotFound, "UNKNOWN_ORDER", &words);
    let nothing = v1::AmendOrderRequest { price: String::new(), ..amend };
    let words = "price: a new price or a new size must be set";
    assert_refused(served.trading.amend_order(nothing).await, INVALID, "MISSING_FIELD", words);
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_markets_are_refused() {
    let mut served = Served::start().await;
    let again = v1::CreateMarketRequest { request_id: "again".into(), ..create_request(MARKET) };
    let words = "market is \"BTC/USDT\": a market of this name exists";
    assert_refused(
        served.cluster.create_market(again.clone()).await,
        Code::AlreadyExists,
        "MARKET_EXISTS",
        words,
    );
    // A repeat of the refused request is refused alike.
    assert_refused(served.cluster.create_market(again).await, Code::AlreadyExists, "MARKET_EXISTS", words);
    let rules = |tick: &str, lot: &str, min: &str, max: &str| v1::MarketRules {
        tick_size: tick.into(),
        lot_size: lot.into(),
        min_quantity: min.into(),
        max_quantity: max.into(),
        ..Default::default()
    };
    let digits = "must have at most 18 digits after the point, at most 4 significant digits and at most 9 zeros at the end";
    let table = [
        (rules("", "1", "", ""), "MISSING_FIELD", "rules.tick_size: must be set".to_owned()),
        (
            rules("0", "1", "", ""),
            "NOT_POSITIVE",
            "rules.tick_size is \"0\": must be greater than zero".to_owned(),
        ),
        (
            rules("1", "-1", "", ""),
            "NOT_POSITIVE",
            "rules.lot_size is \"-1\": must be greater than zero".to_owned(),
        ),
        (rules("0.12345", "1", "", ""), "ABOVE_MAXIMUM", format!("rules.tick_size is \"0.12345\": {digits}")),
        (
            rules("1", "1", "0.5", ""),
            "OFF_LOT",
            "rules.min_quantity is \"0.5\": must be a multiple of 1".to_owned(),
        ),
        (
            rules("1", "1", "3", "2"),
            "ABOVE_MAXIMUM",
            "rules.min_quantity is \"3\": must be at most max_quantity, 2".to_owned(),
        ),
    ];
    let fees = |maker: &str, taker: &str, step: &str| v1::MarketRules {
        maker_fee_bp: maker.into(),
        taker_fee_bp: taker.into(),
        fee_step: step.into(),
        ..rules("1", "1", "", "")
    };
    let rate = "must be from -1000 to 1000, with at most two digits after the point";
    let step = "must be a multiple of 0.00000001, at most 10000";
    let of_fees = [
        (fees("1.005", "", ""), "ABOVE_MAXIMUM", format!("rules.maker_fee_bp is \"1.005\": {rate}")),
        (fees("", "-1000.01", ""), "ABOVE_MAXIMUM", format!("rules.taker_fee_bp is \"-1000.01\": {rate}")),
        (fees("", "", "0"), "NOT_POSITIVE", format!("rules.fee_step is \"0\": {step}")),
        (fees("", "", "0.000000015"), "ABOVE_MAXIMUM", format!("rules.fee_step is \"0.000000015\": {step}")),
        (fees("", "", "10001"), "ABOVE_MAXIMUM", format!("rules.fee_step is \"10001\": {step}")),
    ];
    let session = |minute, state: v1::MarketState| v1::SessionTime { minute, state: state.into() };
    let sessions = |sessions: &[v1::SessionTime]| v1::MarketRules {
        sessions: sessions.to_vec(),
        ..rules("1", "1", "", "")
    };
    let closed = session(60, v1::MarketState::Closed);
    let of_auctions = [
        (
            v1::MarketRules { auction_fee_bp: "1001".into(), ..rules("1", "1", "", "") },
            "ABOVE_MAXIMUM",
            format!("rules.auction_fee_bp is \"1001\": {rate}"),
        ),
        (
            v1::MarketRules { dynamic_band_bp: 10_001, ..rules("1", "1", "", "") },
            "ABOVE_MAXIMUM",
            "rules.dynamic_band_bp is \"10001\": must be at most 10000".to_owned(),
        ),
        (
            sessions(&[closed, closed]),
            "CONFLICTING_FIELDS",
            "rules.sessions.minute is \"60\": must be later than the one before".to_owned(),
        ),
        (
            sessions(&[session(1, v1::MarketState::Unspecified)]),
            "MISSING_FIELD",
            "rules.sessions.state: must be set".to_owned(),
        ),
        (
            sessions(&[session(1, v1::MarketState::Delisted)]),
            "CONFLICTING_FIELDS",
            "rules.sessions.state is \"MARKET_STATE_DELISTED\": must not be delisted: a market stays that"
                .to_owned(),
        ),
    ];
    for (rules, reason, message) in table.into_iter().chain(of_fees).chain(of_auctions) {
        let request = v1::CreateMarketRequest { rules: Some(rules), ..create_request("ETH/USDT") };
        assert_refused(served.cluster.create_market(request).await, INVALID, reason, &message);
    }
    let request = v1::CreateMarketRequest { rules: None, ..create_request("ETH/USDT") };
    assert_refused(
        served.cluster.create_market(request).await,
        INVALID,
        "MISSING_FIELD",
        "rules: must be set",
    );
    let me = served.node.id().to_string();
    let stranger = "00000000000000ff".to_owned();
    let once = format!("voters is \"{me}\": must name each node once");
    for (voters, code, reason, message) in [
        (vec![me.clone(); 8], INVALID, "ABOVE_MAXIMUM", "voters is \"8\": must be at most 7 nodes"),
        (
            vec!["me".to_owned()],
            INVALID,
            "MALFORMED_TEXT",
            "voters is \"me\": must be 16 lower-case hex digits",
        ),
        (vec![me.clone(), me], INVALID, "CONFLICTING_FIELDS", &once),
        (
            vec![stranger],
            Code::NotFound,
            "UNKNOWN_NODE",
            "voters is \"00000000000000ff\": no such node in this cluster",
        ),
    ] {
        let request = v1::CreateMarketRequest { voters, ..create_request("ETH/USDT") };
        assert_refused(served.cluster.create_market(request).await, code, reason, message);
    }
    let defaults =
        v1::CreateMarketRequest { rules: Some(rules("0.5", "10", "", "")), ..create_request("ETH/USDT") };
    let market = served.cluster.create_market(defaults).await.unwrap().into_inner().market.unwrap();
    let told = v1::MarketRules {
        default_self_trade_prevention: v1::SelfTradePrevention::CancelTaker.into(),
        maker_fee_bp: "0".into(),
        taker_fee_bp: "0".into(),
        auction_fee_bp: "0".into(),
        fee_step: "0.00000001".into(),
        ..rules("0.5", "10", "10", "10000000000000000")
    };
    assert_eq!(market.rules, Some(told));
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_pages_and_depths_are_refused() {
    let mut served = Served::start().await;
    let list = |page_size, page_token: &str| v1::ListOrdersRequest {
        market: MARKET.into(),
        page_size,
        page_token: page_token.into(),
        ..Default::default()
    };
    let words = "page_size is \"1001\": must be at most 1000";
    assert_refused(served.trading.list_orders(list(1_001, "")).await, INVALID, "ABOVE_MAXIMUM", words);
    let words = "page_token is \"o1-2-3\": must be the next_page_token of a page of the same list";
    assert_refused(served.trading.list_orders(list(0, "o1-2-3")).await, INVALID, "MALFORMED_TEXT", words);
    let book = v1::GetOrderBookRequest { market: MARKET.into(), depth: 1_001, ..Default::default() };
    let words = "depth is \"1001\": must be at most 1000";
    assert_refused(served.data.get_order_book(book).await, INVALID, "ABOVE_MAXIMUM", words);
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_oversized_message_is_refused_with_the_limit() {
    let mut served = Served::start().await;
    let request = buy(&"x".repeat(5 * 1_024 * 1_024), "10", "1");
    let status = served.place(request).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange);
    assert!(status.message().contains("the limit is: 4194304 bytes"), "{status:?}");
    served.place(buy("1", "10", "1")).await.unwrap();
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_deadline_is_told() {
    let mut served = Served::start().await;
    let placed = served.place(buy("1", "10", "1")).await.unwrap();
    let at = |at_least| v1::GetOrderBookRequest { market: MARKET.into(), at_least, ..Default::default() };
    let future =
        served.data.get_order_book(within(Duration::from_millis(300), at(placed.position + 1))).await;
    let words = format!("at_least is \"{}\": not shown before the call's deadline", placed.position + 1);
    assert_refused(future, Code::DeadlineExceeded, "DEADLINE", &words);
    // A call whose time is over when it arrives takes no effect.
    let mut late = Request::new(buy("late", "10", "1"));
    late.metadata_mut().insert("grpc-timeout", "0n".parse().unwrap());
    let status = served.trading.place_order(late).await.unwrap_err();
    assert!(matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled), "{status:?}");
    assert_eq!(served.book(0).await.position, placed.position);
    let other = by("main", at(placed.position));
    assert!(served.data.get_order_book(other).await.is_ok());
    served.end().await;
}

/// Each call by its path, with a number where its first field is another thing.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_message_of_a_call_is_the_callers_fault() {
    let served = Served::start().await;
    let paths = [
        "/xbook.v1.TradingService/PlaceOrder",
        "/xbook.v1.TradingService/ListOrders",
        "/xbook.v1.TradingService/StreamOrderUpdates",
        "/xbook.v1.MarketDataService/GetOrderBook",
        "/xbook.v1.MarketDataService/StreamTrades",
        "/xbook.v1.ClusterService/VerifyMarket",
        "/grpc.health.v1.Health/Check",
    ];
    for path in paths {
        let channel = super::support::connect(served.address).await;
        let mut client = tonic::client::Grpc::new(channel);
        client.ready().await.unwrap();
        let codec = tonic_prost::ProstCodec::<v1::Heartbeat, v1::Heartbeat>::default();
        let path = tonic::codegen::http::uri::PathAndQuery::from_static(path);
        let answer = client.unary(Request::new(v1::Heartbeat { position: 7 }), path.clone(), codec).await;
        let status = answer.unwrap_err();
        assert_eq!(
            (status.code(), reason(&status).as_str()),
            (INVALID, "MALFORMED_TEXT"),
            "{path}: {status:?}"
        );
        assert!(status.message().starts_with("request: must be a message of this call: "), "{status:?}");
    }
    served.end().await;
}
