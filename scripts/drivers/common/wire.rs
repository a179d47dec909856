//! What a request and its reply look like in each dialect, reduced to what a closed loop needs.
//!
//! A [`Exchange`] is made once per measurement; the loops only patch keys and ids into a ready
//! [`Batch`] and follow the [`Replies`], in the same way for every dialect, so that the client
//! costs every peer the same. All replies of an exchange have one length; a reply that is longer,
//! shorter or begins differently is found out and ends the run.

use std::borrow::Cow;

use memstore_cluster::contract::Seq;
use memstore_cluster::protocol::frame::HEADER_LEN;
use memstore_cluster::protocol::message::Entry;
use memstore_cluster::protocol::{Reply, codec};

use super::dialect::{Ask, Dialect};
use super::keys::{self, DIGITS, PREFIX};

/// How many keys there are where nothing else is said.
pub(crate) const KEYS: usize = 10_000;
/// Seconds until a written entry expires: none does during a run.
pub(crate) const TTL_SECONDS: u64 = 3600;

/// A key that only ever stands in a template.
const TEMPLATE_KEY: &[u8; keys::KEY] = b"sess:ffffffffffffffffffffffffffffffff";
/// Where a native header has the request id.
const ID_AT: usize = 4;

/// What is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Op {
    Get,
    Set,
    Touch,
}

impl Dialect {
    /// One operation with this value, as bytes.
    pub(crate) fn exchange(self, op: Op, value: &[u8]) -> Exchange {
        let mut request = Vec::new();
        let key = TEMPLATE_KEY.as_slice();
        let ask = match op {
            Op::Get => Ask::Get { key },
            Op::Set => Ask::Set {
                key,
                value,
                ttl_ms: TTL_SECONDS * 1_000,
            },
            Op::Touch => Ask::Touch {
                key,
                ttl_ms: TTL_SECONDS * 1_000,
            },
        };
        self.write(&mut request, 0, ask);
        match self {
            Self::Native => native(request, op, value),
            Self::Resp => resp(request, op, value),
            Self::Memcached => memcached(request, op, value),
        }
    }
}

/// The bytes of one operation and what is known of the reply.
pub(crate) struct Exchange {
    request: Vec<u8>,
    key_at: usize,
    has_id: bool,
    head: Vec<u8>,
    reply_len: usize,
    value_at: usize,
}

impl Exchange {
    fn new(request: Vec<u8>, has_id: bool, head: Vec<u8>, reply_len: usize) -> Self {
        let key_at = request
            .windows(TEMPLATE_KEY.len())
            .position(|window| window == TEMPLATE_KEY)
            .expect("every request names its key");
        Self {
            request,
            key_at: key_at + PREFIX.len(),
            has_id,
            value_at: head.len(),
            head,
            reply_len,
        }
    }

    /// Bytes of the reply.
    pub(crate) fn reply_len(&self) -> usize {
        self.reply_len
    }

    /// The part of a whole reply from where the value begins.
    pub(crate) fn value_in<'a>(&self, reply: &'a [u8]) -> &'a [u8] {
        &reply[self.value_at..]
    }

    /// `depth` requests to be sent at once.
    pub(crate) fn batch(&self, depth: usize) -> Batch {
        Batch {
            bytes: self.request.repeat(depth),
            stride: self.request.len(),
            key_at: self.key_at,
            has_id: self.has_id,
        }
    }

    /// Follows the replies of one connection.
    pub(crate) fn replies(&self) -> Replies {
        Replies {
            head: self.head.clone(),
            len: self.reply_len,
            offset: 0,
            id: self.has_id.then_some(0),
        }
    }
}

fn native(request: Vec<u8>, op: Op, value: &[u8]) -> Exchange {
    let seq = Seq(1);
    let mut reply = Vec::new();
    match op {
        Op::Get => {
            let entry = Entry {
                seq,
                ttl_ms: Some(1),
                value: Cow::Borrowed(value),
            };
            codec::write_reply(&mut reply, 0, &Reply::Entry(entry));
        }
        Op::Set => codec::write_reply(&mut reply, 0, &Reply::Stored { seq }),
        Op::Touch => codec::write_reply(&mut reply, 0, &Reply::Done),
    }
    let (head, len) = (reply[..HEADER_LEN].to_vec(), reply.len());
    let mut exchange = Exchange::new(request, true, head, len);
    if op == Op::Get {
        exchange.value_at = len - value.len();
    }
    exchange
}

fn resp(request: Vec<u8>, op: Op, value: &[u8]) -> Exchange {
    let (head, body) = match op {
        Op::Get => (format!("${}\r\n", value.len()), value.len() + 2),
        Op::Set => ("+OK\r\n".to_owned(), 0),
        Op::Touch => (":1\r\n".to_owned(), 0),
    };
    let len = head.len() + body;
    Exchange::new(request, false, head.into_bytes(), len)
}

fn memcached(request: Vec<u8>, op: Op, value: &[u8]) -> Exchange {
    match op {
        Op::Get => {
            let key = String::from_utf8_lossy(TEMPLATE_KEY);
            let head = format!("VALUE {key} 0 {}\r\n", value.len());
            let len = head.len() + value.len() + b"\r\nEND\r\n".len();
            let mut exchange = Exchange::new(request, false, b"VALUE sess:".to_vec(), len);
            exchange.value_at = head.len();
            exchange
        }
        Op::Set | Op::Touch => {
            let head: &[u8] = match op {
                Op::Touch => b"TOUCHED\r\n",
                _ => b"STORED\r\n",
            };
            Exchange::new(request, false, head.to_vec(), head.len())
        }
    }
}

/// Requests that go out in one write.
pub(crate) struct Batch {
    bytes: Vec<u8>,
    stride: usize,
    key_at: usize,
    has_id: bool,
}

impl Batch {
    /// How many requests it holds.
    pub(crate) fn depth(&self) -> usize {
        self.bytes.len() / self.stride
    }

    /// The bytes as they are.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes, with fresh keys, and ids from `id` on (which is advanced).
    pub(crate) fn fill(&mut self, keys: &mut Keys, id: &mut u32) -> &[u8] {
        for request in self.bytes.chunks_exact_mut(self.stride) {
            request[self.key_at..][..DIGITS].copy_from_slice(keys.next());
            if self.has_id {
                request[ID_AT..][..4].copy_from_slice(&id.to_le_bytes());
            }
            *id = id.wrapping_add(1);
        }
        &self.bytes
    }
}

/// The replies of one connection, checked as their bytes arrive.
pub(crate) struct Replies {
    head: Vec<u8>,
    len: usize,
    offset: usize,
    id: Option<u32>,
}

impl Replies {
    /// Takes bytes that arrived and says how many replies they complete.
    ///
    /// # Errors
    /// The bytes where a reply does not begin as it must.
    pub(crate) fn take<'a>(&mut self, mut chunk: &'a [u8]) -> Result<usize, Unexpected<'a>> {
        let mut complete = 0;
        while !chunk.is_empty() {
            if let Some(head) = self.head.get(self.offset..) {
                let common = head.len().min(chunk.len());
                if chunk[..common] != head[..common] {
                    return Err(Unexpected(chunk));
                }
            }
            let part = chunk.len().min(self.len - self.offset);
            chunk = &chunk[part..];
            self.offset += part;
            if self.offset == self.len {
                self.offset = 0;
                complete += 1;
                if let Some(id) = &mut self.id {
                    *id = id.wrapping_add(1);
                    self.head[ID_AT..][..4].copy_from_slice(&id.to_le_bytes());
                }
            }
        }
        Ok(complete)
    }
}

/// Bytes that are not the reply that was to come.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("an unexpected reply: {}", self.0[..self.0.len().min(120)].escape_ascii())]
pub(crate) struct Unexpected<'a>(&'a [u8]);

/// The keys, in random or in their own order.
pub(crate) struct Keys {
    digits: Vec<[u8; DIGITS]>,
    order: Order,
}

/// Which key is next.
pub(crate) enum Order {
    /// Each after the one before.
    Sequential(usize),
    /// Any; holds the state of a xorshift generator, never zero.
    Random(u64),
}

impl Keys {
    /// So many keys, the same in every run, in this order.
    pub(crate) fn new(count: usize, order: Order) -> Self {
        let digits = (1..=count as u64).map(|n| {
            let mut digits = [0; DIGITS];
            digits.copy_from_slice(&keys::key(n)[PREFIX.len()..]);
            digits
        });
        Self {
            digits: digits.collect(),
            order,
        }
    }

    fn next(&mut self) -> &[u8; DIGITS] {
        let index = match &mut self.order {
            Order::Sequential(next) => {
                *next += 1;
                *next - 1
            }
            Order::Random(state) => {
                *state ^= *state << 13;
                *state ^= *state >> 7;
                *state ^= *state << 17;
                usize::try_from(*state >> 33).expect("31 bits fit")
            }
        };
        &self.digits[index % self.digits.len()]
    }
}
