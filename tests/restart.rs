//! `--dump-on-exit` and `--load-on-start`: a store that outlives its master.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, reason = "helpers may panic as the tests do")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use common::{Finished, Running, binary, connect, eventually, folder, memstore};
use memstore_cluster::backend::{
    Backend, BackendError, Deadline, EntryRef, MemoryBackend, SetOutcome,
};
use memstore_cluster::contract::{Capabilities, Condition};
use memstore_cluster::testing::TestMaster;
use memstore_cluster::time::{Clock as _, ManualClock, Millis};
use memstore_cluster::{Error, Options, SetOptions, Source, Standalone, Store};
use nix::sys::signal::Signal;
use tempfile::TempDir;

/// A place with a socket and a dump.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: folder() }
    }

    fn sock(&self) -> PathBuf {
        self.folder.path().join("m.sock")
    }

    fn dump(&self) -> PathBuf {
        self.folder.path().join("m.dump")
    }

    /// `serve` with both settings.
    fn serve(&self) -> Command {
        let mut command = memstore(["serve", "--sock"]);
        command.arg(self.sock());
        self.kept(&mut command);
        command
    }

    fn kept(&self, command: &mut Command) {
        command.arg("--load-on-start").arg(self.dump());
        command.arg("--dump-on-exit").arg(self.dump());
    }

    fn start(&self) -> (Running, Store) {
        let master = Running::start(&mut self.serve());
        (master, connect(&self.sock()))
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

fn stop(mut master: Running) -> Finished {
    master.signal(Signal::SIGTERM);
    master.finish()
}

fn contains(ended: &Finished, text: &str) {
    let log = ended.stderr.join("\n");
    assert!(log.contains(text), "{text}: {log}");
}

#[test]
fn a_store_survives_the_restart_of_its_master() {
    let place = Place::new();
    let (master, store) = place.start();
    store.set(b"\xff", b"\x00").unwrap();
    let hour = SetOptions::new().ttl(Duration::from_secs(3_600));
    store.set_with("sess", "data", hour).unwrap();
    let ended = stop(master);
    assert_eq!(ended.status.code(), Some(0));
    contains(&ended, "there is no dump yet");
    contains(&ended, "dumped");
    assert_eq!(place.names(), ["m.dump", "m.sock.lock"]);

    let (master, store) = place.start();
    assert_eq!(store.get(b"\xff").unwrap().unwrap().value, b"\x00");
    let entry = store.get("sess").unwrap().unwrap();
    assert_eq!(entry.value, b"data");
    let left = entry.ttl.unwrap().as_secs();
    assert!((3_500..=3_600).contains(&left), "{left}");
    store.destroy("sess").unwrap();
    contains(&stop(master), "loaded=2");

    let (_master, store) = place.start();
    assert_eq!(store.length().unwrap(), 1);
}

#[test]
fn workers_find_what_was_loaded_and_what_they_write_last_is_dumped() {
    let place = Place::new();
    // Reads what is there, and writes when it is told to end.
    let script = "
        export PATH=$(dirname \"$0\"):$PATH
        before=$(memstore-cluster get last || echo nothing)
        trap 'memstore-cluster set last \"after $before\" >/dev/null; exit 0' TERM
        echo \"found $before\"
        while :; do sleep 0.02; done";
    let start = || {
        let mut command = memstore(["run", "--workers", "1", "--sock"]);
        command.arg(place.sock());
        place.kept(&mut command);
        command.args(["--", "sh", "-c", script]).arg(binary());
        Running::start(&mut command)
    };
    for found in ["nothing", "after nothing", "after after nothing"] {
        let master = start();
        master.stdout().until_contains(&format!("found {found}"));
        assert_eq!(stop(master).status.code(), Some(0));
    }
}

#[test]
fn a_damaged_dump_keeps_a_master_from_starting_and_stays_as_it_is() {
    let place = Place::new();
    let (master, store) = place.start();
    for n in 0..100 {
        store.set(n.to_string(), "value").unwrap();
    }
    stop(master);
    let whole = fs::read(place.dump()).unwrap();
    let mut changed = whole.clone();
    changed[whole.len() / 2] ^= 0x10;
    for damaged in [&whole[..whole.len() - 1], &changed, b"", b"PK\x03\x04"] {
        fs::write(place.dump(), damaged).unwrap();
        let ended = Running::start(&mut place.serve()).finish();
        assert_eq!(ended.status.code(), Some(65), "{ended:?}");
        contains(&ended, "m.dump is damaged or no dump: expected ");
        assert_eq!(fs::read(place.dump()).unwrap(), damaged);
        assert_eq!(place.names(), ["m.dump", "m.sock.lock"]);
    }
    fs::write(place.dump(), &whole).unwrap();
    let (_master, store) = place.start();
    assert_eq!(store.length().unwrap(), 100);
}

#[test]
fn a_master_that_is_killed_leaves_the_dump_before() {
    let place = Place::new();
    let (master, store) = place.start();
    store.set("a", "1").unwrap();
    stop(master);
    let before = fs::read(place.dump()).unwrap();
    let (mut master, store) = place.start();
    store.set("a", "2").unwrap();
    master.signal(Signal::SIGKILL);
    master.wait();
    assert_eq!(fs::read(place.dump()).unwrap(), before);
    let (_master, store) = place.start();
    assert_eq!(store.get("a").unwrap().unwrap().value, b"1");
}

#[test]
fn a_master_that_is_killed_while_it_dumps_leaves_a_dump_that_is_whole() {
    let place = Place::new();
    let (master, store) = place.start();
    store.set("n", "1").unwrap();
    stop(master);
    let (mut master, store) = place.start();
    store.set("n", "2").unwrap();
    for n in 0..40 {
        store.set(format!("large:{n}"), vec![7; 2 << 20]).unwrap();
    }
    master.signal(Signal::SIGTERM);
    eventually("the dump has begun", || {
        let names = place.names();
        let begun = names.iter().any(|name| name.starts_with(".m.dump."));
        let is_over = fs::metadata(place.dump()).unwrap().len() > 1 << 20;
        (begun || is_over).then_some(())
    });
    master.signal(Signal::SIGKILL);
    master.wait();
    let (_master, store) = place.start();
    // The old one or the new one.
    match store.get("n").unwrap().unwrap().value.as_slice() {
        b"1" => assert_eq!(store.length().unwrap(), 1),
        _ => assert_eq!(store.length().unwrap(), 41),
    }
}

#[test]
fn a_dump_that_fails_is_told_and_the_one_before_stays() {
    let place = Place::new();
    let (master, store) = place.start();
    store.set("a", "1").unwrap();
    stop(master);
    let before = fs::read(place.dump()).unwrap();
    // No file may become larger than a block, and that is an error and not a death.
    let mut limited = Command::new("sh");
    limited
        .args(["-c", "ulimit -f 1; trap '' XFSZ; exec \"$0\" \"$@\""])
        .arg(binary())
        .args(place.serve().get_args());
    let master = Running::start(&mut limited);
    let store = connect(&place.sock());
    store.set("large", vec![7; 1 << 20]).unwrap();
    let ended = stop(master);
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    contains(&ended, "ERROR");
    contains(&ended, "m.dump: File too large");
    assert_eq!(fs::read(place.dump()).unwrap(), before);
    assert_eq!(place.names(), ["m.dump", "m.sock.lock"]);
}

#[test]
fn what_cannot_work_is_told_at_the_start() {
    let place = Place::new();
    let missing = place.folder.path().join("no/m.dump");
    let mut nowhere = memstore(["serve", "--sock"]);
    nowhere.arg(place.sock()).arg("--dump-on-exit").arg(missing);
    let ended = Running::start(&mut nowhere).finish();
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    contains(&ended, "cannot create ");

    let line = ["run", "--standalone", "--dump-on-exit", "x", "--", "true"];
    let ended = Running::start(&mut memstore(line)).finish();
    assert_eq!(ended.status.code(), Some(2), "{ended:?}");
    contains(&ended, "the store is the command's own");

    let (master, store) = place.start();
    store.set("key", vec![7; 2_000]).unwrap();
    stop(master);
    let ended = Running::start(place.serve().args(["--max-value", "1000"])).finish();
    assert_eq!(ended.status.code(), Some(78), "{ended:?}");
    contains(&ended, "a value of 2000 bytes");
}

/// In this process.
fn options(dump: &Path) -> Options {
    Options {
        standalone: Standalone::Always,
        load_on_start: Some(dump.to_owned()),
        dump_on_exit: Some(dump.to_owned()),
        ..Options::default()
    }
}

#[test]
fn a_standalone_store_is_dumped_with_its_last_handle() {
    let place = Place::new();
    let store = options(&place.dump()).create().unwrap();
    let other = store.clone();
    store.set("a", "1").unwrap();
    drop(store);
    assert!(!place.dump().exists());
    other.set("b", "2").unwrap();
    drop(other);
    let store = options(&place.dump()).create().unwrap();
    assert_eq!(store.length().unwrap(), 2);
}

#[test]
fn deadlines_are_carried_over_as_what_is_left_whatever_the_clock_says() {
    let place = Place::new();
    let master = |clock: &ManualClock| {
        let builder = TestMaster::builder().clock(clock.clone());
        builder.options(options(&place.dump())).start().unwrap()
    };
    let minute = SetOptions::new().ttl(Duration::from_secs(60));
    // A board that thinks that it is 1970.
    let clock = ManualClock::new(Millis::ZERO);
    let first = master(&clock);
    first.store().set_with("a", "1", minute).unwrap();
    clock.advance(Duration::from_secs(20));
    drop(first);
    let clock = ManualClock::new(Millis::from_unix(5_000_000_000_000));
    let second = master(&clock);
    let left = second.store().get("a").unwrap().unwrap().ttl.unwrap();
    assert!(
        left <= Duration::from_secs(40) && left > Duration::from_secs(10),
        "{left:?}"
    );
    clock.advance(left);
    assert_eq!(second.store().get("a").unwrap(), None);
    assert!(clock.now() > Millis::ZERO);
}

#[test]
fn a_store_that_has_entries_is_not_loaded_into() {
    let place = Place::new();
    let store = options(&place.dump()).create().unwrap();
    store.set("a", "old").unwrap();
    drop(store);
    let full = Options {
        store: Source::new(|| {
            let mut backend = MemoryBackend::new();
            let set = backend.set(
                Millis::ZERO,
                b"a",
                b"new",
                Deadline::Never,
                Condition::Always,
            );
            set.map_err(|error| Error::Backend(error.to_string()))?;
            Ok(Box::new(backend))
        }),
        ..options(&place.dump())
    };
    let store = full.create().unwrap();
    assert_eq!(store.get("a").unwrap().unwrap().value, b"new");
}

/// A backend that cannot list.
struct Basic(MemoryBackend);

impl Backend for Basic {
    fn capabilities(&self) -> Capabilities {
        Capabilities::BASIC
    }

    fn get(&mut self, now: Millis, key: &[u8]) -> Result<Option<EntryRef<'_>>, BackendError> {
        self.0.get(now, key)
    }

    fn set(
        &mut self,
        now: Millis,
        key: &[u8],
        value: &[u8],
        deadline: Deadline,
        condition: Condition,
    ) -> Result<SetOutcome, BackendError> {
        self.0.set(now, key, value, deadline, condition)
    }

    fn touch(&mut self, now: Millis, key: &[u8], at: Deadline) -> Result<bool, BackendError> {
        self.0.touch(now, key, at)
    }

    fn destroy(&mut self, now: Millis, key: &[u8]) -> Result<bool, BackendError> {
        self.0.destroy(now, key)
    }
}

#[test]
fn a_backend_that_cannot_list_is_refused_at_the_start() {
    let place = Place::new();
    let basic = Source::new(|| Ok(Box::new(Basic(MemoryBackend::new()))));
    let refused = Options {
        store: basic,
        ..options(&place.dump())
    };
    let error = refused.create().unwrap_err();
    assert!(matches!(&error, Error::Config(_)), "{error}");
    assert!(error.to_string().contains("cannot list"), "{error}");
    assert!(!place.dump().exists());
}
