//! A market's rules: its grids, the bounds of an order's quantity, and what is done about trades of an account with
//! itself.

use prost::Message;
use rust_decimal::Decimal;
use xbook_proto::record::v1 as record;

use super::FeeRates;
use crate::decimal::{Grid, MAX_STEPS};
use crate::machine::intent::key;
use crate::types::{Lots, MarketState, Micros, SelfTrade};

/// The rules of a market, fixed for a generation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rules {
    /// The tick size.
    pub tick: Grid,
    /// The lot size.
    pub lot: Grid,
    /// Smallest quantity of an order.
    pub min_lots: Lots,
    /// Largest quantity of an order.
    pub max_lots: Lots,
    /// What happens between orders of one account, if the one that comes in does not say; never unspecified.
    pub self_trade: SelfTrade,
    /// How far from the best price a market order may trade, in hundredths of a percent; 0 for any price.
    pub protection_bp: u32,
    /// When a day ends, counted from midnight UTC; less than [`DAY`].
    pub day_end: Micros,
    /// What fills cost.
    pub fees: FeeRates,
    /// How far trades may be from a price, and what happens beyond.
    pub bands: Bands,
    /// When the market changes its state by itself, ascending.
    pub sessions: Vec<SessionTime>,
}

/// How far trades may be from a price, and what happens to an order that would trade beyond.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Bands {
    /// Around the last uncross, in hundredths of a percent; 0 for no band.
    pub static_bp: u32,
    /// Around the last trade before the step.
    pub dynamic_bp: u32,
    /// How long an auction lasts that a band begins; 0 for none.
    pub volatility_auction: Micros,
    /// How much longer an auction lasts that would end outside the static band; 0 for no longer.
    pub auction_extension: Micros,
}

impl Bands {
    /// Whether there are any.
    #[must_use]
    pub fn are_some(&self) -> bool {
        self.static_bp > 0 || self.dynamic_bp > 0
    }
}

/// A time at which a market changes its state by itself, each day.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SessionTime {
    /// Counted from midnight UTC; less than [`DAY`].
    pub at: Micros,
    /// The state that it takes.
    pub state: MarketState,
}

/// The most times of [`Rules::sessions`].
pub const MAX_SESSIONS: usize = 24;

/// A day.
pub const DAY: Micros = Micros(24 * 60 * 60 * 1_000_000);

/// The most of [`Rules::protection_bp`]: a whole price.
pub const MAX_PROTECTION_BP: u32 = 10_000;

/// The most of [`Bands::static_bp`] and [`Bands::dynamic_bp`]: a whole price.
pub const MAX_BAND_BP: u32 = 10_000;

impl Rules {
    /// Rules without a minimum (one lot), with the largest possible maximum, by which an order that comes in is
    /// cancelled rather than trade with its own account.
    #[must_use]
    pub fn new(tick: Grid, lot: Grid) -> Self {
        let (min_lots, max_lots) = (Lots(1), Lots(MAX_STEPS));
        let (self_trade, protection_bp, day_end) = (SelfTrade::CancelTaker, 0, Micros(0));
        let fees = FeeRates::default();
        let (bands, sessions) = (Bands::default(), Vec::new());
        Self { tick, lot, min_lots, max_lots, self_trade, protection_bp, day_end, fees, bands, sessions }
    }

    /// The rules as a document keeps them.
    #[must_use]
    pub fn to_record(&self) -> record::Rules {
        record::Rules {
            tick_size: self.tick.to_string(),
            lot_size: self.lot.to_string(),
            min_lots: self.min_lots.0,
            max_lots: self.max_lots.0,
            self_trade: self.self_trade.into(),
            protection_bp: self.protection_bp,
            day_end_us: self.day_end.0,
            maker_fee: self.fees.maker,
            taker_fee: self.fees.taker,
            fee_step: self.fees.step,
            auction_fee: self.fees.auction,
            static_bp: self.bands.static_bp,
            dynamic_bp: self.bands.dynamic_bp,
            volatility_auction_us: self.bands.volatility_auction.0,
            auction_extension_us: self.bands.auction_extension.0,
            session_at_us: self.sessions.iter().map(|session| session.at.0).collect(),
            session_states: self.sessions.iter().map(|session| session.state.into()).collect(),
        }
    }

    /// Numbers that tell them from others.
    pub(in crate::machine) fn numbers(&self) -> [u64; 2] {
        let key = key(&[b"rules", &self.to_record().encode_to_vec()]);
        [0, 8].map(|from| key[from..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes)))
    }

    /// When the day ends in which a time lies: later than that.
    #[must_use]
    pub fn day_end_after(&self, time: Micros) -> Micros {
        let since_the_last = (time.0 % DAY.0 + DAY.0 - self.day_end.0) % DAY.0;
        time.plus(Micros(DAY.0 - since_the_last))
    }

    /// When a DAY order expires that has its turn at a time: when the session ends, or without sessions that end the day.
    #[must_use]
    pub fn day_order_ends_after(&self, time: Micros) -> Micros {
        self.session_after(time, Some(MarketState::Closed))
            .map_or_else(|| self.day_end_after(time), |next| next.0)
    }

    /// The first time after a time at which the market changes its state by itself, to this one or to any, and what
    /// that state is then.
    #[must_use]
    pub fn session_after(&self, time: Micros, state: Option<MarketState>) -> Option<(Micros, MarketState)> {
        let sessions =
            self.sessions.iter().filter(|session| state.is_none_or(|state| state == session.state));
        let next = sessions.map(|session| {
            let since_the_last = (time.0 % DAY.0 + DAY.0 - session.at.0) % DAY.0;
            (time.plus(Micros(DAY.0 - since_the_last)), session.state)
        });
        next.min_by_key(|(at, _)| *at)
    }

    /// The last time up to a time at which the market was to change its state by itself.
    #[must_use]
    pub fn session_before(&self, time: Micros) -> Option<Micros> {
        let since = self.sessions.iter().map(|session| (time.0 % DAY.0 + DAY.0 - session.at.0) % DAY.0);
        since.min().map(|since| Micros(time.0.saturating_sub(since)))
    }

    /// Reads them back; `None` if they are not rules that a node would have written.
    #[must_use]
    pub fn from_record(record: &record::Rules) -> Option<Self> {
        let grid = |text: &str| Grid::new(text.parse::<Decimal>().ok()?).ok();
        let rules = Self {
            tick: grid(&record.tick_size)?,
            lot: grid(&record.lot_size)?,
            min_lots: Lots(record.min_lots),
            max_lots: Lots(record.max_lots),
            self_trade: SelfTrade::try_from(record.self_trade).ok()?,
            protection_bp: record.protection_bp,
            day_end: Micros(record.day_end_us),
            fees: FeeRates {
                maker: record.maker_fee,
                taker: record.taker_fee,
                auction: record.auction_fee,
                step: record.fee_step,
            },
            bands: Bands {
                static_bp: record.static_bp,
                dynamic_bp: record.dynamic_bp,
                volatility_auction: Micros(record.volatility_auction_us),
                auction_extension: Micros(record.auction_extension_us),
            },
            sessions: SessionTime::from_records(&record.session_at_us, &record.session_states)?,
        };
        let bounds = 1..=MAX_STEPS;
        let valid = bounds.contains(&record.min_lots)
            && bounds.contains(&record.max_lots)
            && rules.self_trade != SelfTrade::Unspecified
            && rules.protection_bp <= MAX_PROTECTION_BP
            && rules.day_end < DAY
            && rules.fees.are_valid()
            && rules.bands.are_valid()
            && rules.sessions.len() <= MAX_SESSIONS
            && rules.sessions.is_sorted_by(|a, b| a.at < b.at);
        (valid && rules.min_lots <= rules.max_lots).then_some(rules)
    }
}

impl Bands {
    /// Whether they are bands that a market may have.
    #[must_use]
    pub fn are_valid(&self) -> bool {
        self.static_bp <= MAX_BAND_BP
            && self.dynamic_bp <= MAX_BAND_BP
            && self.volatility_auction <= DAY
            && self.auction_extension <= DAY
    }
}

impl SessionTime {
    fn from_records(times: &[u64], states: &[i32]) -> Option<Vec<Self>> {
        (times.len() == states.len()).then_some(())?;
        let read = times.iter().zip(states).map(|(at, state)| {
            let (at, state) = (Micros(*at), MarketState::try_from(*state).ok()?);
            let known = !matches!(state, MarketState::Unspecified | MarketState::Delisted);
            (known && at < DAY).then_some(Self { at, state })
        });
        read.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_ends_after_each_time_and_never_at_it() {
        let one = Grid::new("1".parse().unwrap()).unwrap();
        let hours = |hours: u64| Micros(hours * 3_600_000_000);
        let end = |day_end, time| Rules { day_end, ..Rules::new(one, one) }.day_end_after(time);
        for (day_end, time, expected) in [
            (0, 0, 24),
            (0, 23, 24),
            (0, 24, 48),
            (0, 25, 48),
            (22, 0, 22),
            (22, 21, 22),
            (22, 22, 46),
            (22, 24, 46),
            (1, 24 * 20_000, 24 * 20_000 + 1),
        ] {
            assert_eq!(end(hours(day_end), hours(time)), hours(expected), "{day_end} {time}");
        }
        assert_eq!(end(hours(1), Micros(hours(1).0 - 1)), hours(1));
        assert!(end(hours(1), Micros(u64::MAX)) == Micros(u64::MAX), "the end of time");
    }
}
