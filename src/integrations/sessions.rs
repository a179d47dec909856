//! What a session is, whichever framework it belongs to: a JSON object under its id.
//!
//! Neither framework has a place for the version that a session had when it was loaded. Where
//! conflicts are refused, it travels among the session's own data, under [`VERSION`]; it is never
//! stored. A request may save several times (tower-sessions saves once more at the end of a
//! request whose handler has saved already), and nothing in a record that was saved can be changed:
//! so what this process has saved last is remembered for a while, in [`Recent`].

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{DefaultHasher, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cluster::{AsyncStore, SetOptions};
use crate::contract::Seq;
use crate::error::{Error, Result};

/// The one key of a session's data that is not the application's.
const VERSION: &str = "memstore.version";
/// How often a new session may find its id taken. Once is a wonder; this is no chance.
const ATTEMPTS: usize = 8;
/// How many saves are remembered; more than requests are under way at once. Whoever is forgotten
/// while it still goes on meets a conflict with itself, and loses nothing.
const REMEMBERED: usize = 4 << 10;

/// What becomes of a session that another request has saved since this one loaded it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Conflicts {
    /// The last to save wins, as with every other store of sessions.
    #[default]
    Overwrite,
    /// The save fails and what the other has saved stays. A handler that saves by itself can load
    /// the session again and repeat what it did; a save at the end of a request answers it with
    /// status 500. Where nothing was changed since the session was loaded or saved, there is
    /// nothing to refuse, and only its deadline moves.
    ///
    /// The session's data then has a key `memstore.version`, which an application must leave
    /// alone. It goes with everything else where a session is cleared, and what is saved then is
    /// saved whatever others did.
    Refuse,
}

/// A value among a session's data, as far as a text can be kept in it.
pub(super) trait Value: Serialize + DeserializeOwned {
    /// A value that is this text, which needs no escapes.
    fn of(text: &str) -> Self;
    /// The text of such a value.
    fn text(&self) -> Option<&str>;
}

/// A session's data.
pub(super) type Data<V> = HashMap<String, V>;

/// What became of a save.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Saved {
    /// It is stored.
    Stored,
    /// The session does not exist any more, and was not brought back.
    Gone,
}

/// Sessions in a store.
#[derive(Debug, Clone)]
pub(super) struct Sessions {
    store: AsyncStore,
    prefix: Arc<str>,
    conflicts: Conflicts,
    recent: Arc<Mutex<Recent>>,
}

impl Sessions {
    pub(super) fn new(store: AsyncStore) -> Self {
        Self {
            store,
            prefix: "sess:".into(),
            conflicts: Conflicts::default(),
            recent: Arc::default(),
        }
    }

    pub(super) fn with_prefix(mut self, prefix: &str) -> Self {
        self.prefix = prefix.into();
        self
    }

    pub(super) fn with_conflicts(mut self, conflicts: Conflicts) -> Self {
        self.conflicts = conflicts;
        self
    }

    /// Stores a new session under the first of the ids that is free, and gives that.
    pub(super) async fn create<V: Value>(
        &self,
        mut ids: impl FnMut() -> String,
        data: &mut Data<V>,
        ttl: Duration,
    ) -> Result<String> {
        let value = encode(data)?;
        let options = SetOptions::new().ttl(ttl).if_absent();
        let mut taken = None;
        for _ in 0..ATTEMPTS {
            let id = ids();
            match self.put(&self.key(&id), &value, options).await {
                Ok(seq) => {
                    self.note(data, Version::of(&value, seq));
                    return Ok(id);
                }
                Err(error @ Error::Conflict { .. }) => taken = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(taken.expect("there was an attempt"))
    }

    /// The data of a live session, and how long it will stay.
    pub(super) async fn load<V: Value>(
        &self,
        id: &str,
    ) -> Result<Option<(Data<V>, Option<Duration>)>> {
        let Some(entry) = self.store.get(self.key(id)).await? else {
            return Ok(None);
        };
        let mut data: Data<V> = entry.json()?;
        self.note(&mut data, Version::of(&entry.value, entry.seq));
        Ok(Some((data, entry.ttl)))
    }

    /// Stores a session that was loaded or created before.
    pub(super) async fn save<V: Value>(
        &self,
        id: &str,
        data: &Data<V>,
        ttl: Duration,
    ) -> Result<Saved> {
        let (key, value) = (self.key(id), encode(data)?);
        let options = SetOptions::new().ttl(ttl);
        let known = match self.conflicts {
            Conflicts::Overwrite => None,
            Conflicts::Refuse => data.get(VERSION).and_then(Known::read),
        };
        let stored = match known {
            None => self.put(&key, &value, options.if_present()).await,
            Some(known) => {
                let based_on = self.lock_recent().last(&known);
                if Version::of(&value, based_on.seq) == based_on {
                    return self.prolong(id, ttl).await;
                }
                let stored = self.replace(&key, &value, options, based_on.seq).await;
                if let Ok(seq) = stored {
                    let saved = Version::of(&value, seq);
                    self.lock_recent().remember(known.writer, saved);
                }
                stored
            }
        };
        match stored {
            Ok(_) => Ok(Saved::Stored),
            Err(Error::Conflict { found: None }) => Ok(Saved::Gone),
            Err(error) => Err(error),
        }
    }

    /// Moves the deadline of a session, if it exists.
    pub(super) async fn prolong(&self, id: &str, ttl: Duration) -> Result<Saved> {
        let is_there = self.store.touch(self.key(id), Some(ttl)).await?;
        Ok(if is_there { Saved::Stored } else { Saved::Gone })
    }

    /// Removes a session, if it exists.
    pub(super) async fn delete(&self, id: &str) -> Result<()> {
        let key = self.key(id);
        match self.store.destroy(&key).await {
            Err(Error::OutcomeUnknown { .. }) => self.store.destroy(&key).await?,
            result => result?,
        };
        Ok(())
    }

    /// Writes under a condition that makes it harmless to do so twice.
    async fn put(&self, key: &str, value: &[u8], options: SetOptions) -> Result<Seq> {
        match self.store.set_with(key, value, options).await {
            Err(Error::OutcomeUnknown { .. }) => self.store.set_with(key, value, options).await,
            result => result,
        }
    }

    /// Writes in place of this version.
    async fn replace(&self, key: &str, value: &[u8], options: SetOptions, seq: Seq) -> Result<Seq> {
        let options = options.if_seq(seq);
        let first = self.store.set_with(key, value, options).await;
        let Err(Error::OutcomeUnknown { .. }) = first else {
            return first;
        };
        let second = self.store.set_with(key, value, options).await;
        let Err(Error::Conflict { found: Some(_) }) = second else {
            return second;
        };
        // Perhaps with what the first has written.
        match self.store.get(key).await? {
            Some(entry) if entry.value == value => Ok(entry.seq),
            _ => second,
        }
    }

    fn key(&self, id: &str) -> String {
        format!("{}{id}", self.prefix)
    }

    /// Notes in a session's data what the store has, where that is needed.
    fn note<V: Value>(&self, data: &mut Data<V>, version: Version) {
        data.remove(VERSION);
        if self.conflicts == Conflicts::Refuse {
            let writer = fastrand::u64(..);
            let known = Known { writer, version };
            data.insert(VERSION.to_owned(), V::of(&known.write()));
        }
    }

    fn lock_recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What of a session is in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Version {
    seq: Seq,
    /// Of its value.
    hash: u64,
}

impl Version {
    fn of(value: &[u8], seq: Seq) -> Self {
        let mut hasher = DefaultHasher::new();
        hasher.write(value);
        let hash = hasher.finish();
        Self { seq, hash }
    }
}

/// What travels with a session's data.
#[derive(Debug, PartialEq, Eq)]
struct Known {
    /// Whoever has loaded or created the session: one request, or one part of it.
    writer: u64,
    /// What it was then.
    version: Version,
}

impl Known {
    fn write(&self) -> String {
        let Version { seq, hash } = self.version;
        format!("{:x}.{seq}.{hash:x}", self.writer)
    }

    fn read(value: &impl Value) -> Option<Self> {
        let mut parts = value.text()?.split('.');
        let known = Self {
            writer: u64::from_str_radix(parts.next()?, 16).ok()?,
            version: Version {
                seq: Seq(parts.next()?.parse().ok()?),
                hash: u64::from_str_radix(parts.next()?, 16).ok()?,
            },
        };
        Some(known)
    }
}

/// What each writer has saved last.
#[derive(Debug, Default)]
struct Recent {
    saved: HashMap<u64, Version>,
    /// In the order in which they came.
    writers: VecDeque<u64>,
}

impl Recent {
    /// What a writer believes to be in the store.
    fn last(&self, known: &Known) -> Version {
        let saved = self.saved.get(&known.writer);
        saved.copied().unwrap_or(known.version)
    }

    fn remember(&mut self, writer: u64, version: Version) {
        if self.saved.insert(writer, version).is_some() {
            return;
        }
        self.writers.push_back(writer);
        if self.writers.len() > REMEMBERED {
            let oldest = self.writers.pop_front();
            oldest.and_then(|writer| self.saved.remove(&writer));
        }
    }
}

/// The same data give the same bytes.
fn encode<V: Value>(data: &Data<V>) -> Result<Vec<u8>> {
    let own = data.iter().filter(|(key, _)| *key != VERSION);
    Ok(serde_json::to_vec(&own.collect::<BTreeMap<_, _>>())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_travels_is_read_as_it_was_written() {
        let known = Known {
            writer: u64::MAX,
            version: Version::of(b"value", Seq(7)),
        };
        let text = serde_json::Value::from(known.write());
        assert_eq!(Known::read(&text), Some(known));
        for other in ["", "1.2", "x.1.1", "1.2.3 "] {
            assert_eq!(Known::read(&serde_json::Value::from(other)), None);
        }
    }

    #[test]
    fn only_so_much_is_remembered() {
        let mut recent = Recent::default();
        let version = |seq| Version::of(b"", Seq(seq));
        let last = |recent: &Recent, writer| {
            let version = version(0);
            recent.last(&Known { writer, version }).seq.0
        };
        for writer in 0..=REMEMBERED as u64 {
            recent.remember(writer, version(1));
            recent.remember(writer, version(writer + 2));
        }
        assert_eq!(last(&recent, 0), 0);
        assert_eq!(last(&recent, 1), 3);
        assert_eq!(
            (recent.saved.len(), recent.writers.len()),
            (REMEMBERED, REMEMBERED)
        );
    }
}
