//! The price levels of one side, by price: a radix tree, 64 ways wide, with compressed paths.
//!
//! A node looks at six bits of the price and holds a bitmap of the children it has; bits on which all
//! prices under it agree have no node. So a dense book is two or three steps deep, a book with prices
//! spread over all of `u64` at most eleven, there is less than one node a level in any case, the best
//! level is found by counting zeros, and neither adding nor removing a level ever moves another one.

use super::queue::Level;
use super::slab::{NIL, Place, Slab};

const BITS: u32 = 6;
const WAYS: usize = 1 << BITS;
const DEPTH: usize = u64::BITS.div_ceil(BITS) as usize;

/// What a child refers to: nothing, a level (its number) or a node (its number with this bit).
const NODE: u32 = 1 << 31;

#[derive(Clone)]
struct Node {
    /// A price under this node. All agree in the bits above those that the node looks at.
    prefix: u64,
    /// Bit n: child n is there. What an absent child holds means nothing.
    present: u64,
    /// The lowest of the six bits that the node looks at.
    shift: u32,
    children: [u32; WAYS],
}

impl Place for Node {
    const BLANK: Self = Self { prefix: 0, present: 0, shift: 0, children: [NIL; WAYS] };

    fn link(&mut self) -> &mut u32 {
        &mut self.shift
    }
}

impl Node {
    #[inline]
    fn digit(&self, price: u64) -> u32 {
        (price >> self.shift) as u32 & (WAYS as u32 - 1)
    }

    /// Whether the price agrees with the prices under this node in the bits above.
    #[inline]
    fn covers(&self, price: u64) -> bool {
        (price ^ self.prefix) >> self.shift >> BITS == 0
    }

    #[inline]
    fn has(&self, digit: u32) -> bool {
        self.present >> digit & 1 == 1
    }

    fn set(&mut self, digit: u32, child: u32) {
        self.present |= 1 << digit;
        self.children[digit as usize] = child;
    }
}

#[derive(Clone)]
pub(super) struct PriceTree {
    nodes: Slab<Node>,
    root: u32,
}

impl PriceTree {
    pub(super) fn new() -> Self {
        Self { nodes: Slab::with_capacity(0), root: NIL }
    }

    pub(super) fn bytes(&self) -> usize {
        self.nodes.bytes()
    }

    /// The level at this price.
    #[inline]
    pub(super) fn get(&self, levels: &Slab<Level>, price: u64) -> Option<u32> {
        let mut child = self.root;
        while child & NODE != 0 {
            let node = &self.nodes[child & !NODE];
            let digit = node.digit(price);
            if !node.has(digit) {
                return None;
            }
            child = node.children[digit as usize];
        }
        // The way down skips bits, so only the level itself can say.
        (child != NIL && levels[child].price == price).then_some(child)
    }

    /// Adds a level at a price where there is none.
    pub(super) fn insert(&mut self, levels: &Slab<Level>, price: u64, level: u32) {
        let mut above = None;
        let mut child = self.root;
        while child & NODE != 0 {
            let number = child & !NODE;
            let node = &mut self.nodes[number];
            if !node.covers(price) {
                let prefix = node.prefix;
                return self.split(above, (child, prefix), (level, price));
            }
            let digit = node.digit(price);
            if !node.has(digit) {
                return node.set(digit, level);
            }
            above = Some((number, digit));
            child = node.children[digit as usize];
        }
        if child == NIL {
            self.root = level;
        } else {
            self.split(above, (child, levels[child].price), (level, price));
        }
    }

    /// Puts a node where the two prices first differ.
    fn split(&mut self, above: Option<(u32, u32)>, old: (u32, u64), new: (u32, u64)) {
        let highest = u64::BITS - 1 - (old.1 ^ new.1).leading_zeros();
        let number = self.nodes.take();
        let node = &mut self.nodes[number];
        (node.prefix, node.shift, node.present) = (new.1, highest / BITS * BITS, 0);
        for (child, price) in [old, new] {
            let digit = node.digit(price);
            node.set(digit, child);
        }
        self.relink(above, number | NODE);
    }

    fn relink(&mut self, above: Option<(u32, u32)>, child: u32) {
        match above {
            None => self.root = child,
            Some((number, digit)) => self.nodes[number].children[digit as usize] = child,
        }
    }

    /// Removes the level at a price where there is one.
    pub(super) fn remove(&mut self, price: u64) {
        let (mut above, mut last) = (None, None);
        let mut child = self.root;
        while child & NODE != 0 {
            let number = child & !NODE;
            let digit = self.nodes[number].digit(price);
            above = last;
            last = Some((number, digit));
            child = self.nodes[number].children[digit as usize];
        }
        let Some((number, digit)) = last else {
            self.root = NIL;
            return;
        };
        let node = &mut self.nodes[number];
        node.present &= !(1 << digit);
        if node.present.is_power_of_two() {
            // One child left: a node must have two, or sparse prices would pile up nodes.
            let only = node.children[node.present.trailing_zeros() as usize];
            self.nodes.give_back(number);
            self.relink(above, only);
        }
    }

    /// The level with the lowest price.
    #[inline]
    pub(super) fn lowest(&self) -> u32 {
        let mut child = self.root;
        while child & NODE != 0 {
            let node = &self.nodes[child & !NODE];
            child = node.children[node.present.trailing_zeros() as usize];
        }
        child
    }

    /// The level with the highest price.
    #[inline]
    pub(super) fn highest(&self) -> u32 {
        let mut child = self.root;
        while child & NODE != 0 {
            let node = &self.nodes[child & !NODE];
            child = node.children[(u64::BITS - 1 - node.present.leading_zeros()) as usize];
        }
        child
    }

    /// All levels in the order of their prices.
    pub(super) fn iter(&self, descending: bool) -> TreeIter<'_> {
        let mut iter = TreeIter { tree: self, descending, stack: [(NIL, 0); DEPTH], depth: 0, level: NIL };
        iter.enter(self.root);
        iter
    }

    /// The levels beyond a price, in the order of their prices.
    pub(super) fn iter_beyond(&self, levels: &Slab<Level>, price: u64, descending: bool) -> TreeIter<'_> {
        let mut iter = TreeIter { tree: self, descending, stack: [(NIL, 0); DEPTH], depth: 0, level: NIL };
        let beyond = |other: u64| if descending { other < price } else { other > price };
        let mut child = self.root;
        while child & NODE != 0 {
            let number = child & !NODE;
            let node = &self.nodes[number];
            if !node.covers(price) {
                // All prices under it are on the same side of this one.
                if beyond(node.prefix) {
                    iter.enter(child);
                } else {
                    iter.advance();
                }
                return iter;
            }
            let digit = node.digit(price);
            let others = if descending { (1 << digit) - 1 } else { u64::MAX << digit << 1 };
            iter.stack[iter.depth] = (number, node.present & others);
            iter.depth += 1;
            if !node.has(digit) {
                iter.advance();
                return iter;
            }
            child = node.children[digit as usize];
        }
        if child != NIL && beyond(levels[child].price) {
            iter.level = child;
        } else {
            iter.advance();
        }
        iter
    }
}

/// Walks the levels of a tree by price.
#[derive(Clone)]
pub(super) struct TreeIter<'a> {
    tree: &'a PriceTree,
    descending: bool,
    /// The nodes on the way down and which of their children are still to come.
    stack: [(u32, u64); DEPTH],
    depth: usize,
    /// The next level, or `NIL` at the end.
    level: u32,
}

impl TreeIter<'_> {
    /// Goes down from a child to the first level under it.
    fn enter(&mut self, mut child: u32) {
        while child & NODE != 0 {
            let number = child & !NODE;
            let (digit, rest) = self.pick(self.tree.nodes[number].present);
            self.stack[self.depth] = (number, rest);
            self.depth += 1;
            child = self.tree.nodes[number].children[digit as usize];
        }
        self.level = child;
    }

    /// Goes up to the next child that is still to come, and down from it.
    fn advance(&mut self) {
        self.level = NIL;
        while self.depth > 0 {
            let (number, rest) = self.stack[self.depth - 1];
            if rest == 0 {
                self.depth -= 1;
                continue;
            }
            let (digit, rest) = self.pick(rest);
            self.stack[self.depth - 1].1 = rest;
            self.enter(self.tree.nodes[number].children[digit as usize]);
            break;
        }
    }

    /// The next bit in our direction, and the bits without it.
    fn pick(&self, bits: u64) -> (u32, u64) {
        let digit =
            if self.descending { u64::BITS - 1 - bits.leading_zeros() } else { bits.trailing_zeros() };
        (digit, bits & !(1 << digit))
    }
}

impl Iterator for TreeIter<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let level = self.level;
        if level == NIL {
            return None;
        }
        self.advance();
        Some(level)
    }
}
