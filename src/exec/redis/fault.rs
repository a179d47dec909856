//! Errors in Redis's words: clients match on the first of them.

use std::borrow::Cow;

use super::table::Missing;
use crate::backend::BackendError;
use crate::protocol::message::Failure;
use crate::protocol::resp::{Protocol, Writer};

/// The reply to a request that the backend was not asked, or that was taken back.
pub fn write_error(error: BackendError, out: &mut Vec<u8>) {
    // Errors are the same in both versions of the protocol.
    Writer::new(out, Protocol::default()).error(&Fault::from(error).0);
}

/// What a command returns: its reply is written, or it failed.
pub(super) type Done = Result<(), Fault>;

/// An argument as an error repeats it: like C, Redis takes a zero byte for its end.
pub(super) fn quoted(arg: &[u8]) -> Cow<'_, str> {
    let text = arg.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text)
}

/// Why a command was not done: the text of the error reply, without the dash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault(pub(super) Cow<'static, str>);

impl Fault {
    pub(super) const SYNTAX: Self = Self::of("ERR syntax error");
    pub(super) const NOT_AN_INTEGER: Self = Self::of("ERR value is not an integer or out of range");
    pub(super) const WRONG_TYPE: Self =
        Self::of("WRONGTYPE Operation against a key holding the wrong kind of value");
    pub(super) const STRING_TOO_LONG: Self =
        Self::of("ERR string exceeds maximum allowed size (proto-max-bulk-len)");
    /// The reply would have no bound but the number of keys.
    pub(super) const TOO_MUCH: Self =
        Self::of("ERR the reply would be too large; ask for less at a time");
    pub(super) const NO_AUTH: Self = Self::of("NOAUTH Authentication required.");

    /// This text.
    pub(super) const fn of(text: &'static str) -> Self {
        Self(Cow::Borrowed(text))
    }

    /// This text, made for the occasion.
    pub(super) fn say(text: impl Into<String>) -> Self {
        Self(Cow::Owned(text.into()))
    }

    /// A command, by its full name, has too few or too many arguments.
    pub(super) fn arguments(command: &str) -> Self {
        Self::say(format!(
            "ERR wrong number of arguments for '{command}' command"
        ))
    }
}

impl From<Failure<'static>> for Fault {
    fn from(failure: Failure<'static>) -> Self {
        Self::say(format!("ERR {}", failure.message))
    }
}

impl From<Missing> for Fault {
    fn from(missing: Missing) -> Self {
        match missing {
            Missing::Unknown => Self::of("ERR unknown command"),
            Missing::For(fault) => fault,
        }
    }
}

impl From<BackendError> for Fault {
    fn from(error: BackendError) -> Self {
        match error {
            BackendError::OutOfMemory { .. } => {
                Self::of("OOM command not allowed when used memory > 'maxmemory'.")
            }
            BackendError::Full(_) => Self::say(format!("OOM {error}")),
            BackendError::Busy => Self::of("BUSY the store has too much to do"),
            BackendError::TimedOut { .. } => Self::say(format!("TIMEOUT {error}")),
            other => Self::say(format!("ERR {other}")),
        }
    }
}
