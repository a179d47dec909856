//! Tables: files of entries in order, in blocks, with an index of the blocks. They never change.
//!
//! Every block is checked against its checksum whenever it is read.

use std::cmp::Ordering;
use std::sync::Arc;

use super::block::BlockReader;
use super::coding::{Reader, Tag, masked, order, split};
use super::disk::Disk;
use super::{LevelError, Result};

/// Bytes behind a block: how it is compressed, and its checksum.
pub(super) const TRAILER: usize = 5;
/// Bytes at the end of a table.
pub(super) const FOOTER: usize = 48;
pub(super) const MAGIC: u64 = 0xdb47_7524_8b80_fb57;
pub(super) const PLAIN: u8 = 0;
pub(super) const SNAPPY: u8 = 1;

/// A table as the manifest has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) number: u64,
    pub(super) size: u64,
    /// The first and the last key, with their tags.
    pub(super) smallest: Vec<u8>,
    pub(super) largest: Vec<u8>,
}

impl Listed {
    /// The user's keys between which all of its entries are.
    pub(super) fn range(&self) -> (&[u8], &[u8]) {
        (user(&self.smallest), user(&self.largest))
    }
}

/// The user's key of a key that was looked at when it was read.
fn user(key: &[u8]) -> &[u8] {
    split(key).map_or(key, |(user, _)| user)
}

pub(super) fn file_name(number: u64) -> String {
    format!("{number:06}.ldb")
}

#[derive(Debug)]
struct Place {
    offset: u64,
    size: usize,
}

impl Place {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            offset: reader.varint()?,
            size: reader.length()?,
        })
    }
}

/// A table that can be read.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) listed: Listed,
    name: String,
    /// Of every block where it is, and a key that none in it is behind.
    index: Vec<(Vec<u8>, Place)>,
}

/// What a table has of a key.
pub(super) struct Hit {
    pub(super) tag: Tag,
    pub(super) value: Vec<u8>,
}

impl Table {
    /// Reads the index.
    pub(super) fn open(disk: &dyn Disk, listed: Listed) -> Result<Arc<Self>> {
        let mut name = file_name(listed.number);
        if disk.size(&name).is_err() {
            // As LevelDB called it until 2013.
            let other = format!("{:06}.sst", listed.number);
            if disk.size(&other).is_ok() {
                name = other;
            }
        }
        let size = disk.size(&name).map_err(LevelError::io("read", &name))?;
        let damaged = |what| LevelError::damaged(&name, what);
        if size != listed.size || size < FOOTER as u64 {
            return Err(damaged("it is not as long as the manifest says"));
        }
        let mut footer = [0; FOOTER];
        disk.read_at(&name, size - FOOTER as u64, &mut footer)
            .map_err(LevelError::io("read", &name))?;
        let mut reader = Reader(&footer);
        let _filters = Place::read(&mut reader);
        let index = Place::read(&mut reader).ok_or_else(|| damaged("it has no index"))?;
        if footer[FOOTER - 8..] != MAGIC.to_le_bytes() {
            return Err(damaged("it is no table"));
        }
        let mut table = Self {
            listed,
            name,
            index: Vec::new(),
        };
        let mut block = table.block(disk, &index)?;
        while block.advance().map_err(|what| table.damaged(what))? {
            let place = Place::read(&mut Reader(block.value()));
            let place = place.ok_or_else(|| table.damaged("its index cannot be read"))?;
            split(block.key()).ok_or_else(|| table.damaged("its index has a wrong key"))?;
            table.index.push((block.key().to_vec(), place));
        }
        Ok(Arc::new(table))
    }

    fn damaged(&self, what: &'static str) -> LevelError {
        LevelError::damaged(&self.name, what)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    fn block(&self, disk: &dyn Disk, place: &Place) -> Result<BlockReader> {
        let end = place
            .offset
            .saturating_add(place.size as u64)
            .saturating_add(TRAILER as u64);
        if end > self.listed.size {
            return Err(self.damaged("a block lies behind its end"));
        }
        let mut bytes = vec![0; place.size + TRAILER];
        disk.read_at(&self.name, place.offset, &mut bytes)
            .map_err(LevelError::io("read", &self.name))?;
        let checksum = masked(crc32c::crc32c(&bytes[..=place.size]));
        if bytes[place.size + 1..] != checksum.to_le_bytes() {
            return Err(self.damaged("a block has a wrong checksum"));
        }
        let kind = bytes[place.size];
        bytes.truncate(place.size);
        let bytes = match kind {
            PLAIN => bytes,
            SNAPPY => snap::raw::Decoder::new()
                .decompress_vec(&bytes)
                .map_err(|_| self.damaged("a block cannot be decompressed"))?,
            _ => return Err(self.damaged("a block is compressed in an unknown way")),
        };
        BlockReader::new(bytes).map_err(|what| self.damaged(what))
    }

    /// The newest entry of a user's key.
    pub(super) fn get(&self, disk: &dyn Disk, key: &[u8]) -> Result<Option<Hit>> {
        let wanted = (key, Tag::NEWEST);
        let is_before = |(last, _): &(Vec<u8>, Place)| {
            split(last).is_some_and(|last| order(last, wanted).is_lt())
        };
        let first = self.index.partition_point(is_before);
        // The index may name a key that is behind the last one of a block.
        for (_, place) in &self.index[first..] {
            let mut block = self.block(disk, place)?;
            while block.advance().map_err(|what| self.damaged(what))? {
                let (user, tag) = self.split(block.key())?;
                match user.cmp(key) {
                    Ordering::Less => {}
                    Ordering::Equal => {
                        let value = block.value().to_vec();
                        return Ok(Some(Hit { tag, value }));
                    }
                    Ordering::Greater => return Ok(None),
                }
            }
        }
        Ok(None)
    }

    fn split<'k>(&self, key: &'k [u8]) -> Result<(&'k [u8], Tag)> {
        split(key).ok_or_else(|| self.damaged("it has a wrong key"))
    }
}

/// Goes through tables one after the other, in order.
#[derive(Debug)]
pub(super) struct Walk {
    tables: std::vec::IntoIter<Arc<Table>>,
    table: Option<Arc<Table>>,
    next_block: usize,
    block: Option<BlockReader>,
    last: Vec<u8>,
}

impl Walk {
    /// Tables of which none has a key before one of the table before it.
    pub(super) fn new(tables: Vec<Arc<Table>>) -> Self {
        Self {
            tables: tables.into_iter(),
            table: None,
            next_block: 0,
            block: None,
            last: Vec::new(),
        }
    }

    /// Goes to the next entry; whether there is one.
    pub(super) fn advance(&mut self, disk: &dyn Disk) -> Result<bool> {
        loop {
            if let (Some(table), Some(block)) = (&self.table, &mut self.block) {
                if block.advance().map_err(|what| table.damaged(what))? {
                    let (user, tag) = table.split(block.key())?;
                    if split(&self.last).is_some_and(|last| order(last, (user, tag)).is_ge()) {
                        return Err(table.damaged("its keys are not in order"));
                    }
                    self.last.clear();
                    self.last.extend_from_slice(block.key());
                    return Ok(true);
                }
                self.block = None;
            }
            if let Some(table) = &self.table {
                if let Some((_, place)) = table.index.get(self.next_block) {
                    self.block = Some(table.block(disk, place)?);
                    self.next_block += 1;
                    continue;
                }
            }
            self.table = self.tables.next();
            self.next_block = 0;
            if self.table.is_none() {
                return Ok(false);
            }
        }
    }

    /// The entry that it is at: the user's key, the tag and the value.
    pub(super) fn entry(&self) -> Option<(&[u8], Tag, &[u8])> {
        let block = self.block.as_ref()?;
        let (user, tag) = split(block.key())?;
        Some((user, tag, block.value()))
    }
}
