//! Clocks that were wrong and are right again: tape time is ahead, which is told until it is over.

use std::time::Duration;

use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use xbook::node::Clock;
use xbook::types::Micros;
use xbook_proto::v1::{self, OrderStatus};

use super::support::{MARKET, Served, buy, connect, sell};

const SECOND: u64 = 1_000_000;

/// A node that traded by a clock that was ahead, and was restarted with one that is right.
async fn traded_ahead(ahead: u64) -> Served {
    let wrong = Clock::start().ahead_by(Micros(ahead));
    let mut served = Served::with_clock(tempfile::tempdir().unwrap(), wrong).await;
    served.create(MARKET).await.unwrap();
    served.place(buy("before", "10", "1")).await.unwrap();
    // By its own clock nothing is wrong.
    assert_eq!(told(&mut served).await, [None, None, None]);
    let data = served.end().await;
    Served::on(data).await
}

/// By how much tape time is ahead: of the directory and of the market as the node's documents, and of the
/// market.
async fn told(served: &mut Served) -> [Option<u64>; 3] {
    let node = served.cluster.get_node(v1::GetNodeRequest {}).await.unwrap().into_inner();
    let market = v1::GetMarketRequest { market: MARKET.into() };
    let market = served.data.get_market(market).await.unwrap().into_inner().market.unwrap();
    let listed = served.data.list_markets(v1::ListMarketsRequest {}).await.unwrap().into_inner().markets;
    // Asked later, it may be over.
    assert!(listed[0].tape_ahead_us <= market.tape_ahead_us);
    let [directory, document] = &node.documents[..] else { panic!("{node:?}") };
    [directory.tape_ahead_us, document.tape_ahead_us, market.tape_ahead_us]
}

#[tokio::test(flavor = "multi_thread")]
async fn hours_ahead_all_is_traded_and_the_node_says_by_how_much() {
    let hours = 3 * 3_600 * SECOND;
    let mut served = traded_ahead(hours).await;
    for ahead in told(&mut served).await {
        let ahead = ahead.unwrap();
        assert!((hours - 60 * SECOND..=hours).contains(&ahead), "{ahead}");
    }
    let mut health = HealthClient::new(connect(served.address).await);
    for service in ["", "directory", "market/BTC/USDT"] {
        let answer = health.check(HealthCheckRequest { service: service.into() }).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{service}");
    }
    let sold = served.place(sell("after", "10", "1")).await.unwrap();
    assert_eq!(sold.order.unwrap().status(), OrderStatus::Filled);
    // By tape time this one's time has come, though not by any clock.
    let mut soon = buy("soon", "10", "1");
    let order = soon.order.as_mut().unwrap();
    order.set_time_in_force(v1::TimeInForce::Gtd);
    let at = served.node.clock().now().0 / SECOND + 60;
    order.expire_time = Some(prost_types::Timestamp { seconds: at as i64, nanos: 0 });
    let placed = served.place(soon).await;
    let open = placed.is_ok_and(|placed| placed.order.unwrap().status() == OrderStatus::Open);
    assert!(!open, "its time has come by tape time");
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_ends_when_the_clock_gets_there() {
    let mut served = traded_ahead(9 * SECOND).await;
    assert!(told(&mut served).await.iter().all(Option::is_some));
    let over = async {
        while told(&mut served).await.iter().any(Option::is_some) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), over).await.unwrap();
    served.end().await;
}
