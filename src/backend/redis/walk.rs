//! Walks over the keys of all servers, page by page with `SCAN`.
//!
//! A page is as many keys as a server gives at once. A walk that pauses within a page leaves the
//! rest of it here, under a number that is its cursor; as it can be asked for again, it stays until
//! newer ones take its place. A number that is not here begins anew: a key may come twice then, as
//! it may where a server's table is resized under the walk, but none is left out.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};

use redis::{Cmd, Value};

use super::link::{Link, Repeat};
use super::unexpected;
use crate::backend::{BackendError, Cursor};

/// Keys of a page, about.
const PAGE: u32 = 256;
/// How many paused walks are remembered.
const PAUSED: usize = 256;

/// Where a walk is: what is left of a page, and what comes behind it.
#[derive(Debug, Clone, Default)]
pub(super) struct Step {
    pub(super) keys: Vec<Vec<u8>>,
    /// A slot of each primary that is still to be asked, the last first; of the one that is being
    /// asked last.
    slots: Vec<u16>,
    /// Where the server goes on.
    scan: u64,
}

/// The walks that pause.
#[derive(Debug)]
pub(super) struct Walks {
    paused: VecDeque<(u64, Step)>,
    next: u64,
}

impl Default for Walks {
    fn default() -> Self {
        Self {
            paused: VecDeque::new(),
            // Cursors of another life of the master are not taken for ours.
            next: fastrand::u64(1..1 << 48),
        }
    }
}

impl Walks {
    /// The step at a cursor.
    pub(super) fn resume(
        &self,
        cursor: Cursor,
        link: &mut Link,
        prefix: &[u8],
    ) -> Result<Step, BackendError> {
        let paused = self.paused.iter().find(|(number, _)| *number == cursor.0);
        match paused {
            Some((_, step)) => Ok(step.clone()),
            None => first(link, prefix),
        }
    }

    /// Where to go on later; `None` where nothing is left.
    pub(super) fn pause(&mut self, step: Step) -> Option<Cursor> {
        if step.keys.is_empty() && step.slots.is_empty() {
            return None;
        }
        if self.paused.len() == PAUSED {
            self.paused.pop_front();
        }
        let number = self.next;
        self.next += 1;
        self.paused.push_back((number, step));
        Some(Cursor(number))
    }
}

/// The first page of all.
fn first(link: &mut Link, prefix: &[u8]) -> Result<Step, BackendError> {
    let step = Step {
        slots: slots(link)?,
        ..Step::default()
    };
    Ok(next(step, link, prefix)?.unwrap_or_default())
}

/// The page behind one that is finished.
pub(super) fn next(
    mut step: Step,
    link: &mut Link,
    prefix: &[u8],
) -> Result<Option<Step>, BackendError> {
    let Some(slot) = step.slots.last() else {
        return Ok(None);
    };
    let mut scan = redis::cmd("SCAN");
    scan.arg(step.scan).arg("MATCH").arg(pattern(prefix));
    scan.arg("COUNT").arg(PAGE).arg("TYPE").arg("string");
    let reply = link.run_at(*slot, scan)?.map_err(BackendError::Failed)?;
    let (scan, names): (u64, Vec<Vec<u8>>) =
        redis::from_redis_value(reply).map_err(|_| unexpected())?;
    step.scan = scan;
    if scan == 0 {
        step.slots.pop();
    }
    let key = |name: Vec<u8>| name.strip_prefix(prefix).map(<[u8]>::to_vec);
    step.keys = names.into_iter().filter_map(key).collect();
    Ok(Some(step))
}

/// Gives all keys, page by page, and does with each page what `work` says.
pub(super) fn each_page(
    link: &mut Link,
    prefix: &[u8],
    mut work: impl FnMut(Vec<Vec<u8>>) -> Vec<Cmd>,
) -> Result<(), BackendError> {
    let mut step = first(link, prefix)?;
    loop {
        let commands = work(std::mem::take(&mut step.keys));
        for reply in link.run(commands, Repeat::Yes)? {
            reply.map_err(BackendError::Failed)?;
        }
        match next(step, link, prefix)? {
            Some(next) => step = next,
            None => return Ok(()),
        }
    }
}

/// A slot of each primary.
fn slots(link: &mut Link) -> Result<Vec<u16>, BackendError> {
    if !link.is_cluster() {
        return Ok(vec![0]);
    }
    let mut command = redis::cmd("CLUSTER");
    command.arg("SLOTS");
    let reply = link.run_at(0, command)?.map_err(BackendError::Failed)?;
    let Value::Array(ranges) = reply else {
        return Err(unexpected());
    };
    let (mut slots, mut seen) = (Vec::new(), Vec::new());
    for range in &ranges {
        let Value::Array(range) = range else {
            return Err(unexpected());
        };
        let [Value::Int(first), _, Value::Array(primary), ..] = range.as_slice() else {
            return Err(unexpected());
        };
        // Its address.
        let primary = primary.get(..2).ok_or_else(unexpected)?;
        if !seen.contains(&primary) {
            seen.push(primary);
            slots.push(u16::try_from(*first).map_err(|_| unexpected())?);
        }
    }
    Ok(slots)
}

/// A pattern that every name with this prefix has, and no other.
fn pattern(prefix: &[u8]) -> Vec<u8> {
    let mut pattern = Vec::with_capacity(prefix.len() + 1);
    for byte in prefix {
        if b"*?[]\\".contains(byte) {
            pattern.push(b'\\');
        }
        pattern.push(*byte);
    }
    pattern.push(b'*');
    pattern
}

/// Counts names, each once; which they are is not kept.
#[derive(Debug, Default)]
pub(super) struct Names(HashSet<u64>, RandomState);

impl Names {
    pub(super) fn add(&mut self, names: &[Vec<u8>]) {
        let Self(seen, state) = self;
        seen.extend(names.iter().map(|name| state.hash_one(name)));
    }

    pub(super) fn count(&self) -> u64 {
        self.0.len() as u64
    }
}
