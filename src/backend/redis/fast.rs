//! The fast path: connections of its own to the one server, and plain requests as its commands.
//!
//! They are made by the [keeper](super::node) of the server while that is reached, and are handed to
//! whoever asks on them. They speak RESP2, in which nothing comes that was not asked for.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use futures_util::future::try_join_all;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::dial::Dialer;
use super::held::version;
use super::node::{DEMOTED, Trouble};
use super::writes::MOST_MS;
use crate::backend::Wake;
use crate::backend::fast_path::{Asked, Connections, FastPath, Found, NoReply, Plain, Said};
use crate::contract::Seq;

/// How many connections there are. A server has less work with a few that have a little each than
/// with one that has much: more is read and written at once than a socket takes.
const CONNECTIONS: usize = 4;
/// How long to wait before connections are made again that could not be, or were lost.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest line that is read, in bytes: an error may have some text.
const LINE: usize = 64 << 10;

/// The fast path to a server.
#[derive(Default)]
pub(super) struct Fast {
    prefix: Vec<u8>,
    /// How long an answer may take.
    timeout: Duration,
    wake: OnceLock<Wake>,
    /// The number of the connections that are to be used; 0 where there are none.
    current: AtomicU64,
    /// They, until they are taken.
    fresh: Mutex<Option<Connections>>,
    /// Somebody wants connections, or others.
    wanted: Notify,
    /// There was no answer in time, on the last ones.
    is_late: AtomicBool,
}

impl std::fmt::Debug for Fast {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fast").finish_non_exhaustive()
    }
}

impl Fast {
    /// Keys have this before them on the server.
    pub(super) fn new(prefix: &str, timeout: Duration) -> Self {
        Self {
            prefix: prefix.into(),
            timeout,
            ..Self::default()
        }
    }

    /// Has connections made as soon as somebody wants them, and again whenever one is lost. It ends
    /// where there was no answer in time; then, or when the server is not reached any more, they are
    /// to be [withdrawn](Self::withdraw).
    pub(super) async fn keep(&self, dialer: &Dialer) {
        while self.wake.get().is_none() {
            self.wanted.notified().await;
        }
        let mut number = 0;
        loop {
            let dialled = try_join_all((0..CONNECTIONS).map(|_| dialer.stream()));
            match timeout(self.timeout, dialled).await {
                Ok(Ok(streams)) => {
                    number = self.offer(streams);
                    while self.is_current(number) {
                        self.wanted.notified().await;
                    }
                    if self.is_late.swap(false, Ordering::AcqRel) {
                        return;
                    }
                }
                Ok(Err(error)) => tracing::debug!(%error, "no fast path to the store's server"),
                Err(_) => tracing::debug!(number, "the store's server gives no fast path in time"),
            }
            sleep(PAUSE).await;
        }
    }

    fn offer(&self, streams: Vec<OwnedFd>) -> u64 {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let number = LAST.fetch_add(1, Ordering::Relaxed) + 1;
        *self.fresh() = Some(Connections { number, streams });
        self.current.store(number, Ordering::Release);
        self.tell();
        number
    }

    /// What connections there are are not to be used any more.
    pub(super) fn withdraw(&self) {
        if self.current.swap(0, Ordering::AcqRel) != 0 {
            *self.fresh() = None;
            self.tell();
        }
    }

    fn tell(&self) {
        if let Some(wake) = self.wake.get() {
            wake();
        }
    }

    fn fresh(&self) -> MutexGuard<'_, Option<Connections>> {
        self.fresh.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends a command: its name, the key, and what else there is.
    fn command(&self, name: &str, key: &[u8], others: &[&[u8]], out: &mut Vec<u8>) {
        header(b'*', 2 + others.len(), out);
        bulk(&[name.as_bytes()], out);
        bulk(&[&self.prefix, key], out);
        for other in others {
            bulk(&[other], out);
        }
    }
}

impl FastPath for Fast {
    fn wake_with(&self, wake: Wake) {
        let _ = self.wake.set(wake);
        self.wanted.notify_one();
    }

    fn take(&self) -> Option<Connections> {
        self.fresh().take()
    }

    fn is_current(&self, number: u64) -> bool {
        self.current.load(Ordering::Acquire) == number
    }

    fn lost(&self, number: u64) {
        let (order, failed) = (Ordering::AcqRel, Ordering::Relaxed);
        let lost = self.current.compare_exchange(number, 0, order, failed);
        if lost.is_ok() {
            self.wanted.notify_one();
        }
    }

    fn late(&self, number: u64) {
        if self.is_current(number) {
            self.is_late.store(true, Ordering::Release);
            self.lost(number);
        }
    }

    fn timeout(&self) -> Duration {
        self.timeout
    }

    fn ask(&self, plain: &Plain<'_>, out: &mut Vec<u8>) -> Asked {
        let mut digits = [0; 20];
        match *plain {
            Plain::Value { key } => {
                self.command("GET", key, &[], out);
                Asked::Value
            }
            Plain::Get { key } => {
                self.command("GET", key, &[], out);
                self.command("PTTL", key, &[], out);
                Asked::Entry
            }
            Plain::Set { key, value, ttl_ms } => {
                match ttl_ms {
                    Some(ms) => {
                        let ms = decimal(ms.get().min(MOST_MS), &mut digits);
                        self.command("SET", key, &[value, b"PX", ms], out);
                    }
                    None => self.command("SET", key, &[value], out),
                }
                Asked::Stored
            }
            Plain::Touch { key, ttl_ms } => {
                let ms = decimal(ttl_ms.get().min(MOST_MS), &mut digits);
                self.command("PEXPIRE", key, &[ms], out);
                Asked::Whether
            }
            Plain::Destroy { key } => {
                self.command("UNLINK", key, &[], out);
                Asked::Whether
            }
        }
    }

    fn read<'b>(
        &self,
        asked: Asked,
        bytes: &'b [u8],
    ) -> Result<Option<(usize, Said<'b>)>, NoReply> {
        let Some((len, first)) = reply(bytes)? else {
            return Ok(None);
        };
        let said = match (asked, first) {
            (Asked::Value, Reply::Bulk(value)) => Said::Value(value),
            (Asked::Stored, Reply::Status) => Said::Stored,
            (Asked::Whether, Reply::Number(count)) => Said::Whether(count > 0),
            (Asked::Entry, first) => {
                let Some((behind, second)) = reply(&bytes[len..])? else {
                    return Ok(None);
                };
                return Ok(Some((len + behind, entry(first, second)?)));
            }
            (_, first) => first.failure()?,
        };
        Ok(Some((len, said)))
    }

    fn version(&self, value: &[u8]) -> Seq {
        version(value)
    }
}

/// What `GET` and `PTTL` say of a key. It may have gone between the two.
fn entry<'b>(value: Reply<'b>, ttl: Reply<'b>) -> Result<Said<'b>, NoReply> {
    let (value, ttl_ms) = match (value, ttl) {
        (Reply::Bulk(None), Reply::Number(_)) | (Reply::Bulk(_), Reply::Number(-2)) => {
            return Ok(Said::Entry(None));
        }
        (Reply::Bulk(Some(value)), Reply::Number(-1)) => (value, None),
        (Reply::Bulk(Some(value)), Reply::Number(ms @ 0..)) => (value, Some(ms.unsigned_abs())),
        (Reply::Bulk(_), other) | (other, _) => return other.failure(),
    };
    Ok(Said::Entry(Some(Found {
        value,
        ttl_ms,
        seq: version(value),
    })))
}

/// A reply, as far as those are told apart that are expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reply<'b> {
    Status,
    Error(&'b [u8]),
    Number(i64),
    Bulk(Option<&'b [u8]>),
}

impl<'b> Reply<'b> {
    /// What it says where it is not what was to come: that can only be an error.
    fn failure(self) -> Result<Said<'b>, NoReply> {
        match self {
            // Whoever keeps the connections has to look for the primary.
            Reply::Error(text) if text.starts_with(DEMOTED.as_bytes()) => Ok(Said::Else),
            Reply::Error(text) => {
                let text = String::from_utf8_lossy(text).into_owned();
                Ok(Said::Failed(Trouble::Said(text).into()))
            }
            Reply::Status | Reply::Number(_) | Reply::Bulk(_) => Err(NoReply),
        }
    }
}

/// The reply at the front of some bytes, and how many they are.
fn reply(bytes: &[u8]) -> Result<Option<(usize, Reply<'_>)>, NoReply> {
    let most = &bytes[..bytes.len().min(LINE)];
    let Some(end) = most.iter().position(|byte| *byte == b'\n') else {
        return if bytes.len() < LINE {
            Ok(None)
        } else {
            Err(NoReply)
        };
    };
    let (kind, text) = match bytes[..end].split_first() {
        Some((kind, text)) => (*kind, text.strip_suffix(b"\r").ok_or(NoReply)?),
        None => return Err(NoReply),
    };
    let len = end + 1;
    let number = || -> Result<i64, NoReply> {
        let text = std::str::from_utf8(text).map_err(|_| NoReply)?;
        text.parse().map_err(|_| NoReply)
    };
    let reply = match kind {
        b'+' => Reply::Status,
        b'-' => Reply::Error(text),
        b':' => Reply::Number(number()?),
        b'$' => match number()? {
            -1 => Reply::Bulk(None),
            size => {
                let size = usize::try_from(size).map_err(|_| NoReply)?;
                let whole = size.checked_add(len + 2).ok_or(NoReply)?;
                let Some(value) = bytes.get(len..whole) else {
                    return Ok(None);
                };
                let value = value.strip_suffix(b"\r\n").ok_or(NoReply)?;
                return Ok(Some((whole, Reply::Bulk(Some(value)))));
            }
        },
        _ => return Err(NoReply),
    };
    Ok(Some((len, reply)))
}

/// Appends an argument, which has these parts.
fn bulk(parts: &[&[u8]], out: &mut Vec<u8>) {
    header(b'$', parts.iter().map(|part| part.len()).sum(), out);
    for part in parts {
        out.extend_from_slice(part);
    }
    out.extend_from_slice(b"\r\n");
}

fn header(kind: u8, count: usize, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    out.push(kind);
    out.extend_from_slice(decimal(count as u64, &mut digits));
    out.extend_from_slice(b"\r\n");
}

/// A number as text: `u64::MAX` has twenty digits.
fn decimal(mut number: u64, digits: &mut [u8; 20]) -> &[u8] {
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &digits[at..];
        }
    }
}

#[cfg(test)]
#[path = "fast_tests.rs"]
mod tests;
