//! The command in this very process: what `run --standalone` becomes.
//!
//! There is no worker, no channel and no master any more; only the listeners are handed over, as
//! to a worker.

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use nix::errno::Errno;

use super::env::{EnvChange, REMOVED};
use super::{DEFAULT_PATH, SpawnError, candidates, child};

/// Replaces this process by the command, with these changes to its environment, the listeners at 3
/// and up and `MEMSTORE_ROLE=standalone`. Process id, group, standard streams and exit code are the
/// command's own.
///
/// # Errors
/// Comes back only with one; then this process has other descriptors above 2 than before and
/// should end.
pub fn become_standalone(
    program: &OsStr,
    args: &[OsString],
    env: &[EnvChange],
    listeners: &[(BorrowedFd<'_>, &str)],
) -> Result<Infallible, SpawnError> {
    let fds: Vec<_> = listeners.iter().map(|(fd, _)| fd.as_raw_fd()).collect();
    let mut command = Command::new(program);
    command.args(args);
    for (name, value) in env {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    for name in REMOVED {
        command.env_remove(name);
    }
    command.env("MEMSTORE_ROLE", "standalone");
    if !listeners.is_empty() {
        let names: Vec<&str> = listeners.iter().map(|(_, name)| *name).collect();
        command
            .env("LISTEN_FDS", listeners.len().to_string())
            .env("LISTEN_FDNAMES", names.join(":"))
            .env("LISTEN_PID", std::process::id().to_string());
    }
    child::place_in_this_process(&fds).map_err(|errno| {
        let step = "its descriptors could not be put in place";
        SpawnError::new(program, step, errno.into())
    })?;
    let error = command.exec();
    let path = std::env::var_os("PATH");
    let tried = candidates(program, path.as_deref().unwrap_or(DEFAULT_PATH.as_ref()));
    let tried = tried.iter().map(|path| Path::new(OsStr::from_bytes(path)));
    let errno = error
        .raw_os_error()
        .map_or(Errno::UnknownErrno, Errno::from_raw);
    Err(SpawnError::exec(program, tried, errno))
}
