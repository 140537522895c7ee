//! An order's life: what it asked for and what has become of it.

use std::sync::Arc;

use crate::machine::{Account, Intent, Origin, Place, Terms};
use crate::types::{
    ClientId, Lots, Micros, OrderId, Position, Reason, SelfTrade, Side, Ticks, TimeInForce, may_rest,
};

pub use crate::types::OrderStatus;

/// An order as of an event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Order {
    /// Its id: that of the intent that placed it.
    pub id: OrderId,
    /// Whose it is.
    pub account: Account,
    /// The request that placed it.
    pub origin: Origin,
    /// Buy or sell.
    pub side: Side,
    /// Limit price; `None` for a market order, and for one whose limit the book is still to give.
    pub limit: Option<Ticks>,
    /// Time in force.
    pub time_in_force: TimeInForce,
    /// Whether it was not to take.
    pub post_only: bool,
    /// What it asked for between orders of its account.
    pub self_trade: SelfTrade,
    /// What else it asked for.
    pub terms: Option<Arc<Terms>>,
    /// Total quantity: what is filled, prevented, open and cancelled.
    pub quantity: Lots,
    /// Quantity filled.
    pub filled: Lots,
    /// Quantity that it lost rather than trade it with its own account.
    pub prevented: Lots,
    /// Quantity open; zero once closed.
    pub open: Lots,
    /// Sum over its fills of price times quantity, in ticks times lots.
    pub value: u128,
    /// Where it stands.
    pub status: OrderStatus,
    /// Why it closed, if it was not filled.
    pub reason: Reason,
    /// When its node accepted it, by that node's clock.
    pub accepted: Micros,
    /// When it expires.
    pub expires: Option<Micros>,
    /// Tape time of the last event.
    pub updated: Micros,
    /// Position of the last event; zero while pending.
    pub position: Position,
}

impl Order {
    /// The order that an intent asks for, still pending.
    #[must_use]
    pub fn pending(id: OrderId, intent: &Intent, place: &Place) -> Self {
        Self {
            id,
            account: intent.request.account.clone(),
            origin: intent.request.origin.clone(),
            side: place.side,
            limit: place.limit,
            time_in_force: place.time_in_force,
            post_only: place.post_only,
            self_trade: place.self_trade,
            terms: place.terms.clone(),
            quantity: place.quantity,
            filled: Lots::ZERO,
            prevented: Lots::ZERO,
            open: place.quantity,
            value: 0,
            status: OrderStatus::Pending,
            reason: Reason::Unspecified,
            accepted: intent.accepted,
            expires: place.expires,
            updated: Micros(0),
            position: Position(0),
        }
    }

    /// Whether what is left of it may rest.
    #[must_use]
    pub fn may_rest(&self) -> bool {
        self.limit.is_some() && may_rest(self.time_in_force)
    }

    /// Whether it may still change.
    #[must_use]
    pub fn is_live(&self) -> bool {
        matches!(
            self.status,
            OrderStatus::Pending | OrderStatus::Waiting | OrderStatus::Open | OrderStatus::PartiallyFilled
        )
    }

    /// Its client's own name of it.
    #[must_use]
    pub fn client_id(&self) -> Option<ClientId> {
        self.terms.as_deref()?.client_id
    }

    /// What it shows, if it rests.
    #[must_use]
    pub fn shown(&self) -> Lots {
        match self.terms.as_deref() {
            Some(terms) if !terms.display.is_zero() => terms.shown,
            _ => self.open,
        }
    }

    /// What it shows of what is open when that comes to the back of its level.
    pub(super) fn first_shown(&self) -> Lots {
        self.terms.as_deref().map_or(self.open, |terms| terms.shown_of(self.open))
    }

    /// Notes what it shows, if that is not always all.
    pub(super) fn set_shown(&mut self, shown: Lots) {
        if let Some(terms) = self.terms.as_mut().filter(|terms| !terms.display.is_zero()) {
            Arc::make_mut(terms).shown = shown;
        }
    }

    /// Takes an execution that leaves so much open; `None` if that does not follow from what was.
    pub(super) fn fill(&mut self, price: Ticks, quantity: Lots, open: Lots) -> Option<()> {
        (self.open.0.checked_sub(quantity.0)? == open.0).then_some(())?;
        self.open = open;
        self.filled = Lots(self.filled.0.checked_add(quantity.0)?);
        self.value = self.value.saturating_add(u128::from(price.0) * u128::from(quantity.0));
        match (open.is_zero(), self.prevented.is_zero()) {
            (false, _) => self.status = OrderStatus::PartiallyFilled,
            (true, true) => self.status = OrderStatus::Filled,
            (true, false) => self.close(OrderStatus::Cancelled, Reason::SelfTrade),
        }
        Some(())
    }

    /// Loses what it would have traded with its own account; `None` if the open rest does not follow from what was.
    pub(super) fn prevent(&mut self, quantity: Lots, open: Lots) -> Option<()> {
        (self.open.0.checked_sub(quantity.0)? == open.0).then_some(())?;
        self.open = open;
        self.prevented = Lots(self.prevented.0.checked_add(quantity.0)?);
        if open.is_zero() {
            self.close(OrderStatus::Cancelled, Reason::SelfTrade);
        }
        Some(())
    }

    /// What was filled or prevented of it: this much of its quantity is neither open nor cancelled.
    #[must_use]
    pub fn used(&self) -> Lots {
        Lots(self.filled.0.saturating_add(self.prevented.0))
    }

    /// Closes it with what was filled so far.
    pub(super) fn close(&mut self, status: OrderStatus, reason: Reason) {
        self.open = Lots::ZERO;
        self.set_shown(Lots::ZERO);
        self.status = status;
        self.reason = reason;
    }

    /// The status of a resting order.
    pub(in crate::machine) fn resting_status(&self) -> OrderStatus {
        if self.filled.is_zero() { OrderStatus::Open } else { OrderStatus::PartiallyFilled }
    }
}
