//! The Redis protocol, RESP2 and RESP3: bytes to arguments, replies to bytes. Pure.
//!
//! Knows no command. [`request`] splits a stream into requests, each a list of borrowed arguments;
//! [`reply`] writes what a command answers in the protocol that the peer has chosen; [`number`],
//! [`extended`] and [`glob`] read and write arguments as Redis does. Whoever runs commands is built
//! of these.
//!
//! Redis 7.0 on x86-64 is the measure, byte for byte, error texts included. Different on purpose:
//!
//! * An array has at most 1,048,576 arguments ([`request::MAX_ARGS`]), as before Redis 7, which
//!   takes 2³¹ − 1.
//! * A request as a whole has a bound ([`Bounds::request`]) with an error of its own; Redis cuts the
//!   connection at 1 GiB without a word.
//! * A zero byte in a line is a byte like others. Redis, whose strings end there, waits for the end
//!   of the line for ever.
//! * A pattern may have more than a thousand stars.
//! * A float argument is decimal, `inf` or `nan`; Redis also takes C's hexadecimal floats.

mod big;
pub mod extended;
pub mod glob;
mod inline;
pub mod number;
pub mod reply;
pub mod request;

pub use extended::Extended;
pub use reply::{Protocol, Writer};
pub use request::{Args, Bounds, Parser, Progress, Request, RequestError, Trust};

/// How the error begins for a peer that is one too many.
pub const FULL: &str = "ERR max number of clients reached";
/// How the error begins for a peer that may not connect.
pub const DENIED: &str = "DENIED";
