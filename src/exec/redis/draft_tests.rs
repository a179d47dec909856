//! Commands over a backend that somebody else writes to at the worst moment: between what a command
//! reads and what it writes.

use super::super::{Host, Session, Shared};
use super::*;
use crate::backend::{MemoryBackend, Tombstones};
use crate::config::{KeyspaceEvents, Limits, Tombstone};
use crate::exec::{Hub, Origin};

const NOW: Millis = Millis::from_unix(5_000);

/// A shared backend. What is to be meddled is written before the next writes.
struct Meddled {
    memory: MemoryBackend,
    /// Keys and values; `None` removes.
    meddling: Vec<(&'static str, Option<&'static str>)>,
}

impl Meddled {
    fn meddle(&mut self) {
        if let Some((key, value)) = self.meddling.pop() {
            let (key, never) = (key.as_bytes(), Deadline::Never);
            match value {
                Some(value) => {
                    let value = value.as_bytes();
                    let done = self.memory.set(NOW, key, value, never, Condition::Always);
                    done.unwrap();
                }
                None => drop(self.memory.destroy(NOW, key).unwrap()),
            }
        }
    }
}

impl Backend for Meddled {
    fn capabilities(&self) -> Capabilities {
        self.memory.capabilities()
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn get(&mut self, now: Millis, key: &[u8]) -> Result<Option<EntryRef<'_>>, BackendError> {
        self.memory.get(now, key)
    }

    fn set(
        &mut self,
        now: Millis,
        key: &[u8],
        value: &[u8],
        deadline: Deadline,
        condition: Condition,
    ) -> Result<SetOutcome, BackendError> {
        self.set_kind(now, key, (Kind::Bytes, value), deadline, condition)
    }

    fn set_kind(
        &mut self,
        now: Millis,
        key: &[u8],
        value: (Kind, &[u8]),
        deadline: Deadline,
        condition: Condition,
    ) -> Result<SetOutcome, BackendError> {
        self.meddle();
        self.memory.set_kind(now, key, value, deadline, condition)
    }

    fn touch(&mut self, now: Millis, key: &[u8], deadline: Deadline) -> Result<bool, BackendError> {
        self.meddle();
        self.memory.touch(now, key, deadline)
    }

    fn destroy(&mut self, now: Millis, key: &[u8]) -> Result<bool, BackendError> {
        self.meddle();
        self.memory.destroy(now, key)
    }
}

/// What comes of a command that is meddled with so: the reply, and what is there at the end.
fn ask(before: &[&str], meddling: &[(&'static str, Option<&'static str>)], line: &str) -> String {
    let mut meddling = meddling.to_vec();
    meddling.reverse();
    let memory = MemoryBackend::new();
    let limits = Limits::default();
    let rules = [Tombstone::new("lock", Duration::from_secs(1))];
    let mut below = Meddled {
        memory,
        meddling: Vec::new(),
    };
    let (mut shared, mut hub) = (
        Shared::new(NOW, 1),
        Hub::new(&limits, KeyspaceEvents::default()),
    );
    let mut run = |backend: &mut dyn Backend, lines: &[&str]| {
        let mut host = Host {
            backend,
            now: NOW,
            limits: &limits,
            secret: None,
            shared: &mut shared,
            hub: &mut hub,
        };
        let mut session = Session::new(&mut host, Origin::Path);
        let mut out = Vec::new();
        for line in lines {
            out.clear();
            session.request(&mut host, format!("{line}\r\n").as_bytes(), &mut out);
        }
        String::from_utf8(out).unwrap().replace("\r\n", " ")
    };
    run(&mut below, before);
    below.meddling = meddling;
    let mut store = Tombstones::new(Box::new(below), &rules);
    let reply = run(&mut store, &[line]);
    let left = run(&mut store, &["MGET k lock"]);
    let ttl = run(&mut store, &["PTTL k"]);
    format!("{reply}| {left}| {ttl}")
}

const RELEASE: &str = "EVAL \"if redis.call('get',KEYS[1]) == ARGV[1] then \
     return redis.call('del',KEYS[1]) else return 0 end\" 1 lock mine";
const LIMIT: &str = "EVAL \"local n = redis.call('incr',KEYS[1]) \
     if n == 1 then redis.call('expire',KEYS[1],ARGV[1]) end return n\" 1 k 10";

#[test]
fn what_others_write_between_reading_and_writing_is_not_lost() {
    let k = |value| [("k", value)];
    let cases: [(&[&str], _, &str, &str); 12] = [
        (
            &["SET k 1"],
            k(Some("5")),
            "INCR k",
            ":6 | *2 $1 6 $-1 | :-1 ",
        ),
        (&["SET k 1"], k(None), "INCR k", ":1 | *2 $1 1 $-1 | :-1 "),
        (&[], k(Some("5")), "INCR k", ":6 | *2 $1 6 $-1 | :-1 "),
        (
            &["SET k a"],
            k(Some("b")),
            "APPEND k c",
            ":2 | *2 $2 bc $-1 | :-1 ",
        ),
        (
            &["SET k ab"],
            k(Some("cd")),
            "SETRANGE k 1 x",
            ":2 | *2 $2 cx $-1 | :-1 ",
        ),
        (
            &["SET k a"],
            k(Some("b")),
            "GETSET k c",
            "$1 b | *2 $1 c $-1 | :-1 ",
        ),
        (
            &["SET k a"],
            k(None),
            "GETSET k c",
            "$-1 | *2 $1 c $-1 | :-1 ",
        ),
        (
            &["SET k a"],
            k(Some("b")),
            "SET k c PX 9 GET",
            "$1 b | *2 $1 c $-1 | :9 ",
        ),
        (
            &["SET k a"],
            k(None),
            "SET k c XX GET",
            "$-1 | *2 $-1 $-1 | :-2 ",
        ),
        (
            &["SET k a"],
            k(Some("b")),
            "GETDEL k",
            "$1 b | *2 $-1 $-1 | :-2 ",
        ),
        (
            &["SET k a"],
            k(Some("b")),
            "GETEX k PX 9",
            "$1 b | *2 $1 b $-1 | :9 ",
        ),
        (
            &["SET k a PX 7"],
            k(Some("b")),
            "PEXPIRE k 9 GT",
            ":0 | *2 $1 b $-1 | :-1 ",
        ),
    ];
    for (before, meddling, line, expected) in cases {
        assert_eq!(ask(before, &meddling, line), expected, "{line}");
    }
}

#[test]
fn a_script_on_one_key_is_done_as_a_whole_or_begins_anew() {
    // The lock's time is over, and somebody else has it: it is theirs.
    let stolen = [("lock", Some("theirs"))];
    assert_eq!(
        ask(&["SET lock mine"], &stolen, RELEASE),
        ":0 | *2 $-1 $6 theirs | :-2 "
    );
    assert_eq!(
        ask(&["SET lock mine"], &[], RELEASE),
        ":1 | *2 $-1 $-1 | :-2 "
    );
    // The first of a window gives it its end.
    assert_eq!(ask(&[], &[], LIMIT), ":1 | *2 $1 1 $-1 | :10000 ");
    assert_eq!(
        ask(&["SET k 1 PX 7"], &[("k", None)], LIMIT),
        ":1 | *2 $1 1 $-1 | :10000 "
    );
    assert_eq!(
        ask(&[], &[("k", Some("4"))], LIMIT),
        ":5 | *2 $1 5 $-1 | :-1 "
    );
}

#[test]
fn who_is_always_disturbed_is_told() {
    let restless: Vec<_> = (0..100)
        .map(|number| ("k", Some(if number % 2 == 0 { "1" } else { "2" })))
        .collect();
    let said = ask(&["SET k 1"], &restless, "INCR k");
    assert!(said.starts_with("-BUSY the key is changed"), "{said}");
}

#[test]
fn a_tombstone_holds_against_commands_that_create() {
    let mut store = Tombstones::new(
        Box::new(Meddled {
            memory: MemoryBackend::new(),
            meddling: Vec::new(),
        }),
        &[Tombstone::new("k", Duration::from_secs(1))],
    );
    let always = Condition::Always;
    store.set(NOW, b"k", b"1", Deadline::Never, always).unwrap();
    let mut draft = Draft::new(&mut store, 0, NOW, b"k");
    assert!(draft.get(NOW, b"k").unwrap().is_some());
    assert!(draft.destroy(NOW, b"k").unwrap());
    assert!(draft.settle().unwrap());
    assert!(store.is_buried(NOW, b"k"));
    let mut draft = Draft::new(&mut store, 0, NOW, b"k");
    assert!(draft.get(NOW, b"k").unwrap().is_none());
    let done = draft.set(NOW, b"k", b"1", Deadline::Keep, always);
    assert_eq!(done.unwrap(), SetOutcome::Conflict(None));
    let done = draft.set(NOW, b"k", b"1", Deadline::Keep, Condition::IfAbsent);
    assert!(matches!(done.unwrap(), SetOutcome::Stored(_)));
    assert!(draft.settle().unwrap() && !store.is_buried(NOW, b"k"));
}

#[test]
fn every_other_call_reaches_the_backend_below() {
    use crate::backend::forwarding::assert_forwards;
    // It is not shared, its key is looked at more closely, a commit settles it, and there is no way
    // past it.
    assert_forwards(
        &|mut below, call| call(&mut Draft::new(&mut below, 0, NOW, b"another")),
        &["is_shared", "set", "commit", "fast_path"],
    );
}
