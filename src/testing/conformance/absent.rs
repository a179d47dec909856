//! The rule about what a backend does not have.

use std::fmt::Debug;

use super::Suite;
use crate::backend::{BackendError, Cursor, Deadline, Walk};
use crate::contract::{Capabilities, Condition, Kind, Seq};

fn assert_refused<T: Debug>(what: &str, done: &Result<T, BackendError>) {
    assert!(
        matches!(done, Err(BackendError::Unsupported(_))),
        "{what} is not among its capabilities: {done:?}"
    );
}

pub(super) fn what_it_cannot_do_is_refused_and_not_done(suite: &mut Suite<'_>) {
    let mut bench = suite.bench();
    let now = bench.now();
    bench.put(b"k", b"v", Deadline::Never);
    let before = bench.get(b"k");
    if !bench.has(Capabilities::ALL) {
        let done = bench
            .store
            .all(now, Cursor::default(), &mut |_, _| Walk::On);
        assert_refused("all", &done);
    }
    if !bench.has(Capabilities::LENGTH) {
        assert_refused("length", &bench.store.length(now));
    }
    if !bench.has(Capabilities::CLEAR) {
        assert_refused("clear", &bench.store.clear(now));
    }
    if !bench.has(Capabilities::COMPARE_AND_SET) {
        for condition in [Condition::IfSeq(Seq(0)), Condition::IfSeq(Seq(1))] {
            let done = bench.try_set(b"k", b"other", Deadline::Never, condition);
            assert_refused("compare-and-set", &done);
        }
    }
    if !bench.has(Capabilities::KINDS) {
        let hash = (Kind::Hash, &b"fields"[..]);
        let done = bench
            .store
            .set_kind(now, b"k", hash, Deadline::Never, Condition::Always);
        assert_refused("a hash", &done);
    }
    if !bench.has(Capabilities::DATABASES) {
        assert!((1..=255).all(|number| bench.store.database(number).is_none()));
    }
    assert_eq!(bench.get(b"k"), before);
}
