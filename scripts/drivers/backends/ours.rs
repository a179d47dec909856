//! Our stores: called in this process, and asked through a master's socket.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use memstore_cluster::{Batch, Options, SetOptions, Source, Standalone, Store};

use super::cases::{self, Case, Work};
use super::common::dialect::Dialect;
use super::common::histogram::Histogram;
use super::common::load::{self, Load, Shape};
use super::common::server::{Kind, Server};
use super::common::wire::{Keys, Op, Order};
use super::common::{Result, driver, keys};
use super::contest::{Contestant, Done, Who};

/// Entries that are written at once while a store is filled.
const FILL: u64 = 64;
const LIFETIME: Duration = Duration::from_millis(cases::LIFETIME_MS);

/// A store in this process; as many threads call it as there are calls.
pub(crate) struct InProcess {
    store: Store,
    entries: u64,
    /// The process of the server that the store asks.
    server: Option<u32>,
}

impl InProcess {
    /// Opens a store there and fills it.
    ///
    /// # Errors
    /// The store says no.
    pub(crate) fn open(case: Case, place: &str, server: Option<u32>, entries: u64) -> Result<Self> {
        let options = Options {
            standalone: Standalone::Always,
            store: case.url(place).parse::<Source>()?,
            ..Options::default()
        };
        let store = options.create()?;
        fill(&store, entries)?;
        Ok(Self {
            store,
            entries,
            server,
        })
    }
}

/// Writes all sessions.
fn fill(store: &Store, entries: u64) -> Result<()> {
    let session = cases::session();
    for first in (1..=entries).step_by(usize::try_from(FILL)?) {
        let some: Vec<_> = (first..=entries.min(first + FILL - 1))
            .map(keys::key)
            .collect();
        let mut batch = Batch::new();
        for key in &some {
            batch.set(key, &session, SetOptions::new().ttl(LIFETIME));
        }
        for outcome in store.run(&batch) {
            outcome?;
        }
    }
    Ok(())
}

impl Contestant for InProcess {
    fn who(&self) -> Who {
        Who::InProcess
    }

    fn pids(&self) -> Vec<u32> {
        self.server.into_iter().collect()
    }

    fn run(&mut self, work: Work, time: Duration) -> Result<Done> {
        let stores = vec![self.store.clone(); work.calls];
        call(&stores, self.entries, work, time)
    }
}

/// A thread for each of the stores, which calls it until the time is over.
///
/// # Errors
/// The store says no, or has not what it must have.
pub(crate) fn call(stores: &[Store], entries: u64, work: Work, time: Duration) -> Result<Done> {
    let began = Instant::now();
    let until = began + time;
    let all = thread::scope(|scope| {
        let lanes: Vec<_> = (1..)
            .zip(stores)
            .map(|(seed, store)| scope.spawn(move || lane(store, seed, entries, work, until)))
            .collect();
        let mut all = Histogram::new();
        for lane in lanes {
            all.add(&lane.join().map_err(|_| "a panic")??);
        }
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(all)
    })?;
    Ok(Done::of(&all, work.depth, began))
}

fn lane(store: &Store, seed: u64, entries: u64, work: Work, until: Instant) -> Result<Histogram> {
    let session = cases::session();
    let mut random = fastrand::Rng::with_seed(seed);
    let mut histogram = Histogram::new();
    let mut now = Instant::now();
    loop {
        driver::check_interrupt()?;
        let some: Vec<_> = (0..work.depth)
            .map(|_| keys::key(random.u64(1..=entries)))
            .collect();
        let is_done = match some.as_slice() {
            [key] => one(store, work.op, key, &session)?,
            some => many(store, work.op, some, &session)?,
        };
        if !is_done {
            return Err("a session is not there".into());
        }
        let then = std::mem::replace(&mut now, Instant::now());
        histogram.record_duration(now - then);
        if now >= until {
            return Ok(histogram);
        }
    }
}

fn one(store: &Store, op: Op, key: &[u8], session: &[u8]) -> Result<bool> {
    Ok(match op {
        Op::Get => store.get(key)?.is_some(),
        Op::Set => {
            store.set_with(key, session, SetOptions::new().ttl(LIFETIME))?;
            true
        }
        Op::Touch => store.touch(key, Some(LIFETIME))?,
    })
}

fn many(store: &Store, op: Op, keys: &[[u8; keys::KEY]], session: &[u8]) -> Result<bool> {
    use memstore_cluster::Outcome;

    let mut batch = Batch::new();
    for key in keys {
        match op {
            Op::Get => batch.get(key),
            Op::Set => batch.set(key, session, SetOptions::new().ttl(LIFETIME)),
            Op::Touch => batch.touch(key, Some(LIFETIME)),
        };
    }
    for outcome in store.run(&batch) {
        if matches!(outcome?, Outcome::Entry(None) | Outcome::Found(false)) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A store behind a master; one thread has all connections to it.
pub(crate) struct Master {
    server: Server,
    entries: usize,
    /// The process of the server that the master asks.
    beyond: Option<u32>,
}

impl Master {
    /// Starts a master that keeps what else it has in `dir`, and fills the store.
    ///
    /// # Errors
    /// The master does not start, or says no.
    pub(crate) fn start(
        ours: &Path,
        dir: &Path,
        url: &str,
        beyond: Option<u32>,
        entries: u64,
    ) -> Result<Self> {
        let args = ["--store".to_owned(), url.to_owned()];
        let server = Server::start_with(Kind::Ours, ours, dir, &args)?;
        let entries = usize::try_from(entries)?;
        load::preload(&server.sock, Dialect::Native, &cases::session(), entries)?;
        Ok(Self {
            server,
            entries,
            beyond,
        })
    }

    pub(crate) fn sock(&self) -> &Path {
        &self.server.sock
    }

    /// The master alone, to be asked by others.
    pub(crate) fn into_server(self) -> Server {
        self.server
    }
}

impl Contestant for Master {
    fn who(&self) -> Who {
        Who::Master
    }

    fn pids(&self) -> Vec<u32> {
        let master = self.server.pid();
        [master].into_iter().chain(self.beyond).collect()
    }

    fn run(&mut self, work: Work, time: Duration) -> Result<Done> {
        let shape = Shape {
            connections: work.calls,
            depth: work.depth,
        };
        ask(&self.server.sock, self.entries, (work.op, shape), time)
    }
}

/// Asks the master at this socket from one thread.
///
/// # Errors
/// It is gone, or answers anything but what it must.
pub(crate) fn ask(
    sock: &Path,
    entries: usize,
    (op, shape): (Op, Shape),
    time: Duration,
) -> Result<Done> {
    let exchange = Dialect::Native.exchange(op, &cases::session());
    let keys = Keys::new(entries, Order::Random(0x5eed));
    let mut load = Load::connect(sock, Dialect::Native, &exchange, shape, keys)?;
    let mut histogram = Histogram::new();
    let began = Instant::now();
    load.run(time, &mut histogram)?;
    Ok(Done::of(&histogram, 1, began))
}
