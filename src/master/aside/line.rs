//! What the loop knows of a connection whose requests are run elsewhere.
//!
//! Enough to tell whole requests apart, to answer them where nobody else does, and no more: what
//! they mean is the engine's. How large a request may be depends on those before it; that is known
//! as it was after the last that came back, and nothing is told apart while any is away.

use super::refusal::{self, Requests};
use crate::backend::BackendError;
use crate::config::Limits;
use crate::exec::plain::Manner;
use crate::exec::{Origin, redis};
use crate::master::channels::OfChannel;
use crate::master::service::Terms;
use crate::protocol::resp::{Args, Parser, Progress, Trust};
use crate::protocol::{Dialect, frame};
use crate::supervisor::event::WorkerId;
use crate::time::Millis;

/// Bytes of requests after which no further one joins a chunk.
const CHUNK: usize = 64 << 10;

/// What is remembered of a connection.
#[derive(Debug)]
pub(in crate::master) struct Line {
    pub(super) origin: Origin,
    /// Whose channel it is; `None` through the path socket.
    pub(super) worker: Option<WorkerId>,
    dialect: Option<Dialect>,
    /// Where the parsing of the request at the front stands.
    parser: Parser,
    /// The peer has introduced itself, as far as is known.
    pub(super) is_open: bool,
    /// Whoever has to know has been told so.
    pub(super) is_introduced: bool,
    /// How many of the next replies the peer does not want.
    pub(super) unsent: usize,
    /// The engine knows of it.
    pub(super) is_known: bool,
    /// Since when there is no room for what it asks.
    pub(super) full_since: Option<Millis>,
    /// What was answered with errors without having been handed over.
    pub(super) lost: Option<redis::Lost>,
    /// How plain requests are answered without the engine, unless the next are for it.
    pub(super) manner: Option<Manner>,
}

/// What stands at the front of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Front {
    /// The beginning of a request.
    Part,
    /// Whole requests of so many bytes; or what is none, and all that follows it.
    Bytes(usize),
}

impl OfChannel for Line {
    fn of_channel(slot: u16, worker: Option<WorkerId>) -> Self {
        Self {
            worker,
            ..Self::new(Origin::Channel { slot })
        }
    }
}

impl Line {
    pub(super) fn new(origin: Origin) -> Self {
        Self {
            origin,
            worker: None,
            dialect: None,
            parser: Parser::default(),
            is_open: false,
            is_introduced: false,
            unsent: 0,
            is_known: false,
            full_since: None,
            lost: None,
            manner: None,
        }
    }

    /// What is spoken on it; its first byte decides.
    pub(super) fn dialect(&mut self, bytes: &[u8]) -> Dialect {
        let first = || Dialect::of(bytes[0]);
        *self.dialect.get_or_insert_with(first)
    }

    /// Tells apart what stands at the front of `bytes`, which are not empty.
    pub(super) fn front(&mut self, bytes: &[u8], terms: &Terms, args: &mut Args) -> Front {
        let dialect = self.dialect(bytes);
        let mut whole = 0;
        while whole < bytes.len().min(CHUNK) {
            let rest = &bytes[whole..];
            let next = match dialect {
                Dialect::Native => self.frame(rest, terms),
                Dialect::Resp => self.command(rest, terms, args),
            };
            match next {
                Ok(Some(len)) => whole += len,
                Ok(None) => break,
                // What comes before it may change what it is; alone, it is for the engine to
                // refuse, together with everything behind it.
                Err(NoRequest) if whole > 0 => break,
                Err(NoRequest) => whole = bytes.len(),
            }
        }
        if whole == 0 {
            return Front::Part;
        }
        // What follows may have to be looked at again together with what was not run of this.
        self.parser = Parser::default();
        Front::Bytes(whole)
    }

    /// Answers each request in the bytes with this error; `None` if there is anything else in them.
    pub(super) fn refuse(
        &mut self,
        bytes: &[u8],
        error: &BackendError,
        limits: &Limits,
    ) -> Option<Vec<u8>> {
        let requests = Requests {
            dialect: self.dialect(bytes),
            bytes,
            limits,
            unsent: self.unsent,
        };
        if self.unsent < usize::MAX {
            self.unsent = 0;
        }
        requests.refuse(error)
    }

    /// Remembers, for the engine, that these were answered without it.
    pub(super) fn lose(&mut self, bytes: &[u8], limits: &Limits) {
        let lost = refusal::lost(bytes, limits);
        self.lost = Some(self.lost.map_or(lost, |before| before.then(lost)));
    }

    fn frame(&self, bytes: &[u8], terms: &Terms) -> Result<Option<usize>, NoRequest> {
        let is_trusted = self.is_open || self.origin != Origin::Path;
        let max_body = if is_trusted {
            terms.limits.max_body()
        } else {
            Limits::UNTRUSTED_BODY
        };
        let frame = frame::split(bytes, max_body).map_err(|_| NoRequest)?;
        Ok(frame.map(|frame| frame.wire_len()))
    }

    fn command(
        &mut self,
        bytes: &[u8],
        terms: &Terms,
        args: &mut Args,
    ) -> Result<Option<usize>, NoRequest> {
        let is_trusted = self.is_open || self.origin != Origin::Path || terms.secret.is_none();
        let trust = if is_trusted {
            Trust::Authenticated
        } else {
            Trust::Unauthenticated
        };
        let bounds = redis::bounds(&terms.limits, trust);
        match self.parser.parse(bytes, args, &bounds) {
            Ok(Progress::Request(request)) => Ok(Some(request.wire_len())),
            Ok(Progress::Missing(_)) => Ok(None),
            Err(_) => Err(NoRequest),
        }
    }
}

/// What is there is no request and will never be one.
struct NoRequest;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::KeyspaceEvents;
    use crate::exec::{Hub, SharedHub};
    use crate::net::AllowedUids;
    use crate::protocol::auth::Secret;

    fn terms() -> Terms {
        Terms {
            limits: Limits::default(),
            hub: SharedHub::new(Hub::new(&Limits::default(), KeyspaceEvents::default())),
            path: None,
            secret: Some(Secret::new("correct-horse-battery".as_bytes()).unwrap()),
            allowed: AllowedUids::ours_and(&[]),
            workers: 0,
            pid: 1,
        }
    }

    fn front(line: &mut Line, bytes: &[u8]) -> Front {
        line.front(bytes, &terms(), &mut Args::default())
    }

    fn frame(body: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        frame::write(&mut bytes, 0x10, 1, |out| {
            out.resize(frame::HEADER_LEN + body, 0);
        });
        bytes
    }

    fn channel() -> Line {
        Line::of_channel(0, None)
    }

    #[test]
    fn only_whole_requests_leave_and_the_rest_is_looked_at_again_later() {
        let (pings, get) = (
            b"PING\r\nPING\r\n".as_slice(),
            b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n",
        );
        let mut line = channel();
        for cut in 0..get.len() {
            let bytes = [pings, &get[..cut]].concat();
            assert_eq!(front(&mut line, &bytes), Front::Bytes(pings.len()));
        }
        for cut in 1..get.len() {
            assert_eq!(front(&mut line, &get[..cut]), Front::Part);
        }
        assert_eq!(front(&mut line, get), Front::Bytes(get.len()));
        let (two, part) = (frame(3).repeat(2), frame(9));
        let bytes = [&two, &part[..20]].concat();
        assert_eq!(front(&mut channel(), &bytes), Front::Bytes(two.len()));
    }

    #[test]
    fn what_is_no_request_waits_for_those_before_it_and_goes_with_all_behind_it() {
        let (ping, garbage) = (b"PING\r\n", b"*1\r\nnonsense\r\nPING\r\n");
        let mut line = channel();
        let both = [&ping[..], garbage].concat();
        assert_eq!(front(&mut line, &both), Front::Bytes(ping.len()));
        assert_eq!(front(&mut line, garbage), Front::Bytes(garbage.len()));
        let both = [&frame(0)[..], b"PING\r\n"].concat();
        let mut line = channel();
        assert_eq!(front(&mut line, &both), Front::Bytes(frame(0).len()));
        assert_eq!(front(&mut line, b"PING\r\n"), Front::Bytes(6));
    }

    #[test]
    fn a_stranger_may_send_little_before_it_is_known() {
        let large = frame(Limits::UNTRUSTED_BODY + 1);
        let mut line = Line::new(Origin::Path);
        assert_eq!(
            front(&mut line, &large[..20]),
            Front::Bytes(20),
            "as garbage"
        );
        line.is_open = true;
        assert_eq!(front(&mut line, &large[..20]), Front::Part);
        assert_eq!(front(&mut channel(), &large[..20]), Front::Part);
        let mut line = Line::new(Origin::Path);
        let many = b"*11\r\n";
        assert_eq!(
            front(&mut line, many),
            Front::Bytes(many.len()),
            "as garbage"
        );
        line.is_open = true;
        assert_eq!(front(&mut line, many), Front::Part);
    }

    #[test]
    fn a_chunk_ends_with_the_request_that_fills_it() {
        let large = frame(CHUNK);
        let bytes = [large.clone(), large.clone()].concat();
        assert_eq!(front(&mut channel(), &bytes), Front::Bytes(large.len()));
    }

    #[test]
    fn each_request_is_refused_unless_its_reply_is_not_wanted() {
        let limits = Limits::default();
        let mut line = channel();
        line.unsent = 1;
        let bytes = b"PING\r\n\r\nPING\r\nPING\r\n";
        let refused = line.refuse(bytes, &BackendError::Busy, &limits).unwrap();
        let reply = "-BUSY the store has too much to do\r\n";
        assert_eq!(String::from_utf8(refused).unwrap(), reply.repeat(2));
        assert_eq!(line.unsent, 0);
        line.unsent = usize::MAX;
        let refused = line.refuse(bytes, &BackendError::Busy, &limits);
        assert_eq!((refused.unwrap().len(), line.unsent), (0, usize::MAX));
        assert!(
            line.refuse(b"*1\r\nx", &BackendError::Busy, &limits)
                .is_none()
        );
    }
}
