//! The book against the naive book: random commands, equal fills, equal books, equal digests; and
//! recorded executions replayed without matching.

use proptest::collection::vec;
use proptest::prelude::*;
use xbook::book::{
    Book, Command, Event, LevelView, NewOrder, Owner, Prevented, Prevention, Removal, Style, Trade,
};
use xbook::types::{Lots, NodeId, OrderId, Side, Ticks};
use xbook_tests::naive::NaiveBook;

const SIDES: [Side; 2] = [Side::Buy, Side::Sell];

/// How random prices lie: packed, over a few nodes of the price tree, or over all of `u64`.
#[derive(Clone, Copy, Debug)]
enum Prices {
    Packed,
    Spread,
    Anywhere,
}

fn price(prices: Prices) -> BoxedStrategy<u64> {
    match prices {
        Prices::Packed => (95u64..105).boxed(),
        Prices::Spread => (0u64..20_000).boxed(),
        Prices::Anywhere => prop_oneof![
            any::<u64>(),
            Just(0),
            Just(u64::MAX),
            (0u32..64).prop_map(|bit| 1 << bit),
            (0u32..64).prop_map(|bit| (1 << bit) - 1),
        ]
        .boxed(),
    }
}

fn quantity() -> impl Strategy<Value = u64> {
    prop_oneof![30 => 1u64..20, 1 => Just(0), 1 => Just(u64::MAX), 1 => Just(u64::MAX / 2)]
}

/// How much of itself an order shows at a time; zero for all of it.
fn display() -> impl Strategy<Value = u64> {
    prop_oneof![3 => Just(0), 1 => 1u64..8]
}

/// No order has more than a hundred parts: nobody would wait for the naive book.
fn shown_in_100_parts(display: u64, quantity: u64) -> u64 {
    if display == 0 { 0 } else { display.max(quantity / 100) }
}

/// Few nodes and counters, so that ids meet resting orders.
fn id() -> impl Strategy<Value = OrderId> {
    (0u64..3, 1u64..60).prop_map(|(node, counter)| OrderId { node: NodeId(node), counter })
}

fn side() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Side::Buy), Just(Side::Sell)]
}

fn style() -> impl Strategy<Value = Style> {
    prop_oneof![
        6 => Just(Style::Rest),
        1 => Just(Style::Cancel),
        1 => Just(Style::AllOrNothing),
        2 => Just(Style::PostOnly)
    ]
}

/// Two owners, so that each meets himself often, and nobody.
fn owner() -> impl Strategy<Value = Owner> {
    (0u32..3).prop_map(Owner::new)
}

fn prevention() -> impl Strategy<Value = Prevention> {
    prop_oneof![
        1 => Just(Prevention::Allow),
        1 => Just(Prevention::CancelTaker),
        2 => Just(Prevention::CancelMaker),
        1 => Just(Prevention::CancelBoth),
        2 => Just(Prevention::Decrement)
    ]
}

fn command(prices: Prices) -> impl Strategy<Value = Command> {
    let limit = prop_oneof![12 => price(prices).prop_map(|p| Some(Ticks(p))), 1 => Just(None)];
    let new = (id(), side(), limit, quantity(), style())
        .prop_map(|(id, side, limit, quantity, style)| NewOrder::new(id, side, limit, Lots(quantity), style));
    let minimum = prop_oneof![5 => Just(0), 1 => 1u64..30];
    let place = (new, owner(), prevention(), minimum, display()).prop_map(
        |(new, owner, prevention, minimum, display)| {
            let (minimum, display) = (Lots(minimum), Lots(shown_in_100_parts(display, new.quantity.0)));
            Command::Place(NewOrder { minimum, display, ..new.of(owner, prevention) })
        },
    );
    let amend = (id(), price(prices), quantity(), any::<bool>(), prevention()).prop_map(
        |(id, price, open, post_only, prevention)| {
            let (price, open) = (Ticks(price), Lots(open));
            Command::Amend { id, price, open, post_only, prevention }
        },
    );
    prop_oneof![6 => place, 3 => amend, 2 => id().prop_map(|id| Command::Cancel { id })]
}

fn commands() -> impl Strategy<Value = Vec<Command>> {
    prop_oneof![Just(Prices::Packed), Just(Prices::Spread), Just(Prices::Anywhere)]
        .prop_flat_map(|prices| vec(command(prices), 1..400))
}

/// Reads everything from both books.
fn assert_equal(book: &Book, naive: &NaiveBook) {
    assert_eq!(book.audit(), Ok(()));
    for side in SIDES {
        let expected: Vec<_> = naive.orders(side).collect();
        let found: Vec<_> = book.orders(side).collect();
        assert_eq!(found, expected, "{side:?}");
        assert_eq!(book.levels(side).next(), book.best(side));
        for order in expected {
            assert_eq!(book.get(order.id), Some(order));
        }
        let by_level: Vec<_> =
            book.levels(side).flat_map(|level| book.orders_at(side, level.price)).collect();
        assert_eq!(by_level, found);
        assert_reads_from_within(book, side);
        for level in book.levels(side) {
            let orders: Vec<_> = book.orders_at(side, level.price).collect();
            // What is hidden is in no level.
            let open = Lots(orders.iter().map(|order| order.open.0).sum());
            assert_eq!(level, LevelView { price: level.price, open, orders: orders.len() as u32 });
        }
    }
    assert_eq!(book.digest(), naive.digest());
}

/// What is beyond a price and behind an order is what follows it when all is read.
fn assert_reads_from_within(book: &Book, side: Side) {
    let levels: Vec<LevelView> = book.levels(side).collect();
    for level in &levels {
        let near = [level.price.0.checked_sub(1), Some(level.price.0), level.price.0.checked_add(1)];
        for price in near.into_iter().flatten().map(Ticks) {
            let is_beyond = |other: Ticks| if side == Side::Buy { other < price } else { other > price };
            let expected: Vec<_> = levels.iter().copied().filter(|other| is_beyond(other.price)).collect();
            let found: Vec<_> = book.levels_beyond(side, price).collect();
            assert_eq!(found, expected, "{side:?} {price:?}");
        }
        let orders: Vec<_> = book.orders_at(side, level.price).collect();
        for (place, order) in orders.iter().enumerate() {
            assert_eq!(book.orders_behind(order.id).collect::<Vec<_>>(), orders[place + 1..]);
        }
    }
    let nobody = OrderId { node: NodeId(77), counter: 1 };
    assert_eq!(book.orders_behind(nobody).count(), 0);
}

/// An event of any kind, about what may or may not be there.
fn event() -> impl Strategy<Value = Event> {
    let (side, price) = (side(), price(Prices::Packed).prop_map(Ticks));
    let lots = || quantity().prop_map(Lots);
    (0u8..7, (id(), id()), side, price, (lots(), lots(), lots()), display()).prop_map(
        |(kind, (order, taker), side, price, (open, maker_open, taker_open), display)| match kind {
            0 => {
                let (display, owner) = (Lots(display), Owner::NOBODY);
                Event::Rested { order, side, price, open, display, owner }
            }
            6 => Event::Replenished { order, shown: open },
            1 => Event::Reduced { order, open },
            2 => Event::Lifted { order, price, open },
            3 => Event::Removed { order, open, why: Removal::Cancelled },
            4 => Event::Prevented(Prevented { maker: order, taker, quantity: open, maker_open, taker_open }),
            _ => Event::Traded(Trade { maker: order, taker, price, quantity: open, maker_open, taker_open }),
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    /// After each command: the same events or the same refusal, the same book, the same digest; and the
    /// events give the same book once more.
    #[test]
    fn the_fast_book_is_the_naive_book(
        commands in commands(),
        max_orders in prop_oneof![3 => Just(usize::MAX), 1 => 0usize..20],
        max_parts in prop_oneof![3 => Just(2_000), 1 => 0u64..30],
    ) {
        let mut book = Book::new().with_max_orders(max_orders).with_max_hidden_parts(max_parts);
        let mut naive = NaiveBook::with_max_orders(max_orders).with_max_parts(max_parts);
        let mut replica = Book::new();
        for command in &commands {
            let (mut events, mut naive_events) = (Vec::new(), Vec::new());
            book.warm(&commands);
            let result = book.apply(command, &mut events);
            prop_assert_eq!(result, naive.apply(command, &mut naive_events));
            prop_assert_eq!(&events, &naive_events);
            prop_assert!(result.is_ok() || events.is_empty());
            assert_equal(&book, &naive);
            prop_assert!(book.hidden_parts() <= max_parts);
            for event in &events {
                prop_assert_eq!(replica.replay(event), Ok(()));
            }
            prop_assert_eq!(replica.digest(), book.digest());
            prop_assert_eq!(replica.audit(), Ok(()));
        }
        let copy = book.clone();
        prop_assert_eq!(copy.digest(), book.digest());
    }

    /// Whatever is recorded, replaying never panics, and what does not fit changes nothing.
    #[test]
    fn a_record_that_does_not_fit_changes_nothing(events in vec(event(), 1..300)) {
        let mut book = Book::new();
        for event in &events {
            let before = book.digest();
            let result = book.replay(event);
            prop_assert_eq!(book.audit(), Ok(()));
            if result.is_err() {
                prop_assert_eq!(book.digest(), before);
            }
        }
    }
}

/// Many orders and levels, so that tables and slabs grow and empty again.
#[test]
fn a_book_grows_and_empties() {
    let mut book = Book::new();
    let mut events = Vec::new();
    let order = |counter| OrderId { node: NodeId(7), counter };
    for counter in 1..=30_000u64 {
        // Prices from one end of u64 to the other, each used three times.
        let price = Ticks((counter % 10_000).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (counter % 3));
        let (id, side, open) = (order(counter), Side::Buy, Lots(counter));
        let place = Command::Place(NewOrder::new(id, side, Some(price), open, Style::PostOnly));
        events.clear();
        assert_eq!(book.apply(&place, &mut events), Ok(()));
        let (display, owner) = (Lots::ZERO, Owner::NOBODY);
        assert_eq!(events, [Event::Rested { order: id, side, price, open, display, owner }]);
    }
    assert_eq!((book.len(), book.audit()), (30_000, Ok(())));
    for counter in (1..=30_000).step_by(2) {
        let (id, open) = (order(counter), Lots(counter));
        events.clear();
        assert_eq!(book.apply(&Command::Cancel { id }, &mut events), Ok(()));
        assert_eq!(events, [Event::Removed { order: id, open, why: Removal::Cancelled }]);
    }
    assert_eq!((book.len(), book.audit()), (15_000, Ok(())));
    let all = NewOrder::new(order(99_999), Side::Sell, None, Lots(u64::MAX), Style::Cancel);
    let all = Command::Place(all);
    events.clear();
    assert_eq!(book.apply(&all, &mut events), Ok(()));
    // All of them, and that the rest of it was removed.
    assert_eq!((book.len(), events.len(), book.audit()), (0, 15_001, Ok(())));
    assert_eq!(book.digest(), Book::new().digest());
}
