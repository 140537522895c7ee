//! Kinds of orders through the API: what is asked for, what is told, and bad input by name.

use tonic::Code;
use xbook_proto::v1::{self, OrderStatus, Reason, SelfTradePrevention, Side};

use super::support::{MARKET, Served, assert_refused, create_request, new_order, order, sell};

fn with(id: &str, way: SelfTradePrevention, side: Side, quantity: &str) -> v1::PlaceOrderRequest {
    order(id, v1::NewOrder { self_trade_prevention: way.into(), ..new_order(side, "10", quantity) })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_does_not_trade_with_its_own_account_if_it_says_so() {
    use SelfTradePrevention::{CancelBoth, CancelMaker, CancelTaker, Decrement};
    let mut served = Served::start().await;
    let table = [
        // What becomes of a bid for 5 against an own ask for 2, and of the ask.
        (CancelTaker, OrderStatus::Cancelled, "0", OrderStatus::Open, "0"),
        (CancelMaker, OrderStatus::Open, "0", OrderStatus::Cancelled, "0"),
        (CancelBoth, OrderStatus::Cancelled, "0", OrderStatus::Cancelled, "0"),
        (Decrement, OrderStatus::Open, "2", OrderStatus::Cancelled, "2"),
    ];
    for (way, taken, lost, made, maker_lost) in table {
        let name = way.as_str_name();
        let maker = served.place(sell(&format!("m-{name}"), "10", "2")).await.unwrap().order.unwrap();
        let placed = served.place(with(&format!("t-{name}"), way, Side::Buy, "5")).await.unwrap();
        let taker = placed.order.unwrap();
        assert_eq!((taker.status(), taker.prevented_quantity.as_str()), (taken, lost), "{name}");
        assert_eq!((taker.self_trade_prevention(), placed.fills.len()), (way, 0), "{name}");
        let get = v1::GetOrderRequest {
            market: MARKET.into(),
            order_id: maker.order_id,
            at_least: placed.position,
            ..Default::default()
        };
        let maker = served.trading.get_order(get).await.unwrap().into_inner().order.unwrap();
        assert_eq!((maker.status(), maker.prevented_quantity.as_str()), (made, maker_lost), "{name}");
        for order in [taker, maker] {
            let ended = order.status() == OrderStatus::Cancelled;
            assert_eq!(order.reason() == Reason::SelfTrade, ended, "{name}");
        }
        let all = v1::CancelAllOrdersRequest {
            request_id: format!("all-{name}"),
            market: MARKET.into(),
            ..Default::default()
        };
        served.trading.cancel_all_orders(all).await.unwrap();
    }
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_can_not_ask_for_trades_with_itself_and_a_market_can() {
    let mut served = Served::start().await;
    let allow = SelfTradePrevention::Allow;
    let placed = served.place(with("1", allow, Side::Buy, "1")).await;
    let words =
        "order.self_trade_prevention is \"ALLOW\": must not be ALLOW, which only a market's rules can be";
    assert_refused(placed, Code::InvalidArgument, "CONFLICTING_FIELDS", words);
    let unknown = v1::NewOrder { self_trade_prevention: 77, ..new_order(Side::Buy, "10", "1") };
    let words = "order.self_trade_prevention is \"77\": must be a value that this node knows";
    assert_refused(served.place(order("2", unknown)).await, Code::InvalidArgument, "UNKNOWN_VALUE", words);

    let create = |market: &str, way: i32| {
        let request = create_request(market);
        let rules = v1::MarketRules { default_self_trade_prevention: way, ..request.rules.unwrap() };
        v1::CreateMarketRequest { rules: Some(rules), ..request }
    };
    let unknown = served.cluster.create_market(create("ETH/USDT", 77)).await;
    let words = "rules.default_self_trade_prevention is \"77\": must be a value that this node knows";
    assert_refused(unknown, Code::InvalidArgument, "UNKNOWN_VALUE", words);
    for (market, asked, told) in
        [("A/B", SelfTradePrevention::Unspecified, SelfTradePrevention::CancelTaker), ("C/D", allow, allow)]
    {
        let created = served.cluster.create_market(create(market, asked.into())).await.unwrap();
        let rules = created.into_inner().market.unwrap().rules.unwrap();
        assert_eq!(rules.default_self_trade_prevention(), told);
    }
    served.end().await;
}
