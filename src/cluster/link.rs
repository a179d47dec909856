//! What is behind a handle: a backend in this process, or a connection to the master's.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::dumps::LastDump;
use super::options::{Options, Role};
use super::serving::Serving;
use crate::backend::SharedBackend;
use crate::client::{self, Connection};
use crate::config::Limits;
use crate::contract::Capabilities;
use crate::error::{Error, Result};
use crate::exec;
use crate::master::{Caller, Controller};
use crate::protocol::{Reply, Request, codec, frame};
use crate::sys;
use crate::time::{Clock, SystemClock};

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
    /// Who is to be asked instead, where calls of the backend wait.
    caller: Option<Caller>,
    clock: Arc<dyn Clock>,
    limits: Limits,
    pub(super) capabilities: Capabilities,
    pub(super) keeper: Keeper,
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
        clock: Arc<dyn Clock>,
        limits: &Limits,
        keeper: Keeper,
    ) -> Self {
        let capabilities = backend
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .capabilities();
        Self {
            backend,
            caller: None,
            clock,
            limits: limits.clone(),
            capabilities,
            keeper,
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
        let mut local = Self::new(backend, clock, &options.limits, keeper);
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
        if self.forks.is_some_and(|forks| forks != sys::forks()) {
            return Err(forked());
        }
        if let Some(caller) = &self.caller {
            return self.ask(caller, request, timeout, read);
        }
        let mut backend = self.backend.lock().map_err(|_| poisoned())?;
        let now = self.clock.now();
        if matches!(self.keeper, Keeper::Caller(_)) {
            backend.upkeep(now);
        }
        let reply = exec::execute(backend.as_mut(), now, &self.limits, request);
        let result = self.judge(reply, request, Duration::ZERO, read);
        let committed = backend.commit();
        committed.map_err(|error| Error::Backend(error.to_string()))?;
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

fn poisoned() -> Error {
    Error::Backend("it panicked during an earlier call and cannot be trusted any more".to_owned())
}
