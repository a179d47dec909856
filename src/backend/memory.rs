//! The memory backend: the rules of the [`Backend`] contract over the engine in `store`.
//!
//! Conditions and what a deadline in the past means are decided here; where and how
//! entries are kept is the engine's.

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use super::syncing::{Background, Foreground, Syncer};
use super::{
    Backend, BackendError, Cursor, Deadline, EntryRef, Expiring, MemoryUse, SetOutcome, Teller,
    Upkeep, Visitor, Walk, WhenFull,
};
use crate::config::{ByteSize, Syncing};
use crate::contract::{Capabilities, Condition, Kind};
use crate::error::Error;
use crate::store::{AnyPages, Engine, FileError, HashKey, HeapPages, Left, MappedPages, Recovered};
use crate::time::Millis;

/// Keeps entries in memory: this process's own, or that of a file.
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
    /// Ends, with a last sync, before the engine and its file do.
    syncer: Syncer,
    engine: Engine<AnyPages>,
}

impl MemoryBackend {
    /// An empty store without a bound, in the memory of this process.
    ///
    /// # Panics
    /// If the system has no random bytes.
    pub fn new() -> Self {
        Self::with_key(random_key())
    }

    pub(super) fn with_key(key: HashKey) -> Self {
        // To miri all addresses of a mapping are memory, which is too much.
        let mapped = if cfg!(miri) {
            Err(io::ErrorKind::Unsupported.into())
        } else {
            MappedPages::anonymous().map(AnyPages::Mapped)
        };
        let pages = mapped.unwrap_or_else(|error| {
            tracing::debug!(%error, "the store is on the heap");
            AnyPages::Heap(HeapPages::default())
        });
        Self::over(pages, key).expect("there is memory for an empty store")
    }

    /// As [`new`](Self::new), in memory that has a descriptor (`memfd_create(2)`) and can be
    /// mapped by whoever that is passed on to. Where there is no such memory it is as by `new`,
    /// with a warning in the log.
    ///
    /// # Panics
    /// If the system has no random bytes.
    pub fn shared() -> Self {
        let made = MappedPages::shared().map(AnyPages::Mapped);
        let made = made.and_then(|pages| Self::over(pages, random_key()));
        made.unwrap_or_else(|error| {
            tracing::warn!(%error, "no memory with a descriptor for the store");
            Self::new()
        })
    }

    /// The store in a file, or an empty one where the file is empty or not there yet. It is the
    /// file's only user as long as it lives: nobody else may write to the file or shorten it.
    ///
    /// Everything that was written is in the file at once, so it survives the death of this
    /// process; `syncing` says how far it survives a loss of power. `now` is the time by the clock
    /// by which the store will be used, which should be the same, or another machine's good one,
    /// in every process that ever opens the file: entries keep their deadlines.
    ///
    /// ```
    /// use memstore_cluster::backend::{Backend, Deadline, MemoryBackend};
    /// use memstore_cluster::config::Syncing;
    /// use memstore_cluster::contract::Condition;
    /// use memstore_cluster::time::Millis;
    ///
    /// # let folder = std::env::temp_dir().join(format!("memstore-doc-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder)?;
    /// let path = folder.join("store");
    /// let now = Millis::from_unix(1_700_000_000_000);
    /// let mut store = MemoryBackend::open(&path, Syncing::Never, now)?;
    /// store.set(now, b"key", b"value", Deadline::Never, Condition::Always)?;
    /// drop(store);
    ///
    /// let mut store = MemoryBackend::open(&path, Syncing::Never, now)?;
    /// assert_eq!(store.length(now)?, 1);
    /// # std::fs::remove_dir_all(&folder)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Config`] where the file is none, or another user's, or in use, or is not a store
    /// that this version can read; it is unchanged then. [`Error::Io`] for what the system refuses.
    ///
    /// # Panics
    /// If the system has no random bytes.
    pub fn open(path: impl AsRef<Path>, syncing: Syncing, now: Millis) -> Result<Self, Error> {
        let path = path.as_ref();
        let is_lasting = syncing != Syncing::Never;
        let (pages, count) = MappedPages::open(path, is_lasting)?;
        let pages = AnyPages::Mapped(pages);
        let mut engine = if count == 0 {
            let engine = Engine::create(pages, random_key()).map_err(on("make", path))?;
            tracing::info!(path = %path.display(), %syncing, "an empty store in a file");
            engine
        } else {
            recover(pages, count, path, now)?
        };
        engine.fit_file().map_err(on("allocate", path))?;
        let file = engine.file().expect("its pages are a file's");
        let syncer = match syncing {
            Syncing::Never => Syncer::Never,
            Syncing::EverySecond => {
                Syncer::EverySecond(Background::start(file, path).map_err(on("sync", path))?)
            }
            Syncing::Always => {
                Syncer::Always(Foreground::new(file, path).map_err(on("sync", path))?)
            }
        };
        if is_lasting {
            sync_name(path).map_err(on("sync the folder of", path))?;
            engine.set_lasting();
        }
        Ok(Self { syncer, engine })
    }

    fn over(pages: AnyPages, key: HashKey) -> io::Result<Self> {
        Ok(Self {
            syncer: Syncer::Never,
            engine: Engine::create(pages, key)?,
        })
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

    /// As [`max_memory`](Self::max_memory), later on.
    pub(super) fn set_max_memory(&mut self, bytes: u64) {
        self.engine.set_bound(bytes);
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

fn random_key() -> HashKey {
    let mut key = [0; 16];
    getrandom::fill(&mut key).expect("the system has random bytes");
    HashKey(key)
}

/// Opens what is in a file already.
fn recover(
    pages: AnyPages,
    count: u32,
    path: &Path,
    now: Millis,
) -> Result<Engine<AnyPages>, Error> {
    let begin = Instant::now();
    let (engine, found) = Engine::open(pages, count, now).map_err(FileError::refused(path))?;
    let Recovered {
        entries,
        expired,
        superseded,
        damaged,
    } = found;
    let (took, path) = (begin.elapsed(), path.display());
    tracing::info!(%path, entries, expired, superseded, ?took, "the store is recovered");
    if damaged > 0 {
        tracing::warn!(%path, damaged, "entries that were not whole are dropped");
    }
    Ok(engine)
}

/// Takes the name of a file to the disk.
fn sync_name(path: &Path) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    File::open(folder)?.sync_all()
}

fn on(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let failed = FileError::io(action, path);
    move |error| failed(error).into()
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
            .with(Capabilities::KINDS)
    }

    fn get(&mut self, now: Millis, key: &[u8]) -> Result<Option<EntryRef<'_>>, BackendError> {
        self.engine.advance(now);
        Ok(self.engine.get(key).map(|found| EntryRef {
            value: Cow::Borrowed(found.value),
            deadline: found.deadline,
            seq: found.seq,
            kind: found.kind,
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
        self.syncer.written();
        let deadline = match deadline {
            Deadline::Never => None,
            Deadline::At(at) => Some(at),
            Deadline::Keep => place.live.and_then(|(_, deadline)| deadline),
        };
        let seq = self.engine.number();
        if deadline.is_some_and(|deadline| deadline <= now) {
            self.engine.remove(place);
        } else {
            let done = self.engine.put(place, key, (kind, value), deadline, seq);
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
        self.syncer.written();
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
        if place.live.is_some() {
            self.syncer.written();
        }
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
                kind: found.kind,
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

    fn expiring(&mut self, now: Millis) -> Option<Expiring> {
        self.engine.advance(now);
        let (entries, mean_ms) = self.engine.expiring();
        Some(Expiring { entries, mean_ms })
    }

    fn clear(&mut self, now: Millis) -> Result<(), BackendError> {
        self.engine.advance(now);
        self.engine.clear();
        self.syncer.written();
        Ok(())
    }

    fn memory_use(&self) -> Option<MemoryUse> {
        Some(MemoryUse {
            bytes: self.memory(),
            bound: self.memory_bound(),
            when_full: self.engine.when_full(),
            evicted: self.engine.evicted(),
        })
    }

    fn upkeep(&mut self, now: Millis) -> Upkeep {
        self.engine.advance(now);
        let of_syncs = self.syncer.upkeep(now, &mut self.engine);
        let of_entries = match self.engine.upkeep() {
            Left::More => Upkeep::More,
            Left::Until(at) => Upkeep::Until(at),
            Left::Nothing => Upkeep::Idle,
        };
        of_entries.and(of_syncs)
    }

    fn gone(&mut self, tell: Option<&mut Teller<'_>>) {
        match tell {
            None => self.engine.ignore_gone(),
            Some(tell) => {
                for (gone, key) in self.engine.take_gone() {
                    tell(0, gone, &key);
                }
            }
        }
    }

    fn commit(&mut self) -> Result<(), BackendError> {
        self.syncer.commit(&mut self.engine)
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
