//! How a connection is made, what one call gives, and what is refused on the way.

use std::fs::File;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::PathBuf;
use std::thread::JoinHandle;

use super::*;
use crate::client::Answer;
use crate::client::testing::{self, LONG, Scripted, Terms, served, served_on, welcome};
use crate::contract::{Capabilities, Condition, Expiry, Seq};
use crate::exec::Origin;
use crate::protocol::message::{ErrorCode, Failure, Op, Set};

fn secret(text: &str) -> Secret {
    Secret::new(text).unwrap()
}

fn set<'a>(key: &'a [u8], value: &'a [u8]) -> Request<'a> {
    Request::Set(Set {
        expiry: Expiry::Never,
        condition: Condition::Always,
        key,
        value,
    })
}

fn ask(connection: &Connection, request: &Request<'_>) -> Result<Answer, CallError> {
    connection.call(request, LONG, |reply| Answer::read(request, reply))
}

/// A folder with a socket, and what the test lets happen to the first who connects.
fn at_path(
    accept: impl FnOnce(UnixStream) + Send + 'static,
) -> (tempfile::TempDir, PathBuf, JoinHandle<()>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    let master = std::thread::spawn(move || accept(listener.accept().unwrap().0));
    (folder, path, master)
}

/// Connects to a master at a path, where each side may have a secret.
fn greet_at_path(master: Option<&str>, client: Option<&str>) -> Result<Connection> {
    let terms = Terms {
        origin: Origin::Path,
        secret: master.map(secret),
        ..Terms::default()
    };
    let (_folder, path, master) = at_path(|stream| testing::serve(stream, terms).join().unwrap());
    let options = ConnectOptions {
        secret: client.map(secret),
        ..ConnectOptions::default()
    };
    let connection = Connection::to_path(&path, &options, Instant::now() + LONG);
    if connection.is_err() {
        master.join().unwrap();
    }
    connection
}

#[test]
fn a_worker_is_welcomed_and_served() {
    let (connection, master) = served();
    assert_eq!(connection.welcome().slot, Some(3));
    assert_eq!(connection.welcome().workers, 4);
    assert!(connection.welcome().capabilities.has(Capabilities::LENGTH));
    let stored = ask(&connection, &set(b"foo", b"bar")).unwrap();
    assert!(matches!(stored, Answer::Stored(_)));
    let get = ask(&connection, &Request::Get { key: b"foo" }).unwrap();
    let Answer::Entry(Some(entry)) = get else {
        panic!("{get:?}")
    };
    assert_eq!(&*entry.value, b"bar");
    let missing = ask(&connection, &Request::Get { key: b"baz" }).unwrap();
    assert_eq!(missing, Answer::Entry(None));
    drop(connection);
    master.join().unwrap();
}

#[test]
fn both_sides_of_a_path_prove_the_secret() {
    let same = Some("sixteen bytes ok");
    let connection = greet_at_path(same, same).unwrap();
    assert_eq!(ask(&connection, &Request::Ping).unwrap(), Answer::Pong);
    assert_eq!(connection.welcome().slot, None);
    greet_at_path(None, None).unwrap();
}

#[test]
fn a_wrong_or_missing_secret_is_an_authentication_error() {
    let (right, wrong) = (Some("sixteen bytes ok"), Some("sixteen bytes no"));
    for (master, client) in [(right, wrong), (right, None), (None, right)] {
        let error = greet_at_path(master, client).unwrap_err();
        assert!(
            matches!(error, Error::Authentication(_)),
            "{master:?} {client:?}: {error}"
        );
    }
}

#[test]
fn a_master_that_proves_nothing_or_something_else_is_refused() {
    for proof in [None, Some([1; 32])] {
        let (_folder, path, master) = at_path(move |stream| {
            let mut peer = Scripted::new(stream);
            let (_, id) = peer.request();
            peer.reply(id, &Reply::Challenge { nonce: [2; 32] });
            let (op, id) = peer.request();
            assert_eq!(op, Op::Auth);
            peer.reply(id, &Reply::Welcome(Welcome { proof, ..welcome() }));
            assert!(peer.sees_the_end());
        });
        let options = ConnectOptions {
            secret: Some(secret("sixteen bytes ok")),
            ..ConnectOptions::default()
        };
        let error = Connection::to_path(&path, &options, Instant::now() + LONG).unwrap_err();
        assert!(matches!(error, Error::Authentication(_)), "{error}");
        master.join().unwrap();
    }
}

#[test]
fn an_inherited_channel_needs_no_proof() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let _master = testing::serve(theirs, Terms::default());
    let options = ConnectOptions {
        secret: Some(secret("sixteen bytes ok")),
        ..ConnectOptions::default()
    };
    Connection::from_channel(ours.into(), &options).unwrap();
}

#[test]
fn whoever_never_answers_is_left_at_the_deadline() {
    let (ended, end) = std::sync::mpsc::channel::<()>();
    let (_folder, path, squatter) = at_path(move |stream| {
        let _ = end.recv();
        drop(stream);
    });
    let deadline = Instant::now() + Duration::from_millis(30);
    let error = Connection::to_path(&path, &ConnectOptions::default(), deadline).unwrap_err();
    assert!(
        matches!(
            error,
            Error::Timeout {
                operation: "hello",
                ..
            }
        ),
        "{error}"
    );
    assert!(Instant::now() >= deadline);
    drop(ended);
    squatter.join().unwrap();
}

#[test]
fn a_full_backlog_is_waited_for_until_the_deadline() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    nix::sys::socket::listen(&listener, nix::sys::socket::Backlog::new(0).unwrap()).unwrap();
    let _first = UnixStream::connect(&path).unwrap();
    let deadline = Instant::now() + Duration::from_millis(30);
    let error = Connection::to_path(&path, &ConnectOptions::default(), deadline).unwrap_err();
    let Error::Unreachable { source, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(source.kind(), io::ErrorKind::TimedOut);
    assert!(Instant::now() >= deadline);
}

#[test]
fn a_master_of_another_version_is_a_protocol_error() {
    let (ours, mut peer) = Scripted::pair();
    let master = std::thread::spawn(move || {
        let (_, id) = peer.request();
        let failure = Failure {
            code: ErrorCode::Version,
            message: "this master speaks 9".into(),
        };
        peer.reply(id, &Reply::Error(failure));
    });
    let error = Connection::from_channel(ours, &ConnectOptions::default()).unwrap_err();
    assert!(
        matches!(&error, Error::Protocol(text) if text.contains('9')),
        "{error}"
    );
    master.join().unwrap();
}

#[test]
fn something_that_is_no_master_is_a_protocol_error() {
    let (_folder, path, master) = at_path(|mut stream| {
        io::Write::write_all(&mut stream, b"-ERR unknown command\r\n").unwrap();
        assert!(Scripted::new(stream).sees_the_end());
    });
    let deadline = Instant::now() + LONG;
    let error = Connection::to_path(&path, &ConnectOptions::default(), deadline).unwrap_err();
    assert!(matches!(error, Error::Protocol(_)), "{error}");
    master.join().unwrap();
}

#[test]
fn a_stranger_cannot_make_us_read_much_before_it_is_welcome() {
    let (ours, mut peer) = Scripted::pair();
    let master = std::thread::spawn(move || {
        let (_, id) = peer.request();
        let message = "x".repeat(Limits::UNTRUSTED_BODY).into();
        let code = ErrorCode::Backend;
        peer.reply(id, &Reply::Error(Failure { code, message }));
        assert!(peer.sees_the_end());
    });
    let error = Connection::from_channel(ours, &ConnectOptions::default()).unwrap_err();
    assert!(matches!(error, Error::Protocol(_)), "{error}");
    master.join().unwrap();
}

#[test]
fn nobody_at_the_other_end_is_told_by_kind() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    drop(theirs);
    let error = Connection::from_channel(ours.into(), &ConnectOptions::default()).unwrap_err();
    assert!(matches!(error, Error::MasterGone), "{error}");

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let attempt = || Connection::to_path(&path, &ConnectOptions::default(), Instant::now() + LONG);
    let error = attempt().unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
    drop(UnixListener::bind(&path).unwrap());
    let error = attempt().unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
    let (_folder, path, master) = at_path(drop);
    let error = Connection::to_path(&path, &ConnectOptions::default(), Instant::now() + LONG);
    assert!(matches!(error, Err(Error::Unreachable { .. })), "{error:?}");
    master.join().unwrap();

    let long = PathBuf::from("x".repeat(200));
    let error = Connection::to_path(&long, &ConnectOptions::default(), Instant::now() + LONG);
    assert!(matches!(error, Err(Error::Config(_))), "{error:?}");
}

#[test]
fn what_is_no_channel_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = File::create(folder.path().join("f")).unwrap();
    let (datagram, _other) = UnixDatagram::pair().unwrap();
    for fd in [OwnedFd::from(file), OwnedFd::from(datagram)] {
        let error = Connection::from_channel(fd, &ConnectOptions::default()).unwrap_err();
        assert!(matches!(error, Error::Config(_)), "{error}");
    }
}

#[test]
fn a_value_of_many_megabytes_goes_there_and_back() {
    let (connection, master) = served_on(Terms {
        limits: Limits {
            max_value: Limits::MAX_VALUE_CEILING,
            ..Limits::default()
        },
        ..Terms::default()
    });
    let value: Vec<u8> = (0..24_u32 << 20).map(|n| n.to_le_bytes()[1]).collect();
    ask(&connection, &set(b"giant", &value)).unwrap();
    let get = Request::Get { key: b"giant" };
    let is_same = connection.call(&get, LONG, |reply| match reply {
        Reply::Entry(entry) => Ok(*entry.value == *value),
        other => panic!("{other:?}"),
    });
    assert!(is_same.unwrap());
    assert_eq!(
        ask(&connection, &Request::Length).unwrap(),
        Answer::Length(1)
    );
    drop(connection);
    master.join().unwrap();
}

#[test]
fn what_is_too_long_is_not_even_sent() {
    let (connection, _master) = served();
    let (max_key, max_value) = (Limits::default().max_key, Limits::default().max_value);
    let long = vec![0; max_value + 1];
    let error = ask(&connection, &set(b"k", &long)).unwrap_err();
    assert!(
        matches!(error, CallError::Failed(Error::ValueTooLarge { len, max })
            if len == max_value as u64 + 1 && max == max_value as u64),
        "{error}"
    );
    let key = &long[..=max_key];
    for request in [
        Request::Get { key },
        Request::Destroy { key },
        Request::Touch {
            key,
            expiry: Expiry::Keep,
        },
    ] {
        let error = ask(&connection, &request).unwrap_err();
        assert!(
            matches!(error, CallError::Failed(Error::KeyTooLong { len, max })
                if len == max_key as u64 + 1 && max == max_key as u64),
            "{error}"
        );
    }
    ask(&connection, &set(&long[..max_key], &long[..max_value])).unwrap();
}

#[test]
fn every_error_reply_has_its_error() {
    let (connection, mut peer) = Scripted::greeted();
    let master = std::thread::spawn(move || {
        for code in ErrorCode::EVERY {
            let (_, id) = peer.request();
            let message = "because".into();
            peer.reply(id, &Reply::Error(Failure { code, message }));
        }
    });
    for code in ErrorCode::EVERY {
        let error = match ask(&connection, &set(b"key", b"value")).unwrap_err() {
            CallError::Failed(error) => error,
            other => panic!("{other:?}"),
        };
        let fits = match code {
            ErrorCode::BadRequest | ErrorCode::Version => matches!(error, Error::Protocol(_)),
            ErrorCode::UnknownOp | ErrorCode::Unsupported => {
                matches!(error, Error::Unsupported { operation: "set" })
            }
            ErrorCode::KeyTooLong => matches!(error, Error::KeyTooLong { len: 3, .. }),
            ErrorCode::TooLarge => matches!(error, Error::ValueTooLarge { len: 5, .. }),
            ErrorCode::OutOfMemory => matches!(error, Error::OutOfMemory(_)),
            ErrorCode::WrongKind => matches!(error, Error::WrongKind),
            ErrorCode::Busy => matches!(error, Error::Busy),
            ErrorCode::AuthRequired | ErrorCode::AuthFailed => {
                matches!(error, Error::Authentication(_))
            }
            ErrorCode::Backend => matches!(&error, Error::Backend(text) if text == "because"),
            ErrorCode::Timeout => matches!(
                error,
                Error::Timeout {
                    operation: "set",
                    ..
                }
            ),
        };
        assert!(fits, "{code:?} became {error:?}");
    }
    master.join().unwrap();
}

#[test]
fn an_answer_to_another_question_is_a_protocol_error_of_that_call() {
    let (connection, mut peer) = Scripted::greeted();
    let master = std::thread::spawn(move || {
        let (_, id) = peer.request();
        peer.reply(id, &Reply::Pong);
        let (_, id) = peer.request();
        peer.reply(id, &Reply::Stored { seq: Seq(4) });
    });
    let error = ask(&connection, &set(b"k", b"v")).unwrap_err();
    assert!(
        matches!(error, CallError::Failed(Error::Protocol(_))),
        "{error}"
    );
    assert_eq!(
        ask(&connection, &set(b"k", b"v")).unwrap(),
        Answer::Stored(Seq(4))
    );
    master.join().unwrap();
}
