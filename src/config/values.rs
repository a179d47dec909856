//! Single values from what was written: the readers and printers that the table of settings uses.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use tracing_subscriber::filter::Targets;

use super::{
    BindAddress, BindAddressError, ByteSize, Invalid, Memory, Store, check_sock_path, duration,
};

pub(super) fn text(value: &OsStr) -> Result<&str, Invalid> {
    let text = value.to_str();
    text.ok_or_else(|| Invalid::new("must be text in UTF-8"))
}

pub(super) fn path(value: &OsStr) -> Result<&OsStr, Invalid> {
    if value.is_empty() {
        return Err(Invalid::new("must be the path of a file"));
    }
    Ok(value)
}

pub(super) fn path_text(path: Option<&Path>) -> Vec<String> {
    path.iter().map(|path| path.display().to_string()).collect()
}

pub(super) fn parsed<T: FromStr<Err = Invalid>>(value: &OsStr) -> Result<T, Invalid> {
    text(value)?.parse()
}

/// Of a store that cannot be read no more is told than can have no password in it.
pub(super) fn store(value: &OsStr) -> Result<Store, Invalid> {
    parsed(value).map_err(|why: Invalid| why.telling(Store::told(&value.to_string_lossy())))
}

pub(super) fn number(value: &OsStr) -> Result<u32, Invalid> {
    let number = text(value)?.trim().parse();
    number.map_err(|_| Invalid::new(format!("must be a number from 0 to {}", u32::MAX)))
}

pub(super) fn time(value: &OsStr) -> Result<Duration, Invalid> {
    duration::parse(text(value)?)
}

pub(super) fn positive_time(value: &OsStr) -> Result<Duration, Invalid> {
    match time(value)? {
        Duration::ZERO => Err(Invalid::new("must be longer than zero")),
        time => Ok(time),
    }
}

pub(super) fn time_text(time: Duration) -> Vec<String> {
    vec![duration::display(time).to_string()]
}

pub(super) fn size_up_to(value: &OsStr, ceiling: usize) -> Result<usize, Invalid> {
    let ByteSize(size) = parsed(value)?;
    let size = usize::try_from(size).ok();
    size.filter(|size| (1..=ceiling).contains(size))
        .ok_or_else(|| Invalid::new(format!("must be at least 1 and at most {ceiling} bytes")))
}

pub(super) fn size_text(size: usize) -> Vec<String> {
    vec![ByteSize(u64::try_from(size).unwrap_or(u64::MAX)).to_string()]
}

/// A bound on memory; `None` for the word that says there is none.
pub(super) fn memory_bound(value: &OsStr) -> Result<Option<u64>, Invalid> {
    if value == "none" {
        return Ok(None);
    }
    match parsed(value)? {
        ByteSize(size) if size < Memory::LEAST => Err(Invalid::new(format!(
            "must be at least {}, or none",
            ByteSize(Memory::LEAST)
        ))),
        ByteSize(size) => Ok(Some(size)),
    }
}

/// The path of a socket; `None` for the word that says there is none.
pub(super) fn sock_path(value: &OsStr) -> Result<Option<PathBuf>, Invalid> {
    if value == "none" {
        return Ok(None);
    }
    let path = PathBuf::from(value);
    check_sock_path(&path)?;
    Ok(Some(path))
}

/// The one place that knows what a bind address is, on the way from every source.
pub(super) fn bind_address(value: &OsStr) -> Result<BindAddress, Invalid> {
    let address = text(value)?.parse();
    address.map_err(|error: BindAddressError| Invalid::new(error.to_string()))
}

/// Which log events are written: a level, or levels by part.
pub(super) fn log_filter(value: &OsStr) -> Result<&str, Invalid> {
    let filter = text(value)?;
    let invalid = || {
        Invalid::new(
            "must be one of off, error, warn, info, debug, trace, or levels by part as in \
             info,memstore_cluster::net=debug",
        )
    };
    // A bare word that is no level would be taken for the name of a part, at every level: a
    // misspelt level must not be that.
    let known = |part: &str| {
        part.contains('=') || part.parse::<tracing::level_filters::LevelFilter>().is_ok()
    };
    if filter.is_empty() || !filter.split(',').all(known) {
        return Err(invalid());
    }
    filter
        .parse::<Targets>()
        .map(|_| filter)
        .map_err(|_| invalid())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_can_be_asked_for_by_part() {
        for filter in ["off", "DEBUG", "info,memstore_cluster::net=trace"] {
            assert_eq!(log_filter(OsStr::new(filter)), Ok(filter));
        }
    }

    #[test]
    fn none_is_a_word_and_everything_else_a_path() {
        assert_eq!(sock_path(OsStr::new("none")), Ok(None));
        assert_eq!(sock_path(OsStr::new("./none")), Ok(Some("./none".into())));
    }

    #[test]
    fn a_bound_on_memory_leaves_room_for_a_store() {
        assert_eq!(memory_bound(OsStr::new("none")), Ok(None));
        assert_eq!(memory_bound(OsStr::new("1MiB")), Ok(Some(1 << 20)));
        let error = memory_bound(OsStr::new("1MB")).unwrap_err();
        assert_eq!(error.to_string(), "must be at least 1MiB, or none");
        assert!(memory_bound(OsStr::new("lots")).is_err());
    }
}
