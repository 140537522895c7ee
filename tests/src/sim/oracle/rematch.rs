//! The committed sequence, matched again from the requests alone by the naive book: the same fills,
//! the same refusals, the same book. It shares no code with the server's ledger or market.

mod bands;
mod due;
mod limits;
mod orders;
mod rules;
mod state;
mod stops;
mod violation;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use xbook::book::{Command, Event, Owner, Refusal, Removal};
use xbook::machine::{
    Account, Action, Answer, Block, Caps, Change, Limits, OrderStatus, Origin, Request, Rules, SessionId,
    Target, VoterChange,
};
use xbook::types::{
    ClientId, Liquidity, Lots, Micros, NodeId, OrderId, Position, Reason, SelfTrade, Side, Ticks,
};

pub use stops::Told;
pub use violation::RematchViolation;

use state::Trading;

use bands::Bands;
use due::Protection;
use rules::{charged, in_time};
use stops::Waits;

use super::memory::{Memory, Recall};
use crate::naive::NaiveBook;

/// A resting order, as far as the book does not know it.
#[derive(Clone, Debug)]
struct Live {
    account: String,
    command: Option<(SessionId, u64)>,
    /// Its client's own name of it.
    name: Option<ClientId>,
    side: Side,
    post_only: bool,
    slide: bool,
    self_trade: SelfTrade,
    expires: Option<Micros>,
    day: bool,
    /// It ends with the auction.
    of_auction: bool,
    filled: u64,
    /// What it lost rather than trade it with its account.
    prevented: u64,
    /// What it waits for outside the book.
    stop: Option<Waits>,
}

/// The naive market.
#[derive(Debug)]
pub struct Rematch {
    book: NaiveBook,
    live: BTreeMap<OrderId, Live>,
    /// Price of the last trade.
    last: Option<Ticks>,
    /// What was triggered and has not run.
    queue: VecDeque<OrderId>,
    /// How often an order began to wait.
    waits: u64,
    /// Triggered orders that ran in this block, and how many may.
    ran: usize,
    most_triggered: usize,
    most_trailing: usize,
    /// Orders that expire in a batch at most: while more are due nothing runs.
    most_expired: usize,
    /// What was taken and triggered in this block.
    log: Vec<Told>,
    memory: Memory,
    /// What the naive book did for the intent.
    did: Vec<Event>,
    /// Orders that ended for it rather than trade with their account.
    ended: BTreeSet<OrderId>,
    owners: BTreeMap<String, Owner>,
    /// What protects accounts.
    protection: Protection,
    /// What the market takes.
    trading: Trading,
    /// Tape time of the block.
    time: Micros,
    bands: Bands,
    rules: Rules,
    /// Limits that accounts have set themselves, and how many may.
    limits: (BTreeMap<String, Limits>, usize),
    /// The orders that an intent cancelled to protect their account, and why.
    cancelled: Vec<(OrderId, Reason)>,
    /// The voters that are asked for.
    voters: BTreeSet<NodeId>,
    consumed: BTreeMap<NodeId, u64>,
    /// Orders that were withdrawn, while one of place and withdraw is consumed and the other is not.
    marks: BTreeMap<OrderId, Account>,
    /// The requests of orders that were withdrawn before their turn, until then.
    withdrawn_requests: BTreeMap<OrderId, (String, String)>,
    /// How many orders were withdrawn before their turn.
    pub withdrawn: u64,
}

/// What was shown of an intent, as far as it depends on what else was in the holder's document.
#[derive(Clone, Copy)]
struct Shown {
    done: bool,
    /// A place that was cancelled rather than matched.
    withdrawn: bool,
    /// The order that it cancelled first.
    cancelled: Option<OrderId>,
    reason: Reason,
}

impl Rematch {
    /// An empty market whose document has these voters, and whose state keeps so much.
    #[must_use]
    pub fn new(voters: &[NodeId], caps: Caps) -> Self {
        Self {
            book: NaiveBook::with_max_orders(caps.open_orders).with_max_parts(caps.hidden_parts),
            live: BTreeMap::new(),
            last: None,
            queue: VecDeque::new(),
            waits: 0,
            ran: 0,
            most_triggered: caps.triggered,
            most_trailing: caps.trailing,
            most_expired: caps.expired,
            log: Vec::new(),
            memory: Memory::new(caps),
            did: Vec::new(),
            ended: BTreeSet::new(),
            owners: BTreeMap::new(),
            protection: Protection::new(caps.protected),
            trading: Trading::default(),
            time: Micros(0),
            bands: Bands::default(),
            rules: crate::sim::world::rules(0),
            limits: (BTreeMap::new(), caps.protected),
            cancelled: Vec::new(),
            voters: voters.iter().copied().collect(),
            consumed: BTreeMap::new(),
            marks: BTreeMap::new(),
            withdrawn_requests: BTreeMap::new(),
            withdrawn: 0,
        }
    }

    /// The voters that are asked for, ascending.
    #[must_use]
    pub fn voters(&self) -> Vec<NodeId> {
        self.voters.iter().copied().collect()
    }

    /// Goes on by a block. `withdraws` says whether an account asked to withdraw an order.
    ///
    /// # Errors
    /// It did something else.
    pub fn block<'a>(
        &mut self,
        block: &Block,
        requests: impl Fn(OrderId) -> Option<&'a Request>,
        withdraws: impl Fn(OrderId, &Account) -> bool,
    ) -> Result<(), RematchViolation> {
        overfilled(block)?;
        let mut charged = 0;
        self.ran = 0;
        self.time = block.time;
        if self.fall_due(block)? < self.most_expired {
            self.run_triggered();
        }
        for answer in &block.answers {
            // Other rules hold from their request on.
            self.charge(&mut charged, &block.changes, answer.changes.end)?;
            let Some(request) = requests(answer.intent) else {
                continue;
            };
            self.did.clear();
            self.ended.clear();
            self.consumed.insert(answer.intent.node, answer.intent.counter);
            let withdrawn = block.changes_of(answer).first().is_some_and(is_withdrawn)
                && withdraws(answer.intent, &request.account);
            self.withdrawn += u64::from(withdrawn);
            let done = answer.refused == Reason::Unspecified;
            let cancelled = block.changes_of(answer).first().and_then(Change::order).map(|order| order.id);
            let shown = Shown { done, withdrawn, cancelled, reason: answer.refused };
            let waiting = match request.action {
                Action::Withdraw(order) if !self.is_consumed(order) => requests(order),
                _ => None,
            };
            let recall = self.memory.recall(answer.intent, request, answer);
            if let Some(order) = self.queue.front().filter(|_| self.trading.runs()) {
                return Err(RematchViolation::Unrun {
                    intent: answer.intent,
                    order: *order,
                    at: answer.position,
                });
            }
            self.cancelled.clear();
            let done = self.take((answer.intent, request), (block.time, shown), recall, waiting);
            self.keep_root();
            self.compare(block, answer, done)?;
            self.compare_cancelled(block, answer)?;
            self.run_triggered();
        }
        self.charge(&mut charged, &block.changes, block.changes.len())?;
        self.compare_told(block)
    }

    /// Looks at what the fills cost up to a change.
    fn charge(&self, from: &mut usize, changes: &[Change], to: usize) -> Result<(), RematchViolation> {
        let next = changes.get(*from..to).unwrap_or_default();
        *from = to;
        next.iter().try_for_each(|change| charged(change, &self.rules))
    }

    /// Compares with a book after the same blocks.
    ///
    /// # Errors
    /// It is another one.
    pub fn compare_book(&self, digest: [u8; 32], at: Position) -> Result<(), RematchViolation> {
        if self.book.digest() == digest { Ok(()) } else { Err(RematchViolation::Book { at }) }
    }

    fn run(&mut self, command: &Command) -> Result<(), Refusal> {
        let from = self.did.len();
        self.book.promise(self.live.values().filter(|live| live.stop.is_some()).count());
        self.lay_band();
        let result = self.book.apply(command, &mut self.did);
        let did = self.did[from..].to_vec();
        self.meet(&did, false);
        self.halt_at_band(&did);
        result
    }

    fn owner(&mut self, account: &str) -> Owner {
        let next = Owner::new(1 + self.owners.len() as u32);
        *self.owners.entry(account.to_owned()).or_insert(next)
    }

    fn cancel(&mut self, id: OrderId) -> bool {
        let waited = self.live.remove(&id).is_some_and(|live| live.stop.is_some());
        self.queue.retain(|queued| *queued != id);
        waited || self.run(&Command::Cancel { id }).is_ok()
    }

    /// Whether the request is done, rather than refused, repeated or too late. `waiting` is the request
    /// that it withdraws, if that did not have its turn.
    fn take(
        &mut self,
        (id, request): (OrderId, &Request),
        (time, shown): (Micros, Shown),
        recall: Recall,
        waiting: Option<&Request>,
    ) -> bool {
        let marked = self.marks.remove(&id).is_some();
        self.withdrawn_requests.remove(&id);
        if shown.reason == Reason::Forgotten && recall != Recall::Refused {
            // Too old to be told from a repeat: it has no effect, whatever it was.
            return false;
        }
        match (recall, &request.action) {
            (Recall::New, Action::Place(place)) if !in_time(place, time) => false,
            (Recall::New, Action::Place(_)) if marked || self.is_withdrawn_request(request) => true,
            (Recall::New, Action::Place(_)) if shown.withdrawn => {
                self.marks.insert(id, request.account.clone());
                true
            }
            (Recall::New, Action::Place(_) | Action::Amend(_) | Action::SetLimits(_))
                if self.protection.is_killed(request) =>
            {
                false
            }
            (Recall::New, Action::Place(place)) => self.place_instead(id, request, place, (time, shown)),
            (Recall::New, Action::Withdraw(order)) => self.withdraw(request, *order, shown, waiting),
            (Recall::New, Action::Amend(amend)) => self.amend(request, amend, shown.done),
            (Recall::New, Action::Cancel(target)) => {
                let order = self.find(request, *target, shown.done);
                order.is_some_and(|order| self.cancel(order))
            }
            (Recall::New, Action::CancelAll(side)) => self.cancel_all(request, *side),
            (Recall::New, Action::Switch(switch)) => self.switch((id, request), switch, time),
            (Recall::New, Action::Kill(on)) => self.kill(request, *on),
            (Recall::New, Action::SetLimits(limits)) => self.set_limits(request, *limits),
            (Recall::New, Action::SetState(state)) => self.set_state(*state),
            (Recall::New, Action::SetRules(rules)) => self.set_rules(rules),
            (
                Recall::New,
                Action::CreateMarket(_) | Action::Announce(_) | Action::RemoveNode(_) | Action::Invite(_),
            ) => false,
            (Recall::New, Action::ChangeVoters(change)) => self.change_voters(*change),
            // It only uses up its number, and is shown without a reason.
            (Recall::New, Action::Invalid) => true,
            (recall, action) => {
                if let Action::Withdraw(order) = action {
                    self.unmark(*order, &request.account);
                }
                recall == Recall::Repeat
            }
        }
    }

    /// What is not consumed yet may or may not have been in the holder's document.
    fn withdraw(
        &mut self,
        request: &Request,
        order: OrderId,
        shown: Shown,
        waiting: Option<&Request>,
    ) -> bool {
        // An order that waits may be a repeat: then it is the first one that must not rest. If the first
        // one may be forgotten, what was shown tells whether it is.
        let first = waiting
            .and_then(|waiting| self.memory.known(waiting))
            .filter(|(first, sure)| shown.done && (*sure || shown.cancelled == Some(*first)));
        let target = first.map_or(order, |(first, _)| first);
        if let Some(order) = self.find(request, Target::Order(target), shown.done) {
            return self.cancel(order);
        }
        // Unless it was withdrawn before, which is as true now.
        if first.is_some_and(|(_, sure)| sure) && !self.marks.contains_key(&order) {
            return false;
        }
        let known = self.marks.get(&order).map(|account| *account == request.account);
        let waits = !self.is_consumed(order);
        self.unmark(order, &request.account);
        let done = known.unwrap_or(waits && shown.done);
        if waits && done {
            self.marks.insert(order, request.account.clone());
            self.withdrawn_requests.extend(waiting.map(|waiting| (order, key_of(waiting))));
        }
        done
    }

    fn is_withdrawn_request(&self, request: &Request) -> bool {
        let key = key_of(request);
        self.withdrawn_requests.values().any(|withdrawn| *withdrawn == key)
    }

    fn is_consumed(&self, id: OrderId) -> bool {
        self.consumed.get(&id.node).is_some_and(|last| id.counter <= *last)
    }

    /// A withdraw of an order that was withdrawn has had its turn.
    fn unmark(&mut self, order: OrderId, account: &Account) {
        if self.is_consumed(order) && self.marks.get(&order) == Some(account) {
            self.marks.remove(&order);
        }
    }

    fn cancel_all(&mut self, request: &Request, side: Option<Side>) -> bool {
        let mine =
            |live: &Live| *live.account == *request.account && side.is_none_or(|side| side == live.side);
        let ids: Vec<OrderId> = self.live.iter().filter(|(_, live)| mine(live)).map(|(id, _)| *id).collect();
        for id in ids {
            self.cancel(id);
        }
        true
    }

    fn change_voters(&mut self, change: VoterChange) -> bool {
        match change {
            VoterChange::Add(node) => self.voters.len() < 7 && self.voters.insert(node),
            VoterChange::Remove(node) => self.voters.len() > 1 && self.voters.remove(&node),
        }
    }

    /// Books on the makers what happened; how much the taker was filled and lost. Who loses anything rather than
    /// trade with its account never ends filled.
    fn settle_makers(&mut self, taker: OrderId, before: u64) -> (u64, u64) {
        let (mut filled, mut prevented) = (0, 0);
        for event in &self.did {
            let (maker, trade, lost, open) = match event {
                Event::Traded(trade) => {
                    (trade.maker, trade.quantity.0, 0, (trade.maker_open, trade.taker_open))
                }
                Event::Prevented(it) => (it.maker, 0, it.quantity.0, (it.maker_open, it.taker_open)),
                Event::Removed { order, why: Removal::SelfTrade, .. } => {
                    self.live.remove(order);
                    self.ended.insert(*order);
                    continue;
                }
                _ => continue,
            };
            filled += trade;
            prevented += lost;
            let Some(live) = self.live.get_mut(&maker) else {
                continue;
            };
            live.filled += trade;
            live.prevented += lost;
            if open.0.is_zero() {
                self.ended.extend((live.prevented > 0).then_some(maker));
                self.live.remove(&maker);
            }
            if open.1.is_zero() && before + prevented > 0 {
                self.ended.insert(taker);
            }
        }
        (filled, prevented)
    }

    /// The resting order that a target names. An id that lost to its twin finds the order for as long as
    /// the request is remembered for sure, and after that perhaps.
    fn find(&self, request: &Request, target: Target, shown_done: bool) -> Option<OrderId> {
        let id = match (target, &request.origin) {
            (Target::Order(id), _) => {
                let (first, sure) = self.memory.first_of(id);
                if sure || shown_done { first } else { id }
            }
            (Target::Command(number), Origin::Command { session, .. }) => {
                let command = Some((session.id, number));
                *self.live.iter().find(|(_, live)| live.command == command)?.0
            }
            (Target::Command(_), Origin::Request(_)) => return None,
            (Target::Client(name), _) => self.named(&request.account, name)?,
        };
        self.live.get(&id).filter(|live| *live.account == *request.account).map(|_| id)
    }

    /// The order of an account that is not closed and has this name.
    fn named(&self, account: &str, name: ClientId) -> Option<OrderId> {
        let mut live = self.live.iter().filter(|(_, live)| live.account == account);
        live.find(|(_, live)| live.name == Some(name)).map(|(id, _)| *id)
    }

    fn compare(&self, block: &Block, answer: &Answer, done: bool) -> Result<(), RematchViolation> {
        let (intent, at) = (answer.intent, answer.position);
        let shown: Vec<(OrderId, Ticks, Lots)> =
            block.changes_of(answer).iter().filter_map(taker_fill).collect();
        let traded = self.did.iter().filter_map(|event| match event {
            Event::Traded(trade) => Some((trade.maker, trade.price, trade.quantity)),
            _ => None,
        });
        let naive: Vec<(OrderId, Ticks, Lots)> = traded.collect();
        // A cancel of many has no fills; a naive cancel leaves none either.
        if shown != naive {
            return Err(RematchViolation::Fills { intent, at, shown, naive });
        }
        let orders = block.changes_of(answer).iter().filter_map(Change::order);
        let shown: BTreeSet<OrderId> =
            orders.filter(|order| order.reason == Reason::SelfTrade).map(|order| order.id).collect();
        if shown != self.ended {
            return Err(RematchViolation::SelfTrade { intent, at, shown, naive: self.ended.clone() });
        }
        if (answer.refused == Reason::Unspecified) != done {
            return Err(RematchViolation::Refused { intent, at, shown: answer.refused, naive: done });
        }
        Ok(())
    }
}

/// What a request is told by, as text.
fn key_of(request: &Request) -> (String, String) {
    let origin = match &request.origin {
        Origin::Request(id) => id.to_string(),
        Origin::Command { session, number } => format!("command {:?} {number}", session.id),
    };
    (request.account.to_string(), origin)
}

/// Whether an order's first event is its cancellation.
fn is_withdrawn(change: &Change) -> bool {
    change
        .order()
        .is_some_and(|order| order.status == OrderStatus::Cancelled && order.reason == Reason::Requested)
}

fn taker_fill(change: &Change) -> Option<(OrderId, Ticks, Lots)> {
    match change {
        Change::Order { fill: Some(fill), .. } if fill.liquidity == Liquidity::Taker => {
            Some((fill.counter_order, fill.price, fill.quantity))
        }
        _ => None,
    }
}

/// Looks for orders that are filled beyond their quantity.
///
/// # Errors
/// There is one.
pub fn overfilled(block: &Block) -> Result<(), RematchViolation> {
    let beyond = |change: &&Change| {
        let Some(order) = change.order() else {
            return false;
        };
        // What is left of the quantity is cancelled, and only a closed order has that.
        let told = order.filled.0 + order.prevented.0 + order.open.0;
        told > order.quantity.0 || order.is_live() && told != order.quantity.0
    };
    match block.changes.iter().find(beyond).and_then(Change::order) {
        Some(order) => Err(RematchViolation::Overfilled { order: order.id, at: order.position }),
        None => Ok(()),
    }
}
