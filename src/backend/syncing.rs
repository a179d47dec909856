//! When the writes to a store in a file are taken to the disk, and by whom.
//!
//! The memory backend tells of every write and of every step of upkeep; the engine is told when a
//! sync begins and when it has succeeded, for until then it keeps what was overwritten. Every
//! second: a thread does it, so that nobody waits for the disk. Always: whoever commits does it.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{BackendError, Upkeep};
use crate::store::{AnyPages, Engine};
use crate::sys::Thread;
use crate::time::Millis;

const SECOND: Duration = Duration::from_secs(1);
/// How soon the end of a sync that is under way is looked for, in milliseconds.
const LOOK_AGAIN: u64 = 20;

/// What is done about syncs.
#[derive(Debug)]
pub(super) enum Syncer {
    /// Nothing: there is no file, or the system writes it back when it likes.
    Never,
    /// A thread syncs once a second.
    EverySecond(Background),
    /// A commit syncs.
    Always(Foreground),
}

impl Syncer {
    /// The store was written to.
    #[inline]
    pub(super) fn written(&mut self) {
        match self {
            Self::Never => {}
            Self::EverySecond(background) => background.written(),
            Self::Always(foreground) => foreground.is_written = true,
        }
    }

    /// Begins and ends syncs as the time comes; when it is to be called again.
    pub(super) fn upkeep(&mut self, now: Millis, engine: &mut Engine<AnyPages>) -> Upkeep {
        match self {
            Self::Never | Self::Always(_) => Upkeep::Idle,
            Self::EverySecond(background) => background.upkeep(now, engine),
        }
    }

    /// Does not return before everything written is as safe as was asked for.
    pub(super) fn commit(&mut self, engine: &mut Engine<AnyPages>) -> Result<(), BackendError> {
        match self {
            Self::Never | Self::EverySecond(_) => Ok(()),
            Self::Always(foreground) => foreground.commit(engine),
        }
    }
}

/// Syncs by whoever commits.
#[derive(Debug)]
pub(super) struct Foreground {
    file: File,
    path: PathBuf,
    is_written: bool,
    /// Why a sync failed. What the system has dropped then, no later one brings back, so there is
    /// none.
    failure: Option<String>,
}

impl Foreground {
    pub(super) fn new(file: &File, path: &Path) -> io::Result<Self> {
        Ok(Self {
            file: file.try_clone()?,
            path: path.to_owned(),
            is_written: false,
            failure: None,
        })
    }

    fn commit(&mut self, engine: &mut Engine<AnyPages>) -> Result<(), BackendError> {
        if self.failure.is_none() && self.is_written {
            engine.begin_sync();
            match self.file.sync_data() {
                Ok(()) => engine.end_sync(),
                Err(error) => {
                    let path = self.path.display();
                    self.failure = Some(format!("cannot sync the store's file {path}: {error}"));
                }
            }
            self.is_written = false;
        }
        let failed = |failure: &String| Err(BackendError::Failed(failure.clone()));
        self.failure.as_ref().map_or(Ok(()), failed)
    }
}

/// Syncs by a thread.
#[derive(Debug)]
pub(super) struct Background {
    desk: Arc<Desk>,
    thread: Thread<()>,
    /// Something was written since the last sync began.
    is_written: bool,
    is_under_way: bool,
    /// No sync begins before.
    next: Millis,
}

/// What the thread and the backend tell each other.
#[derive(Debug, Default)]
struct Desk {
    orders: Mutex<Orders>,
    news: Condvar,
    /// Something was written, and nobody has ordered a sync.
    is_written: AtomicBool,
}

#[derive(Debug, Default)]
struct Orders {
    is_ordered: bool,
    /// How the sync that was ordered ended.
    done: Option<bool>,
    is_over: bool,
}

impl Desk {
    fn orders(&self) -> MutexGuard<'_, Orders> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there is something to sync; whether it was ordered, `None` where it is the last.
    fn wait(&self) -> Option<bool> {
        let mut orders = self.orders();
        loop {
            if orders.is_over {
                return None;
            }
            if std::mem::take(&mut orders.is_ordered) {
                return Some(true);
            }
            let waited = self.news.wait_timeout(orders, SECOND);
            let timed_out;
            (orders, timed_out) = waited.unwrap_or_else(PoisonError::into_inner);
            // Handles that are not used do no upkeep, so nobody orders for the last that was done.
            if timed_out.timed_out() && self.is_written.swap(false, Ordering::Relaxed) {
                return Some(false);
            }
        }
    }

    /// What the thread does.
    fn work(&self, file: &File, path: &Path) {
        let mut failures = 0u64;
        loop {
            let order = self.wait();
            let synced = file.sync_data();
            match &synced {
                Ok(()) if failures > 0 => {
                    tracing::info!(path = %path.display(), failures, "the store is synced again");
                    failures = 0;
                }
                Ok(()) => {}
                Err(error) => {
                    failures += 1;
                    tracing::error!(path = %path.display(), %error, failures, "cannot sync the store's file");
                    self.is_written.store(true, Ordering::Relaxed);
                }
            }
            match order {
                Some(true) => self.orders().done = Some(synced.is_ok()),
                Some(false) => {}
                None => return,
            }
        }
    }
}

impl Background {
    pub(super) fn start(file: &File, path: &Path) -> io::Result<Self> {
        let desk = Arc::new(Desk::default());
        let (theirs, file, path) = (Arc::clone(&desk), file.try_clone()?, path.to_owned());
        let work = move || theirs.work(&file, &path);
        Ok(Self {
            desk,
            thread: Thread::start("memstore-sync", work)?,
            is_written: false,
            is_under_way: false,
            next: Millis::ZERO,
        })
    }

    #[inline]
    fn written(&mut self) {
        self.is_written = true;
        self.desk.is_written.store(true, Ordering::Relaxed);
    }

    fn upkeep(&mut self, now: Millis, engine: &mut Engine<AnyPages>) -> Upkeep {
        if self.is_under_way {
            let Some(is_good) = self.desk.orders().done.take() else {
                return Upkeep::Until(now.after_ms(LOOK_AGAIN));
            };
            self.is_under_way = false;
            if is_good {
                engine.end_sync();
            } else {
                self.is_written = true;
            }
        }
        if !self.is_written {
            return Upkeep::Idle;
        }
        if now < self.next {
            return Upkeep::Until(self.next);
        }
        self.next = now.after(SECOND);
        self.is_written = false;
        self.is_under_way = true;
        engine.begin_sync();
        self.desk.is_written.store(false, Ordering::Relaxed);
        self.desk.orders().is_ordered = true;
        self.desk.news.notify_one();
        Upkeep::Until(now.after_ms(LOOK_AGAIN))
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // In a forked child the thread may seem to hold the lock for ever.
        if self.thread.is_ours() {
            self.desk.orders().is_over = true;
            self.desk.news.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{HashKey, HeapPages};
    use std::thread;
    use std::time::Instant;

    const NOW: Millis = Millis::from_unix(1_000);

    fn engine() -> Engine<AnyPages> {
        let pages = AnyPages::Heap(HeapPages::default());
        Engine::create(pages, HashKey([0; 16])).unwrap()
    }

    /// What cannot be synced.
    fn pipe() -> File {
        let (read, _) = nix::unistd::pipe().unwrap();
        File::from(read)
    }

    /// Does upkeep at this time until the sync that is under way is over.
    fn wait(syncer: &mut Background, now: Millis, engine: &mut Engine<AnyPages>) -> Upkeep {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let left = syncer.upkeep(now, engine);
            if !syncer.is_under_way {
                return left;
            }
            assert!(Instant::now() < deadline, "the sync does not end");
            thread::yield_now();
        }
    }

    #[test]
    fn a_commit_syncs_what_was_written() {
        let (file, mut engine) = (tempfile::tempfile().unwrap(), engine());
        let mut syncer = Foreground::new(&file, Path::new("x")).unwrap();
        syncer.is_written = true;
        syncer.commit(&mut engine).unwrap();
        assert!(!syncer.is_written);
    }

    #[test]
    fn after_a_failure_no_commit_succeeds() {
        let mut engine = engine();
        let mut syncer = Foreground::new(&pipe(), Path::new("/a/store")).unwrap();
        syncer.commit(&mut engine).unwrap();
        syncer.is_written = true;
        for _ in 0..2 {
            let error = syncer.commit(&mut engine).unwrap_err().to_string();
            assert!(error.contains("cannot sync the store's file /a/store"));
        }
    }

    #[test]
    fn a_sync_begins_at_most_once_a_second_and_only_after_a_write() {
        let (file, mut engine) = (tempfile::tempfile().unwrap(), engine());
        let mut syncer = Background::start(&file, Path::new("x")).unwrap();
        assert_eq!(syncer.upkeep(NOW, &mut engine), Upkeep::Idle);
        syncer.written();
        let left = syncer.upkeep(NOW, &mut engine);
        assert_eq!(left, Upkeep::Until(NOW.after_ms(LOOK_AGAIN)));
        assert_eq!(wait(&mut syncer, NOW, &mut engine), Upkeep::Idle);
        syncer.written();
        let soon = NOW.after_ms(999);
        let next = Upkeep::Until(NOW.after_ms(1_000));
        assert_eq!(syncer.upkeep(soon, &mut engine), next);
        syncer.upkeep(NOW.after_ms(1_000), &mut engine);
        assert!(syncer.is_under_way);
    }

    #[test]
    fn what_failed_is_tried_again_a_second_later() {
        let mut engine = engine();
        let mut syncer = Background::start(&pipe(), Path::new("x")).unwrap();
        syncer.written();
        for second in 0..3 {
            let now = NOW.after_ms(second * 1_000);
            syncer.upkeep(now, &mut engine);
            assert!(syncer.is_under_way);
            let next = Upkeep::Until(now.after_ms(1_000));
            assert_eq!(wait(&mut syncer, now, &mut engine), next);
        }
    }

    #[test]
    fn what_nobody_orders_is_synced_all_the_same() {
        let file = tempfile::tempfile().unwrap();
        let mut syncer = Background::start(&file, Path::new("x")).unwrap();
        syncer.written();
        let deadline = Instant::now() + Duration::from_secs(30);
        while syncer.desk.is_written.load(Ordering::Relaxed) {
            assert!(Instant::now() < deadline, "it is not synced");
            thread::park_timeout(Duration::from_millis(5));
        }
    }
}
