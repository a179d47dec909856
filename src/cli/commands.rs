//! `get`, `set` and the other commands to a master.

use std::io::{self, Read, Write};
use std::time::Duration;

use serde::Serialize;

use super::args::Request;
use super::exit::{Exit, Failure};
use super::read_secret;
use crate::cluster::{Entry, Options, SetOptions, Store};
use crate::config::ClientConfig;
use crate::contract::Expiry;
use crate::error::{Error, Result};

/// Asks the master that `client` names, and writes what it answers to `out`.
pub(crate) fn ask(
    client: &ClientConfig,
    request: &Request,
    out: &mut impl Write,
) -> Result<Exit, Failure> {
    let store = connect(client)?;
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
        Request::Destroy { key } => done(store.destroy(key)?),
        Request::All => {
            for item in store.all() {
                let (key, entry) = item?;
                write_line(out, &key, &entry)?;
            }
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
        Request::Ping => {
            store.ping()?;
            writeln!(out, "PONG")?;
            Exit::Ok
        }
    };
    out.flush()?;
    Ok(exit)
}

fn connect(client: &ClientConfig) -> Result<Store> {
    let options = Options {
        sock: Some(client.sock.clone()),
        secret: read_secret(client.secret_file.as_deref())?,
        timeout: client.timeout,
        ..Options::default()
    };
    options.connect_now()
}

fn standard_input() -> Result<Vec<u8>> {
    let mut value = Vec::new();
    io::stdin()
        .lock()
        .read_to_end(&mut value)
        .map_err(Error::io("read the value from standard input"))?;
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

/// An entry as a line of `all`. Bytes that are no UTF-8 are written in base 16, under other names,
/// so that nothing is ever changed on its way.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    key: Key<'a>,
    #[serde(flatten)]
    value: Value<'a>,
    seq: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl_ms: Option<u128>,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Key<'a> {
    Key(&'a str),
    KeyHex(String),
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Value<'a> {
    Value(&'a str),
    ValueHex(String),
}

fn write_line(out: &mut impl Write, key: &[u8], entry: &Entry) -> Result<(), Failure> {
    let line = Line {
        key: std::str::from_utf8(key).map_or_else(|_| Key::KeyHex(hex(key)), Key::Key),
        value: std::str::from_utf8(&entry.value)
            .map_or_else(|_| Value::ValueHex(hex(&entry.value)), Value::Value),
        seq: entry.seq.0,
        ttl_ms: entry.ttl.map(|ttl| ttl.as_millis()),
    };
    serde_json::to_writer(&mut *out, &line).map_err(io::Error::from)?;
    out.write_all(b"\n")?;
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Seq;

    fn line(key: &[u8], value: &[u8], ttl: Option<Duration>) -> String {
        let entry = Entry {
            value: value.to_vec(),
            seq: Seq(7),
            ttl,
        };
        let mut out = Vec::new();
        write_line(&mut out, key, &entry).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn an_entry_is_a_line_of_json() {
        assert_eq!(
            line(b"sess:1", b"{\"a\":1}", Some(Duration::from_secs(2))),
            "{\"key\":\"sess:1\",\"value\":\"{\\\"a\\\":1}\",\"seq\":7,\"ttl_ms\":2000}\n"
        );
    }

    #[test]
    fn bytes_that_are_no_text_stay_whole() {
        assert_eq!(
            line(b"\xff\x00", b"a\xfe", None),
            "{\"key_hex\":\"ff00\",\"value_hex\":\"61fe\",\"seq\":7}\n"
        );
    }
}
