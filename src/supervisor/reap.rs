//! What happens to a worker after it was started: its end is collected, its group is signalled.
//!
//! Called by the master on `SIGCHLD` and on orders of the state machine. Only processes that are
//! named are waited for, never "any child": an embedding program has children of its own.

use std::fmt;
use std::io;
use std::os::unix::process::ExitStatusExt;

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};

use super::spawn::child;

/// The id of a worker's process, which is also the id of its process group.
///
/// Never 0 or 1: to `kill(2)` and `killpg(2)` those are other things than one worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pid(i32);

impl Pid {
    /// The process with this id, `None` where no worker can have it.
    pub fn new(pid: u32) -> Option<Self> {
        i32::try_from(pid).ok().filter(|pid| *pid > 1).map(Self)
    }

    /// The id of a process that was just started.
    pub(super) fn of_child(pid: nix::unistd::Pid) -> Self {
        debug_assert!(pid.as_raw() > 1, "no child is process {pid}");
        Self(pid.as_raw())
    }

    /// The id as the system shows it.
    pub fn get(self) -> u32 {
        self.0.unsigned_abs()
    }
}

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How a worker ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Exit {
    /// It exited with this code.
    Code(i32),
    /// A signal ended it.
    Signal {
        /// The signal's number.
        number: i32,
        /// Whether it left a core dump.
        core: bool,
    },
    /// It is gone, but somebody else has collected how: the embedding program waits for any
    /// child, or ignores `SIGCHLD`.
    Lost,
}

/// How a worker ended, if it has. `None` while it runs.
///
/// It stays a zombie until [`try_reap`] collects it: until then its number names no other process
/// and no other group, so that a signal cannot hit a stranger.
pub fn ended(pid: Pid) -> Option<Exit> {
    match child::look(pid.0) {
        Ok(None) => None,
        Ok(Some((libc::CLD_EXITED, code))) => Some(Exit::Code(code)),
        Ok(Some((how, number))) => Some(Exit::Signal {
            number,
            core: how == libc::CLD_DUMPED,
        }),
        Err(_) => Some(Exit::Lost),
    }
}

/// Collects the end of a worker, if it has ended. `None` while it runs.
///
/// After `Some` the process is no longer there to be asked again. What it left behind in its
/// group still is: see [`signal_group`].
pub fn try_reap(pid: Pid) -> Option<Exit> {
    match child::wait(pid.0, child::Wait::NoHang) {
        Ok(None) => None,
        Ok(Some(status)) => Some(match (status.code(), status.signal()) {
            (_, Some(number)) => Exit::Signal {
                number,
                core: status.core_dumped(),
            },
            (Some(code), None) => Exit::Code(code),
            (None, None) => Exit::Lost,
        }),
        Err(_) => Some(Exit::Lost),
    }
}

/// Sends a signal, by its number, to everything in a worker's process group. Nobody left to
/// receive it is no error.
///
/// It works after the worker itself was collected, as long as something of its group runs; the
/// system gives the number to nobody else until then.
///
/// # Errors
/// There is no such signal, or the group runs as a user whom this process may not signal.
pub fn signal_group(pid: Pid, signal: i32) -> io::Result<()> {
    let signal = Signal::try_from(signal)?;
    match killpg(nix::unistd::Pid::from_raw(pid.0), signal) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::spawn::testing::{Worker, ended};

    #[test]
    fn a_pid_is_never_a_broadcast() {
        assert_eq!(Pid::new(0), None);
        assert_eq!(Pid::new(1), None);
        assert_eq!(Pid::new(u32::MAX), None);
        assert_eq!(Pid::new(2).unwrap().get(), 2);
    }

    #[test]
    fn an_exit_code_is_told_once_and_lost_afterwards() {
        let worker = Worker::sh("exit 7");
        assert_eq!(ended(worker.pid), Exit::Code(7));
        assert_eq!(try_reap(worker.pid), Some(Exit::Lost));
    }

    #[test]
    fn a_running_worker_is_not_reaped_and_its_signal_is_told() {
        let worker = Worker::sh("read x <&$MEMSTORE_FD");
        assert_eq!(try_reap(worker.pid), None);
        signal_group(worker.pid, libc::SIGTERM).unwrap();
        let exit = ended(worker.pid);
        assert!(
            matches!(exit, Exit::Signal { number: 15, .. }),
            "ended by {exit:?}"
        );
    }

    #[test]
    fn an_end_can_be_looked_at_before_it_is_collected() {
        for (script, end) in [
            ("exit 7", Exit::Code(7)),
            (
                "kill -40 $$",
                Exit::Signal {
                    number: 40,
                    core: false,
                },
            ),
        ] {
            let worker = Worker::sh(script);
            let seen = loop {
                if let Some(seen) = super::ended(worker.pid) {
                    break seen;
                }
                std::thread::yield_now();
            };
            assert_eq!(seen, end);
            assert_eq!(super::ended(worker.pid), Some(end), "it is still there");
            assert_eq!(try_reap(worker.pid), Some(end));
            assert_eq!(super::ended(worker.pid), Some(Exit::Lost));
        }
    }

    #[test]
    fn a_real_time_signal_is_told_by_its_number() {
        let worker = Worker::sh("kill -40 $$");
        let exit = ended(worker.pid);
        assert!(
            matches!(exit, Exit::Signal { number: 40, .. }),
            "ended by {exit:?}"
        );
    }

    #[test]
    fn the_whole_group_is_signalled_also_when_its_leader_is_gone() {
        // The grandchild holds the channel open: its end is seen as the channel's.
        let mut worker = Worker::sh("sleep 600 & echo started >&$MEMSTORE_FD; exit 0");
        assert_eq!(ended(worker.pid), Exit::Code(0));
        signal_group(worker.pid, libc::SIGKILL).unwrap();
        assert_eq!(worker.output(), "started\n");
    }

    #[test]
    fn signalling_a_group_that_is_gone_is_no_error() {
        let worker = Worker::sh("exit 0");
        ended(worker.pid);
        signal_group(worker.pid, libc::SIGTERM).unwrap();
    }
}
