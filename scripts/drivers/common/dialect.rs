//! What a store is asked, as the bytes of each dialect. Pure; [`super::answers`] reads what comes
//! back.

use memstore_cluster::contract::{Condition, Expiry};
use memstore_cluster::protocol::message::{Hello, Set};
use memstore_cluster::protocol::{Request, codec, frame};

/// What a server speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Dialect {
    Native,
    Resp,
    Memcached,
}

/// What every store can do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ask<'a> {
    Get {
        key: &'a [u8],
    },
    Set {
        key: &'a [u8],
        value: &'a [u8],
        ttl_ms: u64,
    },
    Touch {
        key: &'a [u8],
        ttl_ms: u64,
    },
    Destroy {
        key: &'a [u8],
    },
    Clear,
}

impl Dialect {
    /// Appends a request. Only native ones have an id. Memcached counts lifetimes in seconds, and
    /// gets the next whole one.
    pub(crate) fn write(self, out: &mut Vec<u8>, id: u32, ask: Ask<'_>) {
        match self {
            Self::Native => codec::write_request(out, id, &native(ask)),
            Self::Resp => resp(out, ask),
            Self::Memcached => memcached(out, ask),
        }
    }

    /// What a connection starts with, if anything. It has one answer.
    pub(crate) fn greeting(self) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        let hello = Hello {
            min_version: frame::VERSION,
            max_version: frame::VERSION,
            pid: std::process::id(),
        };
        codec::write_request(&mut bytes, 0, &Request::Hello(hello));
        (self == Self::Native).then_some(bytes)
    }
}

fn native(ask: Ask<'_>) -> Request<'_> {
    match ask {
        Ask::Get { key } => Request::Get { key },
        Ask::Set { key, value, ttl_ms } => Request::Set(Set {
            expiry: Expiry::AfterMs(ttl_ms),
            condition: Condition::Always,
            key,
            value,
        }),
        Ask::Touch { key, ttl_ms } => Request::Touch {
            key,
            expiry: Expiry::AfterMs(ttl_ms),
        },
        Ask::Destroy { key } => Request::Destroy { key },
        Ask::Clear => Request::Clear,
    }
}

fn resp(out: &mut Vec<u8>, ask: Ask<'_>) {
    match ask {
        Ask::Get { key } => words(out, &[b"GET", key]),
        Ask::Set { key, value, ttl_ms } => {
            words(
                out,
                &[b"SET", key, value, b"PX", ttl_ms.to_string().as_bytes()],
            );
        }
        Ask::Touch { key, ttl_ms } => {
            words(out, &[b"PEXPIRE", key, ttl_ms.to_string().as_bytes()]);
        }
        Ask::Destroy { key } => words(out, &[b"DEL", key]),
        Ask::Clear => words(out, &[b"FLUSHALL", b"SYNC"]),
    }
}

/// Appends a command of RESP.
pub(crate) fn words(out: &mut Vec<u8>, words: &[&[u8]]) {
    out.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

fn memcached(out: &mut Vec<u8>, ask: Ask<'_>) {
    match ask {
        Ask::Get { key } => line(out, &[b"get", key]),
        Ask::Set { key, value, ttl_ms } => {
            let (ttl, len) = (seconds(ttl_ms), value.len().to_string());
            line(out, &[b"set", key, b"0", ttl.as_bytes(), len.as_bytes()]);
            line(out, &[value]);
        }
        Ask::Touch { key, ttl_ms } => line(out, &[b"touch", key, seconds(ttl_ms).as_bytes()]),
        Ask::Destroy { key } => line(out, &[b"delete", key]),
        Ask::Clear => line(out, &[b"flush_all"]),
    }
}

fn seconds(ttl_ms: u64) -> String {
    ttl_ms.div_ceil(1_000).to_string()
}

fn line(out: &mut Vec<u8>, words: &[&[u8]]) {
    out.extend_from_slice(&words.join(&b' '));
    out.extend_from_slice(b"\r\n");
}
