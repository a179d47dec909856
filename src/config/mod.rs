//! What was asked for, validated. Pure: nothing here opens, reads or asks the machine.
//!
//! The types of single values ([`ByteSize`], [`Workers`], [`Store`] and the like) check what they
//! are made of; [`Config`] is all of them together. Under the feature `cli`, `settings` is the one
//! table that describes each setting, and `merge` makes a `Config` out of flags, environment and
//! file by it. A `Config` that came out of a merge holds only values that can work together.

mod address;
mod choice;
pub mod duration;
mod events;
mod limits;
mod memory;
mod ports;
mod sessions;
mod size;
mod sock;
mod store;
mod supervision;
mod tombstone;

#[cfg(feature = "cli")]
pub(crate) mod file;
#[cfg(feature = "cli")]
pub(crate) mod merge;
#[cfg(feature = "cli")]
pub(crate) mod origin;
#[cfg(feature = "cli")]
pub(crate) mod settings;
#[cfg(feature = "cli")]
mod values;

use std::path::PathBuf;
use std::time::Duration;

pub use address::{BindAddress, BindAddressError};
pub use choice::{LogFormat, NodePreload, Restart, Standalone, Syncing, WhenFull, Workers};
pub use events::KeyspaceEvents;
pub use limits::Limits;
pub use memory::Memory;
pub use ports::PortBase;
pub use sessions::Sessions;
pub use size::ByteSize;
pub use sock::{Surroundings, check_name, check_sock_path};
pub use store::{
    Files, Host, LevelDb, Login, Password, Redis, Servers, Sqlite, Store, Synchronous,
};
pub use supervision::Supervision;
pub use tombstone::Tombstone;

/// Why a value cannot be taken, as the rest of a sentence that begins with the value: "must be
/// at least 1".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Invalid {
    reason: String,
    /// What is to be shown of the value, where that may have a secret in it.
    told: Option<String>,
}

impl Invalid {
    /// The reason, and what to do instead.
    pub fn new(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            told: None,
        }
    }

    /// The same about a value of which no more than `told` may be shown.
    #[cfg(feature = "cli")]
    pub(crate) fn telling(self, told: String) -> Self {
        let told = Some(told);
        Self { told, ..self }
    }
}

/// Everything that can be asked of a master, and of a client where that is marked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Tells clusters of one user apart; the default socket is named by it.
    pub name: String,
    /// The path of the socket for clients (also: where a client connects); `None`: there is none.
    pub sock: Option<PathBuf>,
    /// How many workers to keep.
    pub workers: Workers,
    /// The addresses of the listening sockets that the workers inherit, in the order given.
    pub bind: Vec<BindAddress>,
    /// The port of the first worker, where each has one of its own.
    pub port_base: Option<PortBase>,
    /// Whether Node programs are made to use the listening sockets.
    pub node_preload: NodePreload,
    /// Whether to be one process without master, socket and channel.
    pub standalone: Standalone,
    /// What holds the data.
    pub store: Store,
    /// When writes to a store in a file are taken to the disk; `None`: nothing was asked for.
    pub sync: Option<Syncing>,
    /// How much memory the data may take.
    pub memory: Memory,
    /// The dump that a master loads before it serves anybody.
    pub load_on_start: Option<PathBuf>,
    /// The file to which a master writes all entries at its end.
    pub dump_on_exit: Option<PathBuf>,
    /// The file with the secret that clients of the path socket prove to know; also a client's.
    pub secret_file: Option<PathBuf>,
    /// Users who may connect through the path socket, besides root and the master's own.
    pub allow_uids: Vec<u32>,
    /// Bounds on what a peer may send, hold and wait for.
    pub limits: Limits,
    /// Which changes of keys are told to subscribers.
    pub keyspace_events: KeyspaceEvents,
    /// For which keys writes are refused for a while after a destroy.
    pub tombstones: Vec<Tombstone>,
    /// Which entries are sessions that live as long as their cookie says.
    pub sessions: Option<Sessions>,
    /// How workers are started, watched and ended.
    pub supervision: Supervision,
    /// Which log events are written: a level, or `target=level` pairs.
    pub log: String,
    /// How log events are written.
    pub log_format: LogFormat,
    /// How long a client waits for a connection and for a reply.
    pub timeout: Duration,
}

impl Config {
    /// What holds where nothing is asked for.
    pub fn new(surroundings: &Surroundings) -> Self {
        let name = "default".to_owned();
        Self {
            sock: Some(surroundings.default_sock(&name).0),
            name,
            workers: Workers::Auto,
            bind: Vec::new(),
            port_base: None,
            node_preload: NodePreload::Auto,
            standalone: Standalone::Auto,
            store: Store::Memory,
            sync: None,
            memory: Memory::default(),
            load_on_start: None,
            dump_on_exit: None,
            secret_file: None,
            allow_uids: Vec::new(),
            limits: Limits::default(),
            keyspace_events: KeyspaceEvents::default(),
            tombstones: Vec::new(),
            sessions: None,
            supervision: Supervision::default(),
            log: "info".to_owned(),
            log_format: LogFormat::Text,
            timeout: Duration::from_secs(5),
        }
    }

    /// What a client needs of it; `None` where it has no socket.
    pub fn client(&self) -> Option<ClientConfig> {
        Some(ClientConfig {
            sock: self.sock.clone()?,
            secret_file: self.secret_file.clone(),
            timeout: self.timeout,
        })
    }
}

/// What a client needs to find and ask a master.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientConfig {
    /// The path of the master's socket.
    pub sock: PathBuf,
    /// The file with the secret, if the master wants one.
    pub secret_file: Option<PathBuf>,
    /// How long to wait for a connection and for a reply.
    pub timeout: Duration,
}
