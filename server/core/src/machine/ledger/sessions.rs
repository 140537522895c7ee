//! Sessions: the last number of each, and the content and outcome of the newest commands of all.
//!
//! A session consumes exactly its next number. The sessions that were used last are remembered; one
//! that was forgotten can't go on, and has to be opened under another name.

use std::collections::{BTreeMap, HashMap, VecDeque};

use rustc_hash::FxBuildHasher;

use super::{Caps, Known, Session, SessionId};
use crate::machine::Terms;
use crate::machine::intent::Action;
use crate::machine::journal::Repeated;
use crate::machine::switch::Switch;
use crate::machine::table::halves;
use crate::types::{Micros, Position, Reason};

/// Remembered sessions.
#[derive(Clone, Default, Debug)]
pub(super) struct Sessions {
    known: HashMap<SessionId, State, FxBuildHasher>,
    /// By a position at which each was used, not always its last: that is looked up when one has to go.
    by_use: BTreeMap<Position, SessionId>,
    /// The sessions of the remembered commands, the oldest first.
    by_age: VecDeque<SessionId>,
    /// Whether any session was ever forgotten.
    pub forgot: bool,
}

/// What is remembered of a session.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub last_number: u64,
    /// Position and tape time of the last command's outcome.
    pub last_use: (Position, Micros),
    /// The last commands, in their order.
    pub commands: VecDeque<Command>,
}

/// A command that was consumed: a hash of its content, and its intent.
pub(in crate::machine) type Command = (u32, Repeated);

impl Sessions {
    pub fn last_number(&self, session: &SessionId) -> u64 {
        self.known.get(session).map_or(0, |session| session.last_number)
    }

    /// A command that was consumed and is remembered.
    pub fn command(&self, session: &SessionId, number: u64) -> Option<Command> {
        let state = self.known.get(session)?;
        let back = usize::try_from(state.last_number.checked_sub(number)?).ok()?;
        let at = state.commands.len().checked_sub(back)?.checked_sub(1)?;
        state.commands.get(at).copied()
    }

    /// What is known of a command before its turn.
    pub fn know(&self, session: &Session, number: u64, action: &Action) -> Known {
        let last = self.last_number(&session.id);
        if number <= last {
            return match self.command(&session.id, number) {
                // What was not valid then or is not now has no content to compare.
                Some((hash, _)) if !same(hash, content(action)) => Known::Refused(Reason::CommandReused),
                Some((_, first)) => Known::Repeat(Some(first)),
                None => Known::Repeat(None),
            };
        }
        match number == last.saturating_add(1) {
            true => Known::New,
            false if last == 0 && self.forgot => Known::Refused(Reason::SessionForgotten),
            false => Known::Refused(Reason::SessionGap),
        }
    }

    /// Remembers a session's next command; does nothing if it is not the next.
    pub fn remember(&mut self, id: SessionId, number: u64, action: &Action, first: Repeated, time: Micros) {
        let last = self.last_number(&id);
        if last.checked_add(1) != Some(number) {
            return;
        }
        let last_use = (first.position, time);
        if last == 0 {
            self.by_use.insert(first.position, id);
        }
        let fresh = || State { last_number: 0, last_use, commands: VecDeque::new() };
        let state = self.known.entry(id).or_insert_with(fresh);
        (state.last_number, state.last_use) = (number, last_use);
        state.commands.push_back((content(action), first));
        self.by_age.push_back(id);
    }

    /// Forgets the oldest beyond the caps; returns the time down to which sessions are forgotten now.
    pub fn forget(&mut self, caps: &Caps) -> Option<Micros> {
        while self.by_age.len() > caps.commands
            && let Some(id) = self.by_age.pop_front()
        {
            self.known.get_mut(&id).map(|session| session.commands.pop_front());
        }
        let mut floor = None;
        while self.known.len() > caps.sessions
            && let Some((used, oldest)) = self.by_use.pop_first()
        {
            let (last, time) = self.known.get(&oldest).map_or((used, Micros(0)), |session| session.last_use);
            if last != used {
                self.by_use.insert(last, oldest);
                continue;
            }
            let forgotten = self.known.remove(&oldest);
            if forgotten.is_some_and(|session| !session.commands.is_empty()) {
                self.by_age.retain(|id| *id != oldest);
            }
            self.forgot = true;
            floor = Some(time);
        }
        floor
    }

    /// All, the one first that was used longest ago.
    pub fn iter(&self) -> impl Iterator<Item = (SessionId, &State)> {
        let mut sessions: Vec<(SessionId, &State)> =
            self.by_use.values().filter_map(|id| Some((*id, self.known.get(id)?))).collect();
        sessions.sort_unstable_by_key(|(_, session)| session.last_use);
        sessions.into_iter()
    }

    /// The remembered commands, the oldest first.
    pub fn commands(&self) -> impl Iterator<Item = (SessionId, Command)> + '_ {
        let mut next: HashMap<SessionId, usize, FxBuildHasher> = HashMap::default();
        self.by_age.iter().filter_map(move |id| {
            let at = next.entry(*id).or_insert(0);
            let command = self.known.get(id)?.commands.get(*at).copied()?;
            *at += 1;
            Some((*id, command))
        })
    }

    pub fn len(&self) -> usize {
        self.known.len()
    }

    pub fn command_count(&self) -> usize {
        self.by_age.len()
    }

    /// Adds the session that was used next; `None` if that can't be.
    pub fn insert(&mut self, id: SessionId, last_number: u64, last_use: (Position, Micros)) -> Option<()> {
        self.by_use.last_key_value().is_none_or(|(last, _)| *last < last_use.0).then_some(())?;
        self.by_use.insert(last_use.0, id);
        let state = State { last_number, last_use, commands: VecDeque::new() };
        self.known.insert(id, state).is_none().then_some(())
    }

    /// Adds the next command of a session that is there; `None` if that can't be.
    pub fn insert_command(&mut self, id: SessionId, command: Command) -> Option<()> {
        let state = self.known.get_mut(&id)?;
        (state.last_number > state.commands.len() as u64).then_some(())?;
        state.commands.push_back(command);
        self.by_age.push_back(id);
        Some(())
    }
}

/// The hash of a command that was not valid.
const INVALID: u32 = 0;

fn same(one: u32, other: u32) -> bool {
    one == other || one == INVALID || other == INVALID
}

/// A hash of what a command asks for. Until when it may be sequenced is left out: a node may have
/// chosen that.
fn content(action: &Action) -> u32 {
    let numbers = match action {
        Action::Place(place) => [
            1 + place.side as u64,
            place.limit.map_or(0, |price| price.0),
            place.quantity.0,
            place.time_in_force as u64 * 2 + u64::from(place.post_only),
            place.expires.map_or(0, |at| at.0),
            place.self_trade as u64,
        ],
        Action::Amend(amend) => {
            let [kind, node, counter] = amend.target.numbers();
            let size = amend.size.map_or(0, |size| size.number());
            let trigger = amend.trigger.map_or(0, |trigger| trigger.0);
            [10 + kind, node, counter, amend.price.map_or(0, |price| price.0), size, trigger]
        }
        Action::Cancel(target) => {
            let [kind, node, counter] = target.numbers();
            [20 + kind, node, counter, 0, 0, 0]
        }
        Action::Withdraw(order) => [30, order.node.0, order.counter, 0, 0, 0],
        Action::CancelAll(side) => [31, side.map_or(0, |side| 1 + side as u64), 0, 0, 0, 0],
        Action::Switch(Switch::Account(after)) => [32, after.map_or(0, |after| after.0), 0, 0, 0, 0],
        Action::Kill(on) => [33, u64::from(*on), 0, 0, 0, 0],
        Action::SetLimits(limits) => {
            let (low, high) = halves(limits.notional);
            [35, limits.quantity.0, low, high, limits.orders.into(), 0]
        }
        Action::SetState(state) => [34, *state as u64, 0, 0, 0, 0],
        Action::SetRules(new) => {
            let [low, high] = new.rules.numbers();
            [36, low, high, new.reference.map_or(0, |price| price.0), 0, 0]
        }
        Action::Switch(Switch::Stream { .. })
        | Action::CreateMarket(_)
        | Action::ChangeVoters(_)
        | Action::Announce(_)
        | Action::RemoveNode(_)
        | Action::Invite(_)
        | Action::Invalid => return INVALID,
    };
    let terms = match action {
        Action::Place(place) => place.terms.as_deref().map(Terms::numbers),
        _ => None,
    };
    let replaces = match action {
        Action::Place(place) => place.replaces.as_deref().map(|target| target.numbers()),
        _ => None,
    };
    let more = terms.iter().flatten().chain(replaces.iter().flatten());
    // FNV-1a over words, folded; the same on every machine.
    let mixed = numbers.iter().chain(more).fold(0xcbf2_9ce4_8422_2325_u64, |hash, number| {
        let mixed = (hash ^ number).wrapping_mul(0x0000_0100_0000_01b3);
        mixed ^ (mixed >> 29)
    });
    u32::try_from((mixed ^ (mixed >> 32)) & u64::from(u32::MAX)).unwrap_or(1).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::{Place, Target};
    use crate::types::{ClientId, Lots, SelfTrade, Side, Ticks, TimeInForce};

    /// A command under a used number is a repeat only if it asks for the same in everything.
    #[test]
    fn whatever_an_order_asks_for_makes_it_another_command() {
        let place = || Place::new(Side::Buy, None, Lots(5), TimeInForce::Ioc);
        let with = |terms: Terms| Place { terms: terms.shared(), ..place() };
        let base = Terms::default;
        let asked = [
            place(),
            Place { replaces: Some(Box::new(Target::Command(1))), ..place() },
            Place { replaces: Some(Box::new(Target::Command(2))), ..place() },
            Place { self_trade: SelfTrade::CancelMaker, ..place() },
            Place { self_trade: SelfTrade::Decrement, ..place() },
            Place { limit: Some(Ticks(1)), ..place() },
            Place { post_only: true, ..place() },
            with(Terms { market_to_limit: true, ..base() }),
            with(Terms { slide: true, ..base() }),
            with(Terms { protection: Some(Ticks(1)), ..base() }),
            with(Terms { minimum: Lots(1), ..base() }),
            with(Terms { display: Lots(1), ..base() }),
            with(Terms { client_id: ClientId::new("a"), ..base() }),
            with(Terms { client_id: ClientId::new("b"), ..base() }),
        ];
        let hashes: Vec<u32> = asked.into_iter().map(|place| content(&Action::Place(place))).collect();
        for (at, hash) in hashes.iter().enumerate() {
            assert!(!hashes[..at].contains(hash), "{at}");
        }
    }
}
