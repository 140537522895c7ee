//! Withdraws, in whatever order they and their orders have their turn.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use xbook_proto::record::v1::Outcome;
use xbook_proto::v1::{Reason, TimeInForce};

use crate::decimal::Grid;
use crate::machine::{
    Action, Intent, Machine, Market, Origin, Place, Request, Rules, State, Step, Unconsumed,
};
use crate::types::{Lots, Micros, NodeId, OrderId, Position, Side, Ticks};

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
    fn with(mut self, id: OrderId, account: &str, action: Action) -> Self {
        if let Action::Withdraw(order) = action {
            self.withdraws.entry(order).or_default().push(id);
        }
        let origin = Origin::Request(id.to_string().into());
        let request = Request { account: account.into(), origin, body_hash: 1, action };
        self.intents.insert(id, Intent { request, based_on: Micros(0), accepted: Micros(0) });
        self
    }

    /// Under a lease of its own each, `ids` have their turn with this document beside them. Others
    /// must be able to follow.
    fn consume(&self, state: &mut State, ids: &[OrderId]) -> Vec<Step> {
        let mut follower = state.clone();
        let mut batch = state.begin(1, Micros(1), Position(0)).unwrap();
        for id in ids {
            state.sequence(&mut batch, *id, &self.intents[id], self).unwrap();
        }
        let batch = state.end(batch);
        follower.apply(&batch, |id| self.intents.get(&id)).unwrap();
        assert_eq!(state.to_parts(), follower.to_parts());
        batch.steps
    }
}

fn market() -> State {
    let grid = Grid::new(Decimal::ONE).unwrap();
    let market = Market::new("A/B".into(), Rules::new(grid, grid));
    State::new(Machine::Market(Box::new(market)), vec![NodeId(1)], [0; 32])
}

fn place() -> Action {
    Action::Place(Place {
        side: Side::Buy,
        limit: Some(Ticks(10)),
        quantity: Lots(5),
        time_in_force: TimeInForce::Gtc,
        post_only: false,
        expires: None,
        sequence_by: None,
    })
}

fn outcomes(steps: &[Step]) -> Vec<(Outcome, Reason)> {
    steps.iter().map(|step| (step.outcome, step.reason)).collect()
}

fn resting(state: &State) -> usize {
    state.machine.market().unwrap().book().len()
}

fn marks(state: &State) -> usize {
    state.to_parts().iter().map(|part| part.withdrawn.len()).sum()
}

const WITHDRAWN: (Outcome, Reason) = (Outcome::Withdrawn, Reason::Requested);

#[test]
fn an_order_is_withdrawn_by_what_comes_after_it() {
    for withdraw in [SAME_NODE, OTHER_NODE] {
        let document =
            Document::default().with(ORDER, "a", place()).with(withdraw, "a", Action::Withdraw(ORDER));
        let mut state = market();
        assert_eq!(outcomes(&document.consume(&mut state, &[ORDER])), [WITHDRAWN]);
        assert_eq!((resting(&state), marks(&state)), (0, 1));
        // Under another holder the withdraw finds that its work was done.
        assert_eq!(outcomes(&document.consume(&mut state, &[withdraw])), [WITHDRAWN]);
        assert_eq!(marks(&state), 0);
    }
}

#[test]
fn an_order_is_withdrawn_by_what_was_consumed_before_it() {
    let document =
        Document::default().with(ORDER, "a", place()).with(OTHER_NODE, "a", Action::Withdraw(ORDER));
    let mut state = market();
    assert_eq!(outcomes(&document.consume(&mut state, &[OTHER_NODE])), [WITHDRAWN]);
    assert_eq!(marks(&state), 1);
    assert_eq!(outcomes(&document.consume(&mut state, &[ORDER])), [WITHDRAWN]);
    assert_eq!((resting(&state), marks(&state)), (0, 0));
}

#[test]
fn a_resting_order_is_cancelled_and_a_cancelled_one_is_unknown() {
    let order = Document::default().with(ORDER, "a", place());
    let mut state = market();
    assert_eq!(order.consume(&mut state, &[ORDER])[0].outcome, Outcome::Placed);
    let document =
        order.with(OTHER_NODE, "a", Action::Withdraw(ORDER)).with(SAME_NODE, "a", Action::Withdraw(ORDER));
    let steps = document.consume(&mut state, &[OTHER_NODE, SAME_NODE]);
    let unknown = (Outcome::Refused, Reason::UnknownOrder);
    assert_eq!(outcomes(&steps), [(Outcome::Cancelled, Reason::Requested), unknown]);
    assert_eq!((resting(&state), marks(&state)), (0, 0));
}

#[test]
fn nobody_withdraws_what_is_not_ones_own_or_not_there() {
    let document =
        Document::default().with(ORDER, "a", place()).with(OTHER_NODE, "b", Action::Withdraw(ORDER));
    let refused = |reason| (Outcome::Refused, reason);
    let mut state = market();
    let steps = document.consume(&mut state, &[OTHER_NODE, ORDER]);
    assert_eq!(outcomes(&steps), [refused(Reason::OtherAccount), (Outcome::Placed, Reason::Unspecified)]);
    assert_eq!((resting(&state), marks(&state)), (1, 0));

    let document = Document::default().with(OTHER_NODE, "a", Action::Withdraw(ORDER));
    let mut state = market();
    assert_eq!(outcomes(&document.consume(&mut state, &[OTHER_NODE])), [refused(Reason::UnknownOrder)]);
    assert_eq!(marks(&state), 0);
    // It was refused, so the order goes its way though the withdraw is still in the document.
    let document = document.with(ORDER, "a", place());
    assert_eq!(document.consume(&mut state, &[ORDER])[0].outcome, Outcome::Placed);
}

#[test]
fn a_plain_cancel_waits_for_its_turn() {
    let cancel = Action::Cancel(crate::machine::Target::Order(ORDER));
    let document = Document::default().with(ORDER, "a", place()).with(SAME_NODE, "a", cancel);
    let mut state = market();
    let steps = document.consume(&mut state, &[ORDER, SAME_NODE]);
    let done = [(Outcome::Placed, Reason::Unspecified), (Outcome::Cancelled, Reason::Requested)];
    assert_eq!(outcomes(&steps), done);
}
