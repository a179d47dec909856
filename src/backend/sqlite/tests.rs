//! The backend held to the contract, and to what it promises to the other side of its table.
//!
//! The other side is a connection of its own that does what connect-session-knex does; the real
//! one is in `tests/stores`. What goes wrong with databases is in `fault_tests`.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, params};
use tempfile::TempDir;

use super::*;
use crate::backend::Walk;
use crate::config::Synchronous;
use crate::contract::Seq;
use crate::testing::conformance::{Begin, Suite};

pub(super) const NOW: Millis = Millis::from_unix(1_700_000_000_000);
const SOON: &str = "2023-11-14T22:14:20.000Z";

/// A database in a folder of its own.
pub(super) struct World {
    pub(super) folder: TempDir,
    pub(super) config: Sqlite,
}

impl World {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = Sqlite {
            lock_timeout: Duration::from_millis(50),
            ..Sqlite::new(folder.path().join("sessions.db"))
        };
        Self { folder, config }
    }

    pub(super) fn path(&self) -> &Path {
        &self.config.path
    }

    pub(super) fn open(&self) -> SqliteBackend {
        SqliteBackend::open(&self.config).unwrap()
    }

    /// The other side.
    pub(super) fn other(&self) -> Connection {
        Connection::open(self.path()).unwrap()
    }
}

pub(super) fn put(store: &mut dyn Backend, key: &[u8], value: &[u8]) -> Seq {
    put_until(store, key, value, Deadline::Never)
}

fn put_until(store: &mut dyn Backend, key: &[u8], value: &[u8], deadline: Deadline) -> Seq {
    match store
        .set(NOW, key, value, deadline, Condition::Always)
        .unwrap()
    {
        SetOutcome::Stored(seq) => seq,
        SetOutcome::Conflict(_) => unreachable!("an unconditional write"),
    }
}

pub(super) fn value(store: &mut dyn Backend, key: &[u8]) -> Option<Vec<u8>> {
    let found = store.get(NOW, key).unwrap();
    found.map(|found| found.value.into_owned())
}

fn seq(store: &mut dyn Backend, key: &[u8]) -> Seq {
    store.get(NOW, key).unwrap().unwrap().seq
}

/// As connect-session-knex does it.
fn theirs(other: &Connection, sid: &str, expired: &str, sess: &str) {
    let sql = "insert or replace into sessions (sid, expired, sess) values (?, ?, ?);";
    other.execute(sql, params![sid, expired, sess]).unwrap();
}

fn text(other: &Connection, sql: &str) -> String {
    other.query_row(sql, [], |row| row.get(0)).unwrap()
}

#[test]
fn it_keeps_the_contract() {
    let world = World::new();
    let config = Sqlite {
        synchronous: Synchronous::Off,
        ..world.config.clone()
    };
    Suite::lasting(|begin| {
        if begin == Begin::Empty {
            for ending in ["", "-wal", "-shm"] {
                let _ = fs::remove_file(world.folder.path().join(format!("sessions.db{ending}")));
            }
        }
        SqliteBackend::open(&config).unwrap()
    })
    .check();
}

#[test]
fn its_table_is_the_one_of_connect_session_knex() {
    let world = World::new();
    let mut store = world.open();
    let json = br#"{"cookie":{},"user":"z\u00fcrich"}"#;
    put_until(&mut store, b"sid", json, Deadline::At(NOW.after_ms(60_000)));
    put(&mut store, b"forever", b"{}");
    put(&mut store, b"\xff", b"7");
    store.commit().unwrap();
    let other = world.other();
    let schema = "select group_concat(sql, ';') from sqlite_master \
                  where tbl_name = 'sessions' and sql is not null";
    assert_eq!(
        text(&other, schema),
        "CREATE TABLE `sessions` (`sid` varchar(255), `sess` json not null, `expired` datetime \
         not null, primary key (`sid`));\
         CREATE INDEX `sessions_expired_index` on `sessions` (`expired`)"
    );
    let row = "select typeof(sid) || typeof(sess) || sess || expired from sessions where sid = ";
    let shown = text(&other, &format!("{row}'sid'"));
    assert_eq!(
        shown,
        format!("texttext{}{SOON}", String::from_utf8_lossy(json))
    );
    let shown = text(&other, &format!("{row}'forever'"));
    assert_eq!(shown, "texttext{}9999-12-31T23:59:59.999Z");
    let shown = text(&other, &format!("{row}x'ff'"));
    assert_eq!(
        shown, "blobblob79999-12-31T23:59:59.999Z",
        "a number would lose its spelling"
    );
}

#[test]
fn what_the_other_side_writes_has_a_version_of_its_own() {
    let world = World::new();
    let mut store = world.open();
    let other = world.other();
    let ours = put(&mut store, b"ours", b"{}");
    store.commit().unwrap();
    theirs(&other, "theirs", SOON, r#"{"n":1}"#);
    let found = store.get(NOW, b"theirs").unwrap().unwrap();
    assert_eq!(found.value.as_ref(), br#"{"n":1}"#);
    assert_eq!(found.deadline, Some(NOW.after_ms(60_000)));
    let first = found.seq;
    assert!(first > ours);
    assert_eq!(seq(&mut store, b"theirs"), first);
    store.commit().unwrap();
    drop(store);
    let mut store = world.open();
    assert_eq!(seq(&mut store, b"theirs"), first, "a version lasts");

    // Written anew, it is another version; the same with a new deadline is not.
    theirs(&other, "theirs", SOON, r#"{"n":2}"#);
    let second = seq(&mut store, b"theirs");
    assert!(second > first);
    store.commit().unwrap();
    theirs(&other, "theirs", "2023-11-14T22:13:20.001Z", r#"{"n":2}"#);
    let found = store.get(NOW, b"theirs").unwrap().unwrap();
    assert_eq!((found.seq, found.deadline), (second, Some(NOW.after_ms(1))));

    // So with what was ours.
    theirs(&other, "ours", SOON, r#"{"n":3}"#);
    let done = store
        .set(NOW, b"ours", b"{}", Deadline::Keep, Condition::IfSeq(ours))
        .unwrap();
    let SetOutcome::Conflict(Some(third)) = done else {
        panic!("the other side's write is overlooked: {done:?}");
    };
    assert!(third > second);
    assert_eq!(seq(&mut store, b"ours"), third);
    store.commit().unwrap();
    other
        .execute("delete from sessions where sid = 'ours'", [])
        .unwrap();
    assert_eq!(value(&mut store, b"ours"), None);
    assert_eq!(store.length(NOW).unwrap(), 1);
}

#[test]
fn a_touch_by_the_other_side_moves_the_deadline_of_a_row_of_ours() {
    let world = World::new();
    let mut store = world.open();
    let far = NOW.after_ms(1 << 47);
    let seq = put_until(&mut store, b"sid", b"{}", Deadline::At(far));
    store.commit().unwrap();
    assert_eq!(store.get(NOW, b"sid").unwrap().unwrap().deadline, Some(far));
    let sql = "update sessions set expired = ? where sid = 'sid'";
    world.other().execute(sql, [SOON]).unwrap();
    let found = store.get(NOW, b"sid").unwrap().unwrap();
    assert_eq!(
        (found.deadline, found.seq),
        (Some(NOW.after_ms(60_000)), seq)
    );
}

#[test]
fn a_walk_shows_what_the_other_side_wrote_with_versions_that_hold() {
    let world = World::new();
    let mut store = world.open();
    let other = world.other();
    for number in 0..200 {
        theirs(&other, &format!("s{number}"), SOON, "{}");
    }
    let (mut met, mut next) = (Vec::new(), Some(Cursor::default()));
    while let Some(cursor) = next {
        next = store
            .all(NOW, cursor, &mut |key, entry| {
                met.push((key.to_vec(), entry.seq));
                if met.len() % 7 == 0 {
                    Walk::Pause
                } else {
                    Walk::On
                }
            })
            .unwrap();
    }
    assert_eq!(met.len(), 200);
    store.commit().unwrap();
    for (key, seq) in met {
        let done = store
            .set(NOW, &key, b"[]", Deadline::Keep, Condition::IfSeq(seq))
            .unwrap();
        assert!(
            matches!(done, SetOutcome::Stored(new) if new > seq),
            "{done:?}"
        );
    }
}

#[test]
fn a_turn_is_one_transaction() {
    let world = World::new();
    let mut store = world.open();
    let other = world.other();
    let count = || text(&other, "select cast(count(*) as text) from sessions");
    for number in 0..100_u8 {
        put(&mut store, &[b'k', number], b"{}");
        assert_eq!(count(), "0");
    }
    store.commit().unwrap();
    assert_eq!(count(), "100");
    assert_eq!(text(&other, "pragma journal_mode"), "wal");
}

#[test]
fn what_expired_is_swept_in_steps_whoever_wrote_it() {
    let world = World::new();
    let mut store = world.open();
    store.gone(Some(&mut |_, _, _| {}));
    let then = Deadline::At(NOW.after_ms(5));
    for number in 0..600_u16 {
        put_until(&mut store, &number.to_be_bytes(), b"{}", then);
    }
    store.commit().unwrap();
    assert!(matches!(store.upkeep(NOW), Upkeep::Until(at) if at > NOW));
    theirs(&world.other(), "theirs", "2023-11-14T22:13:20.001Z", "{}");
    let later = NOW.after_ms(1_000);
    assert_eq!(store.upkeep(later), Upkeep::More);
    let steps = std::iter::from_fn(|| (store.upkeep(later) == Upkeep::More).then_some(()));
    assert_eq!(steps.count(), 1);
    let Upkeep::Until(next) = store.upkeep(later) else {
        panic!("there is always the other side to look for");
    };
    assert!(next > later && next.since(later) <= Duration::from_secs(60));
    store.commit().unwrap();
    let mut told = 0;
    store.gone(Some(&mut |_, _, _| told += 1));
    assert_eq!(told, 601);
    let left = "select (select count(*) from sessions) || ',' || \
                (select count(*) from sessions_memstore)";
    assert_eq!(text(&world.other(), left), "0,0");
}

#[test]
fn rows_of_ours_go_when_the_other_side_removes_theirs() {
    let world = World::new();
    let mut store = world.open();
    for number in 0..2_000_u16 {
        put(&mut store, &number.to_be_bytes(), b"{}");
    }
    store.commit().unwrap();
    let other = world.other();
    other
        .execute("delete from sessions where rowid % 2 = 0", [])
        .unwrap();
    let mut now = NOW;
    for _ in 0..20 {
        match store.upkeep(now) {
            Upkeep::Until(next) => now = next,
            Upkeep::More | Upkeep::Idle => {}
        }
        store.commit().unwrap();
    }
    let left = "select cast(count(*) as text) from sessions_memstore";
    assert_eq!(text(&other, left), "1000");
    assert_eq!(store.length(NOW).unwrap(), 1_000);
}

#[test]
fn other_databases_are_other_tables_of_the_same_file() {
    let world = World::new();
    let mut store = world.open();
    put(store.database(3).unwrap(), b"k", b"three");
    put(&mut store, b"k", b"zero");
    store.commit().unwrap();
    drop(store);
    let mut store = world.open();
    assert!(store.has_database(3) && !store.has_database(1));
    assert_eq!(value(store.database(3).unwrap(), b"k").unwrap(), b"three");
    assert_eq!(value(&mut store, b"k").unwrap(), b"zero");
    assert!(!store.has_database(1), "looking makes none");
}

#[test]
fn a_table_whose_index_cannot_be_made_is_not_made_either() {
    let world = World::new();
    drop(world.open());
    let other = world.other();
    // The index goes with it, and keeps its name.
    other
        .execute_batch("alter table sessions rename to put_away")
        .unwrap();
    SqliteBackend::open(&world.config).unwrap_err();
    other
        .execute_batch("alter table put_away rename to sessions")
        .unwrap();
    SqliteBackend::open(&world.config).unwrap();
}

#[test]
fn a_table_with_columns_that_may_be_left_out_is_used() {
    for columns in [
        "id integer not null primary key autoincrement, sid varchar(255) unique",
        "SID varchar(255) primary key not null, owner text not null default ''",
        "sid varchar(255) primary key, owner text, length integer not null as (length(sess))",
    ] {
        let world = World::new();
        let other = world.other();
        let make = format!("create table sessions ({columns}, sess json not null, expired text)");
        other.execute_batch(&make).unwrap();
        let mut store = SqliteBackend::open(&world.config).expect(columns);
        put(&mut store, b"k", b"{}");
        put(&mut store, b"k", b"[]");
        store.commit().expect(columns);
        assert_eq!(value(&mut store, b"k").unwrap(), b"[]");
        assert_eq!(store.length(NOW).unwrap(), 1);
    }
}

#[test]
fn many_may_make_the_same_database_at_once() {
    for _ in 0..10 {
        let world = World::new();
        let config = Sqlite {
            lock_timeout: Duration::from_secs(30),
            ..world.config.clone()
        };
        let barrier = std::sync::Barrier::new(4);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    barrier.wait();
                    SqliteBackend::open(&config).unwrap();
                });
            }
        });
    }
}

#[test]
fn what_is_no_file_is_refused_and_what_is_to_be_done_is_said() {
    let world = World::new();
    let at = |name: &str| world.folder.path().join(name);
    nix::unistd::mkfifo(&at("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    fs::create_dir(at("folder")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
    for name in ["pipe", "folder", "socket"] {
        let error = SqliteBackend::open(&Sqlite::new(at(name))).unwrap_err();
        assert!(matches!(error, Error::Config(_)), "{error:?}");
        let why = error.to_string();
        assert!(why.contains(&*at(name).to_string_lossy()), "{why}");
        assert!(why.contains("it is no file; name one"), "{why}");
    }
}

#[test]
fn what_cannot_be_such_a_table_is_refused_and_left_as_it_is() {
    let world = World::new();
    for (make, hint) in [
        (
            "create table sessions (id text primary key, data text)",
            "no such column",
        ),
        (
            "create table sessions (sid text, sess text, expired text)",
            "ON CONFLICT",
        ),
        (
            "create table sessions (sid text primary key, sess text, expired text) without rowid",
            "rowid",
        ),
        (
            "create table sessions (sid text primary key, sess text, expired text, \
             owner text not null)",
            "a column owner that may not be left out",
        ),
        (
            "create table sessions (sid text primary key, sess text, expired text, \
             id integer not null default null)",
            "a column id that may not be left out",
        ),
    ] {
        let other = world.other();
        other.execute_batch(make).unwrap();
        let error = SqliteBackend::open(&world.config).unwrap_err();
        assert!(matches!(error, Error::Config(_)), "{error:?}");
        assert!(error.to_string().contains(hint), "{error}");
        other.execute_batch("drop table sessions").unwrap();
    }
    let other = world.other();
    let sql = "drop table memstore_cluster; create table memstore_cluster (a integer)";
    other.execute_batch(sql).unwrap();
    let error = SqliteBackend::open(&world.config).unwrap_err();
    assert!(matches!(error, Error::Config(_)), "{error:?}");
    drop(other);
    fs::write(
        world.path(),
        "this is no database, but a text that is long enough",
    )
    .unwrap();
    let error = SqliteBackend::open(&world.config).unwrap_err();
    assert!(matches!(error, Error::Config(_)), "{error:?}");
    let kept = fs::read(world.path()).unwrap();
    assert!(kept.starts_with(b"this is no database"));
}

#[test]
fn a_name_may_be_anything() {
    let world = World::new();
    for table in ["order", "a\"b`c'", "sessions; drop", "Ümlaut"] {
        let config = Sqlite {
            table: table.to_owned(),
            ..world.config.clone()
        };
        let mut store = SqliteBackend::open(&config).unwrap();
        put(&mut store, b"k", table.as_bytes());
        store.commit().unwrap();
        drop(store);
        let mut store = SqliteBackend::open(&config).unwrap();
        assert_eq!(value(&mut store, b"k").unwrap(), table.as_bytes());
    }
}

#[test]
fn its_file_is_nobody_elses_to_read() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::new();
    let mut store = world.open();
    put(&mut store, b"k", b"v");
    store.commit().unwrap();
    for file in fs::read_dir(world.folder.path()).unwrap() {
        let file = file.unwrap();
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{:?}", file.path());
    }
}
