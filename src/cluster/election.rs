//! Who is the master: connect to it and, if nobody is, become it.
//!
//! The mastership is a held lock on a file beside the socket, so it ends with its holder however
//! that ends, and no socket file left behind can claim it. Losers connect. The steps are tmux's,
//! hardened:
//!
//! 1. connect; done if somebody answers;
//! 2. take the lock without waiting; if it is held, somebody serves or is about to: back off with
//!    jitter and start again, up to the deadline;
//! 3. connect once more, because a master may have come and gone in between;
//! 4. bind under a temporary name, listen, rename into place, and keep the lock for life.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::link::{Keeper, Link, Local};
use super::options::{Options, Role};
use super::serving::Serving;
use crate::client::{ConnectOptions, Connection};
use crate::error::{Error, Result};
use crate::net::{Mastership, PlaceError};
use crate::time::{Clock, SystemClock};

/// The first wait between two attempts; doubled up to [`LONGEST_PAUSE`], each half at random.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// Connects to the master, waiting for one up to the deadline.
pub(super) fn connect(options: &Options, deadline: Instant) -> Result<Link> {
    let path = options.socket_path()?;
    let mut pauses = Pauses::new(deadline);
    loop {
        match try_connect(options, &path, deadline)? {
            Ok(link) => return Ok(link),
            Err(source) => pauses.pause().map_err(|()| Error::Unreachable {
                path: path.clone(),
                source,
            })?,
        }
    }
}

/// Connects to the master, who must be there.
#[cfg(feature = "cli")]
pub(super) fn connect_now(options: &Options) -> Result<Link> {
    let path = options.socket_path()?;
    let deadline = crate::client::after(Instant::now(), options.timeout);
    try_connect(options, &path, deadline)?.map_err(|source| Error::Unreachable { path, source })
}

/// Becomes the master, or fails because there is one.
pub(super) fn serve(options: &Options) -> Result<Link> {
    let path = options.socket_path()?;
    let mastership = Mastership::acquire(&path)?;
    start(options, &mastership)
}

/// Connects to the master or becomes it.
pub(super) fn connect_or_serve(options: &Options, deadline: Instant) -> Result<Link> {
    let path = options.socket_path()?;
    let mut pauses = Pauses::new(deadline);
    loop {
        let source = match try_connect(options, &path, deadline)? {
            Ok(link) => return Ok(link),
            Err(source) => source,
        };
        match Mastership::acquire(&path) {
            Ok(mastership) => {
                if let Ok(link) = try_connect(options, &path, deadline)? {
                    return Ok(link);
                }
                return start(options, &mastership);
            }
            Err(PlaceError::Held { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        pauses.pause().map_err(|()| Error::Unreachable {
            path: path.clone(),
            source,
        })?;
    }
}

/// One attempt. The inner error means that nobody serves; the outer that trying on is no use.
fn try_connect(
    options: &Options,
    path: &Path,
    deadline: Instant,
) -> Result<std::result::Result<Link, io::Error>> {
    let how = ConnectOptions {
        secret: options.secret.clone(),
        timeout: options.timeout,
    };
    match Connection::to_path(path, &how, deadline) {
        Ok(connection) => Ok(Ok(Link::Remote(Arc::new(connection)))),
        Err(Error::Unreachable { source, .. }) => Ok(Err(source)),
        Err(error) => Err(error),
    }
}

fn start(options: &Options, mastership: &Mastership) -> Result<Link> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let backend = options.open_backend(Role::Master, clock.as_ref())?;
    let (shared, time) = (Arc::clone(&backend), Arc::clone(&clock));
    let serving = Serving::start(options, Some(mastership), shared, time)?;
    let controller = serving.controller().clone();
    let keeper = Keeper::Thread(serving);
    let local = Local::new(backend, clock, &options.limits, keeper);
    Ok(Link::Local(local.served_by(&controller)))
}

/// Waits between attempts: exponential, jittered, bounded by a deadline.
struct Pauses {
    next: Duration,
    deadline: Instant,
}

impl Pauses {
    fn new(deadline: Instant) -> Self {
        Self {
            next: FIRST_PAUSE,
            deadline,
        }
    }

    /// Sleeps; fails if there is no time left for another attempt then, so that what is told is
    /// the last attempt's reason and not that its time was over.
    fn pause(&mut self) -> std::result::Result<(), ()> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let pause = self.next.mul_f64(0.5 + fastrand::f64());
        thread::sleep(pause.min(left));
        self.next = (self.next * 2).min(LONGEST_PAUSE);
        if pause < left { Ok(()) } else { Err(()) }
    }
}
