//! A prefork process supervisor with a built-in session and object store.

pub mod backend;
#[cfg(feature = "cli")]
pub mod cli;
pub mod client;
pub mod config;
pub mod contract;
pub mod error;
pub mod exec;
pub mod protocol;
pub mod supervisor;
pub mod time;

pub use error::{Error, Result};
