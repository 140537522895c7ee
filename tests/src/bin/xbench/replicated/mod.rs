//! `xbench replicated`: workloads R, a cluster of real nodes on loopback that sync every change.
//!
//! An order counts when its outcome is committed, which takes a majority's disks, and the client was
//! told. Clients keep every answer; at the end all of them must hold, and all nodes must have the
//! same digest: that is what *verified* means. In the same run: what one sync and one bare call cost.

mod echo;
mod etcd;
mod floor;
mod load;
mod row;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use xbook_proto::v1::{GetNodeResponse, MarketRules, SelfTradePrevention};
use xbook_tests::client::{Crowd, Flow};
use xbook_tests::cluster::Cluster;
use xbook_tests::process::{Address, Usage};
use xbook_tests::replay::rest_in;

use crate::output::Format;
use etcd::Etcd;
use load::{Load, Measured, Span};
use row::{Printer, Row};

/// Arguments of `xbench replicated`.
#[derive(clap::Args)]
pub struct Args {
    /// How many nodes, each a voter.
    #[arg(long, default_values_t = [3, 1], value_delimiter = ',', value_parser = clap::value_parser!(u8).range(1..=7))]
    nodes: Vec<u8>,
    /// Seconds that each workload is measured.
    #[arg(long, default_value = "10", value_parser = clap::value_parser!(u16).range(1..=3600))]
    seconds: u16,
    /// 2 seconds each.
    #[arg(long, conflicts_with = "seconds")]
    quick: bool,
    /// Only workloads with one of these in their names and numbers of clients.
    #[arg(long, value_name = "TEXT", default_value = "", value_delimiter = ',')]
    only: Vec<String>,
    /// So many orders rest in each market before its workload begins.
    #[arg(long, default_value = "0", value_parser = clap::value_parser!(u32).range(..=500_000))]
    resting: u32,
    /// Path of etcd: three members of it get the same numbers of calls, each in turn with ours.
    #[arg(long, value_name = "PROGRAM")]
    beside: Option<PathBuf>,
    /// How results are printed.
    #[arg(long, value_enum, default_value = "table")]
    output: Format,
}

/// To which nodes clients are connected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    /// The lease holder.
    Holder,
    /// One other node.
    Other,
    /// All, in turn.
    Spread,
}

impl Place {
    fn name(self) -> &'static str {
        match self {
            Self::Holder => "holder",
            Self::Other => "other",
            Self::Spread => "spread",
        }
    }
}

/// One workload.
#[derive(Clone, Copy, Debug)]
struct Workload {
    load: Load,
    flow: Flow,
    place: Place,
}

impl Workload {
    fn name(&self) -> String {
        let flow = match self.flow {
            Flow::PASSIVE => "passive",
            Flow::CANCELLING => "cancels",
            _ => "mix",
        };
        format!("{} {flow} {}", self.load.name(), self.place.name())
    }
}

/// All workloads for a cluster of so many nodes.
fn workloads(nodes: u8) -> Vec<Workload> {
    use Place::{Holder, Other, Spread};
    let (calls, session, open) = (Load::Calls, Load::Session, |rate| Load::Open { rate });
    let mixed = |load, place| Workload { load, flow: Flow::MIXED, place };
    let passive = |load, place| Workload { load, flow: Flow::PASSIVE, place };
    let mut all: Vec<Workload> = [1, 16, 64, 256].map(|clients| mixed(calls(clients), Holder)).into();
    all.extend([64, 1_024, 4_096].map(|clients| mixed(session(clients), Holder)));
    let cancelling = |load| Workload { load, flow: Flow::CANCELLING, place: Holder };
    all.extend([cancelling(session(1_024)), cancelling(session(4_096))]);
    all.extend([passive(calls(64), Holder), passive(session(1_024), Holder)]);
    all.extend([500, 2_000].map(|rate| mixed(open(rate), Holder)));
    if nodes > 1 {
        all.extend([1, 64, 256].map(|clients| mixed(calls(clients), Other)));
        all.extend([mixed(session(1_024), Other), mixed(calls(64), Spread), mixed(session(1_024), Spread)]);
    }
    all
}

/// Runs the benchmark.
///
/// # Errors
/// A node fails, or a promise does not hold.
pub fn run(args: &Args) -> Result<()> {
    let seconds = Duration::from_secs(if args.quick { 2 } else { args.seconds.into() });
    let printer = Printer::new(args.output, seconds);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        for nodes in &args.nodes {
            measure(args, *nodes, seconds, &printer).await?;
        }
        Ok(())
    })
}

async fn measure(args: &Args, nodes: u8, seconds: Duration, printer: &Printer) -> Result<()> {
    let chosen = workloads(nodes);
    let is_chosen = |workload: &Workload| {
        let label = format!("{} {} ", workload.name(), workload.load.clients());
        args.only.iter().any(|only| label.contains(only))
    };
    let chosen: Vec<_> = chosen.into_iter().filter(is_chosen).collect();
    if chosen.is_empty() {
        return Ok(());
    }
    for row in floor::measure(seconds.min(Duration::from_secs(2))).await? {
        printer.row(&row);
    }
    let cluster = Cluster::start(nodes.into()).await?;
    let mut beside = match &args.beside {
        Some(program) if nodes > 1 => Some(Etcd::start(program).await?),
        _ => None,
    };
    for (number, workload) in chosen.into_iter().enumerate() {
        let market = format!("R{number}/USDT");
        let row = run_one(&cluster, &market, workload, args.resting, seconds).await;
        printer.row(&row.with_context(|| format!("{} on {nodes} nodes", workload.name()))?);
        if let (Some(etcd), Load::Calls(clients), Place::Holder) =
            (&mut beside, workload.load, workload.place)
        {
            printer.row(&etcd.measure(clients, span_of(seconds)).await?);
        }
    }
    Ok(())
}

fn span_of(seconds: Duration) -> Span {
    Span { warm_up: seconds / 4, measured: seconds }
}

/// Runs a workload on a market of its own, and checks every promise.
async fn run_one(
    cluster: &Cluster,
    market: &str,
    workload: Workload,
    resting: u32,
    seconds: Duration,
) -> Result<Row> {
    // Accounts trade with themselves here.
    let rules = MarketRules {
        tick_size: "1".into(),
        lot_size: "1".into(),
        default_self_trade_prevention: SelfTradePrevention::Allow.into(),
        ..MarketRules::default()
    };
    cluster.create_market(market, rules, &cluster.running().collect::<Vec<_>>()).await?;
    let holder = cluster.holder(market).await?;
    if resting > 0 {
        rest_in(cluster.connect(holder).await?, market, resting).await?;
    }
    let addresses: Vec<Address> = match workload.place {
        Place::Holder => vec![cluster.address(holder)],
        Place::Other => vec![cluster.address((holder + 1) % cluster.len())],
        Place::Spread => cluster.addresses(),
    };
    let span = span_of(seconds);
    let sampling = async {
        tokio::time::sleep(span.warm_up).await;
        let before = Sample::take(cluster, holder, market).await?;
        tokio::time::sleep(span.measured).await;
        anyhow::Ok((before, Sample::take(cluster, holder, market).await?))
    };
    let (loaded, samples) =
        tokio::join!(workload.load.run(market, &addresses, workload.flow, span), sampling);
    let (Measured { answered, refused, latencies, traders, sessions }, (before, after)) = (loaded?, samples?);
    ensure!(answered > 0, "nothing was answered");
    let clients = Crowd::of(market, traders, sessions);
    let clients = if resting > 0 { clients.beside_unnamed() } else { clients };
    cluster.agree(market).await?;
    // A node that did not hear the answers itself.
    let channel = cluster.connect((holder + cluster.len() - 1) % cluster.len()).await?;
    clients.holds_in(&clients.record(&channel).await?)?;
    Ok(Row::new(
        &workload.name(),
        cluster.len(),
        workload.load.clients(),
        answered,
        span.measured,
        &latencies,
    )
    .with_refused(refused, span.measured)
    .with_nodes(&before, &after, answered, span.measured))
}

/// How the nodes are at one moment.
struct Sample {
    holder: GetNodeResponse,
    usage: Vec<Usage>,
    /// The generation that the next two count in.
    generation: u64,
    batches: u64,
    document_bytes: u64,
}

impl Sample {
    async fn take(cluster: &Cluster, holder: usize, market: &str) -> Result<Self> {
        let usage = cluster.processes().into_iter().map(Usage::of).collect::<Result<_>>()?;
        let described = cluster.describe(holder).await?;
        let status = described.documents.iter().find(|status| status.name == market).context("no market")?;
        let (batches, document_bytes) = (status.committed_batches, status.bytes);
        Ok(Self { generation: status.generation, holder: described, usage, batches, document_bytes })
    }
}
