//! Requests that are answered with an error instead of being run, in their own dialect.

use crate::backend::BackendError;
use crate::config::Limits;
use crate::exec::redis;
use crate::protocol::message::Failure;
use crate::protocol::resp::{Args, Bounds, Parser, Progress, Trust};
use crate::protocol::{Dialect, Reply, codec, frame};

/// The requests in some bytes, as far as they need to be told apart to be answered.
pub(super) struct Requests<'a> {
    pub(super) dialect: Dialect,
    pub(super) bytes: &'a [u8],
    pub(super) limits: &'a Limits,
    /// How many of the next replies the peer does not want.
    pub(super) unsent: usize,
}

impl Requests<'_> {
    /// Answers each with this error. `None` where something in the bytes is no request.
    pub(super) fn refuse(&self, error: &BackendError) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        let replied = match self.dialect {
            Dialect::Native => self.native(error, &mut out),
            Dialect::Resp => self.redis(error, &mut out),
        };
        replied.then_some(out)
    }

    fn native(&self, error: &BackendError, out: &mut Vec<u8>) -> bool {
        let mut rest = self.bytes;
        while let Ok(Some(frame)) = frame::split(rest, self.limits.max_body()) {
            refuse(Dialect::Native, frame.header.id, error, out);
            rest = &rest[frame.wire_len()..];
        }
        rest.is_empty()
    }

    fn redis(&self, error: &BackendError, out: &mut Vec<u8>) -> bool {
        let mut unsent = self.unsent;
        let (mut parser, mut args) = (Parser::default(), Args::default());
        let bounds = bounds(self.limits);
        let mut rest = self.bytes;
        while let Ok(Progress::Request(request)) = parser.parse(rest, &mut args, &bounds) {
            // A blank line has no reply.
            if !request.is_empty() {
                if unsent == 0 {
                    refuse(Dialect::Resp, 0, error, out);
                }
                unsent = unsent.saturating_sub(1);
            }
            rest = &rest[request.wire_len()..];
        }
        rest.is_empty()
    }
}

/// What the requests mean for a transaction that they are lost to.
pub(super) fn lost(bytes: &[u8], limits: &Limits) -> redis::Lost {
    redis::Lost::of(bytes, &bounds(limits))
}

/// They were told apart before, within bounds that may have been smaller.
fn bounds(limits: &Limits) -> Bounds {
    redis::bounds(limits, Trust::Authenticated)
}

/// Appends the error as the reply to one request; the number is that of a native one.
pub(super) fn refuse(dialect: Dialect, id: u32, error: &BackendError, out: &mut Vec<u8>) {
    match dialect {
        Dialect::Native => {
            let reply = Reply::Error(Failure::from(error.clone()));
            codec::write_reply(out, id, &reply);
        }
        Dialect::Resp => redis::write_error(error.clone(), out),
    }
}
