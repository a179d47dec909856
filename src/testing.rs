//! Masters and workers inside one process, for tests: yours and ours.
//!
//! [`TestMaster`] is a real master on a thread, with its event loop and its backend.
//! [`TestMaster::worker`] gives the handle that a worker would have, over a real socketpair. No
//! process is started, no file is made, and the clock stands still until you move it if you give
//! it one that does.
//!
//! ```
//! use std::time::Duration;
//! use memstore_cluster::SetOptions;
//! use memstore_cluster::testing::TestMaster;
//! use memstore_cluster::time::{ManualClock, Millis};
//!
//! let clock = ManualClock::new(Millis::ZERO);
//! let master = TestMaster::builder().clock(clock.clone()).start()?;
//! let (one, other) = (master.worker(0)?, master.worker(1)?);
//!
//! one.set_with("sess:1", "hello", SetOptions::new().ttl(Duration::from_secs(60)))?;
//! assert!(other.get("sess:1")?.is_some());
//! clock.advance(Duration::from_secs(60));
//! assert!(other.get("sess:1")?.is_none());
//! assert_eq!(master.store().length()?, 0);
//! # Ok::<(), memstore_cluster::Error>(())
//! ```

pub mod conformance;

use std::os::unix::net::UnixStream;
use std::sync::Arc;

use crate::client::{ConnectOptions, Connection};
use crate::cluster::link::{Keeper, Link, Local};
use crate::cluster::links::Links;
use crate::cluster::options::Plan;
use crate::cluster::serving::Serving;
use crate::cluster::{Options, Role, Source, Store};
use crate::error::{Error, Result};
use crate::exec::redis::Load;
use crate::master::Controller;
use crate::time::{Clock, SystemClock};

/// A master on a thread of this process. Dropping the last handle to its store ends it.
#[derive(Debug)]
pub struct TestMaster {
    store: Store,
    controller: Controller,
    options: Options,
}

/// How a [`TestMaster`] is to be.
pub struct Builder {
    options: Options,
    clock: Arc<dyn Clock>,
}

impl TestMaster {
    /// A master with an empty memory backend and the system's clock.
    ///
    /// # Errors
    /// The system refused a thread or a descriptor.
    pub fn start() -> Result<Self> {
        Self::builder().start()
    }

    /// A master to one's own taste.
    pub fn builder() -> Builder {
        Builder {
            options: Options::default(),
            clock: Arc::new(SystemClock::new()),
        }
    }

    /// The master's own handle.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The handle of a worker in this slot. Several may have the same slot.
    ///
    /// # Errors
    /// The system refused a socketpair, or the master has ended.
    pub fn worker(&self, slot: u16) -> Result<Store> {
        let channel = self.raw_channel(slot)?;
        let how = ConnectOptions {
            secret: None,
            timeout: self.options.timeout,
        };
        let connection = Connection::from_channel(channel.into(), &how)?;
        let link = Link::Remote(Arc::new(connection));
        // The number is for plans of inherited channels; this one has an owner already.
        let links = Links::new(self.options.clone(), Plan::Channel(-1), link);
        Ok(Store::new(Arc::new(links), self.options.timeout))
    }

    /// How a backend that [blocks](crate::backend::Backend::blocks) does, and the loop beside it;
    /// `None` with another one.
    pub fn load(&self) -> Option<Load> {
        let caller = self.controller.caller()?;
        Some(caller.load())
    }

    /// The worker's end of a fresh channel, for tests that speak the protocol themselves.
    ///
    /// # Errors
    /// The system refused a socketpair.
    pub fn raw_channel(&self, slot: u16) -> Result<UnixStream> {
        let (ours, theirs) = UnixStream::pair().map_err(Error::io("make a channel"))?;
        ours.set_nonblocking(true)
            .map_err(Error::io("prepare a channel"))?;
        self.controller.adopt(ours, slot);
        Ok(theirs)
    }
}

impl Builder {
    /// What tells the master the time.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Limits, the backend and the timeout of calls, as a program would give them. What concerns
    /// roles and sockets has no effect.
    #[must_use]
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// What holds the data.
    #[must_use]
    pub fn store(mut self, store: Source) -> Self {
        self.options.store = store;
        self
    }

    /// Starts it.
    ///
    /// # Errors
    /// The system refused a thread or a descriptor, or the backend could not be made.
    pub fn start(self) -> Result<TestMaster> {
        let Self { options, clock } = self;
        let backend = options.open_backend(Role::Master, clock.as_ref())?;
        let serving = Serving::start(&options, None, Arc::clone(&backend), Arc::clone(&clock))?;
        let controller = serving.controller().clone();
        let keeper = Keeper::Thread(serving);
        let local = Local::new(backend, clock, &options.limits, keeper);
        let link = Link::Local(local.served_by(&controller));
        let links = Links::new(options.clone(), Plan::Serve, link);
        Ok(TestMaster {
            store: Store::new(Arc::new(links), options.timeout),
            controller,
            options,
        })
    }
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
