//! A prefork process supervisor with a built-in session and object store.
//!
//! A master process starts one worker per core and keeps a store in its own memory; the workers
//! use it over socketpairs that they inherit. Where there is one core, one process does both.
//! This crate is the library; the binary of the same name wraps any command.
//!
//! # A store, whoever has it
//!
//! [`Options::create`] makes this process a master, a worker or standalone, whichever fits, and
//! gives a [`Store`], which is used the same way in all three:
//!
//! ```
//! use std::time::Duration;
//! use memstore_cluster::{Options, SetOptions, Standalone};
//!
//! let store = Options { standalone: Standalone::Always, ..Options::default() }.create()?;
//! store.set_with("sess:1", "data", SetOptions::new().ttl(Duration::from_secs(3600)))?;
//! assert_eq!(store.get("sess:1")?.expect("just written").value, b"data");
//! # Ok::<(), memstore_cluster::Error>(())
//! ```
//!
//! [`Cluster::run`] has the calling program started again as its workers. [`testing`] has masters
//! and workers inside one process.
//!
//! # The house
//!
//! | module | holds | uses |
//! |---|---|---|
//! | [`contract`], [`time`], [`error`], [`config`], `secrets` | words, time, errors, what was asked for, what is secret in a file | nothing |
//! | [`protocol`] | bytes to requests and replies; pure | |
//! | `snapshot` | entries in files | |
//! | `store` | the memory backend's engine; pure but for where pages come from | |
//! | `leveldb` | LevelDB's files; pure but for its one seam to the disk | |
//! | [`backend`] | the [`Backend`](backend::Backend) trait and what holds the data | `store`, `leveldb` |
//! | [`exec`] | one request, one reply; who gets which message | `protocol`, `backend` |
//! | `net` | the event loop, the path socket, signals | `protocol` |
//! | [`supervisor`] | decides about workers (pure), and does it | |
//! | [`client`] | the worker's side of a connection | `protocol` |
//! | `master` | joins all of the above | |
//! | `cluster` | roles and handles; its types are at the top of this crate | `client`, `master` |
//! | `integrations` | session stores for web frameworks, behind features | `cluster` |
//! | `cli` | the sub-commands | `cluster` |
//!
//! Everybody may use the first row. `tests/layering.rs` holds the table.
//!
//! # Features
//!
//! | feature | gives |
//! |---|---|
//! | `cli` (default) | the binary and its command line, with all backends; the library does not need it |
//! | `sqlite`, `leveldb`, `files`, `redis` | the [`backend`] of that name |
//! | `tokio` | `AsyncStore`, the store for programs on tokio |
//! | `tower-sessions`, `actix-session` | a session store for each of them, in `integrations` |
//!
//! A program that wants a lean library asks for it: `default-features = false`.

pub mod backend;
#[cfg(feature = "cli")]
pub mod cli;
pub mod client;
mod cluster;
pub mod config;
pub mod contract;
pub mod error;
pub mod exec;
#[cfg(any(feature = "tower-sessions", feature = "actix-session"))]
pub mod integrations;
#[cfg(feature = "leveldb")]
mod leveldb;
mod master;
mod net;
pub mod protocol;
mod secrets;
mod snapshot;
mod store;
pub mod supervisor;
mod sys;
pub mod testing;
pub mod time;

pub use cluster::{
    All, Batch, Cluster, DestroyOptions, Entry, Listener, Message, Options, Outcome, Role,
    SetOptions, Source, Store, Subscription, Worker, read_secret,
};
#[cfg(feature = "tokio")]
pub use cluster::{AsyncAll, AsyncStore, AsyncSubscription};
pub use config::{Restart, Standalone};
pub use error::{Error, Result};
pub use protocol::auth::Secret;

/// The README's examples, as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
