//! The secret in its file: read only where nobody else can read it.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::geteuid;
use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::protocol::auth::Secret;

/// The permissions that a secret's file must not give.
const OF_OTHERS: u32 = 0o077;
/// The most bytes that are read; no secret is longer.
const MOST: u64 = 4 << 10;

/// Reads a shared secret from a file. One line end at its end is not part of it.
///
/// # Errors
/// [`Error::Config`] where others than its owner may read or write the file, where its owner is
/// neither this process's user nor root, and where it holds no secret of fit length;
/// [`Error::Io`] where it cannot be read.
pub fn read_secret(path: impl AsRef<Path>) -> Result<Secret> {
    let path = path.as_ref();
    let name = path.display();
    let failed = || Error::io(format!("read the secret in {name}"));
    let file = File::open(path).map_err(failed())?;
    // Of the file that was opened, whatever is at its name by now.
    let is = file.metadata().map_err(failed())?;
    if is.mode() & OF_OTHERS != 0 {
        return Err(Error::Config(format!(
            "the secret in {name} is open to others (mode {:03o}); `chmod 600 {name}`, and replace \
             the secret if it was so for long",
            is.mode() & 0o777
        )));
    }
    if is.uid() != geteuid().as_raw() && is.uid() != 0 {
        return Err(Error::Config(format!(
            "the secret in {name} belongs to user {}, who can change it; it must be this user's \
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
            "the secret in {name} has more than {MOST} bytes; 32 random ones are good"
        )));
    }
    let secret = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let secret = secret.strip_suffix(b"\r").unwrap_or(secret);
    Secret::new(secret).map_err(|error| Error::Config(format!("{name}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::auth::Side;
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
    fn a_line_end_is_no_part_of_the_secret() {
        let (_folder, path) = file(b"sixteen bytes ok\n", 0o600);
        let nonce = [1; 32];
        let proof = read_secret(path)
            .unwrap()
            .prove(Side::Client, &nonce, &nonce);
        let same = Secret::new(*b"sixteen bytes ok").unwrap();
        assert!(same.verify(Side::Client, &nonce, &nonce, &proof));
    }

    #[test]
    fn a_secret_that_others_can_read_is_none() {
        for mode in [0o640, 0o604, 0o620, 0o602] {
            let (_folder, path) = file(b"sixteen bytes ok\n", mode);
            let error = read_secret(path).unwrap_err().to_string();
            assert!(
                error.contains("chmod 600") && error.contains(&format!("{mode:o}")),
                "{error}"
            );
        }
    }

    #[test]
    fn too_short_too_long_and_missing_are_told() {
        let (_folder, path) = file(b"short\n", 0o600);
        assert!(
            read_secret(&path)
                .unwrap_err()
                .to_string()
                .contains("5 bytes")
        );
        let (_folder, path) = file(&[7; 5_000], 0o600);
        assert!(
            read_secret(&path)
                .unwrap_err()
                .to_string()
                .contains("more than 4096")
        );
        assert!(matches!(
            read_secret("/does/not/exist"),
            Err(Error::Io { .. })
        ));
    }
}
