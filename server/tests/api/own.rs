//! One's own orders, fills and positions: in one market or in all, with filters, while trading goes on.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use tonic::Code;
use xbook_proto::v1::subscribe_response::Event;
use xbook_proto::v1::subscription::Channel;
use xbook_proto::v1::subscription_service_client::SubscriptionServiceClient;
use xbook_proto::v1::{self, Side};

use super::support::{MARKET, Served, assert_refused, buy, by, connect, sell};

const MARKETS: [&str; 3] = ["BTC/USDT", "ETH/USDT", "XRP/BTC"];

async fn orders(served: &Served, request: v1::ListOrdersRequest) -> Vec<v1::Order> {
    let mut request = request;
    let mut all = Vec::new();
    loop {
        let page = served.trading.clone().list_orders(request.clone()).await.unwrap().into_inner();
        all.extend(page.orders);
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            return all;
        }
    }
}

async fn fills(served: &Served, request: v1::ListFillsRequest) -> Vec<v1::Fill> {
    let mut request = request;
    let mut all = Vec::new();
    loop {
        let page = served.trading.clone().list_fills(request.clone()).await.unwrap().into_inner();
        all.extend(page.fills);
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            return all;
        }
    }
}

async fn positions(served: &Served, market: &str) -> Vec<v1::MarketPosition> {
    let request = v1::ListPositionsRequest { market: market.into(), at_least: 0 };
    served.trading.clone().list_positions(request).await.unwrap().into_inner().positions
}

/// Three markets in which the account has orders and fills.
async fn three_markets() -> Served {
    let mut served = Served::empty().await;
    for (number, market) in MARKETS.iter().enumerate() {
        served.create(market).await.unwrap();
        for round in 0..9 {
            let price = format!("{}", 10 + round % 3);
            let size = format!("{}", 1 + (round + number) % 4);
            for request in [sell(&format!("s{round}"), &price, &size), buy(&format!("b{round}"), &price, "2")]
            {
                served.place(v1::PlaceOrderRequest { market: (*market).into(), ..request }).await.unwrap();
            }
        }
        let other = v1::PlaceOrderRequest { market: (*market).into(), ..buy("other", "1", "1") };
        served.place_as("other", other).await.unwrap();
    }
    served
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_of_all_markets_are_those_of_each() {
    let served = three_markets().await;
    for include_closed in [false, true] {
        let mut each = Vec::new();
        for market in MARKETS {
            let request =
                v1::ListOrdersRequest { market: market.into(), include_closed, ..Default::default() };
            each.extend(orders(&served, request).await);
        }
        assert!(each.iter().all(|order| order.account == "main") && each.len() > 3);
        for page_size in [1, 4, 1_000] {
            let request = v1::ListOrdersRequest { include_closed, page_size, ..Default::default() };
            assert_eq!(orders(&served, request).await, each, "{page_size}");
        }
    }
    let mut each = Vec::new();
    for market in MARKETS {
        let of = fills(&served, v1::ListFillsRequest { market: market.into(), ..Default::default() }).await;
        assert!(of.iter().all(|fill| fill.market == market) && of.len() > 9);
        each.extend(of);
    }
    for page_size in [1, 5, 1_000] {
        assert_eq!(fills(&served, v1::ListFillsRequest { page_size, ..Default::default() }).await, each);
    }
    // Filters leave out and nothing else.
    let (begin, end) = (each[each.len() / 3].time, each[3].time);
    let key = |time: &Option<prost_types::Timestamp>| time.as_ref().map(|time| (time.seconds, time.nanos));
    for side in [Side::Unspecified, Side::Buy, Side::Sell] {
        let of_side = |of: i32| side == Side::Unspecified || of == side as i32;
        let request = v1::ListFillsRequest {
            side: side.into(),
            page_size: 3,
            begin_time: begin,
            end_time: end,
            ..Default::default()
        };
        let within = |time| key(time) >= key(&begin) && key(time) < key(&end);
        let expected: Vec<_> =
            each.iter().filter(|fill| of_side(fill.side) && within(&fill.time)).cloned().collect();
        assert_eq!(fills(&served, request).await, expected);
        let all = v1::ListOrdersRequest { include_closed: true, ..Default::default() };
        let all = orders(&served, all).await;
        let request = v1::ListOrdersRequest {
            include_closed: true,
            side: side.into(),
            page_size: 3,
            begin_time: begin,
            end_time: end,
            ..Default::default()
        };
        let expected: Vec<_> =
            all.iter().filter(|order| of_side(order.side) && within(&order.update_time)).cloned().collect();
        assert_eq!(orders(&served, request).await, expected);
    }
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn positions_are_the_sums_of_fills_also_after_a_restart() {
    let mut served = three_markets().await;
    for round in 0..3 {
        let mut expected = Vec::new();
        for market in MARKETS {
            let of =
                fills(&served, v1::ListFillsRequest { market: market.into(), ..Default::default() }).await;
            let sums = |side: Side| {
                let of = of.iter().filter(move |fill| fill.side() == side);
                of.fold((Decimal::ZERO, Decimal::ZERO), |(quantity, value), fill| {
                    let (size, price): (Decimal, Decimal) =
                        (fill.quantity.parse().unwrap(), fill.price.parse().unwrap());
                    (quantity + size, value + size * price)
                })
            };
            let (bought, sold) = (sums(Side::Buy), sums(Side::Sell));
            let text = |number: Decimal| number.normalize().to_string();
            expected.push((
                market.to_owned(),
                [bought.0, bought.1, sold.0, sold.1, bought.0 - sold.0].map(text),
                of.len() as u64,
            ));
        }
        let found = positions(&served, "").await.into_iter().map(|at| {
            let sums =
                [at.bought_quantity, at.bought_value, at.sold_quantity, at.sold_value, at.net_quantity];
            (at.market, sums, at.fill_count)
        });
        assert_eq!(found.collect::<Vec<_>>(), expected);
        assert_eq!(positions(&served, MARKET).await.len(), 1);
        // Sums go on from where they were, and begin anew after a restart.
        if round == 1 {
            served = Served::on(served.end().await).await;
        }
        served.place_as("other", sell(&format!("more{round}"), "9", "1")).await.unwrap();
        served.place(buy(&format!("more{round}"), "9", "2")).await.unwrap();
    }
    assert_eq!(positions(&served, "ETH/USDT").await[0].market, "ETH/USDT");
    let nobody = v1::ListPositionsRequest::default();
    let none = served.trading.list_positions(by("nobody", nobody)).await.unwrap().into_inner();
    assert_eq!(none, v1::ListPositionsResponse::default());
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_orders_of_all_markets_are_cancelled_once() {
    let mut served = three_markets().await;
    let open = orders(&served, v1::ListOrdersRequest::default()).await;
    let request = v1::CancelAllOrdersRequest { request_id: "all".into(), ..Default::default() };
    let answer = served.trading.cancel_all_orders(request.clone()).await.unwrap().into_inner();
    assert_eq!(answer.count, open.len() as u64);
    let mut by_market: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for order in &open {
        by_market.entry(&order.market).or_default().push(&order.order_id);
    }
    let found: BTreeMap<&str, Vec<&str>> = answer
        .markets
        .iter()
        .map(|of| (of.market.as_str(), of.order_ids.iter().map(String::as_str).collect()))
        .collect();
    assert_eq!(found, by_market);
    assert_eq!(orders(&served, v1::ListOrdersRequest::default()).await, []);
    served.place(buy("late", "1", "1")).await.unwrap();
    let again = served.trading.cancel_all_orders(request).await.unwrap().into_inner();
    assert_eq!(again, answer, "a repeat has one effect");
    assert_eq!(orders(&served, v1::ListOrdersRequest::default()).await.len(), 1);
    let words = "request_id: must be set";
    let nameless = v1::CancelAllOrdersRequest::default();
    let refused = served.trading.cancel_all_orders(nameless).await;
    assert_refused(refused, Code::InvalidArgument, "MISSING_FIELD", words);
    let words = "at_least is \"1\": must not be set without a market: each has positions of its own";
    let list = v1::ListOrdersRequest { at_least: 1, ..Default::default() };
    let refused = served.trading.list_orders(list).await;
    assert_refused(refused, Code::InvalidArgument, "CONFLICTING_FIELDS", words);
    served.end().await;
}

/// Between two pages orders of the list are filled and cancelled, and new ones are placed.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_neither_skips_nor_repeats_while_trading_goes_on() {
    let mut served = Served::start().await;
    for number in 0..60 {
        let price = format!("{}", 100 + number);
        served.place(sell(&format!("s{number}"), &price, "1")).await.unwrap();
    }
    let closed = served.place(buy("taker", "109", "10")).await.unwrap().order.unwrap();
    let first = v1::ListOrdersRequest {
        market: MARKET.into(),
        include_closed: true,
        page_size: 7,
        ..Default::default()
    };
    let whole = orders(&served, v1::ListOrdersRequest { page_size: 1_000, ..first.clone() }).await;
    let ids = |orders: &[v1::Order]| orders.iter().map(|order| order.order_id.clone()).collect::<Vec<_>>();
    assert!(ids(&whole).contains(&closed.order_id));
    let (mut request, mut seen, mut round) = (first, Vec::new(), 0);
    loop {
        let page = served.trading.list_orders(request.clone()).await.unwrap().into_inner();
        seen.extend(page.orders);
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
        round += 1;
        // The best one is filled, one in the middle and one at the end go, and others come.
        served.place(buy(&format!("b{round}"), "300", "1")).await.unwrap();
        for number in [60 - round, 20 + round] {
            let cancel = v1::CancelOrderRequest {
                request_id: format!("c{round}-{number}"),
                market: MARKET.into(),
                placed_by_request_id: format!("s{number}"),
                ..Default::default()
            };
            // It may have been filled.
            let _ = served.trading.cancel_order(cancel).await;
        }
        for number in 0..3 {
            served.place(sell(&format!("new{round}-{number}"), "500", "1")).await.unwrap();
        }
    }
    assert!(round > 5, "{round}");
    assert_eq!(ids(&seen), ids(&whole));
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn own_updates_of_several_markets_come_on_one_stream() {
    let mut served = three_markets().await;
    let mut client = SubscriptionServiceClient::new(connect(served.address).await);
    let subscription = |market: &str| v1::Subscription {
        market: market.into(),
        after_position: Some(0),
        channel: Some(Channel::Updates(v1::UpdatesChannel {})),
    };
    let subscriptions: Vec<_> = MARKETS.iter().map(|market| subscription(market)).collect();
    let mut stream = client.subscribe(v1::SubscribeRequest { subscriptions }).await.unwrap().into_inner();
    let last = served.place(buy("last", "1", "1")).await.unwrap().position;
    let mut seen: [Vec<v1::OrderUpdate>; 3] = Default::default();
    let mut positions = [0; 3];
    let ends = MARKETS.map(|market| match market {
        MARKET => last,
        market => served.node.market(market).unwrap().shown().0 - 1,
    });
    while positions.iter().zip(&ends).any(|(at, end)| at < end) {
        let message = stream.message().await.unwrap().unwrap();
        let number = message.subscription as usize;
        assert_eq!(message.previous_position, positions[number]);
        positions[number] = message.position;
        if let Some(Event::Updates(updates)) = message.event {
            seen[number].extend(updates.updates);
        }
    }
    for (market, seen) in MARKETS.iter().zip(&seen) {
        let expected =
            fills(&served, v1::ListFillsRequest { market: (*market).into(), ..Default::default() }).await;
        let found: Vec<_> = seen.iter().rev().filter_map(|update| update.fill.clone()).collect();
        assert_eq!(found.len(), expected.len());
        assert!(seen.iter().all(|update| update.order.as_ref().unwrap().account == "main"));
    }
    served.end().await;
}
