//! A market's book for all its subscribers on this node, and what changed in it lately.
//!
//! There is one while anybody subscribes to the book. Nobody has to drive it: who reads it lets it take the
//! blocks that came since.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::broadcast::{self, error::TryRecvError};

use crate::api::error::Refusal;
use crate::api::market_data::books::read_market;
use crate::book::Resting;
use crate::machine::{Block, Market};
use crate::mirror::{Mirror, Moved, Place};
use crate::node::MarketHandle;
use crate::types::{OrderId, Position, Side, Ticks};

/// Most changes that are remembered, for who is behind: some 8 MiB.
const MOST_REMEMBERED: usize = 65_536;

/// The feeds of a node.
#[derive(Clone, Default)]
pub(in crate::api) struct Feeds(Arc<Mutex<HashMap<String, Weak<Feed>>>>);

/// A market's.
pub(in crate::api) struct Feed {
    state: tokio::sync::Mutex<Option<Book>>,
}

/// The book as of a position.
pub(in crate::api) struct Book {
    pub mirror: Mirror,
    pub position: Position,
    live: broadcast::Receiver<Arc<Block>>,
    /// What changed, by the last position of its block.
    lately: VecDeque<(Position, Vec<Moved>)>,
    remembered: usize,
    /// All that came after this position is remembered.
    since: Position,
}

impl Feeds {
    /// The feed of a market.
    pub fn of(&self, market: &MarketHandle) -> Arc<Feed> {
        let mut feeds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(feed) = feeds.get(market.name()).and_then(Weak::upgrade) {
            return feed;
        }
        let feed = Arc::new(Feed { state: tokio::sync::Mutex::new(None) });
        feeds.insert(market.name().to_owned(), Arc::downgrade(&feed));
        feed
    }
}

impl Feed {
    /// Reads the newest book.
    pub async fn read<T>(&self, market: &MarketHandle, read: impl FnOnce(&Book) -> T) -> Result<T, Refusal> {
        let mut state = self.state.lock().await;
        if !state.as_mut().is_some_and(Book::advance) {
            *state = Some(Book::load(market).await?);
        }
        match &*state {
            Some(book) => Ok(read(book)),
            None => Err(Refusal::shutting_down()),
        }
    }
}

impl Book {
    async fn load(market: &MarketHandle) -> Result<Self, Refusal> {
        let live = market.subscribe();
        let all = |market: &Market| {
            let orders = |side| market.book().orders(side);
            orders(Side::Buy).chain(orders(Side::Sell)).collect::<Vec<Resting>>()
        };
        let (orders, position) = read_market(market, all).await?;
        let mirror = Mirror::of(orders.into_iter());
        Ok(Self { mirror, position, live, lately: VecDeque::new(), remembered: 0, since: position })
    }

    /// Takes the blocks that came since; `false` if it has to be loaded again.
    fn advance(&mut self) -> bool {
        loop {
            match self.live.try_recv() {
                Ok(block) if block.last <= self.position => {}
                Ok(block) if block.first == self.position.next() => self.take(&block),
                Err(TryRecvError::Empty) => return true,
                Ok(_) | Err(TryRecvError::Lagged(_) | TryRecvError::Closed) => return false,
            }
        }
    }

    fn take(&mut self, block: &Block) {
        let moved: Vec<Moved> = block.changes.iter().filter_map(|change| self.mirror.apply(change)).collect();
        self.position = block.last;
        self.remembered += moved.len();
        self.lately.push_back((block.last, moved));
        while self.remembered > MOST_REMEMBERED || self.lately.len() > MOST_REMEMBERED {
            let Some((last, moved)) = self.lately.pop_front() else { break };
            self.since = last;
            self.remembered -= moved.len();
        }
    }

    /// What changed after a position; `None` if that is not remembered.
    fn after(&self, position: Position) -> Option<impl Iterator<Item = &Moved>> {
        (self.since..=self.position).contains(&position).then_some(())?;
        let from = self.lately.partition_point(|(last, _)| *last <= position);
        Some(self.lately.range(from..).flat_map(|(_, moved)| moved))
    }

    /// The levels that were touched after a position; `None` if that is not remembered.
    pub fn touched(&self, position: Position) -> Option<[BTreeSet<Ticks>; 2]> {
        let mut touched = [BTreeSet::new(), BTreeSet::new()];
        for place in self.after(position)?.flat_map(|moved| moved.before.into_iter().chain(moved.after)) {
            touched[usize::from(place.side == Side::Sell)].insert(place.price);
        }
        Some(touched)
    }

    /// What became of each order that changed after a position, those that came to the back of a level last and
    /// in the order in which they are behind each other; `None` if that is not remembered.
    pub fn moved(&self, position: Position) -> Option<Vec<Moved>> {
        let mut first: HashMap<OrderId, (usize, Moved)> = HashMap::new();
        for (number, moved) in self.after(position)?.enumerate() {
            first.entry(moved.id).or_insert((number, *moved));
        }
        let mut net: Vec<(bool, u64, Moved)> = Vec::new();
        for (number, moved) in first.into_values() {
            let moved = Moved { after: self.mirror.get(moved.id), ..moved };
            let looks = |place: Option<Place>| place.map(|it| (it.side, it.price, it.open, it.rank));
            // What an iceberg hides is not told, nor that it hides less.
            if looks(moved.before) == looks(moved.after) {
                continue;
            }
            let order = moved.after.filter(|_| moved.is_back()).map(|after| after.rank);
            net.push((order.is_some(), order.unwrap_or(number as u64), moved));
        }
        // The map's order is of no matter: each has a place of its own.
        net.sort_unstable_by_key(|(back, order, _)| (*back, *order));
        Some(net.into_iter().map(|(.., moved)| moved).collect())
    }
}
