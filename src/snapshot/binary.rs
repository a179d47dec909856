//! The binary format: its writer and its reader. The bytes are described in the parent.
//!
//! Nothing is taken for true before its checksum was: the lengths of a record have one of their
//! own, so that a damaged one is found at once and not gigabytes later.

use std::io::{self, Read, Write};

use crc32fast::Hasher;

use super::{MAX_VALUE, ReadError, Record, RecordRef, Result};
use crate::contract::{Kind, Seq};
use crate::time::Millis;

pub(super) const MAGIC: [u8; 8] = *b"\x89MSCD\r\n\x1a";
const VERSION: u32 = 1;

const HEADER: usize = 24;
/// The head of a record, and the trailer.
const HEAD: usize = 28;
const SUM: usize = 4;

const PLAIN: u8 = 0;
const HASH: u8 = 1;
/// Numbers of databases are below this.
const DATABASES: u8 = 16;
const TRAILER: u8 = 255;
const NEVER: u64 = u64::MAX;

/// Writes the format.
pub(crate) struct Writer<W> {
    out: W,
    count: u64,
    sums: Hasher,
}

impl<W: Write> Writer<W> {
    pub(super) fn new(mut out: W, now: Millis) -> io::Result<Self> {
        let mut header = [0; HEADER];
        header[..8].copy_from_slice(&MAGIC);
        header[8..12].copy_from_slice(&VERSION.to_le_bytes());
        header[12..20].copy_from_slice(&now.as_unix().to_le_bytes());
        seal(&mut header);
        out.write_all(&header)?;
        Ok(Self {
            out,
            count: 0,
            sums: Hasher::new(),
        })
    }

    pub(super) fn write(&mut self, record: &RecordRef<'_>) -> io::Result<()> {
        let key = u16::try_from(record.key.len()).map_err(io::Error::other)?;
        let value = u32::try_from(record.value.len()).map_err(io::Error::other)?;
        if u64::from(value) > MAX_VALUE {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let deadline = record.deadline.map_or(NEVER, Millis::as_unix);
        let mut head = [0; HEAD];
        head[0] = match record.kind {
            Kind::Bytes => PLAIN,
            Kind::Hash => HASH,
        };
        head[1] = record.database;
        head[2..4].copy_from_slice(&key.to_le_bytes());
        head[4..8].copy_from_slice(&value.to_le_bytes());
        head[8..16].copy_from_slice(&deadline.to_le_bytes());
        head[16..24].copy_from_slice(&record.seq.0.to_le_bytes());
        seal(&mut head);
        let sum = sum(&[&head, record.key, record.value]).to_le_bytes();
        for part in [&head[..], record.key, record.value, &sum] {
            self.out.write_all(part)?;
        }
        self.sums.update(&sum);
        self.count += 1;
        Ok(())
    }

    pub(super) fn finish(mut self) -> io::Result<W> {
        let mut trailer = [0; HEAD];
        trailer[0] = TRAILER;
        trailer[8..16].copy_from_slice(&self.count.to_le_bytes());
        trailer[16..20].copy_from_slice(&self.sums.finalize().to_le_bytes());
        seal(&mut trailer);
        self.out.write_all(&trailer)?;
        self.out.flush()?;
        Ok(self.out)
    }
}

/// Reads the format.
pub(crate) struct Reader<R> {
    input: R,
    /// Bytes read so far.
    at: u64,
    written: Millis,
    count: u64,
    sums: Hasher,
}

impl<R: Read> Reader<R> {
    pub(super) fn new(input: R) -> Result<Self> {
        let mut reader = Self {
            input,
            at: 0,
            written: Millis::ZERO,
            count: 0,
            sums: Hasher::new(),
        };
        let header: [u8; HEADER] = reader.array("the whole header")?;
        if header[..8] != MAGIC {
            return Err(ReadError::damaged(0, "the first bytes of a binary dump"));
        }
        let version = u32_at(&header, 8);
        if version != VERSION {
            let expected = format!("version {VERSION}, found version {version}");
            return Err(ReadError::damaged(8, expected));
        }
        check(&header, 0, "header")?;
        reader.written = Millis::from_unix(u64_at(&header, 12));
        Ok(reader)
    }

    pub(super) fn written(&self) -> Millis {
        self.written
    }

    /// The next record; `None` behind the trailer of a file that is whole.
    pub(super) fn next(&mut self) -> Result<Option<Record>> {
        let start = self.at;
        let head: [u8; HEAD] = self.array("another record or the trailer")?;
        check(&head, start, "head of a record")?;
        match head[0] {
            PLAIN => self.record(start, &head, Kind::Bytes).map(Some),
            HASH => self.record(start, &head, Kind::Hash).map(Some),
            TRAILER => self.trailer(start, &head).map(|()| None),
            kind => {
                let expected = format!("a kind of record that this version knows, found {kind}");
                Err(ReadError::damaged(start, expected))
            }
        }
    }

    fn record(&mut self, start: u64, head: &[u8; HEAD], kind: Kind) -> Result<Record> {
        let database = head[1];
        if database >= DATABASES {
            let expected = format!("a database below {DATABASES}, found {database}");
            return Err(ReadError::damaged(start + 1, expected));
        }
        let key = u16::from_le_bytes([head[2], head[3]]);
        let value = u32_at(head, 4);
        if u64::from(value) > MAX_VALUE {
            let expected = format!("a value of at most {MAX_VALUE} bytes, found {value}");
            return Err(ReadError::damaged(start + 4, expected));
        }
        let deadline = u64_at(head, 8);
        let key = self.bytes(key.into(), "the rest of a key")?;
        let value = self.bytes(value.into(), "the rest of a value")?;
        let at = self.at;
        let found: [u8; SUM] = self.array("the checksum of a record")?;
        let sum = sum(&[head, &key, &value]).to_le_bytes();
        if found != sum {
            let expected = format!(
                "the checksum {:08x} of the record that begins at byte {start}, found {:08x}",
                u32::from_le_bytes(sum),
                u32::from_le_bytes(found)
            );
            return Err(ReadError::damaged(at, expected));
        }
        self.sums.update(&sum);
        self.count += 1;
        Ok(Record {
            key,
            value,
            deadline: (deadline != NEVER).then_some(Millis::from_unix(deadline)),
            seq: Seq(u64_at(head, 16)),
            kind,
            database,
        })
    }

    fn trailer(&mut self, start: u64, trailer: &[u8; HEAD]) -> Result<()> {
        let count = u64_at(trailer, 8);
        if count != self.count {
            let expected = format!("a count of {} records, found {count}", self.count);
            return Err(ReadError::damaged(start + 8, expected));
        }
        if u32_at(trailer, 16) != self.sums.clone().finalize() {
            let expected = "the checksum of the records read, found another";
            return Err(ReadError::damaged(start + 16, expected));
        }
        match self.bytes(1, "") {
            Ok(_) => Err(ReadError::damaged(start + HEAD as u64, "the end")),
            Err(ReadError::Damaged { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N]> {
        let bytes = self.bytes(N as u64, what)?;
        Ok(bytes.try_into().expect("it gives as many as it is asked"))
    }

    /// So many bytes. Memory is taken as they come, whatever their number was said to be.
    fn bytes(&mut self, count: u64, what: &str) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let read = (&mut self.input).take(count).read_to_end(&mut bytes);
        self.at += bytes.len() as u64;
        read.map_err(|source| ReadError::Io {
            at: self.at,
            source,
        })?;
        if bytes.len() as u64 == count {
            Ok(bytes)
        } else {
            let expected = format!("{what}, found the end");
            Err(ReadError::damaged(self.at, expected))
        }
    }
}

fn sum(parts: &[&[u8]]) -> u32 {
    let mut sum = Hasher::new();
    for part in parts {
        sum.update(part);
    }
    sum.finalize()
}

/// Fills in the checksum at the end of what is before it.
fn seal(block: &mut [u8]) {
    let (body, end) = block.split_at_mut(block.len() - SUM);
    end.copy_from_slice(&sum(&[body]).to_le_bytes());
}

fn check(block: &[u8], start: u64, what: &str) -> Result<()> {
    let body = &block[..block.len() - SUM];
    let (sum, found) = (sum(&[body]), u32_at(block, body.len()));
    if sum == found {
        return Ok(());
    }
    let expected = format!(
        "the checksum {sum:08x} of the {what} that begins at byte {start}, found {found:08x}"
    );
    Err(ReadError::damaged(start + body.len() as u64, expected))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}
