//! What goes into the supervisor: the names of workers, and what may happen to them.
//!
//! The master makes these from signals, sockets and the results of actions. Nothing here does
//! anything; what comes out is in [`action`](super::action).
//!
//! Every event about a process names its [`WorkerId`], which is never given twice: an event that
//! comes late, twice or for somebody long gone is recognised and ignored.

use std::fmt;

use nix::sys::signal::Signal;

/// A worker's stable place, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u16);

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How many times the fleet was reloaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Generation(pub u32);

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of a spawn, from 1; no two spawns of one master share it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(pub u64);

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One process in one slot. It is given with [`Action::Spawn`](super::action::Action::Spawn), also
/// to an attempt that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerId {
    /// Its place.
    pub slot: Slot,
    /// Which of the processes that had the place.
    pub incarnation: Incarnation,
}

impl fmt::Display for WorkerId {
    /// `2#17`: slot 2, incarnation 17.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.slot, self.incarnation)
    }
}

/// Something that happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The fleet shall be started. Counts once.
    Start,
    /// A spawn succeeded; the worker's channel is open.
    Spawned {
        /// The worker.
        worker: WorkerId,
        /// Its process, which leads a process group of the same number.
        pid: u32,
    },
    /// A spawn failed, and nothing of it is left: no process, no channel.
    SpawnFailed {
        /// The worker that there will not be.
        worker: WorkerId,
        /// Why.
        failure: SpawnFailure,
    },
    /// A worker says that it may be counted on.
    Ready(WorkerId),
    /// A worker's process ended. It stays a zombie (`waitid(2)` with `WNOWAIT`) until
    /// [`Action::Reap`](super::action::Action::Reap): until then its number names no other process
    /// and no other group, so that a signal cannot hit a stranger.
    Exited {
        /// The worker.
        worker: WorkerId,
        /// How.
        cause: ExitCause,
    },
    /// A worker's channel ended: nobody holds the other end any more. It says nothing of the
    /// process, for a program may close descriptors that it does not know.
    ChannelClosed(WorkerId),
    /// The fleet shall end, and the master with it.
    Stop(StopKind),
    /// Nothing happened but that time passed: see
    /// [`Supervisor::next_deadline`](super::state::Supervisor::next_deadline).
    Tick,
}

/// How much time workers get to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StopKind {
    /// They are asked, and killed at the deadline. Asking again does not move the deadline.
    Graceful,
    /// They are killed now, also those that were asked before.
    Immediate,
}

/// Why a worker could not be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpawnFailure {
    /// There is no such program.
    #[error("command not found")]
    NotFound,
    /// The program exists and cannot be executed.
    #[error("command not executable")]
    NotExecutable,
    /// The system could not do it: no memory, no descriptors, too many processes.
    #[error("the system refused")]
    Other,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExitCause {
    /// By itself, with this code.
    Code(i32),
    /// By a signal.
    Signal {
        /// The signal's number.
        number: i32,
        /// Whether a core dump was written.
        core_dumped: bool,
    },
    /// Somebody else collected the process; how it ended is not known.
    Lost,
}

impl ExitCause {
    /// Whether the worker did what it was there for and is done.
    pub fn is_success(self) -> bool {
        self == Self::Code(0)
    }
}

impl fmt::Display for ExitCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal {
                number,
                core_dumped,
            } => {
                match Signal::try_from(number) {
                    Ok(signal) => write!(f, "killed by {signal}")?,
                    Err(_) => write!(f, "killed by signal {number}")?,
                }
                f.write_str(if core_dumped { " (core dumped)" } else { "" })
            }
            Self::Lost => f.write_str("ended for an unknown reason"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_cause_reads_as_a_person_would_say_it() {
        let signal = |number, core_dumped| ExitCause::Signal {
            number,
            core_dumped,
        };
        assert_eq!(ExitCause::Code(3).to_string(), "exit code 3");
        assert_eq!(signal(9, false).to_string(), "killed by SIGKILL");
        assert_eq!(
            signal(11, true).to_string(),
            "killed by SIGSEGV (core dumped)"
        );
        assert_eq!(signal(40, false).to_string(), "killed by signal 40");
    }
}
