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
mod tests {
    use std::num::NonZeroU64;

    use proptest::prelude::*;

    use super::*;

    fn read(asked: Asked, bytes: &[u8]) -> Result<Option<(usize, Said<'_>)>, NoReply> {
        Fast::default().read(asked, bytes)
    }

    #[test]
    fn requests_are_commands_with_the_prefix_before_each_key() {
        let fast = Fast::new("p:", PAUSE);
        let asked = |plain: Plain<'_>| {
            let mut out = b"before ".to_vec();
            let asked = fast.ask(&plain, &mut out);
            let text = String::from_utf8(out).unwrap();
            (asked, text.replace("\r\n", " "))
        };
        let (key, value) = (&b"key"[..], &b""[..]);
        let ms = |ms| NonZeroU64::new(ms).unwrap();
        let set = |ttl_ms| Plain::Set { key, value, ttl_ms };
        let touch = |ttl_ms| Plain::Touch { key, ttl_ms };
        for (plain, asks, text) in [
            (Plain::Value { key }, Asked::Value, "*2 $3 GET $5 p:key "),
            (
                Plain::Get { key },
                Asked::Entry,
                "*2 $3 GET $5 p:key *2 $4 PTTL $5 p:key ",
            ),
            (set(None), Asked::Stored, "*3 $3 SET $5 p:key $0  "),
            (
                set(Some(ms(10))),
                Asked::Stored,
                "*5 $3 SET $5 p:key $0  $2 PX $2 10 ",
            ),
            (touch(ms(7)), Asked::Whether, "*3 $7 PEXPIRE $5 p:key $1 7 "),
            (
                touch(NonZeroU64::MAX),
                Asked::Whether,
                "*3 $7 PEXPIRE $5 p:key $16 1125899906842624 ",
            ),
            (
                Plain::Destroy { key },
                Asked::Whether,
                "*2 $6 UNLINK $5 p:key ",
            ),
        ] {
            assert_eq!(asked(plain), (asks, format!("before {text}")));
        }
    }

    /// What is said, in one line.
    fn shown(said: &Said<'_>) -> String {
        let text = |value| String::from_utf8(Vec::from(value)).unwrap();
        match said {
            Said::Value(value) => format!("value {:?}", value.map(text)),
            Said::Entry(None) => "no entry".to_owned(),
            Said::Entry(Some(found)) => {
                assert_eq!(found.seq, version(found.value));
                format!("entry {} {:?}", text(found.value), found.ttl_ms)
            }
            Said::Stored => "stored".to_owned(),
            Said::Whether(is_so) => is_so.to_string(),
            Said::Failed(error) => error.to_string(),
            Said::Else => "else".to_owned(),
        }
    }

    #[test]
    fn a_reply_is_read_when_it_is_whole_and_not_before() {
        for (asked, text, said) in [
            (
                Asked::Value,
                "$5\r\na\r\nb!\r\n",
                "value Some(\"a\\r\\nb!\")",
            ),
            (Asked::Value, "$0\r\n\r\n", "value Some(\"\")"),
            (Asked::Value, "$-1\r\n", "value None"),
            (Asked::Value, "-WRONGTYPE no\r\n", "WRONGTYPE no"),
            (Asked::Stored, "+OK\r\n", "stored"),
            (Asked::Stored, "-OOM no\r\n", "the store is full: no"),
            (Asked::Stored, "-READONLY no\r\n", "else"),
            (Asked::Whether, ":1\r\n", "true"),
            (Asked::Whether, ":0\r\n", "false"),
            (Asked::Entry, "$1\r\nv\r\n:-1\r\n", "entry v None"),
            (Asked::Entry, "$1\r\nv\r\n:70\r\n", "entry v Some(70)"),
            (Asked::Entry, "$1\r\nv\r\n:-2\r\n", "no entry"),
            (Asked::Entry, "$-1\r\n:-2\r\n", "no entry"),
            (Asked::Entry, "$-1\r\n:70\r\n", "no entry"),
            (Asked::Entry, "-ERR one\r\n-ERR two\r\n", "ERR one"),
            (Asked::Entry, "$1\r\nv\r\n-ERR two\r\n", "ERR two"),
        ] {
            let bytes = text.as_bytes();
            for cut in 0..bytes.len() {
                let read = read(asked, &bytes[..cut]);
                assert!(matches!(read, Ok(None)), "{text:?} to {cut}: {read:?}");
            }
            let more = [bytes, b"$1\r\n"].concat();
            let (len, read) = read(asked, &more).unwrap().expect("it is whole");
            assert_eq!(
                (len, shown(&read).as_str()),
                (bytes.len(), said),
                "{text:?}"
            );
        }
    }

    #[test]
    fn what_is_no_reply_is_found_out() {
        let endless = vec![b'x'; LINE];
        for bytes in [
            &b"\r\n"[..],
            b"?\r\n",
            b"+OK\n",
            b"$x\r\n",
            b"$-2\r\n",
            b"$99999999999999999999\r\n",
            b":\r\n",
            b"*1\r\n",
            b"$1\r\nv!!",
            b"+OK\r\n",
            &endless,
        ] {
            let shown = bytes[..bytes.len().min(20)].escape_ascii();
            assert!(read(Asked::Value, bytes).is_err(), "{shown}");
        }
        assert!(read(Asked::Stored, b":1\r\n").is_err());
        assert!(read(Asked::Entry, b":1\r\n:1\r\n").is_err());
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_or_refused(bytes in proptest::collection::vec(
            prop_oneof![Just(b'$'), Just(b':'), Just(b'\r'), Just(b'\n'), Just(b'1'), any::<u8>()],
            0..64,
        )) {
            for asked in [Asked::Value, Asked::Entry, Asked::Stored, Asked::Whether] {
                if let Ok(Some((len, _))) = read(asked, &bytes) {
                    prop_assert!((1..=bytes.len()).contains(&len));
                }
            }
        }

        #[test]
        fn numbers_are_written_as_they_are_read(number: u64) {
            let mut digits = [0; 20];
            let text = number.to_string();
            prop_assert_eq!(decimal(number, &mut digits), text.as_bytes());
        }
    }

    #[tokio::test]
    async fn connections_are_current_from_their_offer_until_one_is_lost_or_they_are_withdrawn() {
        let fast = Fast::default();
        let told = std::sync::Arc::new(AtomicU64::new(0));
        let counted = std::sync::Arc::clone(&told);
        fast.wake_with(std::sync::Arc::new(move || {
            counted.fetch_add(1, Ordering::Relaxed);
        }));
        let streams = || vec![std::os::unix::net::UnixStream::pair().unwrap().0.into()];
        let first = fast.offer(streams());
        let second = fast.offer(streams());
        assert!(first < second && fast.is_current(second) && !fast.is_current(first));
        assert_eq!(fast.take().map(|taken| taken.number), Some(second));
        assert!(fast.take().is_none(), "they are taken once");
        fast.lost(first);
        assert!(fast.is_current(second), "those are lost already");
        fast.lost(second);
        assert!(!fast.is_current(second));
        let third = fast.offer(streams());
        fast.withdraw();
        fast.withdraw();
        assert!(!fast.is_current(third) && fast.take().is_none());
        assert_eq!(told.load(Ordering::Relaxed), 4, "three offers and one end");
    }
}
