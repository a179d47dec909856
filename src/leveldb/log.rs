//! The format of logs and manifests: records, each in fragments that do not cross blocks.
//!
//! A write that was cut off leaves a torn end, which counts for nothing. What is wrong before
//! something that is right is a [`Hole`], and is told: whoever reads knows whether the disk may have
//! left one.

use super::coding::masked;

const BLOCK: usize = 32 * 1024;
const HEADER: usize = 7;

const FULL: u8 = 1;
const FIRST: u8 = 2;
const MIDDLE: u8 = 3;
const LAST: u8 = 4;

fn checksum(kind: u8, data: &[u8]) -> u32 {
    masked(crc32c::crc32c_append(crc32c::crc32c(&[kind]), data))
}

/// The bytes of a record that is appended to a log of `at` bytes.
pub(super) fn encode(at: u64, mut record: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(record.len() + 2 * HEADER);
    let block = BLOCK as u64;
    let mut offset = usize::try_from(at % block).expect("less than a block");
    let mut is_first = true;
    loop {
        let mut left = BLOCK - offset;
        if left < HEADER {
            bytes.resize(bytes.len() + left, 0);
            offset = 0;
            left = BLOCK;
        }
        let (data, rest) = record.split_at(record.len().min(left - HEADER));
        let kind = match (is_first, rest.is_empty()) {
            (true, true) => FULL,
            (true, false) => FIRST,
            (false, false) => MIDDLE,
            (false, true) => LAST,
        };
        let length = u16::try_from(data.len()).expect("less than a block");
        bytes.extend_from_slice(&checksum(kind, data).to_le_bytes());
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.push(kind);
        bytes.extend_from_slice(data);
        offset += HEADER + data.len();
        record = rest;
        is_first = false;
        if rest.is_empty() {
            return bytes;
        }
    }
}

/// Something that is not as it was written, with something that is behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hole {
    /// Where the first record begins that cannot be read. All before it have been.
    pub(super) at: usize,
    pub(super) what: &'static str,
    /// No record begins behind it: it is one that was being written when the power went, and of
    /// which the disk had taken later parts only.
    pub(super) is_last_write: bool,
}

/// What is at a place of a log.
enum Fragment<'a> {
    Some {
        kind: u8,
        data: &'a [u8],
    },
    /// Nothing more in this block.
    BlockEnd,
    /// Not what a log has, or not all of it.
    Wrong,
}

fn fragment(bytes: &[u8], at: usize) -> Fragment<'_> {
    let in_block = BLOCK - at % BLOCK;
    if in_block < HEADER {
        return Fragment::BlockEnd;
    }
    let Some((header, rest)) = bytes[at..].split_at_checked(HEADER) else {
        return Fragment::Wrong;
    };
    let length = usize::from(u16::from_le_bytes([header[4], header[5]]));
    let kind = header[6];
    if HEADER + length > in_block || !(FULL..=LAST).contains(&kind) {
        return Fragment::Wrong;
    }
    match rest.get(..length) {
        Some(data) if header[..4] == checksum(kind, data).to_le_bytes() => {
            Fragment::Some { kind, data }
        }
        _ => Fragment::Wrong,
    }
}

fn begins(kind: u8) -> bool {
    matches!(kind, FULL | FIRST)
}

/// What is behind something wrong before `at`: `None` for nothing, or whether no record begins
/// there. Lengths before it cannot be relied on, so every byte may begin a fragment.
fn behind(bytes: &[u8], mut at: usize, is_stale: impl Fn(&[u8]) -> bool) -> Option<bool> {
    let mut found = None;
    while at < bytes.len() {
        match fragment(bytes, at) {
            Fragment::Some { kind, data } if begins(kind) => {
                if !is_stale(data) {
                    return Some(false);
                }
                at += HEADER + data.len();
            }
            Fragment::Some { data, .. } => {
                found = Some(true);
                at += HEADER + data.len();
            }
            Fragment::BlockEnd | Fragment::Wrong => at += 1,
        }
    }
    found
}

/// Gives all records of a log to `take`, until it fails. What begins so that it `is_stale` was never
/// written to this place, but is what the disk had there before.
///
/// # Errors
/// Where there is a hole, or what `take` says of a record.
pub(super) fn records(
    bytes: &[u8],
    is_stale: impl Fn(&[u8]) -> bool,
    mut take: impl FnMut(&[u8]) -> Result<(), &'static str>,
) -> Result<(), Hole> {
    let (mut at, mut begun) = (0, None::<Begun>);
    while at < bytes.len() {
        let (kind, data) = match fragment(bytes, at) {
            Fragment::BlockEnd => {
                at = at - at % BLOCK + BLOCK;
                continue;
            }
            Fragment::Some { kind, data } if !(begins(kind) && is_stale(data)) => (kind, data),
            Fragment::Some { .. } | Fragment::Wrong => {
                let from = begun.map_or(at, |begun| begun.at);
                return match behind(bytes, at + 1, is_stale) {
                    None => Ok(()),
                    Some(is_last) => Err(hole(from, "a record has a wrong checksum", is_last)),
                };
            }
        };
        let from = at;
        at += HEADER + data.len();
        let mut before = begun.take();
        if begins(kind) {
            // Some versions of LevelDB have begun a record at the end of a block, and then again in
            // the next one.
            before = before.filter(|before| !before.record.is_empty());
        }
        match (kind, before) {
            (FULL, None) => take(data).map_err(|what| hole(from, what, false))?,
            (FIRST, None) => {
                let record = data.to_vec();
                begun = Some(Begun { at: from, record });
            }
            (MIDDLE, Some(mut before)) => {
                before.record.extend_from_slice(data);
                begun = Some(before);
            }
            (LAST, Some(mut before)) => {
                before.record.extend_from_slice(data);
                take(&before.record).map_err(|what| hole(before.at, what, false))?;
            }
            (_, before) => {
                let from = before.map_or(from, |before| before.at);
                return Err(hole(from, "a part of a record is missing", false));
            }
        }
    }
    Ok(())
}

/// A part of a record, and where it begins.
struct Begun {
    at: usize,
    record: Vec<u8>,
}

fn hole(at: usize, what: &'static str, is_last_write: bool) -> Hole {
    Hole {
        at,
        what,
        is_last_write,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn log(records: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for record in records {
            bytes.extend(encode(bytes.len() as u64, record));
        }
        bytes
    }

    fn read(bytes: &[u8]) -> Result<Vec<Vec<u8>>, Hole> {
        let mut read = Vec::new();
        records(
            bytes,
            |_| false,
            |record| {
                read.push(record.to_vec());
                Ok(())
            },
        )?;
        Ok(read)
    }

    fn some_records() -> Vec<Vec<u8>> {
        // Some end just before, at and behind the end of a block.
        let lengths = [0, 1, 32_740, 13, 100_000, 32_761, 32_754, 5, 65_536, 0];
        lengths
            .iter()
            .zip(1..)
            .map(|(len, byte)| vec![byte; *len])
            .collect()
    }

    #[test]
    fn records_are_read_as_they_were_written() {
        assert_eq!(read(&log(&some_records())), Ok(some_records()));
        for len in BLOCK - 3 * HEADER..BLOCK + HEADER {
            let records = vec![vec![1; len], vec![2; 9]];
            assert_eq!(read(&log(&records)), Ok(records), "{len}");
        }
    }

    #[test]
    fn a_torn_end_counts_for_nothing() {
        let bytes = log(&some_records());
        for end in (0..bytes.len()).step_by(997) {
            let whole = read(&bytes[..end]).unwrap();
            assert_eq!(whole, some_records()[..whole.len()]);
            let mut zeros = bytes[..end].to_vec();
            zeros.resize(bytes.len(), 0);
            assert_eq!(read(&zeros), Ok(whole), "as some file systems do it");
        }
    }

    #[test]
    fn damage_before_what_is_right_is_told() {
        let bytes = log(&[vec![1; 100], vec![2; 100], vec![3; 100]]);
        let mut damaged = bytes.clone();
        damaged[150] ^= 1;
        assert!(read(&damaged).is_err());
        let last = bytes.len() - 1;
        damaged = bytes;
        damaged[last] ^= 1;
        assert_eq!(read(&damaged).unwrap().len(), 2, "the end may be torn");
        let far = log(&[vec![1; 100_000], vec![2; 10]]);
        let mut damaged = far.clone();
        damaged[40_000] ^= 1;
        assert!(read(&damaged).is_err());
        assert!(read(&far[BLOCK..]).is_err(), "the beginning is missing");
    }

    #[test]
    fn zeros_before_what_is_right_are_a_hole() {
        let bytes = log(&[vec![1; 3_000], vec![2; 3_000], vec![3; 3_000]]);
        let mut holed = bytes;
        holed[HEADER + 3_000..6_000].fill(0);
        let hole = read(&holed).unwrap_err();
        assert_eq!(
            hole.at,
            HEADER + 3_000,
            "in the block that the end is in too"
        );
        assert!(!hole.is_last_write);
    }

    #[test]
    fn the_last_write_may_have_holes() {
        let first = log(&[vec![1; 3_000]]);
        let bytes = log(&[vec![1; 3_000], vec![2; 100_000]]);
        for page in [1, 5, 9, 20] {
            let mut holed = bytes.clone();
            let at = (page * 4_096).max(first.len());
            holed[at..(page + 1) * 4_096].fill(0);
            let hole = read(&holed).unwrap_err();
            assert_eq!((hole.at, hole.is_last_write), (first.len(), true));
            holed.extend(encode(holed.len() as u64, b"more"));
            let hole = read(&holed).unwrap_err();
            assert_eq!((hole.at, hole.is_last_write), (first.len(), false));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_to_an_end(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
        }
    }
}
