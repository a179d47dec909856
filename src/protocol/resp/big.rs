//! Natural numbers of any size: only what it takes to read and write a float exactly.
//!
//! Used by [`Extended`](super::Extended) alone. Limbs are little-endian, the last one is not zero.

use std::cmp::Ordering;
use std::fmt::Write;

const LIMB_BITS: u32 = 32;
/// The largest power of ten in a limb, and its exponent.
const TEN_9: u32 = 1_000_000_000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Big(Vec<u32>);

impl Big {
    /// The number that these ASCII digits write.
    pub(super) fn from_digits(digits: &[u8]) -> Self {
        let mut big = Self(Vec::new());
        for group in digits.chunks(9) {
            let (mut power, mut value) = (1, 0);
            for digit in group {
                power *= 10;
                value = value * 10 + u32::from(digit - b'0');
            }
            big.multiply_add(power, value);
        }
        big
    }

    pub(super) fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    /// How many bits it has, leading zeros not counted.
    pub(super) fn bits(&self) -> u32 {
        let Some(last) = self.0.last() else { return 0 };
        let limbs = u32::try_from(self.0.len()).expect("numbers here have few digits");
        limbs * LIMB_BITS - last.leading_zeros()
    }

    fn multiply_add(&mut self, factor: u32, summand: u32) {
        let mut carry = summand;
        for limb in &mut self.0 {
            let product = u64::from(*limb) * u64::from(factor) + u64::from(carry);
            (*limb, carry) = halves(product);
        }
        if carry > 0 {
            self.0.push(carry);
        }
    }

    pub(super) fn multiply_by_power_of_ten(&mut self, exponent: u32) {
        for _ in 0..exponent / 9 {
            self.multiply_add(TEN_9, 0);
        }
        self.multiply_add(10u32.pow(exponent % 9), 0);
    }

    pub(super) fn shift_left(&mut self, bits: u32) {
        self.multiply_add(1 << (bits % LIMB_BITS), 0);
        if !self.is_zero() {
            let limbs = (bits / LIMB_BITS) as usize;
            self.0.splice(0..0, std::iter::repeat_n(0, limbs));
        }
    }

    /// Takes `other` away, if there is so much.
    fn try_subtract(&mut self, other: &Self) -> bool {
        if self.compare(other) == Ordering::Less {
            return false;
        }
        let mut has_borrow = false;
        for (at, limb) in self.0.iter_mut().enumerate() {
            let other = other.0.get(at).copied().unwrap_or(0);
            let (difference, first) = limb.overflowing_sub(other);
            let (difference, second) = difference.overflowing_sub(has_borrow.into());
            *limb = difference;
            has_borrow = first || second;
        }
        self.trim();
        true
    }

    fn compare(&self, other: &Self) -> Ordering {
        let by_length = self.0.len().cmp(&other.0.len());
        by_length.then_with(|| self.0.iter().rev().cmp(other.0.iter().rev()))
    }

    /// The quotient of two numbers, of which it is known that it has at most `bits` bits, and
    /// whether there is a remainder.
    pub(super) fn divide(mut self, mut divisor: Self, bits: u32) -> (u128, bool) {
        debug_assert!(bits <= u128::BITS && !divisor.is_zero());
        divisor.shift_left(bits);
        let mut quotient = 0;
        for _ in 0..bits {
            self.shift_left(1);
            quotient = quotient << 1 | u128::from(self.try_subtract(&divisor));
        }
        (quotient, !self.is_zero())
    }

    fn divide_by_ten_9(&mut self) -> u32 {
        let mut remainder = 0;
        for limb in self.0.iter_mut().rev() {
            let dividend = u64::from(remainder) << LIMB_BITS | u64::from(*limb);
            (*limb, _) = halves(dividend / u64::from(TEN_9));
            (remainder, _) = halves(dividend % u64::from(TEN_9));
        }
        self.trim();
        remainder
    }

    fn trim(&mut self) {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }

    pub(super) fn into_decimal(mut self) -> String {
        let mut groups = Vec::new();
        while !self.is_zero() {
            groups.push(self.divide_by_ten_9());
        }
        let mut text = groups.pop().unwrap_or(0).to_string();
        for group in groups.iter().rev() {
            write!(text, "{group:09}").expect("a string takes everything");
        }
        text
    }
}

impl From<u64> for Big {
    fn from(value: u64) -> Self {
        let (low, high) = halves(value);
        let mut big = Self(vec![low, high]);
        big.trim();
        big
    }
}

/// The lower and the upper half.
fn halves(value: u64) -> (u32, u32) {
    let half = |value: u64| u32::try_from(value).expect("it has 32 bits");
    (half(value & u64::from(u32::MAX)), half(value >> LIMB_BITS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn big(value: u128) -> Big {
        Big::from_digits(value.to_string().as_bytes())
    }

    proptest! {
        #[test]
        fn digits_come_back(text in "[1-9][0-9]{0,80}") {
            let big = Big::from_digits(text.as_bytes());
            prop_assert_eq!(big.into_decimal(), text);
        }

        #[test]
        fn arithmetic_is_that_of_a_machine(a in 0..1u128 << 90, b in 1..1u128 << 90, shift in 0u32..38, ten in 0u32..11) {
            prop_assert_eq!(big(a).bits(), u128::BITS - a.leading_zeros());
            prop_assert_eq!(big(a).divide(big(b), 90), (a / b, a % b != 0));
            let mut shifted = big(a);
            shifted.shift_left(shift);
            prop_assert_eq!(shifted, big(a << shift));
            let mut product = big(a);
            product.multiply_by_power_of_ten(ten);
            prop_assert_eq!(product, big(a * 10u128.pow(ten)));
        }
    }

    #[test]
    fn zero_is_zero() {
        assert_eq!(Big::from(0).into_decimal(), "0");
        assert_eq!(big(0).bits(), 0);
        let mut zero = big(0);
        zero.shift_left(100);
        assert!(zero.is_zero());
        assert_eq!(Big::from(u64::MAX).into_decimal(), u64::MAX.to_string());
    }
}
