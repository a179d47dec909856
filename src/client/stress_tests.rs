//! Many threads on one connection, and a master that answers when and in the order it likes.

use std::thread::scope;

use super::*;
use crate::client::testing::{LONG, Scripted, moody, served};
use crate::client::{Answer, CallError, Connection, Pipeline};
use crate::contract::{Condition, Expiry};
use crate::error::{Error, Result};
use crate::protocol::Request;
use crate::protocol::message::Set;

const THREADS: u64 = 16;
const CALLS: u64 = 2_000;

#[test]
fn each_of_many_threads_gets_its_own_replies_in_whatever_order_they_come() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let (connection, peer) = Scripted::greeted();
    let Scripted { stream, .. } = peer;
    let master = thread::spawn(move || {
        moody(stream, &mut fastrand::Rng::with_seed(seed));
    });
    scope(|scope| {
        let callers: Vec<_> = (0..THREADS)
            .map(|thread| {
                let connection = &connection;
                let rng = fastrand::Rng::with_seed(seed ^ thread);
                scope.spawn(move || echoes(connection, thread, rng))
            })
            .collect();
        let answered: u64 = callers.into_iter().map(|c| c.join().unwrap()).sum();
        assert!(answered > THREADS * CALLS / 2, "{answered} answered");
        assert!(!connection.is_broken());
    });
    drop(connection);
    master.join().unwrap();
}

/// Calls with keys that nobody else uses, now and then with no patience; how many were answered.
fn echoes(connection: &Connection, thread: u64, mut rng: fastrand::Rng) -> u64 {
    let mut answered = 0;
    for call in 0..CALLS {
        let mut key = vec![0; rng.usize(16..2_000)];
        key[..8].copy_from_slice(&thread.to_le_bytes());
        key[8..16].copy_from_slice(&call.to_le_bytes());
        let is_hasty = rng.u8(..) < 8;
        let timeout = if is_hasty {
            Duration::from_micros(rng.u64(..200))
        } else {
            LONG
        };
        let is_mine = connection.call(&Request::Get { key: &key }, timeout, |reply| match reply {
            Reply::Entry(entry) => Ok(*entry.value == *key),
            other => panic!("{other:?}"),
        });
        match is_mine {
            Ok(is_mine) => {
                assert!(is_mine, "thread {thread}, call {call} got another's reply");
                answered += 1;
            }
            Err(CallError::Failed(Error::Timeout { .. })) if is_hasty => {}
            Err(error) => panic!("thread {thread}, call {call}: {error:?}"),
        }
    }
    answered
}

#[test]
fn calls_pipelines_and_giants_share_a_connection() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let (connection, master) = served();
    let deadline = Instant::now() + LONG;
    scope(|scope| {
        for thread in 0..8_u8 {
            let connection = &connection;
            let mut rng = fastrand::Rng::with_seed(seed ^ u64::from(thread));
            scope.spawn(move || {
                for turn in 0..20_u8 {
                    let most = if thread == 0 { 1 << 20 } else { 4 << 10 };
                    let value = vec![turn ^ thread; rng.usize(..most)];
                    let left = deadline.saturating_duration_since(Instant::now());
                    if rng.bool() {
                        alone(connection, &[thread], &value, left);
                    } else {
                        together(connection, &[thread], &value, left);
                    }
                }
            });
        }
    });
    drop(connection);
    master.join().unwrap();
}

fn alone(connection: &Connection, key: &[u8], value: &[u8], left: Duration) {
    let set = Request::Set(Set {
        expiry: Expiry::Never,
        condition: Condition::Always,
        key,
        value,
    });
    connection.call(&set, left, |_| Ok(())).unwrap();
    let get = Request::Get { key };
    let is_mine = connection.call(&get, left, |reply| -> Result<bool> {
        match reply {
            Reply::Entry(entry) => Ok(*entry.value == *value),
            other => panic!("{other:?}"),
        }
    });
    assert!(is_mine.unwrap());
}

fn together(connection: &Connection, key: &[u8], value: &[u8], left: Duration) {
    let mut pipeline = Pipeline::new();
    for _ in 0..20 {
        pipeline
            .set(key, value, Expiry::Never, Condition::Always)
            .get(key);
    }
    for answer in pipeline.run(connection, left) {
        match answer.unwrap() {
            Answer::Stored(_) => {}
            Answer::Entry(Some(entry)) => assert_eq!(*entry.value, *value),
            other => panic!("{other:?}"),
        }
    }
}
