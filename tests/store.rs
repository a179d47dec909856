//! The commands that ask a master, as scripts use them: values in, values out, exit codes.

#![cfg(all(feature = "cli", target_os = "linux"))]
#![allow(clippy::unwrap_used, reason = "helpers may panic as the tests do")]

mod common;

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use common::ended::{Ended, end, end_with_input};
use common::parts::serve;
use common::{Running, connect, eventually, folder, memstore};
use memstore_cluster::{SetOptions, Store};
use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

/// A master and its command line.
struct Scene {
    _folder: TempDir,
    sock: PathBuf,
    master: Running,
}

impl Scene {
    fn new() -> Self {
        Self::with(&[])
    }

    fn with(flags: &[&str]) -> Self {
        let folder = folder();
        let sock = folder.path().join("s");
        Self {
            master: serve(&sock, flags),
            sock,
            _folder: folder,
        }
    }

    /// The command, which finds the master by its environment.
    fn command<I: AsRef<OsStr>>(&self, line: impl IntoIterator<Item = I>) -> Command {
        let mut command = memstore(line);
        command.env("MEMSTORE_SOCK", &self.sock);
        command
    }

    fn run(&self, line: &[&str]) -> Ended {
        end(&mut self.command(line))
    }

    /// What the command writes, where it succeeds.
    fn says(&self, line: &[&str]) -> String {
        self.run(line).with(0, &[]).text().to_owned()
    }

    fn store(&self) -> Store {
        connect(&self.sock)
    }

    fn all(&self) -> Vec<Value> {
        let text = self.says(&["all"]);
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

#[test]
fn an_entry_is_written_read_and_removed() {
    let scene = Scene::new();
    assert_eq!(scene.says(&["ping"]), "PONG\n");
    assert_eq!(scene.says(&["set", "greeting", "hello"]), "1\n");
    assert_eq!(scene.says(&["get", "greeting"]), "hello");
    assert_eq!(scene.says(&["set", "greeting", "-1"]), "2\n");
    assert_eq!(scene.says(&["get", "greeting"]), "-1");
    assert_eq!(scene.says(&["length"]), "1\n");
    assert_eq!(scene.says(&["destroy", "greeting"]), "");
    for line in [
        &["get", "greeting"][..],
        &["destroy", "greeting"],
        &["touch", "greeting", "--ttl", "1h"],
    ] {
        let ended = scene.run(line).with(1, &[]);
        assert_eq!((ended.text(), ended.stderr.as_str()), ("", ""), "{line:?}");
    }
    scene.says(&["set", "a", ""]);
    assert_eq!(scene.says(&["get", "a"]), "", "an empty value is one");
    scene.says(&["set", "b", "2"]);
    assert_eq!(scene.says(&["clear"]), "");
    assert_eq!(scene.says(&["length"]), "0\n");
    assert_eq!(scene.says(&["all"]), "");
}

#[test]
fn keys_and_values_are_bytes() {
    let scene = Scene::new();
    let key = OsString::from_vec(vec![0xff, b' ', 0x01, b'\n']);
    let value: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let set = scene.command([OsStr::new("set"), &key]);
    end_with_input(&mut { set }, &value).with(0, &[]);
    let got = end(&mut scene.command([OsStr::new("get"), &key])).with(0, &[]);
    assert_eq!(got.stdout, value);

    // A value by argument may be no text either, and begin like a flag after two dashes.
    let raw = OsString::from_vec(vec![b'-', 0xfe]);
    let line = [OsStr::new("set"), OsStr::new("--"), &key, &raw];
    end(&mut scene.command(line)).with(0, &[]);
    let entry = scene.store().get(key.clone().into_vec()).unwrap().unwrap();
    assert_eq!(entry.value, [b'-', 0xfe]);

    let lines = scene.all();
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["key_hex"], "ff20010a");
    assert_eq!(lines[0]["value_hex"], "2dfe");
    scene.says(&["clear"]);
    scene.says(&["set", "sess:1", "{\"a\": \"ü\n\"}", "--ttl", "1h"]);
    let lines = scene.all();
    assert_eq!(
        (&lines[0]["key"], &lines[0]["value"]),
        (&"sess:1".into(), &"{\"a\": \"ü\n\"}".into())
    );
    let ttl = lines[0]["ttl_ms"].as_u64().unwrap();
    assert!(ttl > 3_500_000 && ttl <= 3_600_000, "{ttl}");
}

#[test]
fn a_value_from_a_closed_standard_input_is_empty() {
    let scene = Scene::new();
    let mut command = Command::new("sh");
    command
        .args(["-c", "exec \"$0\" set foo <&-"])
        .arg(common::binary());
    end(command.env("MEMSTORE_SOCK", &scene.sock)).with(0, &[]);
    assert_eq!(scene.says(&["get", "foo"]), "");
}

#[test]
fn conditions_are_kept_and_told_with_1() {
    let scene = Scene::new();
    scene
        .run(&["set", "foo", "1", "--xx"])
        .with(1, &["not written", "no live entry"]);
    let first = scene.says(&["set", "foo", "1", "--nx"]);
    scene
        .run(&["set", "foo", "2", "--nx"])
        .with(1, &["the key holds version 1"]);
    let second = scene.says(&["set", "foo", "2", "--xx"]);
    assert!(first.trim().parse::<u64>().unwrap() < second.trim().parse().unwrap());
    scene
        .run(&["set", "foo", "3", "--if-seq", first.trim()])
        .with(1, &["the key holds version 2"]);
    scene.says(&["set", "foo", "3", "--if-seq", second.trim()]);
    assert_eq!(scene.says(&["get", "foo"]), "3");
    scene
        .run(&["set", "foo", "3", "--if-seq", "0"])
        .with(2, &["--if-seq"]);
    scene
        .run(&["set", "foo", "3", "--nx", "--xx"])
        .with(2, &["cannot be used with"]);
}

#[test]
fn what_has_expired_is_never_shown() {
    let scene = Scene::new();
    scene.says(&["set", "stays", "1"]);
    scene.says(&["set", "goes", "1", "--ttl", "30ms"]);
    let is_gone = |key: &str| scene.run(&["get", key]).code == Some(1);
    eventually("the entry expires", || is_gone("goes").then_some(()));
    assert_eq!(scene.says(&["length"]), "1\n");
    assert_eq!(scene.all().len(), 1);
    scene.run(&["touch", "goes", "--ttl", "1h"]).with(1, &[]);
    scene.run(&["destroy", "goes"]).with(1, &[]);
    scene.run(&["set", "goes", "2", "--xx"]).with(1, &[]);
    assert!(is_gone("goes"));

    // The deadline is moved, kept and lifted.
    scene.says(&["touch", "stays", "--ttl", "1h"]);
    let ttl = || scene.store().get("stays").unwrap().unwrap().ttl;
    assert!(ttl().unwrap() > Duration::from_secs(3_500));
    scene.says(&["set", "stays", "2", "--keep-ttl"]);
    assert!(ttl().unwrap() > Duration::from_secs(3_500));
    scene.says(&["touch", "stays", "--no-expiry"]);
    assert_eq!(ttl(), None);
    scene.says(&["touch", "stays", "--ttl", "1ms"]);
    eventually("the entry expires", || is_gone("stays").then_some(()));
}

#[test]
fn all_streams_every_entry_while_others_write() {
    const ENTRIES: usize = 5_000;
    let scene = Scene::new();
    let store = scene.store();
    for number in 0..ENTRIES {
        store.set(format!("old:{number}"), [b'x'; 100]).unwrap();
    }
    let is_over = AtomicBool::new(false);
    let lines = thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0u64.. {
                if is_over.load(Ordering::Relaxed) {
                    break;
                }
                let soon = SetOptions::new().ttl(Duration::from_millis(1));
                store.set_with(format!("soon:{number}"), "", soon).unwrap();
                store
                    .set(format!("new:{}", number % 500), number.to_string())
                    .unwrap();
                store
                    .destroy(format!("new:{}", (number + 250) % 500))
                    .unwrap();
            }
        });
        let lines = scene.all();
        is_over.store(true, Ordering::Relaxed);
        lines
    });
    let keys: Vec<_> = lines
        .iter()
        .map(|line| line["key"].as_str().unwrap())
        .collect();
    let old: Vec<_> = keys.iter().filter(|key| key.starts_with("old:")).collect();
    assert_eq!(old.len(), ENTRIES, "each exactly once");
    assert_eq!(old.iter().collect::<BTreeSet<_>>().len(), ENTRIES);
    assert!(
        lines.iter().all(|line| line["ttl_ms"] != 0),
        "an expired one"
    );
}

#[test]
fn a_reader_that_has_enough_ends_all_and_nothing_is_said() {
    let scene = Scene::new();
    let store = scene.store();
    for number in 0..2_000 {
        store.set(number.to_string(), [b'x'; 1_000]).unwrap();
    }
    let mut all = scene
        .command(["all"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut reader = BufReader::new(all.stdout.take().unwrap());
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    serde_json::from_str::<Value>(&line).unwrap();
    drop(reader);
    let mut said = String::new();
    all.stderr
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    assert_eq!((all.wait().unwrap().code(), said.as_str()), (Some(0), ""));
}

#[test]
fn all_takes_no_more_memory_than_a_page() {
    let scene = Scene::new();
    let store = scene.store();
    for number in 0..400 {
        store.set(number.to_string(), vec![b'x'; 100_000]).unwrap();
    }
    let mut all = scene
        .command(["all"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(all.stdout.take().unwrap()).lines();
    assert_eq!(lines.by_ref().take(399).count(), 399);
    // It is not at its end: a line is larger than a pipe.
    let status = fs::read_to_string(format!("/proc/{}/status", all.id())).unwrap();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < 25_000, "{peak} KiB for 40,000,000 bytes of values");
    assert_eq!(lines.count(), 1);
    assert_eq!(all.wait().unwrap().code(), Some(0));
}

#[test]
fn what_is_too_large_is_refused_with_the_numbers() {
    let scene = Scene::with(&["--max-key", "8", "--max-value", "1KiB"]);
    scene
        .run(&["set", "ninebytes", "x"])
        .with(1, &["9 bytes", "at most 8 ", "--max-key"]);
    scene
        .run(&["get", "ninebytes"])
        .with(1, &["9 bytes", "at most 8 ", "--max-key"]);
    let sentence = ["1025 bytes", "at most 1024 ", "--max-value"];
    scene
        .run(&["set", "key", &"x".repeat(1025)])
        .with(1, &sentence);
    let mut set = scene.command(["set", "key"]);
    end_with_input(&mut set, &[7; 1025]).with(1, &sentence);
    scene.says(&["set", "eight ok", &"x".repeat(1024)]);
    // Far above what a frame may be.
    end_with_input(&mut set, &vec![7; 20 << 20]).with(1, &["20971520 bytes"]);
    assert_eq!(scene.says(&["length"]), "1\n");
}

#[test]
fn the_flag_goes_before_the_environment_and_nobody_there_is_69() {
    let scene = Scene::new();
    let nowhere = scene.sock.with_file_name("nowhere");
    let sentence = ["no master answers at", "nowhere", "No such file"];
    for line in [
        &["ping"][..],
        &["get", "k"],
        &["set", "k", "v"],
        &["all"],
        &["length"],
    ] {
        let mut command = scene.command(line);
        end(command.arg("--sock").arg(&nowhere)).with(69, &sentence);
    }
    let mut from_environment = memstore(["ping"]);
    end(from_environment.env("MEMSTORE_SOCK", &nowhere)).with(69, &sentence);
    end(from_environment.arg("--sock").arg(&scene.sock)).with(0, &[]);
}

#[test]
fn the_default_socket_is_found_by_name() {
    let runtime = folder();
    let started = |name: &str| {
        let mut command = memstore(["serve", "--name", name]);
        let master = Running::start(command.env("XDG_RUNTIME_DIR", runtime.path()));
        master.stderr().until_contains(" serving ");
        master
    };
    let _masters = [started("one"), started("other")];
    let run = |line: &[&str]| end(memstore(line).env("XDG_RUNTIME_DIR", runtime.path()));
    run(&["set", "k", "of one", "--name", "one"]).with(0, &[]);
    run(&["get", "k", "--name", "other"]).with(1, &[]);
    assert_eq!(
        run(&["get", "k", "--name", "one"]).with(0, &[]).text(),
        "of one"
    );
    run(&["get", "k"]).with(69, &["memstore-cluster/default.sock"]);
}

#[test]
fn a_master_that_ended_leaves_no_socket_and_its_clients_69() {
    let mut scene = Scene::new();
    scene.says(&["set", "k", "v"]);
    scene.master.signal(Signal::SIGTERM);
    assert_eq!(scene.master.wait().code(), Some(0));
    assert!(!scene.sock.exists());
    scene.run(&["get", "k"]).with(69, &["no master answers at"]);

    let mut stale = Scene::new();
    stale.master.signal(Signal::SIGKILL);
    stale.master.wait();
    assert!(stale.sock.exists());
    stale
        .run(&["get", "k"])
        .with(69, &["no master answers at", "refused"]);
}

#[test]
fn a_master_that_stops_answering_is_69_after_the_timeout() {
    let scene = Scene::new();
    scene.master.signal(Signal::SIGSTOP);
    scene
        .run(&["get", "k", "--timeout", "50ms"])
        .with(69, &["no reply within"]);
    scene.master.signal(Signal::SIGCONT);
    scene.says(&["ping"]);
}

#[test]
fn writers_by_command_line_lose_nothing() {
    const WRITERS: usize = 8;
    let scene = Scene::new();
    let add_one = || loop {
        let found = scene.store().get("count").unwrap();
        let (count, condition) = match found {
            Some(entry) => {
                let count: usize = String::from_utf8(entry.value).unwrap().parse().unwrap();
                (count, vec!["--if-seq".to_owned(), entry.seq.to_string()])
            }
            None => (0, vec!["--nx".to_owned()]),
        };
        let mut command = scene.command(["set", "count"]);
        let ended = end(command.arg((count + 1).to_string()).args(condition));
        match ended.code {
            Some(0) => return,
            Some(1) => assert!(ended.stderr.contains("was not written"), "{ended:?}"),
            _ => panic!("{ended:?}"),
        }
    };
    thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(add_one);
        }
    });
    assert_eq!(scene.says(&["get", "count"]), WRITERS.to_string());
}
