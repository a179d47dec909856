//! Settings that are one of a few words, or a word or a number.

use std::fmt;
use std::num::NonZeroUsize;
use std::str::FromStr;

use super::Invalid;

/// Gives an enum its words: how a value is written, read and listed.
macro_rules! words {
    ($type:ident { $($variant:ident = $word:literal),+ $(,)? }) => {
        impl FromStr for $type {
            type Err = Invalid;

            fn from_str(text: &str) -> Result<Self, Invalid> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(Invalid::new(format!("must be one of {}", [$($word),+].join(", ")))),
                }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $(Self::$variant => $word,)+
                })
            }
        }
    };
}

/// Whether to be one process, without master, socket and channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Standalone {
    /// Where nothing is gained by more: on one core.
    #[default]
    Auto,
    /// Whatever the machine has.
    Always,
    /// A master, also for a single worker.
    Never,
}

words!(Standalone { Auto = "auto", Always = "always", Never = "never" });

/// Which ended workers are replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Restart {
    /// All, also those that ended with code 0.
    #[default]
    Always,
    /// Those that ended by a signal or with another code than 0.
    OnFailure,
    /// None.
    Never,
}

words!(Restart { Always = "always", OnFailure = "on-failure", Never = "never" });

/// Whether Node programs are made to use the listeners of `run --bind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NodePreload {
    /// Where there are listeners.
    #[default]
    Auto,
    /// They find them by `LISTEN_FDS`, as all programs do.
    Never,
}

words!(NodePreload { Auto = "auto", Never = "never" });

/// When the writes to a store in a file are taken to the disk. Whatever is chosen, they survive
/// the death of the master; this is about a loss of power.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Syncing {
    /// When the system likes.
    Never,
    /// Once a second, by a thread: what was written in the last second or two may be lost.
    #[default]
    EverySecond,
    /// Before they are acknowledged, for all requests of a turn of the master's loop at once.
    Always,
}

words!(Syncing { Never = "never", EverySecond = "1s", Always = "always" });

/// How log events are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// A line for people; in colour on a terminal.
    #[default]
    Text,
    /// A JSON object per line.
    Json,
}

words!(LogFormat { Text = "text", Json = "json" });

/// What happens to a write for which the memory bound leaves no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WhenFull {
    /// It is refused: what is stored stays.
    #[default]
    Reject,
    /// Entries that were not used lately go.
    Evict,
}

words!(WhenFull { Reject = "reject", Evict = "evict" });

/// How many workers to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Workers {
    /// One for each core that this process may really use.
    #[default]
    Auto,
    /// So many.
    Exactly(NonZeroUsize),
}

impl Workers {
    /// The most that may be asked for: more is a slip of the finger, and it would fill the
    /// machine's process table before anybody could take it back.
    pub const CEILING: usize = 4096;
}

impl FromStr for Workers {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        let number: usize = text
            .parse()
            .map_err(|_| Invalid::new("must be a number, or auto for one worker per core"))?;
        let Some(number) = NonZeroUsize::new(number) else {
            return Err(Invalid::new(
                "must be at least 1; leave it out for one worker per core",
            ));
        };
        if number.get() > Self::CEILING {
            return Err(Invalid::new(format!("must be at most {}", Self::CEILING)));
        }
        Ok(Self::Exactly(number))
    }
}

impl fmt::Display for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Exactly(number) => number.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_are_a_number_or_auto() {
        assert_eq!("auto".parse(), Ok(Workers::Auto));
        let four: Workers = "4".parse().unwrap();
        assert_eq!(four.to_string(), "4");
        for (text, hint) in [
            ("0", "at least 1; leave it out for one worker per core"),
            ("4097", "at most 4096"),
            ("many", "or auto"),
            ("-1", "or auto"),
        ] {
            let error = text.parse::<Workers>().unwrap_err().to_string();
            assert!(error.contains(hint), "{text}: {error}");
        }
    }

    #[test]
    fn a_wrong_word_is_answered_with_the_right_ones() {
        assert_eq!("on-failure".parse(), Ok(Restart::OnFailure));
        assert_eq!(Restart::OnFailure.to_string(), "on-failure");
        let error = "sometimes".parse::<Restart>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "must be one of always, on-failure, never"
        );
    }
}
