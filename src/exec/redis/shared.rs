//! What all connections of the dialect share.

use crate::protocol::resp::Args;
use crate::time::Millis;

/// The number of a connection, as `CLIENT ID` tells it. Never given to another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub u64);

/// What all connections share.
#[derive(Debug)]
pub struct Shared {
    /// When the master began.
    pub(super) started: Millis,
    /// Memory for the arguments of the request at hand.
    pub(super) args: Args,
    /// Where `RANDOMKEY` looks.
    pub(super) random: fastrand::Rng,
    last_client: u64,
    /// What is to be sent to others than who asks, in order.
    outbox: Vec<(ClientId, Vec<u8>)>,
}

impl Shared {
    /// Nobody is connected yet.
    pub fn new(now: Millis) -> Self {
        Self {
            started: now,
            args: Args::default(),
            random: fastrand::Rng::with_seed(now.as_unix()),
            last_client: 0,
            outbox: Vec::new(),
        }
    }

    /// A number for a new connection.
    pub(super) fn next_client(&mut self) -> ClientId {
        self.last_client += 1;
        ClientId(self.last_client)
    }

    /// What is to be sent, and to whom, since this was last asked.
    pub fn outbox(&mut self) -> std::vec::Drain<'_, (ClientId, Vec<u8>)> {
        self.outbox.drain(..)
    }
}
