//! One server: what is written is what other clients of it see, and the other way round.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use memstore_cluster::backend::{Backend, Cursor, Deadline, SetOutcome, Walk};
use memstore_cluster::contract::{Condition, Seq};
use memstore_cluster::time::{Clock, Millis, SystemClock};

use crate::common::{eventually, folder};
use crate::servers::{Server, open};

fn now() -> Millis {
    SystemClock::new().now()
}

fn get(store: &mut dyn Backend, key: &str) -> Option<(Vec<u8>, Option<Millis>, Seq)> {
    let found = store.get(now(), key.as_bytes()).unwrap();
    let found = found.map(|entry| (entry.value.into_owned(), entry.deadline, entry.seq));
    store.commit().unwrap();
    found
}

fn set(
    store: &mut dyn Backend,
    key: &str,
    value: &str,
    deadline: Deadline,
    condition: Condition,
) -> SetOutcome {
    let (key, value) = (key.as_bytes(), value.as_bytes());
    let outcome = store.set(now(), key, value, deadline, condition).unwrap();
    store.commit().unwrap();
    outcome
}

fn stored(outcome: SetOutcome) -> Seq {
    match outcome {
        SetOutcome::Stored(seq) => seq,
        SetOutcome::Conflict(found) => panic!("a conflict with {found:?}"),
    }
}

#[test]
fn what_is_written_is_what_another_client_reads_and_the_other_way_round() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let store = &mut open(&format!("{}?prefix=sess%3A", server.url())).unwrap();
    let hour = Deadline::At(now().after_ms(3_600_000));
    let seq = stored(set(store, "a", r#"{"n":1}"#, hour, Condition::Always));
    assert_eq!(server.cli(&["GET", "sess:a"]), r#"{"n":1}"#);
    let ttl: u64 = server.cli(&["TTL", "sess:a"]).parse().unwrap();
    assert!((3_590..=3_600).contains(&ttl), "{ttl}");
    let (value, deadline, found) = get(store, "a").unwrap();
    assert_eq!((value, found), (br#"{"n":1}"#.to_vec(), seq));
    assert!(deadline.is_some());

    server.cli(&["SET", "sess:b", "theirs"]);
    let (value, deadline, _) = get(store, "b").unwrap();
    assert_eq!((value, deadline), (b"theirs".to_vec(), None));
    assert!(store.destroy(now(), b"b").unwrap() && !store.destroy(now(), b"b").unwrap());
    store.commit().unwrap();
    assert_eq!(server.cli(&["EXISTS", "sess:b"]), "0");
}

#[test]
fn a_touch_moves_the_deadline_of_what_is_there_and_nothing_else() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let store = &mut open(&server.url()).unwrap();
    server.cli(&["SET", "k", "v"]);
    let soon = Deadline::At(now().after_ms(100_000));
    assert!(store.touch(now(), b"k", soon).unwrap());
    assert!(!store.touch(now(), b"none", soon).unwrap());
    store.commit().unwrap();
    assert_eq!(server.cli(&["EXISTS", "none"]), "0");
    let ttl: u64 = server.cli(&["PTTL", "k"]).parse().unwrap();
    assert!((90_000..=100_000).contains(&ttl), "{ttl}");
    assert!(store.touch(now(), b"k", Deadline::Never).unwrap());
    store.commit().unwrap();
    assert_eq!(server.cli(&["PTTL", "k"]), "-1");
    assert!(store.touch(now(), b"k", Deadline::At(now())).unwrap());
    store.commit().unwrap();
    assert_eq!(server.cli(&["EXISTS", "k"]), "0");
    set(store, "k", "1", soon, Condition::Always);
    set(store, "k", "2", Deadline::Keep, Condition::Always);
    assert!(server.cli(&["PTTL", "k"]).parse::<u64>().unwrap() > 90_000);
}

#[test]
fn several_writes_of_a_turn_to_a_key_leave_what_the_last_one_says() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let store = &mut open(&server.url()).unwrap();
    let at = |ms| Deadline::At(now().after_ms(ms));
    let always = Condition::Always;
    store.set(now(), b"a", b"1", at(50_000), always).unwrap();
    store.touch(now(), b"a", at(500_000)).unwrap();
    store
        .set(now(), b"a", b"2", Deadline::Keep, always)
        .unwrap();
    store
        .set(now(), b"b", b"1", Deadline::Never, always)
        .unwrap();
    store.destroy(now(), b"b").unwrap();
    store.destroy(now(), b"c").unwrap();
    store
        .set(now(), b"c", b"1", Deadline::Never, always)
        .unwrap();
    store.touch(now(), b"c", at(500_000)).unwrap();
    let outcome = store.set(now(), b"c", b"2", Deadline::Keep, Condition::IfPresent);
    stored(outcome.unwrap());
    store.commit().unwrap();
    assert_eq!(server.cli(&["MGET", "a", "b", "c"]), "2\n\n2");
    for key in ["a", "c"] {
        let ttl: u64 = server.cli(&["PTTL", key]).parse().unwrap();
        assert!((490_000..=500_000).contains(&ttl), "{key}: {ttl}");
    }
}

#[test]
fn a_condition_is_held_against_what_the_server_has() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let store = &mut open(&server.url()).unwrap();
    let never = Deadline::Never;
    let absent = SetOutcome::Conflict(None);
    assert_eq!(set(store, "k", "1", never, Condition::IfPresent), absent);
    assert_eq!(
        set(store, "k", "1", never, Condition::IfSeq(Seq(7))),
        absent
    );
    let first = stored(set(store, "k", "1", never, Condition::IfAbsent));
    let found = SetOutcome::Conflict(Some(first));
    assert_eq!(set(store, "k", "2", never, Condition::IfAbsent), found);
    let second = stored(set(store, "k", "2", never, Condition::IfSeq(first)));
    let found = SetOutcome::Conflict(Some(second));
    assert_eq!(set(store, "k", "3", never, Condition::IfSeq(first)), found);
    server.cli(&["SET", "k", "theirs"]);
    let outcome = set(store, "k", "3", never, Condition::IfSeq(second));
    let (_, _, theirs) = get(store, "k").unwrap();
    assert_eq!(outcome, SetOutcome::Conflict(Some(theirs)));
    let soon = Deadline::At(now().after_ms(60_000));
    stored(set(store, "k", "4", soon, Condition::IfSeq(theirs)));
    assert!(server.cli(&["PTTL", "k"]).parse::<u64>().unwrap() > 50_000);
    stored(set(
        store,
        "k",
        "5",
        Deadline::At(now()),
        Condition::IfPresent,
    ));
    assert_eq!(server.cli(&["EXISTS", "k"]), "0");
}

#[test]
fn a_walk_visits_everything_once_in_steps_and_only_what_has_the_prefix() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let store = &mut open(&format!("{}?prefix=[a]*", server.url())).unwrap();
    server.cli(&["SET", "another", "1"]);
    server.cli(&["LPUSH", "[a]*list", "1"]);
    let keys: Vec<String> = (0..1_000).map(|number| format!("k{number:03}")).collect();
    for key in &keys {
        let always = Condition::Always;
        store
            .set(now(), key.as_bytes(), b"v", Deadline::Never, always)
            .unwrap();
    }
    store.commit().unwrap();
    assert_eq!(store.length(now()).unwrap(), 1_000);
    let (mut found, mut cursor) = (Vec::new(), Cursor::default());
    loop {
        let mut left = 7;
        let next = store.all(now(), cursor, &mut |key, entry| {
            assert_eq!(&*entry.value, b"v");
            found.push(String::from_utf8(key.to_vec()).unwrap());
            left -= 1;
            if left == 0 { Walk::Pause } else { Walk::On }
        });
        store.commit().unwrap();
        match next.unwrap() {
            Some(next) => cursor = next,
            None => break,
        }
    }
    found.sort();
    assert_eq!(found, keys);
    store.clear(now()).unwrap();
    store.commit().unwrap();
    assert_eq!(store.length(now()).unwrap(), 0);
    assert_eq!(server.cli(&["DBSIZE"]), "2");
}

#[test]
fn what_is_no_string_is_an_error_and_no_value() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let store = &mut open(&server.url()).unwrap();
    server.cli(&["LPUSH", "list", "1"]);
    let error = store.get(now(), b"list").unwrap_err().to_string();
    assert!(error.contains("WRONGTYPE"), "{error}");
    store.commit().unwrap();
    assert!(get(store, "none").is_none());
}

#[test]
fn it_logs_in_and_says_when_it_is_not_let_in() {
    let Some(server) = Server::start(&["--requirepass", "right"]) else {
        return;
    };
    for url in [server.url(), server.url().replace("//", "//:wrong@")] {
        let error = open(&url).unwrap_err().to_string();
        assert!(
            error.contains("NOAUTH") || error.contains("WRONGPASS"),
            "{error}"
        );
        assert!(!error.contains("wrong@"), "{error}");
    }
    let store = &mut open(&server.url().replace("//", "//:right@")).unwrap();
    assert!(get(store, "k").is_none());
    let folder = folder();
    let file = folder.path().join("password");
    let in_a_file = format!("{}?password-file={}", server.url(), file.display());
    let refused = |words: &str| {
        let error = open(&in_a_file).unwrap_err().to_string();
        assert!(error.contains(words), "{words}: {error}");
        assert!(!error.contains("right"), "{error}");
    };
    refused("No such file");
    let write = |password: &str, mode| {
        fs::write(&file, password).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
    };
    write("right\n", 0o644);
    refused("open to others");
    write("\n", 0o600);
    refused("there is no password in");
    write("right\n", 0o600);
    let store = &mut open(&in_a_file).unwrap();
    assert!(get(store, "k").is_none());
    let unix = format!("redis+unix://:right@{}?db=3", server.sock().display());
    let store = &mut open(&unix).unwrap();
    set(store, "k", "v", Deadline::Never, Condition::Always);
    let found = server.cli(&["-a", "right", "--no-auth-warning", "-n", "3", "GET", "k"]);
    assert_eq!(found, "v");
}

#[test]
fn a_password_that_changes_in_its_file_changes_without_a_restart() {
    let Some(server) = Server::start(&["--requirepass", "first"]) else {
        return;
    };
    let folder = folder();
    let file = folder.path().join("password");
    let write = |password: &str| {
        fs::write(&file, password).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    };
    let cli = |password: &str, args: &[&str]| {
        server.cli(&[&["-a", password, "--no-auth-warning"], args].concat())
    };
    write("first");
    let url = format!("{}?password-file={}", server.url(), file.display());
    let store = &mut open(&url).unwrap();
    set(store, "k", "v", Deadline::Never, Condition::Always);
    cli("first", &["CONFIG", "SET", "requirepass", "second"]);
    cli("second", &["CLIENT", "KILL", "TYPE", "normal"]);
    eventually("it is not let in", || {
        let found = store.get(now(), b"k").map(|_| ());
        store.commit().unwrap();
        found
            .is_err_and(|error| error.to_string().contains("WRONGPASS"))
            .then_some(())
    });
    write("second");
    eventually("it is let in again", || {
        let found = store.get(now(), b"k").is_ok();
        store.commit().unwrap();
        found.then_some(())
    });
}

#[test]
fn nothing_is_lost_and_everything_is_told_while_the_server_is_away() {
    let Some(mut server) = Server::start(&[]) else {
        return;
    };
    let store = &mut open(&server.url()).unwrap();
    set(store, "k", "v", Deadline::Never, Condition::Always);
    server.kill();
    let error = store.get(now(), b"k").unwrap_err().to_string();
    assert!(error.contains(&server.port.to_string()), "{error}");
    let always = Condition::Always;
    let written = store.set(now(), b"k", b"w", Deadline::Never, always);
    written.and_then(|_| store.commit()).unwrap_err();
    server.restart();
    eventually("it finds the server again", || {
        let found = store.get(now(), b"k").is_ok();
        store.commit().unwrap();
        found.then_some(())
    });
    set(store, "k", "x", Deadline::Never, Condition::Always);
    assert_eq!(server.cli(&["GET", "k"]), "x");
}

#[test]
fn a_server_that_does_not_answer_is_waited_for_no_longer_than_was_said() {
    use nix::sys::signal::Signal;
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let store = &mut open(&format!("{}?timeout=100ms", server.url())).unwrap();
    server.process().signal(Signal::SIGSTOP);
    let begin = std::time::Instant::now();
    for key in 0..100u8 {
        store.get(now(), &[key]).unwrap_err();
    }
    // Far less than each for itself would take.
    assert!(
        begin.elapsed() < Duration::from_secs(8),
        "{:?}",
        begin.elapsed()
    );
    server.process().signal(Signal::SIGCONT);
    eventually("it answers again", || {
        let found = store.get(now(), b"k").is_ok();
        store.commit().unwrap();
        found.then_some(())
    });
}

#[test]
fn a_connection_that_the_server_closed_is_made_anew_before_it_is_missed() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let store = &mut open(&server.url()).unwrap();
    for round in 0..10 {
        server.cli(&["CLIENT", "KILL", "TYPE", "normal"]);
        let value = round.to_string();
        let key = format!("k{round}");
        let never = Deadline::Never;
        if round % 2 == 0 {
            set(store, &key, &value, never, Condition::Always);
        } else {
            // This is not sent again by itself.
            eventually("it is connected again", || {
                server
                    .cli(&["CLIENT", "LIST"])
                    .contains("resp=3")
                    .then_some(())
            });
            stored(set(store, &key, &value, never, Condition::IfAbsent));
        }
        assert_eq!(server.cli(&["GET", &key]), value);
    }
}

#[test]
fn a_walk_among_the_keys_of_many_others_pauses_and_clear_leaves_them() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let others = "for i = 1, 100000 do redis.call('SET', 'other:' .. i, '') end";
    server.cli(&["EVAL", others, "0"]);
    let store = &mut open(&format!("{}?prefix=mine:&timeout=10s", server.url())).unwrap();
    for key in 0..10u8 {
        let always = Condition::Always;
        store
            .set(now(), &[key], b"v", Deadline::Never, always)
            .unwrap();
    }
    store.commit().unwrap();
    let (mut found, mut steps, mut cursor) = (Vec::new(), 0, Some(Cursor::default()));
    while let Some(at) = cursor {
        steps += 1;
        cursor = store
            .all(now(), at, &mut |key, _| {
                found.push(key[0]);
                Walk::On
            })
            .unwrap();
        store.commit().unwrap();
    }
    found.sort_unstable();
    assert!(found.iter().copied().eq(0..10), "{found:?}");
    assert!(steps > 1, "others had no turn");
    store.clear(now()).unwrap();
    store.commit().unwrap();
    assert_eq!(server.cli(&["DBSIZE"]), "100000");
}
