//! Where pages come from, and which page numbers are taken.
//!
//! A [`PageSource`] gives memory for page numbers; [`Pages`] decides about the numbers. Pages are
//! 64 KiB and are taken in runs. Nothing else of the engine knows what a page is made of: a
//! source over a file or a memfd has page `n` at byte `n * PAGE`.
//!
//! [`PageSource::store`] is the only way to change a page. A test that wants to stop the engine
//! after any store to memory implements it.

use std::collections::BTreeMap;
use std::io;

/// Bytes of a page. A run of them is the least that is taken from the system or given back.
pub(super) const PAGE: usize = 64 << 10;
/// Page numbers end here: slots are numbered in 32 bits of 16 bytes each, and the last of these
/// numbers are not slots (see the wheel).
pub(super) const PAGES_END: u32 = 0xFFFF_0000 >> 12;
/// How many free runs are looked at for a large one before the numbers grow.
const SEARCH: usize = 256;

/// Memory by page number. A run is known by the number of its first page.
pub(crate) trait PageSource: Send {
    /// Makes the run usable. Its bytes are zero and begin at a multiple of eight.
    ///
    /// # Errors
    /// What the system says; then nothing was taken.
    fn take(&mut self, first: u32, pages: u32) -> io::Result<()>;

    /// Gives the run's memory back to the system.
    fn give_back(&mut self, first: u32, pages: u32);

    /// The bytes of a run that was taken.
    fn bytes(&self, first: u32) -> &[u8];

    /// Writes into a run that was taken.
    fn store(&mut self, first: u32, offset: usize, bytes: &[u8]);
}

/// Pages in the memory of this process; they end with it.
#[derive(Debug, Default)]
pub(crate) struct HeapPages(Vec<Option<Box<[u8]>>>);

impl PageSource for HeapPages {
    fn take(&mut self, first: u32, pages: u32) -> io::Result<()> {
        let first = first as usize;
        let memory: Box<[u8]> = vec![0; pages as usize * PAGE].into();
        debug_assert!(memory.as_ptr().addr() % 8 == 0);
        if self.0.len() <= first {
            self.0.resize_with(first + 1, || None);
        }
        self.0[first] = Some(memory);
        Ok(())
    }

    fn give_back(&mut self, first: u32, _pages: u32) {
        self.0[first as usize] = None;
    }

    fn bytes(&self, first: u32) -> &[u8] {
        let run = self.0[first as usize].as_deref();
        run.expect("only runs that were taken are used")
    }

    fn store(&mut self, first: u32, offset: usize, bytes: &[u8]) {
        let run = self.0[first as usize].as_deref_mut();
        let run = run.expect("only runs that were taken are used");
        run[offset..offset + bytes.len()].copy_from_slice(bytes);
    }
}

/// A page source and the account of its page numbers.
#[derive(Debug)]
pub(super) struct Pages<P> {
    pub(super) source: P,
    /// Numbers below `end` that are free: first of a run to its length. No two runs touch.
    free: BTreeMap<u32, u32>,
    end: u32,
    taken: u32,
}

impl<P: PageSource> Pages<P> {
    pub(super) fn new(source: P) -> Self {
        Self {
            source,
            free: BTreeMap::new(),
            end: 0,
            taken: 0,
        }
    }

    /// How many pages are taken.
    pub(super) fn taken(&self) -> usize {
        self.taken as usize
    }

    /// Takes a run of pages; `None` where the numbers or the system's memory are at their end.
    pub(super) fn take(&mut self, pages: u32) -> Option<u32> {
        let fits = self
            .free
            .iter()
            .take(SEARCH)
            .find(|(_, len)| **len >= pages)
            .map(|(first, len)| (*first, *len));
        let first = fits.map_or(self.end, |(first, _)| first);
        let end = first.checked_add(pages)?;
        if end > PAGES_END {
            return None;
        }
        if let Err(error) = self.source.take(first, pages) {
            tracing::warn!(%error, pages, "no memory for a run of pages");
            return None;
        }
        if let Some((_, len)) = fits {
            self.free.remove(&first);
            if len > pages {
                self.free.insert(end, len - pages);
            }
        } else {
            self.end = end;
        }
        self.taken += pages;
        Some(first)
    }

    pub(super) fn give_back(&mut self, first: u32, pages: u32) {
        self.source.give_back(first, pages);
        self.taken -= pages;
        let (mut first, mut len) = (first, pages);
        if let Some((&before, &its_len)) = self.free.range(..first).next_back() {
            if before + its_len == first {
                self.free.remove(&before);
                (first, len) = (before, its_len + len);
            }
        }
        if let Some(its_len) = self.free.remove(&(first + len)) {
            len += its_len;
        }
        if first + len == self.end {
            self.end = first;
        } else {
            self.free.insert(first, len);
        }
    }

    /// Panics unless the free runs and these taken ones fill the numbers exactly.
    #[cfg(test)]
    pub(super) fn check(&self, taken: impl Iterator<Item = (u32, u32)>) {
        let mut runs: BTreeMap<u32, (u32, bool)> = BTreeMap::new();
        let mut sum = 0;
        for (first, len) in taken {
            assert_eq!(self.source.bytes(first).len(), len as usize * PAGE);
            assert!(
                runs.insert(first, (len, true)).is_none(),
                "page {first} twice"
            );
            sum += len;
        }
        assert_eq!(sum, self.taken);
        for (first, len) in &self.free {
            assert!(runs.insert(*first, (*len, false)).is_none());
        }
        let (mut at, mut was_free) = (0, false);
        for (first, (len, is_taken)) in runs {
            assert_eq!(first, at, "a page is lost or shared");
            assert!(is_taken || !was_free, "free runs touch at {first}");
            (at, was_free) = (first + len, !is_taken);
        }
        assert!(at == self.end && !was_free);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_come_back_are_joined_and_used_again() {
        let mut pages = Pages::new(HeapPages::default());
        let runs: Vec<u32> = [1, 4, 2, 1].map(|n| pages.take(n).unwrap()).into();
        assert_eq!(runs, [0, 1, 5, 7]);
        pages.give_back(1, 4);
        pages.give_back(5, 2);
        pages.check([(0, 1), (7, 1)].into_iter());
        assert_eq!(pages.take(5), Some(1));
        pages.give_back(7, 1);
        pages.check([(0, 1), (1, 5)].into_iter());
        assert_eq!((pages.taken(), pages.take(3)), (6, Some(6)));
    }

    #[test]
    fn a_page_is_zero_when_it_is_taken_again() {
        let mut pages = Pages::new(HeapPages::default());
        let first = pages.take(1).unwrap();
        pages.source.store(first, 8, &[1; 8]);
        assert_eq!(pages.source.bytes(first)[8..16], [1; 8]);
        pages.give_back(first, 1);
        assert_eq!(pages.take(1), Some(first));
        assert!(pages.source.bytes(first).iter().all(|byte| *byte == 0));
    }
}
