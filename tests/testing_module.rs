//! Masters and workers inside one process, as a user's tests have them.

#![allow(clippy::unwrap_used, reason = "helpers may panic as the tests do")]

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use memstore_cluster::config::Limits;
use memstore_cluster::protocol::message::Hello;
use memstore_cluster::protocol::{ErrorCode, Reply, Request, codec, frame};
use memstore_cluster::testing::TestMaster;
use memstore_cluster::time::{ManualClock, Millis};
use memstore_cluster::{Error, Options, Role, SetOptions};

fn ttl(ms: u64) -> SetOptions {
    SetOptions::new().ttl(Duration::from_millis(ms))
}

#[test]
fn the_roles_are_what_they_would_be_in_processes_of_their_own() {
    let master = TestMaster::start().unwrap();
    let workers: Vec<_> = (0..3).map(|slot| master.worker(slot).unwrap()).collect();
    assert_eq!(
        (master.store().role(), master.store().worker()),
        (Role::Master, None)
    );
    for (slot, worker) in (0..).zip(&workers) {
        assert_eq!((worker.role(), worker.worker()), (Role::Worker, Some(slot)));
        assert_eq!(worker.capabilities(), master.store().capabilities());
    }
    let seq = workers[0].set("foo", "bar").unwrap();
    for store in [&workers[2], master.store()] {
        let entry = store.get("foo").unwrap().unwrap();
        assert_eq!(
            (entry.value.as_slice(), entry.seq),
            (b"bar".as_slice(), seq)
        );
        assert!(store.get("baz").unwrap().is_none());
    }
    assert!(master.store().destroy("foo").unwrap());
    assert!(workers[1].get("foo").unwrap().is_none());
}

#[test]
fn time_stands_still_until_it_is_moved() {
    let clock = ManualClock::new(Millis::from_unix(1_000));
    let master = TestMaster::builder().clock(clock.clone()).start().unwrap();
    let (worker, own) = (master.worker(0).unwrap(), master.store());
    worker.set_with("foo", "", ttl(10)).unwrap();
    own.set_with("bar", "", ttl(20)).unwrap();
    let left = |key: &str| worker.get(key).unwrap().map(|entry| entry.ttl.unwrap());
    clock.advance(Duration::from_millis(9));
    assert_eq!(
        left("foo"),
        Some(Duration::from_millis(1)),
        "to the millisecond"
    );
    assert!(own.touch("foo", Some(Duration::from_millis(2))).unwrap());
    clock.advance(Duration::from_millis(1));
    assert_eq!(left("foo"), Some(Duration::from_millis(1)));
    clock.advance(Duration::from_millis(1));
    for store in [&worker, own] {
        assert!(store.get("foo").unwrap().is_none());
        assert!(
            !store.touch("foo", None).unwrap(),
            "what is gone is not brought back"
        );
        assert!(!store.destroy("foo").unwrap());
        assert_eq!(store.length().unwrap(), 1);
        let all: Vec<_> = store.all().map(|item| item.unwrap().0).collect();
        assert_eq!(all, [b"bar"]);
    }
    clock.advance(Duration::from_secs(3600));
    assert_eq!(own.length().unwrap(), 0);
    worker
        .set_with("foo", "", SetOptions::new().if_absent())
        .unwrap();
}

#[test]
fn dropping_the_master_is_the_end_of_its_workers() {
    let master = TestMaster::start().unwrap();
    let worker = master.worker(0).unwrap();
    let mut raw = master.raw_channel(1).unwrap();
    worker.set("foo", "bar").unwrap();
    let own = master.store().clone();
    drop(master);
    assert!(
        worker.get("foo").unwrap().is_some(),
        "a handle keeps it alive"
    );
    drop(own);
    let started = Instant::now();
    for error in [
        worker.get("foo").unwrap_err(),
        worker.set("foo", "bar").unwrap_err(),
        worker.length().unwrap_err(),
        worker.all().next().unwrap().unwrap_err(),
    ] {
        assert!(matches!(error, Error::MasterGone), "{error:?}");
    }
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "nobody waited for another master"
    );
    assert_eq!(raw.read(&mut [0]).unwrap(), 0);
    assert_eq!(worker.worker(), Some(0));
}

#[test]
fn calls_in_flight_when_the_master_is_dropped_end() {
    let master = TestMaster::start().unwrap();
    let workers: Vec<_> = (0..4).map(|slot| master.worker(slot).unwrap()).collect();
    thread::scope(|scope| {
        for worker in &workers {
            scope.spawn(move || {
                loop {
                    match worker.set("foo", "bar") {
                        Ok(_) => {}
                        Err(Error::MasterGone | Error::OutcomeUnknown { .. }) => return,
                        Err(error) => panic!("{error:?}"),
                    }
                }
            });
        }
        while master.store().get("foo").unwrap().is_none() {
            thread::yield_now();
        }
        drop(master);
    });
}

/// Sends a request over a raw channel and gives its reply.
fn ask(channel: &mut UnixStream, request: &Request<'_>) -> Reply<'static> {
    let mut bytes = Vec::new();
    codec::write_request(&mut bytes, 9, request);
    channel.write_all(&bytes).unwrap();
    reply(channel)
}

fn reply(channel: &mut UnixStream) -> Reply<'static> {
    let (mut bytes, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        let read = channel.read(&mut chunk).unwrap();
        assert_ne!(read, 0, "the channel is closed");
        bytes.extend_from_slice(&chunk[..read]);
        if frame::split(&bytes, 1 << 20).unwrap().is_some() {
            let bytes: &'static [u8] = bytes.leak();
            let frame = frame::split(bytes, 1 << 20).unwrap().unwrap();
            return codec::read_reply(frame).unwrap();
        }
    }
}

const HELLO: Request<'static> = Request::Hello(Hello {
    min_version: 1,
    max_version: 1,
    pid: 1,
});

#[test]
fn a_raw_channel_speaks_the_protocol() {
    let master = TestMaster::start().unwrap();
    let mut channel = master.raw_channel(7).unwrap();
    let Reply::Welcome(welcome) = ask(&mut channel, &HELLO) else {
        panic!("no welcome");
    };
    assert_eq!((welcome.slot, welcome.pid), (Some(7), std::process::id()));
    master.store().set("foo", "bar").unwrap();
    match ask(&mut channel, &Request::Get { key: b"foo" }) {
        Reply::Entry(entry) => assert_eq!(&*entry.value, b"bar"),
        other => panic!("{other:?}"),
    }
}

/// Sends bytes over a channel of their own; they are answered so, and the channel is closed.
fn is_refused(master: &TestMaster, bytes: &[u8], code: ErrorCode, word: &str) {
    let mut channel = master.raw_channel(1).unwrap();
    channel.write_all(bytes).unwrap();
    match reply(&mut channel) {
        Reply::Error(failure) => {
            assert_eq!(failure.code, code, "{failure:?}");
            assert!(failure.message.contains(word), "{failure:?}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(channel.read(&mut [0]).unwrap(), 0, "it is not closed");
}

#[test]
fn what_is_no_request_is_told_why_and_harms_nobody() {
    let master = TestMaster::start().unwrap();
    let worker = master.worker(0).unwrap();
    let version = |first: u8, last: u8| {
        let mut bytes = Vec::new();
        let hello = Hello {
            min_version: first,
            max_version: last,
            pid: 1,
        };
        codec::write_request(&mut bytes, 1, &Request::Hello(hello));
        bytes
    };
    let mut too_large = version(1, 1);
    too_large[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
    let mut of_the_future = version(1, 1);
    of_the_future[1] = 9;
    for (bytes, code, word) in [
        (too_large, ErrorCode::TooLarge, "4294967295"),
        (of_the_future, ErrorCode::Version, "9"),
        (version(2, 5), ErrorCode::Version, "versions 2 to 5"),
    ] {
        is_refused(&master, &bytes, code, word);
        worker.set("foo", "bar").unwrap();
    }
    let mut half = master.raw_channel(1).unwrap();
    half.write_all(&[frame::MAGIC, 1, 0x11]).unwrap();
    drop(half);
    assert!(worker.get("foo").unwrap().is_some());
}

#[test]
fn limits_are_those_of_the_options() {
    let options = Options {
        limits: Limits {
            max_key: 4,
            max_value: 8,
            ..Limits::default()
        },
        ..Options::default()
    };
    let master = TestMaster::builder().options(options).start().unwrap();
    let worker = master.worker(0).unwrap();
    for store in [&worker, master.store()] {
        store.set("four", "8 bytes.").unwrap();
        let error = store.set("five.", "").unwrap_err();
        assert!(
            matches!(error, Error::KeyTooLong { len: 5, max: 4 }),
            "{error:?}"
        );
        let error = store.set("four", "9 bytes..").unwrap_err();
        assert!(
            matches!(error, Error::ValueTooLarge { len: 9, max: 8 }),
            "{error:?}"
        );
        assert_eq!(store.get("four").unwrap().unwrap().value, b"8 bytes.");
    }
}
