//! One conversation: who may ask, and what it is told.

use std::time::Instant;

use super::*;
use crate::backend::{MemoryBackend, Tombstones};
use crate::contract::{Condition, Expiry};
use crate::exec::Subscriber;
use crate::protocol::message::{Regenerate, Set, Topic};

const HELLO: Request<'static> = Request::Hello(Hello {
    min_version: 1,
    max_version: 3,
    pid: 9,
});
const SERVER_NONCE: Bytes32 = [8; 32];
const CLIENT_NONCE: Bytes32 = [9; 32];

struct Peer {
    conversation: Conversation,
    backend: Box<dyn Backend>,
    secret: Option<Secret>,
    hub: Hub,
    /// Is told of all changes.
    watcher: Subscriber,
}

impl Peer {
    fn new(origin: Origin, secret: Option<&[u8]>) -> Self {
        let events = "KA".parse().unwrap();
        let mut hub = Hub::new(&Limits::default(), events);
        let all = Topic {
            is_pattern: true,
            name: b"__keyspace@0__:*",
        };
        Self {
            conversation: Conversation::new(origin, hub.enter()),
            backend: Box::new(MemoryBackend::new()),
            secret: secret.map(|secret| Secret::new(secret).unwrap()),
            watcher: Subscriber::alone(&mut hub, &[all]).unwrap(),
            hub,
        }
    }

    /// What was told since this was last asked: what has happened, and to which key.
    fn changes(&mut self) -> Vec<(String, String)> {
        let batch = self.watcher.wait(Instant::now());
        let changes = batch.messages.iter().map(|message| {
            let delivery = codec::read_delivery(message).unwrap();
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            let key = text(&delivery.channel["__keyspace@0__:".len()..]);
            (text(&delivery.message), key)
        });
        changes.collect()
    }

    fn ask(&mut self, request: &Request<'_>) -> (Reply<'static>, Next) {
        let mut frame = Vec::new();
        codec::write_request(&mut frame, 3, request);
        self.send(&frame)
    }

    fn send(&mut self, bytes: &[u8]) -> (Reply<'static>, Next) {
        let limits = Limits::default();
        let mut host = Host {
            backend: self.backend.as_mut(),
            now: Millis::from_unix(1),
            limits: &limits,
            secret: self.secret.as_ref(),
            hub: &mut self.hub,
            nonce: &|| SERVER_NONCE,
            workers: 4,
            generation: 1,
            pid: 77,
        };
        let frame = frame::split(bytes, 1 << 20).unwrap().unwrap();
        let mut out = Vec::new();
        let next = self.conversation.answer(&mut host, frame, &mut out);
        let out: &'static [u8] = out.leak();
        let reply = frame::split(out, 1 << 20).unwrap().unwrap();
        assert_eq!(reply.header.id, 3);
        (codec::read_reply(reply).unwrap(), next)
    }

    fn error(&mut self, request: &Request<'_>) -> (ErrorCode, Next) {
        match self.ask(request) {
            (Reply::Error(failure), next) => (failure.code, next),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_worker_says_hello_and_is_told_its_slot() {
    let mut peer = Peer::new(Origin::Channel { slot: 2 }, Some(b"a secret of the path"));
    assert!(!peer.conversation.is_open());
    let (Reply::Welcome(welcome), Next::Continue) = peer.ask(&HELLO) else {
        panic!("no welcome");
    };
    assert_eq!(
        (welcome.slot, welcome.workers, welcome.pid),
        (Some(2), 4, 77)
    );
    assert!(peer.conversation.is_open());
    assert_eq!(peer.ask(&Request::Ping).0, Reply::Pong);
}

#[test]
fn nothing_reaches_the_backend_before_the_greeting_is_over() {
    let clear = Request::Clear;
    let mut silent = Peer::new(Origin::Path, None);
    assert_eq!(
        silent.error(&clear),
        (ErrorCode::AuthRequired, Next::Continue)
    );
    let mut challenged = Peer::new(Origin::Path, Some(b"sixteen bytes ok"));
    challenged.ask(&HELLO);
    assert_eq!(
        challenged.error(&clear),
        (ErrorCode::AuthRequired, Next::Continue)
    );
    assert_eq!(
        challenged.error(&HELLO),
        (ErrorCode::AuthRequired, Next::Continue)
    );
    assert_eq!(
        challenged.conversation.max_body(&Limits::default()),
        Limits::UNTRUSTED_BODY
    );
}

#[test]
fn both_sides_prove_that_they_know_the_secret() {
    let secret = Secret::new(*b"sixteen bytes ok").unwrap();
    let mut peer = Peer::new(Origin::Path, Some(b"sixteen bytes ok"));
    let challenge = Reply::Challenge {
        nonce: SERVER_NONCE,
    };
    assert_eq!(peer.ask(&HELLO).0, challenge);
    let proof = secret.prove(Side::Client, &SERVER_NONCE, &CLIENT_NONCE);
    let auth = Request::Auth(Auth {
        nonce: CLIENT_NONCE,
        proof,
    });
    let (Reply::Welcome(welcome), _) = peer.ask(&auth) else {
        panic!("no welcome")
    };
    let proof = welcome.proof.expect("the master proves itself too");
    assert!(secret.verify(Side::Server, &SERVER_NONCE, &CLIENT_NONCE, &proof));
}

#[test]
fn a_wrong_secret_ends_the_connection() {
    let wrong = Secret::new(*b"sixteen bytes no").unwrap();
    let mut peer = Peer::new(Origin::Path, Some(b"sixteen bytes ok"));
    peer.ask(&HELLO);
    let proof = wrong.prove(Side::Client, &SERVER_NONCE, &CLIENT_NONCE);
    let auth = Request::Auth(Auth {
        nonce: CLIENT_NONCE,
        proof,
    });
    assert_eq!(
        peer.error(&auth),
        (ErrorCode::AuthFailed, Next::Close("wrong secret"))
    );
    assert!(!peer.conversation.is_open());
}

#[test]
fn without_a_common_version_the_connection_ends() {
    let mut peer = Peer::new(Origin::Path, None);
    let future = Request::Hello(Hello {
        min_version: 2,
        max_version: 9,
        pid: 1,
    });
    let (code, next) = peer.error(&future);
    assert_eq!(code, ErrorCode::Version);
    assert!(matches!(next, Next::Close(_)));
}

#[test]
fn what_has_changed_is_told_and_nothing_else() {
    let mut peer = Peer::new(Origin::Channel { slot: 0 }, None);
    peer.ask(&HELLO);
    let mut told = |request: &Request<'_>| {
        peer.ask(request);
        let changes = peer.changes().into_iter().map(|(event, key)| {
            assert_eq!(key, "k");
            event
        });
        changes.collect::<Vec<_>>()
    };
    let set = |expiry, condition| {
        let (key, value) = (b"k".as_slice(), b"v".as_slice());
        Request::Set(Set {
            expiry,
            condition,
            key,
            value,
        })
    };
    let touch = |expiry| Request::Touch { key: b"k", expiry };
    let destroy = Request::Destroy { key: b"k" };
    assert_eq!(told(&set(Expiry::Never, Condition::IfAbsent)), ["set"]);
    assert!(told(&set(Expiry::Never, Condition::IfAbsent)).is_empty());
    assert!(told(&Request::Get { key: b"k" }).is_empty());
    assert_eq!(told(&touch(Expiry::AfterMs(9))), ["expire"]);
    assert_eq!(told(&touch(Expiry::Never)), ["persist"]);
    assert!(told(&touch(Expiry::Keep)).is_empty());
    assert_eq!(told(&destroy), ["del"]);
    assert!(told(&destroy).is_empty());
    assert!(told(&touch(Expiry::AfterMs(9))).is_empty());
    assert_eq!(told(&set(Expiry::AfterMs(9), Condition::Always)), ["set"]);
    assert_eq!(told(&touch(Expiry::AfterMs(0))), ["del"]);
}

#[test]
fn a_regenerate_changes_two_keys() {
    let mut peer = Peer::new(Origin::Channel { slot: 0 }, None);
    peer.backend = Box::new(Tombstones::new(peer.backend, &[]));
    peer.ask(&HELLO);
    let set = |key| {
        Request::Set(Set {
            expiry: Expiry::Never,
            condition: Condition::Always,
            key,
            value: b"v",
        })
    };
    let mut told = |grace_ms, from, to| {
        peer.ask(&set(from));
        peer.changes();
        let regenerate = Regenerate { grace_ms, from, to };
        peer.ask(&Request::Regenerate(regenerate));
        peer.changes()
    };
    let change = |event: &str, key: &str| (event.to_owned(), key.to_owned());
    assert_eq!(
        told(5, b"a", b"b"),
        [change("copy_to", "b"), change("expire", "a")]
    );
    assert_eq!(
        told(0, b"c", b"d"),
        [change("copy_to", "d"), change("del", "c")]
    );
    assert!(told(0, b"e", b"b").is_empty(), "it is taken");
    peer.changes();
    let bury = Request::Bury {
        key: b"b",
        tombstone_ms: 9,
    };
    assert_eq!(peer.ask(&bury).0, Reply::Done);
    assert_eq!(peer.changes(), [change("del", "b")]);
    assert_eq!(peer.ask(&set(b"b")).0, Reply::Conflict { found: None });
}

#[test]
fn a_frame_that_is_no_request_is_answered_and_the_connection_goes_on() {
    let mut peer = Peer::new(Origin::Path, None);
    peer.ask(&HELLO);
    let mut bytes = Vec::new();
    frame::write(&mut bytes, 0x6f, 3, |_| ());
    let (reply, next) = peer.send(&bytes);
    assert!(matches!(
        reply,
        Reply::Error(Failure {
            code: ErrorCode::UnknownOp,
            ..
        })
    ));
    assert_eq!(next, Next::Continue);
    assert_eq!(peer.ask(&Request::Length).0, Reply::Length(0));
}
