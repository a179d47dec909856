//! Entries in files of a folder, as session-file-store keeps sessions.
//!
//! [`name`] and [`mod@format`] say how they stand there, [`folder`] does it; [`watch`] tells what others do
//! and [`reading`] takes note of it; the rules of the [`Backend`] contract are in
//! [`catalogued`](super::catalogued). Here is what joins them: files that wait for the commit to get
//! their names, and what was cleared.

mod folder;
mod format;
mod name;
mod reading;
#[cfg(test)]
mod tests;
mod watch;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fs::ReadDir;
use std::time::SystemTime;
use std::{io, mem};

use self::folder::{Folder, New};
use self::format::Stored;
use self::reading::Missed;
use self::watch::Watch;
use super::catalogue::{Catalogue, Key, Record};
use super::catalogued::{Catalogued, Draft, Medium, delegate_backend};
use super::{
    Backend, BackendError, Cursor, Deadline, EntryRef, SetOutcome, Teller, Upkeep, Visitor,
};
use crate::config::{self, Syncing};
use crate::contract::{Capabilities, Condition, Kind, Seq};
use crate::error::Error;
use crate::time::Millis;

/// So many files are looked at or removed by a step of upkeep.
const STEP: usize = 64;
/// How often what was written is synced where that is done every second, in milliseconds.
const SYNC: u64 = 1_000;
/// So many versions are reserved at once.
const RESERVED: u64 = 1_000_000;
const NEXT: &str = "next";
const CLEARED: &str = "cleared";

/// Keeps every entry in a file of a folder, exactly as session-file-store keeps a session, so that
/// either side reads what the other one writes, at the same time: a file changes as a whole, and
/// what Node programs do to the folder is seen at once. What their format cannot say (deadlines to
/// the millisecond, versions, kinds, values that are no JSON objects) stands in a member of its own,
/// `__memstore`, which they leave alone.
///
/// Keys that would leave the folder or are no names of files have escaped ones. A file that is no
/// JSON object is moved to `.memstore/damaged` in the folder, and the log says so. An index of all
/// entries is kept in memory: some 200 bytes for each besides its key. It is made in steps, while
/// the backend is used already; only who asks for the length or for all entries waits for its end.
///
/// Files are written as requests come and get their names at the [commit](Backend::commit). If
/// that fails, each entry is as it was or as it was to be, nothing in between, and the backend can be
/// used on.
///
/// ```
/// use memstore_cluster::backend::{Backend, Deadline, FilesBackend};
/// use memstore_cluster::config::Files;
/// use memstore_cluster::contract::Condition;
/// use memstore_cluster::time::Millis;
///
/// # let folder = std::env::temp_dir().join(format!("memstore-files-{}", std::process::id()));
/// let now = Millis::from_unix(1_700_000_000_000);
/// let mut store = FilesBackend::open(&Files::new(&folder))?;
/// store.set(now, b"sid", br#"{"user":7}"#, Deadline::Never, Condition::Always)?;
/// store.commit()?;
/// assert!(folder.join("sid.json").exists());
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct FilesBackend(Catalogued<Entries>);

impl FilesBackend {
    /// Opens a folder; makes it if it is not there. What is in it is read later, in steps; only the
    /// first time it is read at once.
    ///
    /// # Errors
    /// [`Error::Config`] where there is something else, or what is ours in it is damaged;
    /// [`Error::Backend`] where another master has it, or the system refuses something.
    pub fn open(config: &config::Files) -> Result<Self, Error> {
        let path = config.folder.display();
        let refused = |error: &io::Error| {
            let why = format!("the folder {path} cannot be a store: {error}");
            if is_configured_wrongly(error) {
                Error::Config(why)
            } else {
                Error::Backend(why)
            }
        };
        let folder = match Folder::open(&config.folder) {
            Ok(Some(folder)) => folder,
            Ok(None) => {
                let why = format!("the folder {path} cannot be a store: another master has it");
                return Err(Error::Backend(why));
            }
            Err(error) => return Err(refused(&error)),
        };
        let mut entries = Entries::new(folder, config).map_err(|error| refused(&error))?;
        let mut catalogue = Catalogue::default();
        if entries.next == 0 {
            // Nothing says which versions there were: those that there are do.
            entries.next = 1;
            entries
                .read_all(&mut catalogue)
                .map_err(|error| Error::Backend(format!("the store is not opened: {error}")))?;
        }
        Ok(Self(Catalogued::new(entries, catalogue)))
    }
}

/// Whether somebody has to change something before a folder that was refused so can be opened.
fn is_configured_wrongly(error: &io::Error) -> bool {
    use io::ErrorKind::{AlreadyExists, InvalidData, NotADirectory};
    matches!(error.kind(), AlreadyExists | InvalidData | NotADirectory)
}

delegate_backend!(FilesBackend);

/// What the next commit does to a file.
#[derive(Debug)]
enum Change {
    Written(New, Record),
    Removed,
}

/// What `clear` has left to be removed.
#[derive(Debug, Clone, Copy)]
struct Cleared {
    /// Versions below are cleared.
    before: u64,
    /// So is what others have written before that time.
    at: SystemTime,
}

/// The files of a folder.
#[derive(Debug)]
struct Entries {
    folder: Folder,
    watch: Watch,
    syncing: Syncing,
    /// That of session-file-store, in milliseconds.
    ttl: f64,
    /// What was not looked at yet; `None` where everything was.
    unread: Option<ReadDir>,
    /// The keys of files whose names do not have them.
    hashed: HashMap<String, Key>,
    /// Names of files that others have changed, and that were not looked at yet.
    news: BTreeSet<String>,
    missed: Missed,
    /// The folder is not where it was.
    is_lost: bool,
    /// The index is of no use until the folder is read anew.
    is_stale: bool,
    /// What the next commit does.
    changes: HashMap<Key, Change>,
    /// This turn has a `clear`: versions below are to go.
    clearing: Option<u64>,
    cleared: Option<Cleared>,
    /// Keys whose files are to be removed, unless they came to be again.
    forgotten: VecDeque<Key>,
    /// The next version, and the first that is not reserved.
    next: u64,
    reserved: u64,
    is_unsynced: bool,
    next_sync: Option<Millis>,
}

impl Entries {
    fn new(folder: Folder, config: &config::Files) -> io::Result<Self> {
        // What happens from here on is told, what was before is listed.
        let watch = Watch::start(folder.path())?;
        let next = folder.number(NEXT)?.unwrap_or(0);
        let cleared = match folder.number(CLEARED)? {
            None => None,
            Some(before) => Some(Cleared {
                before,
                at: folder.modified(CLEARED)?,
            }),
        };
        Ok(Self {
            unread: Some(folder.list()?),
            watch,
            syncing: config.sync,
            ttl: config.ttl.as_secs_f64() * 1_000.0,
            hashed: HashMap::new(),
            news: BTreeSet::new(),
            missed: Missed::default(),
            is_lost: false,
            is_stale: false,
            changes: HashMap::new(),
            clearing: None,
            cleared,
            forgotten: VecDeque::new(),
            next,
            reserved: next,
            is_unsynced: false,
            next_sync: None,
            folder,
        })
    }

    fn failed(&self, action: &str, error: &io::Error) -> BackendError {
        let path = self.folder.path().display();
        BackendError::Failed(format!("cannot {action} in the folder {path}: {error}"))
    }

    /// The next version; with `is_sure` never one that anybody has seen before.
    fn number(&mut self, is_sure: bool) -> Result<Seq, BackendError> {
        if self.next >= self.reserved {
            let reserved = self.next + RESERVED;
            match self.folder.put_number(NEXT, reserved) {
                Ok(()) => self.reserved = reserved,
                Err(error) if is_sure => return Err(self.failed("reserve versions", &error)),
                Err(_) => {}
            }
        }
        self.next += 1;
        Ok(Seq(self.next - 1))
    }

    /// Removes some of what was cleared; whether there is more.
    fn forget_some(&mut self, catalogue: &Catalogue) -> Result<bool, BackendError> {
        for _ in 0..STEP {
            let Some(key) = self.forgotten.front() else {
                break;
            };
            if !catalogue.contains(key) && !self.changes.contains_key(key) {
                let removed = self.folder.remove(&name::of(key));
                removed.map_err(|error| self.failed("remove a file", &error))?;
            }
            self.forgotten.pop_front();
        }
        if self.forgotten.is_empty() && self.unread.is_none() && self.cleared.is_some() {
            let removed = self.folder.sync_names();
            let removed = removed.and_then(|()| self.folder.remove_number(CLEARED));
            removed.map_err(|error| self.failed("remove a file", &error))?;
            self.cleared = None;
        }
        Ok(!self.forgotten.is_empty())
    }

    /// Syncs what was written once it has waited long enough; when that is.
    fn sync(&mut self, now: Millis) -> Result<Upkeep, BackendError> {
        if !self.is_unsynced {
            return Ok(Upkeep::Idle);
        }
        let next = *self.next_sync.get_or_insert(now.after_ms(SYNC));
        if now < next {
            return Ok(Upkeep::Until(next));
        }
        self.next_sync = None;
        let synced = self.folder.sync_all();
        synced.map_err(|error| self.failed("sync files", &error))?;
        self.is_unsynced = false;
        Ok(Upkeep::Idle)
    }

    fn change(&mut self, key: &[u8], change: Change) {
        if let Some(Change::Written(new, _)) = self.changes.insert(key.into(), change) {
            self.folder.drop_new(&new);
        }
    }

    /// Writes the file of an entry; it gets its name at the commit.
    fn put(
        &mut self,
        key: &[u8],
        value: &[u8],
        mut record: Record,
    ) -> Result<Record, BackendError> {
        let name = name::of(key);
        let is_hashed = name::is_hashed(&name);
        let stored = Stored {
            value: value.into(),
            kind: record.kind,
            deadline: record.deadline,
            seq: Some(record.seq),
            birth: Some(record.birth),
            key: is_hashed.then(|| key.to_vec()),
        };
        let bytes = format::encode(&stored, self.ttl);
        record.mark = crc32fast::hash(&bytes);
        let new = self.folder.write(&bytes);
        let new = new.map_err(|error| self.failed("write a file", &error))?;
        if is_hashed {
            self.hashed.insert(name, key.into());
        }
        self.change(key, Change::Written(new, record));
        Ok(record)
    }

    /// What a commit does, up to where it fails.
    fn carry_out(&mut self) -> io::Result<()> {
        let new = self.changes.values().filter_map(|change| match change {
            Change::Written(new, _) => Some(new),
            Change::Removed => None,
        });
        if self.syncing == Syncing::Always {
            let new: Vec<_> = new.collect();
            self.folder.sync_new(new.into_iter())?;
        }
        if let Some(before) = self.clearing {
            let at = self.folder.put_dated(CLEARED, before)?;
            self.cleared = Some(Cleared { before, at });
        }
        for (key, change) in &self.changes {
            let name = name::of(key);
            match change {
                Change::Written(new, _) => self.folder.name(new, &name)?,
                Change::Removed => self.folder.remove(&name)?,
            }
        }
        if self.syncing == Syncing::Always {
            self.folder.sync_names()?;
        }
        Ok(())
    }
}

impl Medium for Entries {
    fn look(&mut self, key: Option<&[u8]>, catalogue: &mut Catalogue) -> Result<(), BackendError> {
        self.hear(catalogue)?;
        if self.clearing.is_some() || (self.unread.is_none() && self.missed.is_empty()) {
            return Ok(());
        }
        match key {
            None => self.read_all(catalogue),
            Some(key) if catalogue.contains(key) || self.changes.contains_key(key) => Ok(()),
            Some(key) => self.reload(key, catalogue),
        }
    }

    fn read(&mut self, key: &[u8], record: &Record) -> Result<Option<Vec<u8>>, BackendError> {
        let bytes = match self.changes.get(key) {
            Some(Change::Removed) => return Ok(None),
            Some(Change::Written(new, _)) => self.folder.read_new(new).map(Some),
            None => {
                let content = self.folder.read(&name::of(key));
                content.map(|content| content.map(|content| content.bytes))
            }
        };
        let bytes = bytes.map_err(|error| self.failed("read a file", &error))?;
        let bytes = bytes.filter(|bytes| crc32fast::hash(bytes) == record.mark);
        let stored = bytes
            .as_deref()
            .and_then(|bytes| format::decode(bytes, self.ttl));
        Ok(stored.map(|stored| stored.value.into_owned()))
    }

    fn write(&mut self, key: &[u8], draft: Draft<'_>) -> Result<Record, BackendError> {
        let seq = self.number(true)?;
        let record = Record {
            deadline: draft.deadline,
            seq,
            kind: draft.kind,
            birth: draft.birth.unwrap_or(seq.0),
            mark: 0,
        };
        self.put(key, draft.value, record)
    }

    fn redate(
        &mut self,
        key: &[u8],
        record: &Record,
        deadline: Option<Millis>,
    ) -> Result<Option<Record>, BackendError> {
        let Some(value) = self.read(key, record)? else {
            return Ok(None);
        };
        let record = Record {
            deadline,
            ..*record
        };
        self.put(key, &value, record).map(Some)
    }

    fn remove(&mut self, key: &[u8]) -> Result<Seq, BackendError> {
        let seq = self.number(true)?;
        self.change(key, Change::Removed);
        Ok(seq)
    }

    fn clear(&mut self) -> Result<(), BackendError> {
        let seq = self.number(true)?;
        self.clearing = Some(seq.0);
        for (key, change) in mem::take(&mut self.changes) {
            if let Change::Written(new, _) = change {
                self.folder.drop_new(&new);
            }
            self.changes.insert(key, Change::Removed);
        }
        Ok(())
    }

    fn forget(&mut self, keys: Box<dyn Iterator<Item = Key> + Send>) {
        self.forgotten.extend(keys);
    }

    fn commit(&mut self, _length: u64) -> Result<(), BackendError> {
        if self.changes.is_empty() && self.clearing.is_none() {
            return Ok(());
        }
        self.carry_out()
            .map_err(|error| self.failed("change files", &error))?;
        self.changes.clear();
        self.clearing = None;
        self.is_unsynced = self.syncing == Syncing::EverySecond;
        Ok(())
    }

    fn abandon(&mut self, catalogue: &mut Catalogue) -> Result<(), BackendError> {
        let changes = mem::take(&mut self.changes);
        for change in changes.values() {
            if let Change::Written(new, _) = change {
                self.folder.drop_new(new);
            }
        }
        if self.clearing.take().is_some() {
            // Whether it was carried out is seen by what there is; until that is read, nothing is
            // answered.
            let _ = self.read_anew(catalogue);
            return Ok(());
        }
        for key in changes.keys() {
            // The file is as it was, or as it was to be; which, may have to be seen later.
            let _ = self.reload(key, catalogue);
        }
        Ok(())
    }

    fn upkeep(&mut self, now: Millis, catalogue: &mut Catalogue) -> Result<Upkeep, BackendError> {
        self.hear(catalogue)?;
        if self.clearing.is_some() {
            return Ok(Upkeep::Idle);
        }
        let is_reading = self.unread.is_some() && self.read_some(catalogue)?;
        let of_missed = self.read_missed(now, catalogue);
        let is_forgetting = self.forget_some(catalogue)?;
        let of_sync = self.sync(now)?;
        Ok(if is_reading || is_forgetting {
            Upkeep::More
        } else {
            of_sync.and(of_missed)
        })
    }
}

impl Drop for Entries {
    fn drop(&mut self) {
        for change in self.changes.values() {
            if let Change::Written(new, _) = change {
                self.folder.drop_new(new);
            }
        }
        if self.is_unsynced {
            if let Err(error) = self.folder.sync_all() {
                tracing::warn!(%error, "what was written last may not be on the disk");
            }
        }
    }
}
