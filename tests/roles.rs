//! What a process becomes, each row of the table in [`Options`], and how it fares in its role.

#![cfg(all(feature = "cli", target_os = "linux"))]
#![allow(clippy::unwrap_used, reason = "helpers may panic as the tests do")]

mod common;

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use common::ended::end;
use common::parts::{self, part, say, serve, start_on_one_core, wrapped};
use common::{Running, connect, eventually, folder, memstore, open_fds};
use memstore_cluster::{Error, Options, Role, Standalone, Store};
use nix::sys::signal::Signal;

#[test]
fn play_a_part() {
    match parts::asked().as_deref() {
        None => {}
        Some("nothing asked") => nothing_asked(),
        Some("worker") => worker(),
        Some("told of a channel") => told_of_a_channel(),
        Some(other) => panic!("there is no part {other:?}"),
    }
}

fn options(sock: &Path) -> Options {
    Options {
        sock: Some(sock.to_owned()),
        ..Options::default()
    }
}

fn serving(sock: &Path) -> Result<Store, Error> {
    Options {
        serve: true,
        ..options(sock)
    }
    .create()
}

/// Says what it has become, and stays that.
fn nothing_asked() {
    let store = options(&parts::sock()).create().unwrap();
    assert_eq!(store.is_master(), store.role() == Role::Master);
    assert_eq!(store.is_worker(), store.role() == Role::Worker);
    assert_eq!(store.worker(), None);
    let seq = store.set(std::process::id().to_string(), "").unwrap();
    say(&format!("became {:?}, wrote number {seq}", store.role()));
    loop {
        thread::park();
    }
}

#[test]
fn who_serves_where_a_master_lives_is_refused_and_told_which() {
    let folder = folder();
    let sock = folder.path().join("s");
    let master = serve(&sock, ["--log", "info"]);
    let error = serving(&sock).unwrap_err();
    assert!(
        matches!(&error, Error::Held { path, pid } if *path == sock && *pid == Some(master.pid())),
        "{error:?}"
    );
    let ended = end(memstore(["serve", "--sock"]).arg(&sock));
    ended.with(1, &["held by a live master", &master.pid().to_string()]);
    assert_eq!(connect(&sock).length().unwrap(), 0, "it is unharmed");
}

#[test]
fn a_killed_master_leaves_a_socket_that_is_nobodys() {
    let folder = folder();
    let sock = folder.path().join("s");
    let mut master = serve(&sock, ["--log", "info"]);
    master.signal(Signal::SIGKILL);
    master.wait();
    assert!(sock.exists(), "the case is that of a stale socket");
    let store = serving(&sock).unwrap();
    assert_eq!(store.role(), Role::Master);
    connect(&sock).ping().unwrap();
}

#[test]
fn a_client_waits_for_a_master_that_comes_later() {
    let folder = folder();
    let sock = folder.path().join("s");
    // An attempt that comes to nothing proves that the client was there first.
    let nobody = UnixListener::bind(&sock).unwrap();
    thread::scope(|scope| {
        let client = scope.spawn(|| connect(&sock));
        drop(nobody.accept().unwrap());
        drop(nobody);
        fs::remove_file(&sock).unwrap();
        let master = serving(&sock).unwrap();
        let client = client.join().unwrap();
        assert_eq!(client.role(), Role::Worker);
        let seq = client.set("foo", "bar").unwrap();
        assert_eq!(master.get("foo").unwrap().unwrap().seq, seq);
    });
}

#[test]
fn a_client_waits_no_longer_than_its_patience() {
    let folder = folder();
    let sock = folder.path().join("s");
    for patience in [Duration::ZERO, Duration::from_millis(100)] {
        let started = Instant::now();
        let client = Options {
            connect: true,
            patience,
            ..options(&sock)
        };
        let error = client.create().unwrap_err();
        assert!(
            matches!(&error, Error::Unreachable { path, .. } if *path == sock),
            "{error:?}"
        );
        assert!(started.elapsed() >= patience);
        assert!(started.elapsed() < patience + Duration::from_secs(5));
    }
}

#[test]
fn endless_patience_is_not_too_much() {
    let folder = folder();
    let sock = folder.path().join("s");
    let _master = serving(&sock).unwrap();
    let client = Options {
        connect: true,
        patience: Duration::MAX,
        timeout: Duration::MAX,
        ..options(&sock)
    };
    client.create().unwrap().ping().unwrap();
}

#[test]
fn who_asks_for_nothing_is_the_master_where_nobody_is_and_otherwise_its_client() {
    let folder = folder();
    let sock = folder.path().join("s");
    if thread::available_parallelism().unwrap().get() == 1 {
        return common::skipped("on one core who asks for nothing is standalone");
    }
    let first = Running::start(&mut part("nothing asked", &sock));
    first
        .stdout()
        .until_contains("became Master, wrote number 1");
    let second = Running::start(&mut part("nothing asked", &sock));
    second
        .stdout()
        .until_contains("became Worker, wrote number 2");
    assert_eq!(connect(&sock).length().unwrap(), 2, "they share a store");
}

#[test]
fn on_one_core_who_asks_for_nothing_is_standalone() {
    let folder = folder();
    let sock = folder.path().join("s");
    let alone = start_on_one_core(&mut part("nothing asked", &sock));
    alone
        .stdout()
        .until_contains("became Standalone, wrote number 1");
    assert_eq!(
        fs::read_dir(&folder).unwrap().count(),
        0,
        "no socket, no lock"
    );
    let other = start_on_one_core(&mut part("nothing asked", &sock));
    other
        .stdout()
        .until_contains("became Standalone, wrote number 1");
}

#[test]
fn on_one_core_run_becomes_the_command() {
    let folder = folder();
    let sock = folder.path().join("s");
    let flags: [&str; 0] = [];
    let alone = start_on_one_core(&mut wrapped("nothing asked", &sock, flags));
    alone.stdout().until_contains("became Standalone");
    let environ = fs::read(format!("/proc/{}/environ", alone.pid())).unwrap();
    let environ: Vec<&[u8]> = environ.split(|byte| *byte == 0).collect();
    assert!(environ.contains(&b"MEMSTORE_ROLE=standalone".as_slice()));
    assert!(!environ.iter().any(|line| line.starts_with(b"MEMSTORE_FD=")));
}

#[test]
fn a_command_that_runs_standalone_ends_as_itself() {
    let script = "test \"$MEMSTORE_ROLE\" = standalone && exit 7";
    let line = ["run", "--standalone", "--", "sh", "-c", script];
    end(&mut memstore(line)).with(7, &[]);
    let lost = ["run", "--standalone", "--", "/does/not/exist"];
    end(&mut memstore(lost)).with(127, &["/does/not/exist"]);
    let text = ["run", "--standalone", "--", "/etc/passwd"];
    end(&mut memstore(text)).with(126, &["/etc/passwd"]);
}

/// Is a worker, whatever else there is, and says so.
fn worker() {
    let slot: u32 = std::env::var("MEMSTORE_WORKER").unwrap().parse().unwrap();
    let store = Options::default().create().unwrap();
    assert_eq!((store.role(), store.worker()), (Role::Worker, Some(slot)));
    assert!(store.is_worker() && !store.is_master());

    // The channel is one, however often a store is asked for, and whatever path is named.
    let fds = open_fds(std::process::id());
    let nowhere = parts::sock().with_file_name("nowhere");
    let same = options(&nowhere).create().unwrap();
    let connected = Options {
        connect: true,
        ..Options::default()
    }
    .create()
    .unwrap();
    assert_eq!(
        (same.worker(), connected.worker()),
        (Some(slot), Some(slot))
    );
    assert_eq!(open_fds(std::process::id()), fds);
    let seq = store.set(format!("slot {slot}"), "").unwrap();
    assert_eq!(same.get(format!("slot {slot}")).unwrap().unwrap().seq, seq);

    // Who asks to connect to a path gets a connection of its own.
    let by_path = connect(&parts::sock());
    assert_eq!((by_path.role(), by_path.worker()), (Role::Worker, None));
    assert_eq!(
        by_path.get(format!("slot {slot}")).unwrap().unwrap().seq,
        seq
    );
    assert!(serving(&parts::sock()).is_err(), "there is a master");
    say(&format!("slot {slot} is well"));
}

#[test]
fn who_inherited_a_channel_is_that_masters_worker() {
    let folder = folder();
    let sock = folder.path().join("s");
    let flags = ["--workers", "2", "--restart", "never"];
    let mut master = Running::start(&mut wrapped("worker", &sock, flags));
    for slot in 0..2 {
        master
            .stdout()
            .until_contains(&format!("slot {slot} is well"));
    }
    assert_eq!(master.wait().code(), Some(0));
}

/// Says why there is no store, twice: the first attempt must not have closed anything.
fn told_of_a_channel() {
    for _ in 0..2 {
        let error = Options::default().create().unwrap_err();
        assert!(matches!(error, Error::Config(_)), "{error:?}");
        say(&format!("because: {error}"));
    }
}

#[test]
fn a_channel_that_is_none_is_told_so_in_a_sentence() {
    let folder = folder();
    let sock = folder.path().join("s");
    let plain = part("told of a channel", &sock);
    for (number, redirection) in [("77", "77<&-"), ("9", "9</etc/passwd"), ("9", "9>&1")] {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("exec \"$@\" {redirection}"), "sh"]);
        command.arg(plain.get_program()).args(plain.get_args());
        for (name, value) in plain.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let ended = end(command.env("MEMSTORE_FD", number)).with(0, &[]);
        let because: Vec<_> = ended
            .text()
            .lines()
            .filter(|line| line.starts_with("because: "))
            .collect();
        assert_eq!(because.len(), 2, "{ended:#?}");
        assert_eq!(because[0], because[1], "the second attempt differs");
        for word in [&format!("MEMSTORE_FD={number} "), "MEMSTORE_SOCK", "unset"] {
            assert!(because[0].contains(word), "{word} is not in {}", because[0]);
        }
    }
}

#[test]
fn many_threads_share_one_handle_and_one_connection() {
    const THREADS: u32 = 16;
    const KEYS: u32 = 50;
    let folder = folder();
    let sock = folder.path().join("s");
    let master = serve(&sock, ["--log", "info"]);
    let store = connect(&sock);
    store.ping().unwrap();
    let fds = open_fds(master.pid());
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let store = store.clone();
            scope.spawn(move || {
                for key in 0..KEYS {
                    let (key, value) = (format!("{thread}:{key}"), format!("{key}:{thread}"));
                    store.set(&key, &value).unwrap();
                    let found = store.get(&key).unwrap().unwrap();
                    assert_eq!(found.value, value.as_bytes(), "the reply of another thread");
                    assert!(key != "0" || store.destroy(&key).unwrap());
                }
            });
        }
    });
    assert_eq!(open_fds(master.pid()), fds);
    assert_eq!(store.length().unwrap(), u64::from(THREADS * KEYS));
}

#[test]
fn a_call_to_a_master_that_is_stopped_takes_its_timeout_and_the_handle_works_on() {
    let folder = folder();
    let sock = folder.path().join("s");
    let master = serve(&sock, ["--log", "info"]);
    let store = connect(&sock);
    store.set("foo", "bar").unwrap();
    let hasty = store.with_timeout(Duration::from_millis(100));
    master.signal(Signal::SIGSTOP);
    let started = Instant::now();
    let error = hasty.get("foo").unwrap_err();
    let took = started.elapsed();
    assert!(
        matches!(
            error,
            Error::Timeout {
                operation: "get",
                ..
            }
        ),
        "{error:?}"
    );
    assert!(
        took >= Duration::from_millis(100) && took < Duration::from_secs(5),
        "{took:?}"
    );
    let error = hasty.set("late", "but done").unwrap_err();
    assert!(
        matches!(
            error,
            Error::Timeout {
                operation: "set",
                ..
            }
        ),
        "{error:?}"
    );
    let patient = thread::spawn({
        let store = store.clone();
        move || store.get("foo")
    });
    let ended = end(memstore(["ping", "--timeout", "100ms", "--sock"]).arg(&sock));
    ended.with(69, &["no reply within"]);
    master.signal(Signal::SIGCONT);
    assert_eq!(patient.join().unwrap().unwrap().unwrap().value, b"bar");
    assert_eq!(
        hasty
            .with_timeout(common::PATIENCE)
            .get("foo")
            .unwrap()
            .unwrap()
            .value,
        b"bar"
    );
    // What timed out was asked all the same.
    eventually("the late write is done", || store.get("late").unwrap());
}

#[test]
fn options_that_exclude_each_other_are_refused() {
    let folder = folder();
    let contradictory = Options {
        serve: true,
        standalone: Standalone::Always,
        ..options(&folder.path().join("s"))
    };
    let error = contradictory.create().unwrap_err();
    assert!(matches!(error, Error::Config(_)), "{error:?}");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
}
