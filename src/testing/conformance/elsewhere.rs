//! A backend whose data is with somebody who has a clock of their own, for the tests of the suite.

use std::thread;
use std::time::Duration;

use crate::backend::{Backend, BackendError, Cursor, Deadline, EntryRef, SetOutcome, Visitor};
use crate::contract::{Capabilities, Condition};
use crate::time::{Clock, Millis, SystemClock};

/// So many milliseconds its clock is behind, which it does not know.
const BEHIND: u64 = 86_400_000;

/// Another backend, by another clock.
pub(super) struct Elsewhere<B> {
    inner: B,
    clock: SystemClock,
    way: Duration,
}

impl<B> Elsewhere<B> {
    pub(super) fn new(inner: B) -> Self {
        Self {
            inner,
            clock: SystemClock::new(),
            way: Duration::ZERO,
        }
    }

    /// So long every call takes.
    pub(super) fn taking(self, way: Duration) -> Self {
        Self { way, ..self }
    }

    /// The time there, once the call has arrived.
    fn arrive(&self) -> Millis {
        thread::sleep(self.way);
        Millis::from_unix(self.clock.now().as_unix() - BEHIND)
    }
}

/// A deadline by another clock that shows `now` when this one shows `told`.
fn moved(deadline: Deadline, told: Millis, now: Millis) -> Deadline {
    match deadline {
        Deadline::At(at) => Deadline::At(moved_at(at, told, now)),
        other => other,
    }
}

fn moved_at(at: Millis, told: Millis, now: Millis) -> Millis {
    let left = at.as_unix().saturating_sub(told.as_unix());
    now.after_ms(left)
}

impl<B: Backend> Backend for Elsewhere<B> {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn get(&mut self, told: Millis, key: &[u8]) -> Result<Option<EntryRef<'_>>, BackendError> {
        let now = self.arrive();
        let found = self.inner.get(now, key)?;
        Ok(found.map(|entry| EntryRef {
            deadline: entry.deadline.map(|at| moved_at(at, now, told)),
            ..entry
        }))
    }

    fn set(
        &mut self,
        told: Millis,
        key: &[u8],
        value: &[u8],
        deadline: Deadline,
        condition: Condition,
    ) -> Result<SetOutcome, BackendError> {
        let now = self.arrive();
        let deadline = moved(deadline, told, now);
        self.inner.set(now, key, value, deadline, condition)
    }

    fn touch(&mut self, told: Millis, key: &[u8], to: Deadline) -> Result<bool, BackendError> {
        let now = self.arrive();
        self.inner.touch(now, key, moved(to, told, now))
    }

    fn destroy(&mut self, _: Millis, key: &[u8]) -> Result<bool, BackendError> {
        let now = self.arrive();
        self.inner.destroy(now, key)
    }

    fn all(
        &mut self,
        told: Millis,
        cursor: Cursor,
        visit: &mut Visitor<'_>,
    ) -> Result<Option<Cursor>, BackendError> {
        let now = self.arrive();
        self.inner.all(now, cursor, &mut |key, mut entry| {
            entry.deadline = entry.deadline.map(|at| moved_at(at, now, told));
            visit(key, entry)
        })
    }

    fn length(&mut self, _: Millis) -> Result<u64, BackendError> {
        let now = self.arrive();
        self.inner.length(now)
    }

    fn clear(&mut self, _: Millis) -> Result<(), BackendError> {
        let now = self.arrive();
        self.inner.clear(now)
    }
}
