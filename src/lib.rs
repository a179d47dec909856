//! A prefork process supervisor with a built-in session and object store.

pub mod backend;
#[cfg(feature = "cli")]
pub mod cli;
pub mod client;
mod cluster;
pub mod config;
pub mod contract;
pub mod error;
pub mod exec;
mod master;
mod net;
pub mod protocol;
pub mod supervisor;
mod sys;
pub mod testing;
pub mod time;

pub use cluster::{
    All, Cluster, Entry, Listener, Options, Role, SetOptions, Source, Store, Worker, read_secret,
};
pub use config::{Restart, Standalone};
pub use error::{Error, Result};
pub use protocol::auth::Secret;
