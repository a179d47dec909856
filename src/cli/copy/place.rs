//! The two stores of a copy: what they are called, how they are opened, which two make no sense.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use super::super::exit::{Exit, Failure};
use super::super::{output, read_secret};
use crate::cluster::{Options, Source, Store};
use crate::config::{self, Config, Limits, Standalone};
use crate::error::Error;

/// Where a store is.
#[derive(Debug)]
pub(super) enum Place {
    /// In the master behind this socket.
    Master(PathBuf),
    /// Where a URL says.
    Url(config::Store),
}

/// A store that is open.
pub(super) struct End {
    pub(super) store: Store,
    /// What messages call it.
    pub(super) name: String,
}

/// Something could not be done with a store.
pub(super) struct Trouble {
    doing: String,
    error: Error,
}

impl Place {
    /// # Errors
    /// It is no place, or one that only a master can open.
    pub(super) fn read(text: &str, config: &Config) -> Result<Self, Failure> {
        match text.split_once(':') {
            Some(("master", "")) => {
                if let Some(client) = config.client() {
                    return Ok(Self::Master(client.sock));
                }
            }
            Some(("master", sock)) => return Ok(Self::Master(sock.into())),
            _ => {}
        }
        if text == "memory:" || text.starts_with("master") {
            let why = format!("{text} is in a master: name it as master: or as master:SOCKET");
            return Err(Failure::Problems(Exit::Usage, vec![why]));
        }
        let store = text
            .parse()
            .map_err(|error| Error::Config(format!("{}: {error}", config::Store::told(text))))?;
        Ok(Self::Url(store))
    }

    /// # Errors
    /// Copied into the other, this one would copy itself.
    pub(super) fn check_with(&self, other: &Self) -> Result<(), Failure> {
        let are_one = match (self, other) {
            (Self::Url(config::Store::Redis(one)), Self::Url(config::Store::Redis(other))) => {
                one.is_within(other) || other.is_within(one)
            }
            (Self::Url(config::Store::Sqlite(one)), Self::Url(config::Store::Sqlite(other))) => {
                one.table == other.table && are_same(&one.path, &other.path)
            }
            (one, other) => match (one.path(), other.path()) {
                (Some(one), Some(other)) => are_same(one, other),
                _ => false,
            },
        };
        if !are_one {
            return Ok(());
        }
        let why = format!("{self} and {other} are the same store, or one is part of the other");
        Err(Failure::Problems(Exit::Usage, vec![why]))
    }

    /// The one file, folder or socket that it is.
    fn path(&self) -> Option<&Path> {
        match self {
            Self::Master(sock) => Some(sock),
            Self::Url(config::Store::File(path)) => Some(path),
            Self::Url(config::Store::Sqlite(sqlite)) => Some(&sqlite.path),
            Self::Url(config::Store::LevelDb(level)) => Some(&level.folder),
            Self::Url(config::Store::Files(files)) => Some(&files.folder),
            Self::Url(_) => None,
        }
    }

    pub(super) fn open(self, config: &Config) -> Result<End, Failure> {
        let name = self.to_string();
        let store = match self {
            Self::Master(sock) => {
                let options = Options {
                    sock: Some(sock),
                    secret: read_secret(config.secret_file.as_deref())?,
                    timeout: config.timeout,
                    ..Options::default()
                };
                options.connect_now()?
            }
            Self::Url(store) => {
                // Whatever the other store has, this one is to take.
                let limits = Limits {
                    max_key: Limits::MAX_KEY_CEILING,
                    max_value: Limits::MAX_VALUE_CEILING,
                    ..config.limits.clone()
                };
                let options = Options {
                    store: Source::from(store),
                    standalone: Standalone::Always,
                    limits,
                    timeout: config.timeout,
                    ..Options::default()
                };
                options.create()?
            }
        };
        Ok(End { store, name })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Master(sock) => write!(f, "master:{}", sock.display()),
            Self::Url(store) => store.fmt(f),
        }
    }
}

/// Whether two paths lead to the same place, by whatever way.
fn are_same(one: &Path, other: &Path) -> bool {
    match (fs::canonicalize(one), fs::canonicalize(other)) {
        (Ok(one), Ok(other)) => one == other,
        _ => one == other,
    }
}

impl End {
    /// What it is to have failed to `read` or to `write`, of the entry with a key where it is one.
    pub(super) fn trouble(&self, verb: &str, key: Option<&[u8]>, error: Error) -> Trouble {
        let of = key.map_or_else(String::new, |key| format!("{} ", key.escape_ascii()));
        let preposition = if verb == "read" { "from" } else { "to" };
        Trouble {
            doing: format!("cannot {verb} {of}{preposition} {}", self.name),
            error,
        }
    }
}

impl Trouble {
    /// Whether it is no use to try again.
    pub(super) fn is_lasting(&self) -> bool {
        matches!(
            self.error,
            Error::Unsupported { .. }
                | Error::KeyTooLong { .. }
                | Error::ValueTooLarge { .. }
                | Error::Authentication(_)
                | Error::Protocol(_)
                | Error::Config(_)
        )
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.doing, output::with_causes(&self.error))
    }
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        let sentences = vec![
            trouble.to_string(),
            "what was copied stays; run it again to go on".to_owned(),
        ];
        Self::Problems(Self::Error(trouble.error).exit(), sentences)
    }
}
