//! Commands that a store's server can be asked as they are, and what is counted of them.
//!
//! They are run without their session, on another thread than it; so what others may know of them
//! (`CLIENT LIST`, `INFO`) is kept in atomic numbers.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use super::call::is_word;
use super::session::bounds;
use crate::backend::fast_path::Plain;
use crate::config::Limits;
use crate::exec::plain::lasting;
use crate::protocol::resp::number::parse_i64;
use crate::protocol::resp::{Args, Parser, Progress, Request, Trust};
use crate::time::Millis;

/// How many such commands there are.
pub(crate) const WORDS: usize = 8;

/// Their names, in the order in which they are counted.
pub(super) const NAMES: [&str; WORDS] = [
    "get", "set", "setex", "psetex", "expire", "pexpire", "del", "unlink",
];

/// One of them: its place among the [`NAMES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Word(u8);

impl Word {
    /// Its place, below [`WORDS`].
    pub(crate) fn place(self) -> usize {
        self.0.into()
    }
}

/// The last such command of a connection.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    at: AtomicU64,
    word: AtomicU8,
}

impl Seen {
    /// This was asked for.
    pub(crate) fn note(&self, now: Millis, word: Word) {
        self.word.store(word.0, Ordering::Relaxed);
        self.at.store(now.as_unix(), Ordering::Relaxed);
    }

    /// When something was asked for, and what.
    pub(super) fn last(&self) -> (Millis, &'static str) {
        let at = Millis::from_unix(self.at.load(Ordering::Relaxed));
        (at, NAMES[usize::from(self.word.load(Ordering::Relaxed))])
    }
}

/// The request at the front of some bytes, if it is whole and plain, and how many bytes it has.
pub(crate) fn first<'r>(
    bytes: &'r [u8],
    args: &'r mut Args,
    limits: &Limits,
) -> Option<(Word, Plain<'r>, usize)> {
    let bounds = bounds(limits, Trust::Authenticated);
    match Parser::default().parse(bytes, args, &bounds) {
        Ok(Progress::Request(request)) => {
            let (word, plain) = of(&request)?;
            Some((word, plain, request.wire_len()))
        }
        _ => None,
    }
}

fn of<'r>(request: &Request<'r>) -> Option<(Word, Plain<'r>)> {
    let name = request.get(0)?;
    let is_it = |word: &str| word.as_bytes().eq_ignore_ascii_case(name);
    let place = NAMES.iter().position(|word| is_it(word))?;
    let word = Word(u8::try_from(place).ok()?);
    let key = request.get(1)?;
    let arg = |at| request.get(at);
    let plain = match (NAMES[place], request.len()) {
        ("get", 2) => Plain::Value { key },
        ("set", 3) => Plain::Set {
            key,
            value: arg(2)?,
            ttl_ms: None,
        },
        ("set", 5) => {
            let factor = match arg(3)? {
                option if is_word(option, "EX") => 1_000,
                option if is_word(option, "PX") => 1,
                _ => return None,
            };
            Plain::Set {
                key,
                value: arg(2)?,
                ttl_ms: Some(time(arg(4)?, factor)?),
            }
        }
        (name @ ("setex" | "psetex"), 4) => Plain::Set {
            key,
            value: arg(3)?,
            ttl_ms: Some(time(arg(2)?, factor(name))?),
        },
        (name @ ("expire" | "pexpire"), 3) => Plain::Touch {
            key,
            ttl_ms: time(arg(2)?, factor(name))?,
        },
        ("del" | "unlink", 2) => Plain::Destroy { key },
        _ => return None,
    };
    Some((word, plain))
}

/// Milliseconds in the unit of a command.
fn factor(name: &str) -> u64 {
    if name.starts_with('p') { 1 } else { 1_000 }
}

fn time(text: &[u8], factor: u64) -> Option<std::num::NonZeroU64> {
    let number = u64::try_from(parse_i64(text)?).ok()?;
    lasting(number.checked_mul(factor)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<String> {
        let mut args = Args::default();
        let bytes = format!("{text}\r\nrest");
        let (word, plain, len) = first(bytes.as_bytes(), &mut args, &Limits::default())?;
        assert_eq!(len, text.len() + 2);
        let text = |bytes| std::str::from_utf8(bytes).unwrap();
        let name = NAMES[word.place()];
        Some(match plain {
            Plain::Value { key } | Plain::Get { key } => format!("{name} {}", text(key)),
            Plain::Destroy { key } => format!("{name} {} -", text(key)),
            Plain::Touch { key, ttl_ms } => format!("{name} {} {ttl_ms}", text(key)),
            Plain::Set { key, value, ttl_ms } => {
                let ttl = ttl_ms.map_or_else(String::new, |ms| ms.to_string());
                format!("{name} {}={} {ttl}", text(key), text(value))
            }
        })
    }

    #[test]
    fn commands_are_plain_where_redis_does_the_same() {
        for (text, plain) in [
            ("GET k", "get k"),
            ("set k v", "set k=v "),
            ("SET k v eX 2", "set k=v 2000"),
            ("SET k v PX 2", "set k=v 2"),
            ("SETEX k 2 v", "setex k=v 2000"),
            ("PSETEX k 2 v", "psetex k=v 2"),
            ("EXPIRE k 2", "expire k 2000"),
            ("PEXPIRE k 2", "pexpire k 2"),
            ("DEL k", "del k -"),
            ("UNLINK k", "unlink k -"),
        ] {
            assert_eq!(read(text).as_deref(), Some(plain), "{text}");
        }
    }

    #[test]
    fn what_has_another_meaning_or_an_error_of_our_own_is_not_plain() {
        for text in [
            "",
            "GET",
            "GET k k",
            "GETS k",
            "SET k",
            "SET k v NX",
            "SET k v KEEPTTL",
            "SET k v EX",
            "SET k v EX 0",
            "SET k v EX -1",
            "SET k v EX x",
            "SET k v EX 9223372036854775807",
            "SET k v EXAT 9",
            "SET k v EX 1 NX",
            "SETEX k 0 v",
            "EXPIRE k 0",
            "EXPIRE k -1",
            "EXPIRE k 1 NX",
            "DEL k l",
            "MULTI",
            "INCR k",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
