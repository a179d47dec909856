//! A store that is kept by Redis: one server, Sentinel or Cluster.
//!
//! An entry is a string under its key, with the prefix of the URL before it, and expires as the
//! server has it: what connect-redis and others write and read. There is no room in that for the
//! number of a write, so a version is named by what it holds: the first eight bytes of the SHA-1
//! of the value. A compare-and-set compares on the server, by a script. The same value has the same
//! name again, which for a compare-and-set is as good; the numbers do not grow.
//!
//! Requests are not sent one by one. What a turn of the master will read is asked for at once
//! ([`expect`](Backend::expect)), what it writes is kept until its end and sent at once by
//! [`commit`](Backend::commit), the last write per key. A condition, or something that was not
//! expected, is asked for by itself. Nothing is remembered from one turn to the next, except in
//! the near cache, where one is asked for.

mod cluster;
mod dial;
mod held;
mod link;
mod near;
mod node;
mod slots;
mod walk;
mod writes;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use redis::{Cmd, Value};

use self::held::{Held, entry, version};
use self::link::Link;
use self::near::Near;
use self::node::Repeat;
use self::walk::Walks;
use self::writes::{Write, Writes, left};
use super::{
    Backend, BackendError, Cursor, Deadline, EntryRef, Foreseen, SetOutcome, Sweep, Swept, Visitor,
    Walk,
};
use crate::config;
use crate::contract::{Capabilities, Condition, Seq};
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

/// Keys that are asked for at once.
const MOST_EXPECTED: usize = 4_096;
/// Bytes of values, about, that are asked for at once: of what requests wait for, and of a walk.
const EXPECTED: usize = 64 << 20;
const WALKED: usize = 1 << 20;
/// What a value is taken to have before any was seen.
const VALUE: usize = 16 << 10;
/// Pages that a step of a walk looks at before others have their turn, also where it finds nothing.
const MOST_PAGES: u32 = 16;
/// As many of a step of a sweep, of which every page is large.
const SWEPT_PAGES: u32 = 2;

/// A store kept by Redis.
///
/// Wants Redis 6.2 or newer, or Valkey.
pub struct RedisBackend {
    link: Link,
    prefix: Vec<u8>,
    near: Option<Arc<Near>>,
    /// What this turn knows, by key.
    known: HashMap<Vec<u8>, Option<Held>>,
    writes: Writes,
    walks: Walks,
    /// A write of this turn failed.
    failure: Option<BackendError>,
    /// The keys of the writes that failed, of this turn or the last one in which any did.
    undone: HashSet<Vec<u8>>,
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
            known: HashMap::new(),
            writes: Writes::default(),
            walks: Walks::default(),
            failure: None,
            undone: HashSet::new(),
            value_len: VALUE,
        };
        let failed = |error: BackendError| Error::Backend(error.to_string());
        backend
            .link
            .reach()
            .map_err(|trouble| failed(trouble.into()))?;
        match backend.fetch(Millis::ZERO, &[b""]) {
            // Of a cluster that server may be away that has it, or have something else there.
            Err(error) if !backend.link.is_cluster() => return Err(failed(error)),
            _ => {}
        }
        backend.known.clear();
        Ok(backend)
    }

    /// The name of a key on the servers.
    fn name(&self, key: &[u8]) -> Vec<u8> {
        [&self.prefix, key].concat()
    }

    /// Makes known what the servers have under these keys.
    fn fetch(&mut self, now: Millis, keys: &[&[u8]]) -> Result<(), BackendError> {
        let mut asked = Vec::new();
        for key in keys {
            if self.known.contains_key(*key) {
                continue;
            }
            let name = self.name(key);
            match self.near.as_ref().and_then(|near| near.get(&name)) {
                Some(held) => {
                    self.known.insert(key.to_vec(), Some(held));
                }
                None => asked.push((key.to_vec(), name)),
            }
        }
        if let Some(near) = &self.near {
            near.asking(asked.iter().map(|(_, name)| name.as_slice()));
        }
        let commands = asked
            .iter()
            .flat_map(|(_, name)| [command("GET", name), command("PTTL", name)]);
        let mut replies = self.link.run(commands.collect(), Repeat::Yes).into_iter();
        let (mut failure, mut bytes, mut values) = (None, 0, 0);
        for (key, name) in asked {
            let held = entry(now, replies.next(), replies.next());
            if let Ok(Some(held)) = &held {
                bytes += held.value.len();
                values += 1;
            }
            if let Some(near) = &self.near {
                near.answered(&name, held.as_ref().ok().and_then(Option::as_ref));
            }
            match held {
                Ok(held) => drop(self.known.insert(key, held)),
                Err(error) => failure = Some(error),
            }
        }
        if let Some(mean) = bytes.checked_div(values) {
            self.value_len = usize::midpoint(self.value_len, mean);
        }
        failure.map_or(Ok(()), Err)
    }

    /// How many keys have about so many bytes of values.
    fn at_once(&self, bytes: usize) -> usize {
        (bytes / (self.value_len + 1)).clamp(1, MOST_EXPECTED)
    }

    /// What is known of a key, which is asked for where nothing is.
    fn held(&mut self, now: Millis, key: &[u8]) -> Result<Option<&Held>, BackendError> {
        if !self.known.contains_key(key) {
            self.fetch(now, &[key])?;
        }
        let held = self.known.get(key).and_then(Option::as_ref);
        Ok(held.filter(|held| held.deadline.is_none_or(|deadline| deadline > now)))
    }

    /// Sends what was written so far.
    fn flush(&mut self) {
        let mut keys = Vec::new();
        let mut commands = Vec::new();
        for (key, write) in std::mem::take(&mut self.writes) {
            let name = self.name(&key);
            if let Some(near) = &self.near {
                near.written(&name);
            }
            commands.push(write.command(&name));
            keys.push(key);
        }
        // Done twice they do the same.
        let replies = self.link.run(commands, Repeat::Yes);
        for (key, reply) in keys.into_iter().zip(replies) {
            let Err(trouble) = reply else {
                continue;
            };
            self.known.clear();
            if self.failure.is_none() {
                self.undone.clear();
            }
            self.undone.insert(key);
            self.failure.get_or_insert(trouble.into());
        }
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

    /// Removes entries at once.
    fn remove(&self, keys: &[Vec<u8>]) -> Result<(), BackendError> {
        let names: Vec<Vec<u8>> = keys.iter().map(|key| self.name(key)).collect();
        if let Some(near) = &self.near {
            for name in &names {
                near.written(name);
            }
        }
        let commands = walk::removing(&self.link, &names);
        for reply in self.link.run(commands, Repeat::Yes) {
            reply?;
        }
        Ok(())
    }

    /// Keeps a write for the end of the turn.
    fn write(&mut self, key: &[u8], write: Write, held: Option<Held>) {
        self.writes.add(key, write);
        self.known.insert(key.to_vec(), held);
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
        if self.writes.has(key) {
            self.flush();
        }
        let name = self.name(key);
        self.known.remove(key);
        if let Some(near) = &self.near {
            near.written(&name);
        }
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

    fn expect(&mut self, now: Millis, keys: &Foreseen<'_>) {
        let mut wanted = Vec::new();
        let most = self.at_once(EXPECTED);
        keys(&mut |key| {
            if wanted.len() < most && !self.known.contains_key(key) {
                wanted.push(key.to_vec());
            }
        });
        wanted.sort_unstable();
        wanted.dedup();
        let wanted: Vec<&[u8]> = wanted.iter().map(Vec::as_slice).collect();
        // What failed is asked for again by whoever needs it, and told to them.
        let _ = self.fetch(now, &wanted);
    }

    fn get(&mut self, now: Millis, key: &[u8]) -> Result<Option<EntryRef<'_>>, BackendError> {
        Ok(self.held(now, key)?.map(Held::entry))
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
            Deadline::Keep => self.held(now, key)?.and_then(|held| held.deadline),
        };
        if at.is_some_and(|at| at <= now) {
            self.write(key, Write::Unlink, None);
        } else {
            let write = Write::Set {
                value: value.to_vec(),
                milliseconds: at.map(|at| left(now, at)),
                is_kept: deadline == Deadline::Keep,
            };
            let held = Held {
                value: value.to_vec(),
                deadline: at,
            };
            self.write(key, write, Some(held));
        }
        Ok(SetOutcome::Stored(version(value)))
    }

    fn touch(&mut self, now: Millis, key: &[u8], deadline: Deadline) -> Result<bool, BackendError> {
        let Some(mut held) = self.held(now, key)?.cloned() else {
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
        held.deadline = at;
        let milliseconds = at.map(|at| left(now, at));
        self.write(key, Write::Expire { milliseconds }, Some(held));
        Ok(true)
    }

    fn destroy(&mut self, now: Millis, key: &[u8]) -> Result<bool, BackendError> {
        let is_there = self.held(now, key)?.is_some();
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
                let keys = step.keys.split_off(left);
                let asked: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
                // What failed is asked for again.
                let _ = self.fetch(now, &asked);
                let mut keys = keys.into_iter();
                while let Some(key) = keys.next() {
                    let held = match self.held(now, &key) {
                        Ok(Some(held)) => held,
                        Ok(None) => continue,
                        // Somebody has put something else there since.
                        Err(BackendError::Failed(text)) if text.starts_with("WRONGTYPE") => {
                            continue;
                        }
                        Err(error) => return Err(error),
                    };
                    if visit(&key, held.entry()) == Walk::Pause {
                        step.keys.extend(keys);
                        return Ok(self.walks.pause(step));
                    }
                }
                // A walk over everything must not hold everything.
                self.known.clear();
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
        self.known.clear();
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
        self.flush();
        self.known.clear();
        self.failure.take().map_or(Ok(()), Err)
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
