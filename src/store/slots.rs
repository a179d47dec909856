//! The slots of all slabs: taking one, writing an entry into it, erasing it.
//!
//! A slot is named by its position in units of 16 bytes over all pages. Every change to a page
//! goes out from here, in the order that keeps a half-written entry unseen: first key and value,
//! then the header's first two words, last the word that says it is there. An entry that is
//! written anew gets another slot, and the old one is erased after: at every moment one of the
//! two is whole.
//!
//! A slab without entries goes back to the system, except one per class that would be needed
//! again at once; where memory is short, that one too. [`Slots::spare`] keeps free slots for
//! entries that are written anew.

use super::class::{CLASSES, Class};
use super::entry::{self, Due, Entry, HEADER, Header, STATE_AT};
use super::pages::{PAGE, PageSource, Pages};
use super::shelves::Shelves;
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
    pub(super) fn begin(self) -> u64 {
        u64::from(self.0) * UNIT as u64
    }

    fn page(self) -> usize {
        (self.0 >> 12) as usize
    }

    /// The smallest position behind this one; whether a slot begins there is another matter.
    pub(super) fn after(self) -> Self {
        Self(self.0 + 1)
    }

    /// Bytes from the beginning of a run.
    pub(super) fn offset_from(self, first: u32) -> usize {
        (self.0 - (first << 12)) as usize * UNIT
    }
}

/// Why no slot could be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lack {
    /// So many bytes were needed, and there is less room.
    Room(u64),
    /// The system has no memory, or the page numbers are at their end.
    System,
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
    pub(super) shelves: Shelves,
    /// So many free slots a new entry leaves in its class, so that an entry can always be written
    /// anew in its own.
    pub(super) spare: u32,
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
            shelves: Shelves::new(),
            spare: 1,
            cleared: Vec::new(),
            graves: Vec::new(),
            heap: 0,
        }
    }

    /// Bytes of the pages and of what is kept beside them.
    pub(super) fn memory(&self) -> u64 {
        let gone = self.graves.iter().chain(&self.cleared);
        let tables = gone.map(Vec::capacity).sum::<usize>() + self.uses.capacity();
        let graves = (self.graves.capacity() + self.cleared.capacity()) * size_of::<Vec<Use>>();
        (tables * size_of::<Use>() + graves) as u64 + self.slab_memory() + FRONT_BYTES
    }

    /// Bytes of all slabs.
    pub(super) fn slab_memory(&self) -> u64 {
        (self.pages.taken() * PAGE + self.heap) as u64
    }

    /// Takes a slot for `len` bytes, and not more memory than `room`. `old` is the slot that will
    /// be erased in exchange: where it is large enough, its class always has a free one, and a
    /// run of pages that an entry has for itself counts as room.
    pub(super) fn take(&mut self, len: usize, room: u64, old: Option<Slot>) -> Result<Slot, Lack> {
        let class = Class::of(len);
        let old = old.map(|old| self.slab(old));
        let own = old.and_then(|old| old.class);
        let alone = old.filter(|old| old.class.is_none());
        let (is_alone, room) = (alone.is_some(), room + alone.map_or(0, Slab::memory));
        let lack = match class {
            Some(class) => {
                let spare = if own == Some(class) { 0 } else { self.spare };
                if self.shelves.free(class) > spare {
                    return Ok(self.take_of(class));
                }
                match self.take_slab(Some(class), len, room) {
                    Ok(_) => return Ok(self.take_of(class)),
                    Err(lack) => lack,
                }
            }
            None => return self.take_run(len, room),
        };
        match own {
            Some(own) if own.slot_size() >= len && self.shelves.free(own) > 0 => {
                Ok(self.take_of(own))
            }
            None if is_alone => self.take_run(len, room),
            _ => Err(lack),
        }
    }

    /// Takes pages for one entry.
    fn take_run(&mut self, len: usize, room: u64) -> Result<Slot, Lack> {
        let first = self.take_slab(None, len, room)?;
        Ok(self.take_in(first))
    }

    /// Takes a slot of a class that has a free one.
    fn take_of(&mut self, class: Class) -> Slot {
        let first = self.shelves.fullest(class);
        self.take_in(first.expect("a class with a free slot has a slab with one"))
    }

    /// Takes a slot of a slab that has a free one.
    pub(super) fn take_in(&mut self, first: u32) -> Slot {
        let slab = self.head_mut(first);
        let slot = slab.take();
        let is_misplaced = slab.tier() != slab.shelf;
        if let Some(class) = slab.class {
            self.shelves.took(class);
        }
        if is_misplaced {
            self.shelve(first);
        }
        slot
    }

    pub(super) fn take_slab(
        &mut self,
        class: Option<Class>,
        len: usize,
        room: u64,
    ) -> Result<u32, Lack> {
        let pages = match class {
            Some(class) => class.pages(),
            None => u32::try_from(len.div_ceil(PAGE)).map_err(|_| Lack::System)?,
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
            return Err(Lack::Room(needed));
        }
        let first = self.pages.take(pages).ok_or(Lack::System)?;
        let used = superblock::Use::of(class);
        superblock::set_use(&mut self.pages.source, first, Some(used));
        self.install(Slab::new(first, pages, class));
        Ok(first)
    }

    /// Takes a slab up whose pages are taken.
    pub(super) fn install(&mut self, slab: Slab) {
        self.heap += slab.heap();
        let first = slab.first;
        let at = first as usize;
        let last = if slab.class.is_some() {
            at + slab.pages as usize
        } else {
            at + 1
        };
        if self.uses.len() < last {
            self.uses.resize_with(last, || Use::None);
        }
        if let Some(class) = slab.class {
            self.shelves.joined(class, slab.free());
        }
        self.uses[at] = Use::Head(Box::new(slab));
        for (page, behind) in (at + 1..last).zip(1..) {
            self.uses[page] = Use::Behind(behind);
        }
        self.shelve(first);
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
        for number in 0..CLASSES {
            if freed >= bytes {
                break;
            }
            let class = Class::numbered(u8::try_from(number).expect("few classes"));
            // The last free slots of a class that is in use are not given away.
            let is_dear = !self.shelves.is_unused(class)
                && !self.shelves.could_spare_a_slab(class, self.spare);
            if is_dear || !self.drop_empty(class) {
                continue;
            }
            freed = before.saturating_sub(self.memory());
        }
        freed
    }

    /// Gives an empty slab of a class back; whether there was one.
    pub(super) fn drop_empty(&mut self, class: Class) -> bool {
        let empty = self.shelves.empty(class);
        if let Some(first) = empty {
            self.give_back_slab(first);
        }
        empty.is_some()
    }

    /// Writes an entry into a slot that was taken for it.
    pub(super) fn write(&mut self, slot: Slot, header: &Header, key: &[u8], value: &[u8]) {
        let (begin, source) = (slot.begin(), &mut self.pages.source);
        source.store(begin + HEADER as u64, key);
        source.store(begin + (HEADER + key.len()) as u64, value);
        self.write_header(slot, header);
    }

    pub(super) fn write_header(&mut self, slot: Slot, header: &Header) {
        let (begin, source) = (slot.begin(), &mut self.pages.source);
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
        let is_misplaced = slab.tier() != slab.shelf;
        let Some(class) = slab.class else {
            self.give_back_slab(first);
            return;
        };
        let (is_empty, free) = (slab.is_empty(), slab.free());
        self.shelves.gave_back(class);
        if is_empty && self.shelves.free(class) > free {
            self.give_back_slab(first);
        } else if is_misplaced {
            self.shelve(first);
        }
    }

    /// The first slot at or behind this position that is taken.
    pub(super) fn next_taken(&self, from: Slot) -> Option<Slot> {
        let mut at = from;
        loop {
            let next = match self.uses.get(at.page())? {
                Use::None => (at.0 >> 12) + 1,
                Use::Head(_) | Use::Behind(_) => {
                    let slab = self.slab(at);
                    if let Some(slot) = slab.next_taken(at) {
                        return Some(slot);
                    }
                    slab.first + slab.pages
                }
            };
            at = Slot::at(next, 0);
        }
    }

    /// The entry in a slot.
    pub(super) fn entry(&self, slot: Slot) -> Entry<'_> {
        Entry::read(self.bytes(slot))
    }

    /// The key of the entry in a slot.
    pub(super) fn key(&self, slot: Slot) -> &[u8] {
        entry::key_of(self.bytes(slot))
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
        self.shelves.clear();
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

    pub(super) fn head(&self, first: u32) -> &Slab {
        match &self.uses[first as usize] {
            Use::Head(slab) => slab,
            other => panic!("page {first} has no slab: {other:?}"),
        }
    }

    pub(super) fn head_mut(&mut self, first: u32) -> &mut Slab {
        match &mut self.uses[first as usize] {
            Use::Head(slab) => slab,
            other => panic!("page {first} has no slab: {other:?}"),
        }
    }

    fn give_back_slab(&mut self, first: u32) {
        self.unshelve(first);
        let slab = self.head(first);
        let (pages, heap) = (slab.pages, slab.heap());
        let last = match slab.class {
            Some(class) => {
                self.shelves.left(class);
                first + pages
            }
            None => first + 1,
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
        let (mut taken, mut firsts) = (Vec::new(), Vec::new());
        for slab in slabs(&self.uses) {
            taken.extend(slab.taken());
            let used = superblock::use_of(&self.pages.source, slab.first);
            assert_eq!(used, Some(superblock::Use::of(slab.class)));
            if slab.class.is_none() {
                assert!(!slab.is_empty(), "an empty run is kept");
                continue;
            }
            firsts.push(slab.first);
            let pages = slab.first as usize..(slab.first + slab.pages) as usize;
            for (behind, page) in (0..).zip(pages).skip(1) {
                assert!(matches!(self.uses[page], Use::Behind(n) if n == behind));
            }
        }
        self.check_shelves(&firsts);
        let gone = || self.graves.iter().chain(&self.cleared);
        let all = || slabs(&self.uses).chain(gone().flat_map(|uses| slabs(uses)));
        assert_eq!(self.heap, all().map(Slab::heap).sum::<usize>());
        self.pages.check(all().map(|slab| (slab.first, slab.pages)));
        taken
    }
}
