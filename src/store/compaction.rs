//! Moving entries together, so that slabs come free and their pages go back.
//!
//! A class is *sparse* where more than a quarter of its slots and more than a slab's worth are
//! free; upkeep moves entries out of one of its emptiest slabs into the fullest until it is not.
//! So once upkeep has nothing left to do, the slots of a class are at most four thirds of those
//! taken, or those taken and a slab. Where a write was refused for want of memory, a class gives
//! pages away as soon as a slab's worth is free (it is *loose*).
//!
//! Moving is like writing anew: the copy is whole before the index names it, and the old one is
//! erased after. A copy has the number of the original. A walk does not notice: places in it
//! depend on hashes alone.

use super::class::Class;
use super::engine::{Engine, UPKEEP_STEP};
use super::entry::HEADER;
use super::pages::PageSource;
use super::slab::NONE;
use super::slots::{Slot, Slots};

/// Bytes moved by one step, more or less.
const STEP_BYTES: usize = 256 << 10;
/// Bytes of an entry that are copied at a time.
const CHUNK: usize = 4 << 10;

impl<P: PageSource> Engine<P> {
    /// Does a step of compaction, of at most so many entries, where there is something to do;
    /// whether there was.
    pub(super) fn tidy(&mut self, most: usize) -> bool {
        match self.slots.shelves.sparse().or_else(|| self.wanting()) {
            Some(class) => self.compact(class, most) > 0,
            // The bound was lowered under what is stored.
            None => self.hand.is_some() && self.memory() > self.bound && self.evict(STEP_BYTES),
        }
    }

    /// A class that can give pages for what a refused write lacked.
    fn wanting(&mut self) -> Option<Class> {
        let memory = self.memory();
        if memory.saturating_add(self.wanted) <= self.bound {
            self.wanted = 0;
        }
        if self.wanted == 0 && memory <= self.bound {
            return None;
        }
        let loose = self.slots.shelves.loose(self.slots.spare);
        if loose.is_none() {
            self.wanted = 0;
        }
        loose
    }

    /// Gives an empty slab of a class back, or moves entries out of one of its emptiest slabs, at
    /// most so many. What was done, in entries; nothing where nothing could be.
    pub(super) fn compact(&mut self, class: Class, most: usize) -> usize {
        if self.slots.drop_empty(class) {
            return 1;
        }
        let Some(first) = self.slots.shelves.emptiest(class) else {
            return 0;
        };
        let most = most
            .min(UPKEEP_STEP)
            .min(STEP_BYTES / class.slot_size())
            .max(1);
        let mut moved = 0;
        for slot in self.slots.first_taken(first, most) {
            moved += usize::from(self.move_on(slot, class, first));
        }
        moved
    }

    /// Moves the entry with this key, if one is there, into a new slab of its class.
    #[cfg(test)]
    pub(super) fn move_away(&mut self, key: &[u8]) {
        let Some(slot) = self.locate(key).slot else {
            return;
        };
        let slab = self.slots.slab(slot);
        if let (Some(class), first) = (slab.class, slab.first) {
            let room = self.bound - self.memory();
            if self.slots.take_slab(Some(class), 0, room).is_ok() {
                assert!(self.move_on(slot, class, first));
            }
        }
    }

    /// Moves an entry into another slab than the one that begins with this page.
    fn move_on(&mut self, old: Slot, class: Class, first: u32) -> bool {
        let entry = self.slots.entry(old);
        let (hash, due) = (self.hash(entry.key), entry.header.due);
        if self.index.find(hash, |slot| slot == old).is_none() {
            return false;
        }
        let Some(new) = self.slots.take_beside(class, first) else {
            return false;
        };
        self.slots.copy(old, new);
        self.index.replace(hash, old, new);
        self.retire(old, new);
        self.wheel.insert(&mut self.slots, new, due);
        true
    }
}

impl<P: PageSource> Slots<P> {
    /// The first slots of a slab that are taken, at most so many.
    pub(super) fn first_taken(&self, first: u32, most: usize) -> Vec<Slot> {
        let slab = self.head(first);
        let next = |slot: &Slot| slab.next_taken(slot.after());
        let slots = std::iter::successors(slab.next_taken(Slot::at(first, 0)), next);
        slots.take(most).collect()
    }

    /// Copies an entry into a slot that was taken for it.
    fn copy(&mut self, from: Slot, to: Slot) {
        let header = self.entry(from).header;
        let len = HEADER + header.key_len + header.value_len;
        let mut chunk = [0; CHUNK];
        for at in (HEADER..len).step_by(CHUNK) {
            let chunk = &mut chunk[..CHUNK.min(len - at)];
            chunk.copy_from_slice(&self.bytes(from)[at..at + chunk.len()]);
            self.pages.source.store(to.begin() + at as u64, chunk);
        }
        self.write_header(to, &header);
    }

    /// Takes a slot of a class in the fullest slab with a free one that is not this slab.
    fn take_beside(&mut self, class: Class, first: u32) -> Option<Slot> {
        let heads = self.shelves.heads(class).into_iter().rev();
        let mut others = heads.filter(|head| *head != NONE).map(|head| {
            if head == first {
                self.head(head).beside.next
            } else {
                head
            }
        });
        let other = others.find(|other| *other != NONE)?;
        Some(self.take_in(other))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::ops::ControlFlow;

    use fastrand::Rng;

    use super::super::class::CLASSES;
    use super::super::engine::Left;
    use super::super::pages::{HeapPages, PAGE};
    use super::super::superblock::HashKey;
    use super::*;
    use crate::contract::Seq;
    use crate::time::Millis;

    struct World {
        rng: Rng,
        now: Millis,
        store: Engine<HeapPages>,
        /// By key: length of the value, deadline, version.
        model: BTreeMap<u32, (usize, Option<Millis>, Seq)>,
    }

    impl World {
        fn new(seed: u64) -> Self {
            let mut store = Engine::create(HeapPages::default(), HashKey([0; 16])).unwrap();
            let now = store.advance(Millis::from_unix(1_000));
            Self {
                rng: Rng::with_seed(seed),
                now,
                store,
                model: BTreeMap::new(),
            }
        }

        fn set(&mut self, key: u32, len: usize) {
            let ttl = self.rng.u64(1..40_000);
            let deadline = self.rng.bool().then(|| self.now.after_ms(ttl));
            let place = self.store.locate(&key.to_le_bytes());
            let (seq, value) = (self.store.number(), vec![key.to_le_bytes()[0]; len]);
            let done = self
                .store
                .put(place, &key.to_le_bytes(), &value, deadline, seq);
            done.unwrap();
            self.model.insert(key, (len, deadline, seq));
        }

        fn destroy(&mut self, key: u32) {
            let place = self.store.locate(&key.to_le_bytes());
            self.store.remove(place);
            self.model.remove(&key);
        }

        fn later(&mut self, ms: u64) {
            self.now = self.store.advance(self.now.after_ms(ms));
            let now = self.now;
            self.model
                .retain(|_, (_, deadline, _)| deadline.is_none_or(|at| at > now));
        }

        fn tidy_up(&mut self) {
            while self.store.upkeep() == Left::More {}
            self.store.check_compact();
        }

        fn compare(&mut self) {
            self.store.check_invariants();
            assert_eq!(self.store.length(), self.model.len() as u64);
            for (key, (len, deadline, seq)) in &self.model {
                let found = self.store.get(&key.to_le_bytes()).expect("it is there");
                assert_eq!((found.value.len(), found.seq), (*len, *seq));
                assert_eq!(found.deadline, *deadline);
                assert!(found.value.iter().all(|byte| *byte == key.to_le_bytes()[0]));
            }
        }
    }

    /// The bound that the module's documentation promises, and what no slot fits into.
    fn check_bound(slots: &Slots<HeapPages>) {
        let (mut live, mut allowed) = (0, 0);
        for slot in slots.check() {
            let slab = slots.slab(slot);
            let slab_bytes = slab.pages as usize * PAGE;
            // A slot's share of its slab.
            live += slab
                .class
                .map_or(slab_bytes, |class| slab_bytes / class.slots());
        }
        for number in 0..u8::try_from(CLASSES).unwrap() {
            let class = Class::numbered(number);
            let is_there = slots.shelves.free(class) > 0;
            allowed += usize::from(is_there) * class.pages() as usize * PAGE;
        }
        let taken = slots.pages.taken() * PAGE;
        assert!(taken <= live * 4 / 3 + allowed, "{taken} bytes for {live}");
    }

    #[test]
    fn after_churn_of_any_sizes_fragmentation_is_bounded() {
        let mut world = World::new(7);
        for round in 0..6 {
            // Sizes drift, so that the classes of the round before empty.
            let longest = [200, 3_000, 600, 40_000, 100, 5_000][round];
            for _ in 0..6_000 {
                let (key, len) = (world.rng.u32(..8_000), world.rng.usize(..longest));
                match world.rng.u8(..10) {
                    0..=5 => world.set(key, len),
                    6 => world.later(20),
                    _ => world.destroy(key),
                }
            }
            world.tidy_up();
            world.compare();
            check_bound(&world.store.slots);
            world.later(3_000);
        }
    }

    #[test]
    fn a_walk_meets_what_is_moved_under_it_exactly_once() {
        let mut world = World::new(3);
        (0..20_000).for_each(|key| world.set(key, 300));
        let mut keys: Vec<u32> = (0..20_000).collect();
        world.rng.shuffle(&mut keys);
        keys[2_000..].iter().for_each(|key| world.destroy(*key));
        let before = world.store.slots.pages.taken();
        let (mut from, mut met) = (0, Vec::new());
        loop {
            let mut left = 20;
            let next = world.store.walk(from, |found| {
                met.push(u32::from_le_bytes(found.key.try_into().unwrap()));
                left -= 1;
                match left {
                    0 => ControlFlow::Break(()),
                    _ => ControlFlow::Continue(()),
                }
            });
            world.store.upkeep();
            world.store.check_invariants();
            match next {
                Some(next) => from = next,
                None => break,
            }
        }
        let after = world.store.slots.pages.taken();
        assert!(after * 5 < before, "{before} pages became {after}");
        met.sort_unstable();
        assert!(met.into_iter().eq(world.model.keys().copied()));
    }

    #[test]
    fn at_the_bound_a_class_gets_the_pages_that_another_can_spare() {
        let mut world = World::new(11);
        world.store.set_bound(8 << 20);
        let put = |store: &mut Engine<HeapPages>, key: u32, len| {
            let place = store.locate(&key.to_le_bytes());
            let seq = store.number();
            store.put(place, &key.to_le_bytes(), &vec![0; len], None, seq)
        };
        let mut keys: Vec<u32> = (0..100_000)
            .take_while(|key| put(&mut world.store, *key, 300).is_ok())
            .collect();
        world.rng.shuffle(&mut keys);
        let gone = keys.len() * 6 / 10;
        keys[..gone].iter().for_each(|key| world.destroy(*key));
        // As many bytes as became free, but for what fragmentation may keep.
        let (mut refused, mut written) = (0, 0);
        while written < gone * 300 * 8 / 10 {
            match put(
                &mut world.store,
                u32::MAX - u32::try_from(written).unwrap(),
                3_000,
            ) {
                Ok(()) => written += 3_000,
                Err(_) => refused += 1,
            }
            assert!(refused < 50, "{refused} refused, {written} bytes written");
            world.store.upkeep();
        }
        world.store.check_invariants();
        assert!(world.store.memory() > (8 << 20) * 8 / 10);
    }

    #[test]
    fn a_mark_of_use_moves_along() {
        let mut world = World::new(0);
        let bytes = |key: u32| key.to_le_bytes();
        (0..3_000).for_each(|key| world.set(key, 300));
        (0..3_000)
            .filter(|key| key % 9 > 0)
            .for_each(|key| world.destroy(key));
        let slot = |world: &World, key| world.store.locate(&bytes(key)).slot.unwrap();
        for key in world.model.keys().filter(|key| **key % 2 == 0) {
            let slot = slot(&world, *key);
            world.store.slots.set_visited(slot, true);
        }
        let before: Vec<Slot> = world.model.keys().map(|key| slot(&world, *key)).collect();
        world.tidy_up();
        let after: Vec<Slot> = world.model.keys().map(|key| slot(&world, *key)).collect();
        assert!(before != after, "nothing was moved");
        for key in world.model.keys() {
            let header = world.store.slots.entry(slot(&world, *key)).header;
            assert_eq!(header.is_visited, *key % 2 == 0);
        }
    }
}
