//! Opens what a store's URL names: the one place where URLs and backends meet.
//!
//! Each backend that is not memory takes its own part of [`config::Store`](crate::config::Store)
//! and is compiled under the feature of its name.

use super::{Backend, MemoryBackend};
use crate::config::{Store, Syncing};
use crate::error::Error;
use crate::time::Millis;

/// Opens a store, with one database; `now` is the time by the clock by which it will be used.
///
/// # Errors
/// [`Error::Config`] where the URL names what cannot be a store, or what is not compiled in;
/// otherwise as the backend says.
pub(crate) fn open(store: &Store, now: Millis) -> Result<Box<dyn Backend>, Error> {
    Ok(match store {
        Store::Memory => Box::new(MemoryBackend::new()),
        Store::File(path) => Box::new(MemoryBackend::open(path, Syncing::default(), now)?),
        #[cfg(feature = "redis")]
        Store::Redis(redis) => Box::new(super::RedisBackend::open(redis)?),
        #[cfg(feature = "sqlite")]
        Store::Sqlite(sqlite) => Box::new(super::SqliteBackend::open(sqlite)?),
        #[cfg(feature = "leveldb")]
        Store::LevelDb(leveldb) => Box::new(super::LevelDbBackend::open(leveldb)?),
        #[cfg(feature = "files")]
        Store::Files(files) => Box::new(super::FilesBackend::open(files)?),
        #[allow(
            unreachable_patterns,
            reason = "with all features there is nothing left"
        )]
        other => {
            let why = match other.check_built_in() {
                Err(invalid) => invalid.to_string(),
                Ok(()) => "cannot be opened yet".to_owned(),
            };
            return Err(Error::Config(format!("{other} {why}")));
        }
    })
}
