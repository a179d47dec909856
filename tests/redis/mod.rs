//! What the differential test is made of: [servers], the [steps](step) of a case, how [replies](reply)
//! are compared, how a case is [run], the [generator](generate), and the groups of commands, each
//! with cases by hand and with rules for the generator.
//!
//! A group is a file with `CASES`, names and texts as [`step`] has them, and `GRAMMAR`, rules as
//! [`generate`] has them. It is named in [`GROUPS`].

#![allow(
    unreachable_pub,
    reason = "a module of a test program, shared as `common` is"
)]

pub mod differences;
pub mod generate;
pub mod reply;
pub mod run;
pub mod servers;
pub mod step;

mod connection;
mod hashes;
mod keys;
mod pubsub;
mod scripts;
mod server;
mod strings;
mod transactions;

/// A group of commands.
pub struct Group {
    pub name: &'static str,
    /// Cases by hand: what each is about, and its steps.
    pub cases: &'static [(&'static str, &'static str)],
    /// Rules for the generator.
    pub grammar: &'static [&'static str],
}

/// All groups.
pub const GROUPS: &[Group] = &[
    Group {
        name: "connection",
        cases: connection::CASES,
        grammar: connection::GRAMMAR,
    },
    Group {
        name: "hashes",
        cases: hashes::CASES,
        grammar: hashes::GRAMMAR,
    },
    Group {
        name: "keys",
        cases: keys::CASES,
        grammar: keys::GRAMMAR,
    },
    Group {
        name: "pubsub",
        cases: pubsub::CASES,
        grammar: pubsub::GRAMMAR,
    },
    Group {
        name: "scripts",
        cases: scripts::CASES,
        grammar: scripts::GRAMMAR,
    },
    Group {
        name: "server",
        cases: server::CASES,
        grammar: server::GRAMMAR,
    },
    Group {
        name: "strings",
        cases: strings::CASES,
        grammar: strings::GRAMMAR,
    },
    Group {
        name: "transactions",
        cases: transactions::CASES,
        grammar: transactions::GRAMMAR,
    },
];
