//! The same store without a master: one process, no socket, the same API.
//!
//! ```text
//! cargo run --example test_standalone
//! ```

#![allow(
    clippy::print_stdout,
    clippy::disallowed_names,
    reason = "an example shows"
)]

use memstore_cluster::{Error, Options, Standalone};

fn main() -> Result<(), Error> {
    let store = Options {
        standalone: Standalone::Always,
        ..Options::default()
    }
    .create()?;
    store.set("foo", "bar")?;
    let foo = store.get("foo")?.map(|entry| entry.value);
    let baz = store.get("baz")?;
    println!(
        "{:?}: foo={:?} baz={baz:?}",
        store.role(),
        foo.as_deref().map(String::from_utf8_lossy)
    );
    assert_eq!(foo.as_deref(), Some(b"bar".as_slice()));
    assert_eq!(baz, None);
    Ok(())
}
