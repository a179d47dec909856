//! The parts of the peers driver that decide whether its figures are true: the arithmetic of the
//! histogram, and what counts as a reply. A benchmark's own file has no test harness, so the tests
//! of these parts are here. No time is measured.

#[allow(dead_code, reason = "the driver uses the rest")]
#[path = "../scripts/drivers/peers/histogram.rs"]
mod histogram;
#[allow(dead_code, reason = "the driver uses the rest")]
#[path = "../scripts/drivers/peers/wire.rs"]
mod wire;

use histogram::{BUCKETS, Histogram, bucket, upper_end};
use memstore_cluster::contract::Seq;
use memstore_cluster::protocol::message::Entry;
use memstore_cluster::protocol::{Reply, codec, frame};
use wire::{Dialect, Keys, Op, Order};

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
    }
    out
}

const EVERY: [(Dialect, Op); 6] = [
    (Dialect::Native, Op::Get),
    (Dialect::Native, Op::Set),
    (Dialect::Resp, Op::Get),
    (Dialect::Resp, Op::Set),
    (Dialect::Memcached, Op::Get),
    (Dialect::Memcached, Op::Set),
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
fn each_request_of_a_batch_has_its_own_key_and_id() {
    let mut batch = Dialect::Native.exchange(Op::Get, VALUE).batch(3);
    let mut keys = Keys::new(Order::Sequential(0));
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
