//! A TCP proxy in front of a node, which makes its links slow, late, unreliable or silent.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep, sleep_until};

use crate::client::Random;

/// Most bytes that are passed on at once.
const CHUNK: usize = 4_096;

/// Most chunks that are under way in one direction of a connection.
const UNDER_WAY: usize = 256;

/// What connections through a proxy meet.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Weather {
    /// How long each byte is on its way.
    pub delay: Duration,
    /// Bytes a second in each direction; `None` for as many as there are.
    pub bytes_per_s: Option<u32>,
    /// One of so many chunks ends its connection; `None` for no such thing.
    pub reset_one_in: Option<u64>,
    /// Connections stay open, and nothing comes through.
    pub silent: bool,
}

/// A proxy. It ends with this, and so do the connections through it.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    target: watch::Sender<Option<SocketAddr>>,
    weather: watch::Sender<Weather>,
    task: AbortHandle,
}

impl Proxy {
    /// A proxy on a free port of the loopback; it leads nowhere yet. The seed chooses which
    /// connections are reset.
    ///
    /// # Errors
    /// The system has no socket to give.
    pub async fn start(seed: u64) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("no socket for a proxy")?;
        let address = listener.local_addr()?;
        let (target, weather) = (watch::Sender::new(None), watch::Sender::new(Weather::default()));
        let serving = serve(listener, target.subscribe(), weather.subscribe(), Random::new(seed));
        let task = tokio::spawn(serving).abort_handle();
        Ok(Self { address, target, weather, task })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// New connections lead here from now on.
    pub fn lead_to(&self, target: SocketAddr) {
        self.target.send_replace(Some(target));
    }

    /// From now on, this is what connections meet, old and new ones.
    pub fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    listener: TcpListener,
    target: watch::Receiver<Option<SocketAddr>>,
    weather: watch::Receiver<Weather>,
    mut random: Random,
) {
    let mut connections = JoinSet::new();
    // A socket that can't be accepted any more ends the proxy; its nodes will not find each other.
    while let Ok((near, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        let Some(target) = *target.borrow() else { continue };
        connections.spawn(pass(near, target, weather.clone(), random.fork()));
    }
}

/// Passes both directions on until one of them ends.
async fn pass(near: TcpStream, target: SocketAddr, weather: watch::Receiver<Weather>, mut random: Random) {
    let Ok(far) = TcpStream::connect(target).await else { return };
    // Without this it is only slower.
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
    tokio::select! {
        () = pump(near_read, far_write, weather.clone(), random.fork()) => {}
        () = pump(far_read, near_write, weather, random) => {}
    }
}

/// Passes one direction on until it ends or is reset.
async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut weather: watch::Receiver<Weather>,
    mut random: Random,
) {
    let (chunks, mut due) = mpsc::channel::<(Instant, Vec<u8>)>(UNDER_WAY);
    let reading = async move {
        let mut buffer = vec![0; CHUNK];
        loop {
            if weather.wait_for(|weather| !weather.silent).await.is_err() {
                return;
            }
            let now = *weather.borrow();
            let Ok(read @ 1..) = from.read(&mut buffer).await else { return };
            if now.reset_one_in.is_some_and(|one_in| random.below(one_in) == 0) {
                return;
            }
            if let Some(rate) = now.bytes_per_s {
                sleep(Duration::from_secs_f64(read as f64 / f64::from(rate))).await;
            }
            // The runtime's clock, not the system's: it only says for how long to wait.
            let arrival = Instant::now() + now.delay;
            if chunks.send((arrival, buffer[..read].to_vec())).await.is_err() {
                return;
            }
        }
    };
    let writing = async move {
        while let Some((arrival, chunk)) = due.recv().await {
            sleep_until(arrival).await;
            if to.write_all(&chunk).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = reading => {}
        () = writing => {}
    }
}
