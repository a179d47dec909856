//! What an operation costs on average, and an entry in bytes, by the number of entries.

use std::hint::black_box;
use std::io::Write;
use std::ops::Range;
use std::time::{Duration, Instant};

use memstore_cluster::backend::{Backend, BackendError, MemoryBackend};

use super::common::table::{count, markdown};
use super::common::{Result, driver, keys, memory};
use super::store::{NOW, deadline, put};

/// Keys that are made at a time, before the clock runs. They stay in the processor's cache.
const KEYS: u64 = 4_096;

pub(crate) fn table(sizes: &[u64], sample: u64, out: &mut dyn Write) -> Result<()> {
    writeln!(
        out,
        "## Per entry of {} bytes, and per operation\n\n\
         *Counted* by the backend, *held* by the process. Entries are read and written in random \
         order, inserted and destroyed in the order of their numbers.\n",
        keys::PAYLOAD
    )?;
    let head = [
        "entries", "counted", "held", "insert", "get", "set", "touch", "destroy",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for entries in sizes {
        driver::check_interrupt()?;
        rows.push(row(*entries, sample)?);
    }
    markdown(out, &rows)?;
    Ok(())
}

fn row(entries: u64, sample: u64) -> Result<Vec<String>> {
    let this = std::process::id();
    let before = memory::held(this)?;
    let mut store = MemoryBackend::new();
    let in_order = |n| n;
    let insert = timed(0..entries, in_order, |n, key| {
        put(&mut store, key, deadline(n))
    })?;
    let held = memory::held(this)?.saturating_sub(before);
    let counted = store.memory();

    let any = |n: u64| keys::scramble(n ^ 0x5eed) % entries;
    let get = timed(0..sample, any, |_, key| {
        black_box(store.get(NOW, key)?);
        Ok(())
    })?;
    let set = timed(0..sample, any, |n, key| put(&mut store, key, deadline(n)))?;
    let touch = timed(0..sample, any, |n, key| {
        black_box(store.touch(NOW, key, deadline(n + 1))?);
        Ok(())
    })?;
    let destroy = timed(0..sample.min(entries), in_order, |_, key| {
        black_box(store.destroy(NOW, key)?);
        Ok(())
    })?;
    let each = |bytes: u64| {
        let tenths = bytes * 10 / entries;
        format!("{}.{} B", tenths / 10, tenths % 10)
    };
    let mut row = vec![count(entries), each(counted), each(held)];
    row.extend([insert, get, set, touch, destroy].map(|time| format!("{} ns", time.as_nanos())));
    Ok(row)
}

/// The time of an operation on average, without that for making the keys.
fn timed(
    numbers: Range<u64>,
    pick: impl Fn(u64) -> u64,
    mut operation: impl FnMut(u64, &[u8]) -> std::result::Result<(), BackendError>,
) -> Result<Duration> {
    let mut total = Duration::ZERO;
    let mut made = Vec::new();
    for first in numbers.clone().step_by(usize::try_from(KEYS)?) {
        let part = first..numbers.end.min(first + KEYS);
        made.clear();
        made.extend(part.map(|n| (n, keys::key(pick(n)))));
        let start = Instant::now();
        made.iter().try_for_each(|(n, key)| operation(*n, key))?;
        total += start.elapsed();
    }
    let operations = numbers.end - numbers.start;
    Ok(total / u32::try_from(operations.max(1))?)
}
