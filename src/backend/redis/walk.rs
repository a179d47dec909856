//! Walks over the keys of all servers, page by page with `SCAN`.
//!
//! A page is as many keys as a server gives at once. A walk that pauses within a page leaves the
//! rest of it here, under a number that is its cursor; as it can be asked for again, it stays until
//! newer ones take its place. A number that is not here begins anew: a key may come twice then, as
//! it may where a server's table is resized under the walk, but none is left out.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};

use redis::{Cmd, Value};

use super::link::{At, Link, Repeat};
use super::unexpected;
use crate::backend::{BackendError, Cursor};
use crate::config::Host;

/// Keys of a page, about.
const PAGE: u32 = 256;
/// How many paused walks are remembered.
const PAUSED: usize = 256;

/// Where a walk is: what is left of a page, and what comes behind it.
#[derive(Debug, Clone, Default)]
pub(super) struct Step {
    pub(super) keys: Vec<Vec<u8>>,
    /// The servers that are still to be asked; the one that is being asked is the last.
    servers: Vec<At>,
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
        if step.keys.is_empty() && step.servers.is_empty() {
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
        servers: servers(link)?,
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
    let Some(server) = step.servers.last() else {
        return Ok(None);
    };
    let mut scan = redis::cmd("SCAN");
    scan.arg(step.scan).arg("MATCH").arg(pattern(prefix));
    scan.arg("COUNT").arg(PAGE).arg("TYPE").arg("string");
    let reply = link.run_at(server, scan)?.map_err(BackendError::Failed)?;
    let (scan, names): (u64, Vec<Vec<u8>>) =
        redis::from_redis_value(reply).map_err(|_| unexpected())?;
    step.scan = scan;
    if scan == 0 {
        step.servers.pop();
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

/// Every server that has keys of its own.
///
/// They are told by their addresses, not by slots of theirs: where the slots move, the link may
/// still believe that two of the slots are one server's, and another server would be left out.
fn servers(link: &mut Link) -> Result<Vec<At>, BackendError> {
    let Some(asked) = link.cluster_host().map(str::to_owned) else {
        return Ok(vec![At::Any]);
    };
    let mut command = redis::cmd("CLUSTER");
    command.arg("SLOTS");
    let reply = link
        .run_at(&At::Any, command)?
        .map_err(BackendError::Failed)?;
    primaries(&reply, &asked).ok_or_else(unexpected)
}

/// The primaries in a reply to `CLUSTER SLOTS`, each once. A server that does not know its own
/// name is called by the name that was `asked`.
fn primaries(reply: &Value, asked: &str) -> Option<Vec<At>> {
    let mut primaries = Vec::new();
    for range in reply.as_sequence()? {
        let [_, _, primary, ..] = range.as_sequence()? else {
            return None;
        };
        let [name, Value::Int(port), ..] = primary.as_sequence()? else {
            return None;
        };
        let name = match name {
            Value::Nil => asked.to_owned(),
            name => match redis::from_redis_value_ref::<String>(name).ok()?.as_str() {
                "" | "0.0.0.0" | "::" => asked.to_owned(),
                name => name.to_owned(),
            },
        };
        let port = u16::try_from(*port).ok()?;
        let primary = At::Node(Host { name, port });
        if !primaries.contains(&primary) {
            primaries.push(primary);
        }
    }
    Some(primaries)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: i64, name: Value, port: i64) -> Value {
        let server = Value::Array(vec![name, Value::Int(port)]);
        Value::Array(vec![Value::Int(first), Value::Int(first + 1), server])
    }

    fn text(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    #[test]
    fn each_primary_is_asked_once_by_the_name_it_goes_by() {
        let reply = Value::Array(vec![
            range(0, text("a"), 1),
            range(2, text("b"), 1),
            range(4, text("a"), 1),
            range(6, text("a"), 2),
            range(8, text(""), 3),
            range(10, Value::Nil, 4),
        ]);
        let node = |name: &str, port| {
            At::Node(Host {
                name: name.to_owned(),
                port,
            })
        };
        let servers = vec![
            node("a", 1),
            node("b", 1),
            node("a", 2),
            node("asked", 3),
            node("asked", 4),
        ];
        assert_eq!(primaries(&reply, "asked"), Some(servers));
        for wrong in [
            Value::Okay,
            Value::Array(vec![text("a")]),
            Value::Array(vec![range(0, text("a"), 65_536)]),
        ] {
            assert_eq!(primaries(&wrong, "asked"), None, "{wrong:?}");
        }
    }
}
