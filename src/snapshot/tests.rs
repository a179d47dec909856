//! Both formats: what was written is read, and nothing else is.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const NOW: Millis = Millis::from_unix(1_700_000_000_000);

fn record(key: &[u8], value: &[u8], deadline: Option<u64>) -> Record {
    Record {
        key: key.to_vec(),
        value: value.to_vec(),
        deadline: deadline.map(Millis::from_unix),
        seq: Seq(7),
        kind: Kind::Bytes,
        database: 0,
    }
}

fn some() -> Vec<Record> {
    vec![
        record(b"sess:1", b"{\"a\":1}", Some(1_700_000_060_000)),
        record(b"", b"", None),
        record(b"\xff\x00", b"a\xfe", Some(0)),
    ]
}

fn written(format: Format, records: &[Record]) -> Vec<u8> {
    let mut writer = Writer::new(format, Vec::new(), NOW).unwrap();
    for record in records {
        let Record {
            key,
            value,
            deadline,
            seq,
            kind,
            database,
        } = record;
        let (deadline, seq, kind, database) = (*deadline, *seq, *kind, *database);
        let record = RecordRef {
            key,
            value,
            deadline,
            seq,
            kind,
            database,
        };
        writer.write(&record).unwrap();
    }
    writer.finish().unwrap()
}

fn read(bytes: &[u8]) -> Result<Vec<Record>> {
    Reader::new(bytes)?.collect()
}

/// What is sound before the first error, and where that is.
fn damage(bytes: &[u8]) -> (usize, u64, String) {
    let mut sound = 0;
    let error = match Reader::new(bytes) {
        Err(error) => error,
        Ok(mut reader) => reader
            .find_map(|record| record.map(|_| sound += 1).err())
            .expect("it is damaged"),
    };
    match error {
        ReadError::Damaged { at, expected } => (sound, at, expected),
        ReadError::Io { .. } => panic!("{error:?}"),
    }
}

prop_compose! {
    fn any_record()(
        key in vec(any::<u8>(), 0..40),
        value in prop_oneof![
            vec(any::<u8>(), 0..400),
            ".{0,40}".prop_map(String::into_bytes),
        ],
        deadline in proptest::option::of(0..u64::MAX),
        seq in any::<u64>(),
    ) -> Record {
        Record {
            key,
            value,
            deadline: deadline.map(Millis::from_unix),
            seq: Seq(seq),
            kind: Kind::Bytes,
            database: 0,
        }
    }
}

#[test]
fn a_binary_dump_knows_kinds_and_databases() {
    let mut records = some();
    (records[0].kind, records[1].database) = (Kind::Hash, 15);
    let mut bytes = written(Format::Binary, &records);
    assert_eq!(read(&bytes).unwrap(), records);
    records[1].database = 16;
    bytes = written(Format::Binary, &records);
    let (sound, _, expected) = damage(&bytes);
    assert!(sound == 1 && expected.contains("a database below 16"));
}

proptest! {
    #[test]
    fn what_was_written_is_read(records in vec(any_record(), 0..20)) {
        for format in [Format::Binary, Format::Jsonl] {
            prop_assert_eq!(&read(&written(format, &records)).unwrap(), &records);
        }
    }

    #[test]
    fn no_bytes_make_a_reader_panic(
        bytes in vec(any::<u8>(), 0..300),
        prefix in 0..4_usize,
    ) {
        // Behind what is sound, so that more than the first look is tried.
        let whole = written(Format::Binary, &some());
        let prefix = match prefix {
            0 => &whole[..0],
            1 => &whole[..24],
            2 => &b"{\"key\":"[..],
            _ => &whole[..whole.len() - 28],
        };
        let mixed = [prefix, &bytes].concat();
        if let Ok(reader) = Reader::new(&mixed[..]) {
            for record in reader {
                if record.is_err() {
                    break;
                }
            }
        }
    }

    #[test]
    fn every_other_byte_is_noticed(
        records in vec(any_record(), 0..5),
        at in any::<prop::sample::Index>(),
        other in 1..=255_u8,
    ) {
        let mut bytes = written(Format::Binary, &records);
        let at = at.index(bytes.len());
        bytes[at] ^= other;
        prop_assert!(read(&bytes).is_err(), "byte {} became {}", at, bytes[at]);
    }
}

#[test]
fn the_bytes_are_those_of_the_description() {
    let bytes = written(
        Format::Binary,
        &[record(b"k", b"va", Some(0x0102_0304_0506_0708))],
    );
    let expected = [
        // The header.
        &b"\x89MSCD\r\n\x1a"[..],
        &[1, 0, 0, 0],
        &[0, 0x68, 0xe5, 0xcf, 0x8b, 1, 0, 0],
        &crc32fast::hash(&bytes[..20]).to_le_bytes(),
        // A record.
        &[0, 0, 1, 0, 2, 0, 0, 0],
        &[8, 7, 6, 5, 4, 3, 2, 1],
        &[7, 0, 0, 0, 0, 0, 0, 0],
        &crc32fast::hash(&bytes[24..48]).to_le_bytes(),
        b"kva",
        &crc32fast::hash(&bytes[24..55]).to_le_bytes(),
        // The trailer.
        &[255, 0, 0, 0, 0, 0, 0, 0],
        &[1, 0, 0, 0, 0, 0, 0, 0],
        &crc32fast::hash(&bytes[55..59]).to_le_bytes(),
        &[0; 4],
        &crc32fast::hash(&bytes[59..83]).to_le_bytes(),
    ]
    .concat();
    assert_eq!(bytes, expected);
}

#[test]
fn every_truncation_and_every_flipped_bit_is_noticed() {
    let bytes = written(Format::Binary, &some());
    for end in 0..bytes.len() {
        let (_, at, expected) = damage(&bytes[..end]);
        assert_eq!(at, end as u64, "cut at {end}: {expected}");
    }
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1 << bit;
            assert!(read(&bytes).is_err(), "bit {bit} of byte {at}");
        }
    }
}

#[test]
fn records_that_are_missing_twice_there_or_from_elsewhere_are_noticed() {
    let whole = written(Format::Binary, &some());
    let first = 24..24 + 32 + 6 + 7;
    let missing = [&whole[..24], &whole[first.end..]].concat();
    assert!(damage(&missing).2.starts_with("a count of 2"));
    let twice = [&whole[..first.end], &whole[first.start..]].concat();
    assert!(damage(&twice).2.starts_with("a count of 4"));
    let other = written(Format::Binary, &[record(b"sess:1", b"{\"a\":2}", None)]);
    let exchanged = [&whole[..24], &other[first.clone()], &whole[first.end..]].concat();
    assert!(damage(&exchanged).2.starts_with("the checksum of the rec"));
    let more = [&whole[..], b"x"].concat();
    assert_eq!(damage(&more), (3, whole.len() as u64, "the end".to_owned()));
}

#[test]
fn an_error_says_where_and_what_was_expected() {
    let whole = written(Format::Binary, &some());
    for (bytes, sound, at, expected) in [
        (&b""[..], 0, 0, "a dump, and it is empty"),
        (b"GIF89a", 0, 0, "a dump, binary or JSON Lines"),
        (b"\x89PNG\r\n\x1a\n----------------", 0, 0, "the first byt"),
        (&whole[..20], 0, 20, "the whole header, found the end"),
        (&whole[..60], 0, 60, "the rest of a value, found the end"),
        (
            &whole[..whole.len() - 28],
            3,
            whole.len() as u64 - 28,
            "another record or the trailer, found the end",
        ),
        (
            b"{\"key\":\"a\",\"value\":1}",
            0,
            19,
            "an entry as JSON (inv",
        ),
        (
            b"\n{\"key\":\"a\",\"value\":\"b\"}\n{\"key\":\"a\"}",
            1,
            25,
            "an entry with either value or value_hex",
        ),
        (
            b"{\"key\":\"a\",\"key_hex\":\"61\",\"value\":\"\"}",
            0,
            0,
            "an entry with either key or key_hex",
        ),
        (
            b"{\"key_hex\":\"6\",\"value\":\"\"}",
            0,
            0,
            "an entry with key_hex in base 16",
        ),
        (
            b"{\"key\":\"a\",\"value\":\"\",\"ttl_ms\":1}",
            0,
            0,
            "an entry with expires_at_ms beside ttl_ms",
        ),
        (
            b"{\"key\":\"a\",\"value\":\"\",\"expires\":1}",
            0,
            30,
            "an entry as JSON (unknown field `expires`",
        ),
        (b"{\"key\":\"a\",\"val", 0, 14, "an entry as JSON (EOF"),
    ] {
        let found = damage(bytes);
        let text = String::from_utf8_lossy(bytes);
        assert_eq!((found.0, found.1), (sound, at), "{text}: {}", found.2);
        assert!(found.2.starts_with(expected), "{text}: {}", found.2);
    }
    let mut newer = whole.clone();
    newer[8] = 2;
    let expected = "version 1, found version 2".to_owned();
    assert_eq!(damage(&newer), (0, 8, expected));
}

#[test]
fn a_length_that_lies_takes_no_memory() {
    // A head that promises 512 MiB, with a right checksum, and then nothing.
    let mut head = vec![0; 28];
    head[4..8].copy_from_slice(&(512_u32 << 20).to_le_bytes());
    let sum = crc32fast::hash(&head[..24]).to_le_bytes();
    head[24..].copy_from_slice(&sum);
    let header = &written(Format::Binary, &[])[..24];
    let (_, at, expected) = damage(&[header, &head].concat());
    assert_eq!((at, &expected[..19]), (52, "the rest of a value"));
    head[4..8].copy_from_slice(&((512_u32 << 20) + 1).to_le_bytes());
    let sum = crc32fast::hash(&head[..24]).to_le_bytes();
    head[24..].copy_from_slice(&sum);
    let (_, at, expected) = damage(&[header, &head].concat());
    assert_eq!((at, &expected[..15]), (28, "a value of at m"));
}

#[test]
fn a_line_is_an_object_that_other_programs_read() {
    let text = String::from_utf8(written(Format::Jsonl, &some())).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(
        lines,
        [
            r#"{"key":"sess:1","value":"{\"a\":1}","seq":7,"expires_at_ms":1700000060000}"#,
            r#"{"key":"","value":"","seq":7}"#,
            r#"{"key_hex":"ff00","value_hex":"61fe","seq":7,"expires_at_ms":0}"#,
        ]
    );
    assert_eq!(written(Format::Jsonl, &[]), b"\n");
}

#[test]
fn a_clock_that_has_not_yet_learned_the_time_counts_from_the_dump_on() {
    let bytes = written(Format::Binary, &[]);
    let reader = Reader::new(&bytes[..]).unwrap();
    let deadline = Some(NOW.after_ms(500));
    let after = |ms| Some(Expiry::AfterMs(ms));
    let later = |ms| NOW.after_ms(ms);
    assert_eq!(reader.left(later(100), deadline), after(400));
    assert_eq!(reader.left(later(500), deadline), None);
    assert_eq!(reader.left(Millis::ZERO, deadline), after(500));
    assert_eq!(reader.left(later(500), None), Some(Expiry::Never));
    let reader = Reader::new(&b"\n"[..]).unwrap();
    assert_eq!(reader.left(Millis::ZERO, Some(NOW)), after(NOW.as_unix()));
}
