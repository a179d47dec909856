//! Starting workers, watching them, ending them.
//!
//! `state` and `policy` decide and are pure: events and the time go in, actions come out. The
//! other files do what they decided.

pub mod cpus;
pub mod listeners;
// Workers are started, and ended with their master, by what only Linux has.
#[cfg(target_os = "linux")]
pub mod reap;
#[cfg(target_os = "linux")]
pub mod spawn;
