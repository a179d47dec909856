//! From keys to slots: 1,024 hash tables that grow one at a time.
//!
//! A table holds a slot and 32 bits of the hash per entry, so that growing looks at no entry. The
//! tables have shares of the keys that differ by up to a factor of two: were they equal, all
//! would double at about the same number of entries, and memory per entry would leap with them.
//!
//! Entries have a place in a walk that depends on their hash alone ([`Hash::walk`]), never on the
//! layout of a table; a walk over growing and shrinking tables misses nothing and ends.

use hashbrown::HashTable;

use super::slots::Slot;

const SHARDS: usize = 1 << 10;
/// A walk looks at this many entries at a time.
const WALK_STEP: usize = 256;
/// Cleared tables that are freed at a time.
const BURY_STEP: usize = 16;
/// A table is not shrunk below this.
const SMALL: usize = 64;
/// Where the table and the lower half of the hash begin in a place of a walk.
const SHARD_AT: u32 = 43;
const LOW_AT: u32 = 11;

/// The hash of a key, by a function keyed per store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hash(pub(super) u64);

impl Hash {
    /// Its table. With x, the upper half as a fraction of one, it is x + 0.343 x (1 - x): close to
    /// the logarithm of 1 + x to base 2, which would spread the tables' shares evenly between one
    /// and two on a logarithmic scale.
    fn shard(self) -> usize {
        let x = self.0 >> 32;
        let bow = (((x * ((1 << 32) - x)) >> 32) * 351) >> 10;
        (((x + bow) >> 22) as usize).min(SHARDS - 1)
    }

    #[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
    fn low(self) -> u32 {
        self.0 as u32
    }

    /// Its place in a walk, never zero: table, the hash's lower half, 11 bits of the upper half.
    /// These are 53 bits, for there are clients that take cursors for floating-point numbers.
    fn walk(self) -> u64 {
        let place = (self.shard() as u64) << SHARD_AT | u64::from(self.low()) << LOW_AT;
        (place | self.0 >> 32 & ((1 << LOW_AT) - 1)).max(1)
    }
}

#[derive(Debug, Clone, Copy)]
struct Item {
    slot: Slot,
    low: u32,
}

impl Item {
    /// The hash as the table wants it: it takes buckets from the lowest bits and tags from the
    /// highest.
    fn spread(low: u32) -> u64 {
        u64::from(low) << 32 | u64::from(low)
    }
}

/// All tables.
#[derive(Debug)]
pub(super) struct Index {
    shards: Vec<HashTable<Item>>,
    len: usize,
    /// Tables of what was cleared.
    graves: Vec<HashTable<Item>>,
    /// Bytes the tables have allocated, the cleared ones included.
    heap: usize,
    walked: Vec<Item>,
}

impl Index {
    pub(super) fn new() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| HashTable::new()).collect(),
            len: 0,
            graves: Vec::new(),
            heap: 0,
            walked: Vec::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn memory(&self) -> u64 {
        ((SHARDS + self.graves.capacity()) * size_of::<HashTable<Item>>() + self.heap) as u64
    }

    /// The slot with this hash that `is_it` says is the one.
    pub(super) fn find(&self, hash: Hash, mut is_it: impl FnMut(Slot) -> bool) -> Option<Slot> {
        let low = hash.low();
        self.shards[hash.shard()]
            .find(Item::spread(low), |item| {
                item.low == low && is_it(item.slot)
            })
            .map(|item| item.slot)
    }

    /// Bytes by which inserting an entry with this hash would make the tables grow.
    pub(super) fn growth(&self, hash: Hash) -> u64 {
        let shard = &self.shards[hash.shard()];
        if shard.len() < shard.capacity() {
            return 0;
        }
        shard.allocation_size().max(size_of::<Item>() * 8) as u64
    }

    pub(super) fn insert(&mut self, hash: Hash, slot: Slot) {
        let low = hash.low();
        self.change(hash, |shard| {
            let spread = |item: &Item| Item::spread(item.low);
            shard.insert_unique(Item::spread(low), Item { slot, low }, spread);
        });
        self.len += 1;
    }

    pub(super) fn replace(&mut self, hash: Hash, old: Slot, new: Slot) {
        let found =
            self.shards[hash.shard()].find_mut(Item::spread(hash.low()), |item| item.slot == old);
        found.expect("only what is in the index is replaced").slot = new;
    }

    pub(super) fn remove(&mut self, hash: Hash, slot: Slot) {
        self.change(hash, |shard| {
            match shard.find_entry(Item::spread(hash.low()), |item| item.slot == slot) {
                Ok(found) => drop(found.remove()),
                Err(_) => unreachable!("only what is in the index is removed"),
            }
            if shard.capacity() > SMALL && shard.len() < shard.capacity() / 8 {
                shard.shrink_to(shard.len() * 2, |item| Item::spread(item.low));
            }
        });
        self.len -= 1;
    }

    fn change(&mut self, hash: Hash, change: impl FnOnce(&mut HashTable<Item>)) {
        let shard = &mut self.shards[hash.shard()];
        let before = shard.allocation_size();
        change(shard);
        self.heap = self.heap - before + shard.allocation_size();
    }

    /// The next slots of a walk at or behind the place `from`, in order, each with the place
    /// after it; and the place where the walk goes on behind them, `None` at its end.
    ///
    /// `hash_of` hashes the key of an entry. What shares a place is in one step.
    pub(super) fn walk(
        &mut self,
        from: u64,
        hash_of: impl Fn(Slot) -> Hash,
    ) -> (Vec<(u64, Slot)>, Option<u64>) {
        let mut shard = (from >> SHARD_AT) as usize;
        let mut low = Hash(from >> LOW_AT).low();
        let mut next = None;
        self.walked.clear();
        while shard < SHARDS && self.walked.is_empty() && next.is_none() {
            let items = self.shards[shard].iter().filter(|item| item.low >= low);
            self.walked.extend(items);
            if self.walked.len() > WALK_STEP {
                // What shares its lower half with the first one left out is left out with it.
                let (_, first_out, _) = self
                    .walked
                    .select_nth_unstable_by_key(WALK_STEP, |item| item.low);
                let end = first_out.low;
                if self.walked[..WALK_STEP].iter().any(|item| item.low < end) {
                    self.walked.truncate(WALK_STEP);
                    self.walked.retain(|item| item.low < end);
                    next = Some((shard as u64) << SHARD_AT | u64::from(end) << LOW_AT);
                }
            }
            (shard, low) = (shard + 1, 0);
        }
        let slots = self.walked.iter().map(|item| item.slot);
        let places = slots.map(|slot| (hash_of(slot).walk(), slot));
        let mut places: Vec<_> = places.filter(|(place, _)| *place >= from).collect();
        places.sort_unstable();
        let next = next.or((shard < SHARDS).then_some((shard as u64) << SHARD_AT));
        (places, next)
    }

    /// Forgets all entries; their tables are freed by [`bury`](Self::bury).
    pub(super) fn clear(&mut self) {
        let allocated = self.shards.iter_mut().filter(|shard| shard.capacity() > 0);
        self.graves.extend(allocated.map(std::mem::take));
        self.len = 0;
    }

    /// Frees some tables of what was cleared; whether there may be more.
    pub(super) fn bury(&mut self) -> bool {
        let is_burying = !self.graves.is_empty();
        for _ in 0..BURY_STEP {
            match self.graves.pop() {
                Some(table) => self.heap -= table.allocation_size(),
                None => self.graves = Vec::new(),
            }
        }
        is_burying
    }

    /// Panics unless the account is exact and every slot is found by its hash.
    #[cfg(test)]
    pub(super) fn check(&self, hash_of: impl Fn(Slot) -> Hash) -> Vec<Slot> {
        let tables = self.shards.iter().chain(&self.graves);
        let heap = tables.map(HashTable::allocation_size);
        assert_eq!(heap.sum::<usize>(), self.heap);
        let mut slots = Vec::new();
        for (number, shard) in self.shards.iter().enumerate() {
            for item in shard {
                let hash = hash_of(item.slot);
                assert_eq!((hash.shard(), hash.low()), (number, item.low));
                assert_eq!(self.find(hash, |slot| slot == item.slot), Some(item.slot));
                slots.push(item.slot);
            }
        }
        assert_eq!(slots.len(), self.len);
        slots
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_the_tables_lie_between_one_and_two() {
        let mut shares = vec![0u32; SHARDS];
        for x in 0..1 << 20 {
            shares[Hash(x << 44).shard()] += 1;
        }
        let (least, most) = (shares.iter().min().unwrap(), shares.iter().max().unwrap());
        assert!((740..780).contains(least), "{least}");
        assert!((1_500..1_600).contains(most), "{most}");
        assert_eq!(Hash(u64::MAX).shard(), SHARDS - 1);
    }

    #[test]
    fn what_shares_a_place_is_in_one_step_of_a_walk() {
        let mut index = Index::new();
        // They differ in bits that a place leaves out, but for the last one.
        let hash = |n: u32| Hash(u64::MAX - (u64::from(n) << (32 + LOW_AT)));
        let last = Hash(u64::MAX);
        for n in 1..=300 {
            index.insert(hash(n), Slot(n));
        }
        let hash_of = |slot: Slot| hash(slot.0);
        let (step, next) = index.walk(0, hash_of);
        assert_eq!(step.len(), 300);
        assert!(
            step.iter().all(|(place, _)| *place == last.walk()),
            "{step:?}"
        );
        assert_eq!((last.walk(), next), ((1 << 53) - 1, None));
    }
}
