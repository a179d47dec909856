//! An entry as it is held here, and as replies tell of it.                                  (pure)

use std::borrow::Cow;

use redis::Value;
use sha1::{Digest, Sha1};

use super::node::Reply;
use super::unexpected;
use crate::backend::{BackendError, EntryRef};
use crate::contract::{Kind, Seq};
use crate::time::Millis;

/// An entry, as it is held here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) value: Vec<u8>,
    pub(super) deadline: Option<Millis>,
}

impl Held {
    pub(super) fn entry(&self) -> EntryRef<'_> {
        EntryRef {
            value: Cow::Borrowed(&self.value),
            deadline: self.deadline,
            seq: version(&self.value),
            kind: Kind::Bytes,
        }
    }
}

/// The name of the version that holds this value.
pub(super) fn version(value: &[u8]) -> Seq {
    let digest: [u8; 20] = Sha1::digest(value).into();
    let (first, _) = digest.split_first_chunk().expect("it is longer");
    Seq(u64::from_be_bytes(*first))
}

/// An entry from the replies to `GET` and `PTTL`.
pub(super) fn entry(
    now: Millis,
    value: Option<Reply>,
    ttl: Option<Reply>,
) -> Result<Option<Held>, BackendError> {
    let said = |reply: Option<Reply>| match reply {
        Some(reply) => reply.map_err(BackendError::from),
        None => Err(unexpected()),
    };
    let deadline = match said(ttl)? {
        Value::Int(-1) => None,
        // It went between the two.
        Value::Int(..0) => return Ok(None),
        Value::Int(ms) => Some(now.after_ms(ms.unsigned_abs())),
        _ => return Err(unexpected()),
    };
    match said(value)? {
        Value::BulkString(value) => Ok(Some(Held { value, deadline })),
        Value::Nil => Ok(None),
        _ => Err(unexpected()),
    }
}
