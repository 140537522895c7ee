//! Reading by position and by account. No reader passes a gap.

use std::collections::VecDeque;

use super::log::{Gap, Order, Range, Run};
use super::{History, HistoryError, Keys, Result, StoredBlock, record};
use crate::machine::{Change, SessionId};
use crate::types::{Micros, Position};

/// Most index entries that are looked up at a time.
const ENTRIES: usize = 64;

/// A block as it is in the log.
struct Record {
    run: Run,
    span: (Position, Position),
    /// What is stored; `None` if it can't be read.
    bytes: Option<Vec<u8>>,
}

/// Which blocks a reader wants.
enum Wanted<'a> {
    All,
    Account(&'a str),
}

/// Reads blocks one by one.
struct Blocks<'a> {
    history: &'a History,
    wanted: Wanted<'a>,
    order: Order,
    /// Whether it goes on, and from where.
    next: Option<Position>,
    /// Where it ends, if it goes up.
    last: Position,
    /// First positions of blocks that were looked up.
    found: VecDeque<Position>,
}

impl Iterator for Blocks<'_> {
    type Item = Result<StoredBlock>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(first) = self.found.pop_front() {
                let read = self.history.read_block(first);
                if read.is_err() {
                    self.next = None;
                    self.found.clear();
                }
                return Some(read);
            }
            let at = self.next.filter(|at| *at > Position(0) && *at <= self.last)?;
            if let Err(error) = self.look_up(at) {
                self.next = None;
                return Some(Err(error));
            }
        }
    }
}

impl Blocks<'_> {
    /// Looks up the next blocks in the run that contains a position.
    fn look_up(&mut self, at: Position) -> Result<()> {
        let (history, order) = (self.history, self.order);
        let key = |first| match self.wanted {
            Wanted::All => history.keys.block(first),
            Wanted::Account(account) => history.keys.account_block(account, first),
        };
        let range = |run: Run| match order {
            Order::Ascending => Range { from: key(at), to: key(run.last.next()) },
            Order::Descending => Range { from: key(run.first), to: key(at.next()) },
        };
        let (run, entries) = history.stretch(at, (order, ENTRIES), range)?;
        let full = entries.len() == ENTRIES;
        self.found.extend(entries.iter().filter_map(|(key, _)| Keys::position(key)));
        let end = self.found.back().filter(|_| full).copied();
        self.next = match order {
            Order::Ascending => Some(end.unwrap_or(run.last).next()),
            Order::Descending => end.unwrap_or(run.first).0.checked_sub(1).map(Position),
        };
        Ok(())
    }
}

impl History {
    /// The run around a position, with entries; an error if there is a gap.
    fn stretch(
        &self,
        at: Position,
        how: (Order, usize),
        range: impl Fn(Run) -> Range,
    ) -> Result<(Run, Vec<super::log::Entry>)> {
        self.log.stretch(&self.market, at, how, range)?.map_err(|gap| self.away(gap))
    }

    fn away(&self, (first, last): Gap) -> HistoryError {
        let last = last.unwrap_or_else(|| self.last().max(first));
        HistoryError::Away { market: self.market.clone(), first, last }
    }

    /// An error if anything is not here.
    pub(super) fn whole(&self) -> Result<()> {
        let gap = self.gaps().first().copied();
        gap.map_or(Ok(()), |(first, last)| Err(self.away((first, Some(last)))))
    }

    /// The block that begins at a position. One that can't be read becomes a gap.
    fn read_block(&self, first: Position) -> Result<StoredBlock> {
        let Record { run, span, bytes } = self.read_record(first)?;
        let stored = bytes.as_deref().and_then(record::decode);
        let stored = stored.filter(|(market, stored)| {
            (&**market, stored.block.first, stored.block.last) == (&*self.market, span.0, span.1)
        });
        if let Some((_, stored)) = stored {
            return Ok(stored);
        }
        self.log.lose(&self.market, run, span.0, span.1);
        self.gap.notify_one();
        Err(self.away((span.0, Some(span.1))))
    }

    /// The block that begins at a position, as it is in the log.
    fn read_record(&self, first: Position) -> Result<Record> {
        let two = |run: Run| Range { from: self.keys.block(first), to: self.keys.block(run.last.next()) };
        let (run, entries) = self.stretch(first, (Order::Ascending, 2), two)?;
        let mut begins = entries.iter().map(|(key, at)| (Keys::position(key), *at));
        let at = begins.next().filter(|(begin, _)| *begin == Some(first)).map(|(_, at)| at);
        let next = begins.next().and_then(|(begin, _)| begin);
        let span = (first, next.map_or(run.last, |next| Position(next.0 - 1)));
        let bytes = at.map(|at| self.log.read(run.segment, at)).transpose()?.flatten();
        Ok(Record { run, span, bytes })
    }

    /// The record of the block that ends at a position, and its first position; `None` if it is not here.
    pub(super) fn record_ending_at(&self, last: Position) -> Result<Option<(Position, Vec<u8>)>> {
        let one = |run: Run| Range { from: self.keys.block(run.first), to: self.keys.block(last.next()) };
        let found = self.log.stretch(&self.market, last, (Order::Descending, 1), one)?;
        let first = found.ok().and_then(|(_, entries)| Keys::position(&entries.first()?.0));
        let Some(first) = first else { return Ok(None) };
        let Record { span, bytes, .. } = self.read_record(first)?;
        Ok(bytes.filter(|_| span.1 == last).map(|bytes| (first, bytes)))
    }

    /// The block that contains a position; `None` if that is in a gap, or beyond all.
    pub(super) fn stored_at(&self, position: Position) -> Result<Option<StoredBlock>> {
        match self.block_at(position) {
            Err(HistoryError::Away { .. }) => Ok(None),
            found => found,
        }
    }

    /// Forgets all that is stored up to a position.
    pub(super) fn lose_through(&self, position: Position) -> Result<()> {
        let mut at = Position(1);
        while at <= position {
            let none = |_: Run| Range { from: Vec::new(), to: Vec::new() };
            match self.log.stretch(&self.market, at, (Order::Ascending, 0), none)? {
                Ok((run, _)) => {
                    self.log.lose(&self.market, run, run.first, run.last.min(position));
                    at = run.last.next();
                }
                Err((_, Some(last))) => at = last.next(),
                Err((_, None)) => break,
            }
        }
        self.gap.notify_one();
        Ok(())
    }

    /// The block that contains a position; `None` if that is beyond all.
    ///
    /// # Errors
    /// The store's own, or it is not here.
    pub fn block_at(&self, position: Position) -> Result<Option<StoredBlock>> {
        if position > self.last() || position == Position(0) {
            return Ok(None);
        }
        let begin =
            |run: Run| Range { from: self.keys.block(run.first), to: self.keys.block(position.next()) };
        let (_, entries) = self.stretch(position, (Order::Descending, 1), begin)?;
        let first = entries.first().and_then(|(key, _)| Keys::position(key));
        self.read_block(first.unwrap_or(position)).map(Some)
    }

    /// The last position whose tape time is before a time; zero if there is none.
    ///
    /// # Errors
    /// The store's own, or it can't be told from what is here.
    pub fn last_before_time(&self, time: Micros) -> Result<Position> {
        let (mut found, mut beyond) = (Position(0), self.last().next());
        // Tape time never goes back, so half of what is left is done with at each look.
        while found.next() < beyond {
            let middle = Position(found.0 + (beyond.0 - found.0) / 2);
            match self.block_at(middle)? {
                Some(stored) if stored.block.time < time => found = stored.block.last,
                Some(stored) => beyond = stored.block.first,
                None => beyond = middle,
            }
        }
        Ok(found)
    }

    /// The blocks with events after a position, in order, read one by one. They end with the first error.
    pub fn blocks_after(&self, after: Position) -> impl Iterator<Item = Result<StoredBlock>> + '_ {
        // The block that contains the next position may begin before it.
        let containing = self.block_at(after.next()).transpose();
        let from = match &containing {
            Some(Ok(block)) => Some(block.block.last.next()),
            Some(Err(_)) | None => None,
        };
        containing.into_iter().chain(self.blocks(Wanted::All, Order::Ascending, from))
    }

    /// The blocks with events before a position, the last first, read one by one. They end with the
    /// first error.
    pub fn blocks_before(&self, before: Position) -> impl Iterator<Item = Result<StoredBlock>> + '_ {
        self.blocks(Wanted::All, Order::Descending, self.last_before(before))
    }

    /// The blocks with events of an account after a position, in order, read one by one. They end with
    /// the first error.
    pub fn account_blocks_after<'a>(
        &'a self,
        account: &'a str,
        after: Position,
    ) -> impl Iterator<Item = Result<StoredBlock>> + 'a {
        let containing = self.block_at(after.next()).transpose();
        let from = match &containing {
            Some(Ok(block)) => Some(block.block.last.next()),
            Some(Err(_)) | None => None,
        };
        let has = |change: &Change| change.order().is_some_and(|order| &*order.account == account);
        let containing =
            containing.filter(|read| read.as_ref().map_or(true, |block| block.block.changes.iter().any(has)));
        containing.into_iter().chain(self.blocks(Wanted::Account(account), Order::Ascending, from))
    }

    /// The blocks with events of an account before a position, the last first, read one by one. They end
    /// with the first error.
    pub fn account_blocks_before<'a>(
        &'a self,
        account: &'a str,
        before: Position,
    ) -> impl Iterator<Item = Result<StoredBlock>> + 'a {
        self.blocks(Wanted::Account(account), Order::Descending, self.last_before(before))
    }

    /// The last position that there is before one.
    fn last_before(&self, before: Position) -> Option<Position> {
        before.0.checked_sub(1).map(|at| Position(at).min(self.last()))
    }

    fn blocks<'a>(&'a self, wanted: Wanted<'a>, order: Order, next: Option<Position>) -> Blocks<'a> {
        Blocks { history: self, wanted, order, next, last: self.last(), found: VecDeque::new() }
    }

    /// Whether a session ever placed an order.
    ///
    /// # Errors
    /// The store's own, or it may have in what is not here.
    pub fn knows_session(&self, session: SessionId) -> Result<bool> {
        let (from, mut to) = (self.keys.session(session, 0), self.keys.session(session, u64::MAX));
        to.push(0);
        if self.log.find_last(&self.market, &Range { from, to }, 1)?.is_empty() {
            return self.whole().map(|()| false);
        }
        Ok(true)
    }
}
