//! Scripts: those that are known, run natively; there is no Lua.
//!
//! | file | holds |
//! |---|---|
//! | `tokens` | what a text says, without how it is written |
//! | `known` | the scripts that are known, of whom, and their texts (`*.lua`) |
//! | `locks`, `limiters`, `caches` | what they do |
//! | `script` | what they have at hand |
//! | `value` | the values of Lua, from replies and to replies |
//!
//! A text is looked at once: from then on it is found by its SHA-1, as `EVALSHA` names it. A script
//! is one command among others, so nothing comes between what it does.

mod caches;
mod known;
mod limiters;
mod locks;
mod script;
mod tokens;
mod value;

use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;

use sha1::{Digest as _, Sha1};

use self::known::Known;
use self::script::{Access, Script};
use self::tokens::Canonical;
use super::call::{Call, is_word};
use super::fault::{Done, Fault};
use super::help;
use super::table::{Command, Flag, Keys, command};

/// Beyond so many texts all are forgotten. Clients send theirs again when told `NOSCRIPT`.
const MOST_LOADED: usize = 1_000;

const UNKNOWN: Fault = Fault::of(
    "ERR this script is not among those that memstore-cluster runs natively; those are the locks, \
     rate limits and cache operations of well-known clients and their usual shapes, such as \
     compare-and-delete, compare-and-expire and increment-with-expiry, and there is no Lua for others",
);
const NO_SCRIPT: Fault = Fault::of("NOSCRIPT No matching script. Please use EVAL.");

/// The SHA-1 of a text; shown as `SCRIPT LOAD` answers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Sha([u8; 20]);

impl Sha {
    fn of(text: &[u8]) -> Self {
        Self(Sha1::digest(text).into())
    }

    /// The one that forty hexadecimal digits name.
    fn parse(digits: &[u8]) -> Option<Self> {
        let mut sha = [0; 20];
        if digits.len() != 2 * sha.len() {
            return None;
        }
        for (byte, pair) in sha.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |at: usize| char::from(pair[at]).to_digit(16);
            *byte = u8::try_from(digit(0)? << 4 | digit(1)?).ok()?;
        }
        Some(Self(sha))
    }
}

impl fmt::Display for Sha {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A text that was sent, and the script that it is.
#[derive(Debug)]
struct Loaded {
    digest: Sha,
    known: &'static Known,
    /// The line of each call of a command.
    sites: Vec<u32>,
}

/// The texts that were sent.
#[derive(Debug, Default)]
pub(super) struct Scripts(HashMap<Sha, Rc<Loaded>>);

impl Scripts {
    /// The script that a text is.
    fn load(&mut self, text: &[u8]) -> Result<Rc<Loaded>, Fault> {
        let digest = Sha::of(text);
        if let Some(loaded) = self.0.get(&digest) {
            return Ok(Rc::clone(loaded));
        }
        let Canonical { tokens, sites } = Canonical::of(text).ok_or(UNKNOWN)?;
        let known = known::find(&tokens).ok_or(UNKNOWN)?;
        if self.0.len() >= MOST_LOADED {
            self.0.clear();
        }
        let loaded = Rc::new(Loaded {
            digest,
            known,
            sites,
        });
        self.0.insert(digest, Rc::clone(&loaded));
        Ok(loaded)
    }
}

/// `EVAL script numkeys [key …] [arg …]`
pub(super) fn eval(call: &mut Call<'_>) -> Done {
    eval_text(call, Access::Full)
}

/// `EVAL_RO script numkeys [key …] [arg …]`
pub(super) fn eval_ro(call: &mut Call<'_>) -> Done {
    eval_text(call, Access::ReadOnly)
}

/// `EVALSHA sha1 numkeys [key …] [arg …]`
pub(super) fn evalsha(call: &mut Call<'_>) -> Done {
    eval_sha(call, Access::Full)
}

/// `EVALSHA_RO sha1 numkeys [key …] [arg …]`
pub(super) fn evalsha_ro(call: &mut Call<'_>) -> Done {
    eval_sha(call, Access::ReadOnly)
}

fn eval_text(call: &mut Call<'_>, access: Access) -> Done {
    let keys = key_count(call)?;
    let loaded = call.shared.scripts.load(call.arg(1))?;
    run(call, keys, access, &loaded)
}

fn eval_sha(call: &mut Call<'_>, access: Access) -> Done {
    let digest = Sha::parse(call.arg(1));
    if call.arg(1).len() != 40 {
        return Err(NO_SCRIPT);
    }
    let keys = key_count(call)?;
    let loaded = digest.and_then(|digest| call.shared.scripts.0.get(&digest));
    let loaded = Rc::clone(loaded.ok_or(NO_SCRIPT)?);
    run(call, keys, access, &loaded)
}

fn key_count(call: &Call<'_>) -> Result<usize, Fault> {
    let count = call.integer(2)?;
    let most = call.args.len() - 3;
    match usize::try_from(count) {
        Ok(count) if count <= most => Ok(count),
        Ok(_) => Err(Fault::of(
            "ERR Number of keys can't be greater than number of args",
        )),
        Err(_) => Err(Fault::of("ERR Number of keys can't be negative")),
    }
}

fn run(call: &mut Call<'_>, keys: usize, access: Access, loaded: &Loaded) -> Done {
    let returned = (loaded.known.run)(&mut Script::new(call, keys, access, loaded))?;
    returned.write(&mut call.reply);
    Ok(())
}

/// `SCRIPT LOAD script`
fn load(call: &mut Call<'_>) -> Done {
    let loaded = call.shared.scripts.load(call.arg(2))?;
    call.reply.bulk(loaded.digest.to_string().as_bytes());
    Ok(())
}

/// `SCRIPT EXISTS sha1 [sha1 …]`
fn exists(call: &mut Call<'_>) -> Done {
    let names = call.args_from(2);
    call.reply.array(names.len());
    for name in names {
        let digest = Sha::parse(name);
        let is_there = digest.is_some_and(|digest| call.shared.scripts.0.contains_key(&digest));
        call.reply.integer(is_there.into());
    }
    Ok(())
}

/// `SCRIPT FLUSH [ASYNC | SYNC]`
fn flush(call: &mut Call<'_>) -> Done {
    let is_known = |mode: &[u8]| is_word(mode, "ASYNC") || is_word(mode, "SYNC");
    if call.args.len() > 3 || call.args.get(2).is_some_and(|mode| !is_known(mode)) {
        return Err(Fault::of("ERR SCRIPT FLUSH only support SYNC|ASYNC option"));
    }
    call.shared.scripts = Scripts::default();
    call.reply.simple("OK");
    Ok(())
}

/// `SCRIPT KILL`
fn kill(_: &mut Call<'_>) -> Done {
    Err(Fault::of("NOTBUSY No scripts in execution right now."))
}

/// `SCRIPT HELP`
fn say_help(call: &mut Call<'_>) -> Done {
    help::write(call, help::SCRIPT)
}

/// The sub-commands of `SCRIPT`.
pub(super) const SUBS: &[Command] = &[
    command("script|exists", -3, &[Flag::NoScript], Keys::NONE, exists),
    command("script|flush", -2, &[Flag::NoScript], Keys::NONE, flush),
    command(
        "script|help",
        2,
        &[Flag::Loading, Flag::Stale],
        Keys::NONE,
        say_help,
    ),
    command("script|kill", 2, &[Flag::NoScript], Keys::NONE, kill),
    command(
        "script|load",
        3,
        &[Flag::NoScript, Flag::Stale],
        Keys::NONE,
        load,
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_loaded_once_and_texts_are_bounded() {
        let mut scripts = Scripts::default();
        let text = "return redis.call('incrby',KEYS[1],ARGV[1])";
        let loaded = scripts.load(text.as_bytes()).unwrap();
        let again = scripts.load(text.as_bytes()).unwrap();
        assert!(Rc::ptr_eq(&loaded, &again));
        assert_eq!(
            loaded.digest.to_string(),
            "bd18f0273198fcc820af78d95709e503e66cbf43"
        );
        assert_eq!(
            Sha::parse(b"BD18F0273198FCC820AF78D95709E503E66CBF43"),
            Some(loaded.digest)
        );
        assert_eq!(
            Sha::parse(b"+d18f0273198fcc820af78d95709e503e66cbf43"),
            None
        );
        for n in 0..MOST_LOADED {
            scripts.load(format!("{text} -- {n}").as_bytes()).unwrap();
        }
        assert!(scripts.0.len() <= MOST_LOADED);
        assert!(scripts.load(b"return 1").is_err());
    }
}
