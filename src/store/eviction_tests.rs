//! What eviction is worth: hit ratios beside those of exact caches, and memory that follows sizes.

use std::collections::{BTreeMap, HashMap};

use fastrand::Rng;

use super::*;
use crate::config::WhenFull;
use crate::store::class::Class;
use crate::store::engine::Left;
use crate::store::entry::HEADER;
use crate::store::pages::HeapPages;
use crate::store::superblock::HashKey;
use crate::time::Millis;

fn evicting(bound: u64) -> Engine<HeapPages> {
    let mut store = Engine::create(HeapPages::default(), HashKey([0; 16])).unwrap();
    store.set_bound(bound);
    store.set_when_full(WhenFull::Evict);
    store.advance(Millis::from_unix(1));
    store
}

fn set(store: &mut Engine<HeapPages>, key: u32, len: usize) {
    let place = store.locate(&key.to_le_bytes());
    let seq = store.number();
    let done = store.put(place, &key.to_le_bytes(), &vec![0; len], None, seq);
    done.expect("evicting makes room");
}

fn has(store: &mut Engine<HeapPages>, key: u32) -> bool {
    store.get(&key.to_le_bytes()).is_some()
}

/// Numbers of which the n-th, from one, comes in proportion to 1/n.
struct Zipf(Vec<u64>);

impl Zipf {
    fn new(numbers: u64) -> Self {
        let weights = (1..=numbers).map(|n| (1 << 40) / n);
        Self(
            weights
                .scan(0, |sum, weight| {
                    *sum += weight;
                    Some(*sum)
                })
                .collect(),
        )
    }

    fn next(&self, rng: &mut Rng) -> u32 {
        let at = rng.u64(..self.0[self.0.len() - 1]);
        u32::try_from(self.0.partition_point(|sum| *sum <= at)).unwrap()
    }
}

/// A cache that drops what was written or, if `is_lru`, used longest ago.
struct Exact {
    is_lru: bool,
    capacity: usize,
    time: u64,
    times: HashMap<u32, u64>,
    order: BTreeMap<u64, u32>,
}

impl Exact {
    fn new(is_lru: bool, capacity: usize) -> Self {
        Self {
            is_lru,
            capacity,
            time: 0,
            times: HashMap::new(),
            order: BTreeMap::new(),
        }
    }

    /// Whether it had the key, which it has then.
    fn ask(&mut self, key: u32) -> bool {
        self.time += 1;
        let had = self.times.contains_key(&key);
        if !had || self.is_lru {
            if let Some(before) = self.times.insert(key, self.time) {
                self.order.remove(&before);
            }
            self.order.insert(self.time, key);
        }
        if self.times.len() > self.capacity {
            let (_, oldest) = self.order.pop_first().unwrap();
            self.times.remove(&oldest);
        }
        had
    }
}

#[test]
fn the_hit_ratio_is_that_of_an_exact_lru_and_better_than_that_of_fifo() {
    const ASKED: u32 = 50_000;
    let mut store = evicting(2 << 20);
    let mut rng = Rng::with_seed(42);
    (0..40_000).for_each(|key| set(&mut store, key + 1_000_000, 250));
    let capacity = usize::try_from(store.length()).unwrap();
    let (mut lru, mut fifo) = (Exact::new(true, capacity), Exact::new(false, capacity));
    let (keys, mut hits) = (Zipf::new(40_000), [0; 3]);
    for asked in 0..2 * ASKED {
        let key = keys.next(&mut rng);
        let ours = has(&mut store, key);
        if !ours {
            set(&mut store, key, 250);
        }
        let theirs = [ours, lru.ask(key), fifo.ask(key)];
        // The first half is for warming up.
        if asked >= ASKED {
            for (sum, hit) in hits.iter_mut().zip(theirs) {
                *sum += u32::from(hit);
            }
        }
    }
    let [ours, lru, fifo] = hits.map(|hits| f64::from(hits) / f64::from(ASKED));
    let told = format!("ours {ours:.3}, LRU {lru:.3}, FIFO {fifo:.3}, {capacity} entries");
    assert!(ours > lru - 0.01 && ours > fifo + 0.02, "{told}");
    store.check_invariants();
}

#[test]
fn memory_goes_to_the_sizes_that_are_written_now() {
    let bound = 6 << 20;
    let mut store = evicting(bound);
    let mut fixed = store.memory();
    for (len, round) in [(300, 0), (3_000, 1), (100, 2), (20_000, 3)] {
        for n in 0..u32::try_from(2 * bound).unwrap() / (len + 50) {
            set(&mut store, round << 24 | n, len as usize);
        }
        store.check_invariants();
        let total = store.memory();
        assert!(total > bound * 9 / 10, "{total} of {bound} bytes are used");
        // Tables of the index do not shrink at once.
        fixed = fixed.max(total - store.slots.slab_memory());
        let slot = Class::of(HEADER + 4 + len as usize).unwrap().slot_size() as u64;
        let share = store.length() * slot * 100 / (bound - fixed);
        assert!(
            share > 85,
            "values of {len} bytes have {share} % of what there is"
        );
    }
}

#[test]
fn with_many_sizes_at_once_little_memory_is_idle() {
    let bound = 8 << 20;
    let mut store = evicting(bound);
    let mut rng = Rng::with_seed(5);
    for n in 0..30_000 {
        let most = 1 << rng.u32(5..15);
        let len = rng.usize(1..most);
        set(&mut store, n, len);
        if rng.bool() {
            has(&mut store, rng.u32(..=n));
        }
    }
    store.check_invariants();
    let idle = store.slots.shelves.free_bytes();
    assert!(idle < bound / 4, "{idle} bytes are idle");
    assert!(store.memory() > bound * 9 / 10);
}

#[test]
fn nothing_is_evicted_for_what_can_never_fit() {
    let mut store = evicting(3 << 20);
    (0..20_000).for_each(|key| set(&mut store, key, 300));
    let (length, evicted) = (store.length(), store.evicted());
    assert!(evicted > 0);
    let place = store.locate(b"large");
    let seq = store.number();
    assert!(
        store
            .put(place, b"large", &vec![0; 3 << 20], None, seq)
            .is_err()
    );
    assert_eq!((store.length(), store.evicted()), (length, evicted));
    assert!(
        store
            .put(place, b"large", &vec![0; 2 << 20], None, seq)
            .is_ok()
    );
    assert!(store.get(b"large").is_some());
    store.check_invariants();
}

#[test]
fn a_store_above_a_bound_set_later_shrinks_to_it() {
    let mut store = evicting(u64::MAX);
    (0..20_000).for_each(|key| set(&mut store, key, 300));
    let bound = store.memory() / 2;
    store.set_bound(bound);
    while store.upkeep() == Left::More {}
    store.check_invariants();
    assert!(store.memory() > bound * 9 / 10 && store.evicted() + store.length() == 20_000);
}

#[test]
fn a_write_is_not_held_up_by_a_store_in_which_everything_was_used() {
    let mut store = evicting(3 << 20);
    (0..20_000).for_each(|key| set(&mut store, key, 300));
    let used: Vec<u32> = (0..20_000).filter(|key| has(&mut store, *key)).collect();
    let most = 4 * PATIENCE;
    assert!(used.len() > 2 * most);
    let evicted = store.evicted();
    set(&mut store, 20_000, 300);
    assert!((1..10).contains(&(store.evicted() - evicted)));
    let is_visited = |key: &&u32| {
        let slot = store.locate(&key.to_le_bytes()).slot;
        slot.is_some_and(|slot| store.slots.entry(slot).header.is_visited)
    };
    assert!(used.iter().filter(is_visited).count() > used.len() - most);
}

#[test]
fn what_is_past_its_deadline_goes_before_anything_else() {
    let mut store = evicting(3 << 20);
    for key in 0..5_000u32 {
        let place = store.locate(&key.to_le_bytes());
        let (seq, due) = (
            store.number(),
            Millis::from_unix(u64::from(key % 2) * 50 + 100),
        );
        let done = store.put(place, &key.to_le_bytes(), &[0; 300], Some(due), seq);
        done.unwrap();
    }
    assert_eq!(store.evicted(), 0);
    store.advance(Millis::from_unix(120));
    (5_000..7_400).for_each(|key| set(&mut store, key, 300));
    assert_eq!((store.evicted(), store.length()), (0, 2_500 + 2_400));
}
