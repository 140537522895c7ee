//! Pages of lists that run back in time, and the tokens that name where the next one begins.

pub(in crate::api) mod size;

use xbook_proto::v1::Reason;

use crate::api::error::Refusal;
use crate::history::{HistoryError, Sizes, StoredBlock};
use crate::machine::Change;
use crate::types::Position;

const DEFAULT_SIZE: u32 = 100;
pub(in crate::api) const MAX_SIZE: u32 = 1_000;

/// Most blocks that one call reads. A page that ends because of it is shorter than asked for, and
/// the next one goes on there.
const MAX_BLOCKS: usize = 256;

/// How many entries a page may have.
///
/// # Errors
/// More than 1,000.
pub(in crate::api) fn size(asked: u32) -> Result<usize, Refusal> {
    match asked {
        0 => Ok(DEFAULT_SIZE as usize),
        1..=MAX_SIZE => Ok(asked as usize),
        _ => {
            let limit = format!("must be at most {MAX_SIZE}");
            Err(Refusal::new(Reason::AboveMaximum, limit).field("page_size").value(asked))
        }
    }
}

/// Where a page begins: which part of a list, and numbers that this part understands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::api) struct Token<const N: usize = 2> {
    pub part: char,
    pub at: [u64; N],
}

impl<const N: usize> Token<N> {
    /// As text. `list` says which list it belongs to, all filters included.
    pub fn text(self, list: &str) -> String {
        let numbers: String = self.at.iter().map(|number| format!("{number:x}-")).collect();
        format!("{}{numbers}{:08x}", self.part, self.check(list))
    }

    /// Reads a token of the same list; `None` if there is none.
    ///
    /// # Errors
    /// Anything else than a token of this list.
    pub fn read(text: &str, list: &str) -> Result<Option<Self>, Refusal> {
        if text.is_empty() {
            return Ok(None);
        }
        let found = Self::parse(text).filter(|token| token.text(list) == text);
        found.map(Some).ok_or_else(|| not_a_token(text))
    }

    fn parse(text: &str) -> Option<Self> {
        let part = text.chars().next()?;
        let mut numbers = text.get(part.len_utf8()..)?.split('-');
        let mut at = [0; N];
        for number in &mut at {
            *number = u64::from_str_radix(numbers.next()?, 16).ok()?;
        }
        Some(Self { part, at })
    }

    fn check(self, list: &str) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(list.as_bytes());
        hasher.update(&[0, self.part as u8]);
        self.at.iter().for_each(|number| hasher.update(&number.to_be_bytes()));
        hasher.finalize()
    }
}

/// A token that is of another list, or made up.
pub(in crate::api) fn not_a_token(text: &str) -> Refusal {
    let limit = "must be the next_page_token of a page of the same list";
    Refusal::new(Reason::MalformedText, limit).field("page_token").value(text)
}

/// How far a list was read that runs back in time: everything later than the position, and so many
/// entries at it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::api) struct Cursor {
    pub position: Position,
    pub taken: u64,
}

impl Cursor {
    /// Before anything at or before a position was read.
    pub fn at(position: Position) -> Self {
        Self { position, taken: 0 }
    }

    pub fn from_token(token: Token) -> Self {
        // Anyone can make a token, and the position after this one must be a number too.
        Self { position: Position(token.at[0].min(u64::MAX - 1)), taken: token.at[1] }
    }

    pub fn token(self, part: char) -> Token {
        Token { part, at: [self.position.0, self.taken] }
    }
}

/// What a list does with a change.
pub(in crate::api) enum Pick<T> {
    /// It is not in the list.
    Skip,
    /// It is an entry.
    Take(T),
    /// It is the list's last entry.
    Last(T),
}

/// Picks entries from blocks, the newest first, beginning at a cursor; with where the next page
/// begins, if there is more.
pub(in crate::api) fn scan<T>(
    blocks: impl Iterator<Item = Result<StoredBlock, HistoryError>>,
    cursor: Cursor,
    room: usize,
    mut pick: impl FnMut(&Change, Sizes) -> Pick<T>,
) -> Result<(Vec<T>, Option<Cursor>), HistoryError> {
    let mut found = Vec::new();
    let (mut at, mut skip) = (cursor, cursor.taken);
    for (count, block) in blocks.enumerate() {
        let block = block?;
        if count >= MAX_BLOCKS {
            return Ok((found, Some(Cursor::at(block.block.last))));
        }
        let changes = block.block.changes.iter().rev();
        for change in changes.skip_while(|change| change.position() > cursor.position) {
            let (entry, last) = match pick(change, block.sizes) {
                Pick::Skip => continue,
                Pick::Take(entry) => (entry, false),
                Pick::Last(entry) => (entry, true),
            };
            if change.position() == cursor.position && skip > 0 {
                skip -= 1;
            } else if found.len() == room {
                return Ok((found, Some(at)));
            } else {
                found.push(entry);
                let same = change.position() == at.position;
                at = Cursor { position: change.position(), taken: if same { at.taken + 1 } else { 1 } };
            }
            if last {
                return Ok((found, None));
            }
        }
    }
    Ok((found, None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_its_own_list_only() {
        let token = Token { part: 'c', at: [42, 7] };
        let text = token.text("orders BTC/USDT main");
        assert_eq!(Token::<2>::read(&text, "orders BTC/USDT main"), Ok(Some(token)));
        assert_eq!(Token::<2>::read("", "orders BTC/USDT main"), Ok(None));
        assert!(Token::<2>::read(&text, "orders BTC/USDT other").is_err());
        let upper = text.to_uppercase();
        for bad in ["c", "c1-2", "c1-2-00000000", "é", "-", &upper, &format!("{text}-"), &format!("{text} ")]
        {
            let refusal = Token::<2>::read(bad, "orders BTC/USDT main").unwrap_err();
            assert_eq!(refusal.reason(), Reason::MalformedText, "{bad}");
        }
    }

    #[test]
    fn a_made_up_token_has_a_position_with_a_next() {
        let cursor = Cursor::from_token(Token { part: 't', at: [u64::MAX, u64::MAX] });
        assert_eq!(cursor.position.next(), Position(u64::MAX));
    }

    #[test]
    fn a_page_has_a_bounded_size() {
        assert_eq!((size(0), size(1), size(1_000)), (Ok(100), Ok(1), Ok(1_000)));
        assert_eq!(size(1_001).unwrap_err().to_string(), "page_size is \"1001\": must be at most 1000");
    }
}
