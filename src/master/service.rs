//! What the bytes of connections mean: the reactor's handler over the backend.
//!
//! The first byte that a peer sends decides which dialect it speaks. A [`Service`] lives as long as
//! the master; a [`Turn`] of it has the backend and the time, so that neither a lock nor a clock is
//! paid for per request. It does not know on which thread it is: see [the module above](super).

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::MutexGuard;

use super::channels::OfChannel;
use crate::backend::Backend;
use crate::config::Limits;
use crate::exec::plain::Manner;
use crate::exec::{ClientId, Conversation, Host, Hub, Message, Next, Origin, SharedHub, redis};
use crate::net::{AllowedUids, CloseReason, ConnectionId, Handler, Peer, Refusal, Taken, Verdict};
use crate::protocol::auth::{Bytes32, Secret};
use crate::protocol::resp::{DENIED, FULL, Protocol, Writer};
use crate::protocol::{Dialect, ErrorCode, frame};
use crate::supervisor::event::WorkerId;
use crate::time::Millis;

/// What is remembered of a connection.
pub(crate) struct Session {
    origin: Origin,
    talk: Talk,
    /// Whose channel it is; `None` through the path socket.
    worker: Option<WorkerId>,
}

/// What is spoken on a connection.
enum Talk {
    /// Nothing was said yet.
    Silence,
    Native(Conversation),
    Redis(Box<redis::Session>),
}

impl OfChannel for Session {
    fn of_channel(slot: u16, worker: Option<WorkerId>) -> Self {
        Self {
            worker,
            ..Self::new(Origin::Channel { slot })
        }
    }
}

impl Session {
    /// One on which nothing was said yet, and that is no supervised worker's.
    pub(super) fn new(origin: Origin) -> Self {
        Self {
            origin,
            talk: Talk::Silence,
            worker: None,
        }
    }

    /// What it is in the Redis dialect, where it speaks that.
    pub(super) fn redis_mut(&mut self) -> Option<&mut redis::Session> {
        match &mut self.talk {
            Talk::Redis(session) => Some(session),
            Talk::Silence | Talk::Native(_) => None,
        }
    }

    /// How plain requests of it can be answered without it, if nothing else is to be minded.
    pub(super) fn manner(&self) -> Option<Manner> {
        match &self.talk {
            Talk::Silence => None,
            Talk::Native(conversation) => conversation.manner(),
            Talk::Redis(session) => session.manner(),
        }
    }

    /// Whether the peer has introduced itself.
    pub(super) fn is_open(&self) -> bool {
        match &self.talk {
            Talk::Silence => false,
            Talk::Native(conversation) => conversation.is_open(),
            Talk::Redis(session) => session.is_open(),
        }
    }
}

/// What happened to the channels of workers in a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ChannelEvent {
    /// The worker introduced itself.
    Introduced(WorkerId),
    /// The channel is closed.
    Closed(WorkerId),
}

/// On which terms a master serves.
#[derive(Clone)]
pub(super) struct Terms {
    pub(super) limits: Limits,
    pub(super) hub: SharedHub,
    /// Of the path socket.
    pub(super) path: Option<PathBuf>,
    pub(super) secret: Option<Secret>,
    pub(super) allowed: AllowedUids,
    pub(super) workers: u32,
    pub(super) pid: u32,
}

impl Terms {
    /// Whether a peer of the path socket is let in.
    pub(super) fn admit(&self, peer: Peer) -> Result<(), Refusal> {
        if self.allowed.allows(peer) {
            Ok(())
        } else {
            Err(Refusal::Stranger { uid: peer.uid })
        }
    }
}

pub(super) struct Service {
    terms: Terms,
    generation: u32,
    pub(super) events: Vec<ChannelEvent>,
    pub(super) redis: redis::Shared,
    /// The connections on which something was said.
    clients: HashMap<ClientId, ConnectionId>,
}

impl Service {
    pub(super) fn new(terms: Terms, now: Millis) -> Self {
        let mut redis = redis::Shared::new(now, terms.pid);
        if let Some(path) = &terms.path {
            redis = redis.at(path);
        }
        Self {
            terms,
            generation: 0,
            events: Vec::new(),
            redis,
            clients: HashMap::new(),
        }
    }

    /// With the backend, for as long as it is lent.
    pub(super) fn turn<'s>(&'s mut self, backend: &'s mut dyn Backend, now: Millis) -> Turn<'s> {
        Turn {
            backend,
            hub: self.terms.hub.lock(),
            now,
            terms: &self.terms,
            generation: self.generation,
            events: &mut self.events,
            redis: &mut self.redis,
            clients: &mut self.clients,
        }
    }

    /// Where messages meet their subscribers.
    pub(super) fn hub(&self) -> MutexGuard<'_, Hub> {
        self.terms.hub.lock()
    }

    /// The connections that clients have had closed.
    pub(super) fn killed(&mut self) -> impl Iterator<Item = ConnectionId> + use<'_> {
        let Self { redis, clients, .. } = self;
        redis
            .take_killed()
            .filter_map(|client| clients.get(&client).copied())
    }

    /// What is to be sent to connections that did not ask for it, in order.
    pub(super) fn outbox(
        &mut self,
        now: Millis,
    ) -> impl Iterator<Item = (ConnectionId, Vec<Message>)> {
        let sent = self.terms.hub.lock().outbox(now).into_iter();
        sent.filter_map(|(client, messages)| Some((*self.clients.get(&client)?, messages)))
    }
}

pub(super) struct Turn<'s> {
    pub(super) backend: &'s mut dyn Backend,
    hub: MutexGuard<'s, Hub>,
    now: Millis,
    terms: &'s Terms,
    generation: u32,
    events: &'s mut Vec<ChannelEvent>,
    redis: &'s mut redis::Shared,
    clients: &'s mut HashMap<ClientId, ConnectionId>,
}

impl Turn<'_> {
    fn native(&mut self, talk: &mut Conversation, bytes: &[u8], out: &mut Vec<u8>) -> Taken {
        let frame = match frame::split(bytes, talk.max_body(&self.terms.limits)) {
            Ok(Some(frame)) => frame,
            Ok(None) => return Taken::Nothing,
            Err(error) => {
                Conversation::broken(error, out);
                return Taken::Garbage("what it sent is no frame");
            }
        };
        let mut host = Host {
            backend: self.backend,
            now: self.now,
            limits: &self.terms.limits,
            secret: self.terms.secret.as_ref(),
            hub: &mut self.hub,
            nonce: &nonce,
            workers: self.terms.workers,
            generation: self.generation,
            pid: self.terms.pid,
        };
        let next = talk.answer(&mut host, frame, out);
        Taken::Request(frame.wire_len(), verdict(next))
    }

    /// Begins to speak this dialect, unless one is spoken already.
    pub(super) fn begin(&mut self, id: ConnectionId, session: &mut Session, dialect: Dialect) {
        let Talk::Silence = session.talk else {
            return;
        };
        let (talk, client) = match dialect {
            Dialect::Native => {
                let native = Conversation::new(session.origin, self.hub.enter());
                let client = native.id();
                (Talk::Native(native), client)
            }
            Dialect::Resp => {
                let redis = redis::Session::new(&mut self.redis_host(), session.origin);
                let client = redis.id();
                (Talk::Redis(Box::new(redis)), client)
            }
        };
        session.talk = talk;
        self.clients.insert(client, id);
    }

    /// Tells subscribers which entries went by themselves.
    pub(super) fn tell_gone(&mut self) {
        self.hub.tell_gone(self.backend);
    }

    fn redis_host(&mut self) -> redis::Host<'_> {
        redis::Host {
            backend: self.backend,
            now: self.now,
            limits: &self.terms.limits,
            secret: self.terms.secret.as_ref(),
            shared: self.redis,
            hub: &mut self.hub,
        }
    }
}

impl Handler for Turn<'_> {
    type Session = Session;

    fn accepted(&mut self, peer: Peer) -> Result<Session, Refusal> {
        self.terms.admit(peer)?;
        Ok(Session::new(Origin::Path))
    }

    fn refused(&mut self, why: Refusal, said: &[u8], out: &mut Vec<u8>) {
        say_no(why, said, out);
    }

    fn request(
        &mut self,
        id: ConnectionId,
        session: &mut Session,
        bytes: &[u8],
        out: &mut Vec<u8>,
    ) -> Taken {
        let was_open = session.is_open();
        if let Talk::Silence = session.talk {
            self.begin(id, session, Dialect::of(bytes[0]));
        }
        let taken = match &mut session.talk {
            Talk::Silence => unreachable!("it was broken above"),
            Talk::Native(conversation) => self.native(conversation, bytes, out),
            Talk::Redis(talk) => match talk.request(&mut self.redis_host(), bytes, out) {
                redis::Taken::Nothing => Taken::Nothing,
                redis::Taken::Request(len, next) => Taken::Request(len, verdict(next)),
                redis::Taken::Garbage => Taken::Garbage("what it sent is no command"),
            },
        };
        if let Taken::Request(len, Verdict::Continue) = taken {
            if !was_open && session.is_open() {
                if let Some(worker) = session.worker {
                    self.events.push(ChannelEvent::Introduced(worker));
                }
                return Taken::Request(len, Verdict::Introduced);
            }
        }
        taken
    }

    fn closed(&mut self, id: ConnectionId, session: Session, why: CloseReason) {
        tracing::debug!(connection = ?id, origin = ?session.origin, %why, "closed");
        match session.talk {
            Talk::Silence => {}
            Talk::Native(conversation) => {
                self.clients.remove(&conversation.id());
                conversation.leave(&mut self.hub);
            }
            Talk::Redis(talk) => {
                self.clients.remove(&talk.id());
                talk.leave(&mut self.hub, self.redis);
            }
        }
        if let Some(worker) = session.worker {
            self.events.push(ChannelEvent::Closed(worker));
        }
    }
}

/// What a peer is told that is not let in. Who says nothing is taken for a client of Redis: one of
/// the other dialect speaks at once.
pub(super) fn say_no(why: Refusal, said: &[u8], out: &mut Vec<u8>) {
    if said.first().copied().map(Dialect::of) == Some(Dialect::Native) {
        let code = match why {
            Refusal::Full => ErrorCode::Busy,
            Refusal::Stranger { .. } => ErrorCode::AuthFailed,
        };
        return Conversation::refused(code, &why.to_string(), out);
    }
    Writer::new(out, Protocol::Resp2).error(&match why {
        Refusal::Full => FULL.to_owned(),
        Refusal::Stranger { .. } => format!("{DENIED} {why}"),
    });
}

fn verdict(next: Next) -> Verdict {
    match next {
        Next::Continue => Verdict::Continue,
        Next::Close(why) => Verdict::Close(why),
    }
}

fn nonce() -> Bytes32 {
    let mut nonce = Bytes32::default();
    getrandom::fill(&mut nonce).expect("the system has random bytes");
    nonce
}
