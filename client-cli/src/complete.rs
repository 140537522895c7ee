//! What the shell is told when it completes a command line: markets and orders, asked of the node.

use std::ffi::OsStr;
use std::time::Duration;

use clap::{Command, CommandFactory};
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use xbook_proto::v1::{ListMarketsRequest, ListOrdersRequest};

use crate::args::{Cli, Global};
use crate::connect::Client;
use crate::hints::value_of;
use crate::show::words;
use crate::usage;

/// How long a node may take: somebody waits for the shell.
const PATIENCE: Duration = Duration::from_secs(1);

/// Most orders that are offered.
const MOST_ORDERS: u32 = 100;

/// The command line with what completes its markets and orders.
pub fn command() -> Command {
    completed(Cli::command())
}

fn completed(command: Command) -> Command {
    let command = command.mut_args(|arg| match arg.get_id().as_str() {
        "market" => arg.add(ArgValueCompleter::new(markets)),
        "order" | "replaced" => arg.add(ArgValueCompleter::new(orders)),
        _ => arg,
    });
    command.mut_subcommands(completed)
}

fn markets(typed: &OsStr) -> Vec<CompletionCandidate> {
    let found = ask(async |client| {
        let request = client.request(ListMarketsRequest {});
        let answer = client.market_data().list_markets(request).await.ok()?.into_inner();
        Some(answer.markets.into_iter().map(|market| (market.name, String::new())).collect())
    });
    offered(found, typed)
}

fn orders(typed: &OsStr) -> Vec<CompletionCandidate> {
    let words = typed_words();
    let Some(market) = words.iter().skip(1).find(|word| word.contains('/') && !word.contains(':')) else {
        return Vec::new();
    };
    let request = ListOrdersRequest { market: market.clone(), page_size: MOST_ORDERS, ..Default::default() };
    let found = ask(async |client| {
        let answer = client.trading().list_orders(client.request(request)).await.ok()?.into_inner();
        let told = |order: &xbook_proto::v1::Order| {
            format!("{} {} at {}", words::side(order.side), order.open_quantity, order.price)
        };
        Some(answer.orders.into_iter().map(|order| (order.order_id.clone(), told(&order))).collect())
    });
    offered(found, typed)
}

fn offered(found: Option<Vec<(String, String)>>, typed: &OsStr) -> Vec<CompletionCandidate> {
    let typed = typed.to_string_lossy();
    let begun = found.unwrap_or_default().into_iter().filter(|(value, _)| value.starts_with(&*typed));
    begun
        .map(|(value, help)| CompletionCandidate::new(value).help((!help.is_empty()).then(|| help.into())))
        .collect()
}

/// Asks the node that the command line names; nothing comes of any error.
fn ask<T>(question: impl AsyncFnOnce(&Client) -> Option<T>) -> Option<T> {
    let global = global(&typed_words())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    runtime.block_on(async {
        let asking = async {
            let client = Client::connect(&global).await.ok()?;
            question(&client).await
        };
        tokio::time::timeout(PATIENCE, asking).await.ok()?
    })
}

/// What the command line says so far of node and account.
fn global(words: &[String]) -> Option<Global> {
    let profile = crate::profile::of_command_line(words).ok()?;
    let mut line = vec!["xcli".to_owned(), "node".to_owned()];
    for option in ["--node", "--account"] {
        line.extend(
            value_of(words, option).into_iter().flat_map(|value| [option.to_owned(), value.to_owned()]),
        );
    }
    usage::parse_as(&line, &profile).ok().map(|cli| cli.global)
}

/// The words that the shell wants completed: it gives them behind `--`.
fn typed_words() -> Vec<String> {
    let args = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
    args.skip_while(|word| word != "--").skip(1).collect()
}
