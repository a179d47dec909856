//! The handle for programs on tokio: one API in every role.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::async_links::AsyncLinks;
use super::batch::{Batch, Outcome};
use super::entry::{DestroyOptions, Entry, SetOptions, expiry, milliseconds};
use super::options::{Options, Role};
use super::replies::{self, Item};
use crate::contract::{Capabilities, Seq};
use crate::error::Result;
use crate::protocol::message::Regenerate;
use crate::protocol::{Reply, Request};

/// A store for tasks, wherever it is: in this process or in the master's. Clones are the same
/// store; all tasks of all of them share one connection.
///
/// It is what [`Store`](super::Store) is, under the same rules; but calls are awaited. A call may
/// be dropped at any time, and so may a `select!` or a timeout around it: nobody else notices, and
/// what it asked may or may not be done.
///
/// The runtime in which the store was made (or made its last reconnection) keeps the connection:
/// it must have its I/O and its time enabled, as `#[tokio::main]` has, and when it ends, so does
/// the connection. Calls may come from any other runtime meanwhile.
///
/// Where this process itself holds the store, calls do their work at once and never wait. A worker
/// has one channel to its master; where a `Store` uses it already, this one connects to the path
/// (`MEMSTORE_SOCK`).
///
/// ```
/// use std::time::Duration;
/// use memstore_cluster::{Options, SetOptions, Standalone};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), memstore_cluster::Error> {
/// let options = Options { standalone: Standalone::Always, ..Options::default() };
/// let store = options.create_async().await?;
/// let an_hour = SetOptions::new().ttl(Duration::from_secs(3600));
/// store.set_with("sess:1", "data", an_hour).await?;
/// assert_eq!(store.get("sess:1").await?.expect("just written").value, b"data");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct AsyncStore {
    links: Arc<AsyncLinks>,
    timeout: Duration,
}

impl Options {
    /// Comes by a store for tasks; as [`create`](Self::create) otherwise.
    ///
    /// # Errors
    /// As those of [`create`](Self::create).
    ///
    /// # Panics
    /// Outside of a tokio runtime, and in one whose I/O is not enabled.
    pub async fn create_async(self) -> Result<AsyncStore> {
        let timeout = self.timeout;
        let links = AsyncLinks::open(self).await?;
        Ok(AsyncStore::new(links, timeout))
    }
}

impl fmt::Debug for AsyncStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncStore")
            .field("role", &self.role())
            .field("worker", &self.worker())
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl AsyncStore {
    pub(crate) fn new(links: AsyncLinks, timeout: Duration) -> Self {
        let links = Arc::new(links);
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
    pub async fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Entry>> {
        let key = key.as_ref();
        self.call(&Request::Get { key }, replies::entry).await
    }

    /// Writes an entry that stays until it is destroyed, whatever was there.
    pub async fn set(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<Seq> {
        self.set_with(key, value, SetOptions::new()).await
    }

    /// Writes an entry.
    ///
    /// # Errors
    /// [`Error::Conflict`](crate::Error::Conflict) if the condition in `options` does not hold.
    pub async fn set_with(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        options: SetOptions,
    ) -> Result<Seq> {
        let request = options.request(key.as_ref(), value.as_ref());
        self.call(&request, replies::stored).await
    }

    /// Moves the deadline of a live entry, and nothing else; `None` for ever. Whether there was
    /// one: what has expired or was destroyed stays so.
    pub async fn touch(&self, key: impl AsRef<[u8]>, ttl: Option<Duration>) -> Result<bool> {
        let request = Request::Touch {
            key: key.as_ref(),
            expiry: expiry(ttl),
        };
        self.call(&request, replies::was_there).await
    }

    /// Removes an entry. Whether a live one was there.
    pub async fn destroy(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        self.destroy_with(key, DestroyOptions::new()).await
    }

    /// Removes an entry, and says how. Whether a live one was there.
    pub async fn destroy_with(
        &self,
        key: impl AsRef<[u8]>,
        options: DestroyOptions,
    ) -> Result<bool> {
        let request = options.request(key.as_ref());
        self.call(&request, replies::was_there).await
    }

    /// Gives the entry with the key `old` the key `new`, as [`Store::regenerate`](super::Store::regenerate).
    ///
    /// # Errors
    /// [`Error::Conflict`](crate::Error::Conflict) if there is a live entry `new`.
    pub async fn regenerate(
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
        self.call(&request, replies::regenerated).await
    }

    /// Walks over all live entries, in no particular order, page by page: nobody is kept waiting.
    /// What is there from start to end is met exactly once, or again if it is written meanwhile.
    /// Hashes of the Redis dialect are left out.
    pub fn all(&self) -> AsyncAll<'_> {
        AsyncAll {
            store: self,
            page: Vec::new().into_iter(),
            cursor: Some(0),
        }
    }

    /// The number of live entries, with the hashes of the Redis dialect.
    pub async fn length(&self) -> Result<u64> {
        self.call(&Request::Length, replies::length).await
    }

    /// Removes everything.
    pub async fn clear(&self) -> Result<()> {
        self.call(&Request::Clear, replies::was_there).await?;
        Ok(())
    }

    /// Sends a message to all who are [subscribed](Self::subscribe) to the channel at this moment, in
    /// whatever process and dialect: to how many subscriptions. It is kept for nobody else.
    ///
    /// # Errors
    /// [`Error::KeyTooLong`](crate::Error::KeyTooLong) for a channel and
    /// [`Error::ValueTooLarge`](crate::Error::ValueTooLarge) for a message that is longer
    /// than a key and a value may be.
    pub async fn publish(
        &self,
        channel: impl AsRef<[u8]>,
        message: impl AsRef<[u8]>,
    ) -> Result<u64> {
        let request = Request::Publish {
            channel: channel.as_ref(),
            message: message.as_ref(),
        };
        self.call(&request, replies::length).await
    }

    /// Does all operations of a batch, which are sent one behind the other without waiting for
    /// replies. One outcome for each, in their order; the handle's timeout is for all together. If
    /// this is dropped, what was sent by then is done.
    ///
    /// ```
    /// use memstore_cluster::{Batch, Options, Outcome, SetOptions, Standalone};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), memstore_cluster::Error> {
    /// # let options = Options { standalone: Standalone::Always, ..Options::default() };
    /// # let store = options.create_async().await?;
    /// let mut batch = Batch::new();
    /// batch.set("a", "1", SetOptions::new()).get("a").destroy("b");
    /// let outcomes = store.run(&batch).await;
    /// assert!(matches!(outcomes[2], Ok(Outcome::Found(false))));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn run(&self, batch: &Batch<'_>) -> Vec<Result<Outcome>> {
        let answers = self.links.run(batch.pipeline(), self.timeout).await;
        let outcome = |answer: Result<_>| answer.map(Outcome::from);
        answers.into_iter().map(outcome).collect()
    }

    /// Whether the master answers.
    pub async fn ping(&self) -> Result<()> {
        self.call(&Request::Ping, replies::pong).await
    }

    /// The value with this key, from JSON.
    ///
    /// # Errors
    /// [`Error::Json`](crate::Error::Json) if the value is not JSON of this type.
    pub async fn get_json<T: DeserializeOwned>(&self, key: impl AsRef<[u8]>) -> Result<Option<T>> {
        let entry = self.get(key).await?;
        entry.map(|entry| entry.json()).transpose()
    }

    /// Writes a value as JSON, which every language can read.
    ///
    /// # Errors
    /// [`Error::Json`](crate::Error::Json) if it cannot be written as JSON;
    /// [`Error::Conflict`](crate::Error::Conflict) as for [`set_with`](Self::set_with).
    pub async fn set_json<T: Serialize + ?Sized>(
        &self,
        key: impl AsRef<[u8]>,
        value: &T,
        options: SetOptions,
    ) -> Result<Seq> {
        let value = serde_json::to_vec(value)?;
        self.set_with(key, value, options).await
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

    /// The slot of the worker that this process is, from 0; `None` where no master started it, or
    /// where this handle does not use the worker's channel.
    pub fn worker(&self) -> Option<u32> {
        self.links.worker()
    }

    /// What the store's backend can do beyond `get`, `set`, `touch` and `destroy`.
    pub fn capabilities(&self) -> Capabilities {
        self.links.capabilities()
    }

    pub(super) fn links(&self) -> &Arc<AsyncLinks> {
        &self.links
    }

    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    async fn call<R>(&self, request: &Request<'_>, read: fn(Reply<'_>) -> Result<R>) -> Result<R> {
        self.links.call(request, self.timeout, read).await
    }
}

/// A walk over all entries; see [`AsyncStore::all`]. After an error it is over.
#[derive(Debug)]
pub struct AsyncAll<'s> {
    store: &'s AsyncStore,
    page: std::vec::IntoIter<Item>,
    /// Where the next page starts; `None` after the last.
    cursor: Option<u64>,
}

impl AsyncAll<'_> {
    /// The next entry with its key; `None` after the last. It may be dropped before it is ready,
    /// and the walk goes on where it was.
    pub async fn next(&mut self) -> Option<Result<Item>> {
        loop {
            if let Some(item) = self.page.next() {
                return Some(Ok(item));
            }
            let cursor = self.cursor?;
            let request = Request::All { cursor, limit: 0 };
            match self.store.call(&request, replies::page).await {
                Ok((next, items)) => {
                    self.cursor = (next != 0).then_some(next);
                    self.page = items.into_iter();
                }
                Err(error) => {
                    self.cursor = None;
                    return Some(Err(error));
                }
            }
        }
    }
}
