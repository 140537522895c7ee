//! What the verbs of market data take.

use std::str::FromStr;
use std::time::{Duration, SystemTime};

use clap::{Args, ValueEnum};
use xbook_proto::v1::get_order_book_request::AsOf;
use xbook_proto::v1::subscription::Channel;
use xbook_proto::v1::{
    CandleInterval, CandlesChannel, LevelsChannel, OrdersChannel, QuoteChannel, TickerChannel, TradesChannel,
    UpdatesChannel,
};

use super::Past;

/// `book`.
#[derive(Debug, Clone, Args)]
pub struct BookArgs {
    /// The market.
    pub market: String,
    /// Levels of each side, from the best [default: 20, or what the terminal holds with --watch].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub depth: Option<u32>,
    /// Show all levels.
    #[arg(long, conflicts_with_all = ["depth", "watch"])]
    pub all: bool,
    /// Show each order, in time priority.
    #[arg(long, conflicts_with = "watch")]
    pub orders: bool,
    /// Put prices together to multiples of this.
    #[arg(long, value_name = "STEP", conflicts_with_all = ["watch", "orders"])]
    pub step: Option<String>,
    /// Show the book as it was: after a position, or at a time such as 2030-01-31T12:00:00Z, or so long ago
    /// as 10m.
    #[arg(long, value_name = "POSITION|WHEN", conflicts_with = "watch")]
    pub as_of: Option<Moment>,
    /// Go on showing the book as it changes.
    #[arg(long, short)]
    pub watch: bool,
}

/// `trades`.
#[derive(Debug, Clone, Args)]
pub struct TradesArgs {
    /// The market.
    pub market: String,
    /// At most so many [default: 100, or 10 before following with --watch].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: Option<u32>,
    /// Go on with a row for each new trade.
    #[arg(long, short)]
    pub watch: bool,
    /// Follow all trades after this position, without gap or repeat; without --watch, list only those.
    #[arg(long, value_name = "POSITION")]
    pub after: Option<u64>,
    /// Only trades before this position.
    #[arg(long, value_name = "POSITION", conflicts_with = "watch")]
    pub before: Option<u64>,
    /// Only trades from then on: a time such as 2030-01-31T12:00:00Z, or a duration before now such as 10m.
    #[arg(long, value_name = "WHEN", conflicts_with = "watch")]
    pub from: Option<Past>,
    /// Only trades before then.
    #[arg(long, value_name = "WHEN", conflicts_with = "watch")]
    pub to: Option<Past>,
}

/// `ticker`.
#[derive(Debug, Clone, Args)]
pub struct TickerArgs {
    /// The market.
    pub market: String,
    /// Count the 24 hours up to then instead of now: a time such as 2030-01-31T12:00:00Z, or a duration
    /// before now such as 10m.
    #[arg(long, value_name = "WHEN")]
    pub to: Option<Past>,
}

/// `candles`.
#[derive(Debug, Clone, Args)]
pub struct CandlesArgs {
    /// The market.
    pub market: String,
    /// How long their intervals are.
    #[arg(long, value_enum, default_value_t = Interval::M1)]
    pub interval: Interval,
    /// The first one: a time such as 2030-01-31T12:00:00Z, or a duration before now such as 10m [default: the
    /// newest].
    #[arg(long, value_name = "WHEN")]
    pub from: Option<Past>,
    /// Only intervals that begin before then.
    #[arg(long, value_name = "WHEN")]
    pub to: Option<Past>,
    /// At most so many.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
}

/// Intervals of candles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Interval {
    /// 1 second.
    #[value(name = "1s")]
    S1,
    /// 5 seconds.
    #[value(name = "5s")]
    S5,
    /// 15 seconds.
    #[value(name = "15s")]
    S15,
    /// 30 seconds.
    #[value(name = "30s")]
    S30,
    /// 1 minute.
    #[value(name = "1m")]
    M1,
    /// 5 minutes.
    #[value(name = "5m")]
    M5,
    /// 15 minutes.
    #[value(name = "15m")]
    M15,
    /// 30 minutes.
    #[value(name = "30m")]
    M30,
    /// 1 hour.
    #[value(name = "1h")]
    H1,
    /// 4 hours.
    #[value(name = "4h")]
    H4,
    /// 12 hours.
    #[value(name = "12h")]
    H12,
    /// 1 day.
    #[value(name = "1d")]
    D1,
}

impl From<Interval> for CandleInterval {
    fn from(interval: Interval) -> Self {
        match interval {
            Interval::S1 => Self::S1,
            Interval::S5 => Self::S5,
            Interval::S15 => Self::S15,
            Interval::S30 => Self::S30,
            Interval::M1 => Self::M1,
            Interval::M5 => Self::M5,
            Interval::M15 => Self::M15,
            Interval::M30 => Self::M30,
            Interval::H1 => Self::H1,
            Interval::H4 => Self::H4,
            Interval::H12 => Self::H12,
            Interval::D1 => Self::D1,
        }
    }
}

/// A point of a market's past.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Moment {
    /// After this position.
    Position(u64),
    /// At a time.
    Time(Past),
}

impl Moment {
    /// As a node is asked for it at `now`.
    #[must_use]
    pub fn resolve(self, now: SystemTime) -> AsOf {
        match self {
            Self::Position(position) => AsOf::AsOfPosition(position),
            Self::Time(past) => AsOf::AsOfTime(past.resolve(now)),
        }
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(position) => Ok(Self::Position(position)),
            Err(_) => text.parse().map(Self::Time),
        }
    }
}

/// `replay`.
#[derive(Debug, Clone, Args)]
pub struct ReplayArgs {
    /// The market.
    pub market: String,
    /// Where it begins: a position, a time such as 2030-01-31T12:00:00Z, or so long ago as 10m.
    #[arg(long, value_name = "POSITION|WHEN", default_value = "1")]
    pub from: Moment,
    /// Where it ends [default: with what the node shows].
    #[arg(long, value_name = "POSITION|WHEN")]
    pub to: Option<Moment>,
    /// Positions from one book to the next; those of one batch of events are shown as one.
    #[arg(long, value_name = "POSITIONS", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub every: u64,
    /// Levels of each side, from the best.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub depth: u32,
    /// Put prices together to multiples of this.
    #[arg(long, value_name = "STEP")]
    pub step: Option<String>,
    /// How long each book is shown.
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = humantime::parse_duration)]
    pub pause: Duration,
}

/// `subscribe`.
#[derive(Debug, Clone, Args)]
pub struct SubscribeArgs {
    /// What to follow: a market, a colon, and `levels`, `orders`, `quote`, `trades`, `ticker`, `candles` or, of your own
    /// orders, `updates`. Levels
    /// may be followed by a depth and a price step, candles by an interval: BTC/USDT:levels:10:0.5,
    /// BTC/USDT:candles:1h.
    #[arg(required = true, value_name = "MARKET:CHANNEL")]
    pub topics: Vec<Topic>,
}

/// A market and a channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Topic {
    /// The market.
    pub market: String,
    /// What is wanted of it.
    pub channel: Channel,
}

impl FromStr for Topic {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split(':').collect();
        let levels = |depth: &str, step: &str| {
            let depth = depth.parse().map_err(|_| format!("{depth:?} is no number of levels"))?;
            Ok::<_, String>(Channel::Levels(LevelsChannel { depth, price_step: step.to_owned() }))
        };
        let candles = |interval: Interval| {
            Channel::Candles(CandlesChannel { interval: CandleInterval::from(interval).into() })
        };
        let channel = match parts[1..] {
            ["levels"] => levels("0", "")?,
            ["levels", depth] => levels(depth, "")?,
            ["levels", depth, step] => levels(depth, step)?,
            ["orders"] => Channel::Orders(OrdersChannel {}),
            ["quote"] => Channel::Quote(QuoteChannel {}),
            ["trades"] => Channel::Trades(TradesChannel {}),
            ["updates"] => Channel::Updates(UpdatesChannel {}),
            ["ticker"] => Channel::Ticker(TickerChannel {}),
            ["candles"] => candles(Interval::M1),
            ["candles", interval] => candles(Interval::from_str(interval, false)?),
            _ => {
                return Err(
                    "expected a market, a colon, and levels, orders, quote, trades, ticker, candles or updates"
                        .to_owned(),
                );
            }
        };
        Ok(Self { market: parts[0].to_owned(), channel })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_read() {
        let channel = |text: &str| text.parse::<Topic>().map(|topic| topic.channel);
        let levels =
            |depth, step: &str| Ok(Channel::Levels(LevelsChannel { depth, price_step: step.to_owned() }));
        assert_eq!(channel("A/B:levels"), levels(0, ""));
        assert_eq!(channel("A/B:levels:10"), levels(10, ""));
        assert_eq!(channel("A/B:levels:0:0.5"), levels(0, "0.5"));
        let hour = CandlesChannel { interval: CandleInterval::H1.into() };
        assert_eq!(channel("A/B:candles:1h"), Ok(Channel::Candles(hour)));
        assert_eq!("A/B:trades".parse::<Topic>().unwrap().market, "A/B");
        for bad in ["A/B", "A/B:", "A/B:book", "A/B:levels:x", "A/B:candles:7m", "A/B:trades:1"] {
            assert!(channel(bad).is_err(), "{bad}");
        }
    }
}
