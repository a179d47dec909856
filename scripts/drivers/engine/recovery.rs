//! How long it takes to open a store that is in a file already.
//!
//! The file is in memory (`/dev/shm`) where there is such a folder, so a disk is left out: every
//! page of the file is looked at once, every entry's checksum is computed, and the index is made
//! anew.

use std::io::Write;
use std::path::Path;
use std::time::Instant;

use memstore_cluster::backend::{Backend, MemoryBackend};
use memstore_cluster::config::Syncing;

use super::common::table::{count, float, markdown, three_digits};
use super::common::{Result, keys};
use super::store::{NOW, deadline, put};

pub(crate) fn table(sizes: &[u64], out: &mut dyn Write) -> Result<()> {
    writeln!(out, "## Opening a store that is in a file\n")?;
    let head = ["entries", "ms", "ms per million"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for entries in sizes {
        let ms = open(*entries)?;
        let per_million = ms * 1e6 / float(*entries);
        rows.push(vec![
            count(*entries),
            three_digits(ms),
            three_digits(per_million),
        ]);
    }
    markdown(out, &rows)?;
    writeln!(out)?;
    Ok(())
}

/// Milliseconds.
fn open(entries: u64) -> Result<f64> {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() {
        tempfile::tempdir_in(memory)?
    } else {
        tempfile::tempdir()?
    };
    let path = folder.path().join("store");
    let mut store = MemoryBackend::open(&path, Syncing::Never, NOW)?;
    (0..entries).try_for_each(|n| put(&mut store, &keys::key(n), deadline(n)))?;
    drop(store);
    let begin = Instant::now();
    let mut store = MemoryBackend::open(&path, Syncing::Never, NOW)?;
    let took = begin.elapsed();
    assert_eq!(store.length(NOW)?, entries, "all of them are there");
    Ok(took.as_secs_f64() * 1e3)
}
