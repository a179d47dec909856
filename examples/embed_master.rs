//! A program that is the master for others: it holds the store and serves it at a socket, and
//! uses it directly itself.
//!
//! ```text
//! cargo run --example embed_master /tmp/embedded.sock &
//! memstore-cluster --sock /tmp/embedded.sock get greeting
//! ```
//!
//! It ends when its standard input does.

#![allow(
    clippy::print_stdout,
    clippy::disallowed_names,
    reason = "an example shows"
)]

use std::io::{self, Read};
use std::path::PathBuf;
use std::time::Duration;

use memstore_cluster::{Error, Options, SetOptions};

fn main() -> Result<(), Error> {
    let store = Options {
        sock: std::env::args_os().nth(1).map(PathBuf::from),
        serve: true,
        ..Options::default()
    }
    .create()?;
    let an_hour = SetOptions::new().ttl(Duration::from_secs(3600));
    store.set_with(
        "greeting",
        "hello from the program that embeds the master",
        an_hour,
    )?;
    println!("serving {} entry", store.length()?);
    io::stdin()
        .read_to_end(&mut Vec::new())
        .map_err(Error::io("read the standard input"))?;
    println!("serving {} entries at the end", store.length()?);
    Ok(())
}
