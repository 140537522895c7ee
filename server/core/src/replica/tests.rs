//! The replica alone: its effects, its answers, and what a crash leaves of it.

mod alone;
mod candidacy;
mod clocks;
mod generations;
mod lease;
mod sync;

use super::*;
use crate::decimal::Grid;
use crate::document::{Actor, Genesis, RawChange};
use crate::machine::{
    Action, Amend, Block, Change, Intent, NewMarket, Order, OrderStatus, Origin, Place, Rules, Target,
    Unconsumed,
};
use crate::types::{
    BatchIndex, GenerationNumber, Lots, OrderId, Reason, SelfTrade, Side, Term, Ticks, TimeInForce,
};

const NODE: NodeId = NodeId(1);

fn rules() -> Rules {
    let grid = |text: &str| Grid::new(text.parse().unwrap()).unwrap();
    // One account trades with itself here.
    Rules { self_trade: SelfTrade::Allow, ..Rules::new(grid("1"), grid("1")) }
}

fn genesis() -> Genesis {
    Genesis::market(&NewMarket { name: "BTC/USDT".into(), rules: rules(), voters: vec![NODE] })
}

fn open(now: u64, start: u16, stored: Vec<Vec<u8>>) -> Replica {
    let settings = Settings { now: Micros(now), seed: 1, ..Settings::default() };
    let me = Actor::new(Micros(now), NODE, start);
    Replica::open(genesis(), me, settings, stored, Remembered::default()).unwrap()
}

/// A replica on a disk that syncs when it is told to.
struct Machine {
    replica: Replica,
    unsynced: Vec<(u64, Vec<u8>)>,
    disk: Vec<Vec<u8>>,
    blocks: Vec<Arc<Block>>,
    now: u64,
    starts: u16,
}

impl Machine {
    fn new() -> Self {
        let replica = open(1_000, 0, Vec::new());
        let mut machine = Self {
            replica,
            unsynced: Vec::new(),
            disk: Vec::new(),
            blocks: Vec::new(),
            now: 1_000,
            starts: 0,
        };
        machine.input(Input::Wake);
        machine
    }

    fn input(&mut self, input: Input) {
        self.now += 10;
        let mut effects = Vec::new();
        self.replica.handle(Micros(self.now), input, &mut effects).unwrap();
        for effect in effects {
            match effect {
                Effect::Store { index, bytes, .. } => self.unsynced.push((index, bytes.to_vec())),
                Effect::Committed(block) => self.blocks.push(block),
                _ => {}
            }
        }
    }

    fn sync(&mut self) {
        while !self.unsynced.is_empty() {
            let (index, bytes) = self.unsynced.remove(0);
            self.disk.push(bytes);
            self.input(Input::Stored { generation: GenerationNumber(0), index });
        }
    }

    /// The process is killed; what was not synced is gone.
    fn crash(&mut self) {
        self.starts += 1;
        self.now += 1_000_000;
        self.unsynced.clear();
        self.replica = open(self.now, self.starts, self.disk.clone());
        self.blocks.clear();
        self.input(Input::Wake);
    }

    fn submit(&mut self, requests: Vec<Request>) {
        self.input(Input::Submit(requests));
    }

    fn orders(&self) -> Vec<&Order> {
        let changes = self.blocks.iter().flat_map(|block| &block.changes);
        let orders = changes.filter_map(|change| match change {
            Change::Order { order, .. } => Some(order),
            Change::Market(_) => None,
        });
        orders.collect()
    }

    fn book(&self, side: Side) -> Vec<(u64, u64)> {
        let book = self.replica.view().machine.market().unwrap().book();
        book.levels(side).map(|level| (level.price.0, level.open.0)).collect()
    }
}

fn request(id: &str, action: Action) -> Request {
    Request { account: "main".into(), origin: Origin::Request(id.into()), body_hash: 1, action }
}

fn limit(id: &str, side: Side, quantity: u64, price: u64) -> Request {
    let place = Place::new(side, Some(Ticks(price)), Lots(quantity), TimeInForce::Gtc);
    request(id, Action::Place(place))
}

/// S0's worked example.
fn example() -> Vec<Request> {
    vec![
        limit("a", Side::Buy, 100, 10),
        limit("b", Side::Buy, 100, 11),
        limit("c", Side::Sell, 50, 11),
        limit("d", Side::Sell, 75, 9),
    ]
}

#[test]
fn the_worked_example_leaves_one_order() {
    let mut machine = Machine::new();
    machine.submit(example());
    assert!(machine.blocks.is_empty(), "nothing is shown before it is on the disk");
    machine.sync();
    assert_eq!(machine.book(Side::Buy), [(10, 75)]);
    assert_eq!(machine.book(Side::Sell), []);
    let status: Vec<OrderStatus> = machine.blocks[0]
        .answers
        .iter()
        .map(|answer| match machine.blocks[0].changes_of(answer).last() {
            Some(Change::Order { order, .. }) => order.status,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(status, [OrderStatus::Open, OrderStatus::Open, OrderStatus::Filled, OrderStatus::Filled]);
    // Accepted four times, rested twice, traded three times.
    assert_eq!(machine.replica.view().position(), Position(9));
}

#[test]
fn the_same_inputs_give_the_same_bytes() {
    let run = || {
        let mut machine = Machine::new();
        machine.submit(example());
        machine.sync();
        machine.crash();
        machine.submit(vec![limit("e", Side::Sell, 10, 10)]);
        machine.sync();
        (machine.disk, machine.blocks)
    };
    assert_eq!(run(), run());
}

#[test]
fn a_crash_loses_only_what_was_not_synced_and_fills_nothing_twice() {
    let mut machine = Machine::new();
    machine.submit(example());
    machine.sync();
    let digest = machine.replica.view().digest();
    machine.submit(vec![limit("lost", Side::Sell, 75, 10)]);
    machine.crash();
    machine.sync();
    assert_eq!(machine.replica.view().digest(), digest);
    machine.submit(vec![limit("again", Side::Sell, 70, 10)]);
    machine.sync();
    assert_eq!(machine.book(Side::Buy), [(10, 5)]);
    assert_eq!(machine.replica.status().term, Term(2), "a restarted holder needs a new term");
}

#[test]
fn a_crash_at_any_moment_leaves_a_prefix() {
    for synced in 0..6 {
        let mut machine = Machine::new();
        machine.sync();
        for request in example() {
            machine.submit(vec![request]);
            if machine.disk.len() < synced + 2 && !machine.unsynced.is_empty() {
                let (index, bytes) = machine.unsynced.remove(0);
                machine.disk.push(bytes);
                machine.input(Input::Stored { generation: GenerationNumber(0), index });
            }
        }
        let shown = machine.replica.view().position();
        machine.crash();
        machine.sync();
        assert!(machine.replica.view().position() >= shown, "what was shown is never taken back");
        machine.submit(example());
        machine.sync();
        assert_eq!(machine.book(Side::Buy), [(10, 75)], "a repeated request has one effect");
        assert_eq!(machine.book(Side::Sell), []);
    }
}

#[test]
fn a_repeated_request_is_answered_with_the_first() {
    let mut machine = Machine::new();
    machine.submit(vec![limit("a", Side::Buy, 100, 10), limit("a", Side::Buy, 100, 10)]);
    machine.sync();
    let answers = &machine.blocks[0].answers;
    assert_eq!(answers[1].repeats.map(|first| first.intent), Some(answers[0].intent));
    let mut reused = limit("a", Side::Buy, 1, 10);
    reused.body_hash = 2;
    machine.submit(vec![reused]);
    machine.sync();
    assert_eq!(machine.blocks[1].answers[0].refused, Reason::RequestIdReused);
    assert_eq!(machine.book(Side::Buy), [(10, 100)]);
}

#[test]
fn orders_expire_by_tape_time() {
    let mut machine = Machine::new();
    machine.sync();
    let mut gtd = limit("a", Side::Buy, 100, 10);
    if let Action::Place(place) = &mut gtd.action {
        place.time_in_force = TimeInForce::Gtd;
        place.expires = Some(Micros(5_000));
    }
    machine.submit(vec![gtd]);
    machine.sync();
    assert_eq!(machine.book(Side::Buy), [(10, 100)]);
    machine.now = 6_000;
    machine.input(Input::Wake);
    machine.sync();
    assert_eq!(machine.book(Side::Buy), []);
    assert_eq!(machine.orders().last().unwrap().status, OrderStatus::Expired);
}

#[test]
fn cancels_are_for_ones_own_orders() {
    let mut machine = Machine::new();
    machine.submit(vec![limit("a", Side::Buy, 100, 10)]);
    machine.sync();
    let id = machine.orders()[0].id;
    let mut other = request("x", Action::Cancel(Target::Order(id)));
    other.account = "other".into();
    machine.submit(vec![other, request("y", Action::Cancel(Target::Order(id)))]);
    machine.sync();
    let answers = &machine.blocks[1].answers;
    assert_eq!((answers[0].refused, answers[1].refused), (Reason::OtherAccount, Reason::Unspecified));
    assert_eq!(machine.book(Side::Buy), []);
}

#[test]
fn a_withdraw_stops_an_order_before_its_turn() {
    let mut machine = Machine::new();
    let id = OrderId { node: NODE, counter: 1 };
    let withdraw = request("b", Action::Withdraw(id));
    machine.submit(vec![limit("a", Side::Buy, 100, 10), withdraw, limit("c", Side::Sell, 100, 10)]);
    machine.sync();
    let orders = machine.orders();
    assert_eq!((orders[0].id, orders[0].status), (id, OrderStatus::Cancelled));
    assert_eq!((orders[0].reason, orders[0].filled), (Reason::Requested, Lots(0)));
    assert!(machine.blocks[0].answers.iter().all(|answer| answer.refused == Reason::Unspecified));
    assert_eq!((machine.book(Side::Buy), machine.book(Side::Sell)), (vec![], vec![(10, 100)]));
    assert_eq!(machine.replica.current.inbox.withdraws(id), []);
}

#[test]
fn a_withdraw_is_known_again_after_a_restart() {
    let voters = vec![NODE, NodeId(2)];
    let genesis = Genesis::market(&NewMarket { name: "BTC/USDT".into(), rules: rules(), voters });
    let start = |start, stored| {
        let settings = Settings { now: Micros(1), seed: 1, ..Settings::default() };
        let me = Actor::new(Micros(1), NODE, start);
        Replica::open(genesis.clone(), me, settings, stored, Remembered::default()).unwrap()
    };
    let mut replica = start(0, Vec::new());
    let id = OrderId { node: NODE, counter: 1 };
    let requests = vec![limit("a", Side::Buy, 100, 10), request("b", Action::Withdraw(id))];
    let mut effects = Vec::new();
    replica.handle(Micros(2), Input::Submit(requests), &mut effects).unwrap();
    let stored = effects.into_iter().filter_map(|effect| match effect {
        Effect::Store { bytes, .. } => Some(bytes.to_vec()),
        _ => None,
    });
    let replica = start(1, stored.collect());
    assert_eq!(replica.current.inbox.withdraws(id), [OrderId { counter: 2, ..id }]);
}

#[test]
fn an_amend_that_changes_nothing_is_done() {
    let mut machine = Machine::new();
    machine.submit(vec![limit("a", Side::Buy, 100, 10)]);
    machine.sync();
    let target = Target::Order(machine.orders()[0].id);
    machine.submit(vec![request(
        "b",
        Action::Amend(Amend { target, price: Some(Ticks(10)), size: None, trigger: None }),
    )]);
    machine.sync();
    assert_eq!(machine.blocks[1].answers[0].refused, Reason::Unspecified);
    assert_eq!(machine.book(Side::Buy), [(10, 100)]);
}

#[test]
fn what_is_not_on_the_disk_is_pending_for_nobody() {
    let mut machine = Machine::new();
    machine.sync();
    machine.submit(vec![limit("a", Side::Buy, 100, 10)]);
    let id = OrderId { node: NODE, counter: 1 };
    assert_eq!((machine.replica.pending().count(), machine.replica.waiting_intent(id)), (0, None));
}

#[test]
fn a_tape_is_matched_again_and_one_that_lies_is_found() {
    let mut machine = Machine::new();
    machine.submit(example());
    machine.sync();
    machine.submit(vec![limit("e", Side::Sell, 70, 10), limit("e", Side::Sell, 70, 10)]);
    machine.sync();
    let end = machine.replica.view().position();
    let mut copy = open(machine.now, 9, machine.disk.clone());
    let matched = copy.rematch(end, |_| {}).unwrap();
    assert_eq!((matched.through, matched.digest), (end, machine.replica.view().digest()));
    assert_eq!((matched.batches, matched.intents, matched.fills, matched.quantity), (2, 6, 4, 195));
    assert_eq!(
        copy.rematch(Position(1), |_| {}).unwrap().batches,
        BatchIndex(1).0,
        "no more than was asked for"
    );

    // What the tape says was never asked for.
    let mut intents: Vec<Intent> = copy.current.inbox.of(NODE).map(|(_, intent)| intent.clone()).collect();
    if let Action::Place(place) = &mut intents[2].request.action {
        place.quantity = Lots(60);
    }
    copy.current.inbox = super::inbox::Inbox::default();
    assert!(copy.current.inbox.add(NODE, 1, intents));
    let third = OrderId { node: NODE, counter: 3 };
    let error = copy.rematch(end, |_| {}).unwrap_err();
    assert_eq!(error, RematchError::Outcome { intent: third, after: Position(0) });
}

#[test]
fn tape_time_grows_though_the_clock_was_set_back() {
    let mut machine = Machine::new();
    machine.submit(vec![limit("a", Side::Buy, 100, 10)]);
    machine.sync();
    machine.now = 0;
    machine.submit(vec![limit("b", Side::Buy, 100, 10)]);
    machine.sync();
    assert!(machine.blocks[1].time > machine.blocks[0].time);
}

#[test]
fn a_change_ends_by_its_bytes_and_only_one_request_goes_beyond() {
    let mut machine = Machine::new();
    let caps = Caps { batch_bytes: 2_000, ..Caps::default() };
    let settings = Settings { now: Micros(1_000), seed: 1, caps, ..Settings::default() };
    machine.replica = Replica::open(
        genesis(),
        Actor::new(Micros(1_000), NODE, 0),
        settings,
        Vec::new(),
        Remembered::default(),
    )
    .unwrap();
    (machine.unsynced, machine.disk) = (Vec::new(), Vec::new());
    machine.input(Input::Wake);
    machine.sync();
    let asks = |from| (from..from + 300).map(|n| limit(&format!("s-{n}"), Side::Sell, 1, 10)).collect();
    machine.submit(asks(0));
    machine.sync();
    machine.submit(asks(300));
    machine.sync();
    assert_eq!(machine.book(Side::Sell), [(10, 600)]);
    let longest = machine.disk.iter().map(Vec::len).max().unwrap();
    assert!(machine.disk.len() > 20 && longest < 2 * 2_000 + 500, "{} of {longest}", machine.disk.len());
    // A sweep is one step, however large.
    machine.submit(vec![limit("sweep", Side::Buy, 600, 10), limit("after", Side::Buy, 1, 5)]);
    machine.sync();
    assert_eq!(machine.book(Side::Sell), []);
    let [.., sweep, after] = &machine.blocks[..] else { panic!("no blocks") };
    assert_eq!((sweep.changes.len(), after.changes.len()), (1 + 2 * 600, 1));
}
