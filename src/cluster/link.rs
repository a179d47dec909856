//! What is behind a handle: a backend in this process, or a connection to the master's.

use std::sync::{Arc, MutexGuard, PoisonError};
#[cfg(feature = "tokio")]
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::dumps::LastDump;
use super::options::{Options, Role};
use super::serving::Serving;
use super::together::Together;
use crate::backend::{Backend, SharedBackend};
use crate::client::{self, Answer, Connection};
use crate::config::Limits;
use crate::contract::Capabilities;
use crate::error::{Error, Result};
use crate::exec::{self, Batch, Hub, SharedHub, Subscriber, ahead};
use crate::master::{Caller, Controller};
use crate::protocol::message::Topic;
use crate::protocol::{Reply, Request, codec, frame};
use crate::sys;
use crate::time::{Clock, Millis, SystemClock};

/// One way to the store.
pub(crate) enum Link {
    /// The backend is in this process.
    Local(Local),
    /// It is the master's.
    Remote(Arc<Connection>),
}

/// A backend in this process.
pub(crate) struct Local {
    backend: SharedBackend,
    hub: SharedHub,
    /// Who is to be asked instead, where calls of the backend wait.
    caller: Option<Caller>,
    /// How threads share a commit, where one may take long.
    together: Option<Box<Together>>,
    clock: Arc<dyn Clock>,
    limits: Limits,
    pub(super) capabilities: Capabilities,
    pub(super) keeper: Keeper,
    /// Subscribers are told what went by itself, by whoever calls.
    tells_gone: bool,
    /// The process whose backend it is; `None` where a forked child has one of its own.
    forks: Option<u32>,
}

/// Who looks after a backend in this process: removes what has expired, frees what was cleared.
pub(crate) enum Keeper {
    /// Whoever calls: every call does a step, and the last handle's end the dump.
    Caller(Option<LastDump>),
    /// A master on a thread of its own, which ends with the link.
    Thread(#[allow(dead_code, reason = "it is held for its end")] Serving),
    /// The master that this process is.
    Process,
}

impl Local {
    pub(crate) fn new(
        backend: SharedBackend,
        hub: SharedHub,
        clock: Arc<dyn Clock>,
        limits: &Limits,
        keeper: Keeper,
    ) -> Self {
        let (capabilities, blocks) = {
            let backend = backend.lock().unwrap_or_else(PoisonError::into_inner);
            (backend.capabilities(), backend.blocks())
        };
        Self {
            backend,
            hub,
            caller: None,
            together: blocks.then(Box::default),
            clock,
            limits: limits.clone(),
            capabilities,
            keeper,
            tells_gone: false,
            forks: Some(sys::forks()),
        }
    }

    /// The backend is called only by whoever serves it to others, where it has such.
    pub(crate) fn served_by(mut self, controller: &Controller) -> Self {
        self.caller = controller.caller();
        self
    }

    /// A backend that nobody else uses.
    pub(crate) fn standalone(options: &Options) -> Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let backend = options.open_backend(Role::Standalone, clock.as_ref())?;
        let last = LastDump::of(options, &backend, &clock);
        let keeper = Keeper::Caller(last);
        let hub = SharedHub::new(Hub::new(&options.limits, options.keyspace_events));
        let mut local = Self::new(backend, hub, clock, &options.limits, keeper);
        local.tells_gone = !options.keyspace_events.is_empty();
        if options.store.is_copied_by_fork() {
            local.forks = None;
        }
        Ok(local)
    }

    /// Asks one thing and reads the reply. Only somebody else's reply is waited for no longer than
    /// `timeout`.
    pub(super) fn call<R>(
        &self,
        request: &Request<'_>,
        timeout: Duration,
        read: impl FnOnce(Reply<'_>) -> Result<R>,
    ) -> Result<R> {
        self.check()?;
        if let Some(caller) = &self.caller {
            return self.ask(caller, request, timeout, read);
        }
        if let Request::Publish { channel, message } = *request {
            let mut hub = self.hub.lock();
            let reply = exec::publish(&mut hub, &self.limits, channel, message);
            hub.wake();
            return self.judge(reply, request, Duration::ZERO, read);
        }
        self.committed(|backend, now| self.one(backend, now, request, read))?
    }

    /// Asks many things at once, of a backend that is called here.
    pub(super) fn run(&self, requests: &[Request<'_>]) -> Option<Vec<Result<Answer>>> {
        let is_message = |request: &Request<'_>| matches!(request, Request::Publish { .. });
        if self.caller.is_some() || requests.iter().any(is_message) || self.check().is_err() {
            return None;
        }
        let answers = self.committed(|backend, now| {
            backend.expect(now, &|visit| {
                requests.iter().filter_map(ahead::key).for_each(visit);
            });
            let each = requests.iter().map(|request| {
                let read = |reply: Reply<'_>| Answer::read(request, reply);
                self.one(backend, now, request, read)
            });
            each.collect()
        });
        Some(answers.unwrap_or_else(|error| {
            let why = match error {
                Error::Backend(why) => why,
                other => other.to_string(),
            };
            let failed = |_| Err(Error::Backend(why.clone()));
            requests.iter().map(failed).collect()
        }))
    }

    /// What came of calling the backend, once that is committed.
    fn committed<R>(&self, call: impl FnOnce(&mut dyn Backend, Millis) -> R) -> Result<R> {
        let coming = self.together.as_deref().map(Together::come);
        let (mut backend, now) = self.begin()?;
        let result = call(backend.as_mut(), now);
        match (&self.together, coming) {
            (Some(together), Some(coming)) => {
                let called = coming.called();
                drop(backend);
                together.commit(&self.backend, &called)?;
            }
            _ => backend
                .commit()
                .map_err(|error| Error::Backend(error.to_string()))?,
        }
        Ok(result)
    }

    /// Takes the backend, and does what is to be done beside calls.
    fn begin(&self) -> Result<(MutexGuard<'_, Box<dyn Backend>>, Millis)> {
        let mut backend = self.backend.lock().map_err(|_| poisoned())?;
        let now = self.clock.now();
        if matches!(self.keeper, Keeper::Caller(_)) {
            backend.upkeep(now);
            if self.tells_gone {
                self.hub.lock().tell_gone(backend.as_mut());
            }
        }
        Ok((backend, now))
    }

    fn one<R>(
        &self,
        backend: &mut dyn Backend,
        now: Millis,
        request: &Request<'_>,
        read: impl FnOnce(Reply<'_>) -> Result<R>,
    ) -> Result<R> {
        let reply = exec::execute(backend, now, &self.limits, request);
        let changes = exec::changes(request, &reply);
        let result = self.judge(reply, request, Duration::ZERO, read);
        if changes[0].is_some() {
            let mut hub = self.hub.lock();
            for (database, event, key) in changes.into_iter().flatten() {
                hub.changed(backend, database, event, key);
            }
            hub.wake();
        }
        result
    }

    fn ask<R>(
        &self,
        caller: &Caller,
        request: &Request<'_>,
        timeout: Duration,
        read: impl FnOnce(Reply<'_>) -> Result<R>,
    ) -> Result<R> {
        let answer = caller.call(request, timeout);
        let frame = match &answer {
            Ok(bytes) => frame::split(bytes, usize::MAX).ok().flatten(),
            Err(error) => {
                let failure = Reply::Error(error.clone().into());
                return self.judge(failure, request, timeout, read);
            }
        };
        let reply = frame.and_then(|frame| codec::read_reply(frame).ok());
        let reply = reply.expect("the master writes whole replies");
        self.judge(reply, request, timeout, read)
    }

    fn judge<R>(
        &self,
        reply: Reply<'_>,
        request: &Request<'_>,
        elapsed: Duration,
        read: impl FnOnce(Reply<'_>) -> Result<R>,
    ) -> Result<R> {
        match reply {
            Reply::Error(failure) => {
                let limits = &self.limits;
                Err(client::refusal(failure, request, limits, elapsed))
            }
            reply => read(reply),
        }
    }

    /// Subscribes a thread of this process.
    pub(super) fn subscribe(&self, topics: &[Topic<'_>]) -> Result<LocalSubscriber> {
        self.check()?;
        let opened = Subscriber::alone(&mut self.hub.lock(), topics);
        let opened = opened.map_err(|failure| Error::Protocol(failure.message.into_owned()))?;
        Ok(LocalSubscriber {
            subscriber: Some(opened),
            hub: self.hub.clone(),
            forks: sys::forks(),
        })
    }

    fn check(&self) -> Result<()> {
        if self.forks.is_some_and(|forks| forks != sys::forks()) {
            return Err(forked());
        }
        Ok(())
    }
}

/// A subscriber in the process with the store. It ends when dropped.
#[derive(Debug)]
pub(super) struct LocalSubscriber {
    subscriber: Option<Subscriber>,
    hub: SharedHub,
    forks: u32,
}

impl LocalSubscriber {
    /// Waits for messages; none where the time is over.
    pub(super) fn wait(&self, deadline: Instant) -> Batch {
        let subscriber = self.subscriber.as_ref();
        subscriber.map(|one| one.wait(deadline)).unwrap_or_default()
    }

    /// Takes messages, or has the task woken when there are some.
    #[cfg(feature = "tokio")]
    pub(super) fn poll_take(&self, context: &Context<'_>) -> Poll<Batch> {
        match &self.subscriber {
            Some(one) => one.poll_take(context),
            None => Poll::Ready(Batch::default()),
        }
    }
}

impl Drop for LocalSubscriber {
    fn drop(&mut self) {
        // In a forked child the lock may be held by a thread that is not there.
        let is_ours = self.forks == sys::forks();
        if let Some(subscriber) = self.subscriber.take().filter(|_| is_ours) {
            subscriber.close(&mut self.hub.lock());
        }
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        if let Keeper::Caller(Some(last)) = &self.keeper {
            // Nobody is left to be told; it is in the log.
            let _ = last.write();
        }
    }
}

fn forked() -> Error {
    Error::Backend("it belongs to the process from which this one was forked".to_owned())
}

pub(super) fn poisoned() -> Error {
    Error::Backend("it panicked during an earlier call and cannot be trusted any more".to_owned())
}
