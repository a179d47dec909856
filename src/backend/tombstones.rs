//! Over any backend: what was destroyed stays so for a while, and an entry can change its key.
//!
//! A request that loaded a session before another one destroyed it still saves it at its end, and
//! so undoes the logout. Here such a write finds a conflict. It is put over the backend where that
//! is made, and every write of every dialect goes through it.
//!
//! - A [`destroy`](Backend::destroy) of a live entry whose key a rule fits, and every
//!   [`bury`](Backend::bury), leaves a tombstone. Until its time is over a write of the key finds a
//!   conflict with nothing, as [`Condition::IfPresent`] and [`Condition::IfSeq`] do anyway. Only
//!   [`Condition::IfAbsent`] is done, for it says that it creates something new, and takes the
//!   tombstone away; so does a [`clear`](Backend::clear).
//! - After a [`regenerate`](Backend::regenerate) the old key has its entry for the grace, so that
//!   requests under way go on; they may even write, but nothing makes it last longer. After the
//!   grace it has a tombstone, for the time of its rule or the grace again, whichever is longer.
//! - An entry that ends otherwise, because its time is over or is put into the past, or by being
//!   evicted, leaves none.
//!
//! Tombstones are kept in memory that is bounded (`graves`) and end with the process.

use std::sync::Arc;
use std::time::Duration;

use super::graves::{Fate, Grave, Graves};
use super::{
    Backend, BackendError, Cursor, Deadline, EntryRef, Expiring, FastPath, Looked, MemoryUse,
    Pipelined, SetOutcome, Sweep, Swept, Teller, Upkeep, Visitor,
};
use crate::config::Tombstone;
use crate::contract::{Capabilities, Condition, Kind, Seq};
use crate::time::Millis;

/// How many keys are forgotten in one step of upkeep: some ten microseconds of work.
const STEP: usize = 64;

/// A backend with tombstones.
pub(crate) struct Tombstones(View);

/// One database of it: the one that was selected last.
struct View {
    all: Box<dyn Backend>,
    /// The longest prefix first.
    rules: Vec<Tombstone>,
    graves: Graves,
    database: u8,
}

impl Tombstones {
    /// Over this backend, with these rules. Without any, only [`bury`](Backend::bury) and
    /// [`regenerate`](Backend::regenerate) leave something.
    pub(crate) fn new(backend: Box<dyn Backend>, rules: &[Tombstone]) -> Self {
        let mut rules = rules.to_vec();
        // Of two with the same prefix the later one counts.
        rules.reverse();
        rules.sort_by_key(|rule| std::cmp::Reverse(rule.prefix.len()));
        Self(View {
            all: backend,
            rules,
            graves: Graves::default(),
            database: 0,
        })
    }

    fn first(&mut self) -> &mut View {
        self.0.database = 0;
        &mut self.0
    }
}

impl View {
    fn store(&mut self) -> &mut dyn Backend {
        if self.database == 0 {
            return self.all.as_mut();
        }
        let database = self.all.database(self.database);
        database.expect("it was there when it was selected")
    }

    fn fate(&self, now: Millis, key: &[u8]) -> Fate {
        self.graves.fate(now, self.database, key)
    }

    /// For how long a destroy of this key is remembered.
    fn lasting(&self, key: &[u8]) -> Duration {
        let mut rules = self.rules.iter();
        let rule = rules.find(|rule| key.starts_with(&rule.prefix));
        rule.map_or(Duration::ZERO, |rule| rule.lasting)
    }

    /// Remembers that an entry was destroyed, at least for what is left of an earlier tombstone.
    fn remember(&mut self, now: Millis, key: &[u8], lasting: Duration) {
        let before = self.graves.until(self.database, key);
        let until = before.max(Some(now.after(lasting))).unwrap_or(now);
        if now < until {
            self.graves
                .put(self.database, key, Grave { open: now, until });
        }
    }

    fn end(&mut self, now: Millis, key: &[u8], lasting: Duration) -> Result<bool, BackendError> {
        let was_live = self.store().destroy(now, key)?;
        if was_live {
            self.remember(now, key, lasting);
        }
        Ok(was_live)
    }

    /// A deadline that does not make the entry of this key outlast `end`.
    fn ending(
        &mut self,
        now: Millis,
        key: &[u8],
        deadline: Deadline,
        end: Millis,
    ) -> Result<Deadline, BackendError> {
        Ok(match deadline {
            Deadline::At(at) => Deadline::At(at.min(end)),
            Deadline::Keep if self.store().get(now, key)?.is_some() => Deadline::Keep,
            Deadline::Keep | Deadline::Never => Deadline::At(end),
        })
    }
}

#[deny(clippy::missing_trait_methods)]
impl Backend for View {
    fn capabilities(&self) -> Capabilities {
        self.all.capabilities().with(Capabilities::TOMBSTONES)
    }

    fn expiring(&mut self, now: Millis) -> Option<Expiring> {
        self.store().expiring(now)
    }

    fn fast_path(&self) -> Option<Arc<dyn FastPath>> {
        let is_plain = self.rules.is_empty() && self.graves.is_empty();
        self.all.fast_path().filter(|_| is_plain)
    }

    fn pipelined(&mut self) -> Option<&mut dyn Pipelined> {
        self.all.pipelined()
    }

    fn blocks(&self) -> bool {
        self.all.blocks()
    }

    fn is_shared(&self) -> bool {
        self.all.is_shared()
    }

    fn get(&mut self, now: Millis, key: &[u8]) -> Result<Option<EntryRef<'_>>, BackendError> {
        self.store().get(now, key)
    }

    fn value(&mut self, now: Millis, key: &[u8]) -> Result<Option<Looked<'_>>, BackendError> {
        self.store().value(now, key)
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
        let fate = self.fate(now, key);
        let deadline = match fate {
            Fate::Free => deadline,
            Fate::Ends(end) => self.ending(now, key, deadline, end)?,
            Fate::Dead if condition == Condition::IfAbsent => deadline,
            Fate::Dead => return Ok(SetOutcome::Conflict(None)),
        };
        let outcome = self
            .store()
            .set_kind(now, key, value, deadline, condition)?;
        if fate == Fate::Dead && matches!(outcome, SetOutcome::Stored(_)) {
            self.graves.remove(self.database, key);
        }
        Ok(outcome)
    }

    /// Those of the whole, whichever of them this is.
    fn database(&mut self, number: u8) -> Option<&mut dyn Backend> {
        if number > 0 {
            self.all.database(number)?;
        }
        self.database = number;
        Some(self)
    }

    fn has_database(&self, number: u8) -> bool {
        self.all.has_database(number)
    }

    fn touch(&mut self, now: Millis, key: &[u8], deadline: Deadline) -> Result<bool, BackendError> {
        let deadline = match self.fate(now, key) {
            Fate::Ends(end) => self.ending(now, key, deadline, end)?,
            Fate::Free | Fate::Dead => deadline,
        };
        self.store().touch(now, key, deadline)
    }

    fn destroy(&mut self, now: Millis, key: &[u8]) -> Result<bool, BackendError> {
        let lasting = self.lasting(key);
        self.end(now, key, lasting)
    }

    fn destroy_if(&mut self, now: Millis, key: &[u8], seq: Seq) -> Result<bool, BackendError> {
        let was_it = self.store().destroy_if(now, key, seq)?;
        if was_it {
            let lasting = self.lasting(key);
            self.remember(now, key, lasting);
        }
        Ok(was_it)
    }

    fn is_buried(&mut self, now: Millis, key: &[u8]) -> bool {
        self.fate(now, key) == Fate::Dead
    }

    fn bury(&mut self, now: Millis, key: &[u8], lasting: Duration) -> Result<bool, BackendError> {
        self.end(now, key, lasting)
    }

    fn regenerate(
        &mut self,
        now: Millis,
        from: &[u8],
        to: &[u8],
        grace: Duration,
    ) -> Result<Option<SetOutcome>, BackendError> {
        // Another request was faster: this one would give its entry a key that lasts as long as the
        // old one, and the program two entries of one session.
        if matches!(self.fate(now, from), Fate::Ends(_)) {
            return Ok(None);
        }
        let Some(entry) = self.store().get(now, from)? else {
            return Ok(None);
        };
        let (kind, deadline, value) = (entry.kind, entry.deadline, entry.value.into_owned());
        let kept = deadline.map_or(Deadline::Never, Deadline::At);
        let outcome = self.set_kind(now, to, (kind, &value), kept, Condition::IfAbsent)?;
        if let SetOutcome::Stored(_) = outcome {
            let open = now.after(grace).min(deadline.unwrap_or(Millis::MAX));
            if let Err(error) = self.store().touch(now, from, Deadline::At(open)) {
                // It is the first error that tells what is the matter.
                let _ = self.store().touch(now, to, Deadline::At(now));
                return Err(error);
            }
            let until = open.after(grace.max(self.lasting(from)));
            if now < until {
                self.graves.put(self.database, from, Grave { open, until });
            }
        }
        Ok(Some(outcome))
    }

    fn all(
        &mut self,
        now: Millis,
        cursor: Cursor,
        visit: &mut Visitor<'_>,
    ) -> Result<Option<Cursor>, BackendError> {
        self.store().all(now, cursor, visit)
    }

    fn length(&mut self, now: Millis) -> Result<u64, BackendError> {
        self.store().length(now)
    }

    fn clear(&mut self, now: Millis) -> Result<(), BackendError> {
        self.store().clear(now)?;
        self.graves.clear(self.database);
        Ok(())
    }

    fn sweep(&mut self, now: Millis, what: Sweep, at: Cursor) -> Result<Swept, BackendError> {
        let swept = self.store().sweep(now, what, at)?;
        if what == Sweep::Clear && matches!(swept, Swept::All(_)) {
            self.graves.clear(self.database);
        }
        Ok(swept)
    }

    fn memory_use(&self) -> Option<MemoryUse> {
        self.all.memory_use()
    }

    fn upkeep(&mut self, now: Millis) -> Upkeep {
        self.graves.sweep(now, STEP);
        self.store().upkeep(now)
    }

    fn gone(&mut self, tell: Option<&mut Teller<'_>>) {
        self.store().gone(tell);
    }

    fn is_done(&self, key: &[u8]) -> bool {
        self.all.is_done(key)
    }

    fn commit(&mut self) -> Result<(), BackendError> {
        self.store().commit()
    }
}

#[deny(clippy::missing_trait_methods)]
impl Backend for Tombstones {
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    fn expiring(&mut self, now: Millis) -> Option<Expiring> {
        self.first().expiring(now)
    }

    fn fast_path(&self) -> Option<Arc<dyn FastPath>> {
        self.0.fast_path()
    }

    fn pipelined(&mut self) -> Option<&mut dyn Pipelined> {
        self.0.pipelined()
    }

    fn blocks(&self) -> bool {
        self.0.blocks()
    }

    fn is_shared(&self) -> bool {
        self.0.is_shared()
    }

    fn get(&mut self, now: Millis, key: &[u8]) -> Result<Option<EntryRef<'_>>, BackendError> {
        self.first().get(now, key)
    }

    fn value(&mut self, now: Millis, key: &[u8]) -> Result<Option<Looked<'_>>, BackendError> {
        self.first().value(now, key)
    }

    fn set(
        &mut self,
        now: Millis,
        key: &[u8],
        value: &[u8],
        deadline: Deadline,
        condition: Condition,
    ) -> Result<SetOutcome, BackendError> {
        self.first().set(now, key, value, deadline, condition)
    }

    fn set_kind(
        &mut self,
        now: Millis,
        key: &[u8],
        value: (Kind, &[u8]),
        deadline: Deadline,
        condition: Condition,
    ) -> Result<SetOutcome, BackendError> {
        self.first().set_kind(now, key, value, deadline, condition)
    }

    fn database(&mut self, number: u8) -> Option<&mut dyn Backend> {
        self.0.database(number)
    }

    fn has_database(&self, number: u8) -> bool {
        self.0.has_database(number)
    }

    fn touch(&mut self, now: Millis, key: &[u8], deadline: Deadline) -> Result<bool, BackendError> {
        self.first().touch(now, key, deadline)
    }

    fn destroy(&mut self, now: Millis, key: &[u8]) -> Result<bool, BackendError> {
        self.first().destroy(now, key)
    }

    fn destroy_if(&mut self, now: Millis, key: &[u8], seq: Seq) -> Result<bool, BackendError> {
        self.first().destroy_if(now, key, seq)
    }

    fn is_buried(&mut self, now: Millis, key: &[u8]) -> bool {
        self.first().is_buried(now, key)
    }

    fn bury(&mut self, now: Millis, key: &[u8], lasting: Duration) -> Result<bool, BackendError> {
        self.first().bury(now, key, lasting)
    }

    fn regenerate(
        &mut self,
        now: Millis,
        from: &[u8],
        to: &[u8],
        grace: Duration,
    ) -> Result<Option<SetOutcome>, BackendError> {
        self.first().regenerate(now, from, to, grace)
    }

    fn all(
        &mut self,
        now: Millis,
        cursor: Cursor,
        visit: &mut Visitor<'_>,
    ) -> Result<Option<Cursor>, BackendError> {
        self.first().all(now, cursor, visit)
    }

    fn length(&mut self, now: Millis) -> Result<u64, BackendError> {
        self.first().length(now)
    }

    fn clear(&mut self, now: Millis) -> Result<(), BackendError> {
        self.first().clear(now)
    }

    fn sweep(&mut self, now: Millis, what: Sweep, at: Cursor) -> Result<Swept, BackendError> {
        self.first().sweep(now, what, at)
    }

    fn memory_use(&self) -> Option<MemoryUse> {
        self.0.memory_use()
    }

    fn upkeep(&mut self, now: Millis) -> Upkeep {
        self.first().upkeep(now)
    }

    fn gone(&mut self, tell: Option<&mut Teller<'_>>) {
        self.first().gone(tell);
    }

    fn commit(&mut self) -> Result<(), BackendError> {
        self.first().commit()
    }

    fn is_done(&self, key: &[u8]) -> bool {
        self.0.all.is_done(key)
    }
}

#[cfg(test)]
#[path = "tombstones_tests.rs"]
mod tests;
