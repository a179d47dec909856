//! Sixteen memory backends in one, for the dialect that has databases.
//!
//! The one with number 0 is the store that every dialect sees; the others are made when they are
//! first asked for, of the same kind. They share the bound on memory: each may take what the
//! others leave.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{
    Backend, BackendError, Cursor, Deadline, EntryRef, Expiring, FastPath, Looked, MemoryBackend,
    MemoryUse, Pipelined, SetOutcome, Sweep, Swept, Teller, Upkeep, Visitor,
};
use crate::config::Memory;
use crate::contract::{Capabilities, Condition, Kind, Seq};
use crate::error::Error;
use crate::time::Millis;

/// How many there are.
pub(crate) const COUNT: u8 = 16;

/// Makes the database with a number, or says that it does not exist.
type Make = dyn Fn(u8, Existing) -> Result<Option<MemoryBackend>, Error> + Send;

/// Whether a database is wanted in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Existing {
    /// Only what a file has already.
    Only,
    /// Otherwise an empty one.
    OrNew,
}

/// All databases of a master.
pub(crate) struct Databases {
    first: MemoryBackend,
    /// Those from 1 on.
    others: [Option<Box<MemoryBackend>>; COUNT as usize - 1],
    /// How many of these places have to be looked at: up to the last that is taken.
    taken: usize,
    make: Box<Make>,
    memory: Memory,
}

impl Databases {
    /// Opens the first, and those that exist already.
    ///
    /// # Errors
    /// What `make` returns.
    pub(crate) fn open(
        memory: Memory,
        make: impl Fn(u8, Existing) -> Result<Option<MemoryBackend>, Error> + Send + 'static,
    ) -> Result<Self, Error> {
        let first = make(0, Existing::OrNew)?;
        let mut databases = Self {
            first: bounded(first.expect("an empty one at the least"), memory),
            others: Default::default(),
            taken: 0,
            make: Box::new(make),
            memory,
        };
        for number in 1..COUNT {
            if let Some(made) = (databases.make)(number, Existing::Only)? {
                databases.put(number, made);
            }
        }
        Ok(databases)
    }

    fn put(&mut self, number: u8, made: MemoryBackend) {
        let place = &mut self.others[usize::from(number) - 1];
        *place = Some(Box::new(bounded(made, self.memory)));
        self.taken = self.taken.max(number.into());
    }

    fn has_others(&self) -> bool {
        self.taken > 0
    }

    fn each(&self) -> impl Iterator<Item = &MemoryBackend> {
        let others = self.others[..self.taken].iter().flatten();
        std::iter::once(&self.first).chain(others.map(|one| &**one))
    }

    fn each_mut(&mut self) -> impl Iterator<Item = &mut MemoryBackend> {
        self.all_mut().flatten()
    }

    /// In the order of their numbers.
    fn all_mut(&mut self) -> impl Iterator<Item = Option<&mut MemoryBackend>> {
        let others = &mut self.others[..self.taken];
        let others = others.iter_mut().map(Option::as_deref_mut);
        std::iter::once(Some(&mut self.first)).chain(others)
    }

    /// Lets the first take what the others leave.
    fn bound_first(&mut self) {
        if let Some(max) = self.memory.max.filter(|_| self.has_others()) {
            let taken: u64 = self.each().skip(1).map(MemoryBackend::memory).sum();
            self.first.set_max_memory(max.saturating_sub(taken));
        }
    }
}

fn bounded(backend: MemoryBackend, memory: Memory) -> MemoryBackend {
    backend.max_memory(memory.max).when_full(memory.when_full)
}

#[deny(clippy::missing_trait_methods)]
impl Backend for Databases {
    fn capabilities(&self) -> Capabilities {
        self.first.capabilities().with(Capabilities::DATABASES)
    }

    fn is_shared(&self) -> bool {
        self.first.is_shared()
    }

    fn blocks(&self) -> bool {
        self.first.blocks()
    }

    fn fast_path(&self) -> Option<Arc<dyn FastPath>> {
        self.first.fast_path()
    }

    fn pipelined(&mut self) -> Option<&mut dyn Pipelined> {
        self.first.pipelined()
    }

    fn get(&mut self, now: Millis, key: &[u8]) -> Result<Option<EntryRef<'_>>, BackendError> {
        self.first.get(now, key)
    }

    fn value(&mut self, now: Millis, key: &[u8]) -> Result<Option<Looked<'_>>, BackendError> {
        self.first.value(now, key)
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
        value: (Kind, &[u8]),
        deadline: Deadline,
        condition: Condition,
    ) -> Result<SetOutcome, BackendError> {
        self.bound_first();
        self.first.set_kind(now, key, value, deadline, condition)
    }

    fn has_database(&self, number: u8) -> bool {
        match number.checked_sub(1) {
            None => true,
            Some(other) => self
                .others
                .get(usize::from(other))
                .is_some_and(Option::is_some),
        }
    }

    fn database(&mut self, number: u8) -> Option<&mut dyn Backend> {
        if number == 0 {
            return Some(self);
        }
        if number >= COUNT {
            return None;
        }
        if !self.has_database(number) {
            match (self.make)(number, Existing::OrNew) {
                Ok(made) => self.put(number, made?),
                Err(error) => {
                    tracing::error!(number, %error, "a database cannot be made");
                    return None;
                }
            }
        }
        let max = self.memory.max.map(|max| {
            let all: u64 = self.each().map(MemoryBackend::memory).sum();
            (max, all)
        });
        let one = self.others[usize::from(number) - 1].as_deref_mut()?;
        if let Some((max, all)) = max {
            one.set_max_memory((max + one.memory()).saturating_sub(all));
        }
        Some(one)
    }

    fn touch(&mut self, now: Millis, key: &[u8], deadline: Deadline) -> Result<bool, BackendError> {
        self.first.touch(now, key, deadline)
    }

    fn destroy(&mut self, now: Millis, key: &[u8]) -> Result<bool, BackendError> {
        self.first.destroy(now, key)
    }

    fn destroy_if(&mut self, now: Millis, key: &[u8], seq: Seq) -> Result<bool, BackendError> {
        self.first.destroy_if(now, key, seq)
    }

    fn is_buried(&mut self, now: Millis, key: &[u8]) -> bool {
        self.first.is_buried(now, key)
    }

    fn bury(&mut self, now: Millis, key: &[u8], lasting: Duration) -> Result<bool, BackendError> {
        self.first.bury(now, key, lasting)
    }

    fn regenerate(
        &mut self,
        now: Millis,
        from: &[u8],
        to: &[u8],
        grace: Duration,
    ) -> Result<Option<SetOutcome>, BackendError> {
        self.first.regenerate(now, from, to, grace)
    }

    fn all(
        &mut self,
        now: Millis,
        cursor: Cursor,
        visit: &mut Visitor<'_>,
    ) -> Result<Option<Cursor>, BackendError> {
        self.first.all(now, cursor, visit)
    }

    fn length(&mut self, now: Millis) -> Result<u64, BackendError> {
        self.first.length(now)
    }

    fn expiring(&mut self, now: Millis) -> Option<Expiring> {
        self.first.expiring(now)
    }

    fn clear(&mut self, now: Millis) -> Result<(), BackendError> {
        self.first.clear(now)
    }

    fn sweep(&mut self, now: Millis, what: Sweep, at: Cursor) -> Result<Swept, BackendError> {
        self.first.sweep(now, what, at)
    }

    fn memory_use(&self) -> Option<MemoryUse> {
        let uses = self.each().filter_map(Backend::memory_use);
        let sum = uses.fold(MemoryUse::default(), |sum, one| MemoryUse {
            bytes: sum.bytes + one.bytes,
            bound: self.memory.max,
            when_full: self.memory.when_full,
            evicted: sum.evicted + one.evicted,
        });
        Some(sum)
    }

    fn upkeep(&mut self, now: Millis) -> Upkeep {
        let left = self.each_mut().map(|one| one.upkeep(now));
        left.reduce(Upkeep::and).unwrap_or(Upkeep::Idle)
    }

    fn gone(&mut self, mut tell: Option<&mut Teller<'_>>) {
        for (number, one) in (0..).zip(self.all_mut()) {
            let Some(one) = one else { continue };
            match &mut tell {
                None => one.gone(None),
                Some(tell) => one.gone(Some(&mut |_, gone, key| tell(number, gone, key))),
            }
        }
    }

    fn is_done(&self, key: &[u8]) -> bool {
        self.first.is_done(key)
    }

    fn commit(&mut self) -> Result<(), BackendError> {
        self.each_mut().try_for_each(Backend::commit)
    }
}

impl fmt::Debug for Databases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let others = self.each().count() - 1;
        let mut databases = f.debug_struct("Databases");
        let databases = databases.field("first", &self.first);
        databases.field("others", &others).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::WhenFull;

    const NOW: Millis = Millis::from_unix(1_000);

    fn databases(memory: Memory) -> Databases {
        let make = |_, existing| Ok((existing == Existing::OrNew).then(MemoryBackend::new));
        Databases::open(memory, make).unwrap()
    }

    fn set(store: &mut dyn Backend, n: u32) -> Result<SetOutcome, BackendError> {
        let key = n.to_le_bytes();
        store.set(NOW, &key, &[7; 1_000], Deadline::Never, Condition::Always)
    }

    #[test]
    fn a_key_is_in_one_database_and_not_in_another() {
        let mut all = databases(Memory::default());
        assert!(all.has_database(0) && !all.has_database(3));
        set(all.database(3).unwrap(), 1).unwrap();
        assert!(all.has_database(3) && !all.has_database(4));
        assert!(all.get(NOW, &1u32.to_le_bytes()).unwrap().is_none());
        assert_eq!(all.database(3).unwrap().length(NOW).unwrap(), 1);
        assert_eq!(all.length(NOW).unwrap(), 0);
        assert!(all.database(16).is_none());
        all.clear(NOW).unwrap();
        assert_eq!(all.database(3).unwrap().length(NOW).unwrap(), 1);
    }

    #[test]
    fn they_share_one_bound() {
        let max = 8 << 20;
        let memory = Memory {
            max: Some(max),
            when_full: WhenFull::Reject,
        };
        let mut all = databases(memory);
        let fill = |store: &mut dyn Backend| {
            (0..1_000_000)
                .take_while(|n| set(store, *n).is_ok())
                .count()
        };
        let first = fill(all.database(1).unwrap());
        assert!(first > 3_000);
        assert!(set(&mut all, 1).is_err(), "nothing is left");
        all.database(1).unwrap().clear(NOW).unwrap();
        while all.upkeep(NOW) == Upkeep::More {}
        assert!(fill(&mut all) > first / 2);
        assert!(all.memory_use().unwrap().bytes <= max);
    }
}
