//! How much memory a process holds, the same for every server.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::thread;
use std::time::{Duration, Instant};

use super::{Result, driver};

/// How often is looked until nothing changes any more.
const LOOKS: u32 = 10;
/// Changes below one part in so many are none.
const STILL: u64 = 500;

/// Bytes of memory that a process holds: its own share of the pages that are mapped, what of it
/// was swapped out, and of its memfds all that is allocated, mapped or not.
///
/// # Errors
/// Where the process is gone or somebody else's.
pub(crate) fn held(pid: u32) -> Result<u64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let field = |name: &str| {
        let line = rollup.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|line| line.split_whitespace().next());
        let kib: u64 = kib.and_then(|kib| kib.parse().ok()).unwrap_or(0);
        kib << 10
    };
    let shared = field("Pss_Shmem:");
    Ok(field("Pss:") + field("SwapPss:") - shared + shared.max(memfds(pid)?))
}

/// Bytes allocated in the memfds that a process has open.
fn memfds(pid: u32) -> Result<u64> {
    let mut files = Vec::new();
    for fd in fs::read_dir(format!("/proc/{pid}/fd"))? {
        let path = fd?.path();
        // A descriptor may be closed in between.
        let Ok(target) = fs::read_link(&path) else {
            continue;
        };
        if target
            .as_os_str()
            .as_encoded_bytes()
            .starts_with(b"/memfd:")
        {
            if let Ok(file) = fs::metadata(&path) {
                files.push((file.ino(), file.blocks() * 512));
            }
        }
    }
    files.sort_unstable();
    files.dedup();
    Ok(files.iter().map(|(_, bytes)| bytes).sum())
}

/// Bytes that it holds once that has not changed for `still`, or after ten times as long:
/// allocators give back over seconds.
///
/// # Errors
/// As [`held`].
pub(crate) fn settled(pid: u32, still: Duration) -> Result<u64> {
    let deadline = Instant::now() + 10 * still;
    let (mut bytes, mut looks) = (held(pid)?, 0);
    while looks < LOOKS && Instant::now() < deadline {
        driver::check_interrupt()?;
        thread::sleep(still / LOOKS);
        let now = held(pid)?;
        looks += 1;
        if now.abs_diff(bytes) > bytes / STILL {
            (bytes, looks) = (now, 0);
        }
    }
    held(pid)
}
