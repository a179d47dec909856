//! The control groups that this process is in, where bounds on it are set.
//!
//! A bound is in force in every group above too, and in a container it is mostly there that it is
//! set. Which file of a group says what is the asker's concern: `cpus` asks for quotas, the master
//! for memory. Files are read through a function, so that tests show it other machines.

use std::path::{Path, PathBuf};

/// The two designs of control groups, `cgroups(7)`; a machine can have both at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    V1,
    V2,
}

/// A group that can be seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cgroup {
    pub(crate) version: Version,
    /// Where its files are.
    pub(crate) dir: PathBuf,
    pub(crate) name: PathBuf,
}

/// The groups of this process in which a controller may bound it, and all groups above them.
pub(crate) fn of_this_process(
    read: &dyn Fn(&Path) -> Option<String>,
    controller: &str,
) -> Vec<Cgroup> {
    let groups = read(Path::new("/proc/self/cgroup")).unwrap_or_default();
    let mounts = read(Path::new("/proc/self/mountinfo")).unwrap_or_default();
    let mut found = Vec::new();
    for group in groups
        .lines()
        .filter_map(|line| Group::parse(line, controller))
    {
        let mounts = mounts
            .lines()
            .filter_map(|line| Mount::parse(line, controller));
        for mount in mounts.filter(|mount| mount.version == group.version) {
            found.extend(mount.groups(group.path));
        }
    }
    found
}

/// A line of `/proc/self/cgroup`: a group that the process is in.
struct Group<'a> {
    version: Version,
    path: &'a Path,
}

impl<'a> Group<'a> {
    /// `4:cpu,cpuacct:/a/b` of version 1, `0::/a/b` of version 2.
    fn parse(line: &'a str, controller: &str) -> Option<Self> {
        let mut fields = line.splitn(3, ':');
        let (id, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let version = match controllers {
            "" if id == "0" => Version::V2,
            list if list.split(',').any(|name| name == controller) => Version::V1,
            _ => return None,
        };
        let path = Path::new(path);
        Some(Self { version, path })
    }
}

/// A line of `/proc/self/mountinfo`: where a part of the groups can be seen.
struct Mount<'a> {
    version: Version,
    /// The group that is seen at `point`.
    root: &'a Path,
    point: &'a Path,
}

impl<'a> Mount<'a> {
    /// `32 31 0:29 /root /point rw shared:7 - cgroup cgroup rw,cpu`, `proc_pid_mountinfo(5)`.
    fn parse(line: &'a str, controller: &str) -> Option<Self> {
        let (mount, kind) = line.split_once(" - ")?;
        let mut mount = mount.split(' ').skip(3);
        let (root, point) = (mount.next()?, mount.next()?);
        let mut kind = kind.split(' ');
        let version = match (kind.next()?, kind.nth(1)?) {
            ("cgroup2", _) => Version::V2,
            ("cgroup", options) if options.split(',').any(|option| option == controller) => {
                Version::V1
            }
            _ => return None,
        };
        Some(Self {
            version,
            root: Path::new(root),
            point: Path::new(point),
        })
    }

    /// A group and all groups above it that can be seen.
    fn groups(&self, group: &Path) -> Vec<Cgroup> {
        // A group outside of the part that is mounted cannot be seen: all that is known is that
        // the mount's root is, in a container, the group of the container.
        let below = group.strip_prefix(self.root).unwrap_or(Path::new(""));
        let seen = below.ancestors().map(|below| Cgroup {
            version: self.version,
            dir: self.point.join(below),
            name: self.root.join(below).components().collect(),
        });
        seen.collect()
    }
}
