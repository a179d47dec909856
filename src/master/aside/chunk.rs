//! Requests on their way to the backend's thread, and what comes back.
//!
//! A [`Chunk`] is shared by who handed it over and who runs it; its stage is where they agree on
//! whether it is run. The invariant: a chunk that was given up before it was begun is never run.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::Instant;

use crate::backend::Outcome;
use crate::exec::plain::Manner;
use crate::exec::{Origin, redis};
use crate::net::{CloseReason, ConnectionId};
use crate::protocol::Dialect;

const WAITING: u8 = 0;
const BEGUN: u8 = 1;
const GIVEN_UP: u8 = 2;
const ANSWERED: u8 = 3;

/// Who asks.
#[derive(Debug)]
pub(super) enum Author {
    /// A connection of the loop.
    Connection {
        id: ConnectionId,
        origin: Origin,
        dialect: Dialect,
        /// What of it was answered with errors since its last chunk, if anything was.
        lost: Option<redis::Lost>,
    },
    /// A handle in this process, with one request in the native dialect. It waits for the reply.
    Handle(SyncSender<Vec<u8>>),
}

/// Whole requests of one author, and at the end of a connection's last one perhaps garbage.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) author: Author,
    pub(super) bytes: Vec<u8>,
    /// When it was handed over.
    pub(super) since: Instant,
    stage: AtomicU8,
}

impl Chunk {
    pub(super) fn new(author: Author, bytes: Vec<u8>) -> Self {
        Self {
            author,
            bytes,
            since: Instant::now(),
            stage: AtomicU8::new(WAITING),
        }
    }

    /// Whether it may be run; from here on it is not known what is done of it.
    pub(super) fn begin(&self) -> bool {
        let begun =
            self.stage
                .compare_exchange(WAITING, BEGUN, Ordering::AcqRel, Ordering::Acquire);
        begun.is_ok()
    }

    /// Whether nobody waits for it any more: what of it is not run yet need not be.
    pub(super) fn is_given_up(&self) -> bool {
        self.stage.load(Ordering::Acquire) == GIVEN_UP
    }

    /// Nobody waits for it any more. What became of it.
    pub(super) fn give_up(&self) -> Outcome {
        match self.stage.swap(GIVEN_UP, Ordering::AcqRel) {
            WAITING => Outcome::NotDone,
            _ => Outcome::Unknown,
        }
    }

    /// It came back. Whether somebody still waits for it.
    pub(super) fn answer(&self) -> bool {
        self.stage.swap(ANSWERED, Ordering::AcqRel) != GIVEN_UP
    }

    pub(super) fn is_answered(&self) -> bool {
        self.stage.load(Ordering::Acquire) == ANSWERED
    }
}

/// What became of a chunk.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// How many of its bytes were run; the others are to be handed over again.
    pub(super) used: usize,
    /// The replies.
    pub(super) out: Vec<u8>,
    /// Why the connection is to be closed.
    pub(super) close: Option<CloseReason>,
    /// Whether the peer has introduced itself.
    pub(super) is_open: bool,
    /// How many of the next replies are not sent.
    pub(super) unsent: usize,
    /// How plain requests that follow can be answered without the session.
    pub(super) manner: Option<Manner>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk() -> Chunk {
        let (sender, _) = std::sync::mpsc::sync_channel(1);
        Chunk::new(Author::Handle(sender), Vec::new())
    }

    #[test]
    fn what_was_given_up_before_it_was_begun_is_never_run() {
        let chunk = chunk();
        assert_eq!(chunk.give_up(), Outcome::NotDone);
        assert!(!chunk.begin() && chunk.is_given_up());
        assert!(!chunk.answer(), "nobody waits for it");
    }

    #[test]
    fn of_what_was_begun_nobody_knows_what_is_done() {
        let chunk = chunk();
        assert!(chunk.begin() && !chunk.is_given_up());
        assert_eq!(chunk.give_up(), Outcome::Unknown);
        assert!(chunk.is_given_up());
    }

    #[test]
    fn what_is_answered_in_time_is_so() {
        let chunk = chunk();
        assert!(chunk.begin() && !chunk.is_answered());
        assert!(chunk.answer() && chunk.is_answered());
    }
}
