//! What is written: batches, and the log that they are appended to.

use super::coding::put_slice;
use super::disk::{Disk, Out};
use super::recovery::log_name;
use super::{LevelError, Result, log};

/// A key, and its value or that it has none any more.
type Write = (Box<[u8]>, Option<Box<[u8]>>);

/// Writes that are done together or not at all.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    writes: Vec<Write>,
}

impl Batch {
    /// The place of the write in the batch.
    pub(crate) fn put(&mut self, key: &[u8], value: &[u8]) -> usize {
        self.writes.push((key.into(), Some(value.into())));
        self.writes.len() - 1
    }

    /// The value that is written at a place.
    pub(crate) fn value(&self, place: usize) -> Option<&[u8]> {
        self.writes.get(place)?.1.as_deref()
    }

    pub(crate) fn remove(&mut self, key: &[u8]) {
        self.writes.push((key.into(), None));
    }

    /// How many writes there are; each takes one sequence number.
    pub(crate) fn len(&self) -> u64 {
        self.writes.len() as u64
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.writes.clear();
    }

    pub(super) fn writes(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        let writes = self.writes.iter();
        writes.map(|(key, value)| (&**key, value.as_deref()))
    }

    /// The record of the batch, whose first write has this number.
    pub(super) fn encode(&self, first: u64) -> Vec<u8> {
        let mut bytes = first.to_le_bytes().to_vec();
        let count = u32::try_from(self.writes.len()).expect("a turn has fewer writes");
        bytes.extend_from_slice(&count.to_le_bytes());
        for (key, value) in &self.writes {
            bytes.push(u8::from(value.is_some()));
            put_slice(&mut bytes, key);
            if let Some(value) = value {
                put_slice(&mut bytes, value);
            }
        }
        bytes
    }
}

/// The log that is being written.
pub(super) struct Log {
    pub(super) number: u64,
    out: Box<dyn Out>,
    length: u64,
    is_synced: bool,
    /// It is known what is in it on the disk, and it can be written to.
    pub(super) is_sound: bool,
}

impl Log {
    pub(super) fn create(disk: &dyn Disk, number: u64) -> Result<Self> {
        let name = log_name(number);
        let out = disk
            .create(&name)
            .map_err(LevelError::io("create", &name))?;
        Ok(Self {
            number,
            out,
            length: 0,
            is_synced: true,
            is_sound: true,
        })
    }

    /// Takes back what was written behind its end.
    fn cut(&mut self) -> bool {
        self.out.truncate(self.length).is_ok()
    }

    pub(super) fn append(&mut self, record: &[u8], is_synced: bool) -> Result<()> {
        let name = log_name(self.number);
        let bytes = log::encode(self.length, record);
        if let Err(error) = self.out.write_at(self.length, &bytes) {
            self.is_sound = self.cut();
            return Err(LevelError::io("write", &name)(error));
        }
        if is_synced {
            if let Err(error) = self.out.sync() {
                // What the system has forgotten is still in memory; another file has to take it.
                self.cut();
                self.is_sound = false;
                return Err(LevelError::io("sync", &name)(error));
            }
        }
        self.length += bytes.len() as u64;
        self.is_synced = is_synced;
        Ok(())
    }

    pub(super) fn sync(&mut self) -> Result<()> {
        if self.is_synced {
            return Ok(());
        }
        if let Err(error) = self.out.sync() {
            self.is_sound = false;
            return Err(LevelError::io("sync", &log_name(self.number))(error));
        }
        self.is_synced = true;
        Ok(())
    }
}
