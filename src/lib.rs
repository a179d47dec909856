//! A prefork process supervisor with a built-in session and object store.

pub mod backend;
pub mod config;
pub mod contract;
pub mod error;
#[allow(dead_code, unused_imports, reason = "the master drives it")]
mod net;
pub mod protocol;
pub mod supervisor;
pub mod time;

pub use error::{Error, Result};
