//! The file that makes Node programs use the shared listeners, and how workers are told of it.
//!
//! What it does is in `preload/node.cjs`, which is part of the binary. It must be a file, because
//! Node reads it again for every thread; readable by all, because a wrapper such as `gosu` may
//! become another user before it becomes Node; and there for as long as anybody has its name in the
//! environment, also after the master. So it is never removed: it is named by its contents, and
//! only ever replaced by the same.
//!
//! Used by the fleet for every worker, and by the command line where it becomes the command. Nobody
//! but its owner can write to the file or put another in its place.

use std::env;
use std::ffi::OsString;
use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{self, Path, PathBuf};

use nix::unistd::geteuid;
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::supervisor::spawn::EnvChange;

const NODE: &str = include_str!("preload/node.cjs");

/// The sticky bit keeps `tmpfiles.d(5)` from removing a file that was not used for long.
const FILE_MODE: u32 = 0o1644;
const FOLDER_MODE: u32 = 0o755;
const OTHERS_WRITE: u32 = 0o022;

/// What workers are told so that Node programs among them share listeners.
#[derive(Debug)]
pub(crate) struct Preload {
    folder: PathBuf,
    /// The `NODE_OPTIONS` that the workers would have.
    options: Option<OsString>,
    /// The addresses as a list in JSON, in the order of the descriptors.
    listeners: String,
}

impl Preload {
    /// For workers that inherit listeners at these addresses, in this order.
    pub(crate) fn new(addresses: impl IntoIterator<Item = String>) -> Self {
        let addresses: Vec<String> = addresses.into_iter().collect();
        Self {
            folder: env::temp_dir().join(format!("memstore-cluster-node-{}", geteuid())),
            options: env::var_os("NODE_OPTIONS"),
            listeners: serde_json::json!(addresses).to_string(),
        }
    }

    /// The changes to the environment of a worker that is started now; sees to it that the file is
    /// there.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be.
    pub(crate) fn env(&self) -> Result<Vec<EnvChange>> {
        let folder = path::absolute(&self.folder).map_err(Error::io("find the folder"))?;
        let file = folder.join(file_name());
        provide(&folder, &file)
            .map_err(Error::io(format!("write for Node to {}", file.display())))?;
        let mut options = self.options.clone().unwrap_or_default();
        if !options.is_empty() {
            options.push(" ");
        }
        options.push(require(&file));
        Ok(vec![
            ("NODE_OPTIONS".into(), Some(options)),
            (
                "MEMSTORE_NODE_LISTENERS".into(),
                Some(self.listeners.clone().into()),
            ),
        ])
    }
}

/// The option as `NODE_OPTIONS` takes it: quoted, for paths may have spaces.
fn require(file: &Path) -> String {
    let path = file.to_string_lossy();
    let path = path.replace('\\', "\\\\").replace('"', "\\\"");
    format!("--require=\"{path}\"")
}

fn file_name() -> String {
    let digest = Sha256::digest(NODE);
    let digits = digest.iter().take(8).map(|byte| format!("{byte:02x}"));
    format!("preload-{}.cjs", digits.collect::<String>())
}

/// Sees to it that `file` in `folder` has the right contents and is nobody else's.
fn provide(folder: &Path, file: &Path) -> io::Result<()> {
    make_folder(folder)?;
    if is_whole(file) {
        return Ok(());
    }
    // Whoever opens the file meanwhile finds it whole.
    let new = folder.join(format!(".{:016x}", fastrand::u64(..)));
    let written = write_new(&new).and_then(|()| fs::rename(&new, file));
    if written.is_err() {
        let _ = fs::remove_file(&new);
    }
    written
}

/// Whether the file is as this program writes it. In a folder that is only ours there is nobody
/// else's, but there may be half of one of ours, from when the disk was full.
fn is_whole(file: &Path) -> bool {
    fs::symlink_metadata(file).is_ok_and(|is| is.is_file() && is.mode() & 0o7777 == FILE_MODE)
        && fs::read(file).is_ok_and(|contents| contents == NODE.as_bytes())
}

fn write_new(path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(NODE.as_bytes())?;
    // Whatever the umask took away.
    file.set_permissions(Permissions::from_mode(FILE_MODE))
}

fn make_folder(folder: &Path) -> io::Result<()> {
    match fs::create_dir(folder) {
        Ok(()) => fs::set_permissions(folder, Permissions::from_mode(FOLDER_MODE))?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    // Of the link, not of what it points to: a link is not ours to follow here.
    let is = fs::symlink_metadata(folder)?;
    if is.is_dir() && is.uid() == geteuid().as_raw() && is.mode() & OTHERS_WRITE == 0 {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::PermissionDenied,
        "its directory must be ours and writable by nobody else",
    ))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn preload(folder: &Path, options: Option<&str>) -> Preload {
        Preload {
            folder: folder.to_owned(),
            options: options.map(OsString::from),
            ..Preload::new(["127.0.0.1:80".to_owned(), "unix:/a,b".to_owned()])
        }
    }

    fn text(env: &[EnvChange], name: &str) -> String {
        let (_, value) = env.iter().find(|(found, _)| found == name).unwrap();
        value.clone().unwrap().into_string().unwrap()
    }

    #[test]
    fn the_file_is_written_named_and_told_with_the_listeners() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("with space");
        let env = preload(&folder, Some("--no-warnings")).env().unwrap();
        let file = folder.join(file_name());
        assert_eq!(
            text(&env, "NODE_OPTIONS"),
            format!("--no-warnings --require=\"{}\"", file.display())
        );
        assert_eq!(
            text(&env, "MEMSTORE_NODE_LISTENERS"),
            r#"["127.0.0.1:80","unix:/a,b"]"#
        );
        assert_eq!(fs::read_to_string(&file).unwrap(), NODE);
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o7777, FILE_MODE);
    }

    #[test]
    fn what_is_missing_or_damaged_is_written_again() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("x");
        let file = folder.join(file_name());
        let check = || {
            preload(&folder, None).env().unwrap();
            assert_eq!(fs::read_to_string(&file).unwrap(), NODE);
            assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        };
        check();
        fs::write(&file, "half").unwrap();
        check();
        fs::set_permissions(&file, Permissions::from_mode(0o666)).unwrap();
        check();
        fs::remove_dir_all(&folder).unwrap();
        check();
        let before = fs::metadata(&file).unwrap().ino();
        check();
        assert_eq!(fs::metadata(&file).unwrap().ino(), before);
    }

    #[test]
    fn a_folder_that_others_prepared_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let open = dir.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, Permissions::from_mode(0o777)).unwrap();
        let link = dir.path().join("link");
        symlink(dir.path(), &link).unwrap();
        for folder in [open, link] {
            let error = preload(&folder, None).env().unwrap_err().to_string();
            assert!(error.contains(&folder.display().to_string()), "{error}");
            assert_eq!(
                fs::read_dir(&folder)
                    .unwrap()
                    .filter(|entry| { entry.as_ref().unwrap().path().extension().is_some() })
                    .count(),
                0
            );
        }
    }

    #[test]
    fn a_path_is_quoted_as_node_reads_it() {
        assert_eq!(
            require(Path::new(r#"/a "b"\c"#)),
            r#"--require="/a \"b\"\\c""#
        );
    }
}
