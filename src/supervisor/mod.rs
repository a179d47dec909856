//! Starting workers, watching them, ending them.
//!
//! `state` and `policy` decide and are pure: events and the time go in, actions come out. The
//! other files do what they decided.
//!
//! The pure half, from the outside in: [`event`] and [`action`] are its two vocabularies, [`state`]
//! the whole fleet, [`slot`] one place of it, `worker` the life of one process, and [`policy`]
//! says what follows its end. Of its tests `rules` shows each rule by itself; `simulator` drives
//! all of them through a world that lies, delays and repeats itself.

pub mod action;
pub mod event;
pub mod policy;
pub mod slot;
pub mod state;
mod worker;

#[cfg(test)]
mod rules;
#[cfg(test)]
mod simulator;
