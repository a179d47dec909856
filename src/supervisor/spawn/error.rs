//! Why a worker could not be started, in a sentence that helps.

use std::ffi::OsStr;
use std::io;
use std::path::Path;

use nix::errno::Errno;

/// What a command's failure to start means to whoever typed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpawnErrorKind {
    /// There is no such command; a shell would exit with 127. Trying again will not help.
    NotFound,
    /// It is there but cannot be executed; a shell would exit with 126. Trying again will not
    /// help.
    NotExecutable,
    /// The system refused something; it may be different later.
    Other,
}

/// A worker could not be started. Nothing of it is left.
#[derive(Debug, thiserror::Error)]
#[error("cannot start {command}: {step}")]
pub struct SpawnError {
    kind: SpawnErrorKind,
    command: String,
    step: &'static str,
    source: io::Error,
}

impl SpawnError {
    pub(super) fn new(command: &OsStr, step: &'static str, source: io::Error) -> Self {
        Self {
            kind: SpawnErrorKind::Other,
            command: command.to_string_lossy().into_owned(),
            step,
            source,
        }
    }

    /// The error of a command that was prepared well and not executed. `tried` are the files that
    /// it could have been.
    pub(super) fn exec<'a>(
        command: &OsStr,
        tried: impl IntoIterator<Item = &'a Path>,
        errno: Errno,
    ) -> Self {
        let found = tried.into_iter().find(|path| path.exists());
        let (kind, step) = match (errno, found) {
            (Errno::ENOENT | Errno::ENOTDIR, Some(_)) => (
                SpawnErrorKind::NotFound,
                "the interpreter that its first line names, or its loader, does not exist",
            ),
            (Errno::ENOENT | Errno::ENOTDIR, None) if command.is_empty() => {
                (SpawnErrorKind::NotFound, "the command is empty")
            }
            (Errno::ENOENT | Errno::ENOTDIR, None) if is_bare(command) => (
                SpawnErrorKind::NotFound,
                "no directory in PATH has this command",
            ),
            (Errno::ENOENT | Errno::ENOTDIR, None) => {
                (SpawnErrorKind::NotFound, "there is no such file")
            }
            (Errno::EACCES, Some(path)) if path.is_dir() => {
                (SpawnErrorKind::NotExecutable, "it is a directory")
            }
            (Errno::EACCES, _) => (
                SpawnErrorKind::NotExecutable,
                "this user may not execute it (chmod +x)",
            ),
            (Errno::ENOEXEC, _) => (
                SpawnErrorKind::NotExecutable,
                "it is no program for this machine",
            ),
            (Errno::E2BIG, _) => (
                SpawnErrorKind::Other,
                "its arguments and environment are too long",
            ),
            _ => (SpawnErrorKind::Other, "the system would not execute it"),
        };
        Self {
            kind,
            ..Self::new(command, step, errno.into())
        }
    }

    /// What it means to whoever typed the command.
    pub fn kind(&self) -> SpawnErrorKind {
        self.kind
    }
}

/// Whether a command is looked up in `PATH`.
fn is_bare(command: &OsStr) -> bool {
    !command.as_encoded_bytes().contains(&b'/')
}

impl From<SpawnError> for crate::Error {
    fn from(error: SpawnError) -> Self {
        Self::Spawn {
            command: error.command,
            step: error.step,
            source: error.source,
        }
    }
}
