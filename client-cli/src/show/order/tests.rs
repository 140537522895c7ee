use xbook_proto::v1::Liquidity;

use super::*;
use crate::show::steps::tests::steps;

fn order(status: OrderStatus, filled: &str, value: &str, open: &str, reason: Reason) -> Order {
    Order {
        order_id: "0000000000007f3a-1".to_owned(),
        market: "BTC/USDT".to_owned(),
        side: Side::Buy.into(),
        r#type: OrderType::Limit.into(),
        time_in_force: TimeInForce::Gtc.into(),
        price: "10".to_owned(),
        quantity: "100".to_owned(),
        filled_quantity: filled.to_owned(),
        filled_value: value.to_owned(),
        open_quantity: open.to_owned(),
        status: status.into(),
        reason: reason.into(),
        position: 12,
        ..Order::default()
    }
}

#[test]
fn every_outcome_is_a_sentence() {
    use OrderStatus::*;
    let none = Reason::Unspecified;
    for (order, expected) in [
        (order(Open, "0", "0", "100", none), "is open: buy 100 BTC/USDT at 10."),
        (
            order(PartiallyFilled, "25", "245", "75", none),
            "is open: buy 100 BTC/USDT at 10; bought 25 for 245 (9.8 on average), 75 still open.",
        ),
        (
            order(Filled, "100", "1000", "0", none),
            "is filled: buy 100 BTC/USDT at 10; bought 100 for 1000 (10 on average).",
        ),
        (
            order(Cancelled, "0", "0", "0", Reason::NoLiquidity),
            "is cancelled because nothing (more) rests that it could trade with [NO_LIQUIDITY]: \
             buy 100 BTC/USDT at 10; nothing was filled.",
        ),
        (
            order(Rejected, "0", "0", "0", Reason::WouldTake),
            "was rejected because it is post-only and would have traded at once [WOULD_TAKE]: \
             buy 100 BTC/USDT at 10.",
        ),
        (
            order(Expired, "0", "0", "0", Reason::ExpireTime),
            "has expired because its time ran out [EXPIRE_TIME]: buy 100 BTC/USDT at 10; nothing was filled.",
        ),
        (
            order(Expiring, "25", "245", "75", none),
            "is past its time and not closed yet: buy 100 BTC/USDT at 10; bought 25 for 245 (9.8 on average). \
             It is closed once a majority of the market's voters is back.",
        ),
        (
            order(Pending, "0", "0", "100", none),
            "is on the node's disk and waits for its turn: buy 100 BTC/USDT at 10.\n\
             It may still trade, until it is withdrawn. Withdraw it with \
             `xcli cancel BTC/USDT 0000000000007f3a-1`.\n\
             See what becomes of it with `xcli order BTC/USDT 0000000000007f3a-1`.",
        ),
    ] {
        assert_eq!(sentence(&order, None), format!("Order 0000000000007f3a-1 {expected}"));
    }
}

#[test]
fn a_pending_order_tells_until_when_it_may_trade() {
    use TimeInForce::*;
    let stamp = Timestamp { seconds: 86_400, nanos: 500_000_000 };
    let pending = |r#type: OrderType, tif: TimeInForce| Order {
        r#type: r#type.into(),
        time_in_force: tif.into(),
        expire_time: (tif == Gtd).then_some(stamp),
        ..order(OrderStatus::Pending, "0", "0", "100", Reason::Unspecified)
    };
    let turn = "until about 1970-01-02 00:00:00.500 UTC: if its turn comes later, it expires";
    for (order, by, words) in [
        (pending(OrderType::Market, Ioc), Some(&stamp), turn),
        (pending(OrderType::Limit, Ioc), Some(&stamp), turn),
        (pending(OrderType::Limit, Fok), Some(&stamp), turn),
        (
            pending(OrderType::Market, Ioc),
            None,
            "until its call's deadline: if its turn comes later, it expires",
        ),
        (pending(OrderType::Limit, Gtd), Some(&stamp), "until it expires at 1970-01-02 00:00:00.500 UTC"),
        (pending(OrderType::Limit, Gtc), Some(&stamp), "until it is withdrawn"),
    ] {
        let text = sentence(&order, by);
        assert!(
            text.contains(&format!("\nIt may still trade, {words}. Withdraw it with `xcli cancel")),
            "{text}"
        );
    }
}

#[test]
fn lists_of_long_ids_and_numbers_fit_80_columns() {
    let list = [Order {
        order_id: "89abcdef01234567-1234567".to_owned(),
        price: "12345.67".to_owned(),
        quantity: "1234.567".to_owned(),
        update_time: Some(Timestamp { seconds: 86_400, nanos: 0 }),
        ..order(OrderStatus::Cancelled, "1000.001", "12345", "0", Reason::NoLiquidity)
    }];
    let fill = Fill {
        order_id: list[0].order_id.clone(),
        counter_order_id: list[0].order_id.clone(),
        price: "12345.67".to_owned(),
        quantity: "1234.567".to_owned(),
        position: 12_345_678,
        time: Some(Timestamp { seconds: 86_400, nanos: 0 }),
        side: Side::Sell.into(),
        liquidity: Liquidity::Maker.into(),
        market: "A/B".to_owned(),
        fee: "0".to_owned(),
        auction: false,
    };
    let grid = steps("0.01", "0.001");
    for text in [
        orders(Some("A/B"), &list, true, &grid, Terminal::NONE),
        fills(Some("A/B"), None, &[fill], &grid, Terminal::NONE),
    ] {
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
        assert!(text.contains("89abcdef01234567-1234567") && text.contains("12345.67"), "{text}");
    }
}

#[test]
fn orders_are_listed_without_columns_that_say_nothing() {
    let market = Order {
        r#type: OrderType::Market.into(),
        side: Side::Sell.into(),
        price: String::new(),
        quantity: "0.5".to_owned(),
        time_in_force: TimeInForce::Ioc.into(),
        ..order(OrderStatus::Open, "0", "0", "0.5", Reason::Unspecified)
    };
    let list = [order(OrderStatus::PartiallyFilled, "25", "245", "75", Reason::Unspecified), market];
    let expected = "\
order               side   price  quantity  filled  open  status            tif
0000000000007f3a-1  buy    10.00     100        25  75    partially filled  GTC
0000000000007f3a-1  sell  mkt          0.5       0   0.5  open              IOC
";
    assert_eq!(orders(Some("BTC/USDT"), &list, false, &steps("0.01", "0.1"), Terminal::NONE), expected);
}

#[test]
fn empty_lists_say_what_to_type_next() {
    let none = Terminal::NONE;
    let grid = steps("30", "0.3");
    assert!(orders(Some("A/B"), &[], false, &grid, none).contains("`xcli buy 0.3 A/B 30`"));
    assert!(orders(Some("A/B"), &[], true, &grid, none).contains("never"));
    assert!(fills(Some("A/B"), None, &[], &grid, none).contains("`xcli book A/B`"));
    assert!(fills(Some("A/B"), Some("1-1"), &[], &grid, none).contains("`xcli order A/B 1-1`"));
}

#[test]
fn a_detail_has_a_line_for_each_value_that_is_set() {
    let text = detail(&order(OrderStatus::Filled, "100", "1000", "0", Reason::Unspecified));
    assert!(text.starts_with("order          0000000000007f3a-1\nmarket         BTC/USDT\n"), "{text}");
    assert!(text.contains("average price  10\n"));
    assert!(!text.contains("expires") && !text.contains("post only"));
}

#[test]
fn an_update_names_the_fill_or_the_reason() {
    let fill = Fill {
        price: "9.8".to_owned(),
        quantity: "25".to_owned(),
        counter_order_id: "0000000000007f3a-9".to_owned(),
        liquidity: Liquidity::Taker.into(),
        ..Fill::default()
    };
    let order = order(OrderStatus::PartiallyFilled, "25", "245", "75", Reason::Unspecified);
    let text = update(&OrderUpdate { order: Some(order), fill: Some(fill) }, &steps("0.01", "1"));
    assert!(
        text.ends_with(
            "partially filled: 25 filled, 75 open; 25 at 9.80 as taker, with 0000000000007f3a-9\n"
        ),
        "{text}"
    );
}

#[test]
fn lists_of_all_markets_name_them() {
    let order = Order { market: "A/B".to_owned(), order_id: "1-1".to_owned(), ..Order::default() };
    let fill = Fill { market: "C/D".to_owned(), order_id: "1-2".to_owned(), ..Fill::default() };
    let shown = orders(None, &[order], true, &Steps::default(), Terminal::NONE);
    assert!(shown.starts_with("market  order"), "{shown}");
    assert!(shown.contains("A/B     1-1"), "{shown}");
    assert!(fills(None, None, &[fill], &Steps::default(), Terminal::NONE).contains("\nC/D "));
    assert!(orders(None, &[], false, &Steps::default(), Terminal::NONE).contains("no open orders"));
}

#[test]
fn positions_have_a_row_for_each_market() {
    let position = MarketPosition {
        market: "A/B".to_owned(),
        position: 9,
        bought_quantity: "5".to_owned(),
        bought_value: "50".to_owned(),
        sold_quantity: "7".to_owned(),
        sold_value: "77".to_owned(),
        net_quantity: "-2".to_owned(),
        fill_count: 3,
        fees: "0".to_owned(),
    };
    let expected = "\
market  net  bought  for  sold  for  fills  position
A/B      -2       5   50     7   77      3         9
";
    assert_eq!(positions(std::slice::from_ref(&position), Terminal::NONE), expected);
    let expected = "\
market  net  bought  for  sold  for   fees  fills  position
A/B      -2       5   50     7   77  -0.25      3         9
";
    let charged = MarketPosition { fees: "-0.25".to_owned(), ..position };
    assert_eq!(positions(&[charged], Terminal::NONE), expected);
    assert!(positions(&[], Terminal::NONE).contains("xcli market list"));
}
