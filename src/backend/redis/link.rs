//! The connections to the servers: made when they are needed, left when they fail, tried again.
//!
//! Nothing here knows what the commands mean. A [`Link`] waits at most its timeout for everything
//! that it is asked at once; while the servers cannot be reached it fails at once most of the time
//! and tries again ever more seldom, at least once a second. The driver of the connections runs on
//! a thread of its own.

use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{RoutingInfo, SingleNodeRoutingInfo};
use redis::sentinel::SentinelClient;
use redis::{AsyncConnectionConfig, Client, Cmd, ErrorKind, Pipeline, RedisError, Value};
use tokio::runtime::{Builder, Runtime};

use super::dial;
use super::near::Near;
use crate::backend::BackendError;
use crate::config::{Host, Redis};

/// The first pause after a failure, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// How much longer than the timeout the answer of the driver is waited for.
const GRACE: Duration = Duration::from_millis(200);

/// What a server says to one command.
pub(super) type Reply = Result<Value, String>;

/// How connections are made.
pub(super) enum Dial {
    One(Client),
    Sentinel(Box<SentinelClient>),
    Cluster {
        client: ClusterClient,
        /// What the first of the nodes is called that were given.
        host: String,
    },
}

#[derive(Clone)]
enum Line {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

/// The way to the servers.
pub(super) struct Link {
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
    dial: Dial,
    line: Option<Line>,
    outage: Option<Outage>,
    /// What messages call the servers.
    name: String,
    timeout: Duration,
    near: Option<Arc<Near>>,
}

/// The servers cannot be reached.
struct Outage {
    pause: Duration,
    again: Instant,
    why: String,
}

/// Which of the servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum At {
    /// Any of them, or the only one.
    Any,
    /// The one at this address.
    Node(Host),
}

/// Whether commands can be sent again when it is not known whether they were done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    Yes,
    No,
}

impl Link {
    pub(super) fn new(target: &Redis, near: Option<Arc<Near>>) -> Result<Self, String> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("memstore-redis")
            .enable_all()
            .build()
            .map_err(|error| format!("cannot start a thread: {error}"))?;
        Ok(Self {
            runtime: Some(runtime),
            dial: dial::dial(target)?,
            line: None,
            outage: None,
            name: target.servers.to_string(),
            timeout: target.timeout,
            near,
        })
    }

    /// Sends commands at once, each to the server that has its key, and gives their replies in the
    /// same order. Of two commands with the same key either may be done first where the slots of a
    /// cluster move meanwhile.
    ///
    /// # Errors
    /// No server can be reached, or there was no answer in time; then it is not known which of
    /// them were done.
    pub(super) fn run(
        &mut self,
        commands: Vec<Cmd>,
        repeat: Repeat,
    ) -> Result<Vec<Reply>, BackendError> {
        if commands.is_empty() {
            return Ok(Vec::new());
        }
        let commands = Arc::new(commands);
        let had_line = self.line.is_some();
        match self.attempt(&commands) {
            // A server may close what was idle; that shows only when it is used again.
            Err(error) if had_line && repeat == Repeat::Yes && error.is_connection_dropped() => {
                tracing::debug!(servers = self.name, %error, "sending again");
                self.attempt(&commands)
            }
            result => result,
        }
        .map_err(|error| self.failed(&error))
    }

    /// Sends a command to one server, whichever keys it has.
    ///
    /// # Errors
    /// It cannot be reached, or there was no answer in time.
    pub(super) fn run_at(&mut self, at: &At, command: Cmd) -> Result<Reply, BackendError> {
        if self.cluster_host().is_none() {
            let mut replies = self.run(vec![command], Repeat::Yes)?;
            return Ok(replies.remove(0));
        }
        match self.attempt_at(at, command.clone()) {
            // It joined after these connections were made.
            Err(error) if error.kind() == ErrorKind::Client => {
                self.line = None;
                self.attempt_at(at, command)
            }
            result => result,
        }
        .map_err(|error| self.failed(&error))
    }

    fn attempt_at(&mut self, at: &At, command: Cmd) -> Result<Reply, RedisError> {
        let Line::Cluster(mut cluster) = self.line()? else {
            unreachable!("a cluster is dialled");
        };
        let route = RoutingInfo::SingleNode(match at {
            At::Any => SingleNodeRoutingInfo::Random,
            At::Node(Host { name, port }) => SingleNodeRoutingInfo::ByAddress {
                host: name.clone(),
                port: *port,
            },
        });
        self.wait(async move { reply(cluster.route_command(command, route).await) })?
    }

    /// What the first of the nodes is called that were given, if the servers are a cluster.
    pub(super) fn cluster_host(&self) -> Option<&str> {
        match &self.dial {
            Dial::Cluster { host, .. } => Some(host),
            _ => None,
        }
    }

    fn is_cluster(&self) -> bool {
        self.cluster_host().is_some()
    }

    fn attempt(&mut self, commands: &Arc<Vec<Cmd>>) -> Result<Vec<Reply>, RedisError> {
        let line = self.line()?;
        let commands = Arc::clone(commands);
        let replies: Vec<Reply> = self.wait(async move {
            match line {
                Line::One(mut connection) => {
                    let mut pipeline = Pipeline::with_capacity(commands.len());
                    for command in &*commands {
                        pipeline.add_command(command.clone());
                    }
                    let sent = connection.send_packed_commands(&pipeline, 0, commands.len());
                    sent.await
                        .map(|values| values.into_iter().map(said).collect())
                }
                Line::Cluster(cluster) => {
                    let sent = commands.iter().map(|command| {
                        let mut cluster = cluster.clone();
                        async move { reply(cluster.req_packed_command(command).await) }
                    });
                    join_all(sent).await.into_iter().collect()
                }
            }
        })??;
        let is_demoted = |reply: &Reply| matches!(reply, Err(text) if text.starts_with("READONLY"));
        if !self.is_cluster() && replies.iter().any(is_demoted) {
            // It is a replica now; whoever is dialled next may be the primary.
            self.line = None;
        }
        self.outage = None;
        Ok(replies)
    }

    /// The connection there is, or a new one.
    fn line(&mut self) -> Result<Line, RedisError> {
        if let Some(line) = &self.line {
            return Ok(line.clone());
        }
        if let Some(outage) = &self.outage {
            if Instant::now() < outage.again {
                let why = outage.why.clone();
                return Err((ErrorKind::Io, "not reached", why).into());
            }
        }
        let mut config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.timeout))
            .set_response_timeout(Some(self.timeout));
        if let Some(near) = &self.near {
            near.forget();
            let near = Arc::clone(near);
            config = config.set_push_sender(move |push| {
                near.told(&push);
                Ok::<(), ()>(())
            });
        }
        let runtime = self.runtime.as_ref().expect("it is not dropped");
        let _entered = runtime.enter();
        let tracking = self.near.as_ref().map(|near| near.tracking());
        let timeout = self.timeout;
        let dialled = async {
            let line = match &mut self.dial {
                Dial::One(client) => Line::One(
                    client
                        .get_multiplexed_async_connection_with_config(&config)
                        .await?,
                ),
                Dial::Sentinel(client) => {
                    Line::One(client.get_async_connection_with_config(&config).await?)
                }
                Dial::Cluster { client, .. } => Line::Cluster(client.get_async_connection().await?),
            };
            if let (Line::One(connection), Some(tracking)) = (&line, tracking) {
                tracking.exec_async(&mut connection.clone()).await?;
            }
            Ok(line)
        };
        // Not on the caller's thread: that may be a thread of another runtime, where nothing may
        // be waited for in this way.
        let line = std::thread::scope(|scope| {
            let waiting = scope
                .spawn(|| runtime.block_on(async { tokio::time::timeout(timeout, dialled).await }));
            waiting.join().expect("connecting does not panic")
        });
        let line = line.unwrap_or_else(|_| Err(too_late("it does not answer")))?;
        if let Some(near) = &self.near {
            near.begin();
        }
        if self.outage.take().is_some() {
            tracing::info!(servers = self.name, "connected again");
        }
        self.line = Some(line.clone());
        Ok(line)
    }

    /// Has the driver's thread do something, for at most the timeout.
    fn wait<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, RedisError> {
        let (done, result) = mpsc::sync_channel(1);
        let timeout = self.timeout;
        self.runtime
            .as_ref()
            .expect("it is not dropped")
            .spawn(async move {
                let result = tokio::time::timeout(timeout, work).await;
                let _ = done.send(result);
            });
        match result.recv_timeout(timeout + GRACE) {
            Ok(Ok(result)) => Ok(result),
            _ => Err(too_late("no answer in time")),
        }
    }

    /// Leaves a connection that failed, and says so.
    fn failed(&mut self, error: &RedisError) -> BackendError {
        let is_known = self
            .outage
            .as_ref()
            .is_some_and(|outage| outage.again > Instant::now());
        let why = describe(error);
        if !is_known {
            if let Some(near) = &self.near {
                near.forget();
            }
            if !self.is_cluster() {
                self.line = None;
            }
            let pause = self
                .outage
                .as_ref()
                .map_or(PAUSES.0, |outage| outage.pause * 2);
            let pause = pause.min(PAUSES.1);
            tracing::warn!(servers = self.name, why, "the store's servers fail");
            self.outage = Some(Outage {
                pause,
                // Masters that lost the same server do not come back in step.
                again: Instant::now() + pause.mul_f64(fastrand::f64().mul_add(0.5, 0.5)),
                why: why.clone(),
            });
        }
        BackendError::Failed(format!("{}: {why}", self.name))
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// What a server said to a command; failures of the connection stay errors.
fn reply(result: Result<Value, RedisError>) -> Result<Reply, RedisError> {
    match result {
        Ok(value) => Ok(said(value)),
        Err(error) if is_said(&error) => Ok(Err(describe(&error))),
        Err(error) => Err(error),
    }
}

fn said(value: Value) -> Reply {
    match value {
        Value::ServerError(error) => {
            let details = error.details().unwrap_or_default();
            Err(format!("{} {details}", error.code()))
        }
        value => Ok(value),
    }
}

/// Whether a server is there and refuses; not so where it has no one to ask.
fn is_said(error: &RedisError) -> bool {
    matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension) && !error.is_cluster_error()
}

fn too_late(why: &'static str) -> RedisError {
    (ErrorKind::Io, why).into()
}

/// What went wrong, in one line.
fn describe(error: &RedisError) -> String {
    match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => format!("{code} {detail}"),
        (None, Some(detail)) if error.kind() == ErrorKind::Io => detail.to_owned(),
        _ => error.to_string(),
    }
}
