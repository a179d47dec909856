//! What was typed: the sub-commands, their operands, and the flags of the settings.
//!
//! The flags of settings are made from the table in `config`, so that nothing about them is
//! written twice; their values are kept as they are, for the merge to read. The sub-commands are in
//! `verb`. Pure.

mod verb;

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, CommandFactory, FromArgMatches};
use clap_complete::Shell;

use crate::config::merge::Flags;
use crate::config::settings::{self, Purpose, Setting, Shape};
use crate::contract::{Condition, Expiry};
use crate::snapshot::Format;

use super::copy::Copy;
use super::help;
use super::subscribe::Subscribe;
use verb::Line;

/// The variable that names the configuration file.
pub(crate) const CONFIG_VARIABLE: &str = "MEMSTORE_CONFIG";

/// What was typed.
pub(crate) struct Typed {
    pub(crate) action: Action,
    pub(crate) config_file: Option<PathBuf>,
    /// The settings that were given as flags.
    pub(crate) flags: Flags,
}

/// Without the values of flags: that of --store may have a password in it.
impl fmt::Debug for Typed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Typed")
            .field("action", &self.action)
            .field("config_file", &self.config_file)
            .field("flags", &self.flags.keys())
            .finish()
    }
}

/// What is to be done.
#[derive(Debug, PartialEq)]
pub(crate) enum Action {
    /// Run this command, never empty, as the workers.
    Run(Vec<OsString>),
    /// Serve the store without workers.
    Serve,
    /// Ask a master.
    Ask(Request),
    /// Write what is published to some channels.
    Subscribe(Subscribe),
    /// Write all entries of a master's store to a file; `None` is standard output.
    Dump(Format, Option<PathBuf>),
    /// Write the entries of such a file, or of standard input, to a master's store.
    Load(Option<PathBuf>, Condition),
    /// Copy the entries of a store to another.
    Copy(Copy),
    /// Look at the configuration.
    Config(What),
    /// Write a completion script.
    Completions(Shell),
    /// Write the manual: into this directory, or to standard output.
    Man(Option<PathBuf>),
}

/// What is asked of a master.
#[derive(Debug, PartialEq)]
pub(crate) enum Request {
    Get {
        key: Vec<u8>,
    },
    Set {
        key: Vec<u8>,
        /// `None`: it is what standard input has.
        value: Option<Vec<u8>>,
        expiry: Expiry,
        condition: Condition,
    },
    Touch {
        key: Vec<u8>,
        expiry: Expiry,
    },
    Destroy {
        key: Vec<u8>,
        tombstone: Option<Duration>,
    },
    Publish {
        channel: Vec<u8>,
        /// `None`: it is what standard input has.
        message: Option<Vec<u8>>,
    },
    All,
    Length,
    Clear,
    Ping,
}

/// What `config` does with a configuration that is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    Check,
    Show,
}

/// What the arguments of a process say, its own name first.
///
/// # Errors
///
/// What is to be told instead: also help and the version, where those were asked for.
pub(crate) fn parse(arguments: &[OsString]) -> Result<Typed, clap::Error> {
    let mut command = help::attach(command());
    let matches = command
        .try_get_matches_from_mut(arguments)
        .map_err(|error| hint(error, arguments))?;
    let line = Line::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?;
    let mut typed = Typed {
        action: line.verb.action(),
        config_file: None,
        flags: Flags::new(),
    };
    if typed.action == Action::Run(Vec::new()) {
        return Err(clap::Error::raw(
            ErrorKind::MissingRequiredArgument,
            "run needs the command that the workers run, after two dashes:\n\n    \
             memstore-cluster run -- node app.js\n\n\
             For a store without workers there is 'memstore-cluster serve'.\n",
        ));
    }
    if let Some((name, matches)) = matches.subcommand() {
        if let Some(purpose) = purpose(name) {
            typed.config_file = matches.get_one("config").cloned();
            typed.flags = flags(purpose, matches);
        }
    }
    Ok(typed)
}

/// Tells somebody who wrote `run node app.js` where the dashes go. They are asked for because a
/// word that was meant as a flag's value must not be started as a command.
fn hint(mut error: clap::Error, arguments: &[OsString]) -> clap::Error {
    let stray = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(stray)) if !stray.starts_with('-') => stray,
        _ => return error,
    };
    if arguments.get(1).is_some_and(|verb| verb == "run") {
        let tip = format!("the command of the workers comes after two dashes: run -- {stray}");
        error.insert(
            ContextKind::Suggested,
            ContextValue::StyledStrs(vec![tip.into()]),
        );
    }
    error
}

/// The command line with all flags, without the sections at the end of the help.
pub(crate) fn command() -> clap::Command {
    let command = Line::command().disable_help_subcommand(true);
    command.mut_subcommands(|sub| match purpose(sub.get_name()) {
        Some(purpose) => sub.arg(config_file()).args(counting(purpose).map(flag)),
        None => sub,
    })
}

/// What the configuration of a sub-command is for; `None` for one that needs none.
pub(crate) fn purpose(name: &str) -> Option<Purpose> {
    match name {
        "run" => Some(Purpose::Run),
        "serve" => Some(Purpose::Serve),
        "config" => Some(Purpose::Show),
        "completions" | "man" => None,
        _ => Some(Purpose::Client),
    }
}

fn counting(purpose: Purpose) -> impl Iterator<Item = &'static Setting> {
    settings::all().filter(move |setting| setting.counts_for(purpose))
}

fn config_file() -> Arg {
    Arg::new("config")
        .long("config")
        .value_name("PATH")
        .value_parser(clap::value_parser!(PathBuf))
        .help("A TOML file with settings")
        .long_help(format!(
            "A TOML file with settings; its keys are the names of the flags without the dashes.\n\
             [environment: {CONFIG_VARIABLE}]"
        ))
}

fn flag(setting: &'static Setting) -> Arg {
    let arg = Arg::new(setting.key)
        .long(setting.key)
        .value_name(setting.value)
        .value_parser(clap::value_parser!(OsString))
        .help_heading(setting.group)
        .help(help::short(setting))
        .long_help(help::long(setting));
    match setting.shape {
        Shape::One => arg.action(ArgAction::Set),
        Shape::OneOr(bare) => arg
            .action(ArgAction::Set)
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value(bare),
        Shape::List => arg.action(ArgAction::Append),
    }
}

fn flags(purpose: Purpose, matches: &ArgMatches) -> Flags {
    let given = |setting: &'static Setting| {
        let values = matches.get_many::<OsString>(setting.key)?;
        Some((setting.key, values.cloned().collect()))
    };
    counting(purpose).filter_map(given).collect()
}

#[cfg(test)]
#[path = "args_tests.rs"]
mod tests;
