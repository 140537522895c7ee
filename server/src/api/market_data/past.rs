//! Books of the past, made of the history.
//!
//! ```text
//! the nearest book before that is kept, or an empty one ──> the history's blocks from there on ──> the book
//!                      ^────────────── kept, and some on the way ──────────────────────────────────┘
//! ```
//!
//! One is made at a time. Who does not wait for it finds it, or one on the way to it, when he asks again.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Semaphore;
use xbook_proto::v1::Reason;
use xbook_proto::v1::get_order_book_request::AsOf as Asked;

use crate::api::admission;
use crate::api::error::Refusal;
use crate::api::markets::units;
use crate::api::submit::read_history;
use crate::history::{History, HistoryError, Sizes};
use crate::mirror::Mirror;
use crate::node::MarketHandle;
use crate::types::{Micros, Position};

/// Most books that are kept, and most orders in all of them: some 60 MiB.
const MOST_BOOKS: usize = 16;
const MOST_ORDERS: usize = 400_000;

/// Changes after which a book on the way is kept.
const KEEP_EVERY: usize = 250_000;

/// When a book is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::api) enum AsOf {
    Position(Position),
    Time(Micros),
}

/// What a client asks for.
///
/// # Errors
/// A time that is none.
pub(in crate::api) fn asked(as_of: &Asked) -> Result<AsOf, Refusal> {
    Ok(match as_of {
        Asked::AsOfPosition(position) => AsOf::Position(Position(*position)),
        Asked::AsOfTime(time) => AsOf::Time(admission::time("as_of_time", time)?),
    })
}

/// A book as it was.
#[derive(Clone)]
pub(in crate::api) struct Past {
    pub mirror: Mirror,
    /// Position of the last event in it.
    pub position: Position,
    /// Tape time there.
    pub time: Micros,
    /// What it counts in.
    pub sizes: Sizes,
    /// It is the book of all positions up to this one.
    through: Position,
}

/// Books, with their markets.
type Kept = VecDeque<(String, Arc<Past>)>;

/// A node's books of the past. Cheap to clone.
#[derive(Clone)]
pub(in crate::api) struct Pasts {
    /// The one that was used last is at the back.
    kept: Arc<Mutex<Kept>>,
    making: Arc<Semaphore>,
}

impl Default for Pasts {
    fn default() -> Self {
        Self { kept: Arc::default(), making: Arc::new(Semaphore::new(1)) }
    }
}

impl Pasts {
    /// The book of a market as it was.
    ///
    /// # Errors
    /// The node does not show so much yet, or does not have what happened.
    pub async fn at(&self, market: &MarketHandle, as_of: AsOf) -> Result<Arc<Past>, Refusal> {
        let shown = market.shown();
        let history = market.history();
        let position = match as_of {
            AsOf::Position(position) if position > shown => {
                let words = format!("must be at most {shown}, the last position shown");
                return Err(Refusal::new(Reason::Position, words).field("as_of_position").value(position));
            }
            AsOf::Position(position) => position,
            AsOf::Time(time) => {
                let later = Micros(time.0.saturating_add(1));
                read_history(history, move |history| history.last_before_time(later)).await?.min(shown)
            }
        };
        let name = market.name().to_owned();
        if let Some(past) = self.kept(&name, position) {
            return Ok(past);
        }
        let sizes = units(market).sizes;
        let alone = Arc::clone(&self.making).acquire_owned().await.map_err(|_| Refusal::shutting_down())?;
        let pasts = self.clone();
        read_history(history, move |history| {
            let _alone = alone;
            pasts.make(history, &name, position, sizes)
        })
        .await
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The book of a position, if it is kept.
    fn kept(&self, market: &str, position: Position) -> Option<Arc<Past>> {
        let mut kept = self.lock();
        let is = |(of, past): &(String, Arc<Past>)| {
            of == market && (past.position..=past.through).contains(&position)
        };
        let at = kept.iter().position(is)?;
        let found = kept.remove(at)?;
        let past = Arc::clone(&found.1);
        kept.push_back(found);
        Some(past)
    }

    fn keep(&self, market: &str, past: &Arc<Past>) {
        let mut kept = self.lock();
        kept.retain(|(of, other)| of != market || other.position != past.position);
        kept.push_back((market.to_owned(), Arc::clone(past)));
        let orders = |kept: &Kept| kept.iter().map(|(_, past)| past.mirror.len()).sum::<usize>();
        while kept.len() > MOST_BOOKS || (kept.len() > 1 && orders(&kept) > MOST_ORDERS) {
            kept.pop_front();
        }
    }

    /// The nearest book before a position.
    fn before(&self, market: &str, position: Position) -> Option<Arc<Past>> {
        let kept = self.lock();
        let before = kept.iter().filter(|(of, past)| of == market && past.position <= position);
        before.max_by_key(|(_, past)| past.position).map(|(_, past)| Arc::clone(past))
    }

    fn make(
        &self,
        history: &History,
        market: &str,
        position: Position,
        sizes: Sizes,
    ) -> Result<Arc<Past>, HistoryError> {
        let none = || Past {
            mirror: Mirror::default(),
            position: Position(0),
            time: Micros(0),
            sizes,
            through: Position(0),
        };
        let mut past = self.before(market, position).map_or_else(none, |past| Past::clone(&past));
        let mut changes = 0;
        past.through = past.position;
        for stored in history.blocks_after(past.position) {
            let stored = stored?;
            if stored.block.last > position {
                past.through = Position(stored.block.last.0 - 1);
                break;
            }
            stored.block.changes.iter().for_each(|change| _ = past.mirror.apply(change));
            (past.position, past.through) = (stored.block.last, stored.block.last);
            (past.time, past.sizes) = (stored.block.time, stored.sizes);
            changes += stored.block.changes.len();
            if changes >= KEEP_EVERY {
                changes = 0;
                self.keep(market, &Arc::new(past.clone()));
            }
        }
        let past = Arc::new(past);
        self.keep(market, &past);
        Ok(past)
    }
}
