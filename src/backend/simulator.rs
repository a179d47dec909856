//! Seeded histories: the memory backend and the model do the same, and the invariants hold after
//! every step.
//!
//! Each seed has its own habits: how large values are, how long entries live, how far time leaps,
//! whether memory is bounded and what happens then. The model is told which entries were evicted;
//! there may be no others than the store says, and only where that is the policy.
//! `MEMSTORE_SIM_SEED=7` replays one seed and says what it does, `MEMSTORE_SIM_SEED=0..5000` runs
//! so many.

use std::collections::HashMap;
use std::ops::Range;

use fastrand::Rng;

use super::model::ModelBackend;
use super::*;
use crate::store::{HashKey, seeds};

/// Seeds of an ordinary run.
const SEEDS: Range<u64> = 0..200;
const STEPS: usize = 200;
/// The bound where there is one: the empty store and some slabs.
const BOUND: u64 = 3 << 20;
/// More than a slab of any class takes, with all that belongs to it.
const SLAB: u64 = 5 << 18;

/// The same seed has to give the same history, so the hash has no random key here.
fn empty_store() -> MemoryBackend {
    MemoryBackend::with_key(HashKey([0; 16]))
}

struct Habits {
    keys: u32,
    /// Lengths of values are below two to the power of up to this.
    value_bits: u32,
    /// Lifetimes and leaps of time likewise, in milliseconds.
    ttl_bits: u32,
    leap_bits: u32,
    /// What happens at the bound, where there is one.
    bounded: Option<WhenFull>,
    removals: u32,
}

impl Habits {
    fn of(rng: &mut Rng) -> Self {
        Self {
            keys: 1 << rng.u32(1..9),
            value_bits: rng.choice([4, 9, 13, 17, 20]).expect("a choice"),
            ttl_bits: rng.choice([5, 12, 16, 24, 33, 50]).expect("a choice"),
            leap_bits: rng.choice([4, 10, 15, 22, 34]).expect("a choice"),
            bounded: match rng.u8(..4) {
                0 => Some(WhenFull::Reject),
                1 => Some(WhenFull::Evict),
                _ => None,
            },
            removals: rng.u32(1..4),
        }
    }
}

struct World {
    rng: Rng,
    habits: Habits,
    now: Millis,
    store: MemoryBackend,
    model: ModelBackend,
    /// Versions have different numbers on the two sides once a write was refused.
    versions: HashMap<u64, u64>,
    walk: Option<Walking>,
    is_told: bool,
}

/// A walk under way: what it has met, and what was there all the time and has to be met.
struct Walking {
    cursor: Cursor,
    met: HashMap<Vec<u8>, usize>,
    /// Keys that are there since the start, and whether they were written meanwhile.
    due: HashMap<Vec<u8>, bool>,
}

/// A length or a time that is small as often as it is large.
fn any_magnitude(rng: &mut Rng, bits: u32) -> u64 {
    let bits = rng.u32(0..=bits);
    rng.u64(..1 << bits)
}

impl World {
    fn new(seed: u64, is_told: bool) -> Self {
        let mut rng = Rng::with_seed(seed);
        let habits = Habits::of(&mut rng);
        let store = empty_store()
            .max_memory(habits.bounded.map(|_| BOUND))
            .when_full(habits.bounded.unwrap_or_default());
        Self {
            habits,
            now: Millis::from_unix(rng.u64(1..1 << 41)),
            rng,
            store,
            model: ModelBackend::new(),
            versions: HashMap::new(),
            walk: None,
            is_told,
        }
    }

    fn tell(&self, what: impl FnOnce() -> String) {
        if self.is_told {
            eprintln!("{:?}: {}", self.now, what());
        }
    }

    fn key(&mut self) -> Vec<u8> {
        let n = self.rng.u32(..self.habits.keys);
        format!("{n:0width$}", width = n as usize % 40).into_bytes()
    }

    fn deadline(&mut self) -> Deadline {
        match self.rng.u8(..8) {
            0 => Deadline::Never,
            1 => Deadline::Keep,
            _ => {
                let ttl = any_magnitude(&mut self.rng, self.habits.ttl_bits);
                // The store keeps deadlines in 48 bits.
                Deadline::At(self.now.after_ms(ttl).min(Millis::from_unix((1 << 48) - 2)))
            }
        }
    }

    fn step(&mut self) {
        let dice = self.rng.u32(..20 + 4 * self.habits.removals);
        match dice {
            0..=8 => self.set(),
            9..=10 => self.touch(),
            11..=13 => {
                let ms = any_magnitude(&mut self.rng, self.habits.leap_bits);
                self.now = self.now.after_ms(ms);
                self.tell(|| "later".into());
            }
            14..=16 => {
                let left = self.store.upkeep(self.now);
                self.model.upkeep(self.now);
                self.tell(|| format!("upkeep: {left:?}"));
                if let Upkeep::Until(at) = left {
                    assert!(at > self.now, "work that was due is left");
                }
                if left != Upkeep::More {
                    self.store.check_compact();
                }
            }
            17..=18 => self.walk_on(),
            19 if self.rng.u8(..4) == 0 => {
                self.tell(|| "clear".into());
                self.store.clear(self.now).unwrap();
                self.model.clear(self.now).unwrap();
            }
            _ => {
                let key = self.key();
                self.tell(|| format!("destroy {key:?}"));
                let done = self.store.destroy(self.now, &key).unwrap();
                assert_eq!(done, self.model.destroy(self.now, &key).unwrap());
            }
        }
        self.compare();
    }

    fn set(&mut self) {
        let (key, deadline) = (self.key(), self.deadline());
        let len = any_magnitude(&mut self.rng, self.habits.value_bits);
        let value = vec![self.rng.u8(..); usize::try_from(len).unwrap()];
        let (ours, theirs) = match self.rng.u8(..8) {
            0 => (Condition::IfAbsent, Condition::IfAbsent),
            1 => (Condition::IfPresent, Condition::IfPresent),
            2 => match self.model.get(self.now, &key).unwrap() {
                Some(found) => (
                    Condition::IfSeq(Seq(self.versions[&found.seq.0])),
                    Condition::IfSeq(found.seq),
                ),
                None => (Condition::IfSeq(Seq(1)), Condition::IfSeq(Seq(1))),
            },
            _ => (Condition::Always, Condition::Always),
        };
        let before = self.store.memory_use().unwrap();
        let done = self.store.set(self.now, &key, &value, deadline, ours);
        self.tell(|| {
            format!("set {key:?} to {len} bytes until {deadline:?} if {ours:?}: {done:?}")
        });
        let done = match done {
            Ok(done) => done,
            Err(BackendError::OutOfMemory { .. }) => {
                return self.refused(&key, value.len(), before);
            }
            Err(error) => panic!("{error}"),
        };
        if let Some(walk) = &mut self.walk {
            if let Some(is_written) = walk.due.get_mut(&key) {
                *is_written = true;
            }
        }
        match (
            done,
            self.model
                .set(self.now, &key, &value, deadline, theirs)
                .unwrap(),
        ) {
            (SetOutcome::Stored(ours), SetOutcome::Stored(theirs)) => {
                self.versions.insert(theirs.0, ours.0);
            }
            (SetOutcome::Conflict(ours), SetOutcome::Conflict(theirs)) => {
                assert_eq!(ours, theirs.map(|seq| Seq(self.versions[&seq.0])));
            }
            other => panic!("{other:?}"),
        }
        let evicted = self.store.memory_use().unwrap().evicted - before.evicted;
        if evicted > 0 {
            assert_eq!(self.habits.bounded, Some(WhenFull::Evict));
            assert!(before.bytes + SLAB + len > BOUND, "{before:?} before {len}");
            self.tell(|| format!("{evicted} evicted"));
            assert_eq!(self.tell_the_model(), evicted);
        }
    }

    /// A write was refused, and rightly.
    fn refused(&mut self, key: &[u8], len: usize, before: MemoryUse) {
        assert_eq!(self.store.memory_use().unwrap().evicted, before.evicted);
        if let Some(old) = self.model.get(self.now, key).unwrap() {
            assert!(len > old.value.len(), "{len} bytes fit into the old slot");
        }
        match self.habits.bounded.expect("there is a bound") {
            WhenFull::Reject => assert!(before.bytes + SLAB + len as u64 > BOUND),
            WhenFull::Evict => assert!(len as u64 + SLAB > BOUND, "{len} bytes would fit"),
        }
    }

    /// Removes from the model what is not in the store; how many live entries these are.
    fn tell_the_model(&mut self) -> u64 {
        let mut missing = live_keys(&mut self.model, self.now);
        missing.retain(|key| self.store.get(self.now, key).unwrap().is_none());
        for key in &missing {
            self.model.destroy(self.now, key).unwrap();
        }
        missing.len() as u64
    }

    fn touch(&mut self) {
        let (key, deadline) = (self.key(), self.deadline());
        self.tell(|| format!("touch {key:?} until {deadline:?}"));
        let done = self.store.touch(self.now, &key, deadline).unwrap();
        assert_eq!(done, self.model.touch(self.now, &key, deadline).unwrap());
    }

    /// Begins a walk, or goes on with the one under way.
    fn walk_on(&mut self) {
        let keys = live_keys(&mut self.model, self.now);
        let mut walk = self.walk.take().unwrap_or_else(|| Walking {
            cursor: Cursor::default(),
            met: HashMap::new(),
            due: keys.iter().map(|key| (key.clone(), false)).collect(),
        });
        let mut left = self.rng.u32(1..20);
        let met = &mut walk.met;
        let next = self.store.all(self.now, walk.cursor, &mut |key, _| {
            *met.entry(key.to_vec()).or_default() += 1;
            left -= 1;
            if left == 0 { Walk::Pause } else { Walk::On }
        });
        if let Some(next) = next.unwrap() {
            assert!(next != walk.cursor, "a walk goes on");
            walk.cursor = next;
            self.walk = Some(walk);
            return;
        }
        for (key, times) in &walk.met {
            let is_written = walk.due.get(key).copied().unwrap_or(true);
            assert!(is_written || *times == 1, "{key:?} was met {times} times");
        }
        for key in walk.due.keys() {
            assert!(walk.met.contains_key(key), "{key:?} was not met");
        }
    }

    fn compare(&mut self) {
        self.store.check_invariants();
        assert_eq!(
            self.store.length(self.now).unwrap(),
            self.model.length(self.now).unwrap()
        );
        let live = live_keys(&mut self.model, self.now);
        if let Some(walk) = &mut self.walk {
            walk.due.retain(|key, _| live.contains(key));
        }
        let (key, sample) = (self.key(), self.rng.choice(&live).cloned());
        for key in [Some(key), sample].into_iter().flatten() {
            let ours = self.store.get(self.now, &key).unwrap();
            let theirs = self
                .model
                .get(self.now, &key)
                .unwrap()
                .map(|entry| EntryRef {
                    seq: Seq(self.versions[&entry.seq.0]),
                    ..entry
                });
            assert_eq!(ours, theirs);
        }
    }

    /// Everything has its end: nothing is left of a store that was emptied.
    fn finish(&mut self) {
        self.now = self.now.after_ms(1 << 40);
        while self.store.upkeep(self.now) == Upkeep::More {}
        self.store.check_compact();
        self.compare();
        self.store.clear(self.now).unwrap();
        while self.store.upkeep(self.now) == Upkeep::More {}
        self.store.check_invariants();
        let empty = empty_store().memory();
        let left = self.store.memory() - empty;
        assert!(left < 64 << 10, "{left} bytes are left of an empty store");
        let set = |store: &mut MemoryBackend| {
            store.set(self.now, b"k", &[0; 9], Deadline::Never, Condition::Always)
        };
        assert!(matches!(set(&mut self.store), Ok(SetOutcome::Stored(_))));
    }
}

fn live_keys(model: &mut ModelBackend, now: Millis) -> Vec<Vec<u8>> {
    let (mut keys, mut cursor) = (Vec::new(), Some(Cursor::default()));
    while let Some(from) = cursor {
        cursor = model
            .all(now, from, &mut |key, _| {
                keys.push(key.to_vec());
                Walk::On
            })
            .unwrap();
    }
    keys
}

#[test]
fn histories_are_those_of_the_model() {
    seeds::each(SEEDS, |seed, is_told| {
        let mut world = World::new(seed, is_told);
        (0..STEPS).for_each(|_| world.step());
        world.finish();
    });
}
