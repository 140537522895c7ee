//! The same clients beside us: puts into a cluster of etcd, which also answers when a majority has synced.
//!
//! The two calls that this takes are written out here; its API is larger.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use hdrhistogram::Histogram;
use tempfile::TempDir;
use tonic::Request;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic_prost::ProstCodec;
use xbook_tests::clock::Stopwatch;

use super::load::Span;
use super::row::Row;

const MEMBERS: usize = 3;

/// Connections over which the clients are spread, as its own benchmark does.
const CONNECTIONS: usize = 8;

/// Bytes of a value: about what an order and its answer take.
const VALUE_BYTES: usize = 256;

/// How often it is asked whether it serves, every 100 ms.
const ATTEMPTS: u32 = 300;

const PUT: &str = "/etcdserverpb.KV/Put";
const RANGE: &str = "/etcdserverpb.KV/Range";

#[derive(Clone, PartialEq, prost::Message)]
struct Put {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PutDone {}

/// Keys from one up to another, counted only.
#[derive(Clone, PartialEq, prost::Message)]
struct Range {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    end: Vec<u8>,
    #[prost(bool, tag = "9")]
    count_only: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Counted {
    #[prost(int64, tag = "4")]
    count: i64,
}

/// Three members on loopback, each with a directory of its own.
pub struct Etcd {
    members: Vec<Child>,
    channels: Vec<Channel>,
    /// Chooses keys that no earlier workload has.
    workloads: u32,
    _directory: TempDir,
}

impl Drop for Etcd {
    fn drop(&mut self) {
        for member in &mut self.members {
            // One that has ended by itself is as good.
            let _ = member.kill();
            let _ = member.wait();
        }
    }
}

impl Etcd {
    /// Starts the members with this program, and waits until they serve.
    ///
    /// # Errors
    /// It can't be run, or does not serve.
    pub async fn start(program: &Path) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("xbook-bench-").tempdir()?;
        // Bound all at once, so that they differ.
        let sockets = (0..2 * MEMBERS).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
        let sockets: Vec<TcpListener> = sockets.collect::<std::io::Result<_>>()?;
        let urls = sockets.iter().map(|socket| Ok(format!("http://{}", socket.local_addr()?)));
        let urls: Vec<String> = urls.collect::<std::io::Result<_>>()?;
        drop(sockets);
        let (clients, peers) = urls.split_at(MEMBERS);
        let cluster: Vec<String> =
            peers.iter().enumerate().map(|(at, peer)| format!("m{at}={peer}")).collect();
        let member = |at: usize| {
            let log = std::fs::File::create(directory.path().join(format!("m{at}.log")))?;
            let (client, peer) = (&clients[at], &peers[at]);
            Command::new(program)
                .args(["--name", &format!("m{at}"), "--initial-cluster", &cluster.join(",")])
                .args(["--listen-client-urls", client, "--advertise-client-urls", client])
                .args(["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer])
                .arg("--data-dir")
                .arg(directory.path().join(format!("m{at}")))
                .stdout(Stdio::null())
                .stderr(log)
                .spawn()
                .with_context(|| format!("can't run {}", program.display()))
        };
        let members = (0..MEMBERS).map(member).collect::<Result<_>>()?;
        let channel = |at: usize| {
            let endpoint = Endpoint::from_shared(clients[at % MEMBERS].clone());
            anyhow::Ok(endpoint?.tcp_nodelay(true).connect_lazy())
        };
        let channels = (0..CONNECTIONS).map(channel).collect::<Result<_>>()?;
        let etcd = Self { members, channels, workloads: 0, _directory: directory };
        etcd.serves().await.map(|()| etcd)
    }

    async fn serves(&self) -> Result<()> {
        for channel in &self.channels {
            let mut attempts = 0;
            while let Err(error) = count(channel, "0").await {
                attempts += 1;
                ensure!(attempts < ATTEMPTS, "etcd does not serve: {error:#}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        Ok(())
    }

    /// So many clients with one put at a time, spread over the members. What was answered must be there.
    ///
    /// # Errors
    /// A put fails, or is not there.
    pub async fn measure(&mut self, clients: u32, span: Span) -> Result<Row> {
        self.workloads += 1;
        let workload = self.workloads.to_string();
        let (watch, end) = (Stopwatch::start(), span.warm_up + span.measured);
        let puts = async |at: usize| {
            let mut latencies = Histogram::<u64>::new(3)?;
            let (channel, mut sent) = (&self.channels[at % CONNECTIONS], 0_u32);
            loop {
                let begun = watch.elapsed();
                if begun >= end {
                    return anyhow::Ok((latencies, sent));
                }
                let key = format!("{workload}/{at}/{sent}").into_bytes();
                call::<_, PutDone>(channel, PUT, Put { key, value: vec![b'x'; VALUE_BYTES] }).await?;
                sent += 1;
                if begun >= span.warm_up {
                    let took = watch.elapsed().saturating_sub(begun);
                    latencies.record(u64::try_from(took.as_nanos())?)?;
                }
            }
        };
        let mut latencies = Histogram::<u64>::new(3)?;
        let mut sent = 0;
        for (of_one, puts) in try_join_all((0..clients as usize).map(puts)).await? {
            latencies.add(of_one)?;
            sent += i64::from(puts);
        }
        let found = count(&self.channels[1], &workload).await?;
        ensure!(found == sent, "etcd answered {sent} puts and has {found}");
        Ok(Row::new("etcd: put 256 B", MEMBERS, clients, latencies.len(), span.measured, &latencies))
    }
}

/// How many keys a workload has.
async fn count(channel: &Channel, workload: &str) -> Result<i64> {
    let [key, end] = ["/", "0"].map(|next| format!("{workload}{next}").into_bytes());
    Ok(call::<_, Counted>(channel, RANGE, Range { key, end, count_only: true }).await?.count)
}

async fn call<Q, A>(channel: &Channel, path: &'static str, request: Q) -> Result<A>
where
    Q: prost::Message + 'static,
    A: prost::Message + Default + 'static,
{
    let mut client = Grpc::new(channel.clone());
    client.ready().await?;
    let path = PathAndQuery::from_static(path);
    let codec = ProstCodec::<Q, A>::default();
    Ok(client.unary(Request::new(request), path, codec).await?.into_inner())
}
