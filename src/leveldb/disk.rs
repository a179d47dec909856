//! The folder of a database: the only place from which files are touched.
//!
//! [`Disk`] is the seam; [`Folder`] is the real one and holds the lock that keeps other processes
//! out, the same that LevelDB takes: a record lock (`fcntl(2)`) on the file `LOCK`. It belongs to
//! the open file here, so that a second database in the same process is kept out too.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};

use super::{LevelError, Result};
use crate::sys::WHOLE;

/// What a database does with its folder.
pub(crate) trait Disk: Send {
    fn list(&self) -> io::Result<Vec<String>>;
    fn read(&self, name: &str) -> io::Result<Vec<u8>>;
    /// Fills `buffer` from the bytes at `at` on.
    fn read_at(&self, name: &str, at: u64, buffer: &mut [u8]) -> io::Result<()>;
    fn size(&self, name: &str) -> io::Result<u64>;
    /// A new file, instead of one that may be there.
    fn create(&self, name: &str) -> io::Result<Box<dyn Out>>;
    /// Takes the place of what may be at `to`, at once.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes the names in the folder as lasting as the files.
    fn sync_names(&self) -> io::Result<()>;
}

/// A file that is being written.
pub(crate) trait Out: Send {
    fn write_at(&mut self, at: u64, bytes: &[u8]) -> io::Result<()>;
    fn truncate(&mut self, length: u64) -> io::Result<()>;
    fn sync(&mut self) -> io::Result<()>;
}

const LOCK: &str = "LOCK";
/// How many files are kept open for reading; others are opened anew.
const OPEN_FILES: usize = 200;

/// A folder that nobody else uses.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    files: RefCell<HashMap<String, File>>,
    _lock: File,
}

impl Folder {
    /// Locks a folder; makes it where it is not there.
    ///
    /// # Errors
    /// [`LevelError::InUse`] where somebody else has locked it.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let name = path.to_string_lossy().into_owned();
        let mut builder = fs::DirBuilder::new();
        builder
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => io::ErrorKind::NotADirectory.into(),
                _ => error,
            })
            .map_err(LevelError::io("open", &name))?;
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path.join(LOCK))
            .map_err(LevelError::io("open", LOCK))?;
        self::lock(&lock)?;
        Ok(Self {
            path: path.to_owned(),
            files: RefCell::default(),
            _lock: lock,
        })
    }

    fn at(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

fn lock(file: &File) -> Result<()> {
    match fcntl(file, FcntlArg::F_OFD_SETLK(&WHOLE)) {
        Ok(_) => Ok(()),
        Err(Errno::EAGAIN | Errno::EACCES) => {
            let mut holder = WHOLE;
            let known = fcntl(file, FcntlArg::F_OFD_GETLK(&mut holder)).is_ok();
            // Locks of open files, as the one here, have no process.
            let pid = Some(holder.l_pid).filter(|pid| known && *pid > 0);
            Err(LevelError::InUse { pid })
        }
        Err(errno) => Err(LevelError::io("lock", LOCK)(errno.into())),
    }
}

impl Disk for Folder {
    fn list(&self) -> io::Result<Vec<String>> {
        let names = fs::read_dir(&self.path)?.map(|entry| Ok(entry?.file_name().into_string()));
        let names: io::Result<Vec<_>> = names.collect();
        // Names that are no text are none of LevelDB's.
        Ok(names?.into_iter().filter_map(Result::ok).collect())
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        fs::read(self.at(name))
    }

    fn read_at(&self, name: &str, at: u64, buffer: &mut [u8]) -> io::Result<()> {
        let mut files = self.files.borrow_mut();
        if let Some(file) = files.get(name) {
            return file.read_exact_at(buffer, at);
        }
        if files.len() >= OPEN_FILES {
            files.clear();
        }
        let file = File::open(self.at(name))?;
        file.read_exact_at(buffer, at)?;
        files.insert(name.to_owned(), file);
        Ok(())
    }

    fn size(&self, name: &str) -> io::Result<u64> {
        Ok(fs::metadata(self.at(name))?.len())
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn Out>> {
        self.files.borrow_mut().remove(name);
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(self.at(name))?;
        Ok(Box::new(file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.at(from), self.at(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.files.borrow_mut().remove(name);
        fs::remove_file(self.at(name))
    }

    fn sync_names(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }
}

impl Out for File {
    fn write_at(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_all_at(bytes, at)
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_for_one_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        let first = Folder::open(&path).unwrap();
        assert!(matches!(
            Folder::open(&path),
            Err(LevelError::InUse { pid: None })
        ));
        drop(first);
        Folder::open(&path).unwrap();
    }
}
