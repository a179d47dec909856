//! One place of the fleet: what it holds, and what can be told of it.
//!
//! Decides nothing: [`state`](super::state) moves it from one occupancy to the next. What holds: it
//! has a deadline only while it holds a worker or waits for the next one.

use std::fmt;

use super::action::SlotFailure;
use super::event::{Generation, Incarnation, Slot};
use super::policy::{History, SupervisorConfig};
use super::worker::Worker;
use crate::time::Millis;

/// A slot and its past.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) slot: Slot,
    pub(super) occupancy: Occupancy,
    /// How many starts were tried.
    pub(super) spawns: u64,
    pub(super) history: History,
    /// The state that was last shown, and since when.
    shown: (SlotState, Millis),
}

/// What a slot holds. A reload adds a variant with the old worker and the new one.
#[derive(Debug)]
pub(super) enum Occupancy {
    /// Nothing, and nothing is planned.
    Vacant,
    One(Worker),
    Waiting {
        until: Millis,
    },
    Finished,
    Failed(SlotFailure),
}

impl Place {
    pub(super) fn new(slot: Slot) -> Self {
        Self {
            slot,
            occupancy: Occupancy::Vacant,
            spawns: 0,
            history: History::default(),
            shown: (SlotState::Vacant, Millis::ZERO),
        }
    }

    pub(super) fn worker(&self) -> Option<&Worker> {
        match &self.occupancy {
            Occupancy::One(worker) => Some(worker),
            _ => None,
        }
    }

    pub(super) fn worker_mut(&mut self) -> Option<&mut Worker> {
        match &mut self.occupancy {
            Occupancy::One(worker) => Some(worker),
            _ => None,
        }
    }

    pub(super) fn is_occupied(&self) -> bool {
        matches!(self.occupancy, Occupancy::One(_))
    }

    pub(super) fn is_vacant(&self) -> bool {
        matches!(self.occupancy, Occupancy::Vacant)
    }

    pub(super) fn is_waiting(&self) -> bool {
        matches!(self.occupancy, Occupancy::Waiting { .. })
    }

    /// When it must be looked at, whatever happens.
    pub(super) fn deadline(&self) -> Option<Millis> {
        match &self.occupancy {
            Occupancy::One(worker) => worker.deadline(),
            Occupancy::Waiting { until } => Some(*until),
            Occupancy::Vacant | Occupancy::Finished | Occupancy::Failed(_) => None,
        }
    }

    /// Lets [`status`](Self::status) tell since when the state is what it is.
    pub(super) fn refresh(&mut self, now: Millis) {
        let state = self.state();
        if self.shown.0 != state {
            self.shown = (state, now);
        }
    }

    pub(super) fn status(&self) -> SlotStatus {
        let worker = self.worker();
        let (state, since) = self.shown;
        SlotStatus {
            slot: self.slot,
            state,
            since,
            pid: worker.and_then(Worker::pid),
            incarnation: worker.map(|worker| worker.id().incarnation),
            generation: worker.map(Worker::generation),
            restarts: self.spawns.saturating_sub(1),
        }
    }

    fn state(&self) -> SlotState {
        match &self.occupancy {
            Occupancy::Vacant => SlotState::Vacant,
            Occupancy::One(worker) => worker.state(),
            Occupancy::Waiting { .. } => SlotState::Waiting,
            Occupancy::Finished => SlotState::Finished,
            Occupancy::Failed(_) => SlotState::Failed,
        }
    }

    /// Panics where the place contradicts itself. `slot` is where it stands, `last` the last
    /// incarnation that was given.
    pub(super) fn check_invariants(
        &self,
        slot: Slot,
        last: Incarnation,
        config: &SupervisorConfig,
    ) {
        assert_eq!(self.slot, slot, "a place moved");
        assert_eq!(self.shown.0, self.state(), "slot {slot} shows an old state");
        if let Some(worker) = self.worker() {
            assert_eq!(worker.id().slot, slot, "a worker in a foreign slot");
            assert!(worker.id().incarnation <= last, "an unknown incarnation");
        }
        assert!(
            self.is_vacant() || self.spawns > 0,
            "slot {slot} has a past without a start"
        );
        if matches!(self.occupancy, Occupancy::Failed(SlotFailure::CrashLoop)) {
            assert!(
                self.history.is_crash_loop(&config.rules),
                "slot {slot} was given up too early"
            );
        }
    }
}

/// What can be told of a slot in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SlotState {
    /// Nothing is here: not yet, or not any more.
    Vacant,
    /// A worker was ordered.
    Spawning,
    /// A worker runs and is not ready.
    Starting,
    /// A worker runs and may be counted on.
    Running,
    /// A worker was asked to end.
    Stopping,
    /// A worker was killed and is still there.
    Killed,
    /// A worker exited and its channel is still open.
    Lingering,
    /// The time until the next start is being waited for.
    Waiting,
    /// The work is done.
    Finished,
    /// It was given up.
    Failed,
}

impl fmt::Display for SlotState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Vacant => "vacant",
            Self::Spawning => "spawning",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Killed => "killed",
            Self::Lingering => "lingering",
            Self::Waiting => "waiting",
            Self::Finished => "finished",
            Self::Failed => "failed",
        })
    }
}

/// What a slot is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SlotStatus {
    /// The slot.
    pub slot: Slot,
    /// What it is doing.
    pub state: SlotState,
    /// The time from which on `state` is what it is.
    pub since: Millis,
    /// The process of its worker.
    pub pid: Option<u32>,
    /// The incarnation of its worker.
    pub incarnation: Option<Incarnation>,
    /// The generation of its worker.
    pub generation: Option<Generation>,
    /// How many starts were tried after the first.
    pub restarts: u64,
}
