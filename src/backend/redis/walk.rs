//! Walks over the keys of all servers, page by page with `SCAN`.
//!
//! A page is as many keys as a server gives at once. A walk that pauses within a page leaves the
//! rest of it here, under a number that is its cursor; as it can be asked for again, it stays until
//! newer ones take its place. A number that is not here begins anew: a key may come twice then, as
//! it may where a server's table is resized under the walk, but none is left out.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};

use redis::Cmd;

use super::link::{At, Link};
use super::unexpected;
use crate::backend::{BackendError, Cursor};

/// Keys that a server looks at for a page: at first, and at most where few of them are ours or
/// only their names are wanted. The most take it a millisecond or two.
const LOOK: u32 = 256;
const MOST: u32 = 4_096;
/// Keys that one command removes.
const REMOVED: usize = 256;
/// How many paused walks are remembered.
const PAUSED: usize = 256;
/// How many sweeps are: those that nobody goes on with give way to others.
const SWEEPS: usize = 8;

/// Where a walk is: what is left of a page, and what comes behind it.
#[derive(Debug, Clone, Default)]
pub(super) struct Step {
    pub(super) keys: Vec<Vec<u8>>,
    /// The servers that are still to be asked; the one that is being asked is the last.
    servers: Vec<At>,
    /// Where the server goes on.
    scan: u64,
    /// How many keys it looks at next.
    look: u32,
}

/// Where a sweep is, and the names that were counted.
#[derive(Debug, Default)]
pub(super) struct Sweeping {
    pub(super) step: Step,
    pub(super) names: Names,
}

/// The walks that pause, and the sweeps.
#[derive(Debug)]
pub(super) struct Walks {
    paused: VecDeque<(u64, Step)>,
    sweeps: VecDeque<(u64, Sweeping)>,
    next: u64,
}

impl Default for Walks {
    fn default() -> Self {
        Self {
            paused: VecDeque::new(),
            sweeps: VecDeque::new(),
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
        link: &Link,
        prefix: &[u8],
    ) -> Result<Step, BackendError> {
        let paused = self.paused.iter().find(|(number, _)| *number == cursor.0);
        match paused {
            Some((_, step)) => Ok(step.clone()),
            None => first(link, prefix, LOOK),
        }
    }

    /// Where to go on later; `None` where nothing is left.
    pub(super) fn pause(&mut self, step: Step) -> Option<Cursor> {
        if step.keys.is_empty() && step.servers.is_empty() {
            return None;
        }
        if self.paused.len() == PAUSED {
            self.paused.pop_front();
        }
        let number = self.number();
        self.paused.push_back((number, step));
        Some(Cursor(number))
    }

    /// The sweep at a cursor, each of which is gone on from once.
    pub(super) fn swept(
        &mut self,
        at: Cursor,
        link: &Link,
        prefix: &[u8],
    ) -> Result<Sweeping, BackendError> {
        let there = self.sweeps.iter().position(|(number, _)| *number == at.0);
        if let Some((_, sweeping)) = there.and_then(|there| self.sweeps.remove(there)) {
            return Ok(sweeping);
        }
        Ok(Sweeping {
            step: first(link, prefix, MOST)?,
            names: Names::default(),
        })
    }

    /// Where to go on with a sweep.
    pub(super) fn pause_sweep(&mut self, sweeping: Sweeping) -> Cursor {
        if self.sweeps.len() == SWEEPS {
            self.sweeps.pop_front();
        }
        let number = self.number();
        self.sweeps.push_back((number, sweeping));
        Cursor(number)
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }
}

/// The first page of all.
fn first(link: &Link, prefix: &[u8], look: u32) -> Result<Step, BackendError> {
    let step = Step {
        servers: link.servers()?,
        look,
        ..Step::default()
    };
    Ok(next(step, link, prefix)?.unwrap_or_default())
}

/// The page behind one that is finished.
pub(super) fn next(
    mut step: Step,
    link: &Link,
    prefix: &[u8],
) -> Result<Option<Step>, BackendError> {
    let Some(server) = step.servers.last() else {
        return Ok(None);
    };
    let mut scan = redis::cmd("SCAN");
    scan.arg(step.scan).arg("MATCH").arg(pattern(prefix));
    scan.arg("COUNT").arg(step.look).arg("TYPE").arg("string");
    let reply = link.run_at(server, scan)?;
    let (scan, names): (u64, Vec<Vec<u8>>) =
        redis::from_redis_value(reply).map_err(|_| unexpected())?;
    step.scan = scan;
    if scan == 0 {
        step.servers.pop();
    }
    let key = |name: Vec<u8>| name.strip_prefix(prefix).map(<[u8]>::to_vec);
    step.keys = names.into_iter().filter_map(key).collect();
    if step.keys.len() < step.look as usize / 8 {
        step.look = (2 * step.look).min(MOST);
    }
    Ok(Some(step))
}

/// Removes what has these names.
pub(super) fn removing(link: &Link, names: &[Vec<u8>]) -> Vec<Cmd> {
    // A cluster takes several names only if all are in one slot.
    let at_once = if link.is_cluster() { 1 } else { REMOVED };
    let unlink = |names: &[Vec<u8>]| {
        let mut unlink = redis::cmd("UNLINK");
        unlink.arg(names);
        unlink
    };
    names.chunks(at_once).map(unlink).collect()
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
