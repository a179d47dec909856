//! What the machine is, and what else it did meanwhile.

use std::fs;
use std::time::Instant;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use super::Result;
use super::server::Server;

/// Nanoseconds of a tick of `/proc/stat`: `USER_HZ` is 100 on every Linux.
const TICK_NANOS: u64 = 10_000_000;

/// Where client and server run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Placement {
    /// Both on the same processor, so that the server's work shows and not the wake-ups.
    Pinned,
    /// Wherever the kernel puts them.
    Unpinned,
}

/// The processors this process may use.
pub(crate) struct Cpus {
    every: CpuSet,
    one: CpuSet,
}

impl Cpus {
    /// Asks the kernel. The last processor is the one to be pinned to: interrupts tend to arrive
    /// at the first.
    ///
    /// # Errors
    /// Where the kernel does not tell.
    pub(crate) fn detect() -> Result<Self> {
        let this = Pid::from_raw(0);
        let every = sched_getaffinity(this)?;
        let last = (0..CpuSet::count())
            .rev()
            .find(|cpu| every.is_set(*cpu).unwrap_or(false))
            .ok_or("no processor may be used")?;
        let mut one = CpuSet::new();
        one.set(last)?;
        Ok(Self { every, one })
    }

    /// Puts this process and a server where they belong.
    ///
    /// # Errors
    /// Where the server is gone.
    pub(crate) fn place(&self, placement: Placement, server: &Server) -> Result<()> {
        let cpus = match placement {
            Placement::Pinned => &self.one,
            Placement::Unpinned => &self.every,
        };
        sched_setaffinity(Pid::from_raw(0), cpus)?;
        server.bind(cpus)
    }
}

/// One line: processors, kernel, distribution.
pub(crate) fn describe() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str, separator: char| {
        text.lines()
            .find(|line| line.starts_with(name))
            .and_then(|line| line.split_once(separator))
            .map_or("?".to_owned(), |(_, value)| {
                value.trim().trim_matches('"').to_owned()
            })
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!(
        "{cores} processors ({}), Linux {}, {}, load {}",
        field(&read("/proc/cpuinfo"), "model name", ':'),
        read("/proc/sys/kernel/osrelease").trim(),
        field(&read("/etc/os-release"), "PRETTY_NAME", '='),
        read("/proc/loadavg").split(' ').next().unwrap_or("?"),
    )
}

/// Watches how much of the machine others use while the run goes on.
pub(crate) struct Meter {
    since: Instant,
    at_start: Usage,
}

#[derive(Clone, Copy)]
struct Usage {
    busy: u64,
    stolen: u64,
    ours: u64,
}

impl Meter {
    /// Starts now.
    ///
    /// # Errors
    /// Where `/proc` cannot be read.
    pub(crate) fn start(servers: &[Server]) -> Result<Self> {
        Ok(Self {
            since: Instant::now(),
            at_start: Usage::read(servers)?,
        })
    }

    /// Per cent of one processor that other programs took, and that the hypervisor withheld.
    ///
    /// # Errors
    /// Where `/proc` cannot be read.
    pub(crate) fn foreign_percent(&self, servers: &[Server]) -> Result<(u64, u64)> {
        let now = Usage::read(servers)?;
        let nanos = u64::try_from(self.since.elapsed().as_nanos())?.max(1);
        let percent = |nanos_used: u64| nanos_used * 100 / nanos;
        let ours = now.ours - self.at_start.ours;
        let busy = now.busy - self.at_start.busy;
        Ok((
            percent(busy.saturating_sub(ours)),
            percent(now.stolen - self.at_start.stolen),
        ))
    }
}

impl Usage {
    fn read(servers: &[Server]) -> Result<Self> {
        let stat = fs::read_to_string("/proc/stat")?;
        let ticks: Vec<u64> = stat
            .lines()
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .skip(1)
            .map(str::parse)
            .collect::<std::result::Result<_, _>>()?;
        let &[user, nice, system, _idle, _iowait, irq, softirq, stolen, ..] = ticks.as_slice()
        else {
            return Err("/proc/stat has too few columns".into());
        };
        let own = fs::read_to_string("/proc/self/schedstat")?;
        let mut ours: u64 = own.split(' ').next().unwrap_or_default().parse()?;
        for server in servers {
            ours += server.cpu_nanos()?;
        }
        Ok(Self {
            busy: (user + nice + system + irq + softirq) * TICK_NANOS,
            stolen: stolen * TICK_NANOS,
            ours,
        })
    }
}
