//! A market: its book, the orders in it, and what each event makes of them.
//!
//! The way of an intent: under a lease, [`Market::decide`] has the book match it and says in events what
//! happened; everywhere else, [`Market::follow`] has the book do what the events say. Either way
//! [`Market::fold`] then takes the events one by one: orders change, and what changed is noted.

mod auction;
mod bands;
mod decide;
mod entry;
mod fees;
mod fold;
mod limits;
mod order;
mod orders;
mod owners;
mod parts;
mod protect;
mod rules;
mod session;
mod state;
mod stops;
mod switches;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

pub use fees::{FEE_SCALE, Fee, FeeRates, Fees, MAX_FEE_RATE, MAX_FEE_STEP};
pub use order::{Order, OrderStatus};
pub use rules::{Bands, DAY, MAX_BAND_BP, MAX_PROTECTION_BP, MAX_SESSIONS, Rules, SessionTime};

use auction::Unpriced;
use limits::AccountLimits;
use orders::Orders;
use owners::Owners;
use stops::Stops;
pub(super) use switches::{Armed, SwitchOf};
use switches::{Killed, Switches};

use rustc_hash::FxBuildHasher;

use super::intent::{Account, SessionId};
use super::near::BuildNearHasher;
use crate::book::{self, Auction, Book, Owner};
use crate::machine::Caps;
use crate::types::{ClientId, MarketState, Micros, OrderId, Position, Ticks};

/// A market's state: a pure function of its tape.
#[derive(Clone, Debug)]
pub struct Market {
    name: Arc<str>,
    rules: Rules,
    book: Book,
    orders: Orders,
    owners: Owners,
    by_command: HashMap<(SessionId, u64), OrderId, BuildNearHasher>,
    /// The orders that their clients named.
    by_client: HashMap<(Account, ClientId), OrderId, FxBuildHasher>,
    by_expiry: BTreeSet<(Micros, OrderId)>,
    stops: Stops,
    most_trailing: usize,
    last_price: Option<Ticks>,
    unpriced: Unpriced,
    uncrossed_price: Option<Ticks>,
    /// What the auction would give, as it was told last.
    indicated: Option<Auction>,
    /// When the auction ends by itself, and whether that was put off already.
    ends: Option<Micros>,
    extended: bool,
    /// Time up to which it has changed its state by itself; 0 if it never did.
    scheduled: Micros,
    /// What the dynamic band is around.
    root_price: Option<Ticks>,
    /// Tape time of the step that is decided.
    now: Micros,
    switches: Switches,
    killed: Killed,
    state: MarketState,
    limits: AccountLimits,
    /// How many switches may be armed, and how many accounts killed.
    most_protected: usize,
    /// The order that a step has taken in hand: it exists and rests nowhere.
    hand: Option<Hand>,
    /// An iceberg of which all that it showed has traded: the next event is what it shows then.
    used_up: Option<OrderId>,
    /// Room for what the book says.
    said: Vec<book::Event>,
}

/// An order on its way, between its first event in a step and the one that rests or closes it.
#[derive(Clone, Debug)]
struct Hand {
    order: Order,
    /// Whether the step placed it.
    placed: bool,
    /// Position of that first event while nothing was told of it: an order that rests at once is told once.
    untold: Option<Position>,
}

impl Market {
    /// A market with an empty book.
    #[must_use]
    pub fn new(name: Arc<str>, rules: Rules) -> Self {
        Self {
            name,
            rules,
            book: Book::new()
                .with_max_orders(Caps::default().open_orders)
                .with_max_hidden_parts(Caps::default().hidden_parts),
            orders: Orders::default(),
            owners: Owners::default(),
            by_command: HashMap::default(),
            by_client: HashMap::default(),
            by_expiry: BTreeSet::new(),
            stops: Stops::default(),
            most_trailing: Caps::default().trailing,
            last_price: None,
            unpriced: Unpriced::default(),
            uncrossed_price: None,
            indicated: None,
            ends: None,
            extended: false,
            scheduled: Micros(0),
            root_price: None,
            now: Micros(0),
            switches: Switches::default(),
            killed: Killed::default(),
            state: MarketState::Continuous,
            limits: AccountLimits::default(),
            most_protected: Caps::default().protected,
            hand: None,
            used_up: None,
            said: Vec::new(),
        }
    }

    /// How much it may hold; set before anything happens.
    pub(super) fn set_caps(&mut self, caps: &Caps) {
        self.book = Book::new().with_max_orders(caps.open_orders).with_max_hidden_parts(caps.hidden_parts);
        self.most_trailing = caps.trailing;
        self.most_protected = caps.protected;
    }

    /// The market's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its rules.
    #[must_use]
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Its book.
    #[must_use]
    pub fn book(&self) -> &Book {
        &self.book
    }

    /// A resting order, or one that waits for a trade.
    #[must_use]
    pub fn order(&self, id: &OrderId) -> Option<&Order> {
        self.orders.get(id)
    }

    /// The resting order that a command of a session placed.
    #[must_use]
    pub fn order_of_command(&self, session: SessionId, number: u64) -> Option<&Order> {
        self.orders.get(self.by_command.get(&(session, number))?)
    }

    /// The resting order of an account that has this name of its client's.
    #[must_use]
    pub fn order_of_client(&self, account: &Account, name: ClientId) -> Option<&Order> {
        self.orders.get(self.by_client.get(&(account.clone(), name))?)
    }

    /// An account's resting orders after an id, by id.
    pub fn orders_of(&self, account: &str, after: OrderId) -> impl Iterator<Item = &Order> {
        self.owners.orders_of(account, after).filter_map(|id| self.orders.get(id))
    }

    /// Whose the orders of an account are in the book, until the step ends or for as long as one rests.
    pub(super) fn owner(&mut self, account: &Account) -> Owner {
        self.owners.of(account)
    }

    /// Price of the last trade.
    #[must_use]
    pub fn last_price(&self) -> Option<Ticks> {
        self.last_price
    }
}
