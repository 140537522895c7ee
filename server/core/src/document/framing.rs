//! How large a change is once it is decoded, read from its framing alone.
//!
//! Automerge keeps the operations of a change in columns of runs, so a few bytes can stand for any
//! number of them, and it expands them before anyone can ask how many there are. So the runs are
//! added up here first, without expanding them. Compressed changes are refused: no node sends one.

use super::{Actor, ChangeError};

/// Most operations of a change. A node writes a handful of entries at once, and one with the requests of a
/// generation again writes one entry for each time at which some were accepted.
const MAX_OPERATIONS: u64 = 65_536;

/// Fewest bytes of an operation that adds an entry: its key, which is written out each time.
const OPERATION_BYTES: u64 = 16;

/// Most changes that a change names as the ones it depends on.
const MAX_DEPENDENCIES: u64 = 4_096;

/// Most other actors that a change names.
const MAX_ACTORS: u64 = 1_024;

const MAGIC: [u8; 4] = [0x85, 0x6F, 0x4A, 0x83];
const CHANGE: u8 = 1;
const HASH_BYTES: u64 = 32;

/// Length of what an author puts into its changes to know them again.
const MARK_BYTES: u64 = 16;
const DEFLATED: u64 = 8;

/// The columns of a change's operations, ascending, and what their runs are of.
const COLUMNS: [(u64, Runs); 13] = [
    (1, Runs::Actors),
    (2, Runs::Numbers),
    (17, Runs::Actors),
    (19, Runs::Differences),
    (21, Runs::Texts),
    (52, Runs::Flags),
    (66, Runs::Actions),
    (86, Runs::Numbers),
    (87, Runs::None),
    (112, Runs::Counts),
    (113, Runs::Actors),
    (115, Runs::Differences),
    (148, Runs::Flags),
];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Runs {
    Actors,
    Actions,
    Counts,
    Differences,
    Flags,
    None,
    Numbers,
    Texts,
}

/// Who wrote a change, and its number among its writer's changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Heading {
    /// Its actor.
    pub actor: Actor,
    /// Its number.
    pub seq: u64,
}

/// Reads a change's heading, and nothing that comes after it.
///
/// # Errors
/// The bytes are no change, or not one of an actor of ours.
pub fn heading(bytes: &[u8]) -> Result<Heading, ChangeError> {
    Ok(start(bytes)?.1)
}

/// Checks that a change is small enough to be decoded.
///
/// # Errors
/// It is not, or its framing is none.
pub fn check(bytes: &[u8]) -> Result<(), ChangeError> {
    let (mut rest, _) = start(bytes)?;
    rest.number("its first operation's number")?;
    rest.signed("its time")?;
    match rest.number("its message's length")? {
        0 => {}
        MARK_BYTES => _ = rest.take(MARK_BYTES)?,
        _ => return Err(malformed("it has a message that is no mark")),
    }
    let actors = rest.at_most("its other actors", MAX_ACTORS)?;
    for _ in 0..actors {
        let length = rest.at_most("the length of an actor id", 16)?;
        rest.take(length)?;
    }
    let count = rest.at_most("its columns", COLUMNS.len() as u64)?;
    let mut columns = Vec::with_capacity(COLUMNS.len());
    let mut last = 0;
    for _ in 0..count {
        let (column, length) = (rest.number("a column")?, rest.number("a column's length")?);
        if column & DEFLATED != 0 {
            return Err(malformed("a column of it is compressed"));
        }
        let known = COLUMNS.iter().find(|(known, _)| *known == column && column > last);
        let (_, runs) = known.ok_or_else(|| malformed("it has a column that no node writes"))?;
        last = column;
        columns.push((*runs, length));
    }
    let most = MAX_OPERATIONS.min(bytes.len() as u64 / OPERATION_BYTES);
    for (runs, length) in columns {
        Input(rest.take(length)?).runs(runs, actors, most)?;
    }
    if rest.0.is_empty() { Ok(()) } else { Err(malformed("something follows its columns")) }
}

/// Reads a change up to its number, and returns what follows.
fn start(bytes: &[u8]) -> Result<(Input<'_>, Heading), ChangeError> {
    let mut input = Input(bytes);
    if input.take(4)? != MAGIC {
        return Err(malformed("it does not begin like one"));
    }
    input.take(4)?;
    if input.take(1)? != [CHANGE] {
        return Err(malformed("it is compressed, or of another kind"));
    }
    if input.number("its length")? != input.0.len() as u64 {
        return Err(malformed("its length is wrong"));
    }
    let dependencies = input.at_most("its dependencies", MAX_DEPENDENCIES)?;
    input.take(dependencies * HASH_BYTES)?;
    let length = input.number("the length of its actor id")?;
    let actor = input.take(length)?;
    let actor = actor.try_into().map(Actor).map_err(|_| ChangeError::Actor(actor.len()))?;
    let seq = input.number("its number")?;
    Ok((input, Heading { actor, seq }))
}

fn malformed(what: &str) -> ChangeError {
    ChangeError::Malformed(what.to_owned())
}

/// What is left to be read.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, length: u64) -> Result<&'a [u8], ChangeError> {
        let split = usize::try_from(length).ok().and_then(|length| self.0.split_at_checked(length));
        let (taken, rest) = split.ok_or_else(|| malformed("it ends too early"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self, what: &str) -> Result<u64, ChangeError> {
        leb128::read::unsigned(&mut self.0).map_err(|_| malformed(&format!("{what} can't be read")))
    }

    fn signed(&mut self, what: &str) -> Result<i64, ChangeError> {
        leb128::read::signed(&mut self.0).map_err(|_| malformed(&format!("{what} can't be read")))
    }

    fn at_most(&mut self, what: &'static str, most: u64) -> Result<u64, ChangeError> {
        let count = self.number(what)?;
        if count > most { Err(ChangeError::TooMany { what, count, most }) } else { Ok(count) }
    }

    /// Adds up the runs of a column without expanding them.
    fn runs(&mut self, runs: Runs, actors: u64, most: u64) -> Result<(), ChangeError> {
        let mut total: u64 = 0;
        while runs != Runs::None && !self.0.is_empty() {
            let count = match runs {
                Runs::Flags => self.number("a run")?,
                _ => self.run(runs, actors, most)?,
            };
            total = total.saturating_add(count);
            let most = if runs == Runs::Flags { most.saturating_add(1) } else { most };
            if total > most {
                return Err(ChangeError::TooMany { what: "its operations", count: total, most });
            }
        }
        Ok(())
    }

    /// One run of equal values, of absent ones, or of values that are written out; what it counts for.
    fn run(&mut self, runs: Runs, actors: u64, most: u64) -> Result<u64, ChangeError> {
        let length = self.signed("a run")?;
        if length == 0 {
            let absent = self.number("a run of nothing")?;
            // Each operation does something.
            return if runs == Runs::Actions {
                Err(malformed("an operation does nothing"))
            } else {
                Ok(absent)
            };
        }
        let count = length.unsigned_abs();
        if count > most {
            return Err(ChangeError::TooMany { what: "its operations", count, most });
        }
        let mut counted = count;
        for _ in 0..if length > 0 { 1 } else { count } {
            match runs {
                Runs::Texts => {
                    let length = self.number("a text's length")?;
                    self.take(length)?;
                }
                Runs::Differences => {
                    self.signed("a difference")?;
                }
                Runs::Actors if self.number("an actor")? > actors => {
                    return Err(malformed("it names an actor that is not there"));
                }
                Runs::Counts => {
                    let each = self.number("a count")?;
                    let times = if length > 0 { count } else { 1 };
                    counted = counted.saturating_add(each.saturating_mul(times));
                }
                Runs::Actions | Runs::Numbers => {
                    self.number("a value")?;
                }
                Runs::Actors | Runs::Flags | Runs::None => {}
            }
        }
        // A list of what is overwritten counts for itself and for what is in it.
        Ok(counted)
    }
}

#[cfg(test)]
mod tests;
