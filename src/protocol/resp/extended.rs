//! The floats that Redis counts with: 80 bits, as the `long double` of x86-64.
//!
//! Used by `INCRBYFLOAT`. Clients compare text: 0.1 + 0.2 is to be 0.3, so doubles would not do,
//! and 1000.1 + 0 is 1000.09999999999999998 in Redis, so exact decimals would not either. Reading,
//! adding and writing are exact but for one rounding each, to the nearest and ties to even, as the
//! processor and C's library do it.

use super::big::Big;
use super::number::trim_fraction;

/// Redis takes a text of fewer bytes than this for a float.
const MAX_TEXT: usize = 5 << 10;
/// Bits of a mantissa.
const PRECISION: u32 = 64;
/// The exponents of the last bit of a mantissa.
const EXPONENTS: std::ops::RangeInclusive<i32> = -16_445..=16_320;
/// How many decimals are written.
const DECIMALS: usize = 17;
const TEN_17: u128 = 100_000_000_000_000_000;

/// An 80-bit float, finite or infinite. There is no way to make one that is not a number.
#[derive(Debug, Clone, Copy)]
pub struct Extended {
    is_negative: bool,
    size: Size,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Size {
    /// `mantissa` × 2^`exponent`. The mantissa's first bit is set unless the exponent is the
    /// smallest there is.
    Finite {
        mantissa: u64,
        exponent: i32,
    },
    Infinite,
}

impl Extended {
    /// Reads what C's `strtold` and Redis take for a float: `-1.5`, `+.5e-3`, `inf`. Not what is
    /// too large or too small for one, and no hexadecimal.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        if text.len() >= MAX_TEXT {
            return None;
        }
        let (is_negative, unsigned) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let names = ["inf", "infinity"];
        if names.iter().any(|name| unsigned.eq_ignore_ascii_case(name)) {
            return Some(Self {
                is_negative,
                size: Size::Infinite,
            });
        }
        let value = parse_decimal(unsigned, is_negative)?;
        (value.size != Size::Infinite).then_some(value)
    }

    /// Whether it is a number and not infinite.
    pub fn is_finite(self) -> bool {
        self.size != Size::Infinite
    }

    /// The sum. `None` if it is infinite or not a number.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        let (
            Size::Finite { mantissa, exponent },
            Size::Finite {
                mantissa: other_mantissa,
                exponent: other_exponent,
            },
        ) = (self.size, other.size)
        else {
            return None;
        };
        if exponent < other_exponent {
            return other.checked_add(self);
        }
        // 63 bits more than a mantissa has leave room for a carry, and for enough of the smaller
        // number that what is cut off it matters only in whether it is zero.
        let [larger, smaller] =
            [mantissa, other_mantissa].map(|mantissa| u128::from(mantissa) << 63);
        let smaller = shift_right_sticky(smaller, exponent.abs_diff(other_exponent));
        let (is_negative, sum) = if self.is_negative == other.is_negative {
            (self.is_negative, larger + smaller)
        } else {
            let is_negative = if larger >= smaller {
                self.is_negative
            } else {
                other.is_negative
            };
            (is_negative, larger.abs_diff(smaller))
        };
        debug_assert!(mantissa >> 63 == 1 || exponent == *EXPONENTS.start());
        let sum = Self::round(is_negative, sum, exponent - 63);
        (sum.size != Size::Infinite).then_some(sum)
    }

    /// Appends it as Redis writes it: 17 decimals without their trailing zeros, no exponent.
    pub fn write(self, out: &mut Vec<u8>) {
        let text = match self.size {
            Size::Infinite => "inf".to_owned(),
            Size::Finite { mantissa, exponent } => fixed(mantissa, exponent),
        };
        let text = trim_fraction(&text);
        if self.is_negative && text != "0" {
            out.push(b'-');
        }
        out.extend_from_slice(text.as_bytes());
    }

    /// The nearest to `mantissa` × 2^`exponent`.
    fn round(is_negative: bool, mantissa: u128, exponent: i32) -> Self {
        let excess = signed(u128::BITS - mantissa.leading_zeros()) - signed(PRECISION);
        let shift = excess.max(EXPONENTS.start() - exponent);
        let mut exponent = exponent + shift;
        let mut mantissa = if shift > 0 {
            shift_right_even(mantissa, shift.unsigned_abs())
        } else {
            mantissa << shift.unsigned_abs()
        };
        if mantissa >> PRECISION > 0 {
            mantissa >>= 1;
            exponent += 1;
        }
        if mantissa == 0 {
            exponent = *EXPONENTS.start();
        }
        let size = if exponent > *EXPONENTS.end() {
            Size::Infinite
        } else {
            Size::Finite {
                mantissa: u64::try_from(mantissa).expect("it was cut to its precision"),
                exponent,
            }
        };
        Self { is_negative, size }
    }
}

fn parse_decimal(text: &str, is_negative: bool) -> Option<Extended> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, parse_exponent(exponent)?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = [whole, fraction].concat();
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        return Some(Extended::round(is_negative, 0, 0));
    }
    let count = |text: &str| i32::try_from(text.len()).expect("the text is short");
    let exponent = exponent - count(fraction);
    // Powers of ten that are beyond what the mantissa can make up for.
    if !(-4_970..=4_935).contains(&(count(digits) + exponent)) {
        return None;
    }
    let (mut dividend, mut divisor) = (Big::from_digits(digits.as_bytes()), Big::from(1));
    if exponent < 0 {
        divisor.multiply_by_power_of_ten(exponent.unsigned_abs());
    } else {
        dividend.multiply_by_power_of_ten(exponent.unsigned_abs());
    }
    // So that the quotient has some bits more than are kept, which say how to round.
    let shift = signed(PRECISION) + 3 - (signed(dividend.bits()) - signed(divisor.bits()));
    if shift < 0 {
        divisor.shift_left(shift.unsigned_abs());
    } else {
        dividend.shift_left(shift.unsigned_abs());
    }
    let (quotient, has_remainder) = dividend.divide(divisor, PRECISION + 4);
    let value = Extended::round(is_negative, quotient | u128::from(has_remainder), -shift);
    let is_lost = matches!(value.size, Size::Finite { mantissa: 0, .. });
    (!is_lost).then_some(value)
}

fn parse_exponent(text: &str) -> Option<i32> {
    let (sign, digits) = match text.as_bytes() {
        [b'-', digits @ ..] => (-1, digits),
        [b'+', digits @ ..] | digits => (1, digits),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    // Far beyond what a text of the longest kind can make up for, and far from an overflow.
    let size = digits.iter().fold(0, |size: i32, digit| {
        (size * 10 + i32::from(digit - b'0')).min(100_000)
    });
    Some(sign * size)
}

/// `mantissa` × 2^`exponent` with [`DECIMALS`] decimals, or none for an integer.
fn fixed(mantissa: u64, exponent: i32) -> String {
    if exponent >= 0 {
        let mut integer = Big::from(mantissa);
        integer.shift_left(exponent.unsigned_abs());
        return integer.into_decimal();
    }
    let scaled = shift_right_even(u128::from(mantissa) * TEN_17, exponent.unsigned_abs());
    let (whole, fraction) = (scaled / TEN_17, scaled % TEN_17);
    format!("{whole}.{fraction:0DECIMALS$}")
}

/// Cuts bits off; the last one that stays is set if any of them was.
fn shift_right_sticky(value: u128, bits: u32) -> u128 {
    let kept = value.checked_shr(bits).unwrap_or(0);
    let has_lost = kept.checked_shl(bits).unwrap_or(0) != value;
    kept | u128::from(has_lost)
}

/// Cuts bits off, at least one, and rounds to the nearest, ties to even.
fn shift_right_even(value: u128, bits: u32) -> u128 {
    let Some(half) = 1u128.checked_shl(bits - 1) else {
        return 0;
    };
    let kept = value.checked_shr(bits).unwrap_or(0);
    let lost = value - kept.checked_shl(bits).unwrap_or(0);
    let rounds_up = lost > half || (lost == half && kept % 2 == 1);
    kept + u128::from(rounds_up)
}

fn signed(bits: u32) -> i32 {
    i32::try_from(bits).expect("a number of bits is small")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Option<Extended> {
        Extended::parse(text.as_bytes())
    }

    fn written(value: Extended) -> String {
        let mut out = Vec::new();
        value.write(&mut out);
        String::from_utf8(out).unwrap()
    }

    /// The golden texts are what redis-server 7.0.15 on x86-64 answers to `INCRBYFLOAT`.
    #[test]
    fn sums_are_those_of_redis() {
        let cases = [
            ("0.1", "0.2", "0.3"),
            ("10.50", "0.1", "10.6"),
            ("5.0e3", "2.0e2", "5200"),
            ("1000.1", "0", "1000.09999999999999998"),
            ("10000000.1", "0", "10000000.1000000000003638"),
            ("123456789.123456789", "1e-9", "123456789.12345678999554366"),
            ("-0.1", "+.1", "0"),
            ("-1.5", "0.25", "-1.25"),
            ("3", "-3.0000000000000000000001", "0"),
            ("15e-18", "0", "0.00000000000000002"),
            ("5e-18", "0", "0"),
            ("9223372036854775807", "0.5", "9223372036854775807.5"),
            ("18446744073709551616", "-.5", "18446744073709551616"),
            ("1e40", "1", "9999999999999999999783686092270256259072"),
        ];
        for (a, b, sum) in cases {
            let got = parse(a).unwrap().checked_add(parse(b).unwrap()).unwrap();
            assert_eq!(written(got), sum, "{a} + {b}");
        }
    }

    #[test]
    fn what_is_no_float_is_refused() {
        for text in [
            "",
            "-",
            "+",
            ".",
            "e5",
            "1e",
            "1e+",
            " 1",
            "1 ",
            "1.2.3",
            "1,5",
            "0x10",
            "nan",
            "-nan",
            "infinit",
            "--1",
            "1e4933",
            "-1e5000",
            "1e-5000",
            "1e99999999999999999999",
            "1\0",
            "\u{661}",
        ] {
            assert!(parse(text).is_none(), "{text:?}");
        }
        assert!(parse(&"1".repeat(MAX_TEXT)).is_none());
        assert!(Extended::parse(b"1\xff").is_none());
    }

    #[test]
    fn the_largest_and_the_smallest_are_read() {
        for text in [
            "1e4932",
            "1.18973149535723176502e4932",
            "4e-4951",
            "0e999999999",
            "-0.0",
        ] {
            assert!(parse(text).is_some(), "{text}");
        }
        assert_eq!(written(parse("-0.0").unwrap()), "0");
        assert_eq!(written(parse("-1e-4940").unwrap()), "0");
        let largest = parse("1.18973149535723176502e4932").unwrap();
        assert!(largest.checked_add(largest).is_none());
    }

    #[test]
    fn an_infinite_sum_is_refused() {
        for text in ["inf", "-Inf", "+infinity"] {
            let infinite = parse(text).unwrap();
            assert!(
                infinite.checked_add(parse("1").unwrap()).is_none(),
                "{text}"
            );
            assert!(
                parse("1").unwrap().checked_add(infinite).is_none(),
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn integers_are_exact(a in -(1i64 << 62)..1 << 62, b in -(1i64 << 62)..1 << 62) {
            let [x, y] = [a, b].map(|value| parse(&value.to_string()).unwrap());
            prop_assert_eq!(written(x.checked_add(y).unwrap()), (a + b).to_string());
        }

        /// A double is one of these floats, and so is its double.
        #[test]
        fn doubles_are_exact(value: f64) {
            let read = parse(&format!("{value:.1074}")).unwrap();
            let zero = parse("0").unwrap();
            for (sum, expected) in [(read.checked_add(zero), value), (read.checked_add(read), 2.0 * value)] {
                prop_assume!(expected.is_finite());
                let expected = format!("{expected:.DECIMALS$}");
                let expected = trim_fraction(&expected).to_owned();
                prop_assert_eq!(written(sum.unwrap()), if expected == "-0" { "0" } else { &expected });
            }
        }

        #[test]
        fn the_order_does_not_matter(a: f64, b: f64) {
            let [x, y] = [a, b].map(|value| parse(&format!("{value:e}")).unwrap());
            let [one, other] = [x.checked_add(y), y.checked_add(x)].map(|sum| written(sum.unwrap()));
            prop_assert_eq!(one, other);
        }

        #[test]
        fn no_text_panics(text in "[-+.0-9e]{0,12}") {
            if let Some(value) = parse(&text) {
                written(value);
            }
        }
    }
}
