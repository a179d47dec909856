//! A program that is its own workers.
//!
//! [`Cluster::run`] supervises in the process that was started by hand, and runs the given
//! function in the processes that this one starts: the same program with the same arguments.

use std::env;
use std::ffi::OsString;
use std::mem;
use std::process::ExitCode;

use super::inherited::{self, Listener};
use super::launch::{self, Launch};
use super::options::{Options, Plan, Surroundings};
use super::store::Store;
use crate::config::{BindAddress, NodePreload, Restart, Standalone, Supervision};
use crate::error::{Error, Result};

/// What runs in the master before the first worker is started.
type Prepare = Box<dyn FnOnce(&Store) -> Result<()>>;

/// A master and its workers, all of them this program.
///
/// ```no_run
/// use memstore_cluster::{Cluster, Error};
///
/// fn main() -> Result<std::process::ExitCode, Error> {
///     Cluster::new()
///         .bind("127.0.0.1:8080")
///         .master(|store| store.set("motd", "hello").map(|_| ()))
///         .run(|worker| {
///             let store = worker.store();
///             println!("worker {:?} says {:?}", store.worker(), store.get("motd")?);
///             Ok(())
///         })
/// }
/// ```
///
/// On one core, where nothing else was asked for, there is only this process: it runs the worker's
/// function itself, with a standalone store.
#[must_use = "nothing is started before `run`"]
#[derive(Default)]
pub struct Cluster {
    options: Options,
    workers: Option<u16>,
    binds: Vec<String>,
    supervision: Supervision,
    prepare: Option<Prepare>,
}

/// What a worker has.
#[derive(Debug)]
pub struct Worker {
    store: Store,
    listeners: Vec<Listener>,
}

/// What a process is to its cluster.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    Master,
    Worker,
    /// Everything in one.
    Alone,
}

impl Worker {
    /// The shared store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The listening sockets that all workers share, in the order of [`Cluster::bind`].
    pub fn into_listeners(self) -> Vec<Listener> {
        self.listeners
    }
}

impl Cluster {
    /// One worker per core, restarted when it ends.
    pub fn new() -> Self {
        Self::default()
    }

    /// Where the store is and what it is; what concerns roles is decided by [`run`](Self::run).
    /// Others can reach the store only where `options.sock` is given; workers have channels.
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// So many workers instead of one per core.
    pub fn workers(mut self, workers: u16) -> Self {
        self.workers = Some(workers);
        self
    }

    /// Opens a listening socket that all workers share: `HOST:PORT`, `:PORT` or `unix:PATH`. May
    /// be repeated.
    pub fn bind(mut self, address: impl Into<String>) -> Self {
        self.binds.push(address.into());
        self
    }

    /// Which ended workers are replaced.
    pub fn restart(mut self, restart: Restart) -> Self {
        self.supervision.restart = restart;
        self
    }

    /// How ended workers are replaced and how long stopping may take.
    pub fn supervision(mut self, supervision: Supervision) -> Self {
        self.supervision = supervision;
        self
    }

    /// Runs in the master before the first worker is started. What shall go on beside the workers
    /// belongs on a thread with a clone of the store.
    pub fn master(mut self, prepare: impl FnOnce(&Store) -> Result<()> + 'static) -> Self {
        self.prepare = Some(Box::new(prepare));
        self
    }

    /// In the process that was started by hand: supervises until it is told to stop or the workers
    /// are at their end; the exit code says which. In a worker: runs `worker`.
    ///
    /// Call it from the main thread, early: workers are killed when the thread that started them
    /// ends, and what comes before it runs in every worker too.
    ///
    /// # Errors
    /// Whatever `worker` or the master's function returns; [`Error::Config`] for what cannot be
    /// meant; [`Error::Spawn`] and [`Error::Io`] for what the system refuses.
    pub fn run<F>(mut self, worker: F) -> Result<ExitCode>
    where
        F: FnOnce(Worker) -> Result<()>,
    {
        match self.part(&Surroundings::here())? {
            Part::Worker => {
                let listeners = inherited::listeners()?;
                let store = self.options.create()?;
                worker(Worker { store, listeners }).map(|()| ExitCode::SUCCESS)
            }
            Part::Alone => self.alone(worker),
            Part::Master => self.supervise(),
        }
    }

    /// Decides what this process is. Whoever was started by a master is its worker, whatever the
    /// options say: they are the same in every process, and a worker that started workers of its
    /// own would never come to an end.
    fn part(&mut self, around: &Surroundings) -> Result<Part> {
        if mem::take(&mut self.options.connect) {
            return Err(Error::Config(
                "a cluster's workers connect by themselves; do not ask for `connect`".to_owned(),
            ));
        }
        self.options.serve = false;
        // By the program itself, or by whoever wrapped it.
        let is_told = self.options.standalone == Standalone::Always
            || around.role.as_deref() == Some("standalone");
        Ok(match self.options.plan(around)? {
            Plan::Channel(_) => Part::Worker,
            Plan::Standalone if self.workers.is_none() || is_told => Part::Alone,
            _ => Part::Master,
        })
    }

    fn alone<F>(self, worker: F) -> Result<ExitCode>
    where
        F: FnOnce(Worker) -> Result<()>,
    {
        // Wrapped by `run --standalone`, the listeners are inherited. Others are held to the end,
        // for their files go with them.
        let mut listeners = inherited::listeners()?;
        let mut opened = Vec::new();
        if listeners.is_empty() {
            opened = launch::open_listeners(&self.addresses()?)?;
            listeners = opened
                .iter()
                .map(launch::duplicate)
                .collect::<Result<_>>()?;
        }
        let store = Options {
            standalone: Standalone::Always,
            ..self.options
        }
        .create()?;
        if let Some(prepare) = self.prepare {
            prepare(&store)?;
        }
        let ended = worker(Worker { store, listeners });
        drop(opened);
        ended.map(|()| ExitCode::SUCCESS)
    }

    fn supervise(self) -> Result<ExitCode> {
        let program = env::current_exe().map_err(Error::io("find this program's own file"))?;
        let addresses = self.addresses()?;
        let args: Vec<OsString> = env::args_os().skip(1).collect();
        let launch = Launch {
            sock: self.options.sock.clone(),
            options: self.options,
            workers: self.workers,
            addresses,
            supervision: self.supervision,
            program: program.into_os_string(),
            args,
            env: Vec::new(),
            port_base: None,
            node_preload: NodePreload::Never,
        };
        let reason = launch.supervise(self.prepare)?;
        Ok(ExitCode::from(reason.exit_code()))
    }

    fn addresses(&self) -> Result<Vec<BindAddress>> {
        let parse = |address: &String| {
            address
                .parse()
                .map_err(|error| Error::Config(format!("cannot bind {address:?}: {error}")))
        };
        self.binds.iter().map(parse).collect()
    }
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster")
            .field("options", &self.options)
            .field("workers", &self.workers)
            .field("binds", &self.binds)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn around(channel: Option<&str>, cores: usize) -> Surroundings {
        Surroundings {
            role: None,
            channel: channel.map(str::to_owned),
            cores,
        }
    }

    fn part(mut cluster: Cluster, around: &Surroundings) -> Part {
        cluster.part(around).unwrap()
    }

    #[test]
    fn a_worker_never_becomes_a_master_whatever_the_options_say() {
        let serving = || {
            Cluster::new().workers(4).options(Options {
                serve: true,
                ..Options::default()
            })
        };
        assert_eq!(part(serving(), &around(Some("3"), 4)), Part::Worker);
        assert_eq!(part(serving(), &around(None, 4)), Part::Master);
        assert_eq!(part(serving(), &around(None, 1)), Part::Master);
    }

    #[test]
    fn on_one_core_there_is_one_process_unless_workers_were_asked_for() {
        assert_eq!(part(Cluster::new(), &around(None, 1)), Part::Alone);
        assert_eq!(part(Cluster::new(), &around(None, 2)), Part::Master);
        assert_eq!(
            part(Cluster::new().workers(2), &around(None, 1)),
            Part::Master
        );
        let wrapped = Surroundings {
            role: Some("standalone".to_owned()),
            ..around(None, 4)
        };
        assert_eq!(part(Cluster::new().workers(2), &wrapped), Part::Alone);
        let always = Options {
            standalone: Standalone::Always,
            ..Options::default()
        };
        let always = Cluster::new().workers(2).options(always);
        assert_eq!(part(always, &around(None, 4)), Part::Alone);
    }
}
