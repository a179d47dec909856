//! Rules about what concerns all entries: walks, the length, `clear`.

use std::collections::HashSet;

use super::Suite;
use super::bench::Bench;
use crate::backend::{Cursor, Deadline, Walk};
use crate::contract::Capabilities;

/// After so many milliseconds some entries expire; in rules that do not wait for it, later.
const SOON: u64 = 10;
const LATER: u64 = 1_000_000;

/// Writes so many entries; some of them expire, so many milliseconds later.
fn fill(bench: &mut Bench, count: u16, ttl: u64) {
    let soon = bench.after(ttl);
    for number in 0..count {
        let deadline = if number % 5 == 4 {
            soon
        } else {
            Deadline::Never
        };
        bench.put(
            &number.to_be_bytes(),
            format!("value {number}").as_bytes(),
            deadline,
        );
    }
}

pub(super) fn a_walk_meets_every_entry_once_as_it_is(suite: &mut Suite<'_>) {
    let mut bench = suite.bench();
    if !bench.has(Capabilities::ALL) {
        return;
    }
    assert_eq!(bench.page(Cursor::default(), 1), (Vec::new(), None));
    fill(&mut bench, 1_000, SOON);
    bench.put(b"", &vec![0xff; 100_000], Deadline::Never);
    for (later, live) in [(0, 1_001), (9, 1_001), (1, 801)] {
        bench.later(later);
        for most in [1, 2, 7, 512, usize::MAX] {
            let walk = bench.walk_from(Cursor::default(), most);
            assert_eq!(walk.len(), live, "in pages of {most}");
            let mut met = HashSet::new();
            for (key, entry) in walk {
                assert_eq!(bench.get(&key).as_ref(), Some(&entry));
                assert!(met.insert(key), "an entry is met twice");
            }
        }
    }
}

pub(super) fn a_walk_ends_while_others_write(suite: &mut Suite<'_>) {
    let mut bench = suite.bench();
    if !bench.has(Capabilities::ALL) {
        return;
    }
    for number in 0..100_u8 {
        bench.put(&[number], b"v", Deadline::Never);
    }
    let (mut met, mut next, mut steps) = (Vec::new(), Some(Cursor::default()), 0_u32);
    while let Some(cursor) = next {
        let page;
        (page, next) = bench.page(cursor, 1);
        met.extend(page.into_iter().map(|(key, _)| key));
        steps += 1;
        assert!(steps < 10_000, "the walk goes after what is written");
        // New ones before, behind and in between, and old ones again.
        bench.put(&steps.to_be_bytes(), b"new", Deadline::Never);
        bench.put(&(u32::MAX - steps).to_be_bytes(), b"new", Deadline::Never);
        bench.put(&[50], &steps.to_be_bytes(), Deadline::Never);
        bench.destroy(&[20]);
        bench.commit();
    }
    met.retain(|key| key.len() == 1);
    met.sort();
    // What was written or destroyed meanwhile may be met or not, or twice.
    met.retain(|key| key[0] != 20 && key[0] != 50);
    let stayed = (0..100_u8).filter(|number| *number != 20 && *number != 50);
    assert_eq!(met, stayed.map(|number| vec![number]).collect::<Vec<_>>());
}

pub(super) fn a_walk_survives_whatever_is_removed(suite: &mut Suite<'_>) {
    let mut bench = suite.bench();
    if !bench.has(Capabilities::ALL) {
        return;
    }
    // What a walk has just met goes, so that it never finds its place again.
    fill(&mut bench, 300, LATER);
    let (mut met, mut next) = (0, Some(Cursor::default()));
    while let Some(cursor) = next {
        let page;
        (page, next) = bench.page(cursor, 3);
        for (key, _) in page {
            assert!(bench.destroy(&key), "met, and not there");
            met += 1;
        }
    }
    assert_eq!(met, 300);
    assert!(bench.keys().is_empty());
    // All that is before it goes.
    fill(&mut bench, 300, LATER);
    let (_, next) = bench.page(Cursor::default(), 100);
    let cursor = next.expect("there are more");
    if bench.has(Capabilities::CLEAR) {
        bench.clear();
    } else {
        for key in bench.keys() {
            bench.destroy(&key);
        }
    }
    assert!(bench.walk_from(cursor, 7).is_empty());
}

pub(super) fn any_number_is_a_place_in_a_walk(suite: &mut Suite<'_>) {
    let mut bench = suite.bench();
    if !bench.has(Capabilities::ALL) {
        return;
    }
    fill(&mut bench, 100, LATER);
    let places = (0..64).map(|shift| u64::MAX << shift);
    for place in places.chain((0..64).map(|shift| u64::MAX >> shift)) {
        let walk = bench.walk_from(Cursor(place), 9);
        let mut keys: Vec<_> = walk.into_iter().map(|(key, _)| key).collect();
        let count = keys.len();
        keys.sort();
        keys.dedup();
        assert!(keys.len() == count && count <= 100, "{count} from {place}");
    }
    let (_, next) = bench.page(Cursor::default(), 10);
    let rest = bench.walk_from(next.expect("there are more"), 9);
    assert_eq!(
        rest.len(),
        90,
        "a place that a walk gave is where it goes on"
    );
    // Visiting nothing is no step.
    let now = bench.now();
    let mut visited = 0;
    let walk = bench.store.all(now, Cursor::default(), &mut |_, _| {
        visited += 1;
        Walk::On
    });
    assert_eq!((walk.expect("all"), visited), (None, 100));
}

pub(super) fn length_counts_live_entries_exactly(suite: &mut Suite<'_>) {
    let mut bench = suite.bench();
    if !bench.has(Capabilities::LENGTH) {
        return;
    }
    assert_eq!(bench.length(), 0);
    fill(&mut bench, 100, SOON);
    assert_eq!(bench.length(), 100);
    fill(&mut bench, 100, SOON);
    assert_eq!(bench.length(), 100, "what is overwritten counts once");
    bench.later(9);
    assert_eq!(bench.length(), 100);
    bench.later(1);
    assert_eq!(bench.length(), 80);
    assert!(!bench.destroy(&4_u16.to_be_bytes()), "it has expired");
    assert!(!bench.destroy(b"never there"));
    assert_eq!(bench.length(), 80);
    assert!(bench.destroy(&5_u16.to_be_bytes()));
    assert!(!bench.destroy(&5_u16.to_be_bytes()));
    assert_eq!(bench.length(), 79);
    bench.put(&4_u16.to_be_bytes(), b"again", Deadline::Never);
    assert_eq!(bench.length(), 80);
    bench.keep_up();
    bench.commit();
    assert_eq!(bench.length(), 80);
}

pub(super) fn clear_removes_everything_at_once(suite: &mut Suite<'_>) {
    let mut bench = suite.bench();
    if !bench.has(Capabilities::CLEAR) {
        return;
    }
    bench.clear();
    for round in 0..3 {
        fill(&mut bench, 500, LATER);
        bench.clear();
        assert_eq!(bench.get(&1_u16.to_be_bytes()), None);
        assert!(!bench.touch(&1_u16.to_be_bytes(), Deadline::Never));
        assert!(!bench.destroy(&1_u16.to_be_bytes()));
        bench.put(b"new", b"v", Deadline::Never);
        if bench.has(Capabilities::LENGTH) {
            assert_eq!(bench.length(), 1, "in round {round}");
        }
        bench.keep_up();
        bench.commit();
        assert!(bench.get(b"new").is_some(), "cleared after it was written");
        if bench.has(Capabilities::ALL) {
            assert_eq!(bench.keys(), [b"new".to_vec()]);
        }
    }
}
