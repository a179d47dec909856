//! The engine of the memory backend: entries in pages, found by a hash index, ended by a wheel.
//!
//! | file | holds |
//! |---|---|
//! | `pages` | where memory comes from, which page numbers are taken |
//! | `class`, `slab`, `slots`, `shelves` | pages cut into slots; writing and erasing entries |
//! | `entry` | the bytes of an entry: the format |
//! | `index` | from keys to slots |
//! | `superblock` | the front of the region: the format of everything besides entries |
//! | `wheel` | which entries end when, and how many are overdue |
//! | `engine` | all of them held together |
//! | `compaction` | moving entries together, so that pages come free |
//! | `room`, `eviction` | what happens at the memory bound |
//!
//! Pure but for the page source: time and randomness (the key of the hash) are arguments. Used by the memory backend alone.
//!
//! Positions are numbers, never addresses, and everything outside the pages (index, wheel,
//! slabs) can be made anew from them.

mod bits;
mod class;
mod compaction;
mod engine;
mod entry;
mod eviction;
mod index;
mod pages;
mod room;
mod shelves;
mod slab;
mod slots;
mod superblock;
mod wheel;

pub(crate) use engine::{Engine, Left};
pub(crate) use pages::HeapPages;
pub(crate) use superblock::HashKey;
