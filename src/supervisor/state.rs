//! The fleet: which slot holds which worker, what follows an end, how everything stops.
//!
//! Pure: events and the time go in, actions come out; no descriptors, no clock. Called by the
//! master, from one thread. What a single process goes through is in `worker`; how soon it is
//! replaced is decided in [`policy`](super::policy).
//!
//! What holds after every call of [`Supervisor::handle`], and is checked in debug builds:
//!
//! - a slot holds at most one worker, and a worker is forgotten only when its process and its
//!   channel are both gone;
//! - once a stop has begun nothing is spawned, every worker has been told to end, and no slot
//!   waits for a restart;
//! - no deadline is in the past;
//! - the exit is given once, when no worker is left, and nothing comes after it.

use std::time::Duration;

use super::action::{Action, ExitReason, Notice, ReadySign, SlotFailure, Verdict};
use super::event::{Event, Generation, Incarnation, Slot, SpawnFailure, StopKind, WorkerId};
use super::policy::{Ending, SupervisorConfig};
use super::slot::{Occupancy, Place, SlotStatus};
use super::worker::{Death, Worker};
use crate::time::Millis;

/// The state machine that supervises a fleet of workers.
///
/// ```
/// use memstore_cluster::supervisor::action::Action;
/// use memstore_cluster::supervisor::event::Event;
/// use memstore_cluster::config::Supervision;
/// use memstore_cluster::supervisor::policy::SupervisorConfig;
/// use memstore_cluster::supervisor::state::Supervisor;
/// use memstore_cluster::time::Millis;
///
/// let config = SupervisorConfig { slots: 2, rules: Supervision::default() };
/// let mut supervisor = Supervisor::new(config, 42);
/// let mut actions = Vec::new();
/// supervisor.handle(Millis::ZERO, Event::Start, &mut actions);
/// assert!(matches!(actions[..], [Action::Spawn { .. }, Action::Spawn { .. }]));
/// ```
#[derive(Debug)]
pub struct Supervisor {
    config: SupervisorConfig,
    rng: fastrand::Rng,
    phase: Phase,
    generation: Generation,
    slots: Vec<Place>,
    /// The last one that was given.
    incarnation: Incarnation,
    /// The earliest deadline of all slots.
    deadline: Option<Millis>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Not started.
    Idle,
    /// Workers are kept running.
    Running,
    /// Workers are being ended.
    Stopping(ExitReason),
    /// No worker is left.
    Done(ExitReason),
}

impl Supervisor {
    /// A fleet that is not started. The same seed and the same events give the same actions.
    pub fn new(config: SupervisorConfig, seed: u64) -> Self {
        let slots = (0..config.slots).map(|n| Place::new(Slot(n))).collect();
        Self {
            config,
            rng: fastrand::Rng::with_seed(seed),
            phase: Phase::Idle,
            generation: Generation(0),
            slots,
            incarnation: Incarnation(0),
            deadline: None,
        }
    }

    /// Takes note of `event` and of the time, and appends what must be done, in order.
    pub fn handle(&mut self, now: Millis, event: Event, actions: &mut Vec<Action>) {
        if matches!(self.phase, Phase::Done(_)) {
            return;
        }
        self.note(now, event, actions);
        self.run_due(now, actions);
        self.conclude(actions);
        self.refresh(now);
        self.check_invariants(now);
    }

    /// When [`handle`](Self::handle) must be called, with [`Event::Tick`] if nothing else happens.
    /// `None` is never.
    pub fn next_deadline(&self) -> Option<Millis> {
        self.deadline
    }

    /// What each slot is doing, in order.
    pub fn status(&self) -> impl Iterator<Item = SlotStatus> + '_ {
        self.slots.iter().map(Place::status)
    }

    fn note(&mut self, now: Millis, event: Event, actions: &mut Vec<Action>) {
        match event {
            Event::Tick => {}
            Event::Start => self.start(actions),
            Event::Stop(kind) => self.stop(now, kind, actions),
            Event::SpawnFailed { worker, failure } => {
                self.spawn_failed(now, worker, failure, actions);
            }
            Event::Spawned { worker, pid } => {
                let ready_at = now.after(self.config.rules.ready_after);
                self.tell(now, worker, actions, |worker, actions| {
                    worker.spawned(now, pid, ready_at, actions)
                });
            }
            Event::Ready(worker) => self.tell(now, worker, actions, |worker, actions| {
                worker.ready(now, ReadySign::Announced, actions);
                None
            }),
            Event::Exited { worker, cause } => {
                self.tell(now, worker, actions, |worker, actions| {
                    worker.exited(now, cause, actions)
                });
            }
            Event::ChannelClosed(worker) => {
                self.tell(now, worker, actions, Worker::channel_closed);
            }
        }
    }

    /// Lets the worker `id` hear something, if it is still there, and follows its death if that is
    /// the consequence.
    fn tell(
        &mut self,
        now: Millis,
        id: WorkerId,
        actions: &mut Vec<Action>,
        news: impl FnOnce(&mut Worker, &mut Vec<Action>) -> Option<Death>,
    ) {
        let index = usize::from(id.slot.0);
        let death = self
            .slots
            .get_mut(index)
            .and_then(Place::worker_mut)
            .filter(|worker| worker.id() == id)
            .and_then(|worker| news(worker, actions));
        if let Some(death) = death {
            self.bury(now, index, id, death, actions);
        }
    }

    fn start(&mut self, actions: &mut Vec<Action>) {
        if self.phase == Phase::Idle {
            self.phase = Phase::Running;
            for index in 0..self.slots.len() {
                self.spawn(index, actions);
            }
        }
    }

    fn stop(&mut self, now: Millis, kind: StopKind, actions: &mut Vec<Action>) {
        match (self.phase, kind) {
            (Phase::Idle | Phase::Running, _) => {
                self.begin_stop(now, ExitReason::Stopped, kind, actions);
            }
            (Phase::Stopping(_), StopKind::Immediate) => {
                for worker in self.slots.iter_mut().filter_map(Place::worker_mut) {
                    worker.kill(now, actions);
                }
            }
            (Phase::Stopping(_) | Phase::Done(_), _) => {}
        }
    }

    fn begin_stop(
        &mut self,
        now: Millis,
        reason: ExitReason,
        kind: StopKind,
        actions: &mut Vec<Action>,
    ) {
        self.phase = Phase::Stopping(reason);
        actions.push(Action::Notice(Notice::Stopping {
            kind,
            reason,
            workers: self
                .slots
                .iter()
                .filter(|place| place.is_occupied())
                .count(),
        }));
        let kill_at = now.after(self.config.rules.stop_timeout);
        for place in &mut self.slots {
            match &mut place.occupancy {
                Occupancy::Waiting { .. } => place.occupancy = Occupancy::Vacant,
                Occupancy::One(worker) => match kind {
                    StopKind::Graceful => worker.stop(kill_at, actions),
                    StopKind::Immediate => worker.kill(now, actions),
                },
                Occupancy::Vacant | Occupancy::Finished | Occupancy::Failed(_) => {}
            }
        }
    }

    fn spawn(&mut self, index: usize, actions: &mut Vec<Action>) {
        self.incarnation.0 += 1;
        let place = &mut self.slots[index];
        let worker = WorkerId {
            slot: place.slot,
            incarnation: self.incarnation,
        };
        place.spawns += 1;
        place.occupancy = Occupancy::One(Worker::new(worker, self.generation));
        actions.push(Action::Spawn {
            worker,
            generation: self.generation,
        });
    }

    fn spawn_failed(
        &mut self,
        now: Millis,
        id: WorkerId,
        failure: SpawnFailure,
        actions: &mut Vec<Action>,
    ) {
        let index = usize::from(id.slot.0);
        let Some(place) = self.slots.get_mut(index) else {
            return;
        };
        let is_ours = |worker: &mut Worker| worker.id() == id && worker.is_spawning();
        if !place.worker_mut().is_some_and(is_ours) {
            return;
        }
        // A command that cannot be run at its very first start is a typing error: trying again
        // would hide it. Later it is a file that is just being replaced.
        let hopeless = match failure {
            _ if place.spawns > 1 || self.phase != Phase::Running => None,
            SpawnFailure::NotFound => Some(ExitReason::NotFound),
            SpawnFailure::NotExecutable => Some(ExitReason::NotExecutable),
            SpawnFailure::Other => None,
        };
        let verdict = if hopeless.is_some() {
            place.occupancy = Occupancy::Vacant;
            Verdict::Stopped
        } else {
            let ending = Ending {
                is_success: false,
                uptime: Duration::ZERO,
            };
            self.vacate(now, index, ending)
        };
        actions.push(Action::Notice(Notice::SpawnFailed {
            worker: id,
            failure,
            verdict,
        }));
        if let Some(reason) = hopeless {
            self.begin_stop(now, reason, StopKind::Graceful, actions);
        }
    }

    fn bury(
        &mut self,
        now: Millis,
        index: usize,
        worker: WorkerId,
        death: Death,
        actions: &mut Vec<Action>,
    ) {
        let Death { pid, cause, uptime } = death;
        let is_success = cause.is_success();
        let verdict = self.vacate(now, index, Ending { is_success, uptime });
        actions.push(Action::Notice(Notice::Exited {
            worker,
            pid,
            cause,
            uptime,
            verdict,
        }));
    }

    /// Empties a slot and decides what becomes of it.
    fn vacate(&mut self, now: Millis, index: usize, ending: Ending) -> Verdict {
        let place = &mut self.slots[index];
        let verdict = if self.phase == Phase::Running {
            let history = &mut place.history;
            history.judge(&self.config.rules, &mut self.rng, now, ending)
        } else {
            Verdict::Stopped
        };
        place.occupancy = match verdict {
            Verdict::Restart { after } => Occupancy::Waiting {
                until: now.after(after),
            },
            Verdict::Finished => Occupancy::Finished,
            Verdict::Failed(failure) => Occupancy::Failed(failure),
            Verdict::Stopped => Occupancy::Vacant,
        };
        verdict
    }

    /// Does everything whose time has come, also what becomes due by doing it.
    fn run_due(&mut self, now: Millis, actions: &mut Vec<Action>) {
        for index in 0..self.slots.len() {
            while self.slots[index].deadline().is_some_and(|at| at <= now) {
                match &mut self.slots[index].occupancy {
                    Occupancy::Waiting { .. } => self.spawn(index, actions),
                    Occupancy::One(worker) => {
                        let id = worker.id();
                        if let Some(death) = worker.due(now, actions) {
                            self.bury(now, index, id, death, actions);
                        }
                    }
                    Occupancy::Vacant | Occupancy::Finished | Occupancy::Failed(_) => {
                        unreachable!("an empty slot has no deadline")
                    }
                }
            }
        }
    }

    /// Ends the supervision if there is nothing left to supervise.
    fn conclude(&mut self, actions: &mut Vec<Action>) {
        let reason = match self.phase {
            Phase::Idle | Phase::Done(_) => None,
            Phase::Running => self.outcome(),
            Phase::Stopping(reason) => {
                let is_over = !self.slots.iter().any(Place::is_occupied);
                is_over.then_some(reason)
            }
        };
        if let Some(reason) = reason {
            self.phase = Phase::Done(reason);
            actions.push(Action::Exit(reason));
        }
    }

    /// What the fleet came to, if no slot has anything left to do.
    fn outcome(&self) -> Option<ExitReason> {
        let mut finished = 0;
        let mut crashing = 0;
        for place in &self.slots {
            match place.occupancy {
                Occupancy::Finished => finished += 1,
                Occupancy::Failed(SlotFailure::CrashLoop) => crashing += 1,
                Occupancy::Failed(SlotFailure::NeverRestarted) => {}
                Occupancy::Vacant | Occupancy::One(_) | Occupancy::Waiting { .. } => return None,
            }
        }
        match self.slots.len() {
            // A master without workers serves its store until it is told to stop.
            0 => None,
            all if all == finished => Some(ExitReason::Finished),
            all if all == crashing => Some(ExitReason::CrashLoop),
            _ => Some(ExitReason::Failed),
        }
    }

    fn refresh(&mut self, now: Millis) {
        for place in &mut self.slots {
            place.refresh(now);
        }
        self.deadline = self.earliest();
    }

    fn earliest(&self) -> Option<Millis> {
        self.slots.iter().filter_map(Place::deadline).min()
    }

    /// Panics, in debug builds, where what the top of this file promises does not hold.
    fn check_invariants(&self, now: Millis) {
        if !cfg!(debug_assertions) {
            return;
        }
        let workers = || self.slots.iter().filter_map(Place::worker);
        assert_eq!(self.deadline, self.earliest(), "the deadline is stale");
        assert!(
            self.deadline.is_none_or(|at| at > now),
            "overdue at {now:?}"
        );
        assert!(
            workers().all(|worker| worker.generation() <= self.generation),
            "a worker is from the future"
        );
        for (place, slot) in self.slots.iter().zip(0..) {
            place.check_invariants(Slot(slot), self.incarnation, &self.config);
        }
        match self.phase {
            Phase::Idle => assert!(self.slots.iter().all(Place::is_vacant), "an early worker"),
            Phase::Running => {
                assert!(!self.slots.iter().any(Place::is_vacant), "a forgotten slot");
                assert_eq!(self.outcome(), None, "nothing is left to do");
            }
            Phase::Stopping(_) => {
                assert!(workers().all(Worker::is_ending), "a worker was not told");
                assert!(workers().count() > 0, "the exit was not given");
                assert!(!self.slots.iter().any(Place::is_waiting), "a late restart");
            }
            Phase::Done(_) => {
                assert_eq!(workers().count(), 0, "a worker was left behind");
                assert_eq!(self.deadline, None, "a deadline was left behind");
            }
        }
    }
}
