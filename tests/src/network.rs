//! Hosts of one's own on this machine: network namespaces, joined by a bridge in one more.
//!
//! ```text
//!   namespace 0        hub             namespace 1
//!   10.77.0.1 ── veth ── bridge ── veth ── 10.77.0.2
//! ```
//!
//! Nothing of it touches the machine's own network. A link can be [cut](Network::cut), and one way
//! between two hosts [blocked](Network::block). A client gets to a host from within, over its
//! loopback, so what is done to the network is done to nodes only.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::net::TcpStream;

/// How names of namespaces begin; the process that made them follows.
const PREFIX: &str = "xbook-";

/// Some hosts. They are removed with this.
#[derive(Debug)]
pub struct Network {
    hub: Namespace,
    hosts: Vec<Namespace>,
}

/// One host of a network.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Host {
    namespace: String,
    address: Ipv4Addr,
}

/// A network namespace. It is removed with this, once no process is in it any more.
#[derive(Debug)]
struct Namespace(String);

impl Network {
    /// A network of up to 250 hosts; `None`, said loudly, where this machine does not allow one.
    ///
    /// # Errors
    /// It is allowed and fails.
    #[allow(clippy::print_stderr, reason = "a test that checks nothing says so")]
    pub fn new(hosts: u8) -> Result<Option<Self>> {
        if let Err(error) = allowed() {
            eprintln!("!!! SKIPPED: no network namespaces on this machine: {error:#}");
            return Ok(None);
        }
        ensure!(hosts <= 250, "too many hosts for one network: {hosts}");
        sweep()?;
        let hub = Namespace::new("hub")?;
        ip(["-n", &hub.0, "link", "add", "bridge", "type", "bridge"])?;
        ip(["-n", &hub.0, "link", "set", "bridge", "up"])?;
        let mut network = Self { hub, hosts: Vec::new() };
        for host in 0..hosts {
            network.add(host)?;
        }
        Ok(Some(network))
    }

    fn add(&mut self, number: u8) -> Result<()> {
        let host = Namespace::new(&number.to_string())?;
        let (hub, name, port) = (&self.hub.0, &host.0, port(number.into()));
        ip(["-n", name, "link", "set", "lo", "up"])?;
        ip(["-n", hub, "link", "add", &port, "type", "veth", "peer", "name", "eth0", "netns", name])?;
        ip(["-n", hub, "link", "set", &port, "master", "bridge", "up"])?;
        ip(["-n", name, "address", "add", &format!("{}/24", address(number)), "dev", "eth0"])?;
        ip(["-n", name, "link", "set", "eth0", "up"])?;
        self.hosts.push(host);
        Ok(())
    }

    /// All hosts.
    #[must_use]
    pub fn hosts(&self) -> Vec<Host> {
        let host = |(namespace, number): (&Namespace, u8)| Host {
            namespace: namespace.0.clone(),
            address: address(number),
        };
        self.hosts.iter().zip(0..).map(host).collect()
    }

    /// Cuts a host off from all others.
    ///
    /// # Errors
    /// `ip` refuses.
    pub fn cut(&self, host: usize) -> Result<()> {
        ip(["-n", &self.hub.0, "link", "set", &port(host), "down"])
    }

    /// Takes the cut back.
    ///
    /// # Errors
    /// `ip` refuses.
    pub fn mend(&self, host: usize) -> Result<()> {
        ip(["-n", &self.hub.0, "link", "set", &port(host), "up"])
    }

    /// Whatever one host sends to another is lost.
    ///
    /// # Errors
    /// `ip` refuses.
    pub fn block(&self, from: usize, to: usize) -> Result<()> {
        self.route("add", from, to)
    }

    /// Takes the block back.
    ///
    /// # Errors
    /// `ip` refuses.
    pub fn unblock(&self, from: usize, to: usize) -> Result<()> {
        self.route("delete", from, to)
    }

    fn route(&self, what: &str, from: usize, to: usize) -> Result<()> {
        let to = address(u8::try_from(to)?).to_string();
        ip(["-n", &self.hosts[from].0, "route", what, "blackhole", &to])
    }
}

impl Host {
    /// Its address in the network.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// A command that runs a program here.
    #[must_use]
    pub fn command(&self, program: &Path) -> tokio::process::Command {
        // It becomes the program, so signals reach that.
        let mut command = tokio::process::Command::new(program_ip());
        command.args(["netns", "exec", &self.namespace]).arg(program);
        command
    }

    /// A connection that begins here.
    ///
    /// # Errors
    /// Nobody answers.
    pub async fn connect(&self, to: SocketAddr) -> io::Result<TcpStream> {
        let path = Path::new("/run/netns").join(&self.namespace);
        // A socket belongs to the namespace that its thread is in when it is made; so this needs a
        // thread of its own.
        let connecting = move || -> io::Result<std::net::TcpStream> {
            let namespace = File::open(path)?;
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
            std::net::TcpStream::connect(to)
        };
        let connecting = || std::thread::spawn(connecting).join();
        let connected = tokio::task::spawn_blocking(connecting).await?;
        let stream = connected.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        TcpStream::from_std(stream)
    }
}

impl Namespace {
    fn new(name: &str) -> Result<Self> {
        let name = format!("{PREFIX}{}-{}-{name}", std::process::id(), unique());
        ip(["netns", "add", &name])?;
        Ok(Self(name))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Nobody is left to tell; the next network sweeps it away.
        let _ = ip(["netns", "delete", &self.0]);
    }
}

/// A number for each network and namespace of this process.
fn unique() -> u32 {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn address(host: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 0, host + 1)
}

/// The bridge's end of a host's link.
fn port(host: usize) -> String {
    format!("host{host}")
}

/// Whether a namespace can be made here, with a link in it.
fn allowed() -> Result<()> {
    let trial = Namespace::new("trial")?;
    ip(["-n", &trial.0, "link", "add", "bridge", "type", "bridge"])?;
    ip(["-n", &trial.0, "link", "add", "one", "type", "veth", "peer", "name", "other"])
}

/// Removes what processes left behind that were killed.
fn sweep() -> Result<()> {
    for entry in std::fs::read_dir("/run/netns")? {
        let name = entry?.file_name();
        let Some(name) = name.to_str() else { continue };
        let Some(rest) = name.strip_prefix(PREFIX) else { continue };
        let process = rest.split('-').next().unwrap_or_default();
        if !Path::new("/proc").join(process).exists() {
            ip(["netns", "delete", name])?;
        }
    }
    Ok(())
}

/// The program `ip`, which is not always on a user's path.
fn program_ip() -> &'static Path {
    let places = ["/usr/sbin/ip", "/sbin/ip", "/usr/bin/ip", "/bin/ip"].map(Path::new);
    places.into_iter().find(|place| place.exists()).unwrap_or(Path::new("ip"))
}

fn ip<const N: usize>(arguments: [&str; N]) -> Result<()> {
    let words = arguments.join(" ");
    let output = Command::new(program_ip()).args(arguments).output().context("can't run ip")?;
    if !output.status.success() {
        bail!("ip {words}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
