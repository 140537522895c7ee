//! What protects an account from its own orders: the dead man's switch, sessions that break off, and the kill switch.

use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tonic::Code;
use tonic::transport::Channel;
use xbook_proto::v1::trading_service_client::TradingServiceClient;
use xbook_proto::v1::{self, CommandOutcome, OrderStatus, Reason, Side};

use super::session::{Session, place};
use super::support::{MARKET, Served, assert_refused, buy, by, connect, sell};

fn after(request: &str, seconds: i64, nanos: i32) -> v1::CancelAllAfterRequest {
    let timeout = Some(prost_types::Duration { seconds, nanos });
    v1::CancelAllAfterRequest { request_id: request.into(), market: MARKET.into(), timeout }
}

fn kill(request: &str, lift: bool) -> v1::KillAccountRequest {
    v1::KillAccountRequest { request_id: request.into(), market: MARKET.into(), lift }
}

/// A connection of its own to a node, which breaks off when its task is aborted.
async fn wire(served: &Served) -> (TradingServiceClient<Channel>, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, node) = (listener.local_addr().unwrap(), served.address);
    let task = tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut node = TcpStream::connect(node).await.unwrap();
        _ = tokio::io::copy_bidirectional(&mut client, &mut node).await;
    });
    (TradingServiceClient::new(connect(address).await), task)
}

/// Waits until an order is closed.
async fn closed(served: &mut Served, id: &str) -> v1::Order {
    for _ in 0..400 {
        let order = served.order(id).await;
        if order.status() != OrderStatus::Open {
            return order;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("{id} is still open");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switch_that_is_not_renewed_cancels_all_orders_of_its_account() {
    let mut served = Served::start().await;
    let id = |placed: v1::PlaceOrderResponse| placed.order.unwrap().order_id;
    let mine = [
        id(served.place(buy("1", "9", "1")).await.unwrap()),
        id(served.place(sell("2", "11", "1")).await.unwrap()),
    ];
    let theirs = id(served.place_as("other", buy("1", "9", "1")).await.unwrap());
    let mut trading = served.trading.clone();
    let long = trading.cancel_all_after(after("long", 3_600, 0)).await.unwrap().into_inner();
    let again = trading.cancel_all_after(after("long", 3_600, 0)).await.unwrap().into_inner();
    assert_eq!(again, long, "a repeat has one effect");
    assert!(long.fire_time.is_some() && long.position > 0);
    let off = trading.cancel_all_after(after("off", 0, 0)).await.unwrap().into_inner();
    assert_eq!(off.fire_time, None);
    let armed = trading.cancel_all_after(after("armed", 0, 300_000_000)).await.unwrap().into_inner();
    for order in &mine {
        let order = closed(&mut served, order).await;
        assert_eq!((order.status(), order.reason()), (OrderStatus::Cancelled, Reason::DeadMan));
        assert!(order.update_time.unwrap().seconds >= armed.fire_time.unwrap().seconds);
    }
    let order = served.trading.get_order(by(
        "other",
        v1::GetOrderRequest { market: MARKET.into(), order_id: theirs, ..Default::default() },
    ));
    assert_eq!(order.await.unwrap().into_inner().order.unwrap().status(), OrderStatus::Open);
    // It is disarmed, and what comes later stays.
    let later = id(served.place(buy("3", "9", "1")).await.unwrap());
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(served.order(&later).await.status(), OrderStatus::Open);
    let none = v1::CancelAllAfterRequest { timeout: None, ..after("none", 0, 0) };
    let words = "timeout: must be set";
    assert_refused(trading.cancel_all_after(none).await, Code::InvalidArgument, "MISSING_FIELD", words);
    let words = "timeout is \"-1\": must be from 0 s to 86400 s";
    assert_refused(
        trading.cancel_all_after(after("x", -1, 0)).await,
        Code::InvalidArgument,
        "BELOW_MINIMUM",
        words,
    );
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switch_is_armed_in_all_markets_and_an_account_killed_in_all() {
    let mut served = Served::start().await;
    served.create("ETH/USDT").await.unwrap();
    for market in [MARKET, "ETH/USDT"] {
        served.place(v1::PlaceOrderRequest { market: market.into(), ..buy("1", "9", "1") }).await.unwrap();
    }
    let everywhere = v1::CancelAllAfterRequest { market: String::new(), ..after("a", 3_600, 0) };
    let armed = served.trading.cancel_all_after(everywhere).await.unwrap().into_inner();
    let markets: Vec<(&str, bool)> =
        armed.markets.iter().map(|of| (of.market.as_str(), of.fire_time.is_some())).collect();
    assert_eq!(markets, [(MARKET, true), ("ETH/USDT", true)]);
    let request = v1::KillAccountRequest { market: String::new(), ..kill("k", false) };
    let killed = served.trading.kill_account(request.clone()).await.unwrap().into_inner();
    assert_eq!((killed.count, killed.markets.len()), (2, 2));
    assert_eq!(served.trading.kill_account(request).await.unwrap().into_inner(), killed);
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_account_only_cancels_until_that_is_lifted_also_after_a_restart() {
    let mut served = Served::start().await;
    let order = served.place(buy("1", "9", "1")).await.unwrap().order.unwrap();
    let killed = served.trading.kill_account(kill("k", false)).await.unwrap().into_inner();
    assert_eq!((killed.order_ids, killed.count), (vec![order.order_id.clone()], 1));
    let order = served.order(&order.order_id).await;
    assert_eq!((order.status(), order.reason()), (OrderStatus::Cancelled, Reason::AccountKilled));

    let mut served = Served::on(served.end().await).await;
    let refused = served.place(buy("2", "9", "1")).await.unwrap().order.unwrap();
    assert_eq!((refused.status(), refused.reason()), (OrderStatus::Rejected, Reason::AccountKilled));
    let all = v1::CancelAllOrdersRequest { request_id: "all".into(), market: MARKET.into(), side: 0 };
    assert_eq!(served.trading.cancel_all_orders(all).await.unwrap().into_inner().count, 0);
    served.place_as("other", buy("2", "9", "1")).await.unwrap();
    served.trading.kill_account(kill("l", true)).await.unwrap();
    let placed = served.place(buy("3", "9", "1")).await.unwrap().order.unwrap();
    assert_eq!(placed.status(), OrderStatus::Open);
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_breaks_off_takes_its_orders_along_and_one_that_says_goodbye_does_not() {
    let mut served = Served::start().await;
    let guarded = prost_types::Duration { seconds: 60, nanos: 0 };
    let mut kept = Vec::new();
    for (name, guard) in [("unguarded", None), ("guarded", Some(guarded))] {
        let (trading, wire) = wire(&served).await;
        let mut session = Session::open_guarded(trading, name, guard).await.unwrap();
        let results = session.run(vec![place(Side::Buy, "9", "1")]).await;
        assert_eq!(results[0].outcome(), CommandOutcome::Done);
        match guard {
            None => wire.abort(),
            Some(_) => assert_eq!(session.finish().await.1.err().map(|status| status.code()), None),
        }
        kept.push(results[0].order_id.clone());
    }
    let (trading, wire) = wire(&served).await;
    let mut session = Session::open_guarded(trading, "lost", Some(guarded)).await.unwrap();
    let results = session.run(vec![place(Side::Buy, "9", "1"), place(Side::Sell, "11", "1")]).await;
    wire.abort();
    for result in results {
        let order = closed(&mut served, &result.order_id).await;
        assert_eq!((order.status(), order.reason()), (OrderStatus::Cancelled, Reason::Disconnected));
    }
    for order in kept {
        assert_eq!(served.order(&order).await.status(), OrderStatus::Open);
    }
    let short = prost_types::Duration { seconds: 2, nanos: 0 };
    let Err(refused) = Session::open_guarded(served.trading.clone(), "short", Some(short)).await else {
        panic!("it is opened");
    };
    let words = "open.cancel_on_disconnect is \"2\": must be from 3 s to 86400 s";
    assert_refused(Err::<(), _>(refused), Code::InvalidArgument, "BELOW_MINIMUM", words);
    served.end().await;
}

/// While a stream lives its node renews the switch; and whoever opens the session again goes on with its orders.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_lives_keeps_its_orders_and_so_does_one_that_goes_on_elsewhere() {
    let mut served = Served::start().await;
    let guard = Some(prost_types::Duration { seconds: 3, nanos: 0 });
    let (trading, first) = wire(&served).await;
    let mut session = Session::open_guarded(trading, "s", guard).await.unwrap();
    let results = session.run(vec![place(Side::Buy, "9", "1")]).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(served.order(&results[0].order_id).await.status(), OrderStatus::Open);
    let (trading, second) = wire(&served).await;
    let _again = Session::open_guarded(trading, "s", guard).await.unwrap();
    first.abort();
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(served.order(&results[0].order_id).await.status(), OrderStatus::Open);
    second.abort();
    let order = closed(&mut served, &results[0].order_id).await;
    assert_eq!(order.reason(), Reason::Disconnected);
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accounts_own_limits_refuse_what_is_above_them_also_after_a_restart() {
    let mut served = Served::start().await;
    let limits =
        v1::AccountLimits { max_quantity: "10".into(), max_notional: "100.005".into(), max_open_orders: 2 };
    let set = v1::SetAccountLimitsRequest {
        request_id: "l".into(),
        market: MARKET.into(),
        limits: Some(limits.clone()),
    };
    let answer = served.trading.set_account_limits(set.clone()).await.unwrap().into_inner();
    assert_eq!(answer.limits, Some(limits));
    let mut served = Served::on(served.end().await).await;
    let get = v1::GetAccountLimitsRequest { market: MARKET.into(), at_least: 0 };
    let told = served.trading.get_account_limits(get.clone()).await.unwrap().into_inner();
    assert_eq!(told.limits, answer.limits);
    let others = served.trading.get_account_limits(by("other", get)).await.unwrap().into_inner();
    assert_eq!(others.limits, Some(v1::AccountLimits::default()));
    for (id, price, quantity, reason) in [
        ("1", "1", "10.001", Reason::AccountQuantity),
        ("2", "10.01", "10", Reason::AccountNotional),
        ("3", "10", "10", Reason::Unspecified),
        ("4", "1", "1", Reason::Unspecified),
        ("5", "1", "1", Reason::TooMany),
    ] {
        let order = served.place(buy(id, price, quantity)).await.unwrap().order.unwrap();
        assert_eq!(order.reason(), reason, "{id}");
    }
    served.place_as("other", buy("1", "1", "100")).await.unwrap();
    let wrong = v1::AccountLimits { max_notional: "-1".into(), ..Default::default() };
    let wrong = v1::SetAccountLimitsRequest { request_id: "w".into(), limits: Some(wrong), ..set };
    let words = "limits.max_notional is \"-1\": must not be below zero";
    let refused = served.trading.set_account_limits(wrong).await;
    assert_refused(refused, Code::InvalidArgument, "NOT_POSITIVE", words);
    served.end().await;
}
