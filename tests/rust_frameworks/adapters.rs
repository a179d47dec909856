//! The adapters behind one face, so that one suite is for all of them.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::path::Path;
use std::time::Duration;

use actix_session::storage::{LoadError, SessionStore as _};
use memstore_cluster::integrations::{ActixSessionStore, Conflicts, TowerSessionStore};
use memstore_cluster::{AsyncStore, Options};
use time::OffsetDateTime;
use tokio::runtime::Runtime;

use super::common::redis::Master;

/// A session as its framework has it: values are JSON texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) id: String,
    pub(crate) data: BTreeMap<String, String>,
}

impl Session {
    pub(crate) fn of<const N: usize>(data: [(&str, &str); N]) -> Self {
        let data = data.map(|(key, json)| (key.to_owned(), json.to_owned()));
        Self {
            id: String::new(),
            data: data.into(),
        }
    }

    pub(crate) fn put(&mut self, key: &str, json: &str) {
        self.data.insert(key.to_owned(), json.to_owned());
    }
}

/// Why a session could not be had.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// What is stored is no session.
    Undecodable,
    /// Anything else.
    Other(String),
}

pub(crate) type Result<T> = std::result::Result<T, Trouble>;

/// A framework's store of sessions. What the framework does not have, such as choosing the id of a
/// new session, panics.
pub(crate) trait Adapter: Clone + Debug + Send + Sync + 'static {
    /// Whether the framework chooses the id of a new session, and not the store.
    const CHOOSES_IDS: bool;

    fn over(store: AsyncStore, conflicts: Conflicts) -> Self;
    /// The same with other keys.
    fn with_prefix(self, prefix: &str) -> Self;
    fn new_id() -> String;
    /// Gives the session its id, where that is empty.
    fn create(
        &self,
        session: &mut Session,
        ttl: Duration,
    ) -> impl Future<Output = Result<()>> + Send;
    fn load(&self, id: &str) -> impl Future<Output = Result<Option<Session>>> + Send;
    fn save(&self, session: &Session, ttl: Duration) -> impl Future<Output = Result<()>> + Send;
    fn delete(&self, id: &str) -> impl Future<Output = Result<()>> + Send;
}

/// A real master, and as many workers as a test likes, each with a connection of its own.
pub(crate) struct Scene {
    pub(crate) master: Master,
    pub(crate) runtime: Runtime,
}

impl Scene {
    pub(crate) fn new() -> Self {
        Self {
            master: Master::start(&[]),
            runtime: Runtime::new().unwrap(),
        }
    }

    pub(crate) fn connect(&self) -> AsyncStore {
        self.connect_to(&self.master.sock())
    }

    pub(crate) fn connect_to(&self, sock: &Path) -> AsyncStore {
        let options = Options {
            sock: Some(sock.to_owned()),
            connect: true,
            ..Options::default()
        };
        self.runtime.block_on(options.create_async()).unwrap()
    }

    pub(crate) fn workers<A: Adapter, const N: usize>(&self, conflicts: Conflicts) -> [A; N] {
        [(); N].map(|()| A::over(self.connect(), conflicts))
    }
}

macro_rules! tower {
    ($name:ident, $tower:ident) => {
        #[derive(Debug, Clone)]
        pub(crate) struct $name(TowerSessionStore);

        impl $name {
            fn record(session: &Session, ttl: Duration) -> $tower::session::Record {
                let json = |text: &String| serde_json::from_str(text).unwrap();
                let data = session.data.iter();
                $tower::session::Record {
                    id: session.id.parse().unwrap(),
                    data: data.map(|(key, text)| (key.clone(), json(text))).collect(),
                    expiry_date: OffsetDateTime::now_utc() + ttl,
                }
            }

            fn session(record: $tower::session::Record) -> Session {
                let data = record.data.into_iter();
                Session {
                    id: record.id.to_string(),
                    data: data.map(|(key, json)| (key, json.to_string())).collect(),
                }
            }

            fn trouble(error: $tower::session_store::Error) -> Trouble {
                match error {
                    $tower::session_store::Error::Decode(_) => Trouble::Undecodable,
                    error => Trouble::Other(error.to_string()),
                }
            }
        }

        impl Adapter for $name {
            const CHOOSES_IDS: bool = true;

            fn over(store: AsyncStore, conflicts: Conflicts) -> Self {
                Self(TowerSessionStore::new(store).with_conflicts(conflicts))
            }

            fn with_prefix(self, prefix: &str) -> Self {
                Self(self.0.with_prefix(prefix))
            }

            fn new_id() -> String {
                $tower::session::Id::default().to_string()
            }

            async fn create(&self, session: &mut Session, ttl: Duration) -> Result<()> {
                if session.id.is_empty() {
                    session.id = Self::new_id();
                }
                let mut record = Self::record(session, ttl);
                let created = $tower::SessionStore::create(&self.0, &mut record).await;
                *session = Self::session(record);
                created.map_err(Self::trouble)
            }

            async fn load(&self, id: &str) -> Result<Option<Session>> {
                let id = id.parse().unwrap();
                let loaded = $tower::SessionStore::load(&self.0, &id).await;
                let loaded = loaded.map_err(Self::trouble)?;
                if let Some(record) = &loaded {
                    assert!(record.expiry_date > OffsetDateTime::now_utc());
                }
                Ok(loaded.map(Self::session))
            }

            async fn save(&self, session: &Session, ttl: Duration) -> Result<()> {
                let record = Self::record(session, ttl);
                let saved = $tower::SessionStore::save(&self.0, &record).await;
                saved.map_err(Self::trouble)
            }

            async fn delete(&self, id: &str) -> Result<()> {
                let id = id.parse().unwrap();
                let deleted = $tower::SessionStore::delete(&self.0, &id).await;
                deleted.map_err(Self::trouble)
            }
        }
    };
}

tower!(Tower14, tower_sessions_0_14);
tower!(Tower15, tower_sessions_0_15);

#[derive(Debug, Clone)]
pub(crate) struct Actix(ActixSessionStore);

impl Actix {
    fn state(session: &Session) -> HashMap<String, String> {
        session.data.clone().into_iter().collect()
    }
}

fn other(error: impl Into<Box<dyn std::error::Error>>) -> Trouble {
    let mut error: &dyn std::error::Error = &*error.into();
    while let Some(source) = error.source() {
        error = source;
    }
    Trouble::Other(error.to_string())
}

impl Adapter for Actix {
    const CHOOSES_IDS: bool = false;

    fn over(store: AsyncStore, conflicts: Conflicts) -> Self {
        Self(ActixSessionStore::new(store).with_conflicts(conflicts))
    }

    fn with_prefix(self, prefix: &str) -> Self {
        Self(self.0.with_prefix(prefix))
    }

    fn new_id() -> String {
        actix_session::storage::generate_session_key().into()
    }

    async fn create(&self, session: &mut Session, ttl: Duration) -> Result<()> {
        assert!(session.id.is_empty(), "actix-session chooses no ids");
        let ttl = ttl.try_into().unwrap();
        let created = self.0.save(Self::state(session), &ttl).await;
        session.id = created.map_err(other)?.into();
        Ok(())
    }

    async fn load(&self, id: &str) -> Result<Option<Session>> {
        let key = id.to_owned().try_into().unwrap();
        match self.0.load(&key).await {
            Ok(state) => Ok(state.map(|state| Session {
                id: id.to_owned(),
                data: state.into_iter().collect(),
            })),
            Err(LoadError::Deserialization(_)) => Err(Trouble::Undecodable),
            Err(error) => Err(other(error)),
        }
    }

    async fn save(&self, session: &Session, ttl: Duration) -> Result<()> {
        let key = session.id.clone().try_into().unwrap();
        let ttl = ttl.try_into().unwrap();
        let updated = self.0.update(key, Self::state(session), &ttl).await;
        let key = String::from(updated.map_err(other)?);
        assert_eq!(key, session.id, "no session gets another key by an update");
        Ok(())
    }

    async fn delete(&self, id: &str) -> Result<()> {
        let key = id.to_owned().try_into().unwrap();
        let deleted = self.0.delete(&key).await;
        deleted.map_err(|error| Trouble::Other(error.to_string()))
    }
}
