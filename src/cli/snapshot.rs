//! `dump` and `load`: a live master's store to a file and back.
//!
//! Both are ordinary clients, so the master serves others between any two of their requests.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal as _, Read, Write};
use std::path::Path;

use super::exit::{Exit, Failure};
use super::output;
use crate::cluster::{Batch, SetOptions, Store};
use crate::contract::{Condition, Expiry, Kind};
use crate::error::{Error, Result};
use crate::snapshot::{Format, Reader, Record, RecordRef, Replacement, Writer};
use crate::time::{Clock as _, Millis, SystemClock};

/// A batch is sent when it has so many entries or so many bytes of them.
const BATCH: usize = 512;
const BATCH_BYTES: usize = 1 << 20;

/// Gives all entries to `visit`, each with the milliseconds that it has left, page by page.
pub(super) fn walk(
    store: &Store,
    mut visit: impl FnMut(&RecordRef<'_>, Option<u64>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let clock = SystemClock::new();
    let mut cursor = 0;
    loop {
        let (next, items) = store.page(cursor)?;
        // What is left counts from here, however long the page takes to be written.
        let now = clock.now();
        for (key, entry) in &items {
            let record = RecordRef {
                key,
                value: &entry.value,
                deadline: entry.ttl.map(|ttl| now.after(ttl)),
                seq: entry.seq,
                kind: Kind::Bytes,
                database: 0,
            };
            let ttl_ms = record.deadline.map(|then| then.as_unix() - now.as_unix());
            visit(&record, ttl_ms)?;
        }
        match next {
            0 => return Ok(()),
            next => cursor = next,
        }
    }
}

/// Writes all entries to a file, or to standard output.
pub(crate) fn dump(store: &Store, format: Format, file: Option<&Path>) -> Result<Exit, Failure> {
    match file {
        Some(path) => {
            let name = path.display().to_string();
            write(store, format, Replacement::create(path)?, &name)?.commit()?;
        }
        None if format == Format::Binary && io::stdout().is_terminal() => {
            return Err(Failure::Problems(
                Exit::Usage,
                vec![
                    "a binary dump is nothing for a terminal: name a file, redirect the output, \
                     or use --format jsonl"
                        .to_owned(),
                ],
            ));
        }
        None => {
            let out = BufWriter::with_capacity(64 << 10, io::stdout().lock());
            write(store, format, out, "standard output")?;
        }
    }
    Ok(Exit::Ok)
}

/// A reader that went away is an error here, unlike in `all | head`: half a dump is of no use.
fn write<W: Write>(store: &Store, format: Format, out: W, name: &str) -> Result<W, Failure> {
    let cannot = || Error::io(format!("write {name}"));
    let now = SystemClock::new().now();
    let mut writer = Writer::new(format, out, now).map_err(cannot())?;
    walk(store, |record, _| {
        Ok(writer.write(record).map_err(cannot())?)
    })?;
    Ok(writer.finish().map_err(cannot())?)
}

/// Writes the entries of a file, or of standard input, to the store.
pub(crate) fn load(
    store: &Store,
    file: Option<&Path>,
    condition: Condition,
) -> Result<Exit, Failure> {
    let (input, name): (Box<dyn Read>, _) = match file {
        Some(path) => {
            let name = path.display().to_string();
            let file = File::open(path).map_err(Error::io(format!("open {name}")))?;
            (Box::new(file), name)
        }
        None => (Box::new(io::stdin().lock()), "standard input".to_owned()),
    };
    let mut load = Load {
        store,
        condition,
        loaded: 0,
        expired: 0,
        there: 0,
        foreign: 0,
    };
    let ended = load.all(input, &name);
    output::say(&load.summary());
    ended.map(|()| Exit::Ok).map_err(Failure::Error)
}

/// What was done with a dump so far.
struct Load<'s> {
    store: &'s Store,
    condition: Condition,
    loaded: u64,
    /// Skipped, for they are past their deadline.
    expired: u64,
    /// Skipped, for there are such entries.
    there: u64,
    /// Skipped, for only a master itself can load them: hashes, and other databases than the first.
    foreign: u64,
}

impl Load<'_> {
    fn all(&mut self, input: impl Read, name: &str) -> Result<()> {
        let clock = SystemClock::new();
        let mut reader = Reader::new(input).map_err(|error| error.of(name))?;
        let (mut batch, mut bytes) = (Vec::with_capacity(BATCH), 0);
        loop {
            let record = match reader.next() {
                Some(Ok(record)) => record,
                Some(Err(error)) => {
                    // What is sound before the damage counts.
                    self.send(&batch, |deadline| reader.left(clock.now(), deadline))?;
                    return Err(error.of(name));
                }
                None => return self.send(&batch, |deadline| reader.left(clock.now(), deadline)),
            };
            if record.kind != Kind::Bytes || record.database > 0 {
                self.foreign += 1;
                continue;
            }
            bytes += record.key.len() + record.value.len();
            batch.push(record);
            if batch.len() == BATCH || bytes >= BATCH_BYTES {
                self.send(&batch, |deadline| reader.left(clock.now(), deadline))?;
                batch.clear();
                bytes = 0;
            }
        }
    }

    /// Sends entries together; the first error among their outcomes, if there is one. What they
    /// have `left` counts from here, however long the input took.
    fn send(
        &mut self,
        records: &[Record],
        left: impl Fn(Option<Millis>) -> Option<Expiry>,
    ) -> Result<()> {
        let mut batch = Batch::new();
        for record in records {
            let Some(expiry) = left(record.deadline) else {
                self.expired += 1;
                continue;
            };
            let options = SetOptions::of(expiry, self.condition);
            batch.set(&record.key, &record.value, options);
        }
        let mut first = Ok(());
        for outcome in self.store.run(&batch) {
            match outcome {
                Ok(_) => self.loaded += 1,
                Err(Error::Conflict { .. }) => self.there += 1,
                Err(error) => first = first.and(Err(error)),
            }
        }
        first
    }

    fn summary(&self) -> String {
        let Self {
            loaded,
            expired,
            there,
            foreign,
            ..
        } = self;
        let there = match self.condition {
            Condition::Always => String::new(),
            _ => format!(", {there} skipped as there already"),
        };
        let foreign = match foreign {
            0 => String::new(),
            _ => format!(
                ", {foreign} skipped as hashes or of other databases (--load-on-start loads them)"
            ),
        };
        format!("{loaded} loaded, {expired} skipped as past their deadline{there}{foreign}")
    }
}
