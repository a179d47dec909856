//! Redis asked in pipelines: directly by redis-rs, through a master that asks it, and through
//! twemproxy, which is what others put there.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use memstore_cluster::{Options, Store};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, IntoConnectionInfo as _};
use tokio::runtime::{Builder, Runtime};

use super::cases::{self, Work};
use super::common::histogram::Histogram;
use super::common::load::Shape;
use super::common::server::{Kind, Server};
use super::common::wire::Op;
use super::common::{Result, driver, keys};
use super::contest::{Contestant, Done, Who};
use super::ours;

/// A server that is silent for so long has failed.
const PATIENCE: Duration = Duration::from_secs(10);

const fn work(op: Op, calls: usize, depth: usize) -> Work {
    Work { op, calls, depth }
}

/// What is compared: 64 under way in all, by clients that wait for each answer or do not, and 64 on
/// each of the connections.
pub(crate) const WORKS: [Work; 8] = [
    work(Op::Get, 64, 1),
    work(Op::Set, 64, 1),
    work(Op::Get, 1, 64),
    work(Op::Set, 1, 64),
    work(Op::Get, 8, 8),
    work(Op::Set, 8, 8),
    work(Op::Get, 8, 64),
    work(Op::Set, 8, 64),
];

/// Starts a twemproxy before the Redis at this socket, and its first database.
///
/// # Errors
/// It is not installed, or does not start.
pub(crate) fn proxy(redis: &Path, dir: &Path, ours: &Path) -> Result<Server> {
    let sock = dir.join("twemproxy.sock");
    let file = dir.join("twemproxy.yml");
    let pool = format!(
        "redis:\n  listen: {}\n  redis: true\n  preconnect: true\n  servers:\n   - {}:1\n",
        sock.display(),
        redis.display()
    );
    fs::write(&file, pool)?;
    // It tells statistics on a port, whether or not anybody asks.
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port();
    let args = ["-c", &file.display().to_string(), "-s", &port.to_string()];
    Server::start_with(Kind::Twemproxy, ours, dir, &args.map(str::to_owned))
}

/// redis-rs on one thread, with a task and a connection for each pipeline. Those who wait for each
/// answer share one connection to Redis, as is its way; to a master each has one, as workers have.
pub(crate) struct RedisRs {
    who: Who,
    pids: Vec<u32>,
    entries: u64,
    runtime: Runtime,
    connections: Vec<MultiplexedConnection>,
}

impl RedisRs {
    /// Connects to whoever speaks Redis at this socket.
    ///
    /// # Errors
    /// Where nobody does.
    pub(crate) fn connect(
        who: Who,
        sock: &Path,
        database: u8,
        pids: Vec<u32>,
        entries: u64,
    ) -> Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let url = format!("redis+unix://{}?db={database}", sock.display());
        let info = url.into_connection_info()?;
        // twemproxy takes no introductions.
        let settings = info.redis_settings().clone().set_skip_set_lib_name();
        let client = redis::Client::open(info.set_redis_settings(settings))?;
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(PATIENCE));
        let most = WORKS.iter().map(|work| work.calls).max().unwrap_or(0);
        let mut connections = Vec::new();
        for _ in 0..most {
            let connection = client.get_multiplexed_async_connection_with_config(&config);
            let mut connection = runtime.block_on(connection)?;
            // A master does not wait for ever for who says nothing.
            runtime.block_on(redis::cmd("PING").exec_async(&mut connection))?;
            connections.push(connection);
        }
        Ok(Self {
            who,
            pids,
            entries,
            runtime,
            connections,
        })
    }

    /// Writes all sessions.
    ///
    /// # Errors
    /// The server says no.
    pub(crate) fn fill(&mut self) -> Result<()> {
        let session = cases::session();
        let all: Vec<_> = (1..=self.entries).map(keys::key).collect();
        let connection = &mut self.connections[0];
        for some in all.chunks(64) {
            let pipeline = pipeline(Op::Set, some, &session);
            self.runtime
                .block_on(pipeline.query_async::<()>(connection))?;
        }
        Ok(())
    }
}

impl Contestant for RedisRs {
    fn who(&self) -> Who {
        self.who
    }

    fn pids(&self) -> Vec<u32> {
        self.pids.clone()
    }

    fn run(&mut self, work: Work, time: Duration) -> Result<Done> {
        driver::check_interrupt()?;
        let began = Instant::now();
        let until = began + time;
        let entries = self.entries;
        let is_shared = self.who == Who::Direct && work.depth == 1;
        let count = if is_shared { 1 } else { work.calls };
        let connections = self.connections[..count].iter().cycle();
        let lanes = (1..).zip(connections).take(work.calls);
        let lanes: Vec<_> = lanes
            .map(|(seed, connection)| {
                let connection = connection.clone();
                self.runtime
                    .spawn(lane(connection, seed, entries, work, until))
            })
            .collect();
        let mut all = Histogram::new();
        for lane in lanes {
            all.add(&self.runtime.block_on(lane)??);
        }
        Ok(Done::of(&all, work.depth, began))
    }
}

async fn lane(
    mut connection: MultiplexedConnection,
    seed: u64,
    entries: u64,
    work: Work,
    until: Instant,
) -> Result<Histogram> {
    let session = cases::session();
    let mut random = fastrand::Rng::with_seed(seed);
    let mut histogram = Histogram::new();
    let mut now = Instant::now();
    loop {
        let some: Vec<_> = (0..work.depth)
            .map(|_| keys::key(random.u64(1..=entries)))
            .collect();
        let pipeline = pipeline(work.op, &some, &session);
        if work.op == Op::Get {
            let found: Vec<Option<Vec<u8>>> = pipeline.query_async(&mut connection).await?;
            if found.iter().any(Option::is_none) {
                return Err("a session is not there".into());
            }
        } else {
            pipeline.query_async::<()>(&mut connection).await?;
        }
        let then = std::mem::replace(&mut now, Instant::now());
        histogram.record_duration(now - then);
        if now >= until {
            return Ok(histogram);
        }
    }
}

fn pipeline(op: Op, keys: &[[u8; keys::KEY]], session: &[u8]) -> redis::Pipeline {
    let mut pipeline = redis::Pipeline::with_capacity(keys.len());
    for key in keys {
        match op {
            Op::Get => pipeline.cmd("GET").arg(key),
            Op::Set => {
                let set = pipeline.cmd("SET").arg(key).arg(session);
                set.arg("PX").arg(cases::LIFETIME_MS)
            }
            Op::Touch => pipeline.cmd("PEXPIRE").arg(key).arg(cases::LIFETIME_MS),
        };
    }
    pipeline
}

/// Our client, with a thread and a connection for each pipeline; connections that wait for each
/// answer have one thread.
pub(crate) struct OwnClient {
    sock: PathBuf,
    pids: Vec<u32>,
    entries: u64,
    stores: Vec<Store>,
}

impl OwnClient {
    /// Connects to the master at this socket.
    ///
    /// # Errors
    /// Where there is none.
    pub(crate) fn connect(sock: &Path, pids: Vec<u32>, entries: u64) -> Result<Self> {
        let deep = WORKS.iter().filter(|work| work.depth > 1);
        let most = deep.map(|work| work.calls).max().unwrap_or(0);
        let connect = |_| {
            let options = Options {
                connect: true,
                sock: Some(PathBuf::from(sock)),
                timeout: PATIENCE,
                ..Options::default()
            };
            Ok(options.create()?)
        };
        Ok(Self {
            sock: PathBuf::from(sock),
            pids,
            entries,
            stores: (0..most).map(connect).collect::<Result<_>>()?,
        })
    }
}

impl Contestant for OwnClient {
    fn who(&self) -> Who {
        Who::OwnClient
    }

    fn pids(&self) -> Vec<u32> {
        self.pids.clone()
    }

    fn run(&mut self, work: Work, time: Duration) -> Result<Done> {
        if work.depth == 1 {
            let shape = Shape {
                connections: work.calls,
                depth: 1,
            };
            let entries = usize::try_from(self.entries)?;
            return ours::ask(&self.sock, entries, (work.op, shape), time);
        }
        ours::call(&self.stores[..work.calls], self.entries, work, time)
    }
}
