//! The handle: one API in every role.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::batch::{Batch, Outcome};
use super::entry::{DestroyOptions, Entry, SetOptions, expiry, milliseconds};
use super::links::Links;
use super::options::Role;
#[cfg(feature = "cli")]
use super::replies::Record;
use super::replies::{self, Item};
#[cfg(feature = "cli")]
use crate::backend::databases::COUNT;
#[cfg(feature = "cli")]
use crate::contract::Kind;
use crate::contract::{Capabilities, Seq};
use crate::error::Result;
#[cfg(feature = "cli")]
use crate::protocol::message::Put;
use crate::protocol::message::Regenerate;
use crate::protocol::{Reply, Request};

/// A store, wherever it is: in this process or in the master's. Clones are the same store; a
/// clone costs nothing and many threads may use theirs at once.
///
/// Every call waits for its reply, at most for the handle's timeout. A connection that was lost is
/// made anew by the next call, with jitter between attempts; requests that change nothing, and
/// `touch`, are repeated by themselves, others are answered with [`Error::OutcomeUnknown`](crate::Error::OutcomeUnknown).
#[derive(Clone)]
pub struct Store {
    links: Arc<Links>,
    timeout: Duration,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("role", &self.role())
            .field("worker", &self.worker())
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl Store {
    pub(crate) fn new(links: Arc<Links>, timeout: Duration) -> Self {
        Self { links, timeout }
    }

    /// The same store with another limit on how long a call may take.
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        Self {
            links: Arc::clone(&self.links),
            timeout,
        }
    }

    /// The live entry with this key.
    ///
    /// # Errors
    /// [`Error::WrongKind`](crate::Error::WrongKind) if it is a hash of the Redis dialect.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Entry>> {
        let key = key.as_ref();
        self.call(&Request::Get { key }, replies::entry)
    }

    /// Writes an entry that stays until it is destroyed, whatever was there.
    pub fn set(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<Seq> {
        self.set_with(key, value, SetOptions::new())
    }

    /// Writes an entry.
    ///
    /// # Errors
    /// [`Error::Conflict`](crate::Error::Conflict) if the condition in `options` does not hold.
    pub fn set_with(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        options: SetOptions,
    ) -> Result<Seq> {
        let request = options.request(key.as_ref(), value.as_ref());
        self.call(&request, replies::stored)
    }

    /// Moves the deadline of a live entry, and nothing else; `None` for ever. Whether there was
    /// one: what has expired or was destroyed stays so.
    pub fn touch(&self, key: impl AsRef<[u8]>, ttl: Option<Duration>) -> Result<bool> {
        let request = Request::Touch {
            key: key.as_ref(),
            expiry: expiry(ttl),
        };
        self.call(&request, replies::was_there)
    }

    /// Removes an entry. Whether a live one was there.
    pub fn destroy(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        self.destroy_with(key, DestroyOptions::new())
    }

    /// Removes an entry, and says how. Whether a live one was there.
    pub fn destroy_with(&self, key: impl AsRef<[u8]>, options: DestroyOptions) -> Result<bool> {
        self.call(&options.request(key.as_ref()), replies::was_there)
    }

    /// Gives the entry with the key `old` the key `new`, with value and deadline, in one step: a
    /// session gets a new id when somebody logs in. `None` if there is no live entry `old`, or
    /// another request has regenerated it already.
    ///
    /// For `grace`, rounded up to a millisecond, `old` still has what it had, for requests that
    /// were sent before the new id was known. They may write to it too, but it does not last longer
    /// than that, and nothing of it reaches `new`; so regenerate first and write what a login adds
    /// to `new` alone. After the grace `old` has a tombstone, at least as long as the grace was; see
    /// [`DestroyOptions::tombstone`].
    ///
    /// ```
    /// use std::time::Duration;
    /// use memstore_cluster::{Options, Standalone};
    ///
    /// let store = Options { standalone: Standalone::Always, ..Options::default() }.create()?;
    /// store.set("sess:old", "cart")?;
    /// assert!(store.regenerate("sess:old", "sess:new", Duration::from_secs(10))?.is_some());
    /// assert_eq!(store.get("sess:new")?.expect("it was moved").value, b"cart");
    /// assert!(store.get("sess:old")?.expect("for ten seconds").ttl <= Some(Duration::from_secs(10)));
    /// # Ok::<(), memstore_cluster::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Conflict`](crate::Error::Conflict) if there is a live entry `new`.
    pub fn regenerate(
        &self,
        old: impl AsRef<[u8]>,
        new: impl AsRef<[u8]>,
        grace: Duration,
    ) -> Result<Option<Seq>> {
        let request = Request::Regenerate(Regenerate {
            grace_ms: milliseconds(grace),
            from: old.as_ref(),
            to: new.as_ref(),
        });
        self.call(&request, replies::regenerated)
    }

    /// Walks over all live entries, in no particular order, page by page: nobody is kept waiting.
    /// What is there from start to end is met exactly once, or again if it is written meanwhile.
    /// Hashes of the Redis dialect are left out.
    pub fn all(&self) -> All<'_> {
        All {
            store: self,
            page: Vec::new().into_iter(),
            cursor: Some(0),
        }
    }

    /// The number of live entries, with the hashes of the Redis dialect.
    pub fn length(&self) -> Result<u64> {
        self.call(&Request::Length, replies::length)
    }

    /// Removes everything.
    pub fn clear(&self) -> Result<()> {
        self.call(&Request::Clear, replies::was_there).map(|_| ())
    }

    /// Sends a message to all who are [subscribed](Self::subscribe) to the channel at this moment, in
    /// whatever process and dialect: to how many subscriptions. It is kept for nobody else.
    ///
    /// # Errors
    /// [`Error::KeyTooLong`](crate::Error::KeyTooLong) for a channel and
    /// [`Error::ValueTooLarge`](crate::Error::ValueTooLarge) for a message that is longer
    /// than a key and a value may be.
    pub fn publish(&self, channel: impl AsRef<[u8]>, message: impl AsRef<[u8]>) -> Result<u64> {
        let request = Request::Publish {
            channel: channel.as_ref(),
            message: message.as_ref(),
        };
        self.call(&request, replies::length)
    }

    /// Whether the master answers.
    pub fn ping(&self) -> Result<()> {
        self.call(&Request::Ping, replies::pong)
    }

    /// Does all operations of a batch, with as few round trips as possible. One outcome for each,
    /// in their order; the handle's timeout is for all together.
    pub fn run(&self, batch: &Batch<'_>) -> Vec<Result<Outcome>> {
        let answers = self.links.run(batch.pipeline(), self.timeout);
        let outcome = |answer: Result<_>| answer.map(Outcome::from);
        answers.into_iter().map(outcome).collect()
    }

    /// The value with this key, from JSON.
    ///
    /// # Errors
    /// [`Error::Json`](crate::Error::Json) if the value is not JSON of this type.
    pub fn get_json<T: DeserializeOwned>(&self, key: impl AsRef<[u8]>) -> Result<Option<T>> {
        self.get(key)?.map(|entry| entry.json()).transpose()
    }

    /// Writes a value as JSON, which every language can read.
    ///
    /// # Errors
    /// [`Error::Json`](crate::Error::Json) if it cannot be written as JSON; [`Error::Conflict`](crate::Error::Conflict) as for
    /// [`set_with`](Self::set_with).
    pub fn set_json<T: Serialize + ?Sized>(
        &self,
        key: impl AsRef<[u8]>,
        value: &T,
        options: SetOptions,
    ) -> Result<Seq> {
        self.set_with(key, serde_json::to_vec(value)?, options)
    }

    /// What this process is to the store at present: after the loss of a master, one of its
    /// clients may have become the master.
    pub fn role(&self) -> Role {
        self.links.role()
    }

    /// Whether this process holds the store and serves others.
    pub fn is_master(&self) -> bool {
        self.role() == Role::Master
    }

    /// Whether this process is connected to a master.
    pub fn is_worker(&self) -> bool {
        self.role() == Role::Worker
    }

    /// The slot of the worker that this process is, from 0; `None` where no master started it.
    pub fn worker(&self) -> Option<u32> {
        self.links.worker()
    }

    /// What the store's backend can do beyond `get`, `set`, `touch` and `destroy`.
    pub fn capabilities(&self) -> Capabilities {
        self.links.capabilities()
    }

    /// A page of [`all`](Self::all) from `cursor` on, zero at the start, and where the next one
    /// begins, zero after the last.
    pub(crate) fn page(&self, cursor: u64) -> Result<(u64, Vec<Item>)> {
        self.call(&Request::All { cursor, limit: 0 }, replies::page)
    }

    /// A page of everything in a database, from `cursor` on, as [`page`](Self::page) gives it.
    #[cfg(feature = "cli")]
    pub(crate) fn records(&self, database: u8, cursor: u64) -> Result<(u64, Vec<Record>)> {
        self.call(&Request::Records { database, cursor }, replies::records)
    }

    /// Writes an entry of any kind into a database.
    #[cfg(feature = "cli")]
    pub(crate) fn put(
        &self,
        (database, key): (u8, &[u8]),
        (kind, value): (Kind, &[u8]),
        ttl: Option<Duration>,
    ) -> Result<Seq> {
        let put = Put {
            database,
            kind,
            expiry: expiry(ttl),
            key,
            value,
        };
        self.call(&Request::Put(put), replies::stored)
    }

    /// How many databases it has.
    #[cfg(feature = "cli")]
    pub(crate) fn databases(&self) -> u8 {
        if self.capabilities().has(Capabilities::DATABASES) {
            COUNT
        } else {
            1
        }
    }

    /// The process that holds the store, where that is another one.
    #[cfg(feature = "cli")]
    pub(crate) fn master(&self) -> Option<u32> {
        self.links.master()
    }

    pub(super) fn links(&self) -> &Arc<Links> {
        &self.links
    }

    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    fn call<R>(
        &self,
        request: &Request<'_>,
        read: impl FnMut(Reply<'_>) -> Result<R>,
    ) -> Result<R> {
        self.links.call(request, self.timeout, read)
    }
}

/// A walk over all entries; see [`Store::all`]. After an error it is over.
#[derive(Debug)]
pub struct All<'s> {
    store: &'s Store,
    page: std::vec::IntoIter<Item>,
    /// Where the next page starts; `None` after the last.
    cursor: Option<u64>,
}

impl Iterator for All<'_> {
    type Item = Result<Item>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(item) = self.page.next() {
                return Some(Ok(item));
            }
            let cursor = self.cursor.take()?;
            match self.store.page(cursor) {
                Ok((next, items)) => {
                    self.cursor = (next != 0).then_some(next);
                    self.page = items.into_iter();
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }
}
