//! Where the loop and the backend's thread meet: what is to be done, and what is done.
//!
//! One lock, which both hold for moments only and never while they do anything else. Neither side
//! waits for the other to make room: how much there is of it is bounded by who hands over.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::chunk::{Chunk, Done};
use super::gauges::Gauges;
use crate::backend::{FastPath, MemoryUse};
use crate::net::{CloseReason, ConnectionId};

/// Something to do, in the order in which it was asked for.
#[derive(Debug)]
pub(super) enum Job {
    Run(Arc<Chunk>),
    /// A connection that had something run is closed.
    Leave(ConnectionId, CloseReason),
}

/// What the loop is told.
#[derive(Debug, Default)]
pub(super) struct News {
    /// Chunks of connections that came back.
    pub(super) done: Vec<(Arc<Chunk>, Done)>,
    /// What is to be sent to connections that did not ask for it, after what is done.
    pub(super) mail: Vec<(ConnectionId, Vec<u8>)>,
    /// Connections that clients have had closed.
    pub(super) killed: Vec<ConnectionId>,
    /// The backend's memory, as it was last looked at.
    pub(super) memory: Option<MemoryUse>,
    /// The way past the backend, as long as all that was done leaves it open.
    pub(super) fast: Option<Arc<dyn FastPath>>,
    /// Why nothing more is done; `None` as long as it is.
    pub(super) end: Option<Result<(), String>>,
}

#[derive(Debug)]
pub(super) struct Desk {
    pub(super) gauges: Gauges,
    /// The longest that anybody waits for anything.
    pub(super) timeout: Duration,
    inner: Mutex<Inner>,
    /// Somebody has asked who is not the loop.
    is_called: AtomicBool,
    /// There is something to do.
    asked: Condvar,
    /// Nothing more will be done.
    ended: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    jobs: VecDeque<Job>,
    news: News,
    is_stopping: bool,
    /// There is something to look at beside the jobs.
    is_nudged: bool,
    /// Something that the engine has waited for may have come.
    is_stirred: bool,
}

impl Desk {
    pub(super) fn new(timeout: Duration) -> Self {
        Self {
            gauges: Gauges::default(),
            timeout,
            inner: Mutex::default(),
            is_called: AtomicBool::new(false),
            asked: Condvar::new(),
            ended: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for something to be done. After the end it is dropped, and so are those who wait for
    /// it.
    pub(super) fn ask(&self, jobs: impl IntoIterator<Item = Job>) {
        let mut inner = self.lock();
        if inner.news.end.is_none() {
            inner.jobs.extend(jobs);
            drop(inner);
            self.asked.notify_one();
        }
    }

    /// Asks as somebody else than the loop, which does not know from now on what is under way.
    pub(super) fn call(&self, job: Job) {
        self.is_called.store(true, Ordering::Release);
        self.ask([job]);
    }

    /// Whether anybody ever did.
    pub(super) fn is_called(&self) -> bool {
        self.is_called.load(Ordering::Acquire)
    }

    /// What was given up is not waited with any more, unless it has been taken.
    pub(super) fn withdraw(&self, chunk: &Arc<Chunk>) {
        let mut inner = self.lock();
        let is_other = |job: &Job| !matches!(job, Job::Run(other) if Arc::ptr_eq(other, chunk));
        inner.jobs.retain(is_other);
    }

    /// Has the engine look what is to be sent.
    pub(super) fn nudge(&self) {
        self.lock().is_nudged = true;
        self.asked.notify_one();
    }

    /// Whether that was asked for since the last call.
    pub(super) fn was_nudged(&self) -> bool {
        std::mem::take(&mut self.lock().is_nudged)
    }

    /// Something that the engine waits for has come.
    pub(super) fn stir(&self) {
        self.lock().is_stirred = true;
        self.asked.notify_one();
    }

    /// Asks for the end, when all that was asked for is done.
    pub(super) fn stop(&self) {
        self.lock().is_stopping = true;
        self.asked.notify_one();
    }

    /// What came since the last call, and whether and how it ended.
    pub(super) fn news(&self) -> News {
        let mut inner = self.lock();
        let news = News {
            memory: inner.news.memory,
            fast: inner.news.fast.clone(),
            end: inner.news.end.clone(),
            ..News::default()
        };
        std::mem::replace(&mut inner.news, news)
    }

    /// Waits for the end; whether it came in time.
    pub(super) fn wait_for_end(&self) -> bool {
        let goes_on = |inner: &mut Inner| inner.news.end.is_none();
        let waited = self
            .ended
            .wait_timeout_while(self.lock(), self.timeout, goes_on);
        let (inner, _) = waited.unwrap_or_else(PoisonError::into_inner);
        inner.news.end.is_some()
    }

    /// Moves what is to be done to the end of `jobs`, if there `is_room` for it, and waits for that
    /// or for what comes otherwise, where there is nothing in it: at most so long, `None` as long as
    /// it takes. Whether there will be no more.
    pub(super) fn take(
        &self,
        jobs: &mut VecDeque<Job>,
        is_room: bool,
        patience: Option<Duration>,
    ) -> bool {
        let mut inner = self.lock();
        let is_work = is_room && (!inner.jobs.is_empty() || inner.is_stopping);
        let has_come = inner.is_nudged || inner.is_stirred;
        if jobs.is_empty() && !is_work && !has_come {
            inner = match patience {
                Some(Duration::ZERO) => inner,
                Some(patience) => {
                    let waited = self.asked.wait_timeout(inner, patience);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => {
                    let waited = self.asked.wait(inner);
                    waited.unwrap_or_else(PoisonError::into_inner)
                }
            };
        }
        inner.is_stirred = false;
        if is_room {
            jobs.append(&mut inner.jobs);
        }
        inner.is_stopping && inner.jobs.is_empty()
    }

    /// Tells what is done.
    pub(super) fn tell(&self, news: News) {
        let mut inner = self.lock();
        let News {
            done, mail, killed, ..
        } = news;
        inner.news.done.extend(done);
        inner.news.mail.extend(mail);
        inner.news.killed.extend(killed);
        inner.news.memory = news.memory;
        inner.news.fast = news.fast;
    }

    /// Nothing more will be done, for this reason.
    pub(super) fn end(&self, how: Result<(), String>) {
        let mut inner = self.lock();
        inner.news.end = Some(how);
        inner.jobs.clear();
        drop(inner);
        self.ended.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::master::aside::chunk::Author;
    use std::sync::mpsc::{Receiver, sync_channel};
    use std::thread;

    const LONG: Duration = Duration::from_secs(20);

    fn chunk(name: &str) -> (Arc<Chunk>, Receiver<Vec<u8>>) {
        let (told, heard) = sync_channel(1);
        let chunk = Chunk::new(Author::Handle(told), name.as_bytes().to_vec());
        (Arc::new(chunk), heard)
    }

    fn names(jobs: &VecDeque<Job>) -> Vec<&[u8]> {
        fn name(job: &Job) -> &[u8] {
            match job {
                Job::Run(chunk) => chunk.bytes.as_slice(),
                Job::Leave(..) => panic!("nobody left"),
            }
        }
        jobs.iter().map(name).collect()
    }

    #[test]
    fn what_is_asked_for_comes_in_its_order_and_ends_the_waiting() {
        let desk = Desk::new(LONG);
        let mut jobs = VecDeque::new();
        assert!(!desk.take(&mut jobs, true, Some(Duration::ZERO)));
        thread::scope(|scope| {
            scope.spawn(|| desk.ask(["a", "b"].map(|name| Job::Run(chunk(name).0))));
            while jobs.is_empty() {
                assert!(!desk.take(&mut jobs, true, None));
            }
        });
        desk.ask([Job::Run(chunk("c").0)]);
        assert!(
            !desk.take(&mut jobs, true, None),
            "there is something to do"
        );
        assert_eq!(names(&jobs), [b"a", b"b", b"c"]);
    }

    #[test]
    fn what_is_withdrawn_is_not_kept() {
        let desk = Desk::new(LONG);
        let (gone, _) = chunk("gone");
        desk.ask([Job::Run(Arc::clone(&gone)), Job::Run(chunk("stays").0)]);
        desk.withdraw(&gone);
        assert_eq!(Arc::strong_count(&gone), 1);
        let mut jobs = VecDeque::new();
        desk.take(&mut jobs, true, None);
        assert_eq!(names(&jobs), [b"stays"]);
    }

    #[test]
    fn after_the_end_nobody_waits_for_anything() {
        let desk = Desk::new(LONG);
        let ((before, heard_before), (after, heard_after)) = (chunk("before"), chunk("after"));
        desk.ask([Job::Run(before)]);
        desk.stop();
        assert!(
            desk.take(&mut VecDeque::new(), true, None),
            "it is the last"
        );
        desk.ask([Job::Run(chunk("left").0)]);
        desk.end(Err("on purpose".to_owned()));
        desk.ask([Job::Run(after)]);
        assert!(heard_before.recv().is_err() && heard_after.recv().is_err());
        assert!(desk.wait_for_end());
        for _ in 0..2 {
            assert_eq!(desk.news().end, Some(Err("on purpose".to_owned())));
        }
        assert!(!Desk::new(Duration::from_millis(1)).wait_for_end());
    }
}
