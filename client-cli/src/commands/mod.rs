//! One module for each group of verbs. A command connects, makes its call and shows the answer.

mod candidate;
mod cluster;
mod lists;
mod local;
mod market_data;
mod protect;
mod trading;

use std::pin::pin;
use std::time::{Duration, SystemTime};

use crate::args::{Cli, Command, LeaseArgs, LeaseCommand, MarketCommand, RequestArgs, VoterCommand};
use crate::clock;
use crate::connect::Client;
use crate::failure::{Exit, Failure, Repeat};
use crate::output::Output;
use crate::show::steps::Steps;
use crate::{play, profile, repeat, watch};

use trading::Direction;

/// What a command works with.
struct Context<'a, 'out> {
    client: &'a Client,
    timeout: Duration,
    typed: &'a Typed<'a>,
    output: &'a mut Output<'out>,
}

/// A command as it was typed. However often it is tried, it is one request.
struct Typed<'a> {
    /// The command line, to be printed where a request should be repeated.
    args: &'a [String],
    /// When that was.
    at: SystemTime,
    /// The request's id if none was given.
    request_id: String,
}

/// How often a node is asked again that has just started.
const ASK_AGAIN: Duration = Duration::from_millis(250);

/// Runs the command and shows its answer. A node that has just started and waits for the others took
/// nothing: it is asked again, for as long as the command line says. Where one is gone, or can't serve, the
/// next of those that were named is asked, for the same request: whoever has it already answers for it.
pub async fn run(cli: Cli, args: &[String], output: &mut Output<'_>) -> Result<Exit, Failure> {
    match cli.command {
        Command::Completions { shell } => return local::completions(shell, output),
        Command::Man(args) => return local::man(&args, output),
        Command::Profile(what) => return profile::run(what, args, output),
        Command::Play(what) => return play::play(&cli.global, what, output).await,
        _ => {}
    }
    let patience = cli.global.patience;
    let mut over = pin!(tokio::time::sleep(patience));
    let mut told = false;
    let typed = Typed { args, at: clock::now(), request_id: clock::draw_request_id()? };
    let client = Client::connect(&cli.global).await?;
    let mut others = client.others();
    loop {
        let end = try_once(cli.clone(), &client, &typed, output).await;
        let patient = !patience.is_zero() && !over.is_elapsed();
        let failure = match end {
            Err(failure) if !output.has_printed() => failure,
            end => return end,
        };
        if failure.is_elsewhere() && others > 0 && client.fail_over().await.is_ok() {
            others -= 1;
            output.note(&format!("{}; {} is asked now", failure.message(), client.node()))?;
            continue;
        }
        if !failure.is_starting() || !patient {
            return Err(failure);
        }
        if !std::mem::replace(&mut told, true) {
            let patience = humantime::format_duration(patience);
            output.note(&format!("{}; it is asked again for up to {patience}", failure.message()))?;
        }
        tokio::select! {
            () = tokio::time::sleep(ASK_AGAIN) => {}
            () = &mut over => {}
        }
    }
}

async fn try_once(
    cli: Cli,
    client: &Client,
    typed: &Typed<'_>,
    output: &mut Output<'_>,
) -> Result<Exit, Failure> {
    let context = Context { client, timeout: cli.global.timeout, typed, output };
    match cli.command {
        Command::Buy(args) => trading::place(context, Direction::Buy, args).await,
        Command::Sell(args) => trading::place(context, Direction::Sell, args).await,
        Command::Amend(args) => trading::amend(context, args).await,
        Command::Replace(args) => trading::replace(context, args).await,
        Command::Cancel(args) => trading::cancel(context, args).await,
        Command::CancelAll(args) => trading::cancel_all(context, args).await,
        Command::CancelAllAfter(args) => protect::cancel_all_after(context, args).await,
        Command::Kill(args) => protect::kill(context, args).await,
        Command::Limits(args) => protect::limits(context, args).await,
        Command::Order(args) => lists::order(context, args).await,
        Command::Orders(args) => lists::orders(context, args).await,
        Command::Fills(args) => lists::fills(context, args).await,
        Command::Positions(args) => lists::positions(context, args).await,
        Command::Updates(args) => watch::updates(context.client, args, context.output).await,
        Command::Book(args) if args.watch => watch::book(context.client, args, context.output).await,
        Command::Book(args) => market_data::book(context, args).await,
        Command::Replay(args) => market_data::replay(context, args).await,
        Command::Trades(args) => market_data::trades(context, args).await,
        Command::Ticker(args) => market_data::ticker(context, args).await,
        Command::Candles(args) => market_data::candles(context, args).await,
        Command::Subscribe(args) => watch::subscribe(context.client, args, context.output).await,
        Command::Market(MarketCommand::Create(args)) => cluster::create_market(context, *args).await,
        Command::Market(MarketCommand::Update(args)) => cluster::update_market(context, *args).await,
        Command::Market(MarketCommand::List) => market_data::markets(context).await,
        Command::Market(MarketCommand::Show { name }) => market_data::market(context, name).await,
        Command::Market(MarketCommand::State { name, state, request }) => {
            cluster::set_market_state(context, name, Some(state), request).await
        }
        Command::Market(MarketCommand::Delist { name, request }) => {
            cluster::set_market_state(context, name, None, request).await
        }
        Command::Node => cluster::node(context).await,
        Command::Nodes => cluster::nodes(context).await,
        Command::Verify(args) => cluster::verify(context, args).await,
        Command::Lease(LeaseArgs { command: Some(LeaseCommand::Transfer { market, to }), .. }) => {
            cluster::transfer_lease(context, market, to).await
        }
        Command::Lease(LeaseArgs { market, command: None }) => cluster::lease(context, market).await,
        Command::Upgrade(args) => cluster::upgrade(context, args).await,
        Command::Voter(VoterCommand::Add(args)) => cluster::add_voter(context, args).await,
        Command::Voter(VoterCommand::Remove(args)) => cluster::remove_voter(context, args).await,
        Command::Invite(args) => cluster::invite(context, args).await,
        Command::RemoveNode(args) => cluster::remove_node(context, args).await,
        // They need no node, or more than one.
        Command::Completions { .. } | Command::Man(_) | Command::Profile(_) | Command::Play(_) => {
            Ok(Exit::Done)
        }
    }
}

impl Context<'_, '_> {
    /// A market's grid, for people: programs get the numbers as the node sends them.
    async fn steps(&self, market: &str) -> Steps {
        if self.output.is_json() { Steps::default() } else { self.client.steps(market).await }
    }

    /// The request's id, a drawn one if none was given, and how to repeat the request. `expires` is the
    /// time that a relative expiry came to.
    fn repeat(&self, request: RequestArgs, expires: Option<&str>) -> Repeat {
        let request_id = request.request_id.unwrap_or_else(|| self.typed.request_id.clone());
        let command = repeat::command(self.typed.args, &request_id, expires);
        Repeat { request_id, command }
    }
}
