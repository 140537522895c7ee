//! One document's fault stays its own.

use std::time::Duration;

use tempfile::TempDir;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use xbook::types::Position;
use xbook_proto::v1;

use super::stored;
use super::support::{MARKET, Served, assert_refused, buy, connect, order, reason, sell};

const OTHER: &str = "ETH/USDT";

/// Two markets, each with an order; ended, with the data that is left.
async fn two_markets() -> TempDir {
    let mut served = Served::start().await;
    served.create(OTHER).await.unwrap();
    served.place(buy("b-1", "10", "1")).await.unwrap();
    served.place(v1::PlaceOrderRequest { market: OTHER.into(), ..buy("e-1", "10", "1") }).await.unwrap();
    served.end().await
}

/// Waits until a service's health is told as expected: a document's follows within a second.
async fn health(served: &Served, service: &str, expected: ServingStatus) {
    let mut health = HealthClient::new(connect(served.address).await);
    let told = async {
        loop {
            let asked = health.check(HealthCheckRequest { service: service.into() }).await;
            if asked.is_ok_and(|answer| answer.get_ref().status() == expected) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let told = tokio::time::timeout(Duration::from_secs(30), told).await;
    assert!(told.is_ok(), "{service} is not {expected:?}");
}

/// The market answers that it is quarantined, everywhere; the other one trades on.
async fn assert_quarantined(served: &mut Served, words: &str) {
    let message = format!(
        "{MARKET} is quarantined on this node: {words}. What is stored of it stays as it is; ask another node"
    );
    let code = Code::Unavailable;
    assert_refused(served.place(buy("b-2", "10", "1")).await, code, "QUARANTINED", &message);
    let book = v1::GetOrderBookRequest { market: MARKET.into(), ..Default::default() };
    assert_refused(served.data.get_order_book(book).await, code, "QUARANTINED", &message);
    let trades = v1::StreamTradesRequest { market: MARKET.into(), after_position: None };
    assert_refused(served.data.stream_trades(trades).await.map(|_| ()), code, "QUARANTINED", &message);
    let verify = v1::VerifyMarketRequest { market: MARKET.into() };
    assert_refused(served.cluster.verify_market(verify).await, code, "QUARANTINED", &message);

    let markets = served.data.list_markets(v1::ListMarketsRequest {}).await.unwrap().into_inner().markets;
    let told: Vec<_> = markets.iter().map(|market| (&*market.name, &*market.quarantined)).collect();
    assert_eq!(told, [(MARKET, words), (OTHER, "")]);
    let node = served.cluster.get_node(v1::GetNodeRequest {}).await.unwrap().into_inner();
    let told: Vec<_> =
        node.documents.iter().map(|document| (&*document.name, &*document.quarantined)).collect();
    assert_eq!(told, [("directory", ""), (MARKET, words), (OTHER, "")]);
    assert!(
        !served
            .cluster
            .list_leases(v1::ListLeasesRequest::default())
            .await
            .unwrap()
            .into_inner()
            .leases
            .is_empty()
    );

    for service in ["", "xbook.v1.TradingService", "directory", "market/ETH/USDT"] {
        health(served, service, ServingStatus::Serving).await;
    }
    let placed =
        v1::PlaceOrderRequest { market: OTHER.into(), ..buy(&format!("e-{}", served.address), "11", "1") };
    let placed = served.place(placed).await.unwrap();
    assert_eq!(placed.order.unwrap().status(), v1::OrderStatus::Open);
    served.create(&format!("N{}/USDT", served.address.port())).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_change_quarantines_its_market_alone() {
    let data = two_markets().await;
    stored::flip_change(data.path(), MARKET, 0, 0);
    let file = stored::file(data.path(), MARKET, 0);
    let before = std::fs::read(&file).unwrap();
    let words = "record 0 of BTC/USDT is damaged";
    let mut served = Served::on(data).await;
    assert_quarantined(&mut served, words).await;
    health(&served, "market/BTC/USDT", ServingStatus::NotServing).await;
    let data = served.end().await;
    assert_eq!(std::fs::read(file).unwrap(), before);
    // Again at the next start.
    let served = Served::on(data).await;
    assert_eq!(served.node.market(MARKET).unwrap().quarantine().as_deref(), Some(words));
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_genesis_quarantines_its_market_alone() {
    let data = two_markets().await;
    stored::flip_genesis(data.path(), 0);
    let mut served = Served::on(data).await;
    assert_quarantined(&mut served, "the genesis of BTC/USDT is damaged").await;
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_cannot_be_read_quarantines_its_market_alone() {
    let data = two_markets().await;
    stored::replace_first_change(data.path(), b"no change");
    let served = Served::on(data).await;
    let words = served.node.market(MARKET).unwrap().quarantine().unwrap();
    let mut served = served;
    assert_quarantined(&mut served, &words).await;
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_change_still_ends_the_start() {
    let data = two_markets().await;
    stored::cut_changes(data.path());
    let start = xbook::node::Start { data: data.path().to_owned(), ..Default::default() };
    let error = xbook::node::Node::start(start).await.err().unwrap().to_string();
    assert!(error.contains("had been synced"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_directory_alone_is_quarantined_too() {
    let data = two_markets().await;
    stored::flip_change(data.path(), "directory", 0, 0);
    let mut served = Served::on(data).await;
    let status = served.create("NEW/USDT").await.unwrap_err();
    assert_eq!((status.code(), reason(&status)), (Code::Unavailable, "QUARANTINED".to_owned()));
    assert!(status.message().starts_with("directory is quarantined on this node: record 0"), "{status:?}");
    served.place(buy("b-2", "10", "1")).await.unwrap();
    health(&served, "", ServingStatus::Serving).await;
    health(&served, "directory", ServingStatus::NotServing).await;
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_that_does_not_fit_quarantines_its_market_while_it_runs() {
    let mut served = Served::start().await;
    served.create(OTHER).await.unwrap();
    for number in 0..2 {
        served.place(sell(&format!("s-{number}"), "10", "1")).await.unwrap();
    }
    let trades = v1::StreamTradesRequest { market: MARKET.into(), after_position: None };
    let mut trades = served.data.stream_trades(trades).await.unwrap().into_inner();
    trades.message().await.unwrap();
    // Somebody else has been at the history: it begins within the next block.
    let market = served.node.market(MARKET).unwrap();
    let shown = market.shown();
    market.opened().unwrap().history().reach_to(Position(shown.0 + 1), [7; 32]).unwrap();
    let both = v1::NewOrder { quantity: "2".into(), ..buy("b", "10", "2").order.unwrap() };
    let status = served.place(order("b-1", both)).await.unwrap_err();
    let words = served.node.market(MARKET).unwrap().quarantine().unwrap();
    assert!(words.contains("does not follow position"), "{words}");
    assert_eq!((status.code(), reason(&status)), (Code::Unavailable, "QUARANTINED".to_owned()), "{status:?}");
    // Who follows it is told as well.
    let end = trades.message().await.unwrap_err();
    assert_eq!(reason(&end), "QUARANTINED");
    assert_quarantined(&mut served, &words).await;
    served.end().await;
}
