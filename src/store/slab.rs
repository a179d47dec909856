//! A run of pages cut into slots of one size, and what is known of each slot outside its bytes.
//!
//! Nothing here is in the pages: a scan of them can make it anew.

use super::bits::Bits;
use super::class::Class;
use super::pages::PAGE;
use super::slots::Slot;

/// A place of an entry in one of the wheel's lists: slot numbers, or a bucket's, or none.
#[derive(Debug, Clone, Copy)]
pub(super) struct Link {
    pub(super) next: u32,
    pub(super) prev: u32,
}

/// Not in a list, or the last of one.
pub(super) const NONE: u32 = u32::MAX;

/// One slab.
#[derive(Debug)]
pub(super) struct Slab {
    /// The first page of its run.
    pub(super) first: u32,
    pub(super) pages: u32,
    /// `None`: one slot, as large as the run.
    pub(super) class: Option<Class>,
    slot_size: u32,
    /// Where it stands among its class's slabs with a free slot; `None` where it is full.
    pub(super) rank: Option<u32>,
    slots: u32,
    used: u32,
    taken: Bits,
    /// The slots whose entry the wheel has in the bucket of its very millisecond.
    near: Bits,
    links: Box<[Link]>,
}

impl Slab {
    pub(super) fn new(first: u32, pages: u32, class: Option<Class>) -> Self {
        let slots = class.map_or(1, Class::slots);
        let size = class.map_or(pages as usize * PAGE, Class::slot_size);
        let unlinked = Link {
            next: NONE,
            prev: NONE,
        };
        Self {
            first,
            pages,
            class,
            slot_size: u32::try_from(size).expect("an entry has less than 4 GiB"),
            rank: None,
            slots: u32::try_from(slots).expect("a slab has less than 64 Ki slots"),
            used: 0,
            taken: Bits::new(slots),
            near: Bits::new(slots),
            links: vec![unlinked; slots].into(),
        }
    }

    /// Bytes on the heap for a slab of this class.
    pub(super) fn heap_of(class: Option<Class>) -> usize {
        let slots = class.map_or(1, Class::slots);
        size_of::<Self>() + slots * size_of::<Link>() + slots.div_ceil(64) * 16
    }

    /// Bytes on the heap.
    pub(super) fn heap(&self) -> usize {
        size_of::<Self>() + size_of_val(&*self.links) + self.taken.heap() + self.near.heap()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.used == 0
    }

    pub(super) fn is_full(&self) -> bool {
        self.used == self.slots
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
        let mut taken = Vec::new();
        let mut from = 0;
        while let Some(index) = self.taken.next(from) {
            taken.push(self.slot(index));
            from = index + 1;
            if from == self.slots as usize {
                break;
            }
        }
        assert_eq!(taken.len(), self.used as usize);
        taken
    }
}
