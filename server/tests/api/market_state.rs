//! What a market takes in its states.

use tonic::Code;
use xbook_proto::v1::{self, MarketState, OrderStatus, Reason, Side, TimeInForce};

use super::support::{MARKET, Served, assert_refused, buy, order, sell};

fn set(request: &str, state: MarketState) -> v1::SetMarketStateRequest {
    v1::SetMarketStateRequest { request_id: request.into(), market: MARKET.into(), state: state.into() }
}

async fn state_of(served: &Served) -> MarketState {
    let request = v1::GetMarketRequest { market: MARKET.into() };
    served.data.clone().get_market(request).await.unwrap().into_inner().market.unwrap().state()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_halted_market_only_cancels_until_it_goes_on_also_after_a_restart() {
    let mut served = Served::start().await;
    assert_eq!(state_of(&served).await, MarketState::Continuous);
    let resting = served.place(buy("1", "9", "1")).await.unwrap().order.unwrap();
    served.cluster.set_market_state(set("halt", MarketState::Halted)).await.unwrap();
    let mut served = Served::on(served.end().await).await;
    assert_eq!(state_of(&served).await, MarketState::Halted);
    let refused = served.place(buy("2", "9", "1")).await.unwrap().order.unwrap();
    assert_eq!((refused.status(), refused.reason()), (OrderStatus::Rejected, Reason::MarketState));
    let amend = v1::AmendOrderRequest {
        request_id: "3".into(),
        market: MARKET.into(),
        order_id: resting.order_id.clone(),
        price: "8".into(),
        size: None,
        ..Default::default()
    };
    let id = &resting.order_id;
    let words =
        format!("order_id is \"{id}\": the market does not take it in its state; the order is as it was");
    let amended = served.trading.amend_order(amend).await;
    assert_refused(amended, Code::FailedPrecondition, "MARKET_STATE", &words);
    served.cluster.set_market_state(set("on", MarketState::Continuous)).await.unwrap();
    let traded = served.place(sell("4", "9", "1")).await.unwrap().order.unwrap();
    assert_eq!(traded.status(), OrderStatus::Filled);
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_close_ends_day_orders_and_a_delisting_all_for_ever() {
    let mut served = Served::start().await;
    let new = |id: &str, time_in_force: TimeInForce| {
        let request = buy(id, "9", "1");
        let new = v1::NewOrder { time_in_force: time_in_force.into(), ..request.order.unwrap() };
        order(id, new)
    };
    let day = served.place(new("day", TimeInForce::Day)).await.unwrap().order.unwrap();
    let gtc = served.place(new("gtc", TimeInForce::Gtc)).await.unwrap().order.unwrap();
    let closed =
        served.cluster.set_market_state(set("close", MarketState::Closed)).await.unwrap().into_inner();
    assert_eq!(closed.ended_orders, 1);
    let again =
        served.cluster.set_market_state(set("close", MarketState::Closed)).await.unwrap().into_inner();
    assert_eq!(again, closed, "a repeat has one effect");
    let order = served.order(&day.order_id).await;
    assert_eq!((order.status(), order.reason()), (OrderStatus::Expired, Reason::SessionEnd));
    let delisted = served.cluster.set_market_state(set("del", MarketState::Delisted)).await.unwrap();
    assert_eq!(delisted.into_inner().ended_orders, 1);
    let order = served.order(&gtc.order_id).await;
    assert_eq!((order.status(), order.reason()), (OrderStatus::Cancelled, Reason::Delisted));
    let back = served.cluster.set_market_state(set("back", MarketState::Continuous)).await;
    assert_refused(back, Code::FailedPrecondition, "MARKET_STATE", "the request was refused");
    assert_eq!(state_of(&served).await, MarketState::Delisted);
    let none = served.cluster.set_market_state(set("none", MarketState::Unspecified)).await;
    assert_refused(none, Code::InvalidArgument, "MISSING_FIELD", "state: must be set");
    served.end().await;
}

fn of_auction(request: &str, side: Side, price: &str) -> v1::PlaceOrderRequest {
    let new = v1::NewOrder {
        side: side.into(),
        price: price.into(),
        quantity: "2".into(),
        time_in_force: TimeInForce::Auction.into(),
        ..Default::default()
    };
    order(request, new)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_auction_tells_what_it_would_give_and_gives_that_also_after_a_restart() {
    let mut served = Served::start().await;
    let refused = served.place(of_auction("early", Side::Buy, "9")).await.unwrap().order.unwrap();
    assert_eq!((refused.status(), refused.reason()), (OrderStatus::Rejected, Reason::MarketState));
    served.cluster.set_market_state(set("begin", MarketState::Auction)).await.unwrap();
    let at_market = served.place(of_auction("m", Side::Buy, "")).await.unwrap().order.unwrap();
    assert_eq!((at_market.status(), at_market.price.as_str()), (OrderStatus::Open, ""));
    served.place(sell("s", "9", "3")).await.unwrap();
    served.place(buy("b", "10", "0.5")).await.unwrap();

    let mut served = Served::on(served.end().await).await;
    let indication = v1::Indication { price: "9".into(), volume: "2.5".into(), surplus: "-0.5".into() };
    let request = v1::GetMarketRequest { market: MARKET.into() };
    let market = served.data.clone().get_market(request).await.unwrap().into_inner().market.unwrap();
    assert_eq!((market.indication.clone(), market.state()), (Some(indication.clone()), MarketState::Auction));
    let request = v1::GetTickerRequest { market: MARKET.into(), ..Default::default() };
    let ticker = served.data.clone().get_ticker(request).await.unwrap().into_inner().ticker.unwrap();
    assert_eq!((ticker.indication, ticker.trade_count), (Some(indication), 0));

    served.place(of_auction("l", Side::Buy, "8")).await.unwrap();
    served.cluster.set_market_state(set("end", MarketState::Continuous)).await.unwrap();
    assert_eq!(served.order(&at_market.order_id).await.status(), OrderStatus::Filled);
    let request = v1::ListTradesRequest { market: MARKET.into(), ..Default::default() };
    let trades = served.data.clone().list_trades(request).await.unwrap().into_inner().trades;
    let told: Vec<(&str, &str, bool)> =
        trades.iter().map(|trade| (trade.price.as_str(), trade.quantity.as_str(), trade.auction)).collect();
    assert_eq!(told, [("9", "0.5", true), ("9", "2", true)], "newest first");
    assert_eq!(trades[1].maker_order_id, at_market.order_id, "the buyer is told as the maker");
    let request = v1::ListOrdersRequest { market: MARKET.into(), include_closed: true, ..Default::default() };
    let orders = served.trading.clone().list_orders(request).await.unwrap().into_inner().orders;
    let ended = orders.iter().find(|order| order.request_id == "l").unwrap();
    assert_eq!((ended.status(), ended.reason()), (OrderStatus::Cancelled, Reason::AuctionEnded));
    served.end().await;
}

fn update(request: &str, rules: v1::MarketRules) -> v1::UpdateMarketRequest {
    v1::UpdateMarketRequest {
        request_id: request.into(),
        market: MARKET.into(),
        rules: Some(rules),
        reference_price: String::new(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_rules_hold_from_one_position_on_also_after_a_restart() {
    let mut served = Served::start().await;
    served.place_as("maker", sell("s", "9", "1")).await.unwrap();
    let bands = v1::MarketRules { dynamic_band_bp: 1_000, taker_fee_bp: "10".into(), ..Default::default() };
    let told = served.cluster.update_market(update("u", bands.clone())).await.unwrap().into_inner();
    let rules = told.rules.clone().unwrap();
    assert_eq!((rules.dynamic_band_bp, rules.taker_fee_bp.as_str()), (1_000, "10"));
    let again = served.cluster.update_market(update("u", bands.clone())).await.unwrap().into_inner();
    assert_eq!(again, told, "a repeat has one effect");
    let reused = served.cluster.update_market(update("u", v1::MarketRules::default())).await;
    assert_eq!(reused.unwrap_err().code(), Code::AlreadyExists);

    let mut served = Served::on(served.end().await).await;
    let request = v1::GetMarketRequest { market: MARKET.into() };
    let market = served.data.clone().get_market(request).await.unwrap().into_inner().market.unwrap();
    assert_eq!(market.rules, Some(rules.clone()));
    let bought = served.place(buy("b", "9", "0.5")).await.unwrap();
    assert_eq!(bought.fills[0].fee, "0.0045");
    served.place_as("maker", sell("far", "20", "1")).await.unwrap();
    let stopped = served.place(buy("c", "20", "1")).await.unwrap().order.unwrap();
    assert_eq!((stopped.status(), stopped.reason()), (OrderStatus::Cancelled, Reason::PriceBand));
    assert_eq!(stopped.filled_quantity, "0.5");

    let finer = v1::MarketRules { tick_size: "0.0001".into(), ..bands };
    let fixed = served.cluster.update_market(update("f", finer)).await;
    assert_refused(fixed, Code::FailedPrecondition, "FIXED_RULE", "the request was refused");
    served.end().await;
}
