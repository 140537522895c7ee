//! E2: public engines and ours on the same messages, in one run and in turn.
//!
//! Every fill is folded into a checksum. The naive book says which fills are right: an engine with
//! others is INVALID, and its rate is printed only for interest.

use std::hint::black_box;

use anyhow::{Result, ensure};
use xbook_tests::naive::NaiveBook;
use xbook_tests::workload::e1::{Message, QUICK_COUNT, Scenario, messages};
use xbook_tests::workload::report::Trade;

use super::Effort;
use super::peers::{Engine, Matchcore, Nanobook, OrderbookRs, RustOb, Xbook};
use crate::output::{Latencies, Printer, Rates, Row};
use xbook_tests::clock::Stopwatch;

const COUNT: u32 = 200_000;
const ENGINES: u64 = 5;

pub fn steps(effort: Effort) -> u64 {
    ENGINES * (repeats(effort) as u64 + 2)
}

fn repeats(effort: Effort) -> usize {
    if effort.quick { effort.repeats } else { effort.repeats.max(10) }
}

pub fn run(printer: &Printer, effort: Effort) -> Result<()> {
    let count = if effort.quick { QUICK_COUNT } else { COUNT };
    printer.title(&format!(
        "E2: peers on E1's messages (normal, {count} orders), fresh books, engines in turn, ids mapped before"
    ));
    let messages = messages(Scenario::Normal, count);
    printer.doing("E2: the naive book");
    let right = naive_checksum(&messages);
    let engines: [Box<dyn Contestant>; ENGINES as usize] = [
        enter::<Xbook>(&messages),
        enter::<Nanobook>(&messages),
        enter::<Matchcore>(&messages),
        enter::<RustOb>(&messages),
        enter::<OrderbookRs>(&messages),
    ];
    let mut verified = Vec::new();
    for engine in &engines {
        printer.doing(engine.name());
        verified.push(engine.checksum(&messages) == right);
        printer.step();
    }
    let mut rates = vec![Vec::new(); engines.len()];
    for _ in 0..repeats(effort) {
        for (engine, rates) in engines.iter().zip(&mut rates) {
            printer.doing(engine.name());
            rates.push(messages.len() as f64 / engine.play());
            printer.step();
        }
    }
    let mut ours = f64::NAN;
    for ((engine, rates), verified) in engines.iter().zip(rates).zip(verified) {
        let mut row = Row {
            workload: format!("E2 normal {count}"),
            engine: engine.name().into(),
            verified,
            ..Row::default()
        };
        let rates = Rates::new(rates);
        rates.fill(&mut row);
        engine.time_each(messages.len()).fill(&mut row, printer.clock_ns);
        printer.step();
        if engine.name() == Xbook::NAME {
            ensure!(verified, "our own fills are not those of the naive book");
            ours = rates.median();
        }
        let ratio = format!("{:.3} of ours", rates.median() / ours);
        row.note = Some(engine.note().map_or(ratio.clone(), |note| format!("{ratio}; {note}")));
        printer.row(&row);
    }
    Ok(())
}

/// An engine with the messages made ready for it.
trait Contestant {
    fn name(&self) -> &'static str;
    fn note(&self) -> Option<&'static str>;
    /// Applies all messages to a new book; the seconds that it took.
    fn play(&self) -> f64;
    fn time_each(&self, messages: usize) -> Latencies;
    /// Of all fills, in the workload's numbers.
    fn checksum(&self, messages: &[Message]) -> u64;
}

struct Entered<E: Engine> {
    natives: Vec<E::Native>,
    order_of: Vec<u32>,
}

fn enter<E: Engine + 'static>(messages: &[Message]) -> Box<dyn Contestant> {
    let (natives, order_of) = E::prepare(messages);
    Box::new(Entered::<E> { natives, order_of })
}

#[inline]
fn fold(checksum: u64, maker: u64, price: u64, quantity: u64) -> u64 {
    let mixed = checksum ^ maker ^ price.rotate_left(24) ^ quantity.rotate_left(48);
    mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
}

impl<E: Engine> Contestant for Entered<E> {
    fn name(&self) -> &'static str {
        E::NAME
    }

    fn note(&self) -> Option<&'static str> {
        E::NOTE
    }

    fn play(&self) -> f64 {
        let mut engine = E::new();
        let mut checksum = 0;
        let watch = Stopwatch::start();
        for native in &self.natives {
            engine.apply(native, &mut |maker, price, quantity| {
                checksum = fold(checksum, maker, price, quantity);
            });
        }
        let seconds = watch.elapsed().as_secs_f64();
        black_box(checksum);
        seconds
    }

    fn time_each(&self, messages: usize) -> Latencies {
        let mut engine = E::new();
        let mut checksum = 0;
        let mut latencies = Latencies::with_capacity(messages);
        for native in &self.natives {
            let watch = Stopwatch::start();
            engine.apply(native, &mut |maker, price, quantity| {
                checksum = fold(checksum, maker, price, quantity);
            });
            latencies.push(watch.elapsed_ns());
        }
        black_box(checksum);
        latencies
    }

    fn checksum(&self, messages: &[Message]) -> u64 {
        let mut engine = E::new();
        let mut checksum = 0;
        for (native, message) in self.natives.iter().zip(messages) {
            engine.apply(native, &mut |maker, price, quantity| {
                let maker = match self.order_of.is_empty() {
                    true => maker,
                    false => self.order_of.get(maker as usize).copied().unwrap_or(0).into(),
                };
                checksum = fold(checksum ^ u64::from(message.seq), maker, price, quantity);
            });
        }
        checksum
    }
}

fn naive_checksum(messages: &[Message]) -> u64 {
    let mut book = NaiveBook::default();
    let mut events = Vec::new();
    let mut checksum = 0;
    for message in messages {
        events.clear();
        // A cancel may come too late: it is refused and trades nothing.
        _ = book.apply(&message.command(), &mut events);
        for trade in events.iter().filter_map(Trade::of) {
            let seen = checksum ^ u64::from(message.seq);
            checksum = fold(seen, u64::from(trade.maker), trade.price, trade.quantity);
        }
    }
    checksum
}
