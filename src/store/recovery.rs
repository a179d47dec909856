//! Opening a region that is there already: after an end of its master, orderly or not.
//!
//! Everything outside the pages is made anew from them. A region is refused before a byte of it
//! is changed, or opened. What is no whole entry is dropped and counted; of several entries with
//! one key the one written last counts, which is what makes an overwrite safe at every moment.
//!
//! What a killed process leaves behind is its stores up to some point in their order. What a
//! machine that lost its power leaves behind is each block of the file as it was at any time since
//! the last sync; `limbo` sees to it that this does too.

use std::collections::HashSet;

use siphasher::sip::SipHasher13;

use super::engine::Engine;
use super::entry::{Due, Entry, Header};
use super::index::Index;
use super::pages::{PAGE, PageSource, Pages, page_at};
use super::slab::Slab;
use super::slots::{Slot, Slots};
use super::superblock::{self, FRONT, Superblock, Use};
use super::wheel::Wheel;
use crate::contract::Seq;
use crate::time::Millis;

/// Why a region is not opened. It is as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// It does not begin as one.
    #[error("it is not a store of memstore-cluster")]
    Foreign,
    /// Another version of this program made it.
    #[error(
        "it has format {found}, and this version reads format {version}; dump it with the version \
         that wrote it and load that",
        version = superblock::VERSION
    )]
    Version { found: u32 },
    /// Its front is not what was written.
    #[error("its first page is damaged")]
    Damaged,
    /// It ends too early.
    #[error("it is truncated: it has {pages} pages of 64 KiB, and at least {named} belong to it")]
    Truncated { pages: u32, named: u32 },
}

/// What was found in a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Recovered {
    /// Live entries.
    pub(crate) entries: u64,
    /// Dropped: they ended meanwhile.
    pub(crate) expired: u64,
    /// Dropped: they were overwritten, and their master was about to erase them.
    pub(crate) superseded: u64,
    /// Dropped: they are not whole.
    pub(crate) damaged: u64,
}

/// A run of pages that the table names.
struct Run {
    first: u32,
    pages: u32,
    used: Use,
}

impl<P: PageSource> Engine<P> {
    /// The store that is in a region of so many pages.
    ///
    /// # Errors
    /// [`Refused`]; then nothing was changed.
    pub(crate) fn open(source: P, pages: u32, now: Millis) -> Result<(Self, Recovered), Refused> {
        let front = superblock::read(&source, pages)?;
        let (runs, overlaps) = runs(&source, front.end, pages)?;
        let taken: Vec<_> = runs.iter().map(|run| (run.first, run.pages)).collect();
        let mut pages = Pages::restore(source, &taken, pages);
        for first in &overlaps {
            superblock::set_use(&mut pages.source, *first, None);
        }
        let mut engine = Self {
            slots: Slots::new(pages),
            index: Index::new(),
            wheel: Wheel::new(now.as_unix()),
            limbo: None,
            hasher: SipHasher13::new_with_key(&front.key.0),
            seq: Seq(front.cleared.0.max(front.reserved.saturating_sub(1))),
            reserved: front.reserved,
            bound: u64::MAX,
            wanted: 0,
            hand: None,
            gone: None,
            now,
        };
        let mut recovered = Recovered {
            damaged: overlaps.len() as u64,
            ..Recovered::default()
        };
        let mut ended = HashSet::new();
        for run in runs {
            engine.take_up(&run, &front, &mut ended, &mut recovered);
        }
        recovered.expired = ended.len() as u64;
        for slot in ended {
            let hash = engine.hash(engine.slots.key(slot));
            engine.index.remove(hash, slot);
            engine.slots.erase(slot);
        }
        recovered.entries = engine.index.len() as u64;
        Ok((engine, recovered))
    }

    /// Takes up a slab with what is in it. What is past its deadline is taken up too and named in
    /// `ended`: it may be what keeps an older entry with the same key from coming back.
    fn take_up(
        &mut self,
        run: &Run,
        front: &Superblock,
        ended: &mut HashSet<Slot>,
        recovered: &mut Recovered,
    ) {
        let class = match run.used {
            Use::Slab(class) => Some(class),
            Use::Large => None,
        };
        let mut slab = Slab::new(run.first, run.pages, class);
        let mut live = Vec::new();
        for index in 0..slab.slots() {
            let slot = slab.slot(index);
            match Entry::find(&self.slots.bytes(slot)[..slab.slot_size()]) {
                None => {}
                Some(Ok(entry)) if entry.header.seq > front.cleared => {
                    slab.take_at(index);
                    live.push(slot);
                }
                // What was cleared may be there yet.
                Some(Ok(_)) => self.slots.void(slot),
                Some(Err(_)) => {
                    recovered.damaged += 1;
                    self.slots.void(slot);
                }
            }
        }
        if slab.is_empty() {
            self.slots.abandon(run.first, run.pages);
            return;
        }
        self.slots.install(slab);
        for slot in live {
            recovered.superseded += u64::from(self.take_up_entry(slot, ended));
        }
    }

    /// Takes up an entry, or drops it or the one that it supersedes; whether one was dropped.
    fn take_up_entry(&mut self, slot: Slot, ended: &mut HashSet<Slot>) -> bool {
        let Entry { header, key, .. } = self.slots.entry(slot);
        self.seq = self.seq.max(header.seq);
        let hash = self.hash(key);
        let other = self.index.find(hash, |slot| self.slots.key(slot) == key);
        match other {
            Some(other) if is_newer(&self.slots.entry(other).header, &header) => {
                self.slots.erase(slot);
                return true;
            }
            Some(other) => {
                self.index.replace(hash, other, slot);
                if ended.remove(&other) {
                    self.slots.erase(other);
                } else {
                    self.release(other);
                }
            }
            None => self.index.insert(hash, slot),
        }
        if header.due.is_past(self.now) {
            ended.insert(slot);
        } else {
            self.wheel.insert(&mut self.slots, slot, header.due);
        }
        other.is_some()
    }
}

/// Whether of two entries with the same key the first is the one that counts. Two of the same
/// write are an entry that was moved and what it was moved from: the deadline may have been moved
/// since, and one that is past all times is a tombstone.
fn is_newer(one: &Header, other: &Header) -> bool {
    let rank = |header: &Header| (header.seq, header.due == Due::PAST, header.due);
    rank(one) >= rank(other)
}

/// The runs that the table names, in order; and the first pages of those that begin inside of
/// another, which nothing is known of.
fn runs(
    source: &impl PageSource,
    uses_end: u32,
    pages: u32,
) -> Result<(Vec<Run>, Vec<u32>), Refused> {
    let (mut runs, mut overlaps, mut end) = (Vec::new(), Vec::new(), FRONT);
    for first in FRONT..uses_end {
        let Some(used) = superblock::use_of(source, first) else {
            continue;
        };
        if first < end {
            overlaps.push(first);
            continue;
        }
        let len = match used {
            Use::Slab(class) => class.pages(),
            Use::Large => {
                let header = Header::read(source.bytes(page_at(first)));
                let len = if header.is_there { header.len() } else { 1 };
                u32::try_from(len.div_ceil(PAGE)).expect("an entry has less than 4 GiB")
            }
        };
        end = first.saturating_add(len);
        if end > pages {
            return Err(Refused::Truncated { pages, named: end });
        }
        runs.push(Run {
            first,
            pages: len,
            used,
        });
    }
    Ok((runs, overlaps))
}
