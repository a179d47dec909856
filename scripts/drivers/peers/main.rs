//! `scripts/bench peers`: the store beside the floor, Redis and memcached.
//!
//! This file holds the schedule: which peer is measured in which cell, when and for how long.
//! [`server`] starts the peers, [`load`] is the client, [`wire`] the bytes, [`report`] the tables.
//! What is compared was measured within seconds of each other: inside a round every cell goes
//! through all peers before the next cell, and the order of the peers rotates with the rounds.

#[allow(dead_code, reason = "every driver uses a part")]
#[path = "../common/mod.rs"]
pub(crate) mod common;
pub(crate) mod options;
mod report;
mod sample;

use std::fs::File;
use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use common::dialect::Dialect;
use common::histogram::Histogram;
use common::load::{self, Load};
use common::machine::{self, Cpus, Meter};
use common::server::{self, Kind, Server};
use common::wire::{self, Keys, Order};
use common::{Result, driver, keys};
use options::Options;
use report::Report;
use sample::{Cell, Sample};

fn main() -> ExitCode {
    driver::start("peers", options::HELP, Options::parse, run)
}

pub(crate) fn run(options: &Options, out: &mut dyn Write) -> Result<()> {
    let ours = driver::our_binary(options.binary.as_deref())?;
    let dir = tempfile::tempdir()?;
    let servers = server::available(&options.peers, |kind| {
        Server::start(kind, &ours, dir.path()).map(|server| server.speaking(options.dialect))
    })?;
    let mut json = options.json.as_ref().map(File::create).transpose()?;
    let mut bench = Bench {
        options,
        cpus: Cpus::detect()?,
        servers,
        json: json.as_mut(),
        samples: Vec::new(),
    };
    let machine = machine::describe();
    let pids: Vec<_> = bench.servers.iter().map(Server::pid).collect();
    let meter = Meter::start(&pids)?;
    let slot = bench.schedule()?;
    let meanwhile = meter.tell(&pids)?;

    writeln!(out, "# The store beside its peers\n\n{machine}")?;
    for server in &bench.servers {
        if let Some(version) = server.kind.version(&ours) {
            writeln!(out, "- {}: {version}", server.kind.name())?;
        }
    }
    writeln!(
        out,
        "\nThe floor and memstore-cluster speak {}. Rounds per cell and peer: {}, of {} ms each. \
         {} keys, Unix sockets, sets with a TTL.",
        match options.dialect {
            Dialect::Resp => "the Redis protocol (RESP2)",
            _ => "the native dialect",
        },
        options.rounds,
        slot.as_millis(),
        wire::KEYS,
    )?;
    writeln!(out, "{meanwhile}\n")?;
    Ok(Report::new(&bench.samples, options.dialect).write(out)?)
}

struct Bench<'a> {
    options: &'a Options,
    cpus: Cpus,
    servers: Vec<Server>,
    json: Option<&'a mut File>,
    samples: Vec<Sample>,
}

impl Bench<'_> {
    /// Measures everything, and says how long each measurement took.
    fn schedule(&mut self) -> Result<Duration> {
        let options = self.options;
        let cells: Vec<_> = options.sizes.iter().map(|size| self.cells(*size)).collect();
        let count = cells.iter().map(Vec::len).sum::<usize>() * self.servers.len();
        let slot = options.time / (u32::try_from(count)? * options.rounds).max(1);
        for (size, cells) in options.sizes.iter().zip(cells) {
            let value = keys::value(*size);
            for server in &self.servers {
                let name = server.kind.name();
                let loaded = load::preload(&server.sock, server.dialect, &value, wire::KEYS);
                loaded.map_err(|error| {
                    format!("{name}, while {size} B values are written: {error}")
                })?;
            }
            for round in 0..options.rounds {
                driver::tell(&format!(
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
        driver::check_interrupt()?;
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
    let keys = Keys::new(wire::KEYS, Order::Random(0x5eed));
    let mut load = Load::connect(&server.sock, server.dialect, &exchange, cell.shape, keys)?;
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
