//! The shared secret of a path socket: who knows it gets in, who does not learns nothing.

#![cfg(all(feature = "cli", target_os = "linux"))]
#![allow(clippy::unwrap_used, reason = "helpers may panic as the tests do")]

mod common;

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::thread;

use common::ended::{Ended, end};
use common::parts::serve;
use common::proxy::Proxy;
use common::{Running, folder, memstore};
use memstore_cluster::contract::Capabilities;
use memstore_cluster::protocol::message::Welcome;
use memstore_cluster::protocol::{Op, Reply, codec, frame};
use memstore_cluster::{Error, Options, Secret, Store, read_secret};
use tempfile::TempDir;

const SECRET: &str = "correct horse battery staple";

/// A master with a secret, and files with this one and another.
struct Scene {
    folder: TempDir,
    sock: PathBuf,
    right: PathBuf,
    wrong: PathBuf,
    _master: Running,
}

impl Scene {
    fn new() -> Self {
        let folder = folder();
        let sock = folder.path().join("s");
        let right = file(folder.path(), "right", SECRET, 0o600);
        let wrong = file(folder.path(), "wrong", "incorrect horse battery", 0o600);
        let master = serve(&sock, ["--secret-file".as_ref(), right.as_os_str()]);
        Self {
            sock,
            right,
            wrong,
            _master: master,
            folder,
        }
    }

    fn run(&self, line: &[&str], secret: Option<&Path>) -> Ended {
        run(&self.sock, line, secret)
    }
}

fn file(folder: &Path, name: &str, secret: &str, mode: u32) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, format!("{secret}\n")).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    path
}

fn run(sock: &Path, line: &[&str], secret: Option<&Path>) -> Ended {
    let mut command = memstore(line);
    command.arg("--sock").arg(sock);
    if let Some(secret) = secret {
        command.arg("--secret-file").arg(secret);
    }
    end(&mut command)
}

fn connecting(sock: &Path, secret: Option<&str>) -> Result<Store, Error> {
    Options {
        sock: Some(sock.to_owned()),
        connect: true,
        secret: secret.map(|secret| Secret::new(secret).unwrap()),
        ..Options::default()
    }
    .create()
}

fn is_unauthenticated<T: std::fmt::Debug>(result: Result<T, Error>, words: &str) {
    let error = result.unwrap_err();
    assert!(matches!(error, Error::Authentication(_)), "{error:?}");
    assert!(error.to_string().contains(words), "{error}");
}

#[test]
fn who_knows_the_secret_gets_in() {
    let scene = Scene::new();
    scene
        .run(&["set", "foo", "bar"], Some(&scene.right))
        .with(0, &[]);
    let got = scene.run(&["get", "foo"], Some(&scene.right)).with(0, &[]);
    assert_eq!(got.text(), "bar");
    let by_variable = memstore(["ping", "--sock"])
        .arg(&scene.sock)
        .env("MEMSTORE_SECRET_FILE", &scene.right)
        .output();
    assert_eq!(by_variable.unwrap().stdout, b"PONG\n");
    let store = connecting(&scene.sock, Some(SECRET)).unwrap();
    assert_eq!(store.get("foo").unwrap().unwrap().value, b"bar");
    let read = Options {
        sock: Some(scene.sock.clone()),
        connect: true,
        secret: Some(read_secret(&scene.right).unwrap()),
        ..Options::default()
    };
    read.create().unwrap().ping().unwrap();
}

#[test]
fn who_does_not_is_refused_at_once_and_told_why() {
    let scene = Scene::new();
    let wrong = "the secret is not the master's";
    let none = "the master asks for a secret and none is configured";
    is_unauthenticated(
        connecting(&scene.sock, Some("incorrect horse battery")),
        wrong,
    );
    is_unauthenticated(connecting(&scene.sock, None), none);
    scene
        .run(&["clear"], Some(&scene.wrong))
        .with(1, &["authentication failed", wrong]);
    scene
        .run(&["clear"], None)
        .with(1, &["authentication failed", none]);
    scene.run(&["length"], Some(&scene.right)).with(0, &[]);
}

#[test]
fn who_has_a_secret_refuses_a_master_that_has_none() {
    let folder = folder();
    let sock = folder.path().join("s");
    let _master = serve(&sock, ["--log", "info"]);
    let unproven = "the master did not prove that it knows the secret";
    is_unauthenticated(connecting(&sock, Some(SECRET)), unproven);
    let secret = file(folder.path(), "secret", SECRET, 0o600);
    run(&sock, &["set", "foo", "bar"], Some(&secret)).with(1, &[unproven]);
    let length = run(&sock, &["length"], None).with(0, &[]);
    assert_eq!(length.text(), "0\n");
}

#[test]
fn a_file_that_is_no_secret_is_a_matter_of_configuration() {
    let scene = Scene::new();
    let file = |name, secret, mode| file(scene.folder.path(), name, secret, mode);
    let open = file("open", SECRET, 0o640);
    let hint = format!("chmod 600 {}", open.display());
    let missing = scene.folder.path().join("missing");
    for (secret, words) in [
        (&open, ["(mode 640)", hint.as_str()]),
        (&file("short", "short", 0o600), ["5 bytes", "at least 16"]),
        (&missing, ["cannot read the secret in", "No such file"]),
    ] {
        scene.run(&["ping"], Some(secret)).with(78, &words);
        let elsewhere = scene.folder.path().join("elsewhere");
        for line in [&["serve"][..], &["run", "--workers", "1"]] {
            let mut command = memstore(line);
            command
                .arg("--sock")
                .arg(&elsewhere)
                .arg("--secret-file")
                .arg(secret);
            if line[0] == "run" {
                command.args(["--", "sleep", "60"]);
            }
            end(&mut command).with(78, &words);
            assert!(!elsewhere.exists(), "nothing was started");
        }
    }
}

#[test]
fn the_secret_is_never_on_the_wire_nor_in_the_log() {
    let scene = Scene::new();
    let path = scene.folder.path().join("proxy");
    let proxy = Proxy::start(&path, &scene.sock);
    run(&path, &["set", "the key", "the value"], Some(&scene.right)).with(0, &[]);
    run(&path, &["ping"], Some(&scene.wrong)).with(1, &[]);
    let seen = proxy.seen();
    let has = |words: &[u8]| seen.windows(words.len()).any(|window| window == words);
    assert!(
        has(b"the key") && has(b"the value"),
        "the proxy did not record"
    );
    for secret in [SECRET, "incorrect horse battery"] {
        for part in secret.as_bytes().windows(6) {
            assert!(!has(part), "{:?} was sent", String::from_utf8_lossy(part));
        }
    }

    let sock = scene.folder.path().join("talkative");
    let flags = [
        "--log",
        "trace",
        "--secret-file",
        scene.right.to_str().unwrap(),
    ];
    let master = serve(&sock, flags);
    run(&sock, &["set", "the key", "the value"], Some(&scene.right)).with(0, &[]);
    for line in master.stderr().so_far() {
        assert!(!line.contains("horse"), "{line}");
    }
}

/// What it says to each request, while it says something.
type Answers = fn(Op) -> Option<Reply<'static>>;

/// Sits at the path for one connection, and gives what it was told.
fn squat(sock: &Path, answers: Answers) -> thread::JoinHandle<Vec<u8>> {
    let listener = UnixListener::bind(sock).unwrap();
    thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let (mut seen, mut read, mut chunk) = (Vec::new(), 0, [0; 4096]);
        while let Ok(more @ 1..) = client.read(&mut chunk) {
            seen.extend_from_slice(&chunk[..more]);
            while let Some(frame) = frame::split(&seen[read..], 1 << 20).unwrap() {
                let op = Op::from_code(frame.header.code).unwrap();
                let mut reply = Vec::new();
                if let Some(answer) = answers(op) {
                    codec::write_reply(&mut reply, frame.header.id, &answer);
                }
                read += frame.wire_len();
                client.write_all(&reply).unwrap();
            }
        }
        seen
    })
}

/// Of the requests in these bytes.
fn ops(mut bytes: &[u8]) -> Vec<Op> {
    let mut ops = Vec::new();
    while let Some(frame) = frame::split(bytes, 1 << 20).unwrap() {
        ops.push(Op::from_code(frame.header.code).unwrap());
        bytes = &bytes[frame.wire_len()..];
    }
    assert_eq!(bytes, b"", "the end of it is no frame");
    ops
}

fn welcome(proof: Option<[u8; 32]>) -> Reply<'static> {
    Reply::Welcome(Welcome {
        version: frame::VERSION,
        capabilities: Capabilities::BASIC,
        max_key: 1 << 10,
        max_value: 1 << 10,
        max_body: 1 << 12,
        slot: None,
        workers: 0,
        generation: 0,
        pid: 1,
        proof,
    })
}

#[test]
fn a_squatter_learns_nothing() {
    const CHALLENGE: Reply<'static> = Reply::Challenge { nonce: [7; 32] };
    let welcoming: Answers = |_| Some(welcome(None));
    let lying: Answers = |_| Some(welcome(Some([9; 32])));
    let challenging: Answers = |op| match op {
        Op::Hello => Some(CHALLENGE),
        _ => Some(welcome(Some([9; 32]))),
    };
    let curious: Answers = |_| Some(CHALLENGE);
    let (hello, proof) = (vec![Op::Hello], vec![Op::Hello, Op::Auth]);
    for (answers, told, words) in [
        (welcoming, &hello, "did not prove"),
        (lying, &hello, "did not prove"),
        (challenging, &proof, "did not prove"),
        (curious, &proof, "second proof"),
    ] {
        let folder = folder();
        let sock = folder.path().join("s");
        let secret = file(folder.path(), "secret", SECRET, 0o600);
        let squatter = squat(&sock, answers);
        run(&sock, &["set", "the key", "the value"], Some(&secret)).with(1, &[words]);
        assert_eq!(ops(&squatter.join().unwrap()), *told);
    }
}

#[test]
fn a_client_without_a_secret_proves_nothing_to_whoever_asks() {
    let folder = folder();
    let sock = folder.path().join("s");
    let squatter = squat(&sock, |_| Some(Reply::Challenge { nonce: [7; 32] }));
    run(&sock, &["get", "the key"], None).with(1, &["none is configured"]);
    assert_eq!(ops(&squatter.join().unwrap()), [Op::Hello]);
}
