//! Real `xnode` processes: built, started on free ports, watched, signalled, killed.
//!
//! A [`Home`] is one node's place: its data directory, its address and its log. [`Xnode::start`]
//! runs the binary there and returns once the node's health is good; a node that was killed starts
//! again in the same home, on the same address, so clients find it where it was.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use hyper_util::rt::TokioIo;
pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process};
use serde::Deserialize;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::network::Host;

/// How long a node may take to start or to end, on a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(60);

/// Lets all nodes join: the first one is started with it too.
pub const JOIN_TOKEN: &str = "5eed5eed5eed5eed5eed5eed5eed5eed";

/// The port on a host of its own.
const HOST_PORT: u16 = 7001;

/// One node's place. It is removed with this.
pub struct Home {
    directory: TempDir,
    listen: SocketAddr,
    peer_listen: SocketAddr,
    host: Option<Host>,
    join: Vec<String>,
    peer_advertise: Option<SocketAddr>,
    document_size: Option<String>,
    trusted: bool,
}

/// Where a node serves, and how to get there.
#[derive(Clone, Debug)]
pub struct Address {
    socket: SocketAddr,
    host: Option<Host>,
}

/// A running node. It is killed with this.
pub struct Xnode {
    child: Child,
    announced: Announced,
    address: Address,
}

/// What a node prints when it serves.
#[derive(Clone, Debug, Deserialize)]
struct Announced {
    node_id: String,
    listen: SocketAddr,
    peer_listen: SocketAddr,
}

/// How a process ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Exit {
    /// The exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// What it printed to stderr, from its start in this home on.
    pub log: String,
}

impl Home {
    /// A new home, empty, on a port that is chosen at the first start.
    ///
    /// # Errors
    /// There is no temporary directory.
    pub fn new() -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("xbook-test-").tempdir()?;
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Ok(Self {
            directory,
            listen,
            peer_listen: listen,
            host: None,
            join: Vec::new(),
            peer_advertise: None,
            document_size: None,
            trusted: false,
        })
    }

    /// A new home on a host of a network of one's own.
    ///
    /// # Errors
    /// There is no temporary directory.
    pub fn on(host: Host) -> Result<Self> {
        let listen = SocketAddr::from((host.address(), HOST_PORT));
        let peer_listen = SocketAddr::from((host.address(), HOST_PORT + 100));
        Ok(Self { listen, peer_listen, host: Some(host), ..Self::new()? })
    }

    /// A new home whose node joins the cluster of another one.
    ///
    /// # Errors
    /// There is no temporary directory.
    pub fn joining(node: &Xnode) -> Result<Self> {
        let mut home = Self::new()?;
        home.join(node.announced.peer_listen);
        Ok(home)
    }

    /// Nodes here seal documents of this size, such as `4MiB`.
    #[must_use]
    pub fn with_document_size(self, size: &str) -> Self {
        Self { document_size: Some(size.to_owned()), ..self }
    }

    /// Nodes here tell other nodes to reach them at this address.
    #[must_use]
    pub fn advertising(self, address: SocketAddr) -> Self {
        Self { peer_advertise: Some(address), ..self }
    }

    /// From the next start on, the node dials this address too; a new node joins its cluster.
    pub fn join(&mut self, address: SocketAddr) {
        self.join.push(address.to_string());
    }

    /// Loses the disk: the next start here is a new node's. It joins none yet.
    ///
    /// # Errors
    /// The directory can't be removed.
    pub fn wipe(&mut self) -> Result<()> {
        self.join.clear();
        std::fs::remove_dir_all(self.data()).context("can't remove the data directory")
    }

    /// Where a node here serves, or last served.
    #[must_use]
    pub fn address(&self) -> Address {
        Address { socket: self.listen, host: self.host.clone() }
    }

    /// Where a node here lets other nodes in, or last did.
    #[must_use]
    pub fn peer_address(&self) -> SocketAddr {
        self.peer_listen
    }

    /// How much of the disk it takes, in bytes: blocks, not lengths, since files are preallocated.
    ///
    /// # Errors
    /// A directory can't be read.
    pub fn disk_bytes(&self) -> Result<u64> {
        disk_bytes(&self.data()).context("can't read the data directory")
    }

    /// The data directory.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Copies the data directory, whose node is stopped or down.
    ///
    /// # Errors
    /// It can't be read, or written elsewhere.
    pub fn copy_data(&self) -> Result<()> {
        copy_files(&self.data(), &self.copied()).context("can't copy the data directory")
    }

    /// Puts the copy in the place of the data directory; with `in_place` into the files that there are, so
    /// that it does not look like a copy.
    ///
    /// # Errors
    /// It can't be read, or written.
    pub fn put_copy_back(&self, in_place: bool) -> Result<()> {
        let (data, place) = (self.data(), self.directory.path().join("place"));
        if in_place {
            std::fs::rename(data.join("place"), &place)?;
        }
        std::fs::remove_dir_all(&data)?;
        copy_files(&self.copied(), &data).context("can't put the copy back")?;
        if in_place {
            std::fs::rename(place, data.join("place"))?;
        }
        Ok(())
    }

    fn copied(&self) -> PathBuf {
        self.directory.path().join("copy")
    }

    /// Whether nodes here are told from now on that their directory is the newest copy.
    pub fn trust_directory(&mut self, trusted: bool) {
        self.trusted = trusted;
    }

    /// The next start is on another port.
    #[must_use]
    pub fn on_another_port(&mut self) -> &Self {
        self.listen.set_port(0);
        self.peer_listen.set_port(0);
        self
    }

    /// Runs `xnode run` here and waits until it ends by itself.
    ///
    /// # Errors
    /// It can't be run, or does not end.
    pub async fn run_to_end(&self) -> Result<Exit> {
        let child = self.spawn()?;
        self.exit_of(child).await
    }

    /// All that nodes in this home have logged.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read(self.log_path())
            .map(|log| String::from_utf8_lossy(&log).into_owned())
            .unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    fn spawn(&self) -> Result<Child> {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.log_path())?;
        let mut command = match &self.host {
            Some(host) => host.command(binary()?),
            None => Command::new(binary()?),
        };
        // Settings of whoever runs the tests are none of the node's.
        command.env_clear().args(["run", "--log-format", "json", "--shutdown-grace", "10s"]);
        command.arg("--data").arg(self.data()).arg("--listen").arg(self.listen.to_string());
        command.arg(format!("--peer-listen={}", self.peer_listen)).env("XNODE_JOIN_TOKEN", JOIN_TOKEN);
        match self.join.is_empty() {
            true => command.arg("--bootstrap"),
            false => command.args(self.join.iter().map(|peer| format!("--join={peer}"))),
        };
        command.args(self.peer_advertise.iter().map(|address| format!("--peer-advertise={address}")));
        command.args(self.document_size.iter().map(|size| format!("--document-size={size}")));
        command.args(self.trusted.then_some("--trust-directory"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).kill_on_drop(true);
        command.spawn().context("can't run xnode")
    }

    async fn exit_of(&self, mut child: Child) -> Result<Exit> {
        let status = timeout(PATIENCE, child.wait()).await;
        let status = status.map_err(|_| anyhow!("xnode did not end in {PATIENCE:?}:\n{}", self.log()))??;
        Ok(Exit { code: status.code(), log: self.log() })
    }
}

fn copy_files(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_files(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

impl Xnode {
    /// Starts a node and waits until it serves.
    ///
    /// # Errors
    /// It does not; the error has its log.
    pub async fn start(home: &mut Home) -> Result<Self> {
        let mut child = home.spawn()?;
        let stdout = child.stdout.take().context("stdout was not piped")?;
        let mut lines = BufReader::new(stdout).lines();
        let line = match timeout(PATIENCE, lines.next_line()).await {
            Ok(line) => line?.ok_or_else(|| anyhow!("xnode ended at its start:\n{}", home.log()))?,
            Err(_) => bail!("xnode does not serve after {PATIENCE:?}:\n{}", home.log()),
        };
        let announced: Announced =
            serde_json::from_str(&line).with_context(|| format!("not an announcement: {line}"))?;
        home.listen = announced.listen;
        home.peer_listen = announced.peer_listen;
        let node = Self { child, announced, address: home.address() };
        timeout(PATIENCE, node.healthy()).await.context("the node does not become healthy")??;
        Ok(node)
    }

    /// The node's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.announced.node_id
    }

    /// Where it serves.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.announced.listen)
    }

    /// Where it lets other nodes in.
    #[must_use]
    pub fn peer_address(&self) -> SocketAddr {
        self.announced.peer_listen
    }

    /// A new connection.
    ///
    /// # Errors
    /// Nobody answers.
    pub async fn connect(&self) -> Result<Channel> {
        self.address.connect().await
    }

    /// Where it serves.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Its process; `None` if it has ended.
    #[must_use]
    pub fn process(&self) -> Option<u32> {
        self.child.id()
    }

    /// Kills it as a power cut would, with SIGKILL, and waits until it is gone.
    ///
    /// # Errors
    /// It has ended before.
    pub async fn kill(mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("xnode ended by itself: {status}");
        }
        self.signal(Signal::KILL)?;
        self.child.wait().await?;
        Ok(())
    }

    /// Asks it to end with SIGTERM and waits until it has.
    ///
    /// # Errors
    /// It does not end.
    pub async fn terminate(self, home: &Home) -> Result<Exit> {
        self.signal(Signal::TERM)?;
        self.ended(home).await
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// It does not end.
    pub async fn ended(self, home: &Home) -> Result<Exit> {
        home.exit_of(self.child).await
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// It has ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        Ok(kill_process(id.context("xnode has ended")?, signal)?)
    }

    async fn healthy(&self) -> Result<()> {
        let mut health = HealthClient::new(self.connect().await?);
        let mut watch = health.watch(HealthCheckRequest::default()).await?.into_inner();
        while let Some(health) = watch.message().await? {
            if health.status() == ServingStatus::Serving {
                return Ok(());
            }
        }
        bail!("the health stream ended")
    }
}

impl Address {
    /// A new connection.
    ///
    /// # Errors
    /// Nobody answers.
    pub async fn connect(&self) -> Result<Channel> {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.socket))?;
        let endpoint = endpoint.tcp_nodelay(true).connect_timeout(PATIENCE);
        let connected = match self.host.clone() {
            None => endpoint.connect().await,
            Some(host) => {
                let socket = self.socket;
                let connector = tower::service_fn(move |_| {
                    let host = host.clone();
                    async move { host.connect(socket).await.map(TokioIo::new) }
                });
                endpoint.connect_with_connector(connector).await
            }
        };
        connected.with_context(|| format!("can't connect to {}", self.socket))
    }

    /// The socket's address, on its host.
    #[must_use]
    pub fn socket(&self) -> SocketAddr {
        self.socket
    }
}

/// What a process has used.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Usage {
    /// Processor time, of the process and of the system for it.
    pub cpu: Duration,
    /// Memory that it has now, in bytes.
    pub resident: u64,
    /// The most that it ever had, in bytes.
    pub peak: u64,
}

impl Usage {
    /// Of a running process.
    ///
    /// # Errors
    /// There is none of this id.
    pub fn of(process: u32) -> Result<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
        // The second field, a name in parentheses, may have spaces in it.
        let (_, fields) = stat.rsplit_once(')').context("/proc's stat has another form")?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let field = |number: usize| -> Result<u64> {
            Ok(fields.get(number - 3).context("/proc's stat is too short")?.parse()?)
        };
        let ticks = (field(14)? + field(15)?) * 1_000_000 / rustix::param::clock_ticks_per_second();
        let resident = field(24)? * rustix::param::page_size() as u64;
        let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
        let peak: u64 = peak.trim().trim_end_matches("kB").trim_end().parse()?;
        Ok(Self { cpu: Duration::from_micros(ticks), resident, peak: peak * 1024 })
    }
}

/// The bytes that all files in a directory take.
fn disk_bytes(directory: &Path) -> std::io::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let metadata = match entry.metadata() {
            Ok(metadata) => metadata,
            // A running node removes files.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        bytes += if metadata.is_dir() { disk_bytes(&entry.path())? } else { metadata.blocks() * 512 };
    }
    Ok(bytes)
}

/// The binary `xnode`, built with the profile of whoever calls. `XBOOK_XNODE` names another one.
///
/// # Errors
/// It can't be built.
pub fn binary() -> Result<&'static Path> {
    static BINARY: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let built = BINARY.get_or_init(|| build().map_err(|error| format!("{error:#}")));
    built.as_deref().map_err(|error| anyhow!("there is no xnode: {error}"))
}

/// Cargo gives a test the binaries of its own package only; so it is asked for this one. The whole
/// workspace is selected, as it is by `cargo test --workspace`, so that its dependencies have the same features
/// and are not built twice; but without bugs to plant, since what is tested is what is shipped.
fn build() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("XBOOK_XNODE") {
        return Ok(path.into());
    }
    let exe = std::env::current_exe()?;
    // target/PROFILE/deps/test-HASH, target/PROFILE/examples/NAME, or target/PROFILE/NAME.
    let mut profile_directory = exe.parent().context("this program has no directory")?;
    if profile_directory.ends_with("deps") || profile_directory.ends_with("examples") {
        profile_directory = profile_directory.parent().context("no target directory")?;
    }
    let target = profile_directory.parent().context("no target directory")?;
    let profile = match profile_directory.file_name().and_then(|name| name.to_str()) {
        Some("debug") => "dev",
        Some(name) => name,
        None => bail!("no profile in {}", profile_directory.display()),
    };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = std::process::Command::new(cargo)
        .args(["build", "--quiet", "--workspace", "--no-default-features", "--features", "demo"])
        .args(["--bin", "xnode", "--profile", profile])
        .arg("--manifest-path")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml"))
        .arg("--target-dir")
        .arg(target)
        .output()
        .context("can't run cargo")?;
    if !built.status.success() {
        bail!("cargo build: {}", String::from_utf8_lossy(&built.stderr));
    }
    let binary = profile_directory.join("xnode");
    if !binary.is_file() {
        bail!("cargo built no {}; name one with XBOOK_XNODE", binary.display());
    }
    Ok(binary)
}
