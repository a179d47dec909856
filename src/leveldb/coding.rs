//! How numbers, slices, checksums and keys are written in all of LevelDB's files.
//!
//! A key in a table is the user's key and eight bytes behind it, its tag: the number of the write
//! and whether it was a removal. Such keys are in order of the user's keys, of the same one the
//! newest first.

use std::cmp::Ordering;

/// The tag of a key: `sequence << 8 | kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Tag(pub(super) u64);

/// Bytes of a tag.
pub(super) const TAG: usize = 8;
/// The largest number of a write.
pub(super) const MAX_SEQUENCE: u64 = (1 << 56) - 1;

impl Tag {
    const REMOVED: u64 = 0;
    const VALUE: u64 = 1;
    /// Before all tags of a key.
    pub(super) const NEWEST: Self = Self(u64::MAX);

    pub(super) const fn new(sequence: u64, is_removed: bool) -> Self {
        let kind = if is_removed {
            Self::REMOVED
        } else {
            Self::VALUE
        };
        Self(sequence << 8 | kind)
    }

    pub(super) const fn sequence(self) -> u64 {
        self.0 >> 8
    }

    pub(super) const fn is_removed(self) -> bool {
        self.0 & 0xff == Self::REMOVED
    }

    const fn is_known(self) -> bool {
        self.0 & 0xff <= Self::VALUE
    }
}

/// The user's key and the tag of a key in a table.
pub(super) fn split(key: &[u8]) -> Option<(&[u8], Tag)> {
    let (user, tag) = key.split_last_chunk::<TAG>()?;
    let tag = Tag(u64::from_le_bytes(*tag));
    tag.is_known().then_some((user, tag))
}

pub(super) fn join(user: &[u8], tag: Tag) -> Vec<u8> {
    let mut key = Vec::with_capacity(user.len() + TAG);
    key.extend_from_slice(user);
    key.extend_from_slice(&tag.0.to_le_bytes());
    key
}

/// The order of keys in tables.
pub(super) fn order(one: (&[u8], Tag), other: (&[u8], Tag)) -> Ordering {
    one.0.cmp(other.0).then(other.1.cmp(&one.1))
}

pub(super) fn put_varint(into: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        into.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    into.push(number.to_le_bytes()[0]);
}

pub(super) fn put_slice(into: &mut Vec<u8>, slice: &[u8]) {
    put_varint(into, slice.len() as u64);
    into.extend_from_slice(slice);
}

/// Takes what the functions above have written off the front of bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(bytes)
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        self.bytes(1).map(|byte| byte[0])
    }

    pub(super) fn fixed32(&mut self) -> Option<u32> {
        let bytes = self.bytes(4)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?))
    }

    pub(super) fn fixed64(&mut self) -> Option<u64> {
        let bytes = self.bytes(8)?;
        Some(u64::from_le_bytes(bytes.try_into().ok()?))
    }

    pub(super) fn varint(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    pub(super) fn length(&mut self) -> Option<usize> {
        self.varint()?.try_into().ok()
    }

    pub(super) fn slice(&mut self) -> Option<&'a [u8]> {
        let length = self.length()?;
        self.bytes(length)
    }
}

/// A checksum as it is stored: bytes that have one inside would otherwise be likely to match.
pub(super) fn masked(checksum: u32) -> u32 {
    checksum.rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_they_were_written() {
        let numbers = (0..64).map(|shift| u64::MAX >> shift).chain([0]);
        for number in numbers {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, number);
            let mut reader = Reader(&bytes);
            assert_eq!(reader.varint(), Some(number));
            assert!(reader.is_empty());
            assert_eq!(Reader(&bytes[..bytes.len() - 1]).varint(), None);
        }
        assert_eq!(Reader(&[0xff; 11]).varint(), None);
        assert_eq!(Reader(&[5, 1, 2]).slice(), None);
    }

    #[test]
    fn of_the_same_key_the_newest_is_first() {
        let (old, new) = (Tag::new(4, false), Tag::new(5, true));
        assert_eq!(order((b"a", new), (b"a", old)), Ordering::Less);
        assert_eq!(order((b"a", old), (b"ab", new)), Ordering::Less);
        assert_eq!(order((b"a", Tag::NEWEST), (b"a", new)), Ordering::Less);
        assert_eq!(split(&join(b"a", new)), Some((&b"a"[..], new)));
        assert_eq!(split(&[0xff; 9]), None);
        assert!(new.is_removed() && new.sequence() == 5);
    }
}
