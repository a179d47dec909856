//! The path socket: its permissions from the first moment, who is let in, and where it may be.

#![cfg(all(feature = "cli", target_os = "linux"))]
#![allow(clippy::unwrap_used, reason = "helpers may panic as the tests do")]

mod common;

use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use common::ended::end;
use common::parts::serve;
use common::{Running, binary, clean, connect, folder, memstore};
use memstore_cluster::{Error, Options, Store};
use nix::sys::signal::Signal;
use nix::unistd::geteuid;
use tempfile::TempDir;

/// Users that nobody is.
const ONE: u32 = 4_711;
const OTHER: u32 = 4_712;
const QUIET: [&str; 2] = ["--log", "info"];

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

fn serving(sock: &Path) -> Result<Store, Error> {
    Options {
        sock: Some(sock.to_owned()),
        serve: true,
        ..Options::default()
    }
    .create()
}

/// Looks at everything in `folder` once, and counts the socket if it is there.
fn look(folder: &Path, sightings: &AtomicU32) {
    for entry in fs::read_dir(folder).unwrap().map_while(Result::ok) {
        // What is gone by now was seen in another look.
        let Ok(is) = fs::symlink_metadata(entry.path()) else {
            continue;
        };
        let (kind, name) = (is.file_type(), entry.path());
        assert_eq!(
            is.mode() & 0o077,
            0,
            "{} is open: {:o}",
            name.display(),
            is.mode()
        );
        if kind.is_socket() {
            assert_eq!(is.mode() & 0o777, 0o600);
            sightings.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[test]
fn the_socket_is_private_and_listens_from_the_first_moment() {
    const STARTS: usize = 30;
    let folder = folder();
    let sock = folder.path().join("s");
    let (is_over, sightings) = (AtomicBool::new(false), AtomicU32::new(0));
    // Odd while one is ending.
    let masters_ends = AtomicU32::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                look(folder.path(), &sightings);
            }
        });
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                let ends = masters_ends.load(Ordering::SeqCst);
                let is_there = sock.exists();
                let attempt = UnixStream::connect(&sock);
                let is_ending = ends % 2 == 1 || masters_ends.load(Ordering::SeqCst) != ends;
                assert!(
                    !is_there || is_ending || attempt.is_ok(),
                    "nobody listens: {attempt:?}"
                );
            }
        });
        for _ in 0..STARTS {
            let seen = sightings.load(Ordering::Relaxed);
            let master = serving(&sock).unwrap();
            common::eventually("the watcher has seen it", || {
                (sightings.load(Ordering::Relaxed) > seen).then_some(())
            });
            masters_ends.fetch_add(1, Ordering::SeqCst);
            drop(master);
            masters_ends.fetch_add(1, Ordering::SeqCst);
        }
        is_over.store(true, Ordering::Relaxed);
    });
}

#[test]
fn the_default_directory_is_private_whatever_the_umask() {
    for base in ["XDG_RUNTIME_DIR", "TMPDIR"] {
        let folder = folder();
        let mut command = clean("sh");
        command
            .args(["-c", "umask 000; exec \"$0\" serve"])
            .arg(binary());
        command
            .env_remove("XDG_RUNTIME_DIR")
            .env(base, folder.path());
        let master = Running::start(&mut command);
        master.stderr().until_contains(" serving ");
        let directory = match base {
            "TMPDIR" => folder
                .path()
                .join(format!("memstore-cluster-{}", geteuid())),
            _ => folder.path().join("memstore-cluster"),
        };
        assert_eq!(mode(&directory), 0o700);
        assert_eq!(mode(&directory.join("default.sock")), 0o600);
        assert_eq!(mode(&directory.join("default.sock.lock")), 0o600);
    }
}

#[test]
fn a_default_directory_that_somebody_prepared_gets_neither_master_nor_client() {
    let folder = folder();
    let directory = folder
        .path()
        .join(format!("memstore-cluster-{}", geteuid()));
    DirBuilder::new().mode(0o700).create(&directory).unwrap();
    set_mode(&directory, 0o777);
    let sock = directory.join("default.sock");
    let squatter = UnixListener::bind(&sock).unwrap();
    squatter.set_nonblocking(true).unwrap();
    let sentence = ["must be a directory of user", "closed to others", "0700"];
    for line in [
        &["serve"][..],
        &["set", "the key", "the value"],
        &["get", "the key"],
    ] {
        let mut command = memstore(line);
        command
            .env_remove("XDG_RUNTIME_DIR")
            .env("TMPDIR", folder.path());
        end(&mut command).with(78, &sentence);
        end(command.env("MEMSTORE_SOCK", &sock)).with(78, &sentence);
    }
    let nobody = squatter.accept().unwrap_err();
    assert_eq!(
        nobody.kind(),
        std::io::ErrorKind::WouldBlock,
        "a client came"
    );
}

#[test]
fn a_path_that_no_socket_can_have_is_told_so() {
    let folder = folder();
    let path = |len: usize| {
        let name = "x".repeat(len - folder.path().as_os_str().len() - 1);
        folder.path().join(name)
    };
    let serve = |path: &Path| end(memstore(["serve", "--sock"]).arg(path));
    let sentence = ["has 108 bytes", "at most 107", "shorter name"];
    serve(&path(108)).with(2, &sentence);
    end(memstore(["get", "k", "--sock"]).arg(path(108))).with(2, &sentence);
    end(memstore(["get", "k"]).env("MEMSTORE_SOCK", path(108))).with(78, &sentence);
    let error = serving(&path(108)).unwrap_err();
    assert!(
        matches!(&error, Error::Config(why) if why.contains("at most 107")),
        "{error}"
    );
    let _longest = serving(&path(107)).unwrap();
    connect(&path(107)).ping().unwrap();

    // The temporary name is longer than the socket's own here.
    let deep = path(105);
    fs::create_dir(&deep).unwrap();
    let sentence = ["too long", "needs 115 bytes", "at most 107"];
    serve(&deep.join("s")).with(78, &sentence);
}

#[test]
fn what_stands_at_the_path_and_is_no_socket_is_left_alone() {
    let folder = folder();
    let path = folder.path().join("precious");
    fs::write(&path, "data").unwrap();
    let sentence = ["exists and is no socket", "left untouched"];
    end(memstore(["serve", "--sock"]).arg(&path)).with(78, &sentence);
    let mut run = memstore(["run", "--workers", "1", "--sock"]);
    end(run.arg(&path).args(["--", "sleep", "60"])).with(78, &sentence);
    end(memstore(["get", "k", "--sock"]).arg(&path)).with(69, &["no master answers"]);
    assert_eq!(fs::read(&path).unwrap(), b"data");
    end(memstore(["serve", "--sock"]).arg(folder.path())).with(78, &sentence);

    let foreign = folder.path().join("foreign");
    let other_program = UnixListener::bind(&foreign).unwrap();
    end(memstore(["serve", "--sock"]).arg(&foreign)).with(78, &["another program listens"]);
    UnixStream::connect(&foreign).unwrap();
    drop(other_program);
}

#[test]
fn a_directory_that_is_not_there_or_open_to_everybody_is_told_so() {
    let folder = folder();
    let missing = folder.path().join("missing");
    let serve = |folder: &Path| end(memstore(["serve", "--sock"]).arg(folder.join("s")));
    serve(&missing).with(78, &["missing is no directory; create it"]);
    let open = folder.path().join("open");
    fs::create_dir(&open).unwrap();
    set_mode(&open, 0o777);
    serve(&open).with(78, &["can be written to by everybody", "chmod o-w"]);
    set_mode(&open, 0o1777);
    let _sticky = serving(&open.join("s")).unwrap();
}

/// A folder that every user may enter, with a copy of the binary that every user may run.
struct Commons {
    folder: TempDir,
    binary: PathBuf,
}

impl Commons {
    fn new() -> Self {
        let folder = folder();
        set_mode(folder.path(), 0o755);
        let copy = folder.path().join("memstore-cluster");
        // By another process: a program that this one has open for writing, and what its other
        // threads start meanwhile, cannot be executed (ETXTBSY).
        let copied = Command::new("cp").arg(binary()).arg(&copy).status();
        assert!(copied.unwrap().success());
        set_mode(&copy, 0o755);
        Self {
            binary: copy,
            folder,
        }
    }

    fn sock(&self) -> PathBuf {
        self.folder.path().join("s")
    }

    /// The command as another user; as this one without root's rights.
    fn as_user(&self, uid: u32, line: &[&str]) -> Command {
        let mut command = clean(&self.binary);
        command.args(line).arg("--sock").arg(self.sock());
        if geteuid().is_root() {
            command.uid(uid).gid(uid);
        }
        command
    }
}

#[test]
fn a_directory_that_cannot_be_written_to_is_named() {
    let commons = Commons::new();
    set_mode(commons.folder.path(), 0o555);
    let mut serve = commons.as_user(ONE, &["serve"]);
    let lock = commons.folder.path().join("s.lock");
    let sentence = format!(
        "cannot open the lock file {}: Permission denied",
        lock.display()
    );
    end(&mut serve).with(1, &[&sentence]);
    set_mode(commons.folder.path(), 0o755);
}

#[test]
fn another_user_is_refused_and_one_who_is_named_gets_in() {
    if !geteuid().is_root() {
        return common::skipped("only root can be several users");
    }
    let commons = Commons::new();
    let sock = commons.sock();
    let ping = |uid: u32| end(&mut commons.as_user(uid, &["ping", "--timeout", "2s"]));
    let private = serve(&sock, QUIET);
    assert_eq!(mode(&sock), 0o600);
    ping(ONE).with(69, &["no master answers at", "Permission denied"]);
    // Also where the permissions do not keep them out.
    set_mode(&sock, 0o666);
    for _ in 0..20 {
        let sentence = "processes of user 4711 may not connect (--allow-uid)";
        ping(ONE).with(1, &["authentication failed", sentence]);
    }
    ping(0).with(0, &[]);
    drop(private);

    let _named = serve(&sock, ["--allow-uid", "4711"]);
    assert_eq!(mode(&sock), 0o666);
    ping(ONE).with(0, &[]);
    ping(0).with(0, &[]);
    ping(OTHER).with(1, &["processes of user 4712 may not connect"]);
    let mut set = commons.as_user(ONE, &["set", "foo", "bar"]);
    end(&mut set).with(0, &[]);
    assert!(connect(&sock).get("foo").unwrap().is_some());
}

#[test]
fn root_gets_in_at_another_users_master() {
    if !geteuid().is_root() {
        return common::skipped("only root can be several users");
    }
    let commons = Commons::new();
    let home = commons.folder.path().join("home");
    fs::create_dir(&home).unwrap();
    std::os::unix::fs::chown(&home, Some(ONE), Some(ONE)).unwrap();
    let sock = home.join("s");
    let mut command = clean(&commons.binary);
    command
        .args(["serve", "--sock"])
        .arg(&sock)
        .uid(ONE)
        .gid(ONE);
    let master = Running::start(&mut command);
    master.stderr().until_contains(" serving ");
    assert_eq!(fs::metadata(&sock).unwrap().uid(), ONE);
    connect(&sock).ping().unwrap();
    // Its lock belongs to that user, who could hold it against us.
    master.signal(Signal::SIGTERM);
    common::eventually("the master ends", || (!sock.exists()).then_some(()));
    let error = serving(&sock).unwrap_err().to_string();
    assert!(error.contains("belongs to user 4711"), "{error}");
}

#[test]
fn named_users_who_cannot_enter_the_directory_are_a_warning() {
    let folder = folder();
    set_mode(folder.path(), 0o700);
    let sock = folder.path().join("s");
    let master = serve(&sock, ["--allow-uid", "4711"]);
    master
        .stderr()
        .until_contains("cannot enter the socket's directory");
}

#[test]
fn a_master_that_is_full_says_so_and_takes_who_waits() {
    let folder = folder();
    let sock = folder.path().join("s");
    let _master = serve(&sock, ["--max-clients", "2"]);
    let clients = [connect(&sock), connect(&sock)];
    let sentence = "the master has as many connections as it takes (--max-clients)";
    for _ in 0..20 {
        end(memstore(["ping", "--sock"]).arg(&sock)).with(69, &[sentence]);
    }
    let hasty = Options {
        sock: Some(sock.clone()),
        connect: true,
        patience: Duration::from_millis(50),
        ..Options::default()
    };
    let error = hasty.create().unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    thread::scope(|scope| {
        let waiting = scope.spawn(|| connect(&sock));
        drop(clients);
        waiting.join().unwrap().ping().unwrap();
    });
}
