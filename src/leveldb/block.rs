//! Blocks: the pieces of a table. Entries in order, each without what its key shares with the one
//! before it.

use std::ops::Range;

use super::coding::{Reader, put_varint};

/// After so many entries one stands with its whole key, where a search can begin.
const RESTART: usize = 16;

/// Makes a block.
#[derive(Debug, Default)]
pub(super) struct BlockWriter {
    bytes: Vec<u8>,
    restarts: Vec<u32>,
    /// Entries since the last restart.
    since: usize,
    last: Vec<u8>,
}

impl BlockWriter {
    /// Adds an entry; keys come in order.
    pub(super) fn add(&mut self, key: &[u8], value: &[u8]) {
        let mut shared = 0;
        if self.since == RESTART || self.restarts.is_empty() {
            let at = u32::try_from(self.bytes.len()).expect("a table is cut long before");
            self.restarts.push(at);
            self.since = 0;
        } else {
            let pairs = self.last.iter().zip(key);
            shared = pairs.take_while(|(one, other)| one == other).count();
        }
        put_varint(&mut self.bytes, shared as u64);
        put_varint(&mut self.bytes, (key.len() - shared) as u64);
        put_varint(&mut self.bytes, value.len() as u64);
        self.bytes.extend_from_slice(&key[shared..]);
        self.bytes.extend_from_slice(value);
        self.last.truncate(shared);
        self.last.extend_from_slice(&key[shared..]);
        self.since += 1;
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len() + 4 * (self.restarts.len() + 1)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The key that was added last.
    pub(super) fn last(&self) -> &[u8] {
        &self.last
    }

    /// The bytes of the block; a new one begins.
    pub(super) fn finish(&mut self) -> Vec<u8> {
        if self.restarts.is_empty() {
            self.restarts.push(0);
        }
        let mut bytes = std::mem::take(&mut self.bytes);
        let count = u32::try_from(self.restarts.len()).expect("fewer than bytes");
        for word in self.restarts.drain(..).chain([count]) {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        self.since = 0;
        self.last.clear();
        bytes
    }
}

/// Reads a block from its beginning.
#[derive(Debug)]
pub(super) struct BlockReader {
    bytes: Vec<u8>,
    /// Where entries end.
    end: usize,
    at: usize,
    key: Vec<u8>,
    value: Range<usize>,
}

/// What is wrong with a block.
pub(super) type Malformed = &'static str;

impl BlockReader {
    pub(super) fn new(bytes: Vec<u8>) -> Result<Self, Malformed> {
        let count = bytes.last_chunk().map(|count| u32::from_le_bytes(*count));
        let restarts = count.and_then(|count| usize::try_from(count).ok());
        let tail = restarts.and_then(|restarts| restarts.checked_add(1)?.checked_mul(4));
        let end = tail.and_then(|tail| bytes.len().checked_sub(tail));
        Ok(Self {
            end: end.ok_or("a block has no end")?,
            bytes,
            at: 0,
            key: Vec::new(),
            value: 0..0,
        })
    }

    /// Goes to the next entry; whether there is one.
    pub(super) fn advance(&mut self) -> Result<bool, Malformed> {
        if self.at >= self.end {
            return Ok(false);
        }
        let entry = &self.bytes[self.at..self.end];
        let mut reader = Reader(entry);
        let lengths = (reader.length(), reader.length(), reader.length());
        let (Some(shared), Some(own), Some(value)) = lengths else {
            return Err("an entry of a block cannot be read");
        };
        let suffix = reader.bytes(own);
        let value_at = self.end - reader.0.len();
        let (Some(suffix), Some(_)) = (suffix, reader.bytes(value)) else {
            return Err("an entry of a block is longer than the block");
        };
        if shared > self.key.len() {
            return Err("an entry of a block shares more than there is");
        }
        self.key.truncate(shared);
        self.key.extend_from_slice(suffix);
        self.value = value_at..value_at + value;
        self.at = self.value.end;
        Ok(true)
    }

    pub(super) fn key(&self) -> &[u8] {
        &self.key
    }

    pub(super) fn value(&self) -> &[u8] {
        &self.bytes[self.value.clone()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Entry = (Vec<u8>, Vec<u8>);

    fn read(bytes: Vec<u8>) -> Result<Vec<Entry>, Malformed> {
        let mut reader = BlockReader::new(bytes)?;
        let mut entries = Vec::new();
        while reader.advance()? {
            entries.push((reader.key().to_vec(), reader.value().to_vec()));
        }
        Ok(entries)
    }

    proptest! {
        #[test]
        fn a_block_is_read_as_it_was_written(
            entries in prop::collection::btree_map("[ab]{0,9}", prop::collection::vec(any::<u8>(), 0..9), 0..80)
        ) {
            let mut writer = BlockWriter::default();
            for _ in 0..2 {
                for (key, value) in &entries {
                    writer.add(key.as_bytes(), value);
                }
                let length = writer.len();
                let bytes = writer.finish();
                prop_assert!(bytes.len() == length || entries.is_empty());
                let expected: Vec<_> =
                    entries.iter().map(|(k, v)| (k.clone().into_bytes(), v.clone())).collect();
                prop_assert_eq!(read(bytes), Ok(expected));
            }
        }

        #[test]
        fn any_bytes_are_read_to_an_end(mut bytes in prop::collection::vec(any::<u8>(), 0..99), restarts in 0u8..9) {
            bytes.extend_from_slice(&[restarts, 0, 0, 0]);
            let _ = read(bytes);
        }
    }
}
