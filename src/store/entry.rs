//! The bytes of an entry: the format, and the one place that reads and writes it.
//!
//! Format 1. An entry begins at a multiple of 16 bytes in its run of pages; all numbers are
//! little-endian; nothing in it points anywhere.
//!
//! | bytes | bits | what |
//! |---|---|---|
//! | 0..8 | 0..48 | deadline, milliseconds since the Unix epoch; all ones: never |
//! | | 48..64 | length of the key |
//! | 8..16 | 0..56 | number of the write that made it |
//! | | 56..64 | kind of the value: 0 bytes, 1 a hash |
//! | 16..24 | 0..32 | checksum: CRC-32 (IEEE) of key length (2 bytes), value length (4), the second word (8), key, value |
//! | | 32..62 | length of the value |
//! | | 62 | it was read since the eviction hand passed |
//! | | 63 | it is there |
//! | 24.. | | key, then value; what follows up to the slot's end means nothing |
//!
//! Each of the three words changes by one aligned store. The third is written last, so an entry is
//! there when everything else of it is, and gone when that word is zero. The checksum leaves out
//! the deadline, which `touch` moves by one store of the first word, and the mark of a read.
//!
//! Deadlines from the year 10889 on are kept as the last millisecond before it.

use crate::contract::{Kind, Seq};
use crate::time::Millis;

/// Bytes before the key.
pub(super) const HEADER: usize = 24;
/// Where the word stands that is written last.
pub(super) const STATE_AT: u64 = 16;

const NEVER: u64 = (1 << 48) - 1;
const THERE: u64 = 1 << 63;
const VISITED: u64 = 1 << 62;
const LENGTH_BITS: u32 = 30;
/// A million writes a second reach the last number in two thousand years.
const SEQ_BITS: u32 = 56;
const LAST_SEQ: u64 = (1 << SEQ_BITS) - 1;
const HASH: u64 = 1;
/// The longest key and the largest value that fit the header.
pub(super) const MAX_KEY: usize = u16::MAX as usize;
pub(super) const MAX_VALUE: usize = (1 << LENGTH_BITS) - 1;

const _: () = assert!(HEADER == 3 * size_of::<u64>() && STATE_AT == 2 * size_of::<u64>() as u64);
const _: () = assert!(32 + LENGTH_BITS == 62 && NEVER.count_ones() + u16::BITS == 64);
const _: () = assert!(crate::config::Limits::MAX_KEY_CEILING <= MAX_KEY);
const _: () = assert!(crate::config::Limits::MAX_VALUE_CEILING <= MAX_VALUE);

/// When an entry ends, as the header keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Due(u64);

impl Due {
    /// Of what has ended before anything began.
    pub(super) const PAST: Self = Self(0);

    pub(super) fn new(deadline: Option<Millis>) -> Self {
        Self(deadline.map_or(NEVER, |at| at.as_unix().min(NEVER - 1)))
    }

    /// Milliseconds since the Unix epoch; `None` never.
    pub(super) fn ms(self) -> Option<u64> {
        (self.0 != NEVER).then_some(self.0)
    }

    pub(super) fn is_past(self, now: Millis) -> bool {
        self.ms().is_some_and(|ms| ms <= now.as_unix())
    }
}

/// What stands before key and value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) due: Due,
    pub(super) seq: Seq,
    pub(super) kind: Kind,
    pub(super) key_len: usize,
    pub(super) value_len: usize,
    pub(super) checksum: u32,
    /// Whether it was used since the eviction hand passed.
    pub(super) is_visited: bool,
    /// Whether an entry is there at all.
    pub(super) is_there: bool,
}

impl Header {
    /// The header of an entry about to be written.
    pub(super) fn new(due: Due, (seq, kind): (Seq, Kind), key: &[u8], value: &[u8]) -> Self {
        Self {
            due,
            seq,
            kind,
            key_len: key.len(),
            value_len: value.len(),
            checksum: checksum(second(seq, kind), key, value),
            is_visited: false,
            is_there: true,
        }
    }

    /// Reads the header of the entry at the beginning of these bytes.
    pub(super) fn read(bytes: &[u8]) -> Self {
        let (first, second, state) = (word(bytes, 0), word(bytes, 8), word(bytes, 16));
        Self {
            due: due(first),
            seq: Seq(second & LAST_SEQ),
            kind: if second >> SEQ_BITS == HASH {
                Kind::Hash
            } else {
                Kind::Bytes
            },
            key_len: (first >> 48) as usize,
            value_len: low_usize(state >> 32) & MAX_VALUE,
            checksum: low_u32(state),
            is_visited: state & VISITED != 0,
            is_there: state & THERE != 0,
        }
    }

    /// Bytes of the entry, header included.
    pub(super) fn len(&self) -> usize {
        HEADER + self.key_len + self.value_len
    }

    /// The first two words: they may be written as long as the entry is not there.
    pub(super) fn front(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.first().to_le_bytes());
        bytes[8..].copy_from_slice(&second(self.seq, self.kind).to_le_bytes());
        bytes
    }

    /// The first word, which alone changes when a deadline moves.
    pub(super) fn first(&self) -> u64 {
        self.due.0 | (self.key_len as u64) << 48
    }

    /// The third word: with it the entry is there.
    pub(super) fn state(&self) -> u64 {
        let visited = if self.is_visited { VISITED } else { 0 };
        u64::from(self.checksum) | (self.value_len as u64) << 32 | visited | THERE
    }
}

/// What is there is no whole entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Damaged;

/// An entry as it lies in a page.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry<'a> {
    pub(super) header: Header,
    pub(super) key: &'a [u8],
    pub(super) value: &'a [u8],
}

impl<'a> Entry<'a> {
    /// The entry at the beginning of these bytes; they are not from outside.
    pub(super) fn read(bytes: &'a [u8]) -> Self {
        let header = Header::read(bytes);
        let (key, rest) = bytes[HEADER..].split_at(header.key_len);
        Self {
            header,
            key,
            value: &rest[..header.value_len],
        }
    }

    /// The entry in a slot of these bytes, which may be anything; `None` where none is there.
    pub(super) fn find(bytes: &'a [u8]) -> Option<Result<Self, Damaged>> {
        // A table of pages that was damaged may name slots that are too small.
        let header = bytes.get(..HEADER).map(Header::read)?;
        if !header.is_there {
            return None;
        }
        if header.len() > bytes.len() {
            return Some(Err(Damaged));
        }
        let entry = Self::read(bytes);
        Some(entry.is_whole().then_some(entry).ok_or(Damaged))
    }

    /// Whether key, value and header belong together.
    pub(super) fn is_whole(&self) -> bool {
        let Header { seq, kind, .. } = self.header;
        self.header.checksum == checksum(second(seq, kind), self.key, self.value)
    }
}

/// The key of the entry at the beginning of these bytes: reads one word of its header.
pub(super) fn key_of(bytes: &[u8]) -> &[u8] {
    let len = (word(bytes, 0) >> 48) as usize;
    &bytes[HEADER..HEADER + len]
}

/// When the entry at the beginning of these bytes ends: reads one word.
pub(super) fn due_of(bytes: &[u8]) -> Due {
    due(word(bytes, 0))
}

fn due(first: u64) -> Due {
    Due(first & NEVER)
}

/// The second word.
fn second(seq: Seq, kind: Kind) -> u64 {
    debug_assert!(seq.0 <= LAST_SEQ);
    let kind = match kind {
        Kind::Bytes => 0,
        Kind::Hash => HASH,
    };
    seq.0 | kind << SEQ_BITS
}

fn checksum(second: u64, key: &[u8], value: &[u8]) -> u32 {
    let mut front = [0; 14];
    front[..2].copy_from_slice(&low_u16(key.len()).to_le_bytes());
    front[2..6].copy_from_slice(&low_u32(value.len() as u64).to_le_bytes());
    front[6..].copy_from_slice(&second.to_le_bytes());
    let mut crc = crc32fast::Hasher::new();
    crc.update(&front);
    crc.update(key);
    crc.update(value);
    crc.finalize()
}

fn word(bytes: &[u8], at: usize) -> u64 {
    let word = bytes[at..at + 8].try_into();
    u64::from_le_bytes(word.expect("eight bytes"))
}

#[expect(clippy::cast_possible_truncation, reason = "the low half is asked for")]
fn low_u32(word: u64) -> u32 {
    word as u32
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "at most 32 bits are asked for"
)]
fn low_usize(word: u64) -> usize {
    word as u32 as usize
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "keys are at most MAX_KEY long"
)]
fn low_u16(len: usize) -> u16 {
    len as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(header: &Header, key: &[u8], value: &[u8]) -> Vec<u8> {
        let state = header.state().to_le_bytes();
        [&header.front()[..], &state, key, value, &[7; 5]].concat()
    }

    #[test]
    fn the_format_is_what_the_table_says() {
        let due = Due::new(Some(Millis::from_unix(0x1234)));
        let header = Header::new(due, (Seq(0x0102), Kind::Hash), b"key", b"value");
        let bytes = bytes(&header, b"key", b"value");
        assert_eq!(bytes[..8], [0x34, 0x12, 0, 0, 0, 0, 3, 0]);
        assert_eq!(bytes[8..16], [2, 1, 0, 0, 0, 0, 0, 1]);
        let mut sum = crc32fast::Hasher::new();
        sum.update(b"\x03\0\x05\0\0\0\x02\x01\0\0\0\0\0\x01keyvalue");
        assert_eq!(bytes[16..20], sum.finalize().to_le_bytes());
        assert_eq!(bytes[20..24], [5, 0, 0, 0x80]);
        assert_eq!(&bytes[24..32], b"keyvalue");
        let entry = Entry::read(&bytes);
        assert_eq!(
            (entry.header, entry.key, entry.value),
            (header, &b"key"[..], &b"value"[..])
        );
        assert!(entry.is_whole());
        let visited = Header {
            is_visited: true,
            ..header
        };
        assert_eq!(visited.state(), header.state() | 1 << 62);
        assert!(Header::read(&self::bytes(&visited, b"key", b"value")).is_visited);
    }

    #[test]
    fn a_changed_byte_is_noticed_except_in_the_deadline() {
        let header = Header::new(Due::new(None), (Seq(9), Kind::Bytes), b"k", b"some value");
        let good = bytes(&header, b"k", b"some value");
        for at in 8..24 + 11 {
            let mut bad = good.clone();
            bad[at] ^= 1;
            let header = Header::read(&bad);
            let fits = header.key_len + header.value_len <= bad.len() - HEADER;
            assert!(!fits || !Entry::read(&bad).is_whole(), "byte {at}");
        }
    }

    #[test]
    fn a_deadline_is_kept_and_the_farthest_one_is_still_none_of_never() {
        let far = Due::new(Some(Millis::MAX));
        assert_eq!(far.ms(), Some((1 << 48) - 2));
        assert_eq!(Due::new(None).ms(), None);
        assert!(far < Due::new(None));
        assert!(Due::new(Some(Millis::from_unix(5))).is_past(Millis::from_unix(5)));
        assert!(!Due::new(Some(Millis::from_unix(5))).is_past(Millis::from_unix(4)));
    }
}
