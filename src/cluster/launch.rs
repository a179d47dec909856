//! What it takes to be a supervising master: shared by `Cluster::run` and the command line.

use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::dumps::LastDump;
use super::inherited::Listener as StdListener;
use super::link::{Keeper, Link, Local};
use super::links::Links;
use super::options::{Options, Plan, Role};
use super::store::Store;
use crate::config::{BindAddress, NodePreload, Supervision};
use crate::error::{Error, Result};
use crate::master::{Command, Master, Preload, Setup, Signals, Workers};
use crate::net::{Mastership, PathSocket};
use crate::supervisor::action::ExitReason;
use crate::supervisor::cpus;
use crate::supervisor::listeners::{DEFAULT_BACKLOG, ListenError, Listener};
use crate::supervisor::policy::SupervisorConfig;
use crate::supervisor::spawn::EnvChange;
use crate::time::{Clock, SystemClock};

/// How long an address that is taken is waited for. The workers of a master that was killed keep
/// theirs until they have ended too, which is a moment after their master's lock is free.
const ADDRESS_PATIENCE: Duration = Duration::from_secs(2);
const ADDRESS_PAUSE: Duration = Duration::from_millis(20);

/// A master that is to be, with what it is to supervise.
pub(crate) struct Launch {
    pub(crate) options: Options,
    /// The path of the socket; `None`: only workers reach the store.
    pub(crate) sock: Option<PathBuf>,
    /// How many workers; `None`: one per core.
    pub(crate) workers: Option<u16>,
    pub(crate) addresses: Vec<BindAddress>,
    pub(crate) supervision: Supervision,
    pub(crate) program: OsString,
    pub(crate) args: Vec<OsString>,
    /// Changes to the environment that workers get from this process.
    pub(crate) env: Vec<EnvChange>,
    /// Whether Node programs among the workers are made to use the listeners.
    pub(crate) node_preload: NodePreload,
}

impl Launch {
    /// Runs the master on this thread until it is at its end.
    pub(crate) fn supervise(
        self,
        prepare: Option<impl FnOnce(&Store) -> Result<()>>,
    ) -> Result<ExitReason> {
        let slots = self.slots()?;
        // Before anything is opened: a second master must not disturb the first.
        let mastership = self.sock.as_deref().map(Mastership::acquire).transpose()?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let backend = self.options.open_backend(Role::Master, clock.as_ref())?;
        let listeners = open_listeners(&self.addresses)?;
        let bind = |mastership| PathSocket::bind(mastership, &self.options.allow_uids);
        let last = LastDump::of(&self.options, &backend, &clock);
        let socket = mastership.as_ref().map(bind).transpose()?;
        let config = SupervisorConfig {
            slots,
            rules: self.supervision,
        };
        let setup = Setup {
            backend: Arc::clone(&backend),
            clock: Arc::clone(&clock),
            limits: self.options.limits.clone(),
            keyspace_events: self.options.keyspace_events,
            secret: self.options.secret.clone(),
            allow_uids: self.options.allow_uids.clone(),
            socket,
            workers: Some(Workers {
                command: Command {
                    node: node_preload(self.node_preload, &listeners),
                    program: self.program,
                    args: self.args,
                    env: self.env,
                    sock: self.sock,
                    listeners: named(listeners),
                },
                config,
            }),
            signals: Signals::Ours,
        };
        let master = Master::new(setup).map_err(Error::io("start the master's loop"))?;
        if let Some(prepare) = prepare {
            let limits = &self.options.limits;
            let local = Local::new(backend, clock, limits, Keeper::Process);
            let link = Link::Local(local.served_by(&master.controller()));
            let timeout = self.options.timeout;
            let links = Links::new(self.options, Plan::Serve, link);
            prepare(&Store::new(Arc::new(links), timeout))?;
        }
        let ended = master.run();
        // Still under the mastership: whoever comes next must not load what was there before.
        let dumped = last.map_or(Ok(()), |last| last.write_after(&ended));
        let reason = ended.map_err(Error::io("go on with the master's loop"))?;
        dumped.map(|()| reason)
    }

    fn slots(&self) -> Result<u16> {
        match self.workers {
            Some(0) => Err(Error::Config(
                "a cluster needs at least one worker; leave the number out for one per core"
                    .to_owned(),
            )),
            Some(workers) => {
                tracing::info!(workers, reason = "as asked", "workers");
                Ok(workers)
            }
            None => {
                let cpus = cpus::available();
                tracing::info!(workers = cpus.count, reason = %cpus, "workers");
                Ok(u16::try_from(cpus.count).unwrap_or(u16::MAX))
            }
        }
    }
}

/// Opens all listeners, or none: those that were opened go when one fails.
pub(crate) fn open_listeners(addresses: &[BindAddress]) -> Result<Vec<Listener>> {
    if let Some(address) = BindAddress::repeated(addresses) {
        let words = format!("cannot listen on {address} twice; leave one of the two out");
        return Err(Error::Config(words));
    }
    let deadline = Instant::now() + ADDRESS_PATIENCE;
    let open = |address| {
        let listener = open_listener(address, deadline)?;
        tracing::info!(address = %listener, "listening");
        Ok(listener)
    };
    addresses.iter().map(open).collect()
}

fn open_listener(address: &BindAddress, deadline: Instant) -> Result<Listener> {
    let mut is_told = false;
    loop {
        match Listener::open(address, DEFAULT_BACKLOG) {
            Err(error) if is_taken(&error) && Instant::now() < deadline => {
                if !is_told {
                    tracing::warn!(%address, "taken; waiting for the address to become free");
                    is_told = true;
                }
                thread::sleep(ADDRESS_PAUSE);
            }
            opened => return Ok(opened?),
        }
    }
}

fn is_taken(error: &ListenError) -> bool {
    error.kind() == io::ErrorKind::AddrInUse
}

/// What makes Node programs use these listeners, if that is wanted and there are any.
pub(crate) fn node_preload(when: NodePreload, listeners: &[Listener]) -> Option<Preload> {
    let is_wanted = when == NodePreload::Auto && !listeners.is_empty();
    is_wanted.then(|| Preload::new(listeners.iter().map(ToString::to_string)))
}

/// A duplicate of the listener as the standard library's, for a worker in this process.
pub(crate) fn duplicate(listener: &Listener) -> Result<StdListener> {
    let fd = listener.as_fd().try_clone_to_owned();
    super::inherited::listener(fd.map_err(Error::io("duplicate a listener"))?)
}

/// The listeners with the names that workers find in `LISTEN_FDNAMES`: `bind0` and so on.
pub(crate) fn named(listeners: Vec<Listener>) -> Vec<(Listener, String)> {
    let numbered = listeners.into_iter().enumerate();
    numbered
        .map(|(number, listener)| (listener, format!("bind{number}")))
        .collect()
}
