//! A store in a file, with the real program: what survives, what is refused, what runs short.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, reason = "helpers may panic as the tests do")]

#[path = "../common/mod.rs"]
mod common;
mod history;
mod kill;
mod refuse;
mod short;

use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Running, memstore};
use tempfile::TempDir;

/// A folder with room for a store and a socket.
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

    fn store(&self) -> PathBuf {
        self.at("store")
    }

    /// `serve` over the store here, and `run` with a worker that does nothing.
    fn masters(&self, flags: &str) -> [Command; 2] {
        let idle = ["--workers", "1", "--", "sleep", "1000"];
        let with = |verb, rest: &[&str]| {
            let mut command = memstore([verb, "--sock"]);
            command
                .arg(self.sock())
                .arg("--store")
                .arg(url(&self.store()));
            command.args(flags.split_whitespace()).args(rest);
            command
        };
        [with("serve", &[]), with("run", &idle)]
    }

    /// A master by `serve` that is ready.
    fn serve(&self, flags: &str) -> Running {
        let [mut serve, _] = self.masters(flags);
        let master = Running::start(&mut serve);
        master.stderr().until_contains("serving");
        master
    }
}

/// `memory:PATH`.
fn url(path: &Path) -> String {
    format!("memory:{}", path.display())
}
