//! A store that is kept by Redis: one server, Sentinel or Cluster.
//!
//! An entry is a string under its key, with the prefix of the URL before it, and expires as the
//! server has it: what connect-redis and others write and read. There is no room in that for the
//! number of a write, so a version is named by what it holds: the first eight bytes of the SHA-1
//! of the value. A compare-and-set compares on the server, by a script. The same value has the same
//! name again, which for a compare-and-set is as good; the numbers do not grow.
//!
//! Requests are not sent one by one. What many will read is asked for at once and ahead, and what
//! they write is sent at once, the last write per key; meanwhile others are run: see
//! [`Pipelined`]. What a master can ask a single server as it is goes past all this: see
//! [`FastPath`]. A condition, or something that was not foreseen, is asked for by
//! itself. Nothing is remembered from one turn to the next, except in the near cache, where one is
//! asked for.

mod cluster;
mod dial;
mod fast;
mod flight;
mod held;
mod link;
mod near;
mod node;
mod questions;
mod sending;
mod slots;
mod walk;
mod writes;

use std::borrow::Cow;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use redis::{Cmd, Value};

use self::held::{Held, Term, version};
use self::link::Link;
use self::near::Near;
use self::node::Repeat;
use self::questions::Question;
use self::sending::{Failures, Sent};
use self::walk::Walks;
use self::writes::{Write, Writes, left};
use super::{
    Backend, BackendError, Cursor, Deadline, EntryRef, FastPath, Look, Looked, Pipelined,
    SetOutcome, Sweep, Swept, Visitor, Walk,
};
use crate::config;
use crate::contract::{Capabilities, Condition, Kind, Seq};
use crate::error::Error;
use crate::time::Millis;

/// Writes under a condition. `KEYS`: the key. `ARGV`: `absent`, `present` or a version in
/// hexadecimal digits; what [`writes::milliseconds`] gives; the value. What a command in it refuses
/// is returned as that command says it.
const SET_IF: &str = "
local found = redis.pcall('GET', KEYS[1])
if type(found) == 'table' then return found end
local version = found and string.sub(redis.sha1hex(found), 1, 16)
if ARGV[1] == 'absent' then
    if found then return {0, version} end
elseif not found then
    return {0}
elseif ARGV[1] ~= 'present' and ARGV[1] ~= version then
    return {0, version}
end
local done
if ARGV[2] == 'gone' then
    done = redis.pcall('UNLINK', KEYS[1])
elseif ARGV[2] == 'never' then
    done = redis.pcall('SET', KEYS[1], ARGV[3])
elseif ARGV[2] == 'keep' then
    done = redis.pcall('SET', KEYS[1], ARGV[3], 'KEEPTTL')
else
    done = redis.pcall('SET', KEYS[1], ARGV[3], 'PX', ARGV[2])
end
if type(done) == 'table' and done.err then return done end
return {1}
";

/// Bytes of values, about, that a step of a walk asks for at once.
const WALKED: usize = 1 << 20;
/// What a value is taken to have before any was seen.
const VALUE: usize = 16 << 10;
/// Pages that a step of a walk looks at before others have their turn, also where it finds nothing.
const MOST_PAGES: u32 = 16;
/// As many of a step of a sweep, of which every page is large.
const SWEPT_PAGES: u32 = 2;

/// Entries by their keys, and keys that have none.
type Known = HashMap<Vec<u8>, Option<Held>>;

/// A store kept by Redis.
///
/// Wants Redis 6.2 or newer, or Valkey.
pub struct RedisBackend {
    link: Link,
    prefix: Vec<u8>,
    near: Option<Arc<Near>>,
    /// What was asked for ahead, in this order.
    questions: VecDeque<Question>,
    /// What servers say to what the requests at hand look at, by key.
    found: Known,
    /// What is to be sent, and what that makes of its keys.
    writes: Writes,
    written: Known,
    /// What of it failed that could not wait for its turn.
    failures: Failures,
    /// What was sent, and is not told of yet.
    sent: Option<Sent>,
    /// The keys of the writes that failed, the last time that any did.
    undone: HashSet<Vec<u8>>,
    /// The last ticket.
    tickets: u64,
    walks: Walks,
    /// Bytes of a value, as the last ones were.
    value_len: usize,
}

impl std::fmt::Debug for RedisBackend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisBackend").finish_non_exhaustive()
    }
}

impl RedisBackend {
    /// Connects to the servers.
    ///
    /// # Errors
    /// [`Error::Config`] where what is asked for cannot be, [`Error::Backend`] where the servers are
    /// not there or do not let us in.
    pub fn open(redis: &config::Redis) -> Result<Self, Error> {
        let invalid = |why: config::Invalid| Error::Config(format!("the store {redis} {why}"));
        redis.check().map_err(invalid)?;
        let near = redis
            .near
            .map(|size| Arc::new(Near::new(&redis.prefix, size)));
        let link = Link::new(redis, near.clone())
            .map_err(|why| Error::Config(format!("the store {redis}: {why}")))?;
        let mut backend = Self {
            link,
            prefix: redis.prefix.clone().into_bytes(),
            near,
            questions: VecDeque::new(),
            found: Known::new(),
            writes: Writes::default(),
            written: Known::new(),
            failures: Failures::default(),
            sent: None,
            undone: HashSet::new(),
            tickets: 0,
            walks: Walks::default(),
            value_len: VALUE,
        };
        let failed = |error: BackendError| Error::Backend(error.to_string());
        backend
            .link
            .reach()
            .map_err(|trouble| failed(trouble.into()))?;
        // Of a cluster that server may be away that has it, or have something else there.
        let is_one = !backend.link.is_cluster();
        if let (Err(error), true) = (backend.held(Millis::ZERO, b"", Look::Entry), is_one) {
            return Err(failed(error));
        }
        backend.found.clear();
        Ok(backend)
    }

    /// The name of a key on the servers.
    fn name(&self, key: &[u8]) -> Vec<u8> {
        [&self.prefix, key].concat()
    }

    fn sweep_all(&mut self, now: Millis, what: Sweep) -> Result<u64, BackendError> {
        let mut at = Cursor::default();
        loop {
            match self.sweep(now, what, at)? {
                Swept::On(next) => at = next,
                Swept::All(count) => return Ok(count),
            }
        }
    }

    /// Writes where the servers find that the condition holds.
    fn set_if(
        &mut self,
        now: Millis,
        key: &[u8],
        value: &[u8],
        deadline: Deadline,
        condition: Condition,
    ) -> Result<SetOutcome, BackendError> {
        if self.is_written(key) {
            self.flush();
        }
        self.forget(key);
        let name = self.name(key);
        let condition = match condition {
            Condition::IfAbsent => "absent".to_owned(),
            Condition::IfSeq(Seq(version)) => format!("{version:016x}"),
            Condition::IfPresent | Condition::Always => "present".to_owned(),
        };
        let mut script = redis::cmd("EVAL");
        script.arg(SET_IF).arg(1).arg(name).arg(condition);
        script.arg(writes::milliseconds(now, deadline)).arg(value);
        match self.link.run(vec![script], Repeat::No).swap_remove(0)? {
            Value::Array(items) => match items.as_slice() {
                [Value::Int(1)] => Ok(SetOutcome::Stored(version(value))),
                [Value::Int(0)] => Ok(SetOutcome::Conflict(None)),
                [Value::Int(0), Value::BulkString(digits)] => {
                    let digits = std::str::from_utf8(digits).ok();
                    let found = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
                    Ok(SetOutcome::Conflict(found.map(Seq)))
                }
                _ => Err(unexpected()),
            },
            _ => Err(unexpected()),
        }
    }
}

impl Backend for RedisBackend {
    fn capabilities(&self) -> Capabilities {
        Capabilities::ALL
            .with(Capabilities::LENGTH)
            .with(Capabilities::CLEAR)
            .with(Capabilities::COMPARE_AND_SET)
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn blocks(&self) -> bool {
        true
    }

    fn pipelined(&mut self) -> Option<&mut dyn Pipelined> {
        Some(self)
    }

    fn fast_path(&self) -> Option<Arc<dyn FastPath>> {
        let fast = self.link.fast()?;
        Some(Arc::clone(fast) as Arc<dyn FastPath>)
    }

    fn get(&mut self, now: Millis, key: &[u8]) -> Result<Option<EntryRef<'_>>, BackendError> {
        Ok(self.held(now, key, Look::Entry)?.map(Held::entry))
    }

    fn value(&mut self, now: Millis, key: &[u8]) -> Result<Option<Looked<'_>>, BackendError> {
        let held = self.held(now, key, Look::Value)?;
        Ok(held.map(|held| (Kind::Bytes, Cow::Borrowed(held.bytes()))))
    }

    fn set(
        &mut self,
        now: Millis,
        key: &[u8],
        value: &[u8],
        deadline: Deadline,
        condition: Condition,
    ) -> Result<SetOutcome, BackendError> {
        if condition != Condition::Always {
            return self.set_if(now, key, value, deadline, condition);
        }
        if let Some(trouble) = self.link.away(&self.name(key)) {
            // Kept for the end of the turn, it would fail for everybody who wrote in it.
            return Err(trouble.into());
        }
        let at = match deadline {
            Deadline::Never => None,
            Deadline::At(at) => Some(at),
            Deadline::Keep => {
                let held = self.held(now, key, Look::Deadline)?;
                held.and_then(Held::deadline)
            }
        };
        if at.is_some_and(|at| at <= now) {
            self.write(key, Write::Unlink, None);
        } else {
            let write = Write::Set {
                milliseconds: at.map(|at| left(now, at)),
                is_kept: deadline == Deadline::Keep,
            };
            let held = Held::new(value.to_vec(), at);
            self.write(key, write, Some(held));
        }
        Ok(SetOutcome::Stored(version(value)))
    }

    fn touch(&mut self, now: Millis, key: &[u8], deadline: Deadline) -> Result<bool, BackendError> {
        let Some(mut held) = self.held(now, key, Look::Deadline)?.cloned() else {
            return Ok(false);
        };
        let at = match deadline {
            Deadline::Never => None,
            Deadline::At(at) if at <= now => {
                self.write(key, Write::Unlink, None);
                return Ok(true);
            }
            Deadline::At(at) => Some(at),
            Deadline::Keep => return Ok(true),
        };
        held.term = at.map_or(Term::Never, Term::At);
        let milliseconds = at.map(|at| left(now, at));
        self.write(key, Write::Expire { milliseconds }, Some(held));
        Ok(true)
    }

    fn destroy(&mut self, now: Millis, key: &[u8]) -> Result<bool, BackendError> {
        let is_there = self.held(now, key, Look::Deadline)?.is_some();
        if is_there {
            self.write(key, Write::Unlink, None);
        }
        Ok(is_there)
    }

    fn all(
        &mut self,
        now: Millis,
        cursor: Cursor,
        visit: &mut Visitor<'_>,
    ) -> Result<Option<Cursor>, BackendError> {
        self.flush();
        let began = Instant::now();
        let mut step = self.walks.resume(cursor, &self.link, &self.prefix)?;
        for _ in 0..MOST_PAGES {
            while !step.keys.is_empty() {
                // What is left of an entry's time counts from when the servers tell it.
                let now = now.after(began.elapsed());
                let left = step.keys.len().saturating_sub(self.at_once(WALKED));
                let keys = step.keys.split_off(left).into_iter();
                let keys = keys.map(|key| (key, Look::Entry));
                let question = self.question(now, keys.collect());
                let mut answers = self.answers(question).into_iter();
                while let Some((key, held)) = answers.next() {
                    let held = match held {
                        Ok(Some(held)) => held,
                        Ok(None) => continue,
                        // Somebody has put something else there since.
                        Err(BackendError::Failed(text)) if text.starts_with("WRONGTYPE") => {
                            continue;
                        }
                        Err(error) => return Err(error),
                    };
                    if visit(&key, held.entry()) == Walk::Pause {
                        step.keys.extend(answers.map(|(key, _)| key));
                        return Ok(self.walks.pause(step));
                    }
                }
            }
            match walk::next(step, &self.link, &self.prefix)? {
                Some(next) => step = next,
                None => return Ok(None),
            }
        }
        Ok(self.walks.pause(step))
    }

    fn length(&mut self, now: Millis) -> Result<u64, BackendError> {
        self.sweep_all(now, Sweep::Count)
    }

    fn clear(&mut self, now: Millis) -> Result<(), BackendError> {
        self.sweep_all(now, Sweep::Clear).map(|_| ())
    }

    fn sweep(&mut self, _now: Millis, what: Sweep, at: Cursor) -> Result<Swept, BackendError> {
        self.flush();
        let mut swept = self.walks.swept(at, &self.link, &self.prefix)?;
        for _ in 0..SWEPT_PAGES {
            let keys = std::mem::take(&mut swept.step.keys);
            match what {
                Sweep::Count => swept.names.add(&keys),
                Sweep::Clear => self.remove(&keys)?,
            }
            match walk::next(swept.step, &self.link, &self.prefix)? {
                Some(next) => swept.step = next,
                None => return Ok(Swept::All(swept.names.count())),
            }
        }
        Ok(Swept::On(self.walks.pause_sweep(swept)))
    }

    fn commit(&mut self) -> Result<(), BackendError> {
        let told = match &self.sent {
            Some(sent) => self.told(sent.ticket),
            None => Ok(()),
        };
        self.flush();
        self.found.clear();
        told.and(self.failures.take(&mut self.undone))
    }

    fn is_done(&self, key: &[u8]) -> bool {
        !self.undone.contains(key)
    }
}

fn command(name: &str, key: &[u8]) -> Cmd {
    let mut command = redis::cmd(name);
    command.arg(key);
    command
}

fn unexpected() -> BackendError {
    BackendError::Failed("the server's reply is not what the command gives".into())
}
