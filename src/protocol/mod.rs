//! Bytes to requests and replies, and back. Pure: no descriptor, no clock, no randomness.
//!
//! Two dialects, of which a connection's first byte chooses one ([`Dialect`]): the native one, drawn
//! here, and the Redis protocol, which is [`resp`].
//!
//! # The native dialect, version 1
//!
//! Both directions carry frames: a header of 16 bytes, then a body. All numbers are little-endian.
//!
//! ```text
//!  0        1        2        3        4               8               12             16
//!  +--------+--------+--------+--------+---------------+---------------+---------------+------
//!  | 0xB5   | version| op or  | flags  | request id    | body length   | reserved      | body
//!  | magic  | = 1    | status | = 0    | u32           | u32           | = 0           |
//!  +--------+--------+--------+--------+---------------+---------------+---------------+------
//! ```
//!
//! Operations are added without a new version: a master that does not know one answers so.
//!
//! The magic byte cannot start a command of the Redis protocol, so the first byte of a connection
//! decides its dialect. The body is the operation's struct in bincode with fixed-width integers
//! ([`codec`]). A reply carries the id of its request, by which a client must go: most replies come
//! in the order of the requests, but messages of a subscription
//! ([`Receive`](message::Request::Receive)) when there are some. The master sends nothing that was
//! not asked for, so who does not ask for messages is not flooded with them.
//!
//! An unknown operation or a body that does not decode gets an error reply and the connection goes
//! on; a header that is no header (magic, version, reserved fields, a length above the limit)
//! gets an error reply that says why, and the connection is closed.
//!
//! A connection starts with [`message::Request::Hello`]; see [`auth`] for what follows where a
//! secret is set.

pub mod auth;
pub mod codec;
mod dialect;
pub mod frame;
#[doc(hidden)]
pub mod fuzzing;
pub mod message;
pub mod resp;

pub use dialect::Dialect;
pub use frame::{Frame, FrameError, Header};
pub use message::{ErrorCode, Op, Reply, Request, Status};
