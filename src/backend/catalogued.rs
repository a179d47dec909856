//! The rules of the [`Backend`] contract for backends that have an index in memory and their entries
//! elsewhere.
//!
//! Conditions, deadlines, walks and sweeping are here, once; a [`Medium`] reads and writes entries.
//! What is written is the medium's business only at [`Backend::commit`]: where that fails, the
//! medium says what there is, and the index is made to agree.

use std::borrow::Cow;
use std::fmt;

use super::catalogue::{Birth, Catalogue, Key, Record};
use super::{
    Backend, BackendError, Cursor, Deadline, EntryRef, SetOutcome, Teller, Upkeep, Visitor, Walk,
};
use crate::contract::{Capabilities, Condition, Gone, Kind, Seq};
use crate::time::Millis;

/// Expired entries removed by one step of upkeep.
const SWEEP: usize = 128;
/// A step of a walk ends after so many entries.
const STEP_ENTRIES: usize = 256;
/// Or after so many bytes.
const STEP_BYTES: usize = 1 << 20;
/// An entry that somebody else changes whenever it is looked at is given up on after so many times.
const LOOKS: usize = 10;
/// How long upkeep rests after it failed, in milliseconds.
const REST: u64 = 1_000;
/// So many keys of expired entries are remembered until they are asked for.
const REMEMBERED: usize = 10_000;

/// An entry that is to be written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Draft<'a> {
    pub(super) value: &'a [u8],
    pub(super) kind: Kind,
    pub(super) deadline: Option<Millis>,
    /// That of the entry that it replaces.
    pub(super) birth: Option<Birth>,
}

/// Where entries are. What it is told to write it shows at once, and makes lasting at `commit`.
pub(super) trait Medium: Send + fmt::Debug {
    /// Brings the index up to date with what others do: what concerns this key, or with `None`
    /// everything.
    fn look(
        &mut self,
        _key: Option<&[u8]>,
        _catalogue: &mut Catalogue,
    ) -> Result<(), BackendError> {
        Ok(())
    }

    /// The value of an entry; `None` where somebody has just changed it, and it has to be looked
    /// at again.
    fn read(&mut self, key: &[u8], record: &Record) -> Result<Option<Vec<u8>>, BackendError>;

    /// Writes an entry, as the version that is in its record.
    fn write(&mut self, key: &[u8], draft: Draft<'_>) -> Result<Record, BackendError>;

    /// Gives an entry another deadline; `None` as of [`read`](Self::read).
    fn redate(
        &mut self,
        key: &[u8],
        record: &Record,
        deadline: Option<Millis>,
    ) -> Result<Option<Record>, BackendError>;

    /// Removes an entry, if it is there. That has a number as a write has.
    fn remove(&mut self, key: &[u8]) -> Result<Seq, BackendError>;

    /// Makes that nothing written so far is to be found again.
    fn clear(&mut self) -> Result<(), BackendError>;

    /// After a commit: what was cleared by it can be removed.
    fn forget(&mut self, keys: Box<dyn Iterator<Item = Key> + Send>);

    /// Makes lasting what was written. `length` is the number of live entries.
    ///
    /// # Errors
    /// Then it has to be [abandoned](Self::abandon).
    fn commit(&mut self, length: u64) -> Result<(), BackendError>;

    /// Takes back what was written since the last commit, and corrects the index, which is as it was
    /// before a `clear`.
    fn abandon(&mut self, catalogue: &mut Catalogue) -> Result<(), BackendError>;

    /// A step of work of its own.
    fn upkeep(&mut self, now: Millis, catalogue: &mut Catalogue) -> Result<Upkeep, BackendError>;
}

/// A backend over a medium.
#[derive(Debug)]
pub(super) struct Catalogued<M> {
    medium: M,
    catalogue: Catalogue,
    /// What was in the index before the first `clear` since the last commit.
    cleared: Option<Catalogue>,
    /// Keys that have expired, where somebody asks for them.
    gone: Option<Vec<Key>>,
    /// The last thing that was tried failed.
    is_failing: bool,
    /// The time when it was last used.
    now: Millis,
}

impl<M: Medium> Catalogued<M> {
    pub(super) fn new(medium: M, catalogue: Catalogue) -> Self {
        Self {
            medium,
            catalogue,
            cleared: None,
            gone: None,
            is_failing: false,
            now: Millis::ZERO,
        }
    }

    /// The record of a live entry as it is now.
    fn look(&mut self, now: Millis, key: &[u8]) -> Result<Option<Record>, BackendError> {
        self.now = now;
        self.medium.look(Some(key), &mut self.catalogue)?;
        Ok(self.catalogue.live(now, key).copied())
    }

    fn look_at_all(&mut self, now: Millis) -> Result<(), BackendError> {
        self.now = now;
        self.medium.look(None, &mut self.catalogue)
    }

    /// A live entry as it is now, with its value.
    fn find(&mut self, now: Millis, key: &[u8]) -> Result<Option<EntryRef<'static>>, BackendError> {
        for _ in 0..LOOKS {
            let Some(record) = self.look(now, key)? else {
                return Ok(None);
            };
            if let Some(value) = self.medium.read(key, &record)? {
                return Ok(Some(EntryRef {
                    value: Cow::Owned(value),
                    deadline: record.deadline,
                    seq: record.seq,
                    kind: record.kind,
                }));
            }
        }
        Err(BackendError::Busy)
    }

    fn remove(&mut self, key: &[u8]) -> Result<Seq, BackendError> {
        let seq = self.medium.remove(key)?;
        self.catalogue.remove(key);
        Ok(seq)
    }

    /// Removes some of what has expired; whether there is more.
    fn sweep(&mut self, now: Millis) -> Result<bool, BackendError> {
        for _ in 0..SWEEP {
            let key = match self.catalogue.first_deadline() {
                Some((deadline, key)) if deadline <= now => Key::clone(key),
                _ => return Ok(false),
            };
            self.remove(&key)?;
            if let Some(gone) = self.gone.as_mut().filter(|gone| gone.len() < REMEMBERED) {
                gone.push(key);
            }
        }
        Ok(true)
    }

    fn work(&mut self, now: Millis) -> Result<Upkeep, BackendError> {
        let of_medium = self.medium.upkeep(now, &mut self.catalogue)?;
        if self.sweep(now)? {
            return Ok(Upkeep::More);
        }
        let of_entries = match self.catalogue.first_deadline() {
            Some((deadline, _)) => Upkeep::Until(deadline),
            None => Upkeep::Idle,
        };
        Ok(of_medium.and(of_entries))
    }
}

impl<M: Medium> Backend for Catalogued<M> {
    fn capabilities(&self) -> Capabilities {
        Capabilities::ALL
            .with(Capabilities::LENGTH)
            .with(Capabilities::CLEAR)
            .with(Capabilities::COMPARE_AND_SET)
            .with(Capabilities::KINDS)
    }

    fn blocks(&self) -> bool {
        true
    }

    fn get(&mut self, now: Millis, key: &[u8]) -> Result<Option<EntryRef<'_>>, BackendError> {
        self.find(now, key)
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
        let found = self.look(now, key)?;
        let version = found.map(|record| record.seq);
        let holds = match condition {
            Condition::Always => true,
            Condition::IfAbsent => version.is_none(),
            Condition::IfPresent => version.is_some(),
            Condition::IfSeq(seq) => version == Some(seq),
        };
        if !holds {
            return Ok(SetOutcome::Conflict(version));
        }
        let deadline = match deadline {
            Deadline::Never => None,
            Deadline::At(at) => Some(at),
            Deadline::Keep => found.and_then(|record| record.deadline),
        };
        if deadline.is_some_and(|at| at <= now) {
            return self.remove(key).map(SetOutcome::Stored);
        }
        let draft = Draft {
            value,
            kind,
            deadline,
            birth: self.catalogue.get(key).map(|record| record.birth),
        };
        let record = self.medium.write(key, draft)?;
        self.catalogue.put(key, record);
        Ok(SetOutcome::Stored(record.seq))
    }

    fn touch(&mut self, now: Millis, key: &[u8], deadline: Deadline) -> Result<bool, BackendError> {
        for _ in 0..LOOKS {
            let Some(found) = self.look(now, key)? else {
                return Ok(false);
            };
            let deadline = match deadline {
                Deadline::Keep => return Ok(true),
                Deadline::Never => None,
                Deadline::At(at) if at <= now => return self.remove(key).map(|_| true),
                Deadline::At(at) => Some(at),
            };
            if deadline == found.deadline {
                return Ok(true);
            }
            if let Some(record) = self.medium.redate(key, &found, deadline)? {
                self.catalogue.put(key, record);
                return Ok(true);
            }
        }
        Err(BackendError::Busy)
    }

    fn destroy(&mut self, now: Millis, key: &[u8]) -> Result<bool, BackendError> {
        let is_live = self.look(now, key)?.is_some();
        if self.catalogue.contains(key) {
            self.remove(key)?;
        }
        Ok(is_live)
    }

    fn all(
        &mut self,
        now: Millis,
        cursor: Cursor,
        visit: &mut Visitor<'_>,
    ) -> Result<Option<Cursor>, BackendError> {
        self.look_at_all(now)?;
        let mut birth: Option<Birth> = Some(cursor.0).filter(|birth| *birth > 0);
        let mut bytes = 0;
        for _ in 0..STEP_ENTRIES {
            let Some((next, key)) = self.catalogue.older(birth) else {
                return Ok(None);
            };
            birth = Some(next);
            let key = Key::clone(key);
            if let Some(entry) = self.find(now, &key)? {
                bytes += entry.value.len();
                if visit(&key, entry) == Walk::Pause {
                    break;
                }
            }
            if bytes >= STEP_BYTES {
                break;
            }
        }
        Ok(birth.filter(|birth| *birth > 1).map(Cursor))
    }

    fn length(&mut self, now: Millis) -> Result<u64, BackendError> {
        self.look_at_all(now)?;
        Ok(self.catalogue.length(now))
    }

    fn clear(&mut self, now: Millis) -> Result<(), BackendError> {
        self.now = now;
        self.medium.clear()?;
        let taken = std::mem::take(&mut self.catalogue);
        self.cleared.get_or_insert(taken);
        Ok(())
    }

    fn upkeep(&mut self, now: Millis) -> Upkeep {
        self.now = now;
        if std::mem::take(&mut self.is_failing) {
            return Upkeep::Until(now.after_ms(REST));
        }
        self.work(now).unwrap_or_else(|error| {
            tracing::warn!(%error, "upkeep of the store failed; it is tried again");
            Upkeep::Until(now.after_ms(REST))
        })
    }

    fn gone(&mut self, tell: Option<&mut Teller<'_>>) {
        let Some(tell) = tell else {
            self.gone = None;
            return;
        };
        for key in self.gone.replace(Vec::new()).unwrap_or_default() {
            tell(0, Gone::Expired, &key);
        }
    }

    fn commit(&mut self) -> Result<(), BackendError> {
        let length = self.catalogue.length(self.now);
        if let Err(error) = self.medium.commit(length) {
            self.is_failing = true;
            if let Some(taken) = self.cleared.take() {
                self.catalogue = taken;
            }
            return match self.medium.abandon(&mut self.catalogue) {
                Ok(()) => Err(error),
                Err(worse) => Err(BackendError::Broken(format!("{error}; then {worse}"))),
            };
        }
        if let Some(taken) = self.cleared.take() {
            self.medium.forget(Box::new(taken.into_keys()));
        }
        Ok(())
    }
}

/// Makes a type a backend that is the one in its first field.
macro_rules! delegate_backend {
    ($type:ty) => {
        #[deny(clippy::missing_trait_methods)]
        impl Backend for $type {
            fn capabilities(&self) -> Capabilities {
                self.0.capabilities()
            }

            fn is_shared(&self) -> bool {
                self.0.is_shared()
            }

            fn fast_path(&self) -> Option<std::sync::Arc<dyn $crate::backend::FastPath>> {
                self.0.fast_path()
            }

            fn pipelined(&mut self) -> Option<&mut dyn $crate::backend::Pipelined> {
                self.0.pipelined()
            }

            fn blocks(&self) -> bool {
                self.0.blocks()
            }

            fn get(
                &mut self,
                now: Millis,
                key: &[u8],
            ) -> Result<Option<EntryRef<'_>>, BackendError> {
                self.0.get(now, key)
            }

            fn value(
                &mut self,
                now: Millis,
                key: &[u8],
            ) -> Result<Option<$crate::backend::Looked<'_>>, BackendError> {
                self.0.value(now, key)
            }

            fn set(
                &mut self,
                now: Millis,
                key: &[u8],
                value: &[u8],
                deadline: Deadline,
                condition: Condition,
            ) -> Result<SetOutcome, BackendError> {
                self.0.set(now, key, value, deadline, condition)
            }

            fn set_kind(
                &mut self,
                now: Millis,
                key: &[u8],
                value: (Kind, &[u8]),
                deadline: Deadline,
                condition: Condition,
            ) -> Result<SetOutcome, BackendError> {
                self.0.set_kind(now, key, value, deadline, condition)
            }

            fn database(&mut self, number: u8) -> Option<&mut dyn Backend> {
                self.0.database(number)
            }

            fn has_database(&self, number: u8) -> bool {
                self.0.has_database(number)
            }

            fn touch(
                &mut self,
                now: Millis,
                key: &[u8],
                deadline: Deadline,
            ) -> Result<bool, BackendError> {
                self.0.touch(now, key, deadline)
            }

            fn destroy(&mut self, now: Millis, key: &[u8]) -> Result<bool, BackendError> {
                self.0.destroy(now, key)
            }

            fn destroy_if(
                &mut self,
                now: Millis,
                key: &[u8],
                seq: $crate::contract::Seq,
            ) -> Result<bool, BackendError> {
                self.0.destroy_if(now, key, seq)
            }

            fn is_buried(&mut self, now: Millis, key: &[u8]) -> bool {
                self.0.is_buried(now, key)
            }

            fn bury(
                &mut self,
                now: Millis,
                key: &[u8],
                lasting: std::time::Duration,
            ) -> Result<bool, BackendError> {
                self.0.bury(now, key, lasting)
            }

            fn regenerate(
                &mut self,
                now: Millis,
                from: &[u8],
                to: &[u8],
                grace: std::time::Duration,
            ) -> Result<Option<SetOutcome>, BackendError> {
                self.0.regenerate(now, from, to, grace)
            }

            fn all(
                &mut self,
                now: Millis,
                cursor: Cursor,
                visit: &mut Visitor<'_>,
            ) -> Result<Option<Cursor>, BackendError> {
                self.0.all(now, cursor, visit)
            }

            fn length(&mut self, now: Millis) -> Result<u64, BackendError> {
                self.0.length(now)
            }

            fn expiring(&mut self, now: Millis) -> Option<$crate::backend::Expiring> {
                self.0.expiring(now)
            }

            fn sweep(
                &mut self,
                now: Millis,
                what: $crate::backend::Sweep,
                _at: Cursor,
            ) -> Result<$crate::backend::Swept, BackendError> {
                use $crate::backend::{Sweep, Swept};
                match what {
                    Sweep::Count => self.0.length(now).map(Swept::All),
                    Sweep::Clear => self.0.clear(now).map(|()| Swept::All(0)),
                }
            }

            fn memory_use(&self) -> Option<$crate::backend::MemoryUse> {
                self.0.memory_use()
            }

            fn clear(&mut self, now: Millis) -> Result<(), BackendError> {
                self.0.clear(now)
            }

            fn upkeep(&mut self, now: Millis) -> Upkeep {
                self.0.upkeep(now)
            }

            fn gone(&mut self, tell: Option<&mut Teller<'_>>) {
                self.0.gone(tell);
            }

            fn is_done(&self, key: &[u8]) -> bool {
                self.0.is_done(key)
            }

            fn commit(&mut self) -> Result<(), BackendError> {
                self.0.commit()
            }
        }
    };
}

pub(super) use delegate_backend;
