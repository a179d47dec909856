//! What all connections of the dialect share.

use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;

use super::load::Load;
use super::profile::Profile;
use super::scripts::Scripts;
use super::statistics::Statistics;
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
    /// Changes of keys that are not to be told before they are certain, with their databases and
    /// Redis's words for them; `None` where each is told at once.
    pub(super) news: Option<Vec<(u8, &'static str, Vec<u8>)>>,
    /// Where `RANDOMKEY` looks.
    pub(super) random: fastrand::Rng,
    pub(super) scripts: Scripts,
    pub(super) statistics: Statistics,
    /// Connections there were, for `INFO`.
    pub(super) received: u64,
    /// How a backend on a thread of its own does, for `INFO`.
    pub(super) load: Option<Load>,
    clients: BTreeMap<ClientId, Rc<Profile>>,
    /// The address of those that come by the path socket.
    path: Rc<str>,
    /// Whose connections are to be closed.
    killed: Vec<ClientId>,
}

impl Shared {
    /// Nobody is connected yet.
    pub fn new(now: Millis, pid: u32) -> Self {
        Self {
            started: now,
            pid,
            args: Args::default(),
            news: None,
            random: fastrand::Rng::with_seed(now.as_unix()),
            scripts: Scripts::default(),
            statistics: Statistics::default(),
            received: 0,
            load: None,
            clients: BTreeMap::new(),
            path: "unix:0".into(),
            killed: Vec::new(),
        }
    }

    /// Names the path of the socket, by which Redis calls those who come through it.
    #[must_use]
    pub fn at(mut self, path: &Path) -> Self {
        self.path = format!("{}:0", path.display()).into();
        self
    }

    /// This is how a backend on a thread of its own does.
    pub fn tell_load(&mut self, load: Load) {
        self.statistics.tell_plain(load.plain);
        self.load = Some(load);
    }

    /// Somebody is connected.
    pub(super) fn enter(&mut self, hub: &mut Hub, origin: Origin, now: Millis) -> Rc<Profile> {
        self.received += 1;
        let address = match origin {
            Origin::Path => Rc::clone(&self.path),
            Origin::Channel { slot } => format!("worker-{slot}:0").into(),
        };
        let id = hub.enter();
        let profile = Rc::new(Profile::new(hub.mailbox(id), origin, address, now));
        self.clients.insert(id, Rc::clone(&profile));
        profile
    }

    /// Somebody is gone.
    pub(super) fn leave(&mut self, id: ClientId) {
        self.clients.remove(&id);
    }

    /// Has a connection closed, of which nothing is run any more.
    pub(super) fn kill(&mut self, id: ClientId) {
        if let Some(profile) = self.clients.remove(&id) {
            profile.kill();
            self.killed.push(id);
        }
    }

    /// Whose connections are to be closed since this was last asked.
    pub fn take_killed(&mut self) -> impl Iterator<Item = ClientId> + use<'_> {
        self.killed.drain(..)
    }

    pub(super) fn clients(&self) -> impl ExactSizeIterator<Item = &Profile> {
        self.clients.values().map(AsRef::as_ref)
    }

    pub(super) fn client(&self, id: u64) -> Option<&Profile> {
        self.clients.get(&ClientId(id)).map(AsRef::as_ref)
    }
}
