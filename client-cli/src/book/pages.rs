//! A book that is read a page at a time, as the proto says how its pages fit together.

use std::collections::HashSet;

use xbook_proto::v1::{GetOrderBookResponse, Level};

/// What the pages have so far.
pub struct BookPages {
    /// As one answer, as of the last page's position.
    pub answer: GetOrderBookResponse,
    first_position: u64,
    count: u32,
    /// Whether there is no more of the bids and of the asks.
    ended: [bool; 2],
}

impl BookPages {
    /// The first page.
    pub fn new(answer: GetOrderBookResponse) -> Self {
        let mut pages = Self { first_position: answer.position, count: 1, ended: [false; 2], answer };
        pages.end([pages.answer.bids.len(), pages.answer.asks.len()]);
        pages
    }

    /// The next page.
    pub fn add(&mut self, page: GetOrderBookResponse) {
        self.count += 1;
        self.answer.position = page.position;
        self.answer.next_page_token = page.next_page_token;
        self.end([page.bids.len(), page.asks.len()]);
        add(&mut self.answer.bids, page.bids);
        add(&mut self.answer.asks, page.asks);
    }

    /// Nothing comes after a page that has nothing of a side.
    fn end(&mut self, counts: [usize; 2]) {
        self.ended = [0, 1].map(|side| self.ended[side] || counts[side] == 0);
    }

    /// Names the page after these; empty if there is none.
    pub fn next_page_token(&self) -> String {
        self.answer.next_page_token.clone()
    }

    /// Whether so many levels of both sides are there, or all.
    pub fn has(&self, depth: usize) -> bool {
        let full =
            |side: &[Level]| side.len() > depth || side.get(depth.wrapping_sub(1)).is_some_and(is_whole);
        let [bids, asks] = self.ended;
        self.answer.next_page_token.is_empty()
            || (bids || full(&self.answer.bids)) && (asks || full(&self.answer.asks))
    }

    /// The best levels of each side.
    pub fn cut(mut self, depth: usize) -> Self {
        self.answer.bids.truncate(depth);
        self.answer.asks.truncate(depth);
        self
    }

    /// What people are told of a book that changed while it was read.
    pub fn note(&self) -> String {
        let (first, last) = (self.first_position, self.answer.position);
        if first == last {
            return String::new();
        }
        format!(
            "It was read in {} pages, from position {first} to {last}: what changed meanwhile may be missing.\n",
            self.count
        )
    }
}

/// Whether all orders of a level are there, or none is wanted.
fn is_whole(level: &Level) -> bool {
    level.orders.is_empty() || level.orders.len() >= level.order_count as usize
}

fn add(levels: &mut Vec<Level>, page: Vec<Level>) {
    // What is told twice has moved in between: the later page counts.
    let told: HashSet<&str> =
        page.iter().flat_map(|level| &level.orders).map(|order| order.order_id.as_str()).collect();
    if !told.is_empty() {
        levels
            .iter_mut()
            .for_each(|level| level.orders.retain(|order| !told.contains(order.order_id.as_str())));
    }
    for mut level in page {
        match levels.last_mut().filter(|last| last.price == level.price) {
            Some(last) if level.continued => {
                level.orders.splice(..0, std::mem::take(&mut last.orders));
                *last = Level { continued: false, ..level };
            }
            Some(last) => *last = level,
            None => levels.push(level),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use xbook_proto::v1::BookOrder;

    fn level(price: &str, order_count: u32, orders: &[&str], continued: bool) -> Level {
        let order = |id: &&str| BookOrder { order_id: (*id).to_owned(), quantity: "1".to_owned() };
        let orders = orders.iter().map(order).collect();
        Level { price: price.to_owned(), order_count, orders, continued, ..Level::default() }
    }

    fn page(position: u64, bids: Vec<Level>, token: &str) -> GetOrderBookResponse {
        GetOrderBookResponse { position, bids, next_page_token: token.to_owned(), ..Default::default() }
    }

    fn told(pages: &BookPages) -> Vec<(&str, Vec<&str>)> {
        pages.answer.bids.iter().map(|level| (level.price.as_str(), ids_of(level))).collect()
    }

    fn ids_of(level: &Level) -> Vec<&str> {
        level.orders.iter().map(|order| order.order_id.as_str()).collect()
    }

    #[test]
    fn a_level_goes_on_or_is_told_again() {
        let mut pages =
            BookPages::new(page(5, vec![level("10", 1, &["a"], false), level("9", 3, &["b"], false)], "t"));
        pages.add(page(6, vec![level("9", 3, &["c"], true)], "u"));
        assert_eq!(told(&pages), [("10", vec!["a"]), ("9", vec!["b", "c"])]);
        pages.add(page(7, vec![level("9", 2, &["c", "d"], false), level("8", 1, &["e"], false)], ""));
        assert_eq!(told(&pages), [("10", vec!["a"]), ("9", vec!["c", "d"]), ("8", vec!["e"])]);
        let note = "It was read in 3 pages, from position 5 to 7: what changed meanwhile may be missing.\n";
        assert_eq!((pages.note().as_str(), pages.has(99)), (note, true));
        assert_eq!(told(&pages.cut(1)), [("10", vec!["a"])]);
    }

    #[test]
    fn an_order_that_moved_is_where_the_later_page_has_it() {
        let mut pages = BookPages::new(page(5, vec![level("10", 2, &["a", "b"], false)], "t"));
        pages.add(page(6, vec![level("9", 1, &["b"], false)], ""));
        assert_eq!(told(&pages), [("10", vec!["a"]), ("9", vec!["b"])]);
    }

    #[test]
    fn a_level_that_is_cut_is_not_there_yet() {
        let mut pages = BookPages::new(page(5, vec![level("10", 3, &["a", "b"], false)], "t"));
        pages.answer.asks = vec![level("11", 1, &["x"], false)];
        assert!(!pages.has(1));
        pages.add(page(5, vec![level("10", 3, &["c"], true), level("9", 1, &["d"], false)], "u"));
        assert!(pages.has(2) && !pages.has(3));
        assert_eq!(pages.note(), "");
    }

    #[test]
    fn a_side_without_more_does_not_have_the_other_read_to_its_end() {
        let mut pages = BookPages::new(page(5, vec![level("10", 1, &[], false)], "t"));
        pages.answer.asks = vec![level("11", 1, &[], false)];
        pages.ended = [false; 2];
        assert!(pages.has(1) && !pages.has(2));
        pages.add(page(5, vec![level("9", 1, &[], false)], "u"));
        assert!(pages.has(2) && !pages.has(3), "there is one ask in all");
    }
}
