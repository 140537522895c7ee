//! Kinds of orders through the API: what is asked for, what is told, and bad input by name.

use tonic::Code;
use xbook_proto::v1::{self, OrderStatus, OrderType, Reason, SelfTradePrevention, Side, TimeInForce};

use super::support::{
    MARKET, Served, assert_refused, buy, by, create_request, levels, new_order, order, sell,
};

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

#[tokio::test(flavor = "multi_thread")]
async fn few_orders_ask_for_more_and_are_told_what_they_got() {
    let mut served = Served::start().await;
    for (id, price) in [("a", "10"), ("b", "10.4"), ("c", "11")] {
        served.place(sell(id, price, "1")).await.unwrap();
    }
    let market = v1::NewOrder { protection_price: "10.5".into(), ..new_order(Side::Buy, "", "3") };
    let answer = served.place(order("protected", market)).await.unwrap();
    let told = answer.order.unwrap();
    assert_eq!((told.status(), told.reason()), (OrderStatus::Cancelled, Reason::Protection));
    assert_eq!((told.filled_quantity.as_str(), told.protection_price.as_str()), ("2", "10.5"));
    assert_eq!((told.r#type(), told.price.as_str()), (OrderType::Market, ""));

    let minimum = v1::NewOrder { min_quantity: "1.5".into(), ..new_order(Side::Buy, "11", "2") };
    let told = served.place(order("minimum", minimum)).await.unwrap().order.unwrap();
    assert_eq!((told.status(), told.reason()), (OrderStatus::Rejected, Reason::MinNotFillable));
    assert_eq!(told.min_quantity, "1.5");

    let slide = v1::NewOrder { post_only: true, slide: true, ..new_order(Side::Buy, "12", "1") };
    let told = served.place(order("slide", slide)).await.unwrap().order.unwrap();
    assert_eq!((told.status(), told.price.as_str(), told.slide), (OrderStatus::Open, "10.99", true));

    let mut to_limit = new_order(Side::Buy, "", "2");
    to_limit.set_type(OrderType::MarketToLimit);
    let answer = served.place(order("mtl", to_limit.clone())).await.unwrap();
    let told = answer.order.unwrap();
    assert_eq!((told.status(), told.r#type()), (OrderStatus::PartiallyFilled, OrderType::MarketToLimit));
    assert_eq!((told.price.as_str(), told.open_quantity.as_str(), answer.fills.len()), ("11", "1", 1));
    let told = served.place(order("nobody", to_limit)).await.unwrap().order.unwrap();
    assert_eq!((told.status(), told.reason()), (OrderStatus::Cancelled, Reason::NoLiquidity));

    // What was told is what the history keeps, and the book of everyone.
    let listed = v1::ListOrdersRequest { market: MARKET.into(), include_closed: true, ..Default::default() };
    let listed = served.trading.list_orders(listed).await.unwrap().into_inner().orders;
    let found = |id: &str| listed.iter().find(|order| order.request_id == id).unwrap().clone();
    assert_eq!(found("protected").protection_price, "10.5");
    assert_eq!((found("slide").price.as_str(), found("slide").slide), ("10.99", true));
    assert_eq!((found("mtl").r#type(), found("mtl").price.as_str()), (OrderType::MarketToLimit, "11"));
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_iceberg_hides_is_told_to_its_account_alone() {
    let mut served = Served::start().await;
    let iceberg = v1::NewOrder { display_quantity: "3".into(), ..new_order(Side::Sell, "10", "9") };
    let placed = served.place_as("a", order("iceberg", iceberg)).await.unwrap().order.unwrap();
    let told = |order: &v1::Order| {
        let amounts = [&order.quantity, &order.open_quantity, &order.display_quantity, &order.shown_quantity];
        amounts.map(String::clone).join(" ")
    };
    assert_eq!((placed.status(), told(&placed).as_str()), (OrderStatus::Open, "9 9 3 3"));
    served.place_as("b", sell("behind", "10", "4")).await.unwrap();
    let taken = served.place_as("c", buy("taker", "10", "8")).await.unwrap();
    let fills: Vec<&str> = taken.fills.iter().map(|fill| fill.quantity.as_str()).collect();
    assert_eq!((fills, taken.order.unwrap().status()), (vec!["3", "4", "1"], OrderStatus::Filled));

    let book = served.book(taken.position).await;
    let level = &book.asks[0];
    assert_eq!((levels(&book.asks), level.order_count), (vec![("10", "2")], 1));
    let detail = v1::BookDetail::Orders.into();
    let whole = v1::GetOrderBookRequest { market: MARKET.into(), detail, ..Default::default() };
    let orders = served.data.get_order_book(whole).await.unwrap().into_inner();
    assert_eq!(orders.asks[0].orders[0].quantity, "2");
    let (market, order_id) = (MARKET.to_owned(), placed.order_id.clone());
    let own = v1::GetOrderRequest { market, order_id, ..Default::default() };
    let own = served.trading.get_order(by("a", own)).await.unwrap().into_inner().order.unwrap();
    assert_eq!((own.status(), told(&own).as_str()), (OrderStatus::PartiallyFilled, "9 5 3 2"));

    // So it is after a restart, and once it is closed.
    let mut served = Served::on(served.end().await).await;
    assert_eq!(levels(&served.book(taken.position).await.asks), [("10", "2")]);
    let taken = served.place_as("c", buy("rest", "10", "5")).await.unwrap();
    let fills: Vec<&str> = taken.fills.iter().map(|fill| fill.quantity.as_str()).collect();
    assert_eq!(fills, ["2", "3"]);
    let request = v1::ListOrdersRequest { market: MARKET.into(), include_closed: true, ..Default::default() };
    let closed = served.trading.list_orders(by("a", request)).await.unwrap().into_inner().orders;
    assert_eq!((closed.len(), told(&closed[0]).as_str()), (1, "9 0 3 0"));
    served.end().await;
}

/// The order of account a that has a name of its client's.
async fn named(served: &mut Served, name: &str) -> Result<v1::Order, tonic::Status> {
    let (market, client_order_id) = (MARKET.to_owned(), name.to_owned());
    let request = v1::GetOrderRequest { market, client_order_id, ..Default::default() };
    let found = served.trading.get_order(by("a", request)).await;
    found.map(|answer| answer.into_inner().order.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_found_amended_and_cancelled_by_its_clients_name() {
    let mut served = Served::start().await;
    let place = |id: &str, name: &str| {
        order(id, v1::NewOrder { client_order_id: name.into(), ..new_order(Side::Buy, "10", "5") })
    };
    let first = served.place_as("a", place("1", "k")).await.unwrap().order.unwrap();
    assert_eq!((first.client_order_id.as_str(), first.status()), ("k", OrderStatus::Open));
    let in_use = served.place_as("a", place("2", "k")).await.unwrap().order.unwrap();
    assert_eq!((in_use.status(), in_use.reason()), (OrderStatus::Rejected, Reason::ClientIdInUse));
    // Another account's is another's business.
    served.place_as("b", place("1", "k")).await.unwrap();
    assert_eq!(named(&mut served, "k").await.unwrap().order_id, first.order_id);

    let amend = v1::AmendOrderRequest {
        request_id: "amend".into(),
        market: MARKET.into(),
        client_order_id: "k".into(),
        price: "11".into(),
        ..Default::default()
    };
    let amended = served.trading.amend_order(by("a", amend.clone())).await.unwrap().into_inner();
    assert_eq!(amended.order.unwrap().price, "11");
    let cancel = |id: &str, name: &str, withdraw| v1::CancelOrderRequest {
        request_id: id.into(),
        market: MARKET.into(),
        client_order_id: name.into(),
        withdraw,
        ..Default::default()
    };
    let unknown = "client_order_id is \"j\": no such order of this account in this market";
    let none = served.trading.cancel_order(by("a", cancel("none", "j", false))).await;
    assert_refused(none, Code::NotFound, "UNKNOWN_ORDER", unknown);
    let none = served.trading.cancel_order(by("a", cancel("none-withdraw", "j", true))).await;
    assert!(none.is_err());
    let cancelled = served.trading.cancel_order(by("a", cancel("c", "k", false))).await.unwrap().into_inner();
    let cancelled = cancelled.order.unwrap();
    assert_eq!((&cancelled.order_id, cancelled.status()), (&first.order_id, OrderStatus::Cancelled));
    // Closed, it is found until another has the name; what repeats a request is told of the first.
    let mut served = Served::on(served.end().await).await;
    assert_eq!(named(&mut served, "k").await.unwrap().order_id, first.order_id);
    let second = served.place_as("a", place("3", "k")).await.unwrap().order.unwrap();
    let again = served.trading.cancel_order(by("a", cancel("c", "k", false))).await.unwrap().into_inner();
    assert_eq!(again.order.unwrap().order_id, first.order_id);
    let again = served.trading.amend_order(by("a", amend)).await.unwrap().into_inner();
    assert_eq!(again.order.unwrap().order_id, first.order_id);
    let found = named(&mut served, "k").await.unwrap();
    assert_eq!((found.order_id.clone(), found.status()), (second.order_id.clone(), OrderStatus::Open));
    served.trading.cancel_order(by("a", cancel("w", "k", true))).await.unwrap();
    let found = named(&mut served, "k").await.unwrap();
    assert_eq!((found.order_id.clone(), found.status()), (second.order_id, OrderStatus::Cancelled));
    assert_refused(named(&mut served, "j").await, Code::NotFound, "UNKNOWN_ORDER", unknown);

    let two = v1::CancelOrderRequest { order_id: first.order_id, ..cancel("two", "k", false) };
    let two = served.trading.cancel_order(by("a", two)).await;
    let words =
        "order_id: must be the only one of order_id, placed_by_request_id, session and client_order_id";
    assert_refused(two, Code::InvalidArgument, "CONFLICTING_FIELDS", words);
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_comes_in_place_of_another_or_all_is_as_it_was() {
    let mut served = Served::start().await;
    let old = served.place_as("a", buy("old", "10", "5")).await.unwrap().order.unwrap();
    served.place_as("b", sell("ask", "11", "3")).await.unwrap();
    let replace = |id: &str, of: &str, new: v1::NewOrder| v1::ReplaceOrderRequest {
        request_id: id.into(),
        market: MARKET.into(),
        order_id: of.into(),
        order: Some(new),
        ..Default::default()
    };
    let fok = v1::NewOrder { time_in_force: TimeInForce::Fok.into(), ..new_order(Side::Buy, "11", "4") };
    let asked = replace("fok", &old.order_id, fok);
    let refused = served.trading.replace_order(by("a", asked.clone())).await.unwrap().into_inner();
    let (told, replaced) = (refused.order.unwrap(), refused.replaced);
    assert_eq!((told.status(), told.reason(), replaced), (OrderStatus::Rejected, Reason::NotFillable, None));
    assert_eq!(levels(&served.book(0).await.bids), [("10", "5")]);

    let asked_new = replace("new", &old.order_id, new_order(Side::Buy, "11", "4"));
    let done = served.trading.replace_order(by("a", asked_new.clone())).await.unwrap().into_inner();
    let new = done.order.clone().unwrap();
    assert_eq!((new.status(), done.fills.len()), (OrderStatus::PartiallyFilled, 1));
    let gone = done.replaced.clone().unwrap();
    assert_eq!(
        (&gone.order_id, gone.status(), gone.reason()),
        (&old.order_id, OrderStatus::Cancelled, Reason::Replaced)
    );
    let book = served.book(done.position).await;
    assert_eq!((levels(&book.bids), book.asks.len()), (vec![("11", "1")], 0));

    // Asked again, also after a restart, it is the same answer; asked anew there is nothing to replace.
    let mut served = Served::on(served.end().await).await;
    let again = served.trading.replace_order(by("a", asked_new)).await.unwrap().into_inner();
    assert_eq!(again, done);
    let closed = replace("late", &old.order_id, new_order(Side::Buy, "9", "4"));
    let closed = served.trading.replace_order(by("a", closed)).await;
    let words = format!("order_id is \"{}\": the order is closed: CANCELLED", old.order_id);
    assert_refused(closed, Code::FailedPrecondition, "ORDER_CLOSED", &words);
    let others = replace("other", &new.order_id, new_order(Side::Buy, "9", "4"));
    assert_eq!(
        served.trading.replace_order(by("b", others)).await.unwrap_err().code(),
        Code::PermissionDenied
    );
    let book = served.book(0).await;
    assert_eq!(levels(&book.bids), [("11", "1")]);
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_waits_for_its_trade_over_restarts_and_is_told_what_became_of_it() {
    let mut served = Served::start().await;
    for (id, price) in [("1", "100"), ("2", "99"), ("3", "98"), ("4", "97")] {
        served.place_as("b", buy(id, price, "2")).await.unwrap();
    }
    served.place_as("c", sell("last", "100", "2")).await.unwrap();
    let stop = |trigger: &str, price: &str| v1::NewOrder {
        trigger_price: trigger.into(),
        ..new_order(Side::Sell, price, "2")
    };
    let first = served.place_as("a", order("first", stop("99", ""))).await.unwrap().order.unwrap();
    assert_eq!((first.status(), first.r#type()), (OrderStatus::Waiting, OrderType::Stop));
    assert_eq!((first.trigger_price.as_str(), first.triggered_position), ("99", 0));
    let second = served.place_as("a", order("second", stop("98", "97.5"))).await.unwrap().order.unwrap();
    assert_eq!((second.status(), second.r#type()), (OrderStatus::Waiting, OrderType::StopLimit));
    let met = served.place_as("a", order("met", stop("100", ""))).await.unwrap().order.unwrap();
    assert_eq!((met.status(), met.reason()), (OrderStatus::Rejected, Reason::WouldTrigger));
    let gone = served.place_as("a", order("gone", stop("90", ""))).await.unwrap().order.unwrap();
    let (request_id, market, order_id) = ("amend".to_owned(), MARKET.to_owned(), gone.order_id.clone());
    let amend = v1::AmendOrderRequest {
        request_id,
        market,
        order_id,
        trigger_price: "91".into(),
        ..Default::default()
    };
    let amended = served.trading.amend_order(by("a", amend)).await.unwrap().into_inner().order.unwrap();
    assert_eq!((amended.status(), amended.trigger_price.as_str()), (OrderStatus::Waiting, "91"));
    let trailing = v1::NewOrder {
        trail_distance: "7".into(),
        limit_distance: "0.5".into(),
        ..new_order(Side::Sell, "", "2")
    };
    let trailing = served.place_as("d", order("trailing", trailing)).await.unwrap().order.unwrap();
    assert_eq!((trailing.status(), trailing.r#type()), (OrderStatus::Waiting, OrderType::TrailingStop));
    assert_eq!((trailing.trigger_price.as_str(), trailing.limit_distance.as_str()), ("93", "0.5"));
    // No book has them.
    assert!(served.book(amended.position).await.asks.is_empty());

    let mut served = Served::on(served.end().await).await;
    let open = v1::ListOrdersRequest { market: MARKET.into(), ..Default::default() };
    let open = served.trading.list_orders(by("a", open)).await.unwrap().into_inner().orders;
    assert_eq!(open.iter().map(v1::Order::status).collect::<Vec<_>>(), [OrderStatus::Waiting; 3]);
    let trigger = served.place_as("c", sell("trigger", "99", "2")).await.unwrap();
    assert_eq!(trigger.fills.len(), 1);
    let find =
        |id: &str| v1::GetOrderRequest { market: MARKET.into(), order_id: id.into(), ..Default::default() };
    let found =
        served.trading.get_order(by("a", find(&first.order_id))).await.unwrap().into_inner().order.unwrap();
    assert_eq!((found.status(), found.filled_value.as_str()), (OrderStatus::Filled, "196"));
    assert_eq!(found.triggered_position, trigger.position);
    // The first's trade triggered the second, which found nobody at its limit.
    let found =
        served.trading.get_order(by("a", find(&second.order_id))).await.unwrap().into_inner().order.unwrap();
    assert_eq!((found.status(), found.price.as_str()), (OrderStatus::Open, "97.5"));
    assert_eq!(levels(&served.book(0).await.asks), [("97.5", "2")]);
    let (request_id, market) = ("all".to_owned(), MARKET.to_owned());
    let all = v1::CancelAllOrdersRequest { request_id, market, ..Default::default() };
    let all = served.trading.cancel_all_orders(by("a", all)).await.unwrap().into_inner();
    assert_eq!(all.order_ids, [second.order_id, gone.order_id]);
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn terms_that_do_not_fit_are_refused_by_name() {
    let mut served = Served::start().await;
    let base = || new_order(Side::Buy, "10", "1");
    let market = || new_order(Side::Buy, "", "1");
    let to_limit = || v1::NewOrder { r#type: OrderType::MarketToLimit.into(), ..market() };
    let conflict = "CONFLICTING_FIELDS";
    let table = [
        (
            v1::NewOrder { protection_price: "9".into(), ..base() },
            conflict,
            "order.protection_price is \"9\": must be empty but for a market order",
        ),
        (
            v1::NewOrder { protection_price: "9".into(), ..to_limit() },
            conflict,
            "order.protection_price is \"9\": must be empty but for a market order",
        ),
        (
            v1::NewOrder { protection_price: "9.001".into(), ..market() },
            "OFF_TICK",
            "order.protection_price is \"9.001\": must be a multiple of 0.01",
        ),
        (
            v1::NewOrder { min_quantity: "2".into(), ..base() },
            "ABOVE_MAXIMUM",
            "order.min_quantity is \"2\": must be at most the quantity, 1",
        ),
        (
            v1::NewOrder { min_quantity: "1".into(), post_only: true, ..base() },
            conflict,
            "order.min_quantity is \"1\": must be empty with post_only, FOK and AUCTION",
        ),
        (
            v1::NewOrder { min_quantity: "1".into(), time_in_force: TimeInForce::Fok.into(), ..base() },
            conflict,
            "order.min_quantity is \"1\": must be empty with post_only, FOK and AUCTION",
        ),
        (
            v1::NewOrder { display_quantity: "1".into(), ..base() },
            "ABOVE_MAXIMUM",
            "order.display_quantity is \"1\": must be less than the quantity, 1",
        ),
        (
            v1::NewOrder { display_quantity: "0.009".into(), ..base() },
            "BELOW_MINIMUM",
            "order.display_quantity is \"0.009\": must be at least a hundredth of the quantity, 0.01",
        ),
        (
            v1::NewOrder { display_quantity: "0.5".into(), ..market() },
            conflict,
            "order.display_quantity is \"0.5\": must be empty but for a limit order with GTC, GTD or DAY",
        ),
        (
            v1::NewOrder { trigger_price: "9".into(), time_in_force: TimeInForce::Ioc.into(), ..base() },
            conflict,
            "order.time_in_force is \"TIME_IN_FORCE_IOC\": must be GTC, GTD or DAY for an order that waits for a trade",
        ),
        (
            v1::NewOrder { trigger_price: "9".into(), post_only: true, ..base() },
            conflict,
            "order.post_only is \"true\": must not be set with an order that waits for a trade",
        ),
        (
            v1::NewOrder { trigger_price: "9".into(), min_quantity: "1".into(), ..base() },
            conflict,
            "order.min_quantity is \"1\": must be empty with an order that waits for a trade",
        ),
        (
            v1::NewOrder { trigger_price: "9".into(), r#type: OrderType::Limit.into(), ..base() },
            conflict,
            "order.trigger_price is \"9\": must be empty but for a stop and a stop-limit order",
        ),
        (
            v1::NewOrder { r#type: OrderType::Stop.into(), ..market() },
            "MISSING_FIELD",
            "order.trigger_price: must be set",
        ),
        (
            v1::NewOrder { trail_distance: "9".into(), ..base() },
            conflict,
            "order.price is \"10\": must be empty for a trailing stop order",
        ),
        (
            v1::NewOrder { limit_distance: "9".into(), ..base() },
            conflict,
            "order.limit_distance is \"9\": must be empty but for a trailing stop order",
        ),
        (
            v1::NewOrder { r#type: OrderType::TrailingStop.into(), ..market() },
            conflict,
            "order.trail_distance is \"\": must be set for a trailing stop order and for no other",
        ),
        (
            v1::NewOrder { slide: true, ..base() },
            conflict,
            "order.slide is \"true\": must not be set without post_only",
        ),
        (
            v1::NewOrder { time_in_force: TimeInForce::Ioc.into(), ..to_limit() },
            conflict,
            "order.time_in_force is \"TIME_IN_FORCE_IOC\": must be GTC, GTD or DAY for a market-to-limit order",
        ),
        (
            v1::NewOrder { price: "10".into(), ..to_limit() },
            conflict,
            "order.price is \"10\": must be empty for a market, a market-to-limit and a stop order",
        ),
        (
            v1::NewOrder { post_only: true, ..to_limit() },
            conflict,
            "order.post_only is \"true\": must not be set with IOC, FOK, AUCTION, a market or a market-to-limit order",
        ),
    ];
    for (n, (new, reason, message)) in table.into_iter().enumerate() {
        let placed = served.place(order(&format!("r{n}"), new)).await;
        assert_refused(placed, Code::InvalidArgument, reason, message);
    }
    // Accepted and rested: nothing happened before.
    assert_eq!(served.place(buy("last", "10", "1")).await.unwrap().position, 2);
    served.end().await;
}
