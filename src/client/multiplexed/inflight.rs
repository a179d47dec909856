//! Which requests are queued or sent, and who waits for their replies.
//!
//! Pure bookkeeping under one lock, held for as long as it takes to encode a request and never
//! over a system call. It knows neither sockets nor clocks.

use std::collections::HashMap;
use std::mem;
use std::task::Waker;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::client::error::{Broken, CallError};
use crate::client::slots::Stray;
use crate::protocol::{Header, frame};

/// Who waits for a reply.
pub(super) type Waiter = oneshot::Sender<Result<Frame, CallError>>;

/// A reply, still encoded, that belongs to itself.
#[derive(Debug)]
pub(super) struct Frame {
    header: Header,
    body: Vec<u8>,
}

impl Frame {
    pub(super) fn borrow(&self) -> frame::Frame<'_> {
        frame::Frame {
            header: self.header,
            body: &self.body,
        }
    }
}

impl From<frame::Frame<'_>> for Frame {
    fn from(frame: frame::Frame<'_>) -> Self {
        Self {
            header: frame.header,
            body: frame.body.to_vec(),
        }
    }
}

/// The state of a connection.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    waiting: HashMap<u32, Waiting>,
    last_id: u32,
    /// Requests that the driver has not taken yet, each of them whole.
    queue: Vec<u8>,
    /// Bytes of all requests there ever were: where in the stream the last one ends.
    end: u64,
    /// The driver, where it sleeps for want of requests.
    driver: Option<Waker>,
    /// Why nothing more may be sent.
    broken: Option<Broken>,
}

#[derive(Debug)]
struct Waiting {
    /// Gone where nobody waits any more.
    reply: Waiter,
    /// Where in the stream the request ends.
    end: u64,
    /// What is in flight is counted until its reply came, whoever still waits for it.
    _room: OwnedSemaphorePermit,
}

/// What the driver is to do next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Write what was queued.
    Write,
    /// Wait; it will be woken.
    Sleep,
    /// End: nobody can ask anything any more.
    End,
}

impl InFlight {
    /// Queues a request. Gives the driver to be woken, if it sleeps.
    pub(super) fn enter(
        &mut self,
        reply: Waiter,
        room: OwnedSemaphorePermit,
        encode: impl FnOnce(&mut Vec<u8>, u32),
    ) -> Result<Option<Waker>, CallError> {
        if let Some(broken) = &self.broken {
            return Err(CallError::NotSent(broken.clone()));
        }
        let id = self.next_id();
        let start = self.queue.len();
        encode(&mut self.queue, id);
        self.end += (self.queue.len() - start) as u64;
        let waiting = Waiting {
            reply,
            end: self.end,
            _room: room,
        };
        self.waiting.insert(id, waiting);
        Ok(self.driver.take())
    }

    /// Swaps what is queued for an empty buffer. `driver` is woken by the next request where there
    /// was none.
    pub(super) fn take_queue(&mut self, empty: &mut Vec<u8>, driver: &Waker) -> Next {
        debug_assert!(empty.is_empty(), "what was taken is not written yet");
        if !self.queue.is_empty() {
            mem::swap(&mut self.queue, empty);
            return Next::Write;
        }
        if self.broken.is_some() {
            return Next::End;
        }
        self.driver = Some(driver.clone());
        Next::Sleep
    }

    /// Who waits for this reply; to be answered outside of the lock.
    pub(super) fn leave(&mut self, id: u32) -> Result<Waiter, Stray> {
        let waiting = self.waiting.remove(&id);
        waiting.map(|waiting| waiting.reply).ok_or(Stray(id))
    }

    /// Nobody will ask anything any more. Gives the driver to be woken, if it sleeps.
    pub(super) fn give_up(&mut self) -> Option<Waker> {
        self.broken.get_or_insert(Broken::Closed);
        self.driver.take()
    }

    /// The connection ended after so many bytes of requests: everybody is told what became of
    /// theirs, and whoever comes finds it ended.
    pub(super) fn end(&mut self, broken: &Broken, written: u64) {
        let broken = self.broken.get_or_insert_with(|| broken.clone());
        for (_, waiting) in self.waiting.drain() {
            let error = if waiting.end <= written {
                CallError::Lost(broken.clone())
            } else {
                CallError::NotSent(broken.clone())
            };
            // Whoever gave up waiting need not know.
            let _ = waiting.reply.send(Err(error));
        }
        self.queue = Vec::new();
    }

    /// Zero is no id: the master uses it for what concerns the whole connection.
    fn next_id(&mut self) -> u32 {
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            if !self.waiting.contains_key(&self.last_id) {
                return self.last_id;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Semaphore;

    use super::*;

    type Reply = oneshot::Receiver<Result<Frame, CallError>>;

    /// Queues a request of so many bytes; its id and who waits for it.
    fn enter(state: &mut InFlight, len: usize) -> (u32, Reply) {
        let (reply, waiter) = oneshot::channel();
        let room = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        let mut given = 0;
        let entered = state.enter(reply, room, |out, id| {
            out.resize(out.len() + len, 7);
            given = id;
        });
        entered.unwrap();
        (given, waiter)
    }

    #[test]
    fn ids_wrap_around_without_zero_and_without_those_in_use() {
        let mut state = InFlight::default();
        assert_eq!(enter(&mut state, 1).0, 1);
        state.last_id = u32::MAX - 1;
        assert_eq!(enter(&mut state, 1).0, u32::MAX);
        assert_eq!(enter(&mut state, 1).0, 2);
    }

    #[test]
    fn a_reply_is_taken_once_and_only_if_it_was_asked_for() {
        let mut state = InFlight::default();
        let (id, _waiter) = enter(&mut state, 1);
        assert_eq!(state.leave(id + 1).unwrap_err(), Stray(id + 1));
        assert!(state.leave(id).is_ok());
        assert_eq!(state.leave(id).unwrap_err(), Stray(id));
    }

    #[test]
    fn at_the_end_each_is_told_whether_its_request_left_whole() {
        let mut state = InFlight::default();
        let (_, mut left) = enter(&mut state, 10);
        let (_, mut torn) = enter(&mut state, 10);
        let mut out = Vec::new();
        let waker = Waker::noop();
        assert_eq!(state.take_queue(&mut out, waker), Next::Write);
        assert_eq!(out.len(), 20);
        let (_, mut queued) = enter(&mut state, 10);
        state.end(&Broken::Io(std::io::ErrorKind::Other), 19);
        let error = |reply: &mut Reply| reply.try_recv().unwrap().unwrap_err();
        assert!(matches!(error(&mut left), CallError::Lost(_)));
        assert!(matches!(error(&mut torn), CallError::NotSent(_)));
        assert!(matches!(error(&mut queued), CallError::NotSent(_)));
        out.clear();
        assert_eq!(state.take_queue(&mut out, waker), Next::End);
    }

    #[test]
    fn the_driver_sleeps_only_while_nothing_is_queued() {
        let mut state = InFlight::default();
        let mut out = Vec::new();
        assert_eq!(state.take_queue(&mut out, Waker::noop()), Next::Sleep);
        assert!(state.driver.is_some());
        let _asked = enter(&mut state, 1);
        assert!(state.driver.is_none(), "it was given out to be woken");
        assert_eq!(state.take_queue(&mut out, Waker::noop()), Next::Write);
        out.clear();
        assert_eq!(state.take_queue(&mut out, Waker::noop()), Next::Sleep);
        assert!(state.give_up().is_some());
        assert_eq!(state.take_queue(&mut out, Waker::noop()), Next::End);
    }
}
