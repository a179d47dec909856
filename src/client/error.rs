//! Why a call has no result, told apart by what may be done about it.
//!
//! Error replies become [`Error`]s here; numbers that a reply does not carry come from the request
//! and from what the master said when it welcomed us.

use std::io;
use std::time::Duration;

use crate::config::Limits;
use crate::error::Error;
use crate::protocol::message::{ErrorCode, Failure, Put, Regenerate, Set, Welcome};
use crate::protocol::{Reply, Request};

/// Why a connection cannot be used any more. It stays so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Broken {
    /// The other end closed it.
    #[error("the master closed the connection")]
    Closed,
    /// The system refused to read or write.
    #[error("the connection failed: {0}")]
    Io(io::ErrorKind),
    /// The other end does not keep to the protocol, or says that we do not.
    #[error("{0}")]
    Protocol(String),
    /// The master does not let this process in.
    #[error("{0}")]
    Refused(String),
    /// The master has as many connections as it takes, for now.
    #[error("{0}")]
    Full(String),
    /// The other end took part of a request and not the rest in time.
    #[error("a request could not be written whole in its time")]
    Stalled,
    /// This process was forked from the one that made the connection. Two processes must not
    /// write to one stream; make a new connection after `fork`.
    #[error("the connection belongs to the process from which this one was forked")]
    Forked,
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::NotConnected
            | io::ErrorKind::UnexpectedEof => Self::Closed,
            kind => Self::Io(kind),
        }
    }
}

/// Why a call has no result.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The master surely did not get the request, and the connection is of no more use: the call
    /// may be repeated on a new connection.
    #[error("the request was not sent: {0}")]
    NotSent(#[source] Broken),
    /// The request was sent and the connection ended before its reply: what it asked may or may
    /// not have been done.
    #[error("no reply came: {0}")]
    Lost(#[source] Broken),
    /// The call failed, by the master's answer or because its time was over. The connection may
    /// well go on.
    #[error(transparent)]
    Failed(#[from] Error),
}

impl CallError {
    /// The public error for a caller who will not repeat the call, named `operation`.
    pub fn into_error(self, operation: &'static str) -> Error {
        match self {
            Self::Failed(error) => error,
            Self::Lost(_) => Error::OutcomeUnknown { operation },
            Self::NotSent(Broken::Protocol(message)) => Error::Protocol(message),
            Self::NotSent(Broken::Refused(message)) => Error::Authentication(message.into()),
            Self::NotSent(_) => Error::MasterGone,
        }
    }
}

/// What a store accepts, in bytes; an error reply does not carry it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    max_key: u64,
    max_value: u64,
}

impl From<&Welcome> for Bounds {
    fn from(welcome: &Welcome) -> Self {
        Self {
            max_key: welcome.max_key,
            max_value: welcome.max_value,
        }
    }
}

impl From<&Limits> for Bounds {
    fn from(limits: &Limits) -> Self {
        Self {
            max_key: limits.max_key as u64,
            max_value: limits.max_value as u64,
        }
    }
}

/// The error for an error reply to `request`, which came after `elapsed`.
pub(crate) fn refusal(
    failure: Failure<'_>,
    request: &Request<'_>,
    bounds: impl Into<Bounds>,
    elapsed: Duration,
) -> Error {
    let bounds = bounds.into();
    let operation = request.op().name();
    let message = failure.message.into_owned();
    match (failure.code, key_of(request), value_of(request)) {
        (ErrorCode::KeyTooLong, Some(key), _) => key_too_long(key, bounds),
        (ErrorCode::TooLarge, _, Some(value)) => value_too_large(value, bounds),
        (ErrorCode::Unsupported | ErrorCode::UnknownOp, ..) => Error::Unsupported { operation },
        (ErrorCode::OutOfMemory, ..) => Error::OutOfMemory(message),
        (ErrorCode::Busy, ..) => Error::Busy,
        (ErrorCode::AuthRequired, ..) => {
            Error::Authentication("the master asks for it first".into())
        }
        (ErrorCode::AuthFailed, ..) => {
            Error::Authentication("the secret is not the master's".into())
        }
        (ErrorCode::WrongKind, ..) => Error::WrongKind,
        (ErrorCode::Backend, ..) => Error::Backend(message),
        (ErrorCode::Timeout, ..) => Error::Timeout {
            operation,
            after: elapsed,
        },
        (
            ErrorCode::BadRequest
            | ErrorCode::Version
            | ErrorCode::KeyTooLong
            | ErrorCode::TooLarge,
            ..,
        ) => Error::Protocol(message),
    }
}

/// Refuses before it is sent what the master would refuse, or close the connection for.
pub(super) fn check_limits(request: &Request<'_>, welcome: &Welcome) -> Result<(), Error> {
    match key_of(request) {
        Some(key) if key.len() as u64 > welcome.max_key => {
            return Err(key_too_long(key, welcome.into()));
        }
        _ => {}
    }
    match value_of(request) {
        Some(value) if value.len() as u64 > welcome.max_value => {
            Err(value_too_large(value, welcome.into()))
        }
        _ => Ok(()),
    }
}

/// The error for a reply that is no answer to `request`.
pub(super) fn unexpected(request: &Request<'_>, reply: &Reply<'_>) -> Error {
    let got = reply.name();
    let operation = request.op().name();
    Error::Protocol(format!("the master answered {operation} with {got}"))
}

fn key_too_long(key: &[u8], bounds: Bounds) -> Error {
    Error::KeyTooLong {
        len: key.len() as u64,
        max: bounds.max_key,
    }
}

fn value_too_large(value: &[u8], bounds: Bounds) -> Error {
    Error::ValueTooLarge {
        len: value.len() as u64,
        max: bounds.max_value,
    }
}

/// The bytes of the request that are somebody's key.
pub(super) fn key_of<'a>(request: &Request<'a>) -> Option<&'a [u8]> {
    match *request {
        Request::Get { key }
        | Request::Touch { key, .. }
        | Request::Destroy { key }
        | Request::Bury { key, .. }
        | Request::Set(Set { key, .. })
        | Request::Put(Put { key, .. })
        // The old one is only looked for.
        | Request::Regenerate(Regenerate { to: key, .. }) => Some(key),
        // It is bounded as a key is.
        Request::Publish { channel, .. } => Some(channel),
        Request::Hello(_)
        | Request::Auth(_)
        | Request::Ping
        | Request::All { .. }
        | Request::Length
        | Request::Clear
        | Request::Subscribe(_)
        | Request::Receive { .. }
        | Request::Unsubscribe { .. }
        | Request::Records { .. } => None,
    }
}

/// The bytes of the request that are somebody's value.
pub(super) fn value_of<'a>(request: &Request<'a>) -> Option<&'a [u8]> {
    match *request {
        Request::Set(Set { value, .. })
        | Request::Put(Put { value, .. })
        | Request::Publish { message: value, .. } => Some(value),
        _ => None,
    }
}
