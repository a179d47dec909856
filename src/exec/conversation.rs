//! What surrounds the requests of one native connection: introduction, proof, then requests.
//!
//! Called by the master with each frame that arrived; appends the replies. Before a peer through
//! the path socket has introduced itself (and proved itself, where there is a secret) nothing it
//! sends reaches the backend.

use super::{execute, failure};
use crate::backend::Backend;
use crate::config::Limits;
use crate::contract::Expiry;
use crate::protocol::auth::{Bytes32, Secret, Side};
use crate::protocol::codec::{self, DecodeError};
use crate::protocol::frame::{self, Frame, FrameError};
use crate::protocol::message::{Auth, ErrorCode, Failure, Hello, Regenerate, Welcome};
use crate::protocol::{Reply, Request};
use crate::time::Millis;

/// How a connection came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Inherited by the worker in this slot: having it is the proof.
    Channel {
        /// The worker's slot.
        slot: u16,
    },
    /// Accepted at the path socket.
    Path,
}

/// Is told what happened, in Redis's word for it, and to which key. It may ask the backend what else
/// did.
pub type Changed<'a> = dyn FnMut(&mut dyn Backend, &'static str, &[u8]) + 'a;

/// What a conversation needs of the master for one frame.
pub struct Host<'a> {
    /// What holds the data.
    pub backend: &'a mut dyn Backend,
    /// The present.
    pub now: Millis,
    /// The bounds in force.
    pub limits: &'a Limits,
    /// What a peer through the path socket must know, if anything.
    pub secret: Option<&'a Secret>,
    /// Is told of each change of a key.
    pub changed: &'a mut Changed<'a>,
    /// A fresh nonce at each call, not to be guessed.
    pub nonce: &'a dyn Fn() -> Bytes32,
    /// How many workers there are.
    pub workers: u32,
    /// How often the fleet was reloaded.
    pub generation: u32,
    /// The master's process id.
    pub pid: u32,
}

/// Whether the connection goes on after a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It does.
    Continue,
    /// It is closed once the replies are sent, for this reason.
    Close(&'static str),
}

/// The state of one connection.
#[derive(Debug)]
pub struct Conversation {
    origin: Origin,
    phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing was said yet.
    Silent,
    /// We asked for a proof for this nonce.
    Challenged(Bytes32),
    /// Requests are welcome.
    Open,
}

impl Conversation {
    /// A connection on which nothing was said yet.
    pub fn new(origin: Origin) -> Self {
        Self {
            origin,
            phase: Phase::Silent,
        }
    }

    /// How it came to be.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// Whether the peer has introduced (and where needed proved) itself.
    pub fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// The largest body to read from the peer now.
    pub fn max_body(&self, limits: &Limits) -> usize {
        match (self.phase, self.origin) {
            (Phase::Open, _) | (_, Origin::Channel { .. }) => limits.max_body(),
            (_, Origin::Path) => Limits::UNTRUSTED_BODY,
        }
    }

    /// Answers a frame: appends the reply to `out`.
    pub fn answer(&mut self, host: &mut Host<'_>, frame: Frame<'_>, out: &mut Vec<u8>) -> Next {
        let id = frame.header.id;
        let request = match codec::read_request(frame) {
            Ok(request) => request,
            Err(error) => {
                codec::write_reply(out, id, &Reply::Error(malformed(error)));
                return Next::Continue;
            }
        };
        let (reply, next) = match (self.phase, &request) {
            (Phase::Open | Phase::Silent, Request::Hello(hello)) => self.hello(host, *hello),
            (Phase::Open, _) => {
                let reply = execute(host.backend, host.now, host.limits, &request);
                codec::write_reply(out, id, &reply);
                for (event, key) in changes(&request, &reply).into_iter().flatten() {
                    (host.changed)(host.backend, event, key);
                }
                return Next::Continue;
            }
            (Phase::Challenged(nonce), Request::Auth(auth)) => self.prove(host, nonce, auth),
            (Phase::Silent | Phase::Challenged(_), _) => refuse(
                ErrorCode::AuthRequired,
                "a connection starts with hello, and with auth where that asks for it",
            ),
        };
        codec::write_reply(out, id, &reply);
        next
    }

    /// Answers bytes that are no frame; the connection cannot go on.
    pub fn broken(error: FrameError, out: &mut Vec<u8>) {
        let code = match error {
            FrameError::Version(_) => ErrorCode::Version,
            FrameError::TooLarge { .. } => ErrorCode::TooLarge,
            FrameError::Magic(_) | FrameError::Reserved => ErrorCode::BadRequest,
        };
        let reply = Reply::Error(failure(code, error.to_string()));
        codec::write_reply(out, 0, &reply);
    }

    /// Tells a peer that is not let in why.
    pub fn refused(code: ErrorCode, why: &str, out: &mut Vec<u8>) {
        let reply = Reply::Error(failure(code, why.to_owned()));
        codec::write_reply(out, 0, &reply);
    }

    fn hello(&mut self, host: &Host<'_>, hello: Hello) -> (Reply<'static>, Next) {
        if !(hello.min_version..=hello.max_version).contains(&frame::VERSION) {
            let message = format!(
                "the client speaks protocol versions {} to {}, this master speaks {}",
                hello.min_version,
                hello.max_version,
                frame::VERSION
            );
            let reply = Reply::Error(failure(ErrorCode::Version, message));
            return (reply, Next::Close("no common protocol version"));
        }
        if self.origin == Origin::Path && self.phase == Phase::Silent && host.secret.is_some() {
            let nonce = (host.nonce)();
            self.phase = Phase::Challenged(nonce);
            return (Reply::Challenge { nonce }, Next::Continue);
        }
        self.phase = Phase::Open;
        (self.welcome(host, None), Next::Continue)
    }

    fn prove(&mut self, host: &Host<'_>, nonce: Bytes32, auth: &Auth) -> (Reply<'static>, Next) {
        let secret = host
            .secret
            .filter(|secret| secret.verify(Side::Client, &nonce, &auth.nonce, &auth.proof));
        let Some(secret) = secret else {
            let message = "the client's secret is not the master's";
            let reply = Reply::Error(failure(ErrorCode::AuthFailed, message));
            return (reply, Next::Close("wrong secret"));
        };
        self.phase = Phase::Open;
        let proof = secret.prove(Side::Server, &nonce, &auth.nonce);
        (self.welcome(host, Some(proof)), Next::Continue)
    }

    fn welcome(&self, host: &Host<'_>, proof: Option<Bytes32>) -> Reply<'static> {
        Reply::Welcome(Welcome {
            version: frame::VERSION,
            capabilities: host.backend.capabilities(),
            max_key: host.limits.max_key as u64,
            max_value: host.limits.max_value as u64,
            max_body: host.limits.max_body() as u64,
            slot: match self.origin {
                Origin::Channel { slot } => Some(u32::from(slot)),
                Origin::Path => None,
            },
            workers: host.workers,
            generation: host.generation,
            pid: host.pid,
            proof,
        })
    }
}

/// What has become of a key, in Redis's word for it.
type Change<'r> = Option<(&'static str, &'r [u8])>;

/// What a request has changed.
fn changes<'r>(request: &Request<'r>, reply: &Reply<'_>) -> [Change<'r>; 2] {
    let one = match (request, reply) {
        (Request::Set(set), Reply::Stored { .. }) => match set.expiry {
            Expiry::AfterMs(0) => Some(("del", set.key)),
            _ => Some(("set", set.key)),
        },
        (Request::Touch { key, expiry }, Reply::Done) => match expiry {
            Expiry::AfterMs(0) => Some(("del", *key)),
            Expiry::AfterMs(_) => Some(("expire", *key)),
            Expiry::Never => Some(("persist", *key)),
            Expiry::Keep => None,
        },
        (Request::Destroy { key } | Request::Bury { key, .. }, Reply::Done) => Some(("del", *key)),
        (&Request::Regenerate(Regenerate { grace_ms, from, to }), Reply::Stored { .. }) => {
            let of_old = if grace_ms == 0 { "del" } else { "expire" };
            return [Some(("copy_to", to)), Some((of_old, from))];
        }
        _ => None,
    };
    [one, None]
}

fn refuse(code: ErrorCode, message: &'static str) -> (Reply<'static>, Next) {
    (Reply::Error(failure(code, message)), Next::Continue)
}

fn malformed(error: DecodeError) -> Failure<'static> {
    let code = match error {
        DecodeError::UnknownOp(_) => ErrorCode::UnknownOp,
        DecodeError::UnknownStatus(_) | DecodeError::Body(_) => ErrorCode::BadRequest,
    };
    failure(code, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{MemoryBackend, Tombstones};
    use crate::contract::Condition;
    use crate::protocol::message::Set;

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
        changes: Vec<(&'static str, Vec<u8>)>,
    }

    impl Peer {
        fn new(origin: Origin, secret: Option<&[u8]>) -> Self {
            Self {
                conversation: Conversation::new(origin),
                backend: Box::new(MemoryBackend::new()),
                secret: secret.map(|secret| Secret::new(secret).unwrap()),
                changes: Vec::new(),
            }
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
                changed: &mut |_, event, key| self.changes.push((event, key.to_vec())),
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
            let changes = peer.changes.drain(..).map(|(event, key)| {
                assert_eq!(key, b"k");
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
            peer.changes.clear();
            let regenerate = Regenerate { grace_ms, from, to };
            peer.ask(&Request::Regenerate(regenerate));
            std::mem::take(&mut peer.changes)
        };
        let change = |event, key: &[u8]| (event, key.to_vec());
        assert_eq!(
            told(5, b"a", b"b"),
            [change("copy_to", b"b"), change("expire", b"a")]
        );
        assert_eq!(
            told(0, b"c", b"d"),
            [change("copy_to", b"d"), change("del", b"c")]
        );
        assert!(told(0, b"e", b"b").is_empty(), "it is taken");
        let bury = Request::Bury {
            key: b"b",
            tombstone_ms: 9,
        };
        assert_eq!(peer.ask(&bury).0, Reply::Done);
        assert_eq!(peer.changes, [change("del", b"b")]);
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
}
