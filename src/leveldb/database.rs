//! The database: what is written goes into a log and into memory, from there into tables.

use std::collections::BTreeMap;
use std::fmt;

use super::builder::TableWriter;
use super::coding::Tag;
use super::compaction::Compaction;
use super::disk::Disk;
use super::levels::{Choice, Levels};
use super::manifest::{BYTEWISE, Edit, Manifest};
use super::recovery::{self, Kind, log_name};
use super::table::{Listed, Table, file_name};
use super::writing::{Batch, Log};
use super::{Holes, LevelError, Result, remove};

/// What an entry in memory takes besides its bytes, roughly.
const SLOT: usize = 64;
/// With so many tables on level 0 nothing is written before they are merged: as many as LevelDB
/// bears before it slows writers down.
const TOO_MANY: usize = 8;

/// What is in memory of a key: the newest write of it.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    pub(super) sequence: u64,
    pub(super) value: Option<Box<[u8]>>,
}

/// How large things are; LevelDB has the same.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    /// What is in memory becomes a table when it has so many bytes.
    pub(super) buffer: usize,
    /// A table on a level but 0 ends when it has so many bytes.
    pub(super) table: u64,
    /// So many bytes of tables on level 1 are merged; of each next level ten times as many.
    pub(super) level: u64,
    /// A step of a merge ends when it has read so many bytes.
    pub(super) step: usize,
}

impl Default for Sizes {
    fn default() -> Self {
        Self {
            buffer: 4 << 20,
            table: 2 << 20,
            level: 10 << 20,
            step: 256 << 10,
        }
    }
}

/// Is given keys, the numbers of the writes that made their values, and the values.
pub(crate) type Each<'e> = dyn FnMut(&[u8], u64, &[u8]) + 'e;

pub(super) type Memory = BTreeMap<Box<[u8]>, Slot>;

/// A database that is open.
pub(crate) struct Database {
    disk: Box<dyn Disk>,
    levels: Levels,
    memory: Memory,
    memory_bytes: usize,
    log: Log,
    manifest: Manifest,
    next_file: u64,
    last_sequence: u64,
    compaction: Option<Compaction>,
    sizes: Sizes,
}

impl Database {
    /// Opens the database in a folder, or makes one. All of it is read and checked; `each` is given
    /// every key with the sequence number of the write that made its value, and the value.
    ///
    /// # Errors
    /// Where something is damaged nothing is changed.
    pub(crate) fn open(disk: Box<dyn Disk>, holes: Holes, each: &mut Each<'_>) -> Result<Self> {
        Self::open_with(disk, holes, each, Sizes::default())
    }

    pub(super) fn open_with(
        disk: Box<dyn Disk>,
        holes: Holes,
        each: &mut Each<'_>,
        sizes: Sizes,
    ) -> Result<Self> {
        let found = recovery::read(&*disk, holes, each)?;
        let mut next_file = found.next_file;
        let mut number = || {
            next_file += 1;
            next_file - 1
        };
        let mut levels = found.levels;
        if !found.memory.is_empty() {
            let listed = write_table(&*disk, number(), &found.memory)?;
            levels.apply(&[], vec![(0, Table::open(&*disk, listed)?)]);
        }
        if let Some(holed) = &found.holed {
            holed.keep(&*disk)?;
        }
        let log = Log::create(&*disk, number())?;
        let manifest_number = number();
        let mut all = levels.snapshot();
        all.comparator = Some(BYTEWISE.to_owned());
        all.log = Some(log.number);
        all.previous_log = Some(0);
        all.next_file = Some(next_file);
        all.last_sequence = Some(found.last_sequence);
        let manifest = Manifest::create(&*disk, manifest_number, &all)?;
        let database = Self {
            disk,
            levels,
            memory: Memory::new(),
            memory_bytes: 0,
            log,
            manifest,
            next_file,
            last_sequence: found.last_sequence,
            compaction: None,
            sizes,
        };
        database.remove_obsolete();
        Ok(database)
    }

    /// Removes the files that nothing names any more.
    fn remove_obsolete(&self) {
        let live = self.levels.numbers();
        for name in self.disk.list().unwrap_or_default() {
            let is_obsolete = match recovery::parse(&name) {
                Some((Kind::Log, number)) => number < self.log.number,
                Some((Kind::Table, number)) => !live.contains(&number),
                Some((Kind::Manifest, _)) => name != self.manifest.name(),
                Some((Kind::Temporary, _)) => true,
                None => false,
            };
            if is_obsolete {
                remove(&*self.disk, &name);
            }
        }
    }

    /// The number of the last write. The next batch has the numbers behind it.
    pub(crate) fn last_sequence(&self) -> u64 {
        self.last_sequence
    }

    /// The value of a key, and the number of the write that made it.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<(u64, Vec<u8>)>> {
        if let Some(slot) = self.memory.get(key) {
            let value = slot.value.as_deref();
            return Ok(value.map(|value| (slot.sequence, value.to_vec())));
        }
        for table in self.levels.having(key) {
            if let Some(hit) = table.get(&*self.disk, key)? {
                let found = (hit.tag.sequence(), hit.value);
                return Ok((!hit.tag.is_removed()).then_some(found));
            }
        }
        Ok(None)
    }

    /// Does all writes of a batch; with `is_synced` they are on the disk then.
    ///
    /// # Errors
    /// None of them is done.
    pub(crate) fn write(&mut self, batch: &Batch, is_synced: bool) -> Result<()> {
        if batch.is_empty() {
            return if is_synced { self.sync() } else { Ok(()) };
        }
        self.make_room()?;
        let first = self.last_sequence + 1;
        self.log.append(&batch.encode(first), is_synced)?;
        for ((key, value), sequence) in batch.writes().zip(first..) {
            let value = value.map(Box::from);
            self.memory_bytes += key.len() + value.as_deref().map_or(0, <[u8]>::len) + SLOT;
            self.memory.insert(key.into(), Slot { sequence, value });
        }
        self.last_sequence += batch.len();
        Ok(())
    }

    /// Takes to the disk what was written before.
    pub(crate) fn sync(&mut self) -> Result<()> {
        if !self.log.is_sound {
            return self.make_room();
        }
        self.log.sync()
    }

    /// Makes sure that the log, the manifest and memory can take a write.
    fn make_room(&mut self) -> Result<()> {
        if !self.manifest.is_sound {
            self.renew_manifest()?;
        }
        if !self.log.is_sound || self.memory_bytes >= self.sizes.buffer {
            self.rotate()?;
        }
        Ok(())
    }

    fn number(&mut self) -> u64 {
        self.next_file += 1;
        self.next_file - 1
    }

    /// Writes what is in memory to a table and begins a new log.
    fn rotate(&mut self) -> Result<()> {
        while self.levels.levels[0].len() >= TOO_MANY {
            if !self.step()? {
                break;
            }
        }
        let table_number = self.number();
        let log_number = self.number();
        let made = self.rotate_to(table_number, log_number);
        if made.is_err() && self.manifest.is_sound {
            remove(&*self.disk, &file_name(table_number));
            remove(&*self.disk, &log_name(log_number));
        }
        made
    }

    fn rotate_to(&mut self, table_number: u64, log_number: u64) -> Result<()> {
        let log = Log::create(&*self.disk, log_number)?;
        let mut edit = Edit {
            log: Some(log_number),
            ..Edit::default()
        };
        let mut added = Vec::new();
        if !self.memory.is_empty() {
            let listed = write_table(&*self.disk, table_number, &self.memory)?;
            added.push((0, Table::open(&*self.disk, listed.clone())?));
            edit.added.push((0, listed));
        }
        self.append(edit)?;
        self.levels.apply(&[], added);
        self.memory.clear();
        self.memory_bytes = 0;
        let old = std::mem::replace(&mut self.log, log);
        remove(&*self.disk, &log_name(old.number));
        Ok(())
    }

    /// Adds an edit to the manifest; what it names is there already.
    fn append(&mut self, mut edit: Edit) -> Result<()> {
        self.disk
            .sync_names()
            .map_err(LevelError::io("sync", "the folder"))?;
        edit.log = edit.log.or(Some(self.log.number));
        edit.next_file = Some(self.next_file);
        edit.last_sequence = Some(self.last_sequence);
        self.manifest.append(&edit)
    }

    /// Begins a new manifest, after it became unknown what is in the old one.
    fn renew_manifest(&mut self) -> Result<()> {
        let number = self.number();
        let mut all = self.levels.snapshot();
        all.comparator = Some(BYTEWISE.to_owned());
        all.log = Some(self.log.number);
        all.previous_log = Some(0);
        all.next_file = Some(self.next_file);
        all.last_sequence = Some(self.last_sequence);
        self.manifest = Manifest::create(&*self.disk, number, &all)?;
        // What a merge has written so far is among what nothing names.
        self.compaction = None;
        self.remove_obsolete();
        Ok(())
    }

    /// Does a step of what makes reading and the folder smaller; whether there is more to do.
    ///
    /// # Errors
    /// Nothing is lost, and it can be tried again.
    pub(crate) fn step(&mut self) -> Result<bool> {
        if !self.manifest.is_sound {
            self.renew_manifest()?;
        }
        let mut compaction = match self.compaction.take() {
            Some(compaction) => compaction,
            None => match self.levels.choose(self.sizes.level) {
                None => return Ok(false),
                Some(choice) if choice.is_move() => return self.relist(&choice).map(|()| true),
                Some(choice) => Compaction::new(&*self.disk, choice)?,
            },
        };
        let next_file = &mut self.next_file;
        let number = || {
            *next_file += 1;
            *next_file - 1
        };
        match compaction.step(&*self.disk, &self.levels, self.sizes, number) {
            Ok(false) => self.compaction = Some(compaction),
            Ok(true) => self.install(compaction)?,
            Err(error) => {
                compaction.abandon(&*self.disk);
                return Err(error);
            }
        }
        Ok(true)
    }

    /// Lists a table on the next level, as it is.
    fn relist(&mut self, choice: &Choice) -> Result<()> {
        let table = choice.upper[0].clone();
        let level = choice.level + 1;
        self.append(Edit {
            removed: choice.removed(),
            added: vec![(level, table.listed.clone())],
            ..Edit::default()
        })?;
        self.levels.apply(&choice.removed(), vec![(level, table)]);
        Ok(())
    }

    /// Puts what was merged in the place of what it was merged from.
    fn install(&mut self, compaction: Compaction) -> Result<()> {
        let level = compaction.choice.level + 1;
        let removed = compaction.choice.removed();
        let opened = compaction
            .done
            .iter()
            .map(|listed| Ok((level, Table::open(&*self.disk, listed.clone())?)));
        let installed = opened.collect::<Result<Vec<_>>>().and_then(|added| {
            let listed = compaction.done.iter().map(|listed| (level, listed.clone()));
            self.append(Edit {
                removed: removed.clone(),
                added: listed.collect(),
                ..Edit::default()
            })?;
            Ok(added)
        });
        match installed {
            Ok(added) => self.levels.apply(&removed, added),
            Err(error) => {
                if self.manifest.is_sound {
                    compaction.abandon(&*self.disk);
                }
                return Err(error);
            }
        }
        let old = compaction
            .choice
            .upper
            .iter()
            .chain(&compaction.choice.lower);
        for table in old {
            remove(&*self.disk, table.name());
        }
        Ok(())
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tables = self.levels.levels.each_ref().map(Vec::len);
        f.debug_struct("Database")
            .field("tables", &tables)
            .field("memory_bytes", &self.memory_bytes)
            .field("last_sequence", &self.last_sequence)
            .finish_non_exhaustive()
    }
}

/// Writes a table of what is in memory; it is synced, its name is not.
fn write_table(disk: &dyn Disk, number: u64, memory: &Memory) -> Result<Listed> {
    let written = TableWriter::create(disk, number).and_then(|mut writer| {
        for (key, slot) in memory {
            let tag = Tag::new(slot.sequence, slot.value.is_none());
            writer.add(key, tag, slot.value.as_deref().unwrap_or_default())?;
        }
        writer.finish()
    });
    if written.is_err() {
        remove(disk, &file_name(number));
    }
    written
}

#[cfg(test)]
impl Database {
    /// How many tables there are.
    pub(super) fn tables(&self) -> usize {
        self.levels.numbers().len()
    }
}
