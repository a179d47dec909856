//! The memory backend: the rules of the [`Backend`] contract over the engine in `store`.
//!
//! Conditions and what a deadline in the past means are decided here; where and how
//! entries are kept is the engine's.

use std::borrow::Cow;
use std::ops::ControlFlow;

use super::{
    Backend, BackendError, Cursor, Deadline, EntryRef, MemoryUse, SetOutcome, Upkeep, Visitor,
    Walk, WhenFull,
};
use crate::config::ByteSize;
use crate::contract::{Capabilities, Condition};
use crate::store::{Engine, HashKey, HeapPages, Left};
use crate::time::Millis;

/// Keeps entries in the memory of this process. They end with it.
///
/// ```
/// use memstore_cluster::backend::{Backend, MemoryBackend};
/// use memstore_cluster::time::Millis;
///
/// let mut store = MemoryBackend::new().max_memory(Some(64 << 20));
/// assert_eq!(store.length(Millis::ZERO)?, 0);
/// # Ok::<(), memstore_cluster::backend::BackendError>(())
/// ```
#[derive(Debug)]
pub struct MemoryBackend {
    engine: Engine<HeapPages>,
}

impl MemoryBackend {
    /// An empty store without a bound.
    ///
    /// # Panics
    /// If the system has no random bytes.
    pub fn new() -> Self {
        let mut key = [0; 16];
        getrandom::fill(&mut key).expect("the system has random bytes");
        Self::with_key(HashKey(key))
    }

    pub(super) fn with_key(key: HashKey) -> Self {
        let engine = Engine::create(HeapPages::default(), key);
        Self {
            engine: engine.expect("the heap does not fail"),
        }
    }

    /// Bounds everything that grows with the data, in bytes; `None` does not. What happens at the
    /// bound is up to [`when_full`](Self::when_full). An empty store already takes some 400 KiB;
    /// while an entry of more than 256 KiB is written anew at the bound, old and new one exist for
    /// a moment, and only one of them counts.
    #[must_use]
    pub fn max_memory(mut self, bytes: Option<u64>) -> Self {
        self.engine.set_bound(bytes.unwrap_or(u64::MAX));
        self
    }

    /// What happens to writes at the bound. By default they are refused with
    /// [`BackendError::OutOfMemory`]; reads and removals go on, and what is written anew in about
    /// the same size has room. Otherwise entries that were not used lately are evicted.
    #[must_use]
    pub fn when_full(mut self, when: WhenFull) -> Self {
        self.engine.set_when_full(when);
        self
    }

    /// Bytes it takes now, of what `max_memory` bounds.
    pub fn memory(&self) -> u64 {
        self.engine.memory()
    }

    fn memory_bound(&self) -> Option<u64> {
        Some(self.engine.bound()).filter(|bound| *bound < u64::MAX)
    }

    /// Panics unless all parts of the engine agree.
    #[cfg(test)]
    pub(super) fn check_invariants(&self) {
        self.engine.check_invariants();
    }

    /// Panics if compaction has something to do.
    #[cfg(test)]
    pub(super) fn check_compact(&self) {
        self.engine.check_compact();
    }
}

impl Default for MemoryBackend {
    fn default() -> Self {
        Self::new()
    }
}

impl Backend for MemoryBackend {
    fn capabilities(&self) -> Capabilities {
        Capabilities::ALL
            .with(Capabilities::LENGTH)
            .with(Capabilities::CLEAR)
            .with(Capabilities::COMPARE_AND_SET)
    }

    fn get(&mut self, now: Millis, key: &[u8]) -> Result<Option<EntryRef<'_>>, BackendError> {
        self.engine.advance(now);
        Ok(self.engine.get(key).map(|found| EntryRef {
            value: Cow::Borrowed(found.value),
            deadline: found.deadline,
            seq: found.seq,
        }))
    }

    fn set(
        &mut self,
        now: Millis,
        key: &[u8],
        value: &[u8],
        deadline: Deadline,
        condition: Condition,
    ) -> Result<SetOutcome, BackendError> {
        let now = self.engine.advance(now);
        let place = self.engine.locate(key);
        let found = place.live.map(|(seq, _)| seq);
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
            Deadline::Keep => place.live.and_then(|(_, deadline)| deadline),
        };
        let seq = self.engine.number();
        if deadline.is_some_and(|deadline| deadline <= now) {
            self.engine.remove(place);
        } else {
            let done = self.engine.put(place, key, value, deadline, seq);
            let bound = self.memory_bound().map(ByteSize);
            done.map_err(|_| BackendError::OutOfMemory { bound })?;
        }
        Ok(SetOutcome::Stored(seq))
    }

    fn touch(&mut self, now: Millis, key: &[u8], deadline: Deadline) -> Result<bool, BackendError> {
        let now = self.engine.advance(now);
        let place = self.engine.locate(key);
        if place.live.is_none() {
            return Ok(false);
        }
        match deadline {
            Deadline::Keep => {}
            Deadline::Never => self.engine.touch(place, None),
            Deadline::At(at) if at <= now => self.engine.remove(place),
            Deadline::At(at) => self.engine.touch(place, Some(at)),
        }
        Ok(true)
    }

    fn destroy(&mut self, now: Millis, key: &[u8]) -> Result<bool, BackendError> {
        self.engine.advance(now);
        let place = self.engine.locate(key);
        self.engine.remove(place);
        Ok(place.live.is_some())
    }

    fn all(
        &mut self,
        now: Millis,
        cursor: Cursor,
        visit: &mut Visitor<'_>,
    ) -> Result<Option<Cursor>, BackendError> {
        self.engine.advance(now);
        let next = self.engine.walk(cursor.0, |found| {
            let entry = EntryRef {
                value: Cow::Borrowed(found.value),
                deadline: found.deadline,
                seq: found.seq,
            };
            match visit(found.key, entry) {
                Walk::On => ControlFlow::Continue(()),
                Walk::Pause => ControlFlow::Break(()),
            }
        });
        Ok(next.map(Cursor))
    }

    fn length(&mut self, now: Millis) -> Result<u64, BackendError> {
        self.engine.advance(now);
        Ok(self.engine.length())
    }

    fn clear(&mut self, now: Millis) -> Result<(), BackendError> {
        self.engine.advance(now);
        self.engine.clear();
        Ok(())
    }

    fn memory_use(&self) -> Option<MemoryUse> {
        Some(MemoryUse {
            bytes: self.memory(),
            bound: self.memory_bound(),
            evicted: self.engine.evicted(),
        })
    }

    fn upkeep(&mut self, now: Millis) -> Upkeep {
        self.engine.advance(now);
        match self.engine.upkeep() {
            Left::More => Upkeep::More,
            Left::Until(at) => Upkeep::Until(at),
            Left::Nothing => Upkeep::Idle,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = Millis::from_unix(1_000);

    #[test]
    fn at_the_bound_writes_are_refused_and_everything_else_goes_on() {
        let bound = 4 << 20;
        let mut store = MemoryBackend::new().max_memory(Some(bound));
        let set = |store: &mut MemoryBackend, n: u32, ttl| {
            let deadline = Deadline::At(NOW.after_ms(ttl));
            store.set(
                NOW,
                &n.to_le_bytes(),
                &[7; 200],
                deadline,
                Condition::Always,
            )
        };
        let stored = (0..100_000)
            .take_while(|n| set(&mut store, *n, 50).is_ok())
            .count();
        assert!(stored > 10_000 && store.memory() <= bound, "{stored}");
        assert_eq!(store.length(NOW).unwrap(), stored as u64);
        assert!(store.get(NOW, &1u32.to_le_bytes()).unwrap().is_some());
        let refused = store.set(
            NOW,
            b"large",
            &[7; 5_000],
            Deadline::Never,
            Condition::Always,
        );
        assert!(matches!(refused, Err(BackendError::OutOfMemory { .. })));

        assert!(store.destroy(NOW, &1u32.to_le_bytes()).unwrap());
        assert!(set(&mut store, 2, 50).is_ok(), "its slot is free again");
        for n in 2..u32::try_from(stored).unwrap() {
            assert!(
                set(&mut store, n, 50).is_ok(),
                "it is written anew in its class"
            );
        }
        // What has expired makes room without upkeep, also for another size, if in several tries.
        let later = NOW.after_ms(50);
        let mut large = || {
            store.set(
                later,
                b"large",
                &[7; 5_000],
                Deadline::Never,
                Condition::Always,
            )
        };
        assert!((0..100).any(|_| large().is_ok()));
        store.check_invariants();
    }
}
