//! The worker's side of the wire: one connection to a master, shared by every thread of a process.
//!
//! [`Connection`] is the face, [`Pipeline`] a batch of requests. Below them: `exchange` lets many
//! threads have requests in flight on one stream, `slots` is its pure bookkeeping, `input` and
//! `socket` are the bytes, `greeting` is how a connection starts. Roles, reconnection and typed
//! values live above, in `cluster`; nothing here retries anything.
//!
//! The invariant: a stream of frames is written by one thread at a time and read by one thread at
//! a time, and who does either holds the buffer for it. There is no thread in the background. For
//! programs on tokio `multiplexed` takes a greeted connection over, and a task does both.

mod connection;
mod error;
mod exchange;
mod greeting;
mod input;
#[cfg(feature = "tokio")]
mod multiplexed;
mod pipeline;
mod slots;
mod socket;

#[cfg(test)]
pub(crate) mod testing;

pub(crate) use connection::after;
pub use connection::{ConnectOptions, Connection};
pub(crate) use error::refusal;
pub use error::{Broken, CallError};
#[cfg(feature = "tokio")]
pub(crate) use multiplexed::{Multiplexed, Pending, in_time};
pub use pipeline::{Answer, Pipeline};
