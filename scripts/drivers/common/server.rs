//! The servers that are measured: started, awaited, asked for their processor time, and killed.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sched::CpuSet;

use super::args::Peers;
use super::dialect::Dialect;
use super::{Result, driver, machine};

/// How long a server may take until it listens.
const PATIENCE: Duration = Duration::from_secs(10);

/// Who can be measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Floor,
    Ours,
    Redis,
    Memcached,
    /// A proxy before a Redis, which its arguments name.
    Twemproxy,
}

impl Kind {
    /// Those that store something by themselves, and the floor.
    pub(crate) const EVERY: [Self; 4] = [Self::Floor, Self::Ours, Self::Redis, Self::Memcached];

    /// Its name in options and tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Ours => "memstore-cluster",
            Self::Redis => "redis",
            Self::Memcached => "memcached",
            Self::Twemproxy => "twemproxy",
        }
    }

    /// What it speaks, where those who can choose speak this.
    fn dialect(self, chosen: Dialect) -> Dialect {
        match self {
            Self::Floor | Self::Ours => chosen,
            Self::Redis | Self::Twemproxy => Dialect::Resp,
            Self::Memcached => Dialect::Memcached,
        }
    }

    fn program(self, ours: &Path) -> Result<PathBuf> {
        Ok(match self {
            Self::Floor => std::env::current_exe()?,
            Self::Ours => ours.to_path_buf(),
            Self::Redis => "redis-server".into(),
            Self::Memcached => "memcached".into(),
            Self::Twemproxy => "nutcracker".into(),
        })
    }

    /// The command that serves at `sock`.
    fn command(self, ours: &Path, sock: &Path) -> Result<Command> {
        let mut command = Command::new(self.program(ours)?);
        match self {
            Self::Floor => command.arg("floor").arg(sock),
            Self::Ours => command.arg("serve").arg("--sock").arg(sock),
            Self::Redis => command
                .args(["--save", "", "--appendonly", "no", "--port", "0"])
                .arg("--unixsocket")
                .arg(sock),
            Self::Memcached => command
                .args(["-u", "root", "-m", "1024", "-c", "1024", "-t", "4", "-s"])
                .arg(sock),
            Self::Twemproxy => &mut command,
        };
        Ok(command)
    }

    /// What the program says of its version.
    pub(crate) fn version(self, ours: &Path) -> Option<String> {
        if self == Self::Floor {
            return None;
        }
        let output = Command::new(self.program(ours).ok()?)
            .arg("--version")
            .output()
            .ok()?;
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        Some(text.lines().next().unwrap_or(self.name()).to_owned())
    }
}

/// The peers that can be started, each tried with `start`. What is missing is told, loudly, or is
/// an error where it was asked for by name.
///
/// # Errors
/// Where somebody must not be missing, or nobody is left.
pub(crate) fn available<T>(
    peers: &Peers,
    mut start: impl FnMut(Kind) -> Result<T>,
) -> Result<Vec<T>> {
    let mut started = Vec::new();
    for kind in &peers.kinds {
        match start(*kind) {
            Ok(server) => started.push(server),
            Err(error) => {
                let message = format!("{} cannot be measured: {error}", kind.name());
                if peers.is_strict {
                    return Err(message.into());
                }
                driver::tell(&format!("SKIPPED: {message}"));
            }
        }
    }
    if started.is_empty() {
        return Err("there is nobody to measure".into());
    }
    Ok(started)
}

/// A running server; dropping it kills it.
pub(crate) struct Server {
    pub(crate) kind: Kind,
    pub(crate) dialect: Dialect,
    pub(crate) sock: PathBuf,
    child: Child,
}

impl Server {
    /// Starts a server that keeps everything it has in `dir`, and waits until it listens.
    ///
    /// # Errors
    /// Where the program is missing, ends, or does not listen in time; with what it had to say.
    pub(crate) fn start(kind: Kind, ours: &Path, dir: &Path) -> Result<Self> {
        Self::start_with(kind, ours, dir, &[])
    }

    /// As [`start`](Self::start), with arguments of its own.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub(crate) fn start_with(kind: Kind, ours: &Path, dir: &Path, args: &[String]) -> Result<Self> {
        let sock = dir.join(format!("{}.sock", kind.name()));
        let log = dir.join(format!("{}.log", kind.name()));
        let output = fs::File::create(&log)?;
        let mut command = kind.command(ours, &sock)?;
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("MEMSTORE_") {
                command.env_remove(name);
            }
        }
        let child = command
            .args(args)
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .map_err(|error| match error.kind() {
                ErrorKind::NotFound => "the program is not installed".to_owned(),
                _ => error.to_string(),
            })?;
        let mut server = Self {
            kind,
            dialect: kind.dialect(Dialect::Native),
            sock,
            child,
        };
        server.wait_until_listening().map_err(|error| {
            let said = fs::read_to_string(&log).unwrap_or_default();
            let last: Vec<_> = said.lines().rev().take(3).collect();
            format!("{error}; its last words: {last:?}")
        })?;
        Ok(server)
    }

    /// The same, asked in this dialect where it knows several.
    #[must_use]
    pub(crate) fn speaking(mut self, dialect: Dialect) -> Self {
        self.dialect = self.kind.dialect(dialect);
        self
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn wait_until_listening(&mut self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while UnixStream::connect(&self.sock).is_err() {
            if let Some(status) = self.child.try_wait()? {
                return Err(format!("it ended ({status}) before it listened").into());
            }
            if Instant::now() > deadline {
                return Err(format!("it does not listen after {PATIENCE:?}").into());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// Nanoseconds of processor time that its threads have used (`/proc/PID/schedstat`).
    ///
    /// # Errors
    /// Where the server is gone.
    pub(crate) fn cpu_nanos(&self) -> Result<u64> {
        let mut sum = 0;
        for thread in self.threads()? {
            let stat = fs::read_to_string(thread.join("schedstat"))?;
            let first = stat.split(' ').next().unwrap_or_default();
            sum += first.parse::<u64>()?;
        }
        Ok(sum)
    }

    /// Binds all its threads to these processors.
    ///
    /// # Errors
    /// Where the server is gone.
    pub(crate) fn bind(&self, cpus: &CpuSet) -> Result<()> {
        machine::bind(self.pid(), cpus)
    }

    fn threads(&self) -> Result<Vec<PathBuf>> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id()))?;
        Ok(tasks
            .map(|task| Ok(task?.path()))
            .collect::<std::io::Result<_>>()?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
