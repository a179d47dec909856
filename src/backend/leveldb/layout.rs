//! How entries stand in the database: the layout of level-session-store, and what is added to it.
//!
//! Before every key stands the namespace and a slash, or nothing where the store has the database
//! to itself.
//!
//! | key | value |
//! |---|---|
//! | the entry's key | the entry's value, byte by byte |
//! | `00` `k`, the entry's key | the same, for keys that are empty, begin with `00` or are `__length__` |
//! | `00` `m`, the key of either of these | what we know of the entry (see [`Note`]) |
//! | `00` `c` | number of a write as 8 bytes, the lowest first: entries written before it are cleared |
//! | `__length__` | number of live entries, in decimal |
//!
//! Texts of Node never begin with a zero byte, so whatever walks over sessions there meets nothing
//! that it takes for one of its own; `clear` of level-session-store removes ours with its own.
//! The version of an entry is the number that LevelDB itself gave to the write of its value, so that
//! what the other side has written has a new version without our doing. Pure.

use crate::contract::{Kind, Seq};
use crate::time::Millis;

const LENGTH: &[u8] = b"__length__";
const ESCAPE: &[u8] = b"\0k";
const NOTE: &[u8] = b"\0m";
const CLEARED: &[u8] = b"\0c";

/// Where a store's keys are in a database.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    prefix: Vec<u8>,
}

/// What a key of the database is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place<'a> {
    /// The entry with this key.
    Entry(&'a [u8]),
    /// The note about it.
    Note(&'a [u8]),
    Cleared,
    Length,
}

impl Layout {
    pub(super) fn new(namespace: Option<&str>) -> Self {
        Self {
            prefix: namespace.map_or_else(Vec::new, |name| format!("{name}/").into_bytes()),
        }
    }

    fn join(&self, parts: &[&[u8]]) -> Vec<u8> {
        [&[&self.prefix[..]], parts].concat().concat()
    }

    fn escape(key: &[u8]) -> &'static [u8] {
        let is_hostile = key.is_empty() || key[0] == 0 || key == LENGTH;
        if is_hostile { ESCAPE } else { b"" }
    }

    pub(super) fn entry(&self, key: &[u8]) -> Vec<u8> {
        self.join(&[Self::escape(key), key])
    }

    pub(super) fn note(&self, key: &[u8]) -> Vec<u8> {
        self.join(&[NOTE, Self::escape(key), key])
    }

    pub(super) fn cleared(&self) -> Vec<u8> {
        self.join(&[CLEARED])
    }

    pub(super) fn length(&self) -> Vec<u8> {
        self.join(&[LENGTH])
    }

    /// What stands at a key; `None` where that is none of ours.
    pub(super) fn read<'a>(&self, key: &'a [u8]) -> Option<Place<'a>> {
        let key = key.strip_prefix(&self.prefix[..])?;
        if key == LENGTH {
            return Some(Place::Length);
        }
        if key == CLEARED {
            return Some(Place::Cleared);
        }
        match key.strip_prefix(NOTE) {
            Some(key) => unescaped(key).map(Place::Note),
            None => unescaped(key).map(Place::Entry),
        }
    }
}

/// The key of an entry, if it is written as it has to be.
fn unescaped(written: &[u8]) -> Option<&[u8]> {
    let key = written.strip_prefix(ESCAPE).unwrap_or(written);
    let is_escaped = key.len() < written.len();
    (Layout::escape(key).is_empty() != is_escaped).then_some(key)
}

/// What we know of an entry besides its value. It counts as long as the value is the one that it
/// was made for.
///
/// | byte | |
/// |---|---|
/// | 0 | 1, the version of this format |
/// | 1 | the kind of the value: 0 bytes, 1 a hash |
/// | 2 | whether there is a deadline: 0 or 1 |
/// | 3-10 | the version of the entry |
/// | 11-18 | the deadline, milliseconds since 1970; 0 where there is none |
/// | 19-26 | the version that the key came to be with, which is its place in walks |
///
/// Numbers have their lowest byte first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Note {
    pub(super) seq: Seq,
    pub(super) kind: Kind,
    pub(super) deadline: Option<Millis>,
    pub(super) birth: u64,
}

impl Note {
    const VERSION: u8 = 1;

    pub(super) fn encode(&self) -> [u8; 27] {
        let mut bytes = [0; 27];
        bytes[0] = Self::VERSION;
        bytes[1] = match self.kind {
            Kind::Bytes => 0,
            Kind::Hash => 1,
        };
        bytes[2] = u8::from(self.deadline.is_some());
        bytes[3..11].copy_from_slice(&self.seq.0.to_le_bytes());
        let deadline = self.deadline.unwrap_or_default().as_unix();
        bytes[11..19].copy_from_slice(&deadline.to_le_bytes());
        bytes[19..].copy_from_slice(&self.birth.to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (head, numbers) = bytes.split_first_chunk::<3>()?;
        let (seq, numbers) = numbers.split_first_chunk::<8>()?;
        let (deadline, birth) = numbers.split_first_chunk::<8>()?;
        let deadline = Millis::from_unix(u64::from_le_bytes(*deadline));
        let [Self::VERSION, kind @ 0..=1, is_dated @ 0..=1] = *head else {
            return None;
        };
        Some(Self {
            seq: Seq(u64::from_le_bytes(*seq)),
            kind: if kind == 0 { Kind::Bytes } else { Kind::Hash },
            deadline: (is_dated == 1).then_some(deadline),
            birth: u64::from_le_bytes(birth.try_into().ok()?),
        })
    }
}

/// The number in the marker of what was cleared.
pub(super) fn cleared_before(value: &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(value.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_places_of_its_own() {
        let keys: [&[u8]; 9] = [
            b"",
            b"sid",
            b"__length__",
            b"\0",
            b"\0k",
            b"\0m",
            b"\0c",
            b"\0ksid",
            b"_session/a",
        ];
        for namespace in [None, Some("_session")] {
            let layout = Layout::new(namespace);
            let mut places = vec![layout.cleared(), layout.length()];
            for key in keys {
                let (entry, note) = (layout.entry(key), layout.note(key));
                assert_eq!(layout.read(&entry), Some(Place::Entry(key)));
                assert_eq!(layout.read(&note), Some(Place::Note(key)));
                places.extend([entry, note]);
            }
            let count = places.len();
            places.sort();
            places.dedup();
            assert_eq!(places.len(), count);
        }
    }

    #[test]
    fn entries_stand_where_node_has_them() {
        assert_eq!(Layout::new(None).entry(b"sid"), b"sid");
        let layout = Layout::new(Some("_session"));
        assert_eq!(layout.entry(b"sid"), b"_session/sid");
        assert_eq!(layout.length(), b"_session/__length__");
        assert_eq!(layout.read(b"other/sid"), None);
        for strange in [&b"\0"[..], b"\0x", b"\0ksid", b"\0m\0ksid"] {
            let key = [b"_session/", strange].concat();
            assert_eq!(layout.read(&key), None, "{strange:?}");
        }
    }

    #[test]
    fn a_note_is_read_as_it_was_written() {
        for deadline in [None, Some(Millis::ZERO), Some(Millis::MAX)] {
            for kind in [Kind::Bytes, Kind::Hash] {
                let note = Note {
                    seq: Seq(1 << 40),
                    kind,
                    deadline,
                    birth: 1 << 33,
                };
                assert_eq!(Note::decode(&note.encode()), Some(note));
            }
        }
        assert_eq!(Note::decode(&[2; 27]), None);
        assert_eq!(Note::decode(&[]), None);
    }
}
