//! Where a socket may be: the default path, and what is asked of a path and its directory.
//!
//! Used by the lock, the path socket and whoever needs to know the default path, clients included:
//! they too must not talk to a socket in a directory that somebody else prepared.
//!
//! What is asked: in our default directory nobody else can do anything, so it must be ours and
//! closed to others. A directory that the user names may be shared. Sticky ones like `/tmp` are
//! fine, because nobody can replace what is ours there; so are those that a group may write to,
//! because whoever set that up trusts the group. Only where *everybody* can replace the socket by
//! his own is it refused.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, DirBuilder};
use std::io;
use std::mem::{offset_of, size_of};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use libc::sockaddr_un;
use nix::unistd::geteuid;

use crate::config::{Surroundings, check_name};
use crate::error::Error;

/// The most bytes of a socket's path: 107 on Linux. One byte is left for the end.
pub(super) const MAX_PATH: usize = size_of::<sockaddr_un>() - offset_of!(sockaddr_un, sun_path) - 1;

const STICKY: u32 = 0o1000;
const OTHERS_WRITE: u32 = 0o002;
const ALL_BUT_OWNER: u32 = 0o077;

/// Why a path cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum PlaceError {
    /// Another master serves it, or is about to.
    #[error(
        "{} is held by a live master{}; connect to it, stop it, or choose another path",
        .path.display(), known_pid(*.pid)
    )]
    Held { path: PathBuf, pid: Option<u32> },
    /// Something that takes no lock answers on it.
    #[error("{} is in use: another program listens on it", .0.display())]
    InUse(PathBuf),
    /// Something stands there that is no socket.
    #[error("{} exists and is no socket; it was left untouched, choose another path", .0.display())]
    NotASocket(PathBuf),
    /// The system cannot take so long a path.
    #[error(
        "the socket path {} is too long: with its temporary name it needs {needs} bytes, a socket \
         takes at most {MAX_PATH}; choose a shorter one", .path.display()
    )]
    TooLong { path: PathBuf, needs: usize },
    /// The name of a store cannot be part of a path.
    #[error("{0:?} cannot name a store: it must be one plain file name")]
    BadName(String),
    /// The path names no file.
    #[error("{} does not name a socket", .0.display())]
    NoFile(PathBuf),
    /// The directory is not there, or is no directory.
    #[error("{} is no directory; create it or choose another path", .0.display())]
    NoDirectory(PathBuf),
    /// Everybody could replace the socket by another.
    #[error(
        "{} can be written to by everybody and is not sticky, so anybody could put another socket \
         in the place of ours; `chmod o-w` it or choose another directory", .0.display()
    )]
    OpenDirectory(PathBuf),
    /// The default directory was prepared by somebody else, or is open to others.
    #[error(
        "{} must be a directory of user {uid} that is closed to others (mode 0700); remove it, or \
         name a socket elsewhere", .path.display()
    )]
    NotPrivate { path: PathBuf, uid: u32 },
    /// The lock file was prepared by somebody else, who could keep us out.
    #[error("{} belongs to user {uid}, not to us; remove it or choose another path", .path.display())]
    ForeignLock { path: PathBuf, uid: u32 },
    /// The system refused something.
    #[error("cannot {action} {}", .path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl PlaceError {
    /// For `map_err`: what was attempted, on what.
    pub(super) fn io<E: Into<io::Error>>(
        action: &'static str,
        path: &Path,
    ) -> impl FnOnce(E) -> Self {
        let path = path.to_owned();
        move |source| Self::Io {
            action,
            path,
            source: source.into(),
        }
    }
}

impl From<PlaceError> for Error {
    fn from(error: PlaceError) -> Self {
        match error {
            PlaceError::Held { path, pid } => Self::Held { path, pid },
            PlaceError::Io {
                action,
                path,
                source,
            } => Self::io(format!("{action} {}", path.display()))(source),
            other => Self::Config(other.to_string()),
        }
    }
}

fn known_pid(pid: Option<u32>) -> String {
    pid.map(|pid| format!(" (process {pid})"))
        .unwrap_or_default()
}

/// What the default path of a socket depends on.
pub(crate) fn surroundings() -> Surroundings {
    surroundings_of(env::var_os("XDG_RUNTIME_DIR").as_deref(), &env::temp_dir())
}

fn surroundings_of(runtime: Option<&OsStr>, temporary: &Path) -> Surroundings {
    // The XDG specification has relative paths ignored.
    let runtime = runtime.map(PathBuf::from);
    Surroundings {
        runtime_dir: runtime.filter(|path| path.is_absolute() && path.is_dir()),
        temp_dir: temporary.to_owned(),
        uid: geteuid().as_raw(),
    }
}

/// Where the store `name` is served unless somebody says otherwise. Creates the directory.
pub(crate) fn default_path(name: &str) -> Result<PathBuf, PlaceError> {
    default_path_in(&surroundings(), name)
}

fn default_path_in(surroundings: &Surroundings, name: &str) -> Result<PathBuf, PlaceError> {
    check_name(name).map_err(|_| PlaceError::BadName(name.to_owned()))?;
    let (path, _) = surroundings.default_sock(name);
    ensure_default_folder_in(surroundings, &path)?;
    Ok(path)
}

/// Makes sure of the directory of `path` where that is our default one.
pub(crate) fn ensure_default_folder(path: &Path) -> Result<(), PlaceError> {
    ensure_default_folder_in(&surroundings(), path)
}

fn ensure_default_folder_in(surroundings: &Surroundings, path: &Path) -> Result<(), PlaceError> {
    let (default, _) = surroundings.default_sock("any");
    match default.parent() {
        Some(folder) if path.parent() == Some(folder) => ensure_private(folder),
        _ => Ok(()),
    }
}

/// Sees to it that `folder` is there, ours and closed to others.
fn ensure_private(folder: &Path) -> Result<(), PlaceError> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(PlaceError::io("create the directory", folder)(error));
        }
        _ => {}
    }
    // Of the link, not of what it points to: a link is not ours to follow here.
    let is = fs::symlink_metadata(folder).map_err(PlaceError::io("look at", folder))?;
    let uid = geteuid().as_raw();
    if is.is_dir() && is.uid() == uid && is.mode() & ALL_BUT_OWNER == 0 {
        return Ok(());
    }
    Err(PlaceError::NotPrivate {
        path: folder.to_owned(),
        uid,
    })
}

/// The directory that the socket at `path` is in, once it is known to be fit for one.
pub(super) fn directory_of(path: &Path) -> Result<&Path, PlaceError> {
    let no_file = || PlaceError::NoFile(path.to_owned());
    path.file_name().ok_or_else(no_file)?;
    let directory = match path.parent().ok_or_else(no_file)? {
        // Of a bare file name.
        parent if parent.as_os_str().is_empty() => Path::new("."),
        parent => parent,
    };
    let is = match fs::metadata(directory) {
        Ok(is) if is.is_dir() => is,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Err(PlaceError::io("look at", directory)(error));
        }
        _ => return Err(PlaceError::NoDirectory(directory.to_owned())),
    };
    if is.mode() & OTHERS_WRITE != 0 && is.mode() & STICKY == 0 {
        return Err(PlaceError::OpenDirectory(directory.to_owned()));
    }
    Ok(directory)
}

/// Refuses what a socket at `path`, bound as `temporary` at first, cannot be named.
pub(super) fn check_length(path: &Path, temporary: &Path) -> Result<(), PlaceError> {
    let len = |path: &Path| path.as_os_str().as_bytes().len();
    let needs = len(path).max(len(temporary));
    if needs <= MAX_PATH {
        return Ok(());
    }
    Err(PlaceError::TooLong {
        path: path.to_owned(),
        needs,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn the_default_is_in_the_runtime_directory_and_private() {
        let runtime = tempfile::tempdir().unwrap();
        let path = default_path_in(
            &surroundings_of(Some(runtime.path().as_os_str()), Path::new("/nowhere")),
            "app",
        )
        .unwrap();
        assert_eq!(path, runtime.path().join("memstore-cluster/app.sock"));
        assert_eq!(mode(path.parent().unwrap()), 0o700);
    }

    #[test]
    fn without_a_runtime_directory_the_default_is_in_the_temporary_folder() {
        let temporary = tempfile::tempdir().unwrap();
        let expected = temporary
            .path()
            .join(format!("memstore-cluster-{}/app.sock", geteuid()));
        for runtime in [None, Some("relative"), Some("/does/not/exist")] {
            let path = surroundings_of(runtime.map(OsStr::new), temporary.path());
            let path = default_path_in(&path, "app").unwrap();
            assert_eq!(path, expected);
        }
        assert_eq!(mode(expected.parent().unwrap()), 0o700);
    }

    #[test]
    fn a_default_directory_that_somebody_else_prepared_is_refused() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary
            .path()
            .join(format!("memstore-cluster-{}", geteuid()));
        let attempt = || default_path_in(&surroundings_of(None, temporary.path()), "app");
        let is_refused = || matches!(attempt(), Err(PlaceError::NotPrivate { .. }));

        fs::create_dir(&folder).unwrap();
        set_mode(&folder, 0o750);
        assert!(is_refused(), "open to the group");
        fs::remove_dir(&folder).unwrap();

        let elsewhere = temporary.path().join("elsewhere");
        DirBuilder::new().mode(0o700).create(&elsewhere).unwrap();
        symlink(&elsewhere, &folder).unwrap();
        assert!(is_refused(), "a link");
        fs::remove_file(&folder).unwrap();

        attempt().unwrap();
        if geteuid().is_root() {
            nix::unistd::chown(&folder, Some(nix::unistd::Uid::from_raw(4_711)), None).unwrap();
            assert!(is_refused(), "of another user");
        }
    }

    #[test]
    fn a_name_that_would_leave_the_directory_is_refused() {
        let runtime = tempfile::tempdir().unwrap();
        for name in ["", ".", "..", "a/b", "../x", "a\0b"] {
            let path = default_path_in(
                &surroundings_of(Some(runtime.path().as_os_str()), runtime.path()),
                name,
            );
            assert!(matches!(path, Err(PlaceError::BadName(_))), "{name:?}");
        }
    }

    #[test]
    fn only_a_directory_where_everybody_can_replace_the_socket_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.sock");
        for fit in [0o700, 0o755, 0o775, 0o1777] {
            set_mode(directory.path(), fit);
            assert_eq!(directory_of(&path).unwrap(), directory.path(), "{fit:o}");
        }
        set_mode(directory.path(), 0o777);
        assert!(matches!(
            directory_of(&path),
            Err(PlaceError::OpenDirectory(_))
        ));
    }

    #[test]
    fn a_path_without_directory_or_file_is_told_so() {
        assert_eq!(directory_of(Path::new("a.sock")).unwrap(), Path::new("."));
        assert!(matches!(
            directory_of(Path::new("/")),
            Err(PlaceError::NoFile(_))
        ));
        assert!(matches!(
            directory_of(Path::new("")),
            Err(PlaceError::NoFile(_))
        ));
        let missing = directory_of(Path::new("/does/not/exist/a.sock"));
        assert!(matches!(missing, Err(PlaceError::NoDirectory(_))));
    }

    #[test]
    fn the_longest_path_is_told_with_the_numbers() {
        let exact = PathBuf::from("x".repeat(MAX_PATH));
        let over = PathBuf::from("x".repeat(MAX_PATH + 1));
        check_length(&exact, &exact).unwrap();
        for (path, temporary) in [(&over, &exact), (&exact, &over)] {
            let error = check_length(path, temporary).unwrap_err().to_string();
            assert!(
                error.contains(&format!("needs {} bytes", MAX_PATH + 1)),
                "{error}"
            );
            assert!(error.contains(&format!("at most {MAX_PATH}")), "{error}");
        }
        if cfg!(target_os = "linux") {
            assert_eq!(MAX_PATH, 107);
        }
    }
}
