//! A master whose store is bounded: what it refuses, what it evicts, and what it takes.

#![cfg(all(feature = "cli", target_os = "linux"))]
#![allow(clippy::unwrap_used, reason = "helpers may panic as the tests do")]

mod common;

use std::fs;

use common::ended::end;
use common::parts::serve;
use common::{connect, folder, memstore};
use memstore_cluster::{Error, Store};

const BOUND: u64 = 8 << 20;
const FLAGS: [&str; 2] = ["--max-memory", "8MiB"];

/// Bytes of a process in memory.
fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    kib.unwrap().parse::<u64>().unwrap() << 10
}

/// Writes entries of a size until one is refused; how many were not, and the refusal's text.
fn fill(store: &Store, prefix: &str, len: usize) -> (u64, String) {
    let value = vec![b'x'; len];
    for n in 0..BOUND {
        match store.set(format!("{prefix}{n}"), &value) {
            Ok(_) => {}
            Err(Error::OutOfMemory(why)) => return (n, why),
            Err(error) => panic!("{error}"),
        }
    }
    panic!("nothing was refused");
}

#[test]
fn at_the_bound_writes_are_refused_and_everything_else_goes_on() {
    let folder = folder();
    let sock = folder.path().join("s");
    let _master = serve(&sock, FLAGS);
    let store = connect(&sock);
    let (written, why) = fill(&store, "a", 1_000);
    assert!(written > 6_000, "{written}");
    assert_eq!(why, "the store is full (--max-memory 8MiB)");
    let mut command = memstore(["set", "another", "value", "--sock"]);
    let ended = end(command.arg(&sock));
    ended.with(0, &[]);
    let large = "x".repeat(100_000);
    let mut command = memstore(["set", "another", &large, "--sock"]);
    let ended = end(command.arg(&sock));
    ended.with(
        1,
        &["the store is full (--max-memory 8MiB); reads and destroys go on"],
    );

    // Reads, removals and what is written anew in its size.
    assert_eq!(store.length().unwrap(), written + 1);
    for n in 0..written {
        let value = store.get(format!("a{n}")).unwrap().unwrap().value;
        assert_eq!(value.len(), 1_000);
        store.set(format!("a{n}"), vec![b'y'; 1_000]).unwrap();
    }
    for n in (0..written).filter(|n| n % 3 > 0) {
        assert!(store.destroy(format!("a{n}")).unwrap());
    }
    // What was freed all over is there for another size.
    let (again, _) = fill(&store, "b", 4_000);
    assert!(
        again * 4_000 > written * 1_000 / 2,
        "{again} after {written}"
    );
}

#[test]
fn where_it_evicts_no_write_fails_and_memory_stays_bounded() {
    let folder = folder();
    let sock = folder.path().join("s");
    let flags = FLAGS.into_iter().chain(["--max-memory-policy", "evict"]);
    let master = serve(&sock, flags);
    let store = connect(&sock);
    store.set("kept", "in use").unwrap();
    let before = resident(master.pid());
    // Sizes in bytes, each for so many quarters of the bound.
    for (len, quarters) in [(1_000, 6), (4_000, 8), (40_000, 8), (300_000, 8), (300, 2)] {
        let value = vec![b'x'; len];
        for n in 0..quarters * BOUND / 4 / len as u64 {
            store.set(format!("{len}-{n}"), &value).unwrap();
            if n % (BOUND / 8).div_ceil(len as u64) == 0 {
                // What is in use stays.
                assert!(store.get("kept").unwrap().is_some(), "{len}-{n}");
            }
        }
        let grown = resident(master.pid()).saturating_sub(before);
        assert!(grown < 2 * BOUND, "{grown} bytes after values of {len}");
    }
    assert!(store.length().unwrap() > 5_000);
}

#[test]
fn a_bound_that_cannot_work_is_refused_with_what_to_write() {
    for (flags, said) in [
        (
            &["--max-memory", "64k"][..],
            "must be at least 1MiB, or none",
        ),
        (
            &["--max-memory-policy", "evict"],
            "give one with --max-memory",
        ),
    ] {
        let mut command = memstore(["serve"]);
        let ended = end(command.args(flags));
        ended.with(2, &[said]);
    }
}
