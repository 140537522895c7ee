//! Requests with an id, and the intents that repeated any request: the oldest are forgotten first.

use std::collections::{HashMap, VecDeque};

use rustc_hash::FxBuildHasher;

use crate::machine::intent::key;
use crate::machine::journal::Repeated;
use crate::types::{Micros, OrderId};

pub(in crate::machine) type RequestKey = [u8; 16];

/// Remembered requests and repeats.
#[derive(Clone, Default, Debug)]
pub(super) struct Requests {
    known: HashMap<RequestKey, (u64, Repeated), FxBuildHasher>,
    /// Intents that were repeats, with their first.
    repeats: HashMap<OrderId, Repeated, FxBuildHasher>,
    by_age: VecDeque<(Micros, Kept)>,
}

/// Something that is remembered. A repeat comes after what it repeats, so it is not forgotten before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::machine) enum Kept {
    Request(RequestKey),
    Repeat(OrderId),
}

impl Requests {
    pub fn get(&self, account: &str, request_id: &str) -> Option<(u64, Repeated)> {
        self.known.get(&request_key(account, request_id)).copied()
    }

    /// The first of an intent that was a repeat.
    pub fn first_of(&self, id: OrderId) -> Option<OrderId> {
        self.repeats.get(&id).map(|first| first.intent)
    }

    pub fn remember(&mut self, account: &str, request_id: &str, hash: u64, first: Repeated, time: Micros) {
        self.insert(request_key(account, request_id), hash, first, time);
    }

    /// An intent was a repeat.
    pub fn repeated(&mut self, id: OrderId, first: Repeated, time: Micros) {
        self.insert_repeat(id, first, time);
    }

    /// Forgets the oldest beyond so many; returns the time down to which requests are forgotten now.
    pub fn forget(&mut self, most: usize) -> Option<Micros> {
        let mut floor = None;
        while self.by_age.len() > most
            && let Some((time, oldest)) = self.by_age.pop_front()
        {
            match oldest {
                Kept::Request(key) => {
                    self.known.remove(&key);
                    floor = Some(time);
                }
                Kept::Repeat(id) => _ = self.repeats.remove(&id),
            }
        }
        floor
    }

    /// All, the oldest first: when, what, the hash of its content, and the first of them.
    pub fn iter(&self) -> impl Iterator<Item = (Micros, Kept, u64, Repeated)> + '_ {
        self.by_age.iter().filter_map(|(time, kept)| {
            let (hash, first) = match kept {
                Kept::Request(key) => *self.known.get(key)?,
                Kept::Repeat(id) => (0, *self.repeats.get(id)?),
            };
            Some((*time, *kept, hash, first))
        })
    }

    pub fn len(&self) -> usize {
        self.by_age.len()
    }

    /// When the newest was remembered.
    pub fn last(&self) -> Option<Micros> {
        self.by_age.back().map(|(time, _)| *time)
    }

    /// Adds a request; `false` if it is known.
    pub fn insert(&mut self, key: RequestKey, hash: u64, first: Repeated, time: Micros) -> bool {
        self.by_age.push_back((time, Kept::Request(key)));
        self.known.insert(key, (hash, first)).is_none()
    }

    /// Adds a repeat; `false` if it is known.
    pub fn insert_repeat(&mut self, id: OrderId, first: Repeated, time: Micros) -> bool {
        self.by_age.push_back((time, Kept::Repeat(id)));
        self.repeats.insert(id, first).is_none()
    }
}

pub(super) fn request_key(account: &str, request_id: &str) -> RequestKey {
    key(&[b"request", account.as_bytes(), request_id.as_bytes()])
}
