//! JSON Lines: an entry as an object on a line.
//!
//! `key` and `value` are strings; bytes that are no UTF-8 stand in base 16 under `key_hex` and
//! `value_hex`, so that nothing is ever changed on its way. `seq` is the number of the write,
//! `expires_at_ms` the deadline in Unix milliseconds, missing where there is none. `ttl_ms`, what
//! is left of it, is for who looks at a store: it is written where time is at hand, and passed
//! over by the reader, who does not know when it was. Empty lines are passed over too; any other
//! name is an error, for a misspelt deadline must not become none.

use std::borrow::Cow;
use std::io::{self, BufRead, Read, Write};

use serde::{Deserialize, Serialize};

use super::{MAX_KEY, MAX_VALUE, ReadError, Record, RecordRef, Result};
use crate::contract::{Kind, Seq};
use crate::time::Millis;

/// The longest line: every byte of the largest entry written as `\u0000`, and what is around.
const MAX_LINE: u64 = 6 * (MAX_KEY + MAX_VALUE) + (4 << 10);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_hex: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_hex: Option<Cow<'a, str>>,
    #[serde(default)]
    seq: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at_ms: Option<u64>,
}

/// Writes a record as a line; `ttl_ms` is what is left at present, where that is worth saying.
pub(crate) fn write(
    out: &mut impl Write,
    record: &RecordRef<'_>,
    ttl_ms: Option<u64>,
) -> io::Result<()> {
    let (key, key_hex) = text_or_hex(record.key);
    let (value, value_hex) = text_or_hex(record.value);
    let line = Line {
        key,
        key_hex,
        value,
        value_hex,
        seq: record.seq.0,
        ttl_ms,
        expires_at_ms: record.deadline.map(Millis::as_unix),
    };
    serde_json::to_writer(&mut *out, &line)?;
    out.write_all(b"\n")
}

/// Bytes as text, or in base 16 where they are none.
pub(crate) type Text<'a> = Option<Cow<'a, str>>;

/// The text, or else its bytes in base 16.
pub(crate) fn text_or_hex(bytes: &[u8]) -> (Text<'_>, Text<'_>) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (Some(text.into()), None),
        Err(_) => (None, Some(hex(bytes).into())),
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Reads lines.
pub(crate) struct Reader<R> {
    input: R,
    /// Bytes read so far.
    at: u64,
}

impl<R: BufRead> Reader<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, at: 0 }
    }

    /// The next record; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Record>> {
        loop {
            let (start, mut line) = (self.at, Vec::new());
            let read = (&mut self.input)
                .take(MAX_LINE)
                .read_until(b'\n', &mut line);
            self.at += line.len() as u64;
            read.map_err(|source| ReadError::Io {
                at: self.at,
                source,
            })?;
            if line.is_empty() {
                return Ok(None);
            }
            if line.len() as u64 == MAX_LINE {
                let expected = format!("a line of less than {MAX_LINE} bytes");
                return Err(ReadError::damaged(start, expected));
            }
            if !line.trim_ascii().is_empty() {
                return record(start, &line).map(Some);
            }
        }
    }
}

fn record(start: u64, line: &[u8]) -> Result<Record> {
    let line: Line<'_> = serde_json::from_slice(line).map_err(|error| {
        let at = start + (error.column() as u64).saturating_sub(1);
        let why = error.to_string();
        // The position that it adds is one in this line.
        let why = why.split(" at line ").next().unwrap_or(&why);
        ReadError::damaged(at, format!("an entry as JSON ({why})"))
    })?;
    let expected = |what: &str| ReadError::damaged(start, format!("an entry with {what}"));
    let either = |text: Text<'_>, hex: Text<'_>, name: &str| match (text, hex) {
        (Some(text), None) => Ok(text.into_owned().into_bytes()),
        (None, Some(hex)) => unhex(&hex).ok_or_else(|| expected(&format!("{name}_hex in base 16"))),
        _ => Err(expected(&format!("either {name} or {name}_hex"))),
    };
    if line.ttl_ms.is_some() && line.expires_at_ms.is_none() {
        return Err(expected("expires_at_ms beside ttl_ms"));
    }
    let key = either(line.key, line.key_hex, "key")?;
    if key.len() as u64 > MAX_KEY {
        return Err(expected(&format!("a key of at most {MAX_KEY} bytes")));
    }
    let value = either(line.value, line.value_hex, "value")?;
    if value.len() as u64 > MAX_VALUE {
        return Err(expected(&format!("a value of at most {MAX_VALUE} bytes")));
    }
    Ok(Record {
        key,
        value,
        deadline: line.expires_at_ms.map(Millis::from_unix),
        seq: Seq(line.seq),
        kind: Kind::Bytes,
        database: 0,
    })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let pairs = text.as_bytes().chunks(2);
    let bytes = pairs.map(|pair| match pair {
        [high, low] => u8::try_from(digit(high)? * 16 + digit(low)?).ok(),
        _ => None,
    });
    bytes.collect()
}
