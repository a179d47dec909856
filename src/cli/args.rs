//! What was typed: the sub-commands, their operands, and the flags of the settings.
//!
//! The flags of settings are made from the table in `config`, so that nothing about them is
//! written twice; their values are kept as they are, for the merge to read. Pure.

use std::ffi::OsString;
use std::fmt;
use std::num::NonZeroU64;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;

use crate::config::merge::Flags;
use crate::config::settings::{self, Purpose, Setting, Shape};
use crate::config::{Invalid, duration};
use crate::contract::{Condition, Expiry, Seq};
use crate::snapshot::Format;

use super::copy::Copy;
use super::help;

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

#[derive(Parser)]
#[command(
    name = "memstore-cluster",
    version,
    about = "Run a command on every core, with one store for all of them",
    long_about = help::ABOUT
)]
struct Line {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Keep a worker per core running the command, and a store for them
    #[command(long_about = help::RUN, override_usage = "memstore-cluster run [OPTIONS] -- CMD...")]
    Run {
        /// The command and its arguments
        #[arg(last = true, value_name = "CMD")]
        command: Vec<OsString>,
    },
    /// Serve a store to clients, without workers
    Serve,
    /// Write the value of an entry to standard output
    #[command(
        long_about = "Write the value of an entry to standard output, byte for byte. Ends \
                            with code 1 where there is no such entry."
    )]
    Get {
        /// The key
        key: OsString,
    },
    /// Write an entry
    #[command(
        long_about = "Write an entry: its value and when it expires. Ends with code 1 where \
                            a condition was asked for that does not hold."
    )]
    Set(SetArgs),
    /// Change when an entry expires
    #[command(
        long_about = "Change when an entry expires. Ends with code 1 where there is no such \
                            entry; one that has expired is not brought back."
    )]
    #[command(
        override_usage = "memstore-cluster touch [OPTIONS] KEY --ttl DURATION\n       \
                                memstore-cluster touch [OPTIONS] KEY --no-expiry"
    )]
    Touch(TouchArgs),
    /// Remove an entry, if there is one
    Destroy {
        /// The key
        key: OsString,
    },
    /// Write all entries to standard output, one JSON object per line
    All,
    /// Write the number of entries to standard output
    Length,
    /// Remove all entries
    Clear,
    /// Ask whether the master answers
    Ping,
    /// Write all entries to a file, with their deadlines, to be loaded again
    #[command(long_about = help::DUMP)]
    Dump {
        /// How they are written
        #[arg(long, value_enum, value_name = "FORMAT", default_value = "binary")]
        format: Format,
        /// The file; without it, or as -, standard output
        file: Option<PathBuf>,
    },
    /// Write the entries of a dump to the store
    #[command(long_about = help::LOAD)]
    Load {
        /// Leave entries as they are that are there already
        #[arg(long)]
        if_absent: bool,
        /// The file; without it, or as -, standard input
        file: Option<PathBuf>,
    },
    /// Copy all entries of a store to another of any kind, with their deadlines
    #[command(long_about = help::COPY)]
    Copy {
        /// Follow what changes until this is ended, with Ctrl-C or SIGTERM
        #[arg(long)]
        live: bool,
        /// The store to read: master: or a URL as of --store
        from: String,
        /// The store to write: master: or a URL as of --store
        to: String,
    },
    /// Check the configuration, or show it
    #[command(long_about = help::CONFIG)]
    Config {
        /// Print each setting with its value and where that came from
        #[arg(long)]
        show: bool,
    },
    /// Write a completion script for a shell to standard output
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write the manual pages into a directory, or to standard output
    Man {
        /// The directory, which must exist
        directory: Option<PathBuf>,
    },
}

#[derive(Args)]
struct SetArgs {
    /// The key
    key: OsString,
    /// The value; without it, the value is what standard input has, up to its end
    #[arg(allow_negative_numbers = true)]
    value: Option<OsString>,
    /// Let it expire after this time (500ms, 10s, 5m, 1h30m, 2d; a plain number is seconds)
    #[arg(long, value_name = "DURATION", value_parser = ttl)]
    ttl: Option<Duration>,
    /// Let it expire when the entry that is there would have
    #[arg(long, conflicts_with = "ttl")]
    keep_ttl: bool,
    /// Only if the entry has this write sequence number
    #[arg(long, value_name = "N", group = "condition")]
    if_seq: Option<NonZeroU64>,
    /// Only if there is no such entry
    #[arg(long, group = "condition")]
    nx: bool,
    /// Only if there is such an entry
    #[arg(long, group = "condition")]
    xx: bool,
}

#[derive(Args)]
struct TouchArgs {
    /// The key
    key: OsString,
    /// Let it expire after this time (500ms, 10s, 5m, 1h30m, 2d; a plain number is seconds)
    #[arg(long, value_name = "DURATION", value_parser = ttl)]
    #[arg(required_unless_present = "no_expiry", conflicts_with = "no_expiry")]
    ttl: Option<Duration>,
    /// Let it never expire
    #[arg(long)]
    no_expiry: bool,
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

fn ttl(text: &str) -> Result<Duration, Invalid> {
    match duration::parse(text)? {
        Duration::ZERO => Err(Invalid::new(
            "must be longer than zero; destroy removes an entry at once",
        )),
        ttl => Ok(ttl),
    }
}

/// In whole milliseconds, rounded up, so that no entry goes early.
fn after(ttl: Duration) -> Expiry {
    let ms = ttl.as_nanos().div_ceil(1_000_000);
    Expiry::AfterMs(u64::try_from(ms).unwrap_or(u64::MAX))
}

/// A file that is not one of the standard streams.
fn named(file: Option<PathBuf>) -> Option<PathBuf> {
    file.filter(|file| file.as_os_str() != "-")
}

impl Verb {
    fn action(self) -> Action {
        let bytes = OsString::into_vec;
        let request = match self {
            Self::Run { command } => return Action::Run(command),
            Self::Serve => return Action::Serve,
            Self::Config { show: true } => return Action::Config(What::Show),
            Self::Config { show: false } => return Action::Config(What::Check),
            Self::Dump { format, file } => return Action::Dump(format, named(file)),
            Self::Load { file, if_absent } => {
                let condition = if if_absent {
                    Condition::IfAbsent
                } else {
                    Condition::Always
                };
                return Action::Load(named(file), condition);
            }
            Self::Copy { live, from, to } => {
                let is_live = live;
                return Action::Copy(Copy { from, to, is_live });
            }
            Self::Completions { shell } => return Action::Completions(shell),
            Self::Man { directory } => return Action::Man(directory),
            Self::Get { key } => Request::Get { key: bytes(key) },
            Self::Set(set) => set.request(),
            Self::Touch(TouchArgs { key, ttl, .. }) => Request::Touch {
                key: bytes(key),
                expiry: ttl.map_or(Expiry::Never, after),
            },
            Self::Destroy { key } => Request::Destroy { key: bytes(key) },
            Self::All => Request::All,
            Self::Length => Request::Length,
            Self::Clear => Request::Clear,
            Self::Ping => Request::Ping,
        };
        Action::Ask(request)
    }
}

impl SetArgs {
    fn request(self) -> Request {
        Request::Set {
            key: self.key.into_vec(),
            value: self.value.map(OsString::into_vec),
            expiry: match self.ttl {
                Some(ttl) => after(ttl),
                None if self.keep_ttl => Expiry::Keep,
                None => Expiry::Never,
            },
            condition: match self.if_seq {
                Some(seq) => Condition::IfSeq(Seq(seq.get())),
                None if self.nx => Condition::IfAbsent,
                None if self.xx => Condition::IfPresent,
                None => Condition::Always,
            },
        }
    }
}

#[cfg(test)]
#[path = "args_tests.rs"]
mod tests;
