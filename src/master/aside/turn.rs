//! The loop's handler: takes whole requests along, by the lane or to the engine, while there is room.

use std::sync::Arc;

use super::chunk::{Author, Chunk};
use super::desk::Job;
use super::line::{Front, Line};
use super::{Aside, MAX_BYTES, MAX_CHUNKS, NO_REQUEST};
use crate::backend::{BackendError, Outcome};
use crate::exec::Origin;
use crate::master::service::{ChannelEvent, say_no};
use crate::net::{CloseReason, ConnectionId, Handler, Peer, Refusal, Taken, Verdict};
use crate::time::Millis;

/// The loop's handler for one tick.
pub(super) struct Turn<'a> {
    pub(super) aside: &'a mut Aside,
    pub(super) now: Millis,
}

impl Turn<'_> {
    /// Whether so many more bytes may be under way. Nobody overtakes who waits for room already.
    fn has_room(&self, bytes: usize) -> bool {
        let aside = &*self.aside;
        aside.full_until.is_none()
            && aside.chunks < MAX_CHUNKS
            && (aside.chunks == 0 || aside.bytes + bytes <= MAX_BYTES)
    }

    /// Has a chunk go by the lane, if it can. Whether it does.
    fn enters(&mut self, id: ConnectionId, line: &Line, chunk: &Arc<Chunk>) -> bool {
        let aside = &mut *self.aside;
        // All that is under way is in the lane, but for this one.
        let is_free = aside.jobs.is_empty() && aside.chunks == aside.lane.len() + 1;
        let Some(manner) = line.manner.as_ref().filter(|_| is_free) else {
            return false;
        };
        let means = (&aside.terms.limits, &mut aside.args);
        let gauges = &aside.desk.gauges;
        aside
            .lane
            .take(self.now, (id, chunk), manner, means, gauges)
    }

    /// There is no room for these requests: they wait, but not for ever.
    fn wait(&mut self, line: &mut Line, bytes: &[u8], out: &mut Vec<u8>) -> Taken {
        let aside = &mut *self.aside;
        let since = *line.full_since.get_or_insert(self.now);
        let until = since.after(aside.terms.limits.backend_timeout);
        if self.now < until {
            let first = aside.full_until.map_or(until, |first| first.min(until));
            aside.full_until = Some(first);
            return Taken::Full;
        }
        line.full_since = None;
        let error = BackendError::TimedOut {
            outcome: Outcome::NotDone,
        };
        aside.note_timeout(&error);
        match line.refuse(bytes, &error, &aside.terms.limits) {
            Some(replies) => {
                line.lose(bytes, &aside.terms.limits);
                out.extend_from_slice(&replies);
                Taken::Request(bytes.len(), Verdict::Continue)
            }
            None => Taken::Garbage(NO_REQUEST),
        }
    }
}

impl Handler for Turn<'_> {
    type Session = Line;

    fn accepted(&mut self, peer: Peer) -> Result<Line, Refusal> {
        self.aside.terms.admit(peer)?;
        Ok(Line::new(Origin::Path))
    }

    fn refused(&mut self, why: Refusal, said: &[u8], out: &mut Vec<u8>) {
        say_no(why, said, out);
    }

    fn request(
        &mut self,
        id: ConnectionId,
        line: &mut Line,
        bytes: &[u8],
        out: &mut Vec<u8>,
    ) -> Taken {
        if self.aside.lane.is_server(id) {
            let len = self.aside.lane.read(id, bytes);
            return match len {
                0 => Taken::Nothing,
                len => Taken::Request(len, Verdict::Continue),
            };
        }
        let front = line.front(bytes, &self.aside.terms, &mut self.aside.args);
        let Front::Bytes(len) = front else {
            return Taken::Nothing;
        };
        let bytes = &bytes[..len];
        if self.aside.is_ending {
            return Taken::Full;
        }
        if !self.has_room(len) {
            return self.wait(line, bytes, out);
        }
        let author = Author::Connection {
            id,
            origin: line.origin,
            dialect: line.dialect(bytes),
            lost: line.lost.take(),
        };
        line.full_since = None;
        line.is_known = true;
        let chunk = Arc::new(Chunk::new(author, bytes.to_vec()));
        let aside = &mut *self.aside;
        let deadline = self.now.after(aside.terms.limits.backend_timeout);
        aside.due.push_back((deadline, id, Arc::clone(&chunk)));
        aside.chunks += 1;
        aside.bytes += len;
        if !self.enters(id, line, &chunk) {
            self.aside.jobs.push(Job::Run(chunk));
        }
        Taken::Along(len)
    }

    fn closed(&mut self, id: ConnectionId, line: Line, why: CloseReason) {
        tracing::debug!(connection = ?id, origin = ?line.origin, %why, "closed");
        if self.aside.lane.is_server(id) {
            self.aside.lane.fail();
        }
        if line.is_known {
            self.aside.jobs.push(Job::Leave(id, why));
        }
        if let Some(worker) = line.worker {
            self.aside.events.push(ChannelEvent::Closed(worker));
        }
    }
}
