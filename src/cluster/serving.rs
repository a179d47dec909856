//! A master on a thread of the program that holds its store.

use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};

use super::dumps::LastDump;
use super::options::Options;
use crate::backend::SharedBackend;
use crate::error::{Error, Result};
use crate::master::{Controller, Master, Setup, Signals};
use crate::net::{Mastership, PathSocket};
use crate::time::Clock;

/// Ends the master when dropped: what was received is answered, the socket is removed, the last
/// dump written, the mastership given up.
pub(crate) struct Serving {
    controller: Controller,
    thread: Option<JoinHandle<()>>,
}

impl Serving {
    /// Serves `backend` at the path of `mastership`, or only to channels that are adopted.
    pub(crate) fn start(
        options: &Options,
        mastership: Option<&Mastership>,
        backend: SharedBackend,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let bind = |mastership| PathSocket::bind(mastership, &options.allow_uids);
        let socket = mastership.map(bind).transpose()?;
        let last = LastDump::of(options, &backend, &clock);
        let setup = Setup {
            backend,
            clock,
            limits: options.limits.clone(),
            keyspace_events: options.keyspace_events,
            secret: options.secret.clone(),
            allow_uids: options.allow_uids.clone(),
            socket,
            workers: None,
            signals: Signals::Theirs,
        };
        // Whoever comes next must not load what was there before the dump.
        let mastership = mastership.cloned();
        let (told, heard) = mpsc::channel();
        // A master stays on the thread that made it.
        let run = move || match Master::new(setup) {
            Ok(master) => {
                let is_heard = told.send(Ok(master.controller())).is_ok();
                let ended = if is_heard {
                    master.run().map(drop)
                } else {
                    Ok(())
                };
                if let Err(error) = &ended {
                    tracing::error!(%error, "the master's loop failed");
                }
                if let Some(last) = last {
                    // Nobody is left to be told; it is in the log.
                    let _ = last.write_after(&ended);
                }
                drop(mastership);
            }
            // Whoever waits for the answer has gone only if this thread was not started.
            Err(error) => drop(told.send(Err(error))),
        };
        let thread = thread::Builder::new()
            .name("memstore-master".to_owned())
            .spawn(run)
            .map_err(Error::io("start the master's thread"))?;
        let controller = heard
            .recv()
            .unwrap_or_else(|_| Err(std::io::Error::other("its thread has ended")))
            .map_err(Error::io("start the master's loop"))?;
        Ok(Self {
            controller,
            thread: Some(thread),
        })
    }

    pub(crate) fn controller(&self) -> &Controller {
        &self.controller
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.controller.stop();
        if let Some(thread) = self.thread.take() {
            // Its panic was reported by the panic hook, and there is nobody to pass it on to.
            let _ = thread.join();
        }
    }
}
