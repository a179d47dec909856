//! Which entries go where the memory bound is reached and the policy is to evict.
//!
//! The rule is CLOCK: one hand goes over the slots of all classes in the order of the region. An
//! entry that was used since the hand last passed is spared, once; one that was not is evicted.
//! So cold entries of every size go, and compaction makes pages of their slots for the sizes that
//! are written now. Where many classes have free slots and none a slab's worth, waiting for one
//! would evict without end; then the slab with the least in it is given up whole.

use super::engine::{Engine, UPKEEP_STEP};
use super::entry::{Header, STATE_AT};
use super::pages::PageSource;
use super::slots::{Slot, Slots};
use crate::contract::Gone;

/// The hand spares at most so many entries at a time, and two more for each that it evicts: a
/// write is not held up by a store in which everything was used.
const PATIENCE: usize = 512;
/// One part in so many of the bound may be free slots.
const SLACK: u64 = 8;

/// Where the hand is.
#[derive(Debug)]
pub(super) struct Hand {
    at: Slot,
    /// How many entries were evicted.
    pub(super) evicted: u64,
}

impl Default for Hand {
    fn default() -> Self {
        Self {
            at: Slot(0),
            evicted: 0,
        }
    }
}

impl<P: PageSource> Engine<P> {
    /// Notes that an entry was used.
    pub(super) fn visit(&mut self, slot: Slot) {
        if self.hand.is_some() {
            self.slots.set_visited(slot, true);
        }
    }

    /// Frees slots of so many bytes; whether any.
    pub(super) fn evict(&mut self, bytes: usize) -> bool {
        let has_slack = self.slots.shelves.free_bytes() > self.bound / SLACK;
        if has_slack && self.give_up_a_slab() {
            return true;
        }
        let (mut freed, mut gone, mut spared, mut laps) = (0, 0, 0, 0);
        while freed < bytes && laps < 3 {
            let Some(slot) = self.next_of_hand() else {
                laps += 1;
                continue;
            };
            if self.spares(slot) && spared < PATIENCE + 2 * gone {
                self.slots.set_visited(slot, false);
                spared += 1;
                continue;
            }
            let size = self.slots.slab(slot).slot_size();
            if self.expel(slot) {
                (freed, gone) = (freed + size, gone + 1);
            }
        }
        freed > 0
    }

    /// The slot under the hand, which goes on; `None` at the end of the region.
    fn next_of_hand(&mut self) -> Option<Slot> {
        let hand = self.hand.as_mut()?;
        let slot = self.slots.next_taken(hand.at);
        hand.at = slot.map_or(Slot(0), Slot::after);
        slot
    }

    /// Whether an entry is not to go now.
    fn spares(&self, slot: Slot) -> bool {
        let header = self.slots.entry(slot).header;
        header.is_visited && !header.due.is_past(self.now)
    }

    /// Removes an entry; whether there was one that the index has.
    fn expel(&mut self, slot: Slot) -> bool {
        let entry = self.slots.entry(slot);
        let (hash, is_past) = (self.hash(entry.key), entry.header.due.is_past(self.now));
        if self.index.find(hash, |found| found == slot).is_none() {
            return false;
        }
        self.note(
            if is_past {
                Gone::Expired
            } else {
                Gone::Evicted
            },
            slot,
        );
        self.index.remove(hash, slot);
        self.release(slot);
        if let Some(hand) = &mut self.hand {
            hand.evicted += u64::from(!is_past);
        }
        true
    }

    /// Evicts entries of the slab with the least in it; whether there were any.
    fn give_up_a_slab(&mut self) -> bool {
        let slabs = self.slots.shelves.all_emptiest();
        let least = slabs.min_by_key(|first| self.slots.head(*first).used_bytes());
        let slots = least.map(|first| self.slots.first_taken(first, UPKEEP_STEP));
        let mut is_any = false;
        for slot in slots.into_iter().flatten() {
            is_any |= self.expel(slot);
        }
        is_any
    }

    /// What is written anew was not lost, if its room was taken for itself.
    pub(super) fn forgive(&mut self, was_live: bool, old: Option<Slot>) {
        if let Some(hand) = &mut self.hand {
            hand.evicted -= u64::from(was_live && old.is_none());
        }
    }
}

impl<P: PageSource> Slots<P> {
    /// Notes whether an entry was used since the eviction hand passed: at most one store.
    pub(super) fn set_visited(&mut self, slot: Slot, is_visited: bool) {
        let header = Header::read(self.bytes(slot));
        if header.is_visited != is_visited {
            let state = Header {
                is_visited,
                ..header
            }
            .state()
            .to_le_bytes();
            self.pages.source.store(slot.begin() + STATE_AT, &state);
        }
    }
}

#[cfg(test)]
#[path = "eviction_tests.rs"]
mod tests;
