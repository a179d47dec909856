//! The entries of one table: the rules of the contract.
//!
//! Every call asks the database, in the transaction of the turn if there is one; only when to look
//! for expired rows is remembered.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, Result as SqlResult};

use super::connection::{Database, Numbers};
use super::table::{Expiry, Now, Row, Table};
use crate::backend::{
    Backend, BackendError, Cursor, Deadline, EntryRef, SetOutcome, Upkeep, Visitor, Walk,
};
use crate::contract::{Capabilities, Condition, Kind, Seq};
use crate::time::Millis;

/// Entries that are removed in one step of upkeep.
const SWEPT: usize = 256;
/// Rows of ours that are compared with theirs in one step.
const COMPARED: usize = 512;
/// Expired entries are removed at most so often, many in one transaction.
const BETWEEN_SWEEPS: Duration = Duration::from_secs(1);
/// How soon what others have written is looked for.
const LONGEST: Duration = Duration::from_secs(60);
/// How often our rows are compared with theirs, and how long the pause between steps is.
const BETWEEN_COMPARISONS: Duration = Duration::from_secs(3_600);
const BETWEEN_STEPS: Duration = Duration::from_millis(50);

/// The entries of one table.
#[derive(Debug)]
pub(super) struct Entries {
    database: Arc<Mutex<Database>>,
    table: Arc<Table>,
    /// When something may have expired.
    sweep_at: Millis,
    /// When our rows are compared with theirs, and from which key on.
    compare_at: Option<Millis>,
    compare_from: Vec<u8>,
    /// The keys of what has expired, if somebody wants to be told.
    gone: Option<Vec<Vec<u8>>>,
}

impl Entries {
    pub(super) fn new(database: &Arc<Mutex<Database>>, table: Arc<Table>) -> Self {
        Self {
            database: Arc::clone(database),
            table,
            sweep_at: Millis::ZERO,
            compare_at: None,
            compare_from: Vec::new(),
            gone: None,
        }
    }

    /// Nobody else has it for longer than a call.
    pub(super) fn held(&self) -> MutexGuard<'_, Database> {
        self.database.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn ignore_gone(&mut self) {
        self.gone = None;
    }

    /// What has expired since the last time; from the first time on.
    pub(super) fn take_gone(&mut self) -> Vec<Vec<u8>> {
        self.gone.replace(Vec::new()).unwrap_or_default()
    }

    /// The version of a row, of the other side's too; zero where it has none and none can be
    /// written down.
    fn version(&self, now: Millis, key: &[u8], row: &Row) -> (Seq, Kind) {
        if let Some(version) = row.version {
            return version;
        }
        let given = self.held().write(now, |connection, numbers| {
            given(&self.table, connection, numbers, key, row)
        });
        given.unwrap_or_default()
    }

    /// Sees to it that it is looked when this deadline has passed.
    fn will_expire(&mut self, deadline: Option<Millis>) {
        if let Some(deadline) = deadline {
            self.sweep_at = self.sweep_at.min(deadline);
        }
    }

    /// Removes what has expired; when to come again.
    fn sweep(&mut self, now: Millis) -> Result<Upkeep, BackendError> {
        let moment = Now::new(now);
        let mut database = self.held();
        database.check_place();
        let first = database.read(now, |connection| self.table.first(connection))?;
        if first.is_none_or(|first| now < first) {
            let next = first.unwrap_or(Millis::MAX).max(now.after(BETWEEN_SWEEPS));
            return Ok(Upkeep::Until(next.min(now.after(LONGEST))));
        }
        let swept = database.write(now, |connection, _| {
            self.table.sweep(connection, &moment, SWEPT)
        })?;
        drop(database);
        let is_all = swept.len() < SWEPT;
        if let Some(gone) = &mut self.gone {
            gone.extend(swept);
        }
        Ok(if is_all {
            Upkeep::Until(now.after(BETWEEN_SWEEPS))
        } else {
            Upkeep::More
        })
    }

    /// Removes rows of ours that belong to nothing any more; when to come again.
    fn compare(&mut self, now: Millis) -> Millis {
        let from = std::mem::take(&mut self.compare_from);
        let next = self.held().write(now, |connection, _| {
            self.table.sweep_versions(connection, &from, COMPARED)
        });
        match next {
            Ok(Some(next)) => {
                self.compare_from = next;
                now.after(BETWEEN_STEPS)
            }
            Ok(None) | Err(_) => now.after(BETWEEN_COMPARISONS),
        }
    }
}

/// The version of a row; one that the other side has written is given one.
fn given(
    table: &Table,
    connection: &Connection,
    numbers: &mut Numbers,
    key: &[u8],
    row: &Row,
) -> SqlResult<(Seq, Kind)> {
    if let Some(version) = row.version {
        return Ok(version);
    }
    let seq = numbers.take(connection)?;
    let far = Expiry::of(row.deadline).far();
    table.set_version(connection, key, (Kind::Bytes, &row.value), far, seq)?;
    Ok((seq, Kind::Bytes))
}

impl Backend for Entries {
    fn capabilities(&self) -> Capabilities {
        Capabilities::ALL
            .with(Capabilities::LENGTH)
            .with(Capabilities::CLEAR)
            .with(Capabilities::COMPARE_AND_SET)
            .with(Capabilities::KINDS)
    }

    fn get(&mut self, now: Millis, key: &[u8]) -> Result<Option<EntryRef<'_>>, BackendError> {
        let moment = Now::new(now);
        let row = self
            .held()
            .read(now, |connection| self.table.get(connection, &moment, key))?;
        Ok(row.map(|row| {
            let (seq, kind) = self.version(now, key, &row);
            EntryRef {
                value: Cow::Owned(row.value),
                deadline: row.deadline,
                seq,
                kind,
            }
        }))
    }

    fn set(
        &mut self,
        now: Millis,
        key: &[u8],
        value: &[u8],
        deadline: Deadline,
        condition: Condition,
    ) -> Result<SetOutcome, BackendError> {
        self.set_kind(now, key, (Kind::Bytes, value), deadline, condition)
    }

    fn set_kind(
        &mut self,
        now: Millis,
        key: &[u8],
        value: (Kind, &[u8]),
        deadline: Deadline,
        condition: Condition,
    ) -> Result<SetOutcome, BackendError> {
        let moment = Now::new(now);
        let is_blind = condition == Condition::Always && deadline != Deadline::Keep;
        let done = self.held().write(now, |connection, numbers| {
            let (mut found, mut kept) = (None, None);
            if !is_blind {
                if let Some(row) = self.table.get(connection, &moment, key)? {
                    kept = row.deadline;
                    let (seq, _) = given(&self.table, connection, numbers, key, &row)?;
                    found = Some(seq);
                }
            }
            let holds = match condition {
                Condition::Always => true,
                Condition::IfAbsent => found.is_none(),
                Condition::IfPresent => found.is_some(),
                Condition::IfSeq(seq) => found == Some(seq),
            };
            if !holds {
                return Ok((SetOutcome::Conflict(found), None));
            }
            let deadline = match deadline {
                Deadline::Never => None,
                Deadline::At(at) => Some(at),
                Deadline::Keep => kept,
            };
            let seq = numbers.take(connection)?;
            if deadline.is_some_and(|deadline| deadline <= now) {
                self.table.destroy(connection, &moment, key)?;
                return Ok((SetOutcome::Stored(seq), None));
            }
            let expiry = Expiry::of(deadline);
            self.table.set(connection, key, value, &expiry, seq)?;
            Ok((SetOutcome::Stored(seq), deadline))
        });
        let (outcome, deadline) = done?;
        self.will_expire(deadline);
        Ok(outcome)
    }

    fn touch(&mut self, now: Millis, key: &[u8], deadline: Deadline) -> Result<bool, BackendError> {
        let moment = Now::new(now);
        let deadline = match deadline {
            Deadline::Keep => {
                let row = self
                    .held()
                    .read(now, |connection| self.table.get(connection, &moment, key));
                return row.map(|row| row.is_some());
            }
            Deadline::At(at) if at <= now => return self.destroy(now, key),
            Deadline::At(at) => Some(at),
            Deadline::Never => None,
        };
        let expiry = Expiry::of(deadline);
        let touched = self.held().write(now, |connection, numbers| {
            let touched = self.table.touch(connection, &moment, key, &expiry)?;
            if touched && expiry.far().is_some() {
                // There may be no row of ours to put it in.
                if let Some(row) = self.table.get(connection, &moment, key)? {
                    let row = Row { deadline, ..row };
                    given(&self.table, connection, numbers, key, &row)?;
                }
            }
            Ok(touched)
        })?;
        self.will_expire(deadline.filter(|_| touched));
        Ok(touched)
    }

    fn destroy(&mut self, now: Millis, key: &[u8]) -> Result<bool, BackendError> {
        let moment = Now::new(now);
        self.held().write(now, |connection, _| {
            self.table.destroy(connection, &moment, key)
        })
    }

    fn all(
        &mut self,
        now: Millis,
        cursor: Cursor,
        visit: &mut Visitor<'_>,
    ) -> Result<Option<Cursor>, BackendError> {
        let moment = Now::new(now);
        let mut below = match cursor {
            Cursor(0) => i64::MAX,
            Cursor(number) => i64::try_from(number).unwrap_or(i64::MAX),
        };
        loop {
            let page = self.held().read(now, |connection| {
                self.table.page(connection, &moment, below)
            });
            let (page, next) = page?;
            let is_empty = page.is_empty();
            for entry in page {
                let (seq, kind) = self.version(now, &entry.key, &entry.row);
                let found = EntryRef {
                    value: Cow::Owned(entry.row.value),
                    deadline: entry.row.deadline,
                    seq,
                    kind,
                };
                if visit(&entry.key, found) == Walk::Pause {
                    return Ok(Some(Cursor(entry.number.unsigned_abs())));
                }
            }
            match next {
                None => return Ok(None),
                // Rows that have expired are not shown, but looking at them takes time too.
                Some(next) if is_empty => return Ok(Some(Cursor(next.unsigned_abs()))),
                Some(next) => below = next,
            }
        }
    }

    fn length(&mut self, now: Millis) -> Result<u64, BackendError> {
        let moment = Now::new(now);
        self.held()
            .read(now, |connection| self.table.length(connection, &moment))
    }

    fn clear(&mut self, now: Millis) -> Result<(), BackendError> {
        self.held()
            .write(now, |connection, _| self.table.clear(connection))
    }

    fn upkeep(&mut self, now: Millis) -> Upkeep {
        let compare_at = *self.compare_at.get_or_insert(now.after(LONGEST));
        if now >= compare_at {
            self.compare_at = Some(self.compare(now));
        }
        if now >= self.sweep_at {
            // A fault is logged by the connection, and is perhaps over by then.
            match self
                .sweep(now)
                .unwrap_or(Upkeep::Until(now.after(BETWEEN_SWEEPS)))
            {
                Upkeep::Until(at) => self.sweep_at = at,
                left => return left,
            }
        }
        let next = self.compare_at.unwrap_or(Millis::MAX).min(self.sweep_at);
        Upkeep::Until(next)
    }
}
