//! Whether a backend over another one hands on every call as it came, for the tests of those.
//!
//! That no method of the trait is left to its default is what `clippy::missing_trait_methods`
//! denies, at each of them; here each is called and has to arrive. The list of calls is compared
//! with the trait's own text, so that none is left out of it either.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{
    Backend, BackendError, Cursor, Deadline, EntryRef, Expiring, FastPath, Foreseen, Look, Looked,
    MemoryUse, Pipelined, SetOutcome, Sweep, Swept, Teller, Ticket, Upkeep, Visitor, Wake, Walk,
};
use crate::config::WhenFull;
use crate::contract::{Capabilities, Condition, Gone, Kind, Seq};
use crate::time::Millis;

const NOW: Millis = Millis::from_unix(1_000);
const AT: Deadline = Deadline::At(Millis::from_unix(5_000));
const LONG: Duration = Duration::from_secs(9);

/// Answers every call with something that no default says, and notes it.
#[derive(Clone, Default)]
pub(crate) struct Recorder(Arc<Mutex<Vec<String>>>);

impl Recorder {
    fn note(&self, call: &str, with: impl Debug) {
        let mut noted = self.0.lock().expect("nobody panicked");
        noted.push(format!("{call} {with:?}"));
    }

    fn last(&self) -> String {
        let noted = self.0.lock().expect("nobody panicked");
        noted.last().cloned().unwrap_or_default()
    }
}

#[deny(clippy::missing_trait_methods)]
impl Backend for Recorder {
    fn capabilities(&self) -> Capabilities {
        self.note("capabilities", ());
        Capabilities::ALL.with(Capabilities::CLEAR)
    }

    fn is_shared(&self) -> bool {
        self.note("is_shared", ());
        true
    }

    fn blocks(&self) -> bool {
        self.note("blocks", ());
        true
    }

    fn pipelined(&mut self) -> Option<&mut dyn Pipelined> {
        Some(self)
    }

    fn fast_path(&self) -> Option<Arc<dyn FastPath>> {
        self.note("fast_path", ());
        None
    }

    fn get(&mut self, now: Millis, key: &[u8]) -> Result<Option<EntryRef<'_>>, BackendError> {
        self.note("get", (now, key));
        Ok(Some(entry()))
    }

    fn value(&mut self, now: Millis, key: &[u8]) -> Result<Option<Looked<'_>>, BackendError> {
        self.note("value", (now, key));
        Ok(Some((Kind::Hash, Cow::Borrowed(b"looked"))))
    }

    fn set(
        &mut self,
        now: Millis,
        key: &[u8],
        value: &[u8],
        deadline: Deadline,
        condition: Condition,
    ) -> Result<SetOutcome, BackendError> {
        self.note("set", (now, key, value, deadline, condition));
        Ok(SetOutcome::Stored(Seq(11)))
    }

    fn set_kind(
        &mut self,
        now: Millis,
        key: &[u8],
        value: (Kind, &[u8]),
        deadline: Deadline,
        condition: Condition,
    ) -> Result<SetOutcome, BackendError> {
        self.note("set_kind", (now, key, value, deadline, condition));
        Ok(SetOutcome::Stored(Seq(12)))
    }

    fn database(&mut self, number: u8) -> Option<&mut dyn Backend> {
        self.note("database", number);
        Some(self)
    }

    fn has_database(&self, number: u8) -> bool {
        self.note("has_database", number);
        true
    }

    fn touch(&mut self, now: Millis, key: &[u8], deadline: Deadline) -> Result<bool, BackendError> {
        self.note("touch", (now, key, deadline));
        Ok(true)
    }

    fn destroy(&mut self, now: Millis, key: &[u8]) -> Result<bool, BackendError> {
        self.note("destroy", (now, key));
        Ok(true)
    }

    fn destroy_if(&mut self, now: Millis, key: &[u8], seq: Seq) -> Result<bool, BackendError> {
        self.note("destroy_if", (now, key, seq));
        Ok(true)
    }

    fn bury(&mut self, now: Millis, key: &[u8], lasting: Duration) -> Result<bool, BackendError> {
        self.note("bury", (now, key, lasting));
        Ok(true)
    }

    fn is_buried(&mut self, now: Millis, key: &[u8]) -> bool {
        self.note("is_buried", (now, key));
        true
    }

    fn regenerate(
        &mut self,
        now: Millis,
        from: &[u8],
        to: &[u8],
        grace: Duration,
    ) -> Result<Option<SetOutcome>, BackendError> {
        self.note("regenerate", (now, from, to, grace));
        Ok(Some(SetOutcome::Stored(Seq(13))))
    }

    fn all(
        &mut self,
        now: Millis,
        cursor: Cursor,
        visit: &mut Visitor<'_>,
    ) -> Result<Option<Cursor>, BackendError> {
        self.note("all", (now, cursor));
        visit(b"visited", entry());
        Ok(Some(Cursor(14)))
    }

    fn length(&mut self, now: Millis) -> Result<u64, BackendError> {
        self.note("length", now);
        Ok(15)
    }

    fn expiring(&mut self, now: Millis) -> Option<Expiring> {
        self.note("expiring", now);
        Some(Expiring {
            entries: 16,
            mean_ms: 17,
        })
    }

    fn clear(&mut self, now: Millis) -> Result<(), BackendError> {
        self.note("clear", now);
        Ok(())
    }

    fn sweep(&mut self, now: Millis, what: Sweep, at: Cursor) -> Result<Swept, BackendError> {
        self.note("sweep", (now, what, at));
        Ok(Swept::On(Cursor(17)))
    }

    fn memory_use(&self) -> Option<MemoryUse> {
        self.note("memory_use", ());
        Some(MemoryUse {
            bytes: 18,
            bound: Some(19),
            when_full: WhenFull::Evict,
            evicted: 20,
        })
    }

    fn upkeep(&mut self, now: Millis) -> Upkeep {
        self.note("upkeep", now);
        Upkeep::Until(Millis::from_unix(21))
    }

    fn gone(&mut self, tell: Option<&mut Teller<'_>>) {
        self.note("gone", tell.is_some());
        if let Some(tell) = tell {
            tell(22, Gone::Evicted, b"gone");
        }
    }

    fn is_done(&self, key: &[u8]) -> bool {
        self.note("is_done", key);
        true
    }

    fn commit(&mut self) -> Result<(), BackendError> {
        self.note("commit", ());
        Err(BackendError::Busy)
    }
}

impl Pipelined for Recorder {
    fn wake_with(&mut self, _wake: Wake) {}

    fn ask(&mut self, now: Millis, keys: &Foreseen<'_>) -> Ticket {
        let mut given = Vec::new();
        keys(&mut |key, look| given.push((key.to_vec(), look)));
        self.note("pipelined", ("ask", now, given));
        Ticket(18)
    }

    fn look(&mut self, _now: Millis, _ticket: Ticket) {}

    fn submit(&mut self) -> Ticket {
        Ticket(19)
    }

    fn finish(&mut self, _ticket: Ticket) -> Result<(), BackendError> {
        Ok(())
    }

    fn is_here(&mut self, _ticket: Ticket) -> bool {
        true
    }
}

fn entry() -> EntryRef<'static> {
    EntryRef {
        value: Cow::Borrowed(b"value"),
        deadline: Some(Millis::from_unix(2_000)),
        seq: Seq(10),
        kind: Kind::Bytes,
    }
}

/// Calls a method, and shows what comes back.
type Call = fn(&mut dyn Backend) -> String;

/// Every method of the trait.
const CALLS: &[(&str, Call)] = &[
    ("capabilities", |store| shown(store.capabilities())),
    ("is_shared", |store| shown(store.is_shared())),
    ("blocks", |store| shown(store.blocks())),
    ("pipelined", |store| {
        let pipelined = store.pipelined().expect("it was there below");
        let ticket = pipelined.ask(NOW, &|visit| visit(b"key", Look::Value));
        shown((ticket, pipelined.is_here(ticket)))
    }),
    ("get", |store| shown(store.get(NOW, b"key"))),
    ("value", |store| shown(store.value(NOW, b"key"))),
    ("set", |store| {
        shown(store.set(NOW, b"key", b"value", AT, Condition::IfSeq(Seq(1))))
    }),
    ("set_kind", |store| {
        let value = (Kind::Hash, &b"value"[..]);
        shown(store.set_kind(NOW, b"key", value, AT, Condition::IfPresent))
    }),
    ("database", |store| shown(store.database(3).is_some())),
    ("has_database", |store| shown(store.has_database(4))),
    ("touch", |store| shown(store.touch(NOW, b"key", AT))),
    ("destroy", |store| shown(store.destroy(NOW, b"key"))),
    ("destroy_if", |store| {
        shown(store.destroy_if(NOW, b"key", Seq(1)))
    }),
    ("is_buried", |store| shown(store.is_buried(NOW, b"key"))),
    ("bury", |store| shown(store.bury(NOW, b"key", LONG))),
    ("regenerate", |store| {
        shown(store.regenerate(NOW, b"key", b"to", LONG))
    }),
    ("all", |store| {
        let mut visited = Vec::new();
        let next = store.all(NOW, Cursor(5), &mut |key, entry| {
            visited.push(shown((key, entry)));
            Walk::On
        });
        shown((next, visited))
    }),
    ("length", |store| shown(store.length(NOW))),
    ("expiring", |store| shown(store.expiring(NOW))),
    ("clear", |store| shown(store.clear(NOW))),
    ("sweep", |store| {
        shown(store.sweep(NOW, Sweep::Clear, Cursor(6)))
    }),
    ("memory_use", |store| shown(store.memory_use())),
    ("upkeep", |store| shown(store.upkeep(NOW))),
    ("gone", |store| {
        let mut told = Vec::new();
        store.gone(Some(&mut |database, why, key| {
            told.push(shown((database, why, key)));
        }));
        shown(told)
    }),
    ("fast_path", |store| shown(store.fast_path())),
    ("commit", |store| shown(store.commit())),
    ("is_done", |store| shown(store.is_done(b"key"))),
];

fn shown(what: impl Debug) -> String {
    format!("{what:?}")
}

/// Makes a backend over the one that is given and has it called.
pub(crate) type Over<'o> = &'o dyn Fn(Recorder, &mut dyn FnMut(&mut dyn Backend));

/// Every call of it arrives as it came, and what comes back is what the inner one said; `apart` from
/// those that it answers in its own way.
///
/// # Panics
/// If not, with the name of the method.
#[track_caller]
pub(crate) fn assert_forwards(over: Over<'_>, apart: &[&str]) {
    for (name, call) in CALLS {
        let mut direct = Recorder::default();
        let expected = (call(&mut direct), direct.last());
        let recorder = Recorder::default();
        let mut said = None;
        over(recorder.clone(), &mut |store| said = Some(call(store)));
        let came = (said.expect("it was called"), recorder.last());
        let is_apart = apart.contains(name);
        assert_eq!(came != expected, is_apart, "{name}: {came:?}, {expected:?}");
    }
}

#[test]
fn the_list_of_calls_is_that_of_the_trait() {
    let source = include_str!("mod.rs");
    let (_, from) = source.split_once("\npub trait Backend").expect("it is");
    let (body, _) = from.split_once("\n}\n").expect("it ends");
    let methods = body.lines().filter_map(|line| line.strip_prefix("    fn "));
    let methods: BTreeSet<_> = methods.filter_map(|rest| rest.split('(').next()).collect();
    assert!(methods.contains("get"), "{methods:?}");
    let listed: BTreeSet<_> = CALLS.iter().map(|(name, _)| *name).collect();
    assert_eq!(listed, methods);
    for (name, call) in CALLS {
        let mut recorder = Recorder::default();
        call(&mut recorder);
        let is_named = recorder.last().starts_with(&format!("{name} "));
        assert!(is_named, "{name} calls {}", recorder.last());
    }
}
