//! Errors in Redis's words: clients match on the first of them.

use std::borrow::Cow;

use super::lookup::Missing;
use crate::backend::BackendError;
use crate::protocol::message::Failure;
use crate::protocol::resp::{Protocol, Writer};

/// The reply to a request that the backend was not asked, or that was taken back.
pub fn write_error(error: BackendError, out: &mut Vec<u8>) {
    // Errors are the same in both versions of the protocol.
    Writer::new(out, Protocol::default()).error_parts(&[&Fault::from(error).0]);
}

/// What a command returns: its reply is written, or it failed.
pub(super) type Done = Result<(), Fault>;

/// Why a command was not done: the text of the error reply, without the dash. It may repeat what a
/// peer has sent, so it is bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault(pub(super) Cow<'static, [u8]>);

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
    /// What the command changes was changed by somebody else: it begins anew, some times.
    pub(super) const CHANGED: Self = Self::of("BUSY the key is changed by others; try again");
    /// What is left of a destroy refuses the write, and the reply has no other way to say so.
    pub(super) const TOMBSTONE: Self =
        Self::of("TOMBSTONE the key was removed a moment ago (--tombstones); SET it with NX");
    pub(super) const NO_AUTH: Self = Self::of("NOAUTH Authentication required.");

    /// This text.
    pub(super) const fn of(text: &'static str) -> Self {
        Self(Cow::Borrowed(text.as_bytes()))
    }

    /// This text, made for the occasion.
    pub(super) fn say(text: impl Into<String>) -> Self {
        Self(Cow::Owned(text.into().into_bytes()))
    }

    /// A text that repeats an argument. Like C, Redis takes a zero byte for the argument's end.
    pub(super) fn quoting(before: &str, arg: &[u8], after: &str) -> Self {
        let arg = arg.split(|byte| *byte == 0).next().unwrap_or_default();
        Self([before.as_bytes(), arg, after.as_bytes()].concat().into())
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
            Missing::Sub(fault) | Missing::Rejected(_, fault) => fault,
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
            BackendError::Failed(text) if has_code(&text) => Self::say(text),
            other => Self::say(format!("ERR {other}")),
        }
    }
}

/// Whether it is what a Redis behind the store says, with a first word of its own.
fn has_code(text: &str) -> bool {
    let word = text.split(' ').next().unwrap_or_default();
    word.len() > 2 && word.bytes().all(|byte| byte.is_ascii_uppercase())
}
