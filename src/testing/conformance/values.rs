//! Rules about keys and values: they are bytes, and come back as they were.

use super::Suite;
use super::bench::shown;
use crate::backend::Deadline;
use crate::config::Limits;
use crate::contract::{Capabilities, Condition, Kind};

/// Keys and values that one format or another might take for something else.
fn hostile() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = [
        "",
        " ",
        " a ",
        "a",
        "A",
        "a\0",
        "\0",
        "a\n",
        "a\r\nb",
        ".",
        "..",
        "../a",
        "../../etc/passwd",
        "/a",
        "a/b",
        "a\\b",
        "a.json",
        ".hidden",
        "con",
        "a:b",
        "*",
        "a*",
        "%",
        "%41",
        "_",
        "'",
        "\"",
        "a'; drop table sessions; --",
        "null",
        "true",
        "0",
        "00",
        "-0",
        "1",
        "1.0",
        "1e3",
        "0x10",
        " 7",
        "9223372036854775808",
        "inf",
        "nan",
        "{}",
        "[]",
        "{\"a\":1,\"a\":2}",
        "{\"cookie\":{\"expires\":\"2001-01-01T00:00:00.000Z\"}}",
        "{\"cookie\":{\"originalMaxAge\":1,\"expires\":null}}",
        "{\"__lastAccess\":1}",
        "{\"a\": 1.50 }",
        "{",
        "__length__",
        "__proto__",
        "_session/a",
        "sess:a",
        "z\u{fc}rich",
        "zu\u{308}rich",
        "\u{feff}a",
        "\u{1f980}",
        "2001-01-01T00:00:00.000Z",
    ]
    .iter()
    .map(|text| text.as_bytes().to_vec())
    .collect();
    all.push((0..=255).collect());
    all.extend([
        vec![0xff],
        vec![0xff, 0xfe],
        vec![0xc0, 0x80],
        vec![0xed, 0xa0, 0x80],
    ]);
    all.extend([vec![b'k'; 255], vec![b'k'; 256], vec![0x80; 4 << 10]]);
    all
}

/// Values that are larger than most formats expect.
fn huge() -> impl Iterator<Item = Vec<u8>> {
    let sizes = [
        64 << 10,
        (64 << 10) + 1,
        1 << 20,
        Limits::default().max_value,
    ];
    let binary = sizes.map(|len| {
        (0..len)
            .map(|at| (at * 31 % 251).to_le_bytes()[0])
            .collect()
    });
    let text = vec![b'{'; 1 << 20];
    binary.into_iter().chain([text])
}

pub(super) fn what_was_written_is_read(suite: &mut Suite<'_>) {
    let mut bench = suite.bench();
    let values = hostile();
    let mut check = |key: &[u8], value: &[u8]| {
        if (suite.refuses)(key, value) {
            return;
        }
        let seq = bench.put(key, value, Deadline::Never);
        let found = bench.get(key);
        let found = found.unwrap_or_else(|| panic!("{} is not there", shown(key)));
        assert!(
            found.value == value,
            "{} was written and {} read, with the key {}",
            shown(value),
            shown(&found.value),
            shown(key)
        );
        assert_eq!((found.kind, found.deadline), (Kind::Bytes, None));
        if bench.has(Capabilities::COMPARE_AND_SET) {
            assert_eq!(found.seq, seq, "of {}", shown(key));
        }
        bench.commit();
        assert!(bench.get(key).is_some_and(|found| found.value == value));
    };
    for one in &values {
        check(b"key", one);
        check(one, b"value");
        check(one, one);
    }
    for value in huge() {
        check(b"huge", &value);
    }
    check(&vec![b'k'; Limits::MAX_KEY_CEILING], b"the longest key");
}

pub(super) fn keys_differ_by_every_byte(suite: &mut Suite<'_>) {
    let mut bench = suite.bench();
    let mut keys = hostile();
    keys.retain(|key| !(suite.refuses)(key, key));
    for key in &keys {
        bench.put(key, key, Deadline::Never);
    }
    for key in &keys {
        let found = bench.get(key).map(|found| found.value);
        assert!(
            found.as_ref() == Some(key),
            "{} was overwritten by another key",
            shown(key)
        );
    }
    if bench.has(Capabilities::LENGTH) {
        assert_eq!(bench.length(), keys.len() as u64);
    }
    if bench.has(Capabilities::ALL) {
        let mut sorted = keys.clone();
        sorted.sort();
        assert!(
            bench.keys() == sorted,
            "a walk meets other keys than were written"
        );
    }
    for (number, key) in keys.iter().enumerate() {
        assert!(bench.destroy(key), "{} was not there", shown(key));
        if bench.has(Capabilities::LENGTH) {
            assert_eq!(
                bench.length(),
                (keys.len() - number - 1) as u64,
                "after {}",
                shown(key)
            );
        }
    }
}

pub(super) fn an_entry_that_is_refused_is_not_there(suite: &mut Suite<'_>) {
    let mut bench = suite.bench();
    for one in hostile() {
        for (key, value) in [(&one[..], &b"value"[..]), (b"key", &one)] {
            if !(suite.refuses)(key, value) {
                continue;
            }
            bench.store.destroy(bench.now(), key).ok();
            let done = bench.try_set(key, value, Deadline::Never, Condition::Always);
            assert!(
                done.is_err(),
                "{} with {} is not refused",
                shown(key),
                shown(value)
            );
            let found = bench.store.get(bench.now(), key);
            assert!(!matches!(found, Ok(Some(_))), "{} is there", shown(key));
        }
    }
    if bench.has(Capabilities::LENGTH) {
        assert_eq!(bench.length(), 0);
    }
}

pub(super) fn a_write_replaces_value_and_deadline_together(suite: &mut Suite<'_>) {
    let mut bench = suite.bench();
    let long = vec![b'x'; 10_000];
    for (value, ttl) in [
        (&b"a"[..], None),
        (&long, Some(50)),
        (b"", Some(10)),
        (&long, None),
    ] {
        let deadline = ttl.map(|ttl| bench.at(ttl));
        bench.put(b"k", value, deadline.map_or(Deadline::Never, Deadline::At));
        let found = bench.get(b"k").expect("just written");
        assert_eq!((found.value.as_slice(), found.deadline), (value, deadline));
    }
    if bench.has(Capabilities::LENGTH) {
        assert_eq!(bench.length(), 1);
    }
}

pub(super) fn what_is_not_there_is_not_found(suite: &mut Suite<'_>) {
    let mut bench = suite.bench();
    for key in [&b"k"[..], b"", b"\xff", b"../k"] {
        if (suite.refuses)(key, b"") {
            continue;
        }
        assert_eq!(bench.get(key), None);
        assert!(!bench.touch(key, Deadline::Never));
        assert!(!bench.touch(key, Deadline::Keep));
        let soon = bench.after(10);
        assert!(!bench.touch(key, soon));
        assert!(!bench.destroy(key));
        assert_eq!(bench.get(key), None, "{} came to be by a touch", shown(key));
    }
    if bench.has(Capabilities::LENGTH) {
        assert_eq!(bench.length(), 0);
    }
    if bench.has(Capabilities::ALL) {
        assert!(bench.keys().is_empty());
    }
}

pub(super) fn what_is_destroyed_is_gone(suite: &mut Suite<'_>) {
    let mut bench = suite.bench();
    for key in [&b"a"[..], b"b", b"c"] {
        bench.put(key, key, Deadline::Never);
    }
    assert!(bench.destroy(b"b"));
    assert!(!bench.destroy(b"b"), "it was destroyed before");
    assert_eq!(bench.get(b"b"), None);
    assert!(bench.get(b"a").is_some() && bench.get(b"c").is_some());
    if bench.has(Capabilities::LENGTH) {
        assert_eq!(bench.length(), 2);
    }
    if bench.has(Capabilities::ALL) {
        assert_eq!(bench.keys(), [b"a".to_vec(), b"c".to_vec()]);
    }
    bench.put(b"b", b"again", Deadline::Never);
    assert_eq!(
        bench.get(b"b").map(|found| found.value),
        Some(b"again".to_vec())
    );
}

pub(super) fn a_kind_is_kept_until_the_value_is_replaced(suite: &mut Suite<'_>) {
    let mut bench = suite.bench();
    if !bench.has(Capabilities::KINDS) {
        return;
    }
    let soon = bench.after(10);
    for value in [&b"\0\x01fields"[..], b"{}", b""] {
        let hash = (Kind::Hash, value);
        let done = bench.set_kind(b"k", hash, soon, Condition::Always);
        done.expect("it can keep kinds");
        assert!(bench.touch(b"k", Deadline::Never));
        let found = bench.get(b"k").expect("just written");
        assert_eq!((found.kind, found.value.as_slice()), (Kind::Hash, value));
        bench.put(b"k", value, Deadline::Keep);
        let found = bench.get(b"k").expect("just written");
        assert_eq!((found.kind, found.value.as_slice()), (Kind::Bytes, value));
    }
}

pub(super) fn databases_are_apart(suite: &mut Suite<'_>) {
    let mut bench = suite.bench();
    if !bench.has(Capabilities::DATABASES) {
        return;
    }
    let now = bench.now();
    bench.put(b"k", b"zero", Deadline::Never);
    assert!(bench.store.has_database(0) && !bench.store.has_database(16));
    assert!(bench.store.database(16).is_none());
    for number in 1..16 {
        let value = [b'n', number];
        let one = bench.store.database(number).expect("one of sixteen");
        assert!(
            one.get(now, b"k").expect("get").is_none(),
            "in database {number}"
        );
        let set = one.set(now, b"k", &value, Deadline::Never, Condition::Always);
        set.expect("set");
        assert!(bench.store.has_database(number));
    }
    bench.commit();
    for number in 1..16 {
        let one = bench.store.database(number).expect("one of sixteen");
        let found = one.get(now, b"k").expect("get").expect("written above");
        assert_eq!(found.value.as_ref(), [b'n', number]);
        assert_eq!(one.length(now).expect("length"), 1);
    }
    assert_eq!(
        bench.get(b"k").map(|found| found.value),
        Some(b"zero".to_vec())
    );
    bench.clear();
    let one = bench.store.database(7).expect("one of sixteen");
    assert_eq!(
        one.length(now).expect("length"),
        1,
        "clear is of one database"
    );
    one.clear(now).expect("clear");
    let other = bench.store.database(8).expect("one of sixteen");
    assert_eq!(other.length(now).expect("length"), 1);
}
