//! The front of the region: what it is, what was cleared, and what each page is used for.
//!
//! Format 1, the version of entries too. The first [`FRONT`] pages are not for entries. All numbers are little-endian.
//!
//! | bytes | what |
//! |---|---|
//! | 0..16 | `memstore-cluster`, written last |
//! | 16..20 | version of the format |
//! | 20..24 | bytes of a page |
//! | 24..40 | key of the hash over keys |
//! | 40..44 | CRC-32 (IEEE) of bytes 0..40 |
//! | 64..72 | numbers of writes below this one may have been given out |
//! | 72..80 | entries with numbers up to this one were cleared |
//! | 80..88 | no page from this one on has ever been used |
//! | 4096.. | a byte per page: the use of the slab or run that begins there, 0 where none does |
//!
//! Uses: a class's number plus one, or 255 for a run with one large entry. The use is written when
//! the pages of a slab are there and zero, and erased before they are given back.

use std::fmt;

use super::class::{CLASSES, Class};
use super::pages::{PAGE, PAGES_END, PageSource};
use super::recovery::Refused;
use crate::contract::Seq;

/// Pages before the first that entries may have.
pub(super) const FRONT: u32 = 17;
/// Bytes of the front that take memory in a store of up to 256 MiB.
pub(super) const FRONT_BYTES: u64 = TABLE_AT + 4096;

const MAGIC: &[u8; 16] = b"memstore-cluster";
pub(super) const VERSION: u32 = 1;
const VERSION_AT: u64 = 16;
const CHECKED: usize = 40;
const RESERVED_AT: u64 = 64;
const CLEARED_AT: u64 = 72;
const END_AT: u64 = 80;
const WORDS_END: usize = 88;
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

/// The front of a region that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Superblock {
    pub(super) key: HashKey,
    /// Numbers of writes below this one may have been given out.
    pub(super) reserved: u64,
    /// Entries with numbers up to this one are gone.
    pub(super) cleared: Seq,
    /// Pages from this one on are not used.
    pub(super) end: u32,
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

/// Whether these bytes begin as a region that was written.
pub(super) fn is_begun(front: &[u8]) -> bool {
    front.starts_with(MAGIC)
}

/// Whether a region whose front has these bytes may be one that was being written.
pub(super) fn is_unfinished(front: &[u8]) -> bool {
    let written = MAGIC.len()..CHECKED + 4;
    let mut bytes = front.iter().enumerate();
    bytes.all(|(at, byte)| *byte == 0 || written.contains(&at))
}

/// Reads the front of a region of so many pages.
pub(super) fn read(source: &impl PageSource, pages: u32) -> Result<Superblock, Refused> {
    if pages < FRONT {
        return Err(Refused::Truncated {
            pages,
            named: FRONT,
        });
    }
    let bytes = &source.bytes(0)[..WORDS_END];
    let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    let word = |at: u64| {
        let at = usize::try_from(at).expect("below WORDS_END");
        u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
    };
    if !is_begun(bytes) {
        return Err(Refused::Foreign);
    }
    // The version comes before the checksum: another version may have it elsewhere.
    match number(16) {
        VERSION => {}
        found => return Err(Refused::Version { found }),
    }
    if number(CHECKED) != crc32fast::hash(&bytes[..CHECKED]) || number(20) as usize != PAGE {
        return Err(Refused::Damaged);
    }
    let end = u32::try_from(word(END_AT)).map_err(|_| Refused::Damaged)?;
    if end > pages {
        return Err(Refused::Truncated { pages, named: end });
    }
    Ok(Superblock {
        end: end.clamp(FRONT, PAGES_END),
        key: HashKey(bytes[24..CHECKED].try_into().expect("sixteen bytes")),
        reserved: word(RESERVED_AT),
        cleared: Seq(word(CLEARED_AT)),
    })
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

/// What the run that begins with this page is used for. A use that is none of ours is none.
pub(super) fn use_of(source: &impl PageSource, first: u32) -> Option<Use> {
    match source.bytes(TABLE_AT + u64::from(first))[0] {
        LARGE => Some(Use::Large),
        class if (1..=CLASSES).contains(&usize::from(class)) => {
            Some(Use::Slab(Class::numbered(class - 1)))
        }
        _ => None,
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

/// Notes that pages below this one may be used. They have to be there already.
pub(super) fn set_end(source: &mut impl PageSource, end: u32) {
    source.store(END_AT, &u64::from(end).to_le_bytes());
}

/// Notes that all entries up to this number are gone.
pub(super) fn set_cleared(source: &mut impl PageSource, seq: Seq) {
    source.store(CLEARED_AT, &seq.0.to_le_bytes());
}
