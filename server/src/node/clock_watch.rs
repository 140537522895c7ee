//! Warns where this node's clock differs from the majority's: orders that are placed here would
//! expire too early or too late.

use std::time::Duration;

use super::{Clock, ReplicaHandle};
use crate::types::NodeId;

/// From which difference on a clock is wrong, in microseconds.
const WRONG_US: u64 = 5_000_000;

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
pub(super) async fn watch(directory: ReplicaHandle, clock: Clock, me: NodeId) {
    let mut watch = Watch::default();
    loop {
        tokio::time::sleep(LOOK_AGAIN).await;
        let now = clock.now();
        let Ok(clocks) = directory.read(move |replica| replica.clock_differences(now)).await else { return };
        let Some(ahead_us) = clocks.get(&me).copied() else { continue };
        match watch.look(ahead_us) {
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
}
