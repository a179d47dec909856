//! Sizes in bytes, as people write them.
//!
//! Not a library's type: `bytesize` reads `64k` as 64,000, where everybody who configures memory
//! means 65,536, and prints rounded values that do not read back as the same size.

use std::fmt;
use std::str::FromStr;

use super::Invalid;

/// A number of bytes. It is written plainly (`1048576`) or with a unit: `k`, `M`, `G`, `T` in
/// either case and `KiB`, `MiB`, `GiB`, `TiB` are powers of 1,024; `kB`, `MB`, `GB`, `TB` are
/// powers of 1,000, as the standards have it. What it prints reads back as the same size.
///
/// ```
/// use memstore_cluster::config::ByteSize;
/// assert_eq!("8MiB".parse(), Ok(ByteSize(8 << 20)));
/// assert_eq!(ByteSize(64 << 10).to_string(), "64KiB");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

const BINARY: [(&str, u64); 4] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
];

fn unit(name: &str) -> Option<u64> {
    Some(match name.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "ki" | "kib" => 1 << 10,
        "m" | "mi" | "mib" => 1 << 20,
        "g" | "gi" | "gib" => 1 << 30,
        "t" | "ti" | "tib" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => return None,
    })
}

impl FromStr for ByteSize {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let text = text.trim();
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, rest) = text.split_at(digits);
        if number.is_empty() {
            return Err(Invalid::new(
                "must be a size in bytes, such as 1048576, 64k or 8MiB",
            ));
        }
        let Some(unit) = unit(rest.trim_start()) else {
            return Err(Invalid::new(format!(
                "has the unknown unit {rest:?}; write a whole number with k, M, G or T (powers of \
                 1024) or kB, MB, GB or TB (powers of 1000)"
            )));
        };
        let bytes = number.parse().ok().and_then(|n: u64| n.checked_mul(unit));
        bytes.map(Self).ok_or_else(|| {
            Invalid::new("must be below 16 EiB, which is more than a machine can have")
        })
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = |(_, unit): &&(&str, u64)| self.0 != 0 && self.0 % unit == 0;
        match BINARY.iter().find(exact) {
            Some((name, unit)) => write!(f, "{}{name}", self.0 / unit),
            None => self.0.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [
            ("0", 0),
            ("1048576", 1 << 20),
            ("64k", 64 << 10),
            ("64K", 64 << 10),
            ("8MiB", 8 << 20),
            ("8 MiB", 8 << 20),
            ("8MB", 8_000_000),
            ("1b", 1),
            ("2G", 2 << 30),
        ] {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused_with_what_to_write() {
        for (text, hint) in [
            ("", "such as"),
            ("lots", "such as"),
            ("-1", "such as"),
            ("8.5M", "unknown unit \".5M\""),
            ("8X", "unknown unit \"X\""),
            ("99999999999999999999", "below 16 EiB"),
            ("16777216T", "below 16 EiB"),
        ] {
            let error = text.parse::<ByteSize>().unwrap_err().to_string();
            assert!(error.contains(hint), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back(n in any::<u64>(), shift in 0..64u32) {
            let size = ByteSize(n >> shift << (shift / 2));
            prop_assert_eq!(size.to_string().parse(), Ok(size));
        }
    }
}
