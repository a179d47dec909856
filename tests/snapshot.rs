//! `dump` and `load` against live masters.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, reason = "helpers may panic as the tests do")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use common::{Running, connect, folder, memstore, skipped};
use memstore_cluster::backend::MemoryBackend;
use memstore_cluster::{Options, SetOptions, Source, Store};

fn serve(sock: &Path) -> (Running, Store) {
    let mut command = memstore(["serve", "--sock"]);
    let master = Running::start(command.arg(sock));
    let store = connect(sock);
    (master, store)
}

/// A command to the master at `sock`; the words are split at spaces.
fn command(sock: &Path, words: &str) -> Command {
    let mut command = memstore(words.split(' '));
    command.arg("--sock").arg(sock).stdin(Stdio::null());
    command
}

fn end(command: &mut Command) -> (Option<i32>, Vec<u8>, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    (status.code(), stdout, String::from_utf8(stderr).unwrap())
}

fn dump(sock: &Path, format: &str) -> Vec<u8> {
    let words = format!("dump --format {format}");
    let (code, dump, told) = end(&mut command(sock, &words));
    assert_eq!((code, told.as_str()), (Some(0), ""));
    dump
}

/// Has `bytes` loaded from standard input; the code, and what was told.
fn load(sock: &Path, words: &str, bytes: &[u8]) -> (Option<i32>, String) {
    let folder = folder();
    let path = folder.path().join("input");
    fs::write(&path, bytes).unwrap();
    let (code, stdout, told) = end(command(sock, words).stdin(File::open(&path).unwrap()));
    assert_eq!(stdout, b"", "{told}");
    (code, told)
}

type Entries = BTreeMap<Vec<u8>, (Vec<u8>, Option<Duration>)>;

fn entries(store: &Store) -> Entries {
    let all = store.all().map(|item| {
        let (key, entry) = item.unwrap();
        (key, (entry.value, entry.ttl))
    });
    all.collect()
}

fn fill(store: &Store) {
    store.set(b"\xff\x00\n", b"\x89 no text \xfe").unwrap();
    store.set("", "the key is empty").unwrap();
    store.set("empty", "").unwrap();
    store.set("large", vec![0xa5; 5 << 20]).unwrap();
    store.set("\"text\"", "\u{1F600}\u{0}").unwrap();
    for n in 0..1_500 {
        let ttl = SetOptions::new().ttl(Duration::from_secs(1_000 + n));
        store
            .set_with(format!("sess:{n}"), n.to_string(), ttl)
            .unwrap();
    }
}

#[test]
fn what_is_dumped_from_one_master_is_loaded_into_another() {
    for format in ["binary", "jsonl"] {
        let folder = folder();
        let (from, to) = (folder.path().join("a.sock"), folder.path().join("b.sock"));
        let ((_one, source), (_other, target)) = (serve(&from), serve(&to));
        fill(&source);
        let whole = dump(&from, format);
        for _ in 0..2 {
            let (code, told) = load(&to, "load", &whole);
            assert_eq!(code, Some(0), "{told}");
            let expected = "memstore-cluster: 1505 loaded, 0 skipped as past their deadline\n";
            assert_eq!(told, expected);
        }
        let (source, target) = (entries(&source), entries(&target));
        assert_eq!(source.len(), target.len());
        for ((key, (value, ttl)), (other_key, (other_value, other_ttl))) in
            source.into_iter().zip(target)
        {
            assert_eq!(key, other_key, "{format}");
            assert!(value == other_value, "{format}: {key:?}");
            match (ttl, other_ttl) {
                (None, None) => {}
                (Some(ttl), Some(other)) => {
                    let apart = ttl.abs_diff(other);
                    assert!(apart < Duration::from_secs(5), "{format}: {apart:?}");
                }
                different => panic!("{format}: {key:?}: {different:?}"),
            }
        }
    }
}

#[test]
fn a_file_is_replaced_whole_and_is_for_its_owner_only() {
    let folder = folder();
    let sock = folder.path().join("m.sock");
    let (mut master, store) = serve(&sock);
    let path = folder.path().join("sessions.dump");
    let name = path.to_str().unwrap();
    assert_eq!(end(&mut command(&sock, &format!("dump {name}"))).0, Some(0));
    store.set("a", "1").unwrap();
    assert_eq!(end(&mut command(&sock, &format!("dump {name}"))).0, Some(0));
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let names: BTreeSet<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names.len(), 3, "{names:?}");

    master.signal(nix::sys::signal::Signal::SIGKILL);
    master.wait();
    let before = fs::read(&path).unwrap();
    let (code, _, told) = end(&mut command(&sock, &format!("dump {name}")));
    assert_eq!(code, Some(69), "{told}");
    assert_eq!(fs::read(&path).unwrap(), before);

    let (_master, store) = serve(&sock);
    assert_eq!(end(&mut command(&sock, &format!("load {name}"))).0, Some(0));
    assert_eq!(store.get("a").unwrap().unwrap().value, b"1");
    let (code, whole, _) = end(&mut command(&sock, "dump -"));
    assert_eq!((code, whole.len()), (Some(0), before.len()));
}

/// Tells the writer when it is dropped, also by a panic.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn what_is_there_all_along_is_in_a_dump_whatever_is_written_meanwhile() {
    const STAY: usize = 3_000;
    let folder = folder();
    let sock = folder.path().join("m.sock");
    let (_master, store) = serve(&sock);
    let key = |n| format!("stay:{n}");
    for n in 0..STAY {
        store.set(key(n), [b'v'; 100]).unwrap();
    }
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let store = connect(&sock);
            let mut written = 0_u64;
            while !is_over.load(Ordering::Relaxed) {
                let n = fastrand::usize(..STAY);
                store
                    .set(key(n), vec![b'w'; fastrand::usize(..2_000)])
                    .unwrap();
                store.set(format!("come:{written}"), "x").unwrap();
                store.destroy(format!("come:{}", written / 2)).unwrap();
                written += 1;
            }
            written
        });
        let over = Over(&is_over);
        for _ in 0..5 {
            let lines = String::from_utf8(dump(&sock, "jsonl")).unwrap();
            let keys: BTreeSet<String> = lines
                .lines()
                .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
                .map(|entry| entry["key"].as_str().unwrap().to_owned())
                .collect();
            let missing: Vec<_> = (0..STAY)
                .map(key)
                .filter(|key| !keys.contains(key))
                .collect();
            assert!(missing.is_empty(), "{missing:?}");
        }
        drop(over);
        assert!(writer.join().unwrap() > 0, "nothing was written meanwhile");
    });
}

#[test]
fn a_damaged_dump_is_loaded_up_to_the_damage_and_told_with_65() {
    let folder = folder();
    let (from, to) = (folder.path().join("a.sock"), folder.path().join("b.sock"));
    let ((_one, source), (_other, target)) = (serve(&from), serve(&to));
    for n in 0..2_000 {
        source.set(format!("k:{n:04}"), "value").unwrap();
    }
    let whole = dump(&from, "binary");
    // A header of 24 bytes, then 43 for each.
    let record = 28 + 6 + 5 + 4;
    assert_eq!(whole.len(), 24 + 2_000 * record + 28);
    let cut = 24 + 700 * record + 10;
    let mut changed = whole.clone();
    changed[cut] ^= 1;
    for (damaged, loaded, words) in [
        (&whole[..cut], 700, format!("found the end at byte {cut}")),
        (&changed, 700, "the checksum ".to_owned()),
        (
            &whole[..whole.len() - 28],
            2_000,
            "or the trailer".to_owned(),
        ),
        (&[], 0, "it is empty at byte 0".to_owned()),
        (b"{\"key\":", 0, "at byte 6".to_owned()),
        (
            b"nonsense",
            0,
            "a dump, binary or JSON Lines at byte 0".to_owned(),
        ),
    ] {
        target.clear().unwrap();
        let (code, told) = load(&to, "load", damaged);
        assert_eq!(code, Some(65), "{told}");
        assert!(
            told.starts_with(&format!("memstore-cluster: {loaded} loaded, ")),
            "{told}"
        );
        assert!(
            told.contains("standard input is damaged or no dump: expected "),
            "{told}"
        );
        assert!(told.contains(&words), "{words}: {told}");
        assert_eq!(target.length().unwrap(), loaded);
    }
    let (code, told) = load(&to, "load", &whole);
    assert_eq!(code, Some(0), "{told}");
    assert_eq!(target.length().unwrap(), 2_000);
}

#[test]
fn entries_past_their_deadline_and_those_that_are_there_can_be_skipped() {
    let folder = folder();
    let sock = folder.path().join("m.sock");
    let (_master, store) = serve(&sock);
    store.set("there", "new").unwrap();
    let lines = b"{\"key\":\"gone\",\"value\":\"\",\"expires_at_ms\":1000}\n\n\
                  {\"key\":\"there\",\"value\":\"old\",\"seq\":9}\n\
                  {\"key_hex\":\"6b\",\"value_hex\":\"00FF\"}\n";
    let (code, told) = load(&sock, "load --if-absent", lines);
    let expected = "memstore-cluster: 1 loaded, 1 skipped as past their deadline, 1 skipped as \
                    there already\n";
    assert_eq!((code, told.as_str()), (Some(0), expected));
    assert_eq!(store.get("there").unwrap().unwrap().value, b"new");
    assert_eq!(store.get("k").unwrap().unwrap().value, b"\x00\xff");
    assert_eq!(store.length().unwrap(), 2);
    let (_, told) = load(&sock, "load", lines);
    assert!(told.contains(" 2 loaded, 1 skipped"), "{told}");
    assert_eq!(store.get("there").unwrap().unwrap().value, b"old");
}

#[test]
fn what_all_prints_can_be_loaded() {
    let folder = folder();
    let sock = folder.path().join("m.sock");
    let (_master, store) = serve(&sock);
    let hour = SetOptions::new().ttl(Duration::from_secs(3_600));
    store.set_with("a", "1", hour).unwrap();
    let (_, lines, _) = end(&mut command(&sock, "all"));
    store.clear().unwrap();
    let (code, told) = load(&sock, "load", &lines);
    assert_eq!(code, Some(0), "{told}");
    let ttl = store.get("a").unwrap().unwrap().ttl.unwrap();
    assert!((3_500..=3_600).contains(&ttl.as_secs()), "{ttl:?}");
}

#[test]
fn a_store_that_is_full_is_told_with_what_was_done() {
    let folder = folder();
    let (from, to) = (folder.path().join("a.sock"), folder.path().join("b.sock"));
    let (_master, source) = serve(&from);
    for n in 0..2_000 {
        source.set(n.to_string(), [0; 10_000]).unwrap();
    }
    let small = Options {
        sock: Some(to.clone()),
        serve: true,
        store: Source::new(|| Ok(Box::new(MemoryBackend::new().max_memory(Some(8 << 20))))),
        ..Options::default()
    };
    let target = small.create().unwrap();
    let (code, told) = load(&to, "load", &dump(&from, "binary"));
    assert_eq!(code, Some(1), "{told}");
    assert!(
        told.contains("memstore-cluster: the store is full"),
        "{told}"
    );
    let loaded = target.length().unwrap();
    assert!((1..2_000).contains(&loaded));
    assert!(told.contains(&format!(" {loaded} loaded, ")), "{told}");
}

#[test]
fn a_binary_dump_is_kept_from_a_terminal() {
    let folder = folder();
    let sock = folder.path().join("m.sock");
    let (_master, store) = serve(&sock);
    store.set("a", "1").unwrap();
    let on_terminal = |words: &str| {
        let binary = common::binary().display();
        let line = format!("{binary} {words} --sock {}", sock.display());
        let script = Command::new("script")
            .args(["-qec", &line, "/dev/null"])
            .stdin(Stdio::null())
            .output();
        script.ok().map(|ended| {
            let text = String::from_utf8_lossy(&ended.stdout).into_owned();
            (ended.status.code(), text)
        })
    };
    let (Some((code, text)), Some((_, lines))) =
        (on_terminal("dump"), on_terminal("dump --format jsonl"))
    else {
        return skipped("there is no script(1) that has a terminal");
    };
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("nothing for a terminal"), "{text}");
    assert!(lines.contains("\"key\":\"a\""), "{lines}");
}
