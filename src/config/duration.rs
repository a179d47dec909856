//! Durations, as people write them: `500ms`, `10s`, `1h30m`, and a plain number of seconds.
//!
//! `humantime` does the work: small, without dependencies of its own, exact in both directions,
//! and it tells what is wrong. Only the plain number is ours.

use std::fmt;
use std::time::Duration;

use super::Invalid;

/// Reads a duration: a plain number of seconds, or numbers with the units `ns`, `us`, `ms`, `s`,
/// `m`, `h`, `d`, `w`.
///
/// ```
/// use std::time::Duration;
/// use memstore_cluster::config::duration;
/// assert_eq!(duration::parse("1h30m"), Ok(Duration::from_secs(5_400)));
/// assert_eq!(duration::parse("90"), Ok(Duration::from_secs(90)));
/// ```
pub fn parse(text: &str) -> Result<Duration, Invalid> {
    let text = text.trim();
    let seconds = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let parsed = if seconds {
        text.parse().ok().map(Duration::from_secs)
    } else {
        humantime::parse_duration(text).ok()
    };
    parsed.ok_or_else(|| {
        Invalid::new(
            "must be a duration, such as 500ms, 10s, 5m, 1h30m or 2d (a plain number is seconds)",
        )
    })
}

/// How a duration is printed; it reads back as the same.
pub fn display(duration: Duration) -> impl fmt::Display {
    humantime::format_duration(duration)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, ms) in [
            ("0", 0),
            ("7", 7_000),
            ("500ms", 500),
            ("10s", 10_000),
            ("5m", 300_000),
            ("1h", 3_600_000),
            ("2d", 172_800_000),
            ("1h30m", 5_400_000),
            ("1h 30m", 5_400_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(ms)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused_with_what_to_write() {
        for text in ["", "soon", "-1s", "10 parsecs", "s", "99999999999999999999"] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains("1h30m"), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back(
            secs in any::<u64>(),
            shift in 0..64u32,
            nanos in 0..1_000_000_000u32,
        ) {
            let duration = Duration::new(secs >> shift, nanos);
            prop_assert_eq!(parse(&display(duration).to_string()), Ok(duration));
        }
    }
}
