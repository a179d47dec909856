//! The files backend: the contract, and what only it promises.

use std::fs;

use tempfile::TempDir;

use super::*;
use crate::testing::conformance::{Begin, Suite};

const NOW: Millis = Millis::from_unix(1_700_000_000_000);

fn config(folder: &TempDir) -> config::Files {
    let mut config = config::Files::new(folder.path().join("sessions"));
    config.sync = Syncing::Never;
    config
}

#[test]
fn it_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(&folder);
    Suite::lasting(|begin| {
        if begin == Begin::Empty {
            let _ = fs::remove_dir_all(&config.folder);
        }
        FilesBackend::open(&config).unwrap()
    })
    .check();
}
