//! Writes tables.

use super::block::BlockWriter;
use super::coding::{Tag, join, masked, put_varint};
use super::disk::{Disk, Out};
use super::table::{FOOTER, Listed, MAGIC, PLAIN, SNAPPY, file_name};
use super::{LevelError, Result};

/// A block ends when it has so many bytes.
const BLOCK: usize = 4 << 10;
/// So many bytes are written at once.
const CHUNK: usize = 64 << 10;

/// Where a block is.
struct Place {
    offset: u64,
    size: usize,
}

impl Place {
    fn put(&self, into: &mut Vec<u8>) {
        put_varint(into, self.offset);
        put_varint(into, self.size as u64);
    }
}

/// A table that is being written. One that is dropped unfinished is removed by whoever has begun it.
pub(super) struct TableWriter {
    name: String,
    out: Box<dyn Out>,
    /// What is not yet written, and how much is.
    chunk: Vec<u8>,
    written: u64,
    block: BlockWriter,
    index: BlockWriter,
    snappy: snap::raw::Encoder,
    listed: Listed,
}

impl TableWriter {
    pub(super) fn create(disk: &dyn Disk, number: u64) -> Result<Self> {
        let name = file_name(number);
        let out = disk
            .create(&name)
            .map_err(LevelError::io("create", &name))?;
        Ok(Self {
            name,
            out,
            chunk: Vec::new(),
            written: 0,
            block: BlockWriter::default(),
            index: BlockWriter::default(),
            snappy: snap::raw::Encoder::new(),
            listed: Listed {
                number,
                size: 0,
                smallest: Vec::new(),
                largest: Vec::new(),
            },
        })
    }

    /// Adds an entry; they come in order.
    pub(super) fn add(&mut self, user: &[u8], tag: Tag, value: &[u8]) -> Result<()> {
        let key = join(user, tag);
        self.block.add(&key, value);
        if self.listed.smallest.is_empty() {
            self.listed.smallest.clone_from(&key);
        }
        self.listed.largest = key;
        if self.block.len() >= BLOCK {
            self.end_block()?;
        }
        Ok(())
    }

    /// Bytes that the table has by now, without the block that is begun.
    pub(super) fn size(&self) -> u64 {
        self.written + self.chunk.len() as u64
    }

    fn end_block(&mut self) -> Result<()> {
        let last = self.block.last().to_vec();
        let bytes = self.block.finish();
        let place = self.put_block(bytes)?;
        let mut value = Vec::new();
        place.put(&mut value);
        self.index.add(&last, &value);
        Ok(())
    }

    fn put_block(&mut self, plain: Vec<u8>) -> Result<Place> {
        let compressed = self.snappy.compress_vec(&plain).ok();
        // As LevelDB does it: what is hardly any shorter is not worth the work of reading it.
        let worthwhile = compressed.filter(|short| short.len() < plain.len() - plain.len() / 8);
        let (mut bytes, kind) = worthwhile.map_or((plain, PLAIN), |short| (short, SNAPPY));
        let place = Place {
            offset: self.size(),
            size: bytes.len(),
        };
        bytes.push(kind);
        let checksum = masked(crc32c::crc32c(&bytes));
        self.chunk.extend_from_slice(&bytes);
        self.chunk.extend_from_slice(&checksum.to_le_bytes());
        if self.chunk.len() >= CHUNK {
            self.write()?;
        }
        Ok(place)
    }

    fn write(&mut self) -> Result<()> {
        self.out
            .write_at(self.written, &self.chunk)
            .map_err(LevelError::io("write", &self.name))?;
        self.written += self.chunk.len() as u64;
        self.chunk.clear();
        Ok(())
    }

    /// Ends the table and syncs it.
    pub(super) fn finish(mut self) -> Result<Listed> {
        if !self.block.is_empty() {
            self.end_block()?;
        }
        // Filters would be named here.
        let filters = self.put_block(BlockWriter::default().finish())?;
        let index = self.index.finish();
        let index = self.put_block(index)?;
        let mut footer = Vec::new();
        filters.put(&mut footer);
        index.put(&mut footer);
        footer.resize(FOOTER - 8, 0);
        footer.extend_from_slice(&MAGIC.to_le_bytes());
        self.chunk.extend_from_slice(&footer);
        self.write()?;
        self.out
            .sync()
            .map_err(LevelError::io("sync", &self.name))?;
        self.listed.size = self.written;
        Ok(self.listed)
    }
}
