//! A connection to a master: how one is made, and one call on it.
//!
//! Used by the handle of a store above, and by whoever wants to speak to a master without one.
//! Nothing is retried here; [`CallError`] says what may be.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use super::error::{Broken, CallError, check_limits, refusal};
use super::exchange::{Cause, Encode, Exchange, Halt, Sink};
use super::greeting::{self, Trust};
#[cfg(feature = "tokio")]
use super::input::Input;
use super::socket::Socket;
use crate::config::Limits;
use crate::error::{Error, Result};
use crate::protocol::auth::Secret;
use crate::protocol::frame::Frame;
use crate::protocol::message::Welcome;
use crate::protocol::{Reply, Request, codec};

/// How to connect.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ConnectOptions {
    /// What the master at a path must know, and what is proved to it.
    pub secret: Option<Secret>,
    /// How long a call may take where nothing else is said, and the greeting of an inherited
    /// channel.
    pub timeout: Duration,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self {
            secret: None,
            timeout: Duration::from_secs(5),
        }
    }
}

/// A connection to a master, for any number of threads at once: each waits for its own reply.
///
/// After a `fork` the child must make its own; calls on its parent's fail with
/// [`Broken::Forked`].
///
/// ```no_run
/// use std::path::Path;
/// use std::time::{Duration, Instant};
/// use memstore_cluster::client::{ConnectOptions, Connection};
/// use memstore_cluster::protocol::{Reply, Request};
///
/// let soon = Instant::now() + Duration::from_secs(1);
/// let connection = Connection::to_path(Path::new("app.sock"), &ConnectOptions::default(), soon)?;
/// let length = connection.call(&Request::Length, connection.timeout(), |reply| match reply {
///     Reply::Length(length) => Ok(length),
///     other => panic!("{other:?} is no length"),
/// })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Connection {
    exchange: Exchange,
    welcome: Welcome,
    timeout: Duration,
}

impl Connection {
    /// Greets the master over the channel that it gave this worker.
    ///
    /// # Errors
    /// [`Error::Config`] if `fd` is no open stream socket, [`Error::MasterGone`] if nobody is at
    /// the other end, [`Error::Timeout`] if it does not answer, [`Error::Protocol`] if it is no
    /// master or one of another version.
    pub fn from_channel(fd: OwnedFd, options: &ConnectOptions) -> Result<Self> {
        let socket = Socket::adopt(fd)?;
        let deadline = after(Instant::now(), options.timeout);
        Self::greet(socket, Trust::Inherited, options, deadline)
            .map_err(|error| error.into_greeting_error(|_| Error::MasterGone))
    }

    /// Connects to the master that serves the socket at `path`: one attempt, until `deadline`.
    ///
    /// # Errors
    /// [`Error::Unreachable`] if nobody serves it, it goes away meanwhile or it has as many
    /// connections as it takes (worth another attempt), [`Error::Authentication`] if one side
    /// cannot prove the secret or the master does not let this user in, [`Error::Timeout`] and [`Error::Protocol`] as above, [`Error::Config`] for a path that no
    /// socket can have.
    pub fn to_path(path: &Path, options: &ConnectOptions, deadline: Instant) -> Result<Self> {
        let socket = Socket::connect(path, deadline)?;
        Self::greet(socket, Trust::ByProof, options, deadline).map_err(|error| {
            error.into_greeting_error(|broken| Error::Unreachable {
                path: path.to_owned(),
                source: io::Error::new(io::ErrorKind::ConnectionAborted, broken),
            })
        })
    }

    fn greet(
        socket: Socket,
        trust: Trust,
        options: &ConnectOptions,
        deadline: Instant,
    ) -> Result<Self, CallError> {
        let mut connection = Self {
            exchange: Exchange::new(socket, Limits::UNTRUSTED_BODY),
            welcome: greeting::STRANGER,
            timeout: options.timeout,
        };
        let secret = options.secret.as_ref();
        connection.welcome = greeting::greet(&connection, trust, secret, deadline)?;
        let max_body = usize::try_from(connection.welcome.max_body).unwrap_or(usize::MAX);
        connection.exchange.set_max_body(max_body);
        Ok(connection)
    }

    /// What the master said of itself: what it can do, its limits, this worker's slot.
    pub fn welcome(&self) -> &Welcome {
        &self.welcome
    }

    /// How long a call may take where nothing else is said.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Whether it is known that every further call will be [`CallError::NotSent`]. A connection
    /// that nobody uses does not notice its end.
    pub fn is_broken(&self) -> bool {
        self.exchange.is_broken()
    }

    /// What it is made of: the socket, what was read from it and not used, and the welcome.
    #[cfg(feature = "tokio")]
    pub(super) fn into_parts(self) -> (Socket, Input, Welcome) {
        let (socket, input) = self.exchange.into_parts();
        (socket, input, self.welcome)
    }

    /// Sends a request and waits for its reply, which `read` decodes where it lies. An error reply
    /// does not come to `read`.
    ///
    /// `read` must be quick and must not use this connection: others may wait for it.
    ///
    /// # Errors
    /// [`CallError`]. Where the time is over it is [`Error::Timeout`], and the connection can be
    /// used further if the request was written whole or not at all.
    pub fn call<R>(
        &self,
        request: &Request<'_>,
        timeout: Duration,
        read: impl FnOnce(Reply<'_>) -> Result<R>,
    ) -> Result<R, CallError> {
        let start = Instant::now();
        self.call_until(request, start, after(start, timeout), read)
    }

    pub(super) fn call_until<R>(
        &self,
        request: &Request<'_>,
        start: Instant,
        deadline: Instant,
        read: impl FnOnce(Reply<'_>) -> Result<R>,
    ) -> Result<R, CallError> {
        check_limits(request, &self.welcome)?;
        let (mut len, mut read, mut result) = (0, Some(read), None);
        let done = self.exchange.run(
            1,
            deadline,
            &mut |out, id| {
                codec::write_request(out, id, request);
                len = out.len();
            },
            &mut |_, frame| {
                if let Some(read) = read.take() {
                    result = Some(self.reply(request, frame, start).and_then(read));
                }
                Ok(())
            },
        );
        match (result, done) {
            (Some(result), _) => Ok(result?),
            (None, Ok(())) => unreachable!("the exchange gives one reply for one request"),
            (None, Err(halt)) => Err(halted(&halt, len, request, start)),
        }
    }

    pub(super) fn run(
        &self,
        count: u32,
        deadline: Instant,
        encode: &mut Encode<'_>,
        sink: &mut Sink<'_>,
    ) -> Result<(), Halt> {
        self.exchange.run(count, deadline, encode, sink)
    }

    /// The reply in a frame, where it is none of an error.
    pub(super) fn reply<'a>(
        &self,
        request: &Request<'_>,
        frame: Frame<'a>,
        start: Instant,
    ) -> Result<Reply<'a>> {
        match codec::read_reply(frame) {
            Ok(Reply::Error(failure)) => {
                Err(refusal(failure, request, &self.welcome, start.elapsed()))
            }
            Ok(reply) => Ok(reply),
            Err(error) => Err(Error::Protocol(error.to_string())),
        }
    }
}

/// To be polled for the master's end, never to be read or written.
impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.exchange.socket().as_fd()
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("fd", &self.as_fd().as_raw_fd())
            .field("welcome", &self.welcome)
            .finish_non_exhaustive()
    }
}

impl CallError {
    /// The error of whoever could not even greet; `gone` says where nobody was found.
    fn into_greeting_error(self, gone: impl FnOnce(Broken) -> Error) -> Error {
        match self {
            Self::Failed(error) => error,
            Self::NotSent(Broken::Protocol(message)) | Self::Lost(Broken::Protocol(message)) => {
                Error::Protocol(message)
            }
            Self::NotSent(Broken::Refused(message)) | Self::Lost(Broken::Refused(message)) => {
                Error::Authentication(message.into())
            }
            Self::NotSent(broken) | Self::Lost(broken) => gone(broken),
        }
    }
}

/// The error of a request whose last byte was the `end`th of what was to be written.
pub(super) fn halted(halt: &Halt, end: usize, request: &Request<'_>, start: Instant) -> CallError {
    match &halt.cause {
        Cause::TimedOut => CallError::Failed(Error::Timeout {
            operation: request.op().name(),
            after: start.elapsed(),
        }),
        Cause::Broken(broken) if halt.written < end || end == 0 => {
            CallError::NotSent(broken.clone())
        }
        Cause::Broken(broken) => CallError::Lost(broken.clone()),
    }
}

/// `timeout` after `start`, or a year where that is more than the clock can tell.
pub(crate) fn after(start: Instant, timeout: Duration) -> Instant {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
    start + timeout.min(YEAR)
}

#[cfg(test)]
#[path = "connection_tests.rs"]
mod tests;
