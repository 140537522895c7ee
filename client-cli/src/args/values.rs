//! Values with rules of their own.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use clap::ValueEnum;
use prost_types::Timestamp;
use tonic::transport::Uri;

use super::MarketStateArg;

/// The port that a node listens on if nobody says otherwise.
const DEFAULT_PORT: u16 = 7001;

/// A node's address: `http://host:port`; scheme and port may be left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeUrl(String);

/// What a placed order may cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Price {
    /// At most (or at least) this; the node checks the number.
    Limit(String),
    /// Whatever rests.
    Market,
    /// The best price on the other side, at which what is left rests.
    MarketToLimit,
}

/// A time that may be long over.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Past {
    /// At a time.
    At(Timestamp),
    /// So long before now.
    Ago(Duration),
}

/// When an order expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// At this time.
    At(Timestamp),
    /// So long after the command was given.
    In(Duration),
}

/// The name of a profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProfileName {
    /// No profile.
    None,
    /// 1 to 64 letters, digits, - and _.
    Some(String),
}

impl fmt::Display for ProfileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Some(name) => f.write_str(name),
        }
    }
}

impl FromStr for ProfileName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
        match text {
            "none" => Ok(Self::None),
            name if (1..=64).contains(&name.len()) && name.chars().all(plain) => {
                Ok(Self::Some(name.to_owned()))
            }
            _ => Err("expected 1 to 64 letters, digits, - and _"),
        }
    }
}

impl NodeUrl {
    /// The address, with its scheme.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for NodeUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const EXPECTED: &str = "expected http://host:port";
        let url = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let uri: Uri = url.parse().map_err(|error| format!("{error}; {EXPECTED}"))?;
        let plain = matches!(uri.path(), "" | "/") && uri.query().is_none() && !text.contains('@');
        match (uri.scheme_str(), uri.host()) {
            (Some("http"), Some(host)) if !host.is_empty() && plain => {
                Ok(Self(format!("http://{host}:{}", uri.port_u16().unwrap_or(DEFAULT_PORT))))
            }
            (Some("https"), _) => Err(format!("TLS is not supported yet; {EXPECTED}")),
            _ => Err(EXPECTED.to_owned()),
        }
    }
}

impl Past {
    /// The time that it is at `now`.
    #[must_use]
    pub fn resolve(self, now: SystemTime) -> Timestamp {
        match self {
            Self::At(time) => time,
            Self::Ago(span) => now.checked_sub(span).map(Timestamp::from).unwrap_or_default(),
        }
    }
}

impl FromStr for Past {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(span) = humantime::parse_duration(text) {
            return Ok(Self::Ago(span));
        }
        text.parse().map(Self::At).map_err(|_| {
            "expected a time such as 2030-01-31T12:00:00Z, or a duration before now such as 90s, 10m or 1d"
                .to_owned()
        })
    }
}

impl FromStr for Price {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "" => Err("expected a price, mkt or mtl".to_owned()),
            "mtl" | "market-to-limit" => Ok(Self::MarketToLimit),
            "mkt" | "market" => Ok(Self::Market),
            price => Ok(Self::Limit(price.to_owned())),
        }
    }
}

impl Expiry {
    /// The time of expiry of an order placed at `now`.
    #[must_use]
    pub fn resolve(self, now: SystemTime) -> Timestamp {
        match self {
            Self::At(time) => time,
            Self::In(duration) => {
                // Whole milliseconds, so that the time reads well where it is printed.
                let mut time = Timestamp::from(now + duration);
                time.nanos -= time.nanos % 1_000_000;
                time
            }
        }
    }
}

impl FromStr for Expiry {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // A century is more than any order needs, and keeps the sum with any clock in range.
        let century = Duration::from_secs(100 * 366 * 24 * 3600);
        if let Ok(duration) = humantime::parse_duration(text) {
            return if duration <= century {
                Ok(Self::In(duration))
            } else {
                Err("expected at most 100 years".to_owned())
            };
        }
        text.parse().map(Self::At).map_err(|_| {
            "expected a time such as 2030-01-31T12:00:00Z, or a duration such as 90s, 10m or 1d".to_owned()
        })
    }
}

/// A time of day, in minutes after midnight.
pub fn minute_of_day(text: &str) -> Result<u32, String> {
    const EXPECTED: &str = "expected a time of day such as 17:30";
    let (hours, minutes) = text.split_once(':').ok_or(EXPECTED)?;
    let part = |text: &str, most: u32| match text.parse::<u32>() {
        Ok(number) if number <= most && text.len() == 2 && !text.starts_with('+') => Ok(number),
        _ => Err(EXPECTED),
    };
    Ok(part(hours, 23)? * 60 + part(minutes, 59)?)
}

/// A time of day and a market's state then.
pub fn session_time(text: &str) -> Result<(u32, MarketStateArg), String> {
    let (time, state) = text.split_once('=').ok_or("expected a time and a state such as 09:00=continuous")?;
    Ok((minute_of_day(time)?, <MarketStateArg as ValueEnum>::from_str(state, false)?))
}

/// A variable of a playbook, with its value.
pub fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    let plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    if name.is_empty() || !name.chars().all(plain) || name == "run" {
        return Err("expected a name of letters, digits and _, other than `run`".to_owned());
    }
    Ok((name.to_owned(), value.to_owned()))
}

/// How long a join token lives: 1 s to 30 days.
pub fn token_life(text: &str) -> Result<Duration, String> {
    let duration =
        humantime::parse_duration(text).map_err(|_| "expected a duration such as 10m, 1h or 7d")?;
    if (Duration::from_secs(1)..=Duration::from_secs(30 * 24 * 3600)).contains(&duration) {
        Ok(duration)
    } else {
        Err("expected 1s to 30d".to_owned())
    }
}

/// A duration of at most a day.
pub fn patience(text: &str) -> Result<Duration, String> {
    let duration =
        humantime::parse_duration(text).map_err(|_| "expected a duration such as 500ms, 10s or 1m")?;
    if duration > Duration::from_secs(24 * 3600) {
        return Err("expected at most a day".to_owned());
    }
    Ok(duration)
}

/// A duration of at most a day, or `off`, which is none.
pub fn switch(text: &str) -> Result<Duration, String> {
    match text {
        "off" => Ok(Duration::ZERO),
        text => timeout(text).map_err(|words| format!("{words}; or `off`")),
    }
}

/// A positive duration of at most a day.
pub fn timeout(text: &str) -> Result<Duration, String> {
    let duration = patience(text)?;
    if duration.is_zero() {
        return Err("expected more than nothing and at most a day".to_owned());
    }
    Ok(duration)
}
