//! What is asked for often and by many waits for no matcher.

use std::sync::mpsc;
use std::time::Duration;

use tokio::sync::oneshot;
use xbook_proto::v1;

use super::support::{MARKET, Served, buy, within};

/// Far less than the market's task is held up for.
const SOON: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_who_looks_stands_in_the_queue_of_a_busy_market() {
    let mut served = Served::start().await;
    let placed = served.place(buy("1", "10", "5")).await.unwrap();
    let market = served.node.market(MARKET).unwrap();
    let (began, begins) = oneshot::channel();
    let (release, released) = mpsc::channel::<()>();
    // The task that matches is held up in the middle of what it does.
    let busy = market.clone();
    let busy = tokio::spawn(async move {
        let hold = move |_: &xbook::replica::Replica| {
            began.send(()).unwrap();
            released.recv().unwrap();
        };
        busy.read(hold).await
    });
    begins.await.unwrap();

    let found = served.data.get_market(within(SOON, v1::GetMarketRequest { market: MARKET.into() }));
    let found = found.await.unwrap().into_inner().market.unwrap();
    assert_eq!((found.best_bid.as_str(), found.position, found.open_orders), ("10", placed.position, 1));
    let listed = served.data.list_markets(within(SOON, v1::ListMarketsRequest {})).await.unwrap();
    assert_eq!(listed.into_inner().markets, [found]);
    let request = v1::GetTickerRequest { market: MARKET.into(), ..Default::default() };
    let quote = served.data.get_ticker(within(SOON, request)).await.unwrap().into_inner().quote.unwrap();
    assert_eq!((quote.bid.unwrap().price.as_str(), quote.position), ("10", placed.position));
    let node = served.cluster.get_node(within(SOON, v1::GetNodeRequest {})).await.unwrap().into_inner();
    let document = node.documents.iter().find(|document| document.name == MARKET).unwrap();
    assert_eq!((document.position, document.committed_batches > 0), (placed.position, true));
    let request = v1::ListLeasesRequest { market: MARKET.into() };
    let leases = served.cluster.list_leases(within(SOON, request)).await.unwrap().into_inner().leases;
    assert_eq!((leases[0].held, &leases[0].holder), (true, &node.node_id));

    release.send(()).unwrap();
    busy.await.unwrap().unwrap();
    // And what is asked of it is done.
    served.place(buy("2", "9", "1")).await.unwrap();
    served.end().await;
}
