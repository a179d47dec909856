//! A run of pages cut into slots of one size, and what is known of each slot outside its bytes.
//!
//! Nothing here is in the pages: a scan of them can make it anew.

use super::bits::Bits;
use super::class::Class;
use super::pages::PAGE;
use super::slots::Slot;

/// A place in a list: of an entry in one of the wheel's (slot numbers, or a bucket's, or none), of
/// a slab on a shelf (first pages, or none).
#[derive(Debug, Clone, Copy)]
pub(super) struct Link {
    pub(super) next: u32,
    pub(super) prev: u32,
}

/// Not in a list, or the last of one.
pub(super) const NONE: u32 = u32::MAX;
const UNLINKED: Link = Link {
    next: NONE,
    prev: NONE,
};

/// How many degrees of fullness are told apart: empty, and four quarters.
pub(super) const TIERS: usize = 5;

/// One slab.
#[derive(Debug)]
pub(super) struct Slab {
    /// The first page of its run.
    pub(super) first: u32,
    pub(super) pages: u32,
    /// `None`: one slot, as large as the run.
    pub(super) class: Option<Class>,
    slot_size: u32,
    /// On which shelf of its class it is, and its neighbours there; `None` where it is full.
    pub(super) shelf: Option<usize>,
    pub(super) beside: Link,
    slots: u32,
    used: u32,
    /// A quarter of its slots, rounded up.
    quarter: u32,
    taken: Bits,
    /// The slots whose entry the wheel has in the bucket of its very millisecond.
    near: Bits,
    links: Box<[Link]>,
}

impl Slab {
    pub(super) fn new(first: u32, pages: u32, class: Option<Class>) -> Self {
        let slots = class.map_or(1, Class::slots);
        let size = class.map_or(pages as usize * PAGE, Class::slot_size);
        let count = u32::try_from(slots).expect("a slab has less than 64 Ki slots");
        Self {
            first,
            pages,
            class,
            slot_size: u32::try_from(size).expect("an entry has less than 4 GiB"),
            shelf: None,
            beside: UNLINKED,
            slots: count,
            used: 0,
            quarter: count.div_ceil(4),
            taken: Bits::new(slots),
            near: Bits::new(slots),
            links: vec![UNLINKED; slots].into(),
        }
    }

    /// Bytes on the heap for a slab of this class.
    pub(super) fn heap_of(class: Option<Class>) -> usize {
        let slots = class.map_or(1, Class::slots);
        size_of::<Self>() + slots * size_of::<Link>() + slots.div_ceil(64) * 16
    }

    /// Bytes of its pages and on the heap.
    pub(super) fn memory(&self) -> u64 {
        (self.pages as usize * PAGE + self.heap()) as u64
    }

    /// Bytes on the heap.
    pub(super) fn heap(&self) -> usize {
        size_of::<Self>() + size_of_val(&*self.links) + self.taken.heap() + self.near.heap()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// How full it is: 0 is empty; `None` where no slot is free.
    pub(super) fn tier(&self) -> Option<usize> {
        let quarters = (1..=3).filter(|n| self.used >= n * self.quarter).count();
        match self.used {
            0 => Some(0),
            used if used == self.slots => None,
            _ => Some(1 + quarters),
        }
    }

    /// Slots that are not taken.
    pub(super) fn free(&self) -> u32 {
        self.slots - self.used
    }

    /// Bytes of the slots that are taken.
    pub(super) fn used_bytes(&self) -> u64 {
        u64::from(self.used) * u64::from(self.slot_size)
    }

    /// The first slot at or behind this one that is taken.
    pub(super) fn next_taken(&self, from: Slot) -> Option<Slot> {
        let index = from.offset_from(self.first).div_ceil(self.slot_size());
        let taken = self.taken.next(index)?;
        Some(Slot::at(self.first, taken * self.slot_size()))
    }

    /// Takes a slot; there must be a free one.
    pub(super) fn take(&mut self) -> Slot {
        let free = self.taken.first_missing();
        let index = free.expect("a slab that is not full has a free slot");
        self.take_at(index);
        self.slot(index)
    }

    /// The slot with this number.
    pub(super) fn slot(&self, index: usize) -> Slot {
        Slot::at(self.first, index * self.slot_size as usize)
    }

    /// Slots, taken or not.
    pub(super) fn slots(&self) -> usize {
        self.slots as usize
    }

    /// Bytes of a slot.
    pub(super) fn slot_size(&self) -> usize {
        self.slot_size as usize
    }

    /// Takes this very slot, which is free.
    pub(super) fn take_at(&mut self, index: usize) {
        debug_assert!(!self.taken.has(index));
        self.taken.insert(index);
        self.used += 1;
    }

    pub(super) fn give_back(&mut self, slot: Slot) {
        let index = self.index(slot);
        debug_assert!(self.taken.has(index) && !self.near.has(index));
        self.taken.remove(index);
        self.used -= 1;
    }

    pub(super) fn link(&self, slot: Slot) -> Link {
        self.links[self.index(slot)]
    }

    pub(super) fn link_mut(&mut self, slot: Slot) -> &mut Link {
        &mut self.links[self.index(slot)]
    }

    pub(super) fn is_near(&self, slot: Slot) -> bool {
        self.near.has(self.index(slot))
    }

    pub(super) fn set_near(&mut self, slot: Slot) {
        self.near.insert(self.index(slot));
    }

    pub(super) fn set_far(&mut self, slot: Slot) {
        self.near.remove(self.index(slot));
    }

    fn index(&self, slot: Slot) -> usize {
        slot.offset_from(self.first) / self.slot_size as usize
    }

    /// The slots that are taken, in order. Panics unless the count agrees.
    #[cfg(test)]
    pub(super) fn taken(&self) -> Vec<Slot> {
        let next = |slot: &Slot| self.next_taken(slot.after());
        let first = self.next_taken(Slot::at(self.first, 0));
        let taken: Vec<Slot> = std::iter::successors(first, next).collect();
        assert_eq!(taken.len(), self.used as usize);
        taken
    }
}
