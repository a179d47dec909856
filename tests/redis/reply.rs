//! Replies as a client reads them, and how alike two have to be.

use std::fmt;

/// A reply of the Redis protocol, RESP2 or RESP3.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reply {
    /// A line, marker included: a word, an error, a number, a null.
    Line(Vec<u8>),
    /// Bytes of an announced length, and their marker.
    Bulk(u8, Vec<u8>),
    /// Replies of an announced number, and their marker.
    Many(u8, Vec<Reply>),
}

impl Reply {
    /// The reply at the front of `bytes` and its length, if it is whole.
    pub fn parse(bytes: &[u8]) -> Option<(Self, usize)> {
        let end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
        let (line, mut used) = (&bytes[..end], end + 2);
        let marker = line.first().copied().unwrap_or_default();
        let number = || String::from_utf8_lossy(&line[1..]).parse::<usize>().ok();
        let reply = match (marker, line.get(1..).and_then(|_| number())) {
            (b'$' | b'=' | b'!', Some(len)) => {
                let bulk = bytes.get(used..used + len)?;
                bytes.get(used + len + 1)?;
                used += len + 2;
                Self::Bulk(marker, bulk.to_vec())
            }
            (b'*' | b'~' | b'>' | b'%' | b'|', Some(len)) => {
                let len = if matches!(marker, b'%' | b'|') {
                    2 * len
                } else {
                    len
                };
                let mut replies = Vec::new();
                for _ in 0..len {
                    let (reply, len) = Self::parse(&bytes[used..])?;
                    replies.push(reply);
                    used += len;
                }
                Self::Many(marker, replies)
            }
            _ => Self::Line(line.to_vec()),
        };
        Some((reply, used))
    }

    /// The number of an integer reply.
    pub fn integer(&self) -> Option<i64> {
        let Self::Line(line) = self else {
            return None;
        };
        let number = line.strip_prefix(b":")?;
        std::str::from_utf8(number).ok()?.parse().ok()
    }

    /// The same in whatever order the elements came, the pairs of a map kept together.
    fn sorted(&self) -> Self {
        let Self::Many(marker, replies) = self else {
            return self.clone();
        };
        let step = if *marker == b'%' { 2 } else { 1 };
        let mut groups: Vec<Vec<Self>> = replies
            .chunks(step)
            .map(|group| group.iter().map(Self::sorted).collect())
            .collect();
        groups.sort();
        Self::Many(*marker, groups.concat())
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "{}", line.escape_ascii()),
            Self::Bulk(marker, bytes) => {
                write!(f, "{}\"{}\"", char::from(*marker), bytes.escape_ascii())
            }
            Self::Many(marker, replies) => {
                write!(f, "{}", char::from(*marker))?;
                f.debug_list().entries(replies).finish()
            }
        }
    }
}

/// How alike two replies have to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Likeness {
    /// Byte for byte.
    Exact,
    /// Integers that are not negative may differ by so much: two servers do not ask the time at
    /// the same moment.
    Close(u64),
    /// Integers above so many may differ by so much: they are times, and others are not.
    CloseAbove(u64, u64),
    /// The elements may be in another order.
    AnyOrder,
    /// Of the same types; the bytes and numbers may differ.
    Shape,
}

impl Likeness {
    /// What a command's replies need.
    pub fn of(args: &[Vec<u8>]) -> Self {
        let word = |at: usize| {
            let arg = args.get(at).map(Vec::as_slice).unwrap_or_default();
            String::from_utf8_lossy(arg).to_uppercase()
        };
        match (word(0).as_str(), word(1).as_str()) {
            ("TTL" | "EXPIRETIME", _) => Self::Close(5),
            ("PTTL" | "PEXPIRETIME", _) => Self::Close(5_000),
            ("EVAL" | "EVALSHA" | "EVAL_RO" | "EVALSHA_RO", _) => Self::CloseAbove(20_000, 5_000),
            ("HRANDFIELD", _) if args.len() == 2 => Self::Shape,
            ("KEYS" | "SCAN" | "HKEYS" | "HVALS" | "HGETALL" | "HSCAN" | "HRANDFIELD", _)
            | ("PUBSUB", "CHANNELS" | "SHARDCHANNELS") => Self::AnyOrder,
            ("TIME" | "RANDOMKEY" | "HELLO", _)
            | ("MEMORY", "USAGE")
            | ("CLIENT", "ID" | "INFO" | "LIST")
            | ("OBJECT", "IDLETIME" | "REFCOUNT") => Self::Shape,
            _ => Self::Exact,
        }
    }

    /// Whether two replies are so alike.
    pub fn holds(self, one: &Reply, other: &Reply) -> bool {
        match self {
            Self::Exact => one == other,
            Self::AnyOrder => one.sorted() == other.sorted(),
            Self::Close(by) => Self::is_close(one, other, 0, by),
            Self::CloseAbove(least, by) => Self::is_close(one, other, least, by),
            Self::Shape => Self::each(one, other, &|one, other| match (one, other) {
                (Reply::Bulk(one, _), Reply::Bulk(other, _)) => one == other,
                (Reply::Line(_), Reply::Line(_)) => {
                    one == other || (one.integer().is_some() && other.integer().is_some())
                }
                _ => false,
            }),
        }
    }

    fn is_close(one: &Reply, other: &Reply, least: u64, by: u64) -> bool {
        Self::each(one, other, &|one, other| {
            let integer = |reply: &Reply| reply.integer().and_then(|n| u64::try_from(n).ok());
            let is_close =
                |(one, other): (u64, u64)| one.min(other) >= least && one.abs_diff(other) <= by;
            one == other || integer(one).zip(integer(other)).is_some_and(is_close)
        })
    }

    fn each(one: &Reply, other: &Reply, alike: &dyn Fn(&Reply, &Reply) -> bool) -> bool {
        match (one, other) {
            (Reply::Many(marker, ones), Reply::Many(other_marker, others)) => {
                marker == other_marker
                    && ones.len() == others.len()
                    && ones
                        .iter()
                        .zip(others)
                        .all(|(one, other)| Self::each(one, other, alike))
            }
            _ => alike(one, other),
        }
    }
}
