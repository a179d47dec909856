//! What stands in the file of an entry: JSON that session-file-store reads as a session.
//!
//! A value that is a JSON object stands there byte by byte, and behind its last member two of ours:
//!
//! ```text
//! {"cookie":{"originalMaxAge":3600000},"user":7,"__lastAccess":1700000000000,"__memstore":{"seq":9,"birth":4,"deadline":1700003600001,"sum":305419896}}
//! ```
//!
//! `__lastAccess` is what session-file-store has: there a session has expired when that and
//! `cookie.originalMaxAge`, or else the store's `ttl`, make less than now. Here it is chosen so that
//! this comes out at the deadline; without one it is the last time that JavaScript has.
//! `__memstore` is ours:
//!
//! | member | |
//! |---|---|
//! | `seq` | the version of the entry |
//! | `birth` | the version that its key came to be with: its place in walks |
//! | `deadline` | in milliseconds since 1970, or null |
//! | `kind` | `"hash"` where the value is one |
//! | `text` | the value, where it is text but no JSON object |
//! | `hex` | the value where it is neither, two digits for each byte |
//! | `key` | the key where the name of the file has it not, in the same way |
//! | `sum` | CRC-32 of everything in the file before this member; always the last one |
//!
//! session-file-store keeps `__memstore` as it keeps every member that it does not know. Whatever it
//! writes has another sum, and by that is known to be its own: then the value is the file without
//! both members, the deadline is what it would say, and the version is a new one. Pure.

use std::borrow::Cow;
use std::fmt;
use std::io::Write as _;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::name::{hex, unhex};
use crate::backend::session::Cookie;
use crate::contract::{Kind, Seq};
use crate::time::Millis;

const ACCESS: &str = "__lastAccess";
const OURS: &str = "__memstore";
const BEGIN: &[u8] = b"\"__lastAccess\":";
const SUM: &[u8] = b",\"sum\":";
/// The last time of JavaScript, in milliseconds since 1970: such a session never expires.
const LAST: i64 = 8_640_000_000_000_000;

/// An entry as its file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stored<'a> {
    pub(super) value: Cow<'a, [u8]>,
    pub(super) kind: Kind,
    pub(super) deadline: Option<Millis>,
    /// `None` where the other side has written it.
    pub(super) seq: Option<Seq>,
    pub(super) birth: Option<u64>,
    /// The key, where the file has it.
    pub(super) key: Option<Vec<u8>>,
}

/// The member `__memstore`.
#[derive(Debug, Default, Deserialize)]
struct Ours {
    seq: u64,
    birth: u64,
    deadline: Option<u64>,
    kind: Option<String>,
    text: Option<String>,
    hex: Option<String>,
    key: Option<String>,
}

/// The members of ours, as an object of their own.
#[derive(Deserialize)]
struct Tail {
    #[serde(rename = "__memstore")]
    ours: Ours,
}

impl Ours {
    /// The value that is not beside it.
    fn value(&self) -> Option<Vec<u8>> {
        match (&self.text, &self.hex) {
            (Some(text), _) => Some(text.as_bytes().to_vec()),
            (_, Some(hex)) => unhex(hex),
            _ => None,
        }
    }

    fn kind(&self) -> Kind {
        match self.kind.as_deref() {
            Some("hash") => Kind::Hash,
            _ => Kind::Bytes,
        }
    }

    fn key(&self) -> Option<Vec<u8>> {
        unhex(self.key.as_deref()?)
    }
}

/// The members of a JSON object in their order, as they are written.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;

        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(name) = map.next_key::<Name<'de>>()? {
                    members.push((name.0, map.next_value()?));
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Collect)
    }
}

#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> Members<'a> {
    fn of(bytes: &'a [u8]) -> Option<Self> {
        serde_json::from_str(std::str::from_utf8(bytes).ok()?).ok()
    }

    /// The last one of this name, as in JavaScript.
    fn get(&self, name: &str) -> Option<&'a RawValue> {
        let mut members = self.0.iter().rev();
        members
            .find(|(other, _)| other == name)
            .map(|(_, value)| *value)
    }

    /// How long such a session lives, in milliseconds.
    fn ttl(&self, otherwise: f64) -> f64 {
        let cookie = self.get("cookie").and_then(Cookie::read);
        let age = cookie.and_then(|cookie| cookie.original_max_age());
        age.filter(|age| *age != 0.0).unwrap_or(otherwise)
    }
}

/// The bytes of a file; `ttl` is that of the store, in milliseconds.
pub(super) fn encode(stored: &Stored<'_>, ttl: f64) -> Vec<u8> {
    let value = &stored.value;
    let is_object = stored.kind == Kind::Bytes && value.starts_with(b"{") && value.ends_with(b"}");
    let members = is_object.then(|| Members::of(value)).flatten();
    let mut bytes = Vec::with_capacity(value.len() + 160);
    match &members {
        None => bytes.push(b'{'),
        Some(members) => {
            bytes.extend_from_slice(&value[..value.len() - 1]);
            if !members.0.is_empty() {
                bytes.push(b',');
            }
        }
    }
    let ttl = members.as_ref().map_or(ttl, |members| members.ttl(ttl));
    let access = stored.deadline.map_or(LAST, |at| last_access(at, ttl));
    let mut put = |text: fmt::Arguments<'_>| {
        bytes
            .write_fmt(text)
            .expect("a vector takes what is written");
    };
    let seq = stored.seq.unwrap_or_default();
    let birth = stored.birth.unwrap_or(seq.0);
    put(format_args!(
        "\"{ACCESS}\":{access},\"{OURS}\":{{\"seq\":{seq},\"birth\":{birth},\"deadline\":"
    ));
    match stored.deadline {
        Some(at) => put(format_args!("{}", at.as_unix())),
        None => put(format_args!("null")),
    }
    if stored.kind == Kind::Hash {
        put(format_args!(",\"kind\":\"hash\""));
    }
    if members.is_none() {
        match std::str::from_utf8(value) {
            Ok(text) => put(format_args!(",\"text\":{}", serde_json::Value::from(text))),
            Err(_) => put(format_args!(",\"hex\":\"{}\"", hex(value))),
        }
    }
    if let Some(key) = &stored.key {
        put(format_args!(",\"key\":\"{}\"", hex(key)));
    }
    let sum = crc32fast::hash(&bytes);
    bytes.extend_from_slice(SUM);
    bytes.extend_from_slice(sum.to_string().as_bytes());
    bytes.extend_from_slice(b"}}");
    bytes
}

/// What a file says; `None` where it is no JSON object.
pub(super) fn decode(bytes: &[u8], ttl: f64) -> Option<Stored<'_>> {
    decode_ours(bytes).or_else(|| decode_theirs(bytes, ttl))
}

/// Where `wanted` begins for the last time.
fn last(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .rposition(|window| window == wanted)
}

fn decode_ours(bytes: &[u8]) -> Option<Stored<'_>> {
    let sum_at = last(bytes, SUM)?;
    let sum = bytes[sum_at + SUM.len()..].strip_suffix(b"}}")?;
    let sum: u32 = std::str::from_utf8(sum).ok()?.parse().ok()?;
    if crc32fast::hash(&bytes[..sum_at]) != sum {
        return None;
    }
    let begin = last(&bytes[..sum_at], BEGIN)?;
    let (before, ours) = bytes.split_at(begin);
    let ours = [b"{", ours].concat();
    let Tail { ours } = serde_json::from_slice(&ours).ok()?;
    let value = ours.value().unwrap_or_else(|| {
        let before = before.strip_suffix(b",").unwrap_or(before);
        [before, b"}"].concat()
    });
    Some(Stored {
        value: value.into(),
        kind: ours.kind(),
        deadline: ours.deadline.map(Millis::from_unix),
        seq: Some(Seq(ours.seq)),
        birth: Some(ours.birth),
        key: ours.key(),
    })
}

fn decode_theirs(bytes: &[u8], ttl: f64) -> Option<Stored<'_>> {
    let members = Members::of(bytes)?;
    let ours: Option<Ours> = members
        .get(OURS)
        .and_then(|ours| serde_json::from_str(ours.get()).ok());
    let access: Option<f64> = members
        .get(ACCESS)
        .and_then(|access| serde_json::from_str(access.get()).ok());
    let mut value = vec![b'{'];
    let others = members.0.iter();
    for (name, member) in others.filter(|(name, _)| name != ACCESS && name != OURS) {
        if value.len() > 1 {
            value.push(b',');
        }
        value.extend_from_slice(serde_json::Value::from(&**name).to_string().as_bytes());
        value.push(b':');
        value.extend_from_slice(member.get().as_bytes());
    }
    value.push(b'}');
    // A value that is no object has stayed what it was, if nothing was put beside it.
    let kept = ours.as_ref().filter(|_| value == b"{}");
    let kept = kept.and_then(|ours| Some((ours.value()?, ours.kind())));
    let (value, kind) = kept.unwrap_or((value, Kind::Bytes));
    Some(Stored {
        value: value.into(),
        kind,
        deadline: access.and_then(|access| deadline(access, members.ttl(ttl))),
        seq: None,
        birth: ours.as_ref().map(|ours| ours.birth),
        key: ours.as_ref().and_then(Ours::key),
    })
}

/// The deadline of a session that was last used then. It lives on while both make not less than
/// now: one millisecond longer than their sum.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "what is out of range is a time that is never reached"
)]
fn deadline(access: f64, ttl: f64) -> Option<Millis> {
    if access >= LAST as f64 {
        return None;
    }
    Some(Millis::from_unix((access + ttl).floor() as u64).after_ms(1))
}

/// When a session with this deadline would have been used last.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "what is out of range is a time that is never reached"
)]
fn last_access(at: Millis, ttl: f64) -> i64 {
    let access = at.as_unix() as f64 - ttl.floor() - 1.0;
    (access as i64).clamp(-LAST, LAST)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TTL: f64 = 3_600_000.0;

    fn ours(value: &[u8]) -> Stored<'_> {
        Stored {
            value: value.into(),
            kind: Kind::Bytes,
            deadline: Some(Millis::from_unix(1_700_000_000_000)),
            seq: Some(Seq(9)),
            birth: Some(4),
            key: None,
        }
    }

    fn text(stored: &Stored<'_>) -> String {
        String::from_utf8(encode(stored, TTL)).unwrap()
    }

    #[test]
    fn a_session_stands_there_as_it_is() {
        let session = br#"{"cookie":{"originalMaxAge":60000},"user":7}"#;
        assert_eq!(
            text(&ours(session)),
            concat!(
                r#"{"cookie":{"originalMaxAge":60000},"user":7,"__lastAccess":1699999939999,"#,
                r#""__memstore":{"seq":9,"birth":4,"deadline":1700000000000,"sum":3880663687}}"#
            )
        );
    }

    #[test]
    fn every_value_is_read_as_it_was_written() {
        for value in [
            &b""[..],
            b"{}",
            b"{ }",
            b"{} ",
            b"{",
            b"{\"a\":1}",
            b"{\"a\":1 }",
            b"[1]",
            b"null",
            b"\xff\0",
            b"{\"__lastAccess\":1,\"__memstore\":{\"sum\":1}}",
            b"\"}}\"",
            b"{\"a\":\"\xff\"}",
            b"{\"a\":,}",
            b"{\"sum\":12}}",
            b"a \"quoted\" text",
        ] {
            for deadline in [None, Some(Millis::ZERO), Some(Millis::MAX)] {
                for (kind, key) in [(Kind::Bytes, None), (Kind::Hash, Some(vec![0, 0xff]))] {
                    let stored = Stored {
                        kind,
                        deadline,
                        key,
                        ..ours(value)
                    };
                    let bytes = encode(&stored, TTL);
                    assert!(Members::of(&bytes).is_some(), "it is JSON");
                    assert_eq!(decode(&bytes, TTL), Some(stored));
                }
            }
        }
    }

    #[test]
    fn what_the_other_side_has_written_is_told_by_its_sum() {
        let file = br#"{"__lastAccess":1000,"cookie":{"originalMaxAge":50.5}, "a":[1, 2] }"#;
        let theirs = decode(file, TTL).unwrap();
        assert_eq!(
            &*theirs.value,
            br#"{"cookie":{"originalMaxAge":50.5},"a":[1, 2]}"#
        );
        assert_eq!(theirs.deadline, Some(Millis::from_unix(1_051)));
        assert_eq!((theirs.seq, theirs.birth), (None, None));

        let ours = text(&ours(br#"{"a":1}"#));
        let changed = ours.replace(":1,", ":2,");
        let theirs = decode(changed.as_bytes(), TTL).unwrap();
        assert_eq!(&*theirs.value, br#"{"a":2}"#);
        assert_eq!((theirs.seq, theirs.birth), (None, Some(4)));
        let later = ours.replace("1699996399999", "1699996400000");
        let theirs = decode(later.as_bytes(), TTL).unwrap();
        assert_eq!(theirs.deadline, Some(Millis::from_unix(1_700_000_000_001)));
    }

    #[test]
    fn deadlines_are_those_of_session_file_store() {
        for (file, deadline) in [
            (r#"{"__lastAccess":1000}"#, Some(3_601_001)),
            (
                r#"{"__lastAccess":1000,"cookie":{"originalMaxAge":null}}"#,
                Some(3_601_001),
            ),
            (
                r#"{"__lastAccess":1000,"cookie":{"originalMaxAge":0}}"#,
                Some(3_601_001),
            ),
            (
                r#"{"__lastAccess":1000,"cookie":{"originalMaxAge":-5000}}"#,
                Some(1),
            ),
            (r#"{"__lastAccess":8640000000000000}"#, None),
            (r#"{"__lastAccess":"soon"}"#, None),
            ("{}", None),
        ] {
            let stored = decode(file.as_bytes(), TTL).unwrap();
            assert_eq!(stored.deadline.map(Millis::as_unix), deadline, "{file}");
        }
    }

    #[test]
    fn what_is_no_object_is_damaged() {
        for file in [&b""[..], b"{", b"[]", b"{}x", b"\xff", b"{\"a\":\"\xff\"}"] {
            assert_eq!(decode(file, TTL), None);
        }
    }

    proptest! {
        #[test]
        fn any_value_survives(value in prop::collection::vec(any::<u8>(), 0..60)) {
            let stored = ours(&value);
            let bytes = encode(&stored, TTL);
            prop_assert_eq!(decode(&bytes, TTL), Some(stored.clone()));
        }

        #[test]
        fn any_object_survives(
            names in prop::collection::vec("(cookie|__lastAccess|__memstore|sum|[a-z\"\\\\]{0,3})", 0..4)
        ) {
            let members = names.iter().map(|name| format!("{}:1", serde_json::Value::from(&**name)));
            let value = format!("{{{}}}", members.collect::<Vec<_>>().join(","));
            let stored = ours(value.as_bytes());
            let bytes = encode(&stored, TTL);
            prop_assert_eq!(decode(&bytes, TTL), Some(stored.clone()));
        }

        #[test]
        fn any_file_is_read_to_an_end(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = decode(&bytes, TTL);
        }
    }
}
