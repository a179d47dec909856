//! The common parts of the drivers of `scripts/bench` that decide whether their figures are true:
//! the arithmetic of the histogram, what is asked, what counts as a reply, what a process holds. A
//! benchmark's own file has no test harness, so the tests are here; those of whole drivers are in
//! `bench_drivers`. No time is measured.

#[allow(dead_code, reason = "the drivers use the rest")]
#[path = "../scripts/drivers/common/mod.rs"]
mod common;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Write};
use std::time::{Duration, Instant};

use common::answers::{Answer, Answers};
use common::connection::Connection;
use common::dialect::{Ask, Dialect, words};
use common::histogram::{BUCKETS, Histogram, bucket, upper_end};
use common::wire::{KEYS, Keys, Op, Order};
use common::{args, floor, keys, memory};
use memstore_cluster::contract::{Expiry, Seq};
use memstore_cluster::protocol::message::{Entry, ErrorCode, Failure, Page, Set};
use memstore_cluster::protocol::{Reply, Request, codec, frame};
use nix::sys::memfd::{MFdFlags, memfd_create};

#[test]
fn every_value_is_in_its_bucket_and_no_bucket_is_wide() {
    let mut last = 0;
    for power in 0..39 {
        for value in [1u64 << power, (1 << power) + (1 << power) / 3] {
            let end = upper_end(bucket(value));
            assert!(end >= value && (end - value) * 128 <= value, "{value}");
            assert!(bucket(value) >= last);
            assert_eq!(bucket(end), bucket(value));
            assert_eq!(bucket(end + 1), bucket(value) + 1);
            last = bucket(value);
        }
    }
    assert_eq!(bucket(u64::MAX), BUCKETS - 1);
}

#[test]
fn percentiles_count_values() {
    let mut histogram = Histogram::new();
    assert_eq!(histogram.percentile(0.5), 0);
    (1..=100).for_each(|value| histogram.record(value));
    assert_eq!(histogram.percentile(0.5), 50);
    assert_eq!(histogram.percentile(0.99), 99);
    assert_eq!(histogram.percentile(0.999), 100);
    assert_eq!(histogram.total(), 100);
    histogram.record(1_000_001);
    assert_eq!(
        (histogram.max(), histogram.percentile(1.0)),
        (1_000_001, 1_000_001)
    );
}

const VALUE: &[u8] = b"twelve bytes";

/// Two replies as the dialect has them, for the ids 0 and 1.
fn two_replies(dialect: Dialect, op: Op) -> Vec<u8> {
    let entry = |id: u32, out: &mut Vec<u8>| {
        let (seq, ttl_ms) = (Seq(77), Some(3_599_000));
        let value = VALUE.into();
        let entry = Reply::Entry(Entry { seq, ttl_ms, value });
        codec::write_reply(out, id, &entry);
    };
    let mut out = Vec::new();
    match (dialect, op) {
        (Dialect::Native, Op::Get) => (0..2).for_each(|id| entry(id, &mut out)),
        (Dialect::Native, Op::Set) => (0..2).for_each(|id| {
            codec::write_reply(&mut out, id, &Reply::Stored { seq: Seq(9) });
        }),
        (Dialect::Resp, Op::Get) => out.extend(b"$12\r\ntwelve bytes\r\n".repeat(2)),
        (Dialect::Resp, Op::Set) => out.extend(b"+OK\r\n".repeat(2)),
        (Dialect::Memcached, Op::Get) => out.extend(
            b"VALUE sess:0123456789abcdef0123456789abcdef 0 12\r\ntwelve bytes\r\nEND\r\n"
                .repeat(2),
        ),
        (Dialect::Memcached, Op::Set) => out.extend(b"STORED\r\n".repeat(2)),
        (Dialect::Native, Op::Touch) => {
            (0..2).for_each(|id| codec::write_reply(&mut out, id, &Reply::Done));
        }
        (Dialect::Resp, Op::Touch) => out.extend(b":1\r\n".repeat(2)),
        (Dialect::Memcached, Op::Touch) => out.extend(b"TOUCHED\r\n".repeat(2)),
    }
    out
}

const EVERY: [(Dialect, Op); 9] = [
    (Dialect::Native, Op::Get),
    (Dialect::Native, Op::Set),
    (Dialect::Resp, Op::Get),
    (Dialect::Resp, Op::Set),
    (Dialect::Memcached, Op::Get),
    (Dialect::Memcached, Op::Set),
    (Dialect::Native, Op::Touch),
    (Dialect::Resp, Op::Touch),
    (Dialect::Memcached, Op::Touch),
];

#[test]
fn good_replies_are_counted_however_they_are_split() {
    for (dialect, op) in EVERY {
        let stream = two_replies(dialect, op);
        for cut in 0..stream.len() {
            let mut replies = dialect.exchange(op, VALUE).replies();
            let (first, second) = stream.split_at(cut);
            let complete = replies.take(first).unwrap() + replies.take(second).unwrap();
            assert_eq!(complete, 2, "{dialect:?} {op:?} cut at {cut}");
        }
    }
}

#[test]
fn a_wrong_reply_is_found_out() {
    for (dialect, op) in EVERY {
        let good = two_replies(dialect, op);
        let mut short = good.clone();
        short.remove(good.len() / 2 - 1);
        let mut failed = good.clone();
        failed[usize::from(dialect == Dialect::Native) * 2] ^= 0x41;
        for bad in [short, failed] {
            let mut replies = dialect.exchange(op, VALUE).replies();
            let outcome = replies.take(&bad);
            assert_ne!(outcome, Ok(2), "{dialect:?} {op:?} {}", bad.escape_ascii());
        }
    }
}

#[test]
fn the_value_is_where_it_is_said_to_be() {
    for dialect in [Dialect::Native, Dialect::Resp, Dialect::Memcached] {
        let exchange = dialect.exchange(Op::Get, VALUE);
        let replies = two_replies(dialect, Op::Get);
        assert_eq!(replies.len(), 2 * exchange.reply_len());
        let value = exchange.value_in(&replies[..exchange.reply_len()]);
        assert!(value.starts_with(VALUE), "{dialect:?}");
    }
}

#[test]
fn the_floor_answers_what_the_dialect_would_however_a_request_arrives() {
    let dir = tempfile::tempdir().unwrap();
    let sock = dir.path().join("floor.sock");
    std::thread::spawn({
        let sock = sock.clone();
        move || floor::serve(&sock)
    });
    let value = keys::value(1 << 10);
    for dialect in [Dialect::Native, Dialect::Resp] {
        for piece in [1, 3, 50, 1_500] {
            let deadline = Instant::now() + Duration::from_secs(20);
            let mut stream = loop {
                match Connection::open(&sock, dialect) {
                    Ok(connection) => break connection.into_stream(),
                    Err(error) => assert!(Instant::now() < deadline, "{error}"),
                }
            };
            for op in [Op::Set, Op::Get] {
                let exchange = dialect.exchange(op, &value);
                let (mut keys, mut id) = (Keys::new(KEYS, Order::Sequential(0)), 0);
                let mut batch = exchange.batch(2);
                for part in batch.fill(&mut keys, &mut id).chunks(piece) {
                    stream.write_all(part).unwrap();
                }
                let mut reply = vec![0; 2 * exchange.reply_len()];
                stream.read_exact(&mut reply).unwrap();
                assert_eq!(exchange.replies().take(&reply), Ok(2), "{dialect:?} {op:?}");
                if op == Op::Get {
                    assert!(exchange.value_in(&reply).starts_with(&value));
                }
            }
        }
    }
}

#[test]
fn each_request_of_a_batch_has_its_own_key_and_id() {
    let mut batch = Dialect::Native.exchange(Op::Get, VALUE).batch(3);
    let mut keys = Keys::new(KEYS, Order::Sequential(0));
    let mut id = 7;
    let mut rest = batch.fill(&mut keys, &mut id);
    let mut seen = Vec::new();
    while let Some(frame) = frame::split(rest, 1 << 10).unwrap() {
        seen.push((frame.header.id, codec::read_request(frame).unwrap()));
        rest = &rest[frame.wire_len()..];
    }
    assert_eq!(
        seen.iter().map(|(id, _)| *id).collect::<Vec<_>>(),
        [7, 8, 9]
    );
    assert!(seen[0].1 != seen[1].1 && seen[1].1 != seen[2].1);
    assert_eq!(id, 10);
}

#[test]
fn keys_are_sessions_of_37_bytes_and_never_the_same() {
    let made: BTreeSet<_> = (0..10_000).map(keys::key).collect();
    assert_eq!(made.len(), 10_000);
    let digits = format!("{:016x}{:016x}", keys::scramble(7), keys::scramble(!7));
    assert_eq!(keys::key(7).as_slice(), format!("sess:{digits}").as_bytes());
}

#[test]
fn counts_have_units_and_are_above_zero() {
    let counts = ["1", "10k", "2M", "0", "0M", "k", "1G", "-1", ""].map(args::count);
    let good = [Some(1), Some(10_000), Some(2_000_000)];
    assert_eq!(counts[..3], good);
    assert_eq!(counts[3..], [None; 6]);
}

fn written(dialect: Dialect, ask: Ask<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    dialect.write(&mut bytes, 3, ask);
    bytes
}

#[test]
fn every_dialect_asks_for_the_same() {
    let (key, value, ttl_ms) = (b"k".as_slice(), b"v\r\n".as_slice(), 1_001);
    let asks = [
        Ask::Set { key, value, ttl_ms },
        Ask::Touch { key, ttl_ms },
        Ask::Get { key },
        Ask::Destroy { key },
    ];
    let texts = |dialect| asks.map(|ask| String::from_utf8(written(dialect, ask)).unwrap());
    assert_eq!(
        texts(Dialect::Memcached),
        [
            "set k 0 2 3\r\nv\r\n\r\n",
            "touch k 2\r\n",
            "get k\r\n",
            "delete k\r\n",
        ]
    );
    assert_eq!(
        texts(Dialect::Resp),
        [
            "*5\r\n$3\r\nSET\r\n$1\r\nk\r\n$3\r\nv\r\n\r\n$2\r\nPX\r\n$4\r\n1001\r\n",
            "*3\r\n$7\r\nPEXPIRE\r\n$1\r\nk\r\n$4\r\n1001\r\n",
            "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n",
            "*2\r\n$3\r\nDEL\r\n$1\r\nk\r\n",
        ]
    );
    let set = written(Dialect::Native, asks[0]);
    let frame = frame::split(&set, 1 << 10).unwrap().unwrap();
    assert_eq!(frame.header.id, 3);
    let Request::Set(Set {
        expiry,
        key: k,
        value: v,
        ..
    }) = codec::read_request(frame).unwrap()
    else {
        panic!("{}", set.escape_ascii());
    };
    assert_eq!((expiry, k, v), (Expiry::AfterMs(1_001), key, value));
}

/// What a stream of answers means, fed in two pieces.
fn read(dialect: Dialect, stream: &[u8], cut: usize) -> Result<Vec<Answer<'static>>, String> {
    let mut answers = Answers::new(dialect);
    let mut read = Vec::new();
    for piece in [&stream[..cut], &stream[cut..]] {
        answers.feed(piece);
        while let Some(answer) = answers.next().map_err(|refused| refused.to_string())? {
            read.push(match answer {
                Answer::Value(value) => Answer::Value(value.into_owned().into()),
                Answer::Page { next } => Answer::Page { next },
                Answer::Missing => Answer::Missing,
                Answer::Done => Answer::Done,
            });
        }
    }
    Ok(read)
}

fn native(replies: &[Reply<'_>]) -> Vec<u8> {
    let mut stream = Vec::new();
    for reply in replies {
        codec::write_reply(&mut stream, 0, reply);
    }
    stream
}

#[test]
fn answers_are_understood_however_they_are_split() {
    let value = |bytes: &'static [u8]| Answer::Value(bytes.into());
    let (seq, ttl_ms) = (Seq(1), None);
    let entry = Entry {
        seq,
        ttl_ms,
        value: b"v".into(),
    };
    let page = Page {
        next: 7,
        items: Vec::new(),
    };
    let replies = [
        Reply::Stored { seq },
        Reply::Missing,
        Reply::Entry(entry),
        Reply::Page(page),
        Reply::Done,
    ];
    let (done, missing) = (|| Answer::Done, || Answer::Missing);
    let streams: [(Dialect, Vec<u8>, Vec<Answer<'_>>); 3] = [
        (
            Dialect::Native,
            native(&replies),
            vec![done(), missing(), value(b"v"), Answer::Page { next: 7 }, done()],
        ),
        (
            Dialect::Resp,
            b"+OK\r\n$-1\r\n$3\r\n\r\n*\r\n:1\r\n:0\r\n*2\r\n$2\r\n17\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n\
              *0\r\n*3\r\n$1\r\nx\r\n:0\r\n+OK\r\n*2\r\n$1\r\n0\r\n*0\r\n+OK\r\n"
                .to_vec(),
            vec![
                done(),
                missing(),
                value(b"\r\n*"),
                done(),
                missing(),
                value(b"17"),
                value(b""),
                value(b"x"),
                value(b"0"),
                done(),
            ],
        ),
        (
            Dialect::Memcached,
            b"STORED\r\nEND\r\nVALUE k 0 7\r\n\r\nEND\r\n\r\nEND\r\nDELETED\r\nNOT_FOUND\r\nTOUCHED\r\n\
              OK\r\nSTAT bytes 5\r\nSTAT x END\r\nEND\r\nSTORED\r\n"
                .to_vec(),
            vec![
                done(),
                missing(),
                value(b"\r\nEND\r\n"),
                done(),
                missing(),
                done(),
                done(),
                value(b"STAT bytes 5\r\nSTAT x END"),
                done(),
            ],
        ),
    ];
    for (dialect, stream, expected) in &streams {
        for cut in 0..=stream.len() {
            let read = read(*dialect, stream, cut);
            assert_eq!(read.as_ref(), Ok(expected), "{dialect:?} cut at {cut}");
        }
    }
}

#[test]
fn an_answer_that_says_no_is_an_error() {
    let failure = Failure {
        code: ErrorCode::OutOfMemory,
        message: "the store is full".into(),
    };
    let failed = native(&[Reply::Error(failure)]);
    for (dialect, stream, told) in [
        (Dialect::Native, failed.as_slice(), "the store is full"),
        (Dialect::Resp, b"-OOM command not allowed\r\n", "OOM"),
        (Dialect::Resp, b"\r\n", ""),
        (Dialect::Resp, b"*-2\r\n", "*-2"),
        (
            Dialect::Memcached,
            b"SERVER_ERROR out of memory\r\n",
            "out of",
        ),
        (Dialect::Memcached, b"VALUE k 0 1\r\nvvEND\r\n\r\n", "VALUE"),
    ] {
        let error = read(dialect, stream, 0).unwrap_err();
        assert!(error.contains(told), "{}: {error}", stream.escape_ascii());
    }
}

#[test]
fn a_long_array_is_followed_without_being_kept() {
    let mut answers = Answers::new(Dialect::Resp);
    answers.feed(b"*100000\r\n");
    let mut key = Vec::new();
    words(&mut key, &[b"sess:1"]);
    let key = key.strip_prefix(b"*1\r\n").unwrap();
    for _ in 1..100_000 {
        answers.feed(key);
        assert_eq!(answers.next(), Ok(None));
        assert!(answers.pending() < key.len());
    }
    answers.feed(key);
    assert_eq!(answers.next(), Ok(Some(Answer::Value(b"sess:1".into()))));
}

#[test]
fn memory_in_a_memfd_is_held_mapped_or_not_and_once() {
    const SIZE: u64 = 256 << 20;
    let this = std::process::id();
    let before = memory::held(this).unwrap();
    let mut file = File::from(memfd_create(c"bench", MFdFlags::MFD_CLOEXEC).unwrap());
    for _ in 0..SIZE >> 12 {
        file.write_all(&[7; 1 << 12]).unwrap();
    }
    let twice = file.try_clone().unwrap();
    let grown = memory::held(this).unwrap() - before;
    // Other tests of this program run at the same time, and take or give back less than half.
    assert!((SIZE / 2..SIZE * 3 / 2).contains(&grown), "{grown}");
    drop((file, twice));
    let left = memory::held(this).unwrap().saturating_sub(before);
    assert!(left < SIZE / 2, "{left}");
}
