//! Whether the memory that a store without a bound can grow into is nearly used up.
//!
//! Called by the loop in every turn; looks now and then and only while there is something to watch.
//! Warns once, and again after there was room in between. Files are read through a function, so that the tests show
//! it other machines.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::backend::MemoryUse;
use crate::supervisor::cgroups::{self, Cgroup, Version};
use crate::time::Millis;

/// How often to look: it takes some files of the kernel's.
const PERIOD: Duration = Duration::from_secs(10);
/// A store of less than this is not to blame.
const WORTH_WATCHING: u64 = 1 << 20;
/// Percent of a limit from which on there is a warning, and below which the next one may come.
const HIGH: u64 = 90;
const LOW: u64 = 80;

/// Watches over the memory of the machine and of the control groups of this process.
pub(super) struct Pressure {
    /// When to look next, where there is something to watch.
    due: Millis,
    is_watching: bool,
    /// The control groups, once they were looked for.
    cgroups: Option<Vec<Cgroup>>,
    alarm: Alarm,
}

impl Pressure {
    pub(super) fn new() -> Self {
        Self {
            due: Millis::ZERO,
            is_watching: false,
            cgroups: None,
            alarm: Alarm::default(),
        }
    }

    /// When the loop has to turn for this.
    pub(super) fn next_deadline(&self) -> Option<Millis> {
        self.is_watching.then_some(self.due)
    }

    /// Looks if it is time to, and warns if there is reason to.
    pub(super) fn look(&mut self, now: Millis, store: Option<MemoryUse>) {
        let store = store.filter(|store| store.bound.is_none() && store.bytes >= WORTH_WATCHING);
        self.is_watching = store.is_some();
        let Some(store) = store.filter(|_| self.due <= now) else {
            return;
        };
        self.due = now.after(PERIOD);
        let read = |path: &Path| fs::read_to_string(path).ok();
        let find = || cgroups::of_this_process(&read, "memory");
        let cgroups = self.cgroups.get_or_insert_with(find);
        let Some(level) = fullest(&read, cgroups) else {
            return;
        };
        if self.alarm.is_new(&level) {
            tracing::warn!(
                used = level.used,
                limit = level.limit,
                of = %level.of,
                store = store.bytes,
                "memory is nearly used up; bound the store with --max-memory"
            );
        }
    }
}

/// How much of a limit is used, in bytes.
#[derive(Debug, PartialEq, Eq)]
struct Level {
    used: u64,
    limit: u64,
    of: Limit,
}

/// Whose limit it is.
#[derive(Debug, PartialEq, Eq)]
enum Limit {
    Machine,
    Cgroup(PathBuf),
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Machine => f.write_str("the machine"),
            Self::Cgroup(name) => write!(f, "cgroup {}", name.display()),
        }
    }
}

impl Level {
    /// Percent of the limit.
    fn percent(&self) -> u64 {
        let percent = u128::from(self.used) * 100 / u128::from(self.limit.max(1));
        u64::try_from(percent).unwrap_or(u64::MAX)
    }
}

/// Remembers whether it was said already.
#[derive(Debug, Default)]
struct Alarm {
    is_raised: bool,
}

impl Alarm {
    /// Whether a level has to be told of.
    fn is_new(&mut self, level: &Level) -> bool {
        let was_raised = self.is_raised;
        self.is_raised = level.percent() >= if was_raised { LOW } else { HIGH };
        self.is_raised && !was_raised
    }
}

/// The limit of which the largest part is used.
fn fullest(read: &dyn Fn(&Path) -> Option<String>, cgroups: &[Cgroup]) -> Option<Level> {
    let groups = cgroups.iter().filter_map(|group| level_of(read, group));
    groups.chain(machine(read)).max_by_key(Level::percent)
}

/// `proc_meminfo(5)`.
fn machine(read: &dyn Fn(&Path) -> Option<String>) -> Option<Level> {
    let info = read(Path::new("/proc/meminfo"))?;
    let kib = |name| field(&info, name).map(|kib| kib << 10);
    let limit = kib("MemTotal:")?;
    Some(Level {
        used: limit.saturating_sub(kib("MemAvailable:")?),
        limit,
        of: Limit::Machine,
    })
}

/// What a group uses, without the files that the kernel keeps in memory while there is room.
fn level_of(read: &dyn Fn(&Path) -> Option<String>, group: &Cgroup) -> Option<Level> {
    let file = |name| read(&group.dir.join(name));
    let (used, limit, cached) = match group.version {
        Version::V1 => (
            "memory.usage_in_bytes",
            "memory.limit_in_bytes",
            "total_inactive_file",
        ),
        Version::V2 => ("memory.current", "memory.max", "inactive_file"),
    };
    // No limit is "max", and so no number; or a number beyond all machines.
    let limit = file(limit)?.trim().parse().ok()?;
    let used: u64 = file(used)?.trim().parse().ok()?;
    let cached = file("memory.stat").and_then(|stat| field(&stat, cached));
    Some(Level {
        used: used.saturating_sub(cached.unwrap_or(0)),
        limit,
        of: Limit::Cgroup(group.name.clone()),
    })
}

/// The number after a word at the beginning of a line.
fn field(text: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().map(str::split_whitespace);
    let mut words = lines.find_map(|mut words| (words.next()? == name).then_some(words))?;
    words.next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    /// The files of a machine, by path.
    fn level(files: &[(&str, &str)]) -> Option<Level> {
        let files: HashMap<&str, &str> = files.iter().copied().collect();
        let read = |path: &Path| Some((*files.get(path.to_str()?)?).to_owned());
        fullest(&read, &cgroups::of_this_process(&read, "memory"))
    }

    const MEMINFO: (&str, &str) = (
        "/proc/meminfo",
        "MemTotal:        1000 kB\nMemFree:  10 kB\nMemAvailable:     600 kB\n",
    );
    const V2: [(&str, &str); 2] = [
        ("/proc/self/cgroup", "0::/a/b\n"),
        (
            "/proc/self/mountinfo",
            "24 23 0:20 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw\n",
        ),
    ];

    #[test]
    fn the_fullest_of_the_machine_and_all_groups_above_counts() {
        let machine = Level {
            used: 400 << 10,
            limit: 1000 << 10,
            of: Limit::Machine,
        };
        assert_eq!(level(&[MEMINFO]), Some(machine));
        let group = level(&[
            MEMINFO,
            V2[0],
            V2[1],
            ("/sys/fs/cgroup/a/b/memory.current", "900\n"),
            ("/sys/fs/cgroup/a/b/memory.max", "max\n"),
            ("/sys/fs/cgroup/a/memory.current", "1000\n"),
            ("/sys/fs/cgroup/a/memory.max", "1100\n"),
            (
                "/sys/fs/cgroup/a/memory.stat",
                "anon 7\ninactive_file 120\n",
            ),
        ]);
        let group = group.unwrap();
        assert_eq!((group.used, group.limit, group.percent()), (880, 1100, 80));
        assert_eq!(group.of.to_string(), "cgroup /a");
    }

    #[test]
    fn the_first_version_is_read_where_the_memory_controller_is() {
        let mount = "35 31 0:32 / /cg/memory rw - cgroup cgroup rw,memory\n";
        let found = level(&[
            MEMINFO,
            ("/proc/self/cgroup", "4:memory:/x\n1:cpu:/y\n0::/\n"),
            ("/proc/self/mountinfo", mount),
            ("/cg/memory/x/memory.usage_in_bytes", "950"),
            ("/cg/memory/x/memory.limit_in_bytes", "1000"),
            ("/cg/memory/memory.usage_in_bytes", "5000"),
            ("/cg/memory/memory.limit_in_bytes", "9223372036854771712"),
        ]);
        let found = found.unwrap();
        assert_eq!(found.percent(), 95);
        assert_eq!(found.of, Limit::Cgroup("/x".into()));
    }

    #[test]
    fn what_cannot_be_read_limits_nothing() {
        assert_eq!(level(&[]), None);
        assert_eq!(level(&[("/proc/meminfo", "MemTotal: x kB\n")]), None);
        assert_eq!(level(&V2), None);
    }

    #[test]
    fn a_warning_comes_once_and_again_after_there_was_room() {
        let mut alarm = Alarm::default();
        let mut told = |used| {
            alarm.is_new(&Level {
                used,
                limit: 100,
                of: Limit::Machine,
            })
        };
        let levels = [50, 89, 90, 99, 85, 95, 80, 91, 79, 89, 90];
        assert_eq!(
            levels.map(&mut told).iter().filter(|told| **told).count(),
            2
        );
        assert!(!told(95) && !told(70) && told(90));
    }

    #[test]
    fn only_a_store_that_grows_without_a_bound_is_watched() {
        let mut pressure = Pressure::new();
        let mut look = |ms, bytes, bound| {
            let store = MemoryUse {
                bytes,
                bound,
                ..MemoryUse::default()
            };
            pressure.look(Millis::from_unix(ms), Some(store));
            pressure.next_deadline().map(Millis::as_unix)
        };
        assert_eq!(look(5, WORTH_WATCHING - 1, None), None);
        assert_eq!(look(6, WORTH_WATCHING, Some(2 << 20)), None);
        assert_eq!(look(7, WORTH_WATCHING, None), Some(10_007));
        assert_eq!(look(9_000, WORTH_WATCHING, None), Some(10_007));
        assert_eq!(look(10_007, WORTH_WATCHING, None), Some(20_007));
        assert_eq!(look(10_008, 0, None), None);
        pressure.look(Millis::from_unix(10_009), None);
        assert_eq!(pressure.next_deadline(), None);
    }
}
