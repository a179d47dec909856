//! Entries in a LevelDB database, as level-session-store keeps sessions.
//!
//! How they stand there is in [`layout`], LevelDB itself in `crate::leveldb`, the rules of the
//! [`Backend`] contract in [`catalogued`](super::catalogued). Here is what joins them: writes are
//! collected into one batch for each commit, and what was cleared is removed in steps.

#[cfg(test)]
mod fault_tests;
mod layout;
mod scan;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::io::ErrorKind;
use std::path::PathBuf;

use super::catalogue::{Catalogue, Key, Record};
use super::catalogued::{Catalogued, Draft, Medium, delegate_backend};
use super::{
    Backend, BackendError, Cursor, Deadline, EntryRef, SetOutcome, Teller, Upkeep, Visitor,
};
use crate::config::{LevelDb, Syncing};
use crate::contract::{Capabilities, Condition, Kind, Seq};
use crate::error::Error;
use crate::leveldb::{Batch, Database, Disk, Folder, Holes, LevelError};
use crate::time::Millis;
use layout::{Layout, Note};

/// So many entries of what was cleared are removed by a step of upkeep.
const FORGET: usize = 256;
/// How often what was written is synced where that is done every second, in milliseconds.
const SYNC: u64 = 1_000;

/// Keeps entries in a LevelDB database, exactly as level-session-store does, so that either side
/// reads what the other one wrote, one after the other: LevelDB is for one process at a time, which
/// its lock sees to. What that layout cannot say (deadlines, versions, kinds) stands in keys of ours
/// beside it; a session that the other side has written expires with its cookie.
///
/// All of it is read and checked when it is opened, and an index of it is kept in memory: some 200
/// bytes for each entry besides its key. What is written between two [commits](Backend::commit) is
/// one batch: all of it is done or nothing. When a commit fails the backend can be used on, and
/// recovers by itself as soon as the cause is gone. Tables are merged in steps of upkeep.
///
/// ```
/// use memstore_cluster::backend::{Backend, Deadline, LevelDbBackend};
/// use memstore_cluster::config::LevelDb;
/// use memstore_cluster::contract::Condition;
/// use memstore_cluster::time::Millis;
///
/// # let folder = std::env::temp_dir().join(format!("memstore-level-{}", std::process::id()));
/// let now = Millis::from_unix(1_700_000_000_000);
/// let mut store = LevelDbBackend::open(&LevelDb::new(&folder))?;
/// store.set(now, b"sid", br#"{"user":7}"#, Deadline::Never, Condition::Always)?;
/// store.commit()?;
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct LevelDbBackend(Catalogued<Entries>);

impl LevelDbBackend {
    /// Opens a database; makes it if it is not there. It is read to its end.
    ///
    /// # Errors
    /// [`Error::Config`] where it is damaged or none of LevelDB's: then nothing in it is changed.
    /// [`Error::Backend`] where another process has it, or the disk fails.
    pub fn open(config: &LevelDb) -> Result<Self, Error> {
        let refused = |error: LevelError| {
            let folder = config.folder.display();
            let sentence = format!("the LevelDB database {folder} cannot be opened: {error}");
            match &error {
                LevelError::Damaged { .. } | LevelError::Order(_) => {
                    Error::Config(format!("{sentence}; nothing in it was changed"))
                }
                LevelError::Hole { .. } => Error::Config(format!(
                    "{sentence}; nothing in it was changed (from a backup it is whole; opened once \
                     with sync=1s it is read up to there, and the log is kept)"
                )),
                LevelError::Io { source, .. } if source.kind() == ErrorKind::NotADirectory => {
                    Error::Config(sentence)
                }
                LevelError::Io { .. } | LevelError::InUse { .. } => Error::Backend(sentence),
            }
        };
        let folder = Folder::open(&config.folder).map_err(refused)?;
        let mut backend = Self::over(Box::new(folder), config).map_err(refused)?;
        // `set` of level-session-store fails until there is a length.
        backend
            .commit()
            .map_err(|error| Error::Backend(error.to_string()))?;
        Ok(backend)
    }

    fn over(disk: Box<dyn Disk>, config: &LevelDb) -> Result<Self, LevelError> {
        let layout = Layout::new(config.namespace.as_deref());
        let mut scan = scan::Scan::new(layout.clone());
        let holes = match config.sync {
            Syncing::Always => Holes::Refused,
            Syncing::EverySecond | Syncing::Never => Holes::LeftOut,
        };
        let database = Database::open(disk, holes, &mut |key, sequence, value| {
            scan.take(key, sequence, value);
        })?;
        let found = scan.finish();
        let entries = Entries {
            folder: config.folder.clone(),
            database,
            layout,
            syncing: config.sync,
            batch: Batch::default(),
            touched: HashMap::new(),
            length: found.length,
            cleared: found.cleared,
            clearing: found.cleared,
            forgotten: found.forgotten.into(),
            forgetting: Vec::new(),
            is_unsynced: false,
            next_sync: None,
        };
        Ok(Self(Catalogued::new(entries, found.catalogue)))
    }
}

delegate_backend!(LevelDbBackend);

/// What a turn has made of an entry.
#[derive(Debug, Clone, Copy)]
enum Touched {
    /// Its value is in the batch, at this place.
    Written(usize),
    Removed,
    /// Only its note.
    Noted,
}

/// The entries of a database.
#[derive(Debug)]
struct Entries {
    folder: PathBuf,
    database: Database,
    layout: Layout,
    syncing: Syncing,
    /// What was written since the last commit.
    batch: Batch,
    touched: HashMap<Box<[u8]>, Touched>,
    /// The length that stands in the database, if one does.
    length: Option<u64>,
    /// What stands in the marker: entries with lower versions are cleared.
    cleared: Option<u64>,
    /// What will stand there after the commit.
    clearing: Option<u64>,
    /// Keys whose entries and notes are to be removed, unless they came to be again.
    forgotten: VecDeque<Key>,
    /// Those that the batch removes.
    forgetting: Vec<Key>,
    /// Something is written and may not be on the disk.
    is_unsynced: bool,
    /// When that is to be changed.
    next_sync: Option<Millis>,
}

impl Entries {
    fn failed(&self, error: &LevelError) -> BackendError {
        let folder = self.folder.display();
        BackendError::Failed(format!("the LevelDB database {folder}: {error}"))
    }

    /// The number of the next write in the batch.
    fn next(&self) -> Seq {
        Seq(self.database.last_sequence() + self.batch.len() + 1)
    }

    fn note(&mut self, key: &[u8], record: &Record) {
        let note = Note {
            seq: record.seq,
            kind: record.kind,
            deadline: record.deadline,
            birth: record.birth,
        };
        self.batch.put(&self.layout.note(key), &note.encode());
    }

    /// The record of an entry, by what stands in the database.
    fn recall(&self, key: &[u8]) -> Result<Option<Record>, LevelError> {
        let found = self.database.get(&self.layout.entry(key))?;
        // What was cleared may not be removed yet.
        let found = found.filter(|(seq, _)| self.cleared.is_none_or(|before| *seq >= before));
        let Some((seq, value)) = found else {
            return Ok(None);
        };
        let note = self.database.get(&self.layout.note(key))?;
        let note = note.and_then(|(_, note)| Note::decode(&note));
        Ok(Some(scan::record(Seq(seq), &value, note)))
    }

    /// Removes some of what was cleared; whether there is more.
    fn forget_some(&mut self, catalogue: &Catalogue) -> bool {
        for _ in 0..FORGET {
            let Some(key) = self.forgotten.pop_front() else {
                break;
            };
            if !catalogue.contains(&key) {
                self.erase(&key);
            }
            self.forgetting.push(key);
        }
        let is_clearing = self.clearing != self.cleared;
        if self.forgotten.is_empty() && !is_clearing && self.clearing.take().is_some() {
            self.batch.remove(&self.layout.cleared());
        }
        !self.forgotten.is_empty()
    }

    fn erase(&mut self, key: &[u8]) {
        self.batch.remove(&self.layout.entry(key));
        self.batch.remove(&self.layout.note(key));
    }

    /// Syncs what was written once it has waited long enough; when that is.
    fn sync(&mut self, now: Millis) -> Result<Upkeep, BackendError> {
        if !self.is_unsynced || self.syncing != Syncing::EverySecond {
            return Ok(Upkeep::Idle);
        }
        let next = *self.next_sync.get_or_insert(now.after_ms(SYNC));
        if now < next {
            return Ok(Upkeep::Until(next));
        }
        self.next_sync = None;
        self.database.sync().map_err(|error| self.failed(&error))?;
        self.is_unsynced = false;
        Ok(Upkeep::Idle)
    }
}

impl Medium for Entries {
    fn read(&mut self, key: &[u8], record: &Record) -> Result<Option<Vec<u8>>, BackendError> {
        if let Some(Touched::Written(at)) = self.touched.get(key) {
            return Ok(self.batch.value(*at).map(<[u8]>::to_vec));
        }
        let found = self.database.get(&self.layout.entry(key));
        match found.map_err(|error| self.failed(&error))? {
            Some((seq, value)) if seq == record.seq.0 => Ok(Some(value)),
            _ => Err(BackendError::Failed(format!(
                "the LevelDB database {}: an entry is not there any more",
                self.folder.display()
            ))),
        }
    }

    fn write(&mut self, key: &[u8], draft: Draft<'_>) -> Result<Record, BackendError> {
        let seq = self.next();
        let record = Record {
            deadline: draft.deadline,
            seq,
            kind: draft.kind,
            birth: draft.birth.unwrap_or(seq.0),
            mark: 0,
        };
        let at = self.batch.put(&self.layout.entry(key), draft.value);
        self.note(key, &record);
        self.touched.insert(key.into(), Touched::Written(at));
        Ok(record)
    }

    fn redate(
        &mut self,
        key: &[u8],
        record: &Record,
        deadline: Option<Millis>,
    ) -> Result<Option<Record>, BackendError> {
        let record = Record {
            deadline,
            ..*record
        };
        self.note(key, &record);
        self.touched.entry(key.into()).or_insert(Touched::Noted);
        Ok(Some(record))
    }

    fn remove(&mut self, key: &[u8]) -> Result<Seq, BackendError> {
        let seq = self.next();
        self.erase(key);
        self.touched.insert(key.into(), Touched::Removed);
        Ok(seq)
    }

    fn clear(&mut self) -> Result<(), BackendError> {
        // What this turn has written goes by name: nobody may know of it when the rest is removed.
        let mut touched = std::mem::take(&mut self.touched);
        for (key, touched) in &mut touched {
            self.erase(key);
            *touched = Touched::Removed;
        }
        self.touched = touched;
        let seq = self.next();
        self.batch.put(&self.layout.cleared(), &seq.0.to_le_bytes());
        self.clearing = Some(seq.0);
        Ok(())
    }

    fn forget(&mut self, keys: Box<dyn Iterator<Item = Key> + Send>) {
        self.forgotten.extend(keys);
    }

    fn commit(&mut self, length: u64) -> Result<(), BackendError> {
        if self.length != Some(length) {
            let text = length.to_string();
            self.batch.put(&self.layout.length(), text.as_bytes());
        }
        if self.batch.is_empty() {
            return Ok(());
        }
        let is_synced = self.syncing == Syncing::Always;
        self.database
            .write(&self.batch, is_synced)
            .map_err(|error| self.failed(&error))?;
        self.length = Some(length);
        self.batch.clear();
        self.touched.clear();
        self.forgetting.clear();
        self.cleared = self.clearing;
        self.is_unsynced = !is_synced;
        Ok(())
    }

    fn abandon(&mut self, catalogue: &mut Catalogue) -> Result<(), BackendError> {
        self.batch.clear();
        self.forgotten.extend(self.forgetting.drain(..));
        self.clearing = self.cleared;
        for (key, _) in std::mem::take(&mut self.touched) {
            match self.recall(&key).map_err(|error| self.failed(&error))? {
                Some(record) => catalogue.put(&key, record),
                None => {
                    catalogue.remove(&key);
                }
            }
        }
        Ok(())
    }

    fn upkeep(&mut self, now: Millis, catalogue: &mut Catalogue) -> Result<Upkeep, BackendError> {
        let is_forgetting = self.forget_some(catalogue);
        let is_merging = self.database.step().map_err(|error| self.failed(&error))?;
        let of_sync = self.sync(now)?;
        Ok(if is_forgetting || is_merging {
            Upkeep::More
        } else {
            of_sync
        })
    }
}

impl Drop for Entries {
    fn drop(&mut self) {
        if self.is_unsynced && self.syncing == Syncing::EverySecond {
            if let Err(error) = self.database.sync() {
                tracing::warn!(%error, "what was written last may not be on the disk");
            }
        }
    }
}
