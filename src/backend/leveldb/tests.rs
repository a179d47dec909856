//! The LevelDB backend: the contract, and what only it promises.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::testing::conformance::{Begin, Suite};

const NOW: Millis = Millis::from_unix(1_700_000_000_000);

fn config(folder: &TempDir, namespace: Option<&str>) -> LevelDb {
    let mut config = LevelDb::new(folder.path().join("sessions"));
    config.namespace = namespace.map(str::to_owned);
    config.sync = Syncing::Never;
    config
}

fn check(namespace: Option<&str>, histories: u64) {
    let folder = tempfile::tempdir().unwrap();
    let config = config(&folder, namespace);
    Suite::lasting(|begin| {
        if begin == Begin::Empty {
            let _ = fs::remove_dir_all(&config.folder);
        }
        LevelDbBackend::open(&config).unwrap()
    })
    .histories(histories)
    .check();
}

#[test]
fn it_keeps_the_contract() {
    check(None, 50);
}

#[test]
fn it_keeps_the_contract_below_a_namespace() {
    check(Some("_session"), 10);
}

/// Writes as somebody else does.
fn write(config: &LevelDb, entries: &[(&[u8], Option<&[u8]>)]) {
    let folder = Folder::open(&config.folder).unwrap();
    let mut database = Database::open(Box::new(folder), Holes::Refused, &mut |_, _, _| {}).unwrap();
    let mut batch = Batch::default();
    for (key, value) in entries {
        match value {
            Some(value) => drop(batch.put(key, value)),
            None => batch.remove(key),
        }
    }
    database.write(&batch, false).unwrap();
}

/// All that stands in the database.
fn dump(config: &LevelDb) -> Vec<(String, Vec<u8>)> {
    let folder = Folder::open(&config.folder).unwrap();
    let mut all = Vec::new();
    let mut take = |key: &[u8], _: u64, value: &[u8]| {
        all.push((key.escape_ascii().to_string(), value.to_vec()));
    };
    Database::open(Box::new(folder), Holes::Refused, &mut take).unwrap();
    all.sort();
    all
}

fn set(store: &mut LevelDbBackend, key: &[u8], deadline: Deadline) -> Seq {
    match store
        .set(NOW, key, key, deadline, Condition::Always)
        .unwrap()
    {
        SetOutcome::Stored(seq) => seq,
        SetOutcome::Conflict(_) => unreachable!("an unconditional write"),
    }
}

#[test]
fn what_somebody_else_has_written_has_a_new_version_and_the_deadline_of_its_cookie() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(&folder, None);
    let mut store = LevelDbBackend::open(&config).unwrap();
    let ours = set(&mut store, b"sid", Deadline::At(NOW.after_ms(10)));
    set(&mut store, b"gone", Deadline::Never);
    store.commit().unwrap();
    drop(store);
    let session = br#"{"cookie":{"expires":"2023-11-14T22:13:21.000Z"}}"#;
    write(
        &config,
        &[
            (b"sid", Some(session)),
            (b"new", Some(b"{}")),
            (b"gone", None),
        ],
    );
    let mut store = LevelDbBackend::open(&config).unwrap();
    let entry = store.get(NOW, b"sid").unwrap().unwrap();
    assert_eq!(entry.deadline, Some(NOW.after_ms(1_000)));
    assert!(entry.seq > ours);
    assert_eq!(&*entry.value, session);
    let entry = store.get(NOW, b"new").unwrap().unwrap();
    assert_eq!(entry.deadline, None);
    assert_eq!(store.length(NOW).unwrap(), 2);
    store.commit().unwrap();
    while store.upkeep(NOW) == Upkeep::More {}
    store.commit().unwrap();
    drop(store);
    let keys: Vec<_> = dump(&config).into_iter().map(|(key, _)| key).collect();
    assert_eq!(
        keys,
        ["\\x00msid", "__length__", "new", "sid"],
        "no note is left of what is gone"
    );
}

#[test]
fn the_length_stands_where_node_looks_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(&folder, Some("app"));
    write(
        &config,
        &[(b"other/sid", Some(b"{}")), (b"apply", Some(b""))],
    );
    let mut store = LevelDbBackend::open(&config).unwrap();
    set(&mut store, b"a", Deadline::Never);
    set(&mut store, b"b", Deadline::At(NOW.after_ms(5)));
    store.commit().unwrap();
    drop(store);
    let length = |config: &LevelDb| {
        let mut all = dump(config).into_iter();
        let found = all.find(|(key, _)| key == "app/__length__");
        String::from_utf8(found.unwrap().1).unwrap()
    };
    assert_eq!(length(&config), "2");
    let mut store = LevelDbBackend::open(&config).unwrap();
    store.clear(NOW).unwrap();
    store.commit().unwrap();
    while store.upkeep(NOW) == Upkeep::More {}
    store.commit().unwrap();
    drop(store);
    assert_eq!(length(&config), "0");
    assert_eq!(dump(&config).len(), 3, "what is somebody else's is there");
}

#[test]
fn what_was_cleared_stays_cleared_when_it_is_interrupted() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(&folder, None);
    let mut store = LevelDbBackend::open(&config).unwrap();
    for number in 0..2_000_u32 {
        set(&mut store, &number.to_be_bytes(), Deadline::Never);
    }
    store.commit().unwrap();
    set(&mut store, b"this turn's", Deadline::Never);
    store.clear(NOW).unwrap();
    set(&mut store, b"between", Deadline::Never);
    store.clear(NOW).unwrap();
    set(&mut store, &7_u32.to_be_bytes(), Deadline::Never);
    store.commit().unwrap();
    assert_eq!(store.upkeep(NOW), Upkeep::More);
    store.commit().unwrap();
    drop(store);
    for _ in 0..2 {
        let mut store = LevelDbBackend::open(&config).unwrap();
        assert_eq!(store.length(NOW).unwrap(), 1);
        assert!(store.get(NOW, &7_u32.to_be_bytes()).unwrap().is_some());
        while store.upkeep(NOW) == Upkeep::More {}
        store.commit().unwrap();
    }
    let keys: Vec<_> = dump(&config).into_iter().map(|(key, _)| key).collect();
    let escaped = "\\x00\\x00\\x00\\x07";
    assert_eq!(
        keys,
        [
            format!("\\x00k{escaped}"),
            format!("\\x00m\\x00k{escaped}"),
            "__length__".to_owned()
        ]
    );
}

fn files(folder: &PathBuf) -> Vec<(PathBuf, Vec<u8>)> {
    let files = fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path());
    let mut files: Vec<_> = files
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    files.sort();
    files
}

#[test]
fn what_is_damaged_is_refused_and_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(&folder, None);
    config.sync = Syncing::Always;
    // Some in a table, some in the log.
    for round in 0..2_u32 {
        let mut store = LevelDbBackend::open(&config).unwrap();
        for number in 0..300_u32 {
            set(
                &mut store,
                &(round * 1_000 + number).to_le_bytes(),
                Deadline::Never,
            );
        }
        store.commit().unwrap();
        set(&mut store, b"last", Deadline::Never);
        store.commit().unwrap();
    }
    let whole = files(&config.folder);
    let mut refused = 0;
    for (path, bytes) in &whole {
        for at in (0..bytes.len()).step_by(97) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x55;
            fs::write(path, &damaged).unwrap();
            let before = files(&config.folder);
            let name = path.file_name().unwrap().to_str().unwrap();
            match LevelDbBackend::open(&config) {
                Err(error) => {
                    let error = error.to_string();
                    assert!(error.contains("nothing in it was changed"), "{error}");
                    assert_eq!(files(&config.folder), before, "{name} at {at}");
                    refused += 1;
                }
                // The end of a log may be torn: then the last write was not acknowledged. And where
                // filters would be in a table, nobody looks.
                Ok(mut store) => {
                    let is_log = path.extension().is_some_and(|ending| ending == "log");
                    for round in [0, 1_000_u32] {
                        for number in round..round + 300 {
                            let found = store.get(NOW, &number.to_le_bytes()).unwrap();
                            assert_eq!(&*found.unwrap().value, number.to_le_bytes());
                        }
                    }
                    let last = store.get(NOW, b"last").unwrap();
                    assert!(is_log || last.is_some(), "{name} at {at}");
                }
            }
            drop(fs::remove_dir_all(&config.folder));
            fs::create_dir(&config.folder).unwrap();
            for (path, bytes) in &whole {
                fs::write(path, bytes).unwrap();
            }
        }
    }
    assert!(refused > 50, "{refused}");
}

/// All of it is there but one file: nothing may be made in its place, as what is left would be
/// removed then.
#[test]
fn a_file_that_is_missing_is_damage_and_the_others_stay() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(&folder, None);
    for tables in 0..2 {
        let mut store = LevelDbBackend::open(&config).unwrap();
        set(&mut store, b"sid", Deadline::Never);
        store.commit().unwrap();
        drop(store);
        let whole = files(&config.folder);
        let named = whole.iter().filter(|(path, _)| !path.ends_with("LOCK"));
        let mut missing = 0;
        for (path, bytes) in named {
            fs::remove_file(path).unwrap();
            let before = files(&config.folder);
            let error = LevelDbBackend::open(&config).unwrap_err();
            assert!(matches!(error, Error::Config(_)), "{error}");
            let error = error.to_string();
            let name = path.file_name().unwrap().to_str().unwrap();
            assert!(
                error.contains(&format!("{name} is damaged: it is missing")),
                "{error}"
            );
            assert_eq!(files(&config.folder), before);
            fs::write(path, bytes).unwrap();
            missing += 1;
        }
        assert_eq!(missing, 3 + tables);
    }
}

#[test]
fn a_file_instead_of_a_folder_is_a_mistake_in_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(&folder, None);
    fs::write(&config.folder, "text").unwrap();
    let error = LevelDbBackend::open(&config).unwrap_err();
    assert!(matches!(error, Error::Config(_)), "{error}");
    assert!(error.to_string().contains("not a directory"), "{error}");
}

#[test]
fn a_database_is_for_one_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(&folder, None);
    let store = LevelDbBackend::open(&config).unwrap();
    let error = LevelDbBackend::open(&config).unwrap_err().to_string();
    assert!(error.contains("in use by another process"), "{error}");
    drop(store);
    LevelDbBackend::open(&config).unwrap();
}
