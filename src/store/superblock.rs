//! The front of the region: what it is, what was cleared, and what each page is used for.
//!
//! Format 1. The first [`FRONT`] pages are not for entries. All numbers are little-endian.
//!
//! | bytes | what |
//! |---|---|
//! | 0..16 | `memstore-cluster`, written last |
//! | 16..20 | version of the format, of entries too |
//! | 20..24 | bytes of a page |
//! | 24..40 | key of the hash over keys |
//! | 40..44 | CRC-32 (IEEE) of bytes 0..40 |
//! | 64..72 | numbers of writes below this one may have been given out |
//! | 72..80 | entries with numbers up to this one were cleared |
//! | 4096.. | a byte per page: the use of the slab or run that begins there, 0 where none does |
//!
//! Uses: a class's number plus one, or 255 for a run with one large entry. The use is written when
//! the pages of a slab are there and zero, and erased before they are given back.

use std::fmt;

use super::class::{CLASSES, Class};
use super::pages::{PAGE, PAGES_END, PageSource};
use crate::contract::Seq;

/// Pages before the first that entries may have.
pub(super) const FRONT: u32 = 17;
/// Bytes of the front that take memory in a store of up to 256 MiB.
pub(super) const FRONT_BYTES: u64 = TABLE_AT + 4096;

const MAGIC: &[u8; 16] = b"memstore-cluster";
const VERSION: u32 = 1;
const VERSION_AT: u64 = 16;
const CHECKED: usize = 40;
const RESERVED_AT: u64 = 64;
const CLEARED_AT: u64 = 72;
const TABLE_AT: u64 = 4096;
const LARGE: u8 = 255;
/// So many numbers are reserved at a time.
const BLOCK: u64 = 1 << 20;

const _: () = assert!(TABLE_AT + PAGES_END as u64 <= FRONT as u64 * PAGE as u64);
const _: () = assert!(CLASSES < LARGE as usize);

/// The key of a store's hash over keys: SipHash-1-3, so that whoever chooses keys cannot choose
/// where they fall.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct HashKey(pub(crate) [u8; 16]);

impl fmt::Debug for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HashKey(…)")
    }
}

/// What a run of pages is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// Slots of this class.
    Slab(Class),
    /// One entry.
    Large,
}

impl Use {
    pub(super) fn of(class: Option<Class>) -> Self {
        class.map_or(Self::Large, Self::Slab)
    }
}

/// Writes the front of an empty store into pages that are zero.
pub(super) fn write(source: &mut impl PageSource, key: HashKey) {
    let mut bytes = [0; CHECKED];
    bytes[..16].copy_from_slice(MAGIC);
    bytes[16..20].copy_from_slice(&VERSION.to_le_bytes());
    bytes[20..24].copy_from_slice(&u32::try_from(PAGE).expect("64 KiB").to_le_bytes());
    bytes[24..].copy_from_slice(&key.0);
    source.store(CHECKED as u64, &crc32fast::hash(&bytes).to_le_bytes());
    source.store(VERSION_AT, &bytes[16..]);
    source.store(0, &bytes[..16]);
}

/// Notes what the run that begins with this page is used for; `None`: nothing any more.
pub(super) fn set_use(source: &mut impl PageSource, first: u32, used: Option<Use>) {
    let byte = match used {
        None => 0,
        Some(Use::Slab(class)) => u8::try_from(class.number() + 1).expect("below LARGE"),
        Some(Use::Large) => LARGE,
    };
    source.store(TABLE_AT + u64::from(first), &[byte]);
}

/// What the run that begins with this page is used for.
#[cfg(test)]
pub(super) fn use_of(source: &impl PageSource, first: u32) -> Option<Use> {
    match source.bytes(TABLE_AT + u64::from(first))[0] {
        0 => None,
        LARGE => Some(Use::Large),
        class => Some(Use::Slab(Class::numbered(class - 1))),
    }
}

/// Makes sure that this number is among those that count as given out.
pub(super) fn reserve(source: &mut impl PageSource, reserved: u64, seq: Seq) -> u64 {
    if seq.0 < reserved {
        return reserved;
    }
    let reserved = seq.0 + BLOCK;
    source.store(RESERVED_AT, &reserved.to_le_bytes());
    reserved
}

/// Notes that all entries up to this number are gone.
pub(super) fn set_cleared(source: &mut impl PageSource, seq: Seq) {
    source.store(CLEARED_AT, &seq.0.to_le_bytes());
}
