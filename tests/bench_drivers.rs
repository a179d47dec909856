//! The drivers of `scripts/bench` whole, with few entries: every cell of their tables is filled.
//! Redis and memcached are measured where they are installed. No time is measured; what counts as
//! one, the probe, is shown to ask whether or not it is answered.

#![allow(clippy::unwrap_used, reason = "helpers may panic as the tests do")]
#![allow(
    clippy::duplicate_mod,
    reason = "each driver is a program and has what all share for itself"
)]

mod common;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

#[allow(dead_code, reason = "the program uses the rest")]
#[path = "../scripts/drivers/backends/main.rs"]
mod backends;
#[allow(dead_code, reason = "the program uses the rest")]
#[path = "../scripts/drivers/engine/main.rs"]
mod engine;
#[allow(dead_code, reason = "the program uses the rest")]
#[path = "../scripts/drivers/memory/main.rs"]
mod memory;
#[allow(dead_code, reason = "the program uses the rest")]
#[path = "../scripts/drivers/pauses/main.rs"]
mod pauses;
#[allow(dead_code, reason = "the program uses the rest")]
#[path = "../scripts/drivers/peers/main.rs"]
mod peers;

use backends::options::Part;
use memory::churn::{Deed, MAX_SIZE, MIN_SIZE, Sessions};
use pauses::common::connection::Connection;
use pauses::common::dialect::{Ask, Dialect};
use pauses::common::keys;
use pauses::common::probe::Probe;

/// The rows of all Markdown tables, without their heads.
fn rows(report: &[u8]) -> Vec<Vec<String>> {
    let report = String::from_utf8_lossy(report);
    let lines: Vec<_> = report.lines().collect();
    let is_row = |line: &str| line.starts_with('|') && !line.starts_with("|--");
    let rows = lines.windows(2).filter(|pair| {
        let is_head = pair[1].starts_with("|--");
        is_row(pair[0]) && !is_head
    });
    let cells = |line: &str| {
        let cells = line.trim_matches('|').split('|');
        cells.map(|cell| cell.trim().to_owned()).collect()
    };
    rows.map(|pair| cells(pair[0])).collect()
}

/// Whether a cell has a figure.
fn is_filled(cell: &str) -> bool {
    cell.chars().any(|c| c.is_ascii_digit())
}

fn is_installed(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok()
}

#[test]
fn the_engine_driver_fills_its_tables() {
    let mut report = Vec::new();
    engine::run(&engine::Options::quick(), &mut report).unwrap();
    let rows = rows(&report);
    let sizes = 2;
    assert!(
        rows.len() > 12 * sizes,
        "{}",
        String::from_utf8_lossy(&report)
    );
    for row in rows {
        assert!(row[2..].iter().all(|cell| is_filled(cell)), "{row:?}");
    }
}

/// The memory driver with one server.
fn measure_memory_of(kind: memory::common::server::Kind, tells_itself: bool) {
    let options = memory::options::Options {
        peers: memory::common::args::Peers::any(&[kind]),
        ..memory::options::Options::quick()
    };
    let mut report = Vec::new();
    memory::run(&options, &mut report).expect("it can be measured");
    let rows = rows(&report);
    assert_eq!(rows.len(), 3 + 9, "{}", String::from_utf8_lossy(&report));
    for row in rows {
        let is_told = !row[0].ends_with("told") || tells_itself;
        assert_eq!(is_filled(&row[1]), is_told, "{row:?}");
    }
}

#[test]
fn the_memory_driver_measures_us() {
    measure_memory_of(memory::common::server::Kind::Ours, false);
}

#[test]
fn the_memory_driver_measures_redis() {
    if is_installed("redis-server") {
        measure_memory_of(memory::common::server::Kind::Redis, true);
    }
}

#[test]
fn the_memory_driver_measures_memcached() {
    if is_installed("memcached") {
        measure_memory_of(memory::common::server::Kind::Memcached, true);
    }
}

/// The pauses driver with one server; the labels of its rows without a figure in this column.
fn measure_pauses_of(kind: pauses::common::server::Kind, column: usize) -> Vec<String> {
    let options = pauses::options::Options {
        peers: pauses::common::args::Peers::any(&[kind]),
        ..pauses::options::Options::quick()
    };
    let mut report = Vec::new();
    pauses::run(&options, &mut report).expect("it can be measured");
    let rows = rows(&report);
    assert_eq!(rows.len(), 8, "{}", String::from_utf8_lossy(&report));
    let empty = rows.into_iter().filter(|row| !is_filled(&row[column]));
    empty.map(|row| row[0].clone()).collect()
}

#[test]
fn the_pauses_driver_measures_us() {
    let missing = measure_pauses_of(pauses::common::server::Kind::Ours, 1);
    assert!(
        missing.iter().all(|label| label == "dump / SAVE"),
        "{missing:?}"
    );
}

#[test]
fn the_pauses_driver_measures_redis() {
    if is_installed("redis-server") {
        let missing = measure_pauses_of(pauses::common::server::Kind::Redis, 1);
        assert!(missing.is_empty(), "{missing:?}");
    }
}

/// The peers driver with one server in both dialects.
fn measure_peers_of(kind: peers::common::server::Kind, dialect: peers::common::dialect::Dialect) {
    let options = peers::options::Options {
        time: Duration::from_millis(200),
        rounds: 1,
        peers: peers::common::args::Peers::any(&[kind]),
        dialect,
        ..peers::options::Options::default()
    };
    let mut report = Vec::new();
    peers::run(&options, &mut report).expect("it can be measured");
    let rows = rows(&report);
    let cells = 3 * 4 * 2;
    assert_eq!(
        rows.len(),
        2 * 3 * cells,
        "{}",
        String::from_utf8_lossy(&report)
    );
    assert!(rows.iter().all(|row| is_filled(&row[1])), "{rows:?}");
}

#[test]
fn the_peers_driver_measures_us_in_both_dialects() {
    use peers::common::dialect::Dialect;
    for dialect in [Dialect::Native, Dialect::Resp] {
        measure_peers_of(peers::common::server::Kind::Ours, dialect);
    }
}

/// What a part of the backends driver fills, with few entries. Nothing is bound to a processor: the
/// tests beside this one are threads of the same process.
fn measure_backends(parts: &[Part]) -> Vec<Vec<String>> {
    let options = backends::options::Options {
        time: Duration::from_secs(3),
        entries: 100,
        parts: parts.to_vec(),
        placements: vec![backends::common::machine::Placement::Unpinned],
        ..backends::options::Options::quick()
    };
    let mut report = Vec::new();
    backends::run(&options, &mut report).expect("it can be measured");
    rows(&report)
}

/// Tells which cells nobody can fill here.
fn missing(program: &str, what: &str) -> bool {
    let is_missing = !is_installed(program);
    if is_missing {
        common::skipped(&format!("{what}: {program} is not installed"));
    }
    is_missing
}

#[test]
fn the_backends_driver_measures_every_store_and_its_original() {
    let has_redis = !missing("redis-server", "the store in Redis");
    let has_node = !missing("node", "the npm originals") && {
        let is_there = backends::originals::are_installed();
        if !is_there {
            common::skipped("the npm originals: run scripts/node-modules");
        }
        is_there
    };
    let rows = measure_backends(&[Part::Stores]);
    let (stores, works, tables) = (7 + usize::from(has_redis), 6, 3);
    assert_eq!(rows.len(), stores * works * tables, "{rows:?}");
    for row in rows {
        assert_eq!(is_filled(&row[1]), has_node, "{row:?}");
        assert!(row[2..].iter().all(|cell| is_filled(cell)), "{row:?}");
    }
}

#[test]
fn the_backends_driver_measures_pipelines_to_redis() {
    if missing("redis-server", "pipelines to Redis") {
        return;
    }
    let rows = measure_backends(&[Part::Pipelines]);
    assert_eq!(rows.len(), 8 * 3, "{rows:?}");
    for row in rows {
        assert!(row[1..].iter().all(|cell| is_filled(cell)), "{row:?}");
    }
}

#[test]
fn the_backends_driver_watches_the_loop() {
    let rows = measure_backends(&[Part::Ticks]);
    assert_eq!(rows.len(), 4, "{rows:?}");
    for row in rows {
        // In memory there is no thread that commits.
        let is_told = row[0].starts_with("SQLite");
        let filled: Vec<_> = row[1..].iter().map(|cell| is_filled(cell)).collect();
        assert_eq!(filled, [true, is_told, true, is_told, is_told], "{row:?}");
    }
}

#[test]
fn the_probe_asks_again_before_it_is_answered() {
    const HELD_BACK: usize = 50;
    let dir = tempfile::tempdir().unwrap();
    let sock = dir.path().join("peer.sock");
    let listener = std::os::unix::net::UnixListener::bind(&sock).unwrap();
    let is_over = AtomicBool::new(false);
    let request = b"get sess:0123456789abcdef0123456789abcdef\r\n".len();
    std::thread::scope(|scope| {
        let probe = scope.spawn(|| {
            let connection = Connection::open(&sock, Dialect::Memcached).unwrap();
            let interval = Duration::from_millis(1);
            let mut request = Vec::new();
            let key = &keys::key(0);
            Dialect::Memcached.write(&mut request, 0, Ask::Get { key });
            let probe = Probe::new(connection, Dialect::Memcached, request, interval).unwrap();
            probe.run(&is_over)
        });
        let mut peer: UnixStream = listener.accept().unwrap().0;
        // A probe that waits for an answer first never sends so many.
        peer.set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        let mut requests = vec![0; HELD_BACK * request];
        peer.read_exact(&mut requests).unwrap();
        peer.write_all(&b"END\r\n".repeat(HELD_BACK)).unwrap();
        is_over.store(true, Ordering::Relaxed);
        // What it asked until it saw that it is over.
        let mut more = 0;
        let mut chunk = [0; 4096];
        while !probe.is_finished() {
            peer.set_read_timeout(Some(Duration::from_millis(1)))
                .unwrap();
            let Ok(read) = peer.read(&mut chunk) else {
                continue;
            };
            more += read;
            if read == 0 {
                break;
            }
            let answers = more / request - (more - read) / request;
            peer.write_all(&b"END\r\n".repeat(answers)).unwrap();
        }
        let histogram = probe.join().unwrap().unwrap();
        let asked = HELD_BACK + more / request;
        assert_eq!(histogram.total(), asked as u64);
    });
}

#[test]
fn a_day_of_churn_is_the_same_for_the_same_seed_and_neither_grows_nor_ends() {
    const PLACES: usize = 2_000;
    const DEEDS: u64 = 24 * PLACES as u64;
    const HOUR: u64 = 1_000;
    let day = |seed| {
        let mut sessions = Sessions::new(seed, PLACES, HOUR);
        let mut deeds: Vec<_> = (0..PLACES).map(|n| sessions.act(0, Some(n))).collect();
        let mut live = vec![sessions.live(0)];
        for n in 0..DEEDS {
            let now = n * 24 * HOUR / DEEDS;
            deeds.push(sessions.act(now, None));
            if n % (DEEDS / 6) == 0 {
                live.push(sessions.live(now));
            }
        }
        (deeds, live)
    };
    let (deeds, live) = day(1);
    assert_eq!(deeds, day(1).0);
    assert_ne!(deeds, day(2).0);
    let of = |is: fn(&Deed) -> bool| deeds.iter().filter(|deed| is(deed)).count();
    assert!(of(|deed| matches!(deed, Deed::Touch { .. })) > PLACES);
    assert!(of(|deed| matches!(deed, Deed::Destroy { .. })) > PLACES);
    let sizes = deeds.iter().filter_map(|deed| match deed {
        Deed::Set { size, .. } => Some(*size),
        Deed::Touch { .. } | Deed::Destroy { .. } => None,
    });
    let sizes: Vec<_> = sizes.collect();
    assert!(
        sizes
            .iter()
            .all(|size| (MIN_SIZE..=MAX_SIZE).contains(size))
    );
    let small = sizes.iter().filter(|size| **size < 724).count();
    let middle = sizes.len() / 2;
    assert!(
        small.abs_diff(middle) < middle / 10,
        "half are below the geometric mean: {small}"
    );
    let (least, most) = (live.iter().min().unwrap(), live.iter().max().unwrap());
    assert!(*most < least * 3 / 2, "{live:?}");
}
