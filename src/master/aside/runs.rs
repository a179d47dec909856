//! The engine's running of requests: each chunk against the backend, with what came of it noted in
//! the ledger of the turn. When they are run, and what is told of them when, is not known here.

use std::sync::Arc;

use super::chunk::{Author, Chunk, Done};
use super::engine::Engine;
use super::gauges::count;
use super::ledger::Ledger;
use super::noting::Noting;
use super::sweeps::Outcome;
use super::{NO_REQUEST, refusal};
use crate::backend::{Backend, Sweep};
use crate::exec::{self, ahead};
use crate::master::service::Session;
use crate::net::{CloseReason, ConnectionId, Handler, Taken, Verdict};
use crate::protocol::{Dialect, Request, codec, frame};
use crate::time::Millis;

impl Engine {
    /// Forgets a connection.
    pub(super) fn leave(
        &mut self,
        backend: &mut dyn Backend,
        now: Millis,
        id: ConnectionId,
        why: CloseReason,
    ) {
        if let Some(session) = self.sessions.remove(&id) {
            self.service.turn(backend, now).closed(id, session, why);
        }
    }

    /// Runs requests of one author, at least one if any, until the time is over or their replies
    /// are enough for now.
    pub(super) fn chunk(
        &mut self,
        backend: &mut dyn Backend,
        chunk: Arc<Chunk>,
        until: Option<Millis>,
        ledger: &mut Ledger,
    ) {
        match &chunk.author {
            Author::Handle(_) if !chunk.begin() => {}
            Author::Handle(_) => match self.sweep_of(backend, Dialect::Native, &chunk.bytes) {
                Some(what) => self.sweeps.begin(chunk, what),
                None => self.call(backend, chunk, None, ledger),
            },
            &Author::Connection {
                id,
                origin,
                dialect,
                lost,
            } => {
                let now = self.parts.clock.now();
                let session = self
                    .sessions
                    .entry(id)
                    .or_insert_with(|| Session::new(origin));
                self.service.turn(backend, now).begin(id, session, dialect);
                if let (Some(lost), Some(redis)) = (lost, session.redis_mut()) {
                    redis.lose(&mut self.service.hub(), lost);
                }
                let is_begun = chunk.begin();
                let sweep = self.sweep_of(backend, dialect, &chunk.bytes);
                match sweep.filter(|_| is_begun && self.runs_at_once(id)) {
                    Some(what) => self.sweeps.begin(chunk, what),
                    None => self.requests(backend, (id, chunk, is_begun), None, until, ledger),
                }
            }
        }
    }

    /// Runs a chunk whose sweep is done, or gives it back if nobody waits for it.
    pub(super) fn go_on(
        &mut self,
        backend: &mut dyn Backend,
        chunk: Arc<Chunk>,
        swept: Option<Outcome>,
        ledger: &mut Ledger,
    ) {
        match &chunk.author {
            Author::Handle(_) if swept.is_none() => {}
            Author::Handle(_) => self.call(backend, chunk, swept, ledger),
            &Author::Connection { id, .. } => {
                let is_wanted = swept.is_some();
                self.requests(backend, (id, chunk, is_wanted), swept, None, ledger);
            }
        }
    }

    /// What the first of these requests has done with all entries, where that takes its time.
    fn sweep_of(&self, backend: &dyn Backend, dialect: Dialect, bytes: &[u8]) -> Option<Sweep> {
        if !backend.is_shared() {
            return None;
        }
        ahead::sweep(dialect, bytes, &self.limits)
    }

    /// Whether the next request of a connection would be run, and not refused or kept for later.
    fn runs_at_once(&mut self, id: ConnectionId) -> bool {
        self.sessions.get_mut(&id).is_some_and(|session| {
            let is_open = session.is_open();
            session
                .redis_mut()
                .map_or(is_open, |redis| redis.runs_at_once())
        })
    }

    fn requests(
        &mut self,
        backend: &mut dyn Backend,
        (id, chunk, is_begun): (ConnectionId, Arc<Chunk>, bool),
        mut swept: Option<Outcome>,
        until: Option<Millis>,
        ledger: &mut Ledger,
    ) {
        let Self {
            parts,
            limits,
            service,
            sessions,
            ..
        } = self;
        let session = sessions
            .get_mut(&id)
            .expect("whoever has requests run has a session");
        let bytes = &chunk.bytes;
        let dialect = match chunk.author {
            Author::Connection { dialect, .. } => dialect,
            Author::Handle(_) => Dialect::Native,
        };
        let is_shared = backend.is_shared();
        let mut done = Done::default();
        while done.used < bytes.len() && done.close.is_none() {
            let rest = &bytes[done.used..];
            if !is_begun || chunk.is_given_up() {
                if let Some(redis) = session.redis_mut() {
                    redis.lose(&mut service.hub(), refusal::lost(rest, limits));
                }
                done.used = bytes.len();
                break;
            }
            let now = parts.clock.now();
            let is_enough = until.is_some_and(|until| until <= now);
            if done.used > 0 && (is_enough || done.out.len() > limits.high_mark) {
                break;
            }
            if done.used > 0 && is_shared && ahead::sweep(dialect, rest, limits).is_some() {
                // It is the first when it comes back.
                break;
            }
            let start = done.out.len();
            let mut noting = Noting::new(backend, ledger.is_doubtful(), swept.take());
            let taken = service
                .turn(&mut noting, now)
                .request(id, session, rest, &mut done.out);
            count(&parts.desk.gauges.requests);
            ledger.note(noting.seen, noting.touched, rest, start..done.out.len());
            match taken {
                Taken::Request(len, verdict) => {
                    done.used += len;
                    if let Verdict::Close(why) = verdict {
                        done.close = Some(CloseReason::Rejected(why));
                    }
                }
                Taken::Garbage(why) => done.close = Some(CloseReason::Garbage(why)),
                // To the loop it was none, which did not know of what was given up before.
                Taken::Nothing | Taken::Along(_) | Taken::Full => {
                    done.close = Some(CloseReason::Garbage(NO_REQUEST));
                }
            }
        }
        done.is_open = session.is_open();
        done.manner = session.manner();
        done.unsent = session
            .redis_mut()
            .map_or(0, |redis| redis.unsent_replies());
        ledger.close(chunk, done);
    }

    /// Runs the request of a handle.
    fn call(
        &mut self,
        backend: &mut dyn Backend,
        chunk: Arc<Chunk>,
        swept: Option<Outcome>,
        ledger: &mut Ledger,
    ) {
        // Handles are trusted with their own memory; what is too long for the store is refused as
        // everybody's is.
        let Ok(Some(frame)) = frame::split(&chunk.bytes, usize::MAX) else {
            unreachable!("a handle writes whole frames");
        };
        let mut done = Done::default();
        let mut noting = Noting::new(backend, ledger.is_doubtful(), swept);
        if let Ok(request) = codec::read_request(frame) {
            let now = self.parts.clock.now();
            let reply = match request {
                Request::Publish { channel, message } => {
                    exec::publish(&mut self.service.hub(), &self.limits, channel, message)
                }
                _ => exec::execute(&mut noting, now, &self.limits, &request),
            };
            codec::write_reply(&mut done.out, frame.header.id, &reply);
            let changes = exec::changes(&request, &reply);
            drop(reply);
            for (database, event, key) in changes.into_iter().flatten() {
                self.service
                    .hub()
                    .changed(&mut noting, database, event, key);
            }
        }
        count(&self.parts.desk.gauges.requests);
        let written = 0..done.out.len();
        ledger.note(noting.seen, noting.touched, &chunk.bytes, written);
        ledger.close(chunk, done);
    }
}
