//! What all connections of the dialect share.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::profile::Profile;
use super::scripts::Scripts;
use crate::exec::Origin;
use crate::exec::hub::{ClientId, Hub};
use crate::protocol::resp::Args;
use crate::time::Millis;

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
    pub(super) scripts: Scripts,
    /// Requests that were run, for `INFO`.
    pub(super) served: u64,
    /// Connections there were, for `INFO`.
    pub(super) received: u64,
    clients: BTreeMap<ClientId, Rc<Profile>>,
}

impl Shared {
    /// Nobody is connected yet.
    pub fn new(now: Millis, pid: u32) -> Self {
        Self {
            started: now,
            pid,
            args: Args::default(),
            random: fastrand::Rng::with_seed(now.as_unix()),
            scripts: Scripts::default(),
            served: 0,
            received: 0,
            clients: BTreeMap::new(),
        }
    }

    /// Somebody is connected.
    pub(super) fn enter(&mut self, hub: &mut Hub, origin: Origin, now: Millis) -> Rc<Profile> {
        self.received += 1;
        let id = hub.enter();
        let profile = Rc::new(Profile::new(hub.mailbox(id), origin, now));
        self.clients.insert(id, Rc::clone(&profile));
        profile
    }

    /// Somebody is gone.
    pub(super) fn leave(&mut self, id: ClientId) {
        self.clients.remove(&id);
    }

    pub(super) fn clients(&self) -> impl ExactSizeIterator<Item = &Profile> {
        self.clients.values().map(AsRef::as_ref)
    }

    pub(super) fn client(&self, id: u64) -> Option<&Profile> {
        self.clients.get(&ClientId(id)).map(AsRef::as_ref)
    }
}
