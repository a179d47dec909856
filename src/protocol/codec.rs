//! Bodies: requests and replies to bytes and back.
//!
//! The only file that names `bincode`. The format is bincode 1 with fixed-width little-endian
//! integers: a length is a u64, a variant a u32, an option one byte and its content. It is held by
//! the golden-byte tests below, so the crate can be exchanged for another that writes the same
//! bytes (`wincode` does). Trailing bytes are rejected, and nothing is allocated by a declared
//! length that the input does not cover.

use bincode::Options;
use serde::{Deserialize, Serialize};

use super::frame::{self, Frame};
use super::message::{Delivery, ErrorCode, Failure, Op, Reply, Request, Status};
use crate::contract::{Expiry, Seq};

/// Why a frame is no message. The connection can go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// No operation has this code.
    #[error("no operation has the code {0:#04x}")]
    UnknownOp(u8),
    /// No reply has this code.
    #[error("no reply has the status {0:#04x}")]
    UnknownStatus(u8),
    /// The body is not what the code says.
    #[error("the body of {0:?} does not decode")]
    Body(&'static str),
}

#[derive(Serialize, Deserialize)]
struct Key<'a> {
    #[serde(with = "serde_bytes")]
    key: &'a [u8],
}

#[derive(Serialize, Deserialize)]
struct Touch<'a> {
    expiry: Expiry,
    #[serde(with = "serde_bytes")]
    key: &'a [u8],
}

#[derive(Serialize, Deserialize)]
struct Bury<'a> {
    tombstone_ms: u64,
    #[serde(with = "serde_bytes")]
    key: &'a [u8],
}

#[derive(Serialize, Deserialize)]
struct Publish<'a> {
    #[serde(with = "serde_bytes")]
    channel: &'a [u8],
    #[serde(with = "serde_bytes")]
    message: &'a [u8],
}

#[derive(Serialize, Deserialize)]
struct Receive {
    subscription: u64,
    wait_ms: u32,
}

#[derive(Serialize, Deserialize)]
struct Place {
    database: u8,
    cursor: u64,
}

#[derive(Serialize, Deserialize)]
struct All {
    cursor: u64,
    limit: u32,
}

/// Appends a request's frame to `out`.
pub fn write_request(out: &mut Vec<u8>, id: u32, request: &Request<'_>) {
    frame::write(out, request.op() as u8, id, |out| match request {
        Request::Hello(hello) => put(out, hello),
        Request::Auth(auth) => put(out, auth),
        Request::Get { key } | Request::Destroy { key } => put(out, &Key { key }),
        Request::Set(set) => put(out, set),
        Request::Touch { key, expiry } => put(
            out,
            &Touch {
                expiry: *expiry,
                key,
            },
        ),
        Request::All { cursor, limit } => put(
            out,
            &All {
                cursor: *cursor,
                limit: *limit,
            },
        ),
        Request::Bury { key, tombstone_ms } => put(
            out,
            &Bury {
                tombstone_ms: *tombstone_ms,
                key,
            },
        ),
        Request::Regenerate(regenerate) => put(out, regenerate),
        Request::Publish { channel, message } => put(out, &Publish { channel, message }),
        Request::Subscribe(subscribe) => put(out, subscribe),
        Request::Receive {
            subscription,
            wait_ms,
        } => put(
            out,
            &Receive {
                subscription: *subscription,
                wait_ms: *wait_ms,
            },
        ),
        Request::Unsubscribe { subscription } => put(out, subscription),
        Request::Records { database, cursor } => put(
            out,
            &Place {
                database: *database,
                cursor: *cursor,
            },
        ),
        Request::Put(record) => put(out, record),
        Request::Ping | Request::Length | Request::Clear => {}
    });
}

/// The request in a frame.
///
/// # Errors
/// [`DecodeError::UnknownOp`] and [`DecodeError::Body`].
pub fn read_request(frame: Frame<'_>) -> Result<Request<'_>, DecodeError> {
    let code = frame.header.code;
    let op = Op::from_code(code).ok_or(DecodeError::UnknownOp(code))?;
    let body = frame.body;
    let decoded = match op {
        Op::Hello => get(body).map(Request::Hello),
        Op::Auth => get(body).map(Request::Auth),
        Op::Ping => get(body).map(|()| Request::Ping),
        Op::Get => get(body).map(|Key { key }| Request::Get { key }),
        Op::Set => get(body).map(Request::Set),
        Op::Touch => get(body).map(|Touch { key, expiry }| Request::Touch { key, expiry }),
        Op::Destroy => get(body).map(|Key { key }| Request::Destroy { key }),
        Op::All => get(body).map(|All { cursor, limit }| Request::All { cursor, limit }),
        Op::Length => get(body).map(|()| Request::Length),
        Op::Clear => get(body).map(|()| Request::Clear),
        Op::Bury => get(body).map(|Bury { key, tombstone_ms }| Request::Bury { key, tombstone_ms }),
        Op::Regenerate => get(body).map(Request::Regenerate),
        Op::Publish => {
            get(body).map(|Publish { channel, message }| Request::Publish { channel, message })
        }
        Op::Subscribe => get(body).map(Request::Subscribe),
        Op::Receive => get(body).map(
            |Receive {
                 subscription,
                 wait_ms,
             }| Request::Receive {
                subscription,
                wait_ms,
            },
        ),
        Op::Unsubscribe => get(body).map(|subscription| Request::Unsubscribe { subscription }),
        Op::Records => {
            get(body).map(|Place { database, cursor }| Request::Records { database, cursor })
        }
        Op::Put => get(body).map(Request::Put),
    };
    decoded.ok_or(DecodeError::Body(op.name()))
}

/// Appends a reply's frame to `out`.
pub fn write_reply(out: &mut Vec<u8>, id: u32, reply: &Reply<'_>) {
    let code = match reply {
        Reply::Welcome(_) => Status::Welcome as u8,
        Reply::Challenge { .. } => Status::Challenge as u8,
        Reply::Pong => Status::Pong as u8,
        Reply::Entry(_) => Status::Entry as u8,
        Reply::Stored { .. } => Status::Stored as u8,
        Reply::Done => Status::Done as u8,
        Reply::Page(_) => Status::Page as u8,
        Reply::Length(_) => Status::Length as u8,
        Reply::Missing => Status::Missing as u8,
        Reply::Conflict { .. } => Status::Conflict as u8,
        Reply::Subscribed { .. } => Status::Subscribed as u8,
        Reply::Messages(_) => Status::Messages as u8,
        Reply::Records(_) => Status::Records as u8,
        Reply::Error(failure) => failure.code as u8,
    };
    frame::write(out, code, id, |out| match reply {
        Reply::Welcome(welcome) => put(out, welcome),
        Reply::Challenge { nonce } => put(out, nonce),
        Reply::Entry(entry) => put(out, entry),
        Reply::Stored { seq } => put(out, seq),
        Reply::Page(page) => put(out, page),
        Reply::Length(length) => put(out, length),
        Reply::Conflict { found } => put(out, found),
        Reply::Subscribed { subscription } => put(out, subscription),
        Reply::Messages(messages) => put(out, messages),
        Reply::Records(records) => put(out, records),
        Reply::Error(failure) => put(out, failure.message.as_ref()),
        Reply::Pong | Reply::Done | Reply::Missing => {}
    });
}

/// The reply in a frame.
///
/// # Errors
/// [`DecodeError::UnknownStatus`] and [`DecodeError::Body`].
pub fn read_reply(frame: Frame<'_>) -> Result<Reply<'_>, DecodeError> {
    let (code, body) = (frame.header.code, frame.body);
    if let Some(code) = ErrorCode::from_code(code) {
        let message = get::<&str>(body).ok_or(DecodeError::Body("error"))?.into();
        return Ok(Reply::Error(Failure { code, message }));
    }
    let status = Status::from_code(code).ok_or(DecodeError::UnknownStatus(code))?;
    let (name, decoded) = match status {
        Status::Welcome => ("welcome", get(body).map(Reply::Welcome)),
        Status::Challenge => (
            "challenge",
            get(body).map(|nonce| Reply::Challenge { nonce }),
        ),
        Status::Pong => ("pong", get(body).map(|()| Reply::Pong)),
        Status::Entry => ("entry", get(body).map(Reply::Entry)),
        Status::Stored => ("stored", get(body).map(|seq: Seq| Reply::Stored { seq })),
        Status::Done => ("done", get(body).map(|()| Reply::Done)),
        Status::Page => ("page", get(body).map(Reply::Page)),
        Status::Length => ("length", get(body).map(Reply::Length)),
        Status::Missing => ("missing", get(body).map(|()| Reply::Missing)),
        Status::Conflict => ("conflict", get(body).map(|found| Reply::Conflict { found })),
        Status::Subscribed => (
            "subscribed",
            get(body).map(|subscription| Reply::Subscribed { subscription }),
        ),
        Status::Messages => ("messages", get(body).map(Reply::Messages)),
        Status::Records => ("records", get(body).map(Reply::Records)),
    };
    decoded.ok_or(DecodeError::Body(name))
}

/// Appends one message of a [`Messages`](super::message::Messages), as it is in there.
pub fn write_delivery(out: &mut Vec<u8>, delivery: &Delivery<'_>) {
    put(out, delivery);
}

/// The message that [`write_delivery`] wrote.
pub fn read_delivery(bytes: &[u8]) -> Option<Delivery<'_>> {
    get(bytes)
}

/// Appends the frame of a [`Reply::Messages`] of what [`write_delivery`] wrote: a message is encoded
/// once, however many subscribers there are.
pub fn write_messages<'d>(
    out: &mut Vec<u8>,
    id: u32,
    missed: bool,
    deliveries: impl ExactSizeIterator<Item = &'d [u8]>,
) {
    frame::write(out, Status::Messages as u8, id, |out| {
        put(out, &(missed, deliveries.len() as u64));
        for delivery in deliveries {
            out.extend_from_slice(delivery);
        }
    });
}

fn put<T: Serialize + ?Sized>(out: &mut Vec<u8>, body: &T) {
    bincode::DefaultOptions::new()
        .with_fixint_encoding()
        .serialize_into(out, body)
        .expect("a vector takes every byte, and no body has a sequence of unknown length");
}

fn get<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Option<T> {
    // The limit counts what is decoded, so no body can claim more than its own bytes.
    bincode::DefaultOptions::new()
        .with_fixint_encoding()
        .reject_trailing_bytes()
        .with_limit(body.len() as u64)
        .deserialize(body)
        .ok()
}

#[cfg(test)]
#[path = "codec_tests.rs"]
mod tests;
