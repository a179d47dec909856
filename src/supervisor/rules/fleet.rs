//! A fleet whose time and events are scripted, and short names for what it orders.

use std::time::Duration;

use crate::config::{Restart, Supervision};
use crate::supervisor::action::{Action, Notice, Verdict, WorkerSignal};
use crate::supervisor::event::{
    Event, ExitCause, Generation, Incarnation, Slot, SpawnFailure, WorkerId,
};
use crate::supervisor::policy::SupervisorConfig;
use crate::supervisor::slot::SlotStatus;
use crate::supervisor::state::Supervisor;
use crate::time::Millis;

/// A supervisor and the time.
pub(super) struct Fleet {
    pub(super) supervisor: Supervisor,
    pub(super) now: Millis,
}

impl Fleet {
    /// Not started.
    pub(super) fn idle(config: SupervisorConfig) -> Self {
        Self {
            supervisor: Supervisor::new(config, 7),
            now: Millis::from_unix(1_000_000),
        }
    }

    /// Started, and all workers run as processes 100, 101, ...
    pub(super) fn running(config: SupervisorConfig) -> Self {
        let slots = config.slots;
        let mut fleet = Self::idle(config);
        fleet.all(Event::Start);
        for slot in 0..slots {
            fleet.spawned(worker(slot, u64::from(slot) + 1));
        }
        fleet
    }

    /// Everything that comes out.
    pub(super) fn all(&mut self, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        self.supervisor.handle(self.now, event, &mut actions);
        actions
    }

    /// What comes out, without the notices.
    pub(super) fn orders(&mut self, event: Event) -> Vec<Action> {
        let mut actions = self.all(event);
        actions.retain(|action| !matches!(action, Action::Notice(_)));
        actions
    }

    pub(super) fn spawned(&mut self, worker: WorkerId) -> Vec<Action> {
        let pid = pid(worker);
        self.orders(Event::Spawned { worker, pid })
    }

    pub(super) fn exited(&mut self, worker: WorkerId, cause: ExitCause) -> Vec<Action> {
        self.orders(Event::Exited { worker, cause })
    }

    pub(super) fn closed(&mut self, worker: WorkerId) -> Vec<Action> {
        self.orders(Event::ChannelClosed(worker))
    }

    /// The process and its channel end; what becomes of the slot.
    pub(super) fn dies(&mut self, worker: WorkerId, cause: ExitCause) -> Verdict {
        self.closed(worker);
        self.all(Event::Exited { worker, cause })
            .into_iter()
            .find_map(|action| match action {
                Action::Notice(Notice::Exited { verdict, .. }) => Some(verdict),
                _ => None,
            })
            .expect("an end is told")
    }

    pub(super) fn fails_to_spawn(
        &mut self,
        worker: WorkerId,
        failure: SpawnFailure,
    ) -> Vec<Action> {
        self.orders(Event::SpawnFailed { worker, failure })
    }

    pub(super) fn passes(&mut self, time: Duration) -> Vec<Action> {
        self.now = self.now.after(time);
        self.orders(Event::Tick)
    }

    /// Time passes until the next deadline.
    pub(super) fn wakes(&mut self) -> Vec<Action> {
        self.now = self.supervisor.next_deadline().expect("a deadline");
        self.orders(Event::Tick)
    }

    pub(super) fn slot(&self, slot: u16) -> SlotStatus {
        let mut all = self.supervisor.status();
        all.find(|status| status.slot == Slot(slot)).unwrap()
    }
}

pub(super) fn config(slots: u16) -> SupervisorConfig {
    SupervisorConfig {
        slots,
        rules: Supervision::default(),
    }
}

pub(super) fn policy(slots: u16, restart: Restart) -> SupervisorConfig {
    let mut config = config(slots);
    config.rules.restart = restart;
    config
}

pub(super) fn worker(slot: u16, incarnation: u64) -> WorkerId {
    WorkerId {
        slot: Slot(slot),
        incarnation: Incarnation(incarnation),
    }
}

pub(super) fn pid(worker: WorkerId) -> u32 {
    99 + u32::try_from(worker.incarnation.0).unwrap()
}

pub(super) fn spawn(worker: WorkerId) -> Action {
    Action::Spawn {
        worker,
        generation: Generation(0),
    }
}

pub(super) fn signal(worker: WorkerId, signal: WorkerSignal) -> Action {
    let pid = pid(worker);
    Action::Signal {
        worker,
        pid,
        signal,
    }
}

pub(super) fn stop(worker: WorkerId) -> Action {
    signal(worker, WorkerSignal::Stop)
}

pub(super) fn kill(worker: WorkerId) -> Action {
    signal(worker, WorkerSignal::Kill)
}

pub(super) fn reap(worker: WorkerId) -> Action {
    let pid = pid(worker);
    Action::Reap { worker, pid }
}
