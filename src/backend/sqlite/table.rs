//! A table of sessions as connect-session-knex makes it, and beside it one of ours.
//!
//! | theirs | |
//! |---|---|
//! | `sid` | the key: TEXT where it is text, otherwise a BLOB |
//! | `sess` | the value: TEXT where it is JSON, at which the other side would fail otherwise; if not, a BLOB |
//! | `expired` | the deadline as [`date`] writes it; never is [`FOREVER`] |
//!
//! What their table cannot say stands in ours (`…_memstore`), by the same `sid`: the number of the
//! write, the kind, a deadline that has no text, and a hash of the value, by which a row that the
//! other side has written since is known. Such a row has no version until it is given the next
//! number. Rows of ours whose counterpart the other side has removed mean nothing and are
//! swept.
//!
//! Only statements are here; when they are run, and in which transaction, others decide.

use std::hash::Hasher as _;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension as _, Result, ToSql, params};
use serde::de::IgnoredAny;
use siphasher::sip::SipHasher13;

use super::date::{self, FOREVER, LAST};
use crate::contract::{Kind, Seq};
use crate::time::Millis;

/// Rows of a page, live ones and all.
const PAGE: usize = 32;
const LOOKED_AT: usize = 512;
/// A page ends with the row that reaches so many bytes.
const PAGE_BYTES: usize = 64 << 10;

/// The present, as its text.
#[derive(Debug)]
pub(super) struct Now(String);

impl Now {
    pub(super) fn new(at: Millis) -> Self {
        Self(date::text(at))
    }
}

/// A deadline in both tables.
#[derive(Debug)]
pub(super) struct Expiry {
    expired: String,
    /// The deadline, where that has no text.
    far: Option<i64>,
}

impl Expiry {
    pub(super) fn of(deadline: Option<Millis>) -> Self {
        Self {
            expired: deadline.map_or_else(|| FOREVER.to_owned(), date::text),
            far: deadline
                .filter(|at| *at >= LAST)
                .map(|at| integer(at.as_unix())),
        }
    }

    /// What stands in our table.
    pub(super) fn far(&self) -> Option<i64> {
        self.far
    }

    fn read(expired: &[u8], far: Option<i64>) -> Option<Millis> {
        if expired == FOREVER.as_bytes() {
            return far.map(|far| Millis::from_unix(far.unsigned_abs()));
        }
        date::read(expired)
    }
}

/// A live row.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) value: Vec<u8>,
    pub(super) deadline: Option<Millis>,
    /// `None`: the other side has written it since.
    pub(super) version: Option<(Seq, Kind)>,
}

/// A live row of a walk.
#[derive(Debug)]
pub(super) struct Numbered {
    pub(super) number: i64,
    pub(super) key: Vec<u8>,
    pub(super) row: Row,
}

/// The statements of a table.
#[derive(Debug)]
pub(super) struct Table {
    create: String,
    create_versions: String,
    get: String,
    set: String,
    set_version: String,
    destroy: String,
    destroy_version: String,
    touch: String,
    touch_version: String,
    walk: String,
    length: String,
    clear: [String; 2],
    sweep: String,
    first: String,
    versions: String,
    /// Up to a key, and up to the end.
    sweep_versions: [String; 2],
}

impl Table {
    pub(super) fn new(name: &str) -> Self {
        let versions = quoted(&versions_of(name));
        // As knex does, so that the database says the same whoever has made the table.
        let [knex, index] = [name.to_owned(), format!("{name}_expired_index")]
            .map(|name| format!("`{}`", name.replace('`', "``")));
        let table = quoted(name);
        let columns = "s.`sess`, s.`expired`, v.seq, v.hash, v.kind, v.far";
        let joined = format!("{table} s left join {versions} v on v.sid = s.`sid`");
        Self {
            create: format!(
                "CREATE TABLE {knex} (`sid` varchar(255), `sess` json not null, \
                 `expired` datetime not null, primary key (`sid`));\
                 CREATE INDEX {index} on {knex} (`expired`)"
            ),
            create_versions: format!(
                "create table if not exists {versions} (sid varchar(255) primary key not null, \
                 seq integer not null, hash integer not null, kind integer not null, far integer) \
                 without rowid"
            ),
            get: format!("select {columns} from {joined} where s.`sid` = ?1"),
            // An upsert keeps the rowid, which is the place of the entry in walks.
            set: format!(
                "insert into {table} (`sid`, `sess`, `expired`) values (?1, ?2, ?3) \
                 on conflict (`sid`) do update set `sess` = ?2, `expired` = ?3"
            ),
            set_version: format!(
                "insert or replace into {versions} (sid, seq, hash, kind, far) \
                 values (?1, ?2, ?3, ?4, ?5)"
            ),
            destroy: format!("delete from {table} where `sid` = ?1 returning `expired` > ?2"),
            destroy_version: format!("delete from {versions} where sid = ?1"),
            touch: format!("update {table} set `expired` = ?2 where `sid` = ?1 and `expired` > ?3"),
            touch_version: format!(
                "update {versions} set far = ?2 where sid = ?1 and far is not ?2"
            ),
            walk: format!(
                "select {columns}, s.rowid, s.`sid` from {joined} \
                 where s.rowid < ?1 and s.rowid > 0 order by s.rowid desc"
            ),
            length: format!("select count(*) from {table} where `expired` > ?1"),
            clear: [
                format!("delete from {table}"),
                format!("delete from {versions}"),
            ],
            sweep: format!(
                "delete from {table} where rowid in (select rowid from {table} \
                 where `expired` <= ?1 order by `expired` limit ?2) returning `sid`"
            ),
            first: format!("select min(`expired`) from {table}"),
            versions: format!("select sid from {versions} where sid >= ?1 order by sid limit ?2"),
            sweep_versions: ["sid >= ?1 and sid < ?2", "sid >= ?1"].map(|range| {
                format!(
                    "delete from {versions} where {range} and not exists \
                     (select 1 from {table} s where s.`sid` = {versions}.sid)"
                )
            }),
        }
    }

    /// Makes what is not there yet; in a transaction, which has to be taken back if that fails.
    pub(super) fn make(&self, connection: &Connection, name: &str) -> Result<()> {
        if !has_table(connection, name)? {
            connection.execute_batch(&self.create)?;
        }
        if !has_table(connection, &versions_of(name))? {
            connection.execute_batch(&self.create_versions)?;
        }
        Ok(())
    }

    /// Tries whether what is there can be used.
    pub(super) fn check(&self, connection: &Connection, name: &str) -> Result<()> {
        // An upsert needs the key to be unique, a walk that rows have numbers.
        for statement in [&self.get, &self.set, &self.set_version, &self.walk] {
            connection.prepare_cached(statement)?;
        }
        check_other_columns(connection, name)
    }

    pub(super) fn get(
        &self,
        connection: &Connection,
        now: &Now,
        key: &[u8],
    ) -> Result<Option<Row>> {
        let mut statement = connection.prepare_cached(&self.get)?;
        let mut rows = statement.query([Key(key)])?;
        match rows.next()? {
            Some(row) => read(row, now),
            None => Ok(None),
        }
    }

    /// Writes an entry, whatever is there.
    pub(super) fn set(
        &self,
        connection: &Connection,
        key: &[u8],
        (kind, value): (Kind, &[u8]),
        expiry: &Expiry,
        seq: Seq,
    ) -> Result<()> {
        let mut statement = connection.prepare_cached(&self.set)?;
        statement.execute(params![Key(key), Value(value), expiry.expired])?;
        self.set_version(connection, key, (kind, value), expiry.far, seq)
    }

    /// Gives a number to a row that is there.
    pub(super) fn set_version(
        &self,
        connection: &Connection,
        key: &[u8],
        (kind, value): (Kind, &[u8]),
        far: Option<i64>,
        seq: Seq,
    ) -> Result<()> {
        let mut statement = connection.prepare_cached(&self.set_version)?;
        let seq = integer(seq.0);
        statement.execute(params![Key(key), seq, hash(value), code(kind), far])?;
        Ok(())
    }

    /// Whether a live entry was removed.
    pub(super) fn destroy(&self, connection: &Connection, now: &Now, key: &[u8]) -> Result<bool> {
        let mut statement = connection.prepare_cached(&self.destroy)?;
        let was_live = statement.query_one(params![Key(key), now.0], |row| row.get(0));
        let was_live: Option<bool> = was_live.optional()?;
        if was_live.is_some() {
            connection
                .prepare_cached(&self.destroy_version)?
                .execute([Key(key)])?;
        }
        Ok(was_live == Some(true))
    }

    /// Whether there was a live entry, whose deadline is moved.
    pub(super) fn touch(
        &self,
        connection: &Connection,
        now: &Now,
        key: &[u8],
        expiry: &Expiry,
    ) -> Result<bool> {
        let mut statement = connection.prepare_cached(&self.touch)?;
        let touched = statement.execute(params![Key(key), expiry.expired, now.0])?;
        if touched > 0 {
            let mut statement = connection.prepare_cached(&self.touch_version)?;
            statement.execute(params![Key(key), expiry.far])?;
        }
        Ok(touched > 0)
    }

    /// Live rows below this number, from the highest down, so that a walk meets nothing that is
    /// written after its begin; and the number of the last row that was looked at, unless that was
    /// the last one.
    pub(super) fn page(
        &self,
        connection: &Connection,
        now: &Now,
        below: i64,
    ) -> Result<(Vec<Numbered>, Option<i64>)> {
        let mut statement = connection.prepare_cached(&self.walk)?;
        let mut rows = statement.query([below])?;
        let (mut page, mut size, mut looked_at) = (Vec::new(), 0, 0);
        while let Some(row) = rows.next()? {
            let number = row.get(6)?;
            if let (Some(found), Some(key)) = (read(row, now)?, bytes(row.get_ref(7)?)) {
                size += key.len() + found.value.len();
                page.push(Numbered {
                    number,
                    key,
                    row: found,
                });
            }
            looked_at += 1;
            if looked_at == LOOKED_AT || page.len() == PAGE || size >= PAGE_BYTES {
                return Ok((page, Some(number)));
            }
        }
        Ok((page, None))
    }

    pub(super) fn length(&self, connection: &Connection, now: &Now) -> Result<u64> {
        let mut statement = connection.prepare_cached(&self.length)?;
        let length: i64 = statement.query_one([&now.0], |row| row.get(0))?;
        Ok(length.unsigned_abs())
    }

    pub(super) fn clear(&self, connection: &Connection) -> Result<()> {
        for clear in &self.clear {
            connection.prepare_cached(clear)?.execute([])?;
        }
        Ok(())
    }

    /// Removes up to `most` entries that have expired; their keys.
    pub(super) fn sweep(
        &self,
        connection: &Connection,
        now: &Now,
        most: usize,
    ) -> Result<Vec<Vec<u8>>> {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let mut statement = connection.prepare_cached(&self.sweep)?;
        let swept = statement.query_map(params![now.0, most], |row| {
            Ok(bytes(row.get_ref(0)?).unwrap_or_default())
        })?;
        let swept: Vec<_> = swept.collect::<Result<_>>()?;
        let mut statement = connection.prepare_cached(&self.destroy_version)?;
        for key in &swept {
            statement.execute([Key(key)])?;
        }
        Ok(swept)
    }

    /// The first deadline of all.
    pub(super) fn first(&self, connection: &Connection) -> Result<Option<Millis>> {
        let mut statement = connection.prepare_cached(&self.first)?;
        statement.query_one([], |row| {
            let first = bytes(row.get_ref(0)?);
            Ok(first.and_then(|first| Expiry::read(&first, None)))
        })
    }

    /// Removes what of ours has no counterpart, from this key on, among about `most` rows; where to
    /// go on.
    pub(super) fn sweep_versions(
        &self,
        connection: &Connection,
        from: &[u8],
        most: usize,
    ) -> Result<Option<Vec<u8>>> {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let mut statement = connection.prepare_cached(&self.versions)?;
        let keys = statement.query_map(params![Key(from), most], |row| {
            Ok(bytes(row.get_ref(0)?).unwrap_or_default())
        })?;
        let mut keys: Vec<_> = keys.collect::<Result<_>>()?;
        let next = keys
            .pop()
            .filter(|_| keys.len() as u64 + 1 == most.unsigned_abs());
        let [up_to, rest] = &self.sweep_versions;
        match &next {
            Some(next) => {
                let mut statement = connection.prepare_cached(up_to)?;
                statement.execute([Key(from), Key(next)])?;
            }
            None => {
                connection.prepare_cached(rest)?.execute([Key(from)])?;
            }
        }
        Ok(next)
    }
}

/// Whether a database has a table.
pub(super) fn has_table(connection: &Connection, name: &str) -> Result<bool> {
    let sql = "select 1 from sqlite_master where type = 'table' and lower(name) = lower(?1)";
    connection.prepare(sql)?.exists([name])
}

/// Whether a table of sessions and ours beside it are there.
pub(super) fn is_made(connection: &Connection, name: &str) -> Result<bool> {
    Ok(has_table(connection, name)? && has_table(connection, &versions_of(name))?)
}

/// Refuses a table in which a row needs more than we have for it.
fn check_other_columns(connection: &Connection, name: &str) -> Result<()> {
    // An integer that is the whole primary key is the number of the row, which SQLite gives.
    let sql = "with columns as (select * from pragma_table_info(?1)) select name from columns \
               where \"notnull\" and coalesce(lower(dflt_value), 'null') = 'null' \
               and lower(name) not in ('sid', 'sess', 'expired') \
               and not (pk and lower(type) = 'integer' \
                        and (select count(*) from columns where pk) = 1)";
    let mut statement = connection.prepare(sql)?;
    let Some(column): Option<String> = statement.query_row([name], |row| row.get(0)).optional()?
    else {
        return Ok(());
    };
    let why = format!("the table {name} has a column {column} that may not be left out");
    Err(rusqlite::Error::ToSqlConversionFailure(why.into()))
}

/// Our table beside theirs.
fn versions_of(name: &str) -> String {
    format!("{name}_memstore")
}

/// A name as SQL writes it.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn read(row: &rusqlite::Row<'_>, now: &Now) -> Result<Option<Row>> {
    let ValueRef::Text(expired) = row.get_ref(1)? else {
        return Ok(None);
    };
    if expired <= now.0.as_bytes() {
        return Ok(None);
    }
    let value = bytes(row.get_ref(0)?).unwrap_or_default();
    let (seq, written): (Option<i64>, Option<i64>) = (row.get(2)?, row.get(3)?);
    let version = match seq {
        Some(seq) if written == Some(hash(&value)) => {
            Some((Seq(seq.unsigned_abs()), kind(row.get(4)?)))
        }
        _ => None,
    };
    let deadline = Expiry::read(expired, row.get(5)?);
    Ok(Some(Row {
        value,
        deadline,
        version,
    }))
}

/// The bytes of a text, a blob, or a number that somebody has written as one.
fn bytes(value: ValueRef<'_>) -> Option<Vec<u8>> {
    Some(match value {
        ValueRef::Null => return None,
        ValueRef::Integer(number) => number.to_string().into_bytes(),
        ValueRef::Real(number) => number.to_string().into_bytes(),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.to_vec(),
    })
}

/// A key on its way to the database.
struct Key<'a>(&'a [u8]);

impl ToSql for Key<'_> {
    fn to_sql(&self) -> Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(if is_text(self.0) {
            ValueRef::Text(self.0)
        } else {
            ValueRef::Blob(self.0)
        }))
    }
}

/// A value on its way to the database.
struct Value<'a>(&'a [u8]);

impl ToSql for Value<'_> {
    fn to_sql(&self) -> Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(if is_json(self.0) {
            ValueRef::Text(self.0)
        } else {
            ValueRef::Blob(self.0)
        }))
    }
}

/// Whether the other side can read it. A number is left out: a column of the type `json` has
/// numeric affinity, which keeps of a text that looks like one only what it is worth.
fn is_json(value: &[u8]) -> bool {
    let is_number = |first: &u8| *first == b'-' || first.is_ascii_digit();
    !value.trim_ascii_start().first().is_none_or(is_number)
        && serde_json::from_slice::<IgnoredAny>(value).is_ok()
}

/// Some programs take a zero byte for the end of a text.
fn is_text(bytes: &[u8]) -> bool {
    !bytes.contains(&0) && std::str::from_utf8(bytes).is_ok()
}

/// By which a value that somebody else has written is known.
fn hash(value: &[u8]) -> i64 {
    let mut hasher = SipHasher13::new();
    hasher.write(value);
    i64::from_le_bytes(hasher.finish().to_le_bytes())
}

fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn code(kind: Kind) -> i64 {
    match kind {
        Kind::Bytes => 0,
        Kind::Hash => 1,
    }
}

fn kind(code: i64) -> Kind {
    match code {
        1 => Kind::Hash,
        _ => Kind::Bytes,
    }
}
