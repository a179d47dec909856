//! The files backend: the contract, and what only it promises.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::backend::Walk;
use crate::testing::conformance::{Begin, Suite};

const NOW: Millis = Millis::from_unix(1_700_000_000_000);

/// A folder of sessions.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn folder(&self) -> PathBuf {
        self.0.path().join("sessions")
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    fn open(&self) -> FilesBackend {
        let mut config = config::Files::new(self.folder());
        config.sync = Syncing::Never;
        FilesBackend::open(&config).unwrap()
    }

    /// Puts a file there as session-file-store does.
    fn write(&self, name: &str, text: &str) {
        let temporary = self.at("write.json.123");
        fs::create_dir_all(self.folder()).unwrap();
        fs::write(&temporary, text).unwrap();
        fs::rename(temporary, self.at(name)).unwrap();
    }

    fn names(&self, folder: &str) -> Vec<String> {
        let files = fs::read_dir(self.at(folder)).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.filter(|name| !name.starts_with('.')).collect();
        names.sort();
        names
    }
}

fn set(store: &mut FilesBackend, key: &[u8], value: &[u8]) -> Seq {
    let done = store.set(NOW, key, value, Deadline::Never, Condition::Always);
    match done.unwrap() {
        SetOutcome::Stored(seq) => seq,
        SetOutcome::Conflict(_) => unreachable!("an unconditional write"),
    }
}

fn get(store: &mut FilesBackend, key: &[u8]) -> Option<Vec<u8>> {
    let found = store.get(NOW, key).unwrap();
    found.map(|entry| entry.value.into_owned())
}

fn keys(store: &mut FilesBackend) -> Vec<Vec<u8>> {
    let (mut keys, mut next) = (Vec::new(), Some(Cursor::default()));
    while let Some(cursor) = next {
        let visit = &mut |key: &[u8], _: EntryRef<'_>| {
            keys.push(key.to_vec());
            Walk::On
        };
        next = store.all(NOW, cursor, visit).unwrap();
    }
    keys.sort();
    keys
}

#[test]
fn it_keeps_the_contract() {
    let place = Place::new();
    Suite::lasting(|begin| {
        if begin == Begin::Empty {
            let _ = fs::remove_dir_all(place.folder());
        }
        place.open()
    })
    .check();
}

#[test]
fn what_others_do_is_seen_at_once() {
    let place = Place::new();
    place.write("before.json", r#"{"n":1}"#);
    let mut store = place.open();
    assert_eq!(keys(&mut store), [b"before".to_vec()]);
    place.write("sid.json", r#"{"n":2,"__lastAccess":1700000000000}"#);
    assert_eq!(store.length(NOW).unwrap(), 2);
    let entry = store.get(NOW, b"sid").unwrap().unwrap();
    let (first, deadline) = (entry.seq, entry.deadline);
    assert_eq!(&*entry.value, br#"{"n":2}"#);
    assert_eq!(
        deadline,
        Some(NOW.after(Duration::from_secs(3_600)).after_ms(1))
    );

    // Written again: another version, which the old one does not meet.
    place.write("sid.json", r#"{"n":3,"__lastAccess":1700000000000}"#);
    let done = store.set(NOW, b"sid", b"{}", Deadline::Keep, Condition::IfSeq(first));
    let Ok(SetOutcome::Conflict(Some(second))) = done else {
        panic!("{done:?}")
    };
    assert!(second > first);
    assert!(store.touch(NOW, b"sid", Deadline::Never).unwrap());
    store.commit().unwrap();
    let entry = store.get(NOW, b"sid").unwrap().unwrap();
    assert_eq!((entry.seq, &*entry.value), (second, &br#"{"n":3}"#[..]));

    fs::remove_file(place.at("sid.json")).unwrap();
    assert_eq!(store.length(NOW).unwrap(), 1);
    assert!(!store.touch(NOW, b"sid", Deadline::Never).unwrap());
    assert!(get(&mut store, b"sid").is_none());
}

#[test]
fn a_damaged_file_is_set_aside_and_never_lost() {
    let place = Place::new();
    place.write("early.json", "{");
    let mut store = place.open();
    assert_eq!(store.length(NOW).unwrap(), 0);
    place.write("early.json", "also broken");
    place.write("late.json", "");
    assert!(get(&mut store, b"late").is_none());
    assert_eq!(
        place.names(".memstore/damaged"),
        ["1-early.json", "early.json", "late.json"]
    );
    assert_eq!(
        fs::read(place.at(".memstore/damaged/1-early.json")).unwrap(),
        b"also broken"
    );
    set(&mut store, b"late", b"{}");
    store.commit().unwrap();
    assert!(get(&mut store, b"late").is_some());
}

#[test]
fn what_is_no_entry_is_left_alone() {
    let place = Place::new();
    for name in ["notes.txt", "%41.json", ".hidden.json", "sid.json.123"] {
        place.write(name, "{}");
    }
    fs::create_dir(place.at("folder.json")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", place.at("link.json")).unwrap();
    let mut store = place.open();
    assert_eq!(store.length(NOW).unwrap(), 0);
    for key in [&b"folder"[..], b"link", b"A", b"../sessions/notes"] {
        assert!(get(&mut store, key).is_none());
    }
    store.clear(NOW).unwrap();
    store.commit().unwrap();
    while store.upkeep(NOW) == Upkeep::More {}
    assert_eq!(place.names("").len(), 5);
    assert_eq!(place.names(".memstore"), ["damaged", "lock", "new", "next"]);
}

#[test]
fn everything_is_read_in_steps_and_used_meanwhile() {
    let place = Place::new();
    set(&mut place.open(), b"known", b"{}");
    for number in 0..1_000 {
        place.write(&format!("{number}.json"), &format!("{{\"n\":{number}}}"));
    }
    let mut store = place.open();
    assert_eq!(get(&mut store, b"999").unwrap(), br#"{"n":999}"#);
    assert!(store.destroy(NOW, b"998").unwrap());
    set(&mut store, b"997", b"{}");
    store.commit().unwrap();
    let steps = std::iter::from_fn(|| (store.upkeep(NOW) == Upkeep::More).then_some(()));
    assert!(steps.count() > 10);
    assert_eq!(store.length(NOW).unwrap(), 999);
    assert_eq!(get(&mut store, b"997").unwrap(), b"{}");
    assert!(get(&mut store, b"998").is_none());
}

#[test]
fn what_was_cleared_stays_cleared_when_it_is_interrupted() {
    let place = Place::new();
    let mut store = place.open();
    for number in 0..500_u32 {
        set(&mut store, &number.to_be_bytes(), b"{}");
    }
    place.write("theirs.json", "{}");
    store.commit().unwrap();
    store.clear(NOW).unwrap();
    set(&mut store, b"new", b"{}");
    store.commit().unwrap();
    drop(store);
    assert!(place.names("").len() > 500, "nothing is removed yet");
    let mut store = place.open();
    place.write("newer.json", "{}");
    assert_eq!(keys(&mut store), [b"new".to_vec(), b"newer".to_vec()]);
    while store.upkeep(NOW) == Upkeep::More {}
    assert_eq!(place.names(""), ["new.json", "newer.json"]);
    assert!(!place.at(".memstore/cleared").exists());
}

#[test]
fn a_commit_that_fails_changes_nothing_that_it_cannot() {
    let place = Place::new();
    let mut store = place.open();
    let old = set(&mut store, b"old", b"{}");
    set(&mut store, b"kept", b"{}");
    store.commit().unwrap();
    // A folder cannot be replaced by a file.
    fs::create_dir(place.at("new.json")).unwrap();
    for is_cleared in [false, true] {
        if is_cleared {
            store.clear(NOW).unwrap();
        }
        set(&mut store, b"new", b"{}");
        assert!(get(&mut store, b"new").is_some(), "within the turn");
        let error = store.commit().unwrap_err().to_string();
        assert!(error.contains("cannot change files"), "{error}");
        assert!(get(&mut store, b"new").is_none());
        assert_eq!(place.names(".memstore/new"), [""; 0]);
    }
    assert!(matches!(store.upkeep(NOW), Upkeep::Until(_)), "it rests");
    fs::remove_dir(place.at("new.json")).unwrap();
    let new = set(&mut store, b"new", b"{}");
    store.commit().unwrap();
    assert!(new > old);
    assert!(get(&mut store, b"new").is_some());
}

#[test]
fn a_folder_that_is_taken_away_is_made_again() {
    let place = Place::new();
    let mut store = place.open();
    let before = set(&mut store, b"sid", b"{}");
    store.commit().unwrap();
    fs::remove_dir_all(place.folder()).unwrap();
    assert_eq!(store.length(NOW).unwrap(), 0);
    let after = set(&mut store, b"sid", b"{}");
    store.commit().unwrap();
    assert!(after > before);
    assert!(place.at("sid.json").exists());
    place.write("theirs.json", "{}");
    assert_eq!(store.length(NOW).unwrap(), 2);
}

#[test]
fn a_folder_is_for_one_master_at_a_time() {
    let place = Place::new();
    let store = place.open();
    let error = FilesBackend::open(&config::Files::new(place.folder())).unwrap_err();
    assert!(
        error.to_string().contains("another master has it"),
        "{error}"
    );
    drop(store);
    place.open();
}

#[test]
fn what_is_no_folder_of_ours_is_refused_and_left_as_it_is() {
    let place = Place::new();
    let refusal = || {
        let error = FilesBackend::open(&config::Files::new(place.folder())).unwrap_err();
        assert!(matches!(error, Error::Config(_)), "{error:?}");
        error.to_string()
    };
    fs::write(place.folder(), "a file").unwrap();
    assert!(refusal().contains("cannot be a store"));
    assert_eq!(fs::read(place.folder()).unwrap(), b"a file");
    fs::remove_file(place.folder()).unwrap();

    set(&mut place.open(), b"sid", b"{}");
    for name in ["next", "cleared"] {
        let path = place.at(".memstore").join(name);
        let _ = fs::remove_file(&path);
        for damage in [&b"torn"[..], b"", b"\xff\xfe", b"18446744073709551615\n"] {
            fs::write(&path, damage).unwrap();
            let why = refusal();
            assert!(why.contains(&*path.to_string_lossy()), "{why}");
            assert_eq!(fs::read(&path).unwrap(), damage);
        }
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        let why = refusal();
        assert!(why.contains(&*path.to_string_lossy()), "{why}");
        fs::remove_dir(&path).unwrap();
        set(&mut place.open(), b"sid", b"{}");
    }
}

#[test]
fn a_version_that_nobody_can_have_reached_is_none() {
    let place = Place::new();
    let mut store = place.open();
    let stored = Stored {
        value: b"{}".into(),
        kind: Kind::Bytes,
        deadline: None,
        seq: Some(Seq(u64::MAX)),
        birth: Some(1),
        key: None,
    };
    let bytes = format::encode(&stored, 0.0);
    place.write("sid.json", &String::from_utf8(bytes).unwrap());
    let found = store.get(NOW, b"sid").unwrap().unwrap().seq;
    assert!(set(&mut store, b"other", b"{}") > found);
}

#[test]
fn a_folder_that_was_moved_and_comes_back_is_read_again() {
    let place = Place::new();
    let mut store = place.open();
    set(&mut store, b"sid", b"{}");
    store.commit().unwrap();
    let away = place.0.path().join("away");
    fs::rename(place.folder(), &away).unwrap();
    fs::write(place.folder(), "in its place").unwrap();
    assert!(store.get(NOW, b"sid").is_err());
    fs::remove_file(place.folder()).unwrap();
    fs::rename(&away, place.folder()).unwrap();
    assert_eq!(get(&mut store, b"sid").unwrap(), b"{}");
    set(&mut store, b"new", b"{}");
    store.commit().unwrap();
    assert!(place.at("new.json").exists());
}

#[test]
fn more_news_than_can_be_noted_is_read_anew() {
    let place = Place::new();
    let mut store = place.open();
    set(&mut store, b"ours", b"{}");
    store.commit().unwrap();
    let most = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events");
    let most: u32 = most.unwrap().trim().parse().unwrap();
    if most > 100_000 {
        return;
    }
    place.write("theirs.json", "{}");
    for _ in 0..=most / 2 {
        fs::rename(place.at("theirs.json"), place.at("moved.json")).unwrap();
        fs::rename(place.at("moved.json"), place.at("theirs.json")).unwrap();
    }
    fs::remove_file(place.at("ours.json")).unwrap();
    set(&mut store, b"waiting", b"{}");
    assert_eq!(keys(&mut store), [b"theirs".to_vec(), b"waiting".to_vec()]);
}
