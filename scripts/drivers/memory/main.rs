//! `scripts/bench memory`: bytes per entry beside Redis and memcached, after a day of churn too.
//!
//! This file holds the schedule; [`churn`] decides what happens in the day, [`report`] has the
//! tables. Every figure is taken from outside and in the same way for all: what the process holds
//! ([`common::memory`]), less what it held when it was empty.

pub(crate) mod churn;
#[allow(dead_code, reason = "every driver uses a part")]
#[path = "../common/mod.rs"]
pub(crate) mod common;
pub(crate) mod options;
mod report;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use churn::{Deed, Sessions};
use common::answers::Answer;
use common::connection::Connection;
use common::dialect::{Ask, Dialect};
use common::machine::{self, Meter};
use common::server::{self, Kind, Server};
use common::table::float;
use common::{Result, dialect, driver, keys, memory};
use options::Options;
use report::{Filled, Moment, Report};

/// Hours between two looks at the churn.
const HOURS: u32 = 4;

fn main() -> ExitCode {
    driver::start("memory", options::HELP, Options::parse, run)
}

/// Measures all that the options ask for.
///
/// # Errors
/// A server is missing that must not be, or has failed.
pub(crate) fn run(options: &Options, out: &mut dyn Write) -> Result<()> {
    let ours = driver::our_binary(options.binary.as_deref())?;
    let machine = machine::describe();
    let meter = Meter::start(&[])?;
    let present = server::available(&options.peers, |kind| {
        let dir = tempfile::tempdir()?;
        drop(Server::start(kind, &ours, dir.path())?);
        Ok(kind)
    })?;
    let bench = Bench {
        options,
        ours: &ours,
    };
    let mut report = Report::new(&present);
    for round in 1..=options.rounds {
        for entries in &options.entries {
            for kind in &present {
                let name = kind.name();
                driver::tell(&format!("round {round}: {entries} entries in {name}"));
                let filled = bench.fill(*kind, *entries);
                report.add_filled(*entries, *kind, filled.map_err(|e| format!("{name}: {e}"))?);
            }
        }
        for kind in present.iter().filter(|_| options.churn > 0) {
            let name = kind.name();
            driver::tell(&format!("round {round}: a day in {name}"));
            let moments = bench.day(*kind);
            report.add_day(*kind, moments.map_err(|e| format!("{name}: {e}"))?);
        }
    }

    writeln!(out, "# Memory\n\n{machine}")?;
    for kind in &present {
        if let Some(version) = kind.version(&ours) {
            writeln!(out, "- {}: {version}", kind.name())?;
        }
    }
    writeln!(out, "- transparent huge pages: {}", machine::huge_pages())?;
    writeln!(
        out,
        "\nRounds: {}; medians. {}\n",
        options.rounds,
        meter.tell(&[])?
    )?;
    report.write(out)?;
    Ok(())
}

struct Bench<'a> {
    options: &'a Options,
    ours: &'a Path,
}

impl Bench<'_> {
    /// Starts a server with room for so many bytes of entries.
    fn start(&self, kind: Kind, dir: &Path, bytes: u64) -> Result<Server> {
        let room = (1 << 10) + 3 * (bytes >> 20);
        let args = match kind {
            Kind::Memcached => vec!["-m".to_owned(), room.to_string()],
            _ => Vec::new(),
        };
        Server::start_with(kind, self.ours, dir, &args)
    }

    /// Writes so many entries, looks, removes everything, and looks again.
    fn fill(&self, kind: Kind, entries: u64) -> Result<Filled> {
        let dir = tempfile::tempdir()?;
        let server = self.start(kind, dir.path(), entries * keys::PAYLOAD)?;
        let mut connection = Connection::to(&server)?;
        let empty = memory::settled(server.pid(), self.options.still)?;
        let told_empty = told(&mut connection, server.dialect)?;
        let value = keys::value(keys::VALUE);
        for n in 0..entries {
            connection.ask(Ask::Set {
                key: &keys::key(n),
                value: &value,
                ttl_ms: keys::ttl_ms(n),
            })?;
        }
        connection.finish()?;
        let full = memory::settled(server.pid(), self.options.still)?;
        let told_full = told(&mut connection, server.dialect)?;
        connection.ask(Ask::Clear)?;
        connection.finish()?;
        let cleared = memory::settled(server.pid(), self.options.still)?;
        Ok(Filled {
            held: full.saturating_sub(empty),
            told: told_full
                .zip(told_empty)
                .map(|(full, empty)| full.saturating_sub(empty)),
            left: cleared.saturating_sub(empty),
        })
    }

    /// A day of sessions, whose hours are short, and what is left after it.
    fn day(&self, kind: Kind) -> Result<Vec<Moment>> {
        let options = self.options;
        let dir = tempfile::tempdir()?;
        let mut day = Day {
            server: self.start(kind, dir.path(), options.churn * churn::MEAN_SIZE)?,
            sessions: Sessions::new(
                options.seed,
                usize::try_from(options.churn)?,
                u64::try_from(options.day.as_millis())? / 24,
            ),
            start: Instant::now(),
            value: keys::value(churn::MAX_SIZE),
            empty: 0,
            moments: Vec::new(),
        };
        let mut connection = Connection::to(&day.server)?;
        day.empty = memory::settled(day.server.pid(), options.still)?;
        for n in 0..day.sessions.places() {
            day.act(&mut connection, Some(n))?;
        }
        connection.finish()?;
        day.look("hour 0", None)?;

        let deeds = options.churn * 24;
        let begin = Instant::now();
        for n in 0..deeds {
            if n % 64 == 0 {
                // As many as were due by now; where the server is too slow for that the day is
                // longer.
                let due = options.day.mul_f64(float(n) / float(deeds));
                thread::sleep(due.saturating_sub(begin.elapsed()));
            }
            day.act(&mut connection, None)?;
            let hour = |n: u64| u32::try_from(n * 24 / deeds).unwrap_or(u32::MAX);
            if hour(n + 1) > hour(n) && hour(n + 1) % HOURS == 0 {
                connection.finish()?;
                day.look(&format!("hour {}", hour(n + 1)), None)?;
            }
        }
        for n in (0..day.sessions.places()).filter(|n| n % 4 != 0) {
            day.destroy(&mut connection, n)?;
        }
        connection.finish()?;
        // Memcached counts whole seconds of a clock of its own.
        let late = if kind == Kind::Memcached { 1_000 } else { 0 };
        let visit = day.sessions.longest_visit();
        thread::sleep(Duration::from_millis(visit + late));
        day.look("night: 1 of 8 stays", Some(options.still))?;

        for n in 0..day.sessions.places() {
            day.touch(&mut connection, n)?;
        }
        connection.finish()?;
        thread::sleep(Duration::from_millis(churn::LAST_TTL + late));
        day.look("all expired", Some(options.still))?;
        Ok(day.moments)
    }
}

/// What a server says that it takes, if it does.
fn told(connection: &mut Connection, dialect: Dialect) -> Result<Option<u64>> {
    let (request, fields): (Vec<u8>, &[&str]) = match dialect {
        Dialect::Native => return Ok(None),
        Dialect::Resp => {
            let mut request = Vec::new();
            dialect::words(&mut request, &[b"INFO", b"memory"]);
            (request, &["used_memory:"])
        }
        Dialect::Memcached => (b"stats\r\n".to_vec(), &["STAT bytes ", "STAT hash_bytes "]),
    };
    let Answer::Value(text) = connection.call(&request)? else {
        return Err("nothing is told about memory".into());
    };
    let text = String::from_utf8_lossy(&text);
    let field = |name: &&str| {
        let line = text.lines().find_map(|line| line.strip_prefix(*name));
        line.and_then(|number| number.trim().parse::<u64>().ok())
    };
    Ok(fields.iter().map(field).sum())
}

/// A day under way in one server.
struct Day {
    server: Server,
    sessions: Sessions,
    start: Instant,
    value: Vec<u8>,
    empty: u64,
    moments: Vec<Moment>,
}

impl Day {
    /// The time of the sessions.
    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Lets the next thing happen, at a certain place or anywhere.
    fn act(&mut self, connection: &mut Connection, place: Option<usize>) -> Result<()> {
        let deed = self.sessions.act(self.now(), place);
        self.ask(connection, deed)
    }

    fn destroy(&mut self, connection: &mut Connection, place: usize) -> Result<()> {
        let deed = self.sessions.destroy(place);
        self.ask(connection, deed)
    }

    fn touch(&mut self, connection: &mut Connection, place: usize) -> Result<()> {
        let deed = self.sessions.touch(self.now(), place, churn::LAST_TTL);
        self.ask(connection, deed)
    }

    fn ask(&self, connection: &mut Connection, deed: Deed) -> Result<()> {
        match deed {
            Deed::Set { id, size, ttl_ms } => connection.ask(Ask::Set {
                key: &keys::key(id),
                value: &self.value[..size],
                ttl_ms,
            }),
            Deed::Touch { id, ttl_ms } => connection.ask(Ask::Touch {
                key: &keys::key(id),
                ttl_ms,
            }),
            Deed::Destroy { id } => connection.ask(Ask::Destroy {
                key: &keys::key(id),
            }),
        }
    }

    /// Notes what is held and what is alive, at once or once everything is still.
    fn look(&mut self, when: &str, still: Option<Duration>) -> Result<()> {
        let pid = self.server.pid();
        let held = match still {
            Some(still) => memory::settled(pid, still)?,
            None => memory::held(pid)?,
        };
        self.moments.push(Moment {
            when: when.to_owned(),
            held: held.saturating_sub(self.empty),
            live: self.sessions.live(self.now()),
        });
        Ok(())
    }
}
