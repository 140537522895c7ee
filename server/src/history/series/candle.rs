//! A candle, and how it is stored.

use crate::decimal::Grid;
use crate::history::Sizes;
use crate::machine::Change;
use crate::types::{Liquidity, Lots, Position, Ticks};

/// Bytes of a stored candle, its checksum included.
pub(super) const RECORD_BYTES: usize = 112;

/// What was traded in an interval of tape time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Candle {
    /// When the interval begins, in seconds since 1970.
    pub start: u64,
    /// Positions of the first and the last trade; zero if there is none.
    pub positions: (Position, Position),
    /// Prices of the first and the last trade; without one, the close before.
    pub open: Ticks,
    /// As `open`.
    pub close: Ticks,
    /// The highest price.
    pub high: Ticks,
    /// The lowest price.
    pub low: Ticks,
    /// Quantity, in lots.
    pub volume: u128,
    /// Sum of price times quantity, in ticks times lots.
    pub value: u128,
    /// Number of trades.
    pub trades: u64,
    /// What its numbers count in.
    pub sizes: Sizes,
}

/// One execution.
#[derive(Clone, Copy)]
pub(super) struct Traded {
    pub position: Position,
    pub price: Ticks,
    pub quantity: Lots,
}

/// The trade that a change tells of: each is told by its taker.
pub(super) fn traded(change: &Change) -> Option<Traded> {
    match change {
        Change::Order { order, fill: Some(fill), .. } if fill.liquidity == Liquidity::Taker => {
            Some(Traded { position: order.position, price: fill.price, quantity: fill.quantity })
        }
        _ => None,
    }
}

impl Candle {
    pub(super) fn of(trade: Traded, start: u64, sizes: Sizes) -> Self {
        let Traded { position, price, quantity } = trade;
        Self {
            start,
            positions: (position, position),
            open: price,
            close: price,
            high: price,
            low: price,
            volume: quantity.0.into(),
            value: u128::from(price.0) * u128::from(quantity.0),
            trades: 1,
            sizes,
        }
    }

    /// An interval in which nothing was traded.
    pub(super) fn flat(start: u64, close: Ticks, sizes: Sizes) -> Self {
        Self {
            start,
            positions: (Position(0), Position(0)),
            open: close,
            close,
            high: close,
            low: close,
            volume: 0,
            value: 0,
            trades: 0,
            sizes,
        }
    }

    /// Takes what came later in the same interval.
    pub(super) fn join(&mut self, later: &Self) {
        let mut later = later.clone();
        if self.sizes != later.sizes {
            let sizes = Sizes {
                tick: common(self.sizes.tick, later.sizes.tick),
                lot: common(self.sizes.lot, later.sizes.lot),
            };
            self.count_in(sizes);
            later.count_in(sizes);
        }
        self.positions.1 = later.positions.1;
        self.close = later.close;
        self.high = self.high.max(later.high);
        self.low = self.low.min(later.low);
        self.volume = self.volume.saturating_add(later.volume);
        self.value = self.value.saturating_add(later.value);
        self.trades += later.trades;
    }

    /// Has it count in finer sizes: the market's have changed.
    pub(super) fn count_in(&mut self, sizes: Sizes) {
        let (tick, lot) = (ratio(self.sizes.tick, sizes.tick), ratio(self.sizes.lot, sizes.lot));
        for price in [&mut self.open, &mut self.close, &mut self.high, &mut self.low] {
            price.0 = u64::try_from(u128::from(price.0).saturating_mul(tick)).unwrap_or(u64::MAX);
        }
        self.volume = self.volume.saturating_mul(lot);
        self.value = self.value.saturating_mul(tick).saturating_mul(lot);
        self.sizes = sizes;
    }

    /// The record at an index of a file.
    pub(super) fn record(&self, seal: &Seal<'_>) -> [u8; RECORD_BYTES] {
        let mut bytes = [0; RECORD_BYTES];
        let numbers = [
            self.start,
            self.positions.0.0,
            self.positions.1.0,
            self.open.0,
            self.close.0,
            self.high.0,
            self.low.0,
            self.trades,
        ];
        let grid = |grid: Grid| {
            let (mantissa, scale) = grid.parts();
            // Both are small by the grid's own limits.
            (mantissa << 16) | u64::from(scale.cast_unsigned() & 0xffff)
        };
        let sizes = [grid(self.sizes.tick), grid(self.sizes.lot)];
        let mut at = bytes.chunks_exact_mut(8);
        for (number, to) in numbers.iter().chain(&sizes[..1]).zip(at.by_ref()) {
            to.copy_from_slice(&number.to_le_bytes());
        }
        // The second size takes four bytes, so that the record is a round number of words.
        let wide = [self.volume, self.value].map(u128::to_le_bytes);
        bytes[72..88].copy_from_slice(&wide[0]);
        bytes[88..104].copy_from_slice(&wide[1]);
        let lot = u32::try_from(sizes[1]).unwrap_or(u32::MAX);
        bytes[104..108].copy_from_slice(&lot.to_le_bytes());
        let checksum = seal.of(&bytes[..108]);
        bytes[108..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Reads a record; `None` if it is damaged, or of another place.
    pub(super) fn of_record(bytes: &[u8], seal: &Seal<'_>) -> Option<Self> {
        let (content, checksum) = bytes.split_at_checked(108)?;
        (seal.of(content).to_le_bytes() == *checksum).then_some(())?;
        let word = |at: usize| content.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes);
        let wide = |at: usize| content.get(at..at + 16)?.try_into().ok().map(u128::from_le_bytes);
        let lot = content.get(104..108)?.try_into().ok().map(u32::from_le_bytes)?;
        let grid = |packed: u64| {
            let scale = u16::try_from(packed & 0xffff).ok()?.cast_signed();
            Grid::of_parts(packed >> 16, scale.into())
        };
        Some(Self {
            start: word(0)?,
            positions: (Position(word(8)?), Position(word(16)?)),
            open: Ticks(word(24)?),
            close: Ticks(word(32)?),
            high: Ticks(word(40)?),
            low: Ticks(word(48)?),
            trades: word(56)?,
            sizes: Sizes { tick: grid(word(64)?)?, lot: grid(lot.into())? },
            volume: wide(72)?,
            value: wide(88)?,
        })
    }
}

/// Where a record is: its checksum is good for nowhere else.
pub(super) struct Seal<'a> {
    pub market: &'a str,
    pub seconds: u64,
    pub index: u64,
}

impl Seal<'_> {
    fn of(&self, content: &[u8]) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(self.market.as_bytes());
        hasher.update(&self.seconds.to_le_bytes());
        hasher.update(&self.index.to_le_bytes());
        hasher.update(content);
        hasher.finalize()
    }
}

/// A grid that has all values of both.
pub(super) fn common(one: Grid, other: Grid) -> Grid {
    let scale = one.parts().1.max(other.parts().1);
    Grid::of_parts(1, scale).unwrap_or(one)
}

/// How many steps of a finer grid a step has.
pub(super) fn ratio(from: Grid, to: Grid) -> u128 {
    let ((mantissa, scale), (finer, digits)) = (from.parts(), to.parts());
    let shift = u32::try_from(digits - scale).unwrap_or(0);
    u128::from(mantissa).saturating_mul(10_u128.saturating_pow(shift)) / u128::from(finer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(tick: &str, lot: &str) -> Sizes {
        let grid = |text: &str| Grid::new(text.parse().unwrap()).unwrap();
        Sizes { tick: grid(tick), lot: grid(lot) }
    }

    fn candle(price: u64, quantity: u64, position: u64, sizes: Sizes) -> Candle {
        let trade = Traded { position: Position(position), price: Ticks(price), quantity: Lots(quantity) };
        Candle::of(trade, 60, sizes)
    }

    #[test]
    fn a_record_is_read_back_at_its_own_place_only() {
        let seal = |market, seconds, index| Seal { market, seconds, index };
        for sizes in [sizes("0.25", "1000"), sizes("0.000000000000009999", "9999000000000")] {
            let mut candle = candle(u64::MAX, 7, 3, sizes);
            candle.volume = u128::MAX - 5;
            let record = candle.record(&seal("A/B", 60, 7));
            assert_eq!(Candle::of_record(&record, &seal("A/B", 60, 7)), Some(candle));
            for other in [seal("A/C", 60, 7), seal("A/B", 1, 7), seal("A/B", 60, 8)] {
                assert_eq!(Candle::of_record(&record, &other), None);
            }
            for bit in 0..RECORD_BYTES * 8 {
                let mut damaged = record;
                damaged[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(Candle::of_record(&damaged, &seal("A/B", 60, 7)), None, "bit {bit}");
            }
        }
    }

    #[test]
    fn what_counts_in_other_sizes_is_joined_exactly() {
        // 3 at 10.25, then 0.5 at 10.1.
        let mut joined = candle(41, 3, 1, sizes("0.25", "1"));
        joined.join(&candle(101, 5, 2, sizes("0.1", "0.1")));
        let (tick, lot) = (joined.sizes.tick, joined.sizes.lot);
        let prices = [joined.open, joined.high, joined.low, joined.close].map(|price| tick.text(price.0));
        assert_eq!(prices, ["10.25", "10.25", "10.1", "10.1"]);
        assert_eq!(lot.sum_text(joined.volume), "3.5");
        assert_eq!(tick.product_text(lot, joined.value), "35.8");
        assert_eq!((joined.positions, joined.trades), ((Position(1), Position(2)), 2));
    }
}
