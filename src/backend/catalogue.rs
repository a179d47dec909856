//! The index of a backend whose entries are elsewhere: which keys there are, until when, in which
//! version, and in which order a walk meets them.
//!
//! Three views of the same records: by key, by birth and by deadline. Every record is in the first
//! two, and in the third if it has a deadline. A walk goes from the youngest birth down, so what is
//! written meanwhile can neither be met twice nor keep it from ending. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::contract::{Kind, Seq};
use crate::time::Millis;

/// A key, shared by the views.
pub(super) type Key = Arc<[u8]>;

/// When a key last came to be: the number of the write that made it. Overwriting keeps it, and so
/// does the backend for as long as it keeps the entry, so that a walk finds the entry in its place.
pub(super) type Birth = u64;

/// What is known of an entry without looking where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) deadline: Option<Millis>,
    pub(super) seq: Seq,
    pub(super) kind: Kind,
    pub(super) birth: Birth,
    /// By which the backend knows whether the entry is still the one that it knows.
    pub(super) mark: u32,
}

impl Record {
    fn is_live(&self, now: Millis) -> bool {
        self.deadline.is_none_or(|deadline| now < deadline)
    }
}

/// All records.
#[derive(Debug, Default)]
pub(super) struct Catalogue {
    records: HashMap<Key, Record>,
    ages: BTreeMap<Birth, Key>,
    deadlines: BTreeSet<(Millis, Birth)>,
}

impl Catalogue {
    pub(super) fn contains(&self, key: &[u8]) -> bool {
        self.records.contains_key(key)
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<&Record> {
        self.records.get(key)
    }

    /// The record of an entry that has not expired.
    pub(super) fn live(&self, now: Millis, key: &[u8]) -> Option<&Record> {
        self.get(key).filter(|record| record.is_live(now))
    }

    /// Puts a record in the place of the one that may be there.
    pub(super) fn put(&mut self, key: &[u8], mut record: Record) {
        self.remove(key);
        // What somebody else has copied has the birth of what it was copied from.
        while record.birth == 0 || self.ages.contains_key(&record.birth) {
            record.birth = record.birth.wrapping_add(1);
        }
        let key = Key::from(key);
        self.ages.insert(record.birth, Arc::clone(&key));
        if let Some(deadline) = record.deadline {
            self.deadlines.insert((deadline, record.birth));
        }
        self.records.insert(key, record);
    }

    /// Whether it was there.
    pub(super) fn remove(&mut self, key: &[u8]) -> bool {
        let Some(record) = self.records.remove(key) else {
            return false;
        };
        self.ages.remove(&record.birth);
        if let Some(deadline) = record.deadline {
            self.deadlines.remove(&(deadline, record.birth));
        }
        true
    }

    /// The number of entries that have not expired.
    pub(super) fn length(&self, now: Millis) -> u64 {
        let expired = self.deadlines.iter();
        let expired = expired.take_while(|(deadline, _)| *deadline <= now).count();
        (self.records.len() - expired) as u64
    }

    /// The deadline that passes first, and whose it is.
    pub(super) fn first_deadline(&self) -> Option<(Millis, &Key)> {
        let (deadline, birth) = self.deadlines.first()?;
        Some((*deadline, self.ages.get(birth)?))
    }

    /// The youngest key that is older than `birth`, or than all.
    pub(super) fn older(&self, birth: Option<Birth>) -> Option<(Birth, &Key)> {
        let below = birth.unwrap_or(Birth::MAX);
        let (birth, key) = self.ages.range(..below).next_back()?;
        Some((*birth, key))
    }

    pub(super) fn into_keys(self) -> impl Iterator<Item = Key> + Send + use<> {
        self.ages.into_values()
    }
}
