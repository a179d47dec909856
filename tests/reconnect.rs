//! Handles that outlive their master: what is repeated, what is told, who succeeds it.

#![cfg(all(feature = "cli", target_os = "linux"))]
#![allow(clippy::unwrap_used, reason = "helpers may panic as the tests do")]

mod common;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::parts::serve;
use common::proxy::Proxy;
use common::{PATIENCE, Running, connect, folder};
use memstore_cluster::{
    Batch, Error, Options, Outcome, Result, Role, SetOptions, Standalone, Store,
};
use nix::sys::signal::Signal;
use tempfile::TempDir;

const QUIET: [&str; 2] = ["--log", "info"];

/// A master, and a handle whose connection the test can spoil.
struct Scene {
    _folder: TempDir,
    _master: Running,
    proxy: Proxy,
    /// To the master directly.
    witness: Store,
    store: Store,
}

impl Scene {
    fn new() -> Self {
        let folder = folder();
        let path = |name: &str| -> PathBuf { folder.path().join(name) };
        let master = serve(&path("s"), QUIET);
        let proxy = Proxy::start(&path("proxy"), &path("s"));
        let store = connect(&path("proxy"));
        let witness = connect(&path("s"));
        witness.set("foo", "bar").unwrap();
        Self {
            _folder: folder,
            _master: master,
            proxy,
            witness,
            store,
        }
    }

    /// What `call` comes to if the connection ends after the master has done it and before it
    /// was heard.
    fn interrupted<T: Send>(&self, call: impl FnOnce(&Store) -> Result<T> + Send) -> Result<T> {
        // Not the connection that the call before has lost.
        self.store.ping().unwrap();
        self.proxy.keep_replies_back();
        thread::scope(|scope| {
            let call = scope.spawn(|| call(&self.store));
            self.proxy.until_one_is_kept_back();
            self.proxy.cut();
            call.join().unwrap()
        })
    }
}

fn is_unknown<T: std::fmt::Debug>(result: Result<T>, name: &str) {
    let error = result.unwrap_err();
    assert!(
        matches!(error, Error::OutcomeUnknown { operation } if operation == name),
        "{name}: {error:?}"
    );
}

#[test]
fn what_changes_nothing_is_repeated_unseen() {
    let scene = Scene::new();
    let minute = Some(Duration::from_secs(60));
    let found = scene.interrupted(|store| store.get("foo")).unwrap();
    assert_eq!(found.unwrap().value, b"bar");
    assert!(
        scene
            .interrupted(|store| store.touch("foo", minute))
            .unwrap()
    );
    assert_eq!(scene.interrupted(Store::length).unwrap(), 1);
    scene.interrupted(Store::ping).unwrap();
    let all: Result<Vec<_>> = scene.interrupted(|store| store.all().collect());
    assert_eq!(all.unwrap().len(), 1);
    assert_eq!(scene.store.role(), Role::Worker);
}

#[test]
fn what_changes_something_is_not_repeated_but_told_to_be_unknown() {
    let scene = Scene::new();
    is_unknown(scene.interrupted(|store| store.set("new", "1")), "set");
    assert!(
        scene.witness.get("new").unwrap().is_some(),
        "it was done, once"
    );
    is_unknown(scene.interrupted(|store| store.destroy("new")), "destroy");
    assert!(scene.witness.get("new").unwrap().is_none());
    is_unknown(scene.interrupted(Store::clear), "clear");
    assert_eq!(scene.witness.length().unwrap(), 0);
    scene.store.set("new", "2").unwrap();
}

#[test]
fn each_operation_of_a_batch_is_told_by_itself() {
    let scene = Scene::new();
    let outcomes = scene.interrupted(|store| {
        let mut batch = Batch::new();
        batch
            .get("foo")
            .set("new", "1", SetOptions::new())
            .length()
            .destroy("foo");
        Ok(store.run(&batch))
    });
    let [got, set, length, destroyed] = <[_; 4]>::try_from(outcomes.unwrap()).unwrap();
    // The first two are repeated after the others were done.
    assert!(matches!(got, Ok(Outcome::Entry(None))), "{got:?}");
    is_unknown(set, "set");
    assert!(matches!(length, Ok(Outcome::Length(1))), "{length:?}");
    is_unknown(destroyed, "destroy");
}

#[test]
fn what_was_not_sent_is_done_on_the_next_connection() {
    let scene = Scene::new();
    for number in 0..20 {
        scene.proxy.cut();
        let key = number.to_string();
        scene.store.set(&key, "").unwrap();
        scene.proxy.cut();
        assert!(scene.store.destroy(&key).unwrap());
    }
    assert_eq!(scene.witness.length().unwrap(), 1);
}

#[test]
fn calls_of_many_threads_meet_one_restart_after_the_other() {
    const RESTARTS: u32 = 3;
    let folder = folder();
    let sock = folder.path().join("s");
    let mut master = serve(&sock, QUIET);
    let store = connect(&sock).with_timeout(PATIENCE);
    let (is_over, writes, unknown) = (AtomicBool::new(false), AtomicU32::new(0), AtomicU32::new(0));
    thread::scope(|scope| {
        for thread in 0..4 {
            let (store, is_over, writes, unknown) = (&store, &is_over, &writes, &unknown);
            scope.spawn(move || {
                let key = thread.to_string();
                while !is_over.load(Ordering::Relaxed) {
                    match store.set(&key, &key) {
                        Ok(_) => writes.fetch_add(1, Ordering::Relaxed),
                        Err(Error::OutcomeUnknown { .. }) => {
                            unknown.fetch_add(1, Ordering::Relaxed)
                        }
                        Err(error) => panic!("set: {error:?}"),
                    };
                    // Its master may have been replaced by an empty one meanwhile.
                    let found = store.get(&key).unwrap();
                    assert!(found.is_none_or(|entry| entry.value == key.as_bytes()));
                    store.touch(&key, None).unwrap();
                    assert!(store.length().unwrap() <= 4);
                    store.all().for_each(|item| drop(item.unwrap()));
                }
            });
        }
        let is_busy = || (writes.load(Ordering::Relaxed) > 0).then_some(());
        for _ in 0..RESTARTS {
            common::eventually("the threads are at work", is_busy);
            master.signal(Signal::SIGKILL);
            master.wait();
            writes.store(0, Ordering::Relaxed);
            master = serve(&sock, QUIET);
        }
        common::eventually("the threads are at work", is_busy);
        is_over.store(true, Ordering::Relaxed);
    });
    // A thread has one write in flight at the most.
    assert!(unknown.into_inner() <= 4 * RESTARTS);
}

#[test]
fn where_no_master_comes_every_call_ends_in_its_time() {
    let folder = folder();
    let sock = folder.path().join("s");
    let mut master = serve(&sock, QUIET);
    let store = connect(&sock);
    store.ping().unwrap();
    master.signal(Signal::SIGKILL);
    master.wait();
    thread::scope(|scope| {
        for number in 0..8u32 {
            let timeout = Duration::from_millis(100 + 50 * u64::from(number));
            let store = store.with_timeout(timeout);
            scope.spawn(move || {
                let started = Instant::now();
                let error = match number % 2 {
                    0 => store.get("foo").unwrap_err(),
                    _ => store.set("foo", "").unwrap_err(),
                };
                let took = started.elapsed();
                assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
                assert!(took >= timeout, "{took:?} of {timeout:?}");
                assert!(
                    took < timeout + Duration::from_secs(5),
                    "{took:?} of {timeout:?}"
                );
            });
        }
    });
    let _master = serve(&sock, QUIET);
    store.set("foo", "bar").unwrap();
}

fn auto(sock: &Path) -> Store {
    Options {
        sock: Some(sock.to_owned()),
        // On one core too.
        standalone: Standalone::Never,
        ..Options::default()
    }
    .create()
    .unwrap()
}

#[test]
fn an_heir_becomes_the_master_when_the_master_dies() {
    let folder = folder();
    let sock = folder.path().join("s");
    let mut master = serve(&sock, QUIET);
    let heir = auto(&sock);
    let loyal = connect(&sock);
    assert_eq!(heir.role(), Role::Worker);
    heir.set("foo", "of the first master").unwrap();
    master.signal(Signal::SIGKILL);
    master.wait();
    heir.set("foo", "of the heir").unwrap();
    assert!(heir.is_master() && !heir.is_worker());
    let found = loyal.get("foo").unwrap().unwrap();
    assert_eq!(found.value, b"of the heir");
    assert_eq!(loyal.role(), Role::Worker);
    // A clone is the same handle.
    assert!(heir.with_timeout(PATIENCE).is_master());
}

#[test]
fn of_several_heirs_one_becomes_the_master_and_the_others_its_clients() {
    let folder = folder();
    let sock = folder.path().join("s");
    let mut heirs: Vec<_> = (0..6).map(|_| auto(&sock)).collect();
    assert!(heirs[0].is_master());
    while heirs.len() > 1 {
        let at = heirs.iter().position(Store::is_master).unwrap();
        drop(heirs.remove(at));
        thread::scope(|scope| {
            for heir in &heirs {
                scope.spawn(|| heir.length().unwrap());
            }
        });
        let masters = heirs.iter().filter(|heir| heir.is_master()).count();
        assert_eq!(masters, 1, "of {}", heirs.len());
        assert_eq!(
            heirs.iter().filter(|heir| heir.is_worker()).count(),
            heirs.len() - 1
        );
        let seq = heirs[0].set("foo", "bar").unwrap();
        for heir in &heirs {
            assert_eq!(
                heir.get("foo").unwrap().unwrap().seq,
                seq,
                "they share a store"
            );
        }
    }
}
