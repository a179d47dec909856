//! `run`: a master and its workers, or in standalone mode the command itself.

use std::convert::Infallible;
use std::ffi::OsString;
use std::os::fd::AsFd;
use std::path;

use super::exit::{Exit, Failure};
use super::master_options;
use crate::cluster::Store;
use crate::cluster::launch::{self, Launch};
use crate::config::{self, Config, Standalone, Workers};
use crate::error::{Error, Result};
use crate::supervisor::cpus;
use crate::supervisor::spawn::{self, EnvChange};

/// Keeps workers running `command`, which is never empty, until it is told to stop.
pub(crate) fn run(config: &Config, command: &[OsString]) -> Result<Exit, Failure> {
    let (program, args) = command
        .split_first()
        .expect("the parser refuses no command");
    if is_alone(config) {
        if config.store != config::Store::Memory {
            let words = format!(
                "nobody would keep the store {}: standalone, the command has its store in itself; \
                 leave out --standalone or --store",
                config.store
            );
            return Err(Error::Config(words).into());
        }
        match become_command(config, program, args)? {}
    }
    let workers = match config.workers {
        Workers::Auto => None,
        Workers::Exactly(number) => Some(u16::try_from(number.get()).unwrap_or(u16::MAX)),
    };
    let launch = Launch {
        options: master_options(config)?,
        sock: config.sock.clone(),
        workers,
        addresses: config.bind.clone(),
        supervision: config.supervision.clone(),
        program: program.clone(),
        args: args.to_vec(),
        env: secret_for_workers(config)?,
        port_base: config.port_base,
        node_preload: config.node_preload,
    };
    let reason = launch.supervise(None::<fn(&Store) -> Result<()>>)?;
    tracing::info!(?reason, "the master ends");
    Ok(Exit::of_master(reason))
}

/// A wrapped script reaches the store by the command line, which must find the secret too.
fn secret_for_workers(config: &Config) -> Result<Vec<EnvChange>> {
    let Some(file) = &config.secret_file else {
        return Ok(Vec::new());
    };
    let file = path::absolute(file).map_err(Error::io("tell where the secret's file is"))?;
    Ok(vec![("MEMSTORE_SECRET_FILE".into(), Some(file.into()))])
}

/// Standalone where that was asked for, or where one core has nothing to share. A number of
/// workers is a wish for a master, also on one core, and so is a file for the store, a dump, a
/// tombstone or a rule for sessions: the command's own store would know nothing of it.
fn is_alone(config: &Config) -> bool {
    match config.standalone {
        Standalone::Always => true,
        Standalone::Never => false,
        Standalone::Auto => {
            let wants_master = config.workers != Workers::Auto
                || config.store != config::Store::Memory
                || config.load_on_start.is_some()
                || config.dump_on_exit.is_some()
                || !config.tombstones.is_empty()
                || config.sessions.is_some();
            !wants_master && cpus::available().count == 1
        }
    }
}

/// Replaces this process by the command, with the listeners at 3 and up.
fn become_command(
    config: &Config,
    program: &OsString,
    args: &[OsString],
) -> Result<Infallible, Failure> {
    tracing::info!("standalone: this process becomes the command");
    let listeners = launch::open_listeners(&config.bind)?;
    let node = launch::node_preload(config.node_preload, &listeners);
    let mut env = node.map(|node| node.env()).transpose()?.unwrap_or_default();
    let port = config.port_base.and_then(|base| base.port(0));
    env.extend(port.map(|port| ("PORT".into(), Some(port.to_string().into()))));
    let listeners = launch::named(listeners);
    let listeners: Vec<_> = listeners
        .iter()
        .map(|(listener, name)| (listener.as_fd(), name.as_str()))
        .collect();
    let became = spawn::become_standalone(program, args, &env, &listeners);
    Ok(became.map_err(Error::from)?)
}
