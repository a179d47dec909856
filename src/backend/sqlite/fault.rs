//! What SQLite's errors mean here.

use std::io;
use std::path::Path;

use rusqlite::{ErrorCode, ffi};

use crate::backend::BackendError;

/// What is to be done about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remedy {
    /// Nothing: what was asked is not done, and may be asked again.
    Retry,
    /// Others hold the lock: whoever comes next does not wait for them again.
    Hurry,
    /// The database is opened anew: it may have been repaired or replaced.
    Reopen,
}

/// What a request is answered with, and what to do about it.
pub(super) fn of(path: &Path, error: &rusqlite::Error) -> (BackendError, Remedy) {
    let path = path.display();
    if is_full(error) {
        let why = format!("there is no more room for the database {path}");
        return (BackendError::Full(why), Remedy::Retry);
    }
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            let why = format!("the database {path} is locked by another program");
            (BackendError::Failed(why), Remedy::Hurry)
        }
        Some(ErrorCode::OutOfMemory) => (BackendError::OutOfMemory { bound: None }, Remedy::Retry),
        Some(ErrorCode::TooBig) => {
            let why = format!("the entry is too large for the database {path}");
            (BackendError::Failed(why), Remedy::Retry)
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            let why = format!("the database {path} is damaged: {error}");
            (BackendError::Failed(why), Remedy::Reopen)
        }
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            let why = format!("the database {path} cannot be written to: {error}");
            (BackendError::Failed(why), Remedy::Reopen)
        }
        _ => {
            let why = format!("the database {path} failed: {error}");
            (BackendError::Failed(why), Remedy::Reopen)
        }
    }
}

/// Whether somebody has to change something before a database that failed so can be opened.
pub(super) fn is_configured_wrongly(error: &rusqlite::Error) -> bool {
    !matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::DiskFull
                | ErrorCode::OutOfMemory
                | ErrorCode::SystemIoFailure
                // Who opens a log at the same time as many others may be told so.
                | ErrorCode::FileLockingProtocolFailed
        )
    )
}

/// Whether there is no room: for the database, its log, or the index of that.
pub(super) fn is_full(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error().map(|error| error.extended_code);
    matches!(code, Some(ffi::SQLITE_FULL | ffi::SQLITE_IOERR_SHMSIZE))
}

/// Whether a file could not be opened, the database's or another one.
pub(super) fn is_unopened(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::CannotOpen)
}

/// Whether a database for which there can be no log can perhaps be used without one.
pub(super) fn is_of_log(error: &rusqlite::Error) -> bool {
    !is_full(error)
        && !matches!(
            error.sqlite_error_code(),
            Some(
                ErrorCode::CannotOpen
                    | ErrorCode::DatabaseCorrupt
                    | ErrorCode::NotADatabase
                    | ErrorCode::OutOfMemory
            )
        )
}

/// Whether the system lacks something that it may have again without anybody's doing.
pub(super) fn is_passing(error: &io::Error) -> bool {
    let passing = [
        libc::EMFILE,
        libc::ENFILE,
        libc::ENOMEM,
        libc::ENOSPC,
        libc::EDQUOT,
        libc::EIO,
        libc::EINTR,
    ];
    let code = error.raw_os_error();
    code.is_some_and(|code| passing.contains(&code))
}

/// Whether there is nothing of that name.
pub(super) fn is_absence(error: &io::Error) -> bool {
    use io::ErrorKind::{NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory)
}
