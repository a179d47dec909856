//! Where messages meet their subscribers, whatever dialect they speak, and what is told of changes of
//! keys.
//!
//! There is one for a store. The master's loop holds its lock in each of its turns, beside that of the
//! backend, which is taken first; handles in the same process take it for one operation.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use super::channels::{Channels, Scope};
use super::mailbox::{Form, Mailbox, Message, Room, Wait};
use super::watches::Watches;
use crate::backend::Backend;
use crate::config::{KeyspaceEvents, Limits};
use crate::contract::Gone;
use crate::time::Millis;

/// The number of a connection, as `CLIENT ID` tells it. Never given to another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub u64);

/// A hub that the master's loop and handles share.
#[derive(Debug, Clone)]
pub(crate) struct SharedHub(Arc<Mutex<Hub>>);

/// What all who publish or subscribe share.
pub struct Hub {
    pub(super) channels: Channels,
    pub(super) watches: Watches,
    /// Which changes of keys are told.
    pub(super) events: KeyspaceEvents,
    /// The last number that was given to anybody.
    last: u64,
    /// Requests for messages that wait, by when that ends.
    waits: BTreeMap<(Millis, u64), Arc<Mailbox>>,
    /// Has the loop look what is to be sent.
    wake: Option<Box<dyn Fn() + Send>>,
    /// The most that may wait for one connection, in bytes.
    most: usize,
}

impl SharedHub {
    pub(crate) fn new(hub: Hub) -> Self {
        Self(Arc::new(Mutex::new(hub)))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Hub> {
        // A backend that panics while it is asked what has gone leaves the hub whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same, unless somebody has it: whoever runs requests, perhaps in a backend that is stuck.
    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, Hub>> {
        match self.0.try_lock() {
            Ok(hub) => Some(hub),
            Err(TryLockError::Poisoned(hub)) => Some(hub.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

impl Hub {
    /// Nobody is there yet.
    pub fn new(limits: &Limits, events: KeyspaceEvents) -> Self {
        Self {
            channels: Channels::new(limits.max_key + limits.max_value),
            watches: Watches::default(),
            events,
            last: 0,
            waits: BTreeMap::new(),
            wake: None,
            most: limits.hard_cap(),
        }
    }

    /// From now on `wake` is called when there is something to be sent and the loop may not know it.
    pub(crate) fn wake_with(&mut self, wake: impl Fn() + Send + 'static) {
        self.wake = Some(Box::new(wake));
    }

    /// The number of a connection that is new.
    pub fn enter(&mut self) -> ClientId {
        ClientId(self.next_number())
    }

    pub(super) fn next_number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// What waits for a connection of the Redis dialect.
    pub(super) fn mailbox(&mut self, owner: ClientId) -> Arc<Mailbox> {
        Mailbox::new(owner.0, owner, Form::Resp2, self.room())
    }

    /// Room for what waits for one connection.
    pub(super) fn room(&self) -> Arc<Room> {
        Room::new(self.most)
    }

    /// Posts a message to all who are subscribed to the channel: how many subscriptions that are.
    pub fn publish(&mut self, channel: &[u8], message: &[u8]) -> usize {
        self.channels.publish(Scope::Channel, channel, message)
    }

    /// Whether anybody is subscribed to this channel by its name.
    pub(crate) fn has_subscribers(&self, channel: &[u8]) -> bool {
        self.channels.count(Scope::Channel, channel) > 0
    }

    /// Has the loop send what is to be sent; to be called by whoever is not the loop.
    pub(crate) fn wake(&self) {
        if let (Some(wake), true) = (&self.wake, self.channels.has_outgoing()) {
            wake();
        }
    }

    /// Has a request wait for a message.
    pub(super) fn begin_wait(&mut self, mailbox: &Arc<Mailbox>, wait: Wait) {
        mailbox.begin_wait(wait);
        let place = (wait.until, mailbox.number);
        self.waits.insert(place, Arc::clone(mailbox));
    }

    /// Ends the wait of a request, if there is one, which is the caller's to answer.
    pub(super) fn end_wait(&mut self, mailbox: &Mailbox) -> Option<Wait> {
        let wait = mailbox.end_wait()?;
        self.waits.remove(&(wait.until, mailbox.number));
        Some(wait)
    }

    /// When the next wait ends, if nothing comes before.
    pub fn next_deadline(&self) -> Option<Millis> {
        self.waits.first_key_value().map(|((until, _), _)| *until)
    }

    /// What is to be sent, and to whom, since this was last asked; for one connection in order.
    pub(crate) fn outbox(&mut self, now: Millis) -> Vec<(ClientId, Vec<Message>)> {
        while let Some(first) = self.waits.first_entry() {
            if first.key().0 > now {
                break;
            }
            self.channels.list(first.remove());
        }
        let mut outbox = Vec::new();
        for mailbox in self.channels.take_outgoing() {
            let (messages, ended) = mailbox.outgoing();
            if let Some(wait) = ended {
                self.waits.remove(&(wait.until, mailbox.number));
            }
            if !messages.is_empty() {
                outbox.push((mailbox.owner, messages));
            }
        }
        outbox
    }

    /// Tells of a change of a key, in Redis's word for it, whoever made it and in which dialect;
    /// before that of what went by itself.
    pub fn changed(
        &mut self,
        backend: &mut dyn Backend,
        database: u8,
        event: &'static str,
        key: &[u8],
    ) {
        self.watches.changed(database, key);
        if self.tells() {
            self.tell_gone(backend);
            self.tell(database, event, key);
        }
    }

    /// Tells which entries went by themselves.
    pub fn tell_gone(&mut self, backend: &mut dyn Backend) {
        if !self.tells() || !(self.events.has('x') || self.events.has('e')) {
            return backend.gone(None);
        }
        backend.gone(Some(&mut |database, gone, key| match gone {
            Gone::Expired => self.tell(database, "expired", key),
            Gone::Evicted => self.tell(database, "evicted", key),
        }));
    }

    /// Whether nobody has to hear of changes, whoever makes them.
    pub(crate) fn is_indifferent(&self) -> bool {
        self.events.is_empty() && self.watches.is_empty()
    }

    /// Whether anything could be told to anybody.
    fn tells(&self) -> bool {
        !self.events.is_empty() && !self.channels.is_empty()
    }

    fn tell(&mut self, database: u8, event: &'static str, key: &[u8]) {
        if !self.events.has(class_of(event)) {
            return;
        }
        for (letter, space, of, says) in [
            ('K', "keyspace", key, event.as_bytes()),
            ('E', "keyevent", event.as_bytes(), key),
        ] {
            if self.events.has(letter) {
                let mut channel = format!("__{space}@{database}__:").into_bytes();
                channel.extend_from_slice(of);
                self.channels.publish(Scope::Channel, &channel, says);
            }
        }
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub")
            .field("channels", &self.channels)
            .field("events", &self.events)
            .finish_non_exhaustive()
    }
}

/// The letter of `notify-keyspace-events` that an event belongs to.
fn class_of(event: &str) -> char {
    match event {
        "expired" => 'x',
        "evicted" => 'e',
        "set" | "setrange" | "append" | "incrby" | "incrbyfloat" => '$',
        "hset" | "hdel" | "hincrby" | "hincrbyfloat" => 'h',
        _ => 'g',
    }
}
