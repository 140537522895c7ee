//! How often others are dialled, whatever the directory says and whatever comes of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::types::Micros;

/// Shortest time between two connection attempts to one address.
const SAME_ADDRESS: Micros = Micros(100_000);

/// Shortest time between two attempts to any.
const ANY_ADDRESS: Micros = Micros(20_000);

/// Addresses that are remembered: more than a directory has.
const MAX_ADDRESSES: usize = 1_024;

/// Gives out the times at which addresses may be dialled. Cheap to clone.
#[derive(Clone, Default, Debug)]
pub struct Pace(Arc<Mutex<Turns>>);

#[derive(Default, Debug)]
struct Turns {
    next: Micros,
    by_address: BTreeMap<String, Micros>,
}

impl Pace {
    /// When an address may be dialled that somebody wants to dial now.
    pub(super) fn turn(&self, address: &str, now: Micros) -> Micros {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = turns.by_address.get(address).copied().unwrap_or_default();
        let at = now.max(own).max(turns.next);
        turns.next = at.plus(ANY_ADDRESS);
        if turns.by_address.len() >= MAX_ADDRESSES {
            turns.by_address.retain(|_, next| *next > now);
        }
        turns.by_address.insert(address.to_owned(), at.plus(SAME_ADDRESS));
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_is_dialled_ten_times_a_second_at_most_and_all_fifty_times() {
        let pace = Pace::default();
        let turns: Vec<u64> = (0..5).map(|_| pace.turn("a:1", Micros(1_000)).0).collect();
        assert_eq!(turns, [1_000, 101_000, 201_000, 301_000, 401_000]);
        let last = (0..100).map(|port| pace.turn(&format!("b:{port}"), Micros(401_000)).0).max();
        assert!(last >= Some(401_000 + 99 * 20_000));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let pace = Pace::default();
        for number in 0..10_000 {
            pace.turn(&format!("a:{number}"), Micros(number * 200_000));
        }
        assert!(pace.0.lock().unwrap().by_address.len() <= MAX_ADDRESSES);
    }
}
