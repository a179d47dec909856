//! Many calls on one stream, and masters that misbehave.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::Barrier;
use std::sync::mpsc;
use std::thread::scope;

use super::*;
use crate::client::testing::{LONG, Scripted, encoded};
use crate::client::{CallError, ConnectOptions, Connection};
use crate::contract::{Condition, Expiry};
use crate::error::{Error, Result};
use crate::protocol::Request;
use crate::protocol::message::{ErrorCode, Failure, Op, Set};

const SHORT: Duration = Duration::from_millis(20);

/// Asks for the length and expects what `reply_length` was given.
fn length(connection: &Connection, timeout: Duration) -> Result<u64, CallError> {
    connection.call(&Request::Length, timeout, |reply| match reply {
        Reply::Length(length) => Ok(length),
        other => panic!("{other:?}"),
    })
}

fn set(connection: &Connection, value: &[u8], timeout: Duration) -> Result<(), CallError> {
    let request = Request::Set(Set {
        expiry: Expiry::Never,
        condition: Condition::Always,
        key: b"k",
        value,
    });
    connection.call(&request, timeout, |_| Ok(()))
}

fn is_timeout<T>(result: &Result<T, CallError>) -> bool {
    matches!(result, Err(CallError::Failed(Error::Timeout { .. })))
}

/// Runs `misbehave` on the request of a call, and gives the call's error.
fn error_after(misbehave: impl FnOnce(&mut Scripted, u32) + Send) -> CallError {
    let (connection, mut peer) = Scripted::greeted();
    scope(|scope| {
        scope.spawn(move || {
            let (_, id) = peer.request();
            misbehave(&mut peer, id);
        });
        let error = length(&connection, LONG).unwrap_err();
        assert!(connection.is_broken());
        let again = length(&connection, LONG).unwrap_err();
        assert!(matches!(again, CallError::NotSent(_)), "{again:?}");
        error
    })
}

/// The same for bytes that end the connection, which the master must then see.
fn protocol_error_after(bytes: impl FnOnce(u32) -> Vec<u8> + Send) -> String {
    let error = error_after(|peer, id| {
        peer.stream.write_all(&bytes(id)).unwrap();
        assert!(peer.sees_the_end());
    });
    match error {
        CallError::Lost(Broken::Protocol(text)) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn replies_in_any_order_reach_those_who_wait_for_them() {
    const CALLS: u64 = 8;
    let (connection, mut peer) = Scripted::greeted();
    scope(|scope| {
        scope.spawn(move || {
            // The length of the value tells whose request it is, and is sent back.
            let mut asked: Vec<(u32, u64)> = (0..CALLS)
                .map(|_| peer.frame())
                .map(|(header, body)| (header.id, body.len() as u64))
                .collect();
            asked.reverse();
            for (id, len) in asked {
                peer.reply(id, &Reply::Length(len));
            }
        });
        let lens: Vec<_> = (0..CALLS)
            .map(|n| {
                let connection = &connection;
                scope.spawn(move || {
                    let key = vec![0; usize::try_from(n).unwrap()];
                    connection.call(&Request::Get { key: &key }, LONG, |reply| match reply {
                        Reply::Length(len) => Ok(len - n),
                        other => panic!("{other:?}"),
                    })
                })
            })
            .collect();
        for len in lens {
            assert_eq!(
                len.join().unwrap().unwrap(),
                8,
                "a key has eight bytes of length"
            );
        }
    });
}

#[test]
fn a_reply_may_come_byte_by_byte() {
    let (connection, mut peer) = Scripted::greeted();
    scope(|scope| {
        scope.spawn(move || {
            for n in 0..3 {
                let (_, id) = peer.request();
                for byte in encoded(id, &Reply::Length(n)) {
                    peer.stream.write_all(&[byte]).unwrap();
                }
            }
        });
        for n in 0..3 {
            assert_eq!(length(&connection, LONG).unwrap(), n);
        }
    });
}

#[test]
fn a_reply_that_comes_too_late_is_thrown_away_and_the_connection_goes_on() {
    let (connection, mut peer) = Scripted::greeted();
    assert!(is_timeout(&length(&connection, SHORT)));
    assert!(is_timeout(&length(&connection, SHORT)));
    scope(|scope| {
        scope.spawn(move || {
            for n in 0..3 {
                let (_, id) = peer.request();
                peer.reply(id, &Reply::Length(n));
            }
        });
        assert_eq!(length(&connection, LONG).unwrap(), 2);
    });
    assert!(!connection.is_broken());
}

#[test]
fn a_short_deadline_is_kept_while_another_thread_reads() {
    let (connection, mut peer) = Scripted::greeted();
    let (asked, reading) = mpsc::channel();
    let (release, released) = mpsc::channel();
    scope(|scope| {
        scope.spawn(move || {
            let (_, patient) = peer.request();
            asked.send(()).unwrap();
            let (_, hasty) = peer.request();
            released.recv().unwrap();
            peer.reply(hasty, &Reply::Length(1));
            peer.reply(patient, &Reply::Length(2));
        });
        let patient = scope.spawn(|| length(&connection, LONG));
        reading.recv().unwrap();
        assert!(is_timeout(&length(&connection, SHORT)));
        release.send(()).unwrap();
        assert_eq!(patient.join().unwrap().unwrap(), 2);
    });
}

#[test]
fn reading_is_handed_over_when_the_reader_goes() {
    const FOLLOWERS: u64 = 6;
    let (connection, mut peer) = Scripted::greeted();
    scope(|scope| {
        let callers: Vec<_> = (0..=FOLLOWERS)
            .map(|_| scope.spawn(|| length(&connection, LONG).unwrap()))
            .collect();
        let ids: Vec<u32> = callers.iter().map(|_| peer.request().1).collect();
        // One after the other: each is read by who is left.
        for (n, id) in (0..).zip(ids) {
            peer.reply(id, &Reply::Length(n));
        }
        let mut lengths: Vec<u64> = callers.into_iter().map(|c| c.join().unwrap()).collect();
        lengths.sort_unstable();
        assert!(lengths.into_iter().eq(0..=FOLLOWERS));
    });
}

#[test]
fn everybody_who_waits_is_told_when_the_master_dies() {
    const CALLS: usize = 6;
    let (connection, mut peer) = Scripted::greeted();
    scope(|scope| {
        let callers: Vec<_> = (0..CALLS)
            .map(|_| scope.spawn(|| length(&connection, LONG)))
            .collect();
        for _ in 0..CALLS {
            peer.request();
        }
        drop(peer);
        for caller in callers {
            let error = caller.join().unwrap().unwrap_err();
            assert!(
                matches!(error, CallError::Lost(Broken::Closed)),
                "{error:?}"
            );
        }
    });
}

#[test]
fn a_master_that_dies_after_its_reply_has_replied() {
    let (connection, mut peer) = Scripted::greeted();
    scope(|scope| {
        scope.spawn(move || {
            let (_, id) = peer.request();
            peer.reply(id, &Reply::Length(7));
        });
        assert_eq!(length(&connection, LONG).unwrap(), 7);
    });
    let error = length(&connection, LONG).unwrap_err();
    assert!(
        matches!(error, CallError::NotSent(Broken::Closed)),
        "{error:?}"
    );
    assert!(connection.is_broken());
}

#[test]
fn a_master_that_dies_before_or_within_its_reply_leaves_the_outcome_unknown() {
    let error = error_after(|_, _| ());
    assert!(
        matches!(error, CallError::Lost(Broken::Closed)),
        "{error:?}"
    );
    let error = error_after(|peer, id| {
        let reply = encoded(id, &Reply::Length(7));
        peer.stream.write_all(&reply[..reply.len() - 1]).unwrap();
    });
    assert!(
        matches!(error, CallError::Lost(Broken::Closed)),
        "{error:?}"
    );
    let public = error.into_error("length");
    assert!(matches!(
        public,
        Error::OutcomeUnknown {
            operation: "length"
        }
    ));
}

#[test]
fn garbage_ends_the_connection() {
    let text = protocol_error_after(|_| b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec());
    assert!(text.contains("0x48"), "{text}");
}

#[test]
fn a_reply_that_nobody_waits_for_ends_the_connection() {
    let text = protocol_error_after(|id| encoded(id + 1, &Reply::Length(7)));
    assert!(text.contains("waits for no answer"), "{text}");
}

#[test]
fn an_announced_length_above_the_limit_ends_the_connection() {
    let text = protocol_error_after(|id| {
        let mut bytes = encoded(id, &Reply::Length(7));
        bytes[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
        bytes
    });
    assert!(text.contains(&u32::MAX.to_string()), "{text}");
}

#[test]
fn what_the_master_says_before_it_closes_is_heard() {
    let text = protocol_error_after(|_| {
        let failure = Failure {
            code: ErrorCode::TooLarge,
            message: "that was too much".into(),
        };
        encoded(0, &Reply::Error(failure))
    });
    assert_eq!(text, "that was too much");
}

#[test]
fn a_second_answer_harms_the_connection_but_not_the_first() {
    let (connection, mut peer) = Scripted::greeted();
    scope(|scope| {
        scope.spawn(move || {
            let (_, id) = peer.request();
            let mut twice = encoded(id, &Reply::Length(7));
            twice.extend_from_slice(&twice.clone());
            peer.stream.write_all(&twice).unwrap();
            assert!(peer.sees_the_end());
        });
        assert_eq!(length(&connection, LONG).unwrap(), 7);
    });
    assert!(connection.is_broken());
}

#[test]
fn a_master_that_stops_reading_within_a_request_costs_the_connection() {
    let (connection, mut peer) = Scripted::greeted();
    assert!(is_timeout(&set(&connection, &vec![1; 4 << 20], SHORT)));
    assert!(connection.is_broken());
    let error = length(&connection, LONG).unwrap_err();
    assert!(
        matches!(error, CallError::NotSent(Broken::Stalled)),
        "{error:?}"
    );
    assert!(peer.sees_the_end(), "it must not wait for the rest");
}

#[test]
fn whoever_could_not_write_in_time_costs_nothing() {
    let (connection, mut peer) = Scripted::greeted();
    let value = vec![1; 4 << 20];
    scope(|scope| {
        let giant = scope.spawn(|| set(&connection, &value, LONG));
        // The giant's first bytes are here, so its thread is writing and will be for long.
        let first = peer.first_byte();
        assert!(is_timeout(&length(&connection, SHORT)));
        assert!(!connection.is_broken());
        let mut rest = peer.take_back(first);
        let (header, _) = rest.frame();
        assert_eq!(header.code, Op::Set as u8);
        rest.reply(header.id, &Reply::Done);
        giant.join().unwrap().unwrap();
        scope.spawn(move || {
            let (op, id) = rest.request();
            assert_eq!(op, Op::Length, "what timed out was never sent");
            rest.reply(id, &Reply::Length(1));
        });
        assert_eq!(length(&connection, LONG).unwrap(), 1);
    });
}

#[test]
fn a_writer_takes_over_the_reading_when_the_reader_goes() {
    let (connection, mut peer) = Scripted::greeted();
    let value = vec![1; 4 << 20];
    assert!(is_timeout(&length(&connection, SHORT)));
    let (_, late) = peer.request();
    scope(|scope| {
        let reader = scope.spawn(|| length(&connection, LONG));
        let (_, id) = peer.request();
        let giant = scope.spawn(|| set(&connection, &value, LONG));
        let first = peer.first_byte();
        peer.reply(id, &Reply::Length(7));
        assert_eq!(reader.join().unwrap().unwrap(), 7);
        // More than a socket holds, and only the writer is left to read it.
        let failure = Failure {
            code: ErrorCode::Backend,
            message: "x".repeat(4 << 20).into(),
        };
        peer.reply(late, &Reply::Error(failure));
        let mut peer = peer.take_back(first);
        let (header, _) = peer.frame();
        peer.reply(header.id, &Reply::Done);
        giant.join().unwrap().unwrap();
    });
}

#[test]
fn a_panic_while_a_reply_is_read_harms_nobody_else() {
    let (connection, mut peer) = Scripted::greeted();
    scope(|scope| {
        scope.spawn(move || {
            for n in 0..2 {
                let (_, id) = peer.request();
                peer.reply(id, &Reply::Length(n));
            }
        });
        let call = || {
            connection.call(&Request::Length, LONG, |_| -> Result<()> {
                panic!("meant")
            })
        };
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(call));
        assert!(panicked.is_err());
        assert_eq!(length(&connection, LONG).unwrap(), 1);
    });
}

#[test]
fn calls_without_patience_and_their_late_replies_leave_the_stream_in_step() {
    let (connection, mut peer) = Scripted::greeted();
    let barrier = Barrier::new(2);
    scope(|scope| {
        scope.spawn(|| {
            barrier.wait();
            for _ in 0..200 {
                let (header, _) = peer.frame();
                peer.reply(header.id, &Reply::Length(u64::from(header.id)));
            }
        });
        barrier.wait();
        let mut answered = 0;
        for n in 0..200 {
            let timeout = if n % 2 == 0 {
                LONG
            } else {
                Duration::from_nanos(n)
            };
            match length(&connection, timeout) {
                Ok(id) => {
                    // Ids start with one, and that was the hello's.
                    assert_eq!(id, n + 2);
                    answered += 1;
                }
                result => assert!(n % 2 == 1 && is_timeout(&result), "{n}: {result:?}"),
            }
        }
        assert!(answered >= 100);
    });
}

#[test]
fn the_master_is_not_waited_for_when_it_is_gone_while_a_giant_is_written() {
    let (connection, mut peer) = Scripted::greeted();
    let value = vec![1; 4 << 20];
    scope(|scope| {
        let giant = scope.spawn(|| set(&connection, &value, LONG));
        peer.first_byte();
        drop(peer);
        let error = giant.join().unwrap().unwrap_err();
        assert!(
            matches!(error, CallError::NotSent(Broken::Closed)),
            "{error:?}"
        );
    });
}

#[test]
fn a_connection_is_shared_between_threads_and_closed_with_its_last_user() {
    fn is_shared<T: Send + Sync + 'static>(_: &T) {}
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut peer = Scripted::new(theirs);
    scope(|scope| {
        scope.spawn(|| peer.welcome(crate::client::testing::welcome()));
        let connection = Connection::from_channel(ours.into(), &ConnectOptions::default()).unwrap();
        is_shared(&connection);
        let flags = nix::fcntl::fcntl(&connection, nix::fcntl::FcntlArg::F_GETFD);
        assert_eq!(flags.unwrap(), libc::FD_CLOEXEC);
    });
    assert!(peer.sees_the_end());
}
