//! Which keys commands will look at, before they are run.

use super::lookup::find;
use super::session::bounds;
use super::table::{Flag, Keys};
use crate::backend::Sweep;
use crate::config::Limits;
use crate::protocol::resp::{Args, Parser, Progress, Request, Trust};

/// Commands that write without looking at what was there.
const BLIND: [&str; 4] = ["set", "setex", "psetex", "mset"];

/// Within so many bytes the name of a command that is a sweep ends, also in an array.
const LONGEST_SWEEP: usize = 24;

/// Gives `visit` the keys that the requests in some bytes look at.
pub(crate) fn keys_ahead(bytes: &[u8], limits: &Limits, visit: &mut dyn FnMut(&[u8])) {
    let bounds = bounds(limits, Trust::Authenticated);
    let (mut parser, mut args) = (Parser::default(), Args::default());
    let mut rest = bytes;
    while let Ok(Progress::Request(request)) = parser.parse(rest, &mut args, &bounds) {
        let len = request.wire_len();
        of(&request, visit);
        rest = &rest[len..];
    }
}

/// What the first of these requests does with all entries, if it does nothing else.
pub(crate) fn sweep_ahead(bytes: &[u8], limits: &Limits) -> Option<Sweep> {
    // Of most requests this is seen without parsing them.
    let head = &bytes[..bytes.len().min(LONGEST_SWEEP)];
    let has = |word: &[u8]| {
        head.windows(word.len())
            .any(|part| part.eq_ignore_ascii_case(word))
    };
    if !has(b"dbsize") && !has(b"flush") {
        return None;
    }
    let (mut parser, mut args) = (Parser::default(), Args::default());
    let bounds = bounds(limits, Trust::Authenticated);
    let Ok(Progress::Request(request)) = parser.parse(bytes, &mut args, &bounds) else {
        return None;
    };
    let command = request.get(0).and_then(find)?.command;
    match (command.name, request.len()) {
        ("dbsize", 1) => Some(Sweep::Count),
        ("flushdb" | "flushall", 1 | 2) => Some(Sweep::Clear),
        _ => None,
    }
}

fn of(request: &Request<'_>, visit: &mut dyn FnMut(&[u8])) {
    let found = request.get(0).and_then(find);
    let Some(command) = found.map(|found| found.command) else {
        return;
    };
    let Keys(first, last, step) = command.keys;
    let looks = command.has(Flag::ReadOnly) || command.has(Flag::Write);
    if !looks || BLIND.contains(&command.name) {
        return;
    }
    let place = |at: i8| usize::try_from(at).unwrap_or(request.len() - 1);
    let (Ok(step @ 1..), first, last) = (usize::try_from(step), place(first), place(last)) else {
        return;
    };
    for at in (first..=last).step_by(step) {
        request.get(at).into_iter().for_each(&mut *visit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_looked_at_is_foreseen_and_what_is_only_written_is_not() {
        let requests = b"GET a\r\nset b 1\r\nMGET c d\r\nINCR e\r\nPING\r\nMSETNX f 1 g 2\r\n\
                         mset h 1\r\nDEL i j k\r\nFOO l\r\nEXISTS m\r\n";
        let mut keys = Vec::new();
        keys_ahead(requests, &Limits::default(), &mut |key| {
            keys.push(String::from_utf8(key.to_vec()).unwrap());
        });
        assert_eq!(keys.concat(), "acdefgijkm");
    }
}
