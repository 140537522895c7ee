//! The settings of a node, parsed once into types that can't be wrong.
//!
//! Command line and environment (both read by clap), then the file that `--config` names, then the
//! defaults: [`Settings`] is what one of these sources says, [`Config`] is what holds. Each value's
//! rule is in its type, so a wrong value is refused in the same words wherever it comes from.

mod targets;
mod threads;
mod values;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytesize::ByteSize;
use serde::Deserialize;

use crate::machine::JoinToken;
use crate::node::DOCUMENT_BYTES;
pub use threads::Threads;
pub use values::{
    DataDirectory, DocumentSize, Grace, ListenAddress, LogFilter, LogFormat, PeerAddress, SettingError,
    TokenSetting,
};

/// How far above a node's port for clients that for other nodes is.
const PEER_PORT_STEP: u16 = 100;

/// What a node runs with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// Where its data is.
    pub data: DataDirectory,
    /// Where it listens for clients.
    pub listen: SocketAddr,
    /// Where it listens for other nodes.
    pub peer_listen: SocketAddr,
    /// Whether it begins a cluster, if its data directory is new.
    pub bootstrap: bool,
    /// The peers that it dials; a new node joins their cluster.
    pub join: Vec<PeerAddress>,
    /// What lets it join, if the cluster does not know it; on the first node, what lets others join.
    pub join_token: Option<JoinToken>,
    /// Where clients reach it, if not where it listens.
    pub advertise: Option<PeerAddress>,
    /// Where other nodes reach it, if not where it listens for them.
    pub peer_advertise: Option<PeerAddress>,
    /// What it logs, and how.
    pub log: LogConfig,
    /// Size at which a document is sealed and its next generation begins.
    pub document_size: DocumentSize,
    /// How many threads it serves and matches with.
    pub threads: Threads,
    /// How long it waits, when it is told to end, for what it has taken.
    pub shutdown_grace: Grace,
}

/// What is logged, and how.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct LogConfig {
    /// For whom.
    pub format: LogFormat,
    /// What.
    pub filter: LogFilter,
}

/// What one source says: a value, or nothing.
#[derive(Clone, PartialEq, Eq, Default, Debug, clap::Args, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Directory of the node's data; made if it is not there [default: xbook-data]
    #[arg(long, value_name = "DIR", env = "XNODE_DATA")]
    pub data: Option<DataDirectory>,
    /// Address to listen on for clients; port 0 takes a free one [default: 127.0.0.1:7001]
    #[arg(long, value_name = "IP:PORT", env = "XNODE_LISTEN")]
    pub listen: Option<ListenAddress>,
    /// Address to listen on for other nodes [default: that of --listen, with a port 100 higher]
    #[arg(long, value_name = "IP:PORT", env = "XNODE_PEER_LISTEN")]
    pub peer_listen: Option<ListenAddress>,
    /// Begin a cluster, if the data directory is new; only on the first node
    #[arg(
        long, value_name = "BOOL", env = "XNODE_BOOTSTRAP", num_args = 0..=1, require_equals = true,
        default_missing_value = "true"
    )]
    pub bootstrap: Option<bool>,
    /// Nodes to connect with, where they listen for nodes; a new node joins their cluster
    #[arg(long, value_name = "HOST:PORT", env = "XNODE_JOIN", value_delimiter = ',')]
    pub join: Option<Vec<PeerAddress>>,
    /// Token that lets a new node join, from `xcli invite`; with --bootstrap, a token of 32 hex digits of
    /// your own that lets others join within an hour
    #[arg(long, value_name = "TOKEN", env = "XNODE_JOIN_TOKEN", hide_env_values = true)]
    pub join_token: Option<TokenSetting>,
    /// Where clients reach this node; needed with --listen 0.0.0.0 or :: [default: the address to listen
    /// on]
    #[arg(long, value_name = "HOST:PORT", env = "XNODE_ADVERTISE")]
    pub advertise: Option<PeerAddress>,
    /// Where other nodes reach this one [default: the address to listen on for them; if that is 0.0.0.0
    /// or ::, the host of --advertise]
    #[arg(long, value_name = "HOST:PORT", env = "XNODE_PEER_ADVERTISE")]
    pub peer_advertise: Option<PeerAddress>,
    /// Logs as text for people, or as JSON for programs [default: text]
    #[arg(long, value_name = "FORMAT", env = "XNODE_LOG_FORMAT")]
    pub log_format: Option<LogFormat>,
    /// What is logged: a level, or levels by module such as `warn,xbook=debug` [default: info, and
    /// warn for the database]
    #[arg(long, value_name = "FILTER", env = "XNODE_LOG_FILTER")]
    pub log_filter: Option<LogFilter>,
    /// Size at which a document is sealed and its next generation begins; memory and the time of a
    /// restart grow with it [default: 8MiB]
    #[arg(long, value_name = "SIZE", env = "XNODE_DOCUMENT_SIZE")]
    pub document_size: Option<DocumentSize>,
    /// How many threads serve calls and other nodes and match; those that wait for the disk come on top
    /// [default: 1 on up to 2 processors, else as many as processors]
    #[arg(long, value_name = "NUMBER", env = "XNODE_THREADS")]
    pub threads: Option<Threads>,
    /// How long to wait, when told to end, for calls that were taken [default: 10s]
    #[arg(long, value_name = "DURATION", env = "XNODE_SHUTDOWN_GRACE")]
    pub shutdown_grace: Option<Grace>,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("the configuration file {path} can't be read: {error}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// Two settings that exclude each other.
    #[error("bootstrap begins a cluster and join names nodes of one: only one of them can be set")]
    BootstrapAndJoin,
    /// Every address of the machine, and no word for the others which of them to take.
    #[error(
        "a node that listens on {listen}, on every address of its machine, must say where others reach it: add \
         {flag} HOST:{port}, or listen on one address", port = listen.port()
    )]
    Unadvertised {
        /// Where it listens.
        listen: SocketAddr,
        /// The setting that says it.
        flag: &'static str,
    },
    /// No port is left for the other nodes.
    #[error("there is no port 100 above that of {0} to listen on for other nodes: add --peer-listen IP:PORT")]
    NoPeerPort(SocketAddr),
    /// The only node to join is this one.
    #[error(
        "join names only this node itself ({0}): name a node that runs, or begin a cluster with --bootstrap"
    )]
    JoinsItself(String),
    /// The file is wrong.
    #[error("the configuration file {path} is wrong: {error}")]
    Parse {
        /// Which.
        path: PathBuf,
        /// Where, and why.
        error: Box<toml::de::Error>,
    },
}

impl Config {
    /// What holds if command line and environment say `given`, over what a file says.
    ///
    /// # Errors
    /// The file can't be read, has a key that is no setting, or a value that breaks its rule; or
    /// settings exclude each other.
    pub fn load(given: Settings, file: Option<&Path>) -> Result<Self, ConfigError> {
        let filed = file.map_or_else(|| Ok(Settings::default()), Settings::read)?;
        let config = Self::of(given.over(filed))?;
        if config.bootstrap && !config.join.is_empty() {
            return Err(ConfigError::BootstrapAndJoin);
        }
        let unadvertised = |listen: SocketAddr, flag| Err(ConfigError::Unadvertised { listen, flag });
        if config.listen.ip().is_unspecified() && config.advertise.is_none() {
            return unadvertised(config.listen, "--advertise");
        }
        let host_known = config.advertise.is_some() || config.peer_advertise.is_some();
        if config.peer_listen.ip().is_unspecified() && !host_known {
            return unadvertised(config.peer_listen, "--peer-advertise");
        }
        let myself = |peer: &PeerAddress| {
            Some(peer) == config.peer_advertise.as_ref() || peer.text() == config.peer_listen.to_string()
        };
        match config.join.first() {
            Some(first) if config.join.iter().all(myself) => {
                Err(ConfigError::JoinsItself(first.text().to_owned()))
            }
            _ => Ok(config),
        }
    }
}

impl Config {
    fn of(settings: Settings) -> Result<Self, ConfigError> {
        let listen = settings.listen.map_or(SocketAddr::from((Ipv4Addr::LOCALHOST, 7001)), |listen| listen.0);
        let peer_listen = match settings.peer_listen {
            Some(peer_listen) => peer_listen.0,
            None => peer_listen(listen).ok_or(ConfigError::NoPeerPort(listen))?,
        };
        Ok(Self {
            data: settings.data.unwrap_or_else(|| DataDirectory("xbook-data".into())),
            listen,
            peer_listen,
            bootstrap: settings.bootstrap.unwrap_or(false),
            join: settings.join.unwrap_or_default(),
            join_token: settings.join_token.map(|token| token.0),
            advertise: settings.advertise,
            peer_advertise: settings.peer_advertise,
            log: LogConfig {
                format: settings.log_format.unwrap_or_default(),
                filter: settings.log_filter.unwrap_or_default(),
            },
            document_size: settings.document_size.unwrap_or(DocumentSize(ByteSize(DOCUMENT_BYTES))),
            threads: settings.threads.unwrap_or_else(Threads::of_machine),
            shutdown_grace: settings.shutdown_grace.unwrap_or(Grace(Duration::from_secs(10))),
        })
    }
}

/// Where a node listens for others if nothing says it: beside where it listens for clients. `None` if
/// there is no such port.
#[must_use]
pub fn peer_listen(listen: SocketAddr) -> Option<SocketAddr> {
    let port = match listen.port() {
        0 => 0,
        port => port.checked_add(PEER_PORT_STEP)?,
    };
    Some(SocketAddr::new(listen.ip(), port))
}

impl Settings {
    /// Reads a TOML file.
    fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| ConfigError::Read { path: path.to_owned(), error })?;
        toml::from_str(&text)
            .map_err(|error| ConfigError::Parse { path: path.to_owned(), error: Box::new(error) })
    }

    /// What this source says, and where it says nothing, what the other says.
    fn over(self, lower: Self) -> Self {
        Self {
            data: self.data.or(lower.data),
            listen: self.listen.or(lower.listen),
            peer_listen: self.peer_listen.or(lower.peer_listen),
            bootstrap: self.bootstrap.or(lower.bootstrap),
            join: self.join.or(lower.join),
            join_token: self.join_token.or(lower.join_token),
            advertise: self.advertise.or(lower.advertise),
            peer_advertise: self.peer_advertise.or(lower.peer_advertise),
            log_format: self.log_format.or(lower.log_format),
            log_filter: self.log_filter.or(lower.log_filter),
            document_size: self.document_size.or(lower.document_size),
            threads: self.threads.or(lower.threads),
            shutdown_grace: self.shutdown_grace.or(lower.shutdown_grace),
        }
    }
}

#[cfg(test)]
mod tests;
