//! The master: glue, and the only place that knows everybody.
//!
//! One thread runs [`Master::run`]: events to requests to the backend, signals and exits to the
//! supervisor's state machine, time to both. It decides little; what it decides is the order of a
//! tick. Requests are run on that thread too, or on one of the backend's own where it blocks; so
//! the thread never waits for anything but events.

mod aside;
mod channels;
mod farewell;
mod fleet;
mod notices;
mod preload;
mod pressure;
mod service;
mod way;

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use aside::Aside;
pub(crate) use aside::Caller;
use channels::Channels;
#[cfg(feature = "cli")]
pub(crate) use farewell::CHANNEL as FAREWELL;
use farewell::Farewell;
pub(crate) use fleet::Command;
use fleet::Fleet;
pub(crate) use preload::Preload;
use pressure::Pressure;
use service::{Service, Terms};
use way::{Here, Way};

use crate::backend::SharedBackend;
use crate::config::{KeyspaceEvents, Limits};
use crate::exec::{Hub, SharedHub};
use crate::net::{AllowedUids, PathSocket, Reactor, Signal, Waker};
use crate::protocol::auth::Secret;
use crate::supervisor::action::ExitReason;
use crate::supervisor::event::StopKind;
use crate::supervisor::policy::SupervisorConfig;
use crate::supervisor::state::Supervisor;
use crate::time::{Clock, Millis};

/// The longest sleep of a master inside somebody's program: its handles write to the store
/// without telling the loop, which would otherwise not see to what they let expire.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// What a master is made of.
pub(crate) struct Setup {
    pub(crate) backend: SharedBackend,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) limits: Limits,
    /// Which changes of keys are published.
    pub(crate) keyspace_events: KeyspaceEvents,
    pub(crate) secret: Option<Secret>,
    pub(crate) allow_uids: Vec<u32>,
    /// Where others may connect.
    pub(crate) socket: Option<PathSocket>,
    /// What to supervise.
    pub(crate) workers: Option<Workers>,
    pub(crate) signals: Signals,
}

/// Who decides about the signals of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signals {
    /// The master: `TERM`, `INT` and `QUIT` stop it, a second one at once.
    Ours,
    /// The program that embeds the master.
    Theirs,
}

/// The workers to supervise.
pub(crate) struct Workers {
    pub(crate) command: Command,
    pub(crate) config: SupervisorConfig,
}

/// A master that is ready to run.
pub(crate) struct Master(Kind);

enum Kind {
    /// Requests are run on the loop's thread.
    Here(Box<Loop<Here>>),
    /// They are run on another.
    Aside(Box<Loop<Aside>>),
}

/// The loop, and what it sees to.
struct Loop<W: Way> {
    reactor: Reactor<W::Session>,
    way: W,
    fleet: Option<Fleet>,
    pressure: Pressure,
    clock: Arc<dyn Clock>,
    orders: Receiver<Order>,
    controller: Controller,
    signals: Signals,
    /// How often it was asked to stop.
    stops: u32,
    farewell: Farewell,
    /// Children have ended that were not yet waited for.
    has_ended_children: bool,
}

/// What another thread may ask of a running master.
#[derive(Debug)]
enum Order {
    /// Serve this channel, as that slot's.
    Adopt(UnixStream, u16),
    /// End.
    Stop,
}

/// Reaches a running master from other threads.
#[derive(Debug, Clone)]
pub(crate) struct Controller {
    orders: Sender<Order>,
    waker: Waker,
    hub: SharedHub,
    caller: Option<Caller>,
}

impl Controller {
    /// Asks the master to end: its workers gracefully, if it has any.
    pub(crate) fn stop(&self) {
        self.send(Order::Stop);
    }

    /// Hands the master a channel to serve.
    pub(crate) fn adopt(&self, channel: UnixStream, slot: u16) {
        self.send(Order::Adopt(channel, slot));
    }

    /// Where messages meet their subscribers.
    pub(crate) fn hub(&self) -> &SharedHub {
        &self.hub
    }

    /// Asks the store directly, where its backend has a thread of its own. Otherwise whoever is in
    /// this process may call the backend itself.
    pub(crate) fn caller(&self) -> Option<Caller> {
        self.caller.clone()
    }

    fn send(&self, order: Order) {
        // A master that has ended needs no order.
        if self.orders.send(order).is_ok() {
            if let Err(error) = self.waker.wake() {
                tracing::error!(%error, "the master was not woken");
            }
        }
    }
}

impl Master {
    /// Prepares everything that can fail.
    pub(crate) fn new(setup: Setup) -> io::Result<Self> {
        let slots = setup
            .workers
            .as_ref()
            .map_or(0, |workers| workers.config.slots);
        let hub = SharedHub::new(Hub::new(&setup.limits, setup.keyspace_events));
        let terms = Terms {
            limits: setup.limits.clone(),
            hub: hub.clone(),
            path: setup.socket.as_ref().map(|socket| socket.path().to_owned()),
            secret: setup.secret.clone(),
            allowed: AllowedUids::ours_and(&setup.allow_uids),
            workers: u32::from(slots),
            pid: std::process::id(),
        };
        let backend = Arc::clone(&setup.backend);
        let lock = backend.lock().unwrap_or_else(PoisonError::into_inner);
        let blocks = lock.blocks();
        drop(lock);
        Ok(Self(if blocks {
            let clock = Arc::clone(&setup.clock);
            let way = |waker| Aside::start(backend, terms, clock, waker);
            let ready = Loop::new(setup, hub, way, |aside| Some(aside.caller()))?;
            Kind::Aside(Box::new(ready))
        } else {
            let service = Service::new(terms, setup.clock.now());
            let way = |waker| Ok(Here::new(backend, service, waker));
            Kind::Here(Box::new(Loop::new(setup, hub, way, |_| None)?))
        }))
    }

    pub(crate) fn controller(&self) -> Controller {
        match &self.0 {
            Kind::Here(ready) => ready.controller.clone(),
            Kind::Aside(ready) => ready.controller.clone(),
        }
    }

    /// Serves until it is asked to stop or the fleet is at its end. The calling thread must be the
    /// one whose end is to be the workers' end: in a process of its own the main one.
    pub(crate) fn run(self) -> io::Result<ExitReason> {
        match self.0 {
            Kind::Here(ready) => ready.run(),
            Kind::Aside(ready) => ready.run(),
        }
    }
}

impl<W: Way> Loop<W> {
    fn new(
        setup: Setup,
        hub: SharedHub,
        way: impl FnOnce(Waker) -> io::Result<W>,
        caller: impl FnOnce(&W) -> Option<Caller>,
    ) -> io::Result<Self> {
        let mut reactor = Reactor::new(setup.limits)?;
        if let Some(socket) = setup.socket {
            reactor.listen(socket)?;
        }
        let fleet = setup.workers.map(|workers| {
            let slots = workers.config.slots;
            let machine = Supervisor::new(workers.config, fastrand::u64(..));
            Fleet::new(machine, workers.command, slots)
        });
        let fleet = fleet.transpose()?;
        let mut caught = Vec::new();
        if setup.signals == Signals::Ours {
            caught.extend([Signal::Terminate, Signal::Interrupt, Signal::Quit]);
        }
        if fleet.is_some() {
            caught.push(Signal::Child);
        }
        reactor.catch_signals(&caught)?;
        let way = way(reactor.waker())?;
        let (orders, inbox) = channel();
        let controller = Controller {
            orders,
            waker: reactor.waker(),
            hub,
            caller: caller(&way),
        };
        Ok(Self {
            reactor,
            way,
            fleet,
            pressure: Pressure::new(),
            clock: setup.clock,
            orders: inbox,
            controller,
            signals: setup.signals,
            stops: 0,
            farewell: Farewell::default(),
            has_ended_children: false,
        })
    }

    fn run(mut self) -> io::Result<ExitReason> {
        let mut now = self.clock.now();
        if let Some(fleet) = &mut self.fleet {
            fleet.start(now, &mut self.reactor);
        }
        loop {
            let until = self.wake_at(now);
            self.reactor.wait(now, until)?;
            self.way.begin_tick();
            now = self.clock.now();
            self.obey(now)?;
            let memory = self.way.turn(now, &mut self.reactor)?;
            self.reactor.flush();
            self.pressure.look(now, memory);
            // Closed connections are buried last, so that no event of this tick meets a new one.
            self.way.bury(now, &mut self.reactor);
            let reason = self.supervise(now);
            let hub = &self.controller.hub;
            let reason = self.farewell.is_said(now, reason, self.stops > 1, hub);
            self.way.end_tick();
            if let Some(reason) = reason {
                let finished = self.way.finish(now, &mut self.reactor);
                let counters = self.reactor.counters();
                let closed = counters.closed.total();
                tracing::debug!(?counters, closed, "served");
                return finished.map(|()| reason);
            }
        }
    }

    /// When the loop must turn again, if nothing happens before.
    fn wake_at(&self, now: Millis) -> Option<Millis> {
        let for_requests = self.way.next_deadline(now);
        let is_embedded = self.signals == Signals::Theirs;
        let for_handles = is_embedded.then(|| now.after(LONGEST_SLEEP));
        let for_fleet = self.fleet.as_ref().and_then(Fleet::next_deadline);
        let for_peers = self.reactor.next_deadline();
        let for_pressure = self.pressure.next_deadline();
        let for_followers = self.farewell.next_deadline(now);
        let all = [
            for_requests,
            for_handles,
            for_fleet,
            for_peers,
            for_pressure,
            for_followers,
        ];
        all.into_iter().flatten().min()
    }

    /// Signals and orders.
    fn obey(&mut self, now: Millis) -> io::Result<()> {
        for signal in self.reactor.signals() {
            match signal {
                Signal::Child => self.has_ended_children = true,
                Signal::Terminate => self.stop(now, "SIGTERM"),
                Signal::Interrupt => self.stop(now, "SIGINT"),
                Signal::Quit => self.stop(now, "SIGQUIT"),
                Signal::Hangup | Signal::User1 | Signal::User2 => {}
            }
        }
        while let Ok(order) = self.orders.try_recv() {
            match order {
                Order::Stop => self.stop(now, "asked to"),
                Order::Adopt(channel, slot) => {
                    self.reactor.open(channel, slot, None)?;
                }
            }
        }
        Ok(())
    }

    fn stop(&mut self, now: Millis, why: &str) {
        self.stops += 1;
        let kind = match self.stops {
            1 => StopKind::Graceful,
            _ => StopKind::Immediate,
        };
        tracing::info!(why, ?kind, "stopping");
        if let Some(fleet) = &mut self.fleet {
            fleet.stop(now, kind, &mut self.reactor);
        }
    }

    /// Exits, channels and timers of the workers; the reason to end, if there is one.
    fn supervise(&mut self, now: Millis) -> Option<ExitReason> {
        let Some(fleet) = &mut self.fleet else {
            return (self.stops > 0).then_some(ExitReason::Stopped);
        };
        for event in self.way.events() {
            fleet.channel(now, event, &mut self.reactor);
        }
        if std::mem::take(&mut self.has_ended_children) {
            fleet.find_ended(now, &mut self.reactor);
        }
        fleet.tick(now, &mut self.reactor);
        fleet.exit()
    }
}
