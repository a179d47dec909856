//! Stores on disks, with the real program and the real modules of Node whose formats they share.
//!
//! `node` starts those modules; `knex`, `level` and `session_files` are what they and the backends
//! make of each other's entries; `sqlite`, `disks` and `descriptors` what stores on disks go through.

#![cfg(all(feature = "cli", target_os = "linux"))]
#![allow(clippy::unwrap_used, reason = "helpers may panic as the tests do")]

#[path = "../common/mod.rs"]
mod common;
mod descriptors;
mod disks;
#[path = "../lasting/history.rs"]
mod history;
mod knex;
mod level;
mod node;
mod session_files;
mod sqlite;

use std::path::{Path, PathBuf};
use std::time::Duration;

use common::{Running, eventually, memstore};
use memstore_cluster::{Options, Store};
use tempfile::TempDir;

/// Long for an answer, and short for who waits for one that never comes.
const TIMEOUT: Duration = Duration::from_secs(3);

/// A folder with a socket, and room for a store.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        Self {
            folder: common::folder(),
        }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn sock(&self) -> PathBuf {
        self.at("sock")
    }

    /// `serve` over the store with this URL.
    fn serve(&self, url: &str) -> Running {
        let mut serve = memstore(["serve", "--store", url, "--sock"]);
        let master = Running::start(serve.arg(self.sock()));
        master.stderr().until_contains("serving");
        master
    }

    fn connect(&self) -> Store {
        client(&self.sock())
    }
}

/// A connection, once the master lets in.
fn client(sock: &Path) -> Store {
    let options = || Options {
        sock: Some(sock.to_owned()),
        connect: true,
        timeout: TIMEOUT,
        ..Options::default()
    };
    eventually("the master answers", || options().create().ok())
}
