//! `scripts/bench pauses`: what others wait while the store grows, expires, is cleared or dumped.
//!
//! This file holds the schedule: which work goes on while a [`Probe`] asks. [`work`] does the work,
//! [`report`] has the table. The probe is an open loop: it asks at fixed times whether or not it
//! was answered, and counts from the time when it should have asked, so a stall shows in every
//! request that it delays. Where there are two processors the server has one for itself.

#[allow(dead_code, reason = "every driver uses a part")]
#[path = "../common/mod.rs"]
pub(crate) mod common;
pub(crate) mod options;
mod report;
mod work;

use std::io::Write;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use common::connection::Connection;
use common::dialect::Ask;
use common::histogram::Histogram;
use common::machine::{self, Cpus, Meter};
use common::probe::Probe;
use common::server::{self, Kind, Server};
use common::{Result, driver, keys};
use options::Options;
use report::{Column, Report};
use work::{Manner, Work, Worker};

/// The number of the key that the probe asks for. No work removes it alone.
const ASKED: u64 = 0;
/// The part of a window for which the probe asks before the work begins.
const LEAD: u32 = 10;
/// Above that of everything else that is no part of the kernel, usually.
const PRIORITY: &str = "10";

fn main() -> ExitCode {
    driver::start("pauses", options::HELP, Options::parse, run)
}

/// Measures all that the options ask for.
///
/// # Errors
/// A server is missing that must not be, or has failed.
pub(crate) fn run(options: &Options, out: &mut dyn Write) -> Result<()> {
    let ours = driver::our_binary(options.binary.as_deref())?;
    let cpus = Cpus::detect()?;
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
        cpus: &cpus,
        precedence: Precedence::detect(),
    };
    let mut report = Report::default();
    for round in 1..=options.rounds {
        for kind in &present {
            driver::tell(&format!("round {round}: {}", kind.name()));
            let done = bench.measure(*kind, &mut report);
            done.map_err(|error| format!("{}: {error}", kind.name()))?;
        }
    }

    writeln!(out, "# Pauses\n\n{machine}")?;
    for kind in &present {
        if let Some(version) = kind.version(&ours) {
            writeln!(out, "- {}: {version}", kind.name())?;
        }
    }
    writeln!(
        out,
        "\n{} entries. A get each {} µs; windows of at least {} s; rounds: {}. {}",
        common::table::count(options.entries),
        options.interval.as_micros(),
        options.window.as_secs_f64(),
        options.rounds,
        if cpus.other().is_some() {
            "The server has a processor for itself."
        } else {
            "**One processor for the server, the probe and the work: they wait for each other.**"
        },
    )?;
    if bench.precedence == Precedence::Nice {
        writeln!(
            out,
            "The probe waits for other programs (it does not as root)."
        )?;
    }
    writeln!(out, "{}\n", meter.tell(&[])?)?;
    report.write(out)?;
    Ok(())
}

struct Bench<'a> {
    options: &'a Options,
    ours: &'a Path,
    cpus: &'a Cpus,
    precedence: Precedence,
}

impl Bench<'_> {
    /// Goes through all work with a server of its own.
    fn measure(&self, kind: Kind, report: &mut Report) -> Result<()> {
        let dir = tempfile::tempdir()?;
        let args = match (kind, self.cpus.other()) {
            // The copy that saves in the background is not to take turns with the server.
            (Kind::Redis, Some(cpu)) => vec!["--bgsave_cpulist".to_owned(), cpu.to_string()],
            _ => Vec::new(),
        };
        let server = Server::start_with(kind, self.ours, dir.path(), &args)?;
        thread::scope(|scope| {
            // What a thread starts inherits its processor, and the main thread keeps all of them.
            let all = scope.spawn(|| {
                self.cpus.part_from(&server)?;
                self.all_work(&server, report)
            });
            all.join().map_err(|_| "a panic")?
        })
    }

    fn all_work(&self, server: &Server, report: &mut Report) -> Result<()> {
        let mut worker = Worker::new(server, self.ours, self.options.entries)?;
        let ways = [Manner::AtOnce, Manner::InSteps];
        let every = Work::EVERY.into_iter();
        for (work, manner) in every.flat_map(|work| ways.map(|manner| (work, manner))) {
            if !worker.can(work, manner) {
                continue;
            }
            worker.prepare(work)?;
            let histogram = self.watch(server, &mut worker, work, manner)?;
            report.add(work, Column::of(server.kind, manner), &histogram);
        }
        Ok(())
    }

    /// Probes while the work goes on, and for some time at the least.
    fn watch(
        &self,
        server: &Server,
        worker: &mut Worker<'_>,
        work: Work,
        manner: Manner,
    ) -> Result<Histogram> {
        let mut request = Vec::new();
        let key = &keys::key(ASKED);
        server.dialect.write(&mut request, 0, Ask::Get { key });
        let connection = Connection::to(server)?;
        let probe = Probe::new(connection, server.dialect, request, self.options.interval)?;
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            let probe = scope.spawn(|| {
                self.precedence.prefer()?;
                probe.run(&is_over)
            });
            let work = scope.spawn(|| {
                let outcome = self.precedence.defer().and_then(|()| {
                    thread::sleep(self.options.window / LEAD);
                    let start = Instant::now();
                    worker.work(work, manner, self.options.window)?;
                    thread::sleep(self.options.window.saturating_sub(start.elapsed()));
                    Ok(())
                });
                is_over.store(true, Ordering::Relaxed);
                outcome
            });
            let outcome = work.join().map_err(|_| "the work has panicked")?;
            let histogram = probe.join().map_err(|_| "the probe has panicked")?;
            outcome.and(histogram)
        })
    }
}

/// How the probe gets the processor from the work, which both need where the server has the other.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Precedence {
    /// The probe runs as soon as it wants to: the system allows real-time priorities.
    RealTime,
    /// The work is nicer than the probe.
    Nice,
}

impl Precedence {
    /// The better one that is to be had.
    fn detect() -> Self {
        if is_done(Command::new("chrt").args(["--fifo", PRIORITY, "true"])) {
            Self::RealTime
        } else {
            Self::Nice
        }
    }

    /// Makes this thread the probe's.
    fn prefer(self) -> Result<()> {
        nix::sys::prctl::set_timerslack(1)?;
        if self == Self::RealTime {
            let mut chrt = Command::new("chrt");
            done(chrt.args(["--fifo", "--pid", PRIORITY]).arg(this_thread()))?;
        }
        Ok(())
    }

    /// Makes this thread that of the work, and of what it starts.
    fn defer(self) -> Result<()> {
        if self == Self::Nice {
            let mut renice = Command::new("renice");
            done(renice.args(["-n", "15", "-p"]).arg(this_thread()))?;
        }
        Ok(())
    }
}

/// For whom a program is to act that does what the standard library cannot.
fn this_thread() -> String {
    nix::unistd::gettid().to_string()
}

fn is_done(command: &mut Command) -> bool {
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

fn done(command: &mut Command) -> Result<()> {
    if is_done(command) {
        return Ok(());
    }
    Err(format!("{} did not do it", command.get_program().to_string_lossy()).into())
}
