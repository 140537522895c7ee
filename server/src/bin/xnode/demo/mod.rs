//! `xnode demo`: starts, plays an example through the API, shows it, and goes on serving.

mod json;
mod nodes;
mod play;
mod show;

use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};
use xbook::config::{LogConfig, LogFormat};

use crate::args::{DemoArgs, Format};
use crate::signals::Signals;
use nodes::{About, Nodes};
use play::Played;

/// Runs the demo until it is over or a signal ends it.
pub fn run(args: &DemoArgs) -> Result<()> {
    let log = LogConfig { format: LogFormat::Text, filter: args.log_filter.clone() };
    xbook::telemetry::start(&log).context("can't start logging")?;
    let runtime = tokio::runtime::Runtime::new().context("can't start the runtime")?;
    let ended = runtime.block_on(play(args));
    runtime.shutdown_background();
    ended
}

async fn play(args: &DemoArgs) -> Result<()> {
    let mut signals = Signals::listen().context("can't listen for signals")?;
    let mut nodes = tokio::select! {
        started = Nodes::start(args.nodes, args.port) => started?,
        // Nothing was promised yet.
        _ = signals.next() => return Ok(()),
    };
    let (about, directory) = (nodes.about().await?, nodes.directory());
    let ended = tokio::select! {
        error = nodes.failed() => Err(error),
        shown = show(&about, &directory, args) => shown,
        _ = signals.next() => return nodes.stop().await,
    };
    if args.once || ended.is_err() {
        return ended.and(nodes.stop().await);
    }
    tokio::select! {
        error = nodes.failed() => return Err(error),
        _ = signals.next() => {}
    }
    if args.output == Format::Table {
        print("\nEnding: the nodes stop and their data is removed.\n")?;
    }
    tokio::select! {
        stopped = nodes.stop() => stopped,
        signal = signals.next() => bail!("{signal} came again: ended at once"),
    }
}

/// Plays the example and prints what came of it.
async fn show(nodes: &[About], directory: &Path, args: &DemoArgs) -> Result<()> {
    if args.output == Format::Table {
        print(&show::welcome(nodes, directory))?;
    }
    nodes::make_voters(nodes).await.context("the nodes don't become voters")?;
    let played = Played::example(nodes).await.context("the example failed")?;
    match args.output {
        Format::Json => print(&format!("{}\n", json::object(nodes, &played)))?,
        Format::Table => print(&show::played(nodes, &played))?,
    }
    if args.output == Format::Table && !args.once {
        print(&show::what_next(nodes, directory))?;
    }
    Ok(())
}

fn print(text: &str) -> Result<()> {
    let mut out = io::stdout();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("can't write to stdout")
}
