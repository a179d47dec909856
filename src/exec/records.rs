//! Entries of every kind and database: what copies and dumps read and write of a master.

use std::borrow::Cow;

use super::{ITEM_OVERHEAD, PAGE_ITEMS, ttl_ms};
use crate::backend::databases::COUNT;
use crate::backend::{Backend, BackendError, Cursor, SetOutcome, Walk};
use crate::config::Limits;
use crate::contract::Condition;
use crate::protocol::message::{Item, Put, Record, Records};
use crate::time::Millis;

/// A part of a walk over everything in a database. There is nothing in one that is not there.
pub(super) fn page(
    backend: &mut dyn Backend,
    now: Millis,
    database: u8,
    cursor: u64,
) -> Result<Records<'static>, BackendError> {
    let is_there = backend.has_database(database);
    let mut items = Vec::new();
    let Some(store) = of(backend, database).filter(|_| is_there) else {
        return Ok(Records { next: 0, items });
    };
    let mut bytes = 0;
    let next = store.all(now, Cursor(cursor), &mut |key, entry| {
        bytes += key.len() + entry.value.len() + ITEM_OVERHEAD;
        items.push(Record {
            kind: entry.kind,
            item: Item {
                key: Cow::Owned(key.to_vec()),
                seq: entry.seq,
                ttl_ms: ttl_ms(now, entry.deadline),
                value: Cow::Owned(entry.value.into_owned()),
            },
        });
        if items.len() >= PAGE_ITEMS as usize || bytes >= Limits::PAGE {
            Walk::Pause
        } else {
            Walk::On
        }
    })?;
    let next = next.map_or(0, |cursor| cursor.0);
    Ok(Records { next, items })
}

/// Writes an entry.
pub(super) fn put(
    backend: &mut dyn Backend,
    now: Millis,
    put: &Put<'_>,
) -> Result<SetOutcome, BackendError> {
    let store = of(backend, put.database);
    let store = store.ok_or(BackendError::Unsupported("more than one database"))?;
    let deadline = super::deadline(now, put.expiry);
    store.set_kind(
        now,
        put.key,
        (put.kind, put.value),
        deadline,
        Condition::Always,
    )
}

fn of(backend: &mut dyn Backend, database: u8) -> Option<&mut dyn Backend> {
    match database {
        0 => Some(backend),
        COUNT.. => None,
        database => backend.database(database),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::MemoryBackend;
    use crate::contract::{Expiry, Kind};

    const NOW: Millis = Millis::from_unix(1);

    fn write(backend: &mut MemoryBackend, database: u8, kind: Kind) -> Result<(), BackendError> {
        let key = if kind == Kind::Hash { b"h" } else { b"b" };
        let entry = Put {
            database,
            kind,
            expiry: Expiry::AfterMs(5),
            key,
            value: b"v",
        };
        put(backend, NOW, &entry).map(drop)
    }

    #[test]
    fn everything_is_in_its_database_and_nothing_in_one_that_is_not_there() {
        let mut backend = MemoryBackend::new();
        for kind in [Kind::Bytes, Kind::Hash] {
            write(&mut backend, 0, kind).unwrap();
            for database in [1, COUNT, u8::MAX] {
                let refused = write(&mut backend, database, kind);
                assert!(matches!(refused, Err(BackendError::Unsupported(_))));
            }
        }
        for database in [1, COUNT, u8::MAX] {
            let page = page(&mut backend, NOW, database, 0).unwrap();
            assert!(page.items.is_empty() && page.next == 0);
        }
        let page = page(&mut backend, NOW, 0, 0).unwrap();
        let mut found: Vec<_> = page
            .items
            .iter()
            .map(|record| (&*record.item.key, record.kind, record.item.ttl_ms))
            .collect();
        found.sort_unstable_by_key(|(key, ..)| *key);
        let expected = [
            (&b"b"[..], Kind::Bytes, Some(5)),
            (b"h", Kind::Hash, Some(5)),
        ];
        assert_eq!(found, expected);
    }
}
