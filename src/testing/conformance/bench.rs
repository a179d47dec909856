//! A backend under test and the time that it is told: what rules ask of it, and fail by.

use std::borrow::Cow;

use super::time::Time;
use crate::backend::{Backend, BackendError, Cursor, Deadline, EntryRef, SetOutcome, Upkeep, Walk};
use crate::contract::{Capabilities, Condition, Kind, Seq};
use crate::time::Millis;

/// After so many steps something goes on for ever.
const ENOUGH: usize = 1_000_000;

/// An entry, owned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) value: Vec<u8>,
    pub(super) deadline: Option<Millis>,
    pub(super) seq: Seq,
    pub(super) kind: Kind,
}

impl From<EntryRef<'_>> for Found {
    fn from(entry: EntryRef<'_>) -> Self {
        Self {
            value: entry.value.into_owned(),
            deadline: entry.deadline,
            seq: entry.seq,
            kind: entry.kind,
        }
    }
}

/// A key or a value for people: text where it is one, and not too much of it.
pub(super) fn shown(bytes: &[u8]) -> Cow<'static, str> {
    match bytes.len() {
        0..=60 => bytes.escape_ascii().to_string().into(),
        len => format!("{}… ({len} bytes)", bytes[..40].escape_ascii()).into(),
    }
}

pub(super) struct Bench {
    pub(super) store: Box<dyn Backend>,
    pub(super) time: Time,
    manners: Manners,
}

/// How a backend is treated, and what it is like.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manners {
    /// Whether each write is committed by itself.
    pub(super) commits_each: bool,
    /// Whether versions are numbers that grow.
    pub(super) has_numbers: bool,
}

impl Bench {
    pub(super) fn new(store: Box<dyn Backend>, time: Time, manners: Manners) -> Self {
        Self {
            store,
            time,
            manners,
        }
    }

    /// Whether versions are numbers, each greater than those before.
    pub(super) fn has_numbers(&self) -> bool {
        self.has(Capabilities::COMPARE_AND_SET) && self.manners.has_numbers
    }

    /// The time that the backend is told.
    pub(super) fn now(&self) -> Millis {
        self.time.now()
    }

    pub(super) fn has(&self, capability: Capabilities) -> bool {
        self.store.capabilities().has(capability)
    }

    /// Lets time pass.
    pub(super) fn later(&mut self, ms: u64) {
        if self.time.is_due_within(ms) {
            self.commit();
        }
        self.time.pass(ms);
    }

    /// So many milliseconds from now.
    pub(super) fn after(&mut self, ms: u64) -> Deadline {
        Deadline::At(self.at(ms))
    }

    /// The time so many milliseconds from now.
    pub(super) fn at(&mut self, ms: u64) -> Millis {
        self.time.deadline(ms)
    }

    /// A write was done by a backend that was told this time.
    fn written(&mut self, told: Millis, key: &[u8], deadline: Deadline) {
        let at = match deadline {
            Deadline::At(at) => Some(at),
            Deadline::Never | Deadline::Keep => None,
        };
        self.time.written(told, key, at);
        if self.manners.commits_each {
            self.commit();
        }
    }

    pub(super) fn get(&mut self, key: &[u8]) -> Option<Found> {
        let now = self.now();
        let found = self.store.get(now, key);
        let found = found.unwrap_or_else(|error| panic!("get {}: {error}", shown(key)));
        let mut found = found.map(Found::from);
        let read = found.as_ref().and_then(|found| found.deadline);
        let meant = self.time.meant(now, key, read);
        if let Some(found) = &mut found {
            found.deadline = meant;
        }
        self.time.check(now);
        found
    }

    pub(super) fn try_set(
        &mut self,
        key: &[u8],
        value: &[u8],
        deadline: Deadline,
        condition: Condition,
    ) -> Result<SetOutcome, BackendError> {
        let now = self.now();
        let done = self.store.set(now, key, value, deadline, condition);
        if matches!(done, Ok(SetOutcome::Stored(_))) {
            self.written(now, key, deadline);
        }
        self.time.check(now);
        done
    }

    pub(super) fn set_kind(
        &mut self,
        key: &[u8],
        value: (Kind, &[u8]),
        deadline: Deadline,
        condition: Condition,
    ) -> Result<SetOutcome, BackendError> {
        let now = self.now();
        let done = self.store.set_kind(now, key, value, deadline, condition);
        if matches!(done, Ok(SetOutcome::Stored(_))) {
            self.written(now, key, deadline);
        }
        self.time.check(now);
        done
    }

    pub(super) fn set(
        &mut self,
        key: &[u8],
        value: &[u8],
        deadline: Deadline,
        condition: Condition,
    ) -> SetOutcome {
        let done = self.try_set(key, value, deadline, condition);
        done.unwrap_or_else(|error| {
            panic!("set {} to {}: {error}", shown(key), shown(value));
        })
    }

    /// Writes whatever is there.
    pub(super) fn put(&mut self, key: &[u8], value: &[u8], deadline: Deadline) -> Seq {
        match self.set(key, value, deadline, Condition::Always) {
            SetOutcome::Stored(seq) => seq,
            SetOutcome::Conflict(found) => {
                panic!("an unconditional write of {} found {found:?}", shown(key));
            }
        }
    }

    pub(super) fn touch(&mut self, key: &[u8], deadline: Deadline) -> bool {
        let now = self.now();
        let done = self.store.touch(now, key, deadline);
        let done = done.unwrap_or_else(|error| panic!("touch {}: {error}", shown(key)));
        if done {
            self.written(now, key, deadline);
        }
        self.time.check(now);
        done
    }

    pub(super) fn destroy(&mut self, key: &[u8]) -> bool {
        let now = self.now();
        let done = self.store.destroy(now, key);
        let done = done.unwrap_or_else(|error| panic!("destroy {}: {error}", shown(key)));
        self.written(now, key, Deadline::Keep);
        self.time.check(now);
        done
    }

    pub(super) fn length(&mut self) -> u64 {
        let now = self.now();
        let length = self.store.length(now).expect("length");
        self.time.check(now);
        length
    }

    pub(super) fn clear(&mut self) {
        let now = self.now();
        self.store.clear(now).expect("clear");
        self.written(now, b"", Deadline::Keep);
        self.time.check(now);
    }

    /// One step of a walk that pauses after so many entries.
    pub(super) fn page(
        &mut self,
        cursor: Cursor,
        most: usize,
    ) -> (Vec<(Vec<u8>, Found)>, Option<Cursor>) {
        let (mut entries, now) = (Vec::new(), self.now());
        let next = self.store.all(now, cursor, &mut |key, entry| {
            assert!(entries.len() < most, "an entry is visited after a pause");
            entries.push((key.to_vec(), Found::from(entry)));
            if entries.len() == most {
                Walk::Pause
            } else {
                Walk::On
            }
        });
        let next = next.expect("all");
        assert!(
            next != Some(Cursor(0)),
            "a walk must not go on at its start"
        );
        for (key, found) in &mut entries {
            found.deadline = self.time.meant(now, key, found.deadline);
        }
        self.time.check(now);
        (entries, next)
    }

    /// A whole walk in such steps, from the place that is given.
    pub(super) fn walk_from(&mut self, start: Cursor, most: usize) -> Vec<(Vec<u8>, Found)> {
        let (mut entries, mut next) = (Vec::new(), Some(start));
        for _ in 0..ENOUGH {
            let Some(cursor) = next else { return entries };
            let (page, then) = self.page(cursor, most);
            entries.extend(page);
            next = then;
        }
        panic!("a walk does not end");
    }

    /// The keys that a walk meets, sorted.
    pub(super) fn keys(&mut self) -> Vec<Vec<u8>> {
        let entries = self.walk_from(Cursor::default(), 7);
        let mut keys: Vec<_> = entries.into_iter().map(|(key, _)| key).collect();
        keys.sort();
        keys
    }

    /// Upkeep until nothing is due.
    pub(super) fn keep_up(&mut self) {
        for _ in 0..ENOUGH {
            let now = self.now();
            match self.store.upkeep(now) {
                Upkeep::More => {}
                Upkeep::Until(then) => {
                    assert!(then > now, "upkeep that was due is left");
                    return;
                }
                Upkeep::Idle => return,
            }
        }
        panic!("upkeep does not end");
    }

    pub(super) fn commit(&mut self) {
        self.store.commit().expect("commit");
        self.time.committed();
    }

    /// Commits what was written, and ends the backend. Its time goes on.
    pub(super) fn end(mut self) -> (Time, Manners) {
        self.commit();
        (self.time, self.manners)
    }
}
