//! The master's ends of the workers' channels, as those see them who open and close them.
//!
//! The reactor has them. What it remembers of each depends on where requests are run, which is
//! nobody's business who supervises.

use std::io;
use std::os::unix::net::UnixStream;

use crate::net::{ConnectionId, Reactor};
use crate::supervisor::event::WorkerId;

/// Serves channels.
pub(super) trait Channels {
    /// Serves the master's end of this slot's channel; `worker` where a supervisor started it.
    fn open(
        &mut self,
        channel: UnixStream,
        slot: u16,
        worker: Option<WorkerId>,
    ) -> io::Result<ConnectionId>;

    /// Closes one, if it is not closed yet.
    fn close(&mut self, id: ConnectionId);
}

/// What is remembered of a connection.
pub(super) trait OfChannel {
    /// A channel that this slot inherits; `worker` where a supervisor started it.
    fn of_channel(slot: u16, worker: Option<WorkerId>) -> Self;
}

impl<T: OfChannel> Channels for Reactor<T> {
    fn open(
        &mut self,
        channel: UnixStream,
        slot: u16,
        worker: Option<WorkerId>,
    ) -> io::Result<ConnectionId> {
        self.adopt(channel, T::of_channel(slot, worker))
    }

    fn close(&mut self, id: ConnectionId) {
        Reactor::close(self, id);
    }
}
