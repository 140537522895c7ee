//! Workload E1's published hashes, by the naive book and by the fast one.

use xbook::book::Book;
use xbook_tests::naive::NaiveBook;
use xbook_tests::workload::e1::{self, FULL_COUNT, QUICK_COUNT, Scenario};
use xbook_tests::workload::report::report_hash;

fn fast(scenario: Scenario, count: u32) -> String {
    let mut book = Book::new();
    let hash = report_hash(&e1::messages(scenario, count), |command, events| {
        (book.get(command.id()).map(|order| order.price), book.apply(command, events))
    });
    assert_eq!(book.audit(), Ok(()));
    hash.expect("no new order is refused")
}

#[test]
fn both_books_write_the_known_report_for_20_000_orders() {
    for scenario in Scenario::ALL {
        let messages = e1::messages(scenario, QUICK_COUNT);
        assert_eq!(messages.len(), 39_878);
        let mut naive = NaiveBook::default();
        let hash = report_hash(&messages, |command, events| {
            (naive.get(command.id()).map(|order| order.price), naive.apply(command, events))
        });
        let expected = scenario.known_hash(QUICK_COUNT).expect("it is known");
        assert_eq!(hash.as_deref(), Ok(expected), "naive, {}", scenario.name());
        assert_eq!(fast(scenario, QUICK_COUNT), expected, "{}", scenario.name());
    }
}

#[test]
fn the_published_hash_of_static() {
    published(Scenario::Static);
}

#[test]
fn the_published_hash_of_normal() {
    published(Scenario::Normal);
}

#[test]
fn the_published_hash_of_swing_25() {
    published(Scenario::Swing25);
}

fn published(scenario: Scenario) {
    let expected = scenario.known_hash(FULL_COUNT).expect("it is known");
    assert_eq!(fast(scenario, FULL_COUNT), expected);
}
