//! The backend's own thread: requests of many authors, run in turns with one commit each.
//!
//! It has the [`Service`] and with it all sessions. What it is asked comes over the
//! [desk](super::desk), and what came of it goes back there after the commit; whatever the backend
//! waits for, nobody else does. Nobody calls it but its thread.
//!
//! A commit that fails takes back what was written since the one before. Then the replies that tell
//! of it become that error: from the first write of the turn on, of every request that looked at
//! data; but for those to which the backend says that what they looked at is done. From then on each chunk has a turn of its own until something was committed, so that those
//! who only read are answered while nobody can write. Messages that tell of a change that was taken
//! back are sent all the same.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::chunk::{Author, Chunk, Done};
use super::desk::{Desk, Job, News};
use super::gauges::count;
use super::ledger::Ledger;
use super::noting::Noting;
use super::sweeps::{Outcome, Sweeps};
use super::{NO_REQUEST, refusal};
use crate::backend::{Backend, BackendError, MemoryUse, SharedBackend, Sweep, Upkeep};
use crate::config::Limits;
use crate::exec::{self, ahead};
use crate::master::service::{Service, Session, Terms};
use crate::master::way::wake;
use crate::net::{CloseReason, ConnectionId, Handler, Taken, Verdict, Waker};
use crate::protocol::{Dialect, Request, codec, frame};
use crate::time::{Clock, Millis};

/// Milliseconds after which a turn takes no further request.
const TURN: u64 = 10;
/// Milliseconds without upkeep after which it is no longer left to idle time.
const UPKEEP: u64 = 100;
/// How long a thread that has nothing to do sleeps at most where there will be upkeep: time that is
/// spent suspended counts for deadlines and not for sleep.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// How long upkeep rests after a commit that failed.
const PAUSE: Duration = Duration::from_secs(1);

/// What an engine is made of; it comes to be on its thread.
pub(super) struct Parts {
    pub(super) backend: SharedBackend,
    pub(super) terms: Terms,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) desk: Arc<Desk>,
    pub(super) waker: Waker,
}

pub(super) struct Engine {
    parts: Parts,
    limits: Limits,
    service: Service,
    sessions: HashMap<ConnectionId, Session>,
    jobs: VecDeque<Job>,
    sweeps: Sweeps,
    upkeep: Upkeep,
    /// When upkeep was last done.
    kept: Millis,
    /// Why nothing was committed since something was to be.
    failure: Option<BackendError>,
}

impl Engine {
    pub(super) fn new(parts: Parts) -> Self {
        let now = parts.clock.now();
        Self {
            limits: parts.terms.limits.clone(),
            service: {
                let desk = Arc::clone(&parts.desk);
                let service = Service::new(parts.terms.clone(), now);
                service.hub().wake_with(move || desk.nudge());
                service
            },
            sessions: HashMap::new(),
            jobs: VecDeque::new(),
            sweeps: Sweeps::default(),
            upkeep: Upkeep::More,
            kept: now,
            failure: None,
            parts,
        }
    }

    /// Runs what is asked until that is no more.
    ///
    /// # Errors
    /// The backend is not to be relied on any more.
    pub(super) fn run(mut self) -> Result<(), BackendError> {
        loop {
            let patience = self.patience();
            let is_last = self.parts.desk.take(&mut self.jobs, patience);
            let (is_idle, now) = (self.jobs.is_empty(), self.parts.clock.now());
            if is_idle && is_last {
                return Ok(());
            }
            let has_messages = self.parts.desk.was_nudged()
                || self
                    .service
                    .hub()
                    .next_deadline()
                    .is_some_and(|then| then <= now);
            if !is_idle || self.is_due(now) || has_messages || !self.sweeps.is_empty() {
                self.turn(now, is_last)?;
            }
        }
    }

    /// How long to wait for something to do.
    fn patience(&self) -> Option<Duration> {
        if !self.sweeps.is_empty() {
            return Some(Duration::ZERO);
        }
        let now = self.parts.clock.now();
        let for_upkeep = match self.upkeep {
            Upkeep::More => Some(now),
            Upkeep::Until(then) => Some(then),
            Upkeep::Idle => None,
        };
        let for_subscribers = self.service.hub().next_deadline();
        let then = for_upkeep.into_iter().chain(for_subscribers).min();
        then.map(|then| then.since(now).min(LONGEST_SLEEP))
    }

    /// Whether it is time for upkeep.
    fn is_due(&self, now: Millis) -> bool {
        match self.upkeep {
            Upkeep::More => true,
            Upkeep::Until(then) => then <= now,
            Upkeep::Idle => false,
        }
    }

    /// Runs what there is to do, within the time of a turn unless it is the last.
    fn turn(&mut self, began: Millis, is_last: bool) -> Result<(), BackendError> {
        let backend = Arc::clone(&self.parts.backend);
        // A panic that poisoned it ended this thread, or was one of a request, which is answered.
        let mut backend = backend.lock().unwrap_or_else(PoisonError::into_inner);
        let backend = backend.as_mut();
        self.service.redis.load = Some(self.parts.desk.gauges.load());
        let until = (!is_last).then(|| began.after_ms(TURN));
        let mut ledger = Ledger::default();
        foresee(backend, began, &self.jobs, &self.limits);
        while let Some(job) = self.jobs.pop_front() {
            match job {
                Job::Leave(id, why) => {
                    for chunk in self.sweeps.leave(id) {
                        ledger.close(chunk, Done::default());
                    }
                    self.leave(backend, began, id, why);
                }
                Job::Run(chunk) => {
                    self.chunk(backend, chunk, until, &mut ledger);
                    let is_over = until.is_some_and(|until| until <= self.parts.clock.now());
                    if is_over || (self.failure.is_some() && !is_last) {
                        break;
                    }
                }
            }
        }
        if let Some((chunk, swept)) = self.sweeps.step(backend, began) {
            self.go_on(backend, chunk, swept, until, &mut ledger);
        }
        self.keep(backend, began, ledger.is_empty());
        self.service.turn(backend, began).tell_gone();
        let committed = backend.commit();
        let memory = backend.memory_use();
        count(&self.parts.desk.gauges.turns);
        let is_done_in_part = match &committed {
            Ok(()) => false,
            Err(error) => ledger.take_back(error, |key| backend.is_done(key)),
        };
        let has_written = ledger.has_written();
        self.tell(began, ledger, memory);
        match committed {
            Err(error) if is_done_in_part => {
                count(&self.parts.desk.gauges.failed_commits);
                tracing::warn!(%error, "some of what was written is not done");
                Ok(())
            }
            committed => self.judge(began, committed, has_written),
        }
    }

    /// Forgets a connection.
    fn leave(
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
    fn chunk(
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
    fn go_on(
        &mut self,
        backend: &mut dyn Backend,
        chunk: Arc<Chunk>,
        swept: Option<Outcome>,
        until: Option<Millis>,
        ledger: &mut Ledger,
    ) {
        match &chunk.author {
            Author::Handle(_) if swept.is_none() => {}
            Author::Handle(_) => self.call(backend, chunk, swept, ledger),
            &Author::Connection { id, .. } => {
                let is_wanted = swept.is_some();
                self.requests(backend, (id, chunk, is_wanted), swept, until, ledger);
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
            let mut noting = Noting::new(backend, swept.take());
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
        let mut noting = Noting::new(backend, swept);
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

    /// Does a step of upkeep if it is time to: in idle time, or where there was none for long.
    fn keep(&mut self, backend: &mut dyn Backend, now: Millis, is_idle: bool) {
        let is_late = self.kept.after_ms(UPKEEP) <= now;
        if self.is_due(now) && (is_idle || is_late) {
            self.upkeep = backend.upkeep(now);
            self.kept = now;
        } else if !is_idle {
            // Until the next step, what this turn has written is not known of.
            self.upkeep = self.upkeep.and(Upkeep::Until(now.after_ms(1)));
        }
    }

    /// Gives everybody what is theirs.
    fn tell(&mut self, now: Millis, ledger: Ledger, memory: Option<MemoryUse>) {
        let mail = self.service.outbox(now).map(|(to, messages)| {
            let bytes = messages.iter().flat_map(|message| message.iter().copied());
            (to, bytes.collect())
        });
        let mut news = News {
            mail: mail.collect(),
            killed: self.service.killed().collect(),
            memory,
            ..News::default()
        };
        for (chunk, done) in ledger.into_done() {
            match &chunk.author {
                // A handle that does not wait any more does not hear of it.
                Author::Handle(handle) => drop(handle.try_send(done.out)),
                Author::Connection { .. } => news.done.push((chunk, done)),
            }
        }
        let is_news = !news.done.is_empty() || !news.mail.is_empty() || !news.killed.is_empty();
        self.parts.desk.tell(news);
        if is_news {
            wake(&self.parts.waker);
        }
    }

    /// What a commit means for what comes.
    fn judge(
        &mut self,
        now: Millis,
        committed: Result<(), BackendError>,
        has_written: bool,
    ) -> Result<(), BackendError> {
        match committed {
            Ok(()) => {
                if has_written && self.failure.take().is_some() {
                    tracing::info!("what is written lasts again");
                }
            }
            Err(error) => {
                count(&self.parts.desk.gauges.failed_commits);
                if self.failure.is_none() {
                    tracing::error!(%error, "what was written does not last, and was taken back");
                }
                if let BackendError::Broken(_) = error {
                    return Err(error);
                }
                self.failure = Some(error);
                // It may be upkeep that failed, which nobody is told of and is tried again.
                self.upkeep = Upkeep::Until(now.after(PAUSE));
            }
        }
        Ok(())
    }
}

/// Tells the backend which keys the waiting requests look at.
fn foresee(backend: &mut dyn Backend, now: Millis, jobs: &VecDeque<Job>, limits: &Limits) {
    backend.expect(now, &|visit| {
        for job in jobs {
            let Job::Run(chunk) = job else {
                continue;
            };
            let dialect = match chunk.author {
                Author::Connection { dialect, .. } => dialect,
                Author::Handle(_) => Dialect::Native,
            };
            ahead::keys(dialect, &chunk.bytes, limits, visit);
        }
    });
}
