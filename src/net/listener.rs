//! The socket at a path: never open to who is not let in, never at its name before it listens.
//!
//! It is bound in a fresh directory that only we can enter, given its mode, set to listen and then
//! renamed to its name; so there is no moment in which others could connect to it, no moment in
//! which its name points at a socket that does not listen, and the umask, which belongs to the
//! whole process, is left alone. It is private unless other users are named who may connect; then
//! it is them who need a way into its directory. A stale socket at the name is replaced, a live one never, nor
//! anything that is no socket.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use mio::net::{UnixListener, UnixStream};
use nix::unistd::mkdtemp;

use super::lock::Mastership;
use super::place::{PlaceError, check_length, directory_of};

/// The directory beside the socket that it is bound in; short, for its length counts.
const NURSERY: &str = ".XXXXXX";
/// The name of the socket in there.
const NEWBORN: &str = "s";
/// The mode of the socket: connecting takes the permission to write.
const PRIVATE: u32 = 0o600;
/// Where some other users may connect. Permissions cannot name them, so the kernel lets everybody
/// come and the master sends those away who are not named, without running anything of them.
const OPEN: u32 = 0o666;
/// Who else than its owner may go through a directory.
const OTHERS_ENTER: u32 = 0o011;

/// A listening socket at the path of a [`Mastership`]. Removes its name when dropped, if the name
/// is still its own, and lets go of the mastership only then.
#[derive(Debug)]
pub(crate) struct PathSocket {
    listener: UnixListener,
    path: PathBuf,
    inode: Inode,
    _mastership: Mastership,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Inode(u64, u64);

impl Inode {
    fn at(path: &Path) -> io::Result<Self> {
        fs::symlink_metadata(path).map(|is| Self(is.dev(), is.ino()))
    }
}

impl PathSocket {
    /// Listens at the path of `mastership`, for this user's processes and those of `others`.
    pub(crate) fn bind(mastership: &Mastership, others: &[u32]) -> Result<Self, PlaceError> {
        let path = mastership.path();
        let directory = directory_of(path)?;
        check_length(path, &directory.join(NURSERY).join(NEWBORN))?;
        refuse_if_taken(path)?;

        let nursery = Nursery::create_in(directory)?;
        let newborn = nursery.socket();
        let listener =
            UnixListener::bind(&newborn).map_err(PlaceError::io("bind a socket for", path))?;
        let mode = if others.is_empty() {
            PRIVATE
        } else {
            warn_if_closed(directory);
            OPEN
        };
        fs::set_permissions(&newborn, Permissions::from_mode(mode))
            .map_err(PlaceError::io("set the mode of the socket for", path))?;
        let inode = Inode::at(&newborn).map_err(PlaceError::io("look at", &newborn))?;
        fs::rename(&newborn, path).map_err(PlaceError::io("put a socket at", path))?;
        Ok(Self {
            listener,
            path: path.to_owned(),
            inode,
            _mastership: mastership.clone(),
        })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn listener_mut(&mut self) -> &mut UnixListener {
        &mut self.listener
    }
}

impl Drop for PathSocket {
    fn drop(&mut self) {
        if Inode::at(&self.path).is_ok_and(|there| there == self.inode) {
            if let Err(error) = fs::remove_file(&self.path) {
                tracing::warn!(path = %self.path.display(), %error, "the socket was not removed");
            }
        }
    }
}

fn warn_if_closed(directory: &Path) {
    if fs::metadata(directory).is_ok_and(|is| is.mode() & OTHERS_ENTER == 0) {
        tracing::warn!(
            directory = %directory.display(),
            "other users may connect (--allow-uid) but cannot enter the socket's directory"
        );
    }
}

/// A fresh directory that is removed with what is in it.
struct Nursery(PathBuf);

impl Nursery {
    fn create_in(directory: &Path) -> Result<Self, PlaceError> {
        mkdtemp(&directory.join(NURSERY))
            .map(Self)
            .map_err(PlaceError::io("create a socket in", directory))
    }

    fn socket(&self) -> PathBuf {
        self.0.join(NEWBORN)
    }
}

impl Drop for Nursery {
    fn drop(&mut self) {
        // Gone already where all went well.
        let _ = fs::remove_file(self.socket());
        if let Err(error) = fs::remove_dir(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "the directory was not removed");
        }
    }
}

/// Refuses a path with anything on it but a socket that nobody listens on. Connecting shows that;
/// the lock cannot, where it is another program's socket.
fn refuse_if_taken(path: &Path) -> Result<(), PlaceError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(PlaceError::io("look at", path)(error)),
        Ok(is) if !is.file_type().is_socket() => {
            return Err(PlaceError::NotASocket(path.to_owned()));
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound
            ) =>
        {
            Ok(())
        }
        // Its queue of connections is full, which is life enough.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            Err(PlaceError::InUse(path.to_owned()))
        }
        Err(error) => Err(PlaceError::io("find out whether anybody listens at", path)(
            error,
        )),
        Ok(_) => Err(PlaceError::InUse(path.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net;

    struct Place {
        directory: tempfile::TempDir,
        path: PathBuf,
    }

    impl Place {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("a.sock");
            Self { directory, path }
        }

        fn bind(&self) -> Result<PathSocket, PlaceError> {
            PathSocket::bind(&Mastership::acquire(&self.path)?, &[])
        }

        /// What is in the directory, sorted.
        fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(self.directory.path()).unwrap();
            let name =
                |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
            let mut names: Vec<_> = entries.map(name).collect();
            names.sort();
            names
        }
    }

    #[test]
    fn the_socket_is_private_listens_and_leaves_nothing_but_the_lock() {
        let place = Place::new();
        let socket = place.bind().unwrap();
        assert_eq!(fs::metadata(&place.path).unwrap().mode() & 0o7777, 0o600);
        assert_eq!(place.names(), ["a.sock", "a.sock.lock"]);
        net::UnixStream::connect(&place.path).unwrap();
        drop(socket);
        assert_eq!(place.names(), ["a.sock.lock"]);
    }

    #[test]
    fn where_other_users_are_named_the_kernel_lets_them_come() {
        let place = Place::new();
        let mastership = Mastership::acquire(&place.path).unwrap();
        let _socket = PathSocket::bind(&mastership, &[4_711]).unwrap();
        assert_eq!(fs::metadata(&place.path).unwrap().mode() & 0o7777, 0o666);
    }

    #[test]
    fn a_stale_socket_is_replaced() {
        let place = Place::new();
        drop(net::UnixListener::bind(&place.path).unwrap());
        assert!(net::UnixStream::connect(&place.path).is_err(), "not stale");
        let _socket = place.bind().unwrap();
        net::UnixStream::connect(&place.path).unwrap();
    }

    #[test]
    fn a_live_master_keeps_its_path() {
        let place = Place::new();
        let _socket = place.bind().unwrap();
        assert!(matches!(place.bind(), Err(PlaceError::Held { .. })));
        net::UnixStream::connect(&place.path).unwrap();
    }

    #[test]
    fn the_mastership_ends_with_its_socket_and_not_before() {
        let place = Place::new();
        let mastership = Mastership::acquire(&place.path).unwrap();
        let socket = PathSocket::bind(&mastership, &[]).unwrap();
        drop(mastership);
        assert!(matches!(place.bind(), Err(PlaceError::Held { .. })));
        drop(socket);
        place.bind().unwrap();
    }

    #[test]
    fn the_live_socket_of_another_program_is_left_alone() {
        let place = Place::new();
        let other = net::UnixListener::bind(&place.path).unwrap();
        assert!(matches!(place.bind(), Err(PlaceError::InUse(_))));
        let _client = net::UnixStream::connect(&place.path).unwrap();
        other.accept().unwrap();
        assert_eq!(place.names(), ["a.sock", "a.sock.lock"]);
    }

    #[test]
    fn what_is_no_socket_is_left_alone() {
        let place = Place::new();
        fs::write(&place.path, "precious").unwrap();
        let error = place.bind().unwrap_err();
        assert!(matches!(error, PlaceError::NotASocket(_)));
        assert!(error.to_string().contains("is no socket"), "{error}");
        assert_eq!(fs::read(&place.path).unwrap(), b"precious");

        fs::remove_file(&place.path).unwrap();
        fs::create_dir(&place.path).unwrap();
        assert!(matches!(place.bind(), Err(PlaceError::NotASocket(_))));
    }

    #[test]
    fn a_name_that_is_no_longer_ours_is_not_removed() {
        let place = Place::new();
        let socket = place.bind().unwrap();
        fs::remove_file(&place.path).unwrap();
        let _successor = net::UnixListener::bind(&place.path).unwrap();
        drop(socket);
        net::UnixStream::connect(&place.path).unwrap();
    }

    #[test]
    fn a_path_that_is_too_long_is_refused_before_anything_is_created() {
        let place = Place::new();
        let long = place.directory.path().join("x".repeat(120));
        let mastership = Mastership::acquire(&long).unwrap();
        let error = PathSocket::bind(&mastership, &[]).unwrap_err();
        assert!(matches!(error, PlaceError::TooLong { .. }), "{error}");
        assert_eq!(place.names().len(), 1, "only the lock: {:?}", place.names());
    }

    #[test]
    fn a_directory_that_cannot_be_written_to_is_named() {
        if nix::unistd::geteuid().is_root() {
            return; // root can write everywhere
        }
        let place = Place::new();
        fs::set_permissions(place.directory.path(), Permissions::from_mode(0o500)).unwrap();
        let error = place.bind().unwrap_err();
        assert!(matches!(error, PlaceError::Io { .. }), "{error}");
    }
}
