//! What becomes of a transaction where requests are answered without being run.
//!
//! A backend that takes too long has its requests answered with errors by somebody who does not
//! have the session. Where they were to begin, fill or end a transaction, what is done of it must
//! still be all or nothing: as in Redis, where a request that is refused within a transaction ends
//! in the refusal of `EXEC`.

use crate::protocol::resp::{Args, Bounds, Parser, Progress};

/// What requests that are not run would have made of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// Nothing: they would have been a part of it, if there is one.
    Requests,
    /// They would have begun one.
    Begun,
    /// They would have ended it.
    Ended,
}

impl Lost {
    /// That of all requests in `bytes`.
    pub fn of(bytes: &[u8], bounds: &Bounds) -> Self {
        let mut lost = Self::Requests;
        let (mut parser, mut args) = (Parser::default(), Args::default());
        let mut rest = bytes;
        while let Ok(Progress::Request(request)) = parser.parse(rest, &mut args, bounds) {
            let name = request.get(0).unwrap_or_default();
            let is = |word: &str| name.eq_ignore_ascii_case(word.as_bytes());
            if is("multi") {
                lost = Self::Begun;
            } else if is("exec") || is("discard") || is("reset") {
                lost = Self::Ended;
            }
            rest = &rest[request.wire_len()..];
        }
        lost
    }

    /// That of these requests and then others.
    #[must_use]
    pub fn then(self, later: Self) -> Self {
        match later {
            Self::Requests => self,
            later => later,
        }
    }
}
