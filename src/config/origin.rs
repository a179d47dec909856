//! Where a value came from, and what is wrong with one.

use std::fmt;
use std::path::PathBuf;

/// Where the value of a setting came from, the most explicit last.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Origin {
    /// Nobody said anything.
    Default,
    /// Nobody said anything, and the surroundings decided: the text says which and how.
    Detected(&'static str),
    /// The configuration file.
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// An environment variable.
    Environment(String),
    /// A flag, with its dashes.
    Flag(String),
}

impl Origin {
    /// How explicit the origin is: the more explicit one of two settings that contradict decides.
    pub(crate) fn rank(&self) -> u8 {
        match self {
            Self::Default | Self::Detected(_) => 0,
            Self::File { .. } => 1,
            Self::Environment(_) => 2,
            Self::Flag(_) => 3,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Detected(how) => write!(f, "detected: {how}"),
            Self::File { path, line } => write!(f, "file {} line {line}", path.display()),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(flag) => write!(f, "flag {flag}"),
        }
    }
}

/// Something that was asked for and cannot be done: a sentence with the setting, the value, where
/// it came from, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Where the value came from.
    pub(crate) origin: Origin,
    /// The setting's key; empty where no setting is to blame.
    pub(crate) key: String,
    /// The value, where it is one that is to blame.
    pub(crate) value: Option<String>,
    /// What is wrong and what to do.
    pub(crate) reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let assignment = match &self.origin {
            Origin::Flag(flag) => {
                write!(f, "{flag}")?;
                " "
            }
            Origin::Environment(name) => {
                write!(f, "{name}")?;
                "="
            }
            Origin::File { path, line } => {
                write!(f, "{} line {line}", path.display())?;
                if !self.key.is_empty() {
                    write!(f, ", {}", self.key)?;
                }
                " = "
            }
            Origin::Default | Origin::Detected(_) => {
                write!(f, "{}", self.key)?;
                " = "
            }
        };
        match &self.value {
            Some(value) if is_plain(value) => write!(f, "{assignment}{value}")?,
            Some(value) => write!(f, "{assignment}{value:?}")?,
            None => {}
        }
        write!(f, ": {}", self.reason)
    }
}

/// Whether a value can stand in a sentence without quotes, and does nothing to a terminal.
fn is_plain(value: &str) -> bool {
    !value.is_empty() && !value.contains(|c: char| c.is_whitespace() || c.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(origin: Origin, value: &str) -> String {
        Problem {
            origin,
            key: "workers".to_owned(),
            value: Some(value.to_owned()),
            reason: "must be at least 1".to_owned(),
        }
        .to_string()
    }

    #[test]
    fn a_problem_is_told_in_the_words_of_its_origin() {
        let flag = Origin::Flag("--workers".to_owned());
        assert_eq!(
            problem(flag.clone(), "0"),
            "--workers 0: must be at least 1"
        );
        assert_eq!(problem(flag, ""), "--workers \"\": must be at least 1");
        let variable = Origin::Environment("MEMSTORE_WORKERS".to_owned());
        assert_eq!(
            problem(variable, "\u{1b}[2J"),
            "MEMSTORE_WORKERS=\"\\u{1b}[2J\": must be at least 1"
        );
        let file = Origin::File {
            path: "a.toml".into(),
            line: 3,
        };
        assert_eq!(
            problem(file, "0"),
            "a.toml line 3, workers = 0: must be at least 1"
        );
        assert_eq!(
            problem(Origin::Default, "0"),
            "workers = 0: must be at least 1"
        );
    }
}
