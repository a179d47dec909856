//! Which command a request asks for.
//!
//! The names are searched as numbers: a name that is at most sixteen bytes long, as all are, is one
//! with its bytes in order, so the order of the numbers is that of the names.

use super::fault::Fault;
use super::table::{COMMANDS, Command, Run};
use crate::protocol::resp::Request;

/// The names in the order of the table.
static NAMES: [u128; COMMANDS.len()] = {
    let (mut names, mut at) = ([0; COMMANDS.len()], 0);
    while at < names.len() {
        let name = COMMANDS[at].name.as_bytes();
        assert!(name.len() <= size_of::<u128>());
        let mut byte = 0;
        while byte < size_of::<u128>() {
            let next = if byte < name.len() { name[byte] } else { 0 };
            names[at] = names[at] << 8 | next as u128;
            byte += 1;
        }
        at += 1;
    }
    names
};

/// A command that was found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    pub(super) command: &'static Command,
    /// Its place in the table; `None` for a sub-command.
    pub(super) place: Option<usize>,
}

/// Why there is no command to run.
#[derive(Debug)]
pub(super) enum Missing {
    /// None has this name.
    Unknown,
    /// It has no such sub-command.
    Sub(Fault),
    /// There is one, but not so.
    Rejected(Found, Fault),
}

/// The command with this name, in whatever case.
pub(super) fn find(name: &[u8]) -> Option<Found> {
    let mut word = [0; size_of::<u128>()];
    word.get_mut(..name.len())?.copy_from_slice(name);
    word.make_ascii_lowercase();
    let place = NAMES.binary_search(&u128::from_be_bytes(word)).ok()?;
    let command = &COMMANDS[place];
    // Zero bytes at the end of a name are not in the number.
    (command.name.len() == name.len()).then_some(Found {
        command,
        place: Some(place),
    })
}

/// The one of these sub-commands with this name, their parent's left out.
fn find_sub(subs: &'static [Command], name: &[u8]) -> Option<&'static Command> {
    let own = |sub: &&'static Command| sub.name.split_once('|').map_or("", |(_, own)| own);
    subs.iter()
        .find(|sub| own(sub).as_bytes().eq_ignore_ascii_case(name))
}

/// The one that is named as [`Command::name`] has it, in whatever case.
pub(super) fn find_named(name: &[u8]) -> Option<&'static Command> {
    let Some(bar) = name.iter().position(|byte| *byte == b'|') else {
        return find(name).map(|found| found.command);
    };
    find_sub(find(&name[..bar])?.command.subs(), &name[bar + 1..])
}

/// The command that a request asks for, which begins at this argument.
pub(super) fn resolve(request: &Request<'_>, first: usize) -> Result<Found, Missing> {
    let name = request.get(first).unwrap_or_default();
    let mut found = find(name).ok_or(Missing::Unknown)?;
    if let Run::Sub(subs) | Run::DoOrSub(_, subs) = found.command.run {
        if let Some(name) = request.get(first + 1) {
            let sub = find_sub(subs, name);
            let sub = sub.ok_or_else(|| Missing::Sub(unknown_sub(found.command, name)))?;
            found = Found {
                command: sub,
                place: None,
            };
        }
    }
    Ok(found)
}

/// The command that a request asks for, with as many arguments as it takes.
pub(super) fn lookup(request: &Request<'_>) -> Result<Found, Missing> {
    let found = resolve(request, 0)?;
    if !found.command.takes(request.len()) {
        let fault = Fault::arguments(found.command.name);
        return Err(Missing::Rejected(found, fault));
    }
    Ok(found)
}

fn unknown_sub(command: &Command, name: &[u8]) -> Fault {
    let name = &name[..name.len().min(128)];
    let parent = command.name.to_ascii_uppercase();
    let after = format!("'. Try {parent} HELP.");
    Fault::quoting("ERR unknown subcommand '", name, &after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_found_by_its_name_in_whatever_case() {
        assert!(NAMES.is_sorted_by(|a, b| a < b));
        for command in COMMANDS {
            let upper = command.name.to_ascii_uppercase();
            for name in [command.name, &upper] {
                let found = find(name.as_bytes()).unwrap();
                assert_eq!(found.command.name, command.name);
                assert!(found.place.is_some());
            }
            for sub in command.subs() {
                assert!(sub.name.starts_with(&format!("{}|", command.name)));
                let upper = sub.name.to_ascii_uppercase();
                for name in [sub.name, &upper] {
                    assert_eq!(find_named(name.as_bytes()).unwrap().name, sub.name);
                }
            }
        }
        let strangers: [&[u8]; 7] = [
            b"",
            b"gett",
            b"ge",
            b"get\0",
            b"\0get",
            b"get|x",
            &[b'g'; 17],
        ];
        for name in strangers {
            assert!(find_named(name).is_none(), "{}", name.escape_ascii());
        }
    }
}
