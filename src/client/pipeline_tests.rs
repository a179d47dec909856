//! Pipelines: order, failures of their own, and masters that are slow to take or to give.

use std::os::unix::net::UnixStream;

use super::*;
use crate::client::ConnectOptions;
use crate::client::testing::{LONG, Scripted, Terms, serve, served, welcome};
use crate::config::Limits;

const ALWAYS: (Expiry, Condition) = (Expiry::Never, Condition::Always);

#[test]
fn every_request_has_its_answer_in_order_and_its_failure_is_its_own() {
    let (connection, _master) = served();
    let long = vec![0; Limits::default().max_key + 1];
    let mut pipeline = Pipeline::new();
    pipeline
        .set(b"a", b"1", ALWAYS.0, ALWAYS.1)
        .set(b"a", b"2", Expiry::Never, Condition::IfAbsent)
        .get(&long)
        .get(b"a")
        .get(b"b")
        .touch(b"a", Expiry::AfterMs(60_000))
        .touch(b"b", Expiry::Never)
        .length()
        .destroy(b"a")
        .destroy(b"a")
        .ping()
        .clear();
    let answers = pipeline.run(&connection, LONG);
    assert_eq!(answers.len(), pipeline.requests().len());
    let mut answers = answers.into_iter();
    let mut next = || answers.next().unwrap();
    let Ok(Answer::Stored(seq)) = next() else {
        panic!("not stored")
    };
    let conflict = next();
    assert!(
        matches!(conflict, Err(CallError::Failed(Error::Conflict { found })) if found == Some(seq)),
        "{conflict:?}"
    );
    let too_long = next();
    assert!(
        matches!(too_long, Err(CallError::Failed(Error::KeyTooLong { .. }))),
        "{too_long:?}"
    );
    match next().unwrap() {
        Answer::Entry(Some(entry)) => assert_eq!((&*entry.value, entry.seq), (&b"1"[..], seq)),
        other => panic!("{other:?}"),
    }
    let rest: Vec<Answer> = answers.map(Result::unwrap).collect();
    assert_eq!(
        rest,
        [
            Answer::Entry(None),
            Answer::Found(true),
            Answer::Found(false),
            Answer::Length(1),
            Answer::Found(true),
            Answer::Found(false),
            Answer::Pong,
            Answer::Cleared,
        ]
    );
}

#[test]
fn nothing_to_ask_or_nothing_to_send_is_no_request() {
    let (connection, peer) = Scripted::greeted();
    drop(peer);
    assert!(Pipeline::new().run(&connection, LONG).is_empty());
    let long = vec![0; Limits::default().max_key + 1];
    let answers = Pipeline::new().get(&long).run(&connection, LONG);
    assert!(
        matches!(answers[..], [Err(CallError::Failed(_))]),
        "{answers:?}"
    );
}

/// A channel whose sockets hold as little as the system lets them.
fn narrow() -> (UnixStream, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    for stream in [&ours, &theirs] {
        nix::sys::socket::setsockopt(stream, nix::sys::socket::sockopt::SndBuf, &1).unwrap();
    }
    (ours, theirs)
}

#[test]
fn ten_thousand_sets_go_through_sockets_that_hold_next_to_nothing() {
    let (ours, theirs) = narrow();
    let master = serve(theirs, Terms::default());
    let connection = Connection::from_channel(ours.into(), &ConnectOptions::default()).unwrap();
    let value = [7; 1 << 10];
    let keys: Vec<[u8; 4]> = (0..10_000_u32).map(u32::to_le_bytes).collect();
    let mut sets = Pipeline::new();
    for key in &keys {
        sets.set(key, &value, ALWAYS.0, ALWAYS.1);
    }
    sets.length();
    let mut answers = sets.run(&connection, LONG);
    assert_eq!(answers.pop().unwrap().unwrap(), Answer::Length(10_000));
    let written: Vec<Seq> = answers
        .into_iter()
        .map(|answer| match answer.unwrap() {
            Answer::Stored(seq) => seq,
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(written.is_sorted());
    let mut gets = Pipeline::new();
    for key in &keys {
        gets.get(key);
    }
    for answer in gets.run(&connection, LONG) {
        let Answer::Entry(Some(entry)) = answer.unwrap() else {
            panic!("lost")
        };
        assert_eq!(*entry.value, value);
    }
    drop(connection);
    master.join().unwrap();
}

#[test]
fn an_answer_that_another_thread_reads_while_we_write_is_not_lost() {
    let (ours, theirs) = narrow();
    let mut peer = Scripted::new(theirs);
    std::thread::scope(|scope| {
        let greeted =
            scope.spawn(|| Connection::from_channel(ours.into(), &ConnectOptions::default()));
        peer.welcome(welcome());
        let connection = greeted.join().unwrap().unwrap();
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| connection.call(&Request::Length, LONG, |_| Ok(())));
            let (_, first) = peer.request();
            let writer = scope.spawn(|| {
                let value = vec![0; 100 << 10];
                let mut pipeline = Pipeline::new();
                pipeline.ping().set(b"k", &value, ALWAYS.0, ALWAYS.1);
                pipeline.run(&connection, LONG)
            });
            let (_, ping) = peer.request();
            peer.reply(ping, &Reply::Pong);
            let (_, set) = peer.request();
            peer.reply(set, &Reply::Stored { seq: Seq(1) });
            peer.reply(first, &Reply::Length(0));
            reader.join().unwrap().unwrap();
            for answer in writer.join().unwrap() {
                answer.unwrap();
            }
        });
    });
}

#[test]
fn answers_may_come_in_any_order() {
    let (connection, mut peer) = Scripted::greeted();
    let master = std::thread::spawn(move || {
        let ids: Vec<u32> = (0..50).map(|_| peer.request().1).collect();
        for (n, id) in ids.into_iter().enumerate().rev() {
            peer.reply(id, &Reply::Length(n as u64));
        }
    });
    let mut pipeline = Pipeline::new();
    for _ in 0..50 {
        pipeline.length();
    }
    for (n, answer) in (0..).zip(pipeline.run(&connection, LONG)) {
        assert_eq!(answer.unwrap(), Answer::Length(n));
    }
    master.join().unwrap();
}

#[test]
fn an_answer_that_comes_twice_ends_the_connection() {
    let (connection, mut peer) = Scripted::greeted();
    let master = std::thread::spawn(move || {
        let (_, id) = peer.request();
        peer.reply(id, &Reply::Pong);
        peer.reply(id, &Reply::Pong);
        assert!(peer.sees_the_end());
    });
    let answers = Pipeline::new().ping().ping().run(&connection, LONG);
    assert!(matches!(answers[0], Ok(Answer::Pong)), "{answers:?}");
    assert!(
        matches!(answers[1], Err(CallError::Lost(Broken::Protocol(_)))),
        "{answers:?}"
    );
    master.join().unwrap();
}

#[test]
fn what_was_answered_stays_answered_when_the_master_dies_and_later_batches_are_not_sent() {
    let (connection, mut peer) = Scripted::greeted();
    let master = std::thread::spawn(move || {
        let (_, id) = peer.request();
        peer.reply(id, &Reply::Pong);
        peer.request();
        // Only once the third has arrived whole, so that its outcome is unknown.
        peer.request();
    });
    let giant = vec![0; BATCH];
    let answers = Pipeline::new()
        .ping()
        .ping()
        .ping()
        .set(b"k", &giant, ALWAYS.0, ALWAYS.1)
        .run(&connection, LONG);
    assert!(
        matches!(
            answers[..],
            [
                Ok(Answer::Pong),
                Err(CallError::Lost(_)),
                Err(CallError::Lost(_)),
                Err(CallError::NotSent(_))
            ]
        ),
        "{answers:?}"
    );
    master.join().unwrap();
}

#[test]
fn the_time_is_for_all_together() {
    let (connection, mut peer) = Scripted::greeted();
    let giant = vec![0; BATCH];
    let answers = Pipeline::new()
        .ping()
        .set(b"k", &giant, ALWAYS.0, ALWAYS.1)
        .run(&connection, Duration::from_millis(20));
    for answer in answers {
        assert!(
            matches!(answer, Err(CallError::Failed(Error::Timeout { .. }))),
            "{answer:?}"
        );
    }
    assert!(!connection.is_broken());
    peer.request();
    drop(connection);
    assert!(peer.sees_the_end(), "the second batch was not even begun");
}
