//! The ledger as records, and back.

use super::Ledger;
use super::requests::Kept;
use super::withdraw::Mark;
use crate::machine::parts::{Part, Writer};
use crate::types::OrderId;

impl Ledger {
    pub(in crate::machine) fn write_parts(&self, writer: &mut Writer) {
        for (node, counter) in self.consumed.iter().filter(|(_, counter)| **counter > 0) {
            writer.consumed(*node, *counter);
        }
        writer.floor(self.floor, self.sessions.forgot);
        for (time, kept, hash, first) in self.requests.iter() {
            match kept {
                Kept::Request(key) => writer.request(key, hash, first, time),
                Kept::Repeat(id) => writer.repeat(id, first, time),
            }
        }
        for (id, session) in self.sessions.iter() {
            writer.session(id, session.last_number, session.last_use);
        }
        for (id, (hash, first)) in self.sessions.commands() {
            writer.command(id, hash, first);
        }
        for (order, Mark { account, request }) in self.marks.iter() {
            writer.withdrawn(*order, account, *request);
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
        self.sessions.forgot |= part.forgot_session();
        for entry in part.requests()? {
            let ages = self.requests.last().is_none_or(|time| time <= entry.time);
            (ages && self.requests.len() < self.caps.requests).then_some(())?;
            self.has_consumed(entry.first.intent).then_some(())?;
            let fresh = match entry.kept {
                Kept::Request(key) => self.requests.insert(key, entry.body_hash, entry.first, entry.time),
                Kept::Repeat(id) => {
                    self.has_consumed(id) && self.requests.insert_repeat(id, entry.first, entry.time)
                }
            };
            fresh.then_some(())?;
        }
        for entry in part.remembered_sessions()? {
            (self.sessions.len() < self.caps.sessions).then_some(())?;
            self.sessions.insert(entry.id, entry.last_number, entry.last_use)?;
        }
        for (id, command) in part.commands()? {
            (self.sessions.command_count() < self.caps.commands).then_some(())?;
            self.has_consumed(command.1.intent).then_some(())?;
            self.sessions.insert_command(id, command)?;
        }
        for (order, mark) in part.withdrawn()? {
            let ascends = self.marks.last().is_none_or(|last| last < order);
            (ascends && self.marks.len() < self.caps.withdrawn).then_some(())?;
            self.marks.insert(order, mark);
        }
        Some(())
    }

    /// Whether an intent was consumed.
    pub(in crate::machine) fn has_consumed(&self, id: OrderId) -> bool {
        (1..=self.consumed(id.node)).contains(&id.counter)
    }
}
