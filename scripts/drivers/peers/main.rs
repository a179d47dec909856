//! `scripts/bench peers`: the store beside the floor, Redis and memcached.
//!
//! This file holds the schedule: which peer is measured in which cell, when and for how long.
//! [`server`] starts the peers, [`client`] is the load, [`wire`] the bytes, [`report`] the tables.
//! What is compared was measured within seconds of each other: inside a round every cell goes
//! through all peers before the next cell, and the order of the peers rotates with the rounds.

mod client;
mod floor;
mod histogram;
mod machine;
mod options;
mod report;
mod sample;
mod server;
mod wire;

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use client::Load;
use histogram::Histogram;
use machine::{Cpus, Meter};
use options::{Asked, Options};
use report::Report;
use sample::{Cell, Sample};
use server::{Kind, Server};

/// From here on what others take of a processor is told loudly.
const TOLERATED_PERCENT: u64 = 5;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args().skip(1).collect();
    if let [command, sock, ..] = args.as_slice() {
        if command == "floor" {
            return exit(floor::serve(Path::new(sock)).map_err(Into::into));
        }
    }
    if !args.iter().any(|arg| arg == "--bench") {
        // `cargo test --all-targets` runs benchmarks too, and must not take minutes.
        tell("nothing is measured here: use scripts/bench peers");
        return ExitCode::SUCCESS;
    }
    match Options::parse(args) {
        Ok(Asked::Help) => exit(
            io::stdout()
                .write_all(options::HELP.as_bytes())
                .map_err(Into::into),
        ),
        Ok(Asked::Run(options)) => exit(run(&options)),
        Err(error) => {
            tell(&error);
            ExitCode::from(2)
        }
    }
}

fn exit(outcome: Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// Says something to whoever waits for the report.
fn tell(message: &str) {
    let _ = writeln!(io::stderr(), "bench: {message}");
}

fn run(options: &Options) -> Result<()> {
    let is_interrupted = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&is_interrupted))?;
    }
    // Cargo builds the binary before a benchmark and tells where it is.
    let built = option_env!("CARGO_BIN_EXE_memstore-cluster");
    let ours = options.binary.clone().or(built.map(PathBuf::from));
    let ours = ours.ok_or("--binary is needed where the crate is built without its binary")?;
    let ours = ours.canonicalize().unwrap_or(ours);

    let dir = tempfile::tempdir()?;
    let servers = start(options, &ours, dir.path())?;
    let mut json = options.json.as_ref().map(File::create).transpose()?;
    let mut bench = Bench {
        options,
        cpus: Cpus::detect()?,
        servers,
        json: json.as_mut(),
        samples: Vec::new(),
        is_interrupted: &is_interrupted,
    };
    let machine = machine::describe();
    let meter = Meter::start(&bench.servers)?;
    // A Ctrl-C reaches the servers too, so a run may end by losing one.
    let slot = bench.schedule().map_err(|error| {
        if is_interrupted.load(Ordering::Relaxed) {
            "interrupted".into()
        } else {
            error
        }
    })?;
    let (others, stolen) = meter.foreign_percent(&bench.servers)?;

    let mut out = io::stdout().lock();
    writeln!(out, "# The store beside its peers\n\n{machine}")?;
    for server in &bench.servers {
        if let Some(version) = server.kind.version(&ours) {
            writeln!(out, "- {}: {version}", server.kind.name())?;
        }
    }
    writeln!(
        out,
        "\nRounds per cell and peer: {}, of {} ms each. {} keys, Unix sockets, sets with a TTL.",
        options.rounds,
        slot.as_millis(),
        wire::KEYS,
    )?;
    writeln!(
        out,
        "Meanwhile other programs took {others} % of one processor, the hypervisor {stolen} %{}.\n",
        if others + stolen > TOLERATED_PERCENT {
            ": **too much to trust the absolute figures**"
        } else {
            ""
        },
    )?;
    Ok(Report::new(&bench.samples).write(&mut out)?)
}

/// Starts every peer that can be had.
fn start(options: &Options, ours: &Path, dir: &Path) -> Result<Vec<Server>> {
    let mut servers = Vec::new();
    for kind in &options.peers {
        match Server::start(*kind, ours, dir) {
            Ok(server) => servers.push(server),
            Err(error) => {
                let message = format!("{} cannot be measured: {error}", kind.name());
                if options.is_strict {
                    return Err(message.into());
                }
                tell(&format!("SKIPPED: {message}"));
            }
        }
    }
    if servers.is_empty() {
        return Err("there is nobody to measure".into());
    }
    Ok(servers)
}

struct Bench<'a> {
    options: &'a Options,
    cpus: Cpus,
    servers: Vec<Server>,
    json: Option<&'a mut File>,
    samples: Vec<Sample>,
    is_interrupted: &'a AtomicBool,
}

impl Bench<'_> {
    /// Measures everything, and says how long each measurement took.
    fn schedule(&mut self) -> Result<Duration> {
        let options = self.options;
        let cells: Vec<_> = options.sizes.iter().map(|size| self.cells(*size)).collect();
        let count = cells.iter().map(Vec::len).sum::<usize>() * self.servers.len();
        let slot = options.time / (u32::try_from(count)? * options.rounds).max(1);
        for (size, cells) in options.sizes.iter().zip(cells) {
            let value = wire::value(*size);
            for server in &self.servers {
                let name = server.kind.name();
                client::preload(&server.sock, server.dialect, &value).map_err(|error| {
                    format!("{name}, while {size} B values are written: {error}")
                })?;
            }
            for round in 0..options.rounds {
                tell(&format!(
                    "{size} B, round {} of {}",
                    round + 1,
                    options.rounds
                ));
                for cell in &cells {
                    for turn in 0..self.servers.len() {
                        let index = (turn + round as usize) % self.servers.len();
                        self.measure(*cell, index, round, &value, slot)?;
                    }
                }
            }
        }
        Ok(slot)
    }

    fn cells(&self, size: usize) -> Vec<Cell> {
        let mut cells = Vec::new();
        for placement in &self.options.placements {
            for shape in &self.options.shapes {
                for op in &self.options.ops {
                    cells.push(Cell {
                        placement: *placement,
                        op: *op,
                        size,
                        shape: *shape,
                    });
                }
            }
        }
        cells
    }

    /// One measurement; a tenth of its time warms up.
    fn measure(
        &mut self,
        cell: Cell,
        index: usize,
        round: u32,
        value: &[u8],
        slot: Duration,
    ) -> Result<()> {
        if self.is_interrupted.load(Ordering::Relaxed) {
            return Err("interrupted".into());
        }
        let server = &self.servers[index];
        self.cpus.place(cell.placement, server)?;
        let sample = sample(server, cell, round, value, slot)
            .map_err(|error| format!("{}, {cell:?}: {error}", server.kind.name()))?;
        if let Some(file) = &mut self.json {
            writeln!(file, "{}", sample.json())?;
        }
        self.samples.push(sample);
        Ok(())
    }
}

fn sample(server: &Server, cell: Cell, round: u32, value: &[u8], slot: Duration) -> Result<Sample> {
    let exchange = server.dialect.exchange(cell.op, value);
    let mut load = Load::connect(&server.sock, server.dialect, &exchange, cell.shape)?;
    load.run(slot / 10, &mut Histogram::new())?;
    let mut histogram = Histogram::new();
    let cpu_before = server.cpu_nanos()?;
    let start = Instant::now();
    let fewest = load.run(slot * 9 / 10, &mut histogram)?;
    let seconds = start.elapsed().as_secs_f64();
    let cpu = server.cpu_nanos()? - cpu_before;
    let what: (Cell, Kind, u32) = (cell, server.kind, round);
    let mut sample = Sample::new(what, &histogram, seconds, cpu);
    sample.rate_fairness(fewest);
    Ok(sample)
}
