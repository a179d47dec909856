//! Makes the index of a database out of all that stands in it.

use std::collections::HashMap;

use super::layout::{Layout, Note, Place, cleared_before};
use crate::backend::catalogue::{Catalogue, Key, Record};
use crate::backend::session::Cookie;
use crate::contract::{Kind, Seq};

/// What there is of an entry.
#[derive(Debug, Default)]
struct Parts {
    /// Its record as it is without a note.
    record: Option<Record>,
    note: Option<Note>,
}

/// Takes the keys of a database, in any order.
#[derive(Debug)]
pub(super) struct Scan {
    layout: Layout,
    parts: HashMap<Box<[u8]>, Parts>,
    /// Entries with a lower number are cleared.
    cleared: Option<u64>,
    length: Option<u64>,
}

/// What a database has.
pub(super) struct Found {
    pub(super) catalogue: Catalogue,
    /// What is left of entries that are not there any more.
    pub(super) forgotten: Vec<Key>,
    /// Entries with lower versions are cleared.
    pub(super) cleared: Option<u64>,
    pub(super) length: Option<u64>,
}

/// The record of an entry. Its note counts if it was made for this version; otherwise the other side
/// has written the entry, and it expires with its cookie.
pub(super) fn record(seq: Seq, value: &[u8], note: Option<Note>) -> Record {
    if let Some(record) = note.and_then(|note| noted(seq, note)) {
        return record;
    }
    Record {
        deadline: Cookie::of(value).and_then(|cookie| cookie.expires()),
        seq,
        kind: Kind::Bytes,
        birth: note.map_or(seq.0, |note| note.birth),
        mark: 0,
    }
}

fn noted(seq: Seq, note: Note) -> Option<Record> {
    (note.seq == seq).then_some(Record {
        deadline: note.deadline,
        seq,
        kind: note.kind,
        birth: note.birth,
        mark: 0,
    })
}

impl Scan {
    pub(super) fn new(layout: Layout) -> Self {
        Self {
            layout,
            parts: HashMap::new(),
            cleared: None,
            length: None,
        }
    }

    /// Takes what stands at a key, and the number of the write that made it.
    pub(super) fn take(&mut self, key: &[u8], sequence: u64, value: &[u8]) {
        match self.layout.read(key) {
            // That of somebody else is left alone.
            None => {}
            Some(Place::Cleared) => self.cleared = cleared_before(value),
            Some(Place::Length) => {
                let text = std::str::from_utf8(value).ok();
                self.length = text.and_then(|text| text.parse().ok());
            }
            Some(Place::Note(key)) => {
                self.parts.entry(key.into()).or_default().note = Note::decode(value);
            }
            Some(Place::Entry(key)) => {
                let parts = self.parts.entry(key.into()).or_default();
                parts.record = Some(record(Seq(sequence), value, parts.note));
            }
        }
    }

    pub(super) fn finish(self) -> Found {
        let mut found = Found {
            catalogue: Catalogue::default(),
            forgotten: Vec::new(),
            cleared: self.cleared,
            length: self.length,
        };
        for (key, parts) in self.parts {
            match parts.record {
                Some(record) if self.cleared.is_none_or(|before| record.seq.0 >= before) => {
                    // The note may have been met after the entry.
                    let noted = parts.note.and_then(|note| noted(record.seq, note));
                    found.catalogue.put(&key, noted.unwrap_or(record));
                }
                _ => found.forgotten.push(key.into()),
            }
        }
        found
    }
}
