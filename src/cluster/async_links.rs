//! The link in force for tasks, and how one is replaced by another when a master goes away.
//!
//! What [`Links`](super::links) is for threads: the same plans and the same rules. Connecting and
//! becoming a master block, so they are done on a thread for that; whoever is dropped while it
//! waits for them leaves them to be finished for the others.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::task::{JoinError, spawn_blocking};

use super::inherited;
use super::link::{Keeper, Link, Local};
use super::links::{gone, is_repeatable};
use super::options::{Options, Plan, Role, Surroundings};
use crate::client::{self, Answer, CallError, Multiplexed, Pipeline};
use crate::contract::Capabilities;
use crate::error::{Error, Result};
use crate::protocol::{Reply, Request};

/// One way to the store.
pub(super) enum AsyncLink {
    /// The backend is in this process.
    Local(Local),
    /// It is the master's.
    Remote(Arc<Multiplexed>),
}

/// The link in force, and how to come by the next.
pub(crate) struct AsyncLinks {
    options: Options,
    plan: Plan,
    current: RwLock<Arc<AsyncLink>>,
    /// Held by who makes a new link.
    relinking: Arc<Mutex<()>>,
}

impl TryFrom<Link> for AsyncLink {
    type Error = Error;

    fn try_from(link: Link) -> Result<Self> {
        Ok(match link {
            Link::Local(local) => Self::Local(local),
            Link::Remote(connection) => {
                let connection = Arc::into_inner(connection).expect("a new link is nobody else's");
                Self::Remote(Arc::new(Multiplexed::start(connection)?))
            }
        })
    }
}

impl AsyncLinks {
    /// Becomes what the options ask for.
    pub(super) async fn open(options: Options) -> Result<Self> {
        blocking(move || {
            let plan = options.plan(&Surroundings::here())?;
            if let Plan::Channel(fd) = plan {
                if let Some(connection) = inherited::multiplexed(fd, &options)? {
                    let link = AsyncLink::Remote(connection);
                    return Ok(Self::new(options, plan, link));
                }
            }
            let plan = match plan {
                // Threads have it: tasks use the path.
                Plan::Channel(_) => Plan::Connect,
                plan => plan,
            };
            let link = plan.link(&options)?.try_into()?;
            Ok(Self::new(options, plan, link))
        })
        .await
    }

    /// With a link that is there already.
    pub(crate) fn over(options: Options, plan: Plan, link: Link) -> Result<Self> {
        Ok(Self::new(options, plan, link.try_into()?))
    }

    fn new(options: Options, plan: Plan, link: AsyncLink) -> Self {
        Self {
            options,
            plan,
            current: RwLock::new(Arc::new(link)),
            relinking: Arc::default(),
        }
    }

    pub(super) fn role(&self) -> Role {
        match &*self.current() {
            AsyncLink::Remote(_) => Role::Worker,
            AsyncLink::Local(Local {
                keeper: Keeper::Caller(_),
                ..
            }) => Role::Standalone,
            AsyncLink::Local(_) => Role::Master,
        }
    }

    pub(super) fn worker(&self) -> Option<u32> {
        match &*self.current() {
            AsyncLink::Remote(connection) => connection.welcome().slot,
            AsyncLink::Local(_) => None,
        }
    }

    pub(super) fn capabilities(&self) -> Capabilities {
        match &*self.current() {
            AsyncLink::Remote(connection) => connection.welcome().capabilities,
            AsyncLink::Local(local) => local.capabilities,
        }
    }

    /// Asks one thing and reads the reply.
    pub(super) async fn call<R>(
        self: &Arc<Self>,
        request: &Request<'_>,
        timeout: Duration,
        read: impl Fn(Reply<'_>) -> Result<R>,
    ) -> Result<R> {
        let deadline = client::after(Instant::now(), timeout);
        let mut link = self.current();
        loop {
            let called = match &*link {
                AsyncLink::Local(local) => return local.call(request, timeout, read),
                AsyncLink::Remote(connection) => connection.call(request, deadline, &read).await,
            };
            match called {
                Ok(result) => return Ok(result),
                Err(CallError::Failed(error)) => return Err(error),
                Err(CallError::Lost(_)) if !is_repeatable(request) => {
                    let operation = request.op().name();
                    return Err(Error::OutcomeUnknown { operation });
                }
                Err(CallError::Lost(_) | CallError::NotSent(_)) => {}
            }
            link = self.relink(&link, deadline).await?;
        }
    }

    /// Asks many things, each as [`call`](Self::call) would.
    pub(super) async fn run(
        self: &Arc<Self>,
        pipeline: &Pipeline<'_>,
        timeout: Duration,
    ) -> Vec<Result<Answer>> {
        let deadline = client::after(Instant::now(), timeout);
        let requests = pipeline.requests();
        let link = self.current();
        let connection = match &*link {
            AsyncLink::Local(local) => {
                let one =
                    |request| local.call(request, timeout, |reply| Answer::read(request, reply));
                let answers = local.run(requests);
                return answers.unwrap_or_else(|| requests.iter().map(one).collect());
            }
            AsyncLink::Remote(connection) => connection,
        };
        let mut sent = Vec::with_capacity(requests.len());
        for request in requests {
            sent.push(connection.send(request, deadline).await);
        }
        let mut answers = Vec::with_capacity(requests.len());
        for (sent, request) in sent.into_iter().zip(requests) {
            let read = |reply: Reply<'_>| Answer::read(request, reply);
            let answer = match sent {
                Ok(mut pending) => {
                    let received = connection.receive(&mut pending, request, deadline, read);
                    received.await
                }
                Err(failed) => Err(failed),
            };
            answers.push(match answer {
                Ok(answer) => Ok(answer),
                Err(CallError::Lost(_)) if !is_repeatable(request) => {
                    let operation = request.op().name();
                    Err(Error::OutcomeUnknown { operation })
                }
                Err(CallError::NotSent(_) | CallError::Lost(_)) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    self.call(request, left, read).await
                }
                Err(CallError::Failed(error)) => Err(error),
            });
        }
        answers
    }

    pub(super) fn current(&self) -> Arc<AsyncLink> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// A link that is not `dead`. One task has it made, the others wait for that.
    pub(super) async fn relink(
        self: &Arc<Self>,
        dead: &Arc<AsyncLink>,
        deadline: Instant,
    ) -> Result<Arc<AsyncLink>> {
        let until = tokio::time::Instant::from_std(deadline);
        let turn = Arc::clone(&self.relinking).lock_owned();
        let turn = tokio::time::timeout_at(until, turn).await;
        let turn = turn.map_err(|_| gone(&self.options))?;
        let current = self.current();
        if !Arc::ptr_eq(&current, dead) {
            return Ok(current);
        }
        let links = Arc::clone(self);
        blocking(move || links.make(deadline, turn)).await
    }

    /// Makes a new link and puts it in force.
    fn make(&self, deadline: Instant, turn: OwnedMutexGuard<()>) -> Result<Arc<AsyncLink>> {
        let link: AsyncLink = self.plan.relink(&self.options, deadline)?.try_into()?;
        let link = Arc::new(link);
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        *current = Arc::clone(&link);
        drop(turn);
        Ok(link)
    }
}

/// Does what blocks on a thread that may be blocked.
async fn blocking<T: Send + 'static>(
    what: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    finished(spawn_blocking(what).await)
}

/// What a task of our own has come to.
pub(super) fn finished<T>(done: Result<Result<T>, JoinError>) -> Result<T> {
    match done {
        Ok(result) => result,
        Err(failed) if failed.is_panic() => std::panic::resume_unwind(failed.into_panic()),
        // The runtime ends, and with it whoever asks.
        Err(_) => Err(Error::MasterGone),
    }
}
