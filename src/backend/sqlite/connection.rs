//! The connection to a database, and what is written in a turn as one transaction.
//!
//! The first write of a turn begins a transaction and [`Database::commit`] ends it, so that all
//! writes of a turn share one sync. A write that fails takes back everything that was written in
//! the turn, because half of what it did may be among that; the commit then says so. After
//! that, and after every fault, the database can be used on: what has to be opened anew is, by
//! whoever comes next.
//!
//! The file is looked for by its name at the begin of every transaction: what is written to a file
//! that somebody has removed or replaced would be acknowledged and lost.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Result as SqlResult, Transaction, TransactionBehavior};

use super::fault::{self, Remedy};
use super::table::Table;
use crate::backend::BackendError;
use crate::config::{ByteSize, Sqlite, Synchronous};
use crate::contract::Seq;
use crate::error::Error;
use crate::time::Millis;

/// A database that cannot be opened is not tried again for so many milliseconds.
const PATIENCE: u64 = 100;
/// Numbers of writes that are taken from the database at once.
const BLOCK: u64 = 4_096;
/// So many files are open with a database: itself, its log, and the index of that.
const DESCRIPTORS: usize = 3;
/// Statements that are kept ready; all of a few tables.
const STATEMENTS: usize = 64;

/// Where the numbers of writes are counted, for all tables.
const COUNTER: &str = "memstore_cluster";
const CREATE_COUNTER: &str =
    "create table memstore_cluster (name text primary key not null, value integer not null)";
/// Never below a number that was given already, whatever has become of the counter.
const TAKE_BLOCK: &str = "insert into memstore_cluster (name, value) values ('seq', ?1 + ?2) \
     on conflict (name) do update set value = max(value, ?2) + ?1 returning value";

/// A table, by its name.
pub(super) type Named = (String, Arc<Table>);

pub(super) struct Database {
    config: Sqlite,
    /// The file, absolute.
    path: PathBuf,
    tables: Vec<Named>,
    connection: Option<Open>,
    turn: Turn,
    numbers: Numbers,
    /// Whether to wait for others who hold the lock: not again before they have given it up.
    is_patient: bool,
    /// Why it could not be opened, and when that may be tried again.
    refusal: Option<(BackendError, Millis)>,
    /// What is wrong, as it was logged.
    trouble: Option<String>,
}

struct Open {
    connection: Connection,
    /// Device and number of the file.
    file: (u64, u64),
}

/// What of the present turn is in the database.
enum Turn {
    /// Nothing.
    Clean,
    /// Something, in a transaction.
    Written,
    /// Nothing any more of what was answered with success.
    Lost(BackendError),
}

/// What an error came of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Reading,
    Writing,
}

/// The numbers of writes that are ours to give.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    next: u64,
    end: u64,
}

impl Numbers {
    pub(super) fn take(&mut self, connection: &Connection) -> SqlResult<Seq> {
        if self.next == self.end {
            let mut statement = connection.prepare_cached(TAKE_BLOCK)?;
            let [block, given] = [BLOCK, self.next].map(|n| i64::try_from(n).unwrap_or(i64::MAX));
            let end: i64 = statement.query_one([block, given], |row| row.get(0))?;
            self.end = end.unsigned_abs();
            self.next = self.end - BLOCK;
        }
        self.next += 1;
        Ok(Seq(self.next))
    }

    /// What is left is not ours any more: the taking was undone, or it was another database's.
    fn forget(&mut self) {
        self.end = self.next;
    }
}

impl Database {
    /// Opens a database with this table; makes what is not there.
    pub(super) fn open(config: &Sqlite, table: Named) -> Result<Self, Error> {
        let shown = config.path.display().to_string();
        let path = std::path::absolute(&config.path)
            .map_err(Error::io(format!("tell where {shown} is")))?;
        let mut database = Self {
            config: config.clone(),
            path,
            tables: vec![table],
            connection: None,
            turn: Turn::Clean,
            numbers: Numbers::default(),
            is_patient: true,
            refusal: None,
            trouble: None,
        };
        match database.connect() {
            Ok(open) => database.connection = Some(open),
            Err(Refused::Sql(error)) => {
                let cause = if fault::is_full(&error) {
                    "there is no more room for it".to_owned()
                } else {
                    error.to_string()
                };
                let why = format!("the database {shown} cannot be used: {cause}");
                return Err(if fault::is_configured_wrongly(&error) {
                    Error::Config(why)
                } else {
                    Error::Backend(why)
                });
            }
            Err(Refused::System(error)) => {
                let why = format!("the database {shown} cannot be opened: {error}");
                return Err(if fault::is_passing(&error) {
                    Error::Backend(why)
                } else {
                    Error::Config(why)
                });
            }
        }
        Ok(database)
    }

    /// Has one more table.
    pub(super) fn add(&mut self, now: Millis, table: Named) -> Result<(), BackendError> {
        let (name, statements) = table.clone();
        self.tables.push(table);
        let done = self.write(now, |connection, _| {
            statements.make(connection, &name)?;
            statements.check(connection, &name)
        });
        if done.is_err() {
            self.tables.pop();
        }
        done
    }

    /// Whether it has a table.
    pub(super) fn has(&mut self, now: Millis, name: &str) -> Result<bool, BackendError> {
        self.read(now, |connection| super::table::has_table(connection, name))
    }

    /// Asks something.
    pub(super) fn read<T>(
        &mut self,
        now: Millis,
        ask: impl FnOnce(&Connection) -> SqlResult<T>,
    ) -> Result<T, BackendError> {
        let asked = ask(self.connected(now)?);
        asked.map_err(|error| self.failed(&error, Asked::Reading))
    }

    /// Writes something, in the transaction of the turn.
    pub(super) fn write<T>(
        &mut self,
        now: Millis,
        write: impl FnOnce(&Connection, &mut Numbers) -> SqlResult<T>,
    ) -> Result<T, BackendError> {
        match &self.turn {
            Turn::Lost(why) => return Err(why.clone()),
            Turn::Clean => self.begin(now)?,
            Turn::Written => {}
        }
        let Some(open) = &self.connection else {
            return Err(self.lose(BackendError::Failed("its connection is gone".to_owned())));
        };
        match write(&open.connection, &mut self.numbers) {
            Ok(done) => {
                self.turn = Turn::Written;
                Ok(done)
            }
            Err(error) => Err(self.failed(&error, Asked::Writing)),
        }
    }

    /// Makes what was written in the turn last.
    pub(super) fn commit(&mut self) -> Result<(), BackendError> {
        match std::mem::replace(&mut self.turn, Turn::Clean) {
            Turn::Clean => return Ok(()),
            Turn::Lost(why) => return Err(why),
            Turn::Written => {}
        }
        let Some(open) = &self.connection else {
            return Err(BackendError::Failed("its connection is gone".to_owned()));
        };
        if let Err(error) = open.connection.execute_batch("commit") {
            return Err(self.failed(&error, Asked::Writing));
        }
        if let Some(trouble) = self.trouble.take() {
            let path = self.path.display();
            tracing::info!(%path, %trouble, "the database is written to again");
        }
        Ok(())
    }

    fn begin(&mut self, now: Millis) -> Result<(), BackendError> {
        self.check_place();
        let is_patient = self.is_patient;
        let timeout = self.config.lock_timeout;
        let connection = self.connected(now)?;
        let begun = if is_patient {
            connection.execute_batch("begin immediate")
        } else {
            connection
                .busy_timeout(Duration::ZERO)
                .and_then(|()| connection.execute_batch("begin immediate"))
                .and_then(|()| connection.busy_timeout(timeout))
        };
        match begun {
            Ok(()) => {
                self.is_patient = true;
                Ok(())
            }
            Err(error) => Err(self.failed(&error, Asked::Writing)),
        }
    }

    /// Gives up a file that is not the one of that name any more.
    pub(super) fn check_place(&mut self) {
        let Some(open) = &self.connection else { return };
        let is_there = match identity(&self.path) {
            Ok(file) => file == open.file,
            // What cannot be seen for the moment is not for that gone.
            Err(error) => !fault::is_absence(&error),
        };
        if !is_there && matches!(self.turn, Turn::Clean) {
            let path = self.path.display();
            tracing::warn!(%path, "the database was removed or replaced; it is opened anew");
            self.connection = None;
            self.numbers.forget();
        }
    }

    /// The connection; opened, if it is not.
    fn connected(&mut self, now: Millis) -> Result<&Connection, BackendError> {
        if self.connection.is_none() {
            if let Some((why, until)) = &self.refusal {
                if now < *until {
                    return Err(why.clone());
                }
            }
            self.refusal = None;
            match self.connect() {
                Ok(open) => self.connection = Some(open),
                Err(refused) => {
                    let why = match refused {
                        Refused::Sql(error) => self.failed(&error, Asked::Reading),
                        Refused::System(error) => {
                            let path = self.path.display();
                            let why = format!("the database {path} cannot be opened: {error}");
                            self.troubled(BackendError::Failed(why))
                        }
                    };
                    self.refusal = Some((why.clone(), now.after_ms(PATIENCE)));
                    return Err(why);
                }
            }
        }
        match &self.connection {
            Some(open) => Ok(&open.connection),
            None => unreachable!("it was just opened"),
        }
    }

    fn connect(&self) -> Result<Open, Refused> {
        // Whoever may read the file has everybody's sessions.
        let made = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&self.path);
        match made {
            // Said before a name is looked for: SQLite would need descriptors too.
            Err(error) if fault::is_passing(&error) => return Err(Refused::System(error)),
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists && !self.path.exists() => {
                return Err(Refused::System(error));
            }
            _ => {}
        }
        if !fs::metadata(&self.path)?.is_file() {
            let why = "it is no file; name one, or what is not there yet";
            return Err(Refused::System(io::Error::new(
                io::ErrorKind::InvalidInput,
                why,
            )));
        }
        self.mend_rights();
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        self.opened(flags).map_err(|refused| match refused {
            Refused::Sql(error) if fault::is_unopened(&error) => {
                // SQLite does not say why.
                self.lack().map_or(Refused::Sql(error), Refused::System)
            }
            other => other,
        })
    }

    /// What of the system lacks for a database to be opened: it takes a few descriptors.
    fn lack(&self) -> Option<io::Error> {
        let folder = self.path.parent()?;
        // Not the file: to close it would give up the locks of whoever has it in this process.
        let tried = (0..DESCRIPTORS).map(|_| fs::File::open(folder));
        let tried = tried.collect::<io::Result<Vec<_>>>();
        tried.err().filter(fault::is_passing)
    }

    fn opened(&self, flags: OpenFlags) -> Result<Open, Refused> {
        let connection = Connection::open_with_flags(&self.path, flags)?;
        let file = identity(&self.path)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        connection.busy_timeout(self.config.lock_timeout)?;
        self.configure(&connection)?;
        if !self.is_made(&connection)? {
            self.make(&connection)?;
        }
        // A table of that name may be somebody else's.
        connection.prepare_cached(TAKE_BLOCK)?;
        for (name, table) in &self.tables {
            table.check(&connection, name)?;
        }
        Ok(Open { connection, file })
    }

    /// Whether all tables are there.
    fn is_made(&self, connection: &Connection) -> SqlResult<bool> {
        let mut is_made = super::table::has_table(connection, COUNTER)?;
        for (name, _) in &self.tables {
            is_made = is_made && super::table::is_made(connection, name)?;
        }
        Ok(is_made)
    }

    /// Makes the tables that are not there, all or none: somebody else may be about to make them
    /// as well.
    fn make(&self, connection: &Connection) -> SqlResult<()> {
        let making = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
        if !super::table::has_table(connection, COUNTER)? {
            connection.execute_batch(CREATE_COUNTER)?;
        }
        for (name, table) in &self.tables {
            table.make(connection, name)?;
        }
        making.commit()
    }

    /// The log and its index have the rights that the database had when they were made: if it was
    /// read-only then, and is not any more, they would keep it so.
    fn mend_rights(&self) {
        let Ok(database) = fs::metadata(&self.path) else {
            return;
        };
        for ending in ["-wal", "-shm"] {
            let mut path = self.path.clone().into_os_string();
            path.push(ending);
            let is_narrower = |file: fs::Metadata| database.mode() & !file.mode() & 0o222 != 0;
            if fs::symlink_metadata(&path).is_ok_and(|file| file.is_file() && is_narrower(file)) {
                // Not if it is another user's, who can do it as well.
                let _ = fs::set_permissions(&path, database.permissions());
            }
        }
    }

    fn configure(&self, connection: &Connection) -> SqlResult<()> {
        let mode = connection
            .pragma_update_and_check(None, "journal_mode", "wal", |row| row.get::<_, String>(0));
        match mode {
            Ok(mode) if mode == "wal" => {}
            Err(error) if !fault::is_of_log(&error) => return Err(error),
            other => {
                let path = self.path.display();
                tracing::warn!(%path, ?other, "the database has no write-ahead log");
            }
        }
        let synchronous = match self.config.synchronous {
            Synchronous::Off => "off",
            Synchronous::Normal => "normal",
            Synchronous::Full => "full",
        };
        connection.pragma_update(None, "synchronous", synchronous)?;
        if let Some(ByteSize(size)) = self.config.max_size {
            let page: i64 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
            let pages = i64::try_from(size).unwrap_or(i64::MAX) / page.max(1);
            let most = ("max_page_count", pages.max(1));
            connection.pragma_update_and_check(None, most.0, most.1, |_| Ok(()))?;
        }
        Ok(())
    }

    /// Finds out what to do about an error; takes back what of the turn there is, if that may be
    /// half done.
    fn failed(&mut self, error: &rusqlite::Error, asked: Asked) -> BackendError {
        let (why, remedy) = fault::of(&self.path, error);
        let is_over = self.connection.as_ref().is_some_and(|open| {
            let is_over = open.connection.is_autocommit();
            if !is_over && asked == Asked::Writing {
                // What cannot be rolled back is by the end of the connection.
                let _ = open.connection.execute_batch("rollback");
            }
            is_over || asked == Asked::Writing
        });
        match remedy {
            Remedy::Retry => {}
            Remedy::Hurry => self.is_patient = false,
            Remedy::Reopen => self.connection = None,
        }
        if is_over || self.connection.is_none() {
            self.numbers.forget();
            return self.lose(why);
        }
        self.troubled(why)
    }

    /// What was written in the turn is gone, for this reason.
    fn lose(&mut self, why: BackendError) -> BackendError {
        if let Turn::Written = self.turn {
            self.turn = Turn::Lost(why.clone());
        }
        self.troubled(why)
    }

    /// Logs what is new.
    fn troubled(&mut self, why: BackendError) -> BackendError {
        let text = why.to_string();
        if self.trouble.as_ref() != Some(&text) {
            tracing::warn!(why = text, "the database does not do what it is asked");
            self.trouble = Some(text);
        }
        why
    }
}

/// Why a database is not opened.
enum Refused {
    Sql(rusqlite::Error),
    System(io::Error),
}

impl From<rusqlite::Error> for Refused {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

fn identity(path: &PathBuf) -> io::Result<(u64, u64)> {
    let metadata = fs::metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database")
            .field("path", &self.path)
            .field("is_open", &self.connection.is_some())
            .field("trouble", &self.trouble)
            .finish_non_exhaustive()
    }
}
