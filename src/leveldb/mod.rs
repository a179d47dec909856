//! LevelDB's files, as LevelDB itself reads and writes them: a database in a folder, for one thread
//! of one process.
//!
//! [`Database`] puts it together: a write is appended to a log (`writing`, `log`) and kept in memory; from time
//! to time what is in memory becomes a table (`table`, `builder`, `block`), and tables are merged
//! into fewer ones in steps (`merge`, `compaction`). Which tables there are stands in a manifest
//! (`manifest`, `levels`). Every access to the folder goes through one seam, `disk`, so that tests
//! can have disks that are full, break, or forget what was not synced.
//!
//! What holds it together: the state in memory changes only after the files have; a file is written
//! once, except for logs and manifests, which only grow; and what a manifest names is on the disk
//! before the manifest names it. So an error leaves everything as it was.
//!
//! It is written here because the crate that there is (`rusty-leveldb` 4.0.2) does not keep that: it
//! drops its inputs when a merge fails, puts new tables below older ones, so that what was deleted
//! comes back, hides entries that lie before a deleted one, never syncs, and takes another lock than
//! LevelDB. The format: `doc/log_format.md`, `doc/table_format.md` and `doc/impl.md` of
//! <https://github.com/google/leveldb>.
//!
//! Left out: snapshots, walks backwards, and filters, which tables of others may have and which are
//! not needed where it is known which keys there are.

mod block;
mod builder;
mod coding;
mod compaction;
mod database;
mod disk;
mod levels;
mod log;
mod manifest;
mod merge;
mod recovery;
mod table;
mod writing;

#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod testing;

pub(crate) use database::Database;
pub(crate) use disk::{Disk, Folder};
#[cfg(test)]
pub(crate) use testing::FakeDisk;
pub(crate) use writing::Batch;

use std::io;

/// Why a database did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LevelError {
    /// The system refused something.
    #[error("cannot {action} {name}: {source}")]
    Io {
        action: &'static str,
        name: String,
        source: io::Error,
    },
    /// A file is not what LevelDB has written.
    #[error("{name} is damaged: {what}")]
    Damaged { name: String, what: &'static str },
    /// A log has something wrong before something right, and every write of it was to be synced.
    #[error("{name} is damaged at byte {at}: {what}")]
    Hole {
        name: String,
        at: usize,
        what: &'static str,
    },
    /// Another process has the lock.
    #[error("it is in use by another process{}", .pid.map_or(String::new(), |pid| format!(" ({pid})")))]
    InUse { pid: Option<i32> },
    /// It is in an order that is not known here.
    #[error("its keys are in an order called {0:?}, not bytewise")]
    Order(String),
}

impl LevelError {
    /// For `map_err`: what was attempted, on which file.
    fn io<'a>(action: &'static str, name: &'a str) -> impl FnOnce(io::Error) -> Self + 'a {
        move |source| Self::Io {
            action,
            name: name.to_owned(),
            source,
        }
    }

    /// A file that another one names has to be there.
    fn or_missing(self) -> Self {
        match self {
            Self::Io { name, source, .. } if source.kind() == io::ErrorKind::NotFound => {
                Self::damaged(&name, "it is missing")
            }
            other => other,
        }
    }

    fn damaged(name: &str, what: &'static str) -> Self {
        let name = name.to_owned();
        Self::Damaged { name, what }
    }
}

/// What a hole in the newest log is: something wrong, with whole records behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holes {
    /// Damage: every write was synced before the next one, so what is behind it was acknowledged,
    /// and so was what is missing.
    Refused,
    /// What a loss of power leaves where writes were not synced: the log is read up to it, and kept.
    LeftOut,
}

type Result<T, E = LevelError> = std::result::Result<T, E>;

/// Removes a file that nothing names; one that stays is removed when the database is next opened.
fn remove(disk: &dyn Disk, name: &str) {
    match disk.remove(name) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::debug!(name, %error, "a file of the database stays");
        }
        _ => {}
    }
}
