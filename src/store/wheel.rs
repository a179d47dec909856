//! Which entries end when: a timing wheel of four levels, and the count of what is overdue.
//!
//! A bucket of the lowest level is one millisecond; of each higher one, the whole span of the
//! level below. A level has two spans of buckets, the one time is in and the next. Buckets are
//! lists through the links of the slots: an entry with a deadline is in exactly one, there is
//! nothing stale, and nothing is allocated.
//!
//! Above the lowest level the wheel is lazy: an entry may wait in a bucket that is too early, and
//! a deadline that moves on (a session in use) changes nothing here. Time empties such a bucket
//! downwards (*cascades* it) before it enters it, and can begin one span earlier. On the lowest
//! level an entry is always in the bucket of its very millisecond; slabs call it *near*.
//!
//! The count: `at` is where the sweep stands; what was due before is gone. Per millisecond the
//! near entries are counted, and `overdue` is the sum of the counts from `at` to `counted`. So the
//! number of entries that are past their deadline and not yet swept is known without looking at
//! them, as long as the sweep is less than a span of the lowest level (16 s) behind; where it is
//! further behind (the machine slept), counting sweeps first.

use super::bits::Bits;
use super::entry::Due;
use super::pages::PageSource;
use super::slab::{Link, NONE};
use super::slots::{Slot, Slots};

const LEVELS: usize = 4;
/// The unit of a level's buckets is two to the power of this, in milliseconds. The last one is
/// where deadlines end.
const SHIFT: [u32; LEVELS + 1] = [0, 14, 26, 38, 48];
/// Numbers of a level's first bucket; a level has two spans.
const BASE: [usize; LEVELS + 1] = {
    let (mut base, mut level) = ([0; LEVELS + 1], 0);
    while level < LEVELS {
        base[level + 1] = base[level] + (2 << (SHIFT[level + 1] - SHIFT[level]));
        level += 1;
    }
    base
};
/// A link to this number and above is one to a bucket. No slot has such a number.
const BUCKET: u32 = 0xFFFF_0000;
const _: () = assert!(BASE[LEVELS] < (NONE - BUCKET) as usize);

/// What became of a step of a sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// This entry is past its deadline. It is out of the wheel.
    Due(Slot),
    /// An entry or the time moved on.
    Moved,
    /// There is nothing to do before this time, in milliseconds since the Unix epoch.
    Until(u64),
    /// There is nothing to do.
    Idle,
}

/// The wheel.
#[derive(Debug)]
pub(super) struct Wheel {
    heads: Box<[u32]>,
    /// Which buckets are not empty.
    occupied: Bits,
    /// Entries per bucket of the lowest level.
    counts: Box<[u32]>,
    at: u64,
    counted: u64,
    overdue: u64,
    /// How many entries there are, and the sum of their deadlines.
    len: u64,
    sum: u128,
}

impl Wheel {
    /// An empty wheel that stands at this time.
    pub(super) fn new(now: u64) -> Self {
        Self {
            heads: vec![NONE; BASE[LEVELS]].into(),
            occupied: Bits::new(BASE[LEVELS]),
            counts: vec![0; BASE[1]].into(),
            at: now,
            counted: now,
            overdue: 0,
            len: 0,
            sum: 0,
        }
    }

    /// How many entries there are, overdue ones included, and their mean deadline.
    pub(super) fn mean(&self) -> (u64, u64) {
        let mean = self.sum.checked_div(self.len.into()).unwrap_or(0);
        (self.len, u64::try_from(mean).unwrap_or(u64::MAX))
    }

    pub(super) fn memory() -> u64 {
        (BASE[LEVELS] * size_of::<u32>() + BASE[LEVELS] / 8 + BASE[1] * size_of::<u32>()) as u64
    }

    /// Takes an entry up that has a deadline from now on.
    pub(super) fn insert<P: PageSource>(&mut self, slots: &mut Slots<P>, slot: Slot, due: Due) {
        let Some(due) = due.ms() else { return };
        debug_assert!(due >= self.at, "{due} was swept at {}", self.at);
        self.len += 1;
        self.sum += u128::from(due);
        let level = (0..LEVELS - 1)
            .find(|level| span(*level, due) - span(*level, self.at) <= 1)
            .unwrap_or(LEVELS - 1);
        let bucket = bucket(level, unit(level, due));
        if level == 0 {
            self.counts[bucket] += 1;
            self.overdue += u64::from(due < self.counted);
            slots.slab_mut(slot).set_near(slot);
        }
        let next = std::mem::replace(&mut self.heads[bucket], slot.0);
        if next == NONE {
            self.occupied.insert(bucket);
        } else {
            slots.link_mut(Slot(next)).prev = slot.0;
        }
        let prev = BUCKET + u32::try_from(bucket).expect("below NONE - BUCKET");
        *slots.link_mut(slot) = Link { next, prev };
    }

    /// Lets an entry go that has this deadline.
    pub(super) fn remove<P: PageSource>(&mut self, slots: &mut Slots<P>, slot: Slot, due: Due) {
        let Some(due) = due.ms() else { return };
        self.len -= 1;
        self.sum -= u128::from(due);
        let slab = slots.slab_mut(slot);
        if slab.is_near(slot) {
            slab.set_far(slot);
            self.counts[bucket(0, due)] -= 1;
            self.overdue -= u64::from(due < self.counted);
        }
        let Link { next, prev } = slab.link(slot);
        if next != NONE {
            slots.link_mut(Slot(next)).prev = prev;
        }
        if prev < BUCKET {
            slots.link_mut(Slot(prev)).next = next;
            return;
        }
        let bucket = (prev - BUCKET) as usize;
        self.heads[bucket] = next;
        if next == NONE {
            self.occupied.remove(bucket);
        }
    }

    /// Moves an entry from one deadline to another, and has the slots note it.
    pub(super) fn shift<P: PageSource>(
        &mut self,
        slots: &mut Slots<P>,
        slot: Slot,
        from: Due,
        to: Due,
    ) {
        let is_far = !slots.slab(slot).is_near(slot);
        if let (Some(earlier), Some(later), true) = (from.ms(), to.ms(), is_far && to >= from) {
            self.sum += u128::from(later - earlier);
            slots.set_due(slot, to);
            return;
        }
        self.remove(slots, slot, from);
        slots.set_due(slot, to);
        self.insert(slots, slot, to);
    }

    /// How many entries are past their deadline at `now` and still in the wheel; or a slot that
    /// has to be removed before that can be told.
    pub(super) fn count<P: PageSource>(
        &mut self,
        slots: &mut Slots<P>,
        now: u64,
    ) -> Result<u64, Slot> {
        while span(0, now) > span(0, self.at) + 1 {
            match self.step(slots, now) {
                Step::Due(slot) => return Err(slot),
                Step::Moved => {}
                Step::Until(_) | Step::Idle => break,
            }
        }
        while self.cascade(slots, 0) || (span(0, now) > span(0, self.at) && self.cascade(slots, 1))
        {
        }
        while self.counted <= now {
            self.overdue += u64::from(self.counts[bucket(0, self.counted)]);
            self.counted += 1;
        }
        Ok(self.overdue)
    }

    /// Does the next piece of work there is at `now`: a constant amount.
    pub(super) fn step<P: PageSource>(&mut self, slots: &mut Slots<P>, now: u64) -> Step {
        if self.cascade(slots, 0) {
            return Step::Moved;
        }
        if self.at <= now {
            let head = self.heads[bucket(0, self.at)];
            if head != NONE {
                let slot = Slot(head);
                self.remove(slots, slot, slots.due(slot));
                return Step::Due(slot);
            }
            self.at = self.next_event().map_or(now + 1, |(at, _)| at.min(now + 1));
            if self.counted < self.at {
                (self.counted, self.overdue) = (self.at, 0);
            }
            return Step::Moved;
        }
        if self.cascade(slots, 1) {
            return Step::Moved;
        }
        match self.next_event() {
            Some((_, work)) => Step::Until(work),
            None => Step::Idle,
        }
    }

    /// Moves one entry down from a bucket above the lowest level: of the span time is in, or so
    /// many later. Whether there was one.
    fn cascade<P: PageSource>(&mut self, slots: &mut Slots<P>, later: u64) -> bool {
        for level in (1..LEVELS).rev() {
            let head = self.heads[bucket(level, unit(level, self.at) + later)];
            if head != NONE {
                let slot = Slot(head);
                let due = slots.due(slot);
                self.remove(slots, slot, due);
                self.insert(slots, slot, due);
                return true;
            }
        }
        false
    }

    /// The beginning of the next bucket that is not empty, and when there is work because of it.
    fn next_event(&self) -> Option<(u64, u64)> {
        let events = (0..LEVELS).filter_map(|level| {
            let here = unit(level, self.at);
            let (base, from) = (BASE[level], bucket(level, here));
            let found = self.occupied.next(from).filter(|at| *at < BASE[level + 1]);
            let around = || self.occupied.next(base).filter(|at| *at < from);
            let len = BASE[level + 1] - base;
            let ahead = (found.or_else(around)? + len - from) % len;
            let start = (here + ahead as u64) << SHIFT[level];
            // A bucket cascades from the time on when the one before it begins.
            let lead = if level == 0 { 0 } else { 1 << SHIFT[level] };
            Some((start, start - lead))
        });
        events.reduce(|a, b| (a.0.min(b.0), a.1.min(b.1)))
    }

    /// Panics unless every entry with a deadline is in the right bucket and the counts are right.
    #[cfg(test)]
    pub(super) fn check<P: PageSource>(&self, slots: &Slots<P>, taken: &[Slot]) {
        use std::collections::BTreeSet;

        let (mut met, mut overdue, mut sum) = (BTreeSet::new(), 0, 0);
        let mut from = 0;
        while let Some(number) = self.occupied.next(from) {
            from = number + 1;
            let level = (0..LEVELS).rfind(|level| number >= BASE[*level]).unwrap();
            let (mut at, mut prev) = (self.heads[number], BUCKET + u32::try_from(number).unwrap());
            assert!(at != NONE, "an empty bucket is called occupied");
            let mut count = 0;
            while at != NONE {
                let slot = Slot(at);
                assert!(met.insert(slot), "{slot:?} is linked twice");
                assert_eq!(slots.slab(slot).link(slot).prev, prev);
                assert_eq!(slots.slab(slot).is_near(slot), level == 0);
                let due = slots.due(slot).ms().expect("only what ends is linked");
                assert!(due >= self.at);
                sum += u128::from(due);
                if level == 0 {
                    assert_eq!(bucket(0, due), number);
                    overdue += u64::from(due < self.counted);
                } else {
                    let here = unit(level, self.at);
                    let len = BASE[level + 1] - BASE[level];
                    let ahead = (number + len - bucket(level, here)) % len;
                    assert!(here + ahead as u64 <= unit(level, due), "too late");
                }
                (prev, at) = (at, slots.slab(slot).link(slot).next);
                count += 1;
            }
            assert!(level > 0 || self.counts[number] == count);
        }
        assert_eq!(overdue, self.overdue);
        assert_eq!((met.len() as u64, sum), (self.len, self.sum));
        let ending = taken.iter().filter(|slot| slots.due(**slot).ms().is_some());
        assert_eq!(ending.copied().collect::<BTreeSet<_>>(), met);
    }
}

/// A time in the unit of a level's buckets.
fn unit(level: usize, ms: u64) -> u64 {
    ms >> SHIFT[level]
}

/// A time in the unit of a level's spans.
fn span(level: usize, ms: u64) -> u64 {
    ms >> SHIFT[level + 1]
}

/// The number of a level's bucket for this unit.
fn bucket(level: usize, unit: u64) -> usize {
    let len = BASE[level + 1] - BASE[level];
    BASE[level] + usize::try_from(unit % len as u64).expect("below the number of buckets")
}
