//! What all connections of the dialect share.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::channels::{Channels, Scope};
use super::load::Load;
use super::profile::{Message, Profile};
use super::scripts::Scripts;
use crate::backend::Backend;
use crate::config::{KeyspaceEvents, Limits};
use crate::contract::Gone;
use crate::exec::Origin;
use crate::protocol::resp::Args;
use crate::time::Millis;

/// The number of a connection, as `CLIENT ID` tells it. Never given to another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub u64);

/// What all connections share.
#[derive(Debug)]
pub struct Shared {
    /// When the master began.
    pub(super) started: Millis,
    /// The master's process id.
    pub(super) pid: u32,
    /// Memory for the arguments of the request at hand.
    pub(super) args: Args,
    /// Where `RANDOMKEY` looks.
    pub(super) random: fastrand::Rng,
    /// Which changes of keys are told.
    pub(super) events: KeyspaceEvents,
    pub(super) channels: Channels,
    pub(super) scripts: Scripts,
    /// Requests that were run, for `INFO`.
    pub(super) served: u64,
    /// Connections there were, for `INFO`.
    pub(super) received: u64,
    /// How a backend on a thread of its own does, for `INFO`.
    pub load: Option<Load>,
    last_client: u64,
    clients: BTreeMap<ClientId, Rc<Profile>>,
}

impl Shared {
    /// Nobody is connected yet.
    pub fn new(now: Millis, pid: u32, limits: &Limits, events: KeyspaceEvents) -> Self {
        Self {
            started: now,
            pid,
            args: Args::default(),
            random: fastrand::Rng::with_seed(now.as_unix()),
            events,
            channels: Channels::new(limits.hard_cap()),
            scripts: Scripts::default(),
            served: 0,
            received: 0,
            load: None,
            last_client: 0,
            clients: BTreeMap::new(),
        }
    }

    /// Somebody is connected.
    pub(super) fn enter(&mut self, origin: Origin, now: Millis) -> Rc<Profile> {
        self.last_client += 1;
        self.received += 1;
        let id = ClientId(self.last_client);
        let profile = Rc::new(Profile::new(id, origin, now));
        self.clients.insert(id, Rc::clone(&profile));
        profile
    }

    /// Somebody is gone, with all subscriptions.
    pub(super) fn leave(&mut self, id: ClientId) {
        self.clients.remove(&id);
    }

    pub(super) fn clients(&self) -> impl ExactSizeIterator<Item = &Profile> {
        self.clients.values().map(AsRef::as_ref)
    }

    pub(super) fn client(&self, id: u64) -> Option<&Profile> {
        self.clients.get(&ClientId(id)).map(AsRef::as_ref)
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

    /// What is to be sent, and to whom, since this was last asked; for one connection in order.
    pub fn outbox(&mut self) -> impl Iterator<Item = (ClientId, Vec<Message>)> {
        let outbox = self.channels.outbox();
        outbox.map(|client| (client.id, client.take_mail()))
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
