//! Publish and subscribe by the library, in every role and with clients of the Redis dialect.

#![cfg(all(feature = "cli", target_os = "linux"))]
#![allow(clippy::unwrap_used, reason = "helpers may panic as the tests do")]

mod common;

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use common::cluster::start_part;
use common::parts::{self, say, serve};
use common::proxy::Proxy;
use common::redis::{Master, Wire};
use common::{PATIENCE, connect, eventually, folder};
use memstore_cluster::config::Limits;
use memstore_cluster::testing::TestMaster;
use memstore_cluster::{Error, Message, Options, Role, Standalone, Store, Subscription};
use nix::sys::signal::Signal;

#[test]
fn play_a_part() {
    match parts::asked().as_deref() {
        None => {}
        Some("talk") => talk(),
        Some(other) => panic!("there is no part {other:?}"),
    }
}

/// Two workers: the first listens, the second speaks once the first does.
fn talk() {
    let store = Options::default().create().unwrap();
    if store.worker() == Some(0) {
        let mut news = store.subscribe(&["news"]).unwrap();
        let message = next(&mut news);
        say(&format!("heard {}", text(&message)));
    } else {
        let told = eventually("somebody listens", || {
            Some(store.publish("news", "from the other worker").unwrap()).filter(|told| *told > 0)
        });
        say(&format!("told {told}"));
    }
    loop {
        thread::park();
    }
}

fn next(subscription: &mut Subscription) -> Message {
    let received = subscription.receive(PATIENCE).unwrap();
    received.expect("a message comes")
}

fn text(message: &Message) -> &str {
    std::str::from_utf8(&message.payload).unwrap()
}

/// Nothing waits.
fn is_silent(subscription: &mut Subscription) -> bool {
    subscription.receive(Duration::ZERO).unwrap().is_none()
}

fn alone(keyspace_events: &str) -> Store {
    let options = Options {
        standalone: Standalone::Always,
        keyspace_events: keyspace_events.parse().unwrap(),
        ..Options::default()
    };
    options.create().unwrap()
}

#[test]
fn one_worker_hears_another_over_nothing_but_its_channel() {
    let folder = folder();
    let master = start_part(&folder.path().join("s"), "--workers 2", "talk");
    master
        .stdout()
        .until_contains("heard from the other worker");
    master.stdout().until_contains("told 1");
}

#[test]
fn everybody_hears_everybody_in_order() {
    let master = TestMaster::start().unwrap();
    let stores = [
        master.store().clone(),
        master.worker(0).unwrap(),
        master.worker(1).unwrap(),
    ];
    let subscribe = |store: &Store| {
        (
            store.subscribe(&["news", "other"]).unwrap(),
            store.subscribe_matching(&["n*"]).unwrap(),
        )
    };
    let mut all: Vec<_> = stores.iter().map(subscribe).collect();
    for round in 0..100 {
        for (number, store) in stores.iter().enumerate() {
            let payload = format!("{round} {number}");
            assert_eq!(store.publish("news", &payload).unwrap(), 6);
        }
    }
    assert_eq!(stores[1].publish("other", "last").unwrap(), 3);
    for (by_name, by_pattern) in &mut all {
        for round in 0..100 {
            for number in 0..3 {
                let expected = format!("{round} {number}");
                let (one, other) = (next(by_name), next(by_pattern));
                assert_eq!((text(&one), text(&other)), (&*expected, &*expected));
                assert_eq!((one.pattern, other.pattern), (None, Some(b"n*".to_vec())));
                assert_eq!(
                    (one.channel, other.channel),
                    (b"news".into(), b"news".into())
                );
            }
        }
        let last = next(by_name);
        assert_eq!((&last.channel[..], text(&last)), (&b"other"[..], "last"));
        assert!(is_silent(by_name) && is_silent(by_pattern));
    }
    drop(all);
    assert_eq!(stores[0].publish("news", "to nobody").unwrap(), 0);
}

#[test]
fn alone_a_process_hears_itself() {
    let store = alone("");
    let mut news = store.subscribe(&["news"]).unwrap();
    assert!(is_silent(&mut news));
    thread::scope(|scope| {
        let waiting = scope.spawn(|| next(&mut news));
        assert_eq!(store.publish("news", "hello").unwrap(), 1);
        assert_eq!(text(&waiting.join().unwrap()), "hello");
    });
    let long = "x".repeat(Limits::default().max_key + 1);
    assert!(matches!(
        store.publish(&long, ""),
        Err(Error::KeyTooLong { .. })
    ));
    let long = store.subscribe_matching(&["x".repeat(300)]);
    assert!(matches!(long, Err(Error::Protocol(_))));
    drop(news);
    assert_eq!(store.publish("news", "to nobody").unwrap(), 0);
}

#[test]
fn changes_by_the_process_with_the_store_are_told_too() {
    let master = TestMaster::builder().options(Options {
        keyspace_events: "KA".parse().unwrap(),
        ..Options::default()
    });
    let master = master.start().unwrap();
    for (writer, reader) in [
        (alone("KA"), None),
        (master.store().clone(), Some(master.worker(0).unwrap())),
    ] {
        let reader = reader.as_ref().unwrap_or(&writer);
        let mut changes = reader.subscribe_matching(&["__keyspace@0__:*"]).unwrap();
        writer.set("k", "v").unwrap();
        writer
            .regenerate("k", "l", Duration::from_secs(60))
            .unwrap();
        writer.touch("l", Some(Duration::from_millis(1))).unwrap();
        let told: Vec<_> = (0..4)
            .map(|_| {
                let message = next(&mut changes);
                let key = message.channel["__keyspace@0__:".len()..].to_vec();
                (text(&message).to_owned(), String::from_utf8(key).unwrap())
            })
            .collect();
        let expected = [
            ("set", "k"),
            ("copy_to", "l"),
            ("expire", "k"),
            ("expire", "l"),
        ];
        let expected = expected.map(|(event, key)| (event.to_owned(), key.to_owned()));
        assert_eq!(told, expected);
        // Alone nobody looks but whoever calls.
        let expired = eventually("it is told that it expired", || {
            writer.length().unwrap();
            changes.receive(Duration::from_millis(1)).unwrap()
        });
        assert_eq!(text(&expired), "expired");
    }
}

#[test]
fn both_dialects_share_their_channels() {
    let master = Master::start(&[]);
    let native = connect(&master.sock());
    let mut wire = master.connect();
    let mut news = native.subscribe(&["news"]).unwrap();
    wire.ask("PUBLISH news hello", ":1\r\n");
    let message = next(&mut news);
    assert_eq!(
        (&message.channel[..], text(&message)),
        (&b"news"[..], "hello")
    );
    wire.ask("SPUBLISH news hello", ":0\r\n");
    wire.ask("PUBSUB CHANNELS", "*1\r\n$4\r\nnews\r\n");
    wire.ask("PUBSUB NUMSUB news", "*2\r\n$4\r\nnews\r\n:1\r\n");
    wire.ask(
        "SUBSCRIBE news",
        "*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n",
    );
    assert_eq!(native.publish("news", "to both").unwrap(), 2);
    wire.expect("*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$7\r\nto both\r\n");
    assert_eq!(text(&next(&mut news)), "to both");
    let mut other = master.connect();
    // Larger than what the native dialect takes.
    let large = "x".repeat(Limits::default().max_value);
    other.send(format!(
        "*3\r\n$7\r\nPUBLISH\r\n$5000\r\n{}\r\n",
        "c".repeat(5000)
    ));
    other.send(format!("${}\r\n{large}\r\n", large.len()));
    other.expect(":0\r\n");
    drop(news);
    eventually("it is no subscriber any more", || {
        other.send("PUBSUB NUMSUB news\r\n");
        other.expect("*2\r\n$4\r\nnews\r\n");
        (other.line() == ":1").then_some(())
    });
}

#[test]
fn the_threads_of_a_handle_go_on_while_one_waits_for_messages() {
    let master = TestMaster::start().unwrap();
    let store = master.worker(0).unwrap();
    let mut news = store.subscribe(&["news"]).unwrap();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| next(&mut news));
        let workers: Vec<_> = (0..3)
            .map(|thread| {
                let store = store.clone();
                scope.spawn(move || {
                    for number in 0..300 {
                        let (key, value) = (format!("{thread}"), format!("{number}"));
                        store.set(&key, &value).unwrap();
                        assert_eq!(store.get(&key).unwrap().unwrap().value, value.as_bytes());
                    }
                })
            })
            .collect();
        for worker in workers {
            worker.join().unwrap();
        }
        assert!(!waiting.is_finished());
        store.publish("news", "the end").unwrap();
        assert_eq!(text(&waiting.join().unwrap()), "the end");
    });
}

#[test]
fn who_does_not_receive_loses_messages_and_nobody_else_does() {
    let limits = Limits {
        max_value: 1 << 20,
        ..Limits::default()
    };
    let master = TestMaster::builder().options(Options {
        limits: limits.clone(),
        ..Options::default()
    });
    let master = master.start().unwrap();
    let (worker, publisher) = (master.worker(0).unwrap(), master.worker(1).unwrap());
    for slow in [&worker, master.store()] {
        let mut slow = slow.subscribe(&["news"]).unwrap();
        let mut quick = worker.subscribe(&["news"]).unwrap();
        let large = vec![b'x'; 1 << 20];
        let count = 2 * limits.hard_cap() / large.len();
        for _ in 0..count {
            assert_eq!(publisher.publish("news", &large).unwrap(), 2);
            assert_eq!(next(&mut quick).payload.len(), large.len());
        }
        worker.ping().unwrap();
        let mut received = 0;
        let missed = loop {
            match slow.next().unwrap() {
                Ok(message) => {
                    assert_eq!(message.payload.len(), large.len());
                    received += 1;
                }
                Err(error) => break error,
            }
        };
        assert!(matches!(missed, Error::Missed(_)), "{missed:?}");
        assert!((5..count).contains(&received), "{received} of {count}");
        publisher.publish("news", "it goes on").unwrap();
        assert_eq!(text(&slow.next().unwrap().unwrap()), "it goes on");
    }
}

fn receive_error(subscription: &mut Subscription) -> Error {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match subscription.receive(Duration::from_millis(100)) {
            Ok(None) => assert!(Instant::now() < deadline, "no error came"),
            Ok(Some(message)) => panic!("{message:?}"),
            Err(error) => return error,
        }
    }
}

#[test]
fn a_subscription_goes_on_at_the_next_master_and_tells_the_gap() {
    let folder = folder();
    let sock = folder.path().join("s");
    let mut master = serve(&sock, ["--log", "info"]);
    let store = connect(&sock);
    let mut news = store.subscribe(&["news"]).unwrap();
    store.publish("news", "before").unwrap();
    assert_eq!(text(&next(&mut news)), "before");
    let (_next, error) = thread::scope(|scope| {
        let waiting = scope.spawn(|| news.next().unwrap());
        master.signal(Signal::SIGKILL);
        master.wait();
        let next = serve(&sock, ["--log", "info"]);
        (next, waiting.join().unwrap().unwrap_err())
    });
    assert!(matches!(error, Error::Missed(_)), "{error:?}");
    assert_eq!(store.publish("news", "after").unwrap(), 1);
    assert_eq!(text(&news.next().unwrap().unwrap()), "after");
}

#[test]
fn who_becomes_the_master_goes_on_with_its_own_messages() {
    let folder = folder();
    let sock = folder.path().join("s");
    let mut master = serve(&sock, ["--log", "info"]);
    let anything = Options {
        sock: Some(sock.clone()),
        standalone: Standalone::Never,
        ..Options::default()
    };
    let store = anything.create().unwrap();
    assert_eq!(store.role(), Role::Worker);
    let mut news = store.subscribe(&["news"]).unwrap();
    master.signal(Signal::SIGKILL);
    master.wait();
    assert!(matches!(receive_error(&mut news), Error::Missed(_)));
    assert_eq!(store.role(), Role::Master);
    let mut wire = Wire::connect(&sock);
    wire.ask("PUBLISH news hello", ":1\r\n");
    assert_eq!(text(&next(&mut news)), "hello");
    wire.ask(
        "SUBSCRIBE news",
        "*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n",
    );
    assert_eq!(store.publish("news", "wakes the loop").unwrap(), 2);
    wire.expect("*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$14\r\nwakes the loop\r\n");
}

#[test]
fn a_worker_whose_master_is_gone_is_told_and_the_iterator_ends() {
    let master = TestMaster::start().unwrap();
    let worker = master.worker(0).unwrap();
    let mut news = worker.subscribe(&["news"]).unwrap();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let error = news.next().unwrap().unwrap_err();
            (error, news.next().is_none())
        });
        drop(master);
        let (error, is_over) = waiting.join().unwrap();
        assert!(matches!(error, Error::MasterGone), "{error:?}");
        assert!(is_over);
    });
}

#[test]
fn a_master_that_does_not_answer_is_a_timeout_and_then_a_gap() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    let _master = serve(&path("s"), ["--log", "info"]);
    let proxy = Proxy::start(&path("proxy"), &path("s"));
    let store = connect_for(&path("proxy"), Duration::from_millis(200));
    let mut news = store.subscribe(&["news"]).unwrap();
    proxy.keep_replies_back();
    let error = news.receive(Duration::from_millis(1)).unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
    let error = news.receive(Duration::from_millis(1)).unwrap_err();
    assert!(matches!(error, Error::Missed(_)), "{error:?}");
    proxy.cut();
    assert!(matches!(receive_error(&mut news), Error::Missed(_)));
    connect(&path("s")).publish("news", "on").unwrap();
    assert_eq!(text(&next(&mut news)), "on");
}

fn connect_for(sock: &Path, timeout: Duration) -> Store {
    connect(sock).with_timeout(timeout)
}
