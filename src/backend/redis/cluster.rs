//! The servers of a cluster: each is asked for what it has, and none has to be waited for by who
//! asks another one.
//!
//! Where the keys are is learnt anew whenever a server is lost or says that a key is elsewhere; a
//! command that was answered so is sent on, for it was not done. It is learnt from some servers
//! that are connected, or else from whoever the URL names or was known last.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{join_all, select_ok};
use redis::Cmd;
use redis::aio::ConnectionLike as _;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::dial::{Dialer, Place};
use super::node::{LATE, Node, Repeat, Reply, Surroundings, Trouble, describe, said};
use super::slots::{self, Next, Range};
use crate::config::Host;

/// How often a command is sent on at most.
const REDIRECTS: u32 = 5;
/// How many servers are asked at once where the keys are.
const ASKED: usize = 3;
/// The pauses between two such questions: at least, and at most while a server is away.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(500));

/// A cluster.
pub(super) struct Cluster {
    inside: Arc<Inside>,
    learner: AbortHandle,
}

struct Inside {
    runtime: Handle,
    dialer: Arc<Dialer>,
    seeds: Vec<Host>,
    timeout: Duration,
    map: Mutex<Map>,
    /// Told when the map is not to be relied on.
    doubted: Arc<Notify>,
}

#[derive(Default)]
struct Map {
    ranges: Vec<Range>,
    /// Connections to the primaries, and to whoever was named since.
    nodes: Vec<(Host, Arc<Node>)>,
}

/// What one server is asked of a turn.
struct Part {
    host: Host,
    node: Arc<Node>,
    /// Each command is let through this once, though the server does not have the slot yet.
    is_asking: bool,
    /// Which of the commands.
    indices: Vec<usize>,
}

impl Cluster {
    /// A cluster that has these servers, and others. Nothing is known of it before
    /// [`reach`](Self::reach).
    pub(super) fn new(
        runtime: Handle,
        dialer: Arc<Dialer>,
        seeds: Vec<Host>,
        timeout: Duration,
    ) -> Self {
        let inside = Arc::new(Inside {
            runtime,
            dialer,
            seeds,
            timeout,
            map: Mutex::default(),
            doubted: Arc::default(),
        });
        let learner = inside.runtime.spawn(look_after(Arc::clone(&inside)));
        Self {
            learner: learner.abort_handle(),
            inside,
        }
    }

    /// Finds out which servers there are, and waits until it is known how they are.
    ///
    /// # Errors
    /// None of them can be asked.
    pub(super) async fn reach(&self, deadline: Instant) -> Result<(), Trouble> {
        self.inside.learn(deadline).await?;
        let nodes = self.inside.lock().nodes.clone();
        let reached = nodes.iter().map(|(_, node)| node.reach(deadline));
        let reached = join_all(reached).await;
        if reached.iter().any(Result::is_ok) {
            return Ok(());
        }
        reached.into_iter().collect()
    }

    /// Sends commands at once, each to the server that has its key, and gives what is said to each,
    /// in the same order.
    pub(super) async fn run(
        &self,
        commands: &[Cmd],
        repeat: Repeat,
        deadline: Instant,
    ) -> Vec<Reply> {
        let nobody = Trouble::Said("CLUSTERDOWN Hash slot not served".to_owned());
        let mut replies: Vec<Reply> = commands.iter().map(|_| Err(nobody.clone())).collect();
        let mut parts = self.inside.parts(commands);
        for _ in 0..=REDIRECTS {
            let sent = parts
                .iter()
                .map(|part| part.send(commands, repeat, deadline));
            let answers = join_all(sent).await;
            let mut further = Vec::new();
            for (part, answer) in parts.iter().zip(answers) {
                let answers = match answer {
                    Ok(replies) => replies,
                    Err(trouble) => vec![Err(trouble); part.indices.len()],
                };
                for (index, reply) in part.indices.iter().zip(answers) {
                    if let Some(next) = Next::of(&reply, &part.host) {
                        self.inside.send_on(&mut further, next, *index);
                    }
                    replies[*index] = reply;
                }
            }
            if further.is_empty() {
                break;
            }
            parts = further;
        }
        replies
    }

    /// Sends a command to one server, whichever keys it has.
    pub(super) async fn run_at(&self, host: &Host, command: &Cmd, deadline: Instant) -> Reply {
        let node = self.inside.node(&mut self.inside.lock(), host);
        let mut replies = node
            .run(vec![command.clone()], Repeat::Yes, deadline)
            .await?;
        replies.swap_remove(0)
    }

    /// The servers that have keys of their own, as they are now.
    pub(super) async fn primaries(&self, deadline: Instant) -> Result<Vec<Host>, Trouble> {
        self.inside.learn(deadline).await?;
        let map = self.inside.lock();
        let mut primaries = Vec::new();
        for range in &map.ranges {
            if !primaries.contains(range.primary()) {
                primaries.push(range.primary().clone());
            }
        }
        Ok(primaries)
    }

    /// Why what concerns this key cannot be asked now, where that is known.
    pub(super) fn away(&self, key: &[u8]) -> Option<Trouble> {
        let map = self.inside.lock();
        map.node(slots::owner(&map.ranges, key)?)?.away()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.learner.abort();
    }
}

impl Inside {
    /// Asks where the keys are.
    async fn learn(&self, deadline: Instant) -> Result<(), Trouble> {
        let (mut nodes, strangers) = {
            let map = self.lock();
            (map.nodes.clone(), self.strangers(&map))
        };
        nodes.retain(|(_, node)| node.is_up());
        fastrand::shuffle(&mut nodes);
        nodes.truncate(ASKED);
        let question = &{
            let mut question = redis::cmd("CLUSTER");
            question.arg("SLOTS");
            question
        };
        if !nodes.is_empty() {
            let asked = nodes.iter().map(|(host, node)| {
                Box::pin(async move {
                    let mut replies = node
                        .run(vec![question.clone()], Repeat::Yes, deadline)
                        .await?;
                    Range::all(&replies.swap_remove(0)?, host)
                })
            });
            if let Ok((ranges, _)) = select_ok(asked).await {
                self.take(ranges);
                return Ok(());
            }
        }
        let asked = strangers
            .iter()
            .map(|host| Box::pin(self.ask(host, question, deadline)));
        let (ranges, _) = select_ok(asked).await?;
        self.take(ranges);
        Ok(())
    }

    /// Whoever may know where the keys are, connected or not.
    fn strangers(&self, map: &Map) -> Vec<Host> {
        let mut hosts = self.seeds.clone();
        for host in map.ranges.iter().flat_map(Range::hosts) {
            if !hosts.contains(host) {
                hosts.push(host.clone());
            }
        }
        hosts
    }

    /// Asks a server by a connection of its own.
    async fn ask(
        &self,
        host: &Host,
        question: &Cmd,
        deadline: Instant,
    ) -> Result<Vec<Range>, Trouble> {
        let place = Place::Node(host.clone());
        let asked = async {
            let mut connection = self.dialer.connect(&place, Arc::new(|_| ())).await?;
            connection.req_packed_command(question).await
        };
        match timeout_at(deadline, asked).await {
            Ok(Ok(value)) => Range::all(&said(value)?, host),
            Ok(Err(error)) => Err(Trouble::Away(format!("{host}: {}", describe(&error)))),
            Err(_) => Err(Trouble::Away(format!("{host}: {LATE}"))),
        }
    }

    /// From now on the keys are where this says.
    fn take(&self, ranges: Vec<Range>) {
        let mut map = self.lock();
        let is_primary = |host: &Host| ranges.iter().any(|range| range.primary() == host);
        map.nodes.retain(|(host, _)| is_primary(host));
        for range in &ranges {
            self.node(&mut map, range.primary());
        }
        map.ranges = ranges;
    }

    /// What each server is asked, as far as the map tells.
    fn parts(&self, commands: &[Cmd]) -> Vec<Part> {
        let map = self.lock();
        let mut parts = Vec::new();
        for (index, command) in commands.iter().enumerate() {
            let owner = slots::owner(&map.ranges, slots::key(command));
            match owner.and_then(|host| Some((host, map.node(host)?))) {
                Some((host, node)) => part(&mut parts, host, node, false).indices.push(index),
                None => self.doubted.notify_one(),
            }
        }
        parts
    }

    /// Has a command go where it is said to belong.
    fn send_on(&self, parts: &mut Vec<Part>, next: Next, index: usize) {
        let (host, is_asking) = match next {
            Next::Moved(host) => {
                self.doubted.notify_one();
                (host, false)
            }
            Next::Ask(host) => (host, true),
        };
        let node = self.node(&mut self.lock(), &host);
        part(parts, &host, &node, is_asking).indices.push(index);
    }

    fn node(&self, map: &mut Map, host: &Host) -> Arc<Node> {
        if let Some(node) = map.node(host) {
            return Arc::clone(node);
        }
        let surroundings = Surroundings {
            name: format!("redis at {host}"),
            timeout: self.timeout,
            near: None,
            fast: None,
            lost: Arc::clone(&self.doubted),
        };
        let place = Place::Node(host.clone());
        let node = Node::start(&self.runtime, place, Arc::clone(&self.dialer), surroundings);
        let node = Arc::new(node);
        map.nodes.push((host.clone(), Arc::clone(&node)));
        node
    }

    /// Whether there is nothing to be learnt at present.
    fn is_whole(&self) -> bool {
        let map = self.lock();
        map.nodes.iter().all(|(_, node)| node.away().is_none())
    }

    fn lock(&self) -> MutexGuard<'_, Map> {
        self.map.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Map {
    fn node(&self, host: &Host) -> Option<&Arc<Node>> {
        let found = self.nodes.iter().find(|(there, _)| there == host);
        found.map(|(_, node)| node)
    }
}

/// Learns anew where the keys are whenever there is reason to.
async fn look_after(inside: Arc<Inside>) {
    loop {
        if inside.is_whole() {
            inside.doubted.notified().await;
        } else {
            let _ = timeout(PAUSES.1, inside.doubted.notified()).await;
        }
        if let Err(trouble) = inside.learn(Instant::now() + inside.timeout).await {
            tracing::debug!(?trouble, "nobody says where the keys are");
        }
        sleep(PAUSES.0).await;
    }
}

impl Part {
    async fn send(
        &self,
        commands: &[Cmd],
        repeat: Repeat,
        deadline: Instant,
    ) -> Result<Vec<Reply>, Trouble> {
        let asking = redis::cmd("ASKING");
        let mut sent = Vec::with_capacity(self.indices.len());
        for index in &self.indices {
            sent.extend(self.is_asking.then(|| asking.clone()));
            // Where it is not the right server, the command is sent on.
            sent.push(commands[*index].clone());
        }
        let mut replies = self.node.run(sent, repeat, deadline).await?;
        if self.is_asking {
            let mut is_wanted = [false, true].into_iter().cycle();
            replies.retain(|_| is_wanted.next() == Some(true));
        }
        Ok(replies)
    }
}

/// The part of this server, which may be new.
fn part<'p>(
    parts: &'p mut Vec<Part>,
    host: &Host,
    node: &Arc<Node>,
    is_asking: bool,
) -> &'p mut Part {
    let is_this = |part: &Part| part.is_asking == is_asking && Arc::ptr_eq(&part.node, node);
    let position = parts.iter().position(is_this).unwrap_or_else(|| {
        parts.push(Part {
            host: host.clone(),
            node: Arc::clone(node),
            is_asking,
            indices: Vec::new(),
        });
        parts.len() - 1
    });
    &mut parts[position]
}
