//! The format of logs and manifests: records, each in fragments that do not cross blocks.
//!
//! A write that was cut off leaves a torn end, which counts for nothing. What is wrong before
//! something that is right is damage, and is told.

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

/// What is at a place of a log.
enum Fragment<'a> {
    Some {
        kind: u8,
        data: &'a [u8],
    },
    /// Nothing more in this block.
    BlockEnd,
    /// The file ends here, or in the middle of the fragment.
    FileEnd,
    /// Not what a log has; how many bytes it would take if its length is right.
    Wrong {
        length: usize,
    },
}

fn fragment(bytes: &[u8], at: usize) -> Fragment<'_> {
    let in_block = BLOCK - at % BLOCK;
    if in_block < HEADER {
        return Fragment::BlockEnd;
    }
    let rest = &bytes[at.min(bytes.len())..];
    let Some((header, rest)) = rest.split_at_checked(HEADER) else {
        return Fragment::FileEnd;
    };
    let length = usize::from(u16::from_le_bytes([header[4], header[5]]));
    let kind = header[6];
    if header == [0; HEADER] {
        // Space that was made before it was written to.
        return Fragment::BlockEnd;
    }
    if HEADER + length > in_block {
        return Fragment::Wrong { length: 0 };
    }
    let Some(data) = rest.get(..length) else {
        return Fragment::FileEnd;
    };
    let is_right = header[..4] == checksum(kind, data).to_le_bytes();
    if is_right && (FULL..=LAST).contains(&kind) {
        Fragment::Some { kind, data }
    } else {
        Fragment::Wrong {
            length: HEADER + length,
        }
    }
}

/// Whether a fragment that is right is to be found where one would be after what is wrong at `at`.
fn goes_on_after(bytes: &[u8], at: usize, length: usize) -> bool {
    let is_there = |at| matches!(fragment(bytes, at), Fragment::Some { .. });
    let next_block = at - at % BLOCK + BLOCK;
    (length > 0 && is_there(at + length)) || (next_block..bytes.len()).step_by(BLOCK).any(is_there)
}

/// Gives all records of a log to `take`, until it fails.
///
/// # Errors
/// What `take` says, or what is damaged.
pub(super) fn records(
    bytes: &[u8],
    mut take: impl FnMut(&[u8]) -> Result<(), &'static str>,
) -> Result<(), &'static str> {
    let (mut at, mut begun) = (0, None::<Vec<u8>>);
    while at < bytes.len() {
        match fragment(bytes, at) {
            Fragment::BlockEnd => at = at - at % BLOCK + BLOCK,
            Fragment::Wrong { length } if goes_on_after(bytes, at, length) => {
                return Err("a record has a wrong checksum");
            }
            Fragment::FileEnd | Fragment::Wrong { .. } => break,
            Fragment::Some { kind, data } => {
                at += HEADER + data.len();
                let mut before = begun.take();
                if matches!(kind, FULL | FIRST) {
                    // Some versions of LevelDB have begun a record at the end of a block, and then
                    // again in the next one.
                    before = before.filter(|before| !before.is_empty());
                }
                match (kind, before) {
                    (FULL, None) => take(data)?,
                    (FIRST, None) => begun = Some(data.to_vec()),
                    (MIDDLE, Some(mut record)) => {
                        record.extend_from_slice(data);
                        begun = Some(record);
                    }
                    (LAST, Some(mut record)) => {
                        record.extend_from_slice(data);
                        take(&record)?;
                    }
                    _ => return Err("a part of a record is missing"),
                }
            }
        }
    }
    Ok(())
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

    fn read(bytes: &[u8]) -> Result<Vec<Vec<u8>>, &'static str> {
        let mut read = Vec::new();
        records(bytes, |record| {
            read.push(record.to_vec());
            Ok(())
        })?;
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

    proptest! {
        #[test]
        fn any_bytes_are_read_to_an_end(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
        }
    }
}
