//! What can stand under a store: the [`Backend`] trait and the backends.
//!
//! The trait is the one seam between the store contract and what holds the data. A backend is
//! owned by one thread at a time and called synchronously; it is told the time and never asks for
//! it. Whoever calls it decides about sharing: see [`SharedBackend`].

#[cfg(any(feature = "leveldb", feature = "files"))]
mod catalogue;
#[cfg(any(feature = "leveldb", feature = "files"))]
mod catalogued;
pub(crate) mod databases;
pub mod fast_path;
#[cfg(feature = "files")]
mod files;
#[cfg(test)]
pub(crate) mod forwarding;
mod graves;
#[cfg(feature = "leveldb")]
mod leveldb;
mod memory;
#[cfg(test)]
mod model;
mod open;
mod pipelined;
#[cfg(feature = "redis")]
mod redis;
mod session;
mod sessions;
#[cfg(test)]
mod simulator;
#[cfg(feature = "sqlite")]
mod sqlite;
mod syncing;
mod tombstones;

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub use fast_path::FastPath;
#[cfg(feature = "files")]
pub use files::FilesBackend;
#[cfg(feature = "leveldb")]
pub use leveldb::LevelDbBackend;
pub use memory::MemoryBackend;
pub(crate) use open::open;
pub use pipelined::{Pipelined, Ticket, Wake};
#[cfg(feature = "redis")]
pub use redis::RedisBackend;
pub(crate) use sessions::SessionRules;
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteBackend;
pub(crate) use tombstones::Tombstones;

use crate::config::ByteSize;
pub use crate::config::WhenFull;
use crate::contract::{Capabilities, Condition, Gone, Kind, Seq};
use crate::time::Millis;

/// A backend that the master and the handles in the same process share. The lock is held for one
/// operation by a handle and for one turn by the master, on its loop's thread or, where the backend
/// [blocks](Backend::blocks), on one of the backend's own, which then runs what handles ask too.
pub type SharedBackend = Arc<Mutex<Box<dyn Backend>>>;

/// An entry in a backend. The value is borrowed where the backend can lend it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryRef<'a> {
    /// The value.
    pub value: Cow<'a, [u8]>,
    /// When it stops being visible; `None` never.
    pub deadline: Option<Millis>,
    /// The number of the write that made it.
    pub seq: Seq,
    /// What the value is.
    pub kind: Kind,
}

/// What a value is, and the value.
pub type Looked<'a> = (Kind, Cow<'a, [u8]>);

/// When a written entry shall stop being visible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deadline {
    /// Never.
    Never,
    /// At this time. In the past: the entry is removed, and counts as written.
    At(Millis),
    /// As it is; a new entry never.
    Keep,
}

/// What became of a `set`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetOutcome {
    /// It is written, as this version.
    Stored(Seq),
    /// The condition did not hold; this version was found.
    Conflict(Option<Seq>),
}

/// A position in a walk over all entries, chosen by the backend. Zero is the start. It is at most
/// [`MOST`](Self::MOST).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cursor(pub u64);

impl Cursor {
    /// There are clients (node-redis 4) that take cursors for floating-point numbers, which are
    /// exact up to this one.
    pub const MOST: u64 = 1 << 53;
}

/// Receives the entries of a walk, key and entry.
pub type Visitor<'v> = dyn FnMut(&[u8], EntryRef<'_>) -> Walk + 'v;

/// Gives the keys that are about to be looked at, and what of their entries is.
pub type Foreseen<'f> = dyn Fn(&mut dyn FnMut(&[u8], Look)) + 'f;

/// What of an entry is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Look {
    /// Whether it is there, and until when: by [`Backend::touch`] and [`Backend::destroy`].
    Deadline,
    /// Its value: by [`Backend::value`].
    Value,
    /// All of it.
    Entry,
}

impl Look {
    /// Both looks at once.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        if self == other { self } else { Self::Entry }
    }
}

/// Is told which entry went by itself: the number of its database, why, and its key.
pub type Teller<'t> = dyn FnMut(u8, Gone, &[u8]) + 't;

/// Whether a walk shall go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Walk {
    /// Give me the next entry.
    On,
    /// That is enough for this step; the entry just given is taken. Where the backend cannot go on
    /// right behind it, a few more may come.
    Pause,
}

/// What a step of background work left to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upkeep {
    /// More is waiting now.
    More,
    /// Nothing before this time.
    Until(Millis),
    /// Nothing until the store is written to.
    Idle,
}

impl Upkeep {
    /// What two kinds of work left to do.
    pub(crate) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::More, _) | (_, Self::More) => Self::More,
            (Self::Until(one), Self::Until(other)) => Self::Until(one.min(other)),
            (Self::Idle, one) | (one, Self::Idle) => one,
        }
    }
}

/// What is done with all entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sweep {
    /// They are counted: [`Backend::length`].
    Count,
    /// They are removed: [`Backend::clear`].
    Clear,
}

/// How far that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Swept {
    /// This is where to go on.
    On(Cursor),
    /// It is done; how many there are, if they were counted.
    All(u64),
}

/// The memory that a backend's data takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct MemoryUse {
    /// Bytes of everything that grows with the data.
    pub bytes: u64,
    /// Bytes that it may take; `None`: as many as there are.
    pub bound: Option<u64>,
    /// What happens at the bound.
    pub when_full: WhenFull,
    /// Entries that were evicted so far to stay within the bound.
    pub evicted: u64,
}

/// The entries that have a deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Expiring {
    /// How many there are.
    pub entries: u64,
    /// How far their deadlines are away in the mean, about, in milliseconds.
    pub mean_ms: u64,
}

/// What holds the data of a store.
///
/// An entry past its deadline is never visible, whether or not it has been removed. No call may
/// take long: what cannot be done in a fraction of a millisecond is done in steps, by
/// [`all`](Self::all) with a cursor and by [`upkeep`](Self::upkeep). A backend that has to wait for
/// somebody else (a disk, a server) says so by [`blocks`](Self::blocks).
///
/// A backend that stands over another one has to hand on every call, those with a default too: that
/// answers for the one below as if there were none. `#[deny(clippy::missing_trait_methods)]` on the
/// `impl` has clippy refuse one that is forgotten.
///
/// # Errors
/// [`BackendError::Unsupported`] from an operation that is not among the
/// [`capabilities`](Self::capabilities); otherwise as the variants say.
pub trait Backend: Send {
    /// What it can do beyond the four operations that every backend has.
    fn capabilities(&self) -> Capabilities;

    /// Whether others than the owner of this backend write to what it keeps: then between two calls
    /// everything may change.
    fn is_shared(&self) -> bool {
        false
    }

    /// Whether its calls wait for a disk or for another process. A master calls such a backend on
    /// a thread of its own, so that nobody but who asks something of it waits with it, and what many
    /// ask meanwhile becomes one turn with one [`commit`](Self::commit). It is asked once.
    fn blocks(&self) -> bool {
        false
    }

    /// How it is called on while it waits for somebody else, if it can be.
    fn pipelined(&mut self) -> Option<&mut dyn Pipelined> {
        None
    }

    /// The way past it for requests that its server can be asked as they are, while there is one.
    /// Whoever takes it has nothing else under way with the backend.
    fn fast_path(&self) -> Option<Arc<dyn FastPath>> {
        None
    }

    /// The live entry with this key.
    fn get(&mut self, now: Millis, key: &[u8]) -> Result<Option<EntryRef<'_>>, BackendError>;

    /// The value of the live entry with this key, for who looks at nothing else of it.
    fn value(&mut self, now: Millis, key: &[u8]) -> Result<Option<Looked<'_>>, BackendError> {
        let found = self.get(now, key)?;
        Ok(found.map(|entry| (entry.kind, entry.value)))
    }

    /// Writes an entry: value and deadline are replaced together.
    fn set(
        &mut self,
        now: Millis,
        key: &[u8],
        value: &[u8],
        deadline: Deadline,
        condition: Condition,
    ) -> Result<SetOutcome, BackendError>;

    /// As [`set`](Self::set), of any kind.
    fn set_kind(
        &mut self,
        now: Millis,
        key: &[u8],
        (kind, value): (Kind, &[u8]),
        deadline: Deadline,
        condition: Condition,
    ) -> Result<SetOutcome, BackendError> {
        match kind {
            Kind::Bytes => self.set(now, key, value, deadline, condition),
            Kind::Hash => Err(BackendError::Unsupported("a value that is a hash")),
        }
    }

    /// The database with this number, below 16, of the [sixteen](Capabilities::DATABASES) where
    /// it has them; it is the one with number 0 itself. `None` where there is no such database and
    /// none can be made.
    fn database(&mut self, _number: u8) -> Option<&mut dyn Backend> {
        None
    }

    /// Whether the database with this number is there, and may have entries.
    fn has_database(&self, number: u8) -> bool {
        number == 0
    }

    /// Moves the deadline of a live entry and nothing else; its version stays. Whether there was
    /// one. A deadline in the past removes it.
    fn touch(&mut self, now: Millis, key: &[u8], deadline: Deadline) -> Result<bool, BackendError>;

    /// Removes an entry. Whether a live one was there.
    fn destroy(&mut self, now: Millis, key: &[u8]) -> Result<bool, BackendError>;

    /// Removes an entry as [`destroy`](Self::destroy) does, if it is this version. Whether it was.
    /// Only of a backend that has [compare-and-set](Capabilities::COMPARE_AND_SET).
    fn destroy_if(&mut self, now: Millis, key: &[u8], seq: Seq) -> Result<bool, BackendError> {
        let over = Deadline::At(now);
        let outcome = self.set(now, key, b"", over, Condition::IfSeq(seq))?;
        Ok(matches!(outcome, SetOutcome::Stored(_)))
    }

    /// Removes an entry as [`destroy`](Self::destroy) does, and if a live one was there, refuses for
    /// so long what would bring it back unawares: a [`set`](Self::set) finds a conflict with
    /// nothing, unless it is to create the entry ([`Condition::IfAbsent`]). A store puts this over
    /// every backend; none has to have it.
    fn bury(
        &mut self,
        _now: Millis,
        _key: &[u8],
        _lasting: Duration,
    ) -> Result<bool, BackendError> {
        Err(BackendError::Unsupported("a destroy with a tombstone"))
    }

    /// Whether a [`set`](Self::set) of a key that is not there would be refused because of a
    /// [tombstone](Self::bury), unless it is to create the entry.
    fn is_buried(&mut self, _now: Millis, _key: &[u8]) -> bool {
        false
    }

    /// Gives the entry at `from` the key `to`, where there must be none, with value and deadline.
    /// What is at `from` stays for `grace` at the most, whoever writes to it, and for as long again
    /// it is as if it had been [buried](Self::bury). `None` if there is no live entry at `from`, or
    /// one that is only there for such a grace. A store puts this over every backend.
    fn regenerate(
        &mut self,
        _now: Millis,
        _from: &[u8],
        _to: &[u8],
        _grace: Duration,
    ) -> Result<Option<SetOutcome>, BackendError> {
        Err(BackendError::Unsupported("regenerate"))
    }

    /// Walks on from `cursor` until `visit` pauses, and says where to go on; `None` at the end. It
    /// may pause by itself where it looks long for the next entry.
    ///
    /// An entry that is there from the start of a walk to its end is visited at least once, and
    /// only once unless it is written meanwhile. A walk ends, however much is written meanwhile.
    /// Any number is a position: one that no walk has given is some place, from where what lies
    /// behind it is visited.
    fn all(
        &mut self,
        _now: Millis,
        _cursor: Cursor,
        _visit: &mut Visitor<'_>,
    ) -> Result<Option<Cursor>, BackendError> {
        Err(BackendError::Unsupported("all"))
    }

    /// The number of live entries, exactly.
    fn length(&mut self, _now: Millis) -> Result<u64, BackendError> {
        Err(BackendError::Unsupported("length"))
    }

    /// The live entries that have a deadline, where that is known without looking at them.
    fn expiring(&mut self, _now: Millis) -> Option<Expiring> {
        None
    }

    /// Removes everything. What it held may be freed later, by [`upkeep`](Self::upkeep).
    fn clear(&mut self, _now: Millis) -> Result<(), BackendError> {
        Err(BackendError::Unsupported("clear"))
    }

    /// A step of [`length`](Self::length) or [`clear`](Self::clear), from `at` on, zero at the start:
    /// for a backend that [is shared](Self::is_shared) and has to look at every entry for them. A
    /// master lets others have their turn between two steps. What is written meanwhile may count or
    /// not.
    fn sweep(&mut self, now: Millis, what: Sweep, _at: Cursor) -> Result<Swept, BackendError> {
        match what {
            Sweep::Count => self.length(now).map(Swept::All),
            Sweep::Clear => self.clear(now).map(|()| Swept::All(0)),
        }
    }

    /// The memory its data takes, where it is kept in this process's memory and counted.
    fn memory_use(&self) -> Option<MemoryUse> {
        None
    }

    /// Does a bounded step of background work: removes what has expired, frees what was cleared.
    fn upkeep(&mut self, _now: Millis) -> Upkeep {
        Upkeep::Idle
    }

    /// Tells which entries went by themselves since it was last asked, in order, with the number
    /// of the database. From the first call on such entries are remembered, until a call with
    /// nothing to tell it to. Of very many in between some may be left out.
    fn gone(&mut self, _tell: Option<&mut Teller<'_>>) {}

    /// Makes what was written as lasting as was asked for; only then is it acknowledged. Called
    /// once for all requests of a turn of the master, whether or not they wrote, and after each
    /// step of upkeep. It may take as long as the disk does.
    ///
    /// # Errors
    /// Nothing that was written since the last commit is done, but for what [`is_done`](Self::is_done)
    /// names; else the backend is as it was then, and can be used on. Where it [blocks](Self::blocks), the error is the answer to whoever wrote or
    /// may have read what was written. After [`BackendError::Broken`], and after any error of a
    /// backend that does not block, the master ends without acknowledging anything.
    fn commit(&mut self) -> Result<(), BackendError> {
        Ok(())
    }

    /// After a [`commit`](Self::commit) that failed: whether what was written to this key is done
    /// all the same. Only of a backend that [is shared](Self::is_shared) this is asked; where a
    /// commit is done as a whole or not at all, there is nothing to tell.
    fn is_done(&self, _key: &[u8]) -> bool {
        false
    }
}

/// Why a backend did not do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum BackendError {
    /// It has no such operation.
    #[error("{0} is not supported by the store's backend")]
    Unsupported(&'static str),
    /// It is at its memory bound, or where it has none, the system has no more.
    #[error("the store is full{}", .bound.map_or_else(
        || ": the system has no more memory".to_owned(),
        |bound| format!(" (--max-memory {bound})"),
    ))]
    OutOfMemory {
        /// The bound.
        bound: Option<ByteSize>,
    },
    /// What it keeps its data in has no more room, for this reason.
    #[error("the store is full: {0}")]
    Full(String),
    /// It has too much to do.
    #[error("the backend is busy")]
    Busy,
    /// It did not answer in time.
    #[error("the store's backend did not answer in time; {outcome}")]
    TimedOut {
        /// What became of what was asked.
        outcome: Outcome,
    },
    /// It failed, for this reason.
    #[error("{0}")]
    Failed(String),
    /// It failed, for this reason, and is not to be relied on any more. Only of a
    /// [`commit`](Backend::commit) is this more than [`Failed`](Self::Failed).
    #[error("{0}")]
    Broken(String),
}

/// What is known of something that was given up on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was never begun and never will be.
    NotDone,
    /// It may or may not have been done, or be done yet.
    Unknown,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotDone => "nothing was done",
            Self::Unknown => "it may or may not have been done",
        })
    }
}

#[cfg(test)]
#[path = "contract_tests.rs"]
mod tests;
