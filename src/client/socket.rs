//! A connected Unix stream socket, as a client needs it.
//!
//! Writing never waits; waiting is for those above, who must read while they wait. No call here
//! raises `SIGPIPE`, whatever the host program made of that signal.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, MsgFlags, Shutdown, SockFlag, SockType, UnixAddr, connect, getsockopt, recv,
    send, setsockopt, shutdown, socket, sockopt,
};
use nix::sys::time::TimeVal;

use crate::error::{Error, Result};

/// A socket that only the client reads and writes.
#[derive(Debug)]
pub(super) struct Socket(OwnedFd);

/// Whether [`Socket::recv`] may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    /// As long as [`Socket::set_patience`] said.
    Patiently,
    /// Not at all.
    Never,
}

/// What [`Socket::poll`] saw. Neither: the time was over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ready {
    /// There are bytes, or the end.
    pub(super) readable: bool,
    /// There is room, or writing would fail.
    pub(super) writable: bool,
}

impl Socket {
    /// Takes an inherited descriptor, which is checked: its number may come from an environment
    /// that tells lies.
    pub(super) fn adopt(fd: OwnedFd) -> Result<Self> {
        let number = fd.as_raw_fd();
        match getsockopt(&fd, sockopt::SockType) {
            Ok(SockType::Stream) => {}
            Ok(_) | Err(Errno::ENOTSOCK) => {
                return Err(Error::Config(format!(
                    "descriptor {number} is no stream socket, so no channel to a master"
                )));
            }
            Err(Errno::EBADF) => {
                // Dropping it would close what another thread opens under this number meanwhile.
                let _ = fd.into_raw_fd();
                return Err(Error::Config(format!(
                    "descriptor {number} is not open, so no channel to a master"
                )));
            }
            Err(error) => {
                return Err(Error::io(format!("use descriptor {number}"))(error.into()));
            }
        }
        let prepare = || -> nix::Result<()> {
            fcntl(&fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
            let flags = OFlag::from_bits_retain(fcntl(&fd, FcntlArg::F_GETFL)?);
            fcntl(&fd, FcntlArg::F_SETFL(flags - OFlag::O_NONBLOCK))?;
            Ok(())
        };
        prepare().map_err(|error| Error::io(format!("use descriptor {number}"))(error.into()))?;
        Ok(Self(fd))
    }

    /// Connects to the socket at `path`, which waits where its backlog is full.
    pub(super) fn connect(path: &Path, deadline: Instant) -> Result<Self> {
        let address = UnixAddr::new(path).map_err(|_| {
            Error::Config(format!(
                "the socket path {} is too long: the system takes about 100 bytes",
                path.display()
            ))
        })?;
        let open = || -> io::Result<OwnedFd> {
            let fd = socket(
                AddressFamily::Unix,
                SockType::Stream,
                SockFlag::SOCK_CLOEXEC,
                None,
            )?;
            loop {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                setsockopt(&fd, sockopt::SendTimeout, &time_val(left))?;
                match connect(fd.as_raw_fd(), &address) {
                    Ok(()) => return Ok(fd),
                    Err(Errno::EINTR | Errno::EAGAIN) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        };
        let fd = open().map_err(|source| Error::Unreachable {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self(fd))
    }

    /// Writes what there is room for.
    pub(super) fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        send_now(self.0.as_fd(), bytes)
    }

    /// Reads what there is; zero bytes are the end. [`io::ErrorKind::WouldBlock`] where nothing
    /// came, [`io::ErrorKind::Interrupted`] where a signal did: only who knows the deadline can
    /// say how long to wait again.
    pub(super) fn recv(&self, room: &mut [u8], wait: Wait) -> io::Result<usize> {
        receive(self.0.as_fd(), room, wait)
    }

    /// How long [`recv`](Self::recv) waits from now on.
    pub(super) fn set_patience(&self, patience: Duration) -> io::Result<()> {
        Ok(setsockopt(
            &self.0,
            sockopt::ReceiveTimeout,
            &time_val(patience),
        )?)
    }

    /// Waits until there is something to read, or where `flags` say so room to write.
    pub(super) fn poll(&self, flags: PollFlags, deadline: Instant) -> io::Result<Ready> {
        let mut fds = [PollFd::new(self.0.as_fd(), flags)];
        uninterrupted(|| {
            let left = deadline.saturating_duration_since(Instant::now());
            poll(&mut fds, poll_timeout(left))
        })?;
        let seen = fds[0].revents().unwrap_or(PollFlags::empty());
        let over = PollFlags::POLLHUP | PollFlags::POLLERR | PollFlags::POLLNVAL;
        Ok(Ready {
            readable: seen.intersects(PollFlags::POLLIN | over),
            writable: seen.intersects(PollFlags::POLLOUT | over),
        })
    }

    /// Ends the connection in both directions; whoever is reading sees the end.
    pub(super) fn shutdown(&self) {
        // It fails where the other end was faster, which is as good.
        let _ = shutdown(self.0.as_raw_fd(), Shutdown::Both);
    }
}

/// To be waited for by somebody else.
#[cfg(feature = "tokio")]
impl From<Socket> for OwnedFd {
    fn from(socket: Socket) -> Self {
        socket.0
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// [`Socket::send`], where somebody else has the socket.
pub(super) fn send_now(socket: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
    uninterrupted(|| send(socket.as_raw_fd(), bytes, flags))
}

/// [`Socket::recv`], where somebody else has the socket.
pub(super) fn receive(socket: BorrowedFd<'_>, room: &mut [u8], wait: Wait) -> io::Result<usize> {
    let flags = match wait {
        Wait::Patiently => MsgFlags::empty(),
        Wait::Never => MsgFlags::MSG_DONTWAIT,
    };
    Ok(recv(socket.as_raw_fd(), room, flags)?)
}

fn uninterrupted<T>(mut call: impl FnMut() -> nix::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            result => return Ok(result?),
        }
    }
}

/// At least a millisecond: to the system zero is for ever.
fn time_val(duration: Duration) -> TimeVal {
    let duration = duration.max(Duration::from_millis(1));
    let seconds = duration.as_secs().min(u64::from(u16::MAX));
    TimeVal::new(
        seconds.try_into().expect("16 bits fit every time type"),
        duration.subsec_micros().into(),
    )
}

/// Rounded up, so that a wait is never repeated for its last fraction of a millisecond.
fn poll_timeout(left: Duration) -> PollTimeout {
    PollTimeout::try_from(left.as_nanos().div_ceil(1_000_000)).unwrap_or(PollTimeout::MAX)
}
