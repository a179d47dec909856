//! The Redis dialect: its commands, over a backend.
//!
//! | file | holds |
//! |---|---|
//! | `session` | one connection: bytes to requests, who may ask what, transactions |
//! | `shared` | what all connections share |
//! | `call` | what a command has at hand |
//! | `table` | the commands: names, numbers of arguments, functions |
//! | `fault` | the errors, in Redis's words |
//! | `expiry` | deadlines as arguments |
//! | `strings`, `connection`, … | the commands, a group each |
//!
//! Called by the master with the bytes that arrived. Both dialects share one keyspace: what is a
//! string here is what `get` and `set` of the other dialect read and write.
//!
//! Replies are byte for byte those of Redis 7.0, errors too; a test asks both. Differences on
//! purpose:
//!
//! - `SET … IFSEQ n` and `GETSEQ` are ours: compare-and-set by the number of the write.

mod call;
mod connection;
mod expiry;
mod fault;
mod session;
mod shared;
mod strings;
mod table;

pub use session::{Host, Session, Taken};
pub use shared::{ClientId, Shared};
