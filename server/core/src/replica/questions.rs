//! What others may know of a replica, between two of its steps.

use super::{Buffers, MAX_PENDING, Replica, ReplicaStatus};
use crate::document::{Actor, Genesis, LeaseId};
use crate::machine::{Action, Intent, Origin, Request, SessionId, State};
use crate::types::{ClientId, GenerationNumber, NodeId, OrderId, Position};

impl Replica {
    /// The committed state: all that may be shown.
    #[must_use]
    pub fn view(&self) -> &State {
        &self.view
    }

    /// The generation.
    #[must_use]
    pub fn generation(&self) -> GenerationNumber {
        self.current.genesis.generation()
    }

    /// What the generation began with.
    #[must_use]
    pub fn genesis(&self) -> &Genesis {
        &self.current.genesis
    }

    /// The running digest after the batch that ended at a position, or at the very beginning; `None` if
    /// it was none of the last batches that this process has shown, nor the last of the generation before.
    #[must_use]
    pub fn digest_at(&self, position: Position) -> Option<[u8; 32]> {
        if position == self.current.genesis.position() {
            // The genesis tells the digest of the Seal's batch.
            let sealed = self.current.genesis.record().digest.as_ref().try_into().ok();
            return sealed.or(Some(self.current.genesis_hash));
        }
        if position == self.view.position() {
            return Some(self.view.digest());
        }
        let at = self.digests.binary_search_by_key(&position, |(at, _)| *at).ok()?;
        self.digests.get(at).map(|(_, digest)| *digest)
    }

    /// Whether nobody who can be asked is known to have more than the view shows: this node holds the
    /// lease, votes alone, or shows all that the peers that it is connected with have.
    #[must_use]
    pub fn is_current(&self) -> bool {
        let alone = self.current.tape.voters() == [self.node];
        let mut acks =
            self.current.peers.connected.values().filter_map(|peer| peer.acked.as_ref()).peekable();
        let heard = acks.peek().is_some();
        let mine = self.current.document.vector();
        let has = |(actor, seq): (&Actor, &u64)| mine.get(actor).is_some_and(|has| has >= seq);
        let has_all = acks.all(|ack| ack.vector.iter().all(has));
        let shows_all = heard && has_all && self.view.batches() >= self.current.tape.len() && !self.is_outrun;
        alone || self.holds_lease() || shows_all
    }

    /// The node whose replica this is.
    #[must_use]
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// A position up to which the view will show the document without help: what is known to be
    /// committed, and for a sole voter everything.
    #[must_use]
    pub fn committed_position(&self) -> Position {
        // Alone, this voter will commit all that it has as soon as it holds the lease again.
        let alone = self.current.tape.voters() == [self.node];
        let known = if alone { self.current.tape.len() } else { self.current.commit.batches() };
        let last = known.before().and_then(|at| self.current.tape.batch(at));
        last.map_or(self.view.position(), |batch| batch.first)
    }

    /// Position of the last event on the tape, committed or not, if this process can tell: it holds the
    /// lease.
    #[must_use]
    pub fn tape_end(&self) -> Option<Position> {
        self.current.lease.held().map(|holding| holding.ahead.position())
    }

    /// This node's intents that are accepted, on its disk, and not consumed, by counter.
    pub fn pending(&self) -> impl Iterator<Item = (OrderId, &Intent)> {
        self.current.inbox.of(self.node).take_while(|(id, _)| id.counter <= self.accepted)
    }

    /// Number of the last command of a session that this node knows of, on whatever part of its way.
    #[must_use]
    pub fn last_command(&self, session: &SessionId) -> u64 {
        let number = |request: &Request| match &request.origin {
            Origin::Command { session: of, number } if of.id == *session => Some(*number),
            _ => None,
        };
        let written = self.current.inbox.of(self.node).filter_map(|(_, intent)| number(&intent.request));
        let on_its_way = written.chain(self.gathering.iter().filter_map(number)).max().unwrap_or(0);
        on_its_way.max(self.view.ledger.last_command(session))
    }

    /// An intent that its node has accepted and that is not consumed.
    #[must_use]
    pub fn waiting_intent(&self, id: OrderId) -> Option<&Intent> {
        // Another node's was on its disk before it came here.
        self.current.inbox.get(id).filter(|_| id.node != self.node || id.counter <= self.accepted)
    }

    /// The waiting intent of a session's command, from whichever node.
    #[must_use]
    pub fn waiting_command(&self, session: SessionId, number: u64) -> Option<OrderId> {
        self.waiting(|request| {
            matches!(&request.origin, Origin::Command { session: of, number: at }
                if of.id == session && *at == number)
        })
    }

    /// The waiting intent of an account's request, from whichever node.
    #[must_use]
    pub fn waiting_request(&self, account: &str, request_id: &str) -> Option<OrderId> {
        self.waiting(|request| {
            *request.account == *account
                && matches!(&request.origin, Origin::Request(id) if **id == *request_id)
        })
    }

    /// The waiting order of an account that has this name of its client's, from whichever node.
    #[must_use]
    pub fn waiting_client(&self, account: &str, name: ClientId) -> Option<OrderId> {
        self.waiting(|request| {
            let terms = match &request.action {
                Action::Place(place) => place.terms.as_deref(),
                _ => None,
            };
            *request.account == *account && terms.is_some_and(|terms| terms.client_id == Some(name))
        })
    }

    fn waiting(&self, is: impl Fn(&Request) -> bool) -> Option<OrderId> {
        let places = |request: &Request| matches!(request.action, Action::Place(_));
        let all = self.current.inbox.nodes().flat_map(|node| self.current.inbox.of(node));
        let mut found = all.filter(|(_, intent)| places(&intent.request) && is(&intent.request));
        found.find(|(id, _)| self.waiting_intent(*id).is_some()).map(|(id, _)| id)
    }

    /// Whether an order of this node waits here alone: no other node was ever sent it, and no tape that
    /// could still count has consumed it. Once a withdraw of it is on the disk as well it can't trade,
    /// since whoever gets the one gets the other in the same message.
    #[must_use]
    pub fn waits_here_alone(&self, order: OrderId) -> bool {
        let mine = order.node == self.node && order.counter > self.view.consumed(self.node);
        let ahead = self.current.lease.held().map_or(0, |holding| holding.ahead.consumed(self.node));
        let batches =
            self.view.batches().until(self.current.tape.len()).filter_map(|at| self.current.tape.batch(at));
        let consumed = ahead >= order.counter
            || batches.flat_map(|batch| batch.runs()).any(|(node, first, count)| {
                node == order.node && (first..first.saturating_add(count)).contains(&order.counter)
            });
        mine && !consumed && order.counter > self.sent_through
    }

    /// How many requests may still be submitted.
    #[must_use]
    pub fn room(&self) -> usize {
        MAX_PENDING.saturating_sub(self.gathering.len() + self.current.inbox.len_of(self.node))
    }

    /// The counter that the next submitted request will get.
    #[must_use]
    pub fn next_counter(&self) -> u64 {
        self.current.inbox.last(self.node) + self.gathering.len() as u64 + 1
    }

    /// Whether all that was submitted is consumed, committed and shown.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.gathering.is_empty()
            && self.current.in_flight.is_empty()
            && self.current.inbox.len_of(self.node) == 0
    }

    /// The valid leases in the document: term and holder, ascending. There is one a term.
    pub fn leases(&self) -> impl Iterator<Item = LeaseId> {
        self.current.tape.leases()
    }

    /// How much it keeps for others.
    #[must_use]
    pub fn buffers(&self) -> Buffers {
        Buffers {
            early_bytes: self.current.peers.early_bytes(),
            unacknowledged_bytes: self.current.peers.unacknowledged_bytes(),
            pending: self.current.inbox.len_of(self.node),
            in_flight: self.current.in_flight.len(),
        }
    }

    /// How it is, for people.
    #[must_use]
    pub fn status(&self) -> ReplicaStatus {
        let head = self.current.tape.head();
        ReplicaStatus {
            generation: self.generation(),
            format: self.format(),
            voters: self.current.tape.voters().to_vec(),
            term: self.current.tape.head_term(),
            holder: head.map(|head| head.actor.node()),
            position: self.view.position(),
            tape_time: self.view.time(),
            committed_batches: self.view.batches().0,
            changes: self.current.document.changes(),
            bytes: self.current.document.bytes(),
            pending: self.current.inbox.len_of(self.node) as u64,
            digest: self.view.digest(),
        }
    }
}
