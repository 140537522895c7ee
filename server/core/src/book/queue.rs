//! The orders of a price level, in time priority.
//!
//! A level's queue is a doubly linked list of chunks of a few orders each. An order never moves: its
//! handle is its chunk and its position. Orders join at the back; one that leaves clears its bit in
//! the chunk's mask; a chunk without orders is freed. So each chunk in a queue holds an order, walking
//! a queue reads memory mostly in sequence, and a cancel in a large book touches two cache lines
//! of its own rather than those of its neighbours in the queue as well.

use super::slab::{NIL, Place, Slab};
use super::words::Owner;
use crate::types::{NodeId, OrderId, Side};

/// Orders a chunk: with the header and the owners, 128 bytes, so two cache lines that are fetched together. More
/// a chunk make long sweeps faster, and cancels in large books and levels with few orders slower.
pub(super) const CHUNK_ORDERS: u32 = 4;
const POSITION_BITS: u32 = 2;

/// The maximum of chunks, and so of orders in a book, that handles can tell apart.
pub(super) const MAX_CHUNKS: u32 = u32::MAX >> POSITION_BITS;

/// Where an order lives. Never 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Handle(pub(super) u32);

impl Handle {
    #[inline]
    fn new(chunk: u32, position: u32) -> Self {
        Self(chunk << POSITION_BITS | position)
    }

    #[inline]
    pub(super) fn chunk(self) -> u32 {
        self.0 >> POSITION_BITS
    }

    #[inline]
    fn position(self) -> u32 {
        self.0 & ((1 << POSITION_BITS) - 1)
    }
}

#[derive(Clone, Copy)]
pub(super) struct Entry {
    pub(super) id: OrderId,
    /// What is open and shown.
    pub(super) open: u64,
}

/// What stands beside an order: its owner's number, and whether it shows only a part of itself.
#[derive(Clone, Copy)]
pub(super) struct Tag(u32);

impl Tag {
    const ICEBERG: u32 = 1 << 31;

    #[inline]
    fn of(owner: Owner) -> Self {
        Self(owner.number())
    }

    /// Its owner's number.
    #[inline]
    pub(super) fn number(self) -> u32 {
        self.0 & !Self::ICEBERG
    }

    #[inline]
    pub(super) fn is_iceberg(self) -> bool {
        self.0 & Self::ICEBERG != 0
    }
}

#[derive(Clone)]
#[repr(C, align(128))]
pub(super) struct Chunk {
    pub(super) level: u32,
    previous: u32,
    pub(super) next: u32,
    /// Bit n: position n holds an order.
    pub(super) live: u32,
    tags: [Tag; CHUNK_ORDERS as usize],
    entries: [Entry; CHUNK_ORDERS as usize],
}

impl Place for Chunk {
    const BLANK: Self = Self {
        level: NIL,
        previous: NIL,
        next: NIL,
        live: 0,
        tags: [Tag(0); CHUNK_ORDERS as usize],
        entries: [Entry { id: OrderId { node: NodeId(0), counter: 0 }, open: 0 }; CHUNK_ORDERS as usize],
    };

    fn link(&mut self) -> &mut u32 {
        &mut self.next
    }
}

impl Chunk {
    /// The position after the last order; those from here on are free and in order.
    #[inline]
    fn end(&self) -> u32 {
        u32::BITS - self.live.leading_zeros()
    }
}

/// A price level. It exists as long as an order rests there.
#[derive(Clone)]
pub(super) struct Level {
    pub(super) price: u64,
    /// The sum of the open quantities, shown or not.
    pub(super) total: u64,
    /// What of it is not shown.
    pub(super) hidden: u64,
    pub(super) head: u32,
    pub(super) tail: u32,
    pub(super) count: u32,
    pub(super) side: Side,
}

impl Place for Level {
    const BLANK: Self =
        Self { price: 0, total: 0, hidden: 0, head: NIL, tail: NIL, count: 0, side: Side::Buy };

    fn link(&mut self) -> &mut u32 {
        &mut self.head
    }
}

/// All chunks of a book.
#[derive(Clone)]
pub(super) struct Queues {
    pub(super) chunks: Slab<Chunk>,
}

impl Queues {
    pub(super) fn with_capacity(orders: usize) -> Self {
        // An eighth more, since the last chunk of a level is seldom full.
        let chunks = orders.div_ceil(CHUNK_ORDERS as usize);
        Self { chunks: Slab::with_capacity(chunks + chunks / 8) }
    }

    #[inline]
    pub(super) fn entry(&self, handle: Handle) -> &Entry {
        &self.chunks[handle.chunk()].entries[handle.position() as usize]
    }

    #[inline]
    pub(super) fn entry_mut(&mut self, handle: Handle) -> &mut Entry {
        &mut self.chunks[handle.chunk()].entries[handle.position() as usize]
    }

    /// What stands beside an order.
    #[inline]
    pub(super) fn tag(&self, handle: Handle) -> Tag {
        self.chunks[handle.chunk()].tags[handle.position() as usize]
    }

    /// Whose an order is.
    #[inline]
    pub(super) fn owner(&self, handle: Handle) -> Owner {
        Owner::new(self.tag(handle).number())
    }

    /// From here on an order shows only a part of itself.
    pub(super) fn mark_iceberg(&mut self, handle: Handle) {
        self.chunks[handle.chunk()].tags[handle.position() as usize].0 |= Tag::ICEBERG;
    }

    /// Reads the cache lines of an order.
    #[inline]
    pub(super) fn touch(&self, handle: Handle) -> u64 {
        let chunk = &self.chunks[handle.chunk()];
        u64::from(chunk.live) ^ chunk.entries[handle.position() as usize].open
    }

    /// Joins the back of a level's queue. The caller has checked that the total fits.
    #[inline]
    pub(super) fn push(&mut self, number: u32, level: &mut Level, entry: Entry, owner: Owner) -> Handle {
        level.total += entry.open;
        level.count += 1;
        let mut chunk_number = level.tail;
        let mut position = if chunk_number == NIL { CHUNK_ORDERS } else { self.chunks[chunk_number].end() };
        if position == CHUNK_ORDERS {
            chunk_number = self.append_chunk(number, level);
            position = 0;
        }
        let chunk = &mut self.chunks[chunk_number];
        chunk.live |= 1 << position;
        chunk.entries[position as usize] = entry;
        chunk.tags[position as usize] = Tag::of(owner);
        Handle::new(chunk_number, position)
    }

    fn append_chunk(&mut self, number: u32, level: &mut Level) -> u32 {
        let added = self.chunks.take();
        let chunk = &mut self.chunks[added];
        (chunk.level, chunk.previous, chunk.next, chunk.live) = (number, level.tail, NIL, 0);
        if level.tail == NIL {
            level.head = added;
        } else {
            self.chunks[level.tail].next = added;
        }
        level.tail = added;
        added
    }

    /// Takes an order out of its queue.
    #[inline]
    pub(super) fn remove(&mut self, level: &mut Level, handle: Handle) {
        let chunk = &mut self.chunks[handle.chunk()];
        level.total -= chunk.entries[handle.position() as usize].open;
        level.count -= 1;
        chunk.live &= !(1 << handle.position());
        if chunk.live == 0 {
            self.drop_chunk(level, handle.chunk());
        }
    }

    /// Frees a chunk without orders.
    pub(super) fn drop_chunk(&mut self, level: &mut Level, number: u32) {
        let (previous, next) = (self.chunks[number].previous, self.chunks[number].next);
        if previous == NIL {
            level.head = next;
        } else {
            self.chunks[previous].next = next;
        }
        if next == NIL {
            level.tail = previous;
        } else {
            self.chunks[next].previous = previous;
        }
        self.chunks.give_back(number);
    }

    /// The first order of a chunk, which has one.
    #[inline]
    pub(super) fn first_in(&self, chunk: u32) -> Handle {
        Handle::new(chunk, self.chunks[chunk].live.trailing_zeros())
    }

    /// The orders of a chunk.
    #[inline]
    pub(super) fn in_chunk(&self, chunk: u32) -> impl Iterator<Item = &Entry> {
        let chunk = &self.chunks[chunk];
        let mut live = chunk.live;
        std::iter::from_fn(move || {
            let position = live.trailing_zeros();
            live &= live.wrapping_sub(1);
            chunk.entries.get(position as usize)
        })
    }

    /// The orders of a level from the front of the queue.
    pub(super) fn iter(&self, level: &Level) -> QueueIter<'_> {
        let live = if level.head == NIL { 0 } else { self.chunks[level.head].live };
        QueueIter { queues: self, chunk: level.head, live }
    }

    /// The orders behind an order of a level.
    pub(super) fn iter_behind(&self, handle: Handle) -> QueueIter<'_> {
        let behind = u32::MAX << handle.position() << 1;
        let chunk = handle.chunk();
        QueueIter { queues: self, chunk, live: self.chunks[chunk].live & behind }
    }
}

/// Walks a queue from its front.
#[derive(Clone)]
pub(super) struct QueueIter<'a> {
    queues: &'a Queues,
    chunk: u32,
    /// The orders of `chunk` still to come.
    live: u32,
}

impl<'a> Iterator for QueueIter<'a> {
    type Item = (Handle, &'a Entry);

    fn next(&mut self) -> Option<Self::Item> {
        if self.live == 0 {
            if self.chunk == NIL {
                return None;
            }
            self.chunk = self.queues.chunks[self.chunk].next;
            if self.chunk == NIL {
                return None;
            }
            self.live = self.queues.chunks[self.chunk].live;
        }
        let handle = Handle::new(self.chunk, self.live.trailing_zeros());
        self.live &= self.live - 1;
        Some((handle, self.queues.entry(handle)))
    }
}
