//! What the loop counts: plain numbers that only grow. Read by the master for its status.

use super::handler::CloseReason;

/// Since the reactor was made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    /// Connections taken from a listener.
    pub(crate) accepted: u64,
    /// Connections given to the reactor: the workers' channels.
    pub(crate) adopted: u64,
    /// Connections refused because there were too many, or no descriptor for one more.
    pub(crate) refused_full: u64,
    /// Connections refused because of who the peer is.
    pub(crate) refused_stranger: u64,
    /// Requests handed to the handler.
    pub(crate) requests: u64,
    /// How often a peer was no longer read because it did not read.
    pub(crate) pauses: u64,
    /// Connections closed, by reason.
    pub(crate) closed: Closed,
}

/// How many connections were closed, by [`CloseReason`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Closed {
    pub(crate) eof: u64,
    pub(crate) mid_request: u64,
    pub(crate) failed: u64,
    pub(crate) garbage: u64,
    pub(crate) rejected: u64,
    pub(crate) output_cap: u64,
    pub(crate) deadline: u64,
    pub(crate) asked: u64,
}

impl Closed {
    pub(super) fn count(&mut self, why: CloseReason) {
        let counter = match why {
            CloseReason::Eof => &mut self.eof,
            CloseReason::MidRequest => &mut self.mid_request,
            CloseReason::Failed(_) => &mut self.failed,
            CloseReason::Garbage(_) => &mut self.garbage,
            CloseReason::Rejected(_) => &mut self.rejected,
            CloseReason::OutputCap => &mut self.output_cap,
            CloseReason::Deadline => &mut self.deadline,
            CloseReason::Asked => &mut self.asked,
        };
        *counter += 1;
    }

    /// All of them.
    pub(crate) fn total(&self) -> u64 {
        let Self {
            eof,
            mid_request,
            failed,
            garbage,
            rejected,
            output_cap,
            deadline,
            asked,
        } = self;
        eof + mid_request + failed + garbage + rejected + output_cap + deadline + asked
    }
}
