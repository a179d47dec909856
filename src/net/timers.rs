//! Deadlines in order of time.
//!
//! Knows no clock: whoever asks says what time it is. Used by the reactor for the deadlines of
//! connections, and by whoever has few enough timers that a tree is the right thing (thousands,
//! not millions). The invariant: a key has at most one deadline, and both maps agree on it.

use std::collections::{BTreeMap, BTreeSet};

use crate::time::Millis;

#[derive(Debug)]
pub(crate) struct Timers<K> {
    order: BTreeSet<(Millis, K)>,
    at: BTreeMap<K, Millis>,
}

impl<K: Copy + Ord> Timers<K> {
    pub(crate) fn new() -> Self {
        Self {
            order: BTreeSet::new(),
            at: BTreeMap::new(),
        }
    }

    /// Sets the deadline of `key`, in place of the one it had.
    pub(crate) fn set(&mut self, key: K, at: Millis) {
        self.clear(key);
        self.at.insert(key, at);
        self.order.insert((at, key));
    }

    pub(crate) fn clear(&mut self, key: K) {
        if let Some(at) = self.at.remove(&key) {
            self.order.remove(&(at, key));
        }
    }

    pub(crate) fn is_set(&self, key: K) -> bool {
        self.at.contains_key(&key)
    }

    /// The earliest deadline.
    pub(crate) fn next(&self) -> Option<Millis> {
        self.order.first().map(|(at, _)| *at)
    }

    /// Takes out the earliest of those whose deadline has come.
    pub(crate) fn expired(&mut self, now: Millis) -> Option<K> {
        let (_, key) = *self.order.first().filter(|(at, _)| *at <= now)?;
        self.clear(key);
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(ms: u64) -> Millis {
        Millis::from_unix(ms)
    }

    #[test]
    fn deadlines_come_in_order_and_not_before_their_time() {
        let mut timers = Timers::new();
        timers.set('b', at(20));
        timers.set('a', at(10));
        timers.set('c', at(30));
        assert_eq!(timers.next(), Some(at(10)));
        assert_eq!(timers.expired(at(9)), None);
        assert_eq!(timers.expired(at(20)), Some('a'));
        assert_eq!(timers.expired(at(20)), Some('b'));
        assert_eq!(timers.expired(at(20)), None);
        assert_eq!(timers.next(), Some(at(30)));
    }

    #[test]
    fn a_deadline_that_was_moved_or_cleared_does_not_come() {
        let mut timers = Timers::new();
        timers.set('a', at(10));
        timers.set('a', at(50));
        timers.set('b', at(10));
        timers.clear('b');
        assert!(timers.is_set('a') && !timers.is_set('b'));
        assert_eq!(timers.expired(at(49)), None);
        assert_eq!(timers.expired(at(50)), Some('a'));
        assert_eq!(timers.next(), None);
    }
}
