//! Entries in a file: the format, its writer and its reader.
//!
//! A [`Record`] is an entry with an absolute deadline. [`Writer`] writes records in one of two
//! [`Format`]s, [`Reader`] tells them apart by the first byte, and [`Replacement`] puts a file in
//! another's place whole or not at all. Who walks over a store, and who writes into one, is not
//! decided here: `cluster` does it for a store in this process, `cli` over a connection.
//!
//! Whatever a reader is given, it gives only records that are sound, says at which byte it was
//! stopped and what it expected there, and takes no more memory than there are bytes.
//!
//! # The binary format, version 1
//!
//! All numbers are little-endian; a checksum is the CRC-32 of zlib and Ethernet. The header has 24
//! bytes, of which the first twelve are the same in all versions:
//!
//! | at | bytes | |
//! |---:|---:|---|
//! | 0 | 8 | `89 4D 53 43 44 0D 0A 1A`: no text begins so, and a transfer that changes line ends or the eighth bit is noticed |
//! | 8 | 4 | the version, 1 |
//! | 12 | 8 | when writing began, Unix milliseconds |
//! | 20 | 4 | checksum of the bytes before |
//!
//! Then a record for each entry, in no particular order. A key may come twice if it was written
//! while the dump was; the later record counts.
//!
//! | at | bytes | |
//! |---:|---:|---|
//! | 0 | 1 | the kind: 0, plain bytes; 1, a hash of the Redis dialect |
//! | 1 | 1 | the number of the database, below 16 |
//! | 2 | 2 | bytes of the key |
//! | 4 | 4 | bytes of the value, at most 512 MiB |
//! | 8 | 8 | the deadline, Unix milliseconds; all bits set: never |
//! | 16 | 8 | the number of the write that made it, for information |
//! | 24 | 4 | checksum of the bytes before |
//! | 28 | | the key, then the value |
//! | | 4 | checksum of the whole record before, these 28 bytes included |
//!
//! Last a trailer, which is as long as the head of a record, and nothing after it. A file without
//! one was cut short.
//!
//! | at | bytes | |
//! |---:|---:|---|
//! | 0 | 1 | the kind: 255 |
//! | 1 | 7 | 0 |
//! | 8 | 8 | how many records there are |
//! | 16 | 4 | checksum of the checksums at the records' ends, one after the other |
//! | 20 | 4 | 0 |
//! | 24 | 4 | checksum of the bytes before |
//!
//! A version that changes anything but by new kinds has another number. A kind that a reader does
//! not know ends its reading: half a store is not what was asked for.
//!
//! # JSON Lines
//!
//! An object per line, for eyes and other programs, as [`lines`] describes. There is no trailer,
//! so it is not noticed if whole lines are missing at the end. Only plain bytes of the first
//! database have lines.

mod binary;
mod file;
pub(crate) mod lines;
#[cfg(test)]
mod tests;

use std::io::{self, BufRead, BufReader, Read, Write};

pub(crate) use file::{Replacement, open};

use crate::config::Limits;
use crate::contract::{Expiry, Kind, Seq};
use crate::error::Error;
use crate::time::Millis;

/// An entry in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
    /// When it stops being visible, by the wall clock; `None` never.
    pub(crate) deadline: Option<Millis>,
    /// The number that it had in the store it comes from.
    pub(crate) seq: Seq,
    pub(crate) kind: Kind,
    /// The number of the database that it was in.
    pub(crate) database: u8,
}

/// The same, borrowed from a store.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecordRef<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) value: &'a [u8],
    pub(crate) deadline: Option<Millis>,
    pub(crate) seq: Seq,
    pub(crate) kind: Kind,
    pub(crate) database: u8,
}

/// How entries stand in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub(crate) enum Format {
    /// Compact and checksummed
    Binary,
    /// A JSON object per line
    #[cfg_attr(
        not(any(feature = "cli", test)),
        expect(dead_code, reason = "only a command asks for it")
    )]
    Jsonl,
}

/// Why reading stopped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// What was read is not as it was written, or is something else.
    #[error("expected {expected} at byte {at}")]
    Damaged { at: u64, expected: String },
    /// It could not be read.
    #[error("reading failed at byte {at}")]
    Io {
        at: u64,
        #[source]
        source: io::Error,
    },
}

/// A result of reading.
pub(crate) type Result<T, E = ReadError> = std::result::Result<T, E>;

impl ReadError {
    fn damaged(at: u64, expected: impl Into<String>) -> Self {
        Self::Damaged {
            at,
            expected: expected.into(),
        }
    }

    /// The same, of the file with this name.
    pub(crate) fn of(self, name: &str) -> Error {
        match self {
            Self::Damaged { at, expected } => Error::Damaged {
                name: name.to_owned(),
                at,
                expected,
            },
            Self::Io { at, source } => Error::io(format!("read {name} at byte {at}"))(source),
        }
    }
}

/// Writes records in one of the formats.
pub(crate) enum Writer<W> {
    Binary(binary::Writer<W>),
    Jsonl { out: W, is_empty: bool },
}

impl<W: Write> Writer<W> {
    /// Begins at `now`, by the wall clock. Every record is several writes: `out` should buffer.
    pub(crate) fn new(format: Format, out: W, now: Millis) -> io::Result<Self> {
        Ok(match format {
            Format::Binary => Self::Binary(binary::Writer::new(out, now)?),
            Format::Jsonl => Self::Jsonl {
                out,
                is_empty: true,
            },
        })
    }

    /// Writes a record.
    ///
    /// # Errors
    /// Those of the output; [`io::ErrorKind::InvalidInput`] for what no store can hold.
    pub(crate) fn write(&mut self, record: &RecordRef<'_>) -> io::Result<()> {
        match self {
            Self::Binary(writer) => writer.write(record),
            Self::Jsonl { out, is_empty } => {
                *is_empty = false;
                lines::write(out, record, None)
            }
        }
    }

    /// Ends what was written, and gives the output back. Without this, no reader takes it.
    pub(crate) fn finish(self) -> io::Result<W> {
        match self {
            Self::Binary(writer) => writer.finish(),
            Self::Jsonl { mut out, is_empty } => {
                if is_empty {
                    // Nothing at all would be a file that was cut short.
                    out.write_all(b"\n")?;
                }
                out.flush()?;
                Ok(out)
            }
        }
    }
}

/// Reads the records of a file in either format, up to its end or the first error.
pub(crate) struct Reader<R> {
    source: Source<R>,
    is_over: bool,
}

enum Source<R> {
    Binary(binary::Reader<R>),
    Jsonl(lines::Reader<R>),
}

impl<R: Read> Reader<BufReader<R>> {
    /// Looks at the beginning.
    pub(crate) fn new(input: R) -> Result<Self> {
        let mut input = BufReader::with_capacity(64 << 10, input);
        let first = input.fill_buf();
        let first = first.map_err(|source| ReadError::Io { at: 0, source })?;
        let source = match first.first() {
            Some(first) if *first == binary::MAGIC[0] => {
                Source::Binary(binary::Reader::new(input)?)
            }
            Some(b'{' | b' ' | b'\t' | b'\r' | b'\n') => Source::Jsonl(lines::Reader::new(input)),
            Some(_) => return Err(ReadError::damaged(0, "a dump, binary or JSON Lines")),
            None => return Err(ReadError::damaged(0, "a dump, and it is empty")),
        };
        Ok(Self {
            source,
            is_over: false,
        })
    }
}

impl<R: BufRead> Reader<R> {
    /// When it was written, by the clock of its writer, where the format says so.
    pub(crate) fn written(&self) -> Option<Millis> {
        match &self.source {
            Source::Binary(reader) => Some(reader.written()),
            Source::Jsonl(_) => None,
        }
    }

    /// What an entry of this file with this deadline has left at `now`; `None` if that is nothing.
    ///
    /// A clock that stands before the time of writing is wrong: a board without a battery has not
    /// yet learned the time. Deadlines are then counted as if no time had passed since.
    pub(crate) fn left(&self, now: Millis, deadline: Option<Millis>) -> Option<Expiry> {
        let now = self.written().map_or(now, |written| now.max(written));
        match deadline {
            None => Some(Expiry::Never),
            Some(deadline) if deadline <= now => None,
            Some(deadline) => Some(Expiry::AfterMs(deadline.as_unix() - now.as_unix())),
        }
    }
}

impl<R: BufRead> Iterator for Reader<R> {
    type Item = Result<Record>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let next = match &mut self.source {
            Source::Binary(reader) => reader.next(),
            Source::Jsonl(reader) => reader.next(),
        };
        self.is_over = !matches!(next, Ok(Some(_)));
        next.transpose()
    }
}

/// The longest value in a file.
const MAX_VALUE: u64 = Limits::MAX_VALUE_CEILING as u64;
/// The longest key in a file.
const MAX_KEY: u64 = Limits::MAX_KEY_CEILING as u64;
