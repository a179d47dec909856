//! What the frames mean: requests and replies, borrowed from the buffer they came in.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::contract::{Capabilities, Condition, Expiry, Seq};

/// Bytes of a nonce and of a proof.
pub const PROOF_LEN: usize = 32;

/// The third byte of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[allow(
    missing_docs,
    reason = "each is described at the request of the same name"
)]
pub enum Op {
    Hello = 0x01,
    Auth = 0x02,
    Ping = 0x10,
    Get = 0x11,
    Set = 0x12,
    Touch = 0x13,
    Destroy = 0x14,
    All = 0x15,
    Length = 0x16,
    Clear = 0x17,
    Bury = 0x18,
    Regenerate = 0x19,
    Publish = 0x1A,
    Subscribe = 0x1B,
    Receive = 0x1C,
    Unsubscribe = 0x1D,
}

impl Op {
    /// Every operation there is.
    pub const EVERY: [Self; 16] = [
        Self::Hello,
        Self::Auth,
        Self::Ping,
        Self::Get,
        Self::Set,
        Self::Touch,
        Self::Destroy,
        Self::All,
        Self::Length,
        Self::Clear,
        Self::Bury,
        Self::Regenerate,
        Self::Publish,
        Self::Subscribe,
        Self::Receive,
        Self::Unsubscribe,
    ];

    /// The operation with this code.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::EVERY.into_iter().find(|op| *op as u8 == code)
    }

    /// Its name in messages and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hello => "hello",
            Self::Auth => "auth",
            Self::Ping => "ping",
            Self::Get => "get",
            Self::Set => "set",
            Self::Touch => "touch",
            Self::Destroy => "destroy",
            Self::All => "all",
            Self::Length => "length",
            Self::Clear => "clear",
            Self::Bury => "bury",
            Self::Regenerate => "regenerate",
            Self::Publish => "publish",
            Self::Subscribe => "subscribe",
            Self::Receive => "receive",
            Self::Unsubscribe => "unsubscribe",
        }
    }
}

/// What a client asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request<'a> {
    /// The first request of every connection: who is there?
    Hello(Hello),
    /// The answer to [`Reply::Challenge`].
    Auth(Auth),
    /// Is anybody there?
    Ping,
    /// The entry with this key.
    Get {
        /// The key.
        key: &'a [u8],
    },
    /// Write an entry.
    Set(Set<'a>),
    /// Move the deadline of an entry that exists.
    Touch {
        /// The key.
        key: &'a [u8],
        /// The new deadline.
        expiry: Expiry,
    },
    /// Remove an entry.
    Destroy {
        /// The key.
        key: &'a [u8],
    },
    /// A page of all entries.
    All {
        /// Zero at the start, then what the page before gave.
        cursor: u64,
        /// The most entries wanted in the page; zero leaves it to the master.
        limit: u32,
    },
    /// The number of live entries.
    Length,
    /// Remove everything.
    Clear,
    /// Remove an entry, and for a while refuse writes that know nothing of that.
    Bury {
        /// The key.
        key: &'a [u8],
        /// For so many milliseconds.
        tombstone_ms: u64,
    },
    /// Give an entry another key.
    Regenerate(Regenerate<'a>),
    /// Post a message to all who are subscribed to a channel.
    Publish {
        /// The channel.
        channel: &'a [u8],
        /// The message.
        message: &'a [u8],
    },
    /// Begin to keep messages for this connection.
    Subscribe(Subscribe<'a>),
    /// Some of the messages of a subscription. This waits for one, while other requests are
    /// answered; a second one for the same subscription has the first answered at once.
    Receive {
        /// Its number.
        subscription: u64,
        /// The longest wait, in milliseconds.
        wait_ms: u32,
    },
    /// End a subscription.
    Unsubscribe {
        /// Its number.
        subscription: u64,
    },
}

impl Request<'_> {
    /// Its operation.
    pub const fn op(&self) -> Op {
        match self {
            Self::Hello(_) => Op::Hello,
            Self::Auth(_) => Op::Auth,
            Self::Ping => Op::Ping,
            Self::Get { .. } => Op::Get,
            Self::Set(_) => Op::Set,
            Self::Touch { .. } => Op::Touch,
            Self::Destroy { .. } => Op::Destroy,
            Self::All { .. } => Op::All,
            Self::Length => Op::Length,
            Self::Clear => Op::Clear,
            Self::Bury { .. } => Op::Bury,
            Self::Regenerate(_) => Op::Regenerate,
            Self::Publish { .. } => Op::Publish,
            Self::Subscribe(_) => Op::Subscribe,
            Self::Receive { .. } => Op::Receive,
            Self::Unsubscribe { .. } => Op::Unsubscribe,
        }
    }
}

/// The body of [`Request::Hello`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The lowest protocol version the client speaks.
    pub min_version: u8,
    /// The highest.
    pub max_version: u8,
    /// The client's process id, for logs.
    pub pid: u32,
}

/// The body of [`Request::Auth`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Auth {
    /// The client's nonce, which the master must prove itself with.
    pub nonce: [u8; PROOF_LEN],
    /// The client's proof for the master's nonce.
    pub proof: [u8; PROOF_LEN],
}

/// The body of [`Request::Set`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Set<'a> {
    /// The deadline.
    pub expiry: Expiry,
    /// What must hold for the write to be done.
    pub condition: Condition,
    /// The key.
    #[serde(with = "serde_bytes")]
    pub key: &'a [u8],
    /// The value.
    #[serde(with = "serde_bytes")]
    pub value: &'a [u8],
}

/// The body of [`Request::Regenerate`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Regenerate<'a> {
    /// For how many milliseconds the entry can still be found by its old key.
    pub grace_ms: u64,
    /// The key that it has.
    #[serde(with = "serde_bytes")]
    pub from: &'a [u8],
    /// The key that it gets, which no entry may have.
    #[serde(with = "serde_bytes")]
    pub to: &'a [u8],
}

/// The body of [`Request::Subscribe`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscribe<'a> {
    /// To what; a message comes once for each that it fits.
    #[serde(borrow)]
    pub topics: Vec<Topic<'a>>,
}

/// Channels of which messages are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Topic<'a> {
    /// All channels that match the name, as Redis's `PSUBSCRIBE` matches; otherwise the one that
    /// has it.
    pub is_pattern: bool,
    /// The name.
    #[serde(with = "serde_bytes")]
    pub name: &'a [u8],
}

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
}

impl Status {
    /// Every status that is no error.
    pub const EVERY: [Self; 12] = [
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
