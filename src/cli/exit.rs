//! The numbers this program ends with, and which failure gets which.

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use crate::config::Store;
use crate::config::origin::{Origin, Problem};
use crate::error::Error;
use crate::supervisor::action::ExitReason;

/// How this program ends. In standalone mode the command takes the process over, and the code is
/// its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It was done.
    Ok,
    /// It was understood and could not be done.
    Failed,
    /// The arguments make no sense.
    Usage,
    /// A dump is damaged (`EX_DATAERR` of `sysexits.h`).
    Data,
    /// No master answers (`EX_UNAVAILABLE`).
    Unavailable,
    /// The environment or the configuration file makes no sense, or a file that was named cannot
    /// be used (`EX_CONFIG`).
    Config,
    /// The command is there and cannot be executed, as the shell says it.
    NotExecutable,
    /// There is no such command, as the shell says it.
    NotFound,
}

impl Exit {
    /// All, in the order of their codes.
    const ALL: [Self; 8] = [
        Self::Ok,
        Self::Failed,
        Self::Usage,
        Self::Data,
        Self::Unavailable,
        Self::Config,
        Self::NotExecutable,
        Self::NotFound,
    ];

    /// The number.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Data => 65,
            Self::Unavailable => 69,
            Self::Config => 78,
            Self::NotExecutable => 126,
            Self::NotFound => 127,
        }
    }

    /// How a master's end is told to whoever started it.
    pub(crate) fn of_master(reason: ExitReason) -> Self {
        let code = reason.exit_code();
        let mut all = Self::ALL.into_iter();
        all.find(|exit| exit.code() == code).unwrap_or(Self::Failed)
    }

    fn meaning(self) -> &'static str {
        match self {
            Self::Ok => {
                "done, or stopped as asked; also where the reader of the output has gone away"
            }
            Self::Failed => "not done: no such entry, a condition that did not hold, an error",
            Self::Usage => "the arguments make no sense",
            Self::Data => "a dump is damaged, cut short, or none",
            Self::Unavailable => "no master answers",
            Self::Config => {
                "the environment or the configuration file makes no sense, or a file that is named \
                 there cannot be used"
            }
            Self::NotExecutable => "the command of run cannot be executed",
            Self::NotFound => "the command of run was not found",
        }
    }

    /// The lines of the manual that list the codes.
    pub(crate) fn table() -> String {
        let line = |exit: &Self| format!("  {:<4} {}\n", exit.code(), exit.meaning());
        Self::ALL.iter().map(line).collect()
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}

/// Why something was not done.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Nobody reads our output any more, as in `all | head -1`. Whoever closed it has what they
    /// wanted, so this is no failure to anybody: nothing is said, and the code is 0. Ending by
    /// SIGPIPE would do as well, if the master did not have to live with peers that go away.
    ReaderGone,
    /// Sentences to say, and the code to end with.
    Problems(Exit, Vec<String>),
    /// An error of the library.
    Error(Error),
}

impl Failure {
    /// What the parser of these arguments has to say. It repeats what it cannot place, which may be
    /// a store's URL that was meant for a flag.
    pub(crate) fn usage(error: &clap::Error, arguments: &[OsString]) -> Self {
        let mut text = error.render().to_string();
        for argument in arguments {
            let argument = argument.to_string_lossy();
            let is_url = argument.contains(':') && argument.contains(['@', '/']);
            if is_url {
                text = text.replace(&*argument, &Store::told(&argument));
            }
        }
        let text = text.strip_prefix("error: ").unwrap_or(&text);
        Self::Problems(Exit::Usage, vec![text.trim_end().to_owned()])
    }

    /// What is wrong with a configuration. It is a matter of usage if only flags are to blame.
    pub(crate) fn config(problems: &[Problem]) -> Self {
        let flags_only = problems
            .iter()
            .all(|problem| matches!(problem.origin, Origin::Flag(_)));
        let exit = if flags_only {
            Exit::Usage
        } else {
            Exit::Config
        };
        Self::Problems(exit, problems.iter().map(ToString::to_string).collect())
    }

    /// The code to end with.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::ReaderGone => Exit::Ok,
            Self::Problems(exit, _) => *exit,
            Self::Error(error) => of_error(error),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// For what is written to standard output; errors of other files are [`Error::Io`].
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::ReaderGone
        } else {
            Self::Error(Error::io("write to standard output")(error))
        }
    }
}

fn of_error(error: &Error) -> Exit {
    match error {
        Error::Unreachable { .. } | Error::MasterGone | Error::Timeout { .. } | Error::Busy => {
            Exit::Unavailable
        }
        Error::Config(_) => Exit::Config,
        Error::Damaged { .. } => Exit::Data,
        Error::Spawn { source, .. } => match source.raw_os_error() {
            Some(libc::ENOENT) => Exit::NotFound,
            Some(libc::EACCES | libc::ENOEXEC | libc::EISDIR | libc::ELIBBAD) => {
                Exit::NotExecutable
            }
            _ => Exit::Failed,
        },
        _ => Exit::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spawn(errno: i32) -> Error {
        Error::Spawn {
            command: "x".to_owned(),
            step: "exec",
            source: io::Error::from_raw_os_error(errno),
        }
    }

    #[test]
    fn a_command_that_cannot_start_ends_as_in_the_shell() {
        for (errno, code) in [(libc::ENOENT, 127), (libc::EACCES, 126), (libc::EAGAIN, 1)] {
            assert_eq!(Failure::from(spawn(errno)).exit().code(), code);
        }
    }

    #[test]
    fn a_reader_that_went_away_is_no_failure_and_a_full_disk_is() {
        let gone = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(gone.exit(), Exit::Ok);
        let full = Failure::from(io::Error::from(io::ErrorKind::StorageFull));
        assert_eq!(full.exit(), Exit::Failed);
    }

    #[test]
    fn only_flags_are_a_matter_of_usage() {
        let problem = |origin| Problem {
            origin,
            key: String::new(),
            value: None,
            reason: String::new(),
        };
        let flag = || problem(Origin::Flag("--x".to_owned()));
        let variable = || problem(Origin::Environment("X".to_owned()));
        assert_eq!(Failure::config(&[flag(), flag()]).exit(), Exit::Usage);
        assert_eq!(Failure::config(&[flag(), variable()]).exit(), Exit::Config);
    }
}
