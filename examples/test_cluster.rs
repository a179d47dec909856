//! Writes in the master, reads in the master and in every worker.
//!
//! ```text
//! cargo run --example test_cluster
//! ```
//!
//! The program starts itself again as its workers, as a Node program does with `cluster.fork()`.

#![allow(
    clippy::print_stdout,
    clippy::disallowed_names,
    reason = "an example shows"
)]

use std::process::ExitCode;

use memstore_cluster::{Cluster, Error, Restart, Store};

fn main() -> Result<ExitCode, Error> {
    Cluster::new()
        .workers(4)
        .restart(Restart::Never)
        .master(|store| {
            store.set("foo", "bar")?;
            check(store)
        })
        .run(|worker| check(worker.store()))
}

fn check(store: &Store) -> Result<(), Error> {
    let foo = store.get("foo")?.map(|entry| entry.value);
    let baz = store.get("baz")?;
    let who = match store.worker() {
        Some(slot) => format!("worker {slot}"),
        None => "master".to_owned(),
    };
    println!(
        "{who}: foo={:?} baz={baz:?}",
        foo.as_deref().map(String::from_utf8_lossy)
    );
    assert_eq!(foo.as_deref(), Some(b"bar".as_slice()));
    assert_eq!(baz, None);
    Ok(())
}
