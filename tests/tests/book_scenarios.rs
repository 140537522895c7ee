//! Scenarios that a trader can read, played on the fast book and on the naive one.
//!
//! A step is what the trader does, what the book answers, and the whole book afterwards. Orders are
//! named by a letter. `buy a 100 @ 10 ioc`: a command. `fill a 50 @ 10`: the maker, how much, at which
//! price. `buys a:100@10` lists the queue in the order in which it would trade. `of x`: the order's owner; what
//! happens when it meets itself is `taker`, `maker`, `both` or `dec`. `show 3`: an iceberg, `a:3+6@10` shows 3 and hides 6.

use xbook::book::{Book, Command, Event, NewOrder, Owner, Prevention, Refusal, Removal, Resting, Style};
use xbook::types::{Lots, NodeId, OrderId, Side, Ticks};
use xbook_tests::naive::NaiveBook;

/// Command, answer, buys, sells.
type Step = (&'static str, &'static str, &'static str, &'static str);

#[test]
fn the_worked_example_leaves_one_order() {
    play(&[
        ("buy a 100 @ 10", "open 100", "a:100@10", ""),
        ("buy b 100 @ 11", "open 100", "b:100@11 a:100@10", ""),
        ("sell c 50 @ 11", "fill b 50 @ 11, open 0", "b:50@11 a:100@10", ""),
        ("sell d 75 @ 9", "fill b 50 @ 11, fill a 25 @ 10, open 0", "a:75@10", ""),
    ]);
}

#[test]
fn trades_are_at_the_makers_price_and_the_rest_of_the_taker_rests() {
    play(&[
        ("sell a 5 @ 10", "open 5", "", "a:5@10"),
        ("sell b 5 @ 12", "open 5", "", "a:5@10 b:5@12"),
        ("buy c 20 @ 11", "fill a 5 @ 10, open 15", "c:15@11", "b:5@12"),
    ]);
}

#[test]
fn who_came_first_at_a_price_trades_first() {
    play(&[
        ("buy a 1 @ 10", "open 1", "a:1@10", ""),
        ("buy b 2 @ 10", "open 2", "a:1@10 b:2@10", ""),
        ("buy c 3 @ 11", "open 3", "c:3@11 a:1@10 b:2@10", ""),
        ("sell d 5 @ 10", "fill c 3 @ 11, fill a 1 @ 10, fill b 1 @ 10, open 0", "b:1@10", ""),
    ]);
}

#[test]
fn immediate_or_cancel_never_rests() {
    play(&[
        ("sell a 5 @ 10", "open 5", "", "a:5@10"),
        ("buy b 8 @ 10 ioc", "fill a 5 @ 10, cancelled 3", "", ""),
        ("buy c 8 @ 10 ioc", "cancelled 8", "", ""),
        ("sell d 5 @ 10", "open 5", "", "d:5@10"),
        ("buy e 5 @ 10 ioc", "fill d 5 @ 10, open 0", "", ""),
    ]);
}

#[test]
fn a_market_order_takes_any_price_and_never_rests() {
    play(&[
        ("sell a 5 @ 10", "open 5", "", "a:5@10"),
        ("sell b 5 @ 9999", "open 5", "", "a:5@10 b:5@9999"),
        ("buy c 12 @ mkt ioc", "fill a 5 @ 10, fill b 5 @ 9999, cancelled 2", "", ""),
        ("buy d 1 @ mkt", "refused NoLimit", "", ""),
        ("buy e 1 @ mkt post", "refused NoLimit", "", ""),
    ]);
}

#[test]
fn fill_or_kill_fills_whole_or_does_nothing() {
    play(&[
        ("sell a 5 @ 10", "open 5", "", "a:5@10"),
        ("sell b 5 @ 11", "open 5", "", "a:5@10 b:5@11"),
        ("buy c 6 @ 10 fok", "refused NotFillable", "", "a:5@10 b:5@11"),
        ("buy c 11 @ 11 fok", "refused NotFillable", "", "a:5@10 b:5@11"),
        ("buy c 6 @ 11 fok", "fill a 5 @ 10, fill b 1 @ 11, open 0", "", "b:4@11"),
        ("buy d 4 @ mkt fok", "fill b 4 @ 11, open 0", "", ""),
    ]);
}

#[test]
fn post_only_is_refused_rather_than_take() {
    play(&[
        ("sell a 5 @ 10", "open 5", "", "a:5@10"),
        ("buy b 5 @ 10 post", "refused WouldTake", "", "a:5@10"),
        ("buy b 5 @ 9 post", "open 5", "b:5@9", "a:5@10"),
        ("amend b 5 @ 10 post", "refused WouldTake", "b:5@9", "a:5@10"),
        ("amend b 7 @ 8 post", "open 7, back", "b:7@8", "a:5@10"),
    ]);
}

#[test]
fn an_amend_keeps_priority_only_for_less_at_the_same_price() {
    play(&[
        ("buy a 5 @ 10", "open 5", "a:5@10", ""),
        ("buy b 5 @ 10", "open 5", "a:5@10 b:5@10", ""),
        ("amend a 3 @ 10", "open 3, kept", "a:3@10 b:5@10", ""),
        ("amend a 3 @ 10", "open 3, kept", "a:3@10 b:5@10", ""),
        ("amend a 4 @ 10", "open 4, back", "b:5@10 a:4@10", ""),
        ("amend b 5 @ 11", "open 5, back", "b:5@11 a:4@10", ""),
        ("amend b 1 @ 10", "open 1, back", "a:4@10 b:1@10", ""),
    ]);
}

#[test]
fn an_iceberg_trades_part_by_part_and_each_part_comes_to_the_back() {
    play(&[
        ("sell a 9 @ 10 show 3", "open 9", "", "a:3+6@10"),
        ("sell b 4 @ 10", "open 4", "", "a:3+6@10 b:4@10"),
        ("buy c 2 @ 10", "fill a 2 @ 10, open 0", "", "a:1+6@10 b:4@10"),
        ("buy d 1 @ 10", "fill a 1 @ 10, shows a 3, open 0", "", "b:4@10 a:3+3@10"),
        ("buy e 8 @ 10 fok", "fill b 4 @ 10, fill a 3 @ 10, shows a 3, fill a 1 @ 10, open 0", "", "a:2@10"),
        ("amend a 7 @ 10", "open 7, back", "", "a:3+4@10"),
        ("amend a 5 @ 10", "open 5, kept", "", "a:3+2@10"),
        ("sell f 1 @ 10", "open 1", "", "a:3+2@10 f:1@10"),
        ("buy g 7 @ 10 fok", "refused NotFillable", "", "a:3+2@10 f:1@10"),
        ("cancel a", "cancelled 5", "", "f:1@10"),
    ]);
}

#[test]
fn an_iceberg_that_would_trade_with_itself_is_wholly_there() {
    play(&[
        ("sell a 9 @ 10 show 3 of x", "open 9", "", "a:3+6@10"),
        ("buy b 7 @ 10 of x dec", "both lose 7 with a, open 0", "", "a:2@10"),
        ("amend a 9 @ 10", "open 9, back", "", "a:3+6@10"),
        ("buy c 4 @ 10 fok of x maker", "refused NotFillable", "", "a:3+6@10"),
        ("buy d 4 @ 10 of x maker", "self-trade a 9, open 4", "d:4@10", ""),
    ]);
}

#[test]
fn an_amend_may_trade() {
    play(&[
        ("sell a 5 @ 10", "open 5", "", "a:5@10"),
        ("buy b 3 @ 8", "open 3", "b:3@8", "a:5@10"),
        ("amend b 7 @ 10", "fill a 5 @ 10, open 2, back", "b:2@10", ""),
        ("sell c 9 @ 12", "open 9", "b:2@10", "c:9@12"),
        ("amend b 2 @ 13", "fill c 2 @ 12, open 0, back", "", "c:7@12"),
    ]);
}

#[test]
fn a_refused_command_changes_nothing() {
    play(&[
        ("buy a 5 @ 10", "open 5", "a:5@10", ""),
        ("buy a 6 @ 11", "refused DuplicateId", "a:5@10", ""),
        ("buy b 0 @ 11", "refused ZeroQuantity", "a:5@10", ""),
        ("amend a 0 @ 10", "refused ZeroQuantity", "a:5@10", ""),
        ("amend z 0 @ 10", "refused UnknownOrder", "a:5@10", ""),
        ("cancel z", "refused UnknownOrder", "a:5@10", ""),
        ("cancel a", "cancelled 5", "", ""),
        ("cancel a", "refused UnknownOrder", "", ""),
        ("buy a 5 @ 10", "open 5", "a:5@10", ""),
    ]);
}

#[test]
fn a_levels_total_never_leaves_64_bits() {
    let all = "18446744073709551615";
    play_owned(&[
        (format!("buy a {all} @ 10"), format!("open {all}"), format!("a:{all}@10"), String::new()),
        ("buy b 1 @ 10".into(), "refused LevelOverflow".into(), format!("a:{all}@10"), String::new()),
        ("buy b 1 @ 9".into(), "open 1".into(), format!("a:{all}@10 b:1@9"), String::new()),
        ("amend b 1 @ 10".into(), "refused LevelOverflow".into(), format!("a:{all}@10 b:1@9"), String::new()),
        ("amend a 7 @ 10".into(), "open 7, kept".into(), "a:7@10 b:1@9".into(), String::new()),
        (
            format!("sell c {all} @ 9"),
            "fill a 7 @ 10, fill b 1 @ 9, open 18446744073709551607".into(),
            String::new(),
            "c:18446744073709551607@9".into(),
        ),
        (
            format!("buy d {all} @ mkt fok"),
            "refused NotFillable".into(),
            String::new(),
            "c:18446744073709551607@9".into(),
        ),
    ]);
}

#[test]
fn an_order_that_meets_its_own_owner_goes_or_sends_it_away() {
    let asks = |taker: &'static str, answer: &'static str, buys: &'static str, sells: &'static str| {
        play(&[
            ("sell b 3 @ 100 of y", "open 3", "", "b:3@100"),
            ("sell a 5 @ 101 of x", "open 5", "", "b:3@100 a:5@101"),
            ("sell c 4 @ 101 of z", "open 4", "", "b:3@100 a:5@101 c:4@101"),
            (taker, answer, buys, sells),
        ]);
    };
    asks("buy d 10 @ 101 of x taker", "fill b 3 @ 100, self-trade d 7", "", "a:5@101 c:4@101");
    asks(
        "buy d 10 @ 101 of x maker",
        "fill b 3 @ 100, self-trade a 5, fill c 4 @ 101, open 3",
        "d:3@101",
        "",
    );
    asks("buy d 10 @ 101 of x both", "fill b 3 @ 100, self-trade a 5, self-trade d 7", "", "c:4@101");
    asks(
        "buy d 10 @ 101 of x dec",
        "fill b 3 @ 100, both lose 5 with a, fill c 2 @ 101, open 0",
        "",
        "c:2@101",
    );
    asks("buy d 5 @ 101 of x dec", "fill b 3 @ 100, both lose 2 with a, open 0", "", "a:3@101 c:4@101");
    asks("buy d 10 @ 101 of x", "fill b 3 @ 100, fill a 5 @ 101, fill c 2 @ 101, open 0", "", "c:2@101");
    // Filled before it gets there, or nobody's.
    asks("buy d 3 @ 101 of x both", "fill b 3 @ 100, open 0", "", "a:5@101 c:4@101");
    asks("buy d 8 @ 101 both", "fill b 3 @ 100, fill a 5 @ 101, open 0", "", "c:4@101");
    // Prevention is not asked of what may not take.
    asks("buy d 1 @ 100 of y post maker", "refused WouldTake", "", "b:3@100 a:5@101 c:4@101");
}

#[test]
fn fill_or_kill_counts_only_what_it_trades_with_others() {
    let asks = |taker: &'static str, answer: &'static str, sells: &'static str| {
        play(&[
            ("sell c 4 @ 100 of z", "open 4", "", "c:4@100"),
            ("sell a 5 @ 100 of x", "open 5", "", "c:4@100 a:5@100"),
            ("sell b 2 @ 101 of y", "open 2", "", "c:4@100 a:5@100 b:2@101"),
            (taker, answer, "", sells),
        ]);
    };
    let all = "c:4@100 a:5@100 b:2@101";
    asks("buy d 4 @ 100 of x fok taker", "fill c 4 @ 100, open 0", "a:5@100 b:2@101");
    asks("buy d 5 @ 100 of x fok taker", "refused NotFillable", all);
    asks("buy d 5 @ 101 of x fok both", "refused NotFillable", all);
    asks("buy d 5 @ 100 of x fok maker", "refused NotFillable", all);
    asks("buy d 6 @ 101 of x fok maker", "fill c 4 @ 100, self-trade a 5, fill b 2 @ 101, open 0", "");
    asks("buy d 7 @ 101 of x fok maker", "refused NotFillable", all);
    asks("buy d 6 @ 101 of x fok dec", "refused NotFillable", all);
    asks("buy d 9 @ 100 of x fok", "fill c 4 @ 100, fill a 5 @ 100, open 0", "b:2@101");
}

#[test]
fn a_minimum_trades_at_once_or_the_order_does_nothing() {
    let asks = |taker: &'static str, answer: &'static str, buys: &'static str, sells: &'static str| {
        play(&[
            ("sell b 3 @ 100 of y", "open 3", "", "b:3@100"),
            ("sell a 4 @ 100 of x", "open 4", "", "b:3@100 a:4@100"),
            ("sell c 4 @ 101 of z", "open 4", "", "b:3@100 a:4@100 c:4@101"),
            (taker, answer, buys, sells),
        ]);
    };
    let all = "b:3@100 a:4@100 c:4@101";
    asks("buy d 10 @ 100 min 7", "fill b 3 @ 100, fill a 4 @ 100, open 3", "d:3@100", "c:4@101");
    asks("buy d 10 @ 100 min 8", "refused NotFillable", "", all);
    asks("buy d 10 @ 99 min 1", "refused NotFillable", "", all);
    asks("buy d 2 @ mkt ioc min 1", "fill b 2 @ 100, open 0", "", "b:1@100 a:4@100 c:4@101");
    // What is kept from trading with oneself does not count.
    asks("buy d 10 @ 101 of x min 4 taker", "refused NotFillable", "", all);
    asks("buy d 10 @ 101 of x min 3 taker", "fill b 3 @ 100, self-trade d 7", "", "a:4@100 c:4@101");
    asks(
        "buy d 10 @ 101 of x min 6 dec",
        "fill b 3 @ 100, both lose 4 with a, fill c 3 @ 101, open 0",
        "",
        "c:1@101",
    );
    asks("buy d 10 @ 101 of x min 7 dec", "refused NotFillable", "", all);
    asks(
        "buy d 10 @ 101 of x min 7 maker",
        "fill b 3 @ 100, self-trade a 4, fill c 4 @ 101, open 3",
        "d:3@101",
        "",
    );
}

#[test]
fn an_amended_order_that_meets_its_own_owner_is_gone_at_its_old_price_too() {
    play(&[
        ("sell a 5 @ 100 of x", "open 5", "", "a:5@100"),
        ("buy b 3 @ 98 of x", "open 3", "b:3@98", "a:5@100"),
        ("amend b 4 @ 100 taker", "self-trade b 4, back", "", "a:5@100"),
        ("buy b 3 @ 98 of x", "open 3", "b:3@98", "a:5@100"),
        ("amend b 7 @ 100 maker", "self-trade a 5, open 7, back", "b:7@100", ""),
        ("sell c 2 @ 101 of x", "open 2", "b:7@100", "c:2@101"),
        ("amend c 3 @ 99 dec", "both lose 3 with b, open 0, back", "b:4@100", ""),
    ]);
}

fn play(steps: &[Step]) {
    let owned: Vec<_> =
        steps.iter().map(|s| (s.0.to_owned(), s.1.to_owned(), s.2.to_owned(), s.3.to_owned())).collect();
    play_owned(&owned);
}

fn play_owned(steps: &[(String, String, String, String)]) {
    let (mut book, mut naive) = (Book::new(), NaiveBook::default());
    for (number, (text, answer, buys, sells)) in steps.iter().enumerate() {
        let command = parse(text);
        let (mut events, mut naive_events) = (Vec::new(), Vec::new());
        let result = book.apply(&command, &mut events);
        let naive_result = naive.apply(&command, &mut naive_events);
        let step = format!("step {}: {text}", number + 1);
        assert_eq!(&describe(&command, result, &events), answer, "{step}");
        assert_eq!(&describe(&command, naive_result, &naive_events), answer, "naive, {step}");
        assert_eq!(
            (&queue(book.orders(Side::Buy)), &queue(book.orders(Side::Sell))),
            (buys, sells),
            "{step}"
        );
        assert_eq!(book.digest(), naive.digest(), "{step}");
        assert_eq!(book.audit(), Ok(()), "{step}");
    }
}

fn parse(text: &str) -> Command {
    let words: Vec<&str> = text.split_whitespace().filter(|word| *word != "@").collect();
    let id = OrderId { node: NodeId(1), counter: u64::from(words[1].as_bytes()[0]) };
    if words[0] == "cancel" {
        return Command::Cancel { id };
    }
    let quantity = Lots(words[2].parse().expect("a quantity"));
    let limit = (words[3] != "mkt").then(|| Ticks(words[3].parse().expect("a price")));
    let (mut style, mut owner, mut prevention) = (Style::Rest, Owner::NOBODY, Prevention::Allow);
    let (mut minimum, mut display) = (Lots::ZERO, Lots::ZERO);
    let mut more = words[4..].iter();
    while let Some(word) = more.next() {
        match *word {
            "ioc" => style = Style::Cancel,
            "fok" => style = Style::AllOrNothing,
            "post" => style = Style::PostOnly,
            "of" => owner = Owner::new(u32::from(more.next().expect("an owner").as_bytes()[0])),
            "min" => minimum = Lots(more.next().and_then(|word| word.parse().ok()).expect("a minimum")),
            "show" => display = Lots(more.next().and_then(|word| word.parse().ok()).expect("a display")),
            "taker" => prevention = Prevention::CancelTaker,
            "maker" => prevention = Prevention::CancelMaker,
            "both" => prevention = Prevention::CancelBoth,
            "dec" => prevention = Prevention::Decrement,
            other => panic!("{other}?"),
        }
    }
    let side = match words[0] {
        "amend" => {
            let post_only = style == Style::PostOnly;
            let price = limit.expect("a price");
            return Command::Amend { id, price, open: quantity, post_only, prevention };
        }
        "buy" => Side::Buy,
        _ => Side::Sell,
    };
    let order = NewOrder::new(id, side, limit, quantity, style).of(owner, prevention);
    Command::Place(NewOrder { minimum, display, ..order })
}

fn letter(id: OrderId) -> char {
    char::from(id.counter as u8)
}

fn describe(command: &Command, result: Result<(), Refusal>, events: &[Event]) -> String {
    if let Err(reason) = result {
        assert_eq!(events, []);
        return format!("refused {reason:?}");
    }
    let mut parts = Vec::new();
    let (mut left, mut place) = (Some(0), None);
    for event in events {
        match event {
            Event::Traded(trade) => {
                let (maker, quantity, price) = (letter(trade.maker), trade.quantity.0, trade.price.0);
                parts.push(format!("fill {maker} {quantity} @ {price}"));
            }
            Event::Rested { open, .. } => left = Some(open.0),
            Event::Replenished { order, shown } => {
                parts.push(format!("shows {} {}", letter(*order), shown.0));
                continue;
            }
            Event::Reduced { open, .. } => (left, place) = (Some(open.0), Some("kept")),
            Event::Lifted { .. } => place = Some("back"),
            Event::Prevented(lost) => {
                parts.push(format!("both lose {} with {}", lost.quantity.0, letter(lost.maker)));
            }
            Event::Removed { order, open, why: Removal::SelfTrade } => {
                left = left.filter(|_| *order != command.id());
                parts.push(format!("self-trade {} {}", letter(*order), open.0));
                continue;
            }
            Event::Removed { open, .. } => {
                left = None;
                parts.push(format!("cancelled {}", open.0));
            }
        }
        let about = match event {
            Event::Traded(trade) => trade.taker,
            Event::Prevented(lost) => lost.taker,
            Event::Rested { order, .. } | Event::Reduced { order, .. } => *order,
            Event::Lifted { order, .. } | Event::Removed { order, .. } | Event::Replenished { order, .. } => {
                *order
            }
        };
        assert_eq!(about, command.id());
    }
    parts.extend(left.map(|open| format!("open {open}")));
    parts.extend(place.map(str::to_owned));
    parts.join(", ")
}

fn queue(orders: impl Iterator<Item = Resting>) -> String {
    let one = |order: Resting| {
        let hidden = if order.hidden.is_zero() { String::new() } else { format!("+{}", order.hidden.0) };
        format!("{}:{}{hidden}@{}", letter(order.id), order.open.0, order.price.0)
    };
    let orders: Vec<_> = orders.map(one).collect();
    orders.join(" ")
}
