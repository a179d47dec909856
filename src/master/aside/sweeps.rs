//! What goes over all entries of a backend that others share, in steps between what others ask.
//!
//! A count or a clear may take seconds there. Its chunk, of which it is the first request, waits
//! here while its steps are done, one in each turn; then the engine runs it, knowing what came of
//! them. The invariant: every chunk that comes in goes out once, done or not.

use std::collections::VecDeque;
use std::sync::Arc;

use super::chunk::{Author, Chunk};
use crate::backend::{Backend, BackendError, Cursor, Sweep, Swept};
use crate::net::ConnectionId;
use crate::time::Millis;

/// What came of all steps.
pub(super) type Outcome = (Sweep, Result<u64, BackendError>);

/// Those that wait, the one at hand first.
#[derive(Debug, Default)]
pub(super) struct Sweeps(VecDeque<(Arc<Chunk>, Sweep, Cursor)>);

impl Sweeps {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes a chunk that has begun.
    pub(super) fn begin(&mut self, chunk: Arc<Chunk>, what: Sweep) {
        self.0.push_back((chunk, what, Cursor::default()));
    }

    /// Does a step. Gives the chunk that can go on, and with what; `None` where nobody waits for it
    /// any more.
    pub(super) fn step(
        &mut self,
        backend: &mut dyn Backend,
        now: Millis,
    ) -> Option<(Arc<Chunk>, Option<Outcome>)> {
        let (chunk, what, at) = self.0.front_mut()?;
        let outcome = if chunk.is_given_up() {
            None
        } else {
            match backend.sweep(now, *what, *at) {
                Ok(Swept::On(next)) => {
                    *at = next;
                    return None;
                }
                Ok(Swept::All(count)) => Some((*what, Ok(count))),
                Err(error) => Some((*what, Err(error))),
            }
        };
        let (chunk, ..) = self.0.pop_front()?;
        Some((chunk, outcome))
    }

    /// Gives the chunks of a connection that is gone.
    pub(super) fn leave(&mut self, id: ConnectionId) -> Vec<Arc<Chunk>> {
        let is_theirs = |chunk: &Chunk| matches!(&chunk.author, Author::Connection { id: theirs, .. } if *theirs == id);
        let mut gone = Vec::new();
        self.0.retain(|(chunk, ..)| {
            let is_theirs = is_theirs(chunk);
            if is_theirs {
                gone.push(Arc::clone(chunk));
            }
            !is_theirs
        });
        gone
    }
}
