//! Many tasks on one connection, and a master that answers when and in the order it likes.

use std::io::Read;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::*;
use crate::client::connection::after;
use crate::client::testing::{LONG, Scripted, encoded, moody, served};
use crate::contract::{Condition, Expiry, Seq};
use crate::protocol::Op;
use crate::protocol::message::Set;

fn soon() -> Instant {
    after(Instant::now(), LONG)
}

/// A multiplexed connection, and a test that speaks for the master.
fn scripted() -> (Arc<Multiplexed>, Scripted) {
    let (connection, master) = Scripted::greeted();
    (Arc::new(Multiplexed::start(connection).unwrap()), master)
}

/// Lets the master act while the tasks of the runtime go on.
async fn act<T: Send + 'static>(
    mut master: Scripted,
    what: impl FnOnce(&mut Scripted) -> T + Send + 'static,
) -> (Scripted, T) {
    let acted = tokio::task::spawn_blocking(move || {
        let result = what(&mut master);
        (master, result)
    });
    acted.await.unwrap()
}

async fn ping(connection: &Multiplexed) -> Result<(), CallError> {
    let pong = |reply: Reply<'_>| match reply {
        Reply::Pong => Ok(()),
        other => panic!("{other:?}"),
    };
    connection.call(&Request::Ping, soon(), pong).await
}

fn spawn_ping(connection: &Arc<Multiplexed>) -> tokio::task::JoinHandle<Result<(), CallError>> {
    let connection = Arc::clone(connection);
    tokio::spawn(async move { ping(&connection).await })
}

async fn set(connection: &Multiplexed, value: &[u8]) -> Result<Seq, CallError> {
    let set = Request::Set(Set {
        expiry: Expiry::Never,
        condition: Condition::Always,
        key: b"k",
        value,
    });
    let stored = |reply: Reply<'_>| match reply {
        Reply::Stored { seq } => Ok(seq),
        other => panic!("{other:?}"),
    };
    connection.call(&set, soon(), stored).await
}

/// Gets keys that nobody else uses, now and then with no patience; how many were answered.
async fn echoes(connection: Arc<Multiplexed>, task: u64, mut rng: fastrand::Rng) -> u64 {
    let mut answered = 0;
    for call in 0..500_u64 {
        let mut key = vec![0; rng.usize(16..2_000)];
        key[..8].copy_from_slice(&task.to_le_bytes());
        key[8..16].copy_from_slice(&call.to_le_bytes());
        let request = Request::Get { key: &key };
        let is_mine = connection.call(&request, soon(), |reply| match reply {
            Reply::Entry(entry) => Ok(*entry.value == *key),
            other => panic!("{other:?}"),
        });
        // Dropped at any point of its life, where there is no patience.
        let is_hasty = rng.u8(..) < 64;
        let patience = if is_hasty {
            Duration::from_micros(rng.u64(..300))
        } else {
            LONG
        };
        match tokio::time::timeout(patience, is_mine).await {
            Ok(is_mine) => {
                assert!(
                    is_mine.unwrap(),
                    "task {task}, call {call} got another's reply"
                );
                answered += 1;
            }
            Err(_) => assert!(is_hasty, "task {task}, call {call} got no reply"),
        }
    }
    answered
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_of_many_tasks_gets_its_own_replies_also_while_others_are_dropped() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let (connection, Scripted { stream, .. }) = scripted();
    let master = thread::spawn(move || moody(stream, &mut fastrand::Rng::with_seed(seed)));
    let tasks = (0..32).map(|task| {
        let rng = fastrand::Rng::with_seed(seed ^ task);
        tokio::spawn(echoes(Arc::clone(&connection), task, rng))
    });
    let mut answered = 0;
    for task in tasks.collect::<Vec<_>>() {
        answered += task.await.unwrap();
    }
    assert!(answered > 32 * 500 / 2, "{answered} answered");
    drop(connection);
    master.join().unwrap();
}

#[tokio::test]
async fn what_is_asked_together_leaves_together() {
    let (connection, master) = scripted();
    let calls: Vec<_> = (0..100).map(|_| spawn_ping(&connection)).collect();
    let (mut master, first) = act(master, |master| {
        let mut room = vec![0; 64 << 10];
        let read = master.stream.read(&mut room).unwrap();
        room.truncate(read);
        room
    })
    .await;
    let mut rest = first.as_slice();
    let mut ids = Vec::new();
    while let Some(frame) = crate::protocol::frame::split(rest, 0).unwrap() {
        assert_eq!(frame.header.code, Op::Ping as u8);
        ids.push(frame.header.id);
        rest = &rest[frame.wire_len()..];
    }
    assert_eq!((ids.len(), rest), (100, &b""[..]));
    for id in ids.into_iter().rev() {
        master.reply(id, &Reply::Pong);
    }
    for call in calls {
        call.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_dropped_call_leaves_its_request_and_its_place_until_the_reply_comes() {
    let (connection, master) = scripted();
    let call = spawn_ping(&connection);
    let (master, dropped) = act(master, Scripted::request).await;
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    let free = || connection.shared.room.available_permits();
    assert_eq!(free(), UNITS as usize - 1);
    let call = spawn_ping(&connection);
    let (mut master, next) = act(master, Scripted::request).await;
    assert_ne!(dropped.1, next.1);
    master.reply(dropped.1, &Reply::Done);
    master.reply(next.1, &Reply::Pong);
    call.await.unwrap().unwrap();
    assert_eq!(free(), UNITS as usize);
}

#[tokio::test]
async fn a_late_reply_is_thrown_away_and_the_connection_goes_on() {
    let (connection, master) = scripted();
    let now = Instant::now();
    let request = connection.call(&Request::Ping, now, |_| Ok(()));
    let error = request.await.unwrap_err();
    assert!(
        matches!(
            error,
            CallError::Failed(Error::Timeout {
                operation: "ping",
                ..
            })
        ),
        "{error:?}"
    );
    let (mut master, (_, late)) = act(master, Scripted::request).await;
    master.reply(late, &Reply::Pong);
    let call = spawn_ping(&connection);
    let (mut master, (_, id)) = act(master, Scripted::request).await;
    master.reply(id, &Reply::Pong);
    call.await.unwrap().unwrap();
}

#[tokio::test]
async fn no_more_than_the_bound_is_in_flight() {
    let (connection, master) = scripted();
    let value = Arc::new(vec![1; 1 << 20]);
    let calls: Vec<_> = (0..5)
        .map(|_| {
            let (connection, value) = (Arc::clone(&connection), Arc::clone(&value));
            tokio::spawn(async move { set(&connection, &value).await })
        })
        .collect();
    let (master, mut ids) = act(master, |master| {
        let ids = [(); 3].map(|()| master.frame().0.id).to_vec();
        master.stream.set_nonblocking(true).unwrap();
        let more = master.stream.read(&mut [0]);
        assert!(more.is_err(), "a fourth was sent before a reply came");
        master.stream.set_nonblocking(false).unwrap();
        ids
    })
    .await;
    let (_, ()) = act(master, move |master| {
        for seq in 1..=5 {
            let id = if ids.is_empty() {
                master.frame().0.id
            } else {
                ids.remove(0)
            };
            master.reply(id, &Reply::Stored { seq: Seq(seq) });
        }
    })
    .await;
    for call in calls {
        call.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn giants_pass_in_both_directions_at_once() {
    let (connection, master) = served();
    let connection = Arc::new(Multiplexed::start(connection).unwrap());
    let tasks: Vec<_> = (0..8_u8)
        .map(|task| {
            let connection = Arc::clone(&connection);
            tokio::spawn(async move {
                let (key, value) = ([task], vec![task; (1 << 20) - usize::from(task)]);
                let set = Request::Set(Set {
                    expiry: Expiry::Never,
                    condition: Condition::Always,
                    key: &key,
                    value: &value,
                });
                let get = Request::Get { key: &key };
                for _ in 0..4 {
                    connection.call(&set, soon(), |_| Ok(())).await.unwrap();
                    let is_mine = connection.call(&get, soon(), |reply| match reply {
                        Reply::Entry(entry) => Ok(*entry.value == *value),
                        other => panic!("{other:?}"),
                    });
                    assert!(is_mine.await.unwrap());
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    drop(connection);
    act_join(master).await;
}

async fn act_join(master: thread::JoinHandle<()>) {
    let joined = tokio::task::spawn_blocking(move || master.join());
    joined.await.unwrap().unwrap();
}

#[tokio::test]
async fn what_left_before_the_end_is_lost_and_what_comes_after_it_was_not_sent() {
    let (connection, master) = scripted();
    let call = spawn_ping(&connection);
    let (master, _) = act(master, Scripted::request).await;
    drop(master);
    let error = call.await.unwrap().unwrap_err();
    assert!(
        matches!(error, CallError::Lost(Broken::Closed)),
        "{error:?}"
    );
    let error = ping(&connection).await.unwrap_err();
    assert!(
        matches!(error, CallError::NotSent(Broken::Closed)),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_reply_that_nobody_asked_for_ends_the_connection() {
    let (connection, master) = scripted();
    let call = spawn_ping(&connection);
    let (mut master, (_, id)) = act(master, Scripted::request).await;
    let mut both = encoded(id + 1, &Reply::Pong);
    both.extend(encoded(id, &Reply::Pong));
    std::io::Write::write_all(&mut master.stream, &both).unwrap();
    let error = call.await.unwrap().unwrap_err();
    assert!(
        matches!(error, CallError::Lost(Broken::Protocol(_))),
        "{error:?}"
    );
    let (_, is_ended) = act(master, Scripted::sees_the_end).await;
    assert!(is_ended);
}

#[tokio::test]
async fn the_connection_ends_with_its_handle() {
    let (connection, master) = scripted();
    drop(connection);
    let (_, is_ended) = act(master, Scripted::sees_the_end).await;
    assert!(is_ended);
}

#[test]
fn the_connection_ends_with_its_runtime() {
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().build().unwrap()
    };
    let first = runtime();
    let (connection, mut master) = first.block_on(async { scripted() });
    drop(first);
    assert!(master.sees_the_end());
    let error = runtime().block_on(ping(&connection)).unwrap_err();
    assert!(matches!(error, CallError::NotSent(_)), "{error:?}");
}
