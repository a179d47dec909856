//! One pass over everything: what the second store does not have alike is written there.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use super::super::output;
use super::others::{LeftOut, Name, Others};
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
    /// What the last pass had no room for.
    pub(super) left_out: LeftOut,
    told: Instant,
}

/// What a pass has met, and in which master's store.
#[derive(Default)]
struct Copied {
    keys: HashSet<Vec<u8>>,
    others: Others,
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
            left_out: LeftOut::default(),
            told: Instant::now(),
        }
    }

    /// Goes over all entries once.
    pub(super) fn pass(&mut self) -> Result<(), Trouble> {
        let before = self.copied.take();
        match self.go_over_all(before.as_ref()) {
            Ok(copied) => {
                self.copied = copied;
                Ok(())
            }
            Err(trouble) => {
                self.copied = before;
                Err(trouble)
            }
        }
    }

    /// Gives what is copied now, where what was copied before is known.
    fn go_over_all(&mut self, before: Option<&Copied>) -> Result<Option<Copied>, Trouble> {
        self.counts = Counts::default();
        let mut copied = Copied {
            master: self.from.store.master(),
            ..Copied::default()
        };
        let mut cursor = 0;
        loop {
            let (next, items) = self.from.page(cursor)?;
            self.page(&items)?;
            if before.is_some() {
                let keys = items.entries.into_iter().map(|(key, _)| key);
                copied.keys.extend(keys);
            }
            match next {
                0 => break,
                next => cursor = next,
            }
        }
        (copied.others, self.left_out) = self.from.others(&self.to)?;
        self.write_others(&copied.others, before.map(|before| &before.others))?;
        let Some(before) = before else {
            return Ok(None);
        };
        let keys = before.keys.difference(&copied.keys).map(Vec::as_slice);
        let keys: Vec<&[u8]> = keys.collect();
        let others = before.others.keys();
        let others: Vec<&Name> = others
            .filter(|name| !copied.others.contains_key(*name))
            .collect();
        let now = self.from.store.master();
        if before.master == now && copied.master == now {
            self.remove(&keys, &others)?;
        } else if keys.len() + others.len() > 0 {
            output::say(&format!(
                "another master serves the first store now; the second one keeps {} entries that \
                 it does not have",
                keys.len() + others.len()
            ));
        }
        Ok(Some(copied))
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

    /// Has the other store have these, but for those that it was given.
    fn write_others(&mut self, others: &Others, before: Option<&Others>) -> Result<(), Trouble> {
        for (name, other) in others {
            let before = before.and_then(|before| before.get(name));
            if !before.is_some_and(|before| before.is_like(other)) {
                self.to.put_other(name, Some(other))?;
                self.counts.written += 1;
            }
        }
        self.counts.read += others.len() as u64;
        Ok(())
    }

    /// Removes what was copied and is gone.
    fn remove(&mut self, keys: &[&[u8]], others: &[&Name]) -> Result<(), Trouble> {
        for keys in keys.chunks(CHUNK) {
            // A walk may miss what is written while it goes on.
            let there = self.from.read(keys.iter().copied())?;
            let mut batch = Batch::new();
            let gone = keys.iter().zip(&there.entries);
            let gone = gone.filter(|(_, there)| there.is_none());
            let gone: Vec<&[u8]> = gone.map(|(key, _)| *key).collect();
            for key in &gone {
                batch.destroy(key);
            }
            self.to.write(&batch, gone.iter().copied())?;
            self.counts.removed += gone.len() as u64;
        }
        for name in others {
            self.to.put_other(name, None)?;
            self.counts.removed += 1;
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
