//! How a handle in the master's own process asks a backend that has a thread of its own.
//!
//! By the same queue as everybody: so what many threads of a program write at once shares a commit,
//! and a backend that is stuck keeps them waiting for a bounded time.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use super::chunk::{Author, Chunk};
use super::desk::{Desk, Job};

use crate::backend::BackendError;
use crate::exec::redis::Load;
use crate::protocol::{Request, codec};

/// Asks, from any thread.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    desk: Arc<Desk>,
}

impl Caller {
    pub(super) fn new(desk: Arc<Desk>) -> Self {
        Self { desk }
    }

    /// How the backend does.
    pub(crate) fn load(&self) -> Load {
        self.desk.gauges.load()
    }

    /// The reply, as a frame.
    ///
    /// # Errors
    /// There was none in time, or the master has ended.
    pub(crate) fn call(
        &self,
        request: &Request<'_>,
        timeout: Duration,
    ) -> Result<Vec<u8>, BackendError> {
        let mut bytes = Vec::new();
        codec::write_request(&mut bytes, 0, request);
        let (told, heard) = sync_channel(1);
        let strong = Arc::new(Chunk::new(Author::Handle(told), bytes));
        // Its sender is to be gone when the engine has dropped it.
        let chunk = Arc::downgrade(&strong);
        self.desk.call(Job::Run(strong));
        let ended = || BackendError::Broken("the master has ended".to_owned());
        match heard.recv_timeout(timeout.min(self.desk.timeout)) {
            Ok(reply) => Ok(reply),
            Err(RecvTimeoutError::Disconnected) => Err(ended()),
            Err(RecvTimeoutError::Timeout) => {
                let outcome = chunk.upgrade().map(|chunk| {
                    self.desk.withdraw(&chunk);
                    chunk.give_up()
                });
                // It may have come since.
                heard.try_recv().map_err(|_| match outcome {
                    Some(outcome) => BackendError::TimedOut { outcome },
                    None => ended(),
                })
            }
        }
    }
}
