//! One request against a backend, one reply.
//!
//! Every request of every dialect and role passes through [`execute`], so the rules of the store
//! contract (limits, relative deadlines, what is unsupported) stand here once. [`Conversation`]
//! is what surrounds requests on a connection: who may ask, and in which order. [`Hub`] is where
//! messages meet their subscribers. Pure: the time and all randomness come in as arguments; only
//! for its messages can a thread wait, in `mailbox`.

pub(crate) mod ahead;
mod channels;
mod conversation;
mod hub;
mod mailbox;
pub(crate) mod plain;
mod records;
pub mod redis;
mod subscribers;
mod watches;

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

pub use conversation::{Conversation, Host, Next, Origin};
pub(crate) use hub::SharedHub;
pub use hub::{ClientId, Hub};
pub(crate) use mailbox::{Batch, Message};
pub(crate) use subscribers::Subscriber;

use crate::backend::{Backend, BackendError, Cursor, Deadline, SetOutcome, Walk};
use crate::config::Limits;
use crate::contract::{Expiry, Kind};
use crate::protocol::message::{Entry, ErrorCode, Failure, Item, Page, Regenerate, Set};
use crate::protocol::{Reply, Request};
use crate::time::Millis;

/// Entries of a page where the client leaves it to us.
const PAGE_ITEMS: u32 = 512;
/// A page may end without an item after so many entries that are not for it.
const SKIPPED: u32 = 4 * PAGE_ITEMS;
/// What an entry in a page costs besides its key and value, in bytes, at the most.
const ITEM_OVERHEAD: usize = 48;

/// Does what a request asks. Greetings and messages are not for a backend and are answered as an
/// error; [`Conversation`] handles those before.
pub fn execute<'b>(
    backend: &'b mut dyn Backend,
    now: Millis,
    limits: &Limits,
    request: &Request<'_>,
) -> Reply<'b> {
    // One master serves everybody, so a backend that panics fails the request and no more. In what
    // state that leaves it is its own concern.
    let backend = AssertUnwindSafe(backend);
    match catch_unwind(move || answer({ backend }.0, now, limits, request)) {
        Ok(Ok(reply)) => reply,
        Ok(Err(failure)) => Reply::Error(failure),
        Err(_) => Reply::Error(failure(ErrorCode::Backend, "it panicked")),
    }
}

fn answer<'b>(
    backend: &'b mut dyn Backend,
    now: Millis,
    limits: &Limits,
    request: &Request<'_>,
) -> Result<Reply<'b>, Failure<'static>> {
    Ok(match *request {
        Request::Ping => Reply::Pong,
        Request::Get { key } => match backend.get(now, key)? {
            Some(entry) if entry.kind != Kind::Bytes => {
                return Err(failure(ErrorCode::WrongKind, "the value is a hash"));
            }
            Some(entry) => Reply::Entry(Entry {
                seq: entry.seq,
                ttl_ms: ttl_ms(now, entry.deadline),
                value: entry.value,
            }),
            None => Reply::Missing,
        },
        Request::Set(Set {
            expiry,
            condition,
            key,
            value,
        }) => {
            check_key(key, limits)?;
            check_value(value, limits)?;
            written(backend.set(now, key, value, deadline(now, expiry), condition)?)
        }
        Request::Touch { key, expiry } => done(backend.touch(now, key, deadline(now, expiry))?),
        Request::Destroy { key } => done(backend.destroy(now, key)?),
        Request::Bury { key, tombstone_ms } => {
            done(backend.bury(now, key, Duration::from_millis(tombstone_ms))?)
        }
        Request::Regenerate(Regenerate { grace_ms, from, to }) => {
            check_key(to, limits)?;
            let outcome = backend.regenerate(now, from, to, Duration::from_millis(grace_ms))?;
            outcome.map_or(Reply::Missing, written)
        }
        Request::All { cursor, limit } => Reply::Page(page(backend, now, cursor, limit)?),
        Request::Records { database, cursor } => {
            Reply::Records(records::page(backend, now, database, cursor)?)
        }
        Request::Put(put) => {
            check_key(put.key, limits)?;
            check_value(put.value, limits)?;
            written(records::put(backend, now, &put)?)
        }
        Request::Length => Reply::Length(backend.length(now)?),
        Request::Clear => {
            backend.clear(now)?;
            Reply::Done
        }
        Request::Hello(_) | Request::Auth(_) => {
            return Err(failure(ErrorCode::BadRequest, "greetings are over"));
        }
        Request::Publish { .. }
        | Request::Subscribe(_)
        | Request::Receive { .. }
        | Request::Unsubscribe { .. } => {
            return Err(failure(ErrorCode::BadRequest, "that is not the backend's"));
        }
    })
}

/// Posts a message, if it is not too large.
pub(crate) fn publish(
    hub: &mut Hub,
    limits: &Limits,
    channel: &[u8],
    message: &[u8],
) -> Reply<'static> {
    let checked = check_key(channel, limits).and_then(|()| check_value(message, limits));
    match checked {
        Ok(()) => Reply::Length(hub.publish(channel, message) as u64),
        Err(failure) => Reply::Error(failure),
    }
}

/// A part of a walk over what `get` would answer. Hashes are left out, but not of a `length`.
fn page(
    backend: &mut dyn Backend,
    now: Millis,
    cursor: u64,
    limit: u32,
) -> Result<Page<'static>, BackendError> {
    let most = match limit {
        0 => PAGE_ITEMS,
        limit => limit.min(PAGE_ITEMS),
    };
    let (mut items, mut bytes, mut skipped) = (Vec::new(), 0, 0);
    let next = backend.all(now, Cursor(cursor), &mut |key, entry| {
        if entry.kind != Kind::Bytes {
            skipped += 1;
            return if skipped < SKIPPED {
                Walk::On
            } else {
                Walk::Pause
            };
        }
        bytes += key.len() + entry.value.len() + ITEM_OVERHEAD;
        items.push(Item {
            key: Cow::Owned(key.to_vec()),
            seq: entry.seq,
            ttl_ms: ttl_ms(now, entry.deadline),
            value: Cow::Owned(entry.value.into_owned()),
        });
        if items.len() >= most as usize || bytes >= Limits::PAGE {
            Walk::Pause
        } else {
            Walk::On
        }
    })?;
    let next = next.map_or(0, |cursor| cursor.0);
    Ok(Page { next, items })
}

fn check_key(key: &[u8], limits: &Limits) -> Result<(), Failure<'static>> {
    if key.len() <= limits.max_key {
        return Ok(());
    }
    let message = format!(
        "the key has {} bytes, at most {} are accepted (--max-key)",
        key.len(),
        limits.max_key
    );
    Err(failure(ErrorCode::KeyTooLong, message))
}

fn check_value(value: &[u8], limits: &Limits) -> Result<(), Failure<'static>> {
    if value.len() <= limits.max_value {
        return Ok(());
    }
    let message = format!(
        "the value has {} bytes, at most {} are accepted (--max-value)",
        value.len(),
        limits.max_value
    );
    Err(failure(ErrorCode::TooLarge, message))
}

/// The absolute deadline for a relative one.
pub(crate) fn deadline(now: Millis, expiry: Expiry) -> Deadline {
    match expiry {
        Expiry::Never => Deadline::Never,
        Expiry::AfterMs(ms) => Deadline::At(now.after_ms(ms)),
        Expiry::Keep => Deadline::Keep,
    }
}

/// Milliseconds from `now` to a deadline.
pub(crate) fn ttl_ms(now: Millis, deadline: Option<Millis>) -> Option<u64> {
    deadline.map(|deadline| deadline.as_unix().saturating_sub(now.as_unix()))
}

/// The number of a database, and what has become of a key there, in Redis's word for it.
pub(crate) type Change<'r> = Option<(u8, &'static str, &'r [u8])>;

/// What a request has changed, by the reply to it.
pub(crate) fn changes<'r>(request: &Request<'r>, reply: &Reply<'_>) -> [Change<'r>; 2] {
    let one = match (request, reply) {
        (Request::Set(set), Reply::Stored { .. }) => match set.expiry {
            Expiry::AfterMs(0) => Some((0, "del", set.key)),
            _ => Some((0, "set", set.key)),
        },
        (Request::Put(put), Reply::Stored { .. }) => {
            let event = match (put.expiry, put.kind) {
                (Expiry::AfterMs(0), _) => "del",
                (_, Kind::Hash) => "hset",
                _ => "set",
            };
            Some((put.database, event, put.key))
        }
        (Request::Touch { key, expiry }, Reply::Done) => match expiry {
            Expiry::AfterMs(0) => Some((0, "del", *key)),
            Expiry::AfterMs(_) => Some((0, "expire", *key)),
            Expiry::Never => Some((0, "persist", *key)),
            Expiry::Keep => None,
        },
        (Request::Destroy { key } | Request::Bury { key, .. }, Reply::Done) => {
            Some((0, "del", *key))
        }
        (&Request::Regenerate(Regenerate { grace_ms, from, to }), Reply::Stored { .. }) => {
            let of_old = if grace_ms == 0 { "del" } else { "expire" };
            return [Some((0, "copy_to", to)), Some((0, of_old, from))];
        }
        _ => None,
    };
    [one, None]
}

fn written(outcome: SetOutcome) -> Reply<'static> {
    match outcome {
        SetOutcome::Stored(seq) => Reply::Stored { seq },
        SetOutcome::Conflict(found) => Reply::Conflict { found },
    }
}

fn done(found: bool) -> Reply<'static> {
    if found { Reply::Done } else { Reply::Missing }
}

fn failure(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Failure<'static> {
    Failure {
        code,
        message: message.into(),
    }
}

impl From<BackendError> for Failure<'static> {
    fn from(error: BackendError) -> Self {
        let code = match error {
            BackendError::Unsupported(_) => ErrorCode::Unsupported,
            BackendError::OutOfMemory { .. } | BackendError::Full(_) => ErrorCode::OutOfMemory,
            BackendError::Busy => ErrorCode::Busy,
            BackendError::TimedOut { .. } => ErrorCode::Timeout,
            BackendError::Failed(_) | BackendError::Broken(_) => ErrorCode::Backend,
        };
        failure(code, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::MemoryBackend;
    use crate::contract::Condition;

    const NOW: Millis = Millis::from_unix(5_000);

    fn limits() -> Limits {
        Limits {
            max_key: 8,
            max_value: 100 << 10,
            ..Limits::default()
        }
    }

    fn set<'a>(key: &'a [u8], value: &'a [u8]) -> Request<'a> {
        Request::Set(Set {
            expiry: Expiry::AfterMs(10),
            condition: Condition::Always,
            key,
            value,
        })
    }

    #[test]
    fn what_is_too_long_is_refused_with_the_numbers() {
        let mut backend = MemoryBackend::new();
        let mut refused =
            |request: &Request<'_>| match execute(&mut backend, NOW, &limits(), request) {
                Reply::Error(failure) => (failure.code, failure.message.into_owned()),
                other => panic!("{other:?}"),
            };
        let (code, message) = refused(&set(b"ninebytes", b""));
        assert_eq!(code, ErrorCode::KeyTooLong);
        assert!(
            message.contains("9 bytes") && message.contains('8'),
            "{message}"
        );
        let (code, _) = refused(&set(b"k", &vec![0; (100 << 10) + 1]));
        assert_eq!(code, ErrorCode::TooLarge);
    }

    #[test]
    fn a_ttl_counts_down() {
        let mut backend = MemoryBackend::new();
        execute(&mut backend, NOW, &limits(), &set(b"k", b"v"));
        let get = Request::Get { key: b"k" };
        match execute(&mut backend, NOW.after_ms(4), &limits(), &get) {
            Reply::Entry(entry) => assert_eq!(entry.ttl_ms, Some(6)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_hash_is_not_given_as_bytes() {
        let mut backend = MemoryBackend::new();
        for n in 0..3 * SKIPPED {
            let (key, value) = (n.to_le_bytes(), (Kind::Hash, &b"h"[..]));
            let set = backend.set_kind(NOW, &key, value, Deadline::Never, Condition::Always);
            set.unwrap();
        }
        let key = &1u32.to_le_bytes();
        match execute(&mut backend, NOW, &limits(), &Request::Get { key }) {
            Reply::Error(failure) => assert_eq!(failure.code, ErrorCode::WrongKind),
            other => panic!("{other:?}"),
        }
        execute(&mut backend, NOW, &limits(), &set(b"k", b"v"));
        let pages = pages(&mut backend);
        assert_eq!(pages.iter().sum::<usize>(), 1);
        assert!(pages.len() >= 3, "a page looks at so many entries only");
        execute(&mut backend, NOW, &limits(), &set(key, b"v"));
        let value = backend.get(NOW, key).unwrap().unwrap();
        assert_eq!((&*value.value, value.kind), (&b"v"[..], Kind::Bytes));
    }

    #[test]
    fn a_page_ends_at_its_bounds_and_fits_a_frame() {
        let (mut large, mut mixed) = (MemoryBackend::new(), MemoryBackend::new());
        let big = vec![7; 40 << 10];
        for n in 0..4u8 {
            execute(&mut large, NOW, &limits(), &set(&[n], &big));
            execute(&mut mixed, NOW, &limits(), &set(&[n], &big));
        }
        for n in 0..1_500u32 {
            execute(&mut mixed, NOW, &limits(), &set(&n.to_le_bytes(), b""));
        }
        assert_eq!(pages(&mut large)[..2], [2, 2], "two large values fill one");
        let pages = pages(&mut mixed);
        assert_eq!(pages.iter().sum::<usize>(), 1_504);
        assert!(pages.iter().all(|items| *items <= PAGE_ITEMS as usize));
    }

    /// How many items the pages of a walk have.
    fn pages(backend: &mut MemoryBackend) -> Vec<usize> {
        let (mut cursor, mut pages) = (0, Vec::new());
        loop {
            let all = Request::All { cursor, limit: 0 };
            let reply = execute(backend, NOW, &limits(), &all);
            let mut bytes = Vec::new();
            crate::protocol::codec::write_reply(&mut bytes, 1, &reply);
            assert!(bytes.len() <= limits().max_body());
            let Reply::Page(page) = reply else {
                panic!("{reply:?}")
            };
            pages.push(page.items.len());
            cursor = page.next;
            if cursor == 0 {
                return pages;
            }
        }
    }
}
