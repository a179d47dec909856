//! `leveldb:DIR` and its options.

use std::fmt;
use std::path::PathBuf;

use super::url::{Shown, Url};
use crate::config::Invalid;

/// A LevelDB database, as level-session-store keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LevelDb {
    /// The database's folder.
    pub folder: PathBuf,
}

impl LevelDb {
    /// A database with everything as it is by default.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
        }
    }

    pub(super) fn read(url: Url<'_>) -> Result<Self, Invalid> {
        let folder = url.path("folder, as in leveldb:sessions")?;
        url.end()?;
        Ok(Self::new(folder))
    }
}

impl fmt::Display for LevelDb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Shown::new(f, "leveldb", &self.folder).map(drop)
    }
}
