//! Rules about conditions and the numbers of writes.

use std::collections::BTreeSet;

use super::Suite;
use super::bench::Bench;
use crate::backend::{Deadline, SetOutcome};
use crate::contract::{Capabilities, Condition, Seq};

/// Whether it can do conditional writes at all; they are all or none of its capabilities.
fn has_conditions(bench: &Bench) -> bool {
    bench.has(Capabilities::COMPARE_AND_SET)
}

/// Whether the one can be the name of a version that comes after the other.
fn is_newer(bench: &Bench, new: Seq, old: Seq) -> bool {
    new > old || (!bench.has_numbers() && new != old)
}

pub(super) fn every_write_has_a_higher_number(suite: &mut Suite<'_>) {
    let mut bench = suite.bench();
    if !bench.has_numbers() {
        return;
    }
    let mut last = Seq::default();
    for round in 0..50_u8 {
        for key in [&b"a"[..], b"b", &[round]] {
            let seq = bench.put(key, &[round], Deadline::Never);
            assert!(seq > last, "{seq} after {last}");
            assert_eq!(bench.get(key).map(|found| found.seq), Some(seq));
            last = seq;
        }
        match round % 4 {
            0 => assert!(bench.destroy(b"a")),
            1 if bench.has(Capabilities::CLEAR) => bench.clear(),
            2 => bench.commit(),
            _ => {}
        }
    }
}

pub(super) fn a_condition_holds_or_nothing_is_done(suite: &mut Suite<'_>) {
    let mut bench = suite.bench();
    if !has_conditions(&bench) {
        return;
    }
    let never = Seq(u64::from(u32::MAX));
    for condition in [
        Condition::IfPresent,
        Condition::IfSeq(never),
        Condition::IfSeq(Seq(0)),
    ] {
        let done = bench.set(b"k", b"v", Deadline::Never, condition);
        assert_eq!(done, SetOutcome::Conflict(None), "{condition:?}");
        assert_eq!(bench.get(b"k"), None, "{condition:?}");
    }
    let soon = bench.after(50);
    let done = bench.set(b"k", b"v", soon, Condition::IfAbsent);
    assert!(matches!(done, SetOutcome::Stored(_)), "{done:?}");
    let found = bench.get(b"k").expect("just written");
    let wrong = [
        Condition::IfAbsent,
        Condition::IfSeq(never),
        Condition::IfSeq(Seq(0)),
        Condition::IfSeq(Seq(found.seq.0 + 1)),
    ];
    for condition in wrong {
        // What would remove it is refused as well.
        for deadline in [Deadline::Never, Deadline::At(bench.now())] {
            let done = bench.set(b"k", b"other", deadline, condition);
            assert_eq!(done, SetOutcome::Conflict(Some(found.seq)), "{condition:?}");
            assert_eq!(bench.get(b"k").as_ref(), Some(&found), "{condition:?}");
        }
    }
    for condition in [Condition::IfPresent, Condition::IfSeq(found.seq)] {
        bench.put(b"k", b"v", soon);
        let condition = match condition {
            Condition::IfSeq(_) => Condition::IfSeq(bench.get(b"k").expect("written").seq),
            other => other,
        };
        let done = bench.set(b"k", b"next", Deadline::Keep, condition);
        let SetOutcome::Stored(seq) = done else {
            panic!("{condition:?}: {done:?}");
        };
        let found = bench.get(b"k").expect("just written");
        assert_eq!((found.seq, found.value.as_slice()), (seq, &b"next"[..]));
        assert_eq!(Deadline::At(found.deadline.expect("it was kept")), soon);
    }
}

pub(super) fn an_expired_entry_meets_conditions_as_an_absent_one(suite: &mut Suite<'_>) {
    let mut bench = suite.bench();
    if !has_conditions(&bench) {
        return;
    }
    let soon = bench.after(10);
    let seq = bench.put(b"k", b"v", soon);
    bench.later(10);
    for condition in [Condition::IfPresent, Condition::IfSeq(seq)] {
        let done = bench.set(b"k", b"back", Deadline::Never, condition);
        assert_eq!(done, SetOutcome::Conflict(None), "{condition:?}");
    }
    let done = bench.set(b"k", b"new", Deadline::Keep, Condition::IfAbsent);
    assert!(
        matches!(done, SetOutcome::Stored(new) if is_newer(&bench, new, seq)),
        "{done:?}"
    );
    let found = bench.get(b"k").expect("just written");
    assert_eq!(
        (found.deadline, found.value.as_slice()),
        (None, &b"new"[..])
    );
}

pub(super) fn of_two_compare_and_sets_from_the_same_version_one_wins(suite: &mut Suite<'_>) {
    let mut bench = suite.bench();
    if !has_conditions(&bench) {
        return;
    }
    let seq = bench.put(b"k", b"v", Deadline::Never);
    let first = bench.set(b"k", b"one", Deadline::Keep, Condition::IfSeq(seq));
    let SetOutcome::Stored(newer) = first else {
        panic!("the first: {first:?}");
    };
    assert!(is_newer(&bench, newer, seq));
    let second = bench.set(b"k", b"other", Deadline::Keep, Condition::IfSeq(seq));
    assert_eq!(second, SetOutcome::Conflict(Some(newer)));
    assert_eq!(
        bench.get(b"k").map(|found| found.value),
        Some(b"one".to_vec())
    );
    // A touch is no write.
    assert!(bench.touch(b"k", Deadline::Never));
    let third = bench.set(b"k", b"three", Deadline::Keep, Condition::IfSeq(newer));
    assert!(matches!(third, SetOutcome::Stored(_)), "{third:?}");
}

pub(super) fn a_version_is_never_met_again(suite: &mut Suite<'_>) {
    let mut bench = suite.bench();
    if !bench.has_numbers() {
        return;
    }
    let mut seen = BTreeSet::new();
    for round in 0..20_u8 {
        // The same value again is another version.
        let seq = bench.put(b"k", b"v", Deadline::Never);
        assert!(seen.insert(seq), "{seq} again");
        match round % 3 {
            0 => assert!(bench.destroy(b"k")),
            1 => {
                let now = Deadline::At(bench.now());
                let end = bench.put(b"k", b"v", now);
                assert!(seen.insert(end), "{end} again");
            }
            _ => bench.commit(),
        }
        for old in &seen {
            let found = bench.get(b"k").map(|found| found.seq);
            if found != Some(*old) {
                let done = bench.set(b"k", b"late", Deadline::Never, Condition::IfSeq(*old));
                assert_eq!(done, SetOutcome::Conflict(found));
            }
        }
    }
}
