//! What a replica replicates: a market's book, or the directory of markets.
//!
//! Under a lease, [`State::sequence`] decides what becomes of one intent and says so in [`Event`]s, which
//! go on the tape as a [`Step`]. Everywhere else [`State::apply`] takes the events of a tape. Both change
//! the state through one fold over events, except that the first has the book match and the second has
//! it follow; the running digest tells at each batch whether they agree.

mod caps;
mod chain;
mod check;
mod digest;
mod directory;
mod due;
mod error;
mod intent;
mod join;
mod journal;
mod ledger;
mod limits;
mod market;
mod near;
mod parts;
mod state;
mod switch;
mod table;
mod tape;
mod terms;
mod voters;

pub use caps::Caps;
pub use chain::{ChainHead, Content, RequestOutcome, chain_start};
pub use check::{is_account, is_address, is_admissible, is_chosen_name, is_market_name};
pub use digest::Digest;
pub use directory::{Directory, MAX_ADDRESS_BYTES, MAX_MARKETS, MarketEntry, NodeEntry};
pub use error::FoldError;
pub use intent::{
    Account, Action, Amend, Intent, NewMarket, NewRules, NewSize, Origin, Place, Request, Session, SessionId,
    Target, VoterChange, decode_batch, encode_batch, side_from_wire, side_to_wire,
};
pub use join::{
    Announcement, Invitation, JoinToken, MAX_TOKEN_USES, NotAToken, PublicKey, TokenHash, Tokens,
};
pub use journal::{Answer, Block, Change, FillOf, Repeated};
pub use ledger::{Ledger, Unconsumed};
pub use limits::Limits;
pub use market::{
    Bands, DAY, FEE_SCALE, Fee, FeeRates, Fees, MAX_BAND_BP, MAX_FEE_RATE, MAX_FEE_STEP, MAX_PROTECTION_BP,
    MAX_SESSIONS, Market, Order, OrderStatus, Rules, SessionTime,
};
pub use parts::{MAX_PART_BYTES, StateStart};
pub use state::{BatchBuilder, Machine, State};
pub use switch::{MAX_SWITCH, StreamSwitch, Switch};
pub use table::{Table, halves, joined};
pub use tape::{Batch, Cause, Event, Seal, Step, is_withdrawn, refused};
pub use terms::{MAX_PARTS, Stop, Terms};
pub use voters::MAX_VOTERS;
