//! The file of a store: opened, locked and looked at before a byte of it is changed.
//!
//! Whoever opens a file of another kind, of another master or of another user is told so, and the
//! file stays as it was. What lies in the file behind its first bytes is not looked at here.
//!
//! The lock belongs to the open file (`F_OFD_SETLK`, `fcntl(2)`): the kernel lets go of it when the
//! last descriptor is closed, so it is never stale, and a forked child that closes its own takes it
//! from nobody. It keeps other masters out and nobody else; a program that writes to the file or
//! shortens it while a master uses it ends that master.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::geteuid;

use super::pages::PAGE;
use super::recovery::Refused;
use super::superblock::{self, FRONT};
use crate::error::Error;
use crate::sys::WHOLE;

/// How long a file in use is waited for: what a killed master was about to start holds its file
/// for a moment longer than itself.
const PATIENCE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(10);
/// Permissions to write that a store's file must not give to others.
const OTHERS_WRITE: u32 = 0o022;
const OTHERS_READ: u32 = 0o044;

/// Why a file cannot be a store's.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    /// It is not a file at all.
    #[error("the store cannot be kept in {}: that is {what}; name a file", .path.display())]
    NotAFile { path: PathBuf, what: &'static str },
    /// It must not be opened.
    #[error("the store's file {} cannot be opened for writing: {reason}", .path.display())]
    Closed { path: PathBuf, reason: io::Error },
    /// Whoever has it can do with it what they like.
    #[error(
        "the store's file {} belongs to user {uid}, who can change it; it must be this user's or root's",
        .path.display()
    )]
    Foreign { path: PathBuf, uid: u32 },
    /// So can those whom its mode lets write to it.
    #[error(
        "the store's file {} can be written to by others (mode {mode:03o}); `chmod 600` it",
        .path.display()
    )]
    Open { path: PathBuf, mode: u32 },
    /// Somebody has locked it.
    #[error(
        "the store's file {} is in use by another master; stop that, or name another file",
        .path.display()
    )]
    InUse { path: PathBuf },
    /// What is in it is no store, or not one for this program.
    #[error(
        "the file {} cannot be used as a store: {reason}. It was not changed; name another file, \
         or remove this one to begin anew",
        .path.display()
    )]
    Refused { path: PathBuf, reason: Refused },
    /// The addresses are not enough.
    #[error(
        "the store's file {} cannot be mapped into memory: {reason}; that takes a file system \
         that can do it, and 64 GiB of addresses, at the very least 2 GiB (see `ulimit -v`)",
        .path.display()
    )]
    Unmapped { path: PathBuf, reason: io::Error },
    /// The system refused something else.
    #[error("cannot {action} the store's file {}", .path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
}

impl From<FileError> for Error {
    fn from(error: FileError) -> Self {
        match error {
            FileError::Io {
                action,
                path,
                source,
            } => Self::io(format!("{action} the store's file {}", path.display()))(source),
            refusal => Self::Config(refusal.to_string()),
        }
    }
}

impl FileError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }

    pub(crate) fn refused(path: &Path) -> impl FnOnce(Refused) -> Self {
        let path = path.to_owned();
        move |reason| Self::Refused { path, reason }
    }
}

/// A file that is this process's alone, and how many pages of a store it has; none where the
/// store is to be made yet.
#[derive(Debug)]
pub(super) struct StoreFile {
    pub(super) file: File,
    pub(super) pages: u32,
}

impl StoreFile {
    /// Opens the file at this path, or makes it.
    pub(super) fn open(path: &Path) -> Result<Self, FileError> {
        let file = lock(path)?;
        let pages = pages(&file, path)?;
        Ok(Self { file, pages })
    }
}

/// The file at this path, locked.
fn lock(path: &Path) -> Result<File, FileError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let file = open(path)?;
        let is = check(&file, path)?;
        match fcntl(&file, FcntlArg::F_OFD_SETLK(&WHOLE)) {
            // The lock of a file that somebody removed or replaced meanwhile keeps nobody out.
            Ok(_) if is_at(&is, path) => return Ok(file),
            Ok(_) => {}
            Err(Errno::EAGAIN | Errno::EACCES) if Instant::now() < deadline => thread::sleep(PAUSE),
            Err(Errno::EAGAIN | Errno::EACCES) => {
                return Err(FileError::InUse {
                    path: path.to_owned(),
                });
            }
            Err(errno) => return Err(FileError::io("lock", path)(errno.into())),
        }
    }
}

fn open(path: &Path) -> Result<File, FileError> {
    // Not to wait for the other end of a pipe.
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let opened = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(flags.bits())
        .open(path);
    opened.map_err(|reason| {
        // What it is says more than what the system says about it.
        match fs::symlink_metadata(path) {
            Ok(is) if !is.is_file() => not_a_file(&is, path),
            _ => FileError::Closed {
                path: path.to_owned(),
                reason,
            },
        }
    })
}

fn check(file: &File, path: &Path) -> Result<Metadata, FileError> {
    let is = file.metadata().map_err(FileError::io("look at", path))?;
    if !is.is_file() {
        return Err(not_a_file(&is, path));
    }
    if is.uid() != geteuid().as_raw() && is.uid() != 0 {
        return Err(FileError::Foreign {
            path: path.to_owned(),
            uid: is.uid(),
        });
    }
    let mode = is.mode() & 0o777;
    if mode & OTHERS_WRITE != 0 {
        return Err(FileError::Open {
            path: path.to_owned(),
            mode,
        });
    }
    if mode & OTHERS_READ != 0 {
        let mode = format!("{mode:03o}");
        tracing::warn!(path = %path.display(), mode, "the store's file can be read by others");
    }
    Ok(is)
}

fn not_a_file(is: &Metadata, path: &Path) -> FileError {
    let kind = is.file_type();
    let what = if kind.is_dir() {
        "a directory"
    } else if kind.is_symlink() {
        "a symbolic link"
    } else if kind.is_fifo() {
        "a pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    };
    FileError::NotAFile {
        path: path.to_owned(),
        what,
    }
}

fn is_at(ours: &Metadata, path: &Path) -> bool {
    fs::symlink_metadata(path)
        .is_ok_and(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino()))
}

/// How many pages of a store the file has.
fn pages(file: &File, path: &Path) -> Result<u32, FileError> {
    let read = FileError::io("read", path);
    let len = file.metadata().map_err(FileError::io("look at", path))?;
    let len = len.len();
    if len == 0 {
        return Ok(0);
    }
    let front = read_front(file, len).map_err(read)?;
    let (pages, rest) = (len / PAGE as u64, len % PAGE as u64);
    if !superblock::is_begun(&front) {
        // Somebody was killed while they made it.
        if len <= u64::from(FRONT) * PAGE as u64 && superblock::is_unfinished(&front) {
            return file
                .set_len(0)
                .map(|()| 0)
                .map_err(FileError::io("empty", path));
        }
        return Err(FileError::refused(path)(Refused::Foreign));
    }
    let pages = u32::try_from(pages).unwrap_or(u32::MAX);
    if rest != 0 || pages == 0 {
        let named = pages.saturating_add(1);
        return Err(FileError::refused(path)(Refused::Truncated {
            pages,
            named,
        }));
    }
    Ok(pages)
}

/// The first bytes of a file, up to the end of where a store's entries begin.
fn read_front(file: &File, len: u64) -> io::Result<Vec<u8>> {
    let most = FRONT as usize * PAGE;
    let mut front = vec![0; usize::try_from(len).map_or(most, |len| len.min(most))];
    file.read_exact_at(&mut front, 0)?;
    Ok(front)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn refused(path: &Path) -> String {
        let before = fs::symlink_metadata(path).unwrap();
        let sentence = StoreFile::open(path).unwrap_err().to_string();
        let after = fs::symlink_metadata(path).unwrap();
        assert_eq!(before.len(), after.len());
        assert_eq!(before.mtime_nsec(), after.mtime_nsec());
        assert!(sentence.contains(path.to_str().unwrap()), "{sentence}");
        sentence
    }

    fn holding(content: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(&file, content).unwrap();
        file
    }

    #[test]
    fn a_file_that_is_not_there_is_made_for_its_user_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let store = StoreFile::open(&path).unwrap();
        assert_eq!(store.pages, 0);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_file_in_use_is_refused_until_it_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let store = StoreFile::open(&path).unwrap();
        assert!(refused(&path).contains("in use by another master"));
        let (copy, waiting) = (store.file.try_clone().unwrap(), path.clone());
        drop(store);
        let waiter = thread::spawn(move || StoreFile::open(&waiting).map(|_| ()));
        drop(copy);
        waiter.join().unwrap().unwrap();
    }

    #[test]
    fn what_is_no_file_is_called_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("folder")).unwrap();
        fs::write(at("file"), "").unwrap();
        symlink(at("file"), at("link")).unwrap();
        symlink(at("nothing"), at("astray")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        nix::unistd::mkfifo(&at("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        for (name, what) in [
            ("folder", "a directory"),
            ("link", "a symbolic link"),
            ("astray", "a symbolic link"),
            ("socket", "a socket"),
            ("pipe", "a pipe"),
        ] {
            let sentence = refused(&at(name));
            assert!(sentence.contains(what), "{name}: {sentence}");
        }
        assert!(!at("nothing").exists());
        assert!(refused(Path::new("/dev/null")).contains("a device"));
        let sentence = StoreFile::open(&at("missing/store")).unwrap_err();
        assert!(sentence.to_string().contains("No such file"), "{sentence}");
    }

    #[test]
    fn a_file_that_others_can_write_to_is_refused() {
        let file = holding(b"");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o620)).unwrap();
        assert!(refused(file.path()).contains("mode 620"));
    }

    #[test]
    fn what_is_no_store_is_refused() {
        let mut ends_wrong = vec![0; FRONT as usize * PAGE];
        ends_wrong[5000] = 1;
        let too_long = vec![0; (FRONT as usize + 1) * PAGE];
        for content in [b"hello", &vec![1; 2 * PAGE][..], &ends_wrong, &too_long] {
            let file = holding(content);
            assert!(refused(file.path()).contains("is not a store of memstore-cluster"));
            assert!(fs::read(&file).unwrap() == content);
        }
    }

    #[test]
    fn a_store_of_half_a_page_is_truncated() {
        for len in [16, PAGE - 1, PAGE + 1] {
            let mut content = b"memstore-cluster".to_vec();
            content.resize(len, 0);
            let file = holding(&content);
            assert!(refused(file.path()).contains("it is truncated"));
            assert!(fs::read(&file).unwrap() == content);
        }
    }

    #[test]
    fn what_was_never_finished_begins_anew() {
        let mut written = vec![0; FRONT as usize * PAGE];
        written[16..44].fill(7);
        for content in [&[0; 100], &written[..PAGE], &written, &[]] {
            let file = holding(content);
            assert_eq!(StoreFile::open(file.path()).unwrap().pages, 0);
            assert_eq!(fs::read(&file).unwrap(), b"");
        }
    }
}
