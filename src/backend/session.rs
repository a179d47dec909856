//! What a session of express-session says about its end: the one place that reads its cookie.
//!
//! A session is JSON: an object whose member `cookie` is an object with `expires`, a time or null,
//! and `originalMaxAge`, milliseconds or null. Everything else in it is the application's. Pure.

use std::borrow::Cow;
use std::time::{Duration, UNIX_EPOCH};

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::time::Millis;

/// The last time that has a date of the usual length: that of the year 9999.
const LAST: Millis = Millis::from_unix(253_402_300_799_999);

/// The member `cookie` of a session.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Cookie<'s> {
    #[serde(borrow)]
    expires: Option<&'s RawValue>,
    #[serde(borrow)]
    original_max_age: Option<&'s RawValue>,
}

/// How long a cookie lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lifetime {
    /// Until then.
    Until(Millis),
    /// For so long from when it is written.
    For(Duration),
    /// As long as the browser that has it.
    Browser,
}

impl<'s> Cookie<'s> {
    /// The cookie of a session; `None` where the value is no session.
    pub(super) fn of(value: &'s [u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Session<'s> {
            #[serde(borrow)]
            cookie: &'s RawValue,
        }
        // An array would do for the members in their order.
        if value.first() != Some(&b'{') {
            return None;
        }
        let session: Session<'s> = serde_json::from_slice(value).ok()?;
        Self::read(session.cookie)
    }

    /// From the member itself.
    pub(super) fn read(member: &'s RawValue) -> Option<Self> {
        let is_object = member.get().starts_with('{');
        is_object.then(|| serde_json::from_str(member.get()).ok())?
    }

    /// When it ends, where it says so.
    pub(super) fn expires(&self) -> Option<Millis> {
        let text: Cow<'_, str> = serde_json::from_str(self.expires?.get()).ok()?;
        time(&text)
    }

    /// How long it was to live, in milliseconds, where it says so.
    pub(super) fn original_max_age(&self) -> Option<f64> {
        serde_json::from_str(self.original_max_age?.get()).ok()
    }

    /// How long it lives, which it says in the one way or the other.
    pub(super) fn lifetime(&self) -> Lifetime {
        if let Some(expires) = self.expires() {
            return Lifetime::Until(expires);
        }
        let seconds = self.original_max_age().map(|ms| ms.max(0.0) / 1_000.0);
        let time = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        time.map_or(Lifetime::Browser, Lifetime::For)
    }
}

/// The session with another end of its cookie, where that has one and not this one.
pub(super) fn with_expires(value: &[u8], deadline: Millis) -> Option<Vec<u8>> {
    let cookie = Cookie::of(value)?;
    // Later than a date can say, it is left as it is.
    if cookie.expires()? == deadline || deadline > LAST {
        return None;
    }
    let time = UNIX_EPOCH.checked_add(Duration::from_millis(deadline.as_unix()))?;
    let old = cookie.expires?.get();
    let at = old.as_ptr().addr() - value.as_ptr().addr();
    let new = format!("\"{}\"", humantime::format_rfc3339_millis(time));
    Some([&value[..at], new.as_bytes(), &value[at + old.len()..]].concat())
}

/// A time as `Date.toISOString` writes it; one before 1970 has long passed.
fn time(text: &str) -> Option<Millis> {
    match humantime::parse_rfc3339(text) {
        Ok(at) => {
            let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
            u64::try_from(since.as_millis()).ok().map(Millis::from_unix)
        }
        Err(humantime::TimestampError::OutOfRange) if text < "1970" => Some(Millis::ZERO),
        Err(_) => text.starts_with('-').then_some(Millis::ZERO),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lifetime(session: &str) -> Option<Lifetime> {
        Cookie::of(session.as_bytes()).map(|cookie| cookie.lifetime())
    }

    const fn until(ms: u64) -> Lifetime {
        Lifetime::Until(Millis::from_unix(ms))
    }

    #[test]
    fn a_session_says_when_its_cookie_ends() {
        for (cookie, expected) in [
            (
                r#"{"originalMaxAge":5,"expires":"2023-11-14T22:13:20.123Z"}"#,
                Some(until(1_700_000_000_123)),
            ),
            (
                r#"{"expires":"2023-11-14T22:13:20.\u0031\u0032\u0033Z"}"#,
                Some(until(1_700_000_000_123)),
            ),
            (r#"{"expires":"1969-01-01T00:00:00.000Z"}"#, Some(until(0))),
            (
                r#"{"expires":"-000001-01-01T00:00:00.000Z"}"#,
                Some(until(0)),
            ),
            (
                r#"{"expires":"+010000-01-01T00:00:00.000Z"}"#,
                Some(Lifetime::Browser),
            ),
            (r#"{"expires":null}"#, Some(Lifetime::Browser)),
            (r#"{"expires":"soon"}"#, Some(Lifetime::Browser)),
            (
                r#"{"expires":7,"originalMaxAge":"x"}"#,
                Some(Lifetime::Browser),
            ),
            (
                r#"{"expires":null,"originalMaxAge":1500.5}"#,
                Some(Lifetime::For(Duration::from_micros(1_500_500))),
            ),
            (
                r#"{"originalMaxAge":-5}"#,
                Some(Lifetime::For(Duration::ZERO)),
            ),
            (r#"{"originalMaxAge":1e300}"#, Some(Lifetime::Browser)),
            (r#"["2023-11-14T22:13:20.123Z"]"#, None),
            ("7", None),
        ] {
            let session = format!(r#"{{"a":1,"cookie":{cookie}}}"#);
            assert_eq!(lifetime(&session), expected, "{session}");
        }
    }

    #[test]
    fn what_has_no_cookie_is_no_session() {
        for value in [
            r#"{"user":7}"#,
            r#"{"cookie":"#,
            r#"[{"expires":null}]"#,
            "",
        ] {
            assert_eq!(lifetime(value), None, "{value}");
        }
    }

    #[test]
    fn another_end_changes_nothing_else() {
        let session = r#"{ "cookie" : {"path":"/","expires" : "EXP"} ,"é":[1.50] }"#;
        let first = session.replace("EXP", "2023-11-14T22:13:20.123Z");
        let changed = |to: u64| {
            let changed = with_expires(first.as_bytes(), Millis::from_unix(to));
            changed.map(|value| String::from_utf8(value).unwrap())
        };
        assert_eq!(changed(1_700_000_000_123), None);
        assert_eq!(
            changed(1_700_000_001_000),
            Some(session.replace("EXP", "2023-11-14T22:13:21.000Z"))
        );
        let last = session.replace("EXP", "9999-12-31T23:59:59.999Z");
        assert_eq!(changed(LAST.as_unix()), Some(last));
        assert_eq!(changed(LAST.as_unix() + 1), None);
        let without = br#"{"cookie":{"expires":null}}"#;
        assert_eq!(with_expires(without, LAST), None);
    }
}
