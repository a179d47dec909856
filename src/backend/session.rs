//! What a session of express-session says about itself: the little that the stores of Node read.
//!
//! A session is JSON: an object whose member `cookie` has `expires`, a time or null, and
//! `originalMaxAge`, milliseconds or null. Pure.

use std::time::UNIX_EPOCH;

use serde_json::Value;

use crate::time::Millis;

/// The member `cookie` of a session.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Cookie {
    /// When the browser drops it; `None` where it does not say.
    pub(super) expires: Option<Millis>,
    /// How long it was to live, in milliseconds.
    #[cfg(feature = "files")]
    pub(super) original_max_age: Option<f64>,
}

impl Cookie {
    /// The cookie of a session; `None` where the value is none.
    #[cfg(feature = "leveldb")]
    pub(super) fn of(value: &[u8]) -> Option<Self> {
        #[derive(serde::Deserialize)]
        struct Session {
            cookie: Value,
        }
        if value.first() != Some(&b'{') {
            return None;
        }
        let session: Session = serde_json::from_slice(value).ok()?;
        Some(Self::from_json(&session.cookie))
    }

    /// From the member itself.
    pub(super) fn from_json(cookie: &Value) -> Self {
        Self {
            expires: cookie.get("expires").and_then(Value::as_str).and_then(time),
            #[cfg(feature = "files")]
            original_max_age: cookie.get("originalMaxAge").and_then(Value::as_f64),
        }
    }
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

#[cfg(all(test, feature = "leveldb"))]
mod tests {
    use super::*;

    fn expires(session: &str) -> Result<Option<u64>, &'static str> {
        let cookie = Cookie::of(session.as_bytes()).ok_or("no cookie")?;
        Ok(cookie.expires.map(Millis::as_unix))
    }

    #[test]
    fn a_session_says_when_its_cookie_expires() {
        for (session, at) in [
            (
                r#"{"a":1,"cookie":{"originalMaxAge":5,"expires":"2023-11-14T22:13:20.123Z"}}"#,
                Ok(Some(1_700_000_000_123)),
            ),
            (
                r#"{"cookie":{"expires":"1969-01-01T00:00:00.000Z"}}"#,
                Ok(Some(0)),
            ),
            (
                r#"{"cookie":{"expires":"-000001-01-01T00:00:00.000Z"}}"#,
                Ok(Some(0)),
            ),
            (
                r#"{"cookie":{"expires":"+010000-01-01T00:00:00.000Z"}}"#,
                Ok(None),
            ),
            (r#"{"cookie":{"expires":null}}"#, Ok(None)),
            (r#"{"cookie":{"expires":"soon"}}"#, Ok(None)),
            (r#"{"cookie":7}"#, Ok(None)),
            (r#"{"user":7}"#, Err("no cookie")),
            (r#"{"cookie":"#, Err("no cookie")),
            ("[]", Err("no cookie")),
            ("", Err("no cookie")),
        ] {
            assert_eq!(expires(session), at, "{session}");
        }
    }
}
