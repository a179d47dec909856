//! What goes wrong with a database is answered with an error, and over when its cause is.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::time::{Duration, Instant};

use super::tests::{NOW, World, put, value};
use super::*;
use crate::config::ByteSize;

fn set(store: &mut SqliteBackend, key: &[u8], value: &[u8]) -> Result<SetOutcome, BackendError> {
    store.set(NOW, key, value, Deadline::Never, Condition::Always)
}

fn assert_failed<T: std::fmt::Debug>(done: &Result<T, BackendError>, hint: &str) {
    match done {
        Err(error @ BackendError::Failed(why)) => assert!(why.contains(hint), "{error}"),
        other => panic!("{hint}: {other:?}"),
    }
}

#[test]
fn a_locked_database_is_waited_for_once() {
    let world = World::new();
    let mut store = world.open();
    put(&mut store, b"k", b"v");
    store.commit().unwrap();
    let other = world.other();
    other.execute_batch("begin immediate").unwrap();
    let begin = Instant::now();
    assert_failed(
        &set(&mut store, b"k", b"new"),
        "is locked by another program",
    );
    assert!(
        begin.elapsed() >= world.config.lock_timeout,
        "{:?}",
        begin.elapsed()
    );
    // Nobody else waits as well, and reading goes on.
    let begin = Instant::now();
    for _ in 0..100 {
        assert_failed(&set(&mut store, b"k", b"new"), "is locked");
        assert_eq!(value(&mut store, b"k").unwrap(), b"v");
    }
    assert!(
        begin.elapsed() < Duration::from_secs(4),
        "{:?}",
        begin.elapsed()
    );
    store.commit().unwrap();
    other.execute_batch("rollback").unwrap();
    put(&mut store, b"k", b"new");
    store.commit().unwrap();
    assert_eq!(value(&mut store, b"k").unwrap(), b"new");
}

#[test]
fn a_row_of_the_other_side_is_read_while_the_database_is_locked() {
    let world = World::new();
    let mut store = world.open();
    let other = world.other();
    other
        .execute_batch(
            "insert into sessions (sid, sess, expired) \
             values ('theirs', '{}', '2099-01-01T00:00:00.000Z'); begin immediate",
        )
        .unwrap();
    let found = store.get(NOW, b"theirs").unwrap().unwrap();
    assert_eq!((found.value.as_ref(), found.seq.0), (&b"{}"[..], 0));
    store.commit().unwrap();
    other.execute_batch("rollback").unwrap();
    assert!(store.get(NOW, b"theirs").unwrap().unwrap().seq.0 > 0);
}

#[test]
fn a_full_database_refuses_what_has_no_room_and_says_what_was_lost() {
    let world = World::new();
    let config = Sqlite {
        max_size: Some(ByteSize(256 << 10)),
        ..world.config.clone()
    };
    let mut store = SqliteBackend::open(&config).unwrap();
    let large = vec![b'x'; 10 << 10];
    let mut stored = 0_u8;
    let refusal = loop {
        match set(&mut store, &[stored], &large) {
            Ok(_) => store.commit().unwrap(),
            Err(error) => break error,
        }
        stored += 1;
    };
    assert!(matches!(refusal, BackendError::Full(_)), "{refusal:?}");
    assert!(stored > 10, "{stored}");
    store.commit().expect("nothing was lost");
    assert_eq!(store.length(NOW).unwrap(), u64::from(stored));

    // What was answered in the same turn is not done; the commit has to say so.
    assert!(store.destroy(NOW, &[0]).unwrap());
    set(&mut store, b"small", b"{}").unwrap();
    let too_much = vec![b'x'; 300 << 10];
    let done = set(&mut store, b"large", &too_much);
    assert!(matches!(done, Err(BackendError::Full(_))), "{done:?}");
    let done = set(&mut store, b"after", b"{}");
    assert!(matches!(done, Err(BackendError::Full(_))), "{done:?}");
    let lost = store.commit();
    assert!(matches!(lost, Err(BackendError::Full(_))), "{lost:?}");
    assert_eq!(value(&mut store, &[0]).unwrap(), large);
    assert_eq!(value(&mut store, b"small"), None);

    // With room it goes on.
    assert!(store.destroy(NOW, &[0]).unwrap());
    store.commit().unwrap();
    put(&mut store, b"new", b"{}");
    store.commit().unwrap();
    assert_eq!(value(&mut store, b"new").unwrap(), b"{}");
}

#[test]
fn a_database_without_room_for_its_tables_is_no_mistake_of_its_user() {
    for pages in 1..7 {
        let world = World::new();
        let config = Sqlite {
            max_size: Some(ByteSize(pages * 4_096)),
            ..world.config.clone()
        };
        let error = SqliteBackend::open(&config).unwrap_err();
        assert!(matches!(error, Error::Backend(_)), "{pages}: {error:?}");
        assert!(error.to_string().contains("no more room"), "{error}");
        // What was begun is not there, and in nobody's way.
        world.open();
    }
}

#[test]
fn a_damaged_database_is_used_again_when_it_is_repaired() {
    let world = World::new();
    let mut store = world.open();
    for number in 0..1_000_u16 {
        put(&mut store, &number.to_be_bytes(), &[b'x'; 500]);
    }
    store.commit().unwrap();
    drop(store);
    let whole = fs::read(world.path()).unwrap();
    let mut store = world.open();
    let file = fs::OpenOptions::new()
        .write(true)
        .open(world.path())
        .unwrap();
    file.write_all_at(&vec![0xa5; whole.len() - 8_192], 8_192)
        .unwrap();
    let key = 500_u16.to_be_bytes();
    assert_failed(&store.get(NOW, &key), "is damaged");
    assert_failed(&set(&mut store, &key, b"new"), "is damaged");
    store.commit().unwrap();
    file.write_all_at(&whole, 0).unwrap();
    let later = NOW.after_ms(1_000);
    assert!(store.get(later, &key).unwrap().is_some());
    store
        .set(later, &key, b"new", Deadline::Never, Condition::Always)
        .unwrap();
    store.commit().unwrap();
    assert_eq!(value(&mut store, &key).unwrap(), b"new");
}

#[test]
fn a_database_that_was_replaced_is_not_written_to_any_more() {
    let (world, better) = (World::new(), World::new());
    let mut other = better.open();
    put(&mut other, b"k", b"better");
    other.commit().unwrap();
    drop(other);
    let mut store = world.open();
    put(&mut store, b"k", b"v");
    store.commit().unwrap();
    fs::rename(better.path(), world.path()).unwrap();
    // The log of the old one belongs to nothing.
    for ending in ["-wal", "-shm"] {
        let _ = fs::remove_file(world.folder.path().join(format!("sessions.db{ending}")));
    }
    put(&mut store, b"new", b"v");
    store.commit().unwrap();
    assert_eq!(value(&mut store, b"k").unwrap(), b"better");
    drop(store);
    let mut store = world.open();
    assert_eq!(value(&mut store, b"k").unwrap(), b"better");
    assert_eq!(value(&mut store, b"new").unwrap(), b"v");
}

#[test]
fn a_database_that_was_removed_is_made_anew() {
    let world = World::new();
    let mut store = world.open();
    let first = put(&mut store, b"k", b"v");
    store.commit().unwrap();
    for file in fs::read_dir(world.folder.path()).unwrap() {
        fs::remove_file(file.unwrap().path()).unwrap();
    }
    assert!(put(&mut store, b"new", b"v") > first);
    store.commit().unwrap();
    assert_eq!(value(&mut store, b"k"), None);
    let count = "select count(*) from sessions";
    let count: i64 = world
        .other()
        .query_row(count, [], |row| row.get(0))
        .unwrap();
    assert_eq!(count, 1);
}

#[test]
fn a_folder_that_is_gone_is_asked_for_again() {
    let world = World::new();
    let away = world.folder.path().with_extension("away");
    let mut store = world.open();
    put(&mut store, b"k", b"v");
    store.commit().unwrap();
    fs::rename(world.folder.path(), &away).unwrap();
    assert_failed(&set(&mut store, b"k", b"new"), "cannot be opened");
    // It is not tried for every request.
    assert_failed(&set(&mut store, b"k", b"new"), "cannot be opened");
    store.commit().unwrap();
    fs::rename(&away, world.folder.path()).unwrap();
    let later = NOW.after_ms(1_000);
    store
        .set(later, b"k", b"new", Deadline::Never, Condition::Always)
        .unwrap();
    store.commit().unwrap();
    assert_eq!(value(&mut store, b"k").unwrap(), b"new");
}

#[test]
fn a_table_that_somebody_dropped_is_made_again() {
    let world = World::new();
    let mut store = world.open();
    put(&mut store, b"k", b"v");
    store.commit().unwrap();
    world
        .other()
        .execute_batch("drop table sessions_memstore")
        .unwrap();
    assert!(set(&mut store, b"k", b"new").is_err());
    store.commit().unwrap();
    put(&mut store, b"k", b"new");
    store.commit().unwrap();
    assert_eq!(value(&mut store, b"k").unwrap(), b"new");
}
