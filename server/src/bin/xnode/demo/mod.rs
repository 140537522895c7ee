//! `xnode demo`: starts, plays an example through the API, shows it, and goes on serving.

mod json;
mod play;
mod show;

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;
use xbook::config::{LogConfig, LogFormat};
use xbook::node::Start;
use xbook::types::NodeId;

use crate::args::{DemoArgs, Format};
use crate::service::Service;
use crate::signals::Signals;
use play::Played;

/// How long calls may take when the demo ends.
const GRACE: Duration = Duration::from_secs(2);

/// A running demo. The directory goes when this is dropped.
struct Demo {
    service: Service,
    directory: TempDir,
    about: About,
}

/// What a client needs to know of it.
struct About {
    url: String,
    node: NodeId,
    directory: PathBuf,
}

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
    let mut demo = Demo::start().await?;
    let ended = tokio::select! {
        error = demo.service.failed() => Err(error),
        shown = show(&demo.about, args) => shown,
        _ = signals.next() => return demo.stop().await,
    };
    if args.once || ended.is_err() {
        return ended.and(demo.stop().await);
    }
    tokio::select! {
        error = demo.service.failed() => return Err(error),
        _ = signals.next() => {}
    }
    if args.output == Format::Table {
        print("\nEnding: the node stops and its data is removed.\n")?;
    }
    tokio::select! {
        stopped = demo.stop() => stopped,
        signal = signals.next() => bail!("{signal} came again: ended at once"),
    }
}

impl Demo {
    async fn start() -> Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix("xbook-demo-")
            .tempdir()
            .context("can't make a temporary directory")?;
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let start = Start { data: directory.path().join("node"), bootstrap: true, ..Start::default() };
        let service = Service::start(any_port, start).await?;
        let about = About {
            url: format!("http://{}", service.address()),
            node: service.node_id(),
            directory: directory.path().to_owned(),
        };
        Ok(Self { service, directory, about })
    }

    async fn stop(self) -> Result<()> {
        let Self { service, directory, .. } = self;
        service.stop(GRACE).await?;
        directory.close().context("can't remove the temporary directory")
    }
}

/// Plays the example and prints what came of it.
async fn show(about: &About, args: &DemoArgs) -> Result<()> {
    if args.output == Format::Table {
        print(&show::welcome(about))?;
    }
    let played = Played::example(&about.url).await.context("the example failed")?;
    match args.output {
        Format::Json => print(&format!("{}\n", json::object(about, &played)))?,
        Format::Table => print(&show::played(&played))?,
    }
    if args.output == Format::Table && !args.once {
        print(&show::what_next(&about.url))?;
    }
    Ok(())
}

fn print(text: &str) -> Result<()> {
    let mut out = io::stdout();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("can't write to stdout")
}
