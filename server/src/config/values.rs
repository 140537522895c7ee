//! The values of settings: each one's rule is in its type.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;
use serde::Deserialize;
use tracing_subscriber::EnvFilter;

use super::{Threads, targets};
use crate::machine::{JoinToken, NotAToken, is_address};

/// A data directory's path; not empty.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct DataDirectory(pub(super) PathBuf);

/// An address to listen on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct ListenAddress(pub(super) SocketAddr);

/// Where a peer listens: a host name or IP address, and a port.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct PeerAddress(pub(super) String);

/// A join token.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct TokenSetting(pub(super) JoinToken);

/// For whom logs are made.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Deserialize)]
#[serde(try_from = "String")]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// A JSON object a line.
    Json,
}

/// What is logged: directives of `tracing_subscriber`'s `EnvFilter`, checked.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct LogFilter(String);

/// A document's size, between [`DocumentSize::MIN`] and [`DocumentSize::MAX`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct DocumentSize(pub(super) ByteSize);

/// A time to wait, at most [`Grace::MAX`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct Grace(pub(super) Duration);

/// A value that breaks the rule of its setting.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SettingError {
    /// No path.
    #[error("a data directory must not be empty, but it is \"\"")]
    NoDirectory,
    /// Not an address.
    #[error(
        "an address to listen on must be an IP address and a port such as 127.0.0.1:7001 or [::1]:7001, \
         but it is {0:?}"
    )]
    ListenAddress(String),
    /// Not a peer's address.
    #[error("a node's address must be a host and a port such as 10.0.0.1:7001, but it is {0:?}")]
    PeerAddress(String),
    /// Not a token. It is a secret, so it is not repeated.
    #[error(transparent)]
    JoinToken(#[from] NotAToken),
    /// Not a format.
    #[error("a log format must be \"text\" or \"json\", but it is {0:?}")]
    LogFormat(String),
    /// Not a filter.
    #[error(
        "a log filter must be a level, or levels by module such as \"warn,xbook=debug\", but it is {value:?}: {error}"
    )]
    LogFilter {
        /// The value.
        value: String,
        /// What is wrong with it.
        error: String,
    },
    /// Not a size.
    #[error(
        "a document's size must be a number and a unit such as \"64MiB\", from {min} to {max}, but it is {0:?}",
        min = DocumentSize::MIN, max = DocumentSize::MAX
    )]
    DocumentSize(String),
    /// Not a number of threads.
    #[error("a number of threads must be a whole number from 1 to {max}, but it is {0:?}", max = Threads::MAX)]
    Threads(String),
    /// Not a duration.
    #[error("a duration must be a whole number and a unit (ms, s or m) such as \"10s\", but it is {0:?}")]
    Duration(String),
    /// Too long.
    #[error("a shutdown grace must be at most {max}s, but it is {0:?}", max = Grace::MAX.as_secs())]
    LongGrace(String),
}

impl DataDirectory {
    /// The path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl PeerAddress {
    /// The address.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }
}

impl LogFilter {
    /// The filter with this text.
    ///
    /// # Errors
    /// It is no filter.
    pub fn new(text: &str) -> Result<Self, SettingError> {
        let wrong = |error: String| SettingError::LogFilter { value: text.to_owned(), error };
        if text.trim().is_empty() {
            return Err(wrong("it is empty".to_owned()));
        }
        EnvFilter::try_new(text).map_err(|error| wrong(error.to_string()))?;
        match targets::unknown(text) {
            Some(target) => Err(wrong(format!("nothing that logs is named {target:?}; {}", targets::KNOWN))),
            None => Ok(Self(text.to_owned())),
        }
    }

    /// The filter.
    #[must_use]
    pub fn filter(&self) -> EnvFilter {
        // Checked when it was made, so nothing is left out here.
        EnvFilter::builder().parse_lossy(&self.0)
    }
}

impl Default for LogFilter {
    fn default() -> Self {
        // The database says at "info" how it does its housekeeping.
        Self("info".to_owned())
    }
}

impl Grace {
    /// The longest.
    pub const MAX: Duration = Duration::from_secs(600);

    /// The time.
    #[must_use]
    pub fn duration(self) -> Duration {
        self.0
    }
}

impl DocumentSize {
    /// The smallest.
    pub const MIN: ByteSize = ByteSize::kib(64);
    /// The largest.
    pub const MAX: ByteSize = ByteSize::gib(1);

    /// The size in bytes.
    #[must_use]
    pub fn bytes(self) -> u64 {
        self.0.as_u64()
    }
}

impl FromStr for DocumentSize {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        let size = text.parse::<ByteSize>().ok().filter(|size| (Self::MIN..=Self::MAX).contains(size));
        size.map(Self).ok_or_else(|| SettingError::DocumentSize(text.to_owned()))
    }
}

impl FromStr for DataDirectory {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        if text.is_empty() { Err(SettingError::NoDirectory) } else { Ok(Self(text.into())) }
    }
}

impl FromStr for ListenAddress {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        text.parse().map(Self).map_err(|_| SettingError::ListenAddress(text.to_owned()))
    }
}

impl FromStr for PeerAddress {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        let fits = !text.is_empty() && is_address(text);
        fits.then(|| Self(text.to_owned())).ok_or_else(|| SettingError::PeerAddress(text.to_owned()))
    }
}

impl FromStr for TokenSetting {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        Ok(Self(text.parse()?))
    }
}

impl FromStr for LogFormat {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(SettingError::LogFormat(text.to_owned())),
        }
    }
}

impl FromStr for LogFilter {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        Self::new(text)
    }
}

impl FromStr for Grace {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        let wrong = || SettingError::Duration(text.to_owned());
        let unit = text.find(|char: char| !char.is_ascii_digit()).ok_or_else(wrong)?;
        let number: u64 = text[..unit].parse().map_err(|_| wrong())?;
        let duration = match &text[unit..] {
            "ms" => Duration::from_millis(number),
            "s" => Duration::from_secs(number),
            "m" => Duration::from_secs(number.saturating_mul(60)),
            _ => return Err(wrong()),
        };
        if duration > Self::MAX {
            return Err(SettingError::LongGrace(text.to_owned()));
        }
        Ok(Self(duration))
    }
}

impl fmt::Display for DataDirectory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}

/// From the text in a file, by the same rules as from the command line.
macro_rules! try_from_text {
    ($($setting:ty),*) => {$(
        impl TryFrom<String> for $setting {
            type Error = SettingError;

            fn try_from(text: String) -> Result<Self, SettingError> {
                text.parse()
            }
        }
    )*};
}

try_from_text!(
    DataDirectory,
    ListenAddress,
    PeerAddress,
    TokenSetting,
    LogFormat,
    LogFilter,
    DocumentSize,
    Grace
);
