//! Merges tables into fewer ones on the next level, in steps.
//!
//! Of every key only the newest entry is kept, for there are no snapshots; a removal only while
//! there may be something below that it hides.

use super::Result;
use super::builder::TableWriter;
use super::database::Sizes;
use super::disk::Disk;
use super::levels::{Choice, Levels};
use super::merge::Merge;
use super::table::{Listed, Walk, file_name};

/// A merge under way.
pub(super) struct Compaction {
    pub(super) choice: Choice,
    merge: Merge,
    writer: Option<TableWriter>,
    /// The key whose newest entry was met.
    last: Option<Vec<u8>>,
    /// Every table begun and ended so far.
    begun: Vec<u64>,
    pub(super) done: Vec<Listed>,
}

impl Compaction {
    pub(super) fn new(disk: &dyn Disk, choice: Choice) -> Result<Self> {
        let mut walks = Vec::new();
        if choice.level == 0 {
            let each = choice.upper.iter().map(|table| vec![table.clone()]);
            walks.extend(each.map(Walk::new));
        } else {
            walks.push(Walk::new(choice.upper.clone()));
        }
        walks.push(Walk::new(choice.lower.clone()));
        Ok(Self {
            merge: Merge::new(disk, walks)?,
            choice,
            writer: None,
            last: None,
            begun: Vec::new(),
            done: Vec::new(),
        })
    }

    /// Goes on; whether it is at its end. After an error it is to be [abandoned](Self::abandon).
    pub(super) fn step(
        &mut self,
        disk: &dyn Disk,
        levels: &Levels,
        sizes: Sizes,
        mut number: impl FnMut() -> u64,
    ) -> Result<bool> {
        let mut read = 0;
        while read < sizes.step {
            if !self.merge.advance(disk)? {
                self.finish_table()?;
                return Ok(true);
            }
            let Some((user, tag, value)) = self.merge.entry() else {
                continue;
            };
            read += user.len() + value.len() + 16;
            if self.last.as_deref() == Some(user) {
                continue;
            }
            self.last = Some(user.to_vec());
            if tag.is_removed() && !levels.is_below(self.choice.level + 1, user) {
                continue;
            }
            if self.writer.is_none() {
                let number = number();
                self.begun.push(number);
                self.writer = Some(TableWriter::create(disk, number)?);
            }
            if let Some(writer) = &mut self.writer {
                writer.add(user, tag, value)?;
                if writer.size() >= sizes.table {
                    self.finish_table()?;
                }
            }
        }
        Ok(false)
    }

    fn finish_table(&mut self) -> Result<()> {
        if let Some(writer) = self.writer.take() {
            self.done.push(writer.finish()?);
        }
        Ok(())
    }

    /// Removes what it has written.
    pub(super) fn abandon(self, disk: &dyn Disk) {
        for number in self.begun {
            super::remove(disk, &file_name(number));
        }
    }
}
