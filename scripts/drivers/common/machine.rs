//! What the machine is, and what else it did meanwhile.

use std::fs;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::time::ClockId;
use nix::unistd::Pid;

use super::Result;
use super::server::Server;

/// Milliseconds of a tick of `/proc`: `USER_HZ` is 100 on every Linux.
const TICK_MILLIS: u64 = 10;
/// From here on what others take of a processor is told loudly, in per cent.
const TOLERATED: u64 = 5;

/// Where client and server run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Placement {
    /// Both on the same processor, so that the server's work shows and not the wake-ups.
    Pinned,
    /// Wherever the kernel puts them.
    Unpinned,
}

impl Placement {
    /// Its name in options.
    pub(crate) fn named(text: &str) -> Option<Self> {
        match text {
            "pinned" => Some(Self::Pinned),
            "unpinned" => Some(Self::Unpinned),
            _ => None,
        }
    }
}

/// The processors this process may use.
pub(crate) struct Cpus {
    every: CpuSet,
    one: CpuSet,
    other: Option<usize>,
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
        let mut usable = (0..CpuSet::count()).filter(|cpu| every.is_set(*cpu).unwrap_or(false));
        let last = usable.next_back().ok_or("no processor may be used")?;
        let mut one = CpuSet::new();
        one.set(last)?;
        let other = usable.next();
        Ok(Self { every, one, other })
    }

    /// A processor to watch from, the first there is; `None` where a server has the only one.
    pub(crate) fn other(&self) -> Option<usize> {
        self.other
    }

    /// Puts this thread on the [`other`](Self::other) processor and a server on one of its own.
    ///
    /// # Errors
    /// Where the server is gone.
    pub(crate) fn part_from(&self, server: &Server) -> Result<()> {
        if let Some(other) = self.other {
            let mut cpu = CpuSet::new();
            cpu.set(other)?;
            sched_setaffinity(Pid::from_raw(0), &cpu)?;
            server.bind(&self.one)?;
        }
        Ok(())
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

    /// Puts all threads of these processes where they belong.
    ///
    /// # Errors
    /// Where one of them is gone.
    pub(crate) fn place_all(&self, placement: Placement, pids: &[u32]) -> Result<()> {
        let cpus = match placement {
            Placement::Pinned => &self.one,
            Placement::Unpinned => &self.every,
        };
        pids.iter().try_for_each(|pid| bind(*pid, cpus))
    }
}

/// Binds all threads of a process to these processors.
///
/// # Errors
/// Where it is gone.
pub(crate) fn bind(pid: u32, cpus: &CpuSet) -> Result<()> {
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let name = task?.file_name();
        match sched_setaffinity(Pid::from_raw(name.to_string_lossy().parse()?), cpus) {
            // It has ended since.
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Nanoseconds of processor time that these processes have used, with threads that have ended.
///
/// # Errors
/// Where one of them is gone.
pub(crate) fn cpu_nanos(pids: &[u32]) -> Result<u64> {
    let mut sum = Duration::ZERO;
    for pid in pids {
        let clock = ClockId::pid_cpu_clock_id(Pid::from_raw(i32::try_from(*pid)?))?;
        sum += Duration::from(clock.now()?);
    }
    Ok(u64::try_from(sum.as_nanos())?)
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

/// When the kernel uses huge pages, as it tells itself.
pub(crate) fn huge_pages() -> String {
    let path = "/sys/kernel/mm/transparent_hugepage/enabled";
    fs::read_to_string(path).map_or("none".to_owned(), |text| text.trim().to_owned())
}

/// Watches how much of the machine others use while the run goes on.
pub(crate) struct Meter {
    since: Instant,
    at_start: Usage,
}

/// In ticks since the machine or a process was started.
#[derive(Clone, Copy)]
struct Usage {
    busy: u64,
    stolen: u64,
    ours: u64,
}

impl Meter {
    /// Starts now, where the servers that run are these processes.
    ///
    /// # Errors
    /// Where `/proc` cannot be read.
    pub(crate) fn start(servers: &[u32]) -> Result<Self> {
        Ok(Self {
            since: Instant::now(),
            at_start: Usage::read(servers)?,
        })
    }

    /// A sentence: what of one processor other programs took, and what the hypervisor withheld.
    /// `servers` are the processes of those that run now; what ran in between and has ended is
    /// known.
    ///
    /// # Errors
    /// Where `/proc` cannot be read.
    pub(crate) fn tell(&self, servers: &[u32]) -> Result<String> {
        let now = Usage::read(servers)?;
        let millis = u64::try_from(self.since.elapsed().as_millis())?.max(1);
        let percent = |ticks: u64| ticks * TICK_MILLIS * 100 / millis;
        let ours = now.ours - self.at_start.ours;
        let busy = now.busy - self.at_start.busy;
        let others = percent(busy.saturating_sub(ours));
        let stolen = percent(now.stolen - self.at_start.stolen);
        Ok(format!(
            "Meanwhile other programs took {others} % of one processor, the hypervisor {stolen} %{}.",
            if others + stolen > TOLERATED {
                ": **too much to trust the absolute figures**"
            } else {
                ""
            },
        ))
    }
}

impl Usage {
    fn read(servers: &[u32]) -> Result<Self> {
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
        let mut ours = used(std::process::id())?;
        for server in servers {
            ours += used(*server)?;
        }
        Ok(Self {
            busy: user + nice + system + irq + softirq,
            stolen,
            ours,
        })
    }
}

/// Ticks that a process, its threads and those of its children that have ended were running.
fn used(pid: u32) -> Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name before the parenthesis may have anything in it. From its state on the fields have
    // single spaces; utime, stime, cutime and cstime are the 12th to 15th of those.
    let (_, fields) = stat.rsplit_once(") ").ok_or("a process without a name")?;
    let times = fields.split(' ').skip(11).take(4).map(str::parse::<u64>);
    Ok(times.sum::<std::result::Result<u64, _>>()?)
}
