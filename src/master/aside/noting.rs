//! A backend that notes what a request had it do.
//!
//! The engine looks at it after each request, and knows by it whose replies a failed commit takes
//! back: of those who wrote, and of those who may have read what was written. It need not know any
//! dialect's commands for that.

use std::sync::Arc;
use std::time::Duration;

use super::sweeps::Outcome;
use crate::backend::{
    Backend, BackendError, Cursor, Deadline, EntryRef, Expiring, FastPath, Looked, MemoryUse,
    Pipelined, SetOutcome, Sweep, Swept, Teller, Upkeep, Visitor,
};
use crate::contract::{Capabilities, Condition, Kind, Seq};
use crate::time::Millis;

/// What was done, the most telling of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum Seen {
    #[default]
    Nothing,
    /// Entries were looked at.
    Read,
    /// Entries were changed, or may have been.
    Written,
}

/// Of which entries it was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Touched {
    /// Of none that matters.
    Nothing,
    /// Of the one with this key.
    Key(Vec<u8>),
    /// Of those with these keys.
    Keys(Vec<Vec<u8>>),
    /// Of any.
    Any,
}

impl Touched {
    fn add(&mut self, key: &[u8]) {
        match self {
            Self::Nothing => *self = Self::Key(key.to_vec()),
            Self::Key(first) => *self = Self::Keys(vec![std::mem::take(first), key.to_vec()]),
            Self::Keys(keys) => keys.push(key.to_vec()),
            Self::Any => {}
        }
    }

    /// Whether this is so of each of them; of any it is not.
    pub(super) fn all(&self, is_so: impl Fn(&[u8]) -> bool) -> bool {
        match self {
            Self::Nothing => true,
            Self::Key(key) => is_so(key),
            Self::Keys(keys) => keys.iter().all(|key| is_so(key)),
            Self::Any => false,
        }
    }
}

pub(super) struct Noting<'b> {
    inner: &'b mut dyn Backend,
    pub(super) seen: Seen,
    pub(super) touched: Touched,
    /// What came of a sweep that was done for the request.
    swept: Option<Outcome>,
    /// What is read may have been written before, and not be there in the end.
    is_doubtful: bool,
}

impl<'b> Noting<'b> {
    pub(super) fn new(
        inner: &'b mut dyn Backend,
        is_doubtful: bool,
        swept: Option<Outcome>,
    ) -> Self {
        Self {
            // Only of these a commit may be done in part.
            touched: if inner.is_shared() {
                Touched::Nothing
            } else {
                Touched::Any
            },
            inner,
            seen: Seen::Nothing,
            swept,
            is_doubtful,
        }
    }

    fn note(&mut self, seen: Seen) {
        self.seen = self.seen.max(seen);
    }

    fn key(&mut self, key: &[u8]) {
        self.touched.add(key);
    }

    /// Notes that an entry is looked at.
    fn read(&mut self, key: &[u8]) {
        self.note(Seen::Read);
        if self.is_doubtful || self.seen == Seen::Written {
            self.key(key);
        }
    }

    /// Notes what concerns more than single entries.
    fn whole(&mut self, seen: Seen) {
        self.note(seen);
        self.touched = Touched::Any;
    }

    /// Notes what a `set` came to.
    fn stored(&mut self, done: &Result<SetOutcome, BackendError>) {
        self.note(match done {
            Ok(SetOutcome::Stored(_)) => Seen::Written,
            Ok(SetOutcome::Conflict(_)) | Err(_) => Seen::Read,
        });
    }

    /// Notes what became of an entry that was to be changed if it is there.
    fn changed(&mut self, done: &Result<bool, BackendError>) {
        self.note(match done {
            Ok(true) => Seen::Written,
            Ok(false) | Err(_) => Seen::Read,
        });
    }
}

#[deny(clippy::missing_trait_methods)]
impl Backend for Noting<'_> {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn is_shared(&self) -> bool {
        self.inner.is_shared()
    }

    fn fast_path(&self) -> Option<Arc<dyn FastPath>> {
        self.inner.fast_path()
    }

    fn pipelined(&mut self) -> Option<&mut dyn Pipelined> {
        self.inner.pipelined()
    }

    fn expiring(&mut self, now: Millis) -> Option<Expiring> {
        self.inner.expiring(now)
    }

    fn blocks(&self) -> bool {
        self.inner.blocks()
    }

    fn get(&mut self, now: Millis, key: &[u8]) -> Result<Option<EntryRef<'_>>, BackendError> {
        self.read(key);
        self.inner.get(now, key)
    }

    fn value(&mut self, now: Millis, key: &[u8]) -> Result<Option<Looked<'_>>, BackendError> {
        self.read(key);
        self.inner.value(now, key)
    }

    fn set(
        &mut self,
        now: Millis,
        key: &[u8],
        value: &[u8],
        deadline: Deadline,
        condition: Condition,
    ) -> Result<SetOutcome, BackendError> {
        self.key(key);
        let done = self.inner.set(now, key, value, deadline, condition);
        self.stored(&done);
        done
    }

    fn set_kind(
        &mut self,
        now: Millis,
        key: &[u8],
        value: (Kind, &[u8]),
        deadline: Deadline,
        condition: Condition,
    ) -> Result<SetOutcome, BackendError> {
        self.key(key);
        let done = self.inner.set_kind(now, key, value, deadline, condition);
        self.stored(&done);
        done
    }

    fn database(&mut self, number: u8) -> Option<&mut dyn Backend> {
        // What is done to it is not seen from here.
        self.whole(Seen::Written);
        self.inner.database(number)
    }

    fn has_database(&self, number: u8) -> bool {
        self.inner.has_database(number)
    }

    fn touch(&mut self, now: Millis, key: &[u8], to: Deadline) -> Result<bool, BackendError> {
        self.key(key);
        let done = self.inner.touch(now, key, to);
        self.changed(&done);
        done
    }

    fn destroy(&mut self, now: Millis, key: &[u8]) -> Result<bool, BackendError> {
        self.key(key);
        let done = self.inner.destroy(now, key);
        self.changed(&done);
        done
    }

    fn destroy_if(&mut self, now: Millis, key: &[u8], seq: Seq) -> Result<bool, BackendError> {
        self.key(key);
        let done = self.inner.destroy_if(now, key, seq);
        self.changed(&done);
        done
    }

    fn is_buried(&mut self, now: Millis, key: &[u8]) -> bool {
        self.read(key);
        self.inner.is_buried(now, key)
    }

    fn bury(&mut self, now: Millis, key: &[u8], lasting: Duration) -> Result<bool, BackendError> {
        self.key(key);
        let done = self.inner.bury(now, key, lasting);
        self.changed(&done);
        done
    }

    fn regenerate(
        &mut self,
        now: Millis,
        from: &[u8],
        to: &[u8],
        grace: Duration,
    ) -> Result<Option<SetOutcome>, BackendError> {
        self.key(from);
        self.key(to);
        let done = self.inner.regenerate(now, from, to, grace);
        self.note(match done {
            Ok(Some(SetOutcome::Stored(_))) => Seen::Written,
            _ => Seen::Read,
        });
        done
    }

    fn all(
        &mut self,
        now: Millis,
        cursor: Cursor,
        visit: &mut Visitor<'_>,
    ) -> Result<Option<Cursor>, BackendError> {
        self.whole(Seen::Read);
        self.inner.all(now, cursor, visit)
    }

    fn length(&mut self, now: Millis) -> Result<u64, BackendError> {
        self.whole(Seen::Read);
        match self.swept.take() {
            Some((Sweep::Count, count)) => count,
            _ => self.inner.length(now),
        }
    }

    fn clear(&mut self, now: Millis) -> Result<(), BackendError> {
        self.whole(Seen::Written);
        match self.swept.take() {
            Some((Sweep::Clear, cleared)) => cleared.map(|_| ()),
            _ => self.inner.clear(now),
        }
    }

    fn sweep(&mut self, now: Millis, what: Sweep, at: Cursor) -> Result<Swept, BackendError> {
        self.whole(Seen::Written);
        self.inner.sweep(now, what, at)
    }

    fn memory_use(&self) -> Option<MemoryUse> {
        self.inner.memory_use()
    }

    fn upkeep(&mut self, now: Millis) -> Upkeep {
        self.inner.upkeep(now)
    }

    fn gone(&mut self, tell: Option<&mut Teller<'_>>) {
        self.inner.gone(tell);
    }

    fn commit(&mut self) -> Result<(), BackendError> {
        self.inner.commit()
    }

    fn is_done(&self, key: &[u8]) -> bool {
        self.inner.is_done(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::forwarding::assert_forwards;

    #[test]
    fn every_call_reaches_the_backend_below() {
        assert_forwards(
            &|mut below, call| call(&mut Noting::new(&mut below, true, None)),
            &[],
        );
    }
}
