//! How long single operations and steps take, the longest above all: nobody is served meanwhile.
//!
//! Each time includes some 25 ns for looking at the clock. What an idle machine does by itself is
//! in the maxima too: a step that is far above the others once may be the machine's.

use std::hint::black_box;
use std::io::Write;
use std::time::Instant;

use memstore_cluster::backend::{
    Backend, BackendError, Cursor, Deadline, MemoryBackend, Upkeep, Walk,
};
use memstore_cluster::time::Millis;

use super::common::histogram::Histogram;
use super::common::table::{count, float, markdown, three_digits};
use super::common::{Result, driver, keys};
use super::store::{NOW, deadline, put};

/// Entries of a page, as the master gives them to a client.
const PAGE: u32 = 200;
/// While the store grows, one get comes for so many inserts.
const INSERTS_PER_GET: u64 = 8;
/// What is left of every so many entries when most of them are destroyed.
const SPARED: u64 = 10;

pub(crate) fn table(sizes: &[u64], out: &mut dyn Write) -> Result<()> {
    writeln!(out, "## The longest single operations and steps, in µs\n")?;
    let head = [
        "entries",
        "operation or step",
        "times",
        "p50",
        "p99.9",
        "max",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for entries in sizes {
        let mut stages = Stages {
            entries: *entries,
            rows: &mut rows,
        };
        stages.all()?;
    }
    markdown(out, &rows)?;
    Ok(())
}

type Done = std::result::Result<(), BackendError>;

struct Stages<'a> {
    entries: u64,
    rows: &'a mut Vec<Vec<String>>,
}

impl Stages<'_> {
    /// The life of a store: it grows, is used, walked, emptied, filled again and expires.
    fn all(&mut self) -> Result<()> {
        let entries = self.entries;
        let mut store = MemoryBackend::new();
        self.growth(&mut store)?;
        self.stage("set, at full size", |times| {
            (0..entries).try_for_each(|n| {
                let key = keys::key(keys::scramble(n) % entries);
                times.of(|| put(&mut store, &key, deadline(n)))
            })
        })?;
        self.stage("touch", |times| {
            (0..entries).try_for_each(|n| {
                let key = keys::key(keys::scramble(n) % entries);
                times.of(|| store.touch(NOW, &key, deadline(n + 1)))?;
                Ok(())
            })
        })?;
        self.stage("all, a page", |times| walk(&mut store, times))?;
        self.stage("destroy, of nine in ten", |times| {
            let most = (0..entries).filter(|n| n % SPARED != 0);
            most.map(keys::key).try_for_each(|key| {
                times.of(|| store.destroy(NOW, &key))?;
                Ok(())
            })
        })?;
        self.stage("upkeep after that", |times| {
            steps(&mut store, NOW, times);
            Ok(())
        })?;
        fill(&mut store, entries, deadline)?;
        self.stage("clear", |times| times.of(|| store.clear(NOW)))?;
        self.stage("upkeep after that", |times| {
            steps(&mut store, NOW, times);
            Ok(())
        })?;

        let end = NOW.after_ms(60_000);
        fill(&mut store, entries, |n| {
            Deadline::At(end.after_ms(n % 1_000))
        })?;
        self.stage("upkeep before all expire in one second", |times| {
            steps(&mut store, NOW.after_ms(50_000), times);
            Ok(())
        })?;
        self.stage("length in that second", |times| {
            black_box(times.of(|| store.length(end.after_ms(500)))?);
            Ok(())
        })?;
        self.stage("upkeep after it", |times| {
            steps(&mut store, end.after_ms(1_000), times);
            Ok(())
        })
    }

    /// Inserts, and gets in between: each waits for whatever the growth does just then.
    fn growth(&mut self, store: &mut MemoryBackend) -> Result<()> {
        let mut gets = Times::new();
        let entries = self.entries;
        self.stage("insert, while it grows", |times| {
            (0..entries).try_for_each(|n| {
                let key = keys::key(n);
                times.of(|| put(store, &key, deadline(n)))?;
                if n % INSERTS_PER_GET == 0 {
                    let key = keys::key(keys::scramble(n) % (n + 1));
                    gets.of(|| black_box(store.get(NOW, &key)).map(|found| found.is_some()))?;
                }
                Ok(())
            })
        })?;
        self.row("get, while it grows", &gets);
        Ok(())
    }

    fn stage(&mut self, what: &str, stage: impl FnOnce(&mut Times) -> Done) -> Result<()> {
        driver::check_interrupt()?;
        let mut times = Times::new();
        stage(&mut times)?;
        self.row(what, &times);
        Ok(())
    }

    fn row(&mut self, what: &str, Times(times): &Times) {
        let micros = |nanos: u64| three_digits(float(nanos) / 1e3);
        self.rows.push(vec![
            count(self.entries),
            what.to_owned(),
            times.total().to_string(),
            micros(times.percentile(0.5)),
            micros(times.percentile(0.999)),
            micros(times.max()),
        ]);
    }
}

/// How long each of many things took.
struct Times(Histogram);

impl Times {
    fn new() -> Self {
        Self(Histogram::new())
    }

    /// Does something and notes how long it took.
    fn of<T>(&mut self, done: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let outcome = done();
        self.0.record_duration(start.elapsed());
        outcome
    }
}

fn fill(store: &mut MemoryBackend, entries: u64, deadline: impl Fn(u64) -> Deadline) -> Done {
    (0..entries).try_for_each(|n| put(store, &keys::key(n), deadline(n)))
}

fn walk(store: &mut MemoryBackend, times: &mut Times) -> Done {
    let mut next = Some(Cursor::default());
    while let Some(from) = next {
        let mut left = PAGE;
        next = times.of(|| {
            store.all(NOW, from, &mut |key, _| {
                black_box(key);
                left -= 1;
                if left == 0 { Walk::Pause } else { Walk::On }
            })
        })?;
    }
    Ok(())
}

/// Does all the upkeep there is.
fn steps(store: &mut MemoryBackend, now: Millis, times: &mut Times) {
    while times.of(|| store.upkeep(now)) == Upkeep::More {}
}
