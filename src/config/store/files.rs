//! `files:DIR` and its options.

use std::fmt;
use std::path::PathBuf;

use super::url::{Shown, Url};
use crate::config::Invalid;

/// A folder with a file for each entry, as session-file-store keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Files {
    /// The folder.
    pub folder: PathBuf,
}

impl Files {
    /// A folder with everything as it is by default.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
        }
    }

    pub(super) fn read(url: Url<'_>) -> Result<Self, Invalid> {
        let folder = url.path("folder, as in files:sessions")?;
        url.end()?;
        Ok(Self::new(folder))
    }
}

impl fmt::Display for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Shown::new(f, "files", &self.folder).map(drop)
    }
}
