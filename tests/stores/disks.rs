//! LevelDB and files whose master is killed, or whose disk is full: what was acknowledged is there,
//! what cannot be done is answered, and it goes on when the cause is gone.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use fastrand::Rng;
use memstore_cluster::Error;
use nix::sys::signal::Signal;
use nix::unistd::Uid;
use serde_json::json;

use crate::Place;
use crate::common::{Running, clean, memstore, skipped};
use crate::descriptors::allow;
use crate::history::survives;
use crate::node::{NodeStore, has_packages};
use crate::sqlite::{Unmount, until_written};

fn what_was_acknowledged_survives(kind: &str) {
    let place = Place::new();
    let start = |rng: &mut Rng| {
        let sync = ["sync=always", "sync=1s", "sync=never"][rng.usize(0..3)];
        let folder = place.at("sessions");
        let url = format!("{kind}:{}?{sync}", folder.display());
        (place.serve(&url), sync)
    };
    survives("STORES", (6, 800), start, || place.connect());
}

#[test]
fn what_was_acknowledged_in_leveldb_survives_the_death_of_the_master() {
    what_was_acknowledged_survives("leveldb");
}

#[test]
fn what_was_acknowledged_in_files_survives_the_death_of_the_master() {
    what_was_acknowledged_survives("files");
}

fn a_full_disk_refuses_writes_and_takes_them_again(kind: &str) {
    let place = Place::new();
    let disk = place.at("disk");
    fs::create_dir(&disk).unwrap();
    let mount = |args: &[&str]| {
        let done = clean("mount").args(args).arg("tmpfs").arg(&disk).output();
        done.is_ok_and(|done| done.status.success())
    };
    if !Uid::effective().is_root() || !mount(&["-t", "tmpfs", "-o", "size=1m"]) {
        return skipped("no disk can be mounted");
    }
    let unmount = Unmount(&disk);
    let master = place.serve(&format!("{kind}:{}", disk.join("sessions").display()));
    let store = place.connect();
    for round in 0..3 {
        store.set("foo", round.to_string()).unwrap();
        let ballast = disk.join("ballast");
        let file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .open(&ballast)
            .unwrap();
        let mut length = 0;
        while file
            .write_at(&[0; 512], length)
            .is_ok_and(|written| written > 0)
        {
            length += 512;
        }
        for _ in 0..5 {
            let large = vec![b'x'; 100 << 10];
            let error = store.set("large", &large).unwrap_err();
            assert!(matches!(error, Error::Backend(_)), "{error:?}");
            assert!(error.to_string().contains("No space left"), "{error}");
        }
        let found = store.get("foo").unwrap().unwrap();
        assert_eq!(found.value, round.to_string().as_bytes());
        assert!(store.get("large").unwrap().is_none());
        drop(file);
        fs::remove_file(&ballast).unwrap();
        until_written(&store);
        assert!(store.destroy("again").unwrap());
        store.set("large", vec![b'x'; 100 << 10]).unwrap();
        assert!(store.destroy("large").unwrap());
        assert_eq!(store.length().unwrap(), 1);
    }
    drop(master);
    let master = place.serve(&format!("{kind}:{}", disk.join("sessions").display()));
    let store = place.connect();
    assert_eq!(store.get("foo").unwrap().unwrap().value, b"2");
    assert_eq!(store.length().unwrap(), 1);
    drop(master);
    drop(unmount);
}

#[test]
fn a_full_disk_under_leveldb_refuses_writes_and_takes_them_again() {
    a_full_disk_refuses_writes_and_takes_them_again("leveldb");
}

#[test]
fn a_full_disk_under_files_refuses_writes_and_takes_them_again() {
    a_full_disk_refuses_writes_and_takes_them_again("files");
}

#[test]
fn a_read_only_disk_under_files_is_read_and_written_to_when_it_may_be() {
    let place = Place::new();
    let disk = place.at("disk");
    fs::create_dir(&disk).unwrap();
    let mount = |options: &str| {
        let mut mount = clean("mount");
        let mount = mount
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(&disk);
        mount.output().is_ok_and(|done| done.status.success())
    };
    if !Uid::effective().is_root() || !mount("size=4m") {
        return skipped("no disk can be mounted");
    }
    let unmount = Unmount(&disk);
    let master = place.serve(&format!("files:{}", disk.join("sessions").display()));
    let store = place.connect();
    store.set("foo", "bar").unwrap();
    assert!(mount("remount,ro"));
    for _ in 0..3 {
        let error = store.set("foo", "new").unwrap_err();
        assert!(
            error.to_string().contains("Read-only file system"),
            "{error}"
        );
        assert!(store.destroy("foo").is_err());
        assert_eq!(store.get("foo").unwrap().unwrap().value, b"bar");
        assert_eq!(store.length().unwrap(), 1);
    }
    // Nor is it taken for gone where it cannot be looked at after that.
    if allow(&master, 3) {
        assert!(store.destroy("foo").is_err());
        assert!(store.get("foo").is_err());
        assert!(allow(&master, 1_024));
        assert_eq!(store.get("foo").unwrap().unwrap().value, b"bar");
    }
    assert!(mount("remount,rw"));
    until_written(&store);
    assert_eq!(store.get("foo").unwrap().unwrap().value, b"bar");
    drop(master);
    drop(unmount);
}

/// A page of the log becomes zeros, as a loss of power leaves it where nothing was synced.
#[test]
fn a_log_with_a_hole_is_read_up_to_it_and_kept_where_writes_were_not_synced() {
    let place = Place::new();
    let folder = place.at("sessions");
    let url = |sync: &str| format!("leveldb:{}?sync={sync}", folder.display());
    let mut master = place.serve(&url("never"));
    let store = place.connect();
    for number in 0..200 {
        store.set(format!("{number:03}"), [b'x'; 100]).unwrap();
    }
    master.signal(Signal::SIGKILL);
    master.wait();
    let files = || {
        let files = fs::read_dir(&folder).unwrap().map(|file| {
            let path = file.unwrap().path();
            let bytes = fs::read(&path).unwrap();
            (path, bytes)
        });
        files.collect::<BTreeMap<_, _>>()
    };
    let is_log = |path: &Path| path.extension().is_some_and(|ending| ending == "log");
    let (log, mut bytes) = files().into_iter().find(|(path, _)| is_log(path)).unwrap();
    bytes[8_192..12_288].fill(0);
    fs::write(&log, &bytes).unwrap();
    let before = files();

    let mut serve = memstore(["serve", "--store", &url("always"), "--sock"]);
    let ended = Running::start(serve.arg(place.sock())).finish();
    assert_eq!(ended.status.code(), Some(78), "{ended:?}");
    let name = log.file_name().unwrap().to_str().unwrap();
    let told = ended.stderr.join("\n");
    assert!(told.contains(&format!("{name} is damaged")), "{told}");
    assert!(told.contains("sync=1s"), "what can be done: {told}");
    assert_eq!(files(), before);

    let mut master = place.serve(&url("1s"));
    let told = master.stderr().until_contains("has a hole");
    let kept = folder.join(format!("{name}.damaged"));
    for what in ["WARN", name, "from=", "bytes="] {
        assert!(told.contains(what), "{what}: {told}");
    }
    assert_eq!(fs::read(&kept).unwrap(), bytes);
    let store = place.connect();
    let found = store.length().unwrap();
    assert!((20..80).contains(&found), "{found}");
    for number in 0..200_u64 {
        let is_there = store.get(format!("{number:03}")).unwrap().is_some();
        assert_eq!(is_there, number < found, "{number}");
    }
    master.signal(Signal::SIGKILL);
    master.wait();
    if has_packages() {
        let mut theirs = NodeStore::start("classic", &folder);
        let all = theirs.call("dump", &[]).unwrap();
        let entries = all.as_array().unwrap().iter();
        let plain = entries.filter(|entry| entry[0].as_str().unwrap().len() == 6);
        assert_eq!(plain.count() as u64, found);
        drop(theirs);
        let mut theirs = NodeStore::start("level", &folder);
        assert_eq!(theirs.call("length", &[]), Ok(json!(found)));
    }
    let _master = place.serve(&url("always"));
    assert_eq!(place.connect().length().unwrap(), found);
    assert_eq!(fs::read(&kept).unwrap(), bytes);
}

#[test]
fn what_is_no_leveldb_is_refused_and_left_as_it_is() {
    let place = Place::new();
    let folder = place.at("sessions");
    fs::create_dir(&folder).unwrap();
    let files = [
        ("CURRENT", "MANIFEST-000001\n"),
        ("MANIFEST-000001", "\u{1}\u{2}\u{3}12345678"),
    ];
    for (name, text) in files {
        fs::write(folder.join(name), text).unwrap();
    }
    let url = format!("leveldb:{}", folder.display());
    let mut serve = memstore(["serve", "--store", &url, "--sock"]);
    let ended = Running::start(serve.arg(place.sock())).finish();
    assert_eq!(ended.status.code(), Some(78), "{ended:?}");
    let told = ended.stderr.iter();
    assert!(
        told.into_iter()
            .any(|line| line.contains("nothing in it was changed")),
        "{ended:?}"
    );
    for (name, text) in files {
        assert_eq!(fs::read(folder.join(name)).unwrap(), text.as_bytes());
    }
}
