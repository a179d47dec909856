//! The near cache: what was read is not asked for again, until somebody changes it.

use memstore_cluster::Error;
use memstore_cluster::backend::{Backend, RedisBackend};
use memstore_cluster::config::{ByteSize, Store};
use memstore_cluster::time::{Clock, SystemClock};

use nix::sys::signal::Signal;

use crate::common::ended::end;
use crate::common::{eventually, memstore};
use crate::servers::{Server, open};

fn get(store: &mut RedisBackend, key: &str) -> Option<String> {
    let now = SystemClock::new().now();
    let found = store.get(now, key.as_bytes()).unwrap();
    let found = found.map(|entry| String::from_utf8(entry.value.into_owned()).unwrap());
    store.commit().unwrap();
    found
}

/// How many `GET`s the server has done.
fn reads(server: &Server) -> u64 {
    let stats = server.cli(&["INFO", "commandstats"]);
    let line = stats
        .lines()
        .find_map(|line| line.strip_prefix("cmdstat_get:calls="));
    line.map_or(0, |line| line.split(',').next().unwrap().parse().unwrap())
}

#[test]
fn what_was_read_is_not_asked_for_again_until_another_client_writes_it() {
    let Some(mut server) = Server::start(&[]) else {
        return;
    };
    let store = &mut open(&format!("{}?near=1mb&prefix=s:&timeout=20s", server.url())).unwrap();
    server.cli(&["SET", "s:k", "1"]);
    // The news of that write may come after the first look.
    let before = eventually("it is kept", || {
        let before = reads(&server);
        assert_eq!(get(store, "k").as_deref(), Some("1"));
        (reads(&server) == before).then_some(before)
    });
    for _ in 0..100 {
        assert_eq!(get(store, "k").as_deref(), Some("1"));
    }
    assert_eq!(reads(&server), before);
    for value in ["2", "3", "4"] {
        server.cli(&["SET", "s:k", value]);
        eventually("the news of it has come", || {
            (get(store, "k").as_deref() == Some(value)).then_some(())
        });
    }
    server.cli(&["FLUSHALL"]);
    eventually("everything is gone", || {
        get(store, "k").is_none().then_some(())
    });

    server.cli(&["SET", "s:k", "5"]);
    eventually("it is read again", || {
        (get(store, "k").as_deref() == Some("5")).then_some(())
    });
    server.kill();
    server.restart();
    eventually("what a lost server had is not known any more", || {
        let now = SystemClock::new().now();
        let is_gone = store.get(now, b"k").is_ok_and(|found| found.is_none());
        store.commit().unwrap();
        is_gone.then_some(())
    });
}

#[test]
fn what_is_known_is_not_relied_on_where_the_server_falls_silent() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let store = &mut open(&format!("{}?near=1mb", server.url())).unwrap();
    server.cli(&["SET", "k", "1"]);
    assert_eq!(get(store, "k").as_deref(), Some("1"));
    server.process().signal(Signal::SIGSTOP);
    eventually("nobody answers for the server", || {
        let is_refused = store.get(SystemClock::new().now(), b"k").is_err();
        store.commit().unwrap();
        is_refused.then_some(())
    });
    server.process().signal(Signal::SIGCONT);
}

#[test]
fn what_we_write_is_what_we_read() {
    use memstore_cluster::backend::Deadline;
    use memstore_cluster::contract::Condition;
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let store = &mut open(&format!("{}?near=1mb", server.url())).unwrap();
    for round in 0..200 {
        let (now, value) = (SystemClock::new().now(), round.to_string());
        let deadline = Deadline::At(now.after_ms(100_000));
        let written = store.set(now, b"k", value.as_bytes(), deadline, Condition::Always);
        written.unwrap();
        store.commit().unwrap();
        for _ in 0..3 {
            assert_eq!(get(store, "k").as_deref(), Some(value.as_str()));
        }
        assert!(store.destroy(now, b"k").unwrap());
        store.commit().unwrap();
        assert_eq!(get(store, "k"), None);
    }
}

#[test]
fn a_near_cache_for_a_cluster_is_refused_at_the_start() {
    const WHY: &str = "a near cache needs a single primary";
    // Asked for by a URL it is refused before anything is started, whichever role it is for.
    let url = "redis-cluster://127.0.0.1:1?near=1mb";
    for args in [&["serve"][..], &["run", "--", "true"]] {
        let mut program = memstore(&args[..1]);
        program.args(["--store", url]).args(&args[1..]);
        end(&mut program).with(2, &["--store", WHY]);
    }
    let invalid = url.parse::<Store>().unwrap_err();
    assert!(invalid.to_string().contains(WHY), "{invalid}");
    // Asked for by a program that puts it together itself, too.
    let Store::Redis(mut redis) = "redis-cluster://127.0.0.1:1".parse().unwrap() else {
        panic!("it is Redis");
    };
    redis.near = Some(ByteSize(1 << 20));
    match RedisBackend::open(&redis) {
        Err(Error::Config(why)) => assert!(why.contains(WHY), "{why}"),
        other => panic!("{other:?}"),
    }
}
