//! Where pages come from, and which page numbers are taken.
//!
//! A [`PageSource`] gives memory for page numbers; [`Pages`] decides about the numbers. Pages are
//! 64 KiB and are taken in runs. Nothing else of the engine knows what a page is made of. Bytes
//! are addressed over all pages: byte `n` of page `p` is at `p * PAGE + n`, and a source over a
//! file has it there in the file.
//!
//! [`PageSource::store`] is the only way to change a page. A test that wants to stop the engine
//! after any store to memory implements it.

use std::collections::BTreeMap;
use std::io;

use super::superblock::{self, FRONT};

/// Bytes of a page. A run of them is the least that is taken from the system or given back.
pub(super) const PAGE: usize = 64 << 10;
/// What the bytes of a run are aligned to: words of the region are words of memory.
const ALIGN: usize = 8;
/// Page numbers end here: slots are numbered in 32 bits of 16 bytes each, and the last of these
/// numbers are not slots (see the wheel).
pub(super) const PAGES_END: u32 = 0xFFFF_0000 >> 12;
/// How many free runs are looked at for a large one before the numbers grow.
const SEARCH: usize = 256;

/// Where a page begins.
pub(super) fn page_at(page: u32) -> u64 {
    u64::from(page) * PAGE as u64
}

/// Memory by page number.
pub(crate) trait PageSource: Send {
    /// Makes a run of pages usable. Its bytes are zero, and aligned in memory as they are in the
    /// region, up to [`ALIGN`].
    ///
    /// # Errors
    /// What the system says; then nothing was taken.
    fn take(&mut self, first: u32, pages: u32) -> io::Result<()>;

    /// Gives a run's memory back to the system.
    fn give_back(&mut self, first: u32, pages: u32);

    /// The bytes from this one of a run that was taken, at least up to its end.
    fn bytes(&self, at: u64) -> &[u8];

    /// Writes into a run that was taken.
    fn store(&mut self, at: u64, bytes: &[u8]);
}

/// Pages from the allocator of this process; they end with it.
#[derive(Debug, Default)]
pub(crate) struct HeapPages(Vec<HeapPage>);

#[derive(Debug)]
enum HeapPage {
    Free,
    /// The first of a run, with its bytes: from the given one on, which is aligned.
    Head(Box<[u8]>, usize),
    /// So many pages behind the first of its run.
    Behind(u32),
}

impl HeapPages {
    /// The first page of the run with this byte, and where in it the byte is.
    fn find(&self, at: u64) -> (usize, usize) {
        let page = usize::try_from(at / PAGE as u64).expect("it was taken, so it is in memory");
        let offset = usize::try_from(at % PAGE as u64).expect("less than a page");
        match self.0[page] {
            HeapPage::Behind(behind) => (page - behind as usize, behind as usize * PAGE + offset),
            _ => (page, offset),
        }
    }
}

impl PageSource for HeapPages {
    fn take(&mut self, first: u32, pages: u32) -> io::Result<()> {
        let range = first as usize..(first + pages) as usize;
        let len = range.len() * PAGE + ALIGN - 1;
        let mut memory = Vec::new();
        memory.try_reserve_exact(len)?;
        memory.resize(len, 0);
        let memory = memory.into_boxed_slice();
        let start = memory.as_ptr().addr().wrapping_neg() % ALIGN;
        if self.0.len() < range.end {
            self.0.resize_with(range.end, || HeapPage::Free);
        }
        for (page, behind) in range.clone().zip(0..) {
            self.0[page] = HeapPage::Behind(behind);
        }
        self.0[range.start] = HeapPage::Head(memory, start);
        Ok(())
    }

    fn give_back(&mut self, first: u32, pages: u32) {
        let run = first as usize..(first + pages) as usize;
        self.0[run].fill_with(|| HeapPage::Free);
    }

    fn bytes(&self, at: u64) -> &[u8] {
        let (head, offset) = self.find(at);
        match &self.0[head] {
            HeapPage::Head(bytes, start) => {
                let end = start + bytes.len() + 1 - ALIGN;
                &bytes[start + offset..end]
            }
            _ => panic!("page {head} is not taken"),
        }
    }

    fn store(&mut self, at: u64, bytes: &[u8]) {
        let (head, offset) = self.find(at);
        match &mut self.0[head] {
            HeapPage::Head(run, start) => {
                let at = *start + offset;
                run[at..at + bytes.len()].copy_from_slice(bytes);
            }
            _ => panic!("page {head} is not taken"),
        }
    }
}

/// A page source and the account of its page numbers.
#[derive(Debug)]
pub(super) struct Pages<P> {
    pub(super) source: P,
    /// Numbers below `end` that are free: first of a run to its length. No two runs touch.
    free: BTreeMap<u32, u32>,
    end: u32,
    /// What the region says of `end`: at least that.
    noted: u32,
    taken: u32,
}

impl<P: PageSource> Pages<P> {
    /// Over a source whose front was taken.
    pub(super) fn new(source: P) -> Self {
        Self {
            source,
            free: BTreeMap::new(),
            end: FRONT,
            noted: FRONT,
            taken: 0,
        }
    }

    /// Over a source where these runs are taken already, in order and none in another, of `pages`
    /// in all. What lies between them is given back.
    pub(super) fn restore(mut source: P, runs: &[(u32, u32)], pages: u32) -> Self {
        let end = runs.last().map_or(FRONT, |(first, len)| first + len);
        superblock::set_end(&mut source, end);
        let (mut free, mut at, mut taken) = (BTreeMap::new(), FRONT, 0);
        for (first, len) in runs {
            if *first > at {
                source.give_back(at, first - at);
                free.insert(at, first - at);
            }
            at = first + len;
            taken += len;
        }
        if pages > at {
            source.give_back(at, pages - at);
        }
        Self {
            source,
            free,
            end,
            noted: end,
            taken,
        }
    }

    /// How many pages are taken.
    pub(super) fn taken(&self) -> usize {
        self.taken as usize
    }

    /// No page from this number on is taken.
    pub(super) fn end(&self) -> u32 {
        self.end
    }

    /// The region does not name a page from this number on.
    pub(super) fn noted_end(&self) -> u32 {
        self.noted
    }

    /// The pages that are taken, those of the front too, and maybe some more: what lies between
    /// the free runs.
    pub(super) fn in_use(&self) -> Vec<(u32, u32)> {
        let (mut runs, mut at) = (Vec::new(), 0);
        for (first, len) in &self.free {
            runs.push((at, first - at));
            at = first + len;
        }
        runs.push((at, self.end - at));
        runs
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
            tracing::debug!(%error, pages, "no memory for a run of pages");
            return None;
        }
        if let Some((_, len)) = fits {
            self.free.remove(&first);
            if len > pages {
                self.free.insert(end, len - pages);
            }
        } else {
            self.end = end;
            if end > self.noted {
                superblock::set_end(&mut self.source, end);
                self.noted = end;
            }
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
            assert!(self.source.bytes(page_at(first)).len() >= len as usize * PAGE);
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
        let (mut at, mut was_free) = (FRONT, false);
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

    fn pages() -> Pages<HeapPages> {
        let mut source = HeapPages::default();
        source.take(0, FRONT).unwrap();
        Pages::new(source)
    }

    #[test]
    fn numbers_that_come_back_are_joined_and_used_again() {
        let mut pages = pages();
        let runs: Vec<u32> = [1, 4, 2, 1].map(|n| pages.take(n).unwrap()).into();
        assert_eq!(runs, [0, 1, 5, 7].map(|n| FRONT + n));
        pages.give_back(FRONT + 1, 4);
        pages.give_back(FRONT + 5, 2);
        pages.check([(FRONT, 1), (FRONT + 7, 1)].into_iter());
        assert_eq!(pages.take(5), Some(FRONT + 1));
        pages.give_back(FRONT + 7, 1);
        pages.check([(FRONT, 1), (FRONT + 1, 5)].into_iter());
        assert_eq!((pages.taken(), pages.take(3)), (6, Some(FRONT + 6)));
    }

    #[test]
    fn a_page_is_zero_when_it_is_taken_again() {
        let mut pages = pages();
        let first = pages.take(2).unwrap();
        let at = page_at(first + 1) + 8;
        pages.source.store(at, &[1; 8]);
        assert_eq!(pages.source.bytes(at)[..8], [1; 8]);
        pages.give_back(first, 2);
        assert_eq!(pages.take(2), Some(first));
        let bytes = pages.source.bytes(page_at(first));
        assert_eq!(bytes.as_ptr().addr() % ALIGN, 0);
        assert!(bytes.len() == 2 * PAGE && bytes.iter().all(|byte| *byte == 0));
    }
}
