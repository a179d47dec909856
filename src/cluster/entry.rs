//! An entry as a program sees it, and how to write one.

use std::time::{Duration, SystemTime};

use serde::de::DeserializeOwned;

use crate::contract::{Condition, Expiry, Seq};
use crate::error::Result;
use crate::protocol::{Request, message};

/// An entry of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The value.
    pub value: Vec<u8>,
    /// The number of the write that made it; for [`SetOptions::if_seq`].
    pub seq: Seq,
    /// How long it will stay, when it was read; `None` for ever.
    pub ttl: Option<Duration>,
}

impl Entry {
    /// The value as JSON of this type.
    ///
    /// # Errors
    /// [`Error::Json`](crate::Error::Json) if it is not.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        Ok(serde_json::from_slice(&self.value)?)
    }

    /// When it will expire by this process's wall clock, if the entry was read just now; `None`
    /// never.
    pub fn expires_at(&self) -> Option<SystemTime> {
        SystemTime::now().checked_add(self.ttl?)
    }

    pub(super) fn read(entry: message::Entry<'_>) -> Self {
        Self {
            value: entry.value.into_owned(),
            seq: entry.seq,
            ttl: entry.ttl_ms.map(Duration::from_millis),
        }
    }
}

/// How to write an entry. The default: for ever, whatever was there.
///
/// ```
/// use std::time::Duration;
/// use memstore_cluster::SetOptions;
///
/// let a_session = SetOptions::new().ttl(Duration::from_secs(3600)).if_present();
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SetOptions {
    pub(super) expiry: Expiry,
    pub(super) condition: Condition,
}

impl SetOptions {
    /// For ever, whatever was there.
    pub fn new() -> Self {
        Self::default()
    }

    /// The entry goes after this time, rounded up to a millisecond. Zero: it goes at once.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.expiry = expiry(Some(ttl));
        self
    }

    /// The deadline that the entry has already stays.
    #[must_use]
    pub fn keep_ttl(mut self) -> Self {
        self.expiry = Expiry::Keep;
        self
    }

    /// Only if no live entry has the key.
    #[must_use]
    pub fn if_absent(mut self) -> Self {
        self.condition = Condition::IfAbsent;
        self
    }

    /// Only if a live entry has the key: a session that was destroyed meanwhile stays destroyed.
    #[must_use]
    pub fn if_present(mut self) -> Self {
        self.condition = Condition::IfPresent;
        self
    }

    /// Only if the live entry is still this version (compare-and-set).
    #[must_use]
    pub fn if_seq(mut self, seq: Seq) -> Self {
        self.condition = Condition::IfSeq(seq);
        self
    }

    #[cfg(feature = "cli")]
    pub(crate) fn of(expiry: Expiry, condition: Condition) -> Self {
        Self { expiry, condition }
    }

    pub(super) fn request<'a>(self, key: &'a [u8], value: &'a [u8]) -> Request<'a> {
        Request::Set(message::Set {
            expiry: self.expiry,
            condition: self.condition,
            key,
            value,
        })
    }
}

/// How to remove an entry. The default: with the tombstone that [`Options::tombstones`] has for
/// its key, if any.
///
/// [`Options::tombstones`]: crate::Options::tombstones
///
/// ```
/// use std::time::Duration;
/// use memstore_cluster::DestroyOptions;
///
/// let logout = DestroyOptions::new().tombstone(Duration::from_secs(10));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DestroyOptions {
    pub(super) tombstone: Option<Duration>,
}

impl DestroyOptions {
    /// As the store is configured.
    pub fn new() -> Self {
        Self::default()
    }

    /// If a live entry was there: for so long, rounded up to a millisecond, a write of the key that
    /// is not [`if_absent`](SetOptions::if_absent) is answered with
    /// [`Error::Conflict`](crate::Error::Conflict), so that a request that was under way does not
    /// bring back what was destroyed. Whatever the store is configured for this key.
    #[must_use]
    pub fn tombstone(mut self, lasting: Duration) -> Self {
        self.tombstone = Some(lasting);
        self
    }

    pub(super) fn request(self, key: &[u8]) -> Request<'_> {
        match self.tombstone {
            None => Request::Destroy { key },
            Some(lasting) => Request::Bury {
                key,
                tombstone_ms: milliseconds(lasting),
            },
        }
    }
}

/// A time to live as it is asked for.
pub(super) fn expiry(ttl: Option<Duration>) -> Expiry {
    ttl.map_or(Expiry::Never, |ttl| Expiry::AfterMs(milliseconds(ttl)))
}

/// A time as it travels: rounded up to a millisecond.
pub(super) fn milliseconds(time: Duration) -> u64 {
    let ms = time.as_nanos().div_ceil(1_000_000);
    u64::try_from(ms).unwrap_or(u64::MAX)
}
