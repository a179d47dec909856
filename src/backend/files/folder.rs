//! The folder: what the backend does to files, and its own things in `.memstore` beside them.
//!
//! | in `.memstore` | |
//! |---|---|
//! | `lock` | held (`flock(2)`) as long as a master has the folder |
//! | `next` | in decimal a number that no entry has had as its version |
//! | `cleared` | in decimal: entries with lower versions, and files older than this one that others have written, are cleared and only not yet removed |
//! | `new` | files until they take their names |
//! | `damaged` | files that were no JSON objects, as they were found |
//!
//! A file gets its name only when it is whole, so nobody ever reads half of one.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions, ReadDir};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};

/// What is ours in the folder.
pub(super) const OURS: &str = ".memstore";
/// The shortest tick of the clock of file times that is known of, and one that is long.
const TICK: Duration = Duration::from_millis(1);
const LONGEST_TICK: Duration = Duration::from_millis(50);
/// From so many files on the whole file system is synced instead of each of them.
const MANY: usize = 8;

/// Versions stay below: what says more is damaged.
pub(super) const HIGHEST: u64 = 1 << 62;

/// A folder that is in no other master's hands.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    ours: PathBuf,
    made: u64,
    /// Gone once the folder was given up.
    lock: Option<Flock<File>>,
}

/// A file that has not got its name yet.
#[derive(Debug)]
pub(super) struct New(PathBuf);

/// What is known of a file besides its bytes.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) bytes: Vec<u8>,
    pub(super) modified: SystemTime,
}

fn make(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

impl Folder {
    /// Makes the folder if it is not there, and locks it; `None` where another master has.
    pub(super) fn open(path: &Path) -> io::Result<Option<Self>> {
        let ours = path.join(OURS);
        for folder in ["new", "damaged"] {
            make(&ours.join(folder))?;
        }
        // A file that is open for writing would keep a disk from being made read-only.
        let lock = ours.join("lock");
        match OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&lock)
        {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let lock = File::open(lock)?;
        let lock = match Flock::lock(lock, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => lock,
            Err((_, Errno::EWOULDBLOCK)) => return Ok(None),
            Err((_, errno)) => return Err(errno.into()),
        };
        let folder = Self {
            path: path.to_owned(),
            ours,
            made: 0,
            lock: Some(lock),
        };
        // What a master has left that was killed.
        for left in fs::read_dir(folder.ours.join("new"))? {
            fs::remove_file(left?.path())?;
        }
        Ok(Some(folder))
    }

    /// Lets others have it, and who has it now open it anew.
    pub(super) fn give_up(&mut self) {
        self.lock = None;
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// All that is in the folder.
    pub(super) fn list(&self) -> io::Result<ReadDir> {
        fs::read_dir(&self.path)
    }

    /// What is in a file; `None` where there is none, or what is there is no file.
    pub(super) fn read(&self, name: &str) -> io::Result<Option<Content>> {
        let opened = OpenOptions::new()
            .read(true)
            // Neither what a link leads to is an entry, nor what would have to be waited for.
            .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits())
            .open(self.path.join(name));
        let mut file = match opened {
            Ok(file) => file,
            Err(error) if is_absence(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Ok(None);
        }
        let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0) + 1);
        file.read_to_end(&mut bytes)?;
        Ok(Some(Content {
            bytes,
            modified: metadata.modified()?,
        }))
    }

    /// Writes a file that has no name yet.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<New> {
        self.made += 1;
        let new = New(self.ours.join("new").join(self.made.to_string()));
        let written = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new.0)
            .and_then(|mut file| file.write_all(bytes));
        match written {
            Ok(()) => Ok(new),
            Err(error) => {
                self.drop_new(&new);
                Err(error)
            }
        }
    }

    #[expect(clippy::unused_self, reason = "only its folder has such files")]
    pub(super) fn read_new(&self, new: &New) -> io::Result<Vec<u8>> {
        fs::read(&new.0)
    }

    #[expect(clippy::unused_self, reason = "only its folder has such files")]
    pub(super) fn drop_new(&self, new: &New) {
        // Where it stays, it is removed when the folder is next opened.
        let _ = fs::remove_file(&new.0);
    }

    /// Takes new files to the disk.
    pub(super) fn sync_new<'n>(
        &self,
        new: impl ExactSizeIterator<Item = &'n New>,
    ) -> io::Result<()> {
        if new.len() >= MANY {
            return self.sync_all();
        }
        for new in new {
            File::open(&new.0)?.sync_data()?;
        }
        Ok(())
    }

    /// Takes everything to the disk that was written to its file system.
    pub(super) fn sync_all(&self) -> io::Result<()> {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        nix::unistd::syncfs(File::open(&self.path)?)?;
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        nix::unistd::sync();
        Ok(())
    }

    /// Takes names to the disk.
    pub(super) fn sync_names(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }

    /// Gives a new file its name, instead of one that may have it.
    pub(super) fn name(&self, new: &New, name: &str) -> io::Result<()> {
        fs::rename(&new.0, self.path.join(name))
    }

    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        match fs::remove_file(self.path.join(name)) {
            Err(error) if !is_absence(&error) => Err(error),
            _ => Ok(()),
        }
    }

    /// Puts a file aside; where it is then.
    pub(super) fn set_aside(&self, name: &str) -> io::Result<PathBuf> {
        let damaged = self.ours.join("damaged");
        let from = self.path.join(name);
        for number in 0.. {
            let to = match number {
                0 => damaged.join(name),
                number => damaged.join(format!("{number}-{name}")),
            };
            // A link is made only where there is nothing, so nothing is lost.
            match fs::hard_link(&from, &to) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
                Ok(()) => return fs::remove_file(&from).map(|()| to),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// The number in one of our own files.
    pub(super) fn number(&self, name: &str) -> io::Result<Option<u64>> {
        let path = self.ours.join(name);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            // Refused below as what holds no number.
            Err(error) if error.kind() == io::ErrorKind::IsADirectory => Vec::new(),
            Err(error) => return Err(error),
        };
        let text = std::str::from_utf8(&bytes).unwrap_or_default();
        let number = text.trim_end().parse().ok();
        let number = number.filter(|number| *number < HIGHEST).ok_or_else(|| {
            let path = path.display();
            let why = format!("{path} holds no number; remove it to go on without it");
            io::Error::new(io::ErrorKind::InvalidData, why)
        });
        number.map(Some)
    }

    /// Writes a number into one of our own files; it is on the disk then.
    pub(super) fn put_number(&mut self, name: &str, number: u64) -> io::Result<()> {
        let new = self.write(format!("{number}\n").as_bytes())?;
        let put = self
            .sync_new([&new].into_iter())
            .and_then(|()| fs::rename(&new.0, self.ours.join(name)))
            .and_then(|()| File::open(&self.ours)?.sync_all());
        if put.is_err() {
            self.drop_new(&new);
        }
        put
    }

    /// The same, and says when that was: later than anything that is in the folder by now. File
    /// systems tell times apart no finer than the system's clock ticks, every few milliseconds.
    pub(super) fn put_dated(&mut self, name: &str, number: u64) -> io::Result<SystemTime> {
        self.put_number(name, number)?;
        let (first, began) = (self.modified(name)?, Instant::now());
        loop {
            thread::sleep(TICK);
            self.put_number(name, number)?;
            let at = self.modified(name)?;
            if at > first || began.elapsed() > LONGEST_TICK {
                return Ok(at);
            }
        }
    }

    /// When one of our own files was written.
    pub(super) fn modified(&self, name: &str) -> io::Result<SystemTime> {
        fs::metadata(self.ours.join(name))?.modified()
    }

    pub(super) fn remove_number(&self, name: &str) -> io::Result<()> {
        match fs::remove_file(self.ours.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// Whether the name is free, or what has it can be no entry.
fn is_absence(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ENOENT | libc::ELOOP | libc::EISDIR | libc::ENXIO | libc::ENOTDIR)
    )
}

/// Whether it is no fault of the file, but the system lacks what it may have again soon.
pub(super) fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::EINTR)
    )
}

/// A name in the folder that may be an entry's.
pub(super) fn text(name: &OsStr) -> Option<&str> {
    name.to_str().filter(|name| !name.starts_with('.'))
}
