//! Masters over backends that block: who waits, for how long, and what comes of it.
//!
//! The backend is one that blocks on command, so nothing here waits for time to pass; the master's
//! own time stands still unless a test moves it.

#![allow(clippy::unwrap_used, reason = "helpers may panic as the tests do")]

mod commits;
mod distant;
mod ends;
mod gate;
mod loops;
mod peer;
mod same;
mod timeouts;
mod turns;
