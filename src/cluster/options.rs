//! What a program asks for when it wants a store, and what it becomes.
//!
//! [`Options`] is what was asked; [`Options::plan`] is the one place that decides the role, and it
//! is pure: the process's surroundings come in as [`Surroundings`].

use std::env;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use crate::backend::databases::{Databases, Existing};
use crate::backend::{self, Backend, MemoryBackend};
use crate::config::{
    self, KeyspaceEvents, Limits, Memory, Sessions, Standalone, Syncing, Tombstone,
};
use crate::error::{Error, Result};
use crate::net;
use crate::protocol::auth::Secret;
use crate::supervisor::cpus;
use crate::time::{Clock, SystemClock};

/// What a process is to its store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Role {
    /// It holds the store and serves others.
    Master,
    /// It is connected to a master.
    Worker,
    /// It holds the store and serves nobody.
    Standalone,
}

/// Makes the backend of a store, when a process finds that it is the one to hold it.
///
/// A URL names one, as with `--store`:
///
/// ```
/// use memstore_cluster::{Options, Source};
///
/// let store: Source = "memory:".parse()?;
/// let options = Options { store, ..Options::default() };
/// # Ok::<(), memstore_cluster::Error>(())
/// ```
#[derive(Clone)]
pub struct Source {
    kind: Kind,
    memory: Memory,
}

#[derive(Clone)]
enum Kind {
    Memory,
    File(PathBuf, Syncing),
    Opened(config::Store),
    Made(Arc<dyn Fn() -> Result<Box<dyn Backend>> + Send + Sync>),
}

impl Kind {
    /// The database with a number: in a file `PATH` those from 1 on are in `PATH.1` and so on.
    fn database(
        &self,
        role: Role,
        number: u8,
        existing: Existing,
    ) -> Result<Option<MemoryBackend>> {
        Ok(match self {
            Self::File(path, syncing) => {
                let mut path = path.clone().into_os_string();
                if number > 0 {
                    path.push(format!(".{number}"));
                }
                if existing == Existing::Only && !Path::new(&path).exists() {
                    return Ok(None);
                }
                let now = SystemClock::new().now();
                Some(MemoryBackend::open(path, *syncing, now)?)
            }
            _ if existing == Existing::Only => None,
            Self::Memory if role == Role::Master => Some(MemoryBackend::shared()),
            Self::Memory | Self::Opened(_) | Self::Made(_) => Some(MemoryBackend::new()),
        })
    }
}

impl Source {
    /// Entries in memory ([`MemoryBackend`]); a master's has a descriptor
    /// ([`MemoryBackend::shared`]).
    pub fn memory() -> Self {
        Self::of(Kind::Memory)
    }

    /// Entries in the memory of a file ([`MemoryBackend::open`]), which outlives the process.
    pub fn file(path: impl Into<PathBuf>, syncing: Syncing) -> Self {
        Self::of(Kind::File(path.into(), syncing))
    }

    /// Whatever `make` makes.
    pub fn new(make: impl Fn() -> Result<Box<dyn Backend>> + Send + Sync + 'static) -> Self {
        Self::of(Kind::Made(Arc::new(make)))
    }

    fn of(kind: Kind) -> Self {
        Self {
            kind,
            memory: Memory::default(),
        }
    }

    /// No more memory than this; not for what [`new`](Self::new) makes.
    ///
    /// ```
    /// use memstore_cluster::config::{Memory, WhenFull};
    /// use memstore_cluster::{Options, Source};
    ///
    /// let memory = Memory { max: Some(64 << 20), when_full: WhenFull::Evict };
    /// let options = Options { store: Source::memory().within(memory), ..Options::default() };
    /// ```
    #[must_use]
    pub fn within(mut self, memory: Memory) -> Self {
        self.memory = memory;
        self
    }

    /// Whether a forked child has what is made for itself.
    pub(crate) fn is_copied_by_fork(&self) -> bool {
        !matches!(self.kind, Kind::File(..) | Kind::Opened(_))
    }

    /// For a master or, without `Role::Master`, for a process alone.
    pub(crate) fn make(&self, role: Role) -> Result<Box<dyn Backend>> {
        let kind = match &self.kind {
            Kind::Made(make) => return make(),
            Kind::Opened(store) => return backend::open(store, SystemClock::new().now()),
            kind => kind.clone(),
        };
        let databases = Databases::open(self.memory, move |number, existing| {
            kind.database(role, number, existing)
        })?;
        Ok(Box::new(databases))
    }
}

impl From<config::Store> for Source {
    /// What is opened as the URL says; a file in memory is synced once a second.
    fn from(store: config::Store) -> Self {
        match store {
            config::Store::Memory => Self::memory(),
            config::Store::File(path) => Self::file(path, Syncing::default()),
            other => Self::of(Kind::Opened(other)),
        }
    }
}

impl FromStr for Source {
    type Err = Error;

    /// Reads a URL, as `--store` has it.
    ///
    /// # Errors
    /// [`Error::Config`] where it is none, or names a backend that is not compiled in.
    fn from_str(url: &str) -> Result<Self> {
        let store: config::Store = url.parse().map_err(|why| {
            let told = config::Store::told(url);
            Error::Config(format!("the store's URL {told} {why}"))
        })?;
        Ok(store.into())
    }
}

impl Default for Source {
    fn default() -> Self {
        Self::memory()
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Memory => f.write_str("memory"),
            Kind::File(path, syncing) => f.debug_tuple("file").field(path).field(syncing).finish(),
            Kind::Opened(store) => store.fmt(f),
            Kind::Made(_) => f.write_str("…"),
        }
    }
}

/// How to come by a store. Always end the literal with `..Options::default()`: fields are added.
///
/// | asked | becomes |
/// |---|---|
/// | `standalone: Always` | standalone |
/// | `serve: true` | the master, or an error where there is one already |
/// | `connect: true` | a client of the master, waiting for it up to `patience` |
/// | nothing, in a worker that a master started | that master's worker |
/// | nothing, on one core | standalone |
/// | nothing | a client if somebody listens, otherwise the master |
///
/// ```
/// use memstore_cluster::{Options, Role, Standalone};
///
/// let store = Options { standalone: Standalone::Always, ..Options::default() }.create()?;
/// store.set("foo", "bar")?;
/// assert_eq!(store.get("foo")?.expect("just written").value, b"bar");
/// assert_eq!(store.role(), Role::Standalone);
/// # Ok::<(), memstore_cluster::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Options {
    /// Names the default socket, so that unrelated programs do not meet; ignored where `sock` is
    /// given.
    pub name: String,
    /// The path of the master's socket; by default what `MEMSTORE_SOCK` says, or else
    /// `$XDG_RUNTIME_DIR/memstore-cluster/NAME.sock`, or the same in a private directory under the
    /// temporary folder.
    pub sock: Option<PathBuf>,
    /// What holds the data where this process is the one to hold it.
    pub store: Source,
    /// Where this process is the one to hold the store and that is empty: fill it with what this
    /// dump has, before anybody is served. A file that is missing is none yet; one that is damaged
    /// is an error ([`Error::Damaged`]), and is left as it is.
    pub load_on_start: Option<PathBuf>,
    /// Where this process is the one to hold the store: write all entries to this file when the
    /// last worker has ended and the last client was served, or here, where the last handle is
    /// dropped. The file is replaced as a whole or, if that fails, stays as it is; a handle has
    /// nobody to tell then and logs it. A process that is killed, or calls `std::process::exit`
    /// with a handle left, writes nothing.
    pub dump_on_exit: Option<PathBuf>,
    /// Be the master.
    pub serve: bool,
    /// Be a client.
    pub connect: bool,
    /// Keep the store in this process.
    pub standalone: Standalone,
    /// What both sides of the path socket must know.
    pub secret: Option<Secret>,
    /// Users whose processes may connect to the path socket, besides this process's own and root.
    pub allow_uids: Vec<u32>,
    /// Bounds on what a peer may send.
    pub limits: Limits,
    /// Which changes of keys are published to subscribers of the Redis dialect; none by default.
    pub keyspace_events: KeyspaceEvents,
    /// Where this process is the one to hold the store: for which keys writes that know nothing of
    /// a destroy are refused for a while. None by default.
    pub tombstones: Vec<Tombstone>,
    /// Where this process is the one to hold the store: which entries are sessions by
    /// express-session's rules, which live as long as their cookie says. None by default.
    pub sessions: Option<Sessions>,
    /// How long a call may take; 5 s by default. See [`Store::with_timeout`](super::Store::with_timeout).
    pub timeout: Duration,
    /// How long to wait for a master at the beginning; 10 s by default.
    pub patience: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            name: "default".to_owned(),
            sock: None,
            store: Source::default(),
            load_on_start: None,
            dump_on_exit: None,
            serve: false,
            connect: false,
            standalone: Standalone::default(),
            secret: None,
            allow_uids: Vec::new(),
            limits: Limits::default(),
            keyspace_events: KeyspaceEvents::default(),
            tombstones: Vec::new(),
            sessions: None,
            timeout: Duration::from_secs(5),
            patience: Duration::from_secs(10),
        }
    }
}

/// What a process finds around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Surroundings {
    /// `MEMSTORE_ROLE`.
    pub(crate) role: Option<String>,
    /// `MEMSTORE_FD`.
    pub(crate) channel: Option<String>,
    /// Cores this process may use.
    pub(crate) cores: usize,
}

/// How a store will be come by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plan {
    Standalone,
    Serve,
    /// Through the inherited channel with this descriptor number.
    Channel(i32),
    Connect,
    ConnectOrServe,
}

impl Surroundings {
    /// Those of this process.
    pub(crate) fn here() -> Self {
        let text = |name: &str| Some(env::var_os(name)?.to_string_lossy().into_owned());
        Self {
            role: text("MEMSTORE_ROLE"),
            channel: text("MEMSTORE_FD"),
            cores: usize::try_from(cpus::available().count).unwrap_or(usize::MAX),
        }
    }
}

impl Options {
    /// Where the master's socket is or is to be.
    pub(crate) fn socket_path(&self) -> Result<PathBuf> {
        let told = || env::var_os("MEMSTORE_SOCK").filter(|sock| !sock.is_empty());
        let Some(sock) = self.sock.clone().or_else(|| told().map(PathBuf::from)) else {
            return Ok(net::default_path(&self.name)?);
        };
        // A client tells nothing to whoever prepared our directory for us.
        net::ensure_default_folder(&sock)?;
        Ok(sock)
    }

    /// Decides what this process becomes.
    pub(crate) fn plan(&self, around: &Surroundings) -> Result<Plan> {
        let asked = [
            (self.standalone == Standalone::Always, "standalone"),
            (self.serve, "serve"),
            (self.connect, "connect"),
        ];
        let mut asked = asked.iter().filter(|(is_asked, _)| *is_asked);
        if let (Some((_, one)), Some((_, other))) = (asked.next(), asked.next()) {
            return Err(Error::Config(format!(
                "`{one}` and `{other}` exclude each other; ask for one of them"
            )));
        }
        if self.standalone == Standalone::Always {
            return Ok(Plan::Standalone);
        }
        if self.serve {
            return Ok(Plan::Serve);
        }
        if self.connect && (self.sock.is_some() || around.channel.is_none()) {
            return Ok(Plan::Connect);
        }
        if let Some(channel) = &around.channel {
            return match channel.parse() {
                Ok(fd) if fd > 2 => Ok(Plan::Channel(fd)),
                _ => Err(Error::Config(format!(
                    "MEMSTORE_FD={channel} is not the number of a descriptor above 2; it is set \
                     by the master that starts a worker and not by hand"
                ))),
            };
        }
        let alone = around.role.as_deref() == Some("standalone");
        let one_core = around.cores == 1 && self.standalone == Standalone::Auto;
        if alone || one_core {
            return Ok(Plan::Standalone);
        }
        Ok(Plan::ConnectOrServe)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn around() -> Surroundings {
        Surroundings {
            role: None,
            channel: None,
            cores: 4,
        }
    }

    fn plan(options: &Options, around: &Surroundings) -> Plan {
        options.plan(around).unwrap()
    }

    #[test]
    fn what_is_asked_for_decides_first() {
        let in_worker = Surroundings {
            channel: Some("3".into()),
            cores: 1,
            ..around()
        };
        let serve = Options {
            serve: true,
            ..Options::default()
        };
        let connect = Options {
            connect: true,
            ..Options::default()
        };
        let elsewhere = Options {
            sock: Some("/x".into()),
            ..connect.clone()
        };
        let alone = Options {
            standalone: Standalone::Always,
            ..Options::default()
        };
        assert_eq!(plan(&serve, &in_worker), Plan::Serve);
        assert_eq!(plan(&alone, &in_worker), Plan::Standalone);
        assert_eq!(plan(&connect, &around()), Plan::Connect);
        assert_eq!(plan(&connect, &in_worker), Plan::Channel(3));
        assert_eq!(plan(&elsewhere, &in_worker), Plan::Connect);
    }

    #[test]
    fn then_the_inherited_channel_then_the_cores_then_who_listens() {
        let nothing = Options::default();
        let one_core = Surroundings {
            cores: 1,
            ..around()
        };
        let worker = Surroundings {
            channel: Some("7".into()),
            ..one_core.clone()
        };
        let wrapped = Surroundings {
            role: Some("standalone".into()),
            ..around()
        };
        let never = Options {
            standalone: Standalone::Never,
            ..Options::default()
        };
        assert_eq!(plan(&nothing, &worker), Plan::Channel(7));
        assert_eq!(plan(&nothing, &one_core), Plan::Standalone);
        assert_eq!(plan(&nothing, &wrapped), Plan::Standalone);
        assert_eq!(plan(&never, &one_core), Plan::ConnectOrServe);
        assert_eq!(plan(&nothing, &around()), Plan::ConnectOrServe);
    }

    #[test]
    fn what_cannot_be_meant_is_said() {
        let both = Options {
            serve: true,
            connect: true,
            ..Options::default()
        };
        let error = both.plan(&around()).unwrap_err().to_string();
        assert!(error.contains("`serve` and `connect`"), "{error}");
        for channel in ["", "x", "-1", "2"] {
            let around = Surroundings {
                channel: Some(channel.into()),
                ..around()
            };
            let error = Options::default().plan(&around).unwrap_err().to_string();
            assert!(
                error.contains(&format!("MEMSTORE_FD={channel} ")),
                "{error}"
            );
        }
    }
}
