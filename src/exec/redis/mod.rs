//! The Redis dialect: its commands, over a backend.
//!
//! | file | holds |
//! |---|---|
//! | `session` | one connection: bytes to requests, who may ask what, transactions |
//! | `shared`, `profile` | what all connections share, what others may know of each |
//! | `call`, `draft` | what a command has at hand; its key where others write to it too |
//! | `table`, `lookup` | the commands: names, numbers of arguments, functions; and finding one |
//! | `statistics` | how often each was asked for |
//! | `fault` | the errors, in Redis's words |
//! | `expiry` | deadlines as arguments |
//! | `aside` | copies of entries on their way |
//! | `lost` | what becomes of a transaction where requests are answered without being run |
//! | `plain` | commands that a server behind the store is asked as they are |
//! | `load` | what `INFO` tells of a backend on a thread of its own |
//! | `fields` | a hash as the bytes of one value |
//! | `scripts` | scripts that are known, and what they do |
//! | `strings`, `connection`, … | the commands, a group each |
//!
//! Called by the master with the bytes that arrived. Both dialects share one keyspace: what is a
//! string here is what `get` and `set` of the other dialect read and write. What is a hash here is
//! an error to its `get`, is left out of its `all`, and counts for its `length`.
//!
//! Replies are byte for byte those of Redis 7.0, errors too; a test asks both. Differences on
//! purpose:
//!
//! - A message that a client publishes to itself, and what it is told of its own changes, comes
//!   before the reply to the request, also where that is an `EXEC`, whose array Redis 7.0 breaks
//!   up with it.
//! - What handles in the master's own process write is not seen by `WATCH` where a key was not there,
//!   came and went.
//! - `CLIENT KILL` leaves the channels of workers alone unless it names one by `ID` or `ADDR` (as
//!   `worker-2:0`): a worker cannot open its channel again. `CLIENT LIST` has those only who speak
//!   this dialect, and no sizes of buffers.
//! - `INFO commandstats` has no times: `usec` and `usec_per_call` are 0.
//! - `CLIENT SETINFO` and `CLIENT NO-TOUCH` are those of Redis 7.2; `CLIENT TRACKING` is refused.
//! - `COMMAND DOCS` is an error, at which redis-cli shows what it knows itself; `COMMAND INFO` has
//!   no categories, tips and key specifications.
//! - Of `CONFIG SET` only `notify-keyspace-events` can be set, and classes without events are
//!   accepted. `CONFIG GET` and `INFO` tell what is meaningful here.
//! - That a key expired is told when its time comes, not when it is next met. The events `new`,
//!   `keymiss` and those of kinds of values that are not here never come.
//! - Bounds of our own, with errors of our own: on what a transaction queues, on watched keys, on
//!   subscriptions, on names of clients.
//! - `SET … IFSEQ n` and `GETSEQ` are ours: compare-and-set by the number of the write.
//! - Where `--tombstones` has a key's prefix, a write of what was removed a moment ago is refused
//!   unless it says that it creates it (`NX`). `SET`, `SETEX`, `PSETEX`, `MSET` and `HMSET` answer
//!   nil then, as a `SET` whose condition does not hold, `COPY` 0, and what answers a number or the
//!   new value (`INCR`, `APPEND`, `HSET`, …), and `RENAME`, the error `TOMBSTONE`.
//! - A deadline is in the year 10889 at the latest.
//! - `DBSIZE` counts live keys only. Redis counts what has expired until it is removed.
//! - `KEYS` walks all keys in one go and holds the loop meanwhile, as in Redis; use `SCAN`. Its reply
//!   and that of `MGET` are bounded ([`Limits::hard_cap`](crate::config::Limits::hard_cap)): beyond
//!   that they are an error.
//! - A `COUNT` of `SCAN` above 10,000 is 10,000.
//! - Keys and values are bounded (`--max-key`, `--max-value`), and a deadline after the year 10889
//!   is one of that time.
//! - Where memory is full, commands that write to several keys change nothing: `MSET` and `MSETNX`
//!   take back what they have written, which gives it the number of a new write; `RENAME` and `COPY`
//!   write the new key first, so `RENAME` needs room for both a moment long, and may be refused.
//! - A hash is one value, so `--max-value` bounds it as a whole, its fields are always in the order in
//!   which they came, and `HSCAN` gives all at once. The reply of `HRANDFIELD` is bounded as that of
//!   `KEYS` is.
//! - There is no Lua. Scripts that are known (`scripts::known`) do what their texts say, however they
//!   are written; others are an error, by `SCRIPT LOAD` too. Lua's own errors in them, such as of a
//!   missing argument, may name another line. A thousand texts are remembered.
//! - `OBJECT ENCODING` goes by the value alone (in Redis also by how it came about), `OBJECT IDLETIME`
//!   is 0, `MEMORY USAGE` is an estimate, `TIME` has whole milliseconds.

#![allow(
    clippy::unnecessary_wraps,
    reason = "commands are of one type, whether or not they can fail"
)]

mod ahead;
mod aside;
mod call;
mod client;
mod commands;
mod config;
mod connection;
mod counters;
mod draft;
mod expiry;
mod fault;
mod fields;
mod hashes;
mod hello;
mod help;
mod info;
mod keys;
mod load;
mod lookup;
mod lost;
mod many;
mod object;
pub(crate) mod plain;
mod profile;
mod pubsub;
mod ranges;
mod scripts;
mod session;
mod shared;
mod statistics;
mod strings;
mod table;
mod transaction;
mod ttl;
mod walk;

pub(crate) use ahead::{keys_ahead, sweep_ahead};
pub use fault::write_error;
pub use load::{Load, TICKS};
pub use lost::Lost;
pub use session::{Host, Session, Taken, bounds};
pub use shared::Shared;

#[cfg(test)]
mod tests;
