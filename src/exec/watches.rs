//! Keys that are watched and were not there: how often they changed since.
//!
//! A key that is there has a version, which no other write ever has. One that is not there could
//! come and go unseen; so whoever changes a key says so here, as to the subscribers of such news.

use std::collections::HashMap;

use crate::backend::databases::COUNT;

/// A key that somebody watches.
#[derive(Debug, Default)]
struct Watch {
    watchers: usize,
    changes: u64,
}

/// All of them, by database.
#[derive(Debug, Default)]
pub(super) struct Watches {
    keys: [HashMap<Box<[u8]>, Watch>; COUNT as usize],
    count: usize,
}

impl Watches {
    /// Watches a key once more; how often it changed so far.
    pub(super) fn begin(&mut self, database: u8, key: &[u8]) -> u64 {
        let keys = &mut self.keys[usize::from(database)];
        let watch = keys.entry(key.into()).or_default();
        watch.watchers += 1;
        self.count += 1;
        watch.changes
    }

    /// Watches it once less.
    pub(super) fn end(&mut self, database: u8, key: &[u8]) {
        let keys = &mut self.keys[usize::from(database)];
        if let Some(watch) = keys.get_mut(key) {
            watch.watchers -= 1;
            self.count -= 1;
            if watch.watchers == 0 {
                keys.remove(key);
            }
        }
    }

    /// A key has changed.
    pub(super) fn changed(&mut self, database: u8, key: &[u8]) {
        if self.count > 0 {
            if let Some(watch) = self.keys[usize::from(database)].get_mut(key) {
                watch.changes += 1;
            }
        }
    }

    /// How often a key that is watched has changed.
    pub(super) fn changes(&self, database: u8, key: &[u8]) -> u64 {
        let watch = self.keys[usize::from(database)].get(key);
        watch.map_or(0, |watch| watch.changes)
    }

    /// Whether nobody watches anything.
    pub(super) fn is_empty(&self) -> bool {
        debug_assert_eq!(
            self.count == 0,
            self.keys.iter().all(HashMap::is_empty),
            "both say the same"
        );
        self.count == 0
    }
}
