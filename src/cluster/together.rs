//! One commit for all threads of a process that called a backend meanwhile.
//!
//! A backend that blocks may wait for the disk in its commit. While one thread does, the others
//! that want to call it stand at its lock; when they are let in, each calls, and only the last of
//! them commits, for all. Nobody returns before a commit that has what they did. Used by the link
//! to a backend in this process that nobody serves to others.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;

use super::link::poisoned;
use crate::backend::{BackendError, SharedBackend};
use crate::error::{Error, Result};

/// What came of a commit, as soon as it was made.
type Verdict = OnceLock<Option<BackendError>>;

/// The commit that is to come.
#[derive(Default)]
pub(super) struct Together {
    /// Threads that want to call the backend and have not.
    coming: AtomicUsize,
    /// Changed only by who holds the backend.
    next: Mutex<Arc<Verdict>>,
}

/// Says that somebody is coming, until it is dropped.
pub(super) struct Coming<'t>(&'t Together);

/// A call that is done and not committed.
pub(super) struct Called(Arc<Verdict>);

impl Together {
    /// To be said before the backend is taken.
    pub(super) fn come(&self) -> Coming<'_> {
        self.coming.fetch_add(1, Ordering::SeqCst);
        Coming(self)
    }

    /// Waits for a commit that has the call, or makes one.
    ///
    /// # Errors
    /// It failed, for all that it would have had; or the backend panicked.
    pub(super) fn commit(&self, backend: &SharedBackend, call: &Called) -> Result<()> {
        let failure = loop {
            if let Some(failure) = call.0.get() {
                break failure.clone();
            }
            let mut backend = backend.lock().map_err(|_| poisoned())?;
            if call.0.get().is_some() {
                continue;
            }
            // They come to an end: each waits for this commit once it has called.
            if self.coming.load(Ordering::SeqCst) > 0 {
                drop(backend);
                thread::yield_now();
                continue;
            }
            let failure = backend.commit().err();
            let made = std::mem::take(&mut *self.lock());
            let is_first = made.set(failure).is_ok();
            debug_assert!(is_first, "who commits takes the place of what was to come");
        };
        failure.map_or(Ok(()), |error| Err(Error::Backend(error.to_string())))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Arc<Verdict>> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Coming<'_> {
    /// The backend was called; to be said while it is still held.
    pub(super) fn called(self) -> Called {
        Called(Arc::clone(&self.0.lock()))
    }
}

impl Drop for Coming<'_> {
    fn drop(&mut self) {
        self.0.coming.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::backend::{Backend, Deadline, EntryRef, SetOutcome};
    use crate::contract::{Capabilities, Condition};
    use crate::time::Millis;

    const THREADS: usize = 8;

    /// Its first commit takes until everybody has come, and fails.
    struct Slow {
        together: Arc<Together>,
        called: Arc<AtomicUsize>,
        /// How many calls each commit has.
        commits: Arc<Mutex<Vec<usize>>>,
    }

    impl Backend for Slow {
        fn capabilities(&self) -> Capabilities {
            Capabilities::BASIC
        }

        fn get(&mut self, _: Millis, _: &[u8]) -> Result<Option<EntryRef<'_>>, BackendError> {
            Err(BackendError::Unsupported("get"))
        }

        fn set(
            &mut self,
            _: Millis,
            _: &[u8],
            _: &[u8],
            _: Deadline,
            _: Condition,
        ) -> Result<SetOutcome, BackendError> {
            Err(BackendError::Unsupported("set"))
        }

        fn touch(&mut self, _: Millis, _: &[u8], _: Deadline) -> Result<bool, BackendError> {
            Err(BackendError::Unsupported("touch"))
        }

        fn destroy(&mut self, _: Millis, _: &[u8]) -> Result<bool, BackendError> {
            Err(BackendError::Unsupported("destroy"))
        }

        fn commit(&mut self) -> Result<(), BackendError> {
            let called = self.called.load(Ordering::SeqCst);
            let mut commits = self.commits.lock().unwrap();
            let before: usize = commits.iter().sum();
            commits.push(called - before);
            if commits.len() > 1 {
                return Ok(());
            }
            let late = Instant::now() + Duration::from_secs(30);
            while called + self.together.coming.load(Ordering::SeqCst) < THREADS {
                assert!(Instant::now() < late, "not everybody came");
                thread::yield_now();
            }
            Err(BackendError::Failed("the disk is full".to_owned()))
        }
    }

    #[test]
    fn whoever_comes_during_a_commit_shares_the_next_and_each_hears_of_its_own() {
        let (together, called) = (Arc::new(Together::default()), Arc::default());
        let commits = Arc::new(Mutex::new(Vec::new()));
        let backend: SharedBackend = Arc::new(Mutex::new(Box::new(Slow {
            together: Arc::clone(&together),
            called: Arc::clone(&called),
            commits: Arc::clone(&commits),
        })));
        let call = || {
            let coming = together.come();
            let held = backend.lock().unwrap();
            called.fetch_add(1, Ordering::SeqCst);
            let call = coming.called();
            drop(held);
            together.commit(&backend, &call)
        };
        let failed = thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(call)).collect();
            let results = threads.into_iter().map(|thread| thread.join().unwrap());
            results.filter(Result::is_err).count()
        });
        let commits = commits.lock().unwrap();
        assert!((1..=2).contains(&commits.len()), "{commits:?}");
        assert_eq!(commits.iter().sum::<usize>(), THREADS);
        assert_eq!(failed, commits[0]);
        assert_eq!(together.coming.load(Ordering::SeqCst), 0);
    }
}
