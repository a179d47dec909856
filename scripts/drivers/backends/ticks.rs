//! What the master's loop and those who ask nothing of the store wait while SQLite syncs.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use memstore_cluster::protocol::{Request, codec};

use super::cases::{self, Case, Storage};
use super::common::Result;
use super::common::answers::Answer;
use super::common::connection::Connection;
use super::common::dialect::{Dialect, words};
use super::common::histogram::Histogram;
use super::common::load::{self, Shape};
use super::common::probe::Probe;
use super::common::server::{Kind, Server};
use super::common::table::float;
use super::common::wire::Op;
use super::ours;

/// Connections that write.
const WRITERS: usize = 8;
/// Between two pings.
const INTERVAL: Duration = Duration::from_millis(1);
/// Syncs of the disk that are timed.
const SYNCS: usize = 25;

/// What a master is, and what goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Scene {
    pub(crate) storage: Storage,
    pub(crate) is_written: bool,
}

impl Scene {
    pub(crate) const EVERY: [Self; 4] = [
        Self::new(Storage::Memory, false),
        Self::new(Storage::Memory, true),
        Self::new(Storage::Sqlite, false),
        Self::new(Storage::Sqlite, true),
    ];

    const fn new(storage: Storage, is_written: bool) -> Self {
        Self {
            storage,
            is_written,
        }
    }

    fn case(self) -> Case {
        Case {
            storage: self.storage,
            is_durable: self.storage != Storage::Memory,
        }
    }

    pub(crate) fn label(self) -> String {
        let what = if self.is_written {
            "8 connections write"
        } else {
            "nobody writes"
        };
        format!("{}: {what}", self.case().label())
    }
}

/// What the loop counts of itself where the backend has a thread of its own. Microseconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Loop {
    pub(crate) ticks: u64,
    pub(crate) longest: f64,
    /// Ticks that took a millisecond or longer.
    pub(crate) long: u64,
    /// Turns of the backend, each with one commit.
    pub(crate) turns: u64,
}

/// One measurement. Times are microseconds.
#[derive(Clone, Debug)]
pub(crate) struct Watched {
    pub(crate) scene: Scene,
    pub(crate) round: u32,
    pub(crate) seconds: f64,
    pub(crate) writes_per_second: f64,
    /// What a ping waits: p50, p99, p99.9 and the most.
    pub(crate) waits: [f64; 4],
    pub(crate) of_loop: Option<Loop>,
}

impl Watched {
    /// One line, without its end.
    pub(crate) fn json(&self) -> String {
        let of_loop = self.of_loop.clone().unwrap_or_default();
        serde_json::json!({
            "contest": "ticks",
            "scene": self.scene.label(),
            "round": self.round,
            "writes_per_second": self.writes_per_second,
            "ping_us": self.waits,
            "longest_tick_us": of_loop.longest,
            "ticks": of_loop.ticks,
            "ticks_of_1_ms": of_loop.long,
            "seconds": self.seconds,
            "turns": of_loop.turns,
        })
        .to_string()
    }
}

/// Watches a new master for so long.
///
/// # Errors
/// The master does not start, or refuses something.
pub(crate) fn watch(
    ours: &Path,
    dir: &Path,
    (scene, round): (Scene, u32),
    entries: usize,
    time: Duration,
) -> Result<Watched> {
    let dir = tempfile::tempdir_in(dir)?;
    let place = dir.path().join("sessions.db");
    let url = scene.case().url(&place.to_string_lossy());
    let args = ["--store".to_owned(), url];
    let server = Server::start_with(Kind::Ours, ours, dir.path(), &args)?;
    load::preload(&server.sock, Dialect::Native, &cases::session(), entries)?;
    let before = Loop::of(&server)?;

    let mut ping = Vec::new();
    codec::write_request(&mut ping, 0, &Request::Ping);
    let probe = Probe::new(Connection::to(&server)?, Dialect::Native, ping, INTERVAL)?;
    let is_over = AtomicBool::new(false);
    let began = Instant::now();
    let (written, waited) = thread::scope(|scope| {
        let probe = scope.spawn(|| probe.run(&is_over));
        let written = if scene.is_written {
            write(&server, entries, time)
        } else {
            thread::sleep(time);
            Ok(0.0)
        };
        is_over.store(true, Ordering::Relaxed);
        (written, probe.join())
    });
    let waited = waited.map_err(|_| "the probe has panicked")??;
    let seconds = began.elapsed().as_secs_f64();
    let after = Loop::of(&server)?;
    let micros = |nanos| float(nanos) / 1e3;
    let at = |share| micros(waited.percentile(share));
    Ok(Watched {
        scene,
        round,
        seconds,
        writes_per_second: written?,
        waits: [at(0.5), at(0.99), at(0.999), micros(waited.max())],
        of_loop: after.zip(before).map(|(after, before)| Loop {
            ticks: after.ticks - before.ticks,
            longest: after.longest,
            long: after.long - before.long,
            turns: after.turns - before.turns,
        }),
    })
}

/// Writes from all connections; how many a second.
fn write(server: &Server, entries: usize, time: Duration) -> Result<f64> {
    let shape = Shape {
        connections: WRITERS,
        depth: 1,
    };
    let done = ours::ask(&server.sock, entries, (Op::Set, shape), time)?;
    Ok(float(done.operations) / done.seconds)
}

impl Loop {
    /// What a master tells; `None` where its backend has no thread of its own.
    fn of(server: &Server) -> Result<Option<Self>> {
        let mut connection = Connection::open(&server.sock, Dialect::Resp)?;
        let mut request = Vec::new();
        words(&mut request, &[b"INFO", b"backend"]);
        let Answer::Value(text) = connection.call(&request)? else {
            return Ok(None);
        };
        Self::read(&String::from_utf8_lossy(&text))
    }

    fn read(text: &str) -> Result<Option<Self>> {
        let fields: BTreeMap<_, _> = text
            .lines()
            .filter_map(|line| line.split_once(':'))
            .collect();
        let Some(kinds) = fields.get("loop_ticks_usec") else {
            return Ok(None);
        };
        let number = |name: &str| -> Result<u64> {
            let field = fields
                .get(name)
                .ok_or_else(|| format!("INFO has no {name}"))?;
            Ok(field.parse()?)
        };
        let mut long = 0;
        for kind in kinds.split(',') {
            let kind = kind
                .strip_prefix("below_")
                .and_then(|kind| kind.split_once('='));
            let (below, count) = kind.ok_or("INFO has other kinds of ticks")?;
            if below.parse::<u64>()? > 1_024 {
                long += count.parse::<u64>()?;
            }
        }
        Ok(Some(Self {
            ticks: number("loop_ticks")?,
            longest: float(number("loop_longest_tick_usec")?),
            long,
            turns: number("backend_turns")?,
        }))
    }
}

/// Microseconds that the disk under this folder takes for a write of 4 KiB and its sync: the
/// middle and the most.
///
/// # Errors
/// Where nothing can be written.
pub(crate) fn sync_micros(dir: &Path) -> Result<(f64, f64)> {
    let path = dir.join("synced");
    let mut file = File::create(&path)?;
    file.write_all(&vec![1; 64 << 10])?;
    file.sync_all()?;
    let mut histogram = Histogram::new();
    for at in 0..SYNCS as u64 {
        let began = Instant::now();
        file.write_all_at(&[2; 4 << 10], at % 16 * (4 << 10))?;
        file.sync_data()?;
        histogram.record_duration(began.elapsed());
    }
    std::fs::remove_file(path)?;
    let micros = |nanos| float(nanos) / 1e3;
    Ok((micros(histogram.percentile(0.5)), micros(histogram.max())))
}
