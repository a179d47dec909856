//! What a client asks.

use serde::{Deserialize, Serialize};

use super::PROOF_LEN;
use crate::contract::{Condition, Expiry, Kind};

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
    Records = 0x1E,
    Put = 0x1F,
}

impl Op {
    /// Every operation there is.
    pub const EVERY: [Self; 18] = [
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
        Self::Records,
        Self::Put,
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
            Self::Records => "records",
            Self::Put => "put",
        }
    }
}

/// What a client asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request<'a> {
    /// The first request of every connection: who is there?
    Hello(Hello),
    /// The answer to [`Reply::Challenge`](super::Reply::Challenge).
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
    /// A page of everything in a database, of whatever kind. For copies and dumps.
    Records {
        /// The number of the database.
        database: u8,
        /// Zero at the start, then what the page before gave.
        cursor: u64,
    },
    /// Write an entry of whatever kind into a database, whatever was there.
    Put(Put<'a>),
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
            Self::Records { .. } => Op::Records,
            Self::Put(_) => Op::Put,
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

/// The body of [`Request::Put`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Put<'a> {
    /// The number of the database.
    pub database: u8,
    /// What the value is.
    pub kind: Kind,
    /// When it expires.
    pub expiry: Expiry,
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
