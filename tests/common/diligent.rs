//! A worker that works all the time and says what was acknowledged to it.
//!
//! A part that a test program can play, see [`parts`](super::parts).

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use memstore_cluster::{Error, Options, SetOptions, Store};
use signal_hook::consts::SIGTERM;

use super::parts::say;

/// The key of the counter that everybody counts up.
pub const COUNTER: &str = "counter";
/// How much it still does after it was asked to stop.
const LAST_WORKS: u64 = 50;

/// The name of the part.
pub const PART: &str = "a diligent worker";

/// Works until `TERM`: prints `acked NAME N` after each work that was acknowledged, and at the
/// end `drained NAME`.
pub fn work() {
    let asked = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(SIGTERM, Arc::clone(&asked)).unwrap();
    let store = Options::default().create().unwrap();
    let name = std::process::id().to_string();
    let mut left = LAST_WORKS;
    for n in 0.. {
        work_once(&store, &name, n).unwrap();
        say(&format!("acked {name} {n}"));
        if asked.load(Ordering::Relaxed) {
            left -= 1;
            if left == 0 {
                break;
            }
        }
    }
    say(&format!("drained {name}"));
    std::process::exit(0);
}

/// Writes an entry of one's own, finds it, and counts the counter up.
pub fn work_once(store: &Store, name: &str, n: u64) -> Result<(), Error> {
    let key = format!("{name}:{n}");
    store.set(&key, &key)?;
    let found = store.get(&key)?.map(|entry| entry.value);
    assert_eq!(
        found.as_deref(),
        Some(key.as_bytes()),
        "{key} was acknowledged"
    );
    loop {
        let entry = store.get(COUNTER)?;
        let (count, condition) = match &entry {
            Some(entry) => (entry.json::<u64>()?, SetOptions::new().if_seq(entry.seq)),
            None => (0, SetOptions::new().if_absent()),
        };
        match store.set_json(COUNTER, &(count + 1), condition) {
            Err(Error::Conflict { .. }) => {}
            done => return done.map(|_| ()),
        }
    }
}

/// How many works each worker says were acknowledged.
pub fn acknowledged(lines: &[String]) -> HashMap<String, u64> {
    let mut works = HashMap::new();
    for line in lines {
        let Some(said) = line.strip_prefix("acked ") else {
            continue;
        };
        let (name, n) = said.split_once(' ').expect("a name and a number");
        let n: u64 = n.parse().expect("a number");
        let before = works.insert(name.to_owned(), n + 1);
        assert_eq!(before.unwrap_or(0), n, "{name} left something out");
    }
    works
}

/// Panics where something is lost of what was acknowledged.
pub fn check(store: &Store, works: &HashMap<String, u64>) {
    for (name, count) in works {
        for n in 0..*count {
            let key = format!("{name}:{n}");
            let found = store.get(&key).unwrap().map(|entry| entry.value);
            assert_eq!(
                found.as_deref(),
                Some(key.as_bytes()),
                "{key} was acknowledged"
            );
        }
    }
    let counted: u64 = store.get_json(COUNTER).unwrap().unwrap_or(0);
    let said = works.values().sum();
    assert!(
        counted >= said,
        "{said} were acknowledged, {counted} counted"
    );
}
