//! Per class: how many slots are free, and its slabs with a free slot by how full they are.
//!
//! A shelf is a list of slabs through the slabs themselves. A new entry goes into one of the
//! fullest, so that the others come free by themselves; compaction empties one of the emptiest.
//! Only [`Slots`] uses this. Invariant: a slab of a class is on the shelf of its
//! [`tier`](super::slab::Slab::tier), on none where it is full, and `free` is exact.

use super::class::{CLASSES, Class};
use super::pages::PageSource;
use super::slab::{Link, NONE, TIERS};
use super::slots::Slots;

/// The shelves of all classes.
#[derive(Debug)]
pub(super) struct Shelves {
    /// The first slab on each.
    heads: Box<[[u32; TIERS]]>,
    free: Box<[u32]>,
    slabs: Box<[u32]>,
    /// Slots of a slab.
    per_slab: Box<[u32]>,
}

fn classes() -> impl Iterator<Item = Class> {
    let numbers = 0..u8::try_from(CLASSES).expect("few classes");
    numbers.map(Class::numbered)
}

impl Shelves {
    pub(super) fn new() -> Self {
        let slots = |class: Class| u32::try_from(class.slots()).expect("few slots");
        Self {
            heads: vec![[NONE; TIERS]; CLASSES].into(),
            free: vec![0; CLASSES].into(),
            slabs: vec![0; CLASSES].into(),
            per_slab: classes().map(slots).collect(),
        }
    }

    /// Forgets all slabs.
    pub(super) fn clear(&mut self) {
        self.heads.fill([NONE; TIERS]);
        self.free.fill(0);
        self.slabs.fill(0);
    }

    /// Slots of a class that are free.
    pub(super) fn free(&self, class: Class) -> u32 {
        self.free[class.number()]
    }

    /// Bytes of all slots that are free.
    pub(super) fn free_bytes(&self) -> u64 {
        let bytes = |class: Class| u64::from(self.free(class)) * class.slot_size() as u64;
        classes().map(bytes).sum()
    }

    pub(super) fn took(&mut self, class: Class) {
        self.free[class.number()] -= 1;
    }

    pub(super) fn gave_back(&mut self, class: Class) {
        self.free[class.number()] += 1;
    }

    /// A slab was added, with so many free slots.
    pub(super) fn joined(&mut self, class: Class, free: u32) {
        self.free[class.number()] += free;
        self.slabs[class.number()] += 1;
    }

    /// An empty slab is gone.
    pub(super) fn left(&mut self, class: Class) {
        self.free[class.number()] -= self.per_slab[class.number()];
        self.slabs[class.number()] -= 1;
    }

    /// Whether no slot of the class is taken.
    pub(super) fn is_unused(&self, class: Class) -> bool {
        let n = class.number();
        self.free[n] == self.slabs[n] * self.per_slab[n]
    }

    /// Whether a class has a slab's worth of free slots, and so many more.
    pub(super) fn could_spare_a_slab(&self, class: Class, spare: u32) -> bool {
        let n = class.number();
        self.slabs[n] > 0 && self.free[n] >= self.per_slab[n] + spare
    }

    /// A class that has a slab's worth of free slots, and so many more.
    pub(super) fn loose(&self, spare: u32) -> Option<Class> {
        classes().find(|class| self.could_spare_a_slab(*class, spare))
    }

    /// A class of whose slots more than a quarter and more than a slab's worth are free.
    pub(super) fn sparse(&self) -> Option<Class> {
        classes().find(|class| {
            let n = class.number();
            let (free, per_slab) = (u64::from(self.free[n]), u64::from(self.per_slab[n]));
            free > per_slab && free * 4 > u64::from(self.slabs[n]) * per_slab
        })
    }

    /// The first slab of a class's fullest ones.
    pub(super) fn fullest(&self, class: Class) -> Option<u32> {
        let mut heads = self.heads(class).into_iter();
        heads.rfind(|first| *first != NONE)
    }

    /// The first slab of a class's emptiest ones that have an entry.
    pub(super) fn emptiest(&self, class: Class) -> Option<u32> {
        let mut heads = self.heads(class).into_iter().skip(1);
        heads.find(|first| *first != NONE)
    }

    /// A slab of a class that has no entry.
    pub(super) fn empty(&self, class: Class) -> Option<u32> {
        Some(self.heads(class)[0]).filter(|first| *first != NONE)
    }

    /// The first slab on each shelf of a class, or none, the emptiest first.
    pub(super) fn heads(&self, class: Class) -> [u32; TIERS] {
        self.heads[class.number()]
    }

    /// The first slab on all shelves.
    pub(super) fn all_emptiest(&self) -> impl Iterator<Item = u32> {
        classes().filter_map(|class| self.emptiest(class))
    }
}

impl<P: PageSource> Slots<P> {
    /// Puts a slab on the shelf where it belongs now.
    pub(super) fn shelve(&mut self, first: u32) {
        self.unshelve(first);
        let slab = self.head(first);
        let (Some(class), Some(tier)) = (slab.class, slab.tier()) else {
            return;
        };
        let head = &mut self.shelves.heads[class.number()][tier];
        let next = std::mem::replace(head, first);
        if next != NONE {
            self.head_mut(next).beside.prev = first;
        }
        let slab = self.head_mut(first);
        (slab.shelf, slab.beside) = (Some(tier), Link { next, prev: NONE });
    }

    /// Takes a slab off its shelf.
    pub(super) fn unshelve(&mut self, first: u32) {
        let slab = self.head_mut(first);
        let Link { next, prev } = slab.beside;
        let (Some(class), Some(tier)) = (slab.class, slab.shelf.take()) else {
            return;
        };
        if next != NONE {
            self.head_mut(next).beside.prev = prev;
        }
        if prev == NONE {
            self.shelves.heads[class.number()][tier] = next;
        } else {
            self.head_mut(prev).beside.next = next;
        }
    }

    /// Panics unless the shelves have exactly the slabs with a free slot and the counts are
    /// exact; `firsts` are the slabs of classes.
    #[cfg(test)]
    pub(super) fn check_shelves(&self, firsts: &[u32]) {
        let mut counted = Shelves::new();
        for first in firsts {
            let slab = self.head(*first);
            let class = slab.class.expect("a slab of a class");
            counted.joined(class, slab.free());
            assert_eq!(slab.shelf, slab.tier(), "{slab:?}");
        }
        assert_eq!(counted.free, self.shelves.free);
        assert_eq!(counted.slabs, self.shelves.slabs);
        for class in classes() {
            for (tier, head) in self.shelves.heads(class).into_iter().enumerate() {
                let (mut at, mut prev) = (head, NONE);
                while at != NONE {
                    let slab = self.head(at);
                    assert_eq!((slab.class, slab.shelf), (Some(class), Some(tier)));
                    assert_eq!(slab.beside.prev, prev);
                    counted.free[class.number()] -= slab.free();
                    (prev, at) = (at, slab.beside.next);
                }
            }
        }
        let unlisted: u32 = counted.free.iter().sum();
        assert_eq!(unlisted, 0, "a slab with a free slot is on no shelf");
    }
}
