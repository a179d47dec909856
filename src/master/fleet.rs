//! The workers of a master: what the state machine decides is done here.
//!
//! [`Fleet::handle`] feeds an event to the machine and carries out its actions, whose outcomes are
//! events again, until there is nothing left to do. Nothing is decided here.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

use super::channels::Channels;
use super::notices;
use super::preload::Preload;
use super::service::ChannelEvent;
use crate::net::ConnectionId;
use crate::supervisor::action::{Action, ExitReason, WorkerSignal};
use crate::supervisor::event::{Event, ExitCause, Generation, SpawnFailure, StopKind, WorkerId};
use crate::supervisor::listeners::Listener;
use crate::supervisor::reap::{self, Exit, Pid};
use crate::supervisor::spawn::{self, EnvChange, Identity, Recipe, SpawnErrorKind, Spawner};
use crate::supervisor::state::Supervisor;
use crate::time::Millis;

/// What every worker is started as.
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) program: OsString,
    pub(crate) args: Vec<OsString>,
    /// Changes to the environment that a worker gets from the master.
    pub(crate) env: Vec<EnvChange>,
    /// The path of the store's socket, where it has one.
    pub(crate) sock: Option<PathBuf>,
    /// The listeners that all workers share, by name.
    pub(crate) listeners: Vec<(Listener, String)>,
    /// What makes Node programs use them, where that is wanted.
    pub(crate) node: Option<Preload>,
}

impl Command {
    /// The changes for a worker that is started now.
    fn env(&self) -> Vec<EnvChange> {
        let mut env = self.env.clone();
        match self.node.as_ref().map(Preload::env).transpose() {
            Ok(node) => env.extend(node.into_iter().flatten()),
            // Other programs do without, and a Node program says what it lacks.
            Err(error) => tracing::error!(%error, "Node programs will not use the listeners"),
        }
        env
    }
}

pub(super) struct Fleet {
    machine: Supervisor,
    command: Command,
    spawner: Spawner,
    workers: u16,
    /// Processes that were started and whose end was not yet seen.
    running: BTreeMap<WorkerId, Pid>,
    /// Our ends of the channels that are open.
    channels: BTreeMap<WorkerId, ConnectionId>,
    /// Why the master is to end, once the machine has said so.
    exit: Option<ExitReason>,
}

impl Fleet {
    pub(super) fn new(machine: Supervisor, command: Command, workers: u16) -> io::Result<Self> {
        Ok(Self {
            machine,
            command,
            spawner: Spawner::new()?,
            workers,
            running: BTreeMap::new(),
            channels: BTreeMap::new(),
            exit: None,
        })
    }

    pub(super) fn exit(&self) -> Option<ExitReason> {
        self.exit
    }

    pub(super) fn next_deadline(&self) -> Option<Millis> {
        self.machine.next_deadline()
    }

    pub(super) fn start(&mut self, now: Millis, reactor: &mut dyn Channels) {
        self.handle(now, Event::Start, reactor);
    }

    pub(super) fn stop(&mut self, now: Millis, kind: StopKind, reactor: &mut dyn Channels) {
        self.handle(now, Event::Stop(kind), reactor);
    }

    pub(super) fn tick(&mut self, now: Millis, reactor: &mut dyn Channels) {
        if self.next_deadline().is_some_and(|deadline| deadline <= now) {
            self.handle(now, Event::Tick, reactor);
        }
    }

    pub(super) fn channel(&mut self, now: Millis, event: ChannelEvent, reactor: &mut dyn Channels) {
        let event = match event {
            ChannelEvent::Introduced(worker) => Event::Ready(worker),
            ChannelEvent::Closed(worker) => {
                self.channels.remove(&worker);
                Event::ChannelClosed(worker)
            }
        };
        self.handle(now, event, reactor);
    }

    /// Finds the workers that have ended.
    pub(super) fn find_ended(&mut self, now: Millis, reactor: &mut dyn Channels) {
        let look = |(worker, pid): (&WorkerId, &Pid)| Some((*worker, reap::ended(*pid)?));
        let ended: Vec<_> = self.running.iter().filter_map(look).collect();
        for (worker, exit) in ended {
            self.running.remove(&worker);
            let cause = match exit {
                Exit::Code(code) => ExitCause::Code(code),
                Exit::Signal { number, core } => ExitCause::Signal {
                    number,
                    core_dumped: core,
                },
                Exit::Lost => ExitCause::Lost,
            };
            self.handle(now, Event::Exited { worker, cause }, reactor);
        }
    }

    fn handle(&mut self, now: Millis, event: Event, reactor: &mut dyn Channels) {
        let mut events = VecDeque::from([event]);
        let mut actions = Vec::new();
        while let Some(event) = events.pop_front() {
            self.machine.handle(now, event, &mut actions);
            for action in actions.drain(..) {
                match action {
                    Action::Spawn { worker, generation } => {
                        events.push_back(match self.spawn(worker, generation, reactor) {
                            Ok(pid) => Event::Spawned {
                                worker,
                                pid: pid.get(),
                            },
                            Err(failure) => Event::SpawnFailed { worker, failure },
                        });
                    }
                    Action::Signal { pid, signal, .. } => signal_group(pid, signal),
                    Action::CloseChannel(worker) => {
                        if let Some(id) = self.channels.get(&worker) {
                            reactor.close(*id);
                        }
                    }
                    Action::Reap { pid, .. } => {
                        if let Some(pid) = Pid::new(pid) {
                            reap::try_reap(pid);
                        }
                    }
                    Action::Notice(notice) => notices::log(&notice),
                    Action::Exit(reason) => self.exit = Some(reason),
                }
            }
        }
    }

    fn spawn(
        &mut self,
        worker: WorkerId,
        generation: Generation,
        reactor: &mut dyn Channels,
    ) -> Result<Pid, SpawnFailure> {
        let no_channel = |error: io::Error| {
            tracing::error!(worker = %worker.slot, %error, "there is no channel for the worker");
            SpawnFailure::Other
        };
        let (ours, theirs) = spawn::channel().map_err(no_channel)?;
        let identity = Identity {
            slot: worker.slot.0,
            workers: self.workers,
            generation: generation.0.into(),
            sock: self.command.sock.clone(),
        };
        let listeners = self.command.listeners.iter();
        let listeners: Vec<(BorrowedFd<'_>, &str)> = listeners
            .map(|(listener, name)| (listener.as_fd(), name.as_str()))
            .collect();
        let env = self.command.env();
        let recipe = Recipe {
            program: &self.command.program,
            args: &self.command.args,
            env: &env,
            identity: &identity,
            listeners: &listeners,
            channel: theirs.as_fd(),
        };
        let pid = self.spawner.spawn(&recipe).map_err(|error| {
            tracing::error!(worker = %worker.slot, "{error}");
            match error.kind() {
                SpawnErrorKind::NotFound => SpawnFailure::NotFound,
                SpawnErrorKind::NotExecutable => SpawnFailure::NotExecutable,
                _ => SpawnFailure::Other,
            }
        })?;
        self.running.insert(worker, pid);
        match reactor.open(ours.into(), worker.slot.0, Some(worker)) {
            Ok(id) => {
                self.channels.insert(worker, id);
            }
            // The worker finds its channel closed, and the machine closes it after its end.
            Err(error) => {
                tracing::error!(worker = %worker.slot, %error, "the channel cannot be watched");
            }
        }
        Ok(pid)
    }
}

impl Drop for Fleet {
    /// A master that ends by an error takes its workers with it.
    fn drop(&mut self) {
        for pid in self.running.values() {
            signal_group(pid.get(), WorkerSignal::Kill);
        }
    }
}

fn signal_group(pid: u32, signal: WorkerSignal) {
    let Some(pid) = Pid::new(pid) else { return };
    let signal = match signal {
        WorkerSignal::Stop => libc::SIGTERM,
        WorkerSignal::Kill => libc::SIGKILL,
    };
    if let Err(error) = reap::signal_group(pid, signal) {
        tracing::warn!(%pid, %error, "the worker's group was not signalled");
    }
}
