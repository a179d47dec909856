//! What the replies say to whoever asked, for the handles of threads and of tasks alike.

#![allow(clippy::needless_pass_by_value, reason = "all readers look the same")]

use std::time::Duration;

use super::entry::Entry;
#[cfg(feature = "cli")]
use crate::contract::Kind;
use crate::contract::Seq;
use crate::error::{Error, Result};
use crate::protocol::Reply;

/// An entry with its key.
pub(crate) type Item = (Vec<u8>, Entry);

/// What an entry is, and the entry with its key.
#[cfg(feature = "cli")]
pub(crate) type Record = (Kind, Item);

/// To a get.
pub(super) fn entry(reply: Reply<'_>) -> Result<Option<Entry>> {
    match reply {
        Reply::Entry(entry) => Ok(Some(Entry::read(entry))),
        Reply::Missing => Ok(None),
        other => Err(unexpected(&other)),
    }
}

/// To a set.
pub(super) fn stored(reply: Reply<'_>) -> Result<Seq> {
    match reply {
        Reply::Stored { seq } => Ok(seq),
        Reply::Conflict { found } => Err(Error::Conflict { found }),
        other => Err(unexpected(&other)),
    }
}

/// To a regenerate.
pub(super) fn regenerated(reply: Reply<'_>) -> Result<Option<Seq>> {
    match reply {
        Reply::Missing => Ok(None),
        reply => stored(reply).map(Some),
    }
}

/// To a subscribe: the number of the subscription.
pub(super) fn subscribed(reply: Reply<'_>) -> Result<u64> {
    match reply {
        Reply::Subscribed { subscription } => Ok(subscription),
        other => Err(unexpected(&other)),
    }
}

/// To a touch, a destroy or a clear.
pub(super) fn was_there(reply: Reply<'_>) -> Result<bool> {
    match reply {
        Reply::Done => Ok(true),
        Reply::Missing => Ok(false),
        other => Err(unexpected(&other)),
    }
}

/// To a length.
pub(super) fn length(reply: Reply<'_>) -> Result<u64> {
    match reply {
        Reply::Length(length) => Ok(length),
        other => Err(unexpected(&other)),
    }
}

/// To a ping.
pub(super) fn pong(reply: Reply<'_>) -> Result<()> {
    match reply {
        Reply::Pong => Ok(()),
        other => Err(unexpected(&other)),
    }
}

/// To an all: the entries of a page, and where the next one starts; zero after the last.
pub(super) fn page(reply: Reply<'_>) -> Result<(u64, Vec<Item>)> {
    let Reply::Page(page) = reply else {
        return Err(unexpected(&reply));
    };
    let items = page.items.into_iter().map(|item| {
        let entry = Entry {
            value: item.value.into_owned(),
            seq: item.seq,
            ttl: item.ttl_ms.map(Duration::from_millis),
        };
        (item.key.into_owned(), entry)
    });
    Ok((page.next, items.collect()))
}

/// To a records: as [`page`].
#[cfg(feature = "cli")]
pub(super) fn records(reply: Reply<'_>) -> Result<(u64, Vec<Record>)> {
    let Reply::Records(records) = reply else {
        return Err(unexpected(&reply));
    };
    let items = records.items.into_iter().map(|record| {
        let entry = Entry {
            value: record.item.value.into_owned(),
            seq: record.item.seq,
            ttl: record.item.ttl_ms.map(Duration::from_millis),
        };
        (record.kind, (record.item.key.into_owned(), entry))
    });
    Ok((records.next, items.collect()))
}

pub(super) fn unexpected(reply: &Reply<'_>) -> Error {
    Error::Protocol(format!("\"{}\" is no reply to that request", reply.name()))
}
