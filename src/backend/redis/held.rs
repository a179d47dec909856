//! An entry as it is held here, and as replies tell of it.                                  (pure)

use std::borrow::Cow;

use redis::Value;
use sha1::{Digest, Sha1};

use super::node::Reply;
use super::unexpected;
use crate::backend::{BackendError, EntryRef, Look};
use crate::contract::{Kind, Seq};
use crate::time::Millis;

/// An entry, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) value: Option<Vec<u8>>,
    pub(super) term: Term,
}

/// Until when an entry is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Term {
    Unknown,
    Never,
    At(Millis),
}

impl Held {
    /// One of which all is known.
    pub(super) fn new(value: Vec<u8>, deadline: Option<Millis>) -> Self {
        Self {
            value: Some(value),
            term: deadline.map_or(Term::Never, Term::At),
        }
    }

    /// Whether that is known of it which somebody looks at.
    pub(super) fn shows(&self, look: Look) -> bool {
        let (has_value, has_term) = (self.value.is_some(), self.term != Term::Unknown);
        match look {
            Look::Deadline => has_term,
            Look::Value => has_value,
            Look::Entry => has_value && has_term,
        }
    }

    /// What another look has found that is not known here.
    pub(super) fn learn(&mut self, found: Self) {
        if self.value.is_none() {
            self.value = found.value;
        }
        if self.term == Term::Unknown {
            self.term = found.term;
        }
    }

    pub(super) fn deadline(&self) -> Option<Millis> {
        match self.term {
            Term::At(at) => Some(at),
            Term::Never | Term::Unknown => None,
        }
    }

    /// The bytes of its value, if they are known.
    pub(super) fn bytes(&self) -> &[u8] {
        self.value.as_deref().unwrap_or_default()
    }

    /// It, where [all](Look::Entry) of it is known.
    pub(super) fn entry(&self) -> EntryRef<'_> {
        EntryRef {
            value: Cow::Borrowed(self.bytes()),
            deadline: self.deadline(),
            seq: version(self.bytes()),
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

/// What is said of an entry by the replies to `GET` and `PTTL`, as far as they were asked for.
pub(super) fn entry(
    now: Millis,
    value: Option<Reply>,
    ttl: Option<Reply>,
) -> Result<Option<Held>, BackendError> {
    let term = match ttl.transpose()? {
        None => Term::Unknown,
        Some(Value::Int(-1)) => Term::Never,
        // It went between the two, if it was there.
        Some(Value::Int(..0)) => return value.transpose().map(|_| None).map_err(Into::into),
        Some(Value::Int(ms)) => Term::At(now.after_ms(ms.unsigned_abs())),
        Some(_) => return Err(unexpected()),
    };
    match value.transpose()? {
        None => Ok(Some(Held { value: None, term })),
        Some(Value::BulkString(value)) => Ok(Some(Held {
            value: Some(value),
            term,
        })),
        Some(Value::Nil) => Ok(None),
        Some(_) => Err(unexpected()),
    }
}
