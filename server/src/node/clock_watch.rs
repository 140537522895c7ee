//! Warns where clocks are wrong: this node's differs from the majority's, so that orders that are placed
//! here would expire too early or too late; or tape time is ahead of it, since clocks *were* wrong.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::watch;

use super::clock::WRONG_US;
use super::{Clock, DirectoryHandle, DocumentHandle, Markets};
use crate::types::NodeId;

/// How often it is looked.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// What there is to say about a clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum News {
    Wrong,
    Right,
}

/// What was seen of a clock.
#[derive(Default, Debug)]
struct Watch {
    /// Looks in a row that found it wrong. One alone may be that a message took long.
    wrong: u32,
    warned: bool,
}

impl Watch {
    fn look(&mut self, ahead: i64) -> Option<News> {
        if ahead.unsigned_abs() <= WRONG_US {
            self.wrong = 0;
            return std::mem::take(&mut self.warned).then_some(News::Right);
        }
        self.wrong += 1;
        let news = self.wrong == 2;
        self.warned |= news;
        news.then_some(News::Wrong)
    }
}

/// Watches until the node ends.
pub(super) async fn watch(
    directory: DirectoryHandle,
    markets: watch::Receiver<Markets>,
    clock: Clock,
    me: NodeId,
) {
    let (mut own, mut tapes) = (Watch::default(), Tapes::default());
    loop {
        tokio::time::sleep(LOOK_AGAIN).await;
        let now = clock.now();
        let Ok(summary) = directory.summary() else { return };
        if let Some(ahead_us) = summary.clocks.get(&me).copied() {
            tell(own.look(ahead_us), ahead_us);
        }
        // A quarantined one's tape says nothing any more.
        let markets: Vec<DocumentHandle> =
            markets.borrow().values().map(|market| DocumentHandle::clone(market)).collect();
        let documents = std::iter::once(DocumentHandle::clone(&directory)).chain(markets);
        let documents = documents.filter(|document| document.quarantine().is_none());
        let ahead = documents.map(|document| (document.name().to_owned(), document.tape_ahead(now).0));
        for (document, ahead_us, news) in tapes.look(&ahead.collect()) {
            tell_of_tape(news, &document, ahead_us);
        }
    }
}

fn tell(news: Option<News>, ahead_us: i64) {
    match news {
        Some(News::Wrong) => tracing::warn!(
            ahead_us,
            limit_us = WRONG_US,
            "this node's clock differs from the majority's: set it right and restart the node, or orders \
             that are placed here expire too early or too late"
        ),
        Some(News::Right) => {
            tracing::info!(ahead_us, "this node's clock agrees with the majority's again")
        }
        None => {}
    }
}

fn tell_of_tape(news: News, document: &str, ahead_us: u64) {
    match news {
        News::Wrong => tracing::warn!(
            document,
            ahead_us,
            limit_us = WRONG_US,
            "tape time is ahead of this node's clock: clocks were wrong, or this one is. It stands still \
             until they get there, and orders whose time comes before have expired at their turn"
        ),
        News::Right => {
            tracing::info!(document, ahead_us, "tape time is no longer ahead of this node's clock")
        }
    }
}

/// What was seen of the tapes' times: those that are ahead.
#[derive(Default, Debug)]
struct Tapes {
    ahead: BTreeMap<String, u64>,
}

impl Tapes {
    /// What there is to say of the documents, by how far each one's tape time is ahead. One look is enough:
    /// it is on the tape.
    fn look(&mut self, documents: &BTreeMap<String, u64>) -> Vec<(String, u64, News)> {
        let wrong: BTreeMap<String, u64> = documents
            .iter()
            .filter(|(_, ahead)| **ahead > WRONG_US)
            .map(|(name, us)| (name.clone(), *us))
            .collect();
        let begun = wrong.iter().filter(|(name, _)| !self.ahead.contains_key(*name));
        let begun = begun.map(|(name, us)| (name.clone(), *us, News::Wrong));
        let over = self.ahead.keys().filter(|name| !wrong.contains_key(*name));
        let over = over.filter_map(|name| Some((name.clone(), *documents.get(name)?, News::Right)));
        let news = begun.chain(over).collect();
        self.ahead = wrong;
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_stays_wrong_is_told_once_and_so_is_its_return() {
        let mut watch = Watch::default();
        let looks = [
            5_000_000,
            -5_000_001,
            0,
            6_000_000,
            6_000_000,
            7_000_000,
            4_000_000,
            0,
            -3_600_000_000,
            -3_600_000_000,
        ];
        let news: Vec<Option<News>> = looks.into_iter().map(|ahead| watch.look(ahead)).collect();
        let (wrong, right) = (Some(News::Wrong), Some(News::Right));
        assert_eq!(news, [None, None, None, None, wrong, None, right, None, None, wrong]);
    }

    #[test]
    fn a_tape_that_is_ahead_is_told_when_that_begins_and_when_it_ends() {
        let mut tapes = Tapes::default();
        let mut look = |documents: &[(&str, u64)]| -> Vec<(String, News)> {
            let documents = documents.iter().map(|(name, ahead)| ((*name).to_owned(), *ahead)).collect();
            tapes.look(&documents).into_iter().map(|(name, _, news)| (name, news)).collect()
        };
        let told = |name: &str, news| vec![(name.to_owned(), news)];
        assert_eq!(look(&[("directory", 0), ("A/B", 5_000_000)]), []);
        assert_eq!(look(&[("directory", 0), ("A/B", 5_000_001)]), told("A/B", News::Wrong));
        assert_eq!(look(&[("directory", 6_000_000), ("A/B", 5_000_001)]), told("directory", News::Wrong));
        assert_eq!(look(&[("directory", 5_500_000), ("A/B", 4_999_999)]), told("A/B", News::Right));
        // One that is quarantined meanwhile is told of elsewhere.
        assert_eq!(look(&[("A/B", 0)]), []);
        assert_eq!(look(&[("directory", 0), ("A/B", 0)]), []);
    }
}
