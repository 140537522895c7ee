//! Requests as a node accepted them, and intents: requests with their place in the document.

use std::sync::Arc;

use xbook_proto::record::v1 as record;

use super::switch::{Switch, decode_switch, encode_switch};
use super::{Announcement, Invitation, JoinToken, Limits, Rules, Terms};
use crate::types::{
    ClientId, Lots, MarketState, Micros, NodeId, OrderId, SelfTrade, Side, Ticks, TimeInForce,
};

/// An account's name; shared, since every order carries one.
pub type Account = Arc<str>;

/// What a client session of numbered commands is told by: a hash of the account and the session's name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SessionId(pub [u8; 16]);

/// A client session of numbered commands.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Session {
    /// What it is told by.
    pub id: SessionId,
    /// The name that its client gave it.
    pub name: Arc<str>,
}

impl Session {
    /// An account's session.
    #[must_use]
    pub fn new(account: &str, name: impl Into<Arc<str>>) -> Self {
        let name = name.into();
        Self { id: SessionId(key(&[b"session", account.as_bytes(), name.as_bytes()])), name }
    }
}

/// How a request is told from its repeats.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Origin {
    /// By the id that its client chose.
    Request(Arc<str>),
    /// By its number within a session.
    Command {
        /// The session.
        session: Session,
        /// The command's number, from 1.
        number: u64,
    },
}

/// A valid request of an account, in ticks and lots.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// Whose request it is.
    pub account: Account,
    /// How it is told from its repeats.
    pub origin: Origin,
    /// Hash of what the client asked for, to tell a repeat from a reuse of a request id.
    pub body_hash: u64,
    /// What is asked for.
    pub action: Action,
}

impl Request {
    /// Whether it is its node's word about a stream. A node says it again and again, each time as if it were the
    /// first: nobody has to remember it.
    #[must_use]
    pub fn is_of_stream(&self) -> bool {
        matches!(self.action, Action::Switch(Switch::Stream { .. }))
    }

    /// Bytes of its record, to within a few.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let origin = match &self.origin {
            Origin::Request(id) => id.len(),
            Origin::Command { session, .. } => session.name.len(),
        };
        let texts = match &self.action {
            Action::CreateMarket(new) => new.name.len() + 9 * new.voters.len(),
            Action::Announce(entry) => 64 + entry.address.len() + entry.peer_address.len(),
            Action::Invite(_) => 48,
            Action::SetRules(new) => 192 + 12 * new.rules.sessions.len(),
            Action::Place(place) => {
                64 * (usize::from(place.terms.is_some()) + usize::from(place.replaces.is_some()))
            }
            Action::Switch(Switch::Stream { session, .. }) => session.len() + 16,
            _ => 0,
        };
        64 + self.account.len() + origin + texts
    }
}

/// What a request asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Place an order.
    Place(Place),
    /// Change an order.
    Amend(Amend),
    /// Cancel an order.
    Cancel(Target),
    /// Cancel an order, also before its turn: then it never enters the book.
    Withdraw(OrderId),
    /// Cancel all orders of the account, of one side or of both.
    CancelAll(Option<Side>),
    /// Arm, renew or end a dead man's switch of the account.
    Switch(Switch),
    /// Kill the account, or lift that.
    Kill(bool),
    /// Change the market's state; never unspecified.
    SetState(MarketState),
    /// Set the account's limits.
    SetLimits(Limits),
    /// Change the market's rules.
    SetRules(Box<NewRules>),
    /// Create a market; only in the directory.
    CreateMarket(NewMarket),
    /// Change the voters of the next generation.
    ChangeVoters(VoterChange),
    /// Say where this intent's node is reached; only in the directory.
    Announce(Announcement),
    /// Forget a node; only in the directory.
    RemoveNode(NodeId),
    /// Let nodes join; only in the directory.
    Invite(Invitation),
    /// A session's command that was not valid: it only uses up its number.
    Invalid,
}

/// A change of the voters of a document.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum VoterChange {
    /// This node becomes a voter.
    Add(NodeId),
    /// This voter is one no more.
    Remove(NodeId),
}

/// An order to place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// Buy or sell.
    pub side: Side,
    /// Limit price; `None` for a market order.
    pub limit: Option<Ticks>,
    /// Quantity.
    pub quantity: Lots,
    /// Time in force; never unspecified.
    pub time_in_force: TimeInForce,
    /// Reject rather than take.
    pub post_only: bool,
    /// When it expires (tape time); only for GTD.
    pub expires: Option<Micros>,
    /// Latest tape time at which it may be sequenced.
    pub sequence_by: Option<Micros>,
    /// What happens when it would trade with an order of its own account; never allow.
    pub self_trade: SelfTrade,
    /// What few orders ask for; never the default.
    pub terms: Option<Arc<Terms>>,
    /// The order that it comes in place of: if this one is refused, or there is no such order, all is as it was.
    pub replaces: Option<Box<Target>>,
}

impl Place {
    /// An order that asks for nothing else.
    #[must_use]
    pub fn new(side: Side, limit: Option<Ticks>, quantity: Lots, time_in_force: TimeInForce) -> Self {
        Self {
            side,
            limit,
            quantity,
            time_in_force,
            post_only: false,
            expires: None,
            sequence_by: None,
            self_trade: SelfTrade::Unspecified,
            terms: None,
            replaces: None,
        }
    }
}

/// Names an order of the same account.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Target {
    /// By id.
    Order(OrderId),
    /// By the number of the command of the same session that placed it.
    Command(u64),
    /// By its client's own name of it: of the account's orders that are not closed the one that has it.
    Client(ClientId),
}

impl Target {
    /// Which way, and the numbers that name it.
    pub(super) fn numbers(self) -> [u64; 3] {
        match self {
            Self::Order(id) => [0, id.node.0, id.counter],
            Self::Command(number) => [1, 0, number],
            Self::Client(id) => {
                let [low, high] = [0, 8].map(|from| {
                    let key = key(&[b"client", id.as_str().as_bytes()]);
                    key[from..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
                });
                [2, low, high]
            }
        }
    }
}

/// A change of an order. What is not set stays.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Amend {
    /// The order.
    pub target: Target,
    /// New limit price.
    pub price: Option<Ticks>,
    /// New size.
    pub size: Option<NewSize>,
    /// New trigger of an order that waits.
    pub trigger: Option<Ticks>,
}

/// The new size of an amended order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NewSize {
    /// A total, what was filled included.
    Total(Lots),
    /// What is open, whatever was filled.
    Open(Lots),
}

impl NewSize {
    /// A number of its own for each size.
    pub(super) fn number(self) -> u64 {
        match self {
            Self::Total(lots) => lots.0.wrapping_mul(2).wrapping_add(2),
            Self::Open(lots) => lots.0.wrapping_mul(2).wrapping_add(3),
        }
    }
}

/// Rules that a market is to have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewRules {
    /// All of them.
    pub rules: Rules,
    /// What the static band is around from then on; `None` for what it is.
    pub reference: Option<Ticks>,
}

/// A market to create.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewMarket {
    /// Its name.
    pub name: Arc<str>,
    /// Its rules.
    pub rules: Rules,
    /// The first voters of its document, ascending.
    pub voters: Vec<NodeId>,
}

impl NewMarket {
    pub(super) fn to_record(&self) -> record::CreateMarket {
        record::CreateMarket {
            name: self.name.to_string(),
            rules: Some(self.rules.to_record()),
            voters: self.voters.iter().map(|node| node.0).collect(),
        }
    }

    pub(super) fn from_record(record: record::CreateMarket) -> Option<Self> {
        Some(Self {
            name: record.name.into(),
            rules: Rules::from_record(&record.rules?)?,
            voters: record.voters.into_iter().map(NodeId).collect(),
        })
    }
}

/// A request with what its node knew when it accepted it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Intent {
    /// The request.
    pub request: Request,
    /// Committed tape time that the accepting node knew.
    pub based_on: Micros,
    /// The accepting node's clock.
    pub accepted: Micros,
}

/// A 128-bit key of some texts; a hash that nobody can find collisions for.
pub(super) fn key(parts: &[&[u8]]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let mut key = [0; 16];
    hasher.finalize_xof().fill(&mut key);
    key
}

/// Writes requests as the record of one tick.
///
/// Accounts and sessions are written once a batch.
#[must_use]
pub fn encode_batch(
    node: NodeId,
    first_counter: u64,
    based_on: Micros,
    accepted: Micros,
    requests: &[Request],
) -> record::IntentBatch {
    let mut accounts: Vec<String> = Vec::new();
    let mut sessions: Vec<Session> = Vec::new();
    let intents = requests
        .iter()
        .map(|request| {
            let account =
                index_of(&mut accounts, |known| **known == *request.account, || request.account.to_string());
            let (request_id, session, number) = match &request.origin {
                Origin::Request(id) => (id.to_string(), 0, 0),
                Origin::Command { session, number } => (
                    String::new(),
                    1 + index_of(&mut sessions, |known| known == session, || session.clone()),
                    *number,
                ),
            };
            let action = Some(encode_action(&request.action));
            record::Intent { account, request_id, session, number, body_hash: request.body_hash, action }
        })
        .collect();
    record::IntentBatch {
        node: node.0,
        first_counter,
        based_on_us: based_on.0,
        accepted_us: accepted.0,
        accounts,
        sessions: sessions.iter().map(|session| session.name.to_string()).collect(),
        intents,
    }
}

/// The index of an entry in a small table, which is added if it is not there.
fn index_of<T>(table: &mut Vec<T>, same: impl Fn(&T) -> bool, make: impl FnOnce() -> T) -> u32 {
    // The last entry first: requests of one client come in rows.
    let at = table.iter().rposition(same).unwrap_or_else(|| {
        table.push(make());
        table.len() - 1
    });
    u32::try_from(at).unwrap_or(u32::MAX)
}

fn encode_action(action: &Action) -> record::intent::Action {
    use record::intent::Action as Wire;
    match action {
        Action::Place(place) => Wire::Place(record::Place {
            side: side_to_wire(place.side).into(),
            price: place.limit.map(|price| price.0),
            quantity: place.quantity.0,
            time_in_force: place.time_in_force.into(),
            post_only: place.post_only,
            expires_us: place.expires.map_or(0, |at| at.0),
            sequence_by_us: place.sequence_by.map_or(0, |at| at.0),
            self_trade: place.self_trade.into(),
            terms: place.terms.as_deref().map(Terms::to_record),
            replaces: place.replaces.as_deref().copied().map(encode_target),
        }),
        Action::Amend(amend) => Wire::Amend(record::Amend {
            target: Some(encode_target(amend.target)),
            price: amend.price.map(|price| price.0),
            size: amend.size.map(|size| match size {
                NewSize::Total(lots) => record::amend::Size::Total(lots.0),
                NewSize::Open(lots) => record::amend::Size::Open(lots.0),
            }),
            trigger: amend.trigger.map(|trigger| trigger.0),
        }),
        Action::Cancel(target) => {
            Wire::Cancel(record::Cancel { target: Some(encode_target(*target)), withdraw: false })
        }
        Action::Withdraw(order) => {
            let target = Some(encode_target(Target::Order(*order)));
            Wire::Cancel(record::Cancel { target, withdraw: true })
        }
        Action::CancelAll(side) => Wire::CancelAll(record::CancelAll {
            side: side.map_or(record::Side::Unspecified, side_to_wire).into(),
        }),
        Action::Switch(switch) => Wire::Switch(encode_switch(switch)),
        Action::Kill(on) => Wire::Kill(record::Kill { on: *on }),
        Action::SetLimits(limits) => Wire::SetLimits(limits.to_record()),
        Action::SetState(state) => Wire::SetState(record::SetState { state: (*state).into() }),
        Action::SetRules(new) => Wire::SetRules(record::SetRules {
            rules: Some(new.rules.to_record()),
            reference: new.reference.map_or(0, |price| price.0),
        }),
        Action::CreateMarket(market) => Wire::CreateMarket(market.to_record()),
        Action::ChangeVoters(change) => Wire::ChangeVoters(record::ChangeVoters {
            change: Some(match change {
                VoterChange::Add(node) => record::change_voters::Change::Add(node.0),
                VoterChange::Remove(node) => record::change_voters::Change::Remove(node.0),
            }),
        }),
        Action::Announce(announcement) => Wire::Announce(encode_announcement(announcement)),
        Action::RemoveNode(node) => Wire::RemoveNode(record::RemoveNode { node: node.0 }),
        Action::Invite(Invitation { hash, uses, expires }) => Wire::Invite(record::Invite {
            token_hash: hash.to_vec().into(),
            uses: *uses,
            expires_us: expires.0,
        }),
        Action::Invalid => Wire::Invalid(record::Invalid {}),
    }
}

fn encode_announcement(announcement: &Announcement) -> record::Announce {
    let Announcement { address, peer_address, key, token } = announcement;
    record::Announce {
        address: address.to_string(),
        peer_address: peer_address.to_string(),
        key: key.to_vec().into(),
        join_token: token.map(|token| token.0.to_vec().into()).unwrap_or_default(),
    }
}

fn decode_announcement(announce: record::Announce) -> Option<Announcement> {
    let token = match announce.join_token.as_ref() {
        [] => None,
        token => Some(JoinToken(token.try_into().ok()?)),
    };
    Some(Announcement {
        address: announce.address.into(),
        peer_address: announce.peer_address.into(),
        key: announce.key.as_ref().try_into().ok()?,
        token,
    })
}

fn encode_target(target: Target) -> record::Target {
    match target {
        Target::Order(id) => {
            record::Target { node: id.node.0, counter: id.counter, ..record::Target::default() }
        }
        Target::Command(number) => record::Target { counter: number, ..record::Target::default() },
        Target::Client(id) => record::Target { client_id: id.to_string(), ..record::Target::default() },
    }
}

/// A side as records write it.
#[must_use]
pub fn side_to_wire(side: Side) -> record::Side {
    match side {
        Side::Buy => record::Side::Buy,
        Side::Sell => record::Side::Sell,
    }
}

/// Reads the intents of a batch; `None` if the record is malformed. A fresh `Account` is made once
/// a batch and shared.
#[must_use]
pub fn decode_batch(batch: record::IntentBatch) -> Option<Vec<Intent>> {
    let accounts: Vec<Account> = batch.accounts.into_iter().map(Into::into).collect();
    let names: Vec<Arc<str>> = batch.sessions.into_iter().map(Into::into).collect();
    // A session's commands come in rows.
    let mut last: Option<((u32, u32), Session)> = None;
    let mut session = |at: u32, account: u32| {
        if let Some((_, session)) = last.as_ref().filter(|(of, _)| *of == (at, account)) {
            return Some(session.clone());
        }
        let name = Arc::clone(names.get(at as usize)?);
        let session = Session::new(accounts.get(account as usize)?, name);
        last = Some(((at, account), session.clone()));
        Some(session)
    };
    let (based_on, accepted) = (Micros(batch.based_on_us), Micros(batch.accepted_us));
    batch
        .intents
        .into_iter()
        .map(|intent| {
            let origin = match intent.session.checked_sub(1) {
                None => Origin::Request(intent.request_id.into()),
                Some(at) => Origin::Command { session: session(at, intent.account)?, number: intent.number },
            };
            let request = Request {
                account: accounts.get(intent.account as usize)?.clone(),
                origin,
                body_hash: intent.body_hash,
                action: decode_action(intent.action?)?,
            };
            Some(Intent { request, based_on, accepted })
        })
        .collect()
}

fn decode_action(action: record::intent::Action) -> Option<Action> {
    use record::intent::Action as Wire;
    Some(match action {
        Wire::Place(place) => Action::Place(Place {
            side: side_from_wire(place.side())?,
            limit: place.price.map(Ticks),
            quantity: Lots(place.quantity),
            time_in_force: place.time_in_force(),
            post_only: place.post_only,
            expires: some_time(place.expires_us),
            sequence_by: some_time(place.sequence_by_us),
            // A way that is not known must not become the market's.
            self_trade: SelfTrade::try_from(place.self_trade).ok()?,
            terms: Terms::of_record(place.terms.as_ref())?,
            replaces: match &place.replaces {
                None => None,
                Some(target) => Some(Box::new(decode_target(target)?)),
            },
        }),
        Wire::Amend(amend) => Action::Amend(Amend {
            target: decode_target(&amend.target?)?,
            price: amend.price.map(Ticks),
            size: amend.size.map(|size| match size {
                record::amend::Size::Total(lots) => NewSize::Total(Lots(lots)),
                record::amend::Size::Open(lots) => NewSize::Open(Lots(lots)),
            }),
            trigger: amend.trigger.map(Ticks),
        }),
        Wire::Cancel(cancel) => match (decode_target(&cancel.target?)?, cancel.withdraw) {
            (target, false) => Action::Cancel(target),
            (Target::Order(order), true) => Action::Withdraw(order),
            (_, true) => return None,
        },
        // A side that is not known must not become both.
        Wire::CancelAll(all) => Action::CancelAll(side_from_wire(record::Side::try_from(all.side).ok()?)),
        Wire::Switch(switch) => Action::Switch(decode_switch(switch)?),
        Wire::Kill(kill) => Action::Kill(kill.on),
        Wire::SetLimits(limits) => Action::SetLimits(Limits::from_record(limits)),
        // A state that is not known must not become another one.
        Wire::SetState(set) => Action::SetState(MarketState::try_from(set.state).ok()?),
        Wire::SetRules(set) => Action::SetRules(Box::new(NewRules {
            rules: Rules::from_record(&set.rules?)?,
            reference: (set.reference > 0).then_some(Ticks(set.reference)),
        })),
        Wire::CreateMarket(market) => Action::CreateMarket(NewMarket::from_record(market)?),
        Wire::ChangeVoters(voters) => Action::ChangeVoters(match voters.change? {
            record::change_voters::Change::Add(node) => VoterChange::Add(NodeId(node)),
            record::change_voters::Change::Remove(node) => VoterChange::Remove(NodeId(node)),
        }),
        Wire::Announce(announce) => Action::Announce(decode_announcement(announce)?),
        Wire::RemoveNode(remove) => Action::RemoveNode(NodeId(remove.node)),
        Wire::Invite(invite) => Action::Invite(Invitation {
            hash: invite.token_hash.as_ref().try_into().ok()?,
            uses: invite.uses,
            expires: Micros(invite.expires_us),
        }),
        Wire::Invalid(_) => Action::Invalid,
    })
}

fn decode_target(target: &record::Target) -> Option<Target> {
    Some(match (target.client_id.as_str(), target.node, target.counter) {
        ("", 0, number) => Target::Command(number),
        ("", node, counter) => Target::Order(OrderId { node: NodeId(node), counter }),
        (id, 0, 0) => Target::Client(ClientId::new(id)?),
        _ => return None,
    })
}

/// A side from the proto files; `None` if it is unspecified.
#[must_use]
pub fn side_from_wire(side: record::Side) -> Option<Side> {
    match side {
        record::Side::Unspecified => None,
        record::Side::Buy => Some(Side::Buy),
        record::Side::Sell => Some(Side::Sell),
    }
}

fn some_time(us: u64) -> Option<Micros> {
    (us > 0).then_some(Micros(us))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cancel_of_a_side_that_is_not_known_is_refused_and_does_not_cancel_both() {
        let read = |side| decode_action(record::intent::Action::CancelAll(record::CancelAll { side }));
        assert_eq!(read(0), Some(Action::CancelAll(None)));
        assert_eq!(read(2), Some(Action::CancelAll(Some(Side::Sell))));
        assert_eq!(read(3), None);
    }
}
