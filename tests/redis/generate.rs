//! Random sequences of commands, from a grammar.
//!
//! A rule is a command line. `[A|B {int}]` is one of these or nothing, `[…]*` several times,
//! `(A|B)` one of these, and a word in braces is something of that kind. Keys are few, so that
//! commands meet. Nothing that is made here expires within a sequence by itself, which would race:
//! what shall expire is waited for.

use fastrand::Rng;

use super::step::{Step, What};

const KEYS: &[&str] = &["a", "b", "c", "d", "a:1", "{a}:2"];
const HASHES: &[&str] = &["h", "i"];
const FIELDS: &[&str] = &["f", "g", "1", ""];
const VALUES: &[&str] = &[
    "",
    "0",
    "1",
    "-1",
    "10",
    "3.5",
    "1e3",
    "abc",
    "hello world",
    "9223372036854775807",
    "-9223372036854775808",
    " 5",
    "05",
    "line\r\nline",
    "\0\u{7f}\u{e9}",
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
];
const INTEGERS: &[&str] = &[
    "0",
    "1",
    "-1",
    "2",
    "5",
    "-3",
    "100",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "",
    "abc",
    "01",
    "1.0",
];
const SMALL: &[&str] = &["0", "1", "2", "3", "7", "-1", "-2", "-5", "-100", "x"];
const FLOATS: &[&str] = &[
    "0.1", "-1.5", "3", "1e2", "inf", "nan", "abc", "", " 1", "1e400", "5.0e3",
];
/// Seconds or milliseconds from now: long, or over at once.
const TIMES: &[&str] = &[
    "100000",
    "200000",
    "300000",
    "0",
    "-1",
    "-100000",
    "9223372036854775807",
    "-9223372036854775808",
    "x",
    "",
];
/// Seconds since the epoch.
const DATES: &[&str] = &[
    "4102444800",
    "4102444900",
    "1",
    "0",
    "-1",
    "9223372036854775807",
    "x",
];
/// Milliseconds since the epoch.
const MS_DATES: &[&str] = &[
    "4102444800000",
    "4102444900499",
    "4102444800",
    "1",
    "0",
    "-1",
    "",
];
const PATTERNS: &[&str] = &["*", "a*", "?", "[a-c]", "[^a]*", "\\a", "", "*:*", "h"];
const JUNK: &[&str] = &["", "junk", "-1", "0", "NX", "GET", "KEEPTTL", "\0"];

/// Connections of a sequence.
const CONNECTIONS: u8 = 3;

/// A sequence of so many commands.
pub fn sequence(rng: &mut Rng, grammar: &[&str], commands: usize) -> Vec<Step> {
    let mut steps = Vec::new();
    for _ in 0..commands {
        if rng.u8(..24) == 0 {
            steps.push(Step {
                connection: 1,
                replies: 0,
                what: What::Lapse(word("{any}", rng)),
            });
        }
        let connection = if rng.u8(..3) > 0 {
            1
        } else {
            rng.u8(1..=CONNECTIONS)
        };
        steps.push(Step::command(connection, command(rng, grammar)));
    }
    steps
}

/// A command, sometimes a wrong one.
pub fn command(rng: &mut Rng, grammar: &[&str]) -> Vec<Vec<u8>> {
    let mut args = Vec::new();
    expand(choose(rng, grammar), rng, &mut args);
    match rng.u8(..32) {
        0 if args.len() > 1 => {
            args.pop();
        }
        1 => args.push(choose(rng, JUNK).as_bytes().to_vec()),
        2 => {
            let at = rng.usize(..args.len());
            args.insert(at + 1, choose(rng, JUNK).as_bytes().to_vec());
        }
        3 | 4 => {
            for arg in &mut args {
                arg.make_ascii_lowercase();
            }
        }
        _ => {}
    }
    args
}

fn choose<'a>(rng: &mut Rng, from: &[&'a str]) -> &'a str {
    from[rng.usize(..from.len())]
}

fn expand(rule: &str, rng: &mut Rng, args: &mut Vec<Vec<u8>>) {
    for part in parts(rule, ' ') {
        let (times, inner) = if let Some(inner) = inside(part, '[', "]*") {
            (rng.u8(..=3), inner)
        } else if let Some(inner) = inside(part, '[', "]") {
            (rng.u8(..=1), inner)
        } else if let Some(inner) = inside(part, '(', ")") {
            (1, inner)
        } else {
            args.push(word(part, rng));
            continue;
        };
        for _ in 0..times {
            expand(choose(rng, &parts(inner, '|')), rng, args);
        }
    }
}

fn inside<'a>(part: &'a str, open: char, close: &str) -> Option<&'a str> {
    part.strip_prefix(open)?.strip_suffix(close)
}

/// The parts of a rule between separators that are in no bracket.
fn parts(rule: &str, separator: char) -> Vec<&str> {
    let mut depth = 0;
    let is_end = |c: char| {
        match c {
            '[' | '(' => depth += 1,
            ']' | ')' => depth -= 1,
            _ => {}
        }
        c == separator && depth == 0
    };
    rule.split(is_end).filter(|part| !part.is_empty()).collect()
}

fn word(word: &str, rng: &mut Rng) -> Vec<u8> {
    let rarely = rng.u8(..12) == 0;
    let kind = match word {
        "{key}" if rarely => HASHES,
        "{hash}" if rarely => KEYS,
        "{any}" if rng.bool() => HASHES,
        "{key}" | "{any}" => KEYS,
        "{hash}" => HASHES,
        "{field}" => FIELDS,
        "{value}" => VALUES,
        "{int}" => INTEGERS,
        "{small}" => SMALL,
        "{float}" => FLOATS,
        "{time}" => TIMES,
        "{date}" => DATES,
        "{ms-date}" => MS_DATES,
        "{pattern}" => PATTERNS,
        literal => {
            assert!(!literal.starts_with('{'), "what is {literal}?");
            return literal.as_bytes().to_vec();
        }
    };
    choose(rng, kind).as_bytes().to_vec()
}
