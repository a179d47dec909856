//! What is kept of a store beyond the process that holds it: loaded at its start, dumped at its end.
//!
//! Whoever comes to hold a store opens its backend by [`Options::open_backend`], before anybody is
//! served, and writes the [`LastDump`] when nobody is any more. Through the
//! [`Backend`] trait, so it works over any backend that can list its entries.
//!
//! Deadlines in a file are by the wall clock. That of the process with the store never steps, so
//! the two are compared anew each time: what is carried over is the time that is left.

use std::fs::File;
use std::io::{self, Seek as _};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::{Arc, Mutex};

use super::options::{Options, Role};
use crate::backend::databases::COUNT;
use crate::backend::{
    Backend, BackendError, Cursor, EntryRef, SessionRules, SharedBackend, Tombstones, Walk,
};
use crate::config::Limits;
use crate::contract::{Capabilities, Condition};
use crate::error::{Error, Result};
use crate::exec;
use crate::snapshot::{self, Format, Reader, Record, RecordRef, Replacement, Writer};
use crate::time::{Clock, SystemClock};

/// After so many entries of a walk the time is looked at again.
const PAGE: u64 = 512;

impl Options {
    /// The backend, with what `load_on_start` has. Also finds out now whether there can be a dump
    /// at the end.
    pub(crate) fn open_backend(&self, role: Role, clock: &dyn Clock) -> Result<SharedBackend> {
        let mut made = self.store.make(role)?;
        if let Some(sessions) = &self.sessions {
            if sessions.ttl.is_none() && made.is_shared() {
                return Err(Error::Config(format!(
                    "sessions {sessions}: several masters may share this store, and would remove \
                     each other's sessions when they start; give the time that sessions without \
                     one last, as in sess:=1d"
                )));
            }
            made = Box::new(SessionRules::new(made, sessions.clone()));
        }
        let mut backend: Box<dyn Backend> = Box::new(Tombstones::new(made, &self.tombstones));
        let wishes = [&self.load_on_start, &self.dump_on_exit];
        let is_kept = wishes.iter().any(|path| path.is_some());
        if is_kept && !backend.capabilities().has(Capabilities::ALL) {
            return Err(Error::Config(
                "the store's backend cannot list its entries, so there can be no dump of it: \
                 leave out load-on-start and dump-on-exit"
                    .to_owned(),
            ));
        }
        if let Some(path) = &self.dump_on_exit {
            drop(Replacement::create(path)?);
        }
        if let Some(path) = &self.load_on_start {
            load(backend.as_mut(), clock, &self.limits, path)?;
        }
        Ok(Arc::new(Mutex::new(backend)))
    }
}

fn load(backend: &mut dyn Backend, clock: &dyn Clock, limits: &Limits, path: &Path) -> Result<()> {
    let name = path.display();
    let Some(mut file) = snapshot::open(path)? else {
        tracing::info!(path = %name, "there is no dump yet; the store begins as it is");
        return Ok(());
    };
    // Looked through before anything is written, for a backend may outlive this process: half a
    // dump in it would be taken for a store of its own at the next start.
    check(&file, path, limits)?;
    file.rewind()
        .map_err(Error::io(format!("read {name} again")))?;
    if !is_empty(backend, clock).map_err(|error| Error::Backend(error.to_string()))? {
        tracing::warn!(path = %name, "the store has entries already; the dump was not loaded");
        return Ok(());
    }
    let (mut loaded, mut expired) = (0_u64, 0_u64);
    let wall = SystemClock::new();
    let mut reader = Reader::new(file).map_err(|error| error.of(&name.to_string()))?;
    while let Some(record) = reader.next() {
        let record = record.map_err(|error| error.of(&name.to_string()))?;
        let Some(left) = reader.left(wall.now(), record.deadline) else {
            expired += 1;
            continue;
        };
        let now = clock.now();
        let deadline = exec::deadline(now, left);
        let Record {
            key,
            value,
            kind,
            database,
            ..
        } = &record;
        let value = (*kind, &value[..]);
        let done = match database_of(backend, *database) {
            Some(store) => store.set_kind(now, key, value, deadline, Condition::Always),
            None => Err(BackendError::Unsupported("more than one database")),
        };
        if let Err(error) = done {
            for number in 0..COUNT {
                if backend.has_database(number) {
                    let _ = database_of(backend, number).map(|store| store.clear(now));
                }
            }
            let reason = format!("{name} could not be loaded: {error}, after {loaded} entries");
            return Err(match error {
                BackendError::OutOfMemory { .. } | BackendError::Full(_) => Error::Config(reason),
                _ => Error::Backend(reason),
            });
        }
        loaded += 1;
        if loaded % PAGE == 0 {
            backend.upkeep(now);
        }
    }
    let done = backend.commit();
    done.map_err(|error| Error::Backend(format!("{name} could not be loaded: {error}")))?;
    tracing::info!(path = %name, loaded, expired, "loaded");
    Ok(())
}

/// Reads a file to its end; fails if there is anything in it that cannot be loaded.
fn check(file: &File, path: &Path, limits: &Limits) -> Result<()> {
    let name = path.display().to_string();
    let of = |error: snapshot::ReadError| error.of(&name);
    for record in Reader::new(file).map_err(of)? {
        let Record { key, value, .. } = record.map_err(of)?;
        let (key, value) = (key.len(), value.len());
        let (max_key, max_value) = (limits.max_key, limits.max_value);
        if key > max_key || value > max_value {
            return Err(Error::Config(format!(
                "{name} has an entry with a key of {key} and a value of {value} bytes, and at \
                 most {max_key} and {max_value} are accepted (--max-key, --max-value)"
            )));
        }
    }
    Ok(())
}

/// The database with this number, where it is there or can be made.
fn database_of(backend: &mut dyn Backend, number: u8) -> Option<&mut dyn Backend> {
    if number == 0 {
        return Some(backend);
    }
    backend.database(number)
}

fn is_empty(backend: &mut dyn Backend, clock: &dyn Clock) -> Result<bool, BackendError> {
    let mut is_empty = true;
    for number in 0..COUNT {
        if !backend.has_database(number) {
            continue;
        }
        let Some(store) = database_of(backend, number) else {
            continue;
        };
        let mut cursor = Some(Cursor::default());
        while let (Some(at), true) = (cursor, is_empty) {
            cursor = store.all(clock.now(), at, &mut |_, _| {
                is_empty = false;
                Walk::Pause
            })?;
        }
    }
    Ok(is_empty)
}

/// The dump that is to be written when nobody is served any more.
pub(crate) struct LastDump {
    path: PathBuf,
    backend: SharedBackend,
    clock: Arc<dyn Clock>,
    /// Whose store it is: a child that was forked has but a copy.
    pid: u32,
}

impl LastDump {
    /// `None` where none was asked for.
    pub(crate) fn of(
        options: &Options,
        backend: &SharedBackend,
        clock: &Arc<dyn Clock>,
    ) -> Option<Self> {
        Some(Self {
            path: options.dump_on_exit.clone()?,
            backend: Arc::clone(backend),
            clock: Arc::clone(clock),
            pid: process::id(),
        })
    }

    /// [Writes](Self::write) it after the master has ended in this way.
    pub(crate) fn write_after<T>(&self, ended: &io::Result<T>) -> Result<()> {
        match ended {
            // The thread that has the backend was left behind with it.
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                let reason = format!("{error}, so the dump before is left as it is");
                tracing::error!(path = %self.path.display(), %error, "not dumped");
                Err(Error::Backend(reason))
            }
            _ => self.write(),
        }
    }

    /// Writes it, and says so in the log. If that fails, the file that was there is as before.
    pub(crate) fn write(&self) -> Result<()> {
        if self.pid != process::id() {
            return Ok(());
        }
        match self.replace() {
            Ok(entries) => {
                tracing::info!(path = %self.path.display(), entries, "dumped");
                Ok(())
            }
            Err(error) => {
                let cause = std::error::Error::source(&error);
                let cause = cause.map(ToString::to_string).unwrap_or_default();
                tracing::error!(path = %self.path.display(), %error, cause, "not dumped");
                Err(error)
            }
        }
    }

    /// The number of entries.
    fn replace(&self) -> Result<u64> {
        let file = Replacement::create(&self.path)?;
        let cannot = || Error::io(format!("write {}", self.path.display()));
        let wall = SystemClock::new();
        let mut writer = Writer::new(Format::Binary, file, wall.now()).map_err(cannot())?;
        // After a panic nobody knows what is in it, and there is a dump of which one does.
        let Ok(mut backend) = self.backend.lock() else {
            let reason = "it panicked, so the dump before is left as it is";
            return Err(Error::Backend(reason.to_owned()));
        };
        let mut entries = 0_u64;
        // The walks over all databases, one after the other.
        let there = (0..COUNT).filter(|number| backend.has_database(*number));
        let mut walks: Vec<_> = there
            .rev()
            .map(|number| (number, Cursor::default()))
            .collect();
        while let Some((database, at)) = walks.pop() {
            let Some(store) = database_of(backend.as_mut(), database) else {
                continue;
            };
            let (now, present) = (self.clock.now(), wall.now());
            let mut written = Ok(());
            let mut visit = |key: &[u8], entry: EntryRef<'_>| {
                let ttl_ms = exec::ttl_ms(now, entry.deadline);
                written = writer.write(&RecordRef {
                    key,
                    value: &entry.value,
                    deadline: ttl_ms.map(|ms| present.after_ms(ms)),
                    seq: entry.seq,
                    kind: entry.kind,
                    database,
                });
                entries += 1;
                if written.is_err() || entries % PAGE == 0 {
                    Walk::Pause
                } else {
                    Walk::On
                }
            };
            let next = store.all(now, at, &mut visit);
            let next = next.map_err(|error| Error::Backend(error.to_string()))?;
            walks.extend(next.map(|next| (database, next)));
            written.map_err(cannot())?;
        }
        writer.finish().map_err(cannot())?.commit()?;
        Ok(entries)
    }
}
