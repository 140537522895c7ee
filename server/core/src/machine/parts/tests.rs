use std::collections::{BTreeMap, VecDeque};

use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;
use rust_decimal::Decimal;
use xbook_proto::record::v1::{self as record, StatePart};

use super::*;
use crate::decimal::Grid;
use crate::format::Format;
use crate::machine::{
    Action, Amend, Announcement, Batch, Directory, Intent, Invitation, Limits, Market, NewMarket, NewSize,
    Origin, Place, Request, Rules, Session, Stop, StreamSwitch, Switch, Target, Terms, Unconsumed,
    VoterChange,
};
use crate::types::{ClientId, Lots, MarketState, OrderId, SelfTrade, Side, Term, Ticks, TimeInForce};

const NODES: [NodeId; 3] = [NodeId(7), NodeId(3), NodeId(u64::MAX)];
const ACCOUNTS: [&str; 3] = ["a", "b", "someone with a longer name"];
const OLD: [u8; 32] = [1; 32];
const NEW: [u8; 32] = [2; 32];

/// What a client does next, out of a few numbers.
type Draw = (u8, u8, u8, u8, u8);

fn draws(most: usize) -> impl Strategy<Value = Vec<Draw>> {
    vec(any::<Draw>(), 0..most)
}

fn rules() -> Rules {
    let grid = Grid::new(Decimal::new(1, 2)).unwrap();
    Rules::new(grid, grid)
}

fn empty_market() -> Machine {
    Machine::Market(Box::new(Market::new("A/B".into(), rules())))
}

fn voters() -> Vec<NodeId> {
    vec![NodeId(3), NodeId(7)]
}

/// Clients and nodes: they make intents and have them sequenced.
#[derive(Clone, Default)]
struct World {
    intents: BTreeMap<OrderId, Intent>,
    last: BTreeMap<NodeId, u64>,
    numbers: [u64; 2],
    clock: u64,
    waiting: VecDeque<OrderId>,
    withdraws: BTreeMap<OrderId, Vec<OrderId>>,
}

impl Unconsumed for World {
    fn intent(&self, id: OrderId) -> Option<&Intent> {
        self.intents.get(&id)
    }

    fn withdraws(&self, order: OrderId) -> &[OrderId] {
        self.withdraws.get(&order).map_or(&[], Vec::as_slice)
    }
}

impl World {
    /// Has the state sequence what was drawn, in batches, and returns these. A few intents always
    /// wait for their turn.
    fn go_on(&mut self, state: &mut State, draws: &[Draw]) -> Vec<Batch> {
        let batch = |chunk: &[Draw]| {
            self.clock += 1_000 * u64::from(chunk[0].1);
            let mut batch = state.begin(Term(1), Micros(self.clock), state.position()).unwrap();
            for draw in chunk {
                let intent = self.intent(state, *draw);
                let node = NODES[usize::from(draw.0) % NODES.len()];
                let counter = self.last.entry(node).or_insert(0);
                *counter += 1;
                let id = OrderId { node, counter: *counter };
                if let Action::Withdraw(order) = intent.request.action {
                    self.withdraws.entry(order).or_default().push(id);
                }
                self.intents.insert(id, intent);
                self.waiting.push_back(id);
                if self.waiting.len() > 8
                    && let Some(id) = self.waiting.pop_front()
                {
                    state.sequence(&mut batch, id, &self.intents[&id], &*self).unwrap();
                }
            }
            state.end(batch)
        };
        draws.chunks(4).map(batch).collect()
    }

    fn intent(&mut self, state: &State, (kind, mut a, b, c, d): Draw) -> Intent {
        let session = usize::from(c) % self.numbers.len();
        let origin = if kind % 2 == 0 {
            Origin::Request(format!("request {}", u16::from(kind) * u16::from(b)).into())
        } else {
            self.numbers[session] += 1;
            // Now and then a repeat, and a gap.
            let number = (self.numbers[session] + u64::from(d % 16 == 1)).saturating_sub(u64::from(d % 16));
            // A session is its account's.
            a = u8::try_from(session).unwrap();
            let session = Session::new(ACCOUNTS[session], session.to_string());
            Origin::Command { session, number: number.max(1) }
        };
        let account = ACCOUNTS[usize::from(a) % 3].into();
        let action = self.action(state, (kind / 2, a, b, c, d));
        let request = Request { account, origin, body_hash: u64::from(d), action };
        Intent { request, based_on: Micros(u64::from(d)), accepted: Micros(self.clock) }
    }

    fn action(&self, state: &State, (kind, a, b, c, d): Draw) -> Action {
        let side = if b % 2 == 0 { Side::Buy } else { Side::Sell };
        let resting = state.machine.market().and_then(|market| {
            let orders = market.book().orders(side);
            orders.map(|order| order.id).nth(usize::from(c) % market.book().len().max(1))
        });
        let target = Target::Order(resting.unwrap_or(OrderId { node: NODES[0], counter: u64::from(c) }));
        match kind % 32 {
            0 => Action::Cancel(target),
            1 => Action::Cancel(Target::Command(u64::from(c))),
            2 => Action::Amend(Amend {
                target,
                price: None,
                size: Some(NewSize::Open(Lots(1 + u64::from(d)))),
                trigger: None,
            }),
            3 => Action::Amend(Amend {
                target,
                price: Some(Ticks(1 + u64::from(d % 32))),
                size: Some(NewSize::Total(Lots(u64::from(a)))),
                trigger: (d % 8 == 7).then(|| Ticks(1 + u64::from(b % 32))),
            }),
            4 if d % 8 == 0 => Action::CancelAll(Some(side)),
            5 => Action::ChangeVoters(VoterChange::Add(NodeId(u64::from(d)))),
            6 => Action::ChangeVoters(VoterChange::Remove(NodeId(u64::from(d % 8)))),
            7 => Action::Invalid,
            15..18 => match self.waiting.get(usize::from(d) % 12) {
                Some(order) => Action::Withdraw(*order),
                None => Action::Withdraw(resting.unwrap_or_default()),
            },
            18 if d % 4 == 0 => Action::Invite(Invitation {
                hash: [d; 32],
                uses: 1 + u32::from(c),
                expires: Micros(u64::from(d) * 1_000),
            }),
            18 => Action::Announce(Announcement {
                address: "".into(),
                peer_address: format!("host-{c}:7001").into(),
                key: [1; 32],
                token: None,
            }),
            19 if d % 4 == 0 => Action::RemoveNode(NODES[usize::from(c) % NODES.len()]),
            20 | 21 => Action::Switch(switch(kind % 32 == 20, (a, b, c, d))),
            22 => Action::Kill(d % 4 == 0),
            23 if d % 2 == 0 => Action::SetState(MarketState::try_from(1 + i32::from(c % 7)).unwrap()),
            23 => Action::SetState(MarketState::Continuous),
            24 => Action::SetLimits(Limits {
                quantity: Lots(u64::from(c % 4) * 100),
                notional: u128::from(b % 3) * 1_000,
                orders: u32::from(d % 2) * 50,
            }),
            8 => Action::CreateMarket(NewMarket {
                name: format!("M{}/X", d % 16).into(),
                rules: rules(),
                voters: vec![NODES[0]],
            }),
            more => Action::Place(self.place(side, more, (a, c, d))),
        }
    }

    fn place(&self, side: Side, more: u8, (a, c, d): (u8, u8, u8)) -> Place {
        let limit = (more != 9).then_some(Ticks(1 + u64::from(c % 32)));
        let time_in_force = match more {
            10 => TimeInForce::Gtd,
            9 | 19 if d % 2 == 0 => TimeInForce::Auction,
            9 | 11 => TimeInForce::Ioc,
            12 => TimeInForce::Fok,
            _ => TimeInForce::Gtc,
        };
        Place {
            post_only: more == 13,
            expires: (more == 10).then(|| Micros(self.clock + 50_000 * u64::from(a))),
            sequence_by: (more == 14).then_some(Micros(self.clock)),
            self_trade: SelfTrade::try_from(i32::from(d % 5)).unwrap(),
            terms: terms(more, (a, c, d)).shared(),
            ..Place::new(side, limit, Lots(1 + u64::from(d)), time_in_force)
        }
    }
}

/// What is asked of a switch: of the account's, or of a session's.
fn switch(of_account: bool, (a, b, c, d): (u8, u8, u8, u8)) -> Switch {
    let after = |byte: u8| Micros(1 + 40_000 * u64::from(byte));
    if of_account {
        return Switch::Account((c % 4 > 0).then_some(after(a)));
    }
    let does = match d % 5 {
        0 => StreamSwitch::Left,
        1 => StreamSwitch::Lost,
        _ => StreamSwitch::Lives { after: after(b), by: Micros(u64::MAX) },
    };
    Switch::Stream { session: (a % 2).to_string().into(), stream: 1 + u64::from(c % 3), does }
}

/// What few orders ask for.
fn terms(more: u8, (a, c, d): (u8, u8, u8)) -> Terms {
    Terms {
        stop: (more > 26).then(|| Stop { trigger: Ticks(1 + u64::from(a % 32)), ..Stop::default() }),
        display: Lots(if (21..27).contains(&more) { u64::from(d / 3) } else { 0 }),
        client_id: ClientId::new(&format!("name{}", c % 8)).filter(|_| more % 2 == 1),
        ..Terms::default()
    }
}

/// The parts of a state, decoded.
fn parts_of(state: &State) -> Vec<StatePart> {
    let parts = state.to_parts();
    assert!(parts.iter().all(|part| part.len() <= MAX_PART_BYTES && !part.is_empty()));
    parts.into_iter().map(|part| StatePart::decode(part).unwrap()).collect()
}

fn start_of(state: &State) -> StateStart {
    state.start()
}

/// The next generation of a state by way of its parts' bytes.
fn read_back(state: &State, empty: Machine) -> Option<State> {
    State::from_parts(empty, voters(), start_of(state), parts_of(state), NEW, Caps::default())
}

fn same(a: &State, b: &State) {
    assert_eq!(a.to_parts(), b.to_parts());
    assert_eq!((a.digest(), a.batches(), start_of(a)), (b.digest(), b.batches(), start_of(b)));
    assert_eq!((a.voters(), a.next_voters()), (b.voters(), b.next_voters()));
    assert_eq!(a.next_due(), b.next_due());
}

/// A state after a history, its next generation, and the same read back from parts, go on alike.
fn check(empty: &Machine, before: &[Draw], after: &[Draw]) {
    let mut world = World::default();
    let mut live = State::new(empty.clone(), voters(), OLD);
    world.go_on(&mut live, before);
    let read = read_back(&live, empty.clone());
    live.next_generation(voters(), NEW);
    let mut read = read.unwrap();
    let mut follower = read.clone();
    same(&live, &read);

    let batches = world.clone().go_on(&mut live, after);
    assert_eq!(batches, world.go_on(&mut read, after));
    for batch in &batches {
        let record = Batch::from_record(&batch.to_record()).unwrap();
        follower.apply(&record, |id| world.intents.get(&id)).unwrap();
    }
    same(&live, &read);
    same(&live, &follower);
    if let (Some(live), Some(read)) = (live.machine.market(), read.machine.market()) {
        read.book().audit().unwrap();
        assert_eq!(live.book().digest(), read.book().digest());
    }
}

/// The parts of a market with some history, and where they start.
fn some_parts(draws: &[Draw]) -> (Vec<StatePart>, StateStart) {
    let mut state = State::new(empty_market(), voters(), OLD);
    World::default().go_on(&mut state, draws);
    (parts_of(&state), start_of(&state))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_market_goes_on_from_its_parts_as_it_would_have(before in draws(400), after in draws(200)) {
        check(&empty_market(), &before, &after);
    }

    #[test]
    fn a_directory_goes_on_from_its_parts_as_it_would_have(before in draws(200), after in draws(100)) {
        check(&Machine::Directory(Directory::default()), &before, &after);
    }

    #[test]
    fn changed_bytes_are_refused_or_give_a_state_that_can_go_on(
        before in draws(200),
        after in draws(40),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let (parts, start) = some_parts(&before);
        let mut encoded: Vec<Vec<u8>> = parts.iter().map(Message::encode_to_vec).collect();
        for (at, byte) in changes {
            if let Some(part) = encoded.first_mut() {
                let at = at.index(part.len());
                part[at] = byte;
            }
        }
        let parts = encoded.iter().filter_map(|part| StatePart::decode(part.as_slice()).ok());
        let parts: Vec<StatePart> = parts.collect();
        if let Some(mut state) = State::from_parts(empty_market(), voters(), start, parts, NEW, Caps::default()) {
            let mut world = World { clock: start.time.0, ..World::default() };
            world.last = NODES.iter().map(|node| (*node, state.consumed(*node))).collect();
            world.go_on(&mut state, &after);
            prop_assert_eq!(state.machine.market().unwrap().book().audit(), Ok(()));
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in vec(any::<u8>(), 0..200), directory in any::<bool>()) {
        if let Ok(part) = StatePart::decode(bytes.as_slice()) {
            let machine = if directory { Machine::Directory(Directory::default()) } else { empty_market() };
            let start = StateStart { position: Position(1_000), time: Micros(1_000), chain: [1; 32] };
            let _ = State::from_parts(machine, voters(), start, [part], NEW, Caps::default());
        }
    }
}

/// A market with two orders at one price, and room to spoil its part.
fn spoilt(spoil: impl FnOnce(&mut StatePart)) -> Option<State> {
    let mut state = State::new(empty_market(), voters(), OLD);
    let mut batch = state.begin(Term(1), Micros(50), Position(0)).unwrap();
    for counter in 1..=2 {
        let place = Place::new(Side::Buy, Some(Ticks(10)), Lots(5), TimeInForce::Gtc);
        let request = Request {
            account: "a".into(),
            origin: Origin::Request(counter.to_string().into()),
            body_hash: counter,
            action: Action::Place(place),
        };
        let intent = Intent { request, based_on: Micros(0), accepted: Micros(1) };
        state.sequence(&mut batch, OrderId { node: NODES[0], counter }, &intent, &()).unwrap();
    }
    let _ = state.end(batch);
    let mut parts = parts_of(&state);
    assert_eq!(parts.len(), 1);
    spoil(&mut parts[0]);
    State::from_parts(empty_market(), voters(), start_of(&state), parts, NEW, Caps::default())
}

#[test]
fn what_no_state_has_is_refused() {
    assert!(spoilt(|_| {}).is_some());
    let spoils: &[fn(&mut StatePart)] = &[
        |part| part.consumed[0].counter = 0,
        |part| part.consumed[0].counter = 1,
        |part| part.consumed.push(part.consumed[0]),
        |part| part.nodes.clear(),
        |part| part.accounts.clear(),
        |part| part.commanding_sessions.push(vec![0; 15].into()),
        |part| part.commands.push(record::RememberedCommand::default()),
        |part| part.requests[0].repeat = Some(record::Repeat { node: 0, counter: 1 }),
        |part| part.requests[0].key = vec![0; 17].into(),
        |part| part.requests.push(part.requests[0].clone()),
        |part| part.requests[1].time_step_us = 1,
        |part| part.requests[1].time_step_us = u64::MAX,
        |part| part.orders[0].quantity = 0,
        |part| part.orders[0].filled = 5,
        |part| part.orders[0].filled = 6,
        |part| part.orders[0].counter = 3,
        |part| part.orders[0].counter = 0,
        |part| part.orders[0].side = 0,
        |part| part.orders[0].side = 99,
        |part| part.orders[0].time_in_force = TimeInForce::Ioc.into(),
        |part| part.orders[0].position = 0,
        |part| part.orders[0].position = 5,
        |part| part.orders[0].updated_us = 51,
        |part| part.orders[0].session = 1,
        |part| part.orders[0].number = 1,
        |part| part.orders[0].self_trade = SelfTrade::Allow.into(),
        |part| part.orders[0].self_trade = 99,
        |part| part.orders[0].prevented = 5,
        |part| part.orders[1].side = record::Side::Sell.into(),
        |part| part.orders[1].quantity = u64::MAX,
        |part| part.orders.push(part.orders[0].clone()),
        |part| {
            part.sessions.push("s".to_owned());
            for order in &mut part.orders {
                (order.session, order.number) = (1, 1);
                order.request_id.clear();
            }
        },
        |part| part.markets.push(record::DirectoryMarket::default()),
        |part| part.limits = vec![record::AccountLimits::default()],
        |part| {
            let limits = Some(record::SetLimits { orders: 1, ..Default::default() });
            part.limits = vec![record::AccountLimits { account: 0, limits }; 2];
        },
        |part| part.state = 99,
        |part| part.state = MarketState::Continuous.into(),
        |part| part.killed = vec![9],
        |part| part.killed = vec![0, 0],
        |part| part.switches = vec![record::ArmedSwitch { node: 0, counter: 9, ..Default::default() }],
        |part| part.switches = vec![record::ArmedSwitch { counter: 1, stream: 1, ..Default::default() }],
        |part| part.switches = vec![record::ArmedSwitch { counter: 1, ..Default::default() }; 2],
        |part| {
            part.withdrawn.push(record::WithdrawnOrder {
                node: 0,
                counter: 1,
                account: 9,
                ..Default::default()
            })
        },
        |part| {
            part.withdrawn =
                vec![record::WithdrawnOrder { node: 0, counter: 1, account: 0, ..Default::default() }; 2]
        },
    ];
    for (at, spoil) in spoils.iter().enumerate() {
        assert!(spoilt(*spoil).is_none(), "{at}");
    }
}

#[test]
fn parts_of_a_large_state_are_many_and_none_is_too_large() {
    let mut state = State::new(empty_market(), voters(), OLD);
    for first in (1..=20_000_u64).step_by(1_000) {
        let mut batch = state.begin(Term(1), Micros(first), Position(0)).unwrap();
        for counter in first..first + 1_000 {
            let limit = Some(Ticks(1 + counter % 1_000));
            let place = Place {
                expires: Some(Micros(u64::MAX - counter)),
                ..Place::new(Side::Sell, limit, Lots(1_000_000), TimeInForce::Gtd)
            };
            // More sessions than are remembered, so that the floor rises.
            let account = format!("account {}", counter % 3_000);
            let session = Session::new(&account, counter.to_string());
            let origin = match counter % 10 {
                0 => Origin::Request(format!("{counter:064}").into()),
                _ => Origin::Command { session, number: 1 },
            };
            let account = account.into();
            let request = Request { account, origin, body_hash: counter, action: Action::Place(place) };
            let intent = Intent { request, based_on: Micros(first), accepted: Micros(first) };
            state.sequence(&mut batch, OrderId { node: NODES[1], counter }, &intent, &()).unwrap();
        }
        let _ = state.end(batch);
    }
    let parts = parts_of(&state);
    assert!(parts.len() > 8, "{}", parts.len());
    let floors = parts.iter().filter(|part| part.floor_us.is_some()).count();
    assert_eq!(floors, 1);
    // Nearly full, all but the last.
    let (_, full) = parts.split_last().unwrap();
    assert!(full.iter().all(|part| part.encoded_len() > MAX_PART_BYTES / 4));
    let read = read_back(&state, empty_market()).unwrap();
    state.next_generation(voters(), NEW);
    same(&state, &read);
}

#[test]
fn a_state_that_does_not_survive_is_not_sealed_and_goes_on() {
    let mut world = World::default();
    let mut state = State::new(empty_market(), voters(), OLD);
    let mut follower = state.clone();
    for batch in world.go_on(&mut state, &[(0, 1, 2, 3, 4); 40]) {
        follower.apply(&batch, |id| world.intents.get(&id)).unwrap();
    }
    assert!(state.surviving_parts(&voters()).is_some());
    for survives in [false, true] {
        let builder = state.begin(Term(1), state.time(), state.position()).unwrap();
        let batch = state.seal(builder, voters(), [7; 16], Format::FIRST, |_| survives);
        assert_eq!(batch.seal.is_some(), survives);
        follower.apply(&batch, |id| world.intents.get(&id)).unwrap();
        same(&state, &follower);
    }
}
