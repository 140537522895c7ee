//! Pages of a book that stands still and of one that changes, and the parts of what is too large.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use prost::Message;
use rust_decimal::Decimal;

use super::pages::{Begin, PageSide};
use super::*;
use crate::decimal::Grid;
use crate::machine::{
    Action, Amend, Intent, Machine, NewSize, Order, Origin, Place as NewOrder, Request, Rules, State, Target,
    Unconsumed,
};
use crate::types::{Lots, Micros, NodeId, OrderId, SelfTrade, Term, Ticks, TimeInForce};

/// A market whose requests have their turn at once.
struct Exchange {
    state: State,
    counter: u64,
}

struct NothingWaits;

impl Unconsumed for NothingWaits {
    fn intent(&self, _id: OrderId) -> Option<&Intent> {
        None
    }

    fn withdraws(&self, _order: OrderId) -> &[OrderId] {
        &[]
    }
}

impl Exchange {
    fn new() -> Self {
        let grid = Grid::new(Decimal::ONE).unwrap();
        let rules = Rules { self_trade: SelfTrade::Allow, ..Rules::new(grid, grid) };
        let market = Market::new("A/B".into(), rules);
        Self { state: State::new(Machine::Market(Box::new(market)), vec![NodeId(1)], [0; 32]), counter: 0 }
    }

    fn with(orders: impl IntoIterator<Item = (Side, u64)>) -> Self {
        let mut exchange = Self::new();
        for (side, price) in orders {
            exchange.place(side, price);
        }
        exchange
    }

    fn take(&mut self, action: Action) {
        self.counter += 1;
        let id = OrderId { node: NodeId(1), counter: self.counter };
        let origin = Origin::Request(id.to_string().into());
        let request = Request { account: "main".into(), origin, body_hash: 1, action };
        let intent = Intent { request, based_on: Micros(0), accepted: Micros(0) };
        let mut batch = self.state.begin(Term(1), Micros(1), self.position()).unwrap();
        self.state.sequence(&mut batch, id, &intent, &NothingWaits).unwrap();
        let _sequenced = self.state.end(batch);
    }

    fn place(&mut self, side: Side, price: u64) {
        self.take(Action::Place(NewOrder::new(side, Some(Ticks(price)), Lots(10), TimeInForce::Gtc)));
    }

    fn market(&self) -> &Market {
        self.state.machine.market().unwrap()
    }

    fn position(&self) -> Position {
        self.state.position()
    }

    /// The resting orders, as they are.
    fn resting(&self) -> BTreeMap<OrderId, Order> {
        let book = self.market().book();
        let all = book.orders(Side::Buy).chain(book.orders(Side::Sell));
        all.map(|order| (order.id, self.market().order(&order.id).unwrap().clone())).collect()
    }

    /// The page that begins at a place, and the place of the next; through a token each time.
    fn page(&self, place: Place, room: Room) -> ([PageSide; 2], Place) {
        let token = place.token("list");
        let place = if token.is_empty() { place } else { Place::of_token(&token, "list").unwrap() };
        let [buys, sells] = place.sides;
        let page = [(Side::Buy, buys), (Side::Sell, sells)]
            .map(|(side, begin)| pages::read(self.market(), side, begin, place.read_at, room));
        let sides = [page[0].next, page[1].next];
        (page, Place { read_at: self.position(), sides })
    }
}

/// What a reader keeps of the pages, by the words of the proto.
#[derive(Default)]
struct Reader {
    levels: Vec<(Ticks, Vec<OrderId>)>,
}

impl Reader {
    fn take(&mut self, side: &PageSide) {
        for level in &side.levels {
            let ids: Vec<OrderId> = level.orders.iter().map(|order| order.id).collect();
            let before = self.levels.last_mut().filter(|(price, _)| *price == level.rung.price);
            match before {
                Some((_, orders)) if level.continued => orders.extend(ids),
                Some((_, orders)) => *orders = ids,
                None => {
                    assert!(!level.continued, "nothing was told of {:?}", level.rung.price);
                    self.levels.push((level.rung.price, ids));
                }
            }
        }
    }
}

#[test]
fn a_book_that_stands_still_is_on_its_pages_once() {
    // Buys: two orders at 10, three at 9, one at 8. Sells: five at 20.
    let buys = [10, 10, 9, 9, 9, 8].map(|price| (Side::Buy, price));
    let exchange = Exchange::with(buys.into_iter().chain([(Side::Sell, 20); 5]));
    let room = |levels, orders| Room { levels, orders, step: Step::TICK };
    let counts = |side: &PageSide| -> Vec<(u64, usize, bool)> {
        let count = |level: &PageLevel| (level.rung.price.0, level.orders.len(), level.continued);
        side.levels.iter().map(count).collect()
    };
    // Price, orders listed, and whether they go on from the page before.
    type Told = Vec<(u64, usize, bool)>;
    let table: [(Room, Vec<[Told; 2]>); 4] = [
        (room(9, Some(9)), vec![[vec![(10, 2, false), (9, 3, false), (8, 1, false)], vec![(20, 5, false)]]]),
        (
            room(9, Some(3)),
            vec![
                [vec![(10, 2, false), (9, 1, false)], vec![(20, 3, false)]],
                [vec![(9, 2, true), (8, 1, false)], vec![(20, 2, true)]],
            ],
        ),
        (
            room(2, Some(5)),
            vec![[vec![(10, 2, false), (9, 3, false)], vec![(20, 5, false)]], [vec![(8, 1, false)], vec![]]],
        ),
        (
            room(2, None),
            vec![[vec![(10, 0, false), (9, 0, false)], vec![(20, 0, false)]], [vec![(8, 0, false)], vec![]]],
        ),
    ];
    for (room, expected) in table {
        let mut place = Place::FIRST;
        for (number, expected) in expected.iter().enumerate() {
            let (page, next) = exchange.page(place, room);
            assert_eq!(&page.each_ref().map(counts), expected, "page {number}");
            place = next;
        }
        assert_eq!(place.token("list"), "", "that was all");
    }
}

#[test]
fn a_level_is_told_again_if_its_last_order_has_changed_or_gone() {
    let amend = |counter, price, size| {
        let target = Target::Order(OrderId { node: NodeId(1), counter });
        Action::Amend(Amend { target, price, size, trigger: None })
    };
    let cancel = |counter| Action::Cancel(Target::Order(OrderId { node: NodeId(1), counter }));
    let room = Room { levels: 9, orders: Some(2), step: Step::TICK };
    // Of the orders 1 to 4 at 10, the first page has 1 and 2.
    let table: [(&str, Action, &[u64], bool); 6] = [
        ("another order came", Action::Cancel(Target::Command(9)), &[3, 4], true),
        ("one before it went", cancel(1), &[3, 4], true),
        ("one behind it went", cancel(3), &[4], true),
        ("it went", cancel(2), &[1, 3], false),
        ("it is at the back", amend(2, None, Some(NewSize::Open(Lots(99)))), &[1, 3], false),
        ("it is smaller", amend(2, None, Some(NewSize::Open(Lots(1)))), &[1, 2], false),
    ];
    for (what, action, expected, continued) in table {
        let mut exchange = Exchange::with([(Side::Buy, 10); 4]);
        let (_, next) = exchange.page(Place::FIRST, room);
        exchange.take(action);
        let ([buys, _], _) = exchange.page(next, room);
        let counters: Vec<u64> = buys.levels[0].orders.iter().map(|order| order.id.counter).collect();
        assert_eq!((counters.as_slice(), buys.levels[0].continued), (expected, continued), "{what}");
    }
}

#[test]
fn a_level_that_has_gone_is_left_out() {
    let mut exchange = Exchange::with([(Side::Buy, 10), (Side::Buy, 10), (Side::Buy, 9)]);
    let room = Room { levels: 9, orders: Some(1), step: Step::TICK };
    let (_, next) = exchange.page(Place::FIRST, room);
    for counter in 1..=2 {
        exchange.take(Action::Cancel(Target::Order(OrderId { node: NodeId(1), counter })));
    }
    let ([buys, _], next) = exchange.page(next, room);
    assert_eq!(buys.levels.iter().map(|level| level.rung.price.0).collect::<Vec<_>>(), [9]);
    assert_eq!(next.sides, [Begin::End; 2]);
}

#[test]
fn a_made_up_place_reads_what_is_there() {
    let exchange = Exchange::with([(Side::Buy, 10), (Side::Buy, 9), (Side::Sell, 20)]);
    let room = Room { levels: 9, orders: Some(9), step: Step::TICK };
    let nobody = OrderId { node: NodeId(9), counter: u64::MAX };
    let seller = OrderId { node: NodeId(1), counter: 3 };
    for (begin, expected) in [
        (Begin::After(Ticks(u64::MAX)), vec![10, 9]),
        (Begin::After(Ticks(0)), vec![]),
        (Begin::Behind(Ticks(10), nobody), vec![10, 9]),
        (Begin::Behind(Ticks(10), seller), vec![10, 9]),
        (Begin::Behind(Ticks(11), nobody), vec![10, 9]),
        (Begin::End, vec![]),
    ] {
        let side = pages::read(exchange.market(), Side::Buy, begin, Position(u64::MAX), room);
        let prices: Vec<u64> = side.levels.iter().map(|level| level.rung.price.0).collect();
        assert_eq!(prices, expected, "{begin:?}");
        assert!(side.levels.iter().all(|level| !level.continued));
    }
    let token = crate::api::pages::Token { part: 'b', at: [9; 9] }.text("list");
    assert!(Place::of_token(&token, "list").is_err());
    let token = Place { read_at: Position(1), sides: [Begin::Best; 2] }.token("list");
    assert!(Place::of_token(&token, "another").is_err());
}

/// What may happen between two pages.
fn change() -> impl Strategy<Value = (u8, u64, u64)> {
    (0u8..5, 0u64..60, 5u64..12)
}

proptest! {
    #[test]
    fn what_rested_unchanged_is_on_the_pages(
        prices in proptest::collection::vec(5u64..12, 1..50),
        changes in proptest::collection::vec(proptest::collection::vec(change(), 0..4), 1..60),
        (levels, orders) in (1usize..4, 1usize..6),
    ) {
        let mut exchange = Exchange::with(prices.into_iter().map(|price| (Side::Buy, price)));
        let before = exchange.resting();
        let (mut place, mut reader, room) = (Place::FIRST, Reader::default(), Room { levels, orders: Some(orders), step: Step::TICK });
        let mut known: BTreeSet<OrderId> = before.keys().copied().collect();
        let mut changes = changes.into_iter();
        loop {
            let ([buys, _], next) = exchange.page(place, room);
            reader.take(&buys);
            place = next;
            if place.sides == [Begin::End; 2] {
                break;
            }
            // In the end the book stands still, or a page would never be the last.
            for (what, which, price) in changes.next().into_iter().flatten() {
                let target = Target::Order(OrderId { node: NodeId(1), counter: which });
                exchange.take(match what {
                    0 | 1 => Action::Cancel(target),
                    2 => Action::Amend(Amend { target, price: Some(Ticks(price)), size: None, trigger: None }),
                    3 => Action::Amend(Amend { target, price: None, size: Some(NewSize::Open(Lots(price))), trigger: None }),
                    _ => {
                        exchange.place(Side::Buy, price);
                        continue;
                    }
                });
            }
            known.extend(exchange.resting().keys());
        }
        let mut told: BTreeMap<OrderId, Vec<Ticks>> = BTreeMap::new();
        for (price, orders) in &reader.levels {
            orders.iter().for_each(|id| told.entry(*id).or_default().push(*price));
        }
        for (id, order) in exchange.resting() {
            if before.get(&id) == Some(&order) {
                prop_assert_eq!(told.get(&id), Some(&vec![order.limit.unwrap()]), "{}", id);
            }
        }
        prop_assert!(told.keys().all(|id| known.contains(id)));
        prop_assert!(reader.levels.is_sorted_by(|a, b| a.0 > b.0));
    }
}

#[test]
fn the_largest_messages_are_below_what_clients_take() {
    let longest = "9".repeat(29);
    let id = OrderId { node: NodeId(u64::MAX), counter: u64::MAX };
    let order = v1::BookOrder { order_id: id.to_string(), quantity: longest.clone() };
    let level = |orders| v1::Level {
        price: longest.clone(),
        quantity: longest.clone(),
        order_count: u32::MAX,
        orders,
        continued: true,
    };
    // Each level has an order at least.
    let mut side = vec![level(vec![order.clone()]); MAX_DEPTH as usize - 1];
    side.push(level(vec![order; MAX_ORDERS + 1 - MAX_DEPTH as usize]));
    let page = v1::GetOrderBookResponse { bids: side.clone(), asks: side, ..Default::default() };
    let limit = crate::api::MAX_MESSAGE_BYTES - 4_096;
    assert!(page.encoded_len() < limit, "{}", page.encoded_len());
    let snapshot =
        v1::BookSnapshot { bids: vec![level(vec![]); subscribe::MAX_ENTRIES], ..Default::default() };
    assert!(snapshot.encoded_len() < limit, "{}", snapshot.encoded_len());
}
