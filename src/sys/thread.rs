//! Threads of this process alone: a forked child has none of them and must not wait for any.

use std::io;
use std::mem::ManuallyDrop;
use std::thread::{self, JoinHandle};

use super::forks;

/// A thread that is waited for when this is dropped.
#[derive(Debug)]
pub(crate) struct Thread<T> {
    /// `None` once it was waited for.
    handle: Option<ManuallyDrop<JoinHandle<T>>>,
    forks: u32,
}

impl<T: Send + 'static> Thread<T> {
    /// # Errors
    /// There are too many threads.
    pub(crate) fn start(name: &str, work: impl FnOnce() -> T + Send + 'static) -> io::Result<Self> {
        let thread = thread::Builder::new().name(name.to_owned()).spawn(work)?;
        Ok(Self {
            handle: Some(ManuallyDrop::new(thread)),
            forks: forks(),
        })
    }
}

impl<T> Thread<T> {
    /// Whether this process is the one that has the thread.
    pub(crate) fn is_ours(&self) -> bool {
        self.forks == forks()
    }

    /// Waits for what the thread returns; `None` where it panicked or is not ours.
    pub(crate) fn wait(mut self) -> Option<T> {
        self.end()
    }

    fn end(&mut self) -> Option<T> {
        // In a forked child it is neither waited for nor let go: it is not there.
        let handle = self.handle.take().filter(|_| self.forks == forks())?;
        // Its panic was reported by the panic hook.
        ManuallyDrop::into_inner(handle).join().ok()
    }
}

impl<T> Drop for Thread<T> {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_thread_is_waited_for_when_it_is_dropped() {
        let shared = Arc::new(());
        let theirs = Arc::clone(&shared);
        let thread = Thread::start("test", move || {
            thread::yield_now();
            drop(theirs);
        });
        assert!(thread.as_ref().unwrap().is_ours());
        drop(thread);
        assert_eq!(Arc::strong_count(&shared), 1);
        assert_eq!(Thread::start("test", || 7).unwrap().wait(), Some(7));
    }
}
