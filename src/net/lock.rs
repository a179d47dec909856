//! Who may be the master of a path: whoever holds the lock beside it.
//!
//! The lock is `flock(2)` on `PATH.lock`. The kernel lets go of it when its holder dies, however
//! it dies, so it is never stale; for the same reason the file is never removed. The descriptor is
//! close-on-exec: a worker that inherited it would keep a dead master alive. The existence of a
//! socket proves nothing and is not looked at here.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};
use nix::unistd::geteuid;

use super::place::{PlaceError, directory_of, ensure_default_folder};

/// The right to serve a path, until it and every [`PathSocket`](super::PathSocket) bound by it
/// are dropped.
#[derive(Debug, Clone)]
pub(crate) struct Mastership {
    path: PathBuf,
    _lock: Arc<Flock<File>>,
}

impl Mastership {
    /// Becomes the master of the socket at `path`, or fails at once with [`PlaceError::Held`].
    pub(crate) fn acquire(path: &Path) -> Result<Self, PlaceError> {
        ensure_default_folder(path)?;
        directory_of(path)?;
        let lock_path = lock_path(path);
        loop {
            let file = open(&lock_path)?;
            let mut lock = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(lock) => lock,
                Err((file, Errno::EWOULDBLOCK)) => {
                    return Err(PlaceError::Held {
                        path: path.to_owned(),
                        pid: read_pid(file),
                    });
                }
                Err((_, errno)) => return Err(PlaceError::io("lock", &lock_path)(errno)),
            };
            // The lock of a file that somebody removed or replaced meanwhile keeps nobody out.
            if is_at(&lock, &lock_path).map_err(PlaceError::io("look at", &lock_path))? {
                // It only serves to tell the others who holds it.
                if let Err(error) = write_pid(&mut lock) {
                    tracing::debug!(path = %lock_path.display(), %error, "pid not noted in the lock");
                }
                return Ok(Self {
                    path: path.to_owned(),
                    _lock: Arc::new(lock),
                });
            }
        }
    }

    /// The socket that it is the mastership of.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

fn lock_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}

fn open(path: &Path) -> Result<File, PlaceError> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(OFlag::O_NOFOLLOW.bits())
        .open(path)
        .map_err(PlaceError::io("open the lock file", path))?;
    let uid = file
        .metadata()
        .map_err(PlaceError::io("look at", path))?
        .uid();
    if uid != geteuid().as_raw() && uid != 0 {
        return Err(PlaceError::ForeignLock {
            path: path.to_owned(),
            uid,
        });
    }
    Ok(file)
}

fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let ours = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(there) => Ok((there.dev(), there.ino()) == (ours.dev(), ours.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn write_pid(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

fn read_pid(file: File) -> Option<u32> {
    let mut text = String::new();
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::testing;
    use nix::fcntl::{FcntlArg, FdFlag, fcntl};
    use std::os::unix::fs::symlink;

    fn is_held(path: &Path) -> bool {
        matches!(Mastership::acquire(path), Err(PlaceError::Held { .. }))
    }

    #[test]
    fn only_one_of_two_becomes_the_master_and_the_other_learns_who_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.sock");
        let held = Mastership::acquire(&path).unwrap();
        let error = Mastership::acquire(&path).unwrap_err();
        let own = std::process::id();
        assert!(matches!(error, PlaceError::Held { pid: Some(pid), .. } if pid == own));
        assert!(
            error.to_string().contains("held by a live master"),
            "{error}"
        );
        drop(held);
        Mastership::acquire(&path).unwrap();
    }

    #[test]
    fn the_lock_file_is_private_close_on_exec_and_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.sock");
        drop(Mastership::acquire(&path).unwrap());
        let file = open(&lock_path(&path)).unwrap();
        assert_eq!(file.metadata().unwrap().mode() & 0o7777, 0o600);
        let flags = fcntl(&file, FcntlArg::F_GETFD).unwrap();
        assert!(FdFlag::from_bits_retain(flags).contains(FdFlag::FD_CLOEXEC));
    }

    #[test]
    fn a_lock_file_that_was_replaced_is_not_mistaken_for_the_lock() {
        let directory = tempfile::tempdir().unwrap();
        let lock_path = lock_path(&directory.path().join("a.sock"));
        let file = open(&lock_path).unwrap();
        assert!(is_at(&file, &lock_path).unwrap());
        fs::remove_file(&lock_path).unwrap();
        assert!(!is_at(&file, &lock_path).unwrap());
        let _new = open(&lock_path).unwrap();
        assert!(!is_at(&file, &lock_path).unwrap());
    }

    #[test]
    fn a_link_in_the_place_of_the_lock_file_is_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.sock");
        let victim = directory.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        symlink(&victim, lock_path(&path)).unwrap();
        assert!(matches!(
            Mastership::acquire(&path),
            Err(PlaceError::Io { .. })
        ));
        assert_eq!(fs::read(&victim).unwrap(), b"precious");
    }

    #[test]
    fn a_lock_file_of_another_user_is_refused() {
        if !geteuid().is_root() {
            return; // only root can make one
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.sock");
        fs::write(lock_path(&path), "").unwrap();
        let other = nix::unistd::Uid::from_raw(4_711);
        nix::unistd::chown(&lock_path(&path), Some(other), None).unwrap();
        let error = Mastership::acquire(&path).unwrap_err();
        assert!(
            matches!(error, PlaceError::ForeignLock { uid: 4_711, .. }),
            "{error}"
        );
    }

    #[test]
    fn a_master_that_is_killed_lets_go() {
        const PATH: &str = "MEMSTORE_TEST_LOCK";
        if let Some(path) = std::env::var_os(PATH) {
            let _held = Mastership::acquire(Path::new(&path)).unwrap();
            testing::report_ready();
            testing::wait_to_be_killed();
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.sock");
        let mut child = testing::this_test_again(
            "net::lock::tests::a_master_that_is_killed_lets_go",
            &[(PATH, path.as_os_str())],
        );
        child.wait_until_ready();
        assert!(is_held(&path));
        child.kill();
        Mastership::acquire(&path).unwrap();
    }
}
