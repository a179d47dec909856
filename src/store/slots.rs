//! The slots of all slabs: taking one, writing an entry into it, erasing it.
//!
//! A slot is named by its position in units of 16 bytes over all pages. Every change to a page
//! goes out from here, in the order that keeps a half-written entry unseen: first key and value,
//! then the header's first two words, last the word that says it is there. An entry that is
//! written anew gets another slot, and the old one is erased after: at every moment one of the
//! two is whole.
//!
//! A slab without entries goes back to the system, except one per class that would be needed
//! again at once; where memory is short, that one too.

use super::class::{CLASSES, Class};
use super::entry::{self, Due, Entry, HEADER, Header, STATE_AT};
use super::pages::{PAGE, PageSource, Pages};
use super::slab::{Link, Slab};
use super::superblock::{self, FRONT_BYTES};

/// Bytes a slot number stands for.
const UNIT: usize = 16;
/// Pages given back by one step of [`Slots::bury`].
const BURY_STEP: u32 = 16;

/// The position of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Slot(pub(super) u32);

impl Slot {
    pub(super) fn at(first: u32, offset: usize) -> Self {
        let units = u32::try_from(offset / UNIT).expect("a slab has less than 2^32 units");
        Self((first << 12) + units)
    }

    /// Its first byte.
    fn begin(self) -> u64 {
        u64::from(self.0) * UNIT as u64
    }

    fn page(self) -> usize {
        (self.0 >> 12) as usize
    }

    /// Bytes from the beginning of a run.
    pub(super) fn offset_from(self, first: u32) -> usize {
        (self.0 - (first << 12)) as usize * UNIT
    }
}

/// What a page number is used for.
#[derive(Debug)]
enum Use {
    /// Nothing, or the inside of a large entry.
    None,
    /// The first page of a slab.
    Head(Box<Slab>),
    /// So many pages behind the first page of its slab.
    Behind(u32),
}

/// All slots over a page source.
#[derive(Debug)]
pub(super) struct Slots<P> {
    pub(super) pages: Pages<P>,
    uses: Vec<Use>,
    /// By class, the first pages of the slabs with a free slot.
    partial: Box<[Vec<u32>]>,
    /// What `clear` took out.
    cleared: Vec<Vec<Use>>,
    /// What of that may go: its pages are given back in steps.
    graves: Vec<Vec<Use>>,
    /// Heap bytes of the slabs, buried ones included.
    heap: usize,
}

impl<P: PageSource> Slots<P> {
    pub(super) fn new(pages: Pages<P>) -> Self {
        Self {
            pages,
            uses: Vec::new(),
            partial: vec![Vec::new(); CLASSES].into(),
            cleared: Vec::new(),
            graves: Vec::new(),
            heap: 0,
        }
    }

    /// Bytes of the pages and of what is kept beside them.
    pub(super) fn memory(&self) -> u64 {
        let uses = self.uses.capacity() * size_of::<Use>();
        (self.pages.taken() * PAGE + self.heap + uses) as u64 + FRONT_BYTES
    }

    /// Takes a slot for `len` bytes, and not more memory than `room`; `None` where that does not
    /// do.
    pub(super) fn take(&mut self, len: usize, room: u64) -> Option<Slot> {
        let class = Class::of(len);
        let partial = class.and_then(|class| self.partial[class.number()].last());
        let first = match partial {
            Some(first) => *first,
            None => self.take_slab(class, len, room)?,
        };
        let slab = self.head_mut(first);
        let slot = slab.take();
        if slab.is_full() {
            self.leave_partial(first);
        }
        Some(slot)
    }

    fn take_slab(&mut self, class: Option<Class>, len: usize, room: u64) -> Option<u32> {
        let pages = match class {
            Some(class) => class.pages(),
            None => u32::try_from(len.div_ceil(PAGE)).ok()?,
        };
        let table = self.table_growth(pages) * size_of::<Use>();
        let needed = (pages as usize * PAGE + Slab::heap_of(class) + table) as u64;
        let room = room
            + if needed > room {
                self.release(needed - room)
            } else {
                0
            };
        if needed > room {
            return None;
        }
        let first = self.pages.take(pages)?;
        let used = superblock::Use::of(class);
        superblock::set_use(&mut self.pages.source, first, Some(used));
        self.install(Slab::new(first, pages, class));
        Some(first)
    }

    /// Takes a slab up whose pages are taken.
    pub(super) fn install(&mut self, slab: Slab) {
        self.heap += slab.heap();
        let (first, is_open) = (slab.first, slab.class.is_some() && !slab.is_full());
        let at = first as usize;
        let last = if slab.class.is_some() {
            at + slab.pages as usize
        } else {
            at + 1
        };
        if self.uses.len() < last {
            self.uses.resize_with(last, || Use::None);
        }
        self.uses[at] = Use::Head(Box::new(slab));
        for (page, behind) in (at + 1..last).zip(1..) {
            self.uses[page] = Use::Behind(behind);
        }
        if is_open {
            self.join_partial(first);
        }
    }

    /// By how many elements `uses` grows at the most for so many more pages.
    fn table_growth(&self, pages: u32) -> usize {
        let (len, capacity) = ((self.pages.end() + pages) as usize, self.uses.capacity());
        if len <= capacity {
            return 0;
        }
        len.max(2 * capacity).max(4) - capacity
    }

    /// Gives back what is buried and the slabs that are kept though empty, until `bytes` are
    /// free; how many are.
    fn release(&mut self, bytes: u64) -> u64 {
        let before = self.memory();
        let mut freed = 0;
        while freed < bytes && self.bury() {
            freed = before.saturating_sub(self.memory());
        }
        for class in 0..CLASSES {
            if freed >= bytes {
                break;
            }
            let empty = self.partial[class].iter().copied();
            let empty: Vec<u32> = empty.filter(|first| self.head(*first).is_empty()).collect();
            for first in empty {
                self.give_back_slab(first);
            }
            freed = before.saturating_sub(self.memory());
        }
        freed
    }

    /// Writes an entry into a slot that was taken for it.
    pub(super) fn write(&mut self, slot: Slot, header: &Header, key: &[u8], value: &[u8]) {
        let (begin, source) = (slot.begin(), &mut self.pages.source);
        source.store(begin + HEADER as u64, key);
        source.store(begin + (HEADER + key.len()) as u64, value);
        source.store(begin, &header.front());
        source.store(begin + STATE_AT, &header.state().to_le_bytes());
    }

    /// Moves the deadline of an entry: one store.
    pub(super) fn set_due(&mut self, slot: Slot, due: Due) {
        let header = Header::read(self.bytes(slot));
        let word = Header { due, ..header }.first();
        self.pages.source.store(slot.begin(), &word.to_le_bytes());
    }

    /// Erases an entry and frees its slot.
    pub(super) fn erase(&mut self, slot: Slot) {
        self.void(slot);
        self.put_back(slot);
    }

    /// Gives back a run whose slab was not taken up, because nothing is in it.
    pub(super) fn abandon(&mut self, first: u32, pages: u32) {
        superblock::set_use(&mut self.pages.source, first, None);
        self.pages.give_back(first, pages);
    }

    /// Marks that no entry is in a slot, which may be one of a slab not taken up yet.
    pub(super) fn void(&mut self, slot: Slot) {
        self.pages.source.store(slot.begin() + STATE_AT, &[0; 8]);
    }

    /// Frees a slot that no entry was written into.
    pub(super) fn put_back(&mut self, slot: Slot) {
        let first = self.first(slot);
        let slab = self.head_mut(first);
        slab.give_back(slot);
        if slab.class.is_none() {
            self.give_back_slab(first);
            return;
        }
        let (is_empty, is_listed) = (slab.is_empty(), slab.rank.is_some());
        if !is_listed {
            self.join_partial(first);
        } else if is_empty && self.siblings(first) > 1 {
            self.give_back_slab(first);
        }
    }

    /// The entry in a slot.
    pub(super) fn entry(&self, slot: Slot) -> Entry<'_> {
        Entry::read(self.bytes(slot))
    }

    /// When the entry in a slot ends.
    pub(super) fn due(&self, slot: Slot) -> Due {
        entry::due_of(self.bytes(slot))
    }

    /// The slot's place in the wheel's lists.
    pub(super) fn link_mut(&mut self, slot: Slot) -> &mut Link {
        self.slab_mut(slot).link_mut(slot)
    }

    pub(super) fn slab(&self, slot: Slot) -> &Slab {
        self.head(self.first(slot))
    }

    pub(super) fn slab_mut(&mut self, slot: Slot) -> &mut Slab {
        self.head_mut(self.first(slot))
    }

    /// Forgets all entries; their pages stay until they are let go.
    pub(super) fn clear(&mut self) {
        self.cleared.push(std::mem::take(&mut self.uses));
        self.partial.iter_mut().for_each(Vec::clear);
    }

    /// Has [`bury`](Self::bury) give back the pages of what was cleared.
    pub(super) fn let_go(&mut self) {
        self.graves.append(&mut self.cleared);
    }

    /// Gives back some pages of what was cleared; whether there may be more.
    pub(super) fn bury(&mut self) -> bool {
        let Some(grave) = self.graves.last_mut() else {
            return false;
        };
        let mut pages = 0;
        while pages < BURY_STEP {
            match grave.pop() {
                Some(Use::Head(slab)) => {
                    pages += slab.pages;
                    self.heap -= slab.heap();
                    superblock::set_use(&mut self.pages.source, slab.first, None);
                    self.pages.give_back(slab.first, slab.pages);
                }
                Some(_) => {}
                None => {
                    self.graves.pop();
                    break;
                }
            }
        }
        true
    }

    /// From the slot's first byte at least up to its run's end.
    pub(super) fn bytes(&self, slot: Slot) -> &[u8] {
        self.pages.source.bytes(slot.begin())
    }

    fn first(&self, slot: Slot) -> u32 {
        let page = slot.0 >> 12;
        match self.uses[slot.page()] {
            Use::Behind(behind) => page - behind,
            _ => page,
        }
    }

    fn head(&self, first: u32) -> &Slab {
        match &self.uses[first as usize] {
            Use::Head(slab) => slab,
            other => panic!("page {first} has no slab: {other:?}"),
        }
    }

    fn head_mut(&mut self, first: u32) -> &mut Slab {
        match &mut self.uses[first as usize] {
            Use::Head(slab) => slab,
            other => panic!("page {first} has no slab: {other:?}"),
        }
    }

    /// How many slabs of this one's class have a free slot.
    fn siblings(&self, first: u32) -> usize {
        let class = self.head(first).class;
        class.map_or(0, |class| self.partial[class.number()].len())
    }

    fn join_partial(&mut self, first: u32) {
        let class = self.head(first).class.expect("a slab of a class");
        let partial = &mut self.partial[class.number()];
        let rank = u32::try_from(partial.len()).expect("fewer slabs than pages");
        partial.push(first);
        self.head_mut(first).rank = Some(rank);
    }

    fn leave_partial(&mut self, first: u32) {
        let slab = self.head_mut(first);
        let (Some(class), Some(rank)) = (slab.class, slab.rank.take()) else {
            return;
        };
        let partial = &mut self.partial[class.number()];
        partial.swap_remove(rank as usize);
        if let Some(moved) = partial.get(rank as usize).copied() {
            self.head_mut(moved).rank = Some(rank);
        }
    }

    fn give_back_slab(&mut self, first: u32) {
        self.leave_partial(first);
        let slab = self.head(first);
        let (pages, heap) = (slab.pages, slab.heap());
        let last = if slab.class.is_some() {
            first + pages
        } else {
            first + 1
        };
        for page in first..last {
            self.uses[page as usize] = Use::None;
        }
        self.heap -= heap;
        self.abandon(first, pages);
    }

    /// Panics unless slabs, lists and page numbers agree; all slots that are taken.
    #[cfg(test)]
    pub(super) fn check(&self) -> Vec<Slot> {
        fn slabs(uses: &[Use]) -> impl Iterator<Item = &Slab> {
            uses.iter().filter_map(|used| match used {
                Use::Head(slab) => Some(&**slab),
                _ => None,
            })
        }
        let (mut taken, mut listed) = (Vec::new(), 0);
        for slab in slabs(&self.uses) {
            taken.extend(slab.taken());
            let used = superblock::use_of(&self.pages.source, slab.first);
            assert_eq!(used, Some(superblock::Use::of(slab.class)));
            let Some(class) = slab.class else {
                assert!(!slab.is_empty(), "an empty run is kept");
                continue;
            };
            assert_eq!(slab.rank.is_none(), slab.is_full());
            if let Some(rank) = slab.rank {
                assert_eq!(self.partial[class.number()][rank as usize], slab.first);
                listed += 1;
            }
            let pages = slab.first as usize..(slab.first + slab.pages) as usize;
            for (behind, page) in (0..).zip(pages).skip(1) {
                assert!(matches!(self.uses[page], Use::Behind(n) if n == behind));
            }
        }
        assert_eq!(listed, self.partial.iter().map(Vec::len).sum::<usize>());
        let gone = || self.graves.iter().chain(&self.cleared);
        let all = || slabs(&self.uses).chain(gone().flat_map(|uses| slabs(uses)));
        assert_eq!(self.heap, all().map(Slab::heap).sum::<usize>());
        self.pages.check(all().map(|slab| (slab.first, slab.pages)));
        taken
    }
}
