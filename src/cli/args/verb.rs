//! What can be typed: the sub-commands and their operands, and what each of them means.

use std::ffi::OsString;
use std::num::NonZeroU64;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use super::{Action, Request, What};
use crate::cli::copy::Copy;
use crate::cli::help;
use crate::cli::subscribe::Subscribe;
use crate::config::{Invalid, duration};
use crate::contract::{Condition, Expiry, Seq};
use crate::snapshot::Format;

#[derive(Parser)]
#[command(
    name = "memstore-cluster",
    version,
    about = "Run a command on every core, with one store for all of them",
    long_about = help::ABOUT
)]
pub(super) struct Line {
    #[command(subcommand)]
    pub(super) verb: Verb,
}

#[derive(Subcommand)]
pub(super) enum Verb {
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
    #[command(long_about = "Remove an entry. Ends with code 1 where there is none.")]
    Destroy {
        /// The key
        key: OsString,
        /// For so long refuse writes of the key that do not say that they create it (set --nx), so
        /// that what a request under way still saves does not undo a logout
        #[arg(long, value_name = "DURATION", value_parser = lasting)]
        tombstone: Option<Duration>,
    },
    /// Write all entries to standard output, one JSON object per line
    All,
    /// Write the number of entries to standard output
    Length,
    /// Remove all entries
    Clear,
    /// Ask whether the master answers
    Ping,
    /// Send a message to all who are subscribed to a channel
    #[command(long_about = help::PUBLISH)]
    Publish {
        /// The channel
        channel: OsString,
        /// The message; without it, the message is what standard input has, up to its end
        #[arg(allow_negative_numbers = true)]
        message: Option<OsString>,
    },
    /// Write what is published to channels to standard output, one JSON object per line
    #[command(long_about = help::SUBSCRIBE)]
    Subscribe {
        /// The channels
        #[arg(required = true, value_name = "CHANNEL")]
        channels: Vec<OsString>,
        /// Take them for patterns: * is any text, ? any byte, [a-c] one of these
        #[arg(long)]
        matching: bool,
        /// Write nothing but the messages, as they are, with a line end after each
        #[arg(long)]
        plain: bool,
    },
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
pub(super) struct SetArgs {
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
pub(super) struct TouchArgs {
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

fn ttl(text: &str) -> Result<Duration, Invalid> {
    match duration::parse(text)? {
        Duration::ZERO => Err(Invalid::new(
            "must be longer than zero; destroy removes an entry at once",
        )),
        ttl => Ok(ttl),
    }
}

fn lasting(text: &str) -> Result<Duration, Invalid> {
    match duration::parse(text)? {
        Duration::ZERO => Err(Invalid::new("must be longer than zero")),
        time => Ok(time),
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
    pub(super) fn action(self) -> Action {
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
            Self::Destroy { key, tombstone } => Request::Destroy {
                key: bytes(key),
                tombstone,
            },
            Self::Publish { channel, message } => Request::Publish {
                channel: bytes(channel),
                message: message.map(bytes),
            },
            Self::Subscribe {
                channels,
                matching,
                plain,
            } => {
                return Action::Subscribe(Subscribe {
                    names: channels.into_iter().map(bytes).collect(),
                    is_matching: matching,
                    is_plain: plain,
                });
            }
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
