//! `serve`: a master without workers.

use crate::config::Config;

use super::exit::{Exit, Failure};

/// Serves the store on the configuration's socket, which it has, until it is told to stop.
pub(crate) fn serve(_config: &Config) -> Result<Exit, Failure> {
    Err(Failure::sentence("serve is not built yet"))
}
