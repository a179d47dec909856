//! What a region is worth after its master was killed, or the machine lost its power: every
//! single store to memory of seeded histories is a place to stop at.
//!
//! `MEMSTORE_SIM_SEED=7` replays one seed, `MEMSTORE_SIM_SEED=0..500` runs so many.

use std::collections::BTreeMap;
use std::io;
use std::ops::{ControlFlow, Range};
use std::sync::{Arc, Mutex};

use fastrand::Rng;

use super::engine::{Engine, Left};
use super::pages::{HeapPages, PAGE, PageSource, page_at};
use super::recovery::{Recovered, Refused};
use super::seeds;
use super::superblock::{FRONT, HashKey};
use crate::config::WhenFull;
use crate::contract::Seq;
use crate::time::Millis;

/// Seeds of an ordinary run.
const SEEDS: Range<u64> = 0..8;
const STEPS: usize = 120;
const START: Millis = Millis::from_unix(1 << 40);
/// What a disk writes at once.
const BLOCK: usize = 4096;

/// One change to a region.
#[derive(Debug, Clone)]
enum Change {
    Take(u32, u32),
    GiveBack(u32, u32),
    Store(u64, Vec<u8>),
}

type Log = Arc<Mutex<Vec<Change>>>;

/// Pages that note every change.
#[derive(Default)]
struct Logged {
    pages: HeapPages,
    log: Log,
}

impl PageSource for Logged {
    fn take(&mut self, first: u32, pages: u32) -> io::Result<()> {
        self.log.lock().unwrap().push(Change::Take(first, pages));
        self.pages.take(first, pages)
    }

    fn give_back(&mut self, first: u32, pages: u32) {
        let mut log = self.log.lock().unwrap();
        log.push(Change::GiveBack(first, pages));
        self.pages.give_back(first, pages);
    }

    fn bytes(&self, at: u64) -> &[u8] {
        self.pages.bytes(at)
    }

    fn store(&mut self, at: u64, bytes: &[u8]) {
        let mut log = self.log.lock().unwrap();
        log.push(Change::Store(at, bytes.to_vec()));
        self.pages.store(at, bytes);
    }
}

/// A region as a file has it: all in one piece.
#[derive(Clone, Default)]
struct Image(Vec<u8>);

impl Image {
    fn pages(&self) -> u32 {
        u32::try_from(self.0.len() / PAGE).unwrap()
    }

    /// Does a change, to those blocks only that `has` says.
    fn change(&mut self, change: &Change, mut has: impl FnMut(usize) -> bool) {
        let (at, bytes) = match change {
            // A file grows at once; that is synced by itself.
            Change::Take(first, pages) => {
                let end = (first + pages) as usize * PAGE;
                self.0.resize(self.0.len().max(end), 0);
                return;
            }
            Change::GiveBack(first, pages) => {
                (page_at(*first), &vec![0; *pages as usize * PAGE][..])
            }
            Change::Store(at, bytes) => (*at, &bytes[..]),
        };
        let mut at = usize::try_from(at).unwrap();
        let mut bytes = bytes;
        while !bytes.is_empty() {
            let len = bytes.len().min(BLOCK - at % BLOCK);
            if has(at / BLOCK) {
                self.0[at..at + len].copy_from_slice(&bytes[..len]);
            }
            (at, bytes) = (at + len, &bytes[len..]);
        }
    }
}

impl PageSource for Image {
    fn take(&mut self, first: u32, pages: u32) -> io::Result<()> {
        self.change(&Change::Take(first, pages), |_| true);
        Ok(())
    }

    fn give_back(&mut self, first: u32, pages: u32) {
        self.change(&Change::GiveBack(first, pages), |_| true);
    }

    fn bytes(&self, at: u64) -> &[u8] {
        &self.0[usize::try_from(at).unwrap()..]
    }

    fn store(&mut self, at: u64, bytes: &[u8]) {
        self.change(&Change::Store(at, bytes.to_vec()), |_| true);
    }
}

type State = BTreeMap<Vec<u8>, (Vec<u8>, Option<Millis>, Seq)>;

/// What is visible in a store.
fn state<P: PageSource>(engine: &mut Engine<P>) -> State {
    let (mut state, mut from) = (State::new(), Some(0));
    while let Some(place) = from {
        from = engine.walk(place, |view| {
            let entry = (view.value.to_vec(), view.deadline, view.seq);
            state.insert(view.key.to_vec(), entry);
            ControlFlow::Continue(())
        });
    }
    state
}

/// What is left of a state later on.
fn later(state: &State, now: Millis) -> State {
    let is_live = |deadline: &Option<Millis>| deadline.is_none_or(|at| at > now);
    let live = state
        .iter()
        .filter(|(_, (_, deadline, _))| is_live(deadline));
    live.map(|(key, entry)| (key.clone(), entry.clone()))
        .collect()
}

/// A moment between two operations.
struct Moment {
    /// Changes to the region so far.
    changes: usize,
    now: Millis,
    state: State,
    /// The last number that was given out.
    seq: Seq,
    is_clear: bool,
    /// A sync was over here that began at this moment.
    synced: usize,
}

struct History {
    moments: Vec<Moment>,
    log: Vec<Change>,
}

impl History {
    /// Lives through a seed. Syncs begin and end here and there if it is to last.
    fn of(seed: u64, is_lasting: bool) -> Self {
        Self::within(seed, is_lasting, u64::MAX)
    }

    /// The same, evicting entries to stay within so many bytes besides those of an empty store.
    fn within(seed: u64, is_lasting: bool, bytes: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let source = Logged::default();
        let log = Arc::clone(&source.log);
        let mut engine = Engine::create(source, HashKey([3; 16])).unwrap();
        let mut now = engine.advance(START);
        engine.set_bound(engine.memory().saturating_add(bytes));
        engine.set_when_full(WhenFull::Evict);
        if is_lasting {
            engine.set_lasting();
        }
        let keys = rng.u32(1..12);
        let value_bits = rng.choice([3, 8, 13, 17, 19]).unwrap();
        let mut moments = Vec::new();
        let (mut syncing, mut synced) = (None, 0);
        for step in 0..=STEPS {
            let is_clear = rng.u8(..40) == 0;
            let key = format!("key {}", rng.u32(..keys)).into_bytes();
            let deadline = [None, Some(now.after_ms(rng.u64(1..4_000)))][usize::from(rng.bool())];
            match rng.u8(..17) {
                // The first moment is that of the empty store.
                _ if step == 0 => {}
                _ if is_clear => engine.clear(),
                0..=7 => {
                    let bits = rng.u32(0..=value_bits);
                    let len = rng.usize(..1 << bits);
                    let (value, seq) = (vec![rng.u8(..); len], engine.number());
                    let place = engine.locate(&key);
                    engine.put(place, &key, &value, deadline, seq).unwrap();
                }
                8..=9 => {
                    let place = engine.locate(&key);
                    engine.remove(place);
                }
                10 => {
                    let place = engine.locate(&key);
                    if place.live.is_some() {
                        engine.touch(place, deadline);
                    }
                }
                11 => engine.move_away(&key),
                12 => now = engine.advance(now.after_ms(rng.u64(..2_000))),
                13 if is_lasting => match syncing.take() {
                    None => {
                        engine.begin_sync();
                        syncing = Some(step);
                    }
                    Some(begun) => {
                        engine.end_sync();
                        synced = begun;
                    }
                },
                _ => while engine.upkeep() == Left::More && rng.bool() {},
            }
            engine.check_invariants();
            moments.push(Moment {
                changes: log.lock().unwrap().len(),
                now,
                state: state(&mut engine),
                seq: engine.seq,
                is_clear,
                synced,
            });
        }
        let log = std::mem::take(&mut *log.lock().unwrap());
        Self { moments, log }
    }
}

/// Opens what is left and looks at it.
fn recover(image: Image, moment: &Moment) -> (State, Recovered) {
    let pages = image.pages();
    let (mut engine, recovered) = Engine::open(image, pages, moment.now).unwrap();
    engine.check_invariants();
    let state = state(&mut engine);
    assert_eq!(recovered.entries, state.len() as u64);
    (state, recovered)
}

#[test]
fn a_kill_after_any_store_loses_nothing_acknowledged_and_tears_nothing() {
    seeds::each(SEEDS, |seed, _| {
        // Keeping what was overwritten must change nothing for who is only killed.
        let bytes = if seed % 4 < 2 { u64::MAX } else { 1 << 20 };
        let history = History::within(seed, seed % 2 == 1, bytes);
        let mut image = Image::default();
        let mut done = 0;
        for pair in history.moments.windows(2) {
            let (before, after) = (&pair[0], &pair[1]);
            for change in &history.log[done..before.changes] {
                image.change(change, |_| true);
            }
            done = before.changes;
            for stop in before.changes..=after.changes {
                if stop > done {
                    image.change(&history.log[done], |_| true);
                    done = stop;
                }
                let (found, recovered) = recover(image.clone(), after);
                assert_eq!(recovered.damaged, 0, "stopped after change {stop}");
                let old = later(&before.state, after.now);
                if after.is_clear || stop == after.changes {
                    let is_right = found == after.state || stop < after.changes && found == old;
                    assert!(is_right, "stopped after change {stop}");
                }
                for key in found.keys().chain(old.keys()).chain(after.state.keys()) {
                    let found = found.get(key);
                    let is_right = found == old.get(key) || found == after.state.get(key);
                    // What is written anew may have been evicted to make room for itself.
                    let is_evicted = bytes < u64::MAX && found.is_none();
                    assert!(
                        is_right || is_evicted,
                        "stopped after change {stop}: {key:?} is {found:?}"
                    );
                }
            }
        }
    });
}

#[test]
fn a_loss_of_power_brings_back_nothing_older_than_the_last_sync() {
    seeds::each(SEEDS, |seed, _| {
        let history = History::of(seed, true);
        let mut rng = Rng::with_seed(seed);
        let (mut synced, mut done) = (Image::default(), 0);
        for number in 1..history.moments.len() {
            let moment = &history.moments[number];
            // All that was done before the last sync began is on the disk, and of every block any
            // state it had since.
            let base = history.moments[moment.synced].changes;
            for change in &history.log[done..base] {
                synced.change(change, |_| true);
            }
            done = base;
            let mut image = synced.clone();
            let mut cuts = BTreeMap::new();
            for (at, change) in history.log[..moment.changes].iter().enumerate().skip(base) {
                if let Change::Take(..) = change {
                    image.change(change, |_| true);
                }
                image.change(change, |block| {
                    let cut = cuts.entry(block);
                    at < *cut.or_insert_with(|| rng.usize(base..=moment.changes))
                });
            }
            let (found, _) = recover(image, moment);
            let since = &history.moments[moment.synced..=number];
            let since: Vec<_> = since.iter().map(|m| later(&m.state, moment.now)).collect();
            for key in since.iter().flat_map(State::keys).chain(found.keys()) {
                let found = found.get(key);
                let is_right = since.iter().any(|state| state.get(key) == found);
                assert!(is_right, "moment {number}: {key:?} is {found:?}");
            }
        }
    });
}

#[test]
fn no_number_of_a_write_is_given_out_again() {
    let history = History::of(1, false);
    let mut image = Image::default();
    for change in &history.log {
        image.change(change, |_| true);
    }
    let last = history.moments.last().unwrap();
    let pages = image.pages();
    let (mut engine, _) = Engine::open(image, pages, last.now).unwrap();
    assert!(engine.number() > last.seq);
}

/// The region of a store with an entry in it.
fn region() -> Image {
    let mut engine = Engine::create(Image::default(), HashKey([3; 16])).unwrap();
    let (place, seq) = (engine.locate(b"key"), engine.number());
    engine.put(place, b"key", b"value", None, seq).unwrap();
    engine.slots.pages.source
}

#[test]
fn what_is_no_region_is_refused_before_it_is_changed() {
    let refused = |image: &Image| {
        let opened = Engine::open(image.clone(), image.pages(), START);
        opened.map(|_| ()).unwrap_err()
    };
    let good = region();
    assert!(Engine::open(good.clone(), good.pages(), START).is_ok());

    let mut other = good.clone();
    other.0[16] += 1;
    assert_eq!(refused(&other), Refused::Version { found: 2 });
    let mut garbage = good.clone();
    garbage.0[3] ^= 1;
    assert_eq!(refused(&garbage), Refused::Foreign);
    for at in (20..44).chain([80]) {
        let mut damaged = good.clone();
        damaged.0[at] ^= 0x80;
        assert!(matches!(
            refused(&damaged),
            Refused::Damaged | Refused::Truncated { .. }
        ));
    }
    for pages in [0, 1, FRONT - 1, good.pages() - 1] {
        let opened = Engine::open(good.clone(), pages, START).map(|_| ());
        let error = opened.unwrap_err();
        assert!(matches!(error, Refused::Truncated { pages: found, .. } if found == pages));
    }
}

#[test]
fn a_damaged_entry_is_dropped_and_counted() {
    let good = region();
    let at = good.0.windows(5).position(|bytes| bytes == b"value");
    let mut bad = good.clone();
    bad.0[at.unwrap()] ^= 1;
    let pages = bad.pages();
    let (mut engine, recovered) = Engine::open(bad, pages, START).unwrap();
    let expected = Recovered {
        damaged: 1,
        ..Recovered::default()
    };
    assert_eq!(recovered, expected);
    engine.check_invariants();
    assert_eq!(engine.length(), 0);
}

#[test]
fn any_bytes_behind_the_first_page_are_survived() {
    seeds::each(SEEDS, |seed, _| {
        let mut rng = Rng::with_seed(seed);
        let history = History::of(seed, false);
        let mut image = Image::default();
        for change in &history.log {
            image.change(change, |_| true);
        }
        for _ in 0..40 {
            let mut image = image.clone();
            for _ in 0..rng.u32(1..60) {
                // The table, and the pages.
                let at = if rng.bool() {
                    BLOCK + FRONT as usize + rng.usize(..64)
                } else {
                    rng.usize(FRONT as usize * PAGE - 1..image.0.len())
                };
                image.0[at] = rng.u8(..);
            }
            let pages = image.pages();
            if let Ok((mut engine, _)) = Engine::open(image, pages, START) {
                engine.check_invariants();
                let seq = engine.number();
                let place = engine.locate(b"key 1");
                engine.put(place, b"key 1", b"new", None, seq).unwrap();
                assert_eq!(engine.get(b"key 1").unwrap().value, b"new");
            }
        }
    });
}
