//! Starting workers, watching them, ending them.
//!
//! One half decides and is pure: events and the time go in, actions come out. From the outside in:
//! [`event`] and [`action`] are its two vocabularies, [`state`] is the whole fleet, [`slot`] one
//! place of it, `worker` the life of one process, [`policy`] the question of what follows an end.
//! `simulator` drives them through a world that lies, delays and repeats itself.
//!
//! The other half does: [`spawn`] and [`reap`] are processes, [`listeners`] the sockets that
//! workers share, [`cpus`] how many workers there should be, `cgroups` where the kernel bounds this
//! process. The master joins the halves.

pub mod action;
pub(crate) mod cgroups;
pub mod cpus;
pub mod event;
pub mod listeners;
pub mod policy;
pub mod slot;
pub mod state;
mod worker;
// Workers are started, and ended with their master, by what only Linux has.
#[cfg(target_os = "linux")]
pub mod reap;
#[cfg(target_os = "linux")]
pub mod spawn;

#[cfg(test)]
mod rules;
#[cfg(test)]
mod simulator;
