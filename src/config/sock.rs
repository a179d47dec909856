//! Where the path socket is when nobody said, and which paths a socket can have.
//!
//! Only names are made here; directories are made and checked by who binds.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::Invalid;

/// The longest path of a socket: `sun_path` of `unix(7)` less the NUL that ends it.
#[cfg(any(target_os = "linux", target_os = "android"))]
const MAX_PATH: usize = 107;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const MAX_PATH: usize = 103;

/// What the defaults depend on: facts of the process that asks, found by the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Surroundings {
    /// `$XDG_RUNTIME_DIR`: a directory of the user's own that goes with the login.
    pub runtime_dir: Option<PathBuf>,
    /// The folder for temporary files, which all users share.
    pub temp_dir: PathBuf,
    /// The user.
    pub uid: u32,
}

impl Surroundings {
    /// The path of the socket of the cluster `name`, and why it is there.
    pub fn default_sock(&self, name: &str) -> (PathBuf, &'static str) {
        let file = format!("{name}.sock");
        match &self.runtime_dir {
            Some(dir) => (
                dir.join("memstore-cluster").join(file),
                "by --name in $XDG_RUNTIME_DIR",
            ),
            None => (
                self.temp_dir
                    .join(format!("memstore-cluster-{}", self.uid))
                    .join(file),
                "by --name in the temporary folder, because XDG_RUNTIME_DIR is not set",
            ),
        }
    }
}

/// Whether a socket can have this path.
pub fn check_sock_path(path: &Path) -> Result<(), Invalid> {
    let bytes = path.as_os_str().as_bytes();
    if bytes.is_empty() || bytes.contains(&0) {
        return Err(Invalid::new("must be a path, or none for no socket"));
    }
    if bytes.len() > MAX_PATH {
        return Err(Invalid::new(format!(
            "has {} bytes, but the path of a socket can have at most {MAX_PATH}; put it into a \
             directory with a shorter name",
            bytes.len()
        )));
    }
    Ok(())
}

/// Whether a cluster can have this name, which is part of the name of a file.
pub fn check_name(name: &str) -> Result<(), Invalid> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() || name.len() > 64 || name.starts_with('.') || !name.chars().all(is_plain) {
        return Err(Invalid::new(
            "must be 1 to 64 letters, digits, dashes, underscores and dots, and not begin with a \
             dot: it names a file",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn surroundings(runtime_dir: Option<&str>) -> Surroundings {
        Surroundings {
            runtime_dir: runtime_dir.map(PathBuf::from),
            temp_dir: "/tmp".into(),
            uid: 1000,
        }
    }

    #[test]
    fn the_default_socket_is_private_to_the_user() {
        let (path, _) = surroundings(Some("/run/user/1000")).default_sock("web");
        assert_eq!(path, Path::new("/run/user/1000/memstore-cluster/web.sock"));
        let (path, why) = surroundings(None).default_sock("web");
        assert_eq!(path, Path::new("/tmp/memstore-cluster-1000/web.sock"));
        assert!(why.contains("XDG_RUNTIME_DIR is not set"));
    }

    #[test]
    fn a_socket_path_ends_where_the_kernel_says() {
        let longest = "x".repeat(MAX_PATH);
        assert!(check_sock_path(Path::new(&longest)).is_ok());
        let error = check_sock_path(Path::new(&(longest + "x"))).unwrap_err();
        assert!(error.to_string().contains("shorter name"), "{error}");
        assert!(check_sock_path(Path::new("")).is_err());
    }

    #[test]
    fn a_name_cannot_leave_its_directory() {
        assert!(check_name("web-1.blue_x").is_ok());
        for name in ["", "..", ".x", "a/b", "a\0b", "é", &"x".repeat(65)] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
    }
}
