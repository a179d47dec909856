//! The fast path past a backend that asks a server: plain requests are passed on as they are.
//!
//! A master's loop takes it where nothing needs the backend between: the request is written to the
//! server by the loop itself, and what the server says is the reply. Whatever is not plain, or is
//! not answered as expected, goes to the backend. Here is what both agree on; a backend that has
//! none of it says nothing.

use std::fmt;
use std::num::NonZeroU64;
use std::os::fd::OwnedFd;
use std::time::Duration;

use super::{BackendError, Wake};
use crate::contract::Seq;

/// A request that is the same for the server as for the backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plain<'a> {
    /// [`Backend::value`](super::Backend::value).
    Value {
        /// The key.
        key: &'a [u8],
    },
    /// [`Backend::get`](super::Backend::get).
    Get {
        /// The key.
        key: &'a [u8],
    },
    /// [`Backend::set`](super::Backend::set), without a condition.
    Set {
        /// The key.
        key: &'a [u8],
        /// The value.
        value: &'a [u8],
        /// Milliseconds that it lasts; `None`: for ever.
        ttl_ms: Option<NonZeroU64>,
    },
    /// [`Backend::touch`](super::Backend::touch).
    Touch {
        /// The key.
        key: &'a [u8],
        /// Milliseconds that it lasts from now on.
        ttl_ms: NonZeroU64,
    },
    /// [`Backend::destroy`](super::Backend::destroy).
    Destroy {
        /// The key.
        key: &'a [u8],
    },
}

/// What a plain request asks for: all that has to be known of it to read what the server says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// A value.
    Value,
    /// A value, and what else there is to know of its entry.
    Entry,
    /// That it is written.
    Stored,
    /// Whether there was an entry.
    Whether,
}

/// What the server says.
#[derive(Debug, Clone)]
pub enum Said<'b> {
    /// The value; `None` where there is no entry.
    Value(Option<&'b [u8]>),
    /// The entry, if there is one.
    Entry(Option<Found<'b>>),
    /// It is written.
    Stored,
    /// Whether there was an entry.
    Whether(bool),
    /// It did not do it.
    Failed(BackendError),
    /// It did not do it, and the backend has to know: it is to be asked instead.
    Else,
}

/// An entry as the server tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found<'b> {
    /// The value.
    pub value: &'b [u8],
    /// Milliseconds that it lasts; `None`: for ever.
    pub ttl_ms: Option<u64>,
    /// The number of its version.
    pub seq: Seq,
}

/// Connections to the server that are ready to be asked. What is asked on one is done in its order.
#[derive(Debug)]
pub struct Connections {
    /// Larger than that of any before them.
    pub number: u64,
    /// Connected stream sockets, of whatever family; one at least.
    pub streams: Vec<OwnedFd>,
}

/// What a server sends is nothing that it should: the connection is of no use any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoReply;

/// The fast path of one backend. Nothing in it waits.
pub trait FastPath: fmt::Debug + Send + Sync {
    /// Whom to wake when there are connections, or they are not to be used any more; asked once,
    /// before anything else. Nobody connects before.
    fn wake_with(&self, wake: Wake);

    /// The connections, if there are some that were not taken yet.
    fn take(&self) -> Option<Connections>;

    /// Whether the connections with this number are still to be used.
    fn is_current(&self, number: u64) -> bool;

    /// One of the connections with this number is of no use any more: there are to be others.
    fn lost(&self, number: u64);

    /// On one of the connections with this number there was no answer in time: the server is not to
    /// be relied on until it answers again.
    fn late(&self, number: u64);

    /// How long an answer may take.
    fn timeout(&self) -> Duration;

    /// Appends what the server is to be sent.
    fn ask(&self, plain: &Plain<'_>, out: &mut Vec<u8>) -> Asked;

    /// What the server says at the front of `bytes`, and how many bytes that are; `None` while it is
    /// not whole.
    ///
    /// # Errors
    /// [`NoReply`].
    fn read<'b>(&self, asked: Asked, bytes: &'b [u8])
    -> Result<Option<(usize, Said<'b>)>, NoReply>;

    /// The number of the version that holds this value.
    fn version(&self, value: &[u8]) -> Seq;
}
