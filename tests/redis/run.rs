//! Runs a case on both servers and compares every reply.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};

use super::differences;
use super::reply::{Likeness, Reply};
use super::servers::{Client, Protocol, Servers, Talk};
use super::step::{Step, What};
use crate::common::eventually;

/// What one server said to a step.
type Said = (Vec<Reply>, Option<&'static str>);

/// The servers have answered differently.
pub struct Differ {
    /// The step.
    at: usize,
    redis: Said,
    ours: Said,
}

/// Does the steps one by one on both servers.
pub fn run(servers: &Servers, protocol: Protocol, steps: &[Step]) -> Result<(), Box<Differ>> {
    let mut redis = servers.redis.begin(protocol);
    let mut ours = servers.ours.begin(protocol);
    let mut queued = Queued::new();
    for (at, step) in steps.iter().enumerate() {
        let (redis, ours) = match &step.what {
            What::Settle(key) => {
                settle(&mut redis, &mut ours, key);
                continue;
            }
            What::Lapse(key) => {
                for talk in [&mut redis, &mut ours] {
                    talk.control
                        .ask(&[b"PEXPIRE".as_slice(), key.as_slice(), b"1"]);
                }
                settle(&mut redis, &mut ours, key);
                continue;
            }
            What::Scan(args) => {
                let walk = |talk: &mut Talk<'_>| (scan(talk.client(step.connection), args), None);
                (walk(&mut redis), walk(&mut ours))
            }
            What::Command(_) | What::Raw(_) | What::Read => {
                let bytes = step.bytes();
                for talk in [&mut redis, &mut ours] {
                    talk.client(step.connection).send(&bytes);
                }
                let hear = |talk: &mut Talk<'_>| hear(talk.client(step.connection), step.replies);
                (hear(&mut redis), hear(&mut ours))
            }
        };
        if !is_alike(step, &mut queued, &redis, &ours) {
            return Err(Box::new(Differ { at, redis, ours }));
        }
    }
    // What was never asked for would come before the reply to this.
    for number in redis.clients.keys().copied().collect::<Vec<_>>() {
        let end = |talk: &mut Talk<'_>| {
            let client = talk.client(number);
            client.send(b"*1\r\n$4\r\nQUIT\r\n");
            let (replies, end) = client.rest();
            (replies, Some(end))
        };
        let (redis, ours) = (end(&mut redis), end(&mut ours));
        if redis != ours {
            let at = steps.len();
            return Err(Box::new(Differ { at, redis, ours }));
        }
    }
    Ok(())
}

/// Sends all commands on one connection at once, in pieces of so many bytes, and then compares the
/// replies.
pub fn run_pipelined(
    servers: &Servers,
    protocol: Protocol,
    steps: &[Step],
    piece: usize,
) -> Result<(), Box<Differ>> {
    let bytes: Vec<u8> = steps.iter().flat_map(Step::bytes).collect();
    let (mut redis, mut ours) = (servers.redis.begin(protocol), servers.ours.begin(protocol));
    for talk in [&mut redis, &mut ours] {
        for piece in bytes.chunks(piece) {
            talk.client(1).send(piece);
        }
    }
    let mut queued = Queued::new();
    for (at, step) in steps.iter().enumerate() {
        let redis = hear(redis.client(1), step.replies);
        let ours = hear(ours.client(1), step.replies);
        if !is_alike(step, &mut queued, &redis, &ours) {
            return Err(Box::new(Differ { at, redis, ours }));
        }
    }
    Ok(())
}

fn hear(client: &mut Client, replies: usize) -> Said {
    let mut said = Vec::new();
    for _ in 0..replies {
        match client.reply() {
            Ok(reply) => said.push(reply),
            Err(end) => return (said, Some(end)),
        }
    }
    (said, None)
}

/// The commands that wait for `EXEC`, by connection.
type Queued = BTreeMap<u8, Vec<Vec<Vec<u8>>>>;

/// `EXEC` answers for all that is queued, each reply as alike as its command needs.
fn is_alike(
    step: &Step,
    queued: &mut Queued,
    (redis, redis_end): &Said,
    (ours, our_end): &Said,
) -> bool {
    if redis.len() != ours.len() || redis_end != our_end {
        return false;
    }
    let mut pairs = redis.iter().zip(ours);
    let args = match &step.what {
        What::Command(args) => args,
        What::Scan(_) => return pairs.all(|(redis, ours)| Likeness::AnyOrder.holds(redis, ours)),
        _ => return redis == ours,
    };
    let queued = queued.entry(step.connection).or_default();
    if matches!(redis.as_slice(), [Reply::Line(line)] if line == b"+QUEUED") {
        queued.push(args.clone());
        return redis == ours;
    }
    let name = args[0].to_ascii_uppercase();
    let done = match name.as_slice() {
        b"EXEC" | b"DISCARD" | b"RESET" => std::mem::take(queued),
        _ => Vec::new(),
    };
    match (redis.as_slice(), ours.as_slice()) {
        ([Reply::Many(_, redis)], [Reply::Many(_, ours)]) if name == b"EXEC" => {
            let each = done.iter().zip(redis.iter().zip(ours));
            let all = redis.len() == ours.len() && redis.len() == done.len();
            all && each.into_iter().all(|(args, pair)| answers(args, pair))
        }
        _ => pairs.all(|pair| answers(args, pair)),
    }
}

/// Whether two replies to a command are as alike as it needs.
fn answers(args: &[Vec<u8>], (redis, ours): (&Reply, &Reply)) -> bool {
    Likeness::of(args).holds(redis, ours) || differences::explain(args, redis, ours)
}

/// Waits for a key to be gone if it is about to expire.
fn settle<'t>(redis: &mut Talk<'t>, ours: &mut Talk<'t>, key: &[u8]) {
    for talk in [redis, ours] {
        eventually("a key expires", || {
            let left = talk.control.ask(&[b"PTTL".as_slice(), key]).integer();
            let is_close = left.is_some_and(|left| (0..1_000).contains(&left));
            (!is_close).then_some(())
        });
    }
}

/// What a whole SCAN finds, each key once.
fn scan(client: &mut Client, args: &[Vec<u8>]) -> Vec<Reply> {
    let (mut cursor, mut found) = (b"0".to_vec(), BTreeSet::new());
    loop {
        let mut command = vec![b"SCAN".to_vec(), std::mem::take(&mut cursor)];
        command.extend_from_slice(args);
        match client.ask(&command) {
            Reply::Many(b'*', page) => match page.as_slice() {
                [Reply::Bulk(b'$', next), Reply::Many(b'*', keys)] => {
                    found.extend(keys.iter().cloned());
                    cursor.clone_from(next);
                }
                other => panic!("not the reply of SCAN: {other:?}"),
            },
            error => return vec![error],
        }
        if cursor == b"0" {
            return vec![Reply::Many(b'*', found.into_iter().collect())];
        }
    }
}

/// The shortest part of `steps`, as far as leaving out finds it, that still fails.
pub fn minimal(
    mut steps: Vec<Step>,
    mut fails: impl FnMut(&[Step]) -> Option<Box<Differ>>,
) -> Option<(Vec<Step>, Box<Differ>)> {
    let mut differ = fails(&steps)?;
    steps.truncate(differ.at + 1);
    let mut chunk = steps.len().div_ceil(2);
    while chunk > 0 {
        let mut start = 0;
        while start < steps.len() {
            let mut fewer = steps.clone();
            fewer.drain(start..(start + chunk).min(steps.len()));
            match fails(&fewer) {
                Some(found) => (steps, differ) = (fewer, found),
                None => start += chunk,
            }
        }
        chunk /= 2;
    }
    Some((steps, differ))
}

impl Differ {
    /// The steps up to the difference, and what both said.
    pub fn tell(&self, steps: &[Step]) -> String {
        let mut text = String::new();
        for step in steps.iter().take(self.at + 1) {
            let _ = writeln!(text, "    {step}");
        }
        let _ = write!(text, "{self}");
        text
    }
}

impl fmt::Display for Differ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (who, (replies, end)) in [("redis", &self.redis), ("ours ", &self.ours)] {
            let end = end.unwrap_or_default();
            writeln!(f, "  {who}: {replies:?} {end}")?;
        }
        Ok(())
    }
}
