//! Rules about deadlines: exact to the millisecond, and never undone.

use super::Suite;
use super::bench::Bench;
use crate::backend::{Deadline, SetOutcome};
use crate::contract::{Capabilities, Condition};
use crate::time::Millis;

/// Nothing that counts or lists knows of any entry.
fn assert_empty(bench: &mut Bench) {
    if bench.has(Capabilities::LENGTH) {
        assert_eq!(bench.length(), 0);
    }
    if bench.has(Capabilities::ALL) {
        assert!(bench.keys().is_empty());
    }
}

pub(super) fn an_entry_is_visible_up_to_the_last_millisecond_before_its_deadline(
    suite: &mut Suite<'_>,
) {
    for ttl in [
        1,
        2,
        10,
        999,
        1_000,
        1_001,
        60_000,
        86_400_000,
        31_536_000_000,
    ] {
        let mut bench = suite.bench();
        if bench.time.is_real() && ttl > 10 {
            return;
        }
        let deadline = bench.after(ttl);
        bench.put(b"k", b"v", deadline);
        bench.later(ttl - 1);
        assert!(
            bench.get(b"k").is_some(),
            "gone a millisecond early, after {ttl} ms"
        );
        if bench.has(Capabilities::LENGTH) {
            assert_eq!(bench.length(), 1);
        }
        bench.later(1);
        assert_eq!(bench.get(b"k"), None, "there after {ttl} ms");
        assert_empty(&mut bench);
    }
}

pub(super) fn what_has_expired_is_nowhere(suite: &mut Suite<'_>) {
    let mut bench = suite.bench();
    let soon = bench.after(10);
    bench.put(b"k", b"v", soon);
    bench.later(10);
    assert_empty(&mut bench);
    assert!(!bench.destroy(b"k"), "an expired entry was destroyed");
    assert!(!bench.touch(b"k", Deadline::Never));
    assert_eq!(bench.get(b"k"), None);
    bench.put(b"k", b"new", Deadline::Keep);
    let found = bench.get(b"k").expect("just written");
    assert_eq!(
        found.deadline, None,
        "the deadline of the expired entry was kept"
    );
    bench.later(1 << 40);
    bench.keep_up();
    assert!(
        bench.get(b"k").is_some(),
        "what replaced an expired entry has gone with it"
    );
}

pub(super) fn a_deadline_is_kept_to_the_millisecond(suite: &mut Suite<'_>) {
    let mut bench = suite.bench();
    let (soonest, start) = (bench.time.soonest(), bench.now().as_unix());
    let year_9999 = 253_402_300_800_000;
    let steps = (0..48).map(|shift| 1_u64 << shift).map(|ms| start + ms);
    let dates = [
        year_9999 - 1,
        year_9999,
        year_9999 + 1,
        // February and March of a leap year.
        1_709_164_799_999,
        1_709_164_800_000,
        1_709_251_200_000,
        (1 << 48) - 2,
    ];
    for at in steps
        .chain(dates)
        .map(Millis::from_unix)
        .filter(|at| *at > soonest)
    {
        bench.put(b"k", b"v", Deadline::At(at));
        assert_eq!(bench.get(b"k").expect("just written").deadline, Some(at));
        bench.put(b"touched", b"v", Deadline::Never);
        assert!(bench.touch(b"touched", Deadline::At(at)));
        assert_eq!(
            bench.get(b"touched").expect("just touched").deadline,
            Some(at)
        );
        bench.commit();
    }
    bench.put(b"k", b"v", Deadline::Never);
    assert_eq!(bench.get(b"k").expect("just written").deadline, None);
}

pub(super) fn a_write_that_is_already_over_removes_the_entry(suite: &mut Suite<'_>) {
    let mut bench = suite.bench();
    for past in [0, 1, 1_000_000] {
        let past = bench.now().as_unix().saturating_sub(past);
        let past = Deadline::At(Millis::from_unix(past));
        bench.put(b"k", b"v", Deadline::Never);
        bench.put(b"k", b"v", past);
        assert_eq!(bench.get(b"k"), None);
        assert_empty(&mut bench);
        bench.put(b"k", b"v", Deadline::Never);
        assert!(bench.touch(b"k", past), "there was an entry to touch");
        assert_eq!(bench.get(b"k"), None);
        assert_empty(&mut bench);
        let now = bench.now();
        let absent = bench.try_set(b"k", b"v", past, Condition::IfAbsent);
        assert!(
            matches!(absent, Ok(SetOutcome::Stored(_)) | Err(_)),
            "{absent:?} at {now:?}"
        );
        assert_eq!(bench.get(b"k"), None);
    }
}

pub(super) fn keeping_the_deadline_is_keeping_it(suite: &mut Suite<'_>) {
    let mut bench = suite.bench();
    let deadline = bench.at(50);
    bench.put(b"new", b"v", Deadline::Keep);
    assert_eq!(bench.get(b"new").expect("just written").deadline, None);
    bench.put(b"k", b"v", Deadline::At(deadline));
    bench.later(20);
    bench.put(b"k", b"other", Deadline::Keep);
    let found = bench.get(b"k").expect("just written");
    assert_eq!(
        (found.deadline, found.value.as_slice()),
        (Some(deadline), &b"other"[..])
    );
    assert!(bench.touch(b"k", Deadline::Keep));
    assert_eq!(bench.get(b"k"), Some(found));
    bench.put(b"k", b"v", Deadline::Never);
    bench.put(b"k", b"v", Deadline::Keep);
    assert_eq!(bench.get(b"k").expect("just written").deadline, None);
}

pub(super) fn touch_moves_the_deadline_and_nothing_else(suite: &mut Suite<'_>) {
    let mut bench = suite.bench();
    let values = [
        &b"{\"cookie\":{\"expires\":\"2001-01-01T00:00:00.000Z\"}}"[..],
        b"\0\xff",
        b"",
    ];
    for value in values
        .into_iter()
        .filter(|value| !(suite.refuses)(b"k", value))
    {
        let soon = bench.after(10);
        bench.put(b"k", value, soon);
        let mut expected = bench.get(b"k").expect("just written");
        for ttl in [Some(50), Some(5), Some(1_000), None, Some(20)] {
            let deadline = ttl.map(|ttl| bench.at(ttl));
            assert!(bench.touch(b"k", deadline.map_or(Deadline::Never, Deadline::At)));
            expected.deadline = deadline;
            assert_eq!(bench.get(b"k").as_ref(), Some(&expected));
            bench.later(1);
        }
        bench.later(19);
        assert_eq!(bench.get(b"k"), None);
    }
}

pub(super) fn touch_never_brings_an_entry_back(suite: &mut Suite<'_>) {
    let mut bench = suite.bench();
    let soon = bench.after(10);
    for key in [&b"expired"[..], b"swept"] {
        bench.put(key, b"v", soon);
    }
    bench.put(b"destroyed", b"v", Deadline::Never);
    assert!(bench.destroy(b"destroyed"));
    bench.later(10);
    let touches = [
        Deadline::Never,
        Deadline::Keep,
        bench.after(100),
        Deadline::At(Millis::ZERO),
    ];
    for deadline in touches {
        assert!(
            !bench.touch(b"expired", deadline),
            "expired, until {deadline:?}"
        );
        assert!(
            !bench.touch(b"destroyed", deadline),
            "destroyed, until {deadline:?}"
        );
    }
    bench.keep_up();
    bench.commit();
    for deadline in touches {
        assert!(
            !bench.touch(b"swept", deadline),
            "swept, until {deadline:?}"
        );
    }
    for key in [&b"expired"[..], b"swept", b"destroyed"] {
        assert_eq!(bench.get(key), None);
    }
    assert_empty(&mut bench);
}
