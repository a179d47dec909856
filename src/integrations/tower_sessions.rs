//! The session store for tower-sessions, in both versions that are about: each session a record.
//!
//! Their core crates differ in nothing that a store sees, so one text implements both traits.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use time::OffsetDateTime;

use super::sessions::{self, Conflicts, Saved, Sessions};
use crate::cluster::AsyncStore;
use crate::error::Error;

/// Sessions of tower-sessions 0.15 or 0.14 in a memstore-cluster store. Clones are the same store.
///
/// ```no_run
/// use memstore_cluster::Options;
/// use memstore_cluster::integrations::TowerSessionStore;
/// # use tower_sessions_0_15 as tower_sessions;
/// use tower_sessions::{Expiry, SessionManagerLayer};
///
/// # async fn example() -> Result<(), memstore_cluster::Error> {
/// let store = TowerSessionStore::new(Options::default().create_async().await?);
/// let layer = SessionManagerLayer::new(store)
///     .with_expiry(Expiry::OnInactivity(time::Duration::hours(1)));
/// # Ok(())
/// # }
/// ```
///
/// Nothing needs to delete expired sessions: the store does.
#[derive(Debug, Clone)]
pub struct TowerSessionStore(Sessions);

impl TowerSessionStore {
    /// Sessions under `sess:`, of which the last to save wins.
    pub fn new(store: AsyncStore) -> Self {
        Self(Sessions::new(store))
    }

    /// Other sessions: those whose keys start with this.
    #[must_use]
    pub fn with_prefix(self, prefix: &str) -> Self {
        Self(self.0.with_prefix(prefix))
    }

    /// What becomes of a session that another request has saved meanwhile. With
    /// [`Conflicts::Refuse`] a handler loses no update:
    ///
    /// ```
    /// # use tower_sessions_0_15 as tower_sessions;
    /// use tower_sessions::Session;
    /// use tower_sessions::session::Error;
    ///
    /// async fn count(session: &Session) -> Result<u64, Error> {
    ///     loop {
    ///         let visits = session.get::<u64>("visits").await?.unwrap_or(0) + 1;
    ///         session.insert("visits", visits).await?;
    ///         if session.save().await.is_ok() {
    ///             return Ok(visits);
    ///         }
    ///         session.load().await?; // It fails too, where the store is out of reach.
    ///     }
    /// }
    /// ```
    ///
    /// Not for a `CachingSessionStore`, whose cache does not know what others have saved.
    #[must_use]
    pub fn with_conflicts(self, conflicts: Conflicts) -> Self {
        Self(self.0.with_conflicts(conflicts))
    }
}

impl sessions::Value for Value {
    fn of(text: &str) -> Self {
        text.into()
    }

    fn text(&self) -> Option<&str> {
        self.as_str()
    }
}

fn ttl(expiry: OffsetDateTime) -> Duration {
    // What lies in the past goes at once.
    (expiry - OffsetDateTime::now_utc())
        .try_into()
        .unwrap_or_default()
}

fn expiry(ttl: Option<Duration>) -> OffsetDateTime {
    let ttl = ttl.and_then(|ttl| ttl.try_into().ok());
    OffsetDateTime::now_utc().saturating_add(ttl.unwrap_or(time::Duration::MAX))
}

macro_rules! implement {
    ($core:ident) => {
        #[async_trait]
        impl $core::SessionStore for TowerSessionStore {
            async fn create(
                &self,
                record: &mut $core::session::Record,
            ) -> $core::session_store::Result<()> {
                let ttl = ttl(record.expiry_date);
                let (id, data) = (&mut record.id, &mut record.data);
                let mut is_taken = false;
                let ids = || {
                    if is_taken {
                        *id = $core::session::Id::default();
                    }
                    is_taken = true;
                    id.to_string()
                };
                let created = self.0.create(ids, data, ttl).await;
                created.map(|_| ()).map_err(|error| match error {
                    Error::Json(error) => $core::session_store::Error::Encode(error.to_string()),
                    error => $core::session_store::Error::Backend(error.to_string()),
                })
            }

            async fn save(
                &self,
                record: &$core::session::Record,
            ) -> $core::session_store::Result<()> {
                let (id, ttl) = (record.id.to_string(), ttl(record.expiry_date));
                match self.0.save(&id, &record.data, ttl).await {
                    Ok(Saved::Stored) => Ok(()),
                    Ok(Saved::Gone) => {
                        tracing::debug!("a session ended during a request and was not saved");
                        Ok(())
                    }
                    Err(Error::Json(error)) => {
                        Err($core::session_store::Error::Encode(error.to_string()))
                    }
                    Err(error) => Err($core::session_store::Error::Backend(error.to_string())),
                }
            }

            async fn load(
                &self,
                id: &$core::session::Id,
            ) -> $core::session_store::Result<Option<$core::session::Record>> {
                match self.0.load(&id.to_string()).await {
                    Ok(found) => Ok(found.map(|(data, ttl)| $core::session::Record {
                        id: *id,
                        data,
                        expiry_date: expiry(ttl),
                    })),
                    Err(error @ (Error::Json(_) | Error::WrongKind)) => {
                        Err($core::session_store::Error::Decode(error.to_string()))
                    }
                    Err(error) => Err($core::session_store::Error::Backend(error.to_string())),
                }
            }

            async fn delete(&self, id: &$core::session::Id) -> $core::session_store::Result<()> {
                let deleted = self.0.delete(&id.to_string()).await;
                deleted.map_err(|error| $core::session_store::Error::Backend(error.to_string()))
            }
        }
    };
}

implement!(tower_sessions_core_0_14);
implement!(tower_sessions_core_0_15);
