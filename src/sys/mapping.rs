//! Memory of a file or of nobody, mapped once over far more address space than it has.
//!
//! A [`Mapping`] never moves: it grows into addresses that were reserved when it was made. What is
//! memory and what is only addresses is known here and nowhere else, and is checked at every
//! access, so that its users need no `unsafe`. It knows nothing of pages or entries; the page
//! source of the store calls it.
//!
//! Invariant: the file is at least as long as `len` says, and only bytes below `len` are touched.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering, compiler_fence};

use memmap2::{Advice, MmapOptions, MmapRaw, UncheckedAdvice};
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};

/// The address space that is asked for: more than a store can have pages.
const MOST: u64 = 64 << 30;
/// With less it is not worth it.
const LEAST: usize = 1 << 30;
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// Memory by offset, with room to grow.
///
/// Nobody else may make a file shorter while it is mapped: a read or write behind its end would
/// end this process (`SIGBUS`, `mmap(2)`). Nor may anybody else write to it.
#[derive(Debug)]
pub(crate) struct Mapping {
    map: MmapRaw,
    /// `None` for memory of this process alone.
    file: Option<File>,
    /// Bytes from the front that may be touched.
    len: usize,
}

impl Mapping {
    /// Memory that ends with this process.
    ///
    /// # Errors
    /// There is no room among the addresses.
    pub(crate) fn anonymous() -> io::Result<Self> {
        let map = |len| {
            let map = MmapOptions::new().len(len).no_reserve_swap().map_anon();
            map.map(MmapRaw::from)
        };
        Ok(Self {
            map: reserve(map)?,
            file: None,
            len: 0,
        })
    }

    /// The bytes of a file that was opened for reading and writing.
    ///
    /// # Errors
    /// There is no room among the addresses, or the file cannot be mapped.
    pub(crate) fn of(file: File) -> io::Result<Self> {
        let map = reserve(|len| MmapOptions::new().len(len).map_raw(&file))?;
        let len = file.metadata()?.len();
        let len = usize::try_from(len).ok().filter(|len| *len <= map.len());
        Ok(Self {
            map,
            file: Some(file),
            len: len.ok_or(io::ErrorKind::OutOfMemory)?,
        })
    }

    /// The file, where there is one.
    pub(crate) fn file(&self) -> Option<&File> {
        self.file.as_ref()
    }

    /// Bytes it has, from the front.
    pub(crate) fn len(&self) -> u64 {
        self.len as u64
    }

    /// Bytes it can have.
    pub(crate) fn capacity(&self) -> u64 {
        self.map.len() as u64
    }

    /// Makes it so long, with zeros; they need not have memory before they are allocated.
    ///
    /// # Errors
    /// That is more than it can have, or the file cannot be so long.
    pub(crate) fn extend(&mut self, len: u64) -> io::Result<()> {
        let new = usize::try_from(len)
            .ok()
            .filter(|len| *len <= self.map.len());
        let new = new.ok_or(io::ErrorKind::OutOfMemory)?;
        if new > self.len {
            self.file
                .as_ref()
                .map_or(Ok(()), |file| file.set_len(len))?;
            self.len = new;
        }
        Ok(())
    }

    /// Makes it so short.
    pub(crate) fn shorten(&mut self, len: u64) -> io::Result<()> {
        self.len = self.offset(len, 0);
        self.file.as_ref().map_or(Ok(()), |file| file.set_len(len))
    }

    /// Sees to it that there is memory for these bytes, so that no access fails for want of it.
    ///
    /// # Errors
    /// There is none; then as much as before is allocated.
    pub(crate) fn allocate(&mut self, at: u64, len: usize) -> io::Result<()> {
        self.offset(at, len);
        let Some(file) = &self.file else {
            return Ok(());
        };
        let allocated = match change(file, FallocateFlags::FALLOC_FL_KEEP_SIZE, at, len) {
            // Not every file system can; writing does the same.
            Err(Errno::EOPNOTSUPP) => write_zeros(file, at, len),
            done => done.map_err(io::Error::from),
        };
        if allocated.is_err() {
            // What cannot be given back is found free when it is asked for again.
            let _ = change(file, PUNCH, at, len);
        }
        allocated
    }

    /// Gives the memory of these bytes back to the system; they are zero from here on.
    pub(crate) fn release(&mut self, at: u64, len: usize) {
        let offset = self.offset(at, len);
        let released = match &self.file {
            Some(file) => change(file, PUNCH, at, len).map_err(io::Error::from),
            // SAFETY: the range is within the mapping, which is private and anonymous: its bytes
            // are zero afterwards and stay readable. No slice of it is alive, for `self` is
            // borrowed mutably.
            None => unsafe {
                self.map
                    .unchecked_advise_range(UncheckedAdvice::DontNeed, offset, len)
            },
        };
        if let Err(error) = released {
            tracing::debug!(%error, len, "memory is not given back but set to zero");
            for begin in (0..len).step_by(ZEROS.len()) {
                let zeros = &ZEROS[..ZEROS.len().min(len - begin)];
                self.store(at + begin as u64, zeros);
            }
        }
    }

    /// The bytes from this one to the end.
    #[inline]
    pub(crate) fn bytes(&self, at: u64) -> &[u8] {
        let offset = self.offset(at, 0);
        // SAFETY: not behind `len`, and that not behind the end of the mapping.
        let begin = unsafe { self.map.as_ptr().add(offset) };
        // SAFETY: the bytes up to `len` are mapped and initialized (by the file, or to zero), and
        // live as long as `self`. They change by `&mut self` alone: that nobody else writes to a
        // file or shortens it is demanded of whoever passes it in.
        unsafe { std::slice::from_raw_parts(begin, self.len - offset) }
    }

    /// Writes bytes. What a process that is killed leaves behind in a file is all such writes up to
    /// some point in their order, and part of the next; of eight bytes at a multiple of eight all
    /// or none.
    #[inline]
    pub(crate) fn store(&mut self, at: u64, bytes: &[u8]) {
        let offset = self.offset(at, bytes.len());
        // SAFETY: not behind `len`, and that not behind the end of the mapping.
        let begin = unsafe { self.map.as_mut_ptr().add(offset) };
        // The processor makes stores visible in their order to whoever maps the file after this
        // process has died; the compiler must not give it another one.
        compiler_fence(Ordering::SeqCst);
        match <[u8; 8]>::try_from(bytes) {
            Ok(word) if offset % 8 == 0 => {
                // SAFETY: aligned, because the mapping begins at a page and the offset was looked
                // at; the eight bytes are within `len`; nobody accesses them otherwise meanwhile,
                // for `self` is borrowed mutably.
                let place = unsafe { AtomicU64::from_ptr(begin.cast()) };
                place.store(u64::from_le_bytes(word).to_le(), Ordering::Release);
            }
            _ => {
                // SAFETY: `bytes.len()` bytes from `begin` are within `len`; `bytes` is not of this
                // mapping, for that is borrowed mutably.
                unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), begin, bytes.len()) }
            }
        }
        compiler_fence(Ordering::SeqCst);
    }

    /// Where in memory so many bytes begin that may be touched.
    #[inline]
    fn offset(&self, at: u64, len: usize) -> usize {
        let offset = usize::try_from(at).ok();
        let offset = offset.filter(|at| at.checked_add(len).is_some_and(|end| end <= self.len));
        offset.unwrap_or_else(|| panic!("{len} bytes at {at} are not within {}", self.len))
    }
}

const PUNCH: FallocateFlags =
    FallocateFlags::FALLOC_FL_PUNCH_HOLE.union(FallocateFlags::FALLOC_FL_KEEP_SIZE);

/// `fallocate(2)`.
fn change(file: &File, how: FallocateFlags, at: u64, len: usize) -> Result<(), Errno> {
    let number = |n| libc::off_t::try_from(n).map_err(|_| Errno::EFBIG);
    let (at, len) = (number(at)?, number(len as u64)?);
    loop {
        match fallocate(file, how, at, len) {
            Err(Errno::EINTR) => {}
            done => return done,
        }
    }
}

fn write_zeros(file: &File, at: u64, len: usize) -> io::Result<()> {
    for begin in (0..len).step_by(ZEROS.len()) {
        let zeros = &ZEROS[..ZEROS.len().min(len - begin)];
        file.write_all_at(zeros, at + begin as u64)?;
    }
    Ok(())
}

/// Maps as much address space as there is for it. Where there is not enough (`ulimit -v`, strict
/// overcommit, 32 bits), half of what there is, for the rest of the process needs some too.
fn reserve(map: impl Fn(usize) -> io::Result<MmapRaw>) -> io::Result<MmapRaw> {
    let most = usize::try_from(MOST).unwrap_or(LEAST);
    let mut len = most;
    let mapped = loop {
        match map(len) {
            Ok(mapped) if len == most => break mapped,
            Ok(found) => {
                drop(found);
                if len / 2 < LEAST {
                    return Err(io::ErrorKind::OutOfMemory.into());
                }
                break map(len / 2)?;
            }
            Err(error) if len / 2 < LEAST || error.raw_os_error() != Some(libc::ENOMEM) => {
                return Err(error);
            }
            Err(_) => len /= 2,
        }
    };
    // A core file shall not be as large as the store, nor hold what is in it.
    if let Err(error) = mapped.advise(Advice::DontDump) {
        tracing::debug!(%error, "the store would be part of a core file");
    }
    Ok(mapped)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: usize = 64 << 10;

    fn both() -> [Mapping; 2] {
        let file = Mapping::of(tempfile::tempfile().unwrap());
        [Mapping::anonymous().unwrap(), file.unwrap()]
    }

    fn blocks(mapping: &Mapping) -> u64 {
        use std::os::unix::fs::MetadataExt;
        mapping.file().unwrap().metadata().unwrap().blocks()
    }

    #[test]
    fn what_is_stored_is_there_and_in_the_file() {
        for mut mapping in both() {
            mapping.extend(2 * PAGE as u64).unwrap();
            mapping.allocate(0, 2 * PAGE).unwrap();
            mapping.store(8, &[1; 8]);
            mapping.store(17, &[2; 8]);
            mapping.store(100, &[3; 1000]);
            mapping.store(2 * PAGE as u64 - 3, &[4; 3]);
            let mut expected = vec![0; 2 * PAGE];
            expected[8..16].fill(1);
            expected[17..25].fill(2);
            expected[100..1100].fill(3);
            expected[2 * PAGE - 3..].fill(4);
            assert!(mapping.bytes(0) == expected && mapping.bytes(100)[..1000] == [3; 1000]);
            if let Some(file) = mapping.file() {
                let mut read = vec![0; 2 * PAGE];
                file.read_exact_at(&mut read, 0).unwrap();
                assert!(read == expected);
            }
        }
    }

    #[test]
    fn what_was_released_is_zero_and_its_memory_is_the_systems() {
        for mut mapping in both() {
            mapping.extend(4 * PAGE as u64).unwrap();
            mapping.allocate(0, 4 * PAGE).unwrap();
            mapping.store(0, &vec![1; 4 * PAGE]);
            let before = mapping.file().map(|_| blocks(&mapping));
            mapping.release(PAGE as u64, 2 * PAGE);
            if let Some(before) = before {
                assert_eq!(before - blocks(&mapping), 2 * PAGE as u64 / 512);
            }
            let bytes = mapping.bytes(0);
            assert!(bytes[..PAGE].iter().all(|byte| *byte == 1));
            assert!(bytes[PAGE..3 * PAGE].iter().all(|byte| *byte == 0));
            assert!(bytes[3 * PAGE..].iter().all(|byte| *byte == 1));
        }
    }

    #[test]
    fn a_file_is_found_as_it_was_left() {
        let file = tempfile::tempfile().unwrap();
        let mut mapping = Mapping::of(file.try_clone().unwrap()).unwrap();
        mapping.extend(2 * PAGE as u64).unwrap();
        mapping.store(PAGE as u64, b"something");
        drop(mapping);
        let mut mapping = Mapping::of(file.try_clone().unwrap()).unwrap();
        assert_eq!(mapping.len(), 2 * PAGE as u64);
        assert_eq!(mapping.bytes(PAGE as u64)[..9], *b"something");
        mapping.shorten(PAGE as u64).unwrap();
        assert_eq!(file.metadata().unwrap().len(), PAGE as u64);
        assert_eq!(mapping.bytes(0).len(), PAGE);
    }

    #[test]
    #[should_panic(expected = "8 bytes at 65530 are not within 65536")]
    fn nothing_is_stored_behind_the_end() {
        let mut mapping = Mapping::anonymous().unwrap();
        mapping.extend(PAGE as u64).unwrap();
        mapping.store(PAGE as u64 - 6, &[0; 8]);
    }

    #[test]
    #[should_panic(expected = "0 bytes at 65537 are not within 65536")]
    fn nothing_is_read_behind_the_end() {
        let mut mapping = Mapping::anonymous().unwrap();
        mapping.extend(PAGE as u64).unwrap();
        let _ = mapping.bytes(PAGE as u64 + 1);
    }

    #[test]
    fn it_does_not_grow_beyond_its_addresses() {
        for mut mapping in both() {
            let error = mapping.extend(mapping.capacity() + 1).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
            assert_eq!(mapping.len(), 0);
            mapping.extend(mapping.capacity()).unwrap();
        }
    }

    #[test]
    fn half_of_scarce_addresses_is_left_to_others() {
        let mapped = |most: usize| {
            reserve(|len| {
                if len > most {
                    return Err(Errno::ENOMEM.into());
                }
                let map = MmapOptions::new().len(len).no_reserve_swap().map_anon();
                map.map(MmapRaw::from)
            })
            .map(|map| map.len())
            .ok()
        };
        assert_eq!(mapped(usize::MAX), Some(64 << 30));
        assert_eq!(mapped((64 << 30) - 1), Some(16 << 30));
        assert_eq!(mapped(2 << 30), Some(1 << 30));
        assert_eq!(mapped((2 << 30) - 1), None);
        assert_eq!(mapped(0), None);
    }
}
