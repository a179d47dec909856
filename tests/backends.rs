//! Backends of a user's own, in every role: what they lack is told, what they break is theirs.

#![cfg(feature = "cli")]
#![allow(clippy::print_stderr, reason = "a failure says in which role it was")]
#![allow(clippy::unwrap_used, reason = "helpers may panic as the tests do")]

mod common;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use common::ended::end;
use common::{connect, folder, memstore};
use memstore_cluster::backend::{
    Backend, BackendError, Deadline, EntryRef, MemoryBackend, SetOutcome, Upkeep,
};
use memstore_cluster::contract::{Capabilities, Condition, Kind, Seq};
use memstore_cluster::testing::TestMaster;
use memstore_cluster::time::Millis;
use memstore_cluster::{Error, Options, Role, Source, Standalone, Store};

/// Has what every backend must have, and nothing else: no deadlines, no conditions, no walks.
#[derive(Default)]
struct Plain(BTreeMap<Vec<u8>, Vec<u8>>);

impl Backend for Plain {
    fn capabilities(&self) -> Capabilities {
        Capabilities::BASIC
    }

    fn get(&mut self, _: Millis, key: &[u8]) -> Result<Option<EntryRef<'_>>, BackendError> {
        Ok(self.0.get(key).map(|value| EntryRef {
            value: Cow::Borrowed(value),
            deadline: None,
            seq: Seq::default(),
            kind: Kind::Bytes,
        }))
    }

    fn set(
        &mut self,
        _: Millis,
        key: &[u8],
        value: &[u8],
        _: Deadline,
        condition: Condition,
    ) -> Result<SetOutcome, BackendError> {
        match condition {
            Condition::Always => {
                self.0.insert(key.to_vec(), value.to_vec());
                Ok(SetOutcome::Stored(Seq::default()))
            }
            _ => Err(BackendError::Unsupported("a condition")),
        }
    }

    fn touch(&mut self, _: Millis, key: &[u8], _: Deadline) -> Result<bool, BackendError> {
        Ok(self.0.contains_key(key))
    }

    fn destroy(&mut self, _: Millis, key: &[u8]) -> Result<bool, BackendError> {
        Ok(self.0.remove(key).is_some())
    }
}

/// Panics at the key `panic`, and in its upkeep once `upkeep` was written.
#[derive(Default)]
struct Fragile {
    memory: MemoryBackend,
    is_rotten: bool,
}

impl Backend for Fragile {
    fn capabilities(&self) -> Capabilities {
        self.memory.capabilities()
    }

    fn get(&mut self, now: Millis, key: &[u8]) -> Result<Option<EntryRef<'_>>, BackendError> {
        assert_ne!(key, b"panic", "on purpose");
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
        assert_ne!(key, b"panic", "on purpose");
        self.is_rotten |= key == b"upkeep";
        self.memory.set(now, key, value, deadline, condition)
    }

    fn touch(&mut self, now: Millis, key: &[u8], at: Deadline) -> Result<bool, BackendError> {
        self.memory.touch(now, key, at)
    }

    fn destroy(&mut self, now: Millis, key: &[u8]) -> Result<bool, BackendError> {
        self.memory.destroy(now, key)
    }

    fn upkeep(&mut self, now: Millis) -> Upkeep {
        assert!(!self.is_rotten, "on purpose");
        self.memory.upkeep(now)
    }
}

/// Counts what it has committed, and fails to from the key `fail` on.
struct Committing {
    memory: MemoryBackend,
    written: u64,
    is_failing: bool,
    committed: Arc<AtomicU64>,
}

impl Backend for Committing {
    fn capabilities(&self) -> Capabilities {
        self.memory.capabilities()
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
        self.written += 1;
        self.is_failing |= key == b"fail";
        self.memory.set(now, key, value, deadline, condition)
    }

    fn touch(&mut self, now: Millis, key: &[u8], at: Deadline) -> Result<bool, BackendError> {
        self.memory.touch(now, key, at)
    }

    fn destroy(&mut self, now: Millis, key: &[u8]) -> Result<bool, BackendError> {
        self.memory.destroy(now, key)
    }

    fn commit(&mut self) -> Result<(), BackendError> {
        if self.is_failing {
            return Err(BackendError::Failed("the disk is gone".to_owned()));
        }
        self.committed.store(self.written, Ordering::Relaxed);
        Ok(())
    }
}

/// A source of such, and what they have committed.
fn committing() -> (Source, Arc<AtomicU64>) {
    let committed = Arc::new(AtomicU64::new(0));
    let theirs = Arc::clone(&committed);
    let source = Source::new(move || {
        Ok(Box::new(Committing {
            memory: MemoryBackend::new(),
            written: 0,
            is_failing: false,
            committed: Arc::clone(&theirs),
        }))
    });
    (source, committed)
}

fn plain() -> Source {
    Source::new(|| Ok(Box::new(Plain::default())))
}

fn fragile() -> Source {
    Source::new(|| Ok(Box::new(Fragile::default())))
}

fn standalone(store: Source) -> Store {
    Options {
        standalone: Standalone::Always,
        store,
        ..Options::default()
    }
    .create()
    .unwrap()
}

/// The three roles over one kind of backend; the first two share theirs.
fn roles(source: &Source, try_it: impl Fn(&Store)) {
    let master = TestMaster::builder().store(source.clone()).start().unwrap();
    for (store, role) in [
        (master.worker(0).unwrap(), Role::Worker),
        (master.store().clone(), Role::Master),
        (standalone(source.clone()), Role::Standalone),
    ] {
        assert_eq!(store.role(), role);
        try_it(&store);
    }
}

fn is_unsupported<T: std::fmt::Debug>(result: Result<T, Error>, name: &str) {
    let error = result.unwrap_err();
    assert!(
        matches!(error, Error::Unsupported { operation } if operation == name),
        "{name}: {error:?}"
    );
}

#[test]
fn what_a_backend_lacks_is_told_in_every_role() {
    roles(&plain(), |store| {
        let all = Capabilities::BASIC.with(Capabilities::TOMBSTONES);
        assert_eq!(store.capabilities(), all);
        store.set("foo", "bar").unwrap();
        assert_eq!(store.get("foo").unwrap().unwrap().value, b"bar");
        assert!(store.touch("foo", Some(Duration::from_secs(1))).unwrap());
        is_unsupported(store.length(), "length");
        is_unsupported(store.clear(), "clear");
        let walk: Vec<_> = store.all().collect();
        assert_eq!(walk.len(), 1, "a walk is over after an error");
        is_unsupported(walk.into_iter().next().unwrap(), "all");
        let absent = memstore_cluster::SetOptions::new().if_absent();
        is_unsupported(store.set_with("new", "", absent), "set");
        assert!(store.destroy("foo").unwrap());
        store.ping().unwrap();
    });
}

#[test]
fn what_a_backend_lacks_is_a_sentence_at_the_command_line() {
    let folder = folder();
    let sock = folder.path().join("s");
    let _master = Options {
        serve: true,
        sock: Some(sock.clone()),
        store: plain(),
        ..Options::default()
    }
    .create()
    .unwrap();
    for verb in ["all", "length", "clear"] {
        let ended = end(memstore([verb, "--sock"]).arg(&sock));
        ended.with(
            1,
            &[&format!("{verb} is not supported by the store's backend")],
        );
    }
    end(memstore(["set", "foo", "bar", "--sock"]).arg(&sock)).with(0, &[]);
}

#[test]
fn a_request_at_which_the_backend_panics_fails_and_the_next_does_not() {
    roles(&fragile(), |store| {
        for _ in 0..2 {
            let error = store.get("panic").unwrap_err();
            assert!(matches!(error, Error::Backend(_)), "{error:?}");
            assert!(error.to_string().contains("panicked"), "{error}");
        }
        let error = store.set("panic", "").unwrap_err();
        assert!(matches!(error, Error::Backend(_)), "{error:?}");
        store.set("foo", "bar").unwrap();
        assert_eq!(store.get("foo").unwrap().unwrap().value, b"bar");
    });
}

#[test]
fn a_panic_for_one_client_is_none_for_another() {
    let master = TestMaster::builder().store(fragile()).start().unwrap();
    let (careless, other) = (master.worker(0).unwrap(), master.worker(1).unwrap());
    other.set("foo", "bar").unwrap();
    thread::scope(|scope| {
        scope.spawn(|| (0..20).for_each(|_| assert!(careless.get("panic").is_err())));
        for _ in 0..200 {
            assert_eq!(other.get("foo").unwrap().unwrap().value, b"bar");
        }
    });
}

/// The loop has nobody to answer then: it ends, and everybody learns of it.
#[test]
fn a_master_whose_backend_panics_by_itself_hangs_nobody() {
    let folder = folder();
    let sock = folder.path().join("s");
    let master = Options {
        serve: true,
        sock: Some(sock.clone()),
        store: fragile(),
        ..Options::default()
    }
    .create()
    .unwrap();
    let clients: Vec<_> = (0..4).map(|_| connect(&sock)).collect();
    // Its reply may get lost with the loop.
    let _ = clients[0].set("upkeep", "");
    common::eventually("the loop sees to its backend", || {
        master.get("foo").is_err().then_some(())
    });
    thread::scope(|scope| {
        for client in &clients {
            let hasty = client.with_timeout(Duration::from_millis(500));
            scope.spawn(move || {
                let error = hasty.get("foo").unwrap_err();
                assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
            });
        }
        let error = master.get("foo").unwrap_err();
        assert!(matches!(error, Error::Backend(_)), "{error:?}");
    });
    drop(master);
    let next = Options {
        serve: true,
        sock: Some(sock),
        ..Options::default()
    };
    let _next = next.create().unwrap();
    clients[0].ping().unwrap();
}

#[test]
fn nothing_is_acknowledged_before_it_is_committed() {
    let (source, committed) = committing();
    let master = TestMaster::builder().store(source.clone()).start().unwrap();
    let acknowledged = AtomicU64::new(0);
    let work = |store: &Store| {
        for _ in 0..300 {
            store.set("foo", "bar").unwrap();
            let count = acknowledged.fetch_add(1, Ordering::Relaxed) + 1;
            assert!(committed.load(Ordering::Relaxed) >= count);
        }
    };
    let (one, other) = (master.worker(0).unwrap(), master.worker(1).unwrap());
    thread::scope(|scope| {
        scope.spawn(|| work(&one));
        scope.spawn(|| work(&other));
        work(master.store());
    });
    drop(master);
    acknowledged.store(0, Ordering::Relaxed);
    work(&standalone(source));
}

#[test]
fn a_master_that_cannot_commit_ends_and_acknowledges_nothing() {
    let folder = folder();
    let sock = folder.path().join("s");
    let master = Options {
        serve: true,
        sock: Some(sock.clone()),
        store: committing().0,
        ..Options::default()
    }
    .create()
    .unwrap();
    let client = connect(&sock).with_timeout(Duration::from_millis(500));
    client.set("foo", "bar").unwrap();
    let error = client.set("fail", "").unwrap_err();
    assert!(matches!(error, Error::OutcomeUnknown { .. }), "{error:?}");
    let error = client.get("foo").unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    let error = master.set("foo", "bar").unwrap_err();
    assert!(error.to_string().contains("the disk is gone"), "{error}");
}

#[test]
fn a_source_that_panics_leaves_the_handle_to_the_next_call() {
    let folder = folder();
    let sock = folder.path().join("s");
    let options = Options {
        sock: Some(sock),
        standalone: Standalone::Never,
        ..Options::default()
    };
    let master = options.clone().create().unwrap();
    let made = AtomicU32::new(0);
    let heir = Options {
        store: Source::new(move || {
            assert_ne!(made.fetch_add(1, Ordering::Relaxed), 0, "on purpose");
            Ok(Box::new(MemoryBackend::new()))
        }),
        ..options
    };
    let heir = heir.create().unwrap();
    assert_eq!(heir.role(), Role::Worker);
    drop(master);
    let unlucky = heir.clone();
    thread::spawn(move || unlucky.length())
        .join()
        .expect_err("the source panics in the call that needs it");
    assert_eq!(heir.length().unwrap(), 0);
    assert_eq!(heir.role(), Role::Master);
}
