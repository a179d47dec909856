//! Who does the work, whoever it is, and what came out of it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::cases::Work;
use super::common::Result;
use super::common::histogram::Histogram;
use super::common::machine::{self, Cpus, Placement};
use super::common::server::Server;
use super::common::table::float;

/// Who does the work.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Who {
    /// The npm module, called in its process.
    Original,
    /// Our store, called in this process.
    InProcess,
    /// Our store, asked through a master's socket.
    Master,
    /// redis-rs, asking Redis.
    Direct,
    /// The same redis-rs, asking a master that asks Redis.
    ThroughMaster,
    /// Our client, asking that master.
    OwnClient,
    /// The same redis-rs, asking a twemproxy that asks Redis.
    ThroughProxy,
}

impl Who {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Original => "npm original",
            Self::InProcess => "ours, in process",
            Self::Master => "ours, through the master",
            Self::Direct => "redis-rs to Redis",
            Self::ThroughMaster => "redis-rs through the master",
            Self::OwnClient => "our client through the master",
            Self::ThroughProxy => "redis-rs through twemproxy",
        }
    }
}

/// What was done in some time. Latencies are microseconds.
#[derive(Clone, Copy, Debug, serde::Deserialize)]
pub(crate) struct Done {
    pub(crate) operations: u64,
    pub(crate) seconds: f64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

impl Done {
    /// Since `began`, with `depth` operations to each latency.
    pub(crate) fn of(histogram: &Histogram, depth: usize, began: Instant) -> Self {
        let micros = |share| float(histogram.percentile(share)) / 1e3;
        Self {
            operations: histogram.total() * depth as u64,
            seconds: began.elapsed().as_secs_f64(),
            p50: micros(0.5),
            p99: micros(0.99),
        }
    }
}

/// Somebody with a store that is filled.
pub(crate) trait Contestant {
    fn who(&self) -> Who;

    /// The processes that take part in the work, besides this one.
    fn pids(&self) -> Vec<u32>;

    /// Works for so long.
    ///
    /// # Errors
    /// Something was refused, or is not as it must be.
    fn run(&mut self, work: Work, time: Duration) -> Result<Done>;
}

/// What is compared with each other: the same works, by each of them.
pub(crate) struct Contest {
    pub(crate) name: &'static str,
    pub(crate) works: Vec<Work>,
    pub(crate) contestants: Vec<Box<dyn Contestant>>,
    /// Whom some of them ask.
    pub(crate) servers: Vec<Server>,
}

impl Contest {
    /// The processes that take part, besides this one.
    pub(crate) fn pids(&self) -> BTreeSet<u32> {
        let each = self.contestants.iter();
        let servers = self.servers.iter().map(Server::pid);
        each.flat_map(|one| one.pids()).chain(servers).collect()
    }
}

/// One measurement.
pub(crate) struct Sample {
    pub(crate) contest: &'static str,
    pub(crate) placement: Placement,
    pub(crate) work: Work,
    pub(crate) who: Who,
    pub(crate) round: u32,
    pub(crate) done: Done,
    /// Microseconds of processor time for each operation, of all processes that took part.
    pub(crate) cpu: f64,
}

impl Sample {
    pub(crate) fn ops_per_second(&self) -> f64 {
        float(self.done.operations) / self.done.seconds
    }

    /// One line, without its end.
    pub(crate) fn json(&self) -> String {
        serde_json::json!({
            "contest": self.contest,
            "placement": format!("{:?}", self.placement).to_lowercase(),
            "op": format!("{:?}", self.work.op).to_lowercase(),
            "calls": self.work.calls,
            "depth": self.work.depth,
            "who": self.who.name(),
            "round": self.round,
            "operations": self.done.operations,
            "ops_per_second": self.ops_per_second(),
            "p50_us": self.done.p50,
            "p99_us": self.done.p99,
            "cpu_us": self.cpu,
        })
        .to_string()
    }
}

/// Measures once; a tenth of the time warms up.
///
/// # Errors
/// As [`Contestant::run`].
pub(crate) fn measure(
    contestant: &mut dyn Contestant,
    (contest, work, placement): (&'static str, Work, Placement),
    round: u32,
    cpus: &Cpus,
    slot: Duration,
) -> Result<Sample> {
    let mut pids = contestant.pids();
    pids.push(std::process::id());
    cpus.place_all(placement, &pids)?;
    contestant.run(work, slot / 10)?;
    let before = machine::cpu_nanos(&pids)?;
    let done = contestant.run(work, slot * 9 / 10)?;
    let nanos = machine::cpu_nanos(&pids)? - before;
    if done.operations == 0 {
        return Err("nothing was done in the time".into());
    }
    Ok(Sample {
        contest,
        placement,
        work,
        who: contestant.who(),
        round,
        cpu: float(nanos) / 1e3 / float(done.operations),
        done,
    })
}
