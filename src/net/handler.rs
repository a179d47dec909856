//! The seam between the loop and what the frames mean: the [`Handler`] and its words.
//!
//! The master implements it; the reactor and its connections call it. Nothing here does anything.

use std::io;

use super::peer::Peer;
use super::token::ConnectionId;
use crate::protocol::{Frame, FrameError};

/// What the loop asks about connections and their frames.
pub(crate) trait Handler {
    /// What is to be remembered of one connection. The connection owns it.
    type Session;

    /// Whether a peer that came through a listener is let in. Asked before a byte of it is read.
    /// Until it has [introduced](Verdict::Introduced) itself the handshake's deadline stands. A
    /// session that is dropped without [`closed`](Self::closed) never came to be a connection's:
    /// the system refused to watch it.
    fn accepted(&mut self, peer: Peer) -> Result<Self::Session, Refusal>;

    /// Appends what a refused peer is told. It is sent as far as the socket takes it at once.
    fn refused(&mut self, _why: Refusal, _out: &mut Vec<u8>) {}

    /// The largest body accepted from this peer now, in bytes.
    fn max_body(&self, session: &Self::Session) -> usize;

    /// Does what a frame asks and appends the reply to `out`, where other replies may stand
    /// already.
    fn frame(
        &mut self,
        session: &mut Self::Session,
        frame: Frame<'_>,
        out: &mut Vec<u8>,
    ) -> Verdict;

    /// Appends a reply that says why the connection is about to be closed.
    fn broken(&mut self, session: &mut Self::Session, error: FrameError, out: &mut Vec<u8>);

    /// A connection is gone; no event of it comes any more.
    fn closed(&mut self, id: ConnectionId, session: Self::Session, why: CloseReason);
}

/// How a connection goes on after a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Continue,
    /// Continue; the peer has introduced itself and the deadline for that is lifted.
    Introduced,
    /// Send what is to be sent, then close. The reason is for the log.
    Close(&'static str),
}

/// Why a peer is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// There are as many connections as are allowed, or no descriptor for one more.
    #[error("the master has as many connections as it takes (--max-clients)")]
    Full,
    /// A process of this user has no business here.
    #[error("processes of user {uid} may not connect (--allow-uid)")]
    Stranger { uid: u32 },
}

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CloseReason {
    /// The peer closed it.
    #[error("the peer closed it")]
    Eof,
    /// The peer closed it within a frame.
    #[error("the peer closed it within a frame")]
    MidFrame,
    /// The system says that it is broken.
    #[error("it failed: {0}")]
    Failed(io::ErrorKind),
    /// What the peer sent is no frame.
    #[error("{0}")]
    Broken(FrameError),
    /// The handler wants it closed.
    #[error("{0}")]
    Rejected(&'static str),
    /// More output than allowed is waiting for the peer to read it.
    #[error("the peer does not read its replies")]
    OutputCap,
    /// Its deadline passed.
    #[error("its deadline passed")]
    Deadline,
    /// Whoever owns the reactor wants it closed.
    #[error("it was asked for")]
    Asked,
}
