//! Workers for the tests of the supervisor: real processes, each with a deadline.

use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::{EnvChange, Identity, Recipe, SpawnError, Spawner, channel};
use crate::supervisor::reap::{Exit, Pid, try_reap};

/// Long enough that only a fault takes so long.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// A worker and the master's end of its channel. It is killed when this is dropped.
pub(crate) struct Worker {
    pub(crate) pid: Pid,
    channel: UnixStream,
}

impl Worker {
    /// A worker that runs a shell script.
    pub(crate) fn sh(script: &str) -> Self {
        Self::run(&mut Spawner::new().unwrap(), script, &[], &[])
    }

    pub(crate) fn run(
        spawner: &mut Spawner,
        script: &str,
        env: &[EnvChange],
        listeners: &[(BorrowedFd<'_>, &str)],
    ) -> Self {
        let args = ["-c".into(), script.into()];
        let (pid, channel) = start(spawner, "sh", &args, env, listeners).unwrap();
        Self { pid, channel }
    }

    /// What it writes to its channel until it and all its children have closed it.
    pub(crate) fn output(&mut self) -> String {
        let mut output = String::new();
        self.channel.read_to_string(&mut output).unwrap();
        output
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // The pid is free to be another process's once it was collected.
        if try_reap(self.pid).is_none() {
            let _ = crate::supervisor::reap::signal_group(self.pid, libc::SIGKILL);
            ended(self.pid);
        }
    }
}

/// Starts any command, and returns the master's end of its channel, made to block.
pub(crate) fn start(
    spawner: &mut Spawner,
    program: impl AsRef<OsStr>,
    args: &[OsString],
    env: &[EnvChange],
    listeners: &[(BorrowedFd<'_>, &str)],
) -> Result<(Pid, UnixStream), SpawnError> {
    let (master, worker): (OwnedFd, OwnedFd) = channel().unwrap();
    let pid = spawner.spawn(&Recipe {
        program: program.as_ref(),
        args,
        env,
        identity: &Identity {
            slot: 1,
            workers: 2,
            generation: 3,
            sock: None,
        },
        listeners,
        channel: worker.as_fd(),
    })?;
    let master = UnixStream::from(master);
    master.set_nonblocking(false).unwrap();
    master.set_read_timeout(Some(DEADLINE)).unwrap();
    Ok((pid, master))
}

/// Waits for the end of a worker.
pub(crate) fn ended(pid: Pid) -> Exit {
    let since = Instant::now();
    loop {
        if let Some(exit) = try_reap(pid) {
            return exit;
        }
        assert!(since.elapsed() < DEADLINE, "process {pid} still runs");
        std::thread::yield_now();
    }
}
