//! What the master answers.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::PROOF_LEN;
use crate::contract::{Capabilities, Kind, Seq};

/// The third byte of a reply. From `0xC0` on it is an error, see [`ErrorCode`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[allow(
    missing_docs,
    reason = "each is described at the reply of the same name"
)]
pub enum Status {
    Welcome = 0x80,
    Challenge = 0x81,
    Pong = 0x82,
    Entry = 0x83,
    Stored = 0x84,
    Done = 0x85,
    Page = 0x86,
    Length = 0x87,
    Missing = 0x88,
    Conflict = 0x89,
    Subscribed = 0x8A,
    Messages = 0x8B,
    Records = 0x8C,
}

impl Status {
    /// Every status that is no error.
    pub const EVERY: [Self; 13] = [
        Self::Welcome,
        Self::Challenge,
        Self::Pong,
        Self::Entry,
        Self::Stored,
        Self::Done,
        Self::Page,
        Self::Length,
        Self::Missing,
        Self::Conflict,
        Self::Subscribed,
        Self::Messages,
        Self::Records,
    ];

    /// The status with this code.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::EVERY.into_iter().find(|status| *status as u8 == code)
    }
}

/// Why a request was not done; the status of an error reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[non_exhaustive]
pub enum ErrorCode {
    /// The request is malformed, or makes no sense now.
    BadRequest = 0xC0,
    /// No operation has this code.
    UnknownOp = 0xC1,
    /// The backend has no such operation.
    Unsupported = 0xC2,
    /// The key is longer than accepted.
    KeyTooLong = 0xC3,
    /// The value, or the whole frame, is larger than accepted.
    TooLarge = 0xC4,
    /// The store is at its memory bound.
    OutOfMemory = 0xC5,
    /// Too much to do.
    Busy = 0xC6,
    /// Introduce yourself first.
    AuthRequired = 0xC7,
    /// The secret is not the same on both sides.
    AuthFailed = 0xC8,
    /// No common protocol version.
    Version = 0xC9,
    /// The backend failed.
    Backend = 0xCA,
    /// The backend did not answer in time.
    Timeout = 0xCB,
    /// The value is a hash of the Redis dialect, not bytes.
    WrongKind = 0xCC,
}

impl ErrorCode {
    /// Every error code.
    pub const EVERY: [Self; 13] = [
        Self::BadRequest,
        Self::UnknownOp,
        Self::Unsupported,
        Self::KeyTooLong,
        Self::TooLarge,
        Self::OutOfMemory,
        Self::Busy,
        Self::AuthRequired,
        Self::AuthFailed,
        Self::Version,
        Self::Backend,
        Self::Timeout,
        Self::WrongKind,
    ];

    /// The error with this code.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::EVERY.into_iter().find(|error| *error as u8 == code)
    }
}

/// What the master answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply<'a> {
    /// Welcome; ends the handshake.
    Welcome(Welcome),
    /// Prove that you know the secret, with this nonce.
    Challenge {
        /// The master's nonce.
        nonce: [u8; PROOF_LEN],
    },
    /// The answer to a ping.
    Pong,
    /// The entry that was asked for.
    Entry(Entry<'a>),
    /// The entry was written.
    Stored {
        /// The number of the write.
        seq: Seq,
    },
    /// It is done: touched, destroyed, cleared or unsubscribed.
    Done,
    /// Some of all entries.
    Page(Page<'a>),
    /// The number of live entries; or of how many subscriptions get a message.
    Length(u64),
    /// No live entry has the key; or no subscription the number.
    Missing,
    /// The condition of a `set` did not hold.
    Conflict {
        /// The version that was found.
        found: Option<Seq>,
    },
    /// Messages are kept from now on.
    Subscribed {
        /// What to receive them by, on this connection.
        subscription: u64,
    },
    /// Some messages of a subscription.
    Messages(Messages<'a>),
    /// Entries of any kind.
    Records(Records<'a>),
    /// The request was not done.
    Error(Failure<'a>),
}

impl Reply<'_> {
    /// Its name in messages and logs; what it carries is nobody's business there.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Welcome(_) => "welcome",
            Self::Challenge { .. } => "challenge",
            Self::Pong => "pong",
            Self::Entry(_) => "entry",
            Self::Stored { .. } => "stored",
            Self::Done => "done",
            Self::Page(_) => "page",
            Self::Length(_) => "length",
            Self::Missing => "missing",
            Self::Conflict { .. } => "conflict",
            Self::Subscribed { .. } => "subscribed",
            Self::Messages(_) => "messages",
            Self::Records(_) => "records",
            Self::Error(_) => "error",
        }
    }
}

/// The body of [`Reply::Welcome`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The protocol version to use from here on.
    pub version: u8,
    /// What the store can do.
    pub capabilities: Capabilities,
    /// The longest key accepted, in bytes.
    pub max_key: u64,
    /// The largest value accepted, in bytes.
    pub max_value: u64,
    /// The largest body of a frame, in bytes.
    pub max_body: u64,
    /// The slot of the worker that this channel belongs to; `None` through a path socket.
    pub slot: Option<u32>,
    /// How many workers the master runs; zero where it only serves.
    pub workers: u32,
    /// How often the fleet was reloaded.
    pub generation: u32,
    /// The master's process id, for logs.
    pub pid: u32,
    /// The master's proof for the client's nonce, where a secret is set.
    pub proof: Option<[u8; PROOF_LEN]>,
}

/// An entry as it travels; the body of [`Reply::Entry`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry<'a> {
    /// The number of the write that made it.
    pub seq: Seq,
    /// Milliseconds until it expires; `None` never.
    pub ttl_ms: Option<u64>,
    /// The value.
    #[serde(with = "serde_bytes", borrow)]
    pub value: Cow<'a, [u8]>,
}

/// An entry with its key, as it travels in a [`Page`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item<'a> {
    /// The key.
    #[serde(with = "serde_bytes", borrow)]
    pub key: Cow<'a, [u8]>,
    /// The number of the write that made it.
    pub seq: Seq,
    /// Milliseconds until it expires; `None` never.
    pub ttl_ms: Option<u64>,
    /// The value.
    #[serde(with = "serde_bytes", borrow)]
    pub value: Cow<'a, [u8]>,
}

/// The body of [`Reply::Page`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page<'a> {
    /// Where the next page starts; zero where this was the last.
    pub next: u64,
    /// The entries.
    #[serde(borrow)]
    pub items: Vec<Item<'a>>,
}

/// The body of [`Reply::Records`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Records<'a> {
    /// Where the next page starts; zero where this was the last.
    pub next: u64,
    /// The entries.
    #[serde(borrow)]
    pub items: Vec<Record<'a>>,
}

/// An entry of any kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record<'a> {
    /// What its value is.
    pub kind: Kind,
    /// The rest of it.
    #[serde(borrow)]
    pub item: Item<'a>,
}

/// The body of [`Reply::Messages`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Messages<'a> {
    /// After these, and before what comes next, messages were lost: more waited than may.
    pub missed: bool,
    /// The messages, in the order in which they were published. None: the wait is over.
    #[serde(borrow)]
    pub messages: Vec<Delivery<'a>>,
}

/// A message, as a subscriber gets it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery<'a> {
    /// The pattern that it fits, where that was subscribed to.
    #[serde(with = "serde_bytes", borrow)]
    pub pattern: Option<Cow<'a, [u8]>>,
    /// The channel that it was published to.
    #[serde(with = "serde_bytes", borrow)]
    pub channel: Cow<'a, [u8]>,
    /// The message.
    #[serde(with = "serde_bytes", borrow)]
    pub message: Cow<'a, [u8]>,
}

/// The body of [`Reply::Error`]; its code is the frame's status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure<'a> {
    /// The kind of failure.
    pub code: ErrorCode,
    /// A sentence that helps.
    pub message: Cow<'a, str>,
}
