//! What a folder says about a database, read before anything in it is changed.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io;

use super::coding::{MAX_SEQUENCE, Reader};
use super::database::{Each, Memory, Slot};
use super::disk::Disk;
use super::levels::Levels;
use super::log::Hole;
use super::manifest::{BYTEWISE, CURRENT, Edit};
use super::merge::Merge;
use super::table::{Table, Walk};
use super::{Holes, LevelError, Result, log};

/// What a file in the folder is, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Log,
    Table,
    Manifest,
    Temporary,
}

/// What a file is, and its number; `None` where it is none that is made and removed.
pub(super) fn parse(name: &str) -> Option<(Kind, u64)> {
    let (kind, number) = if let Some(number) = name.strip_prefix("MANIFEST-") {
        (Kind::Manifest, number)
    } else {
        let (number, ending) = name.split_once('.')?;
        let kind = match ending {
            "log" => Kind::Log,
            "ldb" | "sst" => Kind::Table,
            "dbtmp" => Kind::Temporary,
            _ => return None,
        };
        (kind, number)
    };
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    Some((kind, is_number.then(|| number.parse().ok())??))
}

/// A database as it was found.
pub(super) struct Found {
    pub(super) levels: Levels,
    /// What is in logs and not in tables.
    pub(super) memory: Memory,
    pub(super) last_sequence: u64,
    /// A number that no file has.
    pub(super) next_file: u64,
    /// What has a hole, and is not read behind it.
    pub(super) holed: Option<Holed>,
}

/// A log with a hole.
pub(super) struct Holed {
    number: u64,
    bytes: Vec<u8>,
    hole: Hole,
}

impl Holed {
    /// Keeps all of the log under a name that neither LevelDB nor this reads or removes, before the
    /// log goes.
    pub(super) fn keep(&self, disk: &dyn Disk) -> Result<()> {
        let log = log_name(self.number);
        let names = (1_u32..).map(|count| match count {
            1 => format!("{log}.damaged"),
            _ => format!("{log}.damaged-{count}"),
        });
        // What an interrupted attempt has left is made whole, and nothing else overwritten.
        let is_free = |name: &String| match disk.read(name) {
            Ok(kept) => self.bytes.starts_with(&kept),
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        };
        let mut names = names.take(MOST_KEPT);
        let name = names
            .find(is_free)
            .ok_or_else(|| LevelError::damaged(&log, "too many like it were kept already"))?;
        let mut out = disk
            .create(&name)
            .map_err(LevelError::io("create", &name))?;
        out.write_at(0, &self.bytes)
            .map_err(LevelError::io("write", &name))?;
        out.sync().map_err(LevelError::io("sync", &name))?;
        let left_out = self.bytes.len() - self.hole.at;
        let (from, what) = (self.hole.at, self.hole.what);
        tracing::warn!(
            log,
            from,
            bytes = left_out,
            what,
            kept_as = name,
            "the log of the LevelDB database has a hole, as a loss of power leaves it: what is \
             behind it is left out"
        );
        Ok(())
    }
}

/// So many logs of one number are kept.
const MOST_KEPT: usize = 100;

/// Reads everything there is and gives the newest entry of every key, with its sequence, to `each`.
///
/// # Errors
/// Where a byte of it is not as it was written. Nothing has been changed then.
pub(super) fn read(disk: &dyn Disk, holes: Holes, each: &mut Each<'_>) -> Result<Found> {
    let names = disk.list().map_err(LevelError::io("list", "the folder"))?;
    let files: Vec<(Kind, u64)> = names.iter().filter_map(|name| parse(name)).collect();
    let highest = files.iter().map(|(_, number)| *number).max();
    let mut found = Found {
        levels: Levels::default(),
        memory: Memory::default(),
        last_sequence: 0,
        next_file: highest.unwrap_or(0) + 1,
        holed: None,
    };
    if !names.iter().any(|name| name == CURRENT) {
        // One that was never finished has no more than an empty log, and a manifest that says so.
        for (name, (kind, _)) in names.iter().filter_map(|name| Some((name, parse(name)?))) {
            let size = || disk.size(name).map_err(LevelError::io("look at", name));
            if kind == Kind::Table || (kind == Kind::Log && size()? > 0) {
                return Err(LevelError::damaged(CURRENT, "it is missing"));
            }
        }
        return Ok(found);
    }
    let edit = manifest(disk)?;
    found.last_sequence = edit.last_sequence.unwrap_or(0);
    found.next_file = found.next_file.max(edit.next_file.unwrap_or(0));
    let tables: Result<Vec<_>> = edit
        .added
        .into_iter()
        .map(|(level, listed)| {
            let table = Table::open(disk, listed).map_err(LevelError::or_missing)?;
            Ok((level, table))
        })
        .collect();
    found.levels.apply(&[], tables?);
    if !found.levels.is_in_order() {
        return Err(LevelError::damaged("the manifest", "its tables overlap"));
    }
    let oldest = edit.log.unwrap_or(0);
    // LevelDB begins with 0, for none.
    if oldest > 0 && !files.contains(&(Kind::Log, oldest)) {
        return Err(LevelError::damaged(&log_name(oldest), "it is missing"));
    }
    let is_live = |number| number >= oldest || Some(number) == edit.previous_log;
    let logs = files
        .iter()
        .filter(|(kind, number)| *kind == Kind::Log && is_live(*number));
    let mut logs: Vec<u64> = logs.map(|(_, number)| *number).collect();
    logs.sort_unstable();
    for number in logs {
        replay(disk, number, holes, &mut found)?;
    }
    entries(disk, &found, each)?;
    Ok(found)
}

/// All edits of the current manifest as one.
fn manifest(disk: &dyn Disk) -> Result<Edit> {
    let current = disk
        .read(CURRENT)
        .map_err(LevelError::io("read", CURRENT))?;
    let name = std::str::from_utf8(&current).ok();
    let name = name.and_then(|name| name.strip_suffix('\n'));
    let name = name.filter(|name| matches!(parse(name), Some((Kind::Manifest, _))));
    let name = name.ok_or_else(|| LevelError::damaged(CURRENT, "it names no manifest"))?;
    let bytes = disk.read(name).map_err(LevelError::io("read", name));
    let bytes = bytes.map_err(LevelError::or_missing)?;
    let (mut all, mut tables) = (Edit::default(), BTreeMap::new());
    log::records(
        &bytes,
        |_| false,
        |record| {
            let edit = Edit::decode(record).ok_or("an edit cannot be read")?;
            for table in edit.removed {
                tables.remove(&table);
            }
            for (level, listed) in edit.added {
                tables.insert((level, listed.number), listed);
            }
            all.comparator = edit.comparator.or(all.comparator.take());
            all.log = edit.log.or(all.log);
            all.previous_log = edit.previous_log.or(all.previous_log);
            all.next_file = edit.next_file.or(all.next_file);
            all.last_sequence = edit.last_sequence.or(all.last_sequence);
            Ok(())
        },
    )
    // Every edit is synced: one that is not all there was never acted on.
    .or_else(|hole| {
        if hole.is_last_write {
            Ok(())
        } else {
            Err(hole)
        }
    })
    .map_err(|hole| LevelError::damaged(name, hole.what))?;
    if let Some(order) = all.comparator.take_if(|order| order != BYTEWISE) {
        return Err(LevelError::Order(order));
    }
    if all.log.is_none() || all.next_file.is_none() || all.last_sequence.is_none() {
        return Err(LevelError::damaged(
            name,
            "it does not say where logs begin",
        ));
    }
    let tables = tables.into_iter();
    all.added = tables.map(|((level, _), listed)| (level, listed)).collect();
    Ok(all)
}

/// Takes the writes of a log into memory.
fn replay(disk: &dyn Disk, number: u64, holes: Holes, found: &mut Found) -> Result<()> {
    let name = log_name(number);
    let bytes = disk.read(&name).map_err(LevelError::io("read", &name))?;
    if let Some(before) = found.holed.as_ref().filter(|_| !bytes.is_empty()) {
        // Only the newest log may have been on its way to the disk.
        return Err(LevelError::damaged(
            &log_name(before.number),
            before.hole.what,
        ));
    }
    let last = Cell::new(0);
    let is_stale = |record: &[u8]| {
        let first = record.first_chunk().copied().map(u64::from_le_bytes);
        first.is_some_and(|first| first <= last.get())
    };
    let read = log::records(&bytes, is_stale, |record| {
        let (first, writes) = batch(&mut Reader(record)).ok_or("a write cannot be read")?;
        for ((key, value), sequence) in writes.into_iter().zip(first..) {
            found.memory.insert(key.into(), Slot { sequence, value });
            last.set(sequence);
        }
        found.last_sequence = found.last_sequence.max(last.get());
        Ok(())
    });
    match read {
        Ok(()) => {}
        Err(hole) if hole.is_last_write || holes == Holes::LeftOut => {
            found.holed = Some(Holed {
                number,
                bytes,
                hole,
            });
        }
        Err(Hole { at, what, .. }) => return Err(LevelError::Hole { name, at, what }),
    }
    Ok(())
}

/// A key, and its value or that it was removed.
type Write<'a> = (&'a [u8], Option<Box<[u8]>>);

/// One batch: the sequence of its first write, and all of them.
fn batch<'a>(reader: &mut Reader<'a>) -> Option<(u64, Vec<Write<'a>>)> {
    let first = reader.fixed64()?;
    let count = reader.fixed32()?;
    if first.checked_add(u64::from(count))? > MAX_SEQUENCE {
        return None;
    }
    let mut writes = Vec::new();
    for _ in 0..count {
        writes.push(match reader.byte()? {
            0 => (reader.slice()?, None),
            1 => (reader.slice()?, Some(reader.slice()?.into())),
            _ => return None,
        });
    }
    reader.is_empty().then_some((first, writes))
}

pub(super) fn log_name(number: u64) -> String {
    format!("{number:06}.log")
}

/// Gives the newest entries of all, in the order of their keys.
fn entries(disk: &dyn Disk, found: &Found, each: &mut Each<'_>) -> Result<()> {
    let mut walks = Vec::new();
    for table in &found.levels.levels[0] {
        walks.push(Walk::new(vec![table.clone()]));
    }
    for level in &found.levels.levels[1..] {
        walks.push(Walk::new(level.clone()));
    }
    let mut merge = Merge::new(disk, walks)?;
    let mut last: Option<Vec<u8>> = None;
    while merge.advance(disk)? {
        let Some((user, tag, value)) = merge.entry() else {
            continue;
        };
        if last.as_deref() == Some(user) {
            continue;
        }
        last = Some(user.to_vec());
        // What is in memory is newer.
        if !tag.is_removed() && !found.memory.contains_key(user) {
            each(user, tag.sequence(), value);
        }
    }
    for (key, slot) in &found.memory {
        if let Some(value) = &slot.value {
            each(key, slot.sequence, value);
        }
    }
    Ok(())
}
