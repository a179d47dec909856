//! Rules about what outlives a backend; only for those whose data does.

use super::Suite;
use crate::backend::{Deadline, SetOutcome};
use crate::contract::{Capabilities, Condition, Kind};

pub(super) fn what_was_committed_is_there_again(suite: &mut Suite<'_>) {
    if !suite.is_lasting {
        return;
    }
    let mut bench = suite.bench();
    let soon = bench.after(10);
    bench.put(b"soon", b"\0\xff", soon);
    bench.put(b"", b"", Deadline::Never);
    bench.put(b"touched", &vec![7; 100_000], Deadline::Never);
    let later = bench.after(100);
    assert!(bench.touch(b"touched", later));
    if bench.has(Capabilities::KINDS) {
        let hash = (Kind::Hash, &b"fields"[..]);
        let done = bench.set_kind(b"hash", hash, later, Condition::Always);
        done.expect("it can keep kinds");
    }
    let keys = [&b"soon"[..], b"", b"touched", b"hash"];
    let before = keys.map(|key| bench.get(key));
    for _ in 0..3 {
        bench = suite.reopen(bench);
        for (key, before) in keys.iter().zip(&before) {
            let after = bench.get(key);
            let [old, new] = [before, &after].map(|found| {
                found
                    .as_ref()
                    .map(|found| (&found.value, found.deadline, found.kind))
            });
            assert!(old == new, "{before:?} was left and {after:?} found");
            if bench.has(Capabilities::COMPARE_AND_SET) {
                assert_eq!(*before, after);
            }
        }
    }
    bench.later(10);
    let mut bench = suite.reopen(bench);
    assert_eq!(bench.get(b"soon"), None);
    if bench.has(Capabilities::LENGTH) {
        let hashes = u64::from(bench.has(Capabilities::KINDS));
        assert_eq!(bench.length(), 2 + hashes);
    }
    bench.later(90);
    assert_eq!(bench.get(b"touched"), None);
}

pub(super) fn what_was_removed_does_not_come_back(suite: &mut Suite<'_>) {
    if !suite.is_lasting {
        return;
    }
    let mut bench = suite.bench();
    let soon = bench.after(10);
    for key in [&b"destroyed"[..], b"touched", b"kept"] {
        bench.put(key, b"v", Deadline::Never);
    }
    bench.put(b"expired", b"v", soon);
    let mut bench = suite.reopen(bench);
    assert!(bench.destroy(b"destroyed"));
    assert!(bench.touch(b"touched", Deadline::At(bench.now())));
    bench.later(10);
    bench.keep_up();
    let mut bench = suite.reopen(bench);
    for key in [&b"destroyed"[..], b"touched", b"expired"] {
        assert_eq!(bench.get(key), None);
        assert!(!bench.touch(key, Deadline::Never));
    }
    assert!(bench.get(b"kept").is_some());
    if !bench.has(Capabilities::CLEAR) {
        return;
    }
    bench.clear();
    bench.put(b"new", b"v", Deadline::Never);
    let mut bench = suite.reopen(bench);
    assert_eq!(bench.get(b"kept"), None);
    assert!(bench.get(b"new").is_some());
}

pub(super) fn numbers_go_on_where_they_were(suite: &mut Suite<'_>) {
    let mut bench = suite.bench();
    if !suite.is_lasting || !bench.has_numbers() {
        return;
    }
    let mut last = bench.put(b"kept", b"v", Deadline::Never);
    for _ in 0..5 {
        // The last number is nowhere in the data.
        let destroyed = bench.put(b"destroyed", b"v", Deadline::Never);
        assert!(destroyed > last);
        assert!(bench.destroy(b"destroyed"));
        bench = suite.reopen(bench);
        let seq = bench.get(b"kept").expect("it is kept").seq;
        let done = bench.set(b"kept", b"v", Deadline::Keep, Condition::IfSeq(seq));
        let SetOutcome::Stored(next) = done else {
            panic!("the version of before is not known any more: {done:?}");
        };
        assert!(next > destroyed, "{next} after {destroyed}");
        last = next;
    }
}
