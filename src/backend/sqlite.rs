//! Entries in an SQLite database, in the table of connect-session-knex.
//!
//! Here is what the sixteen tables of a backend have in common. The rules of the [`Backend`]
//! contract for one of them are in [`entries`], its statements in [`table`]; [`connection`] has the
//! database and its transactions, [`date`] how times are written, [`fault`] what errors mean. Nothing is remembered of what is in the database, so that everybody who writes to it is
//! seen at once: Node programs with connect-session-knex, and other masters.

mod connection;
mod date;
mod entries;
mod fault;
#[cfg(test)]
mod fault_tests;
mod table;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex};

use self::connection::Database;
use self::entries::Entries;
use self::table::Table;
use super::{
    Backend, BackendError, Cursor, Deadline, EntryRef, SetOutcome, Teller, Upkeep, Visitor,
};
use crate::config::Sqlite;
use crate::contract::{Capabilities, Condition, Gone, Kind};
use crate::error::Error;
use crate::time::Millis;

/// How many databases there are in the sense of the Redis dialect.
const DATABASES: u8 = 16;
/// Keeps entries in a table of an SQLite database, exactly as connect-session-knex does, so that
/// either side reads and changes what the other one wrote. What that table cannot say (versions,
/// kinds, deadlines after the year 9999) stands in tables of ours beside it.
///
/// A row that the other side has written is given a version when it is first seen; where that
/// cannot be written down, it is shown as version 0, which no condition meets.
/// An entry without a deadline has one in the year 9999 for the other side. Values that are no
/// JSON are kept as they are; the other side has no use for them.
///
/// The database is in WAL mode. What is written between two [commits](Backend::commit) is one
/// transaction, with one sync of the disk where `synchronous` is `full`. If it fails, nothing of
/// it is done, and the backend can be used on: it recovers by itself as soon as the cause is gone.
///
/// ```
/// use memstore_cluster::backend::{Backend, Deadline, SqliteBackend};
/// use memstore_cluster::config::Sqlite;
/// use memstore_cluster::contract::Condition;
/// use memstore_cluster::time::Millis;
///
/// # let folder = std::env::temp_dir().join(format!("memstore-sqlite-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// let now = Millis::from_unix(1_700_000_000_000);
/// let mut store = SqliteBackend::open(&Sqlite::new(folder.join("sessions.db")))?;
/// store.set(now, b"sid", br#"{"user":7}"#, Deadline::Never, Condition::Always)?;
/// store.commit()?;
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct SqliteBackend {
    database: Arc<Mutex<Database>>,
    /// The name of the first table.
    name: String,
    first: Entries,
    /// Those from 1 on.
    others: [Option<Box<Entries>>; DATABASES as usize - 1],
}

impl SqliteBackend {
    /// Opens a database; makes it, and the tables in it, if they are not there.
    ///
    /// # Errors
    /// [`Error::Config`] where the file cannot be opened, is no database, or has a table of that
    /// name that cannot be used; [`Error::Backend`] where it is locked, or the disk fails.
    pub fn open(config: &Sqlite) -> Result<Self, Error> {
        let table = Arc::new(Table::new(&config.table));
        let named = (config.table.clone(), Arc::clone(&table));
        let database = Arc::new(Mutex::new(Database::open(config, named)?));
        let mut backend = Self {
            first: Entries::new(&database, table),
            database,
            name: config.table.clone(),
            others: Default::default(),
        };
        for number in 1..DATABASES {
            let name = backend.name_of(number);
            let has = backend.first.held().has(Millis::ZERO, &name);
            if has.map_err(|error| Error::Backend(error.to_string()))? {
                backend
                    .add(number)
                    .map_err(|error| Error::Backend(error.to_string()))?;
            }
        }
        backend
            .commit()
            .map_err(|error| Error::Backend(error.to_string()))?;
        Ok(backend)
    }

    /// The table of a database.
    fn name_of(&self, number: u8) -> String {
        format!("{}_db{number}", self.name)
    }

    fn add(&mut self, number: u8) -> Result<(), BackendError> {
        let name = self.name_of(number);
        let table = Arc::new(Table::new(&name));
        let named = (name, Arc::clone(&table));
        self.first.held().add(Millis::ZERO, named)?;
        let entries = Entries::new(&self.database, table);
        self.others[usize::from(number) - 1] = Some(Box::new(entries));
        Ok(())
    }

    fn each_mut(&mut self) -> impl Iterator<Item = (u8, &mut Entries)> {
        let others = self.others.iter_mut().map(Option::as_deref_mut);
        let all = std::iter::once(Some(&mut self.first)).chain(others);
        (0..)
            .zip(all)
            .filter_map(|(number, one)| Some((number, one?)))
    }
}

impl Backend for SqliteBackend {
    fn capabilities(&self) -> Capabilities {
        self.first.capabilities().with(Capabilities::DATABASES)
    }

    fn blocks(&self) -> bool {
        true
    }

    fn get(&mut self, now: Millis, key: &[u8]) -> Result<Option<EntryRef<'_>>, BackendError> {
        self.first.get(now, key)
    }

    fn set(
        &mut self,
        now: Millis,
        key: &[u8],
        value: &[u8],
        deadline: Deadline,
        condition: Condition,
    ) -> Result<SetOutcome, BackendError> {
        self.first.set(now, key, value, deadline, condition)
    }

    fn set_kind(
        &mut self,
        now: Millis,
        key: &[u8],
        value: (Kind, &[u8]),
        deadline: Deadline,
        condition: Condition,
    ) -> Result<SetOutcome, BackendError> {
        self.first.set_kind(now, key, value, deadline, condition)
    }

    fn has_database(&self, number: u8) -> bool {
        match number.checked_sub(1) {
            None => true,
            Some(other) => {
                let other = self.others.get(usize::from(other));
                other.is_some_and(Option::is_some)
            }
        }
    }

    fn database(&mut self, number: u8) -> Option<&mut dyn Backend> {
        if number == 0 {
            return Some(self);
        }
        if number >= DATABASES {
            return None;
        }
        if !self.has_database(number) {
            if let Err(error) = self.add(number) {
                tracing::error!(number, %error, "a database cannot be made");
                return None;
            }
        }
        let one = self.others[usize::from(number) - 1].as_deref_mut()?;
        Some(one)
    }

    fn touch(&mut self, now: Millis, key: &[u8], deadline: Deadline) -> Result<bool, BackendError> {
        self.first.touch(now, key, deadline)
    }

    fn destroy(&mut self, now: Millis, key: &[u8]) -> Result<bool, BackendError> {
        self.first.destroy(now, key)
    }

    fn all(
        &mut self,
        now: Millis,
        cursor: Cursor,
        visit: &mut Visitor<'_>,
    ) -> Result<Option<Cursor>, BackendError> {
        self.first.all(now, cursor, visit)
    }

    fn length(&mut self, now: Millis) -> Result<u64, BackendError> {
        self.first.length(now)
    }

    fn clear(&mut self, now: Millis) -> Result<(), BackendError> {
        self.first.clear(now)
    }

    fn upkeep(&mut self, now: Millis) -> Upkeep {
        let left = self.each_mut().map(|(_, one)| one.upkeep(now));
        left.reduce(Upkeep::and).unwrap_or(Upkeep::Idle)
    }

    fn gone(&mut self, mut tell: Option<&mut Teller<'_>>) {
        for (number, one) in self.each_mut() {
            match &mut tell {
                None => one.ignore_gone(),
                Some(tell) => {
                    for key in one.take_gone() {
                        tell(number, Gone::Expired, &key);
                    }
                }
            }
        }
    }

    fn commit(&mut self) -> Result<(), BackendError> {
        self.first.held().commit()
    }
}
