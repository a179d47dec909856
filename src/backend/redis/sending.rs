//! What is written: kept until it is sent, sent at once, and told of when that is done.
//!
//! There is one flight of writes at a time: of two, nobody knows which is done first where a
//! connection is lost and both are sent again. Whoever looks at a key that is written finds what
//! that makes of it, until the servers have it.

use std::collections::HashSet;

use super::flight::Flight;
use super::held::Held;
use super::node::{Repeat, Trouble};
use super::writes::Write;
use super::{Known, RedisBackend, walk};
use crate::backend::{BackendError, Ticket};

/// Writes that were sent.
pub(super) struct Sent {
    pub(super) ticket: Ticket,
    /// What they make of their keys.
    pub(super) written: Known,
    /// In their order; `None` once all is said to them.
    flight: Option<(Vec<Vec<u8>>, Flight)>,
    failures: Failures,
}

/// Writes that failed, and why the first of them did.
#[derive(Debug, Default)]
pub(super) struct Failures {
    why: Option<BackendError>,
    keys: HashSet<Vec<u8>>,
}

impl Sent {
    pub(super) fn has_landed(&self) -> bool {
        let flight = self.flight.as_ref();
        flight.is_none_or(|(_, flight)| flight.has_landed())
    }

    /// Waits until all is said to them.
    fn land(&mut self) {
        if let Some((keys, flight)) = self.flight.take() {
            self.failures.note(keys, flight);
        }
    }
}

impl Failures {
    /// Waits for what is said to writes of these keys.
    fn note(&mut self, keys: Vec<Vec<u8>>, flight: Flight) {
        for (key, reply) in keys.into_iter().zip(flight.replies()) {
            if let Err(trouble) = reply {
                self.keys.insert(key);
                self.why.get_or_insert(match trouble {
                    // Of what was read it need not be said.
                    Trouble::Gone(why) => Trouble::Lost(why).into(),
                    trouble => trouble.into(),
                });
            }
        }
    }

    /// What is to be told, if anything is; and whose writes are not done.
    pub(super) fn take(&mut self, undone: &mut HashSet<Vec<u8>>) -> Result<(), BackendError> {
        let Self { why, keys } = std::mem::take(self);
        match why {
            Some(why) => {
                *undone = keys;
                Err(why)
            }
            None => Ok(()),
        }
    }
}

impl RedisBackend {
    /// Keeps a write to be sent.
    pub(super) fn write(&mut self, key: &[u8], write: Write, held: Option<Held>) {
        self.forget(key);
        self.writes.add(key, write);
        self.written.insert(key.to_vec(), held);
    }

    /// Whether there is a write of this key that may not be done yet.
    pub(super) fn is_written(&self, key: &[u8]) -> bool {
        let is_sent = |sent: &Sent| sent.written.contains_key(key);
        self.writes.has(key) || self.sent.as_ref().is_some_and(is_sent)
    }

    /// Has everything done that was written so far.
    pub(super) fn flush(&mut self) {
        if let Some(sent) = &mut self.sent {
            sent.land();
            sent.written.clear();
        }
        let (keys, flight) = self.send();
        self.failures.note(keys, flight);
        self.written.clear();
    }

    /// Sends what there is to be sent.
    fn send(&mut self) -> (Vec<Vec<u8>>, Flight) {
        let (mut keys, mut commands) = (Vec::new(), Vec::new());
        for (key, write) in std::mem::take(&mut self.writes) {
            let held = self.written.get(&key).and_then(Option::as_ref);
            let value = held.map(Held::bytes).unwrap_or_default();
            commands.push(write.command(&self.name(&key), value));
            keys.push(key);
        }
        // Done twice they do the same.
        (keys, self.link.send(commands, Repeat::Yes))
    }

    pub(super) fn send_on_ticket(&mut self) -> Ticket {
        debug_assert!(self.sent.is_none(), "one flight at a time");
        let ticket = self.ticket();
        self.sent = Some(Sent {
            ticket,
            flight: Some(self.send()),
            written: std::mem::take(&mut self.written),
            failures: std::mem::take(&mut self.failures),
        });
        ticket
    }

    /// What came of what was sent; waits for that.
    pub(super) fn told(&mut self, ticket: Ticket) -> Result<(), BackendError> {
        let Some(mut sent) = self.sent.take_if(|sent| sent.ticket == ticket) else {
            return Ok(());
        };
        sent.land();
        let told = sent.failures.take(&mut self.undone);
        if told.is_err() {
            // What was made of what is not there is not written either.
            for key in &self.undone {
                self.writes.remove(key);
                self.written.remove(key);
            }
        }
        told
    }

    /// Removes entries at once.
    pub(super) fn remove(&mut self, keys: &[Vec<u8>]) -> Result<(), BackendError> {
        let mut names = Vec::new();
        for key in keys {
            self.forget(key);
            names.push(self.name(key));
        }
        let commands = walk::removing(&self.link, &names);
        for reply in self.link.run(commands, Repeat::Yes) {
            reply?;
        }
        Ok(())
    }
}
