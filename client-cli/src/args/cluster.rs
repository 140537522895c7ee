//! What is said of markets and of the cluster.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::{DefaultSelfTradeArg, RequestArgs, values};

/// `market ...`.
#[derive(Debug, Clone, Subcommand)]
pub enum MarketCommand {
    /// Create a market.
    Create(Box<CreateMarketArgs>),
    /// List all markets.
    List,
    /// Show a market: its rules and its best prices.
    Show {
        /// The market, such as BTC/USDT.
        name: String,
    },
    /// Change a market's rules; what is not given stays.
    Update(Box<UpdateMarketArgs>),
    /// Change what a market takes.
    State {
        /// The market, such as BTC/USDT.
        name: String,
        /// The new state.
        #[arg(value_enum)]
        state: MarketStateArg,
        /// The request's name.
        #[command(flatten)]
        request: RequestArgs,
    },
    /// Delist a market: all its orders are cancelled, and it takes none ever again.
    Delist {
        /// The market, such as BTC/USDT.
        name: String,
        /// The request's name.
        #[command(flatten)]
        request: RequestArgs,
    },
}

/// What a market takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MarketStateArg {
    /// Orders rest and don't trade.
    PreOpen,
    /// The same, and what an uncross would give is told.
    Auction,
    /// All orders.
    Continuous,
    /// Post-only orders, and amends, which never take then.
    PostOnly,
    /// Cancels, and amends to a smaller size.
    CancelOnly,
    /// Cancels.
    Halted,
    /// Cancels; day orders expire as it is closed.
    Closed,
}

/// `market create`.
#[derive(Debug, Clone, Args)]
pub struct CreateMarketArgs {
    /// Base and quote currency, such as BTC/USDT.
    pub name: String,
    /// Smallest step of a price, in quote currency.
    #[arg(long, allow_negative_numbers = true)]
    pub tick: String,
    /// Smallest step of a quantity, in base currency.
    #[arg(long, allow_negative_numbers = true)]
    pub lot: String,
    /// Smallest quantity of an order [default: one lot].
    #[arg(long, value_name = "QUANTITY", allow_negative_numbers = true)]
    pub min: Option<String>,
    /// Largest quantity of an order [default: the node's limit].
    #[arg(long, value_name = "QUANTITY", allow_negative_numbers = true)]
    pub max: Option<String>,
    /// Its rules.
    #[command(flatten)]
    pub rules: RulesArgs,
    /// Ids of the nodes that vote on it, with commas [default: the voters of the directory].
    #[arg(long, value_name = "NODE,..", value_delimiter = ',')]
    pub voters: Vec<String>,
    /// The request's name.
    #[command(flatten)]
    pub request: RequestArgs,
}

/// `market update`.
#[derive(Debug, Clone, Args)]
pub struct UpdateMarketArgs {
    /// The market, such as BTC/USDT.
    pub name: String,
    /// What changes.
    #[command(flatten)]
    pub rules: RulesArgs,
    /// What the static band is around until the next uncross.
    #[arg(long, value_name = "PRICE", allow_negative_numbers = true)]
    pub reference: Option<String>,
    /// It changes its state by itself no more.
    #[arg(long, conflicts_with = "sessions")]
    pub no_sessions: bool,
    /// The request's name.
    #[command(flatten)]
    pub request: RequestArgs,
}

/// Rules of a market that may change.
#[derive(Debug, Clone, Args)]
pub struct RulesArgs {
    /// What happens between orders of one account, if the one that comes in does not say; cancel-taker in a new market.
    #[arg(long, value_name = "WAY", value_enum)]
    pub self_trade: Option<DefaultSelfTradeArg>,
    /// How far from the best price a market order may trade, in hundredths of a percent; 0 for any price.
    #[arg(long, value_name = "BP")]
    pub protection_bp: Option<u32>,
    /// When a day ends, by which `day` orders expire: a time of day in UTC; 00:00 in a new market.
    #[arg(long, value_name = "HH:MM", value_parser = values::minute_of_day)]
    pub day_end: Option<u32>,
    /// What a fill costs the order that rested, in basis points; below zero for a rebate.
    #[arg(long, value_name = "BP", allow_negative_numbers = true)]
    pub maker_fee: Option<String>,
    /// What a fill costs the order that came in, in basis points.
    #[arg(long, value_name = "BP", allow_negative_numbers = true)]
    pub taker_fee: Option<String>,
    /// What a fill of an uncross costs either side, in basis points.
    #[arg(long, value_name = "BP", allow_negative_numbers = true)]
    pub auction_fee: Option<String>,
    /// What fees are rounded up to, in quote currency; 0.00000001 in a new market.
    #[arg(long, value_name = "AMOUNT", allow_negative_numbers = true)]
    pub fee_step: Option<String>,
    /// How far prices may be from the last uncross, in hundredths of a percent; 0 for anywhere.
    #[arg(long, value_name = "BP")]
    pub static_band: Option<u32>,
    /// How far trades may be from the last one before their request, in hundredths of a percent; 0 for anywhere.
    #[arg(long, value_name = "BP")]
    pub dynamic_band: Option<u32>,
    /// How long an auction lasts that begins as an order would trade outside a band: whole seconds, at most 1day; `off` for
    /// none.
    #[arg(long, value_name = "DURATION", value_parser = values::switch)]
    pub volatility_auction: Option<Duration>,
    /// How much longer an auction lasts that would end outside the static band: whole seconds, at most 1day; `off` for no
    /// longer.
    #[arg(long, value_name = "DURATION", value_parser = values::switch)]
    pub auction_extension: Option<Duration>,
    /// When the market changes its state by itself every day, in UTC: such as
    /// 08:50=auction,09:00=continuous,17:30=closed.
    #[arg(long, value_name = "HH:MM=STATE,..", value_delimiter = ',', value_parser = values::session_time)]
    pub sessions: Vec<(u32, MarketStateArg)>,
}

/// `lease`.
#[derive(Debug, Clone, Args)]
pub struct LeaseArgs {
    /// The market, or `directory`.
    pub market: Option<String>,
    /// What to do with it.
    #[command(subcommand)]
    pub command: Option<LeaseCommand>,
}

/// `lease ...`.
#[derive(Debug, Clone, Subcommand)]
pub enum LeaseCommand {
    /// Hand a lease to another voter.
    Transfer {
        /// The market, or `directory`.
        market: String,
        /// The voter's node id.
        #[arg(value_name = "NODE")]
        to: String,
    },
}

/// `upgrade`.
#[derive(Debug, Args, Clone)]
pub struct UpgradeArgs {
    /// The market, or `directory`.
    pub market: String,
    /// The format [default: the newest that all voters can read]
    #[arg(long, value_name = "FORMAT", value_parser = clap::value_parser!(u32).range(1..))]
    pub format: Option<u32>,
}

/// `voter ...`.
#[derive(Debug, Clone, Subcommand)]
pub enum VoterCommand {
    /// Make a node a voter.
    Add(AddVoterArgs),
    /// Make a voter an observer; also one that is gone for good.
    Remove(VoterArgs),
}

/// `voter add`.
#[derive(Debug, Clone, Args)]
pub struct AddVoterArgs {
    /// Which node, and of which documents.
    #[command(flatten)]
    pub voter: VoterArgs,
    /// Also a node that is down or behind. It counts in every majority from then on.
    #[arg(long)]
    pub force: bool,
}

/// `voter add` and `voter remove`.
#[derive(Debug, Clone, Args)]
pub struct VoterArgs {
    /// The node's id.
    #[arg(value_name = "NODE")]
    pub voter: String,
    /// Only of this market, or of `directory` [default: the directory and all markets].
    #[arg(long)]
    pub market: Option<String>,
    /// The request's name.
    #[command(flatten)]
    pub request: RequestArgs,
}

/// `verify`.
#[derive(Debug, Clone, Args)]
pub struct VerifyArgs {
    /// The market, such as BTC/USDT, or "directory".
    pub market: String,
}

/// `invite`.
#[derive(Debug, Clone, Args)]
pub struct InviteArgs {
    /// How many nodes it lets in.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub uses: u32,
    /// For how long.
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = values::token_life)]
    pub expires: Duration,
}

/// `remove-node`.
#[derive(Debug, Clone, Args)]
pub struct RemoveNodeArgs {
    /// The node's id.
    #[arg(value_name = "NODE")]
    pub gone: String,
    /// The request's name.
    #[command(flatten)]
    pub request: RequestArgs,
}
