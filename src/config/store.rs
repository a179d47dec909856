//! What holds the data, named like a URL: the scheme says which backend, what follows is its own.
//!
//! A [`Store`] is what was asked for; `backend::open` is where it is opened. Every backend reads
//! and shows the rest of its URL in a file of its own below `store`. What is not compiled in can be
//! named too: it is refused, with the Cargo feature that has it.

mod files;
mod leveldb;
mod login;
mod redis;
mod sqlite;
mod url;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

pub use files::Files;
pub use leveldb::LevelDb;
pub use login::{Login, Password};
pub use redis::{Host, Redis, Servers};
pub use sqlite::{Sqlite, Synchronous};

use super::Invalid;
use url::{Shown, Url};

/// What holds the data, named by a scheme as in `memory:`.
///
/// ```
/// use memstore_cluster::config::Store;
///
/// let store: Store = "memory:/dev/shm/my-app.store".parse()?;
/// assert_eq!(store, Store::File("/dev/shm/my-app.store".into()));
/// assert!("memory:x?colour=green".parse::<Store>().is_err());
/// # Ok::<(), memstore_cluster::config::Invalid>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Store {
    /// The master's own memory: `memory:`.
    #[default]
    Memory,
    /// The memory of a file, which outlives the master: `memory:PATH`.
    File(PathBuf),
    /// A table of an SQLite database: `sqlite:PATH`.
    Sqlite(Sqlite),
    /// A LevelDB database: `leveldb:DIR`.
    LevelDb(LevelDb),
    /// A folder with a file for each entry: `files:DIR`.
    Files(Files),
    /// Redis, elsewhere: `redis://HOST` and others.
    Redis(Redis),
}

/// The schemes, for whoever has written another one.
const SCHEMES: &str = "memory:, sqlite:, leveldb:, files:, redis:, rediss:, redis+unix:, \
                       redis-sentinel: and redis-cluster:";

impl Store {
    /// Whether the data is in this program's own memory, of which `--max-memory` speaks.
    pub const fn is_memory(&self) -> bool {
        matches!(self, Self::Memory | Self::File(_))
    }

    /// Whether the URL itself has a password.
    #[cfg(feature = "cli")]
    pub(crate) fn has_password(&self) -> bool {
        let Self::Redis(redis) = self else {
            return false;
        };
        matches!(redis.login.password, Some(Password::Given(_)))
    }

    /// What a message has in the place of a URL that could not be read: all of it only where no
    /// password can be in it.
    pub(crate) fn told(url: &str) -> String {
        let is_part = |part: &str| {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"+-._".contains(&byte);
            part.bytes().all(allowed)
        };
        match url.split_once(':') {
            Some(("memory" | "sqlite" | "leveldb" | "files", _)) => url.to_owned(),
            Some((scheme, _)) if is_part(scheme) => format!("{scheme}:…"),
            None if is_part(url) => url.to_owned(),
            _ => "…".to_owned(),
        }
    }

    /// The Cargo feature without which it cannot be opened, and whether that is compiled in.
    fn feature(&self) -> Option<(&'static str, bool)> {
        match self {
            Self::Memory | Self::File(_) => None,
            Self::Sqlite(_) => Some(("sqlite", cfg!(feature = "sqlite"))),
            Self::LevelDb(_) => Some(("leveldb", cfg!(feature = "leveldb"))),
            Self::Files(_) => Some(("files", cfg!(feature = "files"))),
            Self::Redis(_) => Some(("redis", cfg!(feature = "redis"))),
        }
    }

    /// Refuses what this program cannot open.
    ///
    /// # Errors
    /// Names the Cargo feature that it needs.
    pub fn check_built_in(&self) -> Result<(), Invalid> {
        match self.feature() {
            Some((feature, false)) => Err(Invalid::new(format!(
                "is a store of a kind that is not built into this program; build it with the \
                 Cargo feature {feature}"
            ))),
            _ => Ok(()),
        }
    }
}

impl FromStr for Store {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let Some((scheme, rest)) = text.split_once(':').filter(|(name, _)| !name.is_empty()) else {
            return Err(Invalid::new(
                "must name the kind of store before a colon, as in memory:",
            ));
        };
        let store = match scheme {
            "memory" => memory(Url::new(rest)?)?,
            "sqlite" => Self::Sqlite(Sqlite::read(Url::new(rest)?)?),
            "leveldb" => Self::LevelDb(LevelDb::read(Url::new(rest)?)?),
            "files" => Self::Files(Files::read(Url::new(rest)?)?),
            other if Redis::has(other) => Self::Redis(Redis::read(text)?),
            _ => {
                return Err(Invalid::new(format!(
                    "names a kind of store that there is not; there are {SCHEMES}"
                )));
            }
        };
        store.check_built_in()?;
        Ok(store)
    }
}

fn memory(url: Url<'_>) -> Result<Store, Invalid> {
    if url.has_no_path() {
        url.end()?;
        return Ok(Store::Memory);
    }
    let path = url.path("file, as in memory:/dev/shm/my-app.store")?;
    url.end()?;
    Ok(Store::File(path))
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory:"),
            Self::File(path) => Shown::new(f, "memory", path).map(drop),
            Self::Sqlite(sqlite) => sqlite.fmt(f),
            Self::LevelDb(leveldb) => leveldb.fmt(f),
            Self::Files(files) => files.fmt(f),
            Self::Redis(redis) => redis.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_that_of_the_program_or_of_a_file() {
        assert_eq!("memory:".parse(), Ok(Store::Memory));
        assert_eq!(Store::Memory.to_string(), "memory:");
        let file = Store::File("/dev/shm/a:b".into());
        assert_eq!("memory:/dev/shm/a:b".parse(), Ok(file.clone()));
        assert_eq!("memory:///dev/shm/a:b".parse(), Ok(file.clone()));
        assert_eq!(file.to_string(), "memory:/dev/shm/a:b");
    }

    #[test]
    fn what_is_no_store_is_told_what_would_be_one() {
        for (text, hint) in [
            (
                "mysql://localhost",
                "a kind of store that there is not; there are memory:, sqlite:",
            ),
            ("memory", "before a colon"),
            (":", "before a colon"),
            ("", "before a colon"),
            ("memory:?sync=1s", "has no option \"sync\""),
            ("memory:x?y=1", "has no option \"y\""),
        ] {
            let error = text.parse::<Store>().unwrap_err().to_string();
            assert!(error.contains(hint), "{text}: {error}");
        }
    }

    #[test]
    fn what_is_not_compiled_in_names_its_feature() {
        for (text, feature, is_built_in) in [
            ("sqlite:x", "sqlite", cfg!(feature = "sqlite")),
            ("leveldb:x", "leveldb", cfg!(feature = "leveldb")),
            ("files:x", "files", cfg!(feature = "files")),
            ("redis://x", "redis", cfg!(feature = "redis")),
        ] {
            match text.parse::<Store>() {
                Ok(store) => {
                    assert!(is_built_in);
                    assert_eq!(store.to_string(), text);
                }
                Err(error) => {
                    assert!(!is_built_in);
                    let hint = format!("the Cargo feature {feature}");
                    assert!(error.to_string().ends_with(&hint), "{error}");
                }
            }
        }
    }
}
