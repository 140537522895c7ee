//! A vector with numbered places and a free list through the free places themselves, so that only
//! a new maximum of places in use allocates.

use std::ops::{Index, IndexMut};

/// The number that stands for "no place"; place 0 is never given out.
pub(super) const NIL: u32 = 0;

/// What a slab can hold.
pub(super) trait Place: Clone {
    /// A value for new places.
    const BLANK: Self;

    /// A field that is not in use while the place is free.
    fn link(&mut self) -> &mut u32;
}

#[derive(Clone)]
pub(super) struct Slab<T> {
    places: Vec<T>,
    free: u32,
}

impl<T: Place> Slab<T> {
    pub(super) fn with_capacity(places: usize) -> Self {
        let mut slab = Self { places: Vec::with_capacity(places + 1), free: NIL };
        slab.places.push(T::BLANK);
        slab
    }

    /// Gives a place whose content is blank or what was last left there.
    ///
    /// The caller keeps the number of places in use under `u32::MAX` (the book's maximum of orders
    /// sees to it).
    pub(super) fn take(&mut self) -> u32 {
        if self.free != NIL {
            let place = self.free;
            self.free = *self[place].link();
            return place;
        }
        let place = self.places.len() as u32;
        self.places.push(T::BLANK);
        place
    }

    pub(super) fn give_back(&mut self, place: u32) {
        let free = self.free;
        *self[place].link() = free;
        self.free = place;
    }

    /// Bytes allocated.
    pub(super) fn bytes(&self) -> usize {
        self.places.capacity() * size_of::<T>()
    }
}

impl<T> Index<u32> for Slab<T> {
    type Output = T;

    #[inline]
    fn index(&self, place: u32) -> &T {
        &self.places[place as usize]
    }
}

impl<T> IndexMut<u32> for Slab<T> {
    #[inline]
    fn index_mut(&mut self, place: u32) -> &mut T {
        &mut self.places[place as usize]
    }
}
