//! The backend's own thread: requests of many authors, run in turns with one commit each.
//!
//! It has the [`Service`] and with it all sessions. What it is asked comes over the
//! [desk](super::desk), and what came of it goes back there after the commit; whatever the backend
//! waits for, nobody else does. Nobody calls it but its thread.
//!
//! A backend that asks a server has several turns under way: while it is asked what one will look
//! at, another is run, and what a third has written is being done. What they read of each other's
//! is told in their order, so never before it is done.
//!
//! A commit that fails takes back what was written since the one before. Then the replies that tell
//! of it become that error: from the first write of the turn on, of every request that looked at
//! data; but for those to which the backend says that what they looked at is done. From then on
//! each chunk has a turn of its own until something was committed, so that those who only read are
//! answered while nobody can write. Messages that tell of a change that was taken back are sent all
//! the same.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::chunk::{Author, Done};
use super::desk::{Desk, Job, News};
use super::gauges::count;
use super::groups::{Group, gather};
use super::ledger::Ledger;
use super::sweeps::Sweeps;
use crate::backend::{Backend, BackendError, FastPath, MemoryUse, SharedBackend, Ticket, Upkeep};
use crate::config::Limits;
use crate::master::service::{Service, Session, Terms};
use crate::master::way::wake;
use crate::net::{ConnectionId, Waker};
use crate::time::{Clock, Millis};

/// Milliseconds after which a turn takes no further request.
const TURN: u64 = 10;
/// Requests after which what they wrote is sent, where nothing is on its way: so many that it costs
/// little, and so few that others can be run meanwhile.
const SENT_AT_ONCE: usize = 64;
/// Groups of requests for which it is asked ahead.
const MOST_GROUPS: usize = 4;
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
    pub(super) parts: Parts,
    pub(super) limits: Limits,
    pub(super) service: Service,
    pub(super) sessions: HashMap<ConnectionId, Session>,
    /// What is to be run, in its order.
    groups: VecDeque<Group>,
    /// What was run and is not on its way yet.
    open: Option<Ledger>,
    /// What is on its way to be done.
    sent: Option<(Ticket, Ledger)>,
    pub(super) sweeps: Sweeps,
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
            groups: VecDeque::new(),
            open: None,
            sent: None,
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
        let shared = Arc::clone(&self.parts.backend);
        // A panic that poisoned it ended this thread, or was one of a request, which is answered.
        let lock = || shared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pipelined) = lock().pipelined() {
            let desk = Arc::clone(&self.parts.desk);
            pipelined.wake_with(Arc::new(move || desk.stir()));
        }
        let mut patience = self.patience(lock().as_mut());
        loop {
            let mut jobs = VecDeque::new();
            let is_room = self.groups.len() < MOST_GROUPS;
            let is_last = self.parts.desk.take(&mut jobs, is_room, patience);
            let mut backend = lock();
            let backend = backend.as_mut();
            let now = self.parts.clock.now();
            self.groups.extend(gather(backend, now, jobs, &self.limits));
            self.settle(backend, now, is_last)?;
            let is_nudged = self.parts.desk.was_nudged();
            let has_messages = is_nudged || self.mail_due().is_some_and(|then| then <= now);
            let is_ready = self.is_ready(backend, is_last);
            if is_ready || self.is_due(now) || has_messages {
                self.turn(backend, now, is_last);
            } else if is_last && self.is_idle() {
                return Ok(());
            }
            self.close(backend, now)?;
            self.settle(backend, now, is_last)?;
            if is_ready || self.groups.is_empty() {
                self.sweep(backend, now);
            }
            patience = self.patience(backend);
        }
    }

    /// How long to wait for something to do.
    fn patience(&self, backend: &mut dyn Backend) -> Option<Duration> {
        let is_open = self.open.is_some() && self.sent.is_none();
        let is_sweep = !self.sweeps.is_empty() && self.groups.is_empty();
        if is_open || is_sweep || self.is_ready(backend, false) {
            return Some(Duration::ZERO);
        }
        let now = self.parts.clock.now();
        let for_upkeep = match self.upkeep {
            Upkeep::More => Some(now),
            Upkeep::Until(then) => Some(then),
            Upkeep::Idle => None,
        };
        let for_subscribers = self.mail_due();
        // Whatever is under way stirs the desk; should that fail, it is late at some time.
        let is_under_way = self.sent.is_some() || !self.groups.is_empty();
        let for_late = is_under_way.then(|| now.after(LONGEST_SLEEP));
        let all = [for_upkeep, for_subscribers, for_late];
        let then = all.into_iter().flatten().min();
        then.map(|then| then.since(now).min(LONGEST_SLEEP))
    }

    /// When there is something for subscribers, unless they get it with what is on its way.
    fn mail_due(&self) -> Option<Millis> {
        let due = self.service.hub().next_deadline();
        due.filter(|_| self.sent.is_none())
    }

    /// Whether there is nothing to run, and nothing on its way.
    fn is_idle(&self) -> bool {
        let is_told = self.open.is_none() && self.sent.is_none();
        is_told && self.groups.is_empty() && self.sweeps.is_empty()
    }

    /// Whether there are requests to run for which nobody has to wait.
    fn is_ready(&self, backend: &mut dyn Backend, is_last: bool) -> bool {
        let Some(group) = self.groups.front() else {
            return false;
        };
        // While nobody can write, what was tried last is heard of first.
        let is_held = self.failure.is_some() && self.sent.is_some();
        match (group.ticket, backend.pipelined()) {
            _ if is_held => false,
            (Some(ticket), Some(pipelined)) => is_last || pipelined.is_here(ticket),
            _ => true,
        }
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
    fn turn(&mut self, backend: &mut dyn Backend, began: Millis, is_last: bool) {
        self.service.redis.tell_load(self.parts.desk.gauges.load());
        let until = (!is_last).then(|| began.after_ms(TURN));
        let is_free = self.sent.is_none() && backend.pipelined().is_some();
        let mut ledger = self.begin();
        let mut is_idle = true;
        while self.is_ready(backend, is_last) {
            let is_over = until.is_some_and(|until| until <= self.parts.clock.now());
            let is_worth_it = is_free && ledger.depending() >= SENT_AT_ONCE;
            let is_enough = is_over || is_worth_it || (self.failure.is_some() && !is_last);
            if is_enough && !ledger.is_empty() {
                break;
            }
            self.next(backend, began, until, &mut ledger);
            is_idle = false;
        }
        self.keep(backend, began, is_idle);
        self.service.turn(backend, began).tell_gone();
        self.open = Some(ledger);
    }

    /// What is run now is noted in this.
    fn begin(&mut self) -> Ledger {
        let open = self.open.take();
        open.unwrap_or_else(|| Ledger::new(self.sent.is_some()))
    }

    /// Goes on with what goes over all entries.
    fn sweep(&mut self, backend: &mut dyn Backend, now: Millis) {
        if let Some((chunk, swept)) = self.sweeps.step(backend, now) {
            let mut ledger = self.begin();
            self.go_on(backend, chunk, swept, &mut ledger);
            self.open = Some(ledger);
        }
    }

    /// Does the next job.
    fn next(
        &mut self,
        backend: &mut dyn Backend,
        now: Millis,
        until: Option<Millis>,
        ledger: &mut Ledger,
    ) {
        let Some(group) = self.groups.front_mut() else {
            return;
        };
        let ticket = group.ticket.take();
        let job = group.jobs.pop_front();
        if group.jobs.is_empty() {
            self.groups.pop_front();
        }
        if let (Some(ticket), Some(pipelined)) = (ticket, backend.pipelined()) {
            pipelined.look(now, ticket);
        }
        match job {
            Some(Job::Leave(id, why)) => {
                for chunk in self.sweeps.leave(id) {
                    ledger.close(chunk, Done::default());
                }
                self.leave(backend, now, id, why);
            }
            Some(Job::Run(chunk)) => self.chunk(backend, chunk, until, ledger),
            None => {}
        }
    }

    /// Has done what the turn wrote, unless what an earlier one wrote is still on its way.
    fn close(&mut self, backend: &mut dyn Backend, now: Millis) -> Result<(), BackendError> {
        let Some(ledger) = self.open.take_if(|_| self.sent.is_none()) else {
            return Ok(());
        };
        if let Some(pipelined) = backend.pipelined() {
            self.sent = Some((pipelined.submit(), ledger));
            return Ok(());
        }
        let committed = backend.commit();
        self.committed(backend, now, ledger, committed)
    }

    /// Tells of what was on its way and is done.
    fn settle(
        &mut self,
        backend: &mut dyn Backend,
        now: Millis,
        is_last: bool,
    ) -> Result<(), BackendError> {
        let Some(pipelined) = backend.pipelined() else {
            return Ok(());
        };
        let mut is_here = |ticket| is_last || pipelined.is_here(ticket);
        let Some((ticket, ledger)) = self.sent.take_if(|(ticket, _)| is_here(*ticket)) else {
            return Ok(());
        };
        let committed = pipelined.finish(ticket);
        self.committed(backend, now, ledger, committed)
    }

    /// Tells what came of a turn.
    fn committed(
        &mut self,
        backend: &mut dyn Backend,
        now: Millis,
        mut ledger: Ledger,
        committed: Result<(), BackendError>,
    ) -> Result<(), BackendError> {
        let memory = backend.memory_use();
        count(&self.parts.desk.gauges.turns);
        let mut is_done_in_part = false;
        if let Err(error) = &committed {
            is_done_in_part = ledger.take_back(error, |key| backend.is_done(key));
            if let Some(later) = &mut self.open {
                later.take_back(error, |key| backend.is_done(key));
            }
        }
        let has_written = ledger.has_written();
        let fast = backend.fast_path();
        self.tell(now, ledger, (memory, fast));
        match committed {
            Err(error) if is_done_in_part => {
                count(&self.parts.desk.gauges.failed_commits);
                tracing::warn!(%error, "some of what was written is not done");
                Ok(())
            }
            committed => self.judge(now, committed, has_written),
        }
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
    fn tell(
        &mut self,
        now: Millis,
        ledger: Ledger,
        (memory, fast): (Option<MemoryUse>, Option<Arc<dyn FastPath>>),
    ) {
        let is_indifferent = self.service.hub().is_indifferent() && !self.parts.desk.is_called();
        let mail = self.service.outbox(now).map(|(to, messages)| {
            let bytes = messages.iter().flat_map(|message| message.iter().copied());
            (to, bytes.collect())
        });
        let mut news = News {
            mail: mail.collect(),
            killed: self.service.killed().collect(),
            memory,
            fast: fast.filter(|_| is_indifferent),
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
