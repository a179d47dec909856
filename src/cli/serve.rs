//! `serve`: a master without workers.

use std::path::Path;
use std::sync::Arc;

use super::exit::{Exit, Failure};
use super::master_options;
use crate::cluster::Role;
use crate::cluster::dumps::LastDump;
use crate::config::Config;
use crate::error::Error;
use crate::master::{Master, Setup, Signals};
use crate::net::{Mastership, PathSocket};
use crate::time::{Clock, SystemClock};

/// Serves the store on the configuration's socket, which it has, until it is told to stop.
pub(crate) fn serve(config: &Config) -> Result<Exit, Failure> {
    let options = master_options(config)?;
    let path = config.sock.as_deref().unwrap_or(Path::new(""));
    let mastership = Mastership::acquire(path).map_err(Error::from)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    // Nobody is let in before there is something to ask for.
    let backend = options.open_backend(Role::Master, clock.as_ref())?;
    let last = LastDump::of(&options, &backend, &clock);
    let socket = PathSocket::bind(&mastership, &options.allow_uids).map_err(Error::from)?;
    let setup = Setup {
        backend,
        clock,
        limits: options.limits,
        keyspace_events: options.keyspace_events,
        secret: options.secret,
        allow_uids: options.allow_uids,
        socket: Some(socket),
        workers: None,
        signals: Signals::Ours,
    };
    let master = Master::new(setup).map_err(Error::io("start the master's loop"))?;
    tracing::info!(sock = %path.display(), pid = std::process::id(), "serving");
    let ended = master.run();
    // Still under the mastership: whoever comes next must not load what was there before.
    let dumped = last.map_or(Ok(()), |last| last.write_after(&ended));
    ended.map_err(Error::io("go on with the master's loop"))?;
    dumped?;
    tracing::info!("the master ends");
    Ok(Exit::Ok)
}
