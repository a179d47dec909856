//! Which keys may not be written unawares at present, and until when. Pure bookkeeping.
//!
//! Used by `tombstones`, which decides what that means. The memory is bounded: when there is no
//! room for one more key, the one goes that would have been forgotten next.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::databases::COUNT;
use crate::time::Millis;

/// The most memory that all keys may take, in bytes.
const MOST: usize = 8 << 20;
/// What a key takes besides its bytes, about.
const OVERHEAD: usize = 128;

/// What is remembered of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Grave {
    /// Until then there may be an entry, which no write makes last longer.
    pub(super) open: Millis,
    /// From then on until this time there is none.
    pub(super) until: Millis,
}

/// What a write of a key meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Nothing.
    Free,
    /// It may not outlast this time.
    Ends(Millis),
    /// It would bring back what was destroyed.
    Dead,
}

type Key = Arc<[u8]>;

/// What is remembered, of all databases.
#[derive(Debug, Default)]
pub(super) struct Graves {
    keys: [HashMap<Key, Grave>; COUNT as usize],
    /// The same in the order in which they are forgotten.
    order: BTreeSet<(Millis, u8, Key)>,
    bytes: usize,
}

impl Graves {
    /// What a write of this key in a database meets.
    pub(super) fn fate(&self, now: Millis, database: u8, key: &[u8]) -> Fate {
        // Nearly always there are none, and no key has to be hashed for that.
        if self.order.is_empty() {
            return Fate::Free;
        }
        match self.keys[usize::from(database)].get(key) {
            Some(grave) if now < grave.open => Fate::Ends(grave.open),
            Some(grave) if now < grave.until => Fate::Dead,
            _ => Fate::Free,
        }
    }

    /// Whether nothing is remembered.
    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// When a key is forgotten, if it is remembered.
    pub(super) fn until(&self, database: u8, key: &[u8]) -> Option<Millis> {
        let grave = self.keys[usize::from(database)].get(key)?;
        Some(grave.until)
    }

    /// Remembers a key, in place of what was known of it.
    pub(super) fn put(&mut self, database: u8, key: &[u8], grave: Grave) {
        self.remove(database, key);
        let key = Key::from(key);
        self.bytes += key.len() + OVERHEAD;
        self.order.insert((grave.until, database, Arc::clone(&key)));
        self.keys[usize::from(database)].insert(key, grave);
        while self.bytes > MOST {
            self.forget_first();
        }
    }

    /// Forgets a key, if it is remembered.
    pub(super) fn remove(&mut self, database: u8, key: &[u8]) {
        let removed = self.keys[usize::from(database)].remove_entry(key);
        if let Some((key, grave)) = removed {
            self.bytes -= key.len() + OVERHEAD;
            self.order.remove(&(grave.until, database, key));
        }
    }

    /// Forgets all keys of a database.
    pub(super) fn clear(&mut self, database: u8) {
        let keys = std::mem::take(&mut self.keys[usize::from(database)]);
        for (key, grave) in keys {
            self.bytes -= key.len() + OVERHEAD;
            self.order.remove(&(grave.until, database, key));
        }
    }

    /// Forgets up to `most` keys whose time is over.
    pub(super) fn sweep(&mut self, now: Millis, most: usize) {
        for _ in 0..most {
            match self.order.first() {
                Some((until, ..)) if *until <= now => self.forget_first(),
                _ => return,
            }
        }
    }

    fn forget_first(&mut self) {
        if let Some((_, database, key)) = self.order.pop_first() {
            self.bytes -= key.len() + OVERHEAD;
            self.keys[usize::from(database)].remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = Millis::from_unix(1_000);

    fn grave(ms: u64) -> Grave {
        Grave {
            open: NOW,
            until: NOW.after_ms(ms),
        }
    }

    #[test]
    fn a_key_is_remembered_in_its_database_and_for_its_time() {
        let mut graves = Graves::default();
        graves.put(0, b"k", grave(10));
        assert_eq!(graves.fate(NOW.after_ms(9), 0, b"k"), Fate::Dead);
        assert_eq!(graves.fate(NOW.after_ms(10), 0, b"k"), Fate::Free);
        assert_eq!(graves.fate(NOW, 1, b"k"), Fate::Free);
        assert_eq!(graves.fate(NOW, 0, b"other"), Fate::Free);
        let open = NOW.after_ms(20);
        let until = NOW.after_ms(30);
        graves.put(0, b"k", Grave { open, until });
        assert_eq!(graves.fate(NOW.after_ms(19), 0, b"k"), Fate::Ends(open));
        assert_eq!(graves.fate(NOW.after_ms(29), 0, b"k"), Fate::Dead);
        graves.remove(0, b"k");
        graves.remove(0, b"k");
        assert_eq!(graves.fate(NOW, 0, b"k"), Fate::Free);
        assert!(graves.order.is_empty() && graves.bytes == 0);
    }

    #[test]
    fn what_is_over_is_swept_in_steps_and_a_database_is_cleared_alone() {
        let mut graves = Graves::default();
        for n in 0..10_u8 {
            graves.put(n % 2, &[n], grave(u64::from(n)));
        }
        graves.sweep(NOW.after_ms(5), 4);
        assert_eq!(graves.order.len(), 6);
        graves.sweep(NOW.after_ms(5), 100);
        assert_eq!(graves.order.len(), 4);
        graves.clear(0);
        let left: Vec<_> = graves
            .order
            .iter()
            .map(|(_, of, key)| (*of, key[0]))
            .collect();
        assert_eq!(left, [(1, 7), (1, 9)]);
        assert_eq!(graves.bytes, 2 * (1 + OVERHEAD));
    }

    #[test]
    fn memory_is_bounded_and_the_next_to_be_forgotten_goes() {
        let mut graves = Graves::default();
        let key = |n: u32| [&[b'x'; 1_000][..], &n.to_le_bytes()].concat();
        for n in 0..10_000 {
            graves.put(3, &key(n), grave(1_000_000 - u64::from(n)));
            assert!(graves.bytes <= MOST);
        }
        assert_eq!(graves.fate(NOW, 3, &key(0)), Fate::Dead, "it lasts longest");
        assert_eq!(graves.fate(NOW, 3, &key(9_999)), Fate::Free);
        let all: usize = graves.keys.iter().map(HashMap::len).sum();
        assert_eq!(all, graves.order.len());
        assert_eq!(all, MOST / (1_004 + OVERHEAD));
    }
}
