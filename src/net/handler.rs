//! The seam between the loop and what the bytes mean: the [`Handler`] and its words.
//!
//! The master implements it; the reactor and its connections call it. Nothing here does anything.

use std::io;

use super::peer::Peer;
use super::token::ConnectionId;

/// What the loop asks about connections and their requests.
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

    /// Does what the request at the front of `bytes` asks and appends the reply to `out`, where
    /// other replies may stand already. `bytes` is never empty. As long as the request is not
    /// whole it is called again with the same bytes and more.
    fn request(
        &mut self,
        id: ConnectionId,
        session: &mut Self::Session,
        bytes: &[u8],
        out: &mut Vec<u8>,
    ) -> Taken;

    /// A connection is gone; no event of it comes any more.
    fn closed(&mut self, id: ConnectionId, session: Self::Session, why: CloseReason);
}

/// What became of the request at the front of some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It is not whole yet.
    Nothing,
    /// It had so many bytes, at least one.
    Request(usize, Verdict),
    /// So many bytes, at least one, were taken along to be run elsewhere. Nothing more of this
    /// connection is read or run before [`Reactor::answer`](super::Reactor::answer) tells what
    /// became of them.
    Along(usize),
    /// There is no room for it elsewhere. Nothing more of this connection is read or run before
    /// [`Reactor::resume`](super::Reactor::resume), after which it is asked for again.
    Full,
    /// It is none; why is for the log. What `out` was given is sent, then the connection closed.
    Garbage(&'static str),
}

/// How a connection goes on after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Continue,
    /// Continue; the peer has introduced itself and the deadline for that is lifted.
    Introduced,
    /// Send what is to be sent, then close. The reason is for the log.
    Close(&'static str),
}

/// What became of requests that were taken [along](Taken::Along).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answer<'a> {
    /// Their replies.
    pub(crate) out: &'a [u8],
    /// The last of what was taken, which was not run: it stands at the front of the input again.
    pub(crate) unread: &'a [u8],
    /// The peer has introduced itself and the deadline for that is lifted.
    pub(crate) is_introduced: bool,
    /// Send what is to be sent, then close.
    pub(crate) close: Option<CloseReason>,
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
    /// The peer closed it within a request.
    #[error("the peer closed it within a request")]
    MidRequest,
    /// The system says that it is broken.
    #[error("it failed: {0}")]
    Failed(io::ErrorKind),
    /// What the peer sent is no request.
    #[error("{0}")]
    Garbage(&'static str),
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
