//! Masters that are killed under load: what was acknowledged is in the file.

use std::fs;
use std::path::Path;
use std::time::Duration;

use fastrand::Rng;
use memstore_cluster::{Options, Store};
use nix::sys::signal::Signal;

use crate::common::{Running, connect, eventually};
use crate::history::{survives, versions_go_on};
use crate::{Place, common};

/// Long for an answer, and short for who waits for one that never comes.
const TIMEOUT: Duration = Duration::from_millis(700);

/// A connection, once the master lets in.
fn client(sock: &Path) -> Store {
    let options = || Options {
        sock: Some(sock.to_owned()),
        connect: true,
        timeout: TIMEOUT,
        ..Options::default()
    };
    eventually("the master answers", || options().create().ok())
}

#[test]
fn what_was_acknowledged_survives_the_death_of_the_master() {
    let place = Place::new();
    let start = |rng: &mut Rng| {
        let sync = ["--sync never", "--sync 1s", "--sync always"][rng.usize(0..3)];
        let [serve, run] = &mut place.masters(sync);
        let master = Running::start(if rng.bool() { serve } else { run });
        (master, sync)
    };
    survives("LASTING", (12, 1_500), start, || client(&place.sock()));
}

#[test]
fn an_orderly_end_leaves_a_file_as_long_as_it_has_to_be_at_the_next_beginning() {
    let place = Place::new();
    let len = || fs::metadata(place.store()).unwrap().len();
    for sync in ["never", "1s", "always"] {
        let mut master = place.serve(&format!("--sync {sync}"));
        let store = connect(&place.sock());
        let value = vec![7; 1 << 20];
        assert_eq!(store.length().unwrap(), 0);
        (0..20u8).for_each(|n| assert!(store.set([n], &value).is_ok()));
        assert!(len() > 20 << 20);
        for n in 0..20u8 {
            assert!(store.destroy([n]).unwrap());
        }
        store.set("last", "word").unwrap();
        master.signal(Signal::SIGTERM);
        assert_eq!(master.finish().status.code(), Some(0));

        let mut master = place.serve(&format!("--sync {sync}"));
        let store = connect(&place.sock());
        assert_eq!(store.get("last").unwrap().unwrap().value, b"word");
        assert!(store.destroy("last").unwrap());
        assert!(len() < 2 << 20, "{} bytes are left, --sync {sync}", len());
        master.signal(Signal::SIGTERM);
        assert_eq!(master.finish().status.code(), Some(0));
    }
}

#[test]
fn versions_go_on_where_they_were() {
    let place = Place::new();
    versions_go_on(|| place.serve(""), || connect(&place.sock()));
}

#[test]
fn nothing_of_a_file_is_left_in_a_process_that_has_closed_it() {
    let place = Place::new();
    let path = place.store();
    let uses = || {
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        let fds = fs::read_dir("/proc/self/fd").unwrap().flatten();
        let fds = fds.filter(|fd| fs::read_link(fd.path()).is_ok_and(|link| link == path));
        maps.matches(path.to_str().unwrap()).count() + fds.count()
    };
    for syncing in ["never", "1s", "always"] {
        let source = memstore_cluster::Source::file(&path, syncing.parse().unwrap());
        for _ in 0..5 {
            let store = Options {
                standalone: memstore_cluster::Standalone::Always,
                store: source.clone(),
                ..Options::default()
            };
            let store = store.create().unwrap();
            store.set("key", syncing).unwrap();
            assert!(uses() >= 2);
            drop(store);
            assert_eq!(uses(), 0, "--sync {syncing}");
        }
    }
    let place = Place::new();
    let master = place.serve("");
    let fds = common::open_fds(master.pid());
    let store = connect(&place.sock());
    (0..2_000u32).for_each(|n| assert!(store.set(n.to_le_bytes(), [7; 5_000]).is_ok()));
    store.clear().unwrap();
    drop(store);
    eventually("no descriptor is left", || {
        (common::open_fds(master.pid()) == fds).then_some(())
    });
}
