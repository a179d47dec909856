//! express-session's rules over any backend: a session expires when its cookie says so.
//!
//! A session is a JSON object with a `cookie`, under a key with a certain prefix. Everything else
//! goes through untouched. The rules:
//!
//! * written without a deadline it gets that of its cookie: `expires`, or else `originalMaxAge` from
//!   now on. A cookie with neither lives as long as the browser; such a session gets the default
//!   time, or where that is none stays until the store is opened again.
//! * a deadline that the writer names counts more than the cookie.
//! * a touch moves the deadline and never writes data; who reads the session then finds the new
//!   deadline in `cookie.expires`, where there was one before.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use super::session::{Cookie, Lifetime, with_expires};
use super::{
    Backend, BackendError, Cursor, Deadline, EntryRef, Expiring, FastPath, Foreseen, Look, Looked,
    MemoryUse, Pipelined, SetOutcome, Sweep, Swept, Teller, Ticket, Upkeep, Visitor, Wake, Walk,
};
use crate::config::Sessions;
use crate::contract::{Capabilities, Condition, Kind, Seq};
use crate::time::Millis;

/// Sessions that are looked at per step while those of the last time are removed.
const STEP: usize = 256;

/// A backend that keeps sessions by express-session's rules.
pub(crate) struct SessionRules {
    inner: Box<dyn Backend>,
    sessions: Sessions,
    /// Where the walk is that removes what was to stay until now.
    leftover: Option<Cursor>,
}

impl SessionRules {
    pub(crate) fn new(inner: Box<dyn Backend>, sessions: Sessions) -> Self {
        let is_left = sessions.ttl.is_none() && inner.capabilities().has(Capabilities::ALL);
        Self {
            inner,
            sessions,
            leftover: is_left.then(Cursor::default),
        }
    }

    fn is_session(&self, key: &[u8]) -> bool {
        key.starts_with(&self.sessions.prefix)
    }

    /// The deadline of what is written.
    fn deadline(&self, now: Millis, key: &[u8], value: &[u8], asked: Deadline) -> Deadline {
        if asked != Deadline::Never || !self.is_session(key) {
            return asked;
        }
        match lifetime(value) {
            Some(Lifetime::Until(at)) => Deadline::At(at),
            Some(Lifetime::For(time)) => Deadline::At(now.after(time)),
            Some(Lifetime::Browser) => self.browser(now),
            None => asked,
        }
    }

    fn below(&mut self) -> &mut dyn Pipelined {
        self.inner.pipelined().expect("else this is not, either")
    }

    /// The deadline of a session whose cookie has none.
    fn browser(&self, now: Millis) -> Deadline {
        let ttl = self.sessions.ttl;
        ttl.map_or(Deadline::Never, |ttl| Deadline::At(now.after(ttl)))
    }

    /// Removes sessions that were to stay until the store is opened again, which it now is.
    fn remove_leftover(
        &mut self,
        now: Millis,
        cursor: Cursor,
    ) -> Result<Option<Cursor>, BackendError> {
        let (mut seen, mut found) = (0, Vec::new());
        let prefix = self.sessions.prefix.as_slice();
        let next = self.inner.all(now, cursor, &mut |key, entry| {
            seen += 1;
            let is_left = entry.deadline.is_none()
                && key.starts_with(prefix)
                && lifetime(&entry.value) == Some(Lifetime::Browser);
            if is_left {
                found.push((key.to_vec(), entry.seq));
            }
            if seen < STEP { Walk::On } else { Walk::Pause }
        })?;
        for (key, seq) in found {
            // Unless it was written since.
            let is_same = self
                .inner
                .get(now, &key)?
                .is_some_and(|entry| entry.seq == seq);
            if is_same {
                self.inner.destroy(now, &key)?;
            }
        }
        Ok(next)
    }
}

#[deny(clippy::missing_trait_methods)]
impl Backend for SessionRules {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn expiring(&mut self, now: Millis) -> Option<Expiring> {
        self.inner.expiring(now)
    }

    fn fast_path(&self) -> Option<Arc<dyn FastPath>> {
        None
    }

    fn pipelined(&mut self) -> Option<&mut dyn Pipelined> {
        self.inner.pipelined()?;
        Some(self)
    }

    fn blocks(&self) -> bool {
        self.inner.blocks()
    }

    fn is_shared(&self) -> bool {
        self.inner.is_shared()
    }

    fn get(&mut self, now: Millis, key: &[u8]) -> Result<Option<EntryRef<'_>>, BackendError> {
        let is_session = self.is_session(key);
        let found = self.inner.get(now, key)?;
        Ok(found.map(|entry| if is_session { renewed(entry) } else { entry }))
    }

    fn value(&mut self, now: Millis, key: &[u8]) -> Result<Option<Looked<'_>>, BackendError> {
        if !self.is_session(key) {
            return self.inner.value(now, key);
        }
        let found = self.get(now, key)?;
        Ok(found.map(|entry| (entry.kind, entry.value)))
    }

    fn set(
        &mut self,
        now: Millis,
        key: &[u8],
        value: &[u8],
        deadline: Deadline,
        condition: Condition,
    ) -> Result<SetOutcome, BackendError> {
        let deadline = self.deadline(now, key, value, deadline);
        self.inner.set(now, key, value, deadline, condition)
    }

    fn set_kind(
        &mut self,
        now: Millis,
        key: &[u8],
        (kind, value): (Kind, &[u8]),
        deadline: Deadline,
        condition: Condition,
    ) -> Result<SetOutcome, BackendError> {
        match kind {
            Kind::Bytes => self.set(now, key, value, deadline, condition),
            kind => self
                .inner
                .set_kind(now, key, (kind, value), deadline, condition),
        }
    }

    /// Other databases hold no sessions.
    fn database(&mut self, number: u8) -> Option<&mut dyn Backend> {
        self.inner.database(number)
    }

    fn has_database(&self, number: u8) -> bool {
        self.inner.has_database(number)
    }

    fn touch(&mut self, now: Millis, key: &[u8], deadline: Deadline) -> Result<bool, BackendError> {
        let deadline = match deadline {
            Deadline::Never if self.is_session(key) => self.browser(now),
            asked => asked,
        };
        self.inner.touch(now, key, deadline)
    }

    fn destroy(&mut self, now: Millis, key: &[u8]) -> Result<bool, BackendError> {
        self.inner.destroy(now, key)
    }

    fn destroy_if(&mut self, now: Millis, key: &[u8], seq: Seq) -> Result<bool, BackendError> {
        self.inner.destroy_if(now, key, seq)
    }

    fn is_buried(&mut self, now: Millis, key: &[u8]) -> bool {
        self.inner.is_buried(now, key)
    }

    fn bury(&mut self, now: Millis, key: &[u8], lasting: Duration) -> Result<bool, BackendError> {
        self.inner.bury(now, key, lasting)
    }

    fn regenerate(
        &mut self,
        now: Millis,
        from: &[u8],
        to: &[u8],
        grace: Duration,
    ) -> Result<Option<SetOutcome>, BackendError> {
        self.inner.regenerate(now, from, to, grace)
    }

    fn all(
        &mut self,
        now: Millis,
        cursor: Cursor,
        visit: &mut Visitor<'_>,
    ) -> Result<Option<Cursor>, BackendError> {
        let prefix = self.sessions.prefix.as_slice();
        self.inner.all(now, cursor, &mut |key, entry| {
            let is_session = key.starts_with(prefix);
            visit(key, if is_session { renewed(entry) } else { entry })
        })
    }

    fn length(&mut self, now: Millis) -> Result<u64, BackendError> {
        self.inner.length(now)
    }

    fn clear(&mut self, now: Millis) -> Result<(), BackendError> {
        self.inner.clear(now)
    }

    fn sweep(&mut self, now: Millis, what: Sweep, at: Cursor) -> Result<Swept, BackendError> {
        self.inner.sweep(now, what, at)
    }

    fn memory_use(&self) -> Option<MemoryUse> {
        self.inner.memory_use()
    }

    fn upkeep(&mut self, now: Millis) -> Upkeep {
        let Some(cursor) = self.leftover else {
            return self.inner.upkeep(now);
        };
        match self.remove_leftover(now, cursor) {
            Ok(next) => self.leftover = next,
            Err(error) => {
                tracing::warn!(%error, "sessions of the last time stay");
                self.leftover = None;
            }
        }
        Upkeep::More
    }

    fn gone(&mut self, tell: Option<&mut Teller<'_>>) {
        self.inner.gone(tell);
    }

    fn commit(&mut self) -> Result<(), BackendError> {
        self.inner.commit()
    }

    fn is_done(&self, key: &[u8]) -> bool {
        self.inner.is_done(key)
    }
}

/// The cookie of a session tells its deadline, so who looks at the value looks at both.
impl Pipelined for SessionRules {
    fn wake_with(&mut self, wake: Wake) {
        self.below().wake_with(wake);
    }

    fn ask(&mut self, now: Millis, keys: &Foreseen<'_>) -> Ticket {
        let prefix = self.sessions.prefix.clone();
        self.below().ask(now, &|visit| {
            keys(&mut |key, look| {
                let is_shown = look == Look::Value && key.starts_with(&prefix);
                visit(key, if is_shown { Look::Entry } else { look });
            });
        })
    }

    fn look(&mut self, now: Millis, ticket: Ticket) {
        self.below().look(now, ticket);
    }

    fn submit(&mut self) -> Ticket {
        self.below().submit()
    }

    fn finish(&mut self, ticket: Ticket) -> Result<(), BackendError> {
        self.below().finish(ticket)
    }

    fn is_here(&mut self, ticket: Ticket) -> bool {
        self.below().is_here(ticket)
    }
}

/// How long a session lives; `None` for what is none.
fn lifetime(value: &[u8]) -> Option<Lifetime> {
    Cookie::of(value).map(|cookie| cookie.lifetime())
}

/// A session whose cookie says when the entry really ends.
fn renewed(entry: EntryRef<'_>) -> EntryRef<'_> {
    let Some(deadline) = entry.deadline.filter(|_| entry.kind == Kind::Bytes) else {
        return entry;
    };
    let Some(value) = with_expires(&entry.value, deadline) else {
        return entry;
    };
    EntryRef {
        value: Cow::Owned(value),
        ..entry
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::backend::MemoryBackend;
    use crate::backend::forwarding::assert_forwards;

    const NOW: Millis = Millis::from_unix(1_700_000_000_000);
    /// A second after `NOW`.
    const SOON: &str = "2023-11-14T22:13:21.000Z";

    fn store(ttl: Option<Duration>) -> SessionRules {
        let sessions = Sessions {
            prefix: "s:".into(),
            ttl,
        };
        SessionRules::new(Box::new(MemoryBackend::new()), sessions)
    }

    fn set(store: &mut dyn Backend, key: &str, value: &str, deadline: Deadline) {
        let (key, value) = (key.as_bytes(), value.as_bytes());
        let outcome = store.set(NOW, key, value, deadline, Condition::Always);
        assert!(matches!(outcome, Ok(SetOutcome::Stored(_))));
    }

    fn get(store: &mut dyn Backend, key: &str) -> (String, Option<u64>) {
        let entry = store.get(NOW, key.as_bytes()).unwrap().expect(key);
        let left = entry.deadline.map(|at| at.as_unix() - NOW.as_unix());
        (String::from_utf8(entry.value.into_owned()).unwrap(), left)
    }

    #[test]
    fn every_call_reaches_the_backend_below() {
        // But past its rules there is no way.
        let sessions = Sessions {
            prefix: "s:".into(),
            ttl: Some(Duration::from_secs(1)),
        };
        assert_forwards(
            &|below, call| call(&mut SessionRules::new(Box::new(below), sessions.clone())),
            &["fast_path"],
        );
    }

    #[test]
    fn the_cookie_says_how_long_a_session_lives() {
        let store = &mut store(Some(Duration::from_secs(5)));
        for (cookie, left) in [
            (
                format!(r#"{{"originalMaxAge":9000,"expires":"{SOON}"}}"#),
                Some(1_000),
            ),
            (
                r#"{"originalMaxAge":9000,"expires":null}"#.into(),
                Some(9_000),
            ),
            (
                r#"{"originalMaxAge":null,"expires":null}"#.into(),
                Some(5_000),
            ),
            (r#"{"path":"/"}"#.into(), Some(5_000)),
            (r#"{"expires":"no date"}"#.into(), Some(5_000)),
        ] {
            let session = format!(r#"{{"user":"é","cookie":{cookie}}}"#);
            set(store, "s:1", &session, Deadline::Never);
            assert_eq!(get(store, "s:1"), (session, left), "{cookie}");
        }
    }

    #[test]
    fn what_is_no_session_stays_as_it_is() {
        let store = &mut store(Some(Duration::from_secs(5)));
        let session = format!(r#"{{"cookie":{{"expires":"{SOON}"}}}}"#);
        for (key, value) in [
            ("other", session.as_str()),
            ("s:1", "no JSON"),
            ("s:2", r#"{"n":1}"#),
            ("s:3", r#"{"cookie":7}"#),
            ("s:4", "[]"),
            ("s:5", ""),
        ] {
            set(store, key, value, Deadline::Never);
            assert_eq!(get(store, key), (value.to_owned(), None), "{key} {value}");
        }
    }

    #[test]
    fn a_past_end_is_the_end_and_a_named_deadline_counts_more_than_the_cookie() {
        let store = &mut store(None);
        let past = r#"{"cookie":{"expires":"2020-01-01T00:00:00.000Z"}}"#;
        set(store, "s:1", past, Deadline::Never);
        assert!(store.get(NOW, b"s:1").unwrap().is_none());
        set(store, "s:1", past, Deadline::At(NOW.after_ms(1_000)));
        let (session, left) = get(store, "s:1");
        assert_eq!(left, Some(1_000));
        assert_eq!(session, past.replace("2020-01-01T00:00:00.000Z", SOON));
    }

    #[test]
    fn a_touch_moves_the_end_in_the_cookie_and_leaves_the_rest_byte_for_byte() {
        let store = &mut store(Some(Duration::from_secs(5)));
        let session = r#"{ "a" : "\u00e9" ,"cookie":{"path":"/", "expires" : "EXP" },"z":[1.50] }"#;
        let first = session.replace("EXP", "2023-11-15T00:00:00.000Z");
        set(store, "s:1", &first, Deadline::Never);
        assert!(
            store
                .touch(NOW, b"s:1", Deadline::At(NOW.after_ms(1_000)))
                .unwrap()
        );
        assert_eq!(
            get(store, "s:1"),
            (session.replace("EXP", SOON), Some(1_000))
        );
        let mut walked = Vec::new();
        let next = store.all(NOW, Cursor::default(), &mut |_, entry| {
            walked.push(String::from_utf8(entry.value.into_owned()).unwrap());
            Walk::On
        });
        assert_eq!(
            (next.unwrap(), walked),
            (None, vec![session.replace("EXP", SOON)])
        );
        assert!(store.touch(NOW, b"s:1", Deadline::Never).unwrap());
        assert_eq!(get(store, "s:1").1, Some(5_000));
    }

    #[test]
    fn without_a_default_a_browsers_session_stays_until_the_store_is_opened_again() {
        let mut inner = MemoryBackend::new();
        let browser = r#"{"cookie":{"expires":null}}"#;
        for number in 0..2 * STEP {
            set(&mut inner, &format!("s:{number}"), browser, Deadline::Never);
        }
        set(&mut inner, "s:data", r#"{"no":"cookie"}"#, Deadline::Never);
        set(&mut inner, "other", browser, Deadline::Never);
        let sessions = Sessions {
            prefix: "s:".into(),
            ttl: None,
        };
        let store = &mut SessionRules::new(Box::new(inner), sessions);
        set(
            store,
            "s:0",
            r#"{"cookie":{"expires":null},"new":1}"#,
            Deadline::At(NOW.after_ms(9)),
        );
        while store.upkeep(NOW) == Upkeep::More {}
        set(store, "s:new", browser, Deadline::Never);
        store.upkeep(NOW);
        assert_eq!(
            store.length(NOW).unwrap(),
            4,
            "s:0, s:data, s:new and other"
        );
        assert_eq!(get(store, "s:new").1, None);
    }
}
