//! One key of a backend that others write to as well, while a command or a script is at it.
//!
//! What is read of the key and then written stays here until the command is done. Then all of it
//! becomes one write, under the condition that the key is still as it was found; where it is not,
//! nothing is done and the command begins anew. So it is done as a whole or not at all, whoever
//! else writes: other masters, and other clients of the servers.
//!
//! A key that is written without being looked at is written at once, as many are with one request.
//! What concerns other keys is not held back.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use super::call::database;
use crate::backend::{
    Backend, BackendError, Cursor, Deadline, EntryRef, Expiring, FastPath, Looked, MemoryUse,
    Pipelined, SetOutcome, Sweep, Swept, Teller, Upkeep, Visitor,
};
use crate::contract::{Capabilities, Condition, Kind, Seq};
use crate::time::Millis;

/// A backend whose only writer this is, as far as one key is concerned.
pub(super) struct Draft<'b> {
    all: &'b mut dyn Backend,
    database: u8,
    now: Millis,
    key: &'b [u8],
    /// `None`: it was not looked at.
    sheet: Option<Sheet>,
}

/// What was found under the key, and what has become of it.
struct Sheet {
    seen: Option<Seq>,
    is_buried: bool,
    entry: Option<Entry>,
    change: Change,
}

struct Entry {
    kind: Kind,
    value: Vec<u8>,
    deadline: Option<Millis>,
}

#[derive(Clone, Copy)]
enum Change {
    None,
    /// There is an entry, with this deadline.
    Written(Deadline),
    /// Its time is over.
    Over,
    Destroyed,
}

impl<'b> Draft<'b> {
    pub(super) fn new(all: &'b mut dyn Backend, number: u8, now: Millis, key: &'b [u8]) -> Self {
        Self {
            all,
            database: number,
            now,
            key,
            sheet: None,
        }
    }

    fn store(&mut self) -> &mut dyn Backend {
        database(self.all, self.database)
    }

    /// From here on nothing of the key is written at once.
    pub(super) fn begin(&mut self) -> Result<(), BackendError> {
        self.look().map(drop)
    }

    fn look(&mut self) -> Result<&mut Sheet, BackendError> {
        if self.sheet.is_none() {
            let store = database(self.all, self.database);
            let is_buried = store.is_buried(self.now, self.key);
            let found = store.get(self.now, self.key)?;
            self.sheet = Some(Sheet {
                seen: found.as_ref().map(|found| found.seq),
                is_buried,
                entry: found.map(|found| Entry {
                    kind: found.kind,
                    deadline: found.deadline,
                    value: found.value.into_owned(),
                }),
                change: Change::None,
            });
        }
        Ok(self.sheet.as_mut().expect("it is there now"))
    }

    /// The sheet, if the key is this one and was looked at.
    fn sheet_of(&mut self, key: &[u8]) -> Option<&mut Sheet> {
        self.sheet.as_mut().filter(|_| key == self.key)
    }

    /// Writes what has become of the key. Whether it was still what it was; if not, nothing is
    /// done.
    pub(super) fn settle(&mut self) -> Result<bool, BackendError> {
        let (now, key) = (self.now, self.key);
        let Some(sheet) = self.sheet.take() else {
            return Ok(true);
        };
        let condition = sheet.seen.map_or(Condition::IfAbsent, Condition::IfSeq);
        let outcome = match (sheet.change, sheet.seen, &sheet.entry) {
            (Change::Written(deadline), _, Some(Entry { kind, value, .. })) => {
                let value = (*kind, value.as_slice());
                self.store()
                    .set_kind(now, key, value, deadline, condition)?
            }
            (Change::Over, Some(_), _) => {
                let over = Deadline::At(now);
                self.store().set(now, key, b"", over, condition)?
            }
            (Change::Destroyed, Some(seq), _) => return self.store().destroy_if(now, key, seq),
            _ => return Ok(true),
        };
        Ok(matches!(outcome, SetOutcome::Stored(_)))
    }
}

impl Sheet {
    /// The version that is there; one that was made here has no name yet.
    fn version(&self) -> Option<Seq> {
        let named = match self.change {
            Change::None => self.seen.unwrap_or_default(),
            _ => Seq::default(),
        };
        self.entry.as_ref().map(|_| named)
    }

    fn set(
        &mut self,
        now: Millis,
        value: (Kind, &[u8]),
        to: Deadline,
        on: Condition,
    ) -> SetOutcome {
        let version = self.version();
        let holds = match on {
            Condition::IfAbsent => version.is_none(),
            _ if version.is_none() && self.is_buried => false,
            Condition::Always => true,
            Condition::IfPresent => version.is_some(),
            Condition::IfSeq(seq) => version == Some(seq),
        };
        if !holds {
            return SetOutcome::Conflict(version);
        }
        let kept = self.entry.take().and_then(|entry| entry.deadline);
        self.entry = Some(Entry {
            kind: value.0,
            value: value.1.to_vec(),
            deadline: kept,
        });
        self.change = Change::Written(match self.change {
            Change::None => Deadline::Keep,
            Change::Written(deadline) => deadline,
            Change::Over | Change::Destroyed => Deadline::Never,
        });
        self.redate(now, to);
        SetOutcome::Stored(Seq::default())
    }

    /// Gives the entry that is there another deadline.
    fn redate(&mut self, now: Millis, to: Deadline) {
        let Some(entry) = &mut self.entry else { return };
        match to {
            Deadline::Keep => return,
            Deadline::Never => entry.deadline = None,
            Deadline::At(at) if at <= now => {
                self.entry = None;
                self.change = Change::Over;
                return;
            }
            Deadline::At(at) => entry.deadline = Some(at),
        }
        self.change = Change::Written(to);
    }

    fn touch(&mut self, now: Millis, to: Deadline) -> bool {
        let is_there = self.entry.is_some();
        self.redate(now, to);
        is_there
    }

    fn destroy(&mut self) -> bool {
        let is_there = self.entry.take().is_some();
        if is_there {
            self.change = Change::Destroyed;
        }
        is_there
    }
}

#[deny(clippy::missing_trait_methods)]
impl Backend for Draft<'_> {
    fn capabilities(&self) -> Capabilities {
        self.all.capabilities()
    }

    fn is_shared(&self) -> bool {
        false
    }

    fn blocks(&self) -> bool {
        self.all.blocks()
    }

    fn fast_path(&self) -> Option<Arc<dyn FastPath>> {
        None
    }

    fn pipelined(&mut self) -> Option<&mut dyn Pipelined> {
        self.all.pipelined()
    }

    fn get(&mut self, now: Millis, key: &[u8]) -> Result<Option<EntryRef<'_>>, BackendError> {
        if key != self.key {
            return self.store().get(now, key);
        }
        let sheet = self.look()?;
        let seq = sheet.version().unwrap_or_default();
        Ok(sheet.entry.as_ref().map(|entry| EntryRef {
            value: Cow::Borrowed(&entry.value),
            deadline: entry.deadline,
            seq,
            kind: entry.kind,
        }))
    }

    fn value(&mut self, now: Millis, key: &[u8]) -> Result<Option<Looked<'_>>, BackendError> {
        if key != self.key {
            return self.store().value(now, key);
        }
        let found = self.get(now, key)?;
        Ok(found.map(|entry| (entry.kind, entry.value)))
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
        match self.sheet_of(key) {
            Some(sheet) => Ok(sheet.set(now, value, deadline, condition)),
            None => self.store().set_kind(now, key, value, deadline, condition),
        }
    }

    fn database(&mut self, number: u8) -> Option<&mut dyn Backend> {
        if number == self.database {
            return Some(self);
        }
        self.all.database(number)
    }

    fn has_database(&self, number: u8) -> bool {
        self.all.has_database(number)
    }

    fn touch(&mut self, now: Millis, key: &[u8], deadline: Deadline) -> Result<bool, BackendError> {
        match self.sheet_of(key) {
            Some(sheet) => Ok(sheet.touch(now, deadline)),
            None => self.store().touch(now, key, deadline),
        }
    }

    fn destroy(&mut self, now: Millis, key: &[u8]) -> Result<bool, BackendError> {
        match self.sheet_of(key) {
            Some(sheet) => Ok(sheet.destroy()),
            None => self.store().destroy(now, key),
        }
    }

    fn destroy_if(&mut self, now: Millis, key: &[u8], seq: Seq) -> Result<bool, BackendError> {
        match self.sheet_of(key) {
            Some(sheet) => Ok(sheet.version() == Some(seq) && sheet.destroy()),
            None => self.store().destroy_if(now, key, seq),
        }
    }

    fn bury(&mut self, now: Millis, key: &[u8], lasting: Duration) -> Result<bool, BackendError> {
        self.store().bury(now, key, lasting)
    }

    fn is_buried(&mut self, now: Millis, key: &[u8]) -> bool {
        self.store().is_buried(now, key)
    }

    fn regenerate(
        &mut self,
        now: Millis,
        from: &[u8],
        to: &[u8],
        grace: Duration,
    ) -> Result<Option<SetOutcome>, BackendError> {
        self.store().regenerate(now, from, to, grace)
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

    fn expiring(&mut self, now: Millis) -> Option<Expiring> {
        self.store().expiring(now)
    }

    fn clear(&mut self, now: Millis) -> Result<(), BackendError> {
        self.store().clear(now)
    }

    fn sweep(&mut self, now: Millis, what: Sweep, at: Cursor) -> Result<Swept, BackendError> {
        self.store().sweep(now, what, at)
    }

    fn memory_use(&self) -> Option<MemoryUse> {
        self.all.memory_use()
    }

    fn upkeep(&mut self, now: Millis) -> Upkeep {
        self.all.upkeep(now)
    }

    fn gone(&mut self, tell: Option<&mut Teller<'_>>) {
        self.all.gone(tell);
    }

    /// [Settles](Self::settle); what is below is committed by those who gave it.
    fn commit(&mut self) -> Result<(), BackendError> {
        if self.settle()? {
            Ok(())
        } else {
            Err(BackendError::Busy)
        }
    }

    fn is_done(&self, key: &[u8]) -> bool {
        self.all.is_done(key)
    }
}

#[cfg(test)]
#[path = "draft_tests.rs"]
mod tests;
