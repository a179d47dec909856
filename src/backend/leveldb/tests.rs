//! The LevelDB backend: the contract, and what only it promises.

use tempfile::TempDir;

use super::*;
use crate::testing::conformance::{Begin, Suite};

const NOW: Millis = Millis::from_unix(1_700_000_000_000);

fn config(folder: &TempDir, namespace: Option<&str>) -> LevelDb {
    let mut config = LevelDb::new(folder.path().join("sessions"));
    config.namespace = namespace.map(str::to_owned);
    config.sync = Syncing::Never;
    config
}

fn check(namespace: Option<&str>, histories: u64) {
    let folder = tempfile::tempdir().unwrap();
    let config = config(&folder, namespace);
    Suite::lasting(|begin| {
        if begin == Begin::Empty {
            let _ = std::fs::remove_dir_all(&config.folder);
        }
        LevelDbBackend::open(&config).unwrap()
    })
    .histories(histories)
    .check();
}

#[test]
fn it_keeps_the_contract() {
    check(None, 50);
}

#[test]
fn it_keeps_the_contract_below_a_namespace() {
    check(Some("_session"), 10);
}
