//! Size classes: how large a slot an entry gets, and how many pages a slab of them.
//!
//! Steps of 16 bytes up to 256, then eight steps per doubling up to 256 KiB: less than an eighth
//! is lost to rounding above 128 bytes. Larger entries have a run of pages each, and lose less
//! than a quarter.

use super::pages::PAGE;

/// How many classes there are.
pub(super) const CLASSES: usize = 96;
/// The largest slot of a class; a larger entry has pages of its own.
const LARGEST: usize = 256 << 10;

/// Slots of one size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Class(u8);

impl Class {
    /// The class with the smallest slots that hold `len` bytes; `None` where none does.
    pub(super) fn of(len: usize) -> Option<Self> {
        if len > LARGEST {
            return None;
        }
        let number = if len <= 256 {
            len.div_ceil(16).max(1) - 1
        } else {
            let doubling = (len - 1).ilog2() as usize;
            let step = 1 << (doubling - 3);
            16 + (doubling - 8) * 8 + (len - (1 << doubling)).div_ceil(step) - 1
        };
        Some(Self(u8::try_from(number).expect("below CLASSES")))
    }

    /// The class with this number.
    pub(super) fn numbered(number: u8) -> Self {
        debug_assert!(usize::from(number) < CLASSES);
        Self(number)
    }

    /// Its number, below [`CLASSES`].
    pub(super) fn number(self) -> usize {
        self.0.into()
    }

    /// Bytes of a slot.
    pub(super) fn slot_size(self) -> usize {
        let number = self.number();
        if number < 16 {
            return (number + 1) * 16;
        }
        let (doubling, step) = ((number - 16) / 8 + 8, (number - 16) % 8 + 1);
        (1 << doubling) + (step << (doubling - 3))
    }

    /// Pages of a slab: few, so that small stores stay small and pages come free, but enough
    /// that what no slot fits into at a slab's end is little.
    pub(super) fn pages(self) -> u32 {
        match self.slot_size() {
            0..=256 => 1,
            257..=16_384 => 4,
            size => (8..=16)
                .min_by_key(|pages| (*pages as usize * PAGE % size) / *pages as usize)
                .unwrap_or(16),
        }
    }

    /// Slots in a slab.
    pub(super) fn slots(self) -> usize {
        self.pages() as usize * PAGE / self.slot_size()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_gets_the_smallest_slot_that_holds_it() {
        let sizes: Vec<usize> = (0..CLASSES)
            .map(|n| Class(u8::try_from(n).unwrap()).slot_size())
            .collect();
        assert!(sizes.is_sorted_by(|a, b| a < b) && sizes[CLASSES - 1] == LARGEST);
        for len in (1..5_000).chain([LARGEST / 2, LARGEST / 2 + 1, LARGEST - 1, LARGEST]) {
            let class = Class::of(len).unwrap();
            let smallest = *sizes.iter().find(|size| **size >= len).unwrap();
            assert_eq!(class.slot_size(), smallest, "{len}");
        }
        assert_eq!(Class::of(LARGEST + 1), None);
    }

    #[test]
    fn rounding_costs_less_than_an_eighth_and_the_end_of_a_slab_less_than_a_sixteenth() {
        for number in 0..CLASSES {
            let class = Class(u8::try_from(number).unwrap());
            let size = class.slot_size();
            assert_eq!(size % 16, 0);
            if number >= 8 {
                let smallest_entry = Class(class.0 - 1).slot_size() + 1;
                assert!((size - smallest_entry) * 8 < size, "{size}");
            }
            let slab = class.pages() as usize * PAGE;
            assert!((slab - class.slots() * size) * 16 < slab, "{size}");
        }
    }
}
