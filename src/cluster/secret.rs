//! The secret that both sides of the path socket know, in its file.

use std::path::Path;

use crate::error::{Error, Result};
use crate::protocol::auth::Secret;
use crate::secrets;

/// Reads a shared secret from a file. One line end at its end is not part of it.
///
/// # Errors
/// [`Error::Config`] where others than its owner may read or write the file, where its owner is
/// neither this process's user nor root, and where it holds no secret of fit length;
/// [`Error::Io`] where it cannot be read.
pub fn read_secret(path: impl AsRef<Path>) -> Result<Secret> {
    let path = path.as_ref();
    let secret = secrets::read(path, "secret")?;
    Secret::new(secret.as_slice())
        .map_err(|error| Error::Config(format!("{}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::auth::Side;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    fn read(content: &[u8]) -> Result<Secret> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        read_secret(path)
    }

    #[test]
    fn a_secret_is_what_is_in_its_file() {
        let nonce = [1; 32];
        let secret = read(b"sixteen bytes ok\n").unwrap();
        let proof = secret.prove(Side::Client, &nonce, &nonce);
        let same = Secret::new(*b"sixteen bytes ok").unwrap();
        assert!(same.verify(Side::Client, &nonce, &nonce, &proof));
    }

    #[test]
    fn one_that_is_too_short_is_told() {
        let error = read(b"short\n").unwrap_err().to_string();
        assert!(error.contains("5 bytes"), "{error}");
    }
}
