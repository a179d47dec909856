//! `leveldb:DIR` and its options.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::url::{Shown, Url};
use crate::config::{Invalid, Syncing};

/// A LevelDB database, as level-session-store keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LevelDb {
    /// The database's folder.
    pub folder: PathBuf,
    /// `ns`: before every key stands this name and a slash, as where level-session-store was given a
    /// database instead of a path (there it is `_session` by default). Without it the store has the
    /// database to itself.
    pub namespace: Option<String>,
    /// `sync`: when what is written is taken to the disk; by default always, before it is
    /// acknowledged. Otherwise a loss of power may leave a hole in the newest log: it is read up to
    /// there then, with a warning, and all of it kept as `NUMBER.log.damaged`. With always that is
    /// damage, and refused.
    pub sync: Syncing,
}

impl LevelDb {
    /// A database with everything as it is by default.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            namespace: None,
            sync: Syncing::Always,
        }
    }

    pub(super) fn read(mut url: Url<'_>) -> Result<Self, Invalid> {
        let folder = url.path("folder, as in leveldb:sessions")?;
        let namespace = url.option("ns")?.map(|Namespace(name)| name);
        let sync = url.option("sync")?.unwrap_or(Syncing::Always);
        url.end()?;
        Ok(Self {
            folder,
            namespace,
            sync,
        })
    }
}

impl fmt::Display for LevelDb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = Shown::new(f, "leveldb", &self.folder)?;
        let namespace = self.namespace.as_deref().unwrap_or_default();
        shown.option("ns", &namespace, &"")?;
        shown.option("sync", &self.sync, &Syncing::Always)
    }
}

/// A name that stands before keys.
struct Namespace(String);

impl FromStr for Namespace {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text.is_empty() || text.contains('\0') {
            return Err(Invalid::new("must be a name, such as _session"));
        }
        Ok(Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<LevelDb, Invalid> {
        LevelDb::read(Url::new(text)?)
    }

    #[test]
    fn it_is_read_as_it_is_shown() {
        for text in [
            "/var/lib/my-app/sessions",
            "s?ns=_session",
            "s?ns=a&sync=1s",
        ] {
            assert_eq!(read(text).unwrap().to_string(), format!("leveldb:{text}"));
        }
        assert_eq!(read("s?sync=always"), Ok(LevelDb::new("s")));
        assert!(read("s?ns=").is_err());
    }
}
