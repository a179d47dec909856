//! What is secret, in a file of its own: read only where nobody else can read it.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::geteuid;
use zeroize::Zeroizing;

use crate::error::{Error, Result};

/// The permissions that such a file must not give.
const OF_OTHERS: u32 = 0o077;
/// The most bytes that are read; no secret is longer.
const MOST: u64 = 4 << 10;

/// Reads a file with nothing but a secret, which messages call `what`. One line end at its end is
/// not part of it.
///
/// # Errors
/// [`Error::Config`] where others than its owner may read or write the file, where its owner is
/// neither this process's user nor root, and where it is too long; [`Error::Io`] where it cannot be
/// read.
pub(crate) fn read(path: &Path, what: &str) -> Result<Zeroizing<Vec<u8>>> {
    let name = path.display();
    let failed = || Error::io(format!("read the {what} in {name}"));
    let file = File::open(path).map_err(failed())?;
    // Of the file that was opened, whatever is at its name by now.
    let is = file.metadata().map_err(failed())?;
    if is.mode() & OF_OTHERS != 0 {
        return Err(Error::Config(format!(
            "the {what} in {name} is open to others (mode {:03o}); `chmod 600 {name}`, and replace \
             the {what} if it was so for long",
            is.mode() & 0o777
        )));
    }
    if is.uid() != geteuid().as_raw() && is.uid() != 0 {
        return Err(Error::Config(format!(
            "the {what} in {name} belongs to user {}, who can change it; it must be this user's \
             or root's",
            is.uid()
        )));
    }
    // Never moved while it grows, so that no copy stays behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(MOST + 1).unwrap_or(0)));
    file.take(MOST + 1)
        .read_to_end(&mut bytes)
        .map_err(failed())?;
    if bytes.len() as u64 > MOST {
        return Err(Error::Config(format!(
            "the {what} in {name} has more than {MOST} bytes; 32 random ones are good"
        )));
    }
    for end in [b'\n', b'\r'] {
        if bytes.last() == Some(&end) {
            bytes.pop();
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    fn file(content: &[u8], mode: u32) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        (folder, path)
    }

    #[test]
    fn a_line_end_is_no_part_of_it() {
        for (content, secret) in [
            (&b"a secret\n"[..], &b"a secret"[..]),
            (b"a secret\r\n", b"a secret"),
            (b"a secret", b"a secret"),
            (b"a secret\n\n", b"a secret\n"),
            (b"\n", b""),
        ] {
            let (_folder, path) = file(content, 0o600);
            assert_eq!(read(&path, "secret").unwrap().as_slice(), secret);
        }
    }

    #[test]
    fn what_others_can_read_is_no_secret() {
        for mode in [0o640, 0o604, 0o620, 0o602] {
            let (_folder, path) = file(b"a secret\n", mode);
            let error = read(&path, "password").unwrap_err().to_string();
            assert!(
                error.starts_with("the password in ")
                    && error.contains("chmod 600")
                    && error.contains(&format!("{mode:o}")),
                "{error}"
            );
        }
    }

    #[test]
    fn too_long_and_missing_are_told() {
        let (_folder, path) = file(&[7; 5_000], 0o600);
        let error = read(&path, "secret").unwrap_err().to_string();
        assert!(error.contains("more than 4096"), "{error}");
        assert!(matches!(
            read(Path::new("/does/not/exist"), "secret"),
            Err(Error::Io { .. })
        ));
    }
}
