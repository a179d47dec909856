//! Times as connect-session-knex writes them: what JavaScript's `Date.toISOString` makes.
//!
//! `2023-11-14T22:13:20.123Z` has always the same length, so texts sort as the times do. That ends
//! with the year 9999: [`FOREVER`] stands for everything from its last millisecond on. Pure.
//! Days are counted as in <https://howardhinnant.github.io/date_algorithms.html>.

use std::fmt::Write as _;

use crate::time::Millis;

/// The last time that has such a text.
pub(super) const FOREVER: &str = "9999-12-31T23:59:59.999Z";
/// The same.
pub(super) const LAST: Millis = Millis::from_unix(253_402_300_799_999);

const DAY: u64 = 86_400_000;
/// Days from the first of March of the year 0 to the Unix epoch.
const EPOCH: u64 = 719_468;
/// Days of 400 years.
const ERA: u64 = 146_097;

/// The text for a time; [`FOREVER`] for what has none.
pub(super) fn text(at: Millis) -> String {
    if at >= LAST {
        return FOREVER.to_owned();
    }
    let ms = at.as_unix();
    let (days, ms) = (ms / DAY + EPOCH, ms % DAY);
    let (era, day_of_era) = (days / ERA, days % ERA);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Years begin in March here.
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (seconds, ms) = (ms / 1_000, ms % 1_000);
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    let mut text = String::with_capacity(FOREVER.len());
    let written = write!(
        text,
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z"
    );
    written.expect("a string takes what is written");
    text
}

/// The time of a text; `None` where it is none of ours.
pub(super) fn read(text: &[u8]) -> Option<Millis> {
    const SHAPE: &[u8] = b"0000-00-00T00:00:00.000Z";
    let fits = |(byte, shape): (&u8, &u8)| match shape {
        b'0' => byte.is_ascii_digit(),
        _ => byte == shape,
    };
    if text.len() != SHAPE.len() || !text.iter().zip(SHAPE).all(fits) {
        return None;
    }
    let number = |from: usize, to: usize| {
        let digits = text[from..to].iter();
        digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0'))
    };
    let (year, month, day) = (number(0, 4), number(5, 7), number(8, 10));
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let year = year.checked_sub(u64::from(month <= 2))?;
    let from_march = if month > 2 { month - 3 } else { month + 9 };
    let (era, year_of_era) = (year / 400, year % 400);
    let day_of_year = (153 * from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = (era * ERA + day_of_era).checked_sub(EPOCH)?;
    let seconds = number(11, 13) * 3_600 + number(14, 16) * 60 + number(17, 19);
    Some(Millis::from_unix(
        days * DAY + seconds * 1_000 + number(20, 23),
    ))
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
