//! A warm book does not allocate. In a file of its own, since the counting allocator is the whole
//! program's.

use xbook::book::{Book, Command, Event};
use xbook::types::Side;
use xbook_tests::workload::e1::{self, QUICK_COUNT, Scenario};

fn run(book: &mut Book, commands: &[Command], events: &mut Vec<Event>) {
    for command in commands {
        events.clear();
        // A cancel may come too late.
        _ = book.apply(command, events);
    }
    for side in [Side::Buy, Side::Sell] {
        loop {
            let Some(order) = book.orders(side).next() else { break };
            book.apply(&Command::Cancel { id: order.id }, events).expect("it rests");
            events.clear();
        }
    }
}

#[test]
fn a_book_that_has_seen_its_largest_size_does_not_allocate() {
    for scenario in Scenario::ALL {
        let commands: Vec<_> = e1::messages(scenario, QUICK_COUNT).iter().map(e1::Message::command).collect();
        let (mut book, mut events) = (Book::new(), Vec::new());
        let cold = allocation_counter::measure(|| run(&mut book, &commands, &mut events));
        let warm = allocation_counter::measure(|| run(&mut book, &commands, &mut events));
        assert!(cold.count_total > 0, "the counter counts");
        assert_eq!(warm.count_total, 0, "{}", scenario.name());
        assert!(book.is_empty());
    }
}
