//! What has no safe wrapper: a descriptor that was inherited by its number, forks, and memory that
//! is mapped ([`Mapping`]).
//!
//! One of the two modules of this crate with `unsafe` code; the other is what runs in the child
//! between `clone` and `execve`.

#![allow(
    unsafe_code,
    reason = "descriptor numbers from the environment, pthread_atfork and mapped memory have no \
              safe wrapper"
)]

mod mapping;
mod thread;

pub(crate) use mapping::Mapping;
pub(crate) use thread::Thread;

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, Once, PoisonError};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::socket::{SockType, getsockopt, sockopt};

/// A lock of all bytes that a file has or will have, against everybody else's: for `fcntl(2)`.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the constants are made for these fields"
)]
pub(crate) const WHOLE: libc::flock = libc::flock {
    l_type: libc::F_WRLCK as libc::c_short,
    l_whence: libc::SEEK_SET as libc::c_short,
    l_start: 0,
    l_len: 0,
    l_pid: 0,
};

/// The numbers that have an owner already.
static TAKEN: Mutex<BTreeSet<RawFd>> = Mutex::new(BTreeSet::new());

/// Becomes the owner of a stream socket that this process was started with. It is close-on-exec
/// from here on, so that what this process starts does not hold it open.
///
/// # Errors
/// The number names nothing or something else, which is left alone: the environment may tell lies.
/// Or (`AlreadyExists`) it has become somebody's before.
pub(crate) fn take_inherited(fd: RawFd) -> io::Result<OwnedFd> {
    let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
    if taken.contains(&fd) {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    // SAFETY: the borrow ends before anything is closed, and the kernel itself tells in its first
    // use whether the number is open.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    if getsockopt(&borrowed, sockopt::SockType)? != SockType::Stream {
        return Err(Errno::EPROTOTYPE.into());
    }
    fcntl(borrowed, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    taken.insert(fd);
    // SAFETY: the number is open (just checked); it was handed to this process at its start by
    // name in the environment, so no other code here created it; and `TAKEN` makes it somebody's
    // only once.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

static FORKS: AtomicU32 = AtomicU32::new(0);
static WATCH: Once = Once::new();

/// How often this process and those before it were forked, counted from the first call: a child
/// that goes on where its parent was finds another number than its parent.
///
/// Asking for the process id at each call would cost a system call (154 ns where this was
/// measured); the counter that `fork` itself advances costs a load. `vfork` and `posix_spawn` do
/// not advance it and need not: what they start is another program.
pub(crate) fn forks() -> u32 {
    WATCH.call_once(|| {
        // SAFETY: the handler is a function that lives as long as the program, and does nothing
        // but an atomic addition, which is allowed between fork and exec (signal-safety(7)).
        let failed = unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
        if failed != 0 {
            tracing::warn!(errno = failed, "forks of this process cannot be noticed");
        }
    });
    FORKS.load(Ordering::Relaxed)
}

extern "C" fn in_child() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::testing::{self, LONG};
    use crate::client::{Broken, CallError};
    use crate::cluster::{Options, Source};
    use crate::config::{Standalone, Syncing};
    use crate::error::Error;
    use crate::protocol::Request;
    use nix::sys::wait::{WaitStatus, waitpid};
    use nix::unistd::{ForkResult, fork};
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_number_becomes_an_owner_once_and_is_closed_on_exec() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        // Far above what other tests of this process open and close meanwhile.
        let high = fcntl(&ours, FcntlArg::F_DUPFD(900)).unwrap();
        let owned = take_inherited(high).unwrap();
        let flags = fcntl(&owned, FcntlArg::F_GETFD).unwrap();
        assert_eq!(FdFlag::from_bits_truncate(flags), FdFlag::FD_CLOEXEC);
        let again = take_inherited(high).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(owned.as_raw_fd(), high);
    }

    #[test]
    fn a_number_that_names_nothing_is_refused() {
        let error = take_inherited(1_000_000).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EBADF));
    }

    #[test]
    fn what_is_no_stream_socket_is_left_alone() {
        let file = std::fs::File::open("/dev/null").unwrap();
        let datagrams = std::os::unix::net::UnixDatagram::unbound().unwrap();
        for (fd, errno) in [
            (file.as_raw_fd(), libc::ENOTSOCK),
            (datagrams.as_raw_fd(), libc::EPROTOTYPE),
        ] {
            for _ in 0..2 {
                let error = take_inherited(fd).unwrap_err();
                assert_eq!(error.raw_os_error(), Some(errno));
            }
        }
        file.metadata().unwrap();
    }

    #[test]
    fn a_forked_child_is_refused_and_its_parent_goes_on() {
        let (connection, master) = testing::served();
        let ping = || connection.call(&Request::Ping, LONG, |_| Ok(()));
        in_forked_child(|| matches!(ping(), Err(CallError::NotSent(Broken::Forked))));
        ping().unwrap();
        drop(connection);
        master.join().unwrap();
    }

    #[test]
    fn a_forked_child_leaves_the_file_of_its_parents_store_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let store = Options {
            standalone: Standalone::Always,
            store: Source::file(&path, Syncing::EverySecond),
            ..Options::default()
        };
        let store = store.create().unwrap();
        store.set("key", "value").unwrap();
        in_forked_child(|| matches!(store.get("key"), Err(Error::Backend(_))));
        // Nor does it wait for threads that only its parent has.
        let given_up = std::cell::Cell::new(Some(store.clone()));
        in_forked_child(|| given_up.take().is_some());
        drop(given_up);
        assert_eq!(store.get("key").unwrap().unwrap().value, b"value");
    }

    /// `is_so` must allocate nothing much and take no lock.
    fn in_forked_child(is_so: impl Fn() -> bool) {
        // SAFETY: the child only makes a call that is refused at once, and ends without running
        // anything else.
        match unsafe { fork() }.unwrap() {
            ForkResult::Child => {
                let code = i32::from(!is_so());
                // SAFETY: `_exit` may be called anywhere.
                unsafe { libc::_exit(code) }
            }
            ForkResult::Parent { child } => {
                assert_eq!(waitpid(child, None).unwrap(), WaitStatus::Exited(child, 0));
            }
        }
    }
}
