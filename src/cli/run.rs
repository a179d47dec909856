//! `run`: a master and its workers.

use std::ffi::OsString;

use crate::config::Config;

use super::exit::{Exit, Failure};

/// Keeps workers running `command`, which is never empty, until it is told to stop.
pub(crate) fn run(_config: &Config, _command: &[OsString]) -> Result<Exit, Failure> {
    Err(Failure::sentence("run is not built yet"))
}
