//! The command line, as types that can't be wrong.

mod data;
mod trading;
mod values;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use tonic::metadata::AsciiMetadataValue;

pub use data::{
    BookArgs, CandlesArgs, Interval, Moment, ReplayArgs, SubscribeArgs, TickerArgs, Topic, TradesArgs,
};
pub use trading::{
    AmendArgs, CancelAllAfterArgs, CancelAllArgs, CancelArgs, DefaultSelfTradeArg, KillArgs, LimitsArgs,
    NamedArgs, PlaceArgs, ReplaceArgs, SelfTradeArg, SideArg, Tif,
};
pub use values::{Expiry, NodeUrl, Past, Price, ProfileName};

const AFTER_HELP: &str = "\
Exit codes:
  0  done (an IOC or market order is done even if nothing was filled)
  1  refused by the market's rules: the order is REJECTED or EXPIRED, or can't be changed now;
     or a voter that is down or behind, without --force
  2  wrong usage
  3  invalid request, or no such market or order
  4  node not reachable, or too busy
  5  outcome unknown: repeat the command with the same --request-id to learn it
  6  internal error; or `verify` found something wrong
  7  `verify` found nothing wrong, but could not verify all

Examples:
  xcli market create BTC/USDT --tick 0.01 --lot 0.001
  xcli buy 100 BTC/USDT 10
  xcli sell 50 BTC/USDT mkt
  xcli book BTC/USDT --watch
  xcli orders BTC/USDT --output json";

/// Trades on an xbook exchange and shows its markets.
#[derive(Debug, Clone, Parser)]
#[command(name = "xcli", version, after_help = AFTER_HELP, max_term_width = 100)]
pub struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Connection and output")]
pub struct Global {
    /// The node to talk to; a host is enough if its port is 7001. Of several, separated by commas, the next
    /// is asked where one does not answer.
    #[arg(
        long,
        global = true,
        value_name = "URL,...",
        value_delimiter = ',',
        env = "XBOOK_NODE",
        default_value = "http://127.0.0.1:7001"
    )]
    pub node: Vec<NodeUrl>,
    /// Other defaults, by name; see `xcli profile`.
    #[arg(long, global = true, value_name = "NAME", env = "XBOOK_PROFILE")]
    pub profile: Option<String>,
    /// The account to trade for.
    #[arg(long, global = true, value_name = "NAME", env = "XBOOK_ACCOUNT", default_value = "main")]
    pub account: AsciiMetadataValue,
    /// How long to wait for an answer.
    #[arg(long, global = true, value_name = "DURATION", default_value = "10s", value_parser = values::timeout)]
    pub timeout: Duration,
    /// For how long a node is asked again that has just started and waits for the others; 0s for not
    /// at all.
    #[arg(long, global = true, value_name = "DURATION", default_value = "10s", value_parser = values::patience)]
    pub patience: Duration,
    /// Tables for people, or JSON for programs: the API's messages, one a line.
    #[arg(long, short, global = true, value_enum, default_value_t = Format::Table)]
    pub output: Format,
}

/// For whom the output is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// The verbs.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Place an order to buy.
    Buy(PlaceArgs),
    /// Place an order to sell.
    Sell(PlaceArgs),
    /// Change the price or the size of a resting order.
    Amend(AmendArgs),
    /// Put a new order in place of one of yours, in one step.
    Replace(ReplaceArgs),
    /// Cancel a resting order.
    Cancel(CancelArgs),
    /// Cancel all your resting orders, in a market or in all.
    CancelAll(CancelAllArgs),
    /// Have all your orders cancelled unless you say so again in time, in a market or in all.
    CancelAllAfter(CancelAllAfterArgs),
    /// Cancel all your orders and place no other until that is lifted, in a market or in all.
    Kill(KillArgs),
    /// Show the limits of your orders in a market, or set all of them.
    Limits(LimitsArgs),
    /// Show one of your orders, open or closed.
    Order(OrderArgs),
    /// List your orders, in a market or in all.
    Orders(OrdersArgs),
    /// List your fills, in a market or in all, newest first.
    Fills(FillsArgs),
    /// Show what you have bought and sold, by market.
    Positions(PositionsArgs),
    /// Show a market's order book.
    Book(BookArgs),
    /// Show a market's past: its book again and again, as it was.
    Replay(ReplayArgs),
    /// List a market's trades, newest first.
    Trades(TradesArgs),
    /// Show a market's best bid and offer, and its last 24 hours.
    Ticker(TickerArgs),
    /// List a market's candles, oldest first.
    Candles(CandlesArgs),
    /// Follow books, trades, tickers and candles of many markets on one stream.
    Subscribe(SubscribeArgs),
    /// Create, list and show markets.
    #[command(subcommand)]
    Market(MarketCommand),
    /// Follow every change of your orders in a market.
    Updates(UpdatesArgs),
    /// Show the node: its identity, its version, and the state of its documents.
    Node,
    /// List the nodes of the cluster.
    Nodes,
    /// Show who may match: of all markets and the directory, or of one of them.
    #[command(args_conflicts_with_subcommands = true)]
    Lease(LeaseArgs),
    /// Make nodes voters, or observers again.
    #[command(subcommand)]
    Voter(VoterCommand),
    /// Have a document go on in a newer format, once all its voters run a program that can read it.
    ///
    /// Replace the programs first, one node after the other; `xcli node` shows what formats each reads. It can't
    /// be taken back: a node with an older program then serves nothing of the document.
    Upgrade(UpgradeArgs),
    /// Verify a market: compare the digests of all nodes, match its tape again, add up its fills.
    ///
    /// Exits with 0 if all was verified and nothing is wrong, with 6 if something is wrong, and with 7 if
    /// nothing was found wrong but not all could be verified: a node was not reached or compared, or
    /// nothing could be matched again. In JSON `verdict` tells which, `findings` what is wrong and
    /// `unverified` what was left out and why. The tape is matched again as far back as the node keeps it:
    /// the current generation and up to two before.
    Verify(VerifyArgs),
    /// Make a token that lets new nodes join the cluster.
    Invite(InviteArgs),
    /// Have the cluster forget a node that is gone for good and votes on nothing.
    RemoveNode(RemoveNodeArgs),
    /// Play a playbook: commands, and what each is expected to bring.
    ///
    /// A line is a command of xcli, with `ACCOUNT:`, `ACCOUNT@N:` (through the N-th of --node) or `within 5s` (asked
    /// again until all is as expected) before it; `wait 7s`; or `let NAME = VALUE`. Further in, below a command, stands
    /// what its answer in JSON has: `expect PATH is VALUE...`, `expect PATH count N`, `expect PATH absent`, `expect exit
    /// CODE` (0 if nothing is said), and `let NAME = PATH`. $NAME is a variable; $run is another one each time. The
    /// first step that is not as expected ends it, with exit code 1.
    Play(PlayArgs),
    /// Keep what --node, --account and the like are when nobody says so, by name.
    Profile(ProfileArgs),
    /// Print what completes commands, markets and order ids in a shell, to be stored where that shell looks.
    Completions {
        /// The shell.
        #[arg(value_enum)]
        shell: ShellArg,
    },
    /// Write the manual's pages, one for each command.
    Man(ManArgs),
}

/// `play`.
#[derive(Debug, Clone, Args)]
pub struct PlayArgs {
    /// The playbook.
    pub file: PathBuf,
    /// Set a variable of it; may be repeated.
    #[arg(long, value_name = "NAME=VALUE", value_parser = values::variable)]
    pub set: Vec<(String, String)>,
}

/// `profile`.
#[derive(Debug, Clone, Args)]
pub struct ProfileArgs {
    /// What to do with them.
    #[command(subcommand)]
    pub command: ProfileCommand,
}

/// `profile ...`.
#[derive(Debug, Clone, Subcommand)]
pub enum ProfileCommand {
    /// Keep the --node, --account, --timeout and --output of this command line.
    Save {
        /// The profile's name.
        name: ProfileName,
        /// It holds from now on where none is named.
        #[arg(long)]
        default: bool,
    },
    /// Have a profile hold where none is named.
    Use {
        /// The profile's name, or `none`.
        name: ProfileName,
    },
    /// Forget a profile.
    Remove {
        /// The profile's name.
        name: ProfileName,
    },
    /// List the profiles.
    List,
}

/// `man`.
#[derive(Debug, Clone, Args)]
pub struct ManArgs {
    /// The folder, such as ~/.local/share/man/man1; it is made if it is not there.
    pub folder: PathBuf,
}

/// A shell that is helped to complete commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ShellArg {
    /// Bash.
    Bash,
    /// Elvish.
    Elvish,
    /// Fish.
    Fish,
    /// PowerShell.
    Powershell,
    /// Zsh.
    Zsh,
}

/// How a request that changes something is named.
#[derive(Debug, Clone, Args)]
pub struct RequestArgs {
    /// Name of the request; a repeat with the same name has no further effect and gets the first
    /// answer. Drawn at random if not given.
    #[arg(long, value_name = "ID")]
    pub request_id: Option<String>,
}

/// `order`.
#[derive(Debug, Clone, Args)]
pub struct OrderArgs {
    /// The market.
    pub market: String,
    /// Which order.
    #[command(flatten)]
    pub named: NamedArgs,
}

/// `orders`.
#[derive(Debug, Clone, Args)]
pub struct OrdersArgs {
    /// The market [default: all].
    pub market: Option<String>,
    /// Closed orders too, newest first after the open ones.
    #[arg(long)]
    pub all: bool,
    /// Which of them.
    #[command(flatten)]
    pub filter: FilterArgs,
    /// At most so many.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
}

/// What lists leave out.
#[derive(Debug, Clone, Args)]
pub struct FilterArgs {
    /// Only this side.
    #[arg(long, value_enum)]
    pub side: Option<SideArg>,
    /// Only what happened from then on: a time such as 2030-01-31T12:00:00Z, or a duration before now such as
    /// 10m.
    #[arg(long, value_name = "WHEN")]
    pub from: Option<Past>,
    /// Only what happened before then.
    #[arg(long, value_name = "WHEN")]
    pub to: Option<Past>,
}

/// `positions`.
#[derive(Debug, Clone, Args)]
pub struct PositionsArgs {
    /// The market [default: all].
    pub market: Option<String>,
}

/// `fills`.
#[derive(Debug, Clone, Args)]
pub struct FillsArgs {
    /// The market [default: all].
    pub market: Option<String>,
    /// Only the fills of this order.
    #[arg(long, value_name = "ID", requires = "market")]
    pub order: Option<String>,
    /// Which of them.
    #[command(flatten)]
    pub filter: FilterArgs,
    /// At most so many.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
}

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

/// `updates`.
#[derive(Debug, Clone, Args)]
pub struct UpdatesArgs {
    /// The market.
    pub market: String,
    /// Begin after this position, without gap or repeat; else from now on.
    #[arg(long, value_name = "POSITION")]
    pub after: Option<u64>,
}

#[cfg(test)]
mod tests;
