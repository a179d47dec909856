//! What a turn writes, until it is sent: the last word per key.

use std::collections::HashMap;

use redis::Cmd;

use crate::backend::Deadline;
use crate::time::Millis;

/// More milliseconds than these the servers do not take; so many are as good as for ever.
pub(super) const MOST_MS: u64 = 1 << 50;

/// What is to become of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Write {
    /// It gets the value that it is known to have then.
    Set {
        /// `None`: it never expires.
        milliseconds: Option<u64>,
        /// The server's own deadline stays.
        is_kept: bool,
    },
    Expire {
        milliseconds: Option<u64>,
    },
    Unlink,
}

impl Write {
    /// The command that does it to the key with this name, which is to have this value.
    pub(super) fn command(self, name: &[u8], value: &[u8]) -> Cmd {
        let mut command;
        match self {
            Self::Set {
                milliseconds,
                is_kept,
            } => {
                command = redis::cmd("SET");
                command.arg(name).arg(value);
                match milliseconds {
                    _ if is_kept => drop(command.arg("KEEPTTL")),
                    Some(ms) => drop(command.arg("PX").arg(ms)),
                    None => {}
                }
            }
            Self::Expire { milliseconds } => {
                command = redis::cmd(milliseconds.map_or("PERSIST", |_| "PEXPIRE"));
                command.arg(name).arg(milliseconds);
            }
            Self::Unlink => {
                command = redis::cmd("UNLINK");
                command.arg(name);
            }
        }
        command
    }
}

/// The writes of a turn.
#[derive(Debug, Default)]
pub(super) struct Writes(HashMap<Vec<u8>, Write>);

impl Writes {
    /// Puts a write behind those that are there.
    pub(super) fn add(&mut self, key: &[u8], write: Write) {
        let write = match (self.0.remove(key), write) {
            (Some(Write::Set { .. }), Write::Expire { milliseconds }) => Write::Set {
                milliseconds,
                is_kept: false,
            },
            (
                Some(before),
                Write::Set {
                    is_kept: true,
                    milliseconds,
                },
            ) => Write::Set {
                milliseconds,
                // What was before is not sent, so the server does not have its deadline.
                is_kept: matches!(before, Write::Set { is_kept: true, .. }),
            },
            (_, write) => write,
        };
        self.0.insert(key.to_vec(), write);
    }

    /// Has this key stay as it is.
    pub(super) fn remove(&mut self, key: &[u8]) {
        self.0.remove(key);
    }

    pub(super) fn has(&self, key: &[u8]) -> bool {
        self.0.contains_key(key)
    }
}

impl IntoIterator for Writes {
    type Item = (Vec<u8>, Write);
    type IntoIter = std::collections::hash_map::IntoIter<Vec<u8>, Write>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// A deadline for the script: `gone`, `never`, `keep` or milliseconds from now.
pub(super) fn milliseconds(now: Millis, deadline: Deadline) -> String {
    match deadline {
        Deadline::Never => "never".to_owned(),
        Deadline::Keep => "keep".to_owned(),
        Deadline::At(at) if at <= now => "gone".to_owned(),
        Deadline::At(at) => left(now, at).to_string(),
    }
}

/// Milliseconds from now to a deadline that lies ahead.
pub(super) fn left(now: Millis, at: Millis) -> u64 {
    (at.as_unix() - now.as_unix()).min(MOST_MS)
}
