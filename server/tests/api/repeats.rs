//! A repeated request has one effect and gets the first one's answer.

use tonic::Code;
use xbook_proto::v1::{self, OrderStatus, Side};

use super::support::{MARKET, Served, assert_refused, buy, create_request, sell};

fn reused(id: &str) -> String {
    format!("request_id is \"{id}\": it was used before with another content")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_order_is_placed_once() {
    let mut served = Served::start().await;
    served.place(sell("m1", "10", "1")).await.unwrap();
    served.place(sell("m2", "11", "1")).await.unwrap();
    let first = served.place(buy("1", "11", "3")).await.unwrap();
    assert_eq!(first.fills.len(), 2);
    // What happened to the order since does not change the answer.
    served.place_as("other", sell("1", "11", "1")).await.unwrap();
    assert_eq!(served.place(buy("1", "11", "3")).await.unwrap(), first);
    let other = served.place(buy("1", "11", "4")).await;
    assert_refused(other, Code::AlreadyExists, "REQUEST_ID_REUSED", &reused("1"));
    // How a call wants to be answered is not part of what it asks for.
    let accepted =
        v1::PlaceOrderRequest { answer_when: v1::AnswerWhen::Accepted.into(), ..buy("1", "11", "3") };
    assert_eq!(served.place(accepted).await.unwrap(), first);
    // The same id of another account is another request.
    let own = served.place_as("third", buy("1", "11", "3")).await.unwrap();
    assert_ne!(own.order.unwrap().order_id, first.order.clone().unwrap().order_id);

    let rejected = buy("r", "", "5");
    let answer = served.place(rejected.clone()).await.unwrap();
    assert_eq!(served.place(rejected).await.unwrap(), answer);

    // After a restart too.
    let data = served.end().await;
    let mut served = Served::on(data).await;
    assert_eq!(served.place(buy("1", "11", "3")).await.unwrap(), first);
    let other = served.place(buy("1", "11", "4")).await;
    assert_refused(other, Code::AlreadyExists, "REQUEST_ID_REUSED", &reused("1"));
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn repeats_that_arrive_together_place_one_order() {
    let mut served = Served::start().await;
    let calls = (0..32).map(|n| {
        let mut client = served.trading.clone();
        let when = if n % 2 == 0 { v1::AnswerWhen::Committed } else { v1::AnswerWhen::Accepted };
        let request = v1::PlaceOrderRequest { answer_when: when.into(), ..buy("same", "10", "1") };
        tokio::spawn(async move {
            client.place_order(request).await.unwrap().into_inner().order.unwrap().order_id
        })
    });
    let ids = futures::future::join_all(calls.collect::<Vec<_>>()).await;
    let ids: Vec<String> = ids.into_iter().map(Result::unwrap).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_eq!(served.book(1).await.bids[0].order_count, 1);
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn repeated_amends_and_cancels_get_the_first_answer() {
    use v1::amend_order_request::Size;
    let mut served = Served::start().await;
    served.place(sell("m", "12", "1")).await.unwrap();
    let id = served.place(buy("1", "10", "5")).await.unwrap().order.unwrap().order_id;
    let amend = v1::AmendOrderRequest {
        request_id: "a".into(),
        market: MARKET.into(),
        order_id: id.clone(),
        price: "12".into(),
        size: Some(Size::TotalQuantity("4".into())),
        ..Default::default()
    };
    let first = served.trading.amend_order(amend.clone()).await.unwrap().into_inner();
    assert_eq!((first.fills.len(), first.order.clone().unwrap().open_quantity.as_str()), (1, "3"));
    let cancel = |request: &str| v1::CancelOrderRequest {
        request_id: request.into(),
        market: MARKET.into(),
        order_id: id.clone(),
        withdraw: false,
        ..Default::default()
    };
    let cancelled = served.trading.cancel_order(cancel("c")).await.unwrap().into_inner();
    assert_eq!(served.trading.amend_order(amend.clone()).await.unwrap().into_inner(), first);
    assert_eq!(served.trading.cancel_order(cancel("c")).await.unwrap().into_inner(), cancelled);
    let other = v1::AmendOrderRequest { price: "13".into(), ..amend };
    let result = served.trading.amend_order(other).await;
    assert_refused(result, Code::AlreadyExists, "REQUEST_ID_REUSED", &reused("a"));
    // An id stands for one request, whatever its kind.
    let result = served.trading.cancel_order(cancel("a")).await;
    assert_refused(result, Code::AlreadyExists, "REQUEST_ID_REUSED", &reused("a"));
    // A refusal is repeated as well.
    for _ in 0..2 {
        let words = format!("order_id is \"{id}\": the order is closed: CANCELLED");
        let result = served.trading.cancel_order(cancel("late")).await;
        assert_refused(result, Code::FailedPrecondition, "ORDER_CLOSED", &words);
    }
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_cancel_all_names_the_same_orders() {
    let mut served = Served::start().await;
    for n in 0..4 {
        served.place(buy(&format!("b{n}"), "10", "1")).await.unwrap();
    }
    let all = |request: &str| v1::CancelAllOrdersRequest {
        request_id: request.into(),
        market: MARKET.into(),
        side: Side::Unspecified.into(),
    };
    let first = served.trading.cancel_all_orders(all("1")).await.unwrap().into_inner();
    assert_eq!(first.order_ids.len(), 4);
    served.place(buy("later", "10", "1")).await.unwrap();
    assert_eq!(served.trading.cancel_all_orders(all("1")).await.unwrap().into_inner(), first);
    assert_eq!(served.book(0).await.bids[0].order_count, 1);
    let none = v1::CancelAllOrdersRequest { side: Side::Sell.into(), ..all("2") };
    let first = served.trading.cancel_all_orders(none.clone()).await.unwrap().into_inner();
    assert_eq!(served.trading.cancel_all_orders(none).await.unwrap().into_inner(), first);
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_market_is_created_once() {
    let mut served = Served::empty().await;
    let first = served.create(MARKET).await.unwrap();
    assert_eq!(served.create(MARKET).await.unwrap(), first);
    let other = v1::CreateMarketRequest { market: "ETH/USDT".into(), ..create_request(MARKET) };
    let id = other.request_id.clone();
    let result = served.cluster.create_market(other).await;
    assert_refused(result, Code::AlreadyExists, "REQUEST_ID_REUSED", &reused(&id));
    let data = served.end().await;
    let mut served = Served::on(data).await;
    assert_eq!(served.create(MARKET).await.unwrap().position, first.position);
    served.place(buy("1", "10", "1")).await.unwrap();
    served.end().await;
}

/// A GTD order with its time so many milliseconds from now.
fn until(id: &str, millis: u64) -> v1::PlaceOrderRequest {
    let at = std::time::UNIX_EPOCH.elapsed().unwrap() + std::time::Duration::from_millis(millis);
    let expire_time = Some(prost_types::Timestamp {
        seconds: i64::try_from(at.as_secs()).unwrap(),
        nanos: i32::try_from(at.subsec_nanos()).unwrap(),
    });
    let mut request = buy(id, "10", "1");
    let order = request.order.as_mut().unwrap();
    order.expire_time = expire_time;
    order.time_in_force = v1::TimeInForce::Gtd.into();
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_after_its_own_time_gets_the_first_answer() {
    let mut served = Served::start().await;
    served.place(sell("ask", "10", "1")).await.unwrap();
    let filled = until("filled", 400);
    let first = served.place(filled.clone()).await.unwrap();
    assert_eq!(first.order.as_ref().unwrap().status(), OrderStatus::Filled);
    // Until tape time is beyond it: an order at that time is the sign.
    let rested = until("rested", 400);
    let id = served.place(rested.clone()).await.unwrap().order.unwrap().order_id;
    while served.order(&id).await.status() != OrderStatus::Expired {
        tokio::task::yield_now().await;
    }
    assert_eq!(served.place(filled).await.unwrap(), first);
    let again = served.place(rested).await.unwrap().order.unwrap();
    assert_eq!((again.status(), again.order_id), (OrderStatus::Open, id));
    // A first request whose time has passed is still refused, and has no effect.
    let late = served.place(until("late", 0)).await.unwrap_err();
    assert_eq!(late.code(), Code::InvalidArgument);
    let bids = served.book(0).await.bids;
    assert!(bids.is_empty(), "{bids:?}");
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_finds_its_order_by_its_own_id() {
    let mut served = Served::start().await;
    let id = served.place(buy("mine", "10", "1")).await.unwrap().order.unwrap().order_id;
    let mut request = v1::GetOrderRequest {
        market: MARKET.into(),
        placed_by_request_id: "mine".into(),
        ..Default::default()
    };
    let found = served.trading.get_order(request.clone()).await.unwrap().into_inner();
    assert_eq!(found.order.unwrap().order_id, id);
    request.placed_by_request_id = "another".into();
    let unknown = served.trading.get_order(request.clone()).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    request.order_id = id;
    let both = served.trading.get_order(request).await.unwrap_err();
    assert_eq!(both.code(), Code::InvalidArgument);
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_amend_at_or_below_what_is_filled_names_both_numbers() {
    let mut served = Served::start().await;
    let id = served.place(buy("1", "10", "5")).await.unwrap().order.unwrap().order_id;
    served.place(sell("2", "10", "2")).await.unwrap();
    for (n, total) in ["2", "1"].into_iter().enumerate() {
        let amend = v1::AmendOrderRequest {
            request_id: format!("amend-{n}"),
            market: MARKET.into(),
            order_id: id.clone(),
            size: Some(v1::amend_order_request::Size::TotalQuantity(total.into())),
            ..Default::default()
        };
        let words = "total_quantity: must be above what is filled, 2 of 5; the order is as it was";
        let answer = served.trading.amend_order(amend).await;
        assert_refused(answer, Code::FailedPrecondition, "BELOW_FILLED", words);
    }
    served.end().await;
}
