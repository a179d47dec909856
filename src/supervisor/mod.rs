//! Starting workers, watching them, ending them.
//!
//! `state` and `policy` decide and are pure: events and the time go in, actions come out. The
//! other files do what they decided.

pub mod cpus;
pub mod listeners;
