//! What the memory backend is held to in tests: as simple as it can be, and right.
//!
//! Three ordered views of the same entries: by key, by birth and by deadline. Every live or not
//! yet swept entry is in the first two, and in the third if it has a deadline;
//! `check_invariants` in the tests says so. A walk goes from the youngest birth down, so what
//! is written meanwhile can neither be met twice nor keep the walk from ending.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::mem;
use std::sync::Arc;

use super::{Backend, BackendError, Cursor, Deadline, EntryRef, SetOutcome, Upkeep, Visitor, Walk};
use crate::contract::{Capabilities, Condition, Kind, Seq};
use crate::time::Millis;

/// Entries freed by one step of [`Backend::upkeep`]: some ten microseconds of work.
const UPKEEP_STEP: usize = 256;

/// When an entry's key last came to be: overwriting keeps it, so that a walk finds the entry in
/// its place.
type Birth = u64;

/// Keeps entries in ordered maps.
#[derive(Debug, Default)]
pub(super) struct ModelBackend {
    entries: Entries,
    seq: u64,
    births: Birth,
    /// What `clear` took out, to be freed in steps.
    cleared: Vec<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    records: HashMap<Arc<[u8]>, Record>,
    ages: BTreeMap<Birth, Arc<[u8]>>,
    deadlines: BTreeSet<(Millis, Birth)>,
}

#[derive(Debug)]
struct Record {
    value: Box<[u8]>,
    deadline: Option<Millis>,
    seq: Seq,
    birth: Birth,
    kind: Kind,
}

impl Record {
    fn is_live(&self, now: Millis) -> bool {
        self.deadline.is_none_or(|deadline| now < deadline)
    }

    fn view(&self) -> EntryRef<'_> {
        EntryRef {
            value: Cow::Borrowed(&self.value),
            deadline: self.deadline,
            seq: self.seq,
            kind: self.kind,
        }
    }
}

impl Entries {
    fn live(&self, now: Millis, key: &[u8]) -> Option<&Record> {
        self.records.get(key).filter(|record| record.is_live(now))
    }

    /// Removes an entry from all three views; whether it was live.
    fn remove(&mut self, now: Millis, key: &[u8]) -> bool {
        let Some(record) = self.records.remove(key) else {
            return false;
        };
        self.ages.remove(&record.birth);
        if let Some(deadline) = record.deadline {
            self.deadlines.remove(&(deadline, record.birth));
        }
        record.is_live(now)
    }

    /// Moves an existing entry's deadline.
    fn set_deadline(&mut self, key: &[u8], deadline: Option<Millis>) {
        let Some(record) = self.records.get_mut(key) else {
            return;
        };
        let old = mem::replace(&mut record.deadline, deadline);
        if let Some(old) = old {
            self.deadlines.remove(&(old, record.birth));
        }
        if let Some(new) = deadline {
            self.deadlines.insert((new, record.birth));
        }
    }

    /// Removes up to `most` entries whose deadline has passed; how many.
    fn sweep(&mut self, now: Millis, most: usize) -> usize {
        let mut swept = 0;
        while swept < most {
            let Some(&(deadline, birth)) = self.deadlines.first() else {
                break;
            };
            if now < deadline {
                break;
            }
            self.deadlines.pop_first();
            let key = self.ages.remove(&birth);
            self.records
                .remove(&key.expect("every deadline has a birth"));
            swept += 1;
        }
        swept
    }

    /// Frees up to `most` entries, live or not; how many.
    fn free(&mut self, most: usize) -> usize {
        let mut freed = 0;
        while freed < most {
            let Some((_, key)) = self.ages.pop_last() else {
                break;
            };
            self.records.remove(&key);
            self.deadlines.pop_last();
            freed += 1;
        }
        freed
    }
}

impl ModelBackend {
    /// An empty store.
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Panics unless the three views agree.
    pub(super) fn check_invariants(&self) {
        let entries = &self.entries;
        assert_eq!(entries.records.len(), entries.ages.len());
        for (birth, key) in &entries.ages {
            assert_eq!(entries.records[key].birth, *birth);
            assert!(*birth <= self.births);
        }
        let deadlines: BTreeSet<_> = entries
            .records
            .values()
            .filter_map(|record| Some((record.deadline?, record.birth)))
            .collect();
        assert_eq!(deadlines, entries.deadlines);
        assert!(
            entries
                .records
                .values()
                .all(|record| record.seq.0 <= self.seq)
        );
    }
}

impl Backend for ModelBackend {
    fn capabilities(&self) -> Capabilities {
        Capabilities::ALL
            .with(Capabilities::LENGTH)
            .with(Capabilities::CLEAR)
            .with(Capabilities::COMPARE_AND_SET)
            .with(Capabilities::KINDS)
    }

    fn get(&mut self, now: Millis, key: &[u8]) -> Result<Option<EntryRef<'_>>, BackendError> {
        Ok(self.entries.live(now, key).map(Record::view))
    }

    fn set(
        &mut self,
        now: Millis,
        key: &[u8],
        value: &[u8],
        deadline: Deadline,
        condition: Condition,
    ) -> Result<SetOutcome, BackendError> {
        self.set_kind(now, key, (Kind::Bytes, value), deadline, condition)
    }

    fn set_kind(
        &mut self,
        now: Millis,
        key: &[u8],
        (kind, value): (Kind, &[u8]),
        deadline: Deadline,
        condition: Condition,
    ) -> Result<SetOutcome, BackendError> {
        let live = self.entries.live(now, key);
        let found = live.map(|record| record.seq);
        let holds = match condition {
            Condition::Always => true,
            Condition::IfAbsent => found.is_none(),
            Condition::IfPresent => found.is_some(),
            Condition::IfSeq(seq) => found == Some(seq),
        };
        if !holds {
            return Ok(SetOutcome::Conflict(found));
        }
        let deadline = match deadline {
            Deadline::Never => None,
            Deadline::At(at) => Some(at),
            Deadline::Keep => live.and_then(|record| record.deadline),
        };
        self.seq += 1;
        let seq = Seq(self.seq);
        if deadline.is_some_and(|deadline| deadline <= now) {
            self.entries.remove(now, key);
            return Ok(SetOutcome::Stored(seq));
        }
        if found.is_none() {
            // What is left of an expired entry must not lend its birth to the new one: a walk
            // that has passed it would miss nothing, but one before it would meet a new entry.
            self.entries.remove(now, key);
            self.births += 1;
            let key: Arc<[u8]> = key.into();
            self.entries.ages.insert(self.births, Arc::clone(&key));
            let record = Record {
                value: Box::default(),
                deadline: None,
                seq,
                birth: self.births,
                kind,
            };
            self.entries.records.insert(key, record);
        }
        if let Some(record) = self.entries.records.get_mut(key) {
            record.value = value.into();
            record.seq = seq;
            record.kind = kind;
        }
        self.entries.set_deadline(key, deadline);
        Ok(SetOutcome::Stored(seq))
    }

    fn touch(&mut self, now: Millis, key: &[u8], deadline: Deadline) -> Result<bool, BackendError> {
        if self.entries.live(now, key).is_none() {
            return Ok(false);
        }
        match deadline {
            Deadline::Keep => {}
            Deadline::Never => self.entries.set_deadline(key, None),
            Deadline::At(at) if at <= now => {
                self.entries.remove(now, key);
            }
            Deadline::At(at) => self.entries.set_deadline(key, Some(at)),
        }
        Ok(true)
    }

    fn destroy(&mut self, now: Millis, key: &[u8]) -> Result<bool, BackendError> {
        Ok(self.entries.remove(now, key))
    }

    fn all(
        &mut self,
        now: Millis,
        cursor: Cursor,
        visit: &mut Visitor<'_>,
    ) -> Result<Option<Cursor>, BackendError> {
        let below = match cursor.0 {
            0 => self.births + 1,
            birth => birth,
        };
        for (looked_at, (birth, key)) in self.entries.ages.range(..below).rev().enumerate() {
            // Entries past their deadline are not shown, but looking at them takes time too.
            if looked_at == UPKEEP_STEP * 4 {
                return Ok(Some(Cursor(birth + 1)));
            }
            let record = &self.entries.records[key];
            if record.is_live(now) && visit(key, record.view()) == Walk::Pause {
                return Ok((*birth > 1).then_some(Cursor(*birth)));
            }
        }
        Ok(None)
    }

    fn length(&mut self, now: Millis) -> Result<u64, BackendError> {
        let expired = self
            .entries
            .deadlines
            .iter()
            .take_while(|(deadline, _)| *deadline <= now)
            .count();
        Ok((self.entries.records.len() - expired) as u64)
    }

    fn clear(&mut self, _now: Millis) -> Result<(), BackendError> {
        self.cleared.push(mem::take(&mut self.entries));
        Ok(())
    }

    fn upkeep(&mut self, now: Millis) -> Upkeep {
        let swept = self.entries.sweep(now, UPKEEP_STEP);
        if let Some(cleared) = self.cleared.last_mut() {
            if cleared.free(UPKEEP_STEP - swept) == 0 && swept < UPKEEP_STEP {
                self.cleared.pop();
            }
        }
        if swept == UPKEEP_STEP || !self.cleared.is_empty() {
            return Upkeep::More;
        }
        match self.entries.deadlines.first() {
            Some((deadline, _)) => Upkeep::Until(*deadline),
            None => Upkeep::Idle,
        }
    }
}
