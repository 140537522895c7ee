//! The ledger as records, and back.

use super::withdraw::MAX_WITHDRAWN;
use super::{Ledger, REMEMBERED_REQUESTS, REMEMBERED_SESSIONS, Remembered, Session};
use crate::machine::parts::{Part, Writer};
use crate::types::OrderId;

impl Ledger {
    pub(in crate::machine) fn write_parts(&self, writer: &mut Writer) {
        for (node, counter) in self.consumed.iter().filter(|(_, counter)| **counter > 0) {
            writer.consumed(*node, *counter);
        }
        writer.floor(self.floor);
        for (time, key) in &self.by_age {
            if let Some(remembered) = self.requests.get(key) {
                writer.request(*key, remembered.body_hash, remembered.first, *time);
            }
        }
        for (last_use, id) in self.sessions_by_use.keys() {
            writer.session(*id, self.last_command(id), *last_use);
        }
        for (order, account) in &self.marks {
            writer.withdrawn(*order, account);
        }
    }

    /// Takes what a part says about requests; `None` if it can't be.
    pub(in crate::machine) fn read_part(&mut self, part: &mut Part) -> Option<()> {
        for last in part.consumed()? {
            let ascends = self.consumed.last_key_value().is_none_or(|(node, _)| *node < last.node);
            ascends.then(|| self.consumed.insert(last.node, last.counter))?;
        }
        if let Some(floor) = part.floor() {
            self.floor.replace(floor).is_none().then_some(())?;
        }
        for entry in part.requests()? {
            let ages = self.by_age.back().is_none_or(|(time, _)| *time <= entry.time);
            (ages && self.by_age.len() < REMEMBERED_REQUESTS).then_some(())?;
            self.has_consumed(entry.first.intent).then_some(())?;
            let remembered = Remembered { body_hash: entry.body_hash, first: entry.first };
            self.requests.insert(entry.key, remembered).is_none().then_some(())?;
            self.by_age.push_back((entry.time, entry.key));
        }
        for entry in part.sessions()? {
            let use_of = (entry.last_use, entry.id);
            let ages = self.sessions_by_use.last_key_value().is_none_or(|(last, ())| *last < use_of);
            (ages && self.sessions.len() < REMEMBERED_SESSIONS).then_some(())?;
            let session = Session { last_number: entry.last_number, last_use: entry.last_use };
            self.sessions.insert(entry.id, session).is_none().then_some(())?;
            self.sessions_by_use.insert(use_of, ());
        }
        for (order, account) in part.withdrawn()? {
            let ascends = self.marks.last_key_value().is_none_or(|(last, _)| *last < order);
            (ascends && self.marks.len() < MAX_WITHDRAWN).then_some(())?;
            self.marks.insert(order, account);
        }
        Some(())
    }

    /// Whether an intent was consumed.
    pub(in crate::machine) fn has_consumed(&self, id: OrderId) -> bool {
        (1..=self.consumed(id.node)).contains(&id.counter)
    }
}
