//! `sqlite:PATH` and its options.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::url::{Shown, Url};
use crate::config::{ByteSize, Invalid, duration};

/// A table of an SQLite database, as connect-session-knex makes it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sqlite {
    /// The database's file.
    pub path: PathBuf,
    /// `table`: the name of the table; `sessions` by default.
    pub table: String,
    /// `synchronous`: when what is written is taken to the disk.
    pub synchronous: Synchronous,
    /// `lock-timeout`: how long to wait for other programs that use the database; 500 ms by
    /// default.
    pub lock_timeout: Duration,
    /// `max-size`: the most bytes that the file may have; `None`: as many as there are.
    pub max_size: Option<ByteSize>,
}

/// When a write to an SQLite database is taken to the disk. Whatever is chosen, it survives the
/// death of the master, and no loss of power damages the database unless it is `Off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Synchronous {
    /// When the system likes: a loss of power can damage the database.
    Off,
    /// With each checkpoint, every thousand pages: what was written since may be lost.
    Normal,
    /// Before it is acknowledged, for all writes of a turn of the master's loop at once.
    #[default]
    Full,
}

impl Sqlite {
    /// A database with everything as it is by default.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            table: "sessions".to_owned(),
            synchronous: Synchronous::default(),
            lock_timeout: Duration::from_millis(500),
            max_size: None,
        }
    }

    pub(super) fn read(mut url: Url<'_>) -> Result<Self, Invalid> {
        let default = Self::new(url.path("file, as in sqlite:sessions.db")?);
        if default.path.as_os_str() == ":memory:" {
            return Err(Invalid::new(
                "would be gone with the master; that is what memory: is, without sqlite",
            ));
        }
        let table = url.option("table")?.map(|Table(table)| table);
        let synchronous = url.option("synchronous")?;
        let lock_timeout = url.option("lock-timeout")?.map(|Time(time)| time);
        let max_size = url.option("max-size")?;
        url.end()?;
        Ok(Self {
            table: table.unwrap_or(default.table),
            synchronous: synchronous.unwrap_or(default.synchronous),
            lock_timeout: lock_timeout.unwrap_or(default.lock_timeout),
            max_size,
            path: default.path,
        })
    }
}

impl fmt::Display for Sqlite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let default = Self::new("");
        let mut shown = Shown::new(f, "sqlite", &self.path)?;
        shown.option("table", &self.table, &default.table)?;
        shown.option("synchronous", &self.synchronous, &default.synchronous)?;
        let timeout = Time(self.lock_timeout);
        shown.option("lock-timeout", &timeout, &Time(default.lock_timeout))?;
        match &self.max_size {
            Some(size) => shown.option("max-size", size, &ByteSize(0)),
            None => Ok(()),
        }
    }
}

/// The name of a table of ours; SQLite keeps those that begin with its own name to itself.
struct Table(String);

impl FromStr for Table {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let is_reserved = text.to_ascii_lowercase().starts_with("sqlite_");
        if text.is_empty() || text.contains('\0') || is_reserved {
            return Err(Invalid::new("must be the name of a table"));
        }
        Ok(Self(text.to_owned()))
    }
}

#[derive(PartialEq)]
struct Time(Duration);

impl FromStr for Time {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        duration::parse(text).map(Self)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        duration::display(self.0).fmt(f)
    }
}

impl FromStr for Synchronous {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "off" => Ok(Self::Off),
            "normal" => Ok(Self::Normal),
            "full" => Ok(Self::Full),
            _ => Err(Invalid::new("must be one of off, normal, full")),
        }
    }
}

impl fmt::Display for Synchronous {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "off",
            Self::Normal => "normal",
            Self::Full => "full",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Sqlite, Invalid> {
        Sqlite::read(Url::new(text)?)
    }

    #[test]
    fn it_is_read_as_it_is_shown() {
        for text in [
            "/var/lib/my-app/sessions.db",
            "s.db?table=people%26co",
            "s.db?synchronous=normal&lock-timeout=2s&max-size=64MiB",
        ] {
            let sqlite = read(text).unwrap();
            assert_eq!(sqlite.to_string(), format!("sqlite:{text}"));
        }
        assert_eq!(
            read("s.db?table=sessions&synchronous=full"),
            Ok(Sqlite::new("s.db"))
        );
    }

    #[test]
    fn memory_has_a_name_of_its_own() {
        let error = read(":memory:").unwrap_err().to_string();
        assert!(error.contains("that is what memory: is"), "{error}");
        assert!(read("s.db?table=SQLite_master").is_err());
    }
}
