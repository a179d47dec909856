//! Many tasks, one stream: the connection for programs on tokio.
//!
//! A [`Multiplexed`] is made of a [`Connection`] that was greeted, so how a connection starts is
//! written once. A call puts its whole request into the queue in one step, and one task, the
//! [`driver`], writes what is queued, in as few writes as it fits, and reads every reply.
//! [`inflight`] is their shared bookkeeping.
//!
//! The invariant: between two requests in the stream there is nothing, whatever happens to those
//! who asked. A call that is dropped or timed out leaves its request where it is; its reply is
//! thrown away when it comes, and until then it counts as in flight.

mod driver;
mod inflight;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use self::driver::Driver;
use self::inflight::{Frame, InFlight};
use super::connection::Connection;
use super::error::{Broken, CallError, check_limits, key_of, refusal, value_of};
use crate::error::{Error, Result};
use crate::protocol::message::Welcome;
use crate::protocol::{Reply, Request, codec};
use crate::sys;

/// What may be in flight, in units of [`UNIT`] bytes of requests; the smallest request takes one.
/// A request that is larger goes alone.
const UNITS: u32 = 4 << 10;
const UNIT: usize = 1 << 10;

/// A connection to a master, for any number of tasks at once. It ends when this is dropped, or the
/// runtime in which it was started.
#[derive(Debug)]
pub(crate) struct Multiplexed {
    shared: Arc<Shared>,
    welcome: Welcome,
    forks: u32,
}

/// What the callers and the driver share.
#[derive(Debug)]
struct Shared {
    state: Mutex<InFlight>,
    room: Arc<Semaphore>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, InFlight> {
        // Nothing panics while it holds the lock; if it did, the state would still be whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that is queued or sent, and its reply to come. Dropping it gives up the reply, and
/// nothing else.
#[derive(Debug)]
pub(crate) struct Pending {
    reply: oneshot::Receiver<Result<Frame, CallError>>,
    start: Instant,
}

impl Multiplexed {
    /// Goes on with a connection on which nothing is in flight, in a task of the current runtime.
    ///
    /// # Errors
    /// The runtime has no place for another descriptor.
    ///
    /// # Panics
    /// Outside of a tokio runtime, and in one whose I/O is not enabled.
    pub(crate) fn start(connection: Connection) -> Result<Self> {
        let (socket, input, welcome) = connection.into_parts();
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            room: Arc::new(Semaphore::new(UNITS as usize)),
        });
        let driver = Driver::new(socket, input, Arc::clone(&shared))
            .map_err(Error::io("wait for the connection to the master"))?;
        tokio::spawn(driver);
        let forks = sys::forks();
        Ok(Self {
            shared,
            welcome,
            forks,
        })
    }

    /// What the master said of itself.
    pub(crate) fn welcome(&self) -> &Welcome {
        &self.welcome
    }

    /// Sends a request and waits for its reply, which `read` decodes.
    ///
    /// # Errors
    /// As those of [`Connection::call`].
    pub(crate) async fn call<R>(
        &self,
        request: &Request<'_>,
        deadline: Instant,
        read: impl FnOnce(Reply<'_>) -> Result<R>,
    ) -> Result<R, CallError> {
        let mut pending = self.send(request, deadline).await?;
        self.receive(&mut pending, request, deadline, read).await
    }

    /// Sends a request to whose reply nobody listens.
    pub(crate) fn tell(&self, request: &Request<'_>) {
        if sys::forks() != self.forks {
            return;
        }
        // It is small, and may come from where nothing can be waited for.
        let room = Arc::clone(&self.shared.room).try_acquire_many_owned(0);
        let room = room.expect("nobody closes the semaphore, and none is wanted");
        let entered = self
            .shared
            .lock()
            .enter(oneshot::channel().0, room, |out, id| {
                codec::write_request(out, id, request);
            });
        if let Ok(Some(driver)) = entered {
            driver.wake();
        }
    }

    /// Puts a request into the queue as soon as there is room in flight.
    pub(crate) async fn send(
        &self,
        request: &Request<'_>,
        deadline: Instant,
    ) -> Result<Pending, CallError> {
        check_limits(request, &self.welcome)?;
        if sys::forks() != self.forks {
            return Err(CallError::NotSent(Broken::Forked));
        }
        let start = Instant::now();
        let room = self.room(request);
        let room = in_time(deadline, room)
            .await
            .ok_or_else(|| Error::Timeout {
                operation: request.op().name(),
                after: start.elapsed(),
            })?;
        let (queued, reply) = oneshot::channel();
        let wake = self.shared.lock().enter(queued, room, |out, id| {
            codec::write_request(out, id, request);
        })?;
        if let Some(driver) = wake {
            driver.wake();
        }
        Ok(Pending { reply, start })
    }

    /// Waits for the reply to `request`, which `pending` stands for. Where this is dropped before, or
    /// times out, it can be waited for again.
    pub(crate) async fn receive<R>(
        &self,
        pending: &mut Pending,
        request: &Request<'_>,
        deadline: Instant,
        read: impl FnOnce(Reply<'_>) -> Result<R>,
    ) -> Result<R, CallError> {
        let (reply, start) = (&mut pending.reply, pending.start);
        let timed_out = || Error::Timeout {
            operation: request.op().name(),
            after: start.elapsed(),
        };
        let frame = in_time(deadline, reply).await.ok_or_else(timed_out)?;
        // Who takes a waiter from the bookkeeping answers it, and the driver's end takes all.
        let frame = frame.unwrap_or(Err(CallError::Lost(Broken::Closed)))?;
        match codec::read_reply(frame.borrow()) {
            Ok(Reply::Error(failure)) => {
                let elapsed = start.elapsed();
                Err(refusal(failure, request, &self.welcome, elapsed).into())
            }
            Ok(reply) => Ok(read(reply)?),
            Err(error) => Err(Error::Protocol(error.to_string()).into()),
        }
    }

    /// Waits until a request of this size may be in flight.
    async fn room(&self, request: &Request<'_>) -> OwnedSemaphorePermit {
        let key = key_of(request).map_or(0, <[u8]>::len);
        let value = value_of(request).map_or(0, <[u8]>::len);
        let units = u32::try_from((key + value) / UNIT + 1).map_or(UNITS, |units| units.min(UNITS));
        let room = Arc::clone(&self.shared.room);
        let room = room.acquire_many_owned(units).await;
        room.expect("nobody closes the semaphore")
    }
}

impl Drop for Multiplexed {
    fn drop(&mut self) {
        let driver = self.shared.lock().give_up();
        if let Some(driver) = driver {
            driver.wake();
        }
    }
}

/// `None` where the deadline comes first.
pub(crate) async fn in_time<T>(deadline: Instant, what: impl Future<Output = T>) -> Option<T> {
    let left = deadline.saturating_duration_since(Instant::now());
    // What is there already is taken, however late it is.
    tokio::time::timeout(left, what).await.ok()
}

#[cfg(test)]
mod tests;
