//! `copy`: the entries of one store into another, once or until the application has moved.
//!
//! Both are used as an application uses them, so any two kinds can be named. A pass goes over all
//! entries of one and writes into the other what it does not have like that; so a copy that was
//! stopped is taken up again by beginning anew, and a live one is passes without end, that also
//! remove what they had copied and is gone. At the end both are read again and compared.

use std::collections::HashSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::exit::{Exit, Failure};
use super::output;
use crate::cluster::{Batch, Entry, Options, Outcome, SetOptions, Source, Store};
use crate::config::{self, Config, Standalone};
use crate::error::{Error, Result};

/// Deadlines that differ by less are the same: some stores keep whole seconds.
const SAME_TIME: Duration = Duration::from_secs(1);
/// How often is told how far it is.
const TELL: Duration = Duration::from_secs(5);
/// The pause between two passes of a live copy.
const PAUSE: Duration = Duration::from_secs(1);
/// Differences that are named one by one.
const NAMED: usize = 5;

/// What was typed.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Copy {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) is_live: bool,
}

impl fmt::Debug for Copy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Copy")
            .field("from", &config::Store::told(&self.from))
            .field("to", &config::Store::told(&self.to))
            .field("is_live", &self.is_live)
            .finish()
    }
}

impl Copy {
    /// Does it; `config` says where a master is that is only named `master:`.
    pub(crate) fn run(&self, config: &Config) -> Result<Exit, Failure> {
        if self.from == self.to {
            let why = "both stores are the same: name another one to copy to".to_owned();
            return Err(Failure::Problems(Exit::Usage, vec![why]));
        }
        let stop = Arc::new(AtomicBool::new(false));
        let (from, to) = (open(&self.from, config)?, open(&self.to, config)?);
        let mut work = Work::new(from, to, self.is_live);
        if self.is_live {
            for signal in signal_hook::consts::TERM_SIGNALS {
                signal_hook::flag::register(*signal, Arc::clone(&stop))
                    .map_err(Error::io("wait for signals"))?;
            }
            work.follow(&stop)?;
        }
        work.pass()?;
        work.tell();
        work.verify()
    }
}

/// Opens a store: a master's, or one that its URL names, in this process.
fn open(place: &str, config: &Config) -> Result<Store, Failure> {
    let at = match place.split_once(':') {
        Some(("master", "")) => config.client().map(|client| client.sock),
        Some(("master", sock)) => Some(PathBuf::from(sock)),
        _ => None,
    };
    let secret = super::read_secret(config.secret_file.as_deref())?;
    if let Some(sock) = at {
        let options = Options {
            sock: Some(sock),
            secret,
            timeout: config.timeout,
            ..Options::default()
        };
        return Ok(options.connect_now()?);
    }
    if place == "memory:" || place.starts_with("master") {
        let why = format!("{place} is in a master: name it as master: or as master:SOCKET");
        return Err(Failure::Problems(Exit::Usage, vec![why]));
    }
    let source: Source = place.parse()?;
    let options = Options {
        store: source,
        standalone: Standalone::Always,
        limits: config.limits.clone(),
        timeout: config.timeout,
        ..Options::default()
    };
    Ok(options.create()?)
}

/// A copy under way.
struct Work {
    from: Store,
    to: Store,
    /// The keys of what a live copy has copied.
    copied: Option<HashSet<Vec<u8>>>,
    counts: Counts,
    /// How many entries there were at the beginning, where that can be known.
    all: Option<u64>,
    told: Instant,
}

/// What a pass found.
#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    read: u64,
    written: u64,
    removed: u64,
}

impl Work {
    fn new(from: Store, to: Store, is_live: bool) -> Self {
        Self {
            all: from.length().ok(),
            from,
            to,
            copied: is_live.then(HashSet::new),
            counts: Counts::default(),
            told: Instant::now(),
        }
    }

    /// Passes until somebody says that it is enough.
    fn follow(&mut self, stop: &AtomicBool) -> Result<()> {
        let mut is_told = false;
        while !stop.load(Ordering::Relaxed) {
            let begin = Instant::now();
            self.pass()?;
            if !is_told {
                is_told = true;
                self.tell();
                output::say(&format!(
                    "in step, {:.1?} behind; when nobody writes to the first store any more, end \
                     this with Ctrl-C or SIGTERM for the last pass",
                    begin.elapsed() + PAUSE
                ));
            }
            let next = Instant::now() + PAUSE;
            while Instant::now() < next && !stop.load(Ordering::Relaxed) {
                std::thread::park_timeout(PAUSE / 20);
            }
        }
        Ok(())
    }

    /// Goes over all entries once.
    fn pass(&mut self) -> Result<()> {
        self.counts = Counts::default();
        let before = self.copied.as_mut().map(std::mem::take);
        let mut cursor = 0;
        loop {
            let (next, items) = page(&self.from, cursor)?;
            self.page(items)?;
            match next {
                0 => break,
                next => cursor = next,
            }
        }
        match before {
            Some(before) => self.remove(&before),
            None => Ok(()),
        }
    }

    /// Has the other store have these entries.
    fn page(&mut self, items: Read<Vec<Item>>) -> Result<()> {
        let keys = items.entries.iter().map(|(key, _)| key.as_slice());
        let found = read(&self.to, keys)?;
        let mut batch = Batch::new();
        let mut written = 0;
        for ((key, entry), there) in items.entries.iter().zip(&found.entries) {
            let is_same = |there| items.is_same(entry, &found, there);
            if there.as_ref().is_some_and(is_same) {
                continue;
            }
            let left = entry.ttl.map(|ttl| ttl.saturating_sub(items.end.elapsed()));
            let options = left.map_or_else(SetOptions::new, |ttl| SetOptions::new().ttl(ttl));
            batch.set(key, &entry.value, options);
            written += 1;
        }
        all_done(self.to.run(&batch))?;
        self.counts.read += items.entries.len() as u64;
        self.counts.written += written;
        if let Some(copied) = &mut self.copied {
            copied.extend(items.entries.into_iter().map(|(key, _)| key));
        }
        if self.told.elapsed() >= TELL {
            self.tell();
        }
        Ok(())
    }

    /// Removes what an earlier pass has copied and this one has not met.
    fn remove(&mut self, before: &HashSet<Vec<u8>>) -> Result<()> {
        let now = self.copied.as_ref();
        let is_missing = |key: &&Vec<u8>| !now.is_some_and(|now| now.contains(*key));
        let missing: Vec<&Vec<u8>> = before.iter().filter(is_missing).collect();
        for keys in missing.chunks(512) {
            // A walk may miss what is written while it goes on.
            let there = read(&self.from, keys.iter().map(|key| key.as_slice()))?;
            let mut batch = Batch::new();
            for (key, there) in keys.iter().zip(&there.entries) {
                if there.is_none() {
                    batch.destroy(*key);
                    self.counts.removed += 1;
                }
            }
            all_done(self.to.run(&batch))?;
        }
        Ok(())
    }

    fn tell(&mut self) {
        self.told = Instant::now();
        let Counts {
            read,
            written,
            removed,
        } = self.counts;
        let of = self
            .all
            .map_or_else(String::new, |all| format!(" of {all}"));
        let removed = match removed {
            0 => String::new(),
            removed => format!(", {removed} removed"),
        };
        output::say(&format!(
            "{read}{of} entries read, {written} written{removed}"
        ));
    }

    /// Reads both stores again and compares them.
    fn verify(&mut self) -> Result<Exit, Failure> {
        let mut sums = [Sum::default(), Sum::default()];
        let mut differences = Vec::new();
        let mut cursor = 0;
        loop {
            let (next, items) = page(&self.from, cursor)?;
            let keys = items.entries.iter().map(|(key, _)| key.as_slice());
            let found = read(&self.to, keys)?;
            for ((key, entry), there) in items.entries.iter().zip(&found.entries) {
                let is_same = |there: &&Entry| items.is_same(entry, &found, there);
                if let Some(there) = there.as_ref().filter(is_same) {
                    sums[0].add(key, &entry.value);
                    sums[1].add(key, &there.value);
                } else if self.from.get(key)?.is_some_and(|now| now.seq == entry.seq) {
                    // It is there still, and as it was.
                    differences.push(key.clone());
                }
            }
            match next {
                0 => break,
                next => cursor = next,
            }
        }
        let [from, to] = sums;
        if !differences.is_empty() || from != to {
            return Err(differ(&differences));
        }
        let others = self.to.length().map(|all| all.saturating_sub(to.count));
        let others = match others {
            Ok(1..) => format!("; {} others are in the second store", others.unwrap_or(0)),
            _ => String::new(),
        };
        output::say(&format!(
            "verified: {} entries are the same in both, checksum {:032x}{others}",
            from.count, from.sum
        ));
        Ok(Exit::Ok)
    }
}

/// The number of entries and a checksum of their keys and values, in whatever order.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Sum {
    count: u64,
    sum: u128,
}

impl Sum {
    fn add(&mut self, key: &[u8], value: &[u8]) {
        let mut digest = Sha256::new();
        digest.update((key.len() as u64).to_le_bytes());
        digest.update(key);
        digest.update(value);
        let digest: [u8; 32] = digest.finalize().into();
        let (first, _) = digest.split_first_chunk().expect("it is longer");
        self.count += 1;
        self.sum = self.sum.wrapping_add(u128::from_le_bytes(*first));
    }
}

type Item = (Vec<u8>, Entry);

/// The entries from a place on, and where the next ones are; zero behind the last.
fn page(store: &Store, cursor: u64) -> Result<(u64, Read<Vec<Item>>)> {
    let mut next = 0;
    let read = Read::new(|| {
        let (then, items) = store.page(cursor)?;
        next = then;
        Ok(items)
    })?;
    Ok((next, read))
}

/// The entries with these keys.
fn read<'k>(
    store: &Store,
    keys: impl Iterator<Item = &'k [u8]>,
) -> Result<Read<Vec<Option<Entry>>>> {
    let mut batch = Batch::new();
    for key in keys {
        batch.get(key);
    }
    Read::new(|| {
        let outcomes = store.run(&batch).into_iter();
        outcomes
            .map(|outcome| match outcome? {
                Outcome::Entry(entry) => Ok(entry),
                _ => unreachable!("it was a get"),
            })
            .collect()
    })
}

fn all_done(outcomes: Vec<Result<Outcome>>) -> Result<()> {
    outcomes
        .into_iter()
        .try_for_each(|outcome| outcome.map(drop))
}

/// Entries, and when they were read: at some time between the two.
struct Read<T> {
    entries: T,
    begin: Instant,
    end: Instant,
}

impl<T> Read<T> {
    fn new(read: impl FnOnce() -> Result<T>) -> Result<Self> {
        let begin = Instant::now();
        let entries = read()?;
        let end = Instant::now();
        Ok(Self {
            entries,
            begin,
            end,
        })
    }

    /// Whether an entry of this reading and one of another have the same value for the same time.
    fn is_same<U>(&self, one: &Entry, others: &Read<U>, other: &Entry) -> bool {
        let is_same_time = match (one.ttl, other.ttl) {
            (None, None) => true,
            (Some(one), Some(other)) => {
                // When either ends, at the earliest and at the latest.
                let (first, last) = (self.begin + one, self.end + one + SAME_TIME);
                let (begin, end) = (others.begin + other, others.end + other + SAME_TIME);
                first < end && begin < last
            }
            _ => false,
        };
        is_same_time && one.value == other.value
    }
}

fn differ(keys: &[Vec<u8>]) -> Failure {
    let name = |key: &Vec<u8>| format!("{} is not the same in both", key.escape_ascii());
    let mut sentences: Vec<String> = keys.iter().take(NAMED).map(name).collect();
    sentences.push(format!(
        "{} entries differ: somebody else writes to one of the stores. Run it again, or with \
         --live until the application has moved",
        keys.len()
    ));
    Failure::Problems(Exit::Failed, sentences)
}
