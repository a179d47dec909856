//! Which entries went by themselves, for whoever wants to be told of it.
//!
//! Noted where they are removed: by the sweep, by eviction, or by whatever meets a key whose entry
//! is past its deadline. Nothing is noted, and nothing paid, until somebody asks.

use super::engine::Engine;
use super::pages::PageSource;
use super::slots::Slot;
use crate::contract::Gone;

/// The most memory that what was noted may take, in bytes. Whoever asks does so every few
/// milliseconds; what goes beyond this in between is not told.
const MOST: usize = 1 << 20;
/// What a note takes besides the key, about.
const OVERHEAD: usize = 32;

/// What was noted since somebody asked last.
#[derive(Debug, Default)]
pub(super) struct Notes {
    notes: Vec<(Gone, Box<[u8]>)>,
    bytes: usize,
}

impl<P: PageSource> Engine<P> {
    /// What went by itself since this was last asked, in order. From now on it is noted.
    pub(crate) fn take_gone(&mut self) -> Vec<(Gone, Box<[u8]>)> {
        let notes = self.gone.get_or_insert_default();
        std::mem::take(notes).notes
    }

    /// Nobody wants to be told any more.
    pub(crate) fn ignore_gone(&mut self) {
        self.gone = None;
    }

    /// The entry in this slot is about to go.
    pub(super) fn note(&mut self, gone: Gone, slot: Slot) {
        let Some(notes) = &mut self.gone else { return };
        let key = self.slots.key(slot);
        if notes.bytes + key.len() + OVERHEAD <= MOST {
            notes.bytes += key.len() + OVERHEAD;
            notes.notes.push((gone, key.into()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::WhenFull;
    use crate::contract::Kind;
    use crate::store::engine::Left;
    use crate::store::pages::HeapPages;
    use crate::store::superblock::HashKey;
    use crate::time::Millis;

    fn store() -> Engine<HeapPages> {
        let mut store = Engine::create(HeapPages::default(), HashKey([0; 16])).unwrap();
        store.advance(Millis::from_unix(1));
        store
    }

    fn set(store: &mut Engine<HeapPages>, key: &[u8], deadline: Option<u64>) {
        let (place, seq) = (store.locate(key), store.number());
        let deadline = deadline.map(Millis::from_unix);
        let done = store.put(place, key, (Kind::Bytes, &[7; 100]), deadline, seq);
        done.expect("there is room");
    }

    fn expired(store: &mut Engine<HeapPages>) -> Vec<String> {
        let name = |(gone, key): (Gone, Box<[u8]>)| {
            assert_eq!(gone, Gone::Expired);
            key.escape_ascii().to_string()
        };
        let mut keys: Vec<_> = store.take_gone().into_iter().map(name).collect();
        keys.sort();
        keys
    }

    #[test]
    fn what_expires_is_noted_once_whoever_finds_it() {
        let mut store = store();
        for key in [b"unasked", b"skipped"] {
            set(&mut store, key, Some(2));
        }
        store.advance(Millis::from_unix(3));
        while store.upkeep() == Left::More {}
        assert!(expired(&mut store).is_empty(), "nobody had asked before");
        for key in [b"swept", b"again", b"taken"] {
            set(&mut store, key, Some(10));
        }
        set(&mut store, b"lives", Some(20));
        set(&mut store, b"goes", Some(20));
        store.advance(Millis::from_unix(10));
        set(&mut store, b"again", None);
        let place = store.locate(b"taken");
        store.remove(place);
        let place = store.locate(b"goes");
        store.remove(place);
        set(&mut store, b"lives", None);
        while store.upkeep() == Left::More {}
        assert_eq!(expired(&mut store), ["again", "swept", "taken"]);
        assert!(expired(&mut store).is_empty());
        store.ignore_gone();
        set(&mut store, b"ignored", Some(11));
        store.advance(Millis::from_unix(12));
        while store.upkeep() == Left::More {}
        assert!(expired(&mut store).is_empty());
    }

    #[test]
    fn what_is_evicted_is_noted_within_bounds() {
        let mut store = store();
        store.set_bound(2 << 20);
        store.set_when_full(WhenFull::Evict);
        store.take_gone();
        let (mut told, mut noted) = (0, 0);
        for number in 0..100_000u32 {
            set(&mut store, &number.to_le_bytes(), None);
            if number < 50_000 {
                let gone = store.take_gone();
                assert!(gone.iter().all(|(gone, _)| *gone == Gone::Evicted));
                told += gone.len() as u64;
                assert_eq!(told, store.evicted());
            }
            noted = store.gone.as_ref().unwrap().bytes;
            assert!(noted <= MOST);
        }
        assert!(told > 0 && noted > MOST - 100, "{told} {noted}");
    }
}
