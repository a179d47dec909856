//! The engine: slots, index and wheel held together.
//!
//! The only file that knows all three. It is told the time and the number of a write, and knows
//! nothing of conditions: the memory backend asks it what is there and then what to do.
//! Invariant: the index has exactly the slots that are taken, the wheel exactly those of them
//! with a deadline; `check_invariants` says so after every step of the tests.

use std::io;

use siphasher::sip::SipHasher13;

use super::entry::{Due, Entry, HEADER, Header, MAX_KEY, MAX_VALUE};
use super::eviction::Hand;
use super::gone::Notes;
use super::index::{Hash, Index};
use super::limbo::{Limbo, Removal, Settled};
use super::pages::{PageSource, Pages};
use super::slots::{Slot, Slots};
use super::superblock::{self, FRONT, HashKey};
use super::wheel::{Step, Wheel};
use crate::config::WhenFull;
use crate::contract::{Gone, Kind, Seq};
use crate::time::Millis;

/// Entries or wheel positions dealt with by one step of upkeep: some hundred microseconds where
/// every one of them is a cache miss.
pub(super) const UPKEEP_STEP: usize = 128;
/// Entries that a step of a walk looks at before it ends, more or less.
const WALK_STEP: usize = 512;

/// Where a key is, or would be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(super) hash: Hash,
    /// The slot with the key, whether or not its entry is past its deadline.
    pub(super) slot: Option<Slot>,
    /// Version and deadline of the live entry with the key.
    pub(crate) live: Option<(Seq, Option<Millis>)>,
}

/// An entry as the engine lends it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) value: &'a [u8],
    pub(crate) deadline: Option<Millis>,
    pub(crate) seq: Seq,
    pub(crate) kind: Kind,
}

/// The memory bound leaves no room, or the entry does not fit the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

/// What a step of upkeep left to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    More,
    Until(Millis),
    Nothing,
}

/// Entries over a page source `P`.
#[derive(Debug)]
pub(crate) struct Engine<P> {
    pub(super) slots: Slots<P>,
    pub(super) index: Index,
    pub(super) wheel: Wheel,
    /// What was overwritten, where it has to survive a loss of power.
    pub(super) limbo: Option<Limbo>,
    pub(super) hasher: SipHasher13,
    /// The number of the last write.
    pub(super) seq: Seq,
    /// Numbers below this one are noted in the region as given out.
    pub(super) reserved: u64,
    pub(super) bound: u64,
    /// Bytes that a refused write lacked, which compaction is to find.
    pub(super) wanted: u64,
    /// What evicts at the bound; `None`: writes are refused.
    pub(super) hand: Option<Hand>,
    /// Which entries went by themselves; `None`: nobody asks.
    pub(super) gone: Option<Notes>,
    /// The latest time it was told. Callers take the time before they wait for a lock, so it may
    /// be told an earlier one.
    pub(super) now: Millis,
}

impl<P: PageSource> Engine<P> {
    /// An empty store over an empty source. Whoever chooses keys must not know the key of their
    /// hash.
    ///
    /// # Errors
    /// What the system says where there is no memory for the first pages.
    pub(crate) fn create(mut source: P, key: HashKey) -> io::Result<Self> {
        source.take(0, FRONT)?;
        superblock::write(&mut source, key);
        Ok(Self {
            slots: Slots::new(Pages::new(source)),
            index: Index::new(),
            wheel: Wheel::new(0),
            limbo: None,
            hasher: SipHasher13::new_with_key(&key.0),
            seq: Seq(0),
            reserved: 0,
            bound: u64::MAX,
            wanted: 0,
            hand: None,
            gone: None,
            now: Millis::ZERO,
        })
    }

    /// Sets how many bytes it may take.
    pub(crate) fn set_bound(&mut self, bytes: u64) {
        self.bound = bytes;
    }

    /// Sets what happens to writes that would take more.
    pub(crate) fn set_when_full(&mut self, when: WhenFull) {
        self.hand = (when == WhenFull::Evict).then(Hand::default);
        self.slots.spare = u32::from(when == WhenFull::Reject);
    }

    /// What happens to them.
    pub(crate) fn when_full(&self) -> WhenFull {
        match self.hand {
            Some(_) => WhenFull::Evict,
            None => WhenFull::Reject,
        }
    }

    /// How many bytes it may take.
    pub(crate) fn bound(&self) -> u64 {
        self.bound
    }

    /// How many entries were evicted so far.
    pub(crate) fn evicted(&self) -> u64 {
        self.hand.as_ref().map_or(0, |hand| hand.evicted)
    }

    /// Bytes of everything that grows with the data: pages, what is kept beside them, index,
    /// wheel.
    pub(crate) fn memory(&self) -> u64 {
        self.slots.memory() + self.index.memory() + Wheel::memory()
    }

    /// The time that counts for this call.
    pub(crate) fn advance(&mut self, now: Millis) -> Millis {
        // An empty store begins at the time of its first call, however late that is.
        if self.now == Millis::ZERO && self.index.len() == 0 {
            self.wheel = Wheel::new(now.as_unix());
        }
        self.now = self.now.max(now);
        self.now
    }

    /// The number for a write that is about to be done. No number is given out twice, in whatever
    /// process this region is.
    pub(crate) fn number(&mut self) -> Seq {
        self.seq = Seq(self.seq.0 + 1);
        self.reserved = superblock::reserve(&mut self.slots.pages.source, self.reserved, self.seq);
        self.seq
    }

    /// Where this key is.
    pub(crate) fn locate(&self, key: &[u8]) -> Place {
        let hash = self.hash(key);
        let slot = self.index.find(hash, |slot| self.slots.key(slot) == key);
        let live = slot.and_then(|slot| {
            let header = self.slots.entry(slot).header;
            let deadline = header.due.ms().map(Millis::from_unix);
            (!header.due.is_past(self.now)).then_some((header.seq, deadline))
        });
        Place { hash, slot, live }
    }

    /// The live entry with this key. That it was read counts where entries are evicted.
    pub(crate) fn get(&mut self, key: &[u8]) -> Option<View<'_>> {
        let slots = &self.slots;
        let slot = self
            .index
            .find(self.hash(key), |slot| slots.key(slot) == key)?;
        self.visit(slot);
        self.view(self.slots.entry(slot))
    }

    /// Writes an entry at its key's place, as this version.
    ///
    /// # Errors
    /// [`Full`]; then the store is as it was.
    pub(crate) fn put(
        &mut self,
        place: Place,
        key: &[u8],
        (kind, value): (Kind, &[u8]),
        deadline: Option<Millis>,
        seq: Seq,
    ) -> Result<(), Full> {
        if key.len() > MAX_KEY || value.len() > MAX_VALUE {
            return Err(Full);
        }
        let len = HEADER + key.len() + value.len();
        let (slot, old) = self.make_room(place, key, len)?;
        let due = Due::new(deadline);
        let mut header = Header::new(due, (seq, kind), key, value);
        header.is_visited = self.hand.is_some() && place.live.is_some();
        self.slots.write(slot, &header, key, value);
        match old {
            Some(old) => {
                if place.live.is_none() {
                    self.note(Gone::Expired, old);
                }
                self.index.replace(place.hash, old, slot);
                self.retire(old, slot);
            }
            None => self.index.insert(place.hash, slot),
        }
        self.wheel.insert(&mut self.slots, slot, due);
        // What the new one was written in place of counted as room.
        while self.memory() > self.bound && self.settle(true) {}
        if self.hand.is_some() {
            self.run_ahead(slot);
        }
        Ok(())
    }

    /// Moves the deadline of the entry at a place where one is.
    pub(crate) fn touch(&mut self, place: Place, deadline: Option<Millis>) {
        let Some(slot) = place.slot else { return };
        let (from, to) = (self.slots.due(slot), Due::new(deadline));
        if from != to {
            self.wheel.shift(&mut self.slots, slot, from, to);
            // What an entry was moved from is kept where a loss of power has to be survived, and
            // might be what is found.
            let mut copy = slot;
            while let Some(older) = self.limbo.as_ref().and_then(|limbo| limbo.behind(copy)) {
                if self.slots.entry(older).header.seq != self.slots.entry(slot).header.seq {
                    break;
                }
                self.slots.set_due(older, to);
                copy = older;
            }
        }
        self.visit(slot);
    }

    /// Removes the entry at a place, if one is there.
    pub(crate) fn remove(&mut self, place: Place) {
        if let Some(slot) = place.slot {
            if place.live.is_none() {
                self.note(Gone::Expired, slot);
            }
            self.index.remove(place.hash, slot);
            self.release(slot);
        }
    }

    /// The number of live entries.
    pub(crate) fn length(&mut self) -> u64 {
        loop {
            match self.wheel.count(&mut self.slots, self.now.as_unix()) {
                Ok(overdue) => return self.index.len() as u64 - overdue,
                Err(slot) => self.drop_swept(slot),
            }
        }
    }

    /// How many live entries have a deadline, and how far it is away in the mean, in milliseconds.
    pub(crate) fn expiring(&mut self) -> (u64, u64) {
        let live = self.length();
        let overdue = self.index.len() as u64 - live;
        let (all, mean) = self.wheel.mean();
        (all - overdue, mean.saturating_sub(self.now.as_unix()))
    }

    /// Shows live entries from a place of a walk on, until `visit` says to stop or many were
    /// looked at; the place where it goes on, `None` at the end. What shares a place with the
    /// entry at which it was to stop, as next to none does, is shown too.
    pub(crate) fn walk(
        &mut self,
        from: u64,
        mut visit: impl FnMut(View<'_>) -> std::ops::ControlFlow<()>,
    ) -> Option<u64> {
        let (mut from, mut left) = (from, WALK_STEP);
        loop {
            let (slots, hasher) = (&self.slots, &self.hasher);
            let hash_of = |slot| Hash(hasher.hash(slots.key(slot)));
            let (step, next) = self.index.walk(from, hash_of);
            left = left.saturating_sub(step.len());
            let (mut step, mut is_over) = (step.into_iter().peekable(), false);
            while let Some((place, slot)) = step.next() {
                let view = self.view(self.slots.entry(slot));
                is_over |= view.is_some_and(|view| visit(view).is_break());
                // No later step could go on between those that share a place.
                if is_over && step.peek().is_none_or(|(next, _)| *next > place) {
                    return Some(place + 1);
                }
            }
            match next {
                Some(next) if left > 0 => from = next,
                next => return next,
            }
        }
    }

    /// Removes everything; what it took is freed in steps of upkeep.
    pub(crate) fn clear(&mut self) {
        superblock::set_cleared(&mut self.slots.pages.source, self.seq);
        self.slots.clear();
        self.index.clear();
        match &mut self.limbo {
            Some(limbo) => limbo.clear(),
            None => self.slots.let_go(),
        }
        self.wheel = Wheel::new(self.now.as_unix());
        // What waits to be freed has a table of its own, for which the bound may have no room.
        while self.memory() > self.bound && (self.settle(true) | self.bury()) {}
    }

    /// A bounded step of background work.
    pub(crate) fn upkeep(&mut self) -> Left {
        let now = self.now.as_unix();
        let is_settling = self.settle(false);
        let is_burying = self.bury() | is_settling;
        let mut steps = 0..UPKEEP_STEP;
        let next = loop {
            if steps.next().is_none() {
                return Left::More;
            }
            match self.wheel.step(&mut self.slots, now) {
                Step::Due(slot) => self.drop_swept(slot),
                Step::Moved => {}
                Step::Until(at) => break Left::Until(Millis::from_unix(at)),
                Step::Idle => break Left::Nothing,
            }
        };
        if self.tidy(steps.len()) || is_burying {
            return Left::More;
        }
        next
    }

    /// Frees some of what was cleared; whether there may be more.
    fn bury(&mut self) -> bool {
        self.slots.bury() | self.index.bury()
    }

    /// Removes an entry that the wheel has let go.
    fn drop_swept(&mut self, slot: Slot) {
        self.note(Gone::Expired, slot);
        let hash = self.hash(self.slots.key(slot));
        self.index.remove(hash, slot);
        self.erase(slot);
    }

    /// Frees a slot that the index no longer has.
    pub(super) fn release(&mut self, slot: Slot) {
        let due = self.slots.due(slot);
        self.wheel.remove(&mut self.slots, slot, due);
        self.erase(slot);
    }

    /// Frees a slot whose key is in another one now.
    pub(super) fn retire(&mut self, old: Slot, new: Slot) {
        let header = self.slots.entry(old).header;
        self.wheel.remove(&mut self.slots, old, header.due);
        let limbo = self.limbo.as_mut();
        if !limbo.is_some_and(|limbo| limbo.keeps(old, header.seq, new)) {
            self.slots.erase(old);
        }
    }

    /// Erases an entry so that nothing behind it comes back.
    fn erase(&mut self, slot: Slot) {
        let limbo = self.limbo.as_mut();
        let Removal { first, is_burial } =
            limbo.map_or(Removal::default(), |limbo| limbo.removes(slot));
        if let Some(older) = first {
            self.erase(older);
        }
        if is_burial {
            self.slots.set_due(slot, Due::PAST);
        } else {
            self.slots.erase(slot);
        }
    }

    /// From now on what is overwritten is kept until a sync, so that the region survives a loss
    /// of power. What is in it counts as synced.
    pub(crate) fn set_lasting(&mut self) {
        self.limbo = Some(Limbo::new(self.seq));
    }

    /// A sync of the region begins. The one before is over or has failed.
    pub(crate) fn begin_sync(&mut self) {
        let seq = self.seq;
        self.limbo
            .iter_mut()
            .for_each(|limbo| limbo.begin_sync(seq));
    }

    /// The sync that was begun last has succeeded.
    pub(crate) fn end_sync(&mut self) {
        self.limbo.iter_mut().for_each(Limbo::end_sync);
    }

    /// Erases some of the entries that need not be kept any more, or of all that are kept where
    /// memory is short; whether there were any.
    pub(super) fn settle(&mut self, is_urgent: bool) -> bool {
        let Some(limbo) = &mut self.limbo else {
            return false;
        };
        if limbo.let_go(is_urgent) {
            self.slots.let_go();
        }
        for step in 0..UPKEEP_STEP {
            let limbo = self.limbo.as_mut();
            match limbo.and_then(|limbo| limbo.settle(is_urgent)) {
                None => return step > 0,
                Some(Settled::Remove(slot)) => self.erase(slot),
                Some(Settled::Erase(slot)) => self.slots.erase(slot),
            }
        }
        true
    }

    fn view<'a>(&self, entry: Entry<'a>) -> Option<View<'a>> {
        let header = entry.header;
        (!header.due.is_past(self.now)).then(|| View {
            key: entry.key,
            value: entry.value,
            deadline: header.due.ms().map(Millis::from_unix),
            seq: header.seq,
            kind: header.kind,
        })
    }

    pub(super) fn hash(&self, key: &[u8]) -> Hash {
        Hash(self.hasher.hash(key))
    }

    /// Panics if compaction has something to do.
    #[cfg(test)]
    pub(crate) fn check_compact(&self) {
        assert_eq!(self.slots.shelves.sparse(), None);
    }

    /// Panics unless all parts agree and every account is exact.
    #[cfg(test)]
    pub(crate) fn check_invariants(&self) {
        let mut taken = self.slots.check();
        let mut indexed = self.index.check(|slot| self.hash(self.slots.key(slot)));
        let mut sorted = taken.clone();
        sorted.sort_unstable();
        indexed.extend(self.limbo.iter().flat_map(Limbo::slots));
        indexed.sort_unstable();
        assert_eq!(indexed, sorted, "the index has what the slots have");
        for slot in &taken {
            let entry = self.slots.entry(*slot);
            assert!(entry.header.is_there && entry.is_whole(), "{slot:?}");
        }
        let kept: Vec<_> = self.limbo.iter().flat_map(Limbo::slots).collect();
        taken.retain(|slot| !kept.contains(slot));
        self.wheel.check(&self.slots, &taken);
        assert!(self.memory() <= self.bound, "{} bytes", self.memory());
    }
}
