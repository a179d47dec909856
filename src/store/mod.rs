//! The engine of the memory backend: entries in pages, found by a hash index, ended by a wheel.
//!
//! | file | holds |
//! |---|---|
//! | `pages` | where memory comes from, which page numbers are taken |
//! | `mapped`, `file` | memory that is mapped, of a file or of nobody |
//! | `class`, `slab`, `slots`, `shelves` | pages cut into slots; writing and erasing entries |
//! | `entry` | the bytes of an entry: the format |
//! | `index` | from keys to slots |
//! | `superblock` | the front of the region: the format of everything besides entries |
//! | `wheel` | which entries end when, and how many are overdue |
//! | `limbo` | what was overwritten, until it is on the disk |
//! | `engine` | all of them held together |
//! | `recovery` | all of them made anew from the pages |
//! | `compaction` | moving entries together, so that pages come free |
//! | `room`, `eviction` | what happens at the memory bound |
//! | `gone` | telling which entries went by themselves |
//!
//! Pure but for the page source: time and randomness (the key of the hash) are arguments. Used by the memory backend alone.
//!
//! Positions are numbers, never addresses, and everything outside the pages (index, wheel,
//! slabs) can be made anew from them.

mod bits;
mod class;
mod compaction;
#[cfg(test)]
mod crash_tests;
mod engine;
mod entry;
mod eviction;
mod file;
mod gone;
mod index;
mod limbo;
mod mapped;
mod pages;
mod recovery;
mod room;
#[cfg(test)]
pub(crate) mod seeds;
mod shelves;
mod slab;
mod slots;
mod superblock;
mod wheel;

pub(crate) use engine::{Engine, Left};
pub(crate) use file::FileError;
pub(crate) use mapped::{AnyPages, MappedPages};
pub(crate) use pages::HeapPages;
pub(crate) use recovery::Recovered;
pub(crate) use superblock::HashKey;
