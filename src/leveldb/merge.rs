//! Many walks through tables as one, in order.

use super::Result;
use super::coding::{Tag, order};
use super::disk::Disk;
use super::table::Walk;

/// Goes through all entries of some tables, of each key the newest first.
#[derive(Debug)]
pub(super) struct Merge {
    walks: Vec<Walk>,
    /// The walk that is at the entry given last.
    current: Option<usize>,
}

impl Merge {
    pub(super) fn new(disk: &dyn Disk, walks: Vec<Walk>) -> Result<Self> {
        let mut merge = Self {
            walks: Vec::with_capacity(walks.len()),
            current: None,
        };
        for mut walk in walks {
            if walk.advance(disk)? {
                merge.walks.push(walk);
            }
        }
        Ok(merge)
    }

    /// Goes to the next entry; whether there is one.
    pub(super) fn advance(&mut self, disk: &dyn Disk) -> Result<bool> {
        if let Some(current) = self.current {
            if !self.walks[current].advance(disk)? {
                self.walks.swap_remove(current);
            }
        }
        let entries = self.walks.iter().enumerate().filter_map(|(at, walk)| {
            let (user, tag, _) = walk.entry()?;
            Some((at, (user, tag)))
        });
        let first = entries.min_by(|(_, one), (_, other)| order(*one, *other));
        self.current = first.map(|(at, _)| at);
        Ok(self.current.is_some())
    }

    /// The entry that it is at.
    pub(super) fn entry(&self) -> Option<(&[u8], Tag, &[u8])> {
        self.walks[self.current?].entry()
    }
}
