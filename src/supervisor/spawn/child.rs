//! The system calls around a child for which neither std nor nix has a safe wrapper: the one file
//! of the supervisor with `unsafe` code.
//!
//! Here lives what runs between `clone` and `execve`, and the raw `waitpid`. What is to be done is
//! decided, and everything for it allocated, before: see [`Plan`]. Called by [`super::Spawner`]
//! and `reap`.
//!
//! The child runs in the parent's memory, on a stack of its own, while the parent's thread is
//! stopped until the child executes its program or ends (`CLONE_VM | CLONE_VFORK`): no page table
//! is copied, however large the store is. The price is that the child may do nothing that another
//! thread of the parent could notice: the functions between the marked lines make system calls and
//! write to the [`Plan`]; none allocates, locks or panics. The nix functions used there are
//! those that are one system call each.

#![allow(unsafe_code)]

use std::cell::Cell;
use std::convert::Infallible;
use std::ffi::{CString, c_char, c_int, c_uint, c_void};
use std::io;
use std::os::fd::RawFd;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::ptr;

use nix::errno::Errno;
use nix::sched::CloneFlags;
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::unistd::{Pid, getpid, getppid, setpgid};

/// Where the digits of `LISTEN_PID` begin in its string.
pub(super) const LISTEN_PID: &[u8] = b"LISTEN_PID=";
/// Room for a pid's digits and the NUL behind them.
pub(super) const PID_ROOM: usize = 11;

/// What the child does. Every list of pointers ends with a null pointer.
pub(super) struct Plan<'a> {
    /// The files to try in turn.
    pub programs: &'a [CString],
    pub argv: &'a [*const c_char],
    /// `/bin/sh`, room for the program's path, the arguments.
    pub script_argv: &'a [Cell<*const c_char>],
    pub envp: &'a [*const c_char],
    /// The room for the digits in the string `LISTEN_PID=`, if that is part of the environment.
    pub listen_pid: Option<&'a [Cell<u8>]>,
    /// What shall be at 3 and up.
    pub fds: &'a [Cell<RawFd>],
    /// What else is open must not reach the program.
    pub others: Others,
    /// The process whose child this must still be when it is told to die with it.
    pub master: Pid,
}

/// How the descriptors that are not handed over are kept from the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Others {
    /// By one `close_range(2)`.
    CloseRange,
    /// One by one, below this one.
    Below(RawFd),
}

/// Where the child failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Clone,
    Group,
    DieWithMaster,
    Stdin,
    Descriptors,
    Mask,
    Exec,
}

/// Starts a child and returns its pid when it executes its program. When it fails it is collected
/// before this returns.
pub(super) fn start(stack: &mut Stack, plan: &Plan<'_>) -> Result<Pid, (Step, Errno)> {
    let failure = Cell::new(None);
    // A handler of the parent that ran in the child would work on the parent's memory.
    let mask = SigSet::all()
        .thread_swap_mask(SigmaskHow::SIG_SETMASK)
        .map_err(|errno| (Step::Mask, errno))?;
    let body = || {
        let Err(why) = run(plan);
        failure.set(Some(why));
        // SAFETY: `_exit` ends this process only and runs no handlers of the parent's.
        unsafe { libc::_exit(127) }
    };
    // SAFETY: the child runs only `run`, which keeps this file's promise; its stack outlives it,
    // because this thread goes on only when the child has left this memory, and is large for what
    // `run` calls, with a guard page below.
    let pid = unsafe {
        nix::sched::clone(
            Box::new(body),
            stack.memory(),
            CloneFlags::CLONE_VM | CloneFlags::CLONE_VFORK,
            Some(libc::SIGCHLD),
        )
    };
    mask.thread_set_mask()
        .expect("a mask that was in force can be set");
    let pid = pid.map_err(|errno| (Step::Clone, errno))?;
    match failure.get() {
        None => Ok(pid),
        Some(why) => {
            // The embedding program may have collected it already; then there is nothing to do.
            let _ = wait(pid.as_raw(), Wait::Block);
            Err(why)
        }
    }
}

// ---- from here on, what runs in the child ----

fn run(plan: &Plan<'_>) -> Result<Infallible, (Step, Errno)> {
    default_signals();
    let at = |step: Step| move |errno: Errno| (step, errno);
    setpgid(Pid::from_raw(0), Pid::from_raw(0)).map_err(at(Step::Group))?;
    die_with(plan.master).map_err(at(Step::DieWithMaster))?;
    // Sources move out of the way before anything is placed, so that nothing lands on a
    // descriptor that is still needed.
    let above = first_above(plan.fds);
    move_above(plan.fds, above).map_err(at(Step::Descriptors))?;
    stdin_from_null().map_err(at(Step::Stdin))?;
    place(plan.fds).map_err(at(Step::Descriptors))?;
    hide(above, plan.others).map_err(at(Step::Descriptors))?;
    if let Some(room) = plan.listen_pid {
        write_decimal(getpid().as_raw(), room);
    }
    // Last: a signal that is delivered from here on finds no handler.
    SigSet::empty().thread_set_mask().map_err(at(Step::Mask))?;
    exec(plan).map_err(at(Step::Exec))
}

/// Resets every signal. `SIGHUP` too where the master was started under `nohup`: a terminal that
/// goes away does not signal a worker, which is in a group of its own, and a program that was
/// sent `SIGHUP` by its master should heed it.
///
/// The C library's functions refuse the two signals that it keeps for itself, and those can have
/// been ignored by whoever started the master; so the kernel is asked directly.
fn default_signals() {
    // Whatever the order of the kernel's fields here, zero is the default, without flags.
    let default = [0_usize; 8];
    let last = libc::SIGRTMAX();
    let mask_size = (last + 7) / 8;
    for signal in 1..=last {
        // SAFETY: the kernel reads from `default` less than it has, and the default disposition
        // refers to no memory. `KILL` and `STOP` are refused and need no change.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                default.as_ptr(),
                ptr::null::<usize>(),
                mask_size,
            )
        };
    }
}

/// `SIGKILL`, because a worker whose master is gone has nobody to enforce a deadline, and would
/// hold the listeners that the next master wants.
fn die_with(master: Pid) -> Result<(), Errno> {
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
    // The master may have died before that call. A parent outside of this PID namespace shows as
    // 0, alive or not.
    match getppid().as_raw() {
        0 => Ok(()),
        parent if parent == master.as_raw() => Ok(()),
        _ => Err(Errno::ESRCH),
    }
}

/// The first descriptor above those that will be placed.
fn first_above(fds: &[Cell<RawFd>]) -> RawFd {
    // A process has never so many descriptors.
    RawFd::try_from(super::env::FIRST_FD + fds.len()).unwrap_or(RawFd::MAX)
}

fn move_above(fds: &[Cell<RawFd>], above: RawFd) -> Result<(), Errno> {
    for fd in fds.iter().filter(|fd| fd.get() < above) {
        // SAFETY: this duplicates a descriptor in a table that only this process has.
        let moved = unsafe { libc::fcntl(fd.get(), libc::F_DUPFD_CLOEXEC, above) };
        fd.set(Errno::result(moved)?);
    }
    Ok(())
}

/// A background process group that reads the terminal would be stopped.
fn stdin_from_null() -> Result<(), Errno> {
    // SAFETY: the path is a string of this program's text.
    let null = unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDONLY) };
    // It is 0 where 0 was closed, and else below `above`, where a placed descriptor replaces it,
    // or above, where it is hidden with the others.
    put(Errno::result(null)?, libc::STDIN_FILENO)
}

fn place(fds: &[Cell<RawFd>]) -> Result<(), Errno> {
    for (target, fd) in (3..).zip(fds) {
        put(fd.get(), target)?;
    }
    Ok(())
}

/// Makes `target` the same as `fd`, open across `execve`.
fn put(fd: RawFd, target: RawFd) -> Result<(), Errno> {
    // SAFETY: this changes a table of descriptors that only this process has.
    Errno::result(unsafe { libc::dup2(fd, target) }).map(drop)
}

fn hide(first: RawFd, others: Others) -> Result<(), Errno> {
    match others {
        Others::CloseRange => close_range(first.unsigned_abs(), c_uint::MAX),
        Others::Below(end) => {
            for fd in first..end {
                // SAFETY: this changes a flag of a descriptor that only this process has. One
                // that is not open is refused, and is as good as hidden.
                unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
            }
            Ok(())
        }
    }
}

fn write_decimal(pid: i32, room: &[Cell<u8>]) {
    let digits = pid.checked_ilog10().unwrap_or(0);
    let places = (0..=digits).rev().map(|place| 10_i32.pow(place));
    let text = places.map(|place| b"0123456789"[(pid / place % 10).unsigned_abs() as usize]);
    for (cell, byte) in room.iter().zip(text.chain([0])) {
        cell.set(byte);
    }
}

/// As `execvp(3)`: every directory is tried, one without permission is remembered, and a file
/// that no loader knows is a script for the shell.
fn exec(plan: &Plan<'_>) -> Result<Infallible, Errno> {
    let mut failure = Errno::ENOENT;
    for program in plan.programs {
        let errno = match execve(program.as_ptr(), plan.argv, plan.envp) {
            Errno::ENOEXEC => exec_script(program, plan),
            errno => errno,
        };
        match errno {
            Errno::EACCES => failure = errno,
            Errno::ENOENT | Errno::ENOTDIR | Errno::ESTALE | Errno::ENODEV | Errno::ETIMEDOUT => {}
            errno => return Err(errno),
        }
    }
    Err(failure)
}

fn exec_script(program: &CString, plan: &Plan<'_>) -> Errno {
    if let [_, path, ..] = plan.script_argv {
        path.set(program.as_ptr());
    }
    let argv: *const Cell<*const c_char> = plan.script_argv.as_ptr();
    // SAFETY: a cell has the layout of what is in it, and nothing sets one while this lives.
    let argv = unsafe { std::slice::from_raw_parts(argv.cast(), plan.script_argv.len()) };
    execve(c"/bin/sh".as_ptr(), argv, plan.envp)
}

fn execve(program: *const c_char, argv: &[*const c_char], envp: &[*const c_char]) -> Errno {
    // SAFETY: the plan's strings are NUL-terminated and its lists end with a null pointer.
    unsafe { libc::execve(program, argv.as_ptr(), envp.as_ptr()) };
    Errno::last()
}

/// Marks a range of descriptors close-on-exec (Linux 5.11).
fn close_range(first: c_uint, last: c_uint) -> Result<(), Errno> {
    // SAFETY: this sets a flag of descriptors and refers to no memory. It is called by its number,
    // because not every C library has a function for it.
    let done = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            first,
            last,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
    Errno::result(done).map(drop)
}

// ---- up to here ----

/// Puts these descriptors at 3 and up in this process, which is about to execute another program.
/// The others above 2 will not reach that.
pub(super) fn place_in_this_process(fds: &[RawFd]) -> Result<(), Errno> {
    let fds: Vec<Cell<RawFd>> = fds.iter().copied().map(Cell::new).collect();
    let above = first_above(&fds);
    move_above(&fds, above)?;
    place(&fds)?;
    hide(above, Others::CloseRange).or_else(|_| hide(above, Others::Below(super::above_all_fds())))
}

/// Whether the kernel, and what filters its calls, knows [`close_range`].
pub(super) fn has_close_range() -> bool {
    // Nothing is open at the end of the range.
    close_range(c_uint::MAX, c_uint::MAX).is_ok()
}

/// A stack for a child, with a page below it that cannot be touched.
pub(super) struct Stack {
    bottom: *mut c_void,
    guard: usize,
}

impl Stack {
    /// Many times what the child uses, in an unoptimised build.
    const SIZE: usize = 128 << 10;

    pub(super) fn new() -> io::Result<Self> {
        let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE)?;
        let guard = page.and_then(|page| usize::try_from(page).ok());
        let guard = guard.unwrap_or(64 << 10);
        // SAFETY: this maps fresh memory where nothing is.
        let bottom = unsafe {
            libc::mmap(
                ptr::null_mut(),
                guard + Self::SIZE,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK,
                -1,
                0,
            )
        };
        if bottom == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let stack = Self { bottom, guard };
        // SAFETY: the range is the first page of what was mapped above.
        Errno::result(unsafe { libc::mprotect(bottom, guard, libc::PROT_NONE) })?;
        Ok(stack)
    }

    fn memory(&mut self) -> &mut [u8] {
        // SAFETY: the mapping is `guard` bytes longer than the usable part behind the guard.
        let start = unsafe { self.bottom.cast::<u8>().add(self.guard) };
        // SAFETY: the usable part is mapped, zeroed at first, and only this value knows of it.
        unsafe { std::slice::from_raw_parts_mut(start, Self::SIZE) }
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: the range is exactly what was mapped, and no child runs on it outside of `start`.
        unsafe { libc::munmap(self.bottom, self.guard + Self::SIZE) };
    }
}

/// Whether to wait for a process that still runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::supervisor) enum Wait {
    Block,
    NoHang,
}

/// `waitpid(2)` for one process; `None` while it runs. nix's cannot tell an end by a real-time
/// signal.
pub(in crate::supervisor) fn wait(pid: c_int, wait: Wait) -> io::Result<Option<ExitStatus>> {
    let flags = match wait {
        Wait::Block => 0,
        Wait::NoHang => libc::WNOHANG,
    };
    let mut status = 0;
    loop {
        // SAFETY: `status` is a valid place for the answer.
        match Errno::result(unsafe { libc::waitpid(pid, &raw mut status, flags) }) {
            Ok(0) => return Ok(None),
            Ok(_) => return Ok(Some(ExitStatus::from_raw(status))),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// How a process ended, without collecting it (`waitid(2)` with `WNOWAIT`): the kind of end, a
/// `CLD_` number, and its code or signal. `None` while it runs.
pub(in crate::supervisor) fn look(pid: c_int) -> io::Result<Option<(c_int, c_int)>> {
    let mut info = std::mem::MaybeUninit::<libc::siginfo_t>::zeroed();
    let id = libc::id_t::try_from(pid).unwrap_or(libc::id_t::MAX);
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    loop {
        // SAFETY: `info` is a valid place for the answer.
        match Errno::result(unsafe { libc::waitid(libc::P_PID, id, info.as_mut_ptr(), flags) }) {
            Ok(_) => break,
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    // SAFETY: zeroes are a valid `siginfo_t`, and the kernel has written over them at most.
    let info = unsafe { info.assume_init() };
    // SAFETY: a `siginfo_t` of `waitid` has a process id; zero where nothing has ended.
    if unsafe { info.si_pid() } == 0 {
        return Ok(None);
    }
    // SAFETY: a `siginfo_t` of `waitid` has a status.
    Ok(Some((info.si_code, unsafe { info.si_status() })))
}
