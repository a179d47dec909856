//! Pages that are mapped: of nobody, of a file in memory, of a file with a name.
//!
//! Byte `n` of page `p` is byte `p * PAGE + n` of the file. Memory for a page is allocated when it
//! is taken, so that a full disk, `tmpfs` or memory is an error then and never a signal later.
//!
//! A file with a name is longer than what is used of it: its length grows in large steps, for each
//! must be on the disk before the store may name a page behind the old end.

use std::fs::File;
use std::io;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

use super::engine::Engine;
use super::file::{FileError, StoreFile};
use super::pages::{HeapPages, PAGE, PageSource, page_at};
use crate::sys::{Mapping, Thread};

/// The steps in which a file with a name grows: a quarter of what it is, within these bounds.
const LEAST_STEP: u64 = 16 << 20;
const MOST_STEP: u64 = 1 << 30;

/// Pages in memory that was mapped once.
#[derive(Debug)]
pub(crate) struct MappedPages {
    mapping: Mapping,
    growth: Growth,
    /// The length that the file is about to have.
    ahead: Option<Ahead>,
    /// The last attempt to take pages failed.
    is_short: bool,
}

/// How the length of a mapping follows the pages that are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Growth {
    /// At once: nobody but this process sees it.
    Exact,
    /// In steps.
    Steps,
    /// In steps, each on the disk before it is used. Nobody wants to wait for that, so a thread
    /// does each ahead of time.
    Lasting,
}

/// A step of growth that is under way.
#[derive(Debug)]
struct Ahead {
    len: u64,
    thread: Thread<io::Result<()>>,
}

impl Ahead {
    fn start(file: &File, len: u64) -> io::Result<Self> {
        let file = file.try_clone()?;
        let work = move || file.set_len(len).and_then(|()| file.sync_all());
        let thread = Thread::start("memstore-grow", work)?;
        Ok(Self { len, thread })
    }

    fn wait(self) -> io::Result<u64> {
        let ended = self.thread.wait();
        ended.unwrap_or_else(|| Err(io::ErrorKind::Other.into()))?;
        Ok(self.len)
    }
}

impl MappedPages {
    /// Pages that end with this process.
    ///
    /// # Errors
    /// There is no room for them among the addresses.
    pub(crate) fn anonymous() -> io::Result<Self> {
        Ok(Self::over(Mapping::anonymous()?, Growth::Exact))
    }

    /// Pages that end with the last process that holds their descriptor, which is this one as
    /// long as it is not passed on.
    ///
    /// # Errors
    /// As for [`anonymous`](Self::anonymous), or there are no files without a name here.
    pub(crate) fn shared() -> io::Result<Self> {
        Ok(Self::over(Mapping::of(memory_file()?)?, Growth::Exact))
    }

    /// The pages of a file, and how many it has: none where the store is to be made yet.
    /// `is_lasting` says that they must outlive the system too.
    pub(crate) fn open(path: &Path, is_lasting: bool) -> Result<(Self, u32), FileError> {
        let StoreFile { file, pages } = StoreFile::open(path)?;
        let growth = if is_lasting {
            Growth::Lasting
        } else {
            Growth::Steps
        };
        let mapping = Mapping::of(file).map_err(|reason| FileError::Unmapped {
            path: path.to_owned(),
            reason,
        })?;
        Ok((Self::over(mapping, growth), pages))
    }

    fn over(mapping: Mapping, growth: Growth) -> Self {
        Self {
            mapping,
            growth,
            ahead: None,
            is_short: false,
        }
    }

    /// Cuts off what is behind this page, and sees to the memory of these runs that are taken:
    /// those of a file that was copied may have none.
    fn fit(&mut self, end: u32, taken: &[(u32, u32)]) -> io::Result<()> {
        for (first, pages) in taken {
            let (at, len) = region(*first, *pages);
            self.mapping.allocate(at, len)?;
        }
        if let (Growth::Lasting, Some(file)) = (self.growth, self.mapping.file()) {
            // The region on the disk may still name what is cut off.
            file.sync_all()?;
        }
        self.mapping.shorten(page_at(end))
    }

    fn allocate(&mut self, first: u32, pages: u32) -> io::Result<()> {
        let (at, len) = region(first, pages);
        let end = at + len as u64;
        while end > self.mapping.len() {
            self.extend(end)?;
        }
        self.mapping.allocate(at, len)?;
        if self.growth == Growth::Lasting && first > 0 {
            self.look_ahead(end);
        }
        Ok(())
    }

    fn extend(&mut self, end: u64) -> io::Result<()> {
        // A file that is being made is known by its length if that is never finished.
        let is_exact = self.growth == Growth::Exact || self.mapping.len() == 0;
        if is_exact || end > self.mapping.capacity() {
            return self.mapping.extend(end);
        }
        let to = match (self.ahead.take(), self.mapping.file()) {
            (Some(ahead), _) => ahead.wait()?,
            (None, Some(file)) if self.growth == Growth::Lasting => {
                Ahead::start(file, self.next_len(end))?.wait()?
            }
            (None, _) => self.next_len(end),
        };
        self.mapping.extend(to)
    }

    /// Begins to grow if less than half a step is left behind this byte.
    fn look_ahead(&mut self, end: u64) {
        let Some(file) = self.mapping.file() else {
            return;
        };
        let (len, next) = (self.mapping.len(), self.next_len(end));
        if self.ahead.is_none() && len - end < (next - len) / 2 {
            // What cannot be begun now is tried again when it has to be.
            self.ahead = Ahead::start(file, next).ok();
        }
    }

    /// The length after the next step, for pages up to `end` at least.
    fn next_len(&self, end: u64) -> u64 {
        let len = self.mapping.len();
        let step = (len / 4).clamp(LEAST_STEP, MOST_STEP) / PAGE as u64 * PAGE as u64;
        end.max((len + step).min(self.mapping.capacity()))
    }
}

impl PageSource for MappedPages {
    fn take(&mut self, first: u32, pages: u32) -> io::Result<()> {
        let taken = self.allocate(first, pages);
        let was_short = std::mem::replace(&mut self.is_short, taken.is_err());
        match &taken {
            Err(error) if !was_short => {
                tracing::warn!(%error, pages, "no memory for the store: writes are refused");
            }
            Ok(()) if was_short => tracing::info!("there is memory for the store again"),
            _ => {}
        }
        taken
    }

    fn give_back(&mut self, first: u32, pages: u32) {
        let (at, len) = region(first, pages);
        self.mapping.release(at, len);
    }

    #[inline]
    fn bytes(&self, at: u64) -> &[u8] {
        self.mapping.bytes(at)
    }

    #[inline]
    fn store(&mut self, at: u64, bytes: &[u8]) {
        self.mapping.store(at, bytes);
    }
}

/// Pages of one kind or the other.
#[derive(Debug)]
pub(crate) enum AnyPages {
    Mapped(MappedPages),
    Heap(HeapPages),
}

impl PageSource for AnyPages {
    fn take(&mut self, first: u32, pages: u32) -> io::Result<()> {
        match self {
            Self::Mapped(source) => source.take(first, pages),
            Self::Heap(source) => source.take(first, pages),
        }
    }

    fn give_back(&mut self, first: u32, pages: u32) {
        match self {
            Self::Mapped(source) => source.give_back(first, pages),
            Self::Heap(source) => source.give_back(first, pages),
        }
    }

    #[inline]
    fn bytes(&self, at: u64) -> &[u8] {
        match self {
            Self::Mapped(source) => source.bytes(at),
            Self::Heap(source) => source.bytes(at),
        }
    }

    #[inline]
    fn store(&mut self, at: u64, bytes: &[u8]) {
        match self {
            Self::Mapped(source) => source.store(at, bytes),
            Self::Heap(source) => source.store(at, bytes),
        }
    }
}

impl Engine<AnyPages> {
    /// The file that its pages are in, where they are in one.
    pub(crate) fn file(&self) -> Option<&File> {
        match &self.slots.pages.source {
            AnyPages::Mapped(source) => source.mapping.file(),
            AnyPages::Heap(_) => None,
        }
    }

    /// Makes its file, which was there before, as long as it has to be, and sees to it that no
    /// write to a page that is taken can fail.
    ///
    /// # Errors
    /// What the system says, for instance that there is not enough space.
    pub(crate) fn fit_file(&mut self) -> io::Result<()> {
        let pages = &mut self.slots.pages;
        let (end, taken) = (pages.noted_end(), pages.in_use());
        match &mut pages.source {
            AnyPages::Mapped(source) => source.fit(end, &taken),
            AnyPages::Heap(_) => Ok(()),
        }
    }
}

/// Where a run begins, and its bytes.
fn region(first: u32, pages: u32) -> (u64, usize) {
    (page_at(first), pages as usize * PAGE)
}

/// A file without a name, which cannot become shorter.
fn memory_file() -> io::Result<File> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    // Systems may be set up to demand that nothing in it is executed (`vm.memfd_noexec`); before
    // Linux 6.3 there was no way to say so.
    let noexec = MFdFlags::from_bits_retain(libc::MFD_NOEXEC_SEAL);
    let name = c"memstore-cluster";
    let fd = match memfd_create(name, flags | noexec) {
        Err(Errno::EINVAL) => memfd_create(name, flags)?,
        made => made?,
    };
    fcntl(&fd, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_SHRINK))?;
    Ok(File::from(fd))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn kinds(folder: &Path) -> [MappedPages; 4] {
        let open = |name, is_lasting| {
            let (pages, count) = MappedPages::open(&folder.join(name), is_lasting).unwrap();
            assert_eq!(count, 0);
            pages
        };
        [
            MappedPages::anonymous().unwrap(),
            MappedPages::shared().unwrap(),
            open("one", false),
            open("two", true),
        ]
    }

    #[test]
    fn a_page_is_zero_when_it_is_taken_again() {
        let folder = tempfile::tempdir().unwrap();
        for mut source in kinds(folder.path()) {
            source.take(0, 2).unwrap();
            source.take(2, 1).unwrap();
            source.store(page_at(0), &vec![1; 3 * PAGE]);
            source.give_back(1, 1);
            source.take(1, 1).unwrap();
            let bytes = source.bytes(page_at(0));
            assert!(bytes[..PAGE].iter().all(|byte| *byte == 1));
            assert!(bytes[PAGE..2 * PAGE].iter().all(|byte| *byte == 0));
            assert!(bytes[2 * PAGE..3 * PAGE].iter().all(|byte| *byte == 1));
        }
    }

    #[test]
    fn a_large_run_can_be_had() {
        let folder = tempfile::tempdir().unwrap();
        for mut source in kinds(folder.path()) {
            let pages = (64 << 20) / u32::try_from(PAGE).unwrap();
            source.take(100, pages).unwrap();
            source.store(page_at(100 + pages) - 8, &[1; 8]);
            assert!(source.bytes(page_at(100)).len() >= 64 << 20);
        }
    }

    #[test]
    fn what_does_not_fit_is_an_error_and_nothing_changes() {
        let folder = tempfile::tempdir().unwrap();
        for mut source in kinds(folder.path()) {
            source.take(0, 1).unwrap();
            let pages = u32::try_from(source.mapping.capacity() / PAGE as u64).unwrap();
            let error = source.take(1, pages).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
            source.take(1, 1).unwrap();
        }
    }

    #[test]
    fn a_file_that_lasts_grows_ahead_of_what_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let (mut source, _) = MappedPages::open(&folder.path().join("store"), true).unwrap();
        let step = u32::try_from(LEAST_STEP).unwrap() / u32::try_from(PAGE).unwrap();
        source.take(0, 1).unwrap();
        // Of a file that is being made the length is what was taken.
        assert_eq!(source.mapping.len(), PAGE as u64);
        assert!(source.ahead.is_none());
        source.take(1, 1).unwrap();
        assert_eq!(source.mapping.len(), PAGE as u64 + LEAST_STEP);
        assert!(source.ahead.is_none());
        source.take(2, step / 2).unwrap();
        let len = source.ahead.as_ref().unwrap().len;
        assert_eq!(len, PAGE as u64 + 2 * LEAST_STEP);
        // More than a step at once.
        source.take(2 + step / 2, 5 * step).unwrap();
        assert!(source.mapping.len() > len);
    }

    #[test]
    fn a_file_in_memory_cannot_be_shortened() {
        let mut source = MappedPages::shared().unwrap();
        source.take(0, 1).unwrap();
        let error = source.mapping.file().unwrap().set_len(0).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EPERM));
    }

    #[test]
    fn a_file_is_longer_than_what_is_used_until_it_is_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let (mut source, _) = MappedPages::open(&path, false).unwrap();
        let len = || fs::metadata(&path).unwrap().len();
        source.take(0, 3).unwrap();
        assert_eq!(len(), 3 * PAGE as u64);
        for page in [3, 4] {
            source.take(page, 1).unwrap();
            assert_eq!(len(), 3 * PAGE as u64 + LEAST_STEP);
        }
        source.store(page_at(2), &[1; 8]);
        source.fit(3, &[(0, 3)]).unwrap();
        assert_eq!(len(), 3 * PAGE as u64);
        assert_eq!(source.bytes(page_at(2))[..8], [1; 8]);
        source.take(3, 1).unwrap();
        assert!(
            source.bytes(page_at(3))[..PAGE]
                .iter()
                .all(|byte| *byte == 0)
        );
    }
}
