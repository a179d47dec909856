//! LevelDB and files whose master is killed, or whose disk is full: what was acknowledged is there,
//! what cannot be done is answered, and it goes on when the cause is gone.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt as _;

use fastrand::Rng;
use memstore_cluster::Error;
use nix::unistd::Uid;

use crate::Place;
use crate::common::{Running, clean, memstore, skipped};
use crate::history::survives;
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
    assert!(mount("remount,rw"));
    until_written(&store);
    assert_eq!(store.get("foo").unwrap().unwrap().value, b"bar");
    drop(master);
    drop(unmount);
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
