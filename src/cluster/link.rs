//! What is behind a handle: a backend in this process or a connection to the master's, and how
//! one is replaced by another when a master goes away.
//!
//! Every operation of every role goes through [`Links::call`]. The link in force is swapped as a
//! whole; calls that are under way on the old one end with it.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use super::election;
use super::options::{Options, Plan, Role};
use super::serving::Serving;
use crate::backend::SharedBackend;
use crate::client::{self, Answer, CallError, Connection, Pipeline};
use crate::config::Limits;
use crate::contract::Capabilities;
use crate::error::{Error, Result};
use crate::exec;
use crate::protocol::{Op, Reply, Request};
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
    clock: Arc<dyn Clock>,
    limits: Limits,
    capabilities: Capabilities,
    keeper: Keeper,
}

/// Who looks after a backend in this process: removes what has expired, frees what was cleared.
pub(crate) enum Keeper {
    /// Whoever calls: every call does a step.
    Caller,
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
            clock,
            limits: limits.clone(),
            capabilities,
            keeper,
        }
    }

    /// A backend that nobody else uses.
    pub(crate) fn standalone(options: &Options) -> Result<Self> {
        let backend = Arc::new(Mutex::new(options.store.make()?));
        let clock = Arc::new(SystemClock::new());
        Ok(Self::new(backend, clock, &options.limits, Keeper::Caller))
    }

    fn call<R>(
        &self,
        request: &Request<'_>,
        read: impl FnOnce(Reply<'_>) -> Result<R>,
    ) -> Result<R> {
        let mut backend = self.backend.lock().map_err(|_| poisoned())?;
        let now = self.clock.now();
        if matches!(self.keeper, Keeper::Caller) {
            backend.upkeep(now);
        }
        match exec::execute(backend.as_mut(), now, &self.limits, request) {
            Reply::Error(failure) => Err(client::refusal(
                failure,
                request,
                &self.limits,
                Duration::ZERO,
            )),
            reply => read(reply),
        }
    }
}

/// The link in force, and how to come by the next.
pub(crate) struct Links {
    options: Options,
    plan: Plan,
    current: RwLock<Arc<Link>>,
    /// Whether somebody is making a new link.
    relinking: Mutex<bool>,
    relinked: Condvar,
}

impl Links {
    pub(crate) fn new(options: Options, plan: Plan, link: Link) -> Self {
        Self {
            options,
            plan,
            current: RwLock::new(Arc::new(link)),
            relinking: Mutex::new(false),
            relinked: Condvar::new(),
        }
    }

    pub(crate) fn role(&self) -> Role {
        match &*self.current() {
            Link::Remote(_) => Role::Worker,
            Link::Local(Local {
                keeper: Keeper::Caller,
                ..
            }) => Role::Standalone,
            Link::Local(_) => Role::Master,
        }
    }

    pub(crate) fn worker(&self) -> Option<u32> {
        match &*self.current() {
            Link::Remote(connection) => connection.welcome().slot,
            Link::Local(_) => None,
        }
    }

    pub(crate) fn capabilities(&self) -> Capabilities {
        match &*self.current() {
            Link::Remote(connection) => connection.welcome().capabilities,
            Link::Local(local) => local.capabilities,
        }
    }

    /// Asks one thing and reads the reply. `read` is called once, with a reply that is no error.
    pub(crate) fn call<R>(
        &self,
        request: &Request<'_>,
        timeout: Duration,
        mut read: impl FnMut(Reply<'_>) -> Result<R>,
    ) -> Result<R> {
        let mut link = self.current();
        let connection = match &*link {
            Link::Local(local) => return local.call(request, read),
            Link::Remote(connection) => connection,
        };
        // The common case pays for no clock.
        let mut failed = match connection.call(request, timeout, &mut read) {
            Ok(result) => return Ok(result),
            Err(failed) => failed,
        };
        let deadline = client::after(Instant::now(), timeout);
        loop {
            match failed {
                CallError::Failed(error) => return Err(error),
                CallError::Lost(_) if !is_repeatable(request) => {
                    let operation = request.op().name();
                    return Err(Error::OutcomeUnknown { operation });
                }
                CallError::Lost(_) | CallError::NotSent(_) => {}
            }
            link = self.relink(&link, deadline)?;
            let left = deadline.saturating_duration_since(Instant::now());
            failed = match &*link {
                Link::Local(local) => return local.call(request, read),
                Link::Remote(connection) => match connection.call(request, left, &mut read) {
                    Ok(result) => return Ok(result),
                    Err(failed) => failed,
                },
            };
        }
    }

    /// Asks many things, each as [`call`](Self::call) would.
    pub(crate) fn run(&self, pipeline: &Pipeline<'_>, timeout: Duration) -> Vec<Result<Answer>> {
        let deadline = client::after(Instant::now(), timeout);
        let one = |request| self.call(request, timeout, |reply| Answer::read(request, reply));
        let link = self.current();
        let Link::Remote(connection) = &*link else {
            return pipeline.requests().iter().map(one).collect();
        };
        let again = |request: &Request<'_>| {
            let left = deadline.saturating_duration_since(Instant::now());
            self.call(request, left, |reply| Answer::read(request, reply))
        };
        let answers = pipeline.run(connection, timeout).into_iter();
        let requests = pipeline.requests();
        answers
            .zip(requests)
            .map(|(answer, request)| match answer {
                Ok(answer) => Ok(answer),
                Err(CallError::NotSent(_)) => again(request),
                Err(CallError::Lost(_)) if is_repeatable(request) => again(request),
                Err(failed) => Err(failed.into_error(request.op().name())),
            })
            .collect()
    }

    fn current(&self) -> Arc<Link> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// A link that is not `dead`. One thread makes it, the others wait for that.
    fn relink(&self, dead: &Arc<Link>, deadline: Instant) -> Result<Arc<Link>> {
        let mut relinking = self.lock_relinking();
        loop {
            let current = self.current();
            if !Arc::ptr_eq(&current, dead) {
                return Ok(current);
            }
            if !*relinking {
                break;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(self.gone());
            }
            relinking = self
                .relinked
                .wait_timeout(relinking, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        *relinking = true;
        drop(relinking);
        let _done = Relinking(self);
        let made = match self.plan {
            Plan::Connect => election::connect(&self.options, deadline),
            Plan::ConnectOrServe => election::connect_or_serve(&self.options, deadline),
            Plan::Channel(_) | Plan::Serve | Plan::Standalone => Err(Error::MasterGone),
        };
        let made = made.map(Arc::new);
        if let Ok(link) = &made {
            let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
            *current = Arc::clone(link);
        }
        made
    }

    fn lock_relinking(&self) -> MutexGuard<'_, bool> {
        self.relinking
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn gone(&self) -> Error {
        match self.options.socket_path() {
            Ok(path) => Error::Unreachable {
                path,
                source: std::io::ErrorKind::TimedOut.into(),
            },
            Err(error) => error,
        }
    }
}

/// Somebody is making a new link. Its end, also by a panic of the backend's source, lets the others
/// go on.
struct Relinking<'l>(&'l Links);

impl Drop for Relinking<'_> {
    fn drop(&mut self) {
        *self.0.lock_relinking() = false;
        self.0.relinked.notify_all();
    }
}

/// Whether asking twice does no more than asking once, whatever others do in between.
fn is_repeatable(request: &Request<'_>) -> bool {
    matches!(
        request.op(),
        Op::Ping | Op::Get | Op::All | Op::Length | Op::Touch
    )
}

fn poisoned() -> Error {
    Error::Backend("it panicked during an earlier call and cannot be trusted any more".to_owned())
}
