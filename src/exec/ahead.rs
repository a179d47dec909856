//! Which keys requests will look at, before they are run: for backends that rather ask for many at
//! once. Nothing depends on it: what is foreseen and not looked at costs a little, and what is looked
//! at unforeseen is asked for by itself.

use super::redis;
use crate::backend::Sweep;
use crate::config::Limits;
use crate::protocol::{Dialect, Op, Request, codec, frame};

/// Gives `visit` the keys that the requests in some bytes look at.
pub(crate) fn keys(dialect: Dialect, bytes: &[u8], limits: &Limits, visit: &mut dyn FnMut(&[u8])) {
    match dialect {
        Dialect::Native => {
            let mut rest = bytes;
            while let Ok(Some(frame)) = frame::split(rest, limits.max_body()) {
                if let Ok(request) = codec::read_request(frame) {
                    key(&request).into_iter().for_each(&mut *visit);
                }
                rest = &rest[frame.wire_len()..];
            }
        }
        Dialect::Resp => redis::keys_ahead(bytes, limits, visit),
    }
}

/// What the first of the requests in some bytes does with all entries, if it does nothing else.
pub(crate) fn sweep(dialect: Dialect, bytes: &[u8], limits: &Limits) -> Option<Sweep> {
    match dialect {
        Dialect::Native => {
            let frame = frame::split(bytes, limits.max_body()).ok()??;
            match Op::from_code(frame.header.code)? {
                Op::Length => Some(Sweep::Count),
                Op::Clear => Some(Sweep::Clear),
                _ => None,
            }
        }
        Dialect::Resp => redis::sweep_ahead(bytes, limits),
    }
}

/// The key that a native request looks at.
pub(crate) fn key<'r>(request: &Request<'r>) -> Option<&'r [u8]> {
    match *request {
        Request::Get { key } | Request::Touch { key, .. } | Request::Destroy { key } => Some(key),
        _ => None,
    }
}
