//! `get`, `set` and the other commands to a master.

use std::io::Write;

use crate::config::ClientConfig;

use super::args::Request;
use super::exit::{Exit, Failure};

/// Asks the master that `client` names, and writes what it answers to `out`.
pub(crate) fn ask(
    _client: &ClientConfig,
    _request: &Request,
    _out: &mut impl Write,
) -> Result<Exit, Failure> {
    Err(Failure::sentence(
        "the commands to a master are not built yet",
    ))
}
