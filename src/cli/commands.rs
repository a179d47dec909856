//! `get`, `set` and the other commands to a master.

use std::io::{self, Read, Write};
use std::time::Duration;

use super::args::Request;
use super::exit::{Exit, Failure};
use super::snapshot;
use crate::cluster::{DestroyOptions, SetOptions, Store};
use crate::contract::Expiry;
use crate::error::{Error, Result};
use crate::snapshot::lines;

/// Asks the master, and writes what it answers to `out`.
pub(crate) fn ask(store: &Store, request: &Request, out: &mut impl Write) -> Result<Exit, Failure> {
    let exit = match request {
        Request::Get { key } => match store.get(key)? {
            Some(entry) => {
                out.write_all(&entry.value)?;
                Exit::Ok
            }
            None => Exit::Failed,
        },
        Request::Set {
            key,
            value,
            expiry,
            condition,
        } => {
            let options = SetOptions::of(*expiry, *condition);
            let seq = match value {
                Some(value) => store.set_with(key, value, options)?,
                None => store.set_with(key, standard_input()?, options)?,
            };
            writeln!(out, "{seq}")?;
            Exit::Ok
        }
        Request::Touch { key, expiry } => done(store.touch(key, ttl(*expiry))?),
        Request::Destroy { key, tombstone } => {
            let options = DestroyOptions::new();
            let options = tombstone.map_or(options, |lasting| options.tombstone(lasting));
            done(store.destroy_with(key, options)?)
        }
        Request::All => {
            snapshot::walk(store, |record, ttl_ms| {
                Ok(lines::write(out, record, ttl_ms)?)
            })?;
            Exit::Ok
        }
        Request::Length => {
            writeln!(out, "{}", store.length()?)?;
            Exit::Ok
        }
        Request::Clear => {
            store.clear()?;
            Exit::Ok
        }
        Request::Publish { channel, message } => {
            let told = match message {
                Some(message) => store.publish(channel, message)?,
                None => store.publish(channel, standard_input()?)?,
            };
            writeln!(out, "{told}")?;
            Exit::Ok
        }
        Request::Ping => {
            store.ping()?;
            writeln!(out, "PONG")?;
            Exit::Ok
        }
    };
    out.flush()?;
    Ok(exit)
}

fn standard_input() -> Result<Vec<u8>> {
    let mut value = Vec::new();
    io::stdin()
        .lock()
        .read_to_end(&mut value)
        .map_err(Error::io("read standard input"))?;
    Ok(value)
}

fn done(found: bool) -> Exit {
    if found { Exit::Ok } else { Exit::Failed }
}

fn ttl(expiry: Expiry) -> Option<Duration> {
    match expiry {
        Expiry::AfterMs(ms) => Some(Duration::from_millis(ms)),
        Expiry::Never | Expiry::Keep => None,
    }
}
