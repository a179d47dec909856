//! What a worker inherits from its master: descriptors named by the environment.
//!
//! Each is taken over once, however often a program asks; see [`sys::take_inherited`].

use std::env;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixListener;
use std::sync::{Arc, Mutex, PoisonError};

use nix::sys::socket::{AddressFamily, SockaddrLike, SockaddrStorage, getsockname};

use super::options::Options;
#[cfg(feature = "tokio")]
use crate::client::Multiplexed;
use crate::client::{ConnectOptions, Connection};
use crate::error::{Error, Result};
use crate::sys;

/// Where numbers of the `LISTEN_FDS` protocol start (`sd_listen_fds(3)`).
const LISTEN_FDS_START: RawFd = 3;

/// A listening socket that the master opened and every worker shares.
#[derive(Debug)]
#[non_exhaustive]
pub enum Listener {
    /// At a TCP address.
    Tcp(TcpListener),
    /// At a path.
    Unix(UnixListener),
}

/// What is made of the inherited channel: a process has one, whoever asks and how often.
enum Channel {
    Unused,
    /// For threads.
    Shared(Arc<Connection>),
    /// For tasks.
    #[cfg(feature = "tokio")]
    Multiplexed(Arc<Multiplexed>),
}

static CHANNEL: Mutex<Channel> = Mutex::new(Channel::Unused);

/// The connection for threads over the channel with this number; `None` where tasks have it.
pub(super) fn connection(fd: RawFd, options: &Options) -> Result<Option<Arc<Connection>>> {
    let mut channel = CHANNEL.lock().unwrap_or_else(PoisonError::into_inner);
    match &*channel {
        Channel::Shared(connection) => return Ok(Some(Arc::clone(connection))),
        #[cfg(feature = "tokio")]
        Channel::Multiplexed(_) => return Ok(None),
        Channel::Unused => {}
    }
    let connection = Arc::new(greet(fd, options)?);
    *channel = Channel::Shared(Arc::clone(&connection));
    Ok(Some(connection))
}

/// The connection for tasks over the channel with this number; `None` where threads have it.
#[cfg(feature = "tokio")]
pub(super) fn multiplexed(fd: RawFd, options: &Options) -> Result<Option<Arc<Multiplexed>>> {
    let mut channel = CHANNEL.lock().unwrap_or_else(PoisonError::into_inner);
    match &*channel {
        Channel::Multiplexed(connection) => return Ok(Some(Arc::clone(connection))),
        Channel::Shared(_) => return Ok(None),
        Channel::Unused => {}
    }
    let connection = Arc::new(Multiplexed::start(greet(fd, options)?)?);
    *channel = Channel::Multiplexed(Arc::clone(&connection));
    Ok(Some(connection))
}

fn greet(fd: RawFd, options: &Options) -> Result<Connection> {
    let how = ConnectOptions {
        // Having the channel is the proof.
        secret: None,
        timeout: options.timeout,
    };
    Connection::from_channel(channel(fd)?, &how)
}

/// Becomes the owner of the channel with this number.
fn channel(fd: RawFd) -> Result<OwnedFd> {
    sys::take_inherited(fd).map_err(|source| match source.kind() {
        // It was a channel; the connection over it came to nothing.
        io::ErrorKind::AlreadyExists => Error::MasterGone,
        _ => Error::Config(format!(
            "MEMSTORE_FD={fd} is no channel to a master ({source}): this process did not inherit \
             its worker's. Connect by the path in MEMSTORE_SOCK instead, and unset MEMSTORE_FD"
        )),
    })
}

/// Becomes the owner of all listeners that are meant for this process (`LISTEN_PID`). A second
/// call finds none.
pub(super) fn listeners() -> Result<Vec<Listener>> {
    let number = |name: &str| env::var(name).ok()?.parse::<u32>().ok();
    if number("LISTEN_PID") != Some(std::process::id()) {
        return Ok(Vec::new());
    }
    let count = RawFd::try_from(number("LISTEN_FDS").unwrap_or(0)).unwrap_or(0);
    let numbers = LISTEN_FDS_START..LISTEN_FDS_START.saturating_add(count);
    let mut listeners = Vec::new();
    for fd in numbers {
        match sys::take_inherited(fd) {
            Ok(owned) => listeners.push(listener(owned)?),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => {
                return Err(Error::Config(format!(
                    "LISTEN_FDS={count}, but descriptor {fd} is no listening socket: {error}"
                )));
            }
        }
    }
    Ok(listeners)
}

pub(super) fn listener(fd: OwnedFd) -> Result<Listener> {
    let address = getsockname::<SockaddrStorage>(fd.as_raw_fd())
        .map_err(|errno| Error::io("tell what kind of socket was inherited")(errno.into()))?;
    Ok(match address.family() {
        Some(AddressFamily::Unix) => Listener::Unix(fd.into()),
        _ => Listener::Tcp(fd.into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_names_nothing_is_said() {
        let error = channel(1_000_000).unwrap_err().to_string();
        assert!(
            error.contains("MEMSTORE_FD=1000000") && error.contains("MEMSTORE_SOCK"),
            "{error}"
        );
    }

    #[test]
    fn the_kind_of_a_listener_is_found_out() {
        let tcp: OwnedFd = TcpListener::bind("127.0.0.1:0").unwrap().into();
        assert!(matches!(listener(tcp).unwrap(), Listener::Tcp(_)));
        let dir = tempfile::tempdir().unwrap();
        let unix: OwnedFd = UnixListener::bind(dir.path().join("s")).unwrap().into();
        assert!(matches!(listener(unix).unwrap(), Listener::Unix(_)));
    }
}
