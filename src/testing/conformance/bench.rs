//! A backend under test and the time that it is told: what rules ask of it, and fail by.

use std::borrow::Cow;

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
    pub(super) now: Millis,
}

impl Bench {
    pub(super) fn new(store: Box<dyn Backend>, now: Millis) -> Self {
        Self { store, now }
    }

    pub(super) fn has(&self, capability: Capabilities) -> bool {
        self.store.capabilities().has(capability)
    }

    /// Lets time pass.
    pub(super) fn later(&mut self, ms: u64) {
        self.now = self.now.after_ms(ms);
    }

    /// So many milliseconds from now.
    pub(super) fn after(&self, ms: u64) -> Deadline {
        Deadline::At(self.now.after_ms(ms))
    }

    pub(super) fn get(&mut self, key: &[u8]) -> Option<Found> {
        let found = self.store.get(self.now, key);
        let found = found.unwrap_or_else(|error| panic!("get {}: {error}", shown(key)));
        found.map(Found::from)
    }

    pub(super) fn try_set(
        &mut self,
        key: &[u8],
        value: &[u8],
        deadline: Deadline,
        condition: Condition,
    ) -> Result<SetOutcome, BackendError> {
        self.store.set(self.now, key, value, deadline, condition)
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
        let done = self.store.touch(self.now, key, deadline);
        done.unwrap_or_else(|error| panic!("touch {}: {error}", shown(key)))
    }

    pub(super) fn destroy(&mut self, key: &[u8]) -> bool {
        let done = self.store.destroy(self.now, key);
        done.unwrap_or_else(|error| panic!("destroy {}: {error}", shown(key)))
    }

    pub(super) fn length(&mut self) -> u64 {
        self.store.length(self.now).expect("length")
    }

    pub(super) fn clear(&mut self) {
        self.store.clear(self.now).expect("clear");
    }

    /// One step of a walk that pauses after so many entries.
    pub(super) fn page(
        &mut self,
        cursor: Cursor,
        most: usize,
    ) -> (Vec<(Vec<u8>, Found)>, Option<Cursor>) {
        let mut entries = Vec::new();
        let next = self.store.all(self.now, cursor, &mut |key, entry| {
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
            match self.store.upkeep(self.now) {
                Upkeep::More => {}
                Upkeep::Until(then) => {
                    assert!(then > self.now, "upkeep that was due is left");
                    return;
                }
                Upkeep::Idle => return,
            }
        }
        panic!("upkeep does not end");
    }

    pub(super) fn commit(&mut self) {
        self.store.commit().expect("commit");
    }

    /// Commits what was written, and ends the backend.
    pub(super) fn end(mut self) {
        self.commit();
    }
}
