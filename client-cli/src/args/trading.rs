//! The verbs that place, change and cancel orders.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::RequestArgs;
use super::values::{self, Expiry, Price};

/// `buy` and `sell`.
#[derive(Debug, Clone, Args)]
pub struct PlaceArgs {
    /// How much, in base currency.
    #[arg(allow_negative_numbers = true)]
    pub quantity: String,
    /// The market, such as BTC/USDT.
    pub market: String,
    /// The limit price in quote currency, `mkt` for whatever rests in the book, or `mtl` for the best price on
    /// the other side, at which what is left rests.
    #[arg(value_name = "PRICE|mkt|mtl", allow_negative_numbers = true)]
    pub price: Price,
    /// How long the order stays in force [default: gtc with a price, ioc with mkt, gtd with --expires].
    #[arg(long, value_enum)]
    pub tif: Option<Tif>,
    /// Reject the order rather than take what rests.
    #[arg(long)]
    pub post_only: bool,
    /// Take the price one tick behind the best one on the other side rather than take what rests.
    #[arg(long)]
    pub slide: bool,
    /// Wait until somebody trades at this price, or beyond it; then the order runs.
    #[arg(long, value_name = "PRICE", allow_negative_numbers = true)]
    pub stop: Option<String>,
    /// Wait as --stop does, at this distance behind the best trade from now on; the price is `mkt`.
    #[arg(long, value_name = "DISTANCE", allow_negative_numbers = true, conflicts_with = "stop")]
    pub trail: Option<String>,
    /// How far beyond its trigger the limit of an order with --trail is [default: it runs as a market order].
    #[arg(long, value_name = "DISTANCE", allow_negative_numbers = true, requires = "trail")]
    pub trail_limit: Option<String>,
    /// How much must trade at once; else the order is rejected.
    #[arg(long, value_name = "QUANTITY", allow_negative_numbers = true, conflicts_with_all = ["post_only", "slide"])]
    pub min: Option<String>,
    /// Show only so much of the order at a time while it rests; the rest comes part by part, at the back.
    #[arg(long, value_name = "QUANTITY", allow_negative_numbers = true)]
    pub show: Option<String>,
    /// The worst price that a `mkt` order accepts.
    #[arg(long, value_name = "PRICE", allow_negative_numbers = true)]
    pub protection: Option<String>,
    /// When the order expires: a time such as 2030-01-31T12:00:00Z, or a duration such as 10m.
    #[arg(long, value_name = "WHEN", required_if_eq("tif", "gtd"))]
    pub expires: Option<Expiry>,
    /// What happens when it would trade with an order of your own [default: the market's rule].
    #[arg(long, value_name = "WAY", value_enum)]
    pub self_trade: Option<SelfTradeArg>,
    /// Your own name of the order: 1 to 36 characters, none of your other open orders in the market may have it.
    #[arg(long, value_name = "ID")]
    pub client_id: Option<String>,
    /// Answer as soon as the order is on the node's disk, before its outcome is known.
    #[arg(long)]
    pub no_wait: bool,
    /// The request's name.
    #[command(flatten)]
    pub request: RequestArgs,
}

/// Times in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Tif {
    /// Good till cancelled.
    Gtc,
    /// Good till the time given with --expires.
    Gtd,
    /// Immediate or cancel: what does not trade at once is cancelled.
    Ioc,
    /// Fill or kill: all at once, or not at all.
    Fok,
    /// Until the market's day ends.
    Day,
    /// Until the auction ends, in which alone it is taken.
    Auction,
}

/// What happens between orders of one account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SelfTradeArg {
    /// What is left of the order that comes in is cancelled.
    CancelTaker,
    /// The resting order is cancelled, and the other one goes on.
    CancelMaker,
    /// Both are cancelled.
    CancelBoth,
    /// Both lose the smaller of their open quantities, and nobody trades.
    Decrement,
}

/// What happens between orders of one account, as a market's rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DefaultSelfTradeArg {
    /// What is left of the order that comes in is cancelled.
    CancelTaker,
    /// The resting order is cancelled, and the other one goes on.
    CancelMaker,
    /// Both are cancelled.
    CancelBoth,
    /// Both lose the smaller of their open quantities, and nobody trades.
    Decrement,
    /// They trade.
    Allow,
}

/// Names an order.
#[derive(Debug, Clone, Args)]
#[group(id = "named", required = true, multiple = false)]
pub struct NamedArgs {
    /// The order's id.
    pub order: Option<String>,
    /// Your own name of the order instead of its id.
    #[arg(long, value_name = "ID")]
    pub client_id: Option<String>,
}

impl NamedArgs {
    /// As a sentence names it.
    pub fn words(&self) -> &str {
        self.order.as_deref().or(self.client_id.as_deref()).unwrap_or_default()
    }
}

/// `amend`.
#[derive(Debug, Clone, Args)]
#[group(id = "change", required = true, multiple = true, args = ["price", "quantity", "open", "stop"])]
pub struct AmendArgs {
    /// The market.
    pub market: String,
    /// Which order.
    #[command(flatten)]
    pub named: NamedArgs,
    /// The new limit price.
    #[arg(long, allow_negative_numbers = true)]
    pub price: Option<String>,
    /// The new total quantity, what was filled included.
    #[arg(long, value_name = "TOTAL", conflicts_with = "open", allow_negative_numbers = true)]
    pub quantity: Option<String>,
    /// The new open quantity, whatever was filled.
    #[arg(long, value_name = "OPEN", allow_negative_numbers = true)]
    pub open: Option<String>,
    /// The new price that an order waits for.
    #[arg(long, value_name = "PRICE", allow_negative_numbers = true)]
    pub stop: Option<String>,
    /// The request's name.
    #[command(flatten)]
    pub request: RequestArgs,
}

/// `replace`.
#[derive(Debug, Clone, Args)]
pub struct ReplaceArgs {
    /// The order that goes: its id, or your own name of it with --by-client-id.
    #[arg(value_name = "ORDER")]
    pub replaced: String,
    /// Take ORDER for your own name of the order that goes.
    #[arg(long)]
    pub by_client_id: bool,
    /// The side of the order that comes.
    #[arg(value_enum)]
    pub side: SideArg,
    /// The order that comes.
    #[command(flatten)]
    pub place: PlaceArgs,
}

/// `cancel`.
#[derive(Debug, Clone, Args)]
pub struct CancelArgs {
    /// The market.
    pub market: String,
    /// Which order.
    #[command(flatten)]
    pub named: NamedArgs,
    /// The request's name.
    #[command(flatten)]
    pub request: RequestArgs,
}

/// `cancel-all`.
#[derive(Debug, Clone, Args)]
pub struct CancelAllArgs {
    /// The market, or `all` for all that there are.
    pub market: String,
    /// Only the orders of this side.
    #[arg(long, value_enum)]
    pub side: Option<SideArg>,
    /// The request's name.
    #[command(flatten)]
    pub request: RequestArgs,
}

/// `cancel-all-after`.
#[derive(Debug, Clone, Args)]
pub struct CancelAllAfterArgs {
    /// The market, or `all` for all that there are.
    pub market: String,
    /// After how long, such as 30s; at most 1day. `off` ends it.
    #[arg(value_name = "DURATION", value_parser = values::switch)]
    pub after: Duration,
    /// The request's name.
    #[command(flatten)]
    pub request: RequestArgs,
}

/// `kill`.
#[derive(Debug, Clone, Args)]
pub struct KillArgs {
    /// The market, or `all` for all that there are.
    pub market: String,
    /// Let the account trade again.
    #[arg(long)]
    pub lift: bool,
    /// The request's name.
    #[command(flatten)]
    pub request: RequestArgs,
}

/// `limits`.
#[derive(Debug, Clone, Args)]
pub struct LimitsArgs {
    /// The market.
    pub market: String,
    /// Set them: what is not said then has no limit.
    #[arg(long)]
    pub set: bool,
    /// Most of an order, in base currency.
    #[arg(long, value_name = "QUANTITY", requires = "set", allow_negative_numbers = true)]
    pub quantity: Option<String>,
    /// Most price times quantity of an order, in quote currency.
    #[arg(long, value_name = "AMOUNT", requires = "set", allow_negative_numbers = true)]
    pub notional: Option<String>,
    /// Most orders that rest.
    #[arg(long, value_name = "N", requires = "set")]
    pub orders: Option<u32>,
    /// The request's name.
    #[command(flatten)]
    pub request: RequestArgs,
}

/// A side of the book.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SideArg {
    /// The bids.
    Buy,
    /// The asks.
    Sell,
}
