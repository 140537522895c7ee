//! Candles beside what a plain reading of all trades gives, with files lost, damaged and of another time.

use std::collections::BTreeMap;

use super::*;
use crate::history::HistoryStore;
use crate::history::tests::{Maker, Rests, rules};
use crate::machine::Change;
use crate::types::{Liquidity, Lots, Ticks};

const MARKET: &str = "BTC/USDT";
const BEGIN: u64 = 1_700_000_000;

/// Trades as (second, price, quantity): some seconds have several, some hours none.
fn trades(count: u64, seed: u64) -> Vec<(u64, u64, u64)> {
    let mut state = seed;
    let mut random = move |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut second = BEGIN;
    let trade = |_| {
        second += [0, 0, 1, 7, 61, 3_700, 90_000][random(7) as usize];
        (second, 90 + random(20), 1 + random(9))
    };
    (0..count).map(trade).collect()
}

/// The trades of blocks, read from what their takers were told.
fn told(blocks: &[Block]) -> Vec<(u64, Ticks, Lots, Position)> {
    let of = |block: &Block| {
        let second = block.time.0 / 1_000_000;
        let fills = block.changes.iter().filter_map(move |change| match change {
            Change::Order { order, fill: Some(fill), .. } if fill.liquidity == Liquidity::Taker => {
                Some((second, fill.price, fill.quantity, order.position))
            }
            _ => None,
        });
        fills.collect::<Vec<_>>()
    };
    blocks.iter().flat_map(of).collect()
}

/// A way to damage a file.
type Way<'a> = &'a dyn Fn(&mut Vec<u8>);

/// Open, high, low, close, volume, trades.
type Bar = (u64, u64, u64, u64, u128, u64);

/// Candles by the words of the proto file.
fn expected(blocks: &[Block], seconds: u64) -> BTreeMap<u64, Bar> {
    let mut bars: BTreeMap<u64, Bar> = BTreeMap::new();
    for (second, Ticks(price), Lots(quantity), _) in told(blocks) {
        let bar = bars.entry(second / seconds * seconds).or_insert((price, price, price, price, 0, 0));
        *bar = (bar.0, bar.1.max(price), bar.2.min(price), price, bar.4 + u128::from(quantity), bar.5 + 1);
    }
    let last = blocks.last().unwrap().time.0 / 1_000_000 / seconds * seconds;
    let mut at = *bars.keys().next().unwrap();
    let mut close = 0;
    while at <= last {
        close = bars.entry(at).or_insert((close, close, close, close, 0, 0)).3;
        at += seconds;
    }
    bars
}

fn bar(candle: &Candle) -> (u64, Bar) {
    let Candle { start, open, high, low, close, volume, trades, .. } = candle;
    (*start, (open.0, high.0, low.0, close.0, *volume, *trades))
}

fn all(history: &History, at_least: Position, seconds: u64) -> BTreeMap<u64, Bar> {
    let mut found = BTreeMap::new();
    let mut begin = Some(Micros(0));
    while begin.is_some() {
        let wanted = CandlesWanted { seconds, begin, end: None, room: 1_000 };
        let page = history.candles(at_least, wanted).unwrap();
        for candle in &page.candles {
            let (start, bar) = bar(candle);
            assert!(found.insert(start, bar).is_none(), "{start} is told twice");
        }
        begin = page.next.map(|second| Micros(second * 1_000_000));
    }
    found
}

fn history(directory: &Path) -> History {
    HistoryStore::open(directory, 1 << 20).unwrap().market(MARKET, &rules())
}

fn blocks(count: u64, seed: u64) -> Vec<Block> {
    let mut maker = Maker::new();
    let rests = Rests { price: Ticks(1), quantity: Lots(1) };
    let block = |(second, price, quantity)| {
        maker.traded(Micros(second * 1_000_000 + 5), &[(Ticks(price), Lots(quantity))], rests)
    };
    trades(count, seed).into_iter().map(block).collect()
}

#[test]
fn candles_of_each_interval_are_those_of_the_trades() {
    let directory = tempfile::tempdir().unwrap();
    let blocks = blocks(400, 7);
    let history = history(directory.path());
    blocks.iter().for_each(|block| history.append(block).unwrap());
    let last = blocks.last().unwrap().last;
    for seconds in [60, 300, 900, 1_800, 3_600, 14_400, 43_200, 86_400] {
        assert!(all(&history, last, seconds) == expected(&blocks, seconds), "{seconds}");
    }
    // Seconds are many: those of the first days.
    let wanted = CandlesWanted { seconds: 15, begin: Some(Micros(0)), end: None, room: 1_000 };
    let page = history.candles(last, wanted).unwrap();
    let of_15: Vec<_> = expected(&blocks, 15).into_iter().take(1_000).collect();
    assert_eq!(page.candles.iter().map(bar).collect::<Vec<_>>(), of_15);
}

#[test]
fn a_day_is_counted_in_whole_seconds_up_to_its_end() {
    let directory = tempfile::tempdir().unwrap();
    let blocks = blocks(600, 11);
    let history = history(directory.path());
    blocks.iter().for_each(|block| history.append(block).unwrap());
    let (last, trades) = (blocks.last().unwrap().last, told(&blocks));
    let (begin, end) = (trades[0].0 - 5, trades.last().unwrap().0 + 90_000);
    for end in (begin..end).step_by(7_919) {
        let day = history.day_traded(last, Some(Micros(end * 1_000_000 + 999_999))).unwrap();
        let within: Vec<_> =
            trades.iter().filter(|(second, ..)| (end - 86_399..=end).contains(second)).collect();
        let prices = within.iter().map(|(_, price, ..)| price.0);
        let sum = within.first().map(|(_, open, ..)| {
            let volume = within.iter().map(|(_, _, quantity, _)| u128::from(quantity.0)).sum();
            (
                open.0,
                prices.clone().max().unwrap(),
                prices.clone().min().unwrap(),
                volume,
                within.len() as u64,
            )
        });
        let found = day.sum.map(|sum| (sum.open.0, sum.high.0, sum.low.0, sum.volume, sum.trades));
        assert_eq!(found, sum, "{end}");
        let before = trades.iter().rev().find(|(second, ..)| *second <= end);
        assert_eq!(day.last.map(|(price, _)| price), before.map(|(_, price, ..)| *price), "{end}");
        assert_eq!(day.begin, end - 86_399);
    }
}

#[test]
fn candles_go_on_after_each_restart_and_are_made_again_from_the_history() {
    let directory = tempfile::tempdir().unwrap();
    let blocks = blocks(400, 3);
    let expected = expected(&blocks, 3_600);
    let last = blocks.last().unwrap().last;
    let mut at = 0;
    for until in [10, 200, 300, 399, 400] {
        let history = history(directory.path());
        blocks[at..until].iter().for_each(|block| history.append(block).unwrap());
        at = until;
    }
    assert!(all(&history(directory.path()), last, 3_600) == expected);
    let files = || {
        let files = std::fs::read_dir(directory.path().join("series/BTC-USDT")).unwrap();
        files.map(|file| file.unwrap().path()).collect::<Vec<_>>()
    };
    assert_eq!(files().len(), 5, "{:?}", files());
    for file in files() {
        let whole = std::fs::read(&file).unwrap();
        let middle = whole.len() / 2;
        let ways: [Way<'_>; 5] = [
            &|bytes| bytes[20] ^= 1,
            &|bytes| bytes[middle] ^= 1,
            &|bytes| bytes.truncate(middle),
            &|bytes| bytes.fill(0),
            &|bytes| bytes.clear(),
        ];
        for (number, way) in ways.iter().enumerate() {
            let mut bytes = whole.clone();
            way(&mut bytes);
            std::fs::write(&file, &bytes).unwrap();
            let history = history(directory.path());
            for seconds in [3_600, 86_400] {
                assert!(
                    all(&history, last, seconds) == super::tests::expected(&blocks, seconds),
                    "{file:?} {number}"
                );
            }
            std::fs::write(&file, &whole).unwrap();
        }
        std::fs::remove_file(&file).unwrap();
        assert!(all(&history(directory.path()), last, 3_600) == expected, "{file:?} is gone");
    }
    std::fs::remove_dir_all(directory.path().join("series")).unwrap();
    assert!(all(&history(directory.path()), last, 3_600) == expected);
}

#[test]
fn candles_of_another_past_are_made_again() {
    let directory = tempfile::tempdir().unwrap();
    let (one, other) = (blocks(300, 1), blocks(300, 2));
    let history_of = |blocks: &[Block]| {
        let history = history(directory.path());
        blocks.iter().for_each(|block| history.append(block).unwrap());
        history
    };
    drop(history_of(&one));
    // All of the history is another one's, but for the candles.
    for file in std::fs::read_dir(directory.path()).unwrap().map(|file| file.unwrap().path()) {
        if file.is_file() {
            std::fs::remove_file(file).unwrap();
        }
    }
    let history = history_of(&other);
    let last = other.last().unwrap().last;
    assert!(all(&history, last, 3_600) == expected(&other, 3_600));
}

#[test]
fn who_asks_for_more_than_there_is_is_told_what_is_missing() {
    let directory = tempfile::tempdir().unwrap();
    let history = history(directory.path());
    let blocks = blocks(20, 5);
    // The first ones are a gap.
    history.reach_to(blocks[9].last, blocks[9].chain.1).unwrap();
    blocks[10..].iter().for_each(|block| history.append(block).unwrap());
    let wanted = CandlesWanted { seconds: 60, begin: None, end: None, room: 5 };
    let error = history.candles(blocks[19].last, wanted).unwrap_err();
    assert!(matches!(error, HistoryError::Away { first: Position(1), .. }), "{error}");
    // They come later.
    blocks[..10].iter().for_each(|block| history.append(block).unwrap());
    let page = history.candles(blocks[19].last, wanted).unwrap();
    assert_eq!(page.candles.len(), 5);
    assert_eq!(page.candles.iter().map(bar).collect::<Vec<_>>(), {
        let all: Vec<_> = expected(&blocks, 60).into_iter().collect();
        all[all.len() - 5..].to_vec()
    });
}
