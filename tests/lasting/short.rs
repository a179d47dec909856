//! Disks and address spaces that are too small.

use std::path::Path;
use std::process::Command;

use memstore_cluster::{Error, Store};
use nix::sys::signal::Signal;
use nix::unistd::geteuid;

use crate::Place;
use crate::common::ended::end;
use crate::common::{Running, clean, connect, skipped};

/// A command that runs after `script`, which may mount what nobody else sees.
fn after(script: &str, master: &Command) -> Command {
    let mut command = clean("unshare");
    if !geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["--mount", "sh", "-c"]);
    command.arg(format!("{script} && exec \"$0\" \"$@\""));
    command.arg(master.get_program()).args(master.get_args());
    command
}

/// A master whose store is on a disk of its own; `None` where disks cannot be had.
fn on_disk(place: &Place, options: &str, then: &str) -> Option<Command> {
    let folder = place.at("disk");
    std::fs::create_dir(&folder).unwrap();
    let (disk, path) = (folder.display(), folder.join("store"));
    let mount =
        format!("cd / && mount -t tmpfs -o {options} none '{disk}' && cd '{disk}' && {then}");
    if end(&mut after(&mount, &Command::new("true"))).code != Some(0) {
        skipped("no disk can be mounted (unshare --mount)");
        return None;
    }
    let mut serve = crate::common::memstore(["serve", "--sock"]);
    serve.arg(place.sock());
    serve.arg("--store").arg(crate::url(&path));
    Some(after(&mount, &serve))
}

fn set(store: &Store, n: u32) -> Result<(), Error> {
    store.set(n.to_le_bytes(), vec![7; 60_000]).map(|_| ())
}

#[test]
fn a_full_disk_refuses_writes_and_nothing_else() {
    let place = Place::new();
    let Some(mut serve) = on_disk(&place, "size=6m", "true") else {
        return;
    };
    let mut master = Running::start(&mut serve);
    master.stderr().until_contains("serving");
    let store = connect(&place.sock());
    let stored = (0..10_000).take_while(|n| set(&store, *n).is_ok()).count();
    let stored = u32::try_from(stored).unwrap();
    assert!((50..100).contains(&stored), "{stored}");
    for _ in 0..50 {
        let error = set(&store, stored).unwrap_err();
        assert!(matches!(error, Error::OutOfMemory(_)), "{error:?}");
    }
    for n in 0..stored {
        let found = store.get(n.to_le_bytes()).unwrap().unwrap();
        assert!(found.value == vec![7; 60_000]);
    }
    assert_eq!(store.length().unwrap(), u64::from(stored));
    for n in 0..stored {
        assert!(store.destroy(n.to_le_bytes()).unwrap());
    }
    for n in 0..stored {
        set(&store, n).unwrap();
    }
    master.signal(Signal::SIGTERM);
    let finished = master.finish();
    assert_eq!(finished.status.code(), Some(0));
    let warnings = finished.stderr.iter();
    let warnings = warnings.filter(|line| line.contains("no memory for the store"));
    assert!(
        (1..20).contains(&warnings.count()),
        "{:#?}",
        finished.stderr
    );
}

#[test]
fn a_disk_without_room_for_an_empty_store_is_a_failure() {
    let place = Place::new();
    if let Some(mut serve) = on_disk(&place, "size=256k", "true") {
        end(&mut serve).with(1, &["make the store's file", "No space left"]);
    }
}

#[test]
fn a_file_that_cannot_be_written_is_refused() {
    let place = Place::new();
    if let Some(mut serve) = on_disk(&place, "size=1m", "touch store && mount -o remount,ro .") {
        let words = "cannot be opened for writing: Read-only file system";
        end(&mut serve).with(78, &[words]);
    }
}

/// A master with so many KiB of addresses.
fn with_addresses(kib: u32, master: &Command) -> Command {
    let mut command = clean("sh");
    command.args(["-c", &format!("ulimit -v {kib} && exec \"$0\" \"$@\"")]);
    command.arg(master.get_program()).args(master.get_args());
    command
}

fn serves(sock: &Path, mut master: Running) {
    let store = connect(sock);
    store.set("key", vec![7; 100_000]).unwrap();
    assert_eq!(store.get("key").unwrap().unwrap().value.len(), 100_000);
    master.signal(Signal::SIGTERM);
    assert_eq!(master.finish().status.code(), Some(0));
}

#[test]
fn a_master_with_few_addresses_keeps_its_store_on_the_heap() {
    let place = Place::new();
    let mut serve = crate::common::memstore(["serve", "--sock"]);
    serve.arg(place.sock());
    let master = Running::start(&mut with_addresses(1 << 20, &serve));
    master
        .stderr()
        .until_contains("no memory with a descriptor");
    serves(&place.sock(), master);
}

#[test]
fn a_file_takes_half_of_the_addresses_there_are() {
    let place = Place::new();
    let [serve, _] = place.masters("");
    let ended = end(&mut with_addresses(1 << 20, &serve));
    ended.with(78, &["cannot be mapped", "ulimit -v"]);
    let master = Running::start(&mut with_addresses(5 << 20, &serve));
    master.stderr().until_contains("serving");
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", master.pid())).unwrap();
    let line = maps.lines().find(|line| line.ends_with("/store")).unwrap();
    let (from, rest) = line.split_once('-').unwrap();
    let number = |text| u64::from_str_radix(text, 16).unwrap();
    let size = number(rest.split(' ').next().unwrap()) - number(from);
    assert_eq!(size, 2 << 30);
    serves(&place.sock(), master);
}
