//! From what was typed to what it means: reads the configuration file and this process's
//! surroundings, and merges them with flags and environment.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use crate::config::file::File;
use crate::config::merge::{Environment, Merged, Sources, merge};
use crate::config::settings::Purpose;
use crate::net;

use super::args::{CONFIG_VARIABLE, Typed};
use super::exit::{Exit, Failure};

/// The configuration for `purpose`, or everything that is wrong with it.
pub(crate) fn load(
    purpose: Purpose,
    typed: &Typed,
    environment: &Environment,
) -> Result<Merged, Failure> {
    let (file, mut problems) = match file_name(typed, environment) {
        Some((path, origin)) => File::parse(&path, &read(&path, origin)?),
        None => (File::default(), Vec::new()),
    };
    let sources = Sources {
        flags: &typed.flags,
        environment,
        file: &file,
        surroundings: &net::surroundings(),
    };
    match merge(purpose, &sources) {
        Ok(merged) if problems.is_empty() => Ok(merged),
        Ok(_) => Err(Failure::config(&problems)),
        Err(more) => {
            problems.extend(more);
            Err(Failure::config(&problems))
        }
    }
}

fn file_name(typed: &Typed, environment: &Environment) -> Option<(PathBuf, &'static str)> {
    if let Some(path) = &typed.config_file {
        return Some((path.clone(), "--config"));
    }
    let path = set(environment, CONFIG_VARIABLE)?;
    Some((path.into(), CONFIG_VARIABLE))
}

fn read(path: &Path, origin: &str) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| {
        let sentence = format!(
            "cannot read the configuration file {}, which {origin} names: {error}",
            path.display()
        );
        Failure::Problems(Exit::Config, vec![sentence])
    })
}

fn set<'a>(environment: &'a Environment, name: &str) -> Option<&'a OsString> {
    let value = environment.get(OsStr::new(name));
    value.filter(|value| !value.is_empty())
}
