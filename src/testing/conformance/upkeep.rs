//! Rules about what a backend does by itself.

use super::Suite;
use crate::backend::{Deadline, Upkeep};
use crate::contract::{Capabilities, Gone};

pub(super) fn upkeep_comes_to_an_end_and_changes_nothing_visible(suite: &mut Suite<'_>) {
    let mut bench = suite.bench();
    bench.keep_up();
    let deadlines = [bench.after(10), bench.after(20), Deadline::Never];
    for number in 0..1_500_u16 {
        let deadline = deadlines[usize::from(number % 3)];
        bench.put(&number.to_be_bytes(), b"v", deadline);
    }
    for (later, live) in [(0, 1_500), (10, 1_000), (10, 500), (1 << 41, 500)] {
        bench.later(later);
        bench.keep_up();
        bench.commit();
        for number in 0..1_500_u16 {
            let is_there = bench.get(&number.to_be_bytes()).is_some();
            let is_live = match number % 3 {
                0 => live == 1_500,
                1 => live >= 1_000,
                _ => true,
            };
            assert_eq!(is_there, is_live, "{number} of {live}");
        }
        if bench.has(Capabilities::LENGTH) {
            assert_eq!(bench.length(), live);
        }
        // Asked again and again it has not more to do.
        let steps = (0..100).filter(|_| bench.store.upkeep(bench.now()) == Upkeep::More);
        assert!(steps.count() < 100, "upkeep finds work for ever");
    }
}

pub(super) fn what_is_told_to_be_gone_has_gone_by_itself_and_once(suite: &mut Suite<'_>) {
    let mut bench = suite.bench();
    let mut told = Vec::new();
    bench
        .store
        .gone(Some(&mut |_, _, key| told.push(key.to_vec())));
    assert!(
        told.is_empty(),
        "nothing was remembered before it was asked for"
    );
    let soon = bench.after(10);
    for number in 0..100_u8 {
        let deadline = if number < 50 { soon } else { Deadline::Never };
        bench.put(&[number], b"v", deadline);
    }
    bench.destroy(&[0]);
    bench.touch(&[1], Deadline::Never);
    bench.touch(&[60], Deadline::At(bench.now()));
    bench.put(&[61], b"v", Deadline::At(bench.now()));
    bench.later(10);
    bench.put(&[2], b"again", Deadline::Never);
    bench.keep_up();
    bench.commit();
    for _ in 0..2 {
        bench.store.gone(Some(&mut |database, why, key| {
            assert_eq!((database, why), (0, Gone::Expired), "{key:?}");
            told.push(key.to_vec());
        }));
    }
    let count = told.len();
    told.sort();
    told.dedup();
    assert_eq!(told.len(), count, "one is told twice");
    // Whether it tells at all is up to it; of one that was overwritten in time it may not.
    let expired = |key: &Vec<u8>| matches!(key[..], [number] if (2..50).contains(&number));
    assert!(told.iter().all(expired), "{told:?}");
    bench.store.gone(None);
}
