//! The command line, as types that can't be wrong.

mod cluster;
mod data;
mod lists;
mod local;
mod trading;
mod values;

use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use tonic::metadata::AsciiMetadataValue;

pub use cluster::{
    AddVoterArgs, CreateMarketArgs, InviteArgs, LeaseArgs, LeaseCommand, MarketCommand, MarketStateArg,
    RemoveNodeArgs, RulesArgs, UpdateMarketArgs, UpgradeArgs, VerifyArgs, VoterArgs, VoterCommand,
};
pub use data::{
    BookArgs, CandlesArgs, Interval, Moment, ReplayArgs, SubscribeArgs, TickerArgs, Topic, TradesArgs,
};
pub use lists::{FillsArgs, FilterArgs, OrderArgs, OrdersArgs, PositionsArgs, UpdatesArgs};
pub use local::{ManArgs, PlayArgs, ProfileArgs, ProfileCommand, ShellArg};
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

/// How a request that changes something is named.
#[derive(Debug, Clone, Args)]
pub struct RequestArgs {
    /// Name of the request; a repeat with the same name has no further effect and gets the first
    /// answer. Drawn at random if not given.
    #[arg(long, value_name = "ID")]
    pub request_id: Option<String>,
}

#[cfg(test)]
mod tests;
