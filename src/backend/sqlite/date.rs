//! Times as connect-session-knex writes them: what JavaScript's `Date.toISOString` makes.
//!
//! `2023-11-14T22:13:20.123Z` has always the same length, so texts sort as the times do. That ends
//! with the year 9999: [`FOREVER`] stands for everything from its last millisecond on. Pure.

use std::time::{Duration, UNIX_EPOCH};

use crate::time::Millis;

/// The last time that has such a text.
pub(super) const FOREVER: &str = "9999-12-31T23:59:59.999Z";
/// The same.
pub(super) const LAST: Millis = Millis::from_unix(253_402_300_799_999);

/// The text for a time; [`FOREVER`] for what has none.
pub(super) fn text(at: Millis) -> String {
    if at >= LAST {
        return FOREVER.to_owned();
    }
    let time = UNIX_EPOCH + Duration::from_millis(at.as_unix());
    humantime::format_rfc3339_millis(time).to_string()
}

/// The time of a text; `None` where it is none of ours.
pub(super) fn read(text: &[u8]) -> Option<Millis> {
    // Others are times too, but do not sort with these.
    if text.len() != FOREVER.len() {
        return None;
    }
    let time = humantime::parse_rfc3339(std::str::from_utf8(text).ok()?).ok()?;
    let ms = time.duration_since(UNIX_EPOCH).ok()?.as_millis();
    u64::try_from(ms).ok().map(Millis::from_unix)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_are_written_as_javascript_writes_them() {
        for (ms, iso) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_700_000_000_123, "2023-11-14T22:13:20.123Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (253_402_300_799_998, "9999-12-31T23:59:59.998Z"),
            (253_402_300_799_999, FOREVER),
        ] {
            assert_eq!(text(Millis::from_unix(ms)), iso);
            assert_eq!(read(iso.as_bytes()), Some(Millis::from_unix(ms)));
        }
        assert_eq!(text(Millis::MAX), FOREVER);
    }

    #[test]
    fn what_is_no_time_is_not_read() {
        for text in [
            "",
            "2023-11-14",
            "2023-11-14 22:13:20.123Z",
            "2023-13-14T22:13:20.123Z",
            "2023-00-14T22:13:20.123Z",
            "1969-12-31T23:59:59.999Z",
            "0000-01-01T00:00:00.000Z",
            "+010000-01-01T00:00:00.000Z",
            "2023-11-14T22:13:20.12\u{e9}",
        ] {
            assert_eq!(read(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_time_reads_back_and_sorts_as_its_text(
            one in 0..LAST.as_unix(),
            other in 0..LAST.as_unix(),
        ) {
            let [one, other] = [one, other].map(Millis::from_unix);
            prop_assert_eq!(read(text(one).as_bytes()), Some(one));
            prop_assert_eq!(text(one).cmp(&text(other)), one.cmp(&other));
        }
    }
}
