//! The link in force, and how one is replaced by another when a master goes away.
//!
//! Every operation of every role goes through [`Links::call`]. The link is swapped as a whole;
//! calls that are under way on the old one end with it.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use super::link::{Keeper, Link, Local};
use super::options::{Options, Plan, Role};
use crate::client::{self, Answer, CallError, Pipeline};
use crate::contract::Capabilities;
use crate::error::{Error, Result};
use crate::protocol::{Op, Reply, Request};

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
                keeper: Keeper::Caller(_),
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

    #[cfg(feature = "cli")]
    pub(crate) fn master(&self) -> Option<u32> {
        match &*self.current() {
            Link::Remote(connection) => Some(connection.welcome().pid),
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
            Link::Local(local) => return local.call(request, timeout, read),
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
                Link::Local(local) => return local.call(request, left, read),
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
        let connection = match &*link {
            Link::Local(local) => {
                let answers = local.run(pipeline.requests());
                return answers.unwrap_or_else(|| pipeline.requests().iter().map(one).collect());
            }
            Link::Remote(connection) => connection,
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

    pub(super) fn current(&self) -> Arc<Link> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// A link that is not `dead`. One thread makes it, the others wait for that.
    pub(super) fn relink(&self, dead: &Arc<Link>, deadline: Instant) -> Result<Arc<Link>> {
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
                return Err(gone(&self.options));
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
        let made = self.plan.relink(&self.options, deadline).map(Arc::new);
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

/// The error where nobody made a new link in time.
pub(super) fn gone(options: &Options) -> Error {
    match options.socket_path() {
        Ok(path) => Error::Unreachable {
            path,
            source: std::io::ErrorKind::TimedOut.into(),
        },
        Err(error) => error,
    }
}

/// Whether asking twice does no more than asking once, whatever others do in between.
pub(super) fn is_repeatable(request: &Request<'_>) -> bool {
    matches!(
        request.op(),
        Op::Ping | Op::Get | Op::All | Op::Length | Op::Touch | Op::Records
    )
}
