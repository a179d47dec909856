//! The session store for actix-session: each session a map from names to JSON texts.

use std::collections::HashMap;
use std::time::Duration;

use actix_session::storage::{
    LoadError, SaveError, SessionKey, SessionStore, UpdateError, generate_session_key,
};

use super::sessions::{self, Conflicts, Saved, Sessions};
use crate::cluster::AsyncStore;
use crate::error::Error;

/// Sessions of actix-session 0.11 in a memstore-cluster store. Clones are the same store.
///
/// ```no_run
/// use actix_session::SessionMiddleware;
/// use actix_web::cookie::Key;
/// use actix_web::{App, HttpServer};
/// use memstore_cluster::Options;
/// use memstore_cluster::integrations::ActixSessionStore;
///
/// #[actix_web::main]
/// async fn main() -> Result<(), Box<dyn std::error::Error>> {
///     let store = ActixSessionStore::new(Options::default().create_async().await?);
///     let key = Key::from(&std::fs::read("cookie.key")?); // one for all workers
///     let app = move || App::new().wrap(SessionMiddleware::new(store.clone(), key.clone()));
///     Ok(HttpServer::new(app).bind("127.0.0.1:8080")?.run().await?)
/// }
/// ```
///
/// A session that ended while a request was under way, by a logout or by its deadline, is not
/// brought back by what that request has changed: the change is dropped, and the next request
/// begins a new session. (The store for Redis that comes with actix-session writes such a session
/// anew under another key.)
#[derive(Debug, Clone)]
pub struct ActixSessionStore(Sessions);

impl ActixSessionStore {
    /// Sessions under `sess:`, of which the last to save wins.
    pub fn new(store: AsyncStore) -> Self {
        Self(Sessions::new(store))
    }

    /// Other sessions: those whose keys start with this.
    #[must_use]
    pub fn with_prefix(self, prefix: &str) -> Self {
        Self(self.0.with_prefix(prefix))
    }

    /// What becomes of a session that another request has saved meanwhile. actix-session saves at
    /// the end of a request only, so with [`Conflicts::Refuse`] the slower of two that change one
    /// session at once is answered with status 500 and may be repeated.
    #[must_use]
    pub fn with_conflicts(self, conflicts: Conflicts) -> Self {
        Self(self.0.with_conflicts(conflicts))
    }
}

/// Values are JSON texts of whatever the application has put in.
impl sessions::Value for String {
    fn of(text: &str) -> Self {
        format!("\"{text}\"")
    }

    fn text(&self) -> Option<&str> {
        self.strip_prefix('"')?.strip_suffix('"')
    }
}

fn ttl(ttl: time::Duration) -> Duration {
    // What lies in the past goes at once.
    ttl.try_into().unwrap_or_default()
}

impl SessionStore for ActixSessionStore {
    async fn load(&self, key: &SessionKey) -> Result<Option<HashMap<String, String>>, LoadError> {
        match self.0.load(key.as_ref()).await {
            Ok(found) => Ok(found.map(|(state, _)| state)),
            Err(error @ (Error::Json(_) | Error::WrongKind)) => {
                Err(LoadError::Deserialization(error.into()))
            }
            Err(error) => Err(LoadError::Other(error.into())),
        }
    }

    async fn save(
        &self,
        mut state: HashMap<String, String>,
        lifetime: &time::Duration,
    ) -> Result<SessionKey, SaveError> {
        let ids = || generate_session_key().into();
        let created = self.0.create(ids, &mut state, ttl(*lifetime)).await;
        let key = created.map_err(|error| match error {
            Error::Json(error) => SaveError::Serialization(error.into()),
            error => SaveError::Other(error.into()),
        })?;
        Ok(key.try_into().expect("it was made of such a key"))
    }

    async fn update(
        &self,
        key: SessionKey,
        state: HashMap<String, String>,
        lifetime: &time::Duration,
    ) -> Result<SessionKey, UpdateError> {
        match self.0.save(key.as_ref(), &state, ttl(*lifetime)).await {
            Ok(Saved::Stored) => Ok(key),
            Ok(Saved::Gone) => {
                tracing::debug!("a session ended during a request and was not saved");
                Ok(key)
            }
            Err(Error::Json(error)) => Err(UpdateError::Serialization(error.into())),
            Err(error) => Err(UpdateError::Other(error.into())),
        }
    }

    async fn update_ttl(
        &self,
        key: &SessionKey,
        lifetime: &time::Duration,
    ) -> Result<(), anyhow::Error> {
        self.0.prolong(key.as_ref(), ttl(*lifetime)).await?;
        Ok(())
    }

    async fn delete(&self, key: &SessionKey) -> Result<(), anyhow::Error> {
        Ok(self.0.delete(key.as_ref()).await?)
    }
}
