//! Sessions of Rust web frameworks in a real master: each adapter through one suite of ours, and
//! through a real server over HTTP; what each crate's own tests expect of a store, and what they
//! do not ask.

#![cfg(all(
    feature = "cli",
    feature = "tower-sessions",
    feature = "actix-session",
    target_os = "linux"
))]
#![allow(clippy::unwrap_used, reason = "helpers may panic as the tests do")]

#[path = "../common/mod.rs"]
mod common;

mod actix;
mod adapters;
mod browser;
mod conflicts;
mod conformance;
mod example;
mod tower_0_14;
mod tower_0_15;
