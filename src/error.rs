//! The public error: what can go wrong for somebody who uses a store.
//!
//! Every module has its own error for its own callers; this is the one that leaves the crate. Its
//! messages say what was attempted, on what, and what to do where that is not obvious. Match on
//! the variant, never on the text.

use std::borrow::Cow;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::contract::Seq;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The backend under the store has no such operation.
    #[error("{operation} is not supported by the store's backend")]
    Unsupported {
        /// The operation that was asked for.
        operation: &'static str,
    },
    /// A conditional write was not done, because its condition did not hold.
    #[error("the entry was not written: {}", conflict(*.found))]
    Conflict {
        /// The version that was found, `None` where no live entry has the key.
        found: Option<Seq>,
    },
    /// The key is longer than the store accepts.
    #[error("the key has {len} bytes, the store accepts at most {max} (--max-key)")]
    KeyTooLong {
        /// Bytes of the key.
        len: u64,
        /// Bytes the store accepts.
        max: u64,
    },
    /// The value is larger than the store accepts.
    #[error("the value has {len} bytes, the store accepts at most {max} (--max-value)")]
    ValueTooLarge {
        /// Bytes of the value.
        len: u64,
        /// Bytes the store accepts.
        max: u64,
    },
    /// The store is at its memory bound; with what that is.
    #[error("{0}; reads and destroys go on, writes are refused until space is freed")]
    OutOfMemory(String),
    /// The value is not bytes but a hash, which clients of the Redis dialect have written. It can be
    /// overwritten, touched and destroyed, and only they can read it.
    #[error("the value is a hash, which only the Redis dialect reads")]
    WrongKind,
    /// The master has too much to do to take the request.
    #[error("the master is busy; try again")]
    Busy,
    /// No reply came in time. What the request asked may or may not have been done.
    #[error("{operation} got no reply within {after:?}")]
    Timeout {
        /// The operation that was asked for.
        operation: &'static str,
        /// How long was waited.
        after: Duration,
    },
    /// The connection ended after the request was sent and before its reply came: what it asked
    /// may or may not have been done. Requests that are safe to repeat are repeated instead.
    #[error(
        "the connection to the master ended during {operation}; it may or may not have been done"
    )]
    OutcomeUnknown {
        /// The operation that was asked for.
        operation: &'static str,
    },
    /// Messages for a subscription were lost, for this reason, after those that it gave so far. It
    /// goes on with what was published since.
    #[error("messages were missed: {0}")]
    Missed(&'static str),
    /// The master at the other end of an inherited channel is gone; a worker ends with its master.
    #[error("the master is gone")]
    MasterGone,
    /// Nobody serves the socket.
    #[error("no master answers at {}", .path.display())]
    Unreachable {
        /// The socket's path.
        path: PathBuf,
        /// Why the last attempt failed.
        #[source]
        source: io::Error,
    },
    /// The socket already has a master.
    #[error(
        "{} is held by a live master{}; connect to it, stop it, or choose another path",
        .path.display(), .pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
    )]
    Held {
        /// The socket's path.
        path: PathBuf,
        /// The master's process, where it is known.
        pid: Option<u32>,
    },
    /// One side could not prove that it knows the secret, or the master does not let this user in.
    #[error("authentication failed: {0}")]
    Authentication(Cow<'static, str>),
    /// The peer does not speak this protocol, or not this version of it.
    #[error("protocol error: {0}")]
    Protocol(String),
    /// What was configured cannot work.
    #[error("{0}")]
    Config(String),
    /// The worker's command, or the program itself, could not be started.
    #[error("cannot start {command}: {step}")]
    Spawn {
        /// The command.
        command: String,
        /// What failed.
        step: &'static str,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// A typed value could not be encoded as JSON, or what is stored is not JSON of that type.
    #[error("the value is not JSON of the asked type")]
    Json(#[from] serde_json::Error),
    /// A dump is cut short, changed since it was written, of another version, or none at all.
    #[error("{name} is damaged or no dump: expected {expected} at byte {at}")]
    Damaged {
        /// The file.
        name: String,
        /// Where reading ended, in bytes from the start.
        at: u64,
        /// What should have been there, and what was found.
        expected: String,
    },
    /// The backend failed.
    #[error("the backend failed: {0}")]
    Backend(String),
    /// The system refused something.
    #[error("cannot {action}")]
    Io {
        /// What was attempted, on what.
        action: String,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
}

impl Error {
    /// For `map_err`: what was attempted, on what.
    pub fn io(action: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let action = action.into();
        move |source| Self::Io { action, source }
    }
}

/// A result whose error is [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

fn conflict(found: Option<Seq>) -> String {
    match found {
        Some(seq) => format!("the key holds version {seq}"),
        None => "no live entry has the key".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_cross_threads_and_keep_their_cause() {
        fn is_good<T: std::error::Error + Send + Sync + 'static>() {}
        is_good::<Error>();
        let error = Error::io("open x")(io::Error::from(io::ErrorKind::NotFound));
        assert!(std::error::Error::source(&error).is_some());
        assert_eq!(error.to_string(), "cannot open x");
    }
}
