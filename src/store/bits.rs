//! A set of small numbers, one bit each.
//!
//! Slabs mark their taken slots with it, the wheel its occupied buckets.

/// A set of numbers below a length fixed at birth.
#[derive(Debug)]
pub(super) struct Bits(Box<[u64]>);

impl Bits {
    /// An empty set of numbers below `len`.
    pub(super) fn new(len: usize) -> Self {
        Self(vec![0; len.div_ceil(64)].into())
    }

    pub(super) fn has(&self, n: usize) -> bool {
        self.0[n / 64] >> (n % 64) & 1 == 1
    }

    pub(super) fn insert(&mut self, n: usize) {
        self.0[n / 64] |= 1 << (n % 64);
    }

    pub(super) fn remove(&mut self, n: usize) {
        self.0[n / 64] &= !(1 << (n % 64));
    }

    /// The least member that is `from` or more.
    pub(super) fn next(&self, from: usize) -> Option<usize> {
        let mut mask = u64::MAX << (from % 64);
        for (at, word) in self.0.iter().enumerate().skip(from / 64) {
            if word & mask != 0 {
                return Some(at * 64 + (word & mask).trailing_zeros() as usize);
            }
            mask = u64::MAX;
        }
        None
    }

    /// The least number that is no member.
    pub(super) fn first_missing(&self) -> Option<usize> {
        let at = self.0.iter().position(|word| *word != u64::MAX)?;
        Some(at * 64 + self.0[at].trailing_ones() as usize)
    }

    /// Bytes on the heap.
    pub(super) fn heap(&self) -> usize {
        self.0.len() * 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_found_in_order() {
        let mut bits = Bits::new(200);
        for n in [3, 63, 64, 199] {
            bits.insert(n);
        }
        assert_eq!(bits.next(0), Some(3));
        assert_eq!(bits.next(4), Some(63));
        assert_eq!(bits.next(64), Some(64));
        assert_eq!(bits.next(65), Some(199));
        bits.remove(199);
        assert_eq!(bits.next(65), None);
        assert!(bits.has(63) && !bits.has(62));
    }

    #[test]
    fn the_first_missing_number_is_found() {
        let mut bits = Bits::new(128);
        assert_eq!(bits.first_missing(), Some(0));
        (0..100).for_each(|n| bits.insert(n));
        assert_eq!(bits.first_missing(), Some(100));
        bits.remove(70);
        assert_eq!(bits.first_missing(), Some(70));
        (0..128).for_each(|n| bits.insert(n));
        assert_eq!(bits.first_missing(), None);
    }
}
