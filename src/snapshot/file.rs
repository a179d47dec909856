//! A file that takes the place of another whole, or not at all.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::error::{Error, Result};

/// A file in the making, beside the one whose place it will take. Readable by its owner only:
/// what is in a store concerns nobody else. Gone when dropped before [`commit`](Self::commit).
pub(crate) struct Replacement {
    out: BufWriter<File>,
    /// The temporary name; `None` when it has become the file.
    temporary: Option<PathBuf>,
    path: PathBuf,
}

static NUMBER: AtomicU32 = AtomicU32::new(0);

impl Replacement {
    /// Begins. What is at `path` stays as it is, and must be a file if it is there: the place of
    /// a device or a pipe is not taken.
    ///
    /// # Errors
    /// [`Error::Io`], as for all of its functions.
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let cannot = || Error::io(format!("write {}", path.display()));
        // Behind a symbolic link it is the file itself that is replaced.
        let path = match fs::canonicalize(path) {
            Ok(path) if path.is_file() => path,
            Ok(_) => return Err(cannot()(io::Error::other("it is no regular file"))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_owned(),
            Err(error) => return Err(cannot()(error)),
        };
        let temporary = temporary(&path);
        // Left behind by a process with our number, which is no more.
        let _ = fs::remove_file(&temporary);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)
            .map_err(Error::io(format!("create {}", temporary.display())))?;
        Ok(Self {
            out: BufWriter::with_capacity(64 << 10, file),
            temporary: Some(temporary),
            path,
        })
    }

    /// For `map_err`: it could not be written.
    fn cannot(&self) -> impl FnOnce(io::Error) -> Error + use<> {
        Error::io(format!("write {}", self.path.display()))
    }

    /// Takes the place: what was written is on the disk before the name says so.
    pub(crate) fn commit(mut self) -> Result<()> {
        self.out
            .flush()
            .and_then(|()| self.out.get_ref().sync_all())
            .map_err(self.cannot())?;
        if let Some(temporary) = &self.temporary {
            fs::rename(temporary, &self.path).map_err(self.cannot())?;
        }
        self.temporary = None;
        File::open(folder(&self.path))
            .and_then(|folder| folder.sync_all())
            .map_err(self.cannot())
    }
}

impl Write for Replacement {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            let _ = fs::remove_file(temporary);
        }
    }
}

/// Opens a file to read it; `None` where there is none.
pub(crate) fn open(path: &Path) -> Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io(format!("open {}", path.display()))(error)),
    }
}

/// A name beside `path`, of this process and this call.
fn temporary(path: &Path) -> PathBuf {
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}-{number}.tmp", process::id()));
    path.with_file_name(name)
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn names(folder: &Path) -> Vec<OsString> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name()).collect()
    }

    #[test]
    fn a_replacement_is_there_whole_and_private_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dump");
        fs::write(&path, "old").unwrap();
        let mut file = Replacement::create(&path).unwrap();
        file.write_all(b"half").unwrap();
        drop(file);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        let mut file = Replacement::create(&path).unwrap();
        file.write_all(b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        file.commit().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(names(folder.path()), ["dump"]);
    }

    #[test]
    fn what_is_behind_a_link_is_replaced_and_the_link_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("dump"), folder.path().join("link"));
        fs::write(&path, "old").unwrap();
        std::os::unix::fs::symlink("dump", &link).unwrap();
        Replacement::create(&link).unwrap().commit().unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::read(&path).unwrap(), b"");
    }

    #[test]
    fn a_device_a_directory_and_a_missing_one_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("no/dump");
        for path in [Path::new("/dev/null"), folder.path(), &missing] {
            assert!(Replacement::create(path).is_err(), "{}", path.display());
        }
        assert!(!Path::new("/dev/null").is_file());
        assert!(names(folder.path()).is_empty());
    }
}
