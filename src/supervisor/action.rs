//! What comes out of the supervisor: orders, things worth telling, and the end.
//!
//! The master carries the orders out, in order, and answers with [`Event`](super::event::Event)s.
//! Nothing here does anything.

use std::fmt;
use std::time::Duration;

use super::event::{ExitCause, Generation, SpawnFailure, StopKind, WorkerId};

/// Something that the master shall do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Open a channel and start a process. Answered by
    /// [`Spawned`](super::event::Event::Spawned) or
    /// [`SpawnFailed`](super::event::Event::SpawnFailed).
    Spawn {
        /// The new worker.
        worker: WorkerId,
        /// The generation it belongs to.
        generation: Generation,
    },
    /// Signal a worker's whole process group. A group that is gone is no error.
    Signal {
        /// The worker.
        worker: WorkerId,
        /// The number of its process and of its group.
        pid: u32,
        /// What to send.
        signal: WorkerSignal,
    },
    /// Close our end of a worker's channel. No answer is needed.
    CloseChannel(WorkerId),
    /// Collect the zombie of a worker that has exited; the supervisor will not use its number
    /// again.
    Reap {
        /// The worker.
        worker: WorkerId,
        /// The number of its process.
        pid: u32,
    },
    /// Tell whoever watches.
    Notice(Notice),
    /// The end: no worker is left. Given once, as the last action there will ever be.
    Exit(ExitReason),
}

/// A signal to a worker, by what it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WorkerSignal {
    /// Finish what is open and end: `SIGTERM`, unless configured otherwise.
    Stop,
    /// `SIGKILL`.
    Kill,
}

/// Something worth telling, for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// A worker runs.
    Started {
        /// The worker.
        worker: WorkerId,
        /// Its process.
        pid: u32,
    },
    /// A worker could not be started.
    SpawnFailed {
        /// The worker that there is not.
        worker: WorkerId,
        /// Why.
        failure: SpawnFailure,
        /// What becomes of its slot.
        verdict: Verdict,
    },
    /// A worker may be counted on.
    Ready {
        /// The worker.
        worker: WorkerId,
        /// Its process.
        pid: u32,
        /// How that is known.
        sign: ReadySign,
        /// How long it took.
        after: Duration,
    },
    /// A worker is gone, and its channel too.
    Exited {
        /// The worker.
        worker: WorkerId,
        /// The process it was.
        pid: u32,
        /// How it ended.
        cause: ExitCause,
        /// How long it ran.
        uptime: Duration,
        /// What becomes of its slot.
        verdict: Verdict,
    },
    /// A worker is gone and something it left behind, outside its group, held its channel open;
    /// it is being closed.
    ChannelHeld {
        /// The worker.
        worker: WorkerId,
        /// The process it was.
        pid: u32,
    },
    /// The fleet is being stopped.
    Stopping {
        /// How.
        kind: StopKind,
        /// What will be the reason of the exit.
        reason: ExitReason,
        /// How many workers are waited for.
        workers: usize,
    },
    /// A worker, or something it left in its group, did not end in time and is killed.
    KillDeadline {
        /// The worker.
        worker: WorkerId,
        /// Its process.
        pid: u32,
    },
    /// A worker was killed and is still there, as a process is that the kernel cannot interrupt
    /// (a dead disk, a debugger). It is killed again and waited for.
    Unkillable {
        /// The worker.
        worker: WorkerId,
        /// Its process.
        pid: u32,
        /// The time since it was first killed.
        waited: Duration,
    },
}

/// How it is known that a worker may be counted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadySign {
    /// It said so.
    Announced,
    /// It has been alive for long enough.
    Alive,
}

/// What becomes of a slot whose worker ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// A new worker is started after so long.
    Restart {
        /// Zero is at once.
        after: Duration,
    },
    /// Its work is done; it stays empty.
    Finished,
    /// It is given up; it stays empty.
    Failed(SlotFailure),
    /// The fleet is stopping; it stays empty.
    Stopped,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Restart { after } if after.is_zero() => f.write_str("restart at once"),
            Self::Restart { after } => write!(f, "restart after {} ms", after.as_millis()),
            Self::Finished => f.write_str("finished"),
            Self::Failed(failure) => write!(f, "slot failed: {failure}"),
            Self::Stopped => f.write_str("stopped"),
        }
    }
}

/// Why a slot was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SlotFailure {
    /// Its workers ended too often in too short a time.
    #[error("crash loop")]
    CrashLoop,
    /// Its worker failed, and the restart policy is never to try again.
    #[error("never restarted")]
    NeverRestarted,
}

/// Why the master ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExitReason {
    /// It was told to.
    Stopped,
    /// All workers did what they were there for.
    Finished,
    /// No slot has anything left to do, and at least one of them failed.
    Failed,
    /// All slots are in a crash loop.
    CrashLoop,
    /// The command was not found at its very first start.
    NotFound,
    /// The command could not be executed at its very first start.
    NotExecutable,
}

impl ExitReason {
    /// The exit code of the master: 69 is `EX_UNAVAILABLE` of `sysexits(3)`; 126 and 127 are what
    /// a shell says.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Stopped | Self::Finished => 0,
            Self::Failed => 1,
            Self::CrashLoop => 69,
            Self::NotExecutable => 126,
            Self::NotFound => 127,
        }
    }
}
