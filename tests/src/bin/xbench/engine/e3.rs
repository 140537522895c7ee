//! E3: single operations on books of many sizes. The cost must stay flat as the book grows.
//!
//! All orders rest on the sell side, at random levels, placed by three nodes in turn. Each measurement
//! works on batches, as a lease holder does: the commands are made beforehand, the batch is timed as a
//! whole for the rate, [`Book::warm`] included, and what it changed in the book's size is put back
//! untimed. Percentiles are from batches of their own with a clock around each operation, not warmed:
//! what a command costs that comes alone.

use std::collections::HashMap;
use std::hint::black_box;

use anyhow::{Result, ensure};
use rand_mt::Mt;
use xbook::book::{Book, Command, Event, NewOrder, Owner, Prevention, Resting, Style};
use xbook::types::{Lots, NodeId, OrderId, Side, Ticks};

use super::{Effort, memory};
use crate::output::{Latencies, Printer, Rates, Row};
use xbook_tests::clock::Stopwatch;

const SIZES: [usize; 4] = [1_000, 10_000, 100_000, 1_000_000];
const LEVELS: [u32; 3] = [1, 10, 1_000];
const TAKES: [usize; 4] = [1, 10, 100, 1_000];
const BEST_SELL: u64 = 1_000_000;
const QUANTITY: u64 = 1_000_000;
/// How many commands are warmed at a time.
const WARMED: usize = 128;
/// Against this size the largest is compared.
const REFERENCE: usize = 10_000;

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Operation {
    Add,
    Cancel,
    AmendDown,
    AmendUp,
    Take(usize),
}

impl Operation {
    fn name(self) -> String {
        match self {
            Self::Add => "add".into(),
            Self::Cancel => "cancel".into(),
            Self::AmendDown => "amend-down".into(),
            Self::AmendUp => "amend-up".into(),
            Self::Take(makers) => format!("ioc-takes-{makers}"),
        }
    }
}

fn operations() -> impl Iterator<Item = Operation> {
    [Operation::Add, Operation::Cancel, Operation::AmendDown, Operation::AmendUp]
        .into_iter()
        .chain(TAKES.map(Operation::Take))
}

fn sizes(effort: Effort) -> impl Iterator<Item = usize> {
    SIZES.into_iter().filter(move |size| !effort.quick || *size <= 100_000)
}

pub fn steps(effort: Effort) -> u64 {
    (sizes(effort).count() * LEVELS.len() * (operations().count() + 1)) as u64
}

pub fn run(printer: &Printer, effort: Effort) -> Result<()> {
    printer.title(
        "E3: grid of sizes; rates: batches of up to 1,000, warmed 128 at a time; percentiles: one by one",
    );
    let mut costs = HashMap::new();
    for levels in LEVELS {
        for size in sizes(effort) {
            let cell = format!("E3 {size}x{levels}");
            printer.doing(&cell);
            printer.row(&rebuild(&cell, size, levels, effort)?);
            printer.step();
            for operation in operations() {
                let row = measure(&cell, size, levels, operation, effort, printer.clock_ns)?;
                costs.insert((operation, size, levels), 1e9 / row.ops_per_s);
                printer.row(&row);
                printer.step();
            }
        }
    }
    summarize(printer, &costs);
    Ok(())
}

fn summarize(printer: &Printer, costs: &HashMap<(Operation, usize, u32), f64>) {
    let Some(largest) = costs.keys().map(|(_, size, _)| *size).max() else { return };
    for bytes in [memory::SMALL_BYTES, memory::LARGE_BYTES] {
        let (dependent, independent) = memory::read_ns(bytes);
        printer.say(&format!(
            "this machine: a random read among {} MiB takes {dependent:.0} ns after another, {independent:.1} ns among others",
            bytes >> 20
        ));
    }
    printer.say(&format!("\nE3: ns an operation at {REFERENCE} -> at {largest} resting orders (ratio)"));
    for operation in operations() {
        let mut line = format!("{:<16}", operation.name());
        for levels in LEVELS {
            let cost = |size| costs.get(&(operation, size, levels)).copied().unwrap_or(f64::NAN);
            let (small, large) = (cost(REFERENCE), cost(largest));
            line.push_str(&format!(
                "  {levels:>5} levels {small:>7.0} -> {large:>7.0} ({:.2})",
                large / small
            ));
        }
        printer.say(&line);
    }
}

/// A book of the grid, and what is needed to make commands for it.
struct Cell {
    book: Book,
    random: Mt,
    levels: u32,
    /// The resting orders with their price and quantity, in no order.
    resting: Vec<(OrderId, u64, u64)>,
    next: u64,
    events: Vec<Event>,
}

impl Cell {
    fn new(size: usize, levels: u32) -> Self {
        let mut cell = Self {
            book: Book::new(),
            random: Mt::new(7),
            levels,
            resting: Vec::with_capacity(size),
            next: 0,
            events: Vec::with_capacity(2_048),
        };
        let commands: Vec<_> = (0..size).map(|_| cell.add()).collect();
        for command in &commands {
            _ = cell.book.apply(command, &mut cell.events);
        }
        cell
    }

    fn below(&mut self, bound: usize) -> usize {
        ((u64::from(self.random.next_u32()) * bound as u64) >> 32) as usize
    }

    fn add(&mut self) -> Command {
        self.next += 1;
        let id = OrderId { node: NodeId(0x5eed + self.next % 3), counter: self.next / 3 + 1 };
        let price = BEST_SELL + self.below(self.levels as usize) as u64;
        self.resting.push((id, price, QUANTITY));
        Command::Place(NewOrder::new(id, Side::Sell, Some(Ticks(price)), Lots(QUANTITY), Style::Rest))
    }

    fn command(&mut self, operation: Operation) -> Command {
        match operation {
            Operation::Add => self.add(),
            Operation::Cancel => {
                let place = self.below(self.resting.len());
                Command::Cancel { id: self.resting.swap_remove(place).0 }
            }
            Operation::AmendDown | Operation::AmendUp => {
                let place = self.below(self.resting.len());
                let (id, price, quantity) = &mut self.resting[place];
                *quantity = if operation == Operation::AmendDown { *quantity - 1 } else { *quantity + 1 };
                Command::Amend {
                    id: *id,
                    price: Ticks(*price),
                    open: Lots(*quantity),
                    post_only: false,
                    prevention: Prevention::Allow,
                }
            }
            Operation::Take(makers) => {
                self.next += 1;
                let id = OrderId { node: NodeId(0x5eed + self.next % 3), counter: self.next / 3 + 1 };
                let quantity = Lots(QUANTITY * makers as u64);
                Command::Place(NewOrder::new(id, Side::Buy, None, quantity, Style::Cancel))
            }
        }
    }

    /// Brings the book back to its size after a batch.
    fn restore(&mut self, operation: Operation, count: usize) {
        let commands: Vec<_> = match operation {
            Operation::Add => (0..count).map(|_| self.command(Operation::Cancel)).collect(),
            Operation::Cancel => (0..count).map(|_| self.add()).collect(),
            Operation::Take(makers) => (0..count * makers).map(|_| self.add()).collect(),
            Operation::AmendDown | Operation::AmendUp => Vec::new(),
        };
        for command in &commands {
            _ = self.book.apply(command, &mut self.events);
        }
    }

    /// Applies a batch. Returns how many commands did not do what they are for.
    #[inline]
    fn apply(&mut self, commands: &[Command], mut after: impl FnMut()) -> usize {
        let mut wrong = 0;
        for command in commands {
            self.events.clear();
            let result = black_box(self.book.apply(command, &mut self.events));
            // A new order that is removed had nothing to take, or too little.
            let short = matches!(command, Command::Place(_))
                && matches!(self.events.last(), Some(Event::Removed { .. }));
            wrong += usize::from(result.is_err() || short);
            after();
        }
        wrong
    }
}

fn measure(
    cell_name: &str,
    size: usize,
    levels: u32,
    operation: Operation,
    effort: Effort,
    clock_ns: u64,
) -> Result<Row> {
    let mut cell = Cell::new(size, levels);
    let makers = if let Operation::Take(makers) = operation { makers } else { 1 };
    let batch = (1_000.min(size / 10) / makers).max(1);
    let (batches, timed_each) = if effort.quick { (30, 3_000) } else { (300, 30_000) };
    let mut wrong = 0;
    let mut rates = Vec::new();
    let mut allocations = 0;
    // The first batches warm the book up; they are not counted.
    for number in 0..batches + batches / 5 {
        let commands: Vec<_> = (0..batch).map(|_| cell.command(operation)).collect();
        let watch = Stopwatch::start();
        let counted = allocation_counter::measure(|| {
            for group in commands.chunks(WARMED) {
                cell.book.warm(group);
                wrong += cell.apply(group, || {});
            }
        });
        let seconds = watch.elapsed().as_secs_f64();
        if number >= batches / 5 {
            rates.push(batch as f64 / seconds);
            allocations += counted.count_total;
        }
        cell.restore(operation, batch);
    }
    let mut latencies = Latencies::with_capacity(timed_each);
    for _ in 0..(timed_each / makers.min(100) / batch).max(1) {
        let commands: Vec<_> = (0..batch).map(|_| cell.command(operation)).collect();
        let mut watch = Stopwatch::start();
        wrong += cell.apply(&commands, || {
            latencies.push(watch.elapsed_ns());
            watch = Stopwatch::start();
        });
        cell.restore(operation, batch);
    }
    let name = format!("{cell_name} {}", operation.name());
    ensure!(wrong == 0, "{name}: {wrong} commands did not do what they are for");
    ensure!(cell.book.len() == size, "{name}: {} orders rest", cell.book.len());
    cell.book.audit().map_err(|rule| anyhow::anyhow!("{name}: {rule}"))?;
    let mut row = Row { workload: name, engine: "xbook".into(), verified: true, ..Row::default() };
    row.allocs_per_op = Some(allocations as f64 / (batches * batch) as f64);
    Rates::new(rates).fill(&mut row);
    latencies.fill(&mut row, clock_ns);
    Ok(row)
}

/// A book made anew from its orders, as a lease holder does: the rate is orders a second.
fn rebuild(cell_name: &str, size: usize, levels: u32, effort: Effort) -> Result<Row> {
    let book = Cell::new(size, levels).book;
    let orders: Vec<_> = book.orders(Side::Sell).collect();
    let mut rates = Vec::new();
    let mut row = Row { workload: format!("{cell_name} rebuild"), engine: "xbook".into(), ..Row::default() };
    for _ in 0..effort.repeats {
        let watch = Stopwatch::start();
        let mut rebuilt = Book::with_capacity(size);
        for order in &orders {
            let Resting { id, side, price, open, .. } = *order;
            let (display, owner) = (Lots::ZERO, Owner::NOBODY);
            rebuilt.replay(&Event::Rested { order: id, side, price, open, display, owner })?;
        }
        rates.push(size as f64 / watch.elapsed().as_secs_f64());
        row.verified = rebuilt.digest() == book.digest();
        row.bytes_per_order = Some(rebuilt.allocated_bytes() as f64 / size as f64);
    }
    ensure!(row.verified, "{}: the rebuilt book has another digest", row.workload);
    Rates::new(rates).fill(&mut row);
    let mean_ns = (1e9 / row.ops_per_s) as u64;
    (row.p50_ns, row.p99_ns, row.p999_ns, row.max_ns) = (mean_ns, mean_ns, mean_ns, mean_ns);
    row.note = Some("timed as a whole: the percentiles are the mean".into());
    Ok(row)
}
