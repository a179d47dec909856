//! Manifests: logs of edits, each of which says what has become of the tables.

use super::coding::{Reader, TAG, put_slice, put_varint};
use super::disk::{Disk, Out};
use super::levels::LEVELS;
use super::table::Listed;
use super::{LevelError, Result, log};

/// The order of keys that LevelDB has by default, and the only one known here.
pub(super) const BYTEWISE: &str = "leveldb.BytewiseComparator";
pub(super) const CURRENT: &str = "CURRENT";

/// What changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Edit {
    pub(super) comparator: Option<String>,
    /// The oldest log that is not in tables.
    pub(super) log: Option<u64>,
    /// Another one before it; of old versions of LevelDB.
    pub(super) previous_log: Option<u64>,
    /// A number that no file has.
    pub(super) next_file: Option<u64>,
    /// The number of the last write that is in tables.
    pub(super) last_sequence: Option<u64>,
    /// Tables, with their levels.
    pub(super) removed: Vec<(usize, u64)>,
    pub(super) added: Vec<(usize, Listed)>,
}

mod tag {
    pub(super) const COMPARATOR: u64 = 1;
    pub(super) const LOG: u64 = 2;
    pub(super) const NEXT_FILE: u64 = 3;
    pub(super) const LAST_SEQUENCE: u64 = 4;
    pub(super) const POINTER: u64 = 5;
    pub(super) const REMOVED: u64 = 6;
    pub(super) const ADDED: u64 = 7;
    pub(super) const PREVIOUS_LOG: u64 = 9;
}

impl Edit {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        if let Some(comparator) = &self.comparator {
            put_varint(&mut bytes, tag::COMPARATOR);
            put_slice(&mut bytes, comparator.as_bytes());
        }
        for (tag, number) in [
            (tag::LOG, self.log),
            (tag::PREVIOUS_LOG, self.previous_log),
            (tag::NEXT_FILE, self.next_file),
            (tag::LAST_SEQUENCE, self.last_sequence),
        ] {
            if let Some(number) = number {
                put_varint(&mut bytes, tag);
                put_varint(&mut bytes, number);
            }
        }
        for (level, number) in &self.removed {
            put_varint(&mut bytes, tag::REMOVED);
            put_varint(&mut bytes, *level as u64);
            put_varint(&mut bytes, *number);
        }
        for (level, table) in &self.added {
            put_varint(&mut bytes, tag::ADDED);
            put_varint(&mut bytes, *level as u64);
            put_varint(&mut bytes, table.number);
            put_varint(&mut bytes, table.size);
            put_slice(&mut bytes, &table.smallest);
            put_slice(&mut bytes, &table.largest);
        }
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (mut edit, mut reader) = (Self::default(), Reader(bytes));
        while !reader.is_empty() {
            match reader.varint()? {
                tag::COMPARATOR => {
                    let name = reader.slice()?;
                    edit.comparator = Some(String::from_utf8_lossy(name).into_owned());
                }
                tag::LOG => edit.log = Some(reader.varint()?),
                tag::PREVIOUS_LOG => edit.previous_log = Some(reader.varint()?),
                tag::NEXT_FILE => edit.next_file = Some(reader.varint()?),
                tag::LAST_SEQUENCE => edit.last_sequence = Some(reader.varint()?),
                tag::POINTER => {
                    level(&mut reader)?;
                    reader.slice()?;
                }
                tag::REMOVED => {
                    let level = level(&mut reader)?;
                    edit.removed.push((level, reader.varint()?));
                }
                tag::ADDED => {
                    let level = level(&mut reader)?;
                    let table = Listed {
                        number: reader.varint()?,
                        size: reader.varint()?,
                        smallest: key(&mut reader)?,
                        largest: key(&mut reader)?,
                    };
                    edit.added.push((level, table));
                }
                _ => return None,
            }
        }
        Some(edit)
    }
}

fn level(reader: &mut Reader<'_>) -> Option<usize> {
    reader.length().filter(|level| *level < LEVELS)
}

fn key(reader: &mut Reader<'_>) -> Option<Vec<u8>> {
    let key = reader.slice()?;
    (key.len() >= TAG).then(|| key.to_vec())
}

pub(super) fn file_name(number: u64) -> String {
    format!("MANIFEST-{number:06}")
}

/// The manifest that is being written.
pub(super) struct Manifest {
    number: u64,
    out: Box<dyn Out>,
    length: u64,
    /// It is known what is in it on the disk.
    pub(super) is_sound: bool,
}

impl Manifest {
    /// Begins one with an edit that makes all that there is, and makes it the current one.
    pub(super) fn create(disk: &dyn Disk, number: u64, all: &Edit) -> Result<Self> {
        let name = file_name(number);
        let out = disk
            .create(&name)
            .map_err(LevelError::io("create", &name))?;
        let mut manifest = Self {
            number,
            out,
            length: 0,
            is_sound: true,
        };
        manifest.append(all)?;
        let temporary = format!("{number:06}.dbtmp");
        let failed = |action| LevelError::io(action, &temporary);
        let mut current = disk.create(&temporary).map_err(failed("create"))?;
        current
            .write_at(0, format!("{name}\n").as_bytes())
            .map_err(failed("write"))?;
        current.sync().map_err(failed("sync"))?;
        // Everything that is named now has to be there first.
        disk.sync_names()
            .map_err(LevelError::io("sync", "the folder"))?;
        disk.rename(&temporary, CURRENT).map_err(failed("rename"))?;
        disk.sync_names()
            .map_err(LevelError::io("sync", "the folder"))?;
        Ok(manifest)
    }

    pub(super) fn name(&self) -> String {
        file_name(self.number)
    }

    /// Adds an edit and syncs it. Where that fails, it may be there or not unless it
    /// [is sound](Self::is_sound).
    pub(super) fn append(&mut self, edit: &Edit) -> Result<()> {
        let name = self.name();
        let bytes = log::encode(self.length, &edit.encode());
        if let Err(error) = self.out.write_at(self.length, &bytes) {
            self.is_sound = self.out.truncate(self.length).is_ok();
            return Err(LevelError::io("write", &name)(error));
        }
        if let Err(error) = self.out.sync() {
            self.is_sound = false;
            return Err(LevelError::io("sync", &name)(error));
        }
        self.length += bytes.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leveldb::coding::{Tag, join};

    #[test]
    fn an_edit_is_read_as_it_was_written() {
        let table = Listed {
            number: 7,
            size: 1 << 40,
            smallest: join(b"", Tag::new(9, false)),
            largest: join(b"\xff", Tag::new(3, true)),
        };
        let edit = Edit {
            comparator: Some(BYTEWISE.to_owned()),
            log: Some(3),
            previous_log: Some(0),
            next_file: Some(300),
            last_sequence: Some(1 << 50),
            removed: vec![(0, 4), (6, 5)],
            added: vec![(1, table)],
        };
        let bytes = edit.encode();
        assert_eq!(Edit::decode(&bytes), Some(edit));
        assert_eq!(Edit::decode(&bytes[..bytes.len() - 1]), None);
        assert_eq!(Edit::decode(&[8]), None, "an unknown tag");
        assert_eq!(Edit::decode(&[6, 7, 1]), None, "an unknown level");
    }
}
