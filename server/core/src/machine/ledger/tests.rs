//! Withdraws and repeats, in whatever order they and their orders have their turn; an order's own times;
//! sessions that are forgotten.

use std::collections::BTreeMap;

use prost::Message;
use rust_decimal::Decimal;
use xbook_proto::record::v1::StatePart;

use crate::decimal::Grid;
use crate::machine::{
    Action, Caps, Event, Intent, Machine, Market, Origin, Place, Request, Rules, Session, State, Target,
    Unconsumed,
};
use crate::types::{Lots, Micros, NodeId, OrderId, Position, Reason, Side, Term, Ticks, TimeInForce};

const ORDER: OrderId = OrderId { node: NodeId(1), counter: 1 };
const OTHER_NODE: OrderId = OrderId { node: NodeId(2), counter: 1 };
const SAME_NODE: OrderId = OrderId { node: NodeId(1), counter: 2 };

/// A document's intents.
#[derive(Default)]
struct Document {
    intents: BTreeMap<OrderId, Intent>,
    withdraws: BTreeMap<OrderId, Vec<OrderId>>,
}

impl Unconsumed for Document {
    fn intent(&self, id: OrderId) -> Option<&Intent> {
        self.intents.get(&id)
    }

    fn withdraws(&self, order: OrderId) -> &[OrderId] {
        self.withdraws.get(&order).map_or(&[], Vec::as_slice)
    }
}

impl Document {
    fn with(self, id: OrderId, account: &str, action: Action) -> Self {
        self.named(id, account, Origin::Request(id.to_string().into()), action)
    }

    fn named(mut self, id: OrderId, account: &str, origin: Origin, action: Action) -> Self {
        if let Action::Withdraw(order) = action {
            self.withdraws.entry(order).or_default().push(id);
        }
        let request = Request { account: account.into(), origin, body_hash: 1, action };
        self.intents.insert(id, Intent { request, based_on: Micros(0), accepted: Micros(0) });
        self
    }

    /// Under a lease of its own each, `ids` have their turn with this document beside them. Others
    /// must be able to follow.
    fn consume(&self, state: &mut State, ids: &[OrderId]) -> Vec<Vec<Event>> {
        self.consume_at(Micros(1), state, ids)
    }

    fn consume_at(&self, time: Micros, state: &mut State, ids: &[OrderId]) -> Vec<Vec<Event>> {
        let mut follower = state.clone();
        let mut batch = state.begin(Term(1), time, Position(0)).unwrap();
        for id in ids {
            state.sequence(&mut batch, *id, &self.intents[id], self).unwrap();
        }
        let batch = state.end(batch);
        follower.apply(&batch, |id| self.intents.get(&id)).unwrap();
        assert_eq!(state.to_parts(), follower.to_parts());
        assert!(state.surviving_parts(&[NodeId(1)]).is_some());
        batch.steps().map(|(_, events)| events.to_vec()).collect()
    }
}

fn market() -> State {
    let grid = Grid::new(Decimal::ONE).unwrap();
    let market = Market::new("A/B".into(), Rules::new(grid, grid));
    State::new(Machine::Market(Box::new(market)), vec![NodeId(1)], [0; 32])
}

fn place() -> Action {
    Action::Place(Place::new(Side::Buy, Some(Ticks(10)), Lots(5), TimeInForce::Gtc))
}

/// The order of [`place`] rests.
fn rested(order: OrderId) -> Vec<Event> {
    let rested = Event::Rested { order, side: Side::Buy, price: Ticks(10), open: Lots(5), shown: Lots(5) };
    vec![Event::Accepted { order, price: None, expires: None }, rested]
}

/// It is taken out.
fn cancelled(order: OrderId) -> Vec<Event> {
    vec![Event::Removed { order, open: Lots(5), reason: Reason::Requested }]
}

fn withdrawn(order: OrderId) -> Vec<Event> {
    vec![Event::Withdrawn { order }]
}

fn refused(reason: Reason) -> Vec<Event> {
    vec![Event::Refused { reason }]
}

fn repeated(first: OrderId) -> Vec<Event> {
    vec![Event::Repeated { first: Some(first) }]
}

fn resting(state: &State) -> usize {
    state.machine.market().unwrap().book().len()
}

fn marks(state: &State) -> usize {
    let parts = state.to_parts().into_iter().map(|part| StatePart::decode(part).unwrap());
    parts.map(|part| part.withdrawn.len()).sum()
}

#[test]
fn an_order_is_withdrawn_by_what_comes_after_it() {
    for withdraw in [SAME_NODE, OTHER_NODE] {
        let document =
            Document::default().with(ORDER, "a", place()).with(withdraw, "a", Action::Withdraw(ORDER));
        let mut state = market();
        assert_eq!(document.consume(&mut state, &[ORDER]), [withdrawn(ORDER)]);
        assert_eq!((resting(&state), marks(&state)), (0, 1));
        // Under another holder the withdraw finds that its work was done.
        assert_eq!(document.consume(&mut state, &[withdraw]), [withdrawn(ORDER)]);
        assert_eq!(marks(&state), 0);
    }
}

#[test]
fn an_order_is_withdrawn_by_what_was_consumed_before_it() {
    let document =
        Document::default().with(ORDER, "a", place()).with(OTHER_NODE, "a", Action::Withdraw(ORDER));
    let mut state = market();
    assert_eq!(document.consume(&mut state, &[OTHER_NODE]), [withdrawn(ORDER)]);
    assert_eq!(marks(&state), 1);
    assert_eq!(document.consume(&mut state, &[ORDER]), [withdrawn(ORDER)]);
    assert_eq!((resting(&state), marks(&state)), (0, 0));
}

#[test]
fn a_resting_order_is_cancelled_and_a_cancelled_one_is_unknown() {
    let order = Document::default().with(ORDER, "a", place());
    let mut state = market();
    assert_eq!(order.consume(&mut state, &[ORDER]), [rested(ORDER)]);
    let document =
        order.with(OTHER_NODE, "a", Action::Withdraw(ORDER)).with(SAME_NODE, "a", Action::Withdraw(ORDER));
    let steps = document.consume(&mut state, &[OTHER_NODE, SAME_NODE]);
    assert_eq!(steps, [cancelled(ORDER), refused(Reason::UnknownOrder)]);
    assert_eq!((resting(&state), marks(&state)), (0, 0));
}

#[test]
fn nobody_withdraws_what_is_not_ones_own_or_not_there() {
    let document =
        Document::default().with(ORDER, "a", place()).with(OTHER_NODE, "b", Action::Withdraw(ORDER));
    let mut state = market();
    let steps = document.consume(&mut state, &[OTHER_NODE, ORDER]);
    assert_eq!(steps, [refused(Reason::OtherAccount), rested(ORDER)]);
    assert_eq!((resting(&state), marks(&state)), (1, 0));

    let document = Document::default().with(OTHER_NODE, "a", Action::Withdraw(ORDER));
    let mut state = market();
    assert_eq!(document.consume(&mut state, &[OTHER_NODE]), [refused(Reason::UnknownOrder)]);
    assert_eq!(marks(&state), 0);
    // It was refused, so the order goes its way though the withdraw is still in the document.
    let document = document.with(ORDER, "a", place());
    assert_eq!(document.consume(&mut state, &[ORDER]), [rested(ORDER)]);
}

#[test]
fn a_plain_cancel_waits_for_its_turn() {
    let cancel = Action::Cancel(crate::machine::Target::Order(ORDER));
    let document = Document::default().with(ORDER, "a", place()).with(SAME_NODE, "a", cancel);
    let mut state = market();
    let steps = document.consume(&mut state, &[ORDER, SAME_NODE]);
    assert_eq!(steps, [rested(ORDER), cancelled(ORDER)]);
}

fn same_request() -> Origin {
    Origin::Request("same".into())
}

fn id(node: u64, counter: u64) -> OrderId {
    OrderId { node: NodeId(node), counter }
}

#[test]
fn an_order_past_its_own_time_is_expired_at_its_turn() {
    let with = |expires, sequence_by| {
        let Action::Place(place) = place() else { unreachable!() };
        let time_in_force = TimeInForce::Gtd;
        Action::Place(Place { expires, sequence_by, time_in_force, ..place })
    };
    let at = |time| Some(Micros(time));
    let placed = rested(ORDER);
    let table = [
        (with(at(101), None), placed.clone()),
        (with(at(100), None), refused(Reason::ExpireTime)),
        (with(at(1), None), refused(Reason::ExpireTime)),
        (with(at(101), at(100)), placed.clone()),
        (with(at(101), at(99)), refused(Reason::SequenceBy)),
        (with(at(100), at(99)), refused(Reason::SequenceBy)),
    ];
    for (action, events) in table {
        let document = Document::default().with(ORDER, "a", action.clone());
        let mut state = market();
        let steps = document.consume_at(Micros(100), &mut state, &[ORDER]);
        assert_eq!(steps.concat(), events, "{action:?}");
        assert_eq!(resting(&state), usize::from(events == placed), "{action:?}");
    }
}

#[test]
fn an_id_that_lost_to_its_twin_finds_and_cancels_the_order() {
    let (first, twin) = (id(1, 1), id(2, 1));
    for cancel in [Action::Cancel(Target::Order(twin)), Action::Withdraw(twin)] {
        let document = Document::default()
            .named(first, "a", same_request(), place())
            .named(twin, "a", same_request(), place())
            .with(id(2, 2), "a", cancel);
        let mut state = market();
        let steps = document.consume(&mut state, &[first, twin]);
        assert_eq!(steps, [rested(first), repeated(first)]);
        assert_eq!(state.ledger.first_of(twin), first);
        assert_eq!(document.consume_at(Micros(9), &mut state, &[id(2, 2)]), [cancelled(first)]);
        assert_eq!(resting(&state), 0);
    }
}

#[test]
fn a_withdraw_of_a_pending_repeat_takes_the_first_order_out() {
    let (first, twin, withdraw) = (id(1, 1), id(2, 1), id(3, 1));
    let document = Document::default()
        .named(first, "a", same_request(), place())
        .named(twin, "a", same_request(), place())
        .with(withdraw, "a", Action::Withdraw(twin));
    let mut state = market();
    let steps = document.consume(&mut state, &[first, withdraw, twin]);
    assert_eq!(steps, [rested(first), cancelled(first), repeated(first)]);
    assert_eq!((resting(&state), marks(&state)), (0, 0));
}

#[test]
fn a_request_that_was_withdrawn_under_one_id_does_not_trade_under_another() {
    let (first, twin, withdraw) = (id(1, 1), id(2, 1), id(3, 1));
    let document = Document::default()
        .named(first, "a", same_request(), place())
        .named(twin, "a", same_request(), place())
        .with(withdraw, "a", Action::Withdraw(twin));
    let mut state = market();
    assert_eq!(document.consume(&mut state, &[withdraw]), [withdrawn(twin)]);
    assert_eq!(document.consume_at(Micros(9), &mut state, &[first]), [withdrawn(first)]);
    assert_eq!(document.consume_at(Micros(99), &mut state, &[twin]), [repeated(first)]);
    assert_eq!((resting(&state), marks(&state)), (0, 0));
}

#[test]
fn a_cancel_all_below_the_floor_cancels_nothing() {
    let caps = Caps { requests: 1, ..Caps::default() };
    let document = Document::default().with(id(1, 1), "a", place()).with(id(1, 2), "a", place()).with(
        id(2, 1),
        "a",
        Action::CancelAll(None),
    );
    let mut state = market().with_caps(caps);
    document.consume(&mut state, &[id(1, 1), id(1, 2)]);
    assert_eq!(document.consume_at(Micros(9), &mut state, &[id(2, 1)]), [refused(Reason::Forgotten)]);
    assert_eq!(resting(&state), 2);
}

fn command(session: &str, number: u64) -> Origin {
    Origin::Command { session: Session::new("a", session), number }
}

#[test]
fn a_used_number_is_a_repeat_of_the_same_command_and_refused_for_another() {
    let document = Document::default()
        .named(id(1, 1), "a", command("s", 1), place())
        .named(id(1, 2), "a", command("s", 1), place())
        .named(id(1, 3), "a", command("s", 1), Action::Cancel(Target::Command(1)))
        .named(id(1, 4), "a", command("s", 1), Action::Invalid);
    let mut state = market();
    let steps = document.consume(&mut state, &[id(1, 1), id(1, 2), id(1, 3), id(1, 4)]);
    let repeat = repeated(id(1, 1));
    assert_eq!(steps[1..], [repeat.clone(), refused(Reason::CommandReused), repeat]);
    assert_eq!(resting(&state), 1);
}

#[test]
fn a_session_that_was_forgotten_is_refused_by_name_and_nothing_holds_a_number_twice() {
    let caps = Caps { sessions: 1, ..Caps::default() };
    let mut document = Document::default();
    for (counter, (session, number)) in (1..).zip([("s", 1), ("s", 2), ("t", 1), ("s", 3), ("s", 1)]) {
        document = document.named(id(1, counter), "a", command(session, number), place());
        document.intents.get_mut(&id(1, counter)).unwrap().based_on = Micros(u64::MAX);
    }
    let mut state = market().with_caps(caps);
    let ids: Vec<OrderId> = (1..=5).map(|counter| id(1, counter)).collect();
    let steps = document.consume(&mut state, &ids);
    let forgotten = refused(Reason::SessionForgotten);
    assert_eq!(steps[3..], [forgotten.clone(), forgotten]);
    assert_eq!(resting(&state), 3);
}
