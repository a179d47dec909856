//! `files:DIR` and its options.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::url::{Shown, Url};
use crate::config::{Invalid, Syncing, duration};

/// A folder with a file for each entry, as session-file-store keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Files {
    /// The folder.
    pub folder: PathBuf,
    /// `sync`: when what is written is taken to the disk; by default always, before it is
    /// acknowledged.
    pub sync: Syncing,
    /// `ttl`: how long a session lives after it was last used by the other side, where its cookie
    /// does not say; what session-file-store has as its option `ttl`. An hour by default, as there.
    pub ttl: Duration,
}

impl Files {
    /// A folder with everything as it is by default.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            sync: Syncing::Always,
            ttl: Duration::from_secs(3_600),
        }
    }

    pub(super) fn read(mut url: Url<'_>) -> Result<Self, Invalid> {
        let default = Self::new(url.path("folder, as in files:sessions")?);
        let sync = url.option("sync")?.unwrap_or(default.sync);
        let ttl = url.option("ttl")?.map_or(default.ttl, |Ttl(ttl)| ttl);
        url.end()?;
        Ok(Self {
            sync,
            ttl,
            ..default
        })
    }
}

impl fmt::Display for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let default = Self::new("");
        let mut shown = Shown::new(f, "files", &self.folder)?;
        shown.option("sync", &self.sync, &default.sync)?;
        shown.option("ttl", &Ttl(self.ttl), &Ttl(default.ttl))
    }
}

/// A time to live.
#[derive(PartialEq)]
struct Ttl(Duration);

impl FromStr for Ttl {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let ttl = duration::parse(text)?;
        if ttl < Duration::from_millis(1) {
            return Err(Invalid::new("must be a millisecond or more"));
        }
        Ok(Self(ttl))
    }
}

impl fmt::Display for Ttl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        duration::display(self.0).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Files, Invalid> {
        Files::read(Url::new(text)?)
    }

    #[test]
    fn it_is_read_as_it_is_shown() {
        for text in [
            "/var/lib/my-app/sessions",
            "s?sync=never",
            "s?sync=1s&ttl=1day",
        ] {
            assert_eq!(read(text).unwrap().to_string(), format!("files:{text}"));
        }
        assert_eq!(read("s?ttl=1h&sync=always"), Ok(Files::new("s")));
        assert!(read("s?ttl=0").is_err());
    }
}
