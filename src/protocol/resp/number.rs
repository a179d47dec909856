//! Numbers as text: read as strictly as Redis reads them, written without allocation.
//!
//! Used by the parser, by the writer and by commands that take numbers. The floats that Redis
//! counts with have [a file of their own](super::extended).

/// Reads a decimal integer that is written as [`write_i64`] writes it: no plus, no leading zero, no
/// space, no `-0`.
pub fn parse_i64(text: &[u8]) -> Option<i64> {
    let (is_negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    let magnitude = match digits {
        [b'0'] if !is_negative => 0,
        [b'1'..=b'9', ..] => parse_digits(digits)?,
        _ => return None,
    };
    if is_negative {
        0i64.checked_sub_unsigned(magnitude)
    } else {
        i64::try_from(magnitude).ok()
    }
}

fn parse_digits(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0u64, |value, byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value.checked_mul(10)?.checked_add(digit.into())
    })
}

/// Appends a number in decimal.
pub fn write_i64(out: &mut Vec<u8>, value: i64) {
    if value < 0 {
        out.push(b'-');
    }
    write_u64(out, value.unsigned_abs());
}

/// Appends a number in decimal.
pub fn write_u64(out: &mut Vec<u8>, mut value: u64) {
    const DIGITS: &[u8; 10] = b"0123456789";
    let mut text = [0; 20]; // u64::MAX has so many digits
    let mut start = text.len();
    loop {
        start -= 1;
        text[start] = DIGITS[(value % 10) as usize];
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&text[start..]);
}

/// Appends a double as C's `%.17g` does, which is how Redis 7.0 writes scores. The one function
/// here that allocates.
pub fn write_double(out: &mut Vec<u8>, value: f64) {
    out.extend_from_slice(printf_g(value).as_bytes());
}

fn printf_g(value: f64) -> String {
    const SIGNIFICANT: i32 = 17;
    if !value.is_finite() {
        return value.to_string().to_lowercase();
    }
    let scientific = format!("{value:.16e}");
    let (mantissa, exponent) = scientific.split_once('e').expect("the format has one");
    let exponent: i32 = exponent.parse().expect("the format has a number there");
    if (-4..SIGNIFICANT).contains(&exponent) {
        let decimals = usize::try_from(SIGNIFICANT - 1 - exponent).expect("the range says so");
        trim_fraction(&format!("{value:.decimals$}")).to_owned()
    } else {
        let mantissa = trim_fraction(mantissa);
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{mantissa}e{sign}{:02}", exponent.abs())
    }
}

/// Cuts the zeros off the end of a fraction, and its point if nothing is left of it.
pub(super) fn trim_fraction(text: &str) -> &str {
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written<T>(value: T, write: impl FnOnce(&mut Vec<u8>, T)) -> String {
        let mut out = Vec::new();
        write(&mut out, value);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn only_the_one_way_to_write_an_integer_is_read() {
        for text in [
            "",
            "-",
            "+1",
            "01",
            "-0",
            "-01",
            "00",
            " 1",
            "1 ",
            "1.5",
            "0x1",
            "1e3",
            "1\0",
            "--1",
            "9223372036854775808",
            "-9223372036854775809",
            "18446744073709551617",
            "99999999999999999999999",
        ] {
            assert_eq!(parse_i64(text.as_bytes()), None, "{text:?}");
        }
        for value in [0, 1, -1, 9, 10, -10, i64::MAX, i64::MIN] {
            assert_eq!(parse_i64(value.to_string().as_bytes()), Some(value));
        }
    }

    #[test]
    fn a_double_is_written_as_printf_writes_it() {
        let cases = [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-1.5, "-1.5"),
            (0.1, "0.10000000000000001"),
            (3.3, "3.2999999999999998"),
            (0.0001, "0.0001"),
            (0.00001, "1.0000000000000001e-05"),
            (1e16, "10000000000000000"),
            (1e17, "1e+17"),
            (2f64.powi(200), "1.6069380442589903e+60"),
            (123_456_789_012_345_680.0, "1.2345678901234568e+17"),
            (f64::MIN_POSITIVE, "2.2250738585072014e-308"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "nan"),
        ];
        for (value, expected) in cases {
            assert_eq!(written(value, write_double), expected);
        }
    }

    proptest! {
        #[test]
        fn integers_are_written_as_the_library_writes_them(signed: i64, unsigned: u64) {
            prop_assert_eq!(written(signed, write_i64), signed.to_string());
            prop_assert_eq!(written(unsigned, write_u64), unsigned.to_string());
            prop_assert_eq!(parse_i64(signed.to_string().as_bytes()), Some(signed));
        }

        #[test]
        fn what_is_read_is_written_the_same(text in "-?[0-9]{0,20}") {
            if let Some(value) = parse_i64(text.as_bytes()) {
                prop_assert_eq!(written(value, write_i64), text);
            } else {
                prop_assert_ne!(text.parse::<i64>().map(|value| value.to_string()), Ok(text));
            }
        }

        #[test]
        fn a_double_comes_back(bits: u64) {
            let value = f64::from_bits(bits);
            let back: f64 = written(value, write_double).parse().unwrap();
            prop_assert!(back.to_bits() == bits || value.is_nan());
        }
    }
}
