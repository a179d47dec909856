//! The way to the servers, for somebody who waits for each answer.
//!
//! What commands mean is not known here. A [`Link`] waits at most its timeout for everything that
//! it is asked at once; the connections are made and kept by a thread of its own.

use std::future::Future;
use std::sync::{Arc, OnceLock, mpsc};
use std::time::Duration;

use redis::Cmd;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::cluster::Cluster;
use super::dial::{Dialer, Place};
use super::fast::Fast;
use super::flight::Flight;
use super::near::Near;
use super::node::{Node, Repeat, Reply, Surroundings, Trouble};
use crate::backend::Wake;
use crate::config::{Host, Redis, Servers};

/// How much longer than the timeout the thread of the connections is waited for.
const GRACE: Duration = Duration::from_millis(200);

/// The way to the servers.
pub(super) struct Link {
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
    servers: Arc<Line>,
    timeout: Duration,
    /// To be told of whatever lands.
    wake: Arc<OnceLock<Wake>>,
    fast: Option<Arc<Fast>>,
}

enum Line {
    One(Node),
    Cluster(Cluster),
}

/// Which of the servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum At {
    /// The only one.
    Any,
    /// The one at this address.
    Node(Host),
}

impl Link {
    /// Nothing is known of the servers before [`reach`](Self::reach).
    ///
    /// # Errors
    /// In words, what of it cannot be used.
    pub(super) fn new(target: &Redis, near: Option<Arc<Near>>) -> Result<Self, String> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("memstore-redis")
            .enable_all()
            .build()
            .map_err(|error| format!("cannot start a thread: {error}"))?;
        let dialer = Arc::new(Dialer::new(target)?);
        let handle = runtime.handle();
        // What is known here of an entry is not to be passed by.
        let is_direct = near.is_none() && !target.is_encrypted;
        let is_one = !matches!(target.servers, Servers::Cluster { .. });
        let fast =
            (is_direct && is_one).then(|| Arc::new(Fast::new(&target.prefix, target.timeout)));
        let servers = match &target.servers {
            Servers::Cluster { nodes } => {
                let nodes = nodes.clone();
                Line::Cluster(Cluster::new(handle.clone(), dialer, nodes, target.timeout))
            }
            servers => {
                let around = Surroundings {
                    name: servers.to_string(),
                    timeout: target.timeout,
                    near,
                    fast: fast.clone(),
                    lost: Arc::new(Notify::new()),
                };
                Line::One(Node::start(handle, Place::Only, dialer, around))
            }
        };
        Ok(Self {
            runtime: Some(runtime),
            servers: Arc::new(servers),
            timeout: target.timeout,
            wake: Arc::default(),
            fast,
        })
    }

    /// From now on, tells that something has landed; only the first to ask for it is told.
    pub(super) fn wake_with(&self, wake: Wake) {
        let _ = self.wake.set(wake);
    }

    /// Waits until the servers can be asked, or until it is known why not.
    pub(super) fn reach(&self) -> Result<(), Trouble> {
        let (servers, deadline) = (Arc::clone(&self.servers), self.deadline());
        self.wait(async move {
            match &*servers {
                Line::One(node) => node.reach(deadline).await,
                Line::Cluster(cluster) => cluster.reach(deadline).await,
            }
        })
        .unwrap_or(Err(Trouble::Late))
    }

    /// Sends commands at once, each to the server that has its key, and gives what is said to each,
    /// in the same order. Those to one server are done in their order, but where the slots of a
    /// cluster move meanwhile.
    pub(super) fn run(&self, commands: Vec<Cmd>, repeat: Repeat) -> Vec<Reply> {
        self.send(commands, repeat).replies()
    }

    /// The same without waiting. Which of two flights is done first is not known.
    pub(super) fn send(&self, commands: Vec<Cmd>, repeat: Repeat) -> Flight {
        let (flight, pilot) = Flight::new(commands.len(), self.timeout + GRACE);
        if commands.is_empty() {
            return flight;
        }
        let (servers, deadline) = (Arc::clone(&self.servers), self.deadline());
        let wake = Arc::clone(&self.wake);
        self.handle().spawn(async move {
            let replies = match &*servers {
                Line::One(node) => {
                    let count = commands.len();
                    let replies = node.run(commands, repeat, deadline).await;
                    replies.unwrap_or_else(|trouble| vec![Err(trouble); count])
                }
                Line::Cluster(cluster) => cluster.run(&commands, repeat, deadline).await,
            };
            pilot.land(replies);
            if let Some(wake) = wake.get() {
                wake();
            }
        });
        flight
    }

    /// Sends a command to one server, whichever keys it has.
    pub(super) fn run_at(&self, at: &At, command: Cmd) -> Reply {
        let (servers, deadline) = (Arc::clone(&self.servers), self.deadline());
        let at = at.clone();
        self.wait(async move {
            match (&*servers, at) {
                (Line::One(node), _) => {
                    let mut replies = node.run(vec![command], Repeat::Yes, deadline).await?;
                    replies.swap_remove(0)
                }
                (Line::Cluster(cluster), At::Node(host)) => {
                    cluster.run_at(&host, &command, deadline).await
                }
                (Line::Cluster(_), At::Any) => unreachable!("a cluster has no only server"),
            }
        })
        .unwrap_or(Err(Trouble::Late))
    }

    /// Every server that has keys of its own.
    pub(super) fn servers(&self) -> Result<Vec<At>, Trouble> {
        let (servers, deadline) = (Arc::clone(&self.servers), self.deadline());
        self.wait(async move {
            match &*servers {
                Line::One(_) => Ok(vec![At::Any]),
                Line::Cluster(cluster) => {
                    let primaries = cluster.primaries(deadline).await?;
                    Ok(primaries.into_iter().map(At::Node).collect())
                }
            }
        })
        .unwrap_or(Err(Trouble::Late))
    }

    /// The fast path to the only server, where there is such a thing.
    pub(super) fn fast(&self) -> Option<&Arc<Fast>> {
        self.fast.as_ref()
    }

    pub(super) fn is_cluster(&self) -> bool {
        matches!(*self.servers, Line::Cluster(_))
    }

    /// Why what concerns this key cannot be asked now, where that is known.
    pub(super) fn away(&self, key: &[u8]) -> Option<Trouble> {
        match &*self.servers {
            Line::One(node) => node.away(),
            Line::Cluster(cluster) => cluster.away(key),
        }
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.timeout
    }

    /// Has the thread of the connections do something that ends in time.
    fn wait<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Option<T> {
        let (done, result) = mpsc::sync_channel(1);
        self.handle().spawn(async move {
            let _ = done.send(work.await);
        });
        result.recv_timeout(self.timeout + GRACE).ok()
    }

    fn handle(&self) -> &Handle {
        self.runtime.as_ref().expect("it is not dropped").handle()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
