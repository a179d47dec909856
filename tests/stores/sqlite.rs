//! Databases that are killed, locked, full, damaged or read-only under a master: what was
//! acknowledged is there, what cannot be done is answered, and it goes on when the cause is gone.

use std::fs::{self, OpenOptions, Permissions};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use memstore_cluster::{Batch, Error, SetOptions, Store};
use nix::sys::signal::Signal;
use nix::unistd::Uid;
use rusqlite::Connection;

use crate::common::{Running, binary, clean, eventually, skipped};
use crate::history::{survives, versions_go_on};
use crate::{Place, client};

fn url(place: &Place, options: &str) -> String {
    format!("sqlite:{}{options}", place.at("sessions.db").display())
}

/// The database, for somebody else.
fn other(place: &Place) -> Connection {
    Connection::open(place.at("sessions.db")).unwrap()
}

/// Waits until writing is possible again.
pub(crate) fn until_written(store: &Store) {
    eventually("it can be written to again", || {
        store.set("again", "v").ok()
    });
}

fn assert_backend<T: std::fmt::Debug>(done: Result<T, Error>, hint: &str) {
    match done {
        Err(Error::Backend(why)) => assert!(why.contains(hint), "{why}"),
        other => panic!("{hint}: {other:?}"),
    }
}

#[test]
fn what_was_acknowledged_survives_the_death_of_the_master() {
    let place = Place::new();
    let start = |rng: &mut Rng| {
        let options = ["", "?synchronous=normal", "?synchronous=off"][rng.usize(0..3)];
        (place.serve(&url(&place, options)), options)
    };
    survives("STORES", (6, 800), start, || place.connect());
    let whole: String = other(&place)
        .query_row("pragma integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(whole, "ok");
}

#[test]
fn versions_and_deadlines_go_on_where_they_were() {
    let place = Place::new();
    versions_go_on(|| place.serve(&url(&place, "")), || place.connect());
}

/// The transactions in a write-ahead log: frames that end one say how large the database is then.
/// See <https://www.sqlite.org/fileformat2.html#walformat>.
fn transactions(log: &[u8]) -> usize {
    let number = |at: usize| u32::from_be_bytes(log[at..at + 4].try_into().unwrap());
    let frame = 24 + number(8) as usize;
    (32..log.len())
        .step_by(frame)
        .filter(|at| number(at + 4) > 0)
        .count()
}

#[test]
fn a_burst_of_writes_is_few_transactions() {
    let place = Place::new();
    let _master = place.serve(&url(&place, ""));
    let store = place.connect();
    store.set("first", "v").unwrap();
    let log = || fs::read(place.at("sessions.db-wal")).unwrap();
    let before = transactions(&log());
    let keys: Vec<_> = (0..500_u16).map(u16::to_be_bytes).collect();
    let mut batch = Batch::new();
    for key in &keys {
        batch.set(key, "value", SetOptions::new());
    }
    let done = store.run(&batch);
    assert!(done.iter().all(Result::is_ok), "{done:?}");
    let taken = transactions(&log()) - before;
    assert!(
        (1..50).contains(&taken),
        "{taken} transactions for 500 writes"
    );
}

#[test]
fn a_database_that_is_locked_is_read_and_written_to_when_it_is_free() {
    let place = Place::new();
    let _master = place.serve(&url(&place, "?lock-timeout=100ms"));
    let store = place.connect();
    store.set("foo", "bar").unwrap();
    let other = other(&place);
    other.execute_batch("begin immediate").unwrap();
    let begin = Instant::now();
    for _ in 0..50 {
        assert_backend(store.set("foo", "new"), "is locked by another program");
        assert_backend(store.destroy("foo"), "is locked by another program");
        assert_eq!(store.get("foo").unwrap().unwrap().value, b"bar");
    }
    assert!(
        begin.elapsed() < Duration::from_secs(3),
        "every request waits for the lock"
    );
    other.execute_batch("rollback").unwrap();
    store.set("foo", "new").unwrap();
    assert_eq!(store.get("foo").unwrap().unwrap().value, b"new");
}

#[test]
fn a_short_lock_is_waited_for() {
    let place = Place::new();
    let master = place.serve(&url(&place, "?lock-timeout=20s"));
    let store = place.connect().with_timeout(Duration::from_secs(20));
    let other = other(&place);
    other.execute_batch("begin immediate").unwrap();
    thread::scope(|scope| {
        let set = scope.spawn(|| store.set("foo", "bar"));
        // The lock is given up only when the master is known to wait for it.
        eventually("the master waits for the lock", || {
            let children = fs::read_dir(format!("/proc/{}/task", master.pid())).ok()?;
            let waits = children.flatten().any(|task| {
                let call = fs::read_to_string(task.path().join("wchan"));
                call.is_ok_and(|call| call.contains("nanosleep"))
            });
            waits.then_some(())
        });
        other.execute_batch("rollback").unwrap();
        set.join().unwrap().unwrap();
    });
}

#[test]
fn a_full_database_refuses_writes_and_takes_them_again() {
    let place = Place::new();
    let _master = place.serve(&url(&place, "?max-size=256KiB"));
    let store = place.connect();
    let large = vec![b'x'; 10 << 10];
    let mut stored = 0_u8;
    let refusal = loop {
        match store.set([stored], &large) {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refusal, Error::OutOfMemory(_)), "{refusal:?}");
    assert!(refusal.to_string().contains("no more room"), "{refusal}");
    assert_eq!(store.length().unwrap(), u64::from(stored));
    assert_eq!(store.get([0]).unwrap().unwrap().value, large);
    for number in 0..stored {
        assert!(store.destroy([number]).unwrap());
    }
    until_written(&store);
}

#[test]
fn a_full_disk_refuses_writes_and_takes_them_again() {
    let place = Place::new();
    let disk = place.at("disk");
    fs::create_dir(&disk).unwrap();
    let mount = |args: &[&str]| {
        let done = clean("mount").args(args).arg("tmpfs").arg(&disk).output();
        done.is_ok_and(|done| done.status.success())
    };
    if !Uid::effective().is_root() || !mount(&["-t", "tmpfs", "-o", "size=1m"]) {
        // Who may not mount has the same by `max-size`, in the test above.
        return;
    }
    let unmount = Unmount(&disk);
    let path = disk.join("sessions.db");
    let url = format!("sqlite:{}", path.display());
    let mut master = place.serve(&url);
    let store = place.connect();
    store.set("foo", "bar").unwrap();
    let ballast = disk.join("ballast");
    let fill = || {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&ballast)
            .unwrap();
        let mut len = file.metadata().unwrap().len();
        while file
            .write_at(&[0; 512], len)
            .is_ok_and(|written| written > 0)
        {
            len += 512;
        }
    };
    fill();
    let large = vec![b'x'; 100 << 10];
    assert!(store.set("large", &large).is_err());
    assert_eq!(store.get("foo").unwrap().unwrap().value, b"bar");
    assert!(store.set("large", &large).is_err());
    fs::remove_file(&ballast).unwrap();
    until_written(&store);
    assert_eq!(store.get("foo").unwrap().unwrap().value, b"bar");

    // The index of the log has to be made anew, for which there is no room; that may change.
    master.signal(Signal::SIGKILL);
    master.wait();
    fs::remove_file(disk.join("sessions.db-shm")).unwrap();
    fill();
    let mut serve = clean(binary());
    serve.args(["serve", "--store", &url, "--sock"]);
    let ended = Running::start(serve.arg(place.sock())).finish();
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    let told = ended.stderr.join("\n");
    assert!(told.contains("no more room"), "{told}");
    fs::remove_file(&ballast).unwrap();
    let master = place.serve(&url);
    assert_eq!(place.connect().get("foo").unwrap().unwrap().value, b"bar");
    drop(master);
    drop(unmount);
}

/// Takes a file system away again, whatever becomes of the test.
pub(crate) struct Unmount<'p>(pub(crate) &'p Path);

impl Drop for Unmount<'_> {
    fn drop(&mut self) {
        let _ = clean("umount").arg("-l").arg(self.0).status();
    }
}

#[test]
fn a_damaged_database_is_an_error_until_it_is_repaired() {
    let place = Place::new();
    let path = place.at("sessions.db");
    let mut master = place.serve(&url(&place, ""));
    let store = place.connect();
    for number in 0..1_000_u16 {
        store.set(number.to_be_bytes(), [b'x'; 500]).unwrap();
    }
    drop(store);
    master.signal(Signal::SIGTERM);
    assert!(master.finish().status.success());
    let whole = fs::read(&path).unwrap();

    let master = place.serve(&url(&place, ""));
    let store = place.connect();
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(&vec![0xa5; whole.len() - 8_192], 8_192)
        .unwrap();
    let key = 500_u16.to_be_bytes();
    assert_backend(store.get(key), "is damaged");
    assert_backend(store.set(key, "new"), "is damaged");
    master
        .stderr()
        .until_contains("the database does not do what it is asked");
    store.ping().unwrap();
    file.write_all_at(&whole, 0).unwrap();
    eventually("it is read again", || store.get(key).ok().flatten());
    until_written(&store);
    assert_eq!(store.length().unwrap(), 1_001);

    // What is damaged at the beginning is not served at all, and left as it is.
    drop(master);
    for ending in ["-wal", "-shm"] {
        let _ = fs::remove_file(place.at(&format!("sessions.db{ending}")));
    }
    file.write_all_at(&[0xa5; 100], 0).unwrap();
    let mut serve = clean(binary());
    serve
        .args(["serve", "--store", &url(&place, ""), "--sock"])
        .arg(place.sock());
    let ended = Running::start(&mut serve).finish();
    assert_eq!(ended.status.code(), Some(78), "{ended:?}");
    assert!(
        ended
            .stderr
            .iter()
            .any(|line| line.contains("cannot be used")),
        "{ended:?}"
    );
    let misleads = |line: &String| line.contains("write-ahead log");
    assert!(!ended.stderr.iter().any(misleads), "{ended:?}");
    let left = fs::read(&path).unwrap();
    assert_eq!(left[..100], [0xa5; 100]);
}

#[test]
fn a_read_only_database_is_read_and_written_to_when_it_may_be() {
    let place = Place::new();
    let path = place.at("sessions.db");
    let mut master = place.serve(&url(&place, ""));
    place.connect().set("foo", "bar").unwrap();
    master.signal(Signal::SIGTERM);
    assert!(master.finish().status.success());
    // To root nothing is read-only: somebody else has to be the master.
    let mut serve = if Uid::effective().is_root() {
        let can = clean("setpriv").arg("--version").output();
        if !can.is_ok_and(|done| done.status.success()) {
            return skipped("setpriv is not installed");
        }
        let mut setpriv = clean("setpriv");
        setpriv.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        setpriv.arg(binary());
        setpriv
    } else {
        clean(binary())
    };
    fs::set_permissions(place.at("."), Permissions::from_mode(0o1777)).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o444)).unwrap();
    // The lock of the other socket is another user's.
    let sock = place.at("theirs");
    let uid = Uid::effective().to_string();
    serve.args([
        "serve",
        "--store",
        &url(&place, ""),
        "--allow-uid",
        &uid,
        "--sock",
    ]);
    let master = Running::start(serve.arg(&sock));
    master.stderr().until_contains("serving");
    let store = client(&sock);
    assert_eq!(store.get("foo").unwrap().unwrap().value, b"bar");
    assert_backend(store.set("foo", "new"), "cannot be written to");
    assert_eq!(store.get("foo").unwrap().unwrap().value, b"bar");
    fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
    until_written(&store);
    store.set("foo", "new").unwrap();
    assert_eq!(store.get("foo").unwrap().unwrap().value, b"new");
}

#[test]
fn a_dump_goes_into_a_database_and_out_of_it() {
    let place = Place::new();
    let dump = place.at("dump");
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let ask = |line: &[&str]| {
        let mut ask = clean(binary());
        let ended = Running::start(ask.args(line).arg("--sock").arg(place.sock())).finish();
        assert!(ended.status.success(), "{ended:?}");
    };
    let mut master = place.serve(&url(&place, ""));
    let store = place.connect();
    for number in 0..3_000_u16 {
        store.set(number.to_be_bytes(), [b'x'; 50]).unwrap();
    }
    ask(&["dump", &text(&dump)]);
    store.clear().unwrap();
    ask(&["load", &text(&dump)]);
    assert_eq!(store.length().unwrap(), 3_000);
    drop(store);
    master.signal(Signal::SIGTERM);
    assert!(master.finish().status.success());
    fs::remove_file(place.at("sessions.db")).unwrap();
    let mut serve = clean(binary());
    serve.args([
        "serve",
        "--store",
        &url(&place, ""),
        "--load-on-start",
        &text(&dump),
    ]);
    let master = Running::start(serve.arg("--sock").arg(place.sock()));
    master.stderr().until_contains("serving");
    assert_eq!(place.connect().length().unwrap(), 3_000);
}
