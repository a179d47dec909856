//! Many operations with few round trips.

use std::time::Duration;

use super::entry::{DestroyOptions, Entry, SetOptions, expiry, milliseconds};
use crate::client::{Answer, Pipeline};
use crate::contract::Seq;

/// Operations to be sent to a store together; see [`Store::run`](super::Store::run).
///
/// They are done one by one, in order, and each may fail by itself; what others ask may come
/// between them.
///
/// ```
/// use memstore_cluster::{Batch, Options, Outcome, SetOptions, Standalone};
///
/// let store = Options { standalone: Standalone::Always, ..Options::default() }.create()?;
/// let mut batch = Batch::new();
/// batch.set("a", "1", SetOptions::new()).set("b", "2", SetOptions::new()).get("a").destroy("c");
/// let outcomes = store.run(&batch);
///
/// let Ok(Outcome::Entry(Some(a))) = &outcomes[2] else { panic!("it was just written") };
/// assert_eq!(a.value, b"1");
/// assert!(matches!(outcomes[3], Ok(Outcome::Found(false))));
/// # Ok::<(), memstore_cluster::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Batch<'a>(Pipeline<'a>);

/// What became of one operation of a [`Batch`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// Of a get: the live entry, if there is one.
    Entry(Option<Entry>),
    /// Of a set: the number of the write.
    Stored(Seq),
    /// Of a touch or a destroy: whether a live entry was there.
    Found(bool),
    /// Of a length: the number of live entries.
    Length(u64),
    /// Of a ping or a clear.
    Done,
}

impl<'a> Batch<'a> {
    /// No operations.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds: the live entry with this key.
    pub fn get(&mut self, key: &'a (impl AsRef<[u8]> + ?Sized)) -> &mut Self {
        self.0.get(key.as_ref());
        self
    }

    /// Adds: write an entry.
    pub fn set(
        &mut self,
        key: &'a (impl AsRef<[u8]> + ?Sized),
        value: &'a (impl AsRef<[u8]> + ?Sized),
        options: SetOptions,
    ) -> &mut Self {
        let SetOptions { expiry, condition } = options;
        self.0.set(key.as_ref(), value.as_ref(), expiry, condition);
        self
    }

    /// Adds: move the deadline of a live entry; `None` for ever.
    pub fn touch(
        &mut self,
        key: &'a (impl AsRef<[u8]> + ?Sized),
        ttl: Option<Duration>,
    ) -> &mut Self {
        self.0.touch(key.as_ref(), expiry(ttl));
        self
    }

    /// Adds: remove an entry.
    pub fn destroy(&mut self, key: &'a (impl AsRef<[u8]> + ?Sized)) -> &mut Self {
        self.0.destroy(key.as_ref());
        self
    }

    /// Adds: remove an entry.
    pub fn destroy_with(
        &mut self,
        key: &'a (impl AsRef<[u8]> + ?Sized),
        options: DestroyOptions,
    ) -> &mut Self {
        match options.tombstone {
            None => self.0.destroy(key.as_ref()),
            Some(lasting) => self.0.bury(key.as_ref(), milliseconds(lasting)),
        };
        self
    }

    /// Adds: the number of live entries.
    pub fn length(&mut self) -> &mut Self {
        self.0.length();
        self
    }

    /// Adds: remove everything.
    pub fn clear(&mut self) -> &mut Self {
        self.0.clear();
        self
    }

    pub(super) fn pipeline(&self) -> &Pipeline<'a> {
        &self.0
    }
}

impl From<Answer> for Outcome {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Entry(entry) => Self::Entry(entry.map(Entry::read)),
            Answer::Stored(seq) => Self::Stored(seq),
            Answer::Found(found) => Self::Found(found),
            Answer::Length(length) => Self::Length(length),
            // No batch asks for a page.
            Answer::Pong | Answer::Cleared | Answer::Page(_) => Self::Done,
        }
    }
}
