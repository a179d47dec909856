//! Finding room for an entry where the memory bound leaves none.
//!
//! What is past its deadline goes and what is kept only until a sync, then classes with many free
//! slots give pages back, and where that is the policy entries are evicted. Refusing is bounded work; what a refused write lacked
//! is remembered, and upkeep goes on to look for it. Called by [`Engine::put`] alone.

use super::engine::{Engine, Full, Left, Place, UPKEEP_STEP};
use super::pages::PageSource;
use super::slots::{Lack, Slot};

/// How often a write tries to make room before it is refused: some hundred microseconds.
const TRIES: usize = 3;

impl<P: PageSource> Engine<P> {
    /// A slot for an entry of `len` bytes, and the one that its key has now.
    pub(super) fn make_room(
        &mut self,
        place: Place,
        key: &[u8],
        len: usize,
    ) -> Result<(Slot, Option<Slot>), Full> {
        let mut old = place.slot;
        let mut tries = 0;
        loop {
            let growth = if old.is_some() {
                0
            } else {
                self.index.growth(place.hash)
            };
            let room = self.bound.checked_sub(self.memory() + growth);
            // A slot of a slab that is there already costs nothing.
            let needed = match self.slots.take(len, room.unwrap_or(0), old) {
                Ok(slot) if growth == 0 || room.is_some() => {
                    self.forgive(place.live.is_some(), old);
                    return Ok((slot, old));
                }
                Ok(slot) => {
                    self.slots.put_back(slot);
                    growth
                }
                Err(Lack::Room(bytes)) => growth + bytes,
                Err(Lack::System) => return Err(Full),
            };
            tries += 1;
            let is_over = tries == TRIES && !self.evicts_for(needed);
            if is_over || !self.reclaim(len, needed) {
                self.wanted = needed;
                return Err(Full);
            }
            old = old.and(
                self.index
                    .find(place.hash, |slot| self.slots.key(slot) == key),
            );
        }
    }

    /// Where entries are evicted, makes room for the next slab of a written entry's class little
    /// by little: while half a slab's slots are taken, as many bytes as a slab has.
    pub(super) fn run_ahead(&mut self, slot: Slot) {
        let slab = self.slots.slab(slot);
        let (Some(class), needed) = (slab.class, slab.memory()) else {
            return;
        };
        if self.slots.shelves.free(class) as usize * 2 >= slab.slots() {
            return;
        }
        for _ in 0..2 {
            if self.memory() + needed > self.bound {
                self.reclaim(class.slot_size(), needed);
            }
        }
    }

    /// Does some work that may make room for an entry of `len` bytes, for which `needed` bytes
    /// have to be found; whether it may have.
    fn reclaim(&mut self, len: usize, needed: u64) -> bool {
        let has_settled = self.settle(true);
        let is_busy = self.upkeep() == Left::More || has_settled;
        let loose = self.slots.shelves.loose(self.slots.spare);
        if loose.is_some_and(|class| self.compact(class, UPKEEP_STEP) > 0) || is_busy {
            return true;
        }
        self.evicts_for(needed) && self.evict(len)
    }

    /// Whether entries are evicted for the sake of so many bytes: not for what would not fit into
    /// a store without entries.
    fn evicts_for(&self, needed: u64) -> bool {
        let others = self.memory() - self.slots.slab_memory();
        self.hand.is_some() && others + needed <= self.bound
    }
}
