//! What is compared: kinds of stores, how lasting what they write is, and the sessions in them.
//! Pure.

use std::path::Path;

use super::common::wire::{Op, TTL_SECONDS};

/// A kind of store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Storage {
    Memory,
    Sqlite,
    LevelDb,
    Files,
    Redis,
}

impl Storage {
    pub(crate) const EVERY: [Self; 5] = [
        Self::Memory,
        Self::Sqlite,
        Self::LevelDb,
        Self::Files,
        Self::Redis,
    ];

    /// Its name in options and for `originals.cjs`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Sqlite => "sqlite",
            Self::LevelDb => "leveldb",
            Self::Files => "files",
            Self::Redis => "redis",
        }
    }
}

/// A kind of store with a setting that is the same for everybody.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Case {
    pub(crate) storage: Storage,
    /// Whether what is acknowledged is on the disk.
    pub(crate) is_durable: bool,
}

impl Case {
    pub(crate) const EVERY: [Self; 8] = [
        Self::new(Storage::Memory, false),
        Self::new(Storage::Sqlite, false),
        Self::new(Storage::Sqlite, true),
        Self::new(Storage::LevelDb, false),
        Self::new(Storage::LevelDb, true),
        Self::new(Storage::Files, false),
        Self::new(Storage::Files, true),
        Self::new(Storage::Redis, false),
    ];

    const fn new(storage: Storage, is_durable: bool) -> Self {
        Self {
            storage,
            is_durable,
        }
    }

    /// Its name in tables, with the setting in the words of the store.
    pub(crate) fn label(self) -> &'static str {
        match (self.storage, self.is_durable) {
            (Storage::Memory, _) => "memory",
            (Storage::Sqlite, false) => "SQLite, WAL, synchronous=NORMAL",
            (Storage::Sqlite, true) => "SQLite, WAL, synchronous=FULL",
            (Storage::LevelDb, false) => "LevelDB, sync: false",
            (Storage::LevelDb, true) => "LevelDB, sync: true",
            (Storage::Files, false) => "files, no fsync",
            (Storage::Files, true) => "files, fsync",
            (Storage::Redis, _) => "Redis, no persistence",
        }
    }

    /// The URL of our store. Of Redis the place is a socket and a database.
    pub(crate) fn url(self, place: &str) -> String {
        let synchronous = if self.is_durable { "full" } else { "normal" };
        let sync = if self.is_durable { "always" } else { "never" };
        match self.storage {
            Storage::Memory => "memory:".to_owned(),
            Storage::Sqlite => format!("sqlite:{place}?synchronous={synchronous}"),
            Storage::LevelDb => format!("leveldb:{place}?sync={sync}"),
            Storage::Files => format!("files:{place}?sync={sync}"),
            Storage::Redis => format!("redis+unix:{place}"),
        }
    }
}

/// A database of a Redis server, as [`Case::url`] and `originals.cjs` take it.
pub(crate) fn redis_place(sock: &Path, database: u8) -> String {
    format!("{}?db={database}", sock.display())
}

/// What is asked, and how.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Work {
    pub(crate) op: Op,
    /// Connections, each of which asks as soon as it is answered; where there are none, calls that
    /// are under way at once.
    pub(crate) calls: usize,
    /// Requests that a connection sends at once.
    pub(crate) depth: usize,
}

impl Work {
    pub(crate) fn label(self) -> String {
        let op = format!("{:?}", self.op).to_lowercase();
        match self.depth {
            1 => format!("{op}, {} at once", self.calls),
            depth => format!("{op}, {} × {depth}", self.calls),
        }
    }
}

/// What a session has besides its cookie.
pub(crate) fn body() -> serde_json::Value {
    serde_json::json!({
        "user": { "id": 104_729, "name": "Ann Other", "roles": ["editor", "author"] },
        "csrf": "kPq4m0aTt5S9xk2vQ7fJb8Hn",
        "cart": [{ "sku": "B-2041", "count": 2 }, { "sku": "K-0077", "count": 1 }],
        "returnTo": "/account/orders?page=3",
    })
}

/// Milliseconds that a session has to live.
pub(crate) const LIFETIME_MS: u64 = TTL_SECONDS * 1_000;

/// A session as express-session writes it.
pub(crate) fn session() -> Vec<u8> {
    let cookie = serde_json::json!({
        "originalMaxAge": LIFETIME_MS,
        // Our stores are told the deadline with each request.
        "expires": "2099-01-01T00:00:00.000Z",
        "httpOnly": true,
        "path": "/",
    });
    let mut session = body();
    session["cookie"] = cookie;
    session.to_string().into_bytes()
}
