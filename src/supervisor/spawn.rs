//! Starts a worker: everything it is to have is prepared here, and `child` carries it out.
//!
//! Called by the master for each slot that is to be filled. What a worker is told about itself is
//! in `env`, why one could not be started in `error`; how it ends is the matter of
//! [`reap`](super::reap).
//!
//! A worker has standard output and error from its master, `/dev/null` as standard input, the
//! listeners at 3 and up and the channel right behind them, and no other descriptor; default
//! dispositions and an empty mask for all signals; a process group of its own; and it is killed
//! when the thread that started it ends. That holds whatever the master, or whoever started the
//! master, has opened, blocked and ignored.

use std::cell::Cell;
use std::ffi::{CString, OsStr, OsString, c_char};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

use self::child::{LISTEN_PID, Others, PID_ROOM, Plan, Step};
use super::reap::Pid;

pub(super) mod child;
mod env;
mod error;
mod standalone;
#[cfg(test)]
pub(super) mod testing;
#[cfg(test)]
mod tests;

pub use env::{EnvChange, Identity, worker_env};
pub use error::{SpawnError, SpawnErrorKind};
pub use standalone::become_standalone;

/// Where a command is looked up when its environment has no `PATH`, as in `execvp(3)`.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// What to start, and with what.
#[derive(Debug, Clone, Copy)]
pub struct Recipe<'a> {
    /// The command: a path, or a name that is looked up in the worker's `PATH`.
    pub program: &'a OsStr,
    /// Its arguments.
    pub args: &'a [OsString],
    /// Changes to the environment that it gets from the master.
    pub env: &'a [EnvChange],
    /// Who it is.
    pub identity: &'a Identity,
    /// The listeners it is handed, with the names that `LISTEN_FDNAMES` gives them.
    pub listeners: &'a [(BorrowedFd<'a>, &'a str)],
    /// Its end of the channel to the master.
    pub channel: BorrowedFd<'a>,
}

/// Starts workers.
///
/// It stays on the thread that made it, and a worker is killed when the thread that started it
/// ends (`PR_SET_PDEATHSIG`): that thread must live as long as its workers shall.
///
/// ```
/// use std::os::fd::AsFd;
/// use memstore_cluster::supervisor::{reap, spawn};
///
/// let mut spawner = spawn::Spawner::new()?;
/// let (master_end, worker_end) = spawn::channel()?;
/// let pid = spawner.spawn(&spawn::Recipe {
///     program: "true".as_ref(),
///     args: &[],
///     env: &[],
///     identity: &spawn::Identity::default(),
///     listeners: &[],
///     channel: worker_end.as_fd(),
/// })?;
/// let exit = loop {
///     if let Some(exit) = reap::try_reap(pid) {
///         break exit;
///     }
/// };
/// assert_eq!(exit, reap::Exit::Code(0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Spawner {
    stack: child::Stack,
    has_close_range: bool,
    master: nix::unistd::Pid,
}

impl std::fmt::Debug for Spawner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spawner").finish_non_exhaustive()
    }
}

impl Spawner {
    /// Allocates what starting a worker needs, once.
    ///
    /// # Errors
    /// The system has no memory for it.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            stack: child::Stack::new()?,
            has_close_range: child::has_close_range(),
            master: nix::unistd::getpid(),
        })
    }

    /// Starts a worker and returns when it executes its command. The calling thread is stopped
    /// meanwhile; nothing of the master's memory is copied.
    ///
    /// # Errors
    /// [`SpawnError`], and then no process is left of the attempt.
    pub fn spawn(&mut self, recipe: &Recipe<'_>) -> Result<Pid, SpawnError> {
        let refused = |step, source| SpawnError::new(recipe.program, step, source);
        let strings = Strings::new(recipe)
            .map_err(|error| refused("it, an argument or its environment has a NUL byte", error))?;
        let listen_pid: Option<Vec<Cell<u8>>> = (!recipe.listeners.is_empty())
            .then(|| [LISTEN_PID, &[0; PID_ROOM]].concat())
            .map(|string| string.into_iter().map(Cell::new).collect());
        let listeners = recipe.listeners.iter().map(|(listener, _)| listener);
        let fds: Vec<Cell<RawFd>> = listeners
            .chain([&recipe.channel])
            .map(|fd| Cell::new(fd.as_raw_fd()))
            .collect();

        let argv = pointers(&strings.argv, None);
        let script = [c"/bin/sh".as_ptr(), ptr::null()];
        let script_argv = script.into_iter().chain(argv.iter().skip(1).copied());
        let script_argv: Vec<_> = script_argv.map(Cell::new).collect();
        let others = self.others();
        let started = child::start(
            &mut self.stack,
            &Plan {
                programs: &strings.programs,
                argv: &argv,
                script_argv: &script_argv,
                envp: &pointers(&strings.env, listen_pid.as_deref()),
                listen_pid: listen_pid
                    .as_ref()
                    .and_then(|string| string.get(LISTEN_PID.len()..)),
                fds: &fds,
                others,
                master: self.master,
            },
        );
        match started {
            Ok(pid) => Ok(Pid::of_child(pid)),
            Err((Step::Exec, errno)) => {
                Err(SpawnError::exec(recipe.program, strings.tried(), errno))
            }
            Err((step, errno)) => Err(refused(describe(step), errno.into())),
        }
    }

    fn others(&self) -> Others {
        if self.has_close_range {
            Others::CloseRange
        } else {
            Others::Below(above_all_fds())
        }
    }
}

/// A new channel: the master's end, which does not block, and the worker's, which does.
///
/// The buffers are the system's: they bound how much one write can carry, not what can be sent.
///
/// # Errors
/// The process or the system has no descriptors left.
pub fn channel() -> io::Result<(OwnedFd, OwnedFd)> {
    let (master, worker) = socketpair(
        AddressFamily::Unix,
        SockType::Stream,
        None,
        SockFlag::SOCK_CLOEXEC,
    )?;
    fcntl(&master, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok((master, worker))
}

/// The strings of a command line, as `execve(2)` takes them.
struct Strings {
    programs: Vec<CString>,
    argv: Vec<CString>,
    env: Vec<CString>,
}

impl Strings {
    fn new(recipe: &Recipe<'_>) -> io::Result<Self> {
        let names: Vec<&str> = recipe.listeners.iter().map(|(_, name)| *name).collect();
        let env = worker_env(std::env::vars_os(), recipe.env, recipe.identity, &names);
        let path = env.get(OsStr::new("PATH"));
        let programs = candidates(
            recipe.program,
            path.map_or(DEFAULT_PATH.as_ref(), |path| path),
        );
        let argv = [recipe.program].into_iter();
        let argv = argv.chain(recipe.args.iter().map(OsString::as_os_str));
        let env = env
            .iter()
            .map(|(name, value)| CString::new([name.as_bytes(), b"=", value.as_bytes()].concat()));
        Ok(Self {
            programs: programs
                .into_iter()
                .map(CString::new)
                .collect::<Result<_, _>>()?,
            argv: argv
                .map(|arg| CString::new(arg.as_bytes()))
                .collect::<Result<_, _>>()?,
            env: env.collect::<Result<_, _>>()?,
        })
    }

    fn tried(&self) -> impl Iterator<Item = &Path> {
        let programs = self.programs.iter();
        programs.map(|program| Path::new(OsStr::from_bytes(program.as_bytes())))
    }
}

/// The files that a command may be, in the order in which `execvp(3)` tries them.
fn candidates(program: &OsStr, path: &OsStr) -> Vec<Vec<u8>> {
    let program = program.as_bytes();
    if program.is_empty() {
        return Vec::new();
    }
    if program.contains(&b'/') {
        return vec![program.to_vec()];
    }
    let in_dir = |dir: &[u8]| match dir {
        b"" => program.to_vec(),
        dir => [dir, b"/", program].concat(),
    };
    path.as_bytes()
        .split(|byte| *byte == b':')
        .map(in_dir)
        .collect()
}

/// The list that `execve(2)` takes: every string, then a null pointer.
fn pointers(strings: &[CString], last: Option<&[Cell<u8>]>) -> Vec<*const c_char> {
    let strings = strings.iter().map(|string| string.as_ptr());
    let last = last.map(|string| string.as_ptr().cast::<c_char>());
    strings.chain(last).chain([ptr::null()]).collect()
}

/// A descriptor above all that are open, and above those that other threads open until the child
/// has a table of its own.
fn above_all_fds() -> RawFd {
    const MEANWHILE: RawFd = 1 << 10;
    // Where it cannot be read: above any limit that a process without `/proc` is likely to have,
    // and passed in a fraction of a second.
    const UNKNOWN: RawFd = 1 << 20;
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else {
        return UNKNOWN;
    };
    let names = entries.filter_map(|entry| Some(entry.ok()?.file_name()));
    let fds = names.filter_map(|name| name.to_str()?.parse().ok());
    fds.max()
        .map_or(UNKNOWN, |fd: RawFd| fd.saturating_add(MEANWHILE))
}

fn describe(step: Step) -> &'static str {
    match step {
        Step::Clone => "the system has no room for another process",
        Step::Group => "it could not get a process group of its own",
        Step::DieWithMaster => "its master ended meanwhile",
        Step::Stdin => "/dev/null could not be opened as its standard input",
        Step::Descriptors => "its descriptors could not be put in place",
        Step::Mask => "its signals could not be unblocked",
        Step::Exec => "the system would not execute it",
    }
}
