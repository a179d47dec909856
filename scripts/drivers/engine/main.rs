//! `scripts/bench engine`: the memory backend alone: bytes per entry, time per operation, pauses.
//!
//! Tables in Markdown on standard output. `scripts/bench engine [ENTRIES]...` measures at other
//! sizes than ten thousand and a million; an entry has a 37-byte key, a 256-byte value and a
//! lifetime. Times of single operations include some 25 ns for looking at the clock.

#![allow(clippy::print_stdout)] // The tables are what it is for.

use std::error::Error;
use std::fs;
use std::hint::black_box;
use std::time::{Duration, Instant};

use memstore_cluster::backend::{
    Backend, BackendError, Cursor, Deadline, MemoryBackend, Upkeep, Walk,
};
use memstore_cluster::contract::Condition;
use memstore_cluster::time::Millis;

const NOW: Millis = Millis::from_unix(1_700_000_000_000);
const VALUE: [u8; 256] = [7; 256];
/// Operations of each kind that are timed.
const SAMPLE: u64 = 200_000;

fn main() -> Result<(), Box<dyn Error>> {
    let asked = std::env::args().filter_map(|arg| arg.parse().ok());
    let mut sizes: Vec<u64> = asked.collect();
    if sizes.is_empty() {
        sizes = vec![10_000, 1_000_000];
    }
    println!("| Entries | bytes per entry | resident | insert | get | set | touch | destroy |");
    println!("|---:|---:|---:|---:|---:|---:|---:|---:|");
    for entries in &sizes {
        operations(*entries)?;
    }
    println!("\n| Pauses at | operation or step | p50 | p99.9 | max |\n|---:|---|---:|---:|---:|");
    for entries in &sizes {
        pauses(*entries)?;
    }
    Ok(())
}

/// The key of an entry, 37 bytes.
fn key(n: u64) -> [u8; 37] {
    let mut key = *b"sess:00000000-0000-0000-0000-00000000";
    for (at, digit) in key[5..]
        .iter_mut()
        .zip(format!("{:032x}", mixed(n)).bytes())
    {
        *at = digit;
    }
    key
}

/// Numbers that look random and never come twice.
fn mixed(n: u64) -> u64 {
    let n = (n ^ n >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let n = (n ^ n >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    n ^ n >> 31
}

/// Lifetimes are spread over an hour, as those of sessions are.
fn deadline(n: u64) -> Deadline {
    Deadline::At(NOW.after_ms(1_800_000 + mixed(n) % 3_600_000))
}

fn put(store: &mut MemoryBackend, n: u64, deadline: Deadline) -> Result<(), BackendError> {
    let done = store.set(NOW, &key(n), &VALUE, deadline, Condition::Always)?;
    black_box(done);
    Ok(())
}

fn filled(entries: u64) -> Result<MemoryBackend, BackendError> {
    let mut store = MemoryBackend::new();
    (0..entries).try_for_each(|n| put(&mut store, n, deadline(n)))?;
    Ok(store)
}

/// Bytes of this process in memory.
fn resident() -> Result<u64, Box<dyn Error>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line
        .and_then(|line| line.split_whitespace().next())
        .unwrap_or("0");
    Ok(kib.parse::<u64>()? * 1024)
}

fn operations(entries: u64) -> Result<(), Box<dyn Error>> {
    let before = resident()?;
    let start = Instant::now();
    let mut store = filled(entries)?;
    let insert = start.elapsed() / u32::try_from(entries)?;
    let resident = resident()?.saturating_sub(before);
    let bytes = store.memory();
    let any = |n: u64| mixed(n ^ 0x5EED) % entries;
    let get = timed(|n| drop(black_box(store.get(NOW, &key(any(n))))));
    let set = timed(|n| drop(black_box(put(&mut store, any(n), deadline(n)))));
    let touch = timed(|n| drop(black_box(store.touch(NOW, &key(any(n)), deadline(n + 1)))));
    let gone = SAMPLE.min(entries);
    let start = Instant::now();
    for n in 0..gone {
        black_box(store.destroy(NOW, &key(n))?);
    }
    let destroy = start.elapsed() / u32::try_from(gone)?;
    println!(
        "| {entries} | {} | {} | {insert:.0?} | {get:.0?} | {set:.0?} | {touch:.0?} | {destroy:.0?} |",
        per(bytes, entries),
        per(resident, entries),
    );
    Ok(())
}

fn timed(mut operation: impl FnMut(u64)) -> Duration {
    let start = Instant::now();
    (0..SAMPLE).for_each(&mut operation);
    start.elapsed() / u32::try_from(SAMPLE).unwrap_or(u32::MAX)
}

/// With one decimal.
fn per(bytes: u64, entries: u64) -> String {
    let tenths = bytes * 10 / entries;
    format!("{}.{}", tenths / 10, tenths % 10)
}

fn pauses(entries: u64) -> Result<(), Box<dyn Error>> {
    let mut store = MemoryBackend::new();
    let mut times = Vec::new();
    let mut took =
        |what: &str, steps: &mut dyn FnMut(&mut Vec<Duration>) -> Result<(), BackendError>| {
            times.clear();
            steps(&mut times)?;
            times.sort_unstable();
            let at = |thousandth: usize| times[(times.len() - 1) * thousandth / 1_000];
            println!(
                "| {entries} | {what} | {:.1?} | {:.1?} | {:.1?} |",
                at(500),
                at(999),
                at(1_000)
            );
            Ok::<(), BackendError>(())
        };
    took("insert while it grows", &mut |times| {
        (0..entries).try_for_each(|n| {
            let start = Instant::now();
            put(&mut store, n, deadline(n))?;
            times.push(start.elapsed());
            Ok(())
        })
    })?;
    took("all, a page", &mut |times| {
        let mut next = Some(Cursor::default());
        while let Some(from) = next {
            let (start, mut left) = (Instant::now(), 200);
            next = store.all(NOW, from, &mut |key, _| {
                black_box(key);
                left -= 1;
                if left == 0 { Walk::Pause } else { Walk::On }
            })?;
            times.push(start.elapsed());
        }
        Ok(())
    })?;
    took("clear, and its steps", &mut |times| {
        let start = Instant::now();
        store.clear(NOW)?;
        times.push(start.elapsed());
        steps(&mut store, NOW, times);
        Ok(())
    })?;
    let expiry = NOW.after_ms(60_000);
    (0..entries).try_for_each(|n| put(&mut store, n, Deadline::At(expiry.after_ms(n % 1_000))))?;
    took("upkeep before all expire in one second", &mut |times| {
        steps(&mut store, NOW.after_ms(50_000), times);
        Ok(())
    })?;
    took("length in that second", &mut |times| {
        let start = Instant::now();
        black_box(store.length(expiry.after_ms(500))?);
        times.push(start.elapsed());
        Ok(())
    })?;
    took("upkeep after it", &mut |times| {
        steps(&mut store, expiry.after_ms(1_000), times);
        Ok(())
    })
    .map_err(Into::into)
}

/// Does all the upkeep there is.
fn steps(store: &mut MemoryBackend, now: Millis, times: &mut Vec<Duration>) {
    loop {
        let start = Instant::now();
        let left = store.upkeep(now);
        times.push(start.elapsed());
        if left != Upkeep::More {
            return;
        }
    }
}
