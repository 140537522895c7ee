//! Each call does what its comment says.

use super::support::{MARKET, Served, assert_refused, buy, by, levels, new_order, order, sell};
use tonic::Code;
use xbook_proto::v1::{self, Liquidity, OrderStatus, Reason, Side, TimeInForce};

#[tokio::test(flavor = "multi_thread")]
async fn the_worked_example_leaves_one_order() {
    let mut served = Served::start().await;
    let first = served.place(buy("1", "10", "100")).await.unwrap().order.unwrap();
    assert_eq!((first.status(), first.open_quantity.as_str()), (OrderStatus::Open, "100"));
    assert_eq!((first.price.as_str(), first.market.as_str(), first.account.as_str()), ("10", MARKET, "main"));
    assert_eq!((first.request_id.as_str(), first.time_in_force()), ("1", TimeInForce::Gtc));
    served.place(buy("2", "11", "100")).await.unwrap();
    let third = served.place(sell("3", "11", "50")).await.unwrap();
    let fill = &third.fills[0];
    assert_eq!(
        (fill.price.as_str(), fill.quantity.as_str(), fill.liquidity()),
        ("11", "50", Liquidity::Taker)
    );
    assert_eq!(third.order.unwrap().status(), OrderStatus::Filled);
    let fourth = served.place(sell("4", "9", "75")).await.unwrap();
    let prices: Vec<_> =
        fourth.fills.iter().map(|fill| (fill.price.as_str(), fill.quantity.as_str())).collect();
    assert_eq!(prices, [("11", "50"), ("10", "25")]);
    let sold = fourth.order.unwrap();
    assert_eq!((sold.filled_quantity.as_str(), sold.filled_value.as_str()), ("75", "800"));

    let book = served.book(fourth.position).await;
    assert_eq!((levels(&book.bids), levels(&book.asks)), (vec![("10", "75")], vec![]));
    assert_eq!(book.position, fourth.position);

    let request = v1::ListTradesRequest { market: MARKET.into(), ..Default::default() };
    let trades = served.data.list_trades(request).await.unwrap().into_inner();
    let seen: Vec<_> =
        trades.trades.iter().map(|trade| (trade.price.as_str(), trade.quantity.as_str())).collect();
    assert_eq!(seen, [("10", "25"), ("11", "50"), ("11", "50")]);
    assert!(trades.trades.iter().all(|trade| trade.taker_side() == Side::Sell && trade.time.is_some()));
    assert_eq!(trades.trades[0].maker_order_id, first.order_id);
    assert_eq!(
        (trades.trades[0].taker_order_id.clone(), trades.next_page_token),
        (sold.order_id, String::new())
    );

    let request = v1::GetMarketRequest { market: MARKET.into() };
    let market = served.data.get_market(request).await.unwrap().into_inner().market.unwrap();
    let best = (market.best_bid.as_str(), market.best_ask.as_str(), market.last_price.as_str());
    assert_eq!((best, market.open_orders, market.position), (("10", "", "10"), 1, fourth.position));
    let rules = market.rules.unwrap();
    assert_eq!((rules.tick_size.as_str(), rules.max_quantity.as_str()), ("0.01", "1000"));
    let markets = served.data.list_markets(v1::ListMarketsRequest {}).await.unwrap().into_inner().markets;
    assert_eq!(markets.len(), 1);
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn amend_cancel_and_cancel_all() {
    let mut served = Served::start().await;
    let id = served.place(buy("1", "10", "5")).await.unwrap().order.unwrap().order_id;
    served.place(sell("2", "12", "1")).await.unwrap();

    let amend = |request: &str, price: &str, size| v1::AmendOrderRequest {
        request_id: request.into(),
        market: MARKET.into(),
        order_id: id.clone(),
        price: price.into(),
        size,
        ..Default::default()
    };
    use v1::amend_order_request::Size;
    let smaller =
        served.trading.amend_order(amend("3", "", Some(Size::OpenQuantity("4".into())))).await.unwrap();
    let order = smaller.into_inner().order.unwrap();
    assert_eq!((order.open_quantity.as_str(), order.price.as_str()), ("4", "10"));
    let traded = served.trading.amend_order(amend("4", "12", Some(Size::TotalQuantity("3".into())))).await;
    let traded = traded.unwrap().into_inner();
    assert_eq!((traded.fills.len(), traded.fills[0].quantity.as_str()), (1, "1"));
    let order = traded.order.unwrap();
    assert_eq!((order.status(), order.open_quantity.as_str()), (OrderStatus::PartiallyFilled, "2"));

    let cancel = |request: &str, order_id: &str| v1::CancelOrderRequest {
        request_id: request.into(),
        market: MARKET.into(),
        order_id: order_id.into(),
        withdraw: false,
        ..Default::default()
    };
    let other = served.trading.cancel_order(by("other", cancel("5", &id))).await;
    let words = format!("order_id is \"{id}\": the order belongs to another account");
    assert_refused(other, Code::PermissionDenied, "OTHER_ACCOUNT", &words);
    let cancelled = served.trading.cancel_order(cancel("6", &id)).await.unwrap().into_inner();
    let order = cancelled.order.unwrap();
    assert_eq!((order.status(), order.reason()), (OrderStatus::Cancelled, Reason::Requested));
    assert_eq!((order.filled_quantity.as_str(), order.position), ("1", cancelled.position));

    let again = served.trading.cancel_order(cancel("7", &id)).await;
    let words = format!("order_id is \"{id}\": the order is closed: CANCELLED");
    assert_refused(again, Code::FailedPrecondition, "ORDER_CLOSED", &words);
    let closed = served.trading.amend_order(amend("8", "9", None)).await;
    assert_refused(closed, Code::FailedPrecondition, "ORDER_CLOSED", &words);
    let other = served.trading.cancel_order(by("other", cancel("9", &id))).await;
    let words = format!("order_id is \"{id}\": the order belongs to another account");
    assert_refused(other, Code::PermissionDenied, "OTHER_ACCOUNT", &words);

    for n in 0..3 {
        served.place(buy(&format!("b{n}"), "8", "1")).await.unwrap();
        served.place(sell(&format!("s{n}"), "20", "1")).await.unwrap();
    }
    let all = |request: &str, side: Side| v1::CancelAllOrdersRequest {
        request_id: request.into(),
        market: MARKET.into(),
        side: side.into(),
    };
    let buys = served.trading.cancel_all_orders(all("10", Side::Buy)).await.unwrap().into_inner();
    assert_eq!(buys.order_ids.len(), 3);
    let rest = served.trading.cancel_all_orders(all("11", Side::Unspecified)).await.unwrap().into_inner();
    assert_eq!(rest.order_ids.len(), 3);
    let none = served.trading.cancel_all_orders(all("12", Side::Unspecified)).await.unwrap().into_inner();
    assert!(none.order_ids.is_empty() && none.position > rest.position);
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_that_may_not_rest_say_why_they_closed() {
    let mut served = Served::start().await;
    let with = |id: &str, time_in_force: TimeInForce, price: &str, quantity: &str| {
        let new = new_order(Side::Buy, price, quantity);
        order(id, v1::NewOrder { time_in_force: time_in_force.into(), ..new })
    };
    served.place(sell("maker", "10", "2")).await.unwrap();
    let table = [
        (with("fok", TimeInForce::Fok, "10", "3"), OrderStatus::Rejected, Reason::NotFillable, "0"),
        (
            order("post", v1::NewOrder { post_only: true, ..new_order(Side::Buy, "10", "1") }),
            OrderStatus::Rejected,
            Reason::WouldTake,
            "0",
        ),
        (with("ioc", TimeInForce::Ioc, "10", "1.5"), OrderStatus::Filled, Reason::Unspecified, "1.5"),
        (buy("market", "", "1"), OrderStatus::Cancelled, Reason::NoLiquidity, "0.5"),
        (buy("nothing", "", "1"), OrderStatus::Cancelled, Reason::NoLiquidity, "0"),
    ];
    for (request, status, reason, filled) in table {
        let name = request.request_id.clone();
        let order = served.place(request).await.unwrap().order.unwrap();
        assert_eq!(
            (order.status(), order.reason(), order.filled_quantity.as_str()),
            (status, reason, filled),
            "{name}"
        );
        assert_eq!(order.open_quantity, "0", "{name}");
    }
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_till_date_order_expires() {
    let mut served = Served::start().await;
    let now = std::time::UNIX_EPOCH.elapsed().unwrap() + std::time::Duration::from_millis(700);
    let expire_time =
        prost_types::Timestamp { seconds: now.as_secs() as i64, nanos: now.subsec_nanos() as i32 };
    let gtd = v1::NewOrder {
        time_in_force: TimeInForce::Gtd.into(),
        expire_time: Some(expire_time),
        ..new_order(Side::Buy, "10", "1")
    };
    let id = served.place(order("1", gtd)).await.unwrap().order.unwrap().order_id;
    let get = || v1::GetOrderRequest {
        market: MARKET.into(),
        order_id: id.clone(),
        at_least: 0,
        ..Default::default()
    };
    let order = loop {
        let order = served.trading.get_order(get()).await.unwrap().into_inner().order.unwrap();
        // Its time has come a moment before that is on the tape.
        if ![OrderStatus::Open, OrderStatus::Expiring].contains(&order.status()) {
            break order;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    assert_eq!((order.status(), order.reason()), (OrderStatus::Expired, Reason::ExpireTime));
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_fills_and_trades_are_listed_by_page() {
    let mut served = Served::start().await;
    let mut open = Vec::new();
    for n in 0..5 {
        open.push(served.place(buy(&format!("o{n}"), "5", "1")).await.unwrap().order.unwrap().order_id);
    }
    let mut closed = Vec::new();
    for n in 0..7 {
        // Trades with oneself: two fills at each position.
        closed.push(served.place(sell(&format!("m{n}"), "10", "1")).await.unwrap().order.unwrap().order_id);
        closed.push(served.place(buy(&format!("t{n}"), "10", "1")).await.unwrap().order.unwrap().order_id);
    }
    served.place_as("other", buy("x", "6", "1")).await.unwrap();
    open.sort();
    closed.reverse();
    let expected: Vec<_> = open.iter().chain(&closed).cloned().collect();
    for page_size in [1, 2, 3, 8, 100] {
        let mut seen = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = v1::ListOrdersRequest {
                market: MARKET.into(),
                include_closed: true,
                page_size,
                page_token,
                ..Default::default()
            };
            let page = served.trading.list_orders(request).await.unwrap().into_inner();
            assert!(page.orders.len() <= page_size as usize);
            seen.extend(page.orders.into_iter().map(|order| order.order_id));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        assert_eq!(seen, expected, "pages of {page_size}");
    }

    let only_open = v1::ListOrdersRequest { market: MARKET.into(), ..Default::default() };
    let page = served.trading.list_orders(only_open).await.unwrap().into_inner();
    assert_eq!(page.orders.len(), 5);

    let fills = pages_of_fills(&mut served, "").await;
    assert_eq!(fills.len(), 14);
    assert!(fills.is_sorted_by(|a, b| a.position >= b.position));
    let of_one = pages_of_fills(&mut served, &closed[3]).await;
    assert_eq!((of_one.len(), &of_one[0].order_id), (1, &closed[3]));
    let none = pages_of_fills(&mut served, &open[0]).await;
    assert_eq!(none, []);
    let request =
        v1::ListFillsRequest { market: MARKET.into(), order_id: open[0].clone(), ..Default::default() };
    let other = served.trading.list_fills(by("other", request)).await;
    let words = format!("order_id is \"{}\": the order belongs to another account", open[0]);
    assert_refused(other, Code::PermissionDenied, "OTHER_ACCOUNT", &words);
    served.end().await;
}

async fn pages_of_fills(served: &mut Served, order_id: &str) -> Vec<v1::Fill> {
    let mut fills = Vec::new();
    let mut page_token = String::new();
    loop {
        let market = MARKET.into();
        let request = v1::ListFillsRequest {
            market,
            order_id: order_id.into(),
            page_size: 3,
            page_token,
            ..Default::default()
        };
        let page = served.trading.list_fills(request).await.unwrap().into_inner();
        fills.extend(page.fills);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return fills;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_found_open_and_closed() {
    let mut served = Served::start().await;
    let placed = served.place(buy("1", "10", "1")).await.unwrap();
    let id = placed.order.clone().unwrap().order_id;
    let get = |id: &str, at_least| v1::GetOrderRequest {
        market: MARKET.into(),
        order_id: id.into(),
        at_least,
        ..Default::default()
    };
    let found = served.trading.get_order(get(&id, placed.position)).await.unwrap().into_inner();
    assert_eq!(found.order, placed.order);
    let other = served.trading.get_order(by("other", get(&id, 0))).await;
    assert_eq!(other.unwrap_err().code(), Code::PermissionDenied);
    let taken = served.place_as("other", sell("1", "10", "1")).await.unwrap();
    let closed =
        served.trading.get_order(get(&id, taken.position)).await.unwrap().into_inner().order.unwrap();
    assert_eq!((closed.status(), closed.filled_value.as_str()), (OrderStatus::Filled, "10"));
    let other = served.trading.get_order(by("other", get(&id, 0))).await;
    assert_eq!(other.unwrap_err().code(), Code::PermissionDenied);
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_book_shows_levels_and_orders() {
    let mut served = Served::start().await;
    let mut ids = Vec::new();
    for n in 0..4 {
        ids.push(served.place(sell(&format!("s{n}"), "10.5", "0.5")).await.unwrap().order.unwrap().order_id);
    }
    served.place(sell("far", "11", "1")).await.unwrap();
    let request = v1::GetOrderBookRequest {
        market: MARKET.into(),
        depth: 1,
        detail: v1::BookDetail::Orders.into(),
        ..Default::default()
    };
    let book = served.data.get_order_book(request).await.unwrap().into_inner();
    assert_eq!((levels(&book.asks), book.asks[0].order_count), (vec![("10.5", "2")], 4));
    let shown: Vec<_> = book.asks[0].orders.iter().map(|order| order.order_id.clone()).collect();
    assert_eq!(shown, ids);
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_order_is_answered_at_once_and_found() {
    let mut served = Served::start().await;
    let request =
        v1::PlaceOrderRequest { answer_when: v1::AnswerWhen::Accepted.into(), ..buy("1", "10", "1") };
    let order = served.place(request).await.unwrap().order.unwrap();
    assert!(matches!(order.status(), OrderStatus::Pending | OrderStatus::Open), "{order:?}");
    let get = v1::GetOrderRequest {
        market: MARKET.into(),
        order_id: order.order_id,
        at_least: 1,
        ..Default::default()
    };
    let found = served.trading.get_order(get).await.unwrap().into_inner().order.unwrap();
    assert_eq!(found.status(), OrderStatus::Open);
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_node_tells_how_it_is() {
    let mut served = Served::start().await;
    served.place(buy("1", "10", "1")).await.unwrap();
    let node = served.cluster.get_node(v1::GetNodeRequest {}).await.unwrap().into_inner();
    assert_eq!((node.node_id.len(), node.version.as_str()), (16, env!("CARGO_PKG_VERSION")));
    let names: Vec<_> = node.documents.iter().map(|document| document.name.as_str()).collect();
    assert_eq!(names, ["directory", MARKET]);
    let market = &node.documents[1];
    // It was accepted, and it rested.
    assert_eq!((market.holder.as_str(), market.position), (node.node_id.as_str(), 2));
    assert_eq!((market.voters.as_slice(), market.digest.len()), (&[node.node_id.clone()][..], 64));
    assert!(market.term > 0 && market.changes > 0 && market.bytes > 0 && market.tape_time.is_some());
    served.end().await;
}
