//! The answers of one connection, read from its bytes in whatever pieces they arrive.
//!
//! Pure. An answer that is no success in its dialect, or that nobody can make sense of, is an
//! error. Answers of any size are followed without being kept: `KEYS` over a million keys is one.

use std::borrow::Cow;
use std::ops::Range;
use std::str::FromStr;

use memstore_cluster::protocol::{Reply, codec, frame};

use super::dialect::Dialect;

/// The largest native body that may come: the default of `--max-value`, and then some.
const MAX_BODY: usize = 16 << 20;

/// What came back.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer<'a> {
    /// It is done.
    Done,
    /// There is no such entry.
    Missing,
    /// A value. Of several (a RESP array) the first; of a memcached `stats` all lines.
    Value(Cow<'a, [u8]>),
    /// Some of all entries, and where the next page starts; zero where this was the last.
    Page { next: u64 },
}

/// Bytes that are no answer, or an answer that says no.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server answered: {0}")]
pub(crate) struct Refused(String);

impl Refused {
    fn new(bytes: &[u8]) -> Self {
        Self(bytes[..bytes.len().min(120)].escape_ascii().to_string())
    }
}

/// Reads the answers.
pub(crate) struct Answers {
    dialect: Dialect,
    input: Vec<u8>,
    /// How much of `input` belongs to answers that were given.
    at: usize,
    /// Elements of a RESP array that are still to come.
    missing: u64,
    /// The first string of the array that is under way; empty before it is there.
    first: Option<Vec<u8>>,
}

impl Answers {
    pub(crate) fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            input: Vec::new(),
            at: 0,
            missing: 0,
            first: None,
        }
    }

    /// Takes bytes that arrived.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.input.drain(..self.at);
        self.at = 0;
        self.input.extend_from_slice(bytes);
    }

    /// Bytes that are kept because what they belong to is not all there.
    pub(crate) fn pending(&self) -> usize {
        self.input.len() - self.at
    }

    /// The next answer, if all of it is there.
    ///
    /// # Errors
    /// The answer says no, or is none.
    pub(crate) fn next(&mut self) -> Result<Option<Answer<'_>>, Refused> {
        match self.dialect {
            Dialect::Native => self.native(),
            Dialect::Resp => self.resp(),
            Dialect::Memcached => self.memcached(),
        }
    }

    fn native(&mut self) -> Result<Option<Answer<'_>>, Refused> {
        let rest = &self.input[self.at..];
        let frame = frame::split(rest, MAX_BODY).map_err(|error| Refused(error.to_string()))?;
        let Some(frame) = frame else {
            return Ok(None);
        };
        self.at += frame.wire_len();
        match codec::read_reply(frame).map_err(|error| Refused(error.to_string()))? {
            Reply::Missing => Ok(Some(Answer::Missing)),
            Reply::Entry(entry) => Ok(Some(Answer::Value(entry.value))),
            Reply::Page(page) => Ok(Some(Answer::Page { next: page.next })),
            Reply::Welcome(_) | Reply::Stored { .. } | Reply::Done | Reply::Pong => {
                Ok(Some(Answer::Done))
            }
            Reply::Error(failure) => Err(Refused(failure.message.into_owned())),
            other => Err(Refused(other.name().to_owned())),
        }
    }

    fn resp(&mut self) -> Result<Option<Answer<'_>>, Refused> {
        loop {
            let Some((element, len)) = element(&self.input[self.at..])? else {
                return Ok(None);
            };
            let start = self.at;
            self.at += len;
            self.missing = self.missing.saturating_sub(1);
            match (&element, &mut self.first) {
                (Element::Array(count), first) => {
                    self.missing += count;
                    first.get_or_insert_default();
                }
                (Element::Bulk(range), Some(first)) if first.is_empty() => {
                    first.extend_from_slice(&self.input[start..][range.clone()]);
                }
                _ => {}
            }
            if self.missing > 0 {
                continue;
            }
            if let Some(first) = self.first.take() {
                return Ok(Some(Answer::Value(first.into())));
            }
            return Ok(Some(match element {
                Element::Bulk(range) => Answer::Value(self.input[start..][range].into()),
                Element::Nothing => Answer::Missing,
                Element::Simple | Element::Array(_) => Answer::Done,
            }));
        }
    }

    fn memcached(&mut self) -> Result<Option<Answer<'_>>, Refused> {
        let rest = &self.input[self.at..];
        let Some(line) = first_line(rest) else {
            return Ok(None);
        };
        let len = line.len() + 2;
        let mut words = line.split(|byte| *byte == b' ');
        let (value, total) = match words.next() {
            Some(b"STORED" | b"TOUCHED" | b"DELETED" | b"OK") => {
                self.at += len;
                return Ok(Some(Answer::Done));
            }
            Some(b"NOT_FOUND" | b"END") => {
                self.at += len;
                return Ok(Some(Answer::Missing));
            }
            Some(b"STAT") => {
                let end = rest.windows(7).position(|window| window == b"\r\nEND\r\n");
                let Some(end) = end else { return Ok(None) };
                (0..end, end + 7)
            }
            Some(b"VALUE") => {
                let size = words.nth(2).and_then(number::<usize>);
                let end = len + size.ok_or_else(|| Refused::new(line))?;
                match rest.get(end..end + 7) {
                    Some(b"\r\nEND\r\n") => (len..end, end + 7),
                    Some(_) => return Err(Refused::new(line)),
                    None => return Ok(None),
                }
            }
            _ => return Err(Refused::new(line)),
        };
        let value = &self.input[self.at..][value];
        self.at += total;
        Ok(Some(Answer::Value(Cow::Borrowed(value))))
    }
}

/// An element of RESP: an answer, or a part of one.
enum Element {
    /// So many elements are to follow.
    Array(u64),
    /// These bytes of it are a string.
    Bulk(Range<usize>),
    /// A null or a zero.
    Nothing,
    /// A word or a number.
    Simple,
}

/// The first element, and its length.
fn element(bytes: &[u8]) -> Result<Option<(Element, usize)>, Refused> {
    let Some(line) = first_line(bytes) else {
        return Ok(None);
    };
    let refused = || Refused::new(line);
    let (kind, text) = line.split_first().ok_or_else(refused)?;
    let number = || number::<i64>(text).ok_or_else(refused);
    let len = line.len() + 2;
    let element = match kind {
        b':' if number()? == 0 => Element::Nothing,
        b'+' | b':' => Element::Simple,
        b'$' | b'*' if number()? == -1 => Element::Nothing,
        b'*' => Element::Array(u64::try_from(number()?).map_err(|_| refused())?),
        b'$' => {
            let end = len + usize::try_from(number()?).map_err(|_| refused())?;
            return Ok((bytes.len() >= end + 2).then_some((Element::Bulk(len..end), end + 2)));
        }
        _ => return Err(refused()),
    };
    Ok(Some((element, len)))
}

fn number<T: FromStr>(text: &[u8]) -> Option<T> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// The first line, without its end.
fn first_line(bytes: &[u8]) -> Option<&[u8]> {
    let end = bytes.windows(2).position(|window| window == b"\r\n")?;
    Some(&bytes[..end])
}
