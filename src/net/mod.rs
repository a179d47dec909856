//! The event loop: one thread, one poll, many connections, no blocking.
//!
//! Here live the [`Reactor`] and what it is made of, the path socket with its lock, the peer's
//! credentials and the signals. What a request means does not live here: the reactor hands the
//! bytes of a connection to a [`Handler`], a request at a time. The master's glue calls it,
//! a tick at a time:
//!
//! ```text
//! loop {
//!     reactor.wait(now, until)?;
//!     for signal in reactor.signals() { .. }
//!     reactor.turn(now, &mut handler);     accepts, reads, runs requests within budgets
//!     ..                                   timers, supervisor, upkeep of the backend
//!     reactor.flush();                     one vectored write per connection with output
//!     reactor.bury(&mut handler);          frees what was closed, at the end of the tick
//! }
//! ```
//!
//! The invariant that holds it together: a connection that can go on by itself (input that is
//! there, output that may be written) stands in a queue of the reactor, because mio tells of a
//! change once and never again.

mod accept;
mod alarm;
mod buffer;
mod connection;
mod counters;
mod handler;
mod listener;
mod lock;
mod peer;
mod place;
mod reactor;
mod signals;
mod slots;
mod throttle;
mod timers;
mod token;

pub(crate) use handler::{Answer, CloseReason, Handler, Refusal, Taken, Verdict};
pub(crate) use listener::PathSocket;
pub(crate) use lock::Mastership;
pub(crate) use peer::{AllowedUids, Peer};
#[cfg(feature = "cli")]
pub(crate) use place::surroundings;
pub(crate) use place::{PlaceError, default_path, ensure_default_folder};
pub(crate) use reactor::{Reactor, Waker};
pub(crate) use signals::Signal;
pub(crate) use token::ConnectionId;

#[cfg(test)]
mod testing;
