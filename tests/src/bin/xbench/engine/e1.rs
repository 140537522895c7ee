//! E1: the public order flow. The report's hash is checked first, outside the timed part.

use std::hint::black_box;

use anyhow::{Result, ensure};
use xbook::book::{Book, Command, Event};
use xbook_tests::workload::e1::{FULL_COUNT, Message, QUICK_COUNT, Scenario, messages};
use xbook_tests::workload::report::report_hash;

use super::Effort;
use crate::output::{Latencies, Printer, Rates, Row};
use xbook_tests::clock::Stopwatch;

pub fn steps(effort: Effort) -> u64 {
    Scenario::ALL.len() as u64 * (effort.repeats as u64 + 2)
}

pub fn run(printer: &Printer, effort: Effort) -> Result<()> {
    let count = if effort.quick { QUICK_COUNT } else { FULL_COUNT };
    printer.title(&format!(
        "E1: the public order flow, {count} orders; a fresh book each repeat, every fill in a checksum"
    ));
    for scenario in Scenario::ALL {
        let workload = format!("E1 {}", scenario.name());
        printer.doing(&workload);
        let messages = messages(scenario, count);
        let mut row = Row {
            workload,
            engine: "xbook".into(),
            verified: verify(scenario, &messages)?,
            ..Row::default()
        };
        printer.step();
        let commands: Vec<Command> = messages.iter().map(Message::command).collect();
        let mut rates = Vec::new();
        for _ in 0..effort.repeats {
            let watch = Stopwatch::start();
            black_box(play(&commands));
            rates.push(commands.len() as f64 / watch.elapsed().as_secs_f64());
            printer.step();
        }
        Rates::new(rates).fill(&mut row);
        time_each(&commands).fill(&mut row, printer.clock_ns);
        printer.step();
        printer.row(&row);
    }
    Ok(())
}

fn verify(scenario: Scenario, messages: &[Message]) -> Result<bool> {
    let mut book = Book::new();
    let hash = report_hash(messages, |command, events| {
        (book.get(command.id()).map(|order| order.price), book.apply(command, events))
    })
    .map_err(|message| anyhow::anyhow!("a new order was refused: {message:?}"))?;
    let expected = match messages.len() {
        0..100_000 => scenario.known_hash(QUICK_COUNT),
        _ => scenario.known_hash(FULL_COUNT),
    };
    ensure!(expected == Some(hash.as_str()), "{}: the report's hash is {hash}", scenario.name());
    Ok(true)
}

/// The timed part: applies all commands to a new book and folds every trade into a checksum.
#[inline(never)]
fn play(commands: &[Command]) -> (u64, usize) {
    let mut book = Book::new();
    let mut events: Vec<Event> = Vec::with_capacity(1024);
    let mut checksum = 0u64;
    for command in commands {
        events.clear();
        _ = black_box(book.apply(command, &mut events));
        for event in &events {
            let Event::Traded(trade) = event else {
                continue;
            };
            checksum = checksum
                .wrapping_mul(31)
                .wrapping_add(trade.maker.counter ^ trade.price.0 ^ trade.quantity.0);
        }
    }
    (checksum, book.len())
}

fn time_each(commands: &[Command]) -> Latencies {
    let mut book = Book::new();
    let mut events: Vec<Event> = Vec::with_capacity(1024);
    let mut latencies = Latencies::with_capacity(commands.len());
    for command in commands {
        events.clear();
        let watch = Stopwatch::start();
        _ = black_box(book.apply(command, &mut events));
        latencies.push(watch.elapsed_ns());
    }
    latencies
}
