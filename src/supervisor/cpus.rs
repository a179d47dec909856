//! How many cores this process may really use: the default number of workers.
//!
//! `num_cpus` knows the affinity mask and the quota of the process's own control group. A quota is
//! in force in every group above too, and in a container it is mostly there that it is set; those
//! are looked at here. Quotas are rounded up: a quota of one and a half cores keeps two workers
//! busy, and one would leave half a core unused.
//!
//! Called by whoever fills in the number of workers. Files are read through a function, so that
//! the tests show it other machines.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use nix::unistd::{SysconfVar, sysconf};

use super::cgroups::{self, Cgroup, Version};

/// How many cores there are for workers, and why so many. Its text is for the log:
/// `2 of 8 cores: cgroup quota 150000/100000 of /a/b`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CpuCount {
    /// The cores this process may use, at least 1.
    pub count: u32,
    /// The cores that the machine has online.
    pub online: u32,
    /// What decided.
    pub reason: CpuReason,
}

/// What bounds the number of cores.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CpuReason {
    /// Nothing: all cores are there for this process.
    All,
    /// Its CPU affinity mask (`sched_setaffinity(2)`, a cpuset).
    Affinity,
    /// The CPU quota of a control group that it is in.
    Quota(Quota),
}

/// A bound of a control group on CPU time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quota {
    /// Microseconds of CPU time in each period.
    pub quota: u64,
    /// Microseconds of a period, not 0.
    pub period: u64,
    /// The control group that has it.
    pub cgroup: PathBuf,
}

impl Quota {
    /// The cores that use it up.
    fn cores(&self) -> u32 {
        u32::try_from(self.quota.div_ceil(self.period)).unwrap_or(u32::MAX)
    }

    fn is_tighter_than(&self, other: &Self) -> bool {
        u128::from(self.quota) * u128::from(other.period)
            < u128::from(other.quota) * u128::from(self.period)
    }
}

impl fmt::Display for CpuCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { count, online, .. } = self;
        match &self.reason {
            CpuReason::All if *count == 1 => write!(f, "the only core"),
            CpuReason::All => write!(f, "all {count} cores"),
            CpuReason::Affinity => write!(f, "{count} of {online} cores: CPU affinity"),
            CpuReason::Quota(Quota {
                quota,
                period,
                cgroup,
            }) => write!(
                f,
                "{count} of {online} cores: cgroup quota {quota}/{period} of {}",
                cgroup.display()
            ),
        }
    }
}

/// The cores that this process may use now.
pub fn available() -> CpuCount {
    let allowed = u32::try_from(num_cpus::get()).unwrap_or(u32::MAX);
    let online = sysconf(SysconfVar::_NPROCESSORS_ONLN).ok().flatten();
    let online = online.and_then(|online| u32::try_from(online).ok());
    let read = |path: &Path| fs::read_to_string(path).ok();
    decide(online.unwrap_or(allowed), allowed, tightest_quota(&read))
}

fn decide(online: u32, allowed: u32, quota: Option<Quota>) -> CpuCount {
    let allowed = allowed.max(1);
    let online = online.max(allowed);
    let quota = quota.filter(|quota| quota.cores() < online && quota.cores() <= allowed);
    let (count, reason) = match quota {
        Some(quota) => (quota.cores().max(1), CpuReason::Quota(quota)),
        None if allowed < online => (allowed, CpuReason::Affinity),
        None => (allowed, CpuReason::All),
    };
    CpuCount {
        count,
        online,
        reason,
    }
}

/// The tightest quota of all control groups that this process is in, of both versions.
fn tightest_quota(read: &dyn Fn(&Path) -> Option<String>) -> Option<Quota> {
    let mut tightest: Option<Quota> = None;
    for group in cgroups::of_this_process(read, "cpu") {
        if let Some((quota, period)) = quota_of(read, &group) {
            let found = Quota {
                quota,
                period,
                cgroup: group.name,
            };
            tightest = match tightest {
                Some(before) if !found.is_tighter_than(&before) => Some(before),
                _ => Some(found),
            };
        }
    }
    tightest
}

/// The quota and the period of a group, in microseconds.
fn quota_of(read: &dyn Fn(&Path) -> Option<String>, group: &Cgroup) -> Option<(u64, u64)> {
    let file = |name| read(&group.dir.join(name));
    let (quota, period) = match group.version {
        Version::V1 => (file("cpu.cfs_quota_us")?, file("cpu.cfs_period_us")?),
        Version::V2 => {
            let max = file("cpu.max")?;
            let (quota, period) = max.trim().split_once(' ')?;
            (quota.to_owned(), period.to_owned())
        }
    };
    // No quota is -1 or "max", and so no number.
    let (quota, period) = (quota.trim().parse().ok()?, period.trim().parse().ok()?);
    (quota > 0 && period > 0).then_some((quota, period))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine whose files are in a temporary directory.
    struct Machine(tempfile::TempDir);

    impl Machine {
        fn new(cgroup: &str, mountinfo: &str) -> Self {
            let machine = Self(tempfile::tempdir().unwrap());
            machine
                .with("/proc/self/cgroup", cgroup)
                .with("/proc/self/mountinfo", mountinfo)
        }

        fn path(&self, path: &Path) -> PathBuf {
            self.0.path().join(path.strip_prefix("/").unwrap())
        }

        fn with(self, path: &str, text: &str) -> Self {
            let path = self.path(Path::new(path));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
            self
        }

        fn on(&self, online: u32, allowed: u32) -> String {
            let read = |path: &Path| fs::read_to_string(self.path(path)).ok();
            decide(online, allowed, tightest_quota(&read)).to_string()
        }
    }

    const V2: &str = "24 23 0:20 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n";
    const V1: &str = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
33 31 0:30 / /sys/fs/cgroup/cpuacct rw - cgroup cgroup rw,cpuacct
32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n";

    #[test]
    fn a_fraction_of_a_core_is_rounded_up_and_never_to_none() {
        let machine =
            Machine::new("0::/a/b\n", V2).with("/sys/fs/cgroup/a/b/cpu.max", "150000 100000\n");
        assert_eq!(
            machine.on(8, 8),
            "2 of 8 cores: cgroup quota 150000/100000 of /a/b"
        );
        let machine = machine.with("/sys/fs/cgroup/a/b/cpu.max", "1000 100000\n");
        assert!(machine.on(8, 8).starts_with("1 of 8 cores"));
    }

    #[test]
    fn the_tightest_group_above_counts() {
        let machine = Machine::new("0::/a/b/c\n", V2)
            .with("/sys/fs/cgroup/a/b/c/cpu.max", "max 100000\n")
            .with("/sys/fs/cgroup/a/b/cpu.max", "200000 50000\n")
            .with("/sys/fs/cgroup/a/cpu.max", "300000 100000\n");
        assert_eq!(
            machine.on(8, 8),
            "3 of 8 cores: cgroup quota 300000/100000 of /a"
        );
    }

    #[test]
    fn the_first_version_is_read_where_the_cpu_controller_is() {
        let machine = Machine::new("3:cpuset:/x\n2:cpuacct:/x\n1:cpu:/x/y\n0::/\n", V1)
            .with("/sys/fs/cgroup/cpu/x/y/cpu.cfs_quota_us", "-1\n")
            .with("/sys/fs/cgroup/cpu/x/y/cpu.cfs_period_us", "100000\n")
            .with("/sys/fs/cgroup/cpu/x/cpu.cfs_quota_us", "250000\n")
            .with("/sys/fs/cgroup/cpu/x/cpu.cfs_period_us", "100000\n");
        assert_eq!(
            machine.on(4, 4),
            "3 of 4 cores: cgroup quota 250000/100000 of /x"
        );
    }

    #[test]
    fn a_container_sees_its_own_group_at_the_mount_point() {
        let mount = "9 8 0:20 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup rw\n";
        let machine = Machine::new("0::/docker/abc/job\n", mount)
            .with("/sys/fs/cgroup/job/cpu.max", "max 100000\n")
            .with("/sys/fs/cgroup/cpu.max", "200000 100000\n");
        assert_eq!(
            machine.on(8, 8),
            "2 of 8 cores: cgroup quota 200000/100000 of /docker/abc"
        );
        // A group that is not below the mount's root.
        let machine =
            Machine::new("0::/../other\n", mount).with("/sys/fs/cgroup/cpu.max", "200000 100000\n");
        assert!(machine.on(8, 8).starts_with("2 of 8 cores"));
    }

    #[test]
    fn without_a_quota_the_affinity_or_nothing_decides() {
        let free = Machine::new("0::/a\n", V2).with("/sys/fs/cgroup/a/cpu.max", "max 100000\n");
        assert_eq!(free.on(8, 8), "all 8 cores");
        assert_eq!(free.on(8, 3), "3 of 8 cores: CPU affinity");
        assert_eq!(free.on(1, 1), "the only core");
        let wide = free.with("/sys/fs/cgroup/a/cpu.max", "900000 100000\n");
        assert_eq!(wide.on(8, 8), "all 8 cores");
        assert_eq!(wide.on(16, 4), "4 of 16 cores: CPU affinity");
    }

    #[test]
    fn what_is_missing_or_malformed_bounds_nothing() {
        assert_eq!(Machine::new("", "").on(4, 4), "all 4 cores");
        for max in ["", "max", "100000", "x y", "0 100000", "100000 0", "-5 10"] {
            let machine = Machine::new("0::/a\n1:cpu\n\nx", &format!("- -\n\n{V2}"))
                .with("/sys/fs/cgroup/a/cpu.max", max);
            assert_eq!(machine.on(4, 4), "all 4 cores", "{max:?}");
        }
        let nobody = |_: &Path| None;
        assert_eq!(tightest_quota(&nobody), None);
    }

    #[test]
    fn this_machine_has_a_core() {
        let here = available();
        assert!(here.count >= 1 && here.count <= here.online, "{here}");
    }
}
