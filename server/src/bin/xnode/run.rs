//! `xnode run`.

use std::io::{self, Write};

use anyhow::{Context, Result, bail};
use xbook::config::{Config, LogFormat};
use xbook::format::Formats;
use xbook::node::Start;

use crate::args::RunArgs;
use crate::service::{Listen, Service};
use crate::signals::Signals;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Runs a node until a signal or a failure ends it.
pub fn run(args: RunArgs) -> Result<()> {
    let config = Config::load(args.settings, args.config.as_deref())?;
    xbook::telemetry::start(&config.log).context("can't start logging")?;
    let runtime = config.threads.runtime().context("can't start the runtime")?;
    let ended = runtime.block_on(serve(&config, args.trust_directory));
    // What still runs has been cut off; it shall not be waited for.
    runtime.shutdown_background();
    ended
}

async fn serve(config: &Config, trust_directory: bool) -> Result<()> {
    let mut signals = Signals::listen().context("can't listen for signals")?;
    // On a thread of its own: loading a large directory shall not keep signals waiting.
    let start = Start {
        clock: None,
        data: config.data.path().to_owned(),
        bootstrap: config.bootstrap,
        join: config.join.iter().map(|address| address.text().to_owned()).collect(),
        advertise: config.advertise.as_ref().map(|address| address.text().to_owned()),
        peer_advertise: config.peer_advertise.as_ref().map(|address| address.text().to_owned()),
        join_token: config.join_token,
        document_bytes: Some(config.document_size.bytes()),
        trust_directory,
        formats: Formats::KNOWN,
    };
    let listen = Listen { clients: config.listen, peers: config.peer_listen };
    let runtime = tokio::runtime::Handle::current();
    let starting = tokio::task::spawn_blocking(move || runtime.block_on(Service::start(listen, start)));
    let mut service = tokio::select! {
        started = starting => started.context("the start ended unexpectedly")?.inspect_err(|error| {
            tracing::error!(error = format!("{error:#}"), "ending: the node can't start");
        })?,
        // Nothing was promised yet.
        _ = signals.next() => return Ok(()),
    };
    announce(config, &service);
    let signal = tokio::select! {
        error = service.failed() => {
            tracing::error!(error = format!("{error:#}"), "ending: the node failed");
            return Err(error);
        }
        signal = signals.next() => signal,
    };
    tracing::info!(%signal, "ending: no new calls, those that were taken are finished");
    let stopped = tokio::select! {
        stopped = service.stop(config.shutdown_grace.duration()) => stopped,
        signal = signals.next() => bail!("{signal} came again: ended at once, before everything was written"),
    };
    let written = stopped?;
    tracing::info!(changes = written.changes, syncs = written.syncs, "ended: everything is written");
    Ok(())
}

/// Says where the node serves, whatever is logged.
fn announce(config: &Config, service: &Service) {
    let (node, address, peers) = (service.node_id(), service.address(), service.peer_address());
    let line = match config.log.format {
        LogFormat::Text => {
            format!(
                "xnode {VERSION}: node {node} serves on http://{address} and other nodes on {peers}, data in {}",
                config.data
            )
        }
        LogFormat::Json => serde_json::json!({
            "version": VERSION,
            "node_id": node.to_string(),
            "listen": address.to_string(),
            "peer_listen": peers.to_string(),
            "data": config.data.path(),
        })
        .to_string(),
    };
    // It serves also if nobody reads this.
    let _ = writeln!(io::stdout(), "{line}");
    tracing::info!(%node, %address, %peers, data = %config.data, version = VERSION, "serving");
}
