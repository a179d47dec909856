//! Transactions: what is queued between `MULTI` and `EXEC`, and the keys that are watched.
//!
//! Requests are kept as the bytes they came in and parsed again. A watched key is compared, when
//! the transaction is to be done, with what it was when it was watched: the version and the deadline.
//! So a change from wherever counts, and so does expiry. That a key that was not there came and went
//! is known from `watches`.

use std::collections::HashMap;

use super::call::{Call, database};
use super::fault::{Done, Fault};
use super::lookup::lookup;
use super::lost::Lost;
use super::session::bounds;
use crate::backend::Backend;
use crate::config::Limits;
use crate::contract::Seq;
use crate::exec::watches::Watches;
use crate::protocol::resp::{Args, Parser, Progress, Trust};
use crate::time::Millis;

/// The most requests of a transaction.
const MAX_QUEUED: usize = 1 << 16;
/// The most memory that watched keys may take, in bytes.
const MAX_WATCHED: usize = 1 << 20;
/// What a watched key takes besides its bytes, about.
const OVERHEAD: usize = 96;
/// Milliseconds by which readings of one deadline may differ: about what a server may take to answer.
const SLACK: u64 = 1_000;

/// What a key was when it was watched.
#[derive(Debug, Clone, Copy)]
enum Was {
    There(Seq, Option<Millis>),
    /// Not there, after so many changes.
    Absent(u64),
}

/// The transaction of one connection, if it is in one, and what it watches.
#[derive(Debug, Default)]
pub(super) struct Transaction {
    queue: Option<Queue>,
    watched: HashMap<(u8, Box<[u8]>), Was>,
    watched_bytes: usize,
}

#[derive(Debug, Default)]
struct Queue {
    bytes: Vec<u8>,
    count: usize,
    /// A request was refused: nothing will be done.
    is_broken: bool,
}

impl Transaction {
    /// How many requests are queued, in a transaction.
    pub(super) fn queued(&self) -> Option<usize> {
        self.queue.as_ref().map(|queue| queue.count)
    }

    /// Queues a request, in a transaction.
    pub(super) fn push(&mut self, request: &[u8], limits: &Limits) -> Result<(), Fault> {
        let Some(queue) = &mut self.queue else {
            return Ok(());
        };
        if queue.is_broken {
            return Ok(());
        }
        if queue.count == MAX_QUEUED || queue.bytes.len() + request.len() > limits.hard_cap() {
            self.refuse();
            return Err(Fault::of("ERR the transaction is too large"));
        }
        queue.bytes.extend_from_slice(request);
        queue.count += 1;
        Ok(())
    }

    /// A request was refused, so a transaction will not be done.
    pub(super) fn refuse(&mut self) {
        if let Some(queue) = &mut self.queue {
            queue.bytes = Vec::new();
            queue.is_broken = true;
        }
    }

    /// As if all that was lost had been refused.
    pub(super) fn lose(&mut self, watches: &mut Watches, lost: Lost) {
        match lost {
            Lost::Requests => {}
            Lost::Begun => self.queue = Some(Queue::default()),
            Lost::Ended => self.end(watches),
        }
        self.refuse();
    }

    fn unwatch(&mut self, watches: &mut Watches) {
        for ((database, key), was) in std::mem::take(&mut self.watched) {
            if let Was::Absent(_) = was {
                watches.end(database, &key);
            }
        }
        self.watched_bytes = 0;
    }

    /// Nothing is queued and watched any more.
    pub(super) fn end(&mut self, watches: &mut Watches) {
        self.unwatch(watches);
        self.queue = None;
    }

    /// Whether a watched key is no longer what it was.
    fn has_changed(
        &self,
        backend: &mut dyn Backend,
        watches: &Watches,
        now: Millis,
    ) -> Result<bool, Fault> {
        let has_own_clock = backend.is_shared();
        for ((number, key), was) in &self.watched {
            let entry = database(backend, *number).get(now, key)?;
            let is_same = match (was, entry) {
                (Was::There(seq, deadline), Some(entry)) if has_own_clock => {
                    entry.seq == *seq && is_near(entry.deadline, *deadline)
                }
                (Was::There(seq, deadline), Some(entry)) => {
                    (entry.seq, entry.deadline) == (*seq, *deadline)
                }
                (Was::Absent(changes), None) => watches.changes(*number, key) == *changes,
                _ => false,
            };
            if !is_same {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Whether two readings can be of the same deadline where somebody else's clock decides: it is told as
/// the time that is left, which is never the same twice.
fn is_near(one: Option<Millis>, other: Option<Millis>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one.as_unix().abs_diff(other.as_unix()) < SLACK,
        (one, other) => one == other,
    }
}

/// `MULTI`
pub(super) fn multi(call: &mut Call<'_>) -> Done {
    let transaction = &mut call.session.transaction;
    if transaction.queue.is_some() {
        return Err(Fault::of("ERR MULTI calls can not be nested"));
    }
    transaction.queue = Some(Queue::default());
    call.reply.simple("OK");
    Ok(())
}

/// `DISCARD`
pub(super) fn discard(call: &mut Call<'_>) -> Done {
    if call.session.transaction.queue.is_none() {
        return Err(Fault::of("ERR DISCARD without MULTI"));
    }
    call.session.transaction.end(&mut call.hub.watches);
    call.reply.simple("OK");
    Ok(())
}

/// `WATCH key [key …]`
pub(super) fn watch(call: &mut Call<'_>) -> Done {
    if call.session.transaction.queue.is_some() {
        return Err(Fault::of("ERR WATCH inside MULTI is not allowed"));
    }
    let number = call.session.database;
    for key in call.args_from(1) {
        let place = (number, Box::from(key));
        if call.session.transaction.watched.contains_key(&place) {
            continue;
        }
        let transaction = &mut call.session.transaction;
        if transaction.watched_bytes + key.len() + OVERHEAD > MAX_WATCHED {
            return Err(Fault::of("ERR too many watched keys"));
        }
        transaction.watched_bytes += key.len() + OVERHEAD;
        let entry = database(call.backend, number).get(call.now, key)?;
        let was = match entry {
            Some(entry) => Was::There(entry.seq, entry.deadline),
            None => Was::Absent(call.hub.watches.begin(number, key)),
        };
        transaction.watched.insert(place, was);
    }
    call.reply.simple("OK");
    Ok(())
}

/// `UNWATCH`
pub(super) fn unwatch(call: &mut Call<'_>) -> Done {
    let watches = &mut call.hub.watches;
    call.session.transaction.unwatch(watches);
    call.reply.simple("OK");
    Ok(())
}

/// `EXEC`
pub(super) fn exec(call: &mut Call<'_>) -> Done {
    if call.session.transaction.queue.is_none() {
        return Err(Fault::of("ERR EXEC without MULTI"));
    }
    let transaction = &mut call.session.transaction;
    let queue = transaction.queue.take().unwrap_or_default();
    let has_changed = transaction.has_changed(call.backend, &call.hub.watches, call.now);
    transaction.end(&mut call.hub.watches);
    if queue.is_broken {
        return Err(Fault::of(
            "EXECABORT Transaction discarded because of previous errors.",
        ));
    }
    if has_changed? {
        call.reply.null_array();
        return Ok(());
    }
    run(call, &queue)
}

/// Does what is queued. All of it, also where the replies become too many to be sent.
fn run(call: &mut Call<'_>, queue: &Queue) -> Done {
    let start = call.reply.len();
    let mut is_too_large = false;
    let (mut parser, mut args) = (Parser::default(), Args::default());
    let bounds = bounds(call.limits, Trust::Authenticated);
    let mut rest = queue.bytes.as_slice();
    call.reply.array(queue.count);
    while !rest.is_empty() {
        let Ok(Progress::Request(request)) = parser.parse(rest, &mut args, &bounds) else {
            unreachable!("it was parsed before it was queued");
        };
        let found = lookup(&request)?;
        call.with(request).run(found);
        rest = &rest[request.wire_len()..];
        is_too_large |= call.reply.len() - start > call.limits.hard_cap();
        if is_too_large {
            call.reply.truncate(start);
        }
    }
    if is_too_large {
        return Err(Fault::of(
            "ERR the transaction was done, but its replies are too large to be sent",
        ));
    }
    Ok(())
}
