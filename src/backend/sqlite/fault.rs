//! What SQLite's errors mean here.

use std::path::Path;

use rusqlite::ErrorCode;

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
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            let why = format!("the database {path} is locked by another program");
            (BackendError::Failed(why), Remedy::Hurry)
        }
        Some(ErrorCode::DiskFull) => {
            let why = format!("there is no more room for the database {path}");
            (BackendError::Full(why), Remedy::Retry)
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
        )
    )
}
