//! Clients: they place, amend and cancel, and ask again elsewhere until they know.
//!
//! Half of them name each request by an id, the others number their commands in a session. A
//! time-out means unknown, so an unanswered request is sent again, mostly through another node.

use std::collections::VecDeque;

use xbook::machine::{
    Account, Action, Amend, Limits, NewRules, NewSize, Origin, Place, Request, Session, Stop, StreamSwitch,
    Switch, Target, Terms,
};
use xbook::types::{
    ClientId, Lots, MarketState, Micros, OrderId, Reason, SelfTrade, Side, Ticks, TimeInForce, rests,
};

use super::random::Random;
use super::world::rules;

/// How long a client waits for an answer before it asks again.
const PATIENCE: u64 = 1_200_000;

/// Most requests of a client that are unanswered.
const MAX_OPEN: usize = 12;

/// A client.
#[derive(Debug)]
pub struct Client {
    account: Account,
    session: Option<Session>,
    /// How many sessions it had.
    sessions: u64,
    /// The machine that it talks to.
    machine: usize,
    next: u64,
    open: VecDeque<Asked>,
    answered: VecDeque<Request>,
    /// How often the first of its unanswered commands was told to be behind a gap.
    gaps: u64,
    orders: Vec<OrderId>,
    random: Random,
}

/// A request without an answer.
#[derive(Clone, Debug)]
struct Asked {
    request: Request,
    at: u64,
}

/// What a client sends now.
#[derive(Debug)]
pub struct Sending {
    /// To which machine.
    pub machine: usize,
    /// What.
    pub requests: Vec<Request>,
}

impl Client {
    /// A client.
    pub fn new(number: usize, random: Random) -> Self {
        let account: Account = format!("account{}", number / 2).into();
        let session = (number % 2 == 1).then(|| Session::new(&account, "session1"));
        Self {
            account,
            session,
            sessions: 1,
            machine: number,
            next: 1,
            open: VecDeque::new(),
            answered: VecDeque::new(),
            gaps: 0,
            orders: Vec::new(),
            random,
        }
    }

    /// Whether it knows what became of all that it asked.
    #[must_use]
    pub fn is_content(&self) -> bool {
        self.open.is_empty()
    }

    /// What it asks for first that it does not know the answer of.
    #[must_use]
    pub fn waits_for(&self) -> Option<&Request> {
        self.open.front().map(|asked| &asked.request)
    }

    /// What it does now, if it reaches one of `machines`. `fresh` says whether it may ask anything new.
    pub fn act(
        &mut self,
        machines: &[usize],
        time: u64,
        clock: impl Fn(usize) -> Micros,
        fresh: bool,
    ) -> Option<Sending> {
        let late = self.open.front().is_some_and(|asked| asked.at + PATIENCE < time);
        if !machines.contains(&self.machine) || late || self.random.percent(2) {
            self.machine = *self.random.pick(machines)?;
        }
        let machine = self.machine;
        if late {
            return Some(Sending { machine, requests: self.ask_again(time) });
        }
        if !fresh {
            return None;
        }
        if let Some(request) = self.say_of_stream(clock(machine)) {
            return Some(Sending { machine, requests: vec![request] });
        }
        if self.random.percent(4) {
            let mut request = self.random.pick(self.answered.make_contiguous())?.clone();
            if matches!(request.origin, Origin::Command { number: 1, .. }) {
                // A node opens no session anew that it finds in its history; a replica could not tell.
                return None;
            }
            if self.random.percent(20) {
                request.body_hash += 1;
                if self.session.is_some() {
                    // Another command under a used number.
                    request.action = self.invent_action(clock(machine));
                }
            }
            return Some(Sending { machine, requests: vec![request] });
        }
        let room = MAX_OPEN.saturating_sub(self.open.len());
        let count = room.min(self.random.between(1, 3) as usize);
        let requests: Vec<Request> = (0..count).map(|_| self.invent(clock(machine))).collect();
        self.open.extend(requests.iter().map(|request| Asked { request: request.clone(), at: time }));
        (!requests.is_empty()).then_some(Sending { machine, requests })
    }

    /// What a node says now and then of the session's stream, which nobody answers or repeats.
    fn say_of_stream(&mut self, now: Micros) -> Option<Request> {
        let session = self.session.as_ref().filter(|_| self.random.percent(5))?;
        let does = match self.random.below(8) {
            0 => StreamSwitch::Left,
            1 => StreamSwitch::Lost,
            _ => {
                let after = Micros(self.random.between(200_000, 4_000_000));
                StreamSwitch::Lives { after, by: now.plus(Micros(self.random.between(100_000, 4_000_000))) }
            }
        };
        let stream = self.random.between(1, 3);
        let origin = Origin::Request(format!("stream-{stream}-{}", now.0).into());
        let switch = Switch::Stream { session: session.name.clone(), stream, does };
        Some(Request { account: self.account.clone(), origin, body_hash: 0, action: Action::Switch(switch) })
    }

    /// A session must go on where it stopped; single requests may go in any order.
    fn ask_again(&mut self, time: u64) -> Vec<Request> {
        let late = self.open.iter_mut().filter(|asked| self.session.is_some() || asked.at + PATIENCE < time);
        late.map(|asked| {
            asked.at = time;
            asked.request.clone()
        })
        .collect()
    }

    /// It learns under which id its request was taken.
    pub fn sent(&mut self, request: &Request, id: OrderId) {
        if matches!(request.action, Action::Place(_)) {
            self.orders.push(id);
        }
    }

    /// Whether the request is one of this client's.
    #[must_use]
    pub fn owns(&self, request: &Request) -> bool {
        match &request.origin {
            Origin::Request(_) if request.is_of_stream() => false,
            Origin::Request(_) => self.session.is_none() && request.account == self.account,
            // No two clients with sessions share an account.
            Origin::Command { .. } => self.session.is_some() && request.account == self.account,
        }
    }

    /// It is told what became of a request.
    pub fn told(&mut self, request: &Request, refused: Reason) {
        // Before the first of what it still asks nothing is missing, unless the session was forgotten and
        // begun anew by a repeat.
        let first = self.open.front().is_some_and(|asked| asked.request.origin == request.origin);
        if first {
            self.gaps = if refused == Reason::SessionGap { self.gaps + 1 } else { 0 };
        }
        let lost = self.gaps > 3;
        // A gap says nothing about the command: the ones before it come first.
        if !lost && matches!(refused, Reason::SessionGap | Reason::RequestIdReused | Reason::CommandReused) {
            return;
        }
        if let Origin::Command { session, .. } = &request.origin
            && (refused == Reason::SessionForgotten || lost)
            && self.session.as_ref() == Some(session)
        {
            // It goes on in another one.
            self.sessions += 1;
            self.session = Some(Session::new(&self.account, format!("session{}", self.sessions)));
            self.next = 1;
        }
        if let Some(at) = self.open.iter().position(|asked| asked.request.origin == request.origin) {
            self.open.remove(at);
            self.answered.push_back(request.clone());
            if self.answered.len() > 50 {
                self.answered.pop_front();
            }
        }
    }

    fn invent(&mut self, now: Micros) -> Request {
        let number = self.next;
        self.next += 1;
        let origin = match &self.session {
            Some(session) => Origin::Command { session: session.clone(), number },
            None => Origin::Request(format!("{}-{number}", self.account).into()),
        };
        let action = self.invent_action(now);
        Request { account: self.account.clone(), origin, body_hash: number, action }
    }

    fn invent_action(&mut self, now: Micros) -> Action {
        let random = &mut self.random;
        let recent = self.orders.len().saturating_sub(30);
        let target = match random.pick(&self.orders[recent..]) {
            Some(_) if random.percent(15) => client_id(random).map(Target::Client),
            Some(id) if self.session.is_none() || random.percent(50) => Some(Target::Order(*id)),
            Some(_) => Some(Target::Command(random.between(1, self.next))),
            None => None,
        };
        match (random.below(100), target) {
            (0..6, Some(Target::Order(order))) => Action::Withdraw(order),
            (0..12, Some(target)) => Action::Cancel(target),
            (12..22, Some(target)) => Action::Amend(amend(random, target)),
            (22..24, _) => {
                Action::CancelAll(random.pick(&[None, Some(Side::Buy), Some(Side::Sell)]).copied().flatten())
            }
            (24..25, _) if self.session.is_some() => Action::Invalid,
            (24..26, _) => {
                let after = Micros(random.between(100_000, 5_000_000));
                Action::Switch(Switch::Account((!random.percent(20)).then_some(after)))
            }
            (29, _) if random.percent(40) => {
                let reference = random.percent(40).then(|| Ticks(random.between(97, 103)));
                Action::SetRules(Box::new(NewRules { rules: rules(random.below(3)), reference }))
            }
            (29..31, _) => Action::SetState(state(random)),
            (31..33, _) => Action::SetLimits(limits(random)),
            // The more of the two that lets it trade.
            (26..28, _) => Action::Kill(random.percent(15)),
            (28..33, Some(target)) => {
                Action::Place(Place { replaces: Some(Box::new(target)), ..place(random, now) })
            }
            _ => Action::Place(place(random, now)),
        }
    }
}

/// Often none at all.
fn limits(random: &mut Random) -> Limits {
    let mut some = |least, most| if random.percent(40) { random.between(least, most) } else { 0 };
    Limits {
        quantity: Lots(some(10, 19)),
        notional: some(1_000, 2_000).into(),
        orders: u32::try_from(some(3, 12)).unwrap_or(0),
    }
}

/// Mostly the one in which everything goes on.
fn state(random: &mut Random) -> MarketState {
    match random.below(18) {
        0 => MarketState::PostOnly,
        1 => MarketState::CancelOnly,
        2 => MarketState::Halted,
        3 => MarketState::Closed,
        4 => MarketState::PreOpen,
        5..8 => MarketState::Auction,
        _ => MarketState::Continuous,
    }
}

fn amend(random: &mut Random, target: Target) -> Amend {
    let size = match random.below(3) {
        0 => None,
        1 => Some(NewSize::Open(Lots(random.between(1, 20)))),
        _ => Some(NewSize::Total(Lots(random.between(1, 20)))),
    };
    // Something is changed: admission refuses an amend of nothing.
    let priced = random.percent(50) || size.is_none();
    let price = priced.then(|| Ticks(random.between(95, 105)));
    let trigger = random.percent(15).then(|| Ticks(random.between(95, 105)));
    Amend { target, price, size, trigger }
}

/// Makes a stop, or a stop-limit, of an order.
fn stop(random: &mut Random, place: &mut Place) {
    let client_id = place.terms.as_deref().and_then(|terms| terms.client_id);
    let stop = if random.percent(40) {
        let limit_distance = if random.percent(50) { Ticks(random.between(1, 3)) } else { Ticks(0) };
        Stop { distance: Ticks(random.between(1, 6)), limit_distance, ..Stop::default() }
    } else {
        Stop { trigger: Ticks(random.between(95, 105)), ..Stop::default() }
    };
    place.limit = (!stop.trails() && random.percent(50)).then(|| Ticks(random.between(93, 107)));
    let stop = Some(stop);
    place.terms = Terms { stop, client_id, ..Terms::default() }.shared();
}

/// One of few names, so that one that is in use is met often.
fn client_id(random: &mut Random) -> Option<ClientId> {
    ClientId::new(&format!("c{}", random.below(4)))
}

/// What few orders ask for; it may change what the order is.
fn terms(random: &mut Random, place: &mut Place) -> Terms {
    let mut terms = Terms::default();
    let rests = rests(place.time_in_force);
    let of_auction = place.time_in_force == TimeInForce::Auction;
    terms.slide = place.post_only && random.percent(50);
    if rests && !place.post_only && random.percent(8) {
        (terms.market_to_limit, place.limit) = (true, None);
    } else if place.limit.is_none() && !of_auction && random.percent(50) {
        terms.protection = Some(Ticks(random.between(95, 105)));
    }
    if !place.post_only && !of_auction && place.time_in_force != TimeInForce::Fok && random.percent(10) {
        terms.minimum = Lots(random.between(1, place.quantity.0));
    }
    if random.percent(20) {
        terms.client_id = client_id(random);
    }
    if rests && place.limit.is_some() && place.quantity.0 > 1 && random.percent(20) {
        terms.display = Lots(random.between(1, place.quantity.0 - 1));
    }
    terms
}

fn place(random: &mut Random, now: Micros) -> Place {
    let side = if random.percent(50) { Side::Buy } else { Side::Sell };
    let limit = Some(Ticks(random.between(95, 105)));
    let quantity = Lots(random.between(1, 20));
    let mut place = Place::new(side, limit, quantity, TimeInForce::Gtc);
    match random.below(100) {
        0..8 => place.time_in_force = TimeInForce::Ioc,
        8..14 => place.time_in_force = TimeInForce::Fok,
        14..18 => (place.time_in_force, place.limit) = (TimeInForce::Ioc, None),
        18..26 => place.post_only = true,
        26..32 => place.time_in_force = TimeInForce::Day,
        32..44 => {
            place.time_in_force = TimeInForce::Gtd;
            place.expires = Some(now.plus(Micros(random.between(50_000, 8_000_000))));
        }
        44..50 => {
            place.time_in_force = TimeInForce::Auction;
            place.limit = place.limit.filter(|_| random.percent(60));
        }
        _ => {}
    }
    if matches!(place.time_in_force, TimeInForce::Ioc | TimeInForce::Fok) || random.percent(5) {
        place.sequence_by = Some(now.plus(Micros(random.between(100_000, 5_000_000))));
    }
    if random.percent(60) {
        let ways =
            [SelfTrade::CancelTaker, SelfTrade::CancelMaker, SelfTrade::CancelBoth, SelfTrade::Decrement];
        place.self_trade = random.pick(&ways).copied().unwrap_or_default();
    }
    place.terms = terms(random, &mut place).shared();
    if rests(place.time_in_force) && !place.post_only && random.percent(15) {
        stop(random, &mut place);
    }
    place
}
