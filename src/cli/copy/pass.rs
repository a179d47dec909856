//! One pass over everything: what the second store does not have alike is written there.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use super::super::output;
use super::place::{End, Trouble};
use super::reading::{Item, Read};
use crate::cluster::{Batch, SetOptions};

/// How often is told how far it is.
const TELL: Duration = Duration::from_secs(5);
/// Keys that are looked at together.
const CHUNK: usize = 512;

/// A copy under way.
pub(super) struct Work {
    pub(super) from: End,
    pub(super) to: End,
    /// What a live copy has copied.
    copied: Option<Copied>,
    counts: Counts,
    /// How many entries there were at the beginning, where that can be known.
    all: Option<u64>,
    told: Instant,
}

/// What a pass has met, and in which master's store.
#[derive(Default)]
struct Copied {
    keys: HashSet<Vec<u8>>,
    /// Its process, if it is a master's. Another one's store may be another store: what is not in
    /// there was not removed.
    master: Option<u32>,
}

/// What a pass found.
#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    read: u64,
    written: u64,
    removed: u64,
}

impl Work {
    pub(super) fn new(from: End, to: End, is_live: bool) -> Self {
        Self {
            all: from.store.length().ok(),
            from,
            to,
            copied: is_live.then(Copied::default),
            counts: Counts::default(),
            told: Instant::now(),
        }
    }

    /// Goes over all entries once.
    pub(super) fn pass(&mut self) -> Result<(), Trouble> {
        self.counts = Counts::default();
        let master = self.from.store.master();
        let mut met = HashSet::new();
        let mut cursor = 0;
        loop {
            let (next, items) = self.from.page(cursor)?;
            self.page(&items)?;
            if self.copied.is_some() {
                met.extend(items.entries.into_iter().map(|(key, _)| key));
            }
            match next {
                0 => break,
                next => cursor = next,
            }
        }
        let Some(before) = &mut self.copied else {
            return Ok(());
        };
        let is_one_store = before.master == master && self.from.store.master() == master;
        let missing: Vec<Vec<u8>> = before.keys.difference(&met).cloned().collect();
        if is_one_store {
            self.remove(&missing)?;
        } else if !missing.is_empty() {
            output::say(&format!(
                "another master serves the first store now; the second one keeps {} entries that \
                 it does not have",
                missing.len()
            ));
        }
        let master = self.from.store.master();
        self.copied = Some(Copied { keys: met, master });
        Ok(())
    }

    /// Has the other store have these entries.
    fn page(&mut self, items: &Read<Vec<Item>>) -> Result<(), Trouble> {
        let keys = items.entries.iter().map(|(key, _)| key.as_slice());
        let found = self.to.read(keys)?;
        let mut batch = Batch::new();
        let mut written = Vec::new();
        for ((key, entry), there) in items.entries.iter().zip(&found.entries) {
            let is_same = |there| items.is_same(entry, &found, there);
            if there.as_ref().is_some_and(is_same) {
                continue;
            }
            let left = entry.ttl.map(|ttl| ttl.saturating_sub(items.end.elapsed()));
            let options = left.map_or_else(SetOptions::new, |ttl| SetOptions::new().ttl(ttl));
            batch.set(key, &entry.value, options);
            written.push(key.as_slice());
        }
        self.to.write(&batch, written.iter().copied())?;
        self.counts.read += items.entries.len() as u64;
        self.counts.written += written.len() as u64;
        if self.told.elapsed() >= TELL {
            self.tell();
        }
        Ok(())
    }

    /// Removes what was copied and is gone.
    fn remove(&mut self, missing: &[Vec<u8>]) -> Result<(), Trouble> {
        for keys in missing.chunks(CHUNK) {
            let keys = keys.iter().map(Vec::as_slice);
            // A walk may miss what is written while it goes on.
            let there = self.from.read(keys.clone())?;
            let mut batch = Batch::new();
            let is_gone = |(key, there): (_, &Option<_>)| there.is_none().then_some(key);
            let gone: Vec<&[u8]> = keys.zip(&there.entries).filter_map(is_gone).collect();
            for key in &gone {
                batch.destroy(key);
            }
            self.to.write(&batch, gone.iter().copied())?;
            self.counts.removed += gone.len() as u64;
        }
        Ok(())
    }

    /// Says how far it is.
    pub(super) fn tell(&mut self) {
        self.told = Instant::now();
        let Counts {
            read,
            written,
            removed,
        } = self.counts;
        let of = self.all.filter(|all| read <= *all);
        let of = of.map_or_else(String::new, |all| format!(" of {all}"));
        let removed = match removed {
            0 => String::new(),
            removed => format!(", {removed} removed"),
        };
        output::say(&format!(
            "{read}{of} entries read, {written} written{removed}"
        ));
    }

    /// As [`tell`](Self::tell) at times, where entries are compared.
    pub(super) fn tell_compared(&mut self, compared: u64) {
        if self.told.elapsed() >= TELL {
            self.told = Instant::now();
            output::say(&format!("{compared} entries compared"));
        }
    }
}
