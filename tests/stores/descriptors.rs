//! Masters that have no descriptors left while their connections stay: nothing that was acknowledged
//! is lost or put aside, what cannot be done is answered, and it goes on when there are some again.

use std::fs;
use std::path::Path;
use std::time::Duration;

use memstore_cluster::{Error, SetOptions};

use crate::Place;
use crate::common::{Running, binary, clean, eventually, skipped};

/// Sets how many descriptors a master may have; whether that could be done.
#[must_use]
pub(crate) fn allow(master: &Running, most: u32) -> bool {
    let mut prlimit = clean("prlimit");
    prlimit.args([
        format!("--pid={}", master.pid()),
        format!("--nofile={most}:"),
    ]);
    prlimit.output().is_ok_and(|done| done.status.success())
}

fn assert_lacks<T: std::fmt::Debug>(done: Result<T, Error>) {
    match done {
        Err(Error::Backend(why)) => assert!(why.contains("Too many open files"), "{why}"),
        other => panic!("{other:?}"),
    }
}

/// By default the system ends who writes more.
#[test]
fn a_file_that_may_not_grow_refuses_writes_and_takes_them_again() {
    for kind in ["sqlite", "files", "leveldb"] {
        let place = Place::new();
        let url = format!("{kind}:{}", place.at("sessions").display());
        let mut serve = clean("sh");
        // In blocks of 512 bytes, as POSIX has it.
        serve.args(["-c", "ulimit -S -f 400; exec \"$0\" \"$@\""]);
        serve.arg(binary());
        serve.args(["serve", "--store", &url, "--sock"]);
        let master = Running::start(serve.arg(place.sock()));
        let store = place.connect();
        store.set("foo", "bar").unwrap();
        let large = vec![b'x'; 300 << 10];
        for _ in 0..3 {
            let error = store.set("large", &large).unwrap_err();
            assert!(matches!(error, Error::Backend(_)), "{kind}: {error:?}");
            assert_eq!(store.get("foo").unwrap().unwrap().value, b"bar");
            assert!(store.get("large").unwrap().is_none());
        }
        let mut prlimit = clean("prlimit");
        prlimit.args([&format!("--pid={}", master.pid()), "--fsize=unlimited:"]);
        if !prlimit.output().is_ok_and(|done| done.status.success()) {
            return skipped("prlimit is not installed");
        }
        eventually("it can be written to again", || {
            store.set("large", &large).ok()
        });
        assert_eq!(store.get("foo").unwrap().unwrap().value, b"bar");
        assert_eq!(store.length().unwrap(), 2);
    }
}

/// Puts a file there as session-file-store does.
fn write(folder: &Path, name: &str, text: &str) {
    let temporary = folder.join("write.json.123");
    fs::write(&temporary, text).unwrap();
    fs::rename(temporary, folder.join(name)).unwrap();
}

#[test]
fn files_that_cannot_be_opened_for_the_moment_are_neither_gone_nor_damaged() {
    let place = Place::new();
    let folder = place.at("sessions");
    let master = place.serve(&format!("files:{}", folder.display()));
    let store = place.connect();
    for key in ["kept", "removed", "changed"] {
        store.set(key, "old").unwrap();
    }
    let soon = SetOptions::new().ttl(Duration::from_secs(1));
    for key in ["prolonged", "expires"] {
        store.set_with(key, "old", soon).unwrap();
    }
    if !allow(&master, 3) {
        return skipped("prlimit is not installed");
    }
    // What others do meanwhile.
    write(&folder, "new.json", r#"{"n":1}"#);
    write(&folder, "changed.json", r#"{"n":2}"#);
    write(&folder, "prolonged.json", r#"{"n":3}"#);
    for _ in 0..3 {
        assert_lacks(store.set("kept", "new"));
        assert_lacks(store.get("kept"));
        assert_lacks(store.destroy("removed"));
        assert_lacks(store.get("new"));
        assert_lacks(store.get("changed"));
        assert_lacks(store.set_with("new", "x", SetOptions::new().if_absent()));
        assert_lacks(store.length());
    }
    let expires = folder.join("expires.json");
    eventually("what expired is removed", || {
        (!expires.exists()).then_some(())
    });
    assert_lacks(store.clear());
    assert!(allow(&master, 1_024));
    assert_eq!(store.get("kept").unwrap().unwrap().value, b"old");
    assert_eq!(store.get("new").unwrap().unwrap().value, br#"{"n":1}"#);
    assert_eq!(store.get("changed").unwrap().unwrap().value, br#"{"n":2}"#);
    let prolonged = store.get("prolonged").unwrap().unwrap();
    assert_eq!(prolonged.value, br#"{"n":3}"#);
    assert!(store.get("removed").unwrap().is_none());
    assert_eq!(store.length().unwrap(), 4);
    let damaged = fs::read_dir(folder.join(".memstore/damaged")).unwrap();
    assert_eq!(damaged.count(), 0);
    store.set("kept", "new").unwrap();
    assert_eq!(store.get("kept").unwrap().unwrap().value, b"new");
}

#[test]
fn a_database_that_is_open_needs_no_more_descriptors_and_one_that_is_not_waits_for_them() {
    let place = Place::new();
    let at = |name: &str| place.at(name);
    let master = place.serve(&format!("sqlite:{}", at("sessions.db").display()));
    let store = place.connect();
    store.set("foo", "bar").unwrap();
    if !allow(&master, 3) {
        return skipped("prlimit is not installed");
    }
    for number in 0..3_000_u16 {
        store.set(number.to_be_bytes(), [b'x'; 500]).unwrap();
    }
    assert!(store.destroy([0, 0]).unwrap());
    assert_eq!(store.length().unwrap(), 3_000);
    assert_eq!(store.get("foo").unwrap().unwrap().value, b"bar");

    // Taken away, it has to be opened anew.
    let files = ["sessions.db", "sessions.db-wal", "sessions.db-shm"];
    for name in files {
        fs::rename(at(name), at(&format!("away-{name}"))).unwrap();
    }
    for _ in 0..3 {
        assert_lacks(store.set("foo", "new"));
        assert_lacks(store.get("foo"));
    }
    for name in files {
        fs::rename(at(&format!("away-{name}")), at(name)).unwrap();
    }
    assert_lacks(store.get("foo"));
    assert!(allow(&master, 1_024));
    let found = eventually("it is opened again", || store.get("foo").ok());
    assert_eq!(found.unwrap().value, b"bar");
    assert_eq!(store.length().unwrap(), 3_000);
}

/// From none on, until it serves: whoever watches over it is to try again.
#[test]
fn a_master_that_has_too_few_descriptors_to_begin_is_not_configured_wrongly() {
    for kind in ["sqlite", "files"] {
        let place = Place::new();
        let url = format!("{kind}:{}", place.at("sessions").display());
        let master = place.serve(&url);
        place.connect().set("foo", "bar").unwrap();
        drop(master);
        let mut codes = Vec::new();
        for most in 4.. {
            let script = "ulimit -S -n $0; exec \"$@\"";
            let mut serve = clean("sh");
            serve.args(["-c", script, &most.to_string()]).arg(binary());
            serve.args(["serve", "--store", &url, "--sock"]);
            let mut master = Running::start(serve.arg(place.sock()));
            let is_over = master.stderr().until("it serves or ends", |lines| {
                let is_over = |line: &String| line.starts_with("memstore-cluster:");
                let serves = lines.iter().any(|line| line.contains("serving"));
                (serves || lines.iter().any(is_over)).then_some(!serves)
            });
            if !is_over {
                // There may be too few to read what is there, until there are more.
                assert!(allow(&master, 1_024));
                let store = place.connect();
                assert_eq!(store.get("foo").unwrap().unwrap().value, b"bar");
                assert_eq!(store.length().unwrap(), 1);
                break;
            }
            let ended = master.finish();
            codes.push(ended.status.code());
            assert_eq!(ended.status.code(), Some(1), "{most}: {ended:?}");
        }
        assert!(codes.len() > 3, "{codes:?}");
    }
}
