//! The master: glue, and the only place that knows everybody.
//!
//! One thread runs [`Master::run`]: events to requests to the backend, signals and exits to the
//! supervisor's state machine, time to both. It decides little; what it decides is the order of a
//! tick.

mod fleet;
mod notices;
mod preload;
mod pressure;
mod service;

use std::collections::HashMap;
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

pub(crate) use fleet::Command;
use fleet::Fleet;
pub(crate) use preload::Preload;
use pressure::Pressure;
use service::{Service, Session};

use crate::backend::{SharedBackend, Upkeep};
use crate::config::{KeyspaceEvents, Limits};
use crate::exec::redis;
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
pub(crate) struct Master {
    reactor: Reactor<Session>,
    service: Service,
    fleet: Option<Fleet>,
    pressure: Pressure,
    clock: Arc<dyn Clock>,
    orders: Receiver<Order>,
    controller: Controller,
    signals: Signals,
    /// How often it was asked to stop.
    stops: u32,
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
        let pid = std::process::id();
        let mut redis =
            redis::Shared::new(setup.clock.now(), pid, &setup.limits, setup.keyspace_events);
        let mut reactor = Reactor::new(setup.limits.clone())?;
        if let Some(socket) = setup.socket {
            redis = redis.at(socket.path());
            reactor.listen(socket)?;
        }
        let (orders, inbox) = channel();
        let controller = Controller {
            orders,
            waker: reactor.waker(),
        };
        let slots = setup
            .workers
            .as_ref()
            .map_or(0, |workers| workers.config.slots);
        let fleet = setup.workers.map(|workers| {
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
        Ok(Self {
            reactor,
            service: Service {
                backend: setup.backend,
                limits: setup.limits,
                secret: setup.secret,
                allowed: AllowedUids::ours_and(&setup.allow_uids),
                workers: u32::from(slots),
                generation: 0,
                pid,
                events: Vec::new(),
                redis,
                clients: HashMap::new(),
            },
            fleet,
            pressure: Pressure::new(),
            clock: setup.clock,
            orders: inbox,
            controller,
            signals: setup.signals,
            stops: 0,
            has_ended_children: false,
        })
    }

    pub(crate) fn controller(&self) -> Controller {
        self.controller.clone()
    }

    /// Serves until it is asked to stop or the fleet is at its end. The calling thread must be the
    /// one whose end is to be the workers' end: in a process of its own the main one.
    pub(crate) fn run(mut self) -> io::Result<ExitReason> {
        let mut now = self.clock.now();
        if let Some(fleet) = &mut self.fleet {
            fleet.start(now, &mut self.reactor);
        }
        let (mut upkeep, mut kept) = (Upkeep::Idle, Millis::ZERO);
        loop {
            let until = self.wake_at(now, upkeep);
            self.reactor.wait(now, until)?;
            now = self.clock.now();
            self.obey(now)?;
            let mut turn = self.service.turn(now);
            self.reactor.turn(now, &mut turn);
            // Once a millisecond is often enough, and under load there are a hundred turns in one.
            // Until the next comes, what this turn has written is not known of.
            if upkeep == Upkeep::More || kept < now {
                upkeep = turn.backend.upkeep(now);
                kept = now;
                turn.tell_gone();
                self.pressure.look(now, turn.backend.memory_use());
            } else {
                upkeep = Upkeep::Until(now.after_ms(1));
            }
            // What was not made to last is not acknowledged.
            turn.backend.commit().map_err(io::Error::other)?;
            drop(turn);
            for id in self.service.killed() {
                self.reactor.close(id);
            }
            for (to, messages) in self.service.outbox() {
                for message in messages {
                    self.reactor.push(to, &message);
                }
            }
            self.reactor.flush();
            // Closed connections are buried last, so that no event of this tick meets a new one.
            if self.reactor.has_dead() {
                self.reactor.bury(&mut self.service.turn(now));
            }
            if let Some(reason) = self.supervise(now) {
                let counters = self.reactor.counters();
                let closed = counters.closed.total();
                tracing::debug!(?counters, closed, "served");
                return Ok(reason);
            }
        }
    }

    /// When the loop must turn again, if nothing happens before.
    fn wake_at(&self, now: Millis, upkeep: Upkeep) -> Option<Millis> {
        let for_upkeep = match upkeep {
            Upkeep::More => Some(now),
            Upkeep::Until(then) => Some(then),
            Upkeep::Idle => None,
        };
        let is_embedded = self.signals == Signals::Theirs;
        let for_handles = is_embedded.then(|| now.after(LONGEST_SLEEP));
        let for_fleet = self.fleet.as_ref().and_then(Fleet::next_deadline);
        let for_peers = self.reactor.next_deadline();
        let for_pressure = self.pressure.next_deadline();
        let all = [for_upkeep, for_handles, for_fleet, for_peers, for_pressure];
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
                    let session = Session::of_channel(slot, None);
                    self.reactor.adopt(channel, session)?;
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
        for event in self.service.events.drain(..) {
            fleet.channel(now, event, &mut self.reactor);
        }
        if std::mem::take(&mut self.has_ended_children) {
            fleet.find_ended(now, &mut self.reactor);
        }
        fleet.tick(now, &mut self.reactor);
        fleet.exit()
    }
}
