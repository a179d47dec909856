//! What a turn of the backend has answered, kept until it is committed.
//!
//! The engine notes every request; if the commit fails, [`take_back`](Ledger::take_back) replaces
//! the replies that are not true then. Those are the ones of requests that looked at data from the
//! first write on: what was written is gone, and what was read may be of it; but where the backend
//! says that a key was written all the same, those who looked at no other are right. Requests that touched no
//! data (introductions, subscriptions, pings) are done, and their replies stay.

use std::ops::Range;
use std::sync::Arc;

use super::chunk::{Author, Chunk, Done};
use super::noting::{Seen, Touched};
use super::refusal::refuse;
use crate::backend::BackendError;
use crate::protocol::{Dialect, frame};

#[derive(Debug, Default)]
pub(super) struct Ledger {
    entries: Vec<Entry>,
    /// Replies of the chunk at hand that depend on a commit.
    open: Vec<Reply>,
    /// What is read may be of what an earlier turn wrote that is not committed.
    is_early: bool,
    has_written: bool,
    depending: usize,
}

#[derive(Debug)]
struct Entry {
    chunk: Arc<Chunk>,
    done: Done,
    /// In their order.
    depending: Vec<Reply>,
}

/// Where the reply to a request stands.
#[derive(Debug)]
struct Reply {
    /// The request's number, where its dialect has such.
    id: u32,
    bytes: Range<usize>,
    touched: Touched,
}

impl Ledger {
    /// Of a turn that is run before an earlier one is committed, or is not.
    pub(super) fn new(is_early: bool) -> Self {
        Self {
            is_early,
            ..Self::default()
        }
    }

    /// Notes the request at the front of `request`: what it saw, and where its reply stands.
    pub(super) fn note(
        &mut self,
        seen: Seen,
        touched: Touched,
        request: &[u8],
        reply: Range<usize>,
    ) {
        self.has_written |= seen == Seen::Written;
        if self.is_doubtful() && seen > Seen::Nothing && !reply.is_empty() {
            let frame = frame::split(request, usize::MAX).ok().flatten();
            self.open.push(Reply {
                id: frame.map_or(0, |frame| frame.header.id),
                bytes: reply,
                touched,
            });
        }
    }

    /// Whether what is read from here on may be of what is not committed.
    pub(super) fn is_doubtful(&self) -> bool {
        self.has_written || self.is_early
    }

    /// What was noted since the last one is of this chunk.
    pub(super) fn close(&mut self, chunk: Arc<Chunk>, done: Done) {
        let depending = std::mem::take(&mut self.open);
        self.depending += depending.len();
        self.entries.push(Entry {
            chunk,
            done,
            depending,
        });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many replies depend on a commit.
    pub(super) fn depending(&self) -> usize {
        self.depending
    }

    pub(super) fn has_written(&self) -> bool {
        self.has_written
    }

    /// Nothing that was written is there any more, for this reason, but what is at keys of which
    /// this is not so. Whether there is somebody whom this spares.
    pub(super) fn take_back(
        &mut self,
        error: &BackendError,
        is_done: impl Fn(&[u8]) -> bool,
    ) -> bool {
        let mut spares = false;
        for entry in &mut self.entries {
            let dialect = match &entry.chunk.author {
                Author::Connection { dialect, .. } => *dialect,
                Author::Handle(_) => Dialect::Native,
            };
            let replies = std::mem::take(&mut entry.done.out);
            let out = &mut entry.done.out;
            let mut rest = 0;
            entry.depending.retain_mut(|reply| {
                let bytes = reply.bytes.clone();
                out.extend_from_slice(&replies[rest..bytes.start]);
                rest = bytes.end;
                let is_spared = reply.touched.all(&is_done);
                spares |= is_spared;
                let start = out.len();
                if is_spared {
                    out.extend_from_slice(&replies[bytes]);
                    reply.bytes = start..out.len();
                } else {
                    refuse(dialect, reply.id, error, out);
                }
                is_spared
            });
            out.extend_from_slice(&replies[rest..]);
        }
        spares
    }

    pub(super) fn into_done(self) -> impl Iterator<Item = (Arc<Chunk>, Done)> {
        self.entries
            .into_iter()
            .map(|entry| (entry.chunk, entry.done))
    }
}
