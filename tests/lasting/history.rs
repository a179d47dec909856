//! Masters that are killed under load, and what their clients know of the entries that are their
//! own: what was acknowledged to them, and what may have been done besides.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use memstore_cluster::{SetOptions, Store};
use nix::sys::signal::Signal;

use crate::common::{Running, eventually};

const CLIENTS: usize = 4;
/// How far deadlines may be off: they are told in milliseconds, by a process that takes its time.
const SLACK: Duration = Duration::from_secs(2);

/// An entry as a client wrote it.
#[derive(Debug, Clone, PartialEq)]
struct Known {
    value: Vec<u8>,
    /// It ends between these two.
    ends: Option<(Instant, Instant)>,
}

/// One client's entries, by key; `None` for one that was destroyed or never was.
struct History {
    name: String,
    rng: Rng,
    known: BTreeMap<String, Option<Known>>,
    /// What was asked for and not acknowledged.
    asked: Option<(String, Option<Known>)>,
}

/// The master went away before it acknowledged anything.
#[derive(Debug)]
struct Lost;

impl History {
    fn new(name: &str, seed: u64) -> Self {
        Self {
            name: name.to_owned(),
            rng: Rng::with_seed(seed),
            known: BTreeMap::new(),
            asked: None,
        }
    }

    /// Does something and waits for its acknowledgement.
    fn work(&mut self, store: &Store) -> Result<(), Lost> {
        let key = format!("{}:{}", self.name, self.rng.u32(0..60));
        let now = self.known.get(&key).cloned().flatten();
        let (begin, ttl) = (Instant::now(), self.ttl());
        let what = self.rng.u32(0..10);
        let ends = ttl.map(|ttl| (begin + ttl, begin + ttl));
        let next = match (what, now) {
            (0..=1, _) => None,
            (2..=3, now) => now.map(|known| Known { ends, ..known }),
            _ => Some(Known {
                value: self.value(),
                ends,
            }),
        };
        self.asked = Some((key.clone(), next.clone()));
        let is_there = match (what, &next) {
            (0..=1, _) => store.destroy(&key).map(|_| false),
            (2..=3, _) => store.touch(&key, ttl),
            (_, Some(next)) => {
                let options = ttl.map(|ttl| SetOptions::new().ttl(ttl));
                let set = store.set_with(&key, &next.value, options.unwrap_or_default());
                set.map(|_| true)
            }
            (_, None) => unreachable!("something is written"),
        };
        let is_there = is_there.map_err(|_| Lost)?;
        self.asked = None;
        self.known
            .insert(key, next.filter(|_| is_there).map(Known::done));
        Ok(())
    }

    fn ttl(&mut self) -> Option<Duration> {
        let seconds = [3_600, 7_200, 360_000];
        match self.rng.u32(0..6) {
            0 => Some(Duration::from_millis(self.rng.u64(1..400))),
            1..=3 => Some(Duration::from_secs(seconds[self.rng.usize(0..3)])),
            _ => None,
        }
    }

    fn value(&mut self) -> Vec<u8> {
        let most = match self.rng.u32(0..40) {
            0 => 300_000,
            1..=5 => 20_000,
            _ => 400,
        };
        let mut value = vec![0; self.rng.usize(0..most)];
        self.rng.fill(&mut value);
        value
    }

    /// Compares with what the store has, and goes on from there; how many entries it has.
    fn check(&mut self, store: &Store) -> u64 {
        let mut entries = 0;
        if let Some((key, next)) = self.asked.take() {
            let known = self.known.entry(key.clone()).or_default();
            let next = next.map(Known::done);
            if !is_so(store, &key, known.as_ref()) {
                *known = next;
            }
        }
        for (key, known) in &mut self.known {
            assert!(
                is_so(store, key, known.as_ref()),
                "{key} was {}, and is {}",
                shown(known.as_ref()),
                store
                    .get(key)
                    .unwrap()
                    .map_or("not there".to_owned(), |entry| format!(
                        "{} bytes for {:?}",
                        entry.value.len(),
                        entry.ttl
                    )),
            );
            // Whatever is about to end is ended before anything is counted.
            if known.as_ref().is_some_and(Known::is_short) {
                store.destroy(key).unwrap();
                *known = None;
            }
            entries += u64::from(known.is_some());
        }
        entries
    }
}

/// Masters over one store that are killed under load, so many times or as `NAME_ROUNDS` says: what
/// was acknowledged is there each time. `start` starts one, in one of several ways, which it names;
/// `NAME_SEED` has all of it once more.
#[expect(clippy::print_stdout, reason = "a failure says how to replay it")]
pub(crate) fn survives(
    name: &str,
    (rounds, works): (u64, u64),
    mut start: impl FnMut(&mut Rng) -> (Running, &'static str),
    connect: impl Fn() -> Store,
) {
    let seed = from_environment(&format!("{name}_SEED"), fastrand::u64(..));
    println!("replay with {name}_SEED={seed}");
    let mut rng = Rng::with_seed(seed);
    let mut histories: Vec<History> = (0..CLIENTS)
        .map(|number| History::new(&format!("client{number}"), rng.u64(..)))
        .collect();
    for round in 0..from_environment(&format!("{name}_ROUNDS"), rounds) {
        let (mut master, way) = start(&mut rng);
        let store = connect();
        let check = |history: &mut History| history.check(&store);
        let known: u64 = histories.iter_mut().map(check).sum();
        assert_eq!(store.length().unwrap(), known, "in round {round}");
        assert_eq!(store.all().count() as u64, known, "in round {round}");
        let stores = histories.iter().map(|_| connect()).collect();
        work_and_kill(&master, stores, &mut histories, rng.u64(1..works));
        assert_eq!(master.wait().signal(), Some(9), "in round {round}, {way}");
    }
}

/// Versions grow, however often the master of a store is killed.
pub(crate) fn versions_go_on(start: impl Fn() -> Running, connect: impl Fn() -> Store) {
    let mut last = None;
    for _ in 0..3 {
        let mut master = start();
        let store = connect();
        assert_eq!(store.get("key").unwrap().map(|entry| entry.seq), last);
        for _ in 0..10 {
            let seq = store.set("key", "value").unwrap();
            assert!(last < Some(seq), "{last:?}, {seq:?}");
            last = Some(seq);
        }
        assert!(last < store.set("other", "").ok());
        assert!(store.destroy("other").unwrap());
        master.signal(Signal::SIGKILL);
        master.wait();
    }
}

/// All clients work, each through its own handle, until the master is killed, after so much work.
fn work_and_kill(master: &Running, stores: Vec<Store>, histories: &mut [History], works: u64) {
    let done = AtomicU64::new(0);
    thread::scope(|scope| {
        for (history, store) in histories.iter_mut().zip(stores) {
            let done = &done;
            scope.spawn(move || {
                while history.work(&store).is_ok() {
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        eventually("enough is done", || {
            (done.load(Ordering::Relaxed) >= works).then_some(())
        });
        master.signal(Signal::SIGKILL);
    });
}

/// A number that a variable may set, to replay or to do more.
pub(crate) fn from_environment(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().expect("a number"))
}

impl Known {
    /// It is known by now when the store set the deadline, at the latest.
    fn done(mut self) -> Self {
        if let Some((_, latest)) = &mut self.ends {
            *latest += SLACK;
        }
        self
    }

    fn is_short(&self) -> bool {
        let soon = Instant::now() + Duration::from_secs(60);
        self.ends.is_some_and(|(earliest, _)| earliest < soon)
    }
}

fn shown(known: Option<&Known>) -> String {
    known.map_or("not there".to_owned(), |known| {
        let ends = known
            .ends
            .map(|(earliest, _)| earliest.saturating_duration_since(Instant::now()));
        format!("{} bytes for {ends:?}", known.value.len())
    })
}

fn is_so(store: &Store, key: &str, known: Option<&Known>) -> bool {
    let before = Instant::now();
    let found = store.get(key).unwrap();
    let after = Instant::now();
    let Some(known) = known else {
        return found.is_none();
    };
    let Some(found) = found else {
        return known
            .ends
            .is_some_and(|(earliest, _)| after + SLACK >= earliest);
    };
    let ends = match (found.ttl, known.ends) {
        (None, None) => true,
        (Some(ttl), Some((earliest, latest))) => {
            after + ttl + SLACK >= earliest && before + ttl <= latest
        }
        _ => false,
    };
    ends && found.value == known.value
}
