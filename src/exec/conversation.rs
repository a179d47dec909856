//! What surrounds the requests of one native connection: introduction, proof, then requests.
//!
//! Called by the master with each frame that arrived; appends the replies. Before a peer through
//! the path socket has introduced itself (and proved itself, where there is a secret) nothing it
//! sends reaches the backend.

use super::hub::{ClientId, Hub};
use super::plain::Manner;
use super::subscribers::Subscribers;
use super::{changes, done, execute, failure, publish};
use crate::backend::Backend;
use crate::config::Limits;
use crate::protocol::auth::{Bytes32, Secret, Side};
use crate::protocol::codec::{self, DecodeError};
use crate::protocol::frame::{self, Frame, FrameError};
use crate::protocol::message::{Auth, ErrorCode, Failure, Hello, Subscribe, Welcome};
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
    /// Where messages meet their subscribers; is told of each change of a key.
    pub hub: &'a mut Hub,
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
    subscribers: Subscribers,
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
    /// A connection on which nothing was said yet, with a number of its own.
    pub fn new(origin: Origin, client: ClientId) -> Self {
        Self {
            origin,
            phase: Phase::Silent,
            subscribers: Subscribers::new(client),
        }
    }

    /// The connection is gone.
    pub fn leave(mut self, hub: &mut Hub) {
        self.subscribers.clear(hub);
    }

    /// Its number.
    pub fn id(&self) -> ClientId {
        self.subscribers.owner()
    }

    /// How it came to be.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// Whether the peer has introduced (and where needed proved) itself.
    pub fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// How plain requests of it can be answered by others.
    pub(crate) fn manner(&self) -> Option<Manner> {
        self.is_open().then_some(Manner::Native)
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
                self.request(host, id, &request, out);
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

    /// Does what a request of a peer asks that has introduced itself.
    fn request(&mut self, host: &mut Host<'_>, id: u32, request: &Request<'_>, out: &mut Vec<u8>) {
        let hub = &mut *host.hub;
        let reply = match *request {
            Request::Publish { channel, message } => publish(hub, host.limits, channel, message),
            Request::Subscribe(Subscribe { ref topics }) => {
                match self.subscribers.subscribe(hub, topics) {
                    Ok(subscription) => Reply::Subscribed { subscription },
                    Err(failure) => Reply::Error(failure),
                }
            }
            Request::Receive {
                subscription,
                wait_ms,
            } => {
                let what = (subscription, wait_ms);
                return self.subscribers.receive(hub, host.now, id, what, out);
            }
            Request::Unsubscribe { subscription } => {
                done(self.subscribers.unsubscribe(hub, subscription, out))
            }
            _ => {
                let reply = execute(host.backend, host.now, host.limits, request);
                codec::write_reply(out, id, &reply);
                for (database, event, key) in changes(request, &reply).into_iter().flatten() {
                    hub.changed(host.backend, database, event, key);
                }
                return;
            }
        };
        codec::write_reply(out, id, &reply);
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
#[path = "conversation_tests.rs"]
mod tests;
