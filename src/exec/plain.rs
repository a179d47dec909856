//! Plain requests: which of them a store's server can be asked as they are, and the replies to them.
//!
//! For the [fast path](crate::backend::fast_path). Whoever takes it has no session at hand; what it
//! needs of one is its [`Manner`]. What is read here means the same as [`execute`](super::execute)
//! and the commands of the Redis dialect make of it, and what is not read is left to them.

use std::borrow::Cow;
use std::num::NonZeroU64;
use std::sync::Arc;

use super::redis::plain::{self, Seen, Word};
use super::redis::write_error;
use crate::backend::fast_path::{Plain, Said};
use crate::config::Limits;
use crate::contract::{Condition, Expiry, Seq};
use crate::protocol::message::{Entry, Set};
use crate::protocol::resp::{Args, Protocol, Writer};
use crate::protocol::{Reply, Request, codec, frame};

/// Longer than these milliseconds nothing plain lasts.
const LONGEST_MS: u64 = 1 << 50;

/// How plain requests of a connection are read and answered, while nothing else is to be minded.
#[derive(Debug, Clone)]
pub(crate) enum Manner {
    /// In the native dialect.
    Native,
    /// In Redis's.
    Redis {
        /// What the peer has chosen.
        protocol: Protocol,
        /// Where others see what it does.
        seen: Arc<Seen>,
    },
}

/// How a request is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// In the native dialect, under its number.
    Native {
        id: u32,
        /// The version that it writes, if it does.
        written: Option<Seq>,
    },
    /// In Redis's.
    Redis(Protocol),
}

/// The request at the front of some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct First<'r> {
    pub(crate) plain: Plain<'r>,
    pub(crate) form: Form,
    /// Bytes that it has.
    pub(crate) len: usize,
    /// The command, in Redis's dialect.
    pub(crate) word: Option<Word>,
}

/// The request at the front of these bytes, if it is whole and plain. `version` gives the number of
/// the version that holds a value.
pub(crate) fn first<'r>(
    manner: &Manner,
    bytes: &'r [u8],
    args: &'r mut Args,
    limits: &Limits,
    version: impl Fn(&[u8]) -> Seq,
) -> Option<First<'r>> {
    let first = match manner {
        Manner::Native => native(bytes, limits, version)?,
        Manner::Redis { protocol, .. } => {
            let (word, plain, len) = plain::first(bytes, args, limits)?;
            First {
                plain,
                form: Form::Redis(*protocol),
                len,
                word: Some(word),
            }
        }
    };
    is_accepted(&first.plain, limits).then_some(first)
}

fn native<'r>(
    bytes: &'r [u8],
    limits: &Limits,
    version: impl Fn(&[u8]) -> Seq,
) -> Option<First<'r>> {
    let frame = frame::split(bytes, limits.max_body()).ok()??;
    let mut written = None;
    let plain = match codec::read_request(frame).ok()? {
        Request::Get { key } => Plain::Get { key },
        Request::Set(Set {
            expiry,
            condition: Condition::Always,
            key,
            value,
        }) => {
            let ttl_ms = match expiry {
                Expiry::Never => None,
                Expiry::AfterMs(ms) => Some(lasting(ms)?),
                Expiry::Keep => return None,
            };
            written = Some(version(value));
            Plain::Set { key, value, ttl_ms }
        }
        Request::Touch {
            key,
            expiry: Expiry::AfterMs(ms),
        } => Plain::Touch {
            key,
            ttl_ms: lasting(ms)?,
        },
        Request::Destroy { key } => Plain::Destroy { key },
        _ => return None,
    };
    let id = frame.header.id;
    Some(First {
        plain,
        form: Form::Native { id, written },
        len: frame.wire_len(),
        word: None,
    })
}

/// A time that is neither over at once nor longer than everybody takes.
pub(super) fn lasting(ms: u64) -> Option<NonZeroU64> {
    NonZeroU64::new(ms).filter(|ms| ms.get() <= LONGEST_MS)
}

/// Whether nothing in it is longer than what is accepted.
fn is_accepted(plain: &Plain<'_>, limits: &Limits) -> bool {
    match *plain {
        Plain::Set { key, value, .. } => {
            key.len() <= limits.max_key && value.len() <= limits.max_value
        }
        Plain::Value { .. } | Plain::Get { .. } | Plain::Touch { .. } | Plain::Destroy { .. } => {
            true
        }
    }
}

/// Appends the reply, unless it is not one to such a request.
pub(crate) fn answer(form: Form, said: &Said<'_>, out: &mut Vec<u8>) -> bool {
    match form {
        Form::Native { id, written } => {
            let reply = match (said, written) {
                (Said::Entry(Some(found)), _) => Reply::Entry(Entry {
                    seq: found.seq,
                    ttl_ms: found.ttl_ms,
                    value: Cow::Borrowed(found.value),
                }),
                (Said::Stored, Some(seq)) => Reply::Stored { seq },
                (Said::Whether(true), _) => Reply::Done,
                (Said::Entry(None) | Said::Whether(false), _) => Reply::Missing,
                (Said::Failed(error), _) => Reply::Error(error.clone().into()),
                _ => return false,
            };
            codec::write_reply(out, id, &reply);
        }
        Form::Redis(protocol) => {
            let mut writer = Writer::new(out, protocol);
            match said {
                Said::Value(Some(value)) => writer.bulk(value),
                Said::Value(None) => writer.null(),
                Said::Stored => writer.simple("OK"),
                Said::Whether(is_so) => writer.integer((*is_so).into()),
                Said::Failed(error) => write_error(error.clone(), out),
                Said::Entry(_) | Said::Else => return false,
            }
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::BackendError;
    use crate::backend::fast_path::Found;

    fn read<'r>(manner: &Manner, bytes: &'r [u8], args: &'r mut Args) -> Option<First<'r>> {
        let limits = Limits {
            max_key: 4,
            max_value: 5,
            ..Limits::default()
        };
        first(
            manner,
            bytes,
            args,
            &limits,
            |value| Seq(value.len() as u64),
        )
    }

    fn wire(request: &Request<'_>) -> Vec<u8> {
        let mut bytes = Vec::new();
        codec::write_request(&mut bytes, 7, request);
        bytes
    }

    fn set<'a>(key: &'a [u8], value: &'a [u8], expiry: Expiry, condition: Condition) -> Vec<u8> {
        wire(&Request::Set(Set {
            expiry,
            condition,
            key,
            value,
        }))
    }

    #[test]
    fn native_requests_are_plain_where_the_server_does_the_same() {
        let mut args = Args::default();
        let ms = |ms| NonZeroU64::new(ms).unwrap();
        let (key, value) = (&b"k"[..], &b"val"[..]);
        let always = Condition::Always;
        let in_5_ms = Expiry::AfterMs(5);
        for (bytes, plain) in [
            (wire(&Request::Get { key }), Plain::Get { key }),
            (wire(&Request::Destroy { key }), Plain::Destroy { key }),
            (
                wire(&Request::Touch {
                    key,
                    expiry: in_5_ms,
                }),
                Plain::Touch { key, ttl_ms: ms(5) },
            ),
            (
                set(key, value, Expiry::Never, always),
                Plain::Set {
                    key,
                    value,
                    ttl_ms: None,
                },
            ),
            (
                set(key, value, in_5_ms, always),
                Plain::Set {
                    key,
                    value,
                    ttl_ms: Some(ms(5)),
                },
            ),
        ] {
            let both = [&bytes[..], b"rest"].concat();
            let first = read(&Manner::Native, &both, &mut args).expect("it is plain");
            assert_eq!((first.plain, first.len), (plain, bytes.len()));
            let is_write = matches!(plain, Plain::Set { .. });
            let written = is_write.then_some(Seq(3));
            assert_eq!(first.form, Form::Native { id: 7, written });
            assert!(read(&Manner::Native, &bytes[..bytes.len() - 1], &mut args).is_none());
        }
        for bytes in [
            wire(&Request::Ping),
            wire(&Request::Length),
            wire(&Request::Touch {
                key,
                expiry: Expiry::Never,
            }),
            set(key, value, Expiry::Keep, always),
            set(key, value, Expiry::AfterMs(0), always),
            set(key, value, Expiry::AfterMs(u64::MAX), always),
            set(key, value, in_5_ms, Condition::IfAbsent),
            set(b"toolong", value, in_5_ms, always),
            set(key, b"too long", in_5_ms, always),
        ] {
            assert_eq!(read(&Manner::Native, &bytes, &mut args), None);
        }
    }

    #[test]
    fn what_the_server_says_is_said_in_the_dialect_of_who_asked() {
        let said = |form, said: Said<'_>| {
            let mut out = Vec::new();
            answer(form, &said, &mut out).then_some(out)
        };
        let native = |written| Form::Native { id: 7, written };
        let reply = |reply: &Reply<'_>| {
            let mut out = Vec::new();
            codec::write_reply(&mut out, 7, reply);
            Some(out)
        };
        let found = Found {
            value: b"val",
            ttl_ms: Some(9),
            seq: Seq(3),
        };
        let entry = Entry {
            seq: Seq(3),
            ttl_ms: Some(9),
            value: b"val".as_slice().into(),
        };
        let got = said(native(None), Said::Entry(Some(found)));
        assert_eq!(got, reply(&Reply::Entry(entry)));
        assert_eq!(
            said(native(None), Said::Entry(None)),
            reply(&Reply::Missing)
        );
        let stored = said(native(Some(Seq(4))), Said::Stored);
        assert_eq!(stored, reply(&Reply::Stored { seq: Seq(4) }));
        for (is_so, other) in [(true, Reply::Done), (false, Reply::Missing)] {
            assert_eq!(said(native(None), Said::Whether(is_so)), reply(&other));
        }
        for (protocol, null) in [(Protocol::Resp2, "$-1\r\n"), (Protocol::Resp3, "_\r\n")] {
            let form = Form::Redis(protocol);
            for (what, text) in [
                (Said::Value(Some(b"val")), "$3\r\nval\r\n"),
                (Said::Value(None), null),
                (Said::Stored, "+OK\r\n"),
                (Said::Whether(true), ":1\r\n"),
                (Said::Whether(false), ":0\r\n"),
            ] {
                assert_eq!(said(form, what).as_deref(), Some(text.as_bytes()));
            }
            assert_eq!(said(form, Said::Else), None);
        }
        assert_eq!(said(native(None), Said::Else), None);
        let error = BackendError::Failed("WRONGTYPE no".to_owned());
        let failed = said(native(None), Said::Failed(error.clone()));
        assert_eq!(failed, reply(&Reply::Error(error.clone().into())));
        let failed = said(Form::Redis(Protocol::Resp3), Said::Failed(error));
        assert_eq!(failed.as_deref(), Some(&b"-WRONGTYPE no\r\n"[..]));
    }
}
