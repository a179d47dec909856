//! Entries with the time at which they were read, which says when they end.

use std::time::{Duration, Instant};

use super::place::{End, Trouble};
use crate::cluster::{Batch, Entry, Outcome};
use crate::error::Error;

/// Deadlines that differ by less are the same: some stores keep whole seconds.
pub(super) const SAME_TIME: Duration = Duration::from_secs(1);

/// An entry and its key.
pub(super) type Item = (Vec<u8>, Entry);

/// What was read, and when: at some time between the two.
pub(super) struct Read<T> {
    pub(super) entries: T,
    begin: Instant,
    pub(super) end: Instant,
}

impl<T> Read<T> {
    fn new(read: impl FnOnce() -> Result<T, Trouble>) -> Result<Self, Trouble> {
        let begin = Instant::now();
        let entries = read()?;
        let end = Instant::now();
        Ok(Self {
            entries,
            begin,
            end,
        })
    }

    /// Whether an entry of this reading and one of another have the same value for the same time.
    pub(super) fn is_same<U>(&self, one: &Entry, others: &Read<U>, other: &Entry) -> bool {
        let is_same_time = match (one.ttl, other.ttl) {
            (None, None) => true,
            (Some(one), Some(other)) => {
                // When either ends, at the earliest and at the latest.
                let (first, last) = (self.begin + one, self.end + one + SAME_TIME);
                let (begin, end) = (others.begin + other, others.end + other + SAME_TIME);
                first < end && begin < last
            }
            _ => false,
        };
        is_same_time && one.value == other.value
    }
}

impl End {
    /// The entries from a place on, and where the next ones are; zero behind the last.
    pub(super) fn page(&self, cursor: u64) -> Result<(u64, Read<Vec<Item>>), Trouble> {
        let mut next = 0;
        let read = Read::new(|| {
            let page = self.store.page(cursor);
            let (then, items) = page.map_err(|error| self.trouble("read", None, error))?;
            next = then;
            Ok(items)
        })?;
        Ok((next, read))
    }

    /// The entries with these keys. A hash is none.
    pub(super) fn read<'k>(
        &self,
        keys: impl Iterator<Item = &'k [u8]> + Clone,
    ) -> Result<Read<Vec<Option<Entry>>>, Trouble> {
        let mut batch = Batch::new();
        for key in keys.clone() {
            batch.get(key);
        }
        Read::new(|| {
            let outcomes = self.store.run(&batch).into_iter().zip(keys);
            outcomes
                .map(|(outcome, key)| match outcome {
                    Ok(Outcome::Entry(entry)) => Ok(entry),
                    Ok(_) => unreachable!("it was a get"),
                    Err(Error::WrongKind) => Ok(None),
                    Err(error) => Err(self.trouble("read", Some(key), error)),
                })
                .collect()
        })
    }

    /// Does all of these writes, one for each of the keys.
    pub(super) fn write<'k>(
        &self,
        batch: &Batch<'_>,
        keys: impl Iterator<Item = &'k [u8]>,
    ) -> Result<(), Trouble> {
        for (outcome, key) in self.store.run(batch).into_iter().zip(keys) {
            outcome.map_err(|error| self.trouble("write", Some(key), error))?;
        }
        Ok(())
    }
}
