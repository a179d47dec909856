//! Inline commands: a typed line into arguments, with Redis's rules of quoting.
//!
//! Called by the request parser with a line without its end. What is unquoted is shorter than what
//! was quoted, so that nothing grows beyond the line.

use std::ops::Range;

/// A quote is not closed, or something other than white space follows a closing one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unbalanced;

/// Appends the unquoted arguments to `text`, and where each of them stands to `ranges`.
pub(super) fn split(
    line: &[u8],
    ranges: &mut Vec<Range<usize>>,
    text: &mut Vec<u8>,
) -> Result<(), Unbalanced> {
    let mut rest = trim_start(line);
    while !rest.is_empty() {
        let start = text.len();
        rest = trim_start(word(rest, text)?);
        ranges.push(start..text.len());
    }
    Ok(())
}

/// C's `isspace`, which has one more than Rust's: the vertical tab.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

fn trim_start(mut line: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = line {
        if !is_space(*first) {
            break;
        }
        line = rest;
    }
    line
}

/// Appends one argument to `text` and returns what follows it. A quote may open within a word, but
/// it ends it; vertical tabs and form feeds separate words without ending one, as in Redis.
fn word<'a>(mut line: &'a [u8], text: &mut Vec<u8>) -> Result<&'a [u8], Unbalanced> {
    loop {
        match line {
            [] | [b' ' | b'\t' | b'\r' | b'\n', ..] => return Ok(line),
            [b'"', rest @ ..] => return double_quoted(rest, text),
            [b'\'', rest @ ..] => return single_quoted(rest, text),
            [byte, rest @ ..] => {
                text.push(*byte);
                line = rest;
            }
        }
    }
}

fn double_quoted<'a>(mut line: &'a [u8], text: &mut Vec<u8>) -> Result<&'a [u8], Unbalanced> {
    loop {
        line = match line {
            [b'"', rest @ ..] => return closed(rest),
            [b'\\', rest @ ..] if !rest.is_empty() => {
                let (byte, rest) = escaped(rest);
                text.push(byte);
                rest
            }
            [byte, rest @ ..] => {
                text.push(*byte);
                rest
            }
            [] => return Err(Unbalanced),
        };
    }
}

fn single_quoted<'a>(mut line: &'a [u8], text: &mut Vec<u8>) -> Result<&'a [u8], Unbalanced> {
    loop {
        line = match line {
            [b'\'', rest @ ..] => return closed(rest),
            [b'\\', b'\'', rest @ ..] => {
                text.push(b'\'');
                rest
            }
            [byte, rest @ ..] => {
                text.push(*byte);
                rest
            }
            [] => return Err(Unbalanced),
        };
    }
}

/// What follows a closing quote, if that may follow one.
fn closed(rest: &[u8]) -> Result<&[u8], Unbalanced> {
    match rest {
        [next, ..] if !is_space(*next) => Err(Unbalanced),
        _ => Ok(rest),
    }
}

/// What the text after a backslash means, and what follows it.
fn escaped(line: &[u8]) -> (u8, &[u8]) {
    if let [b'x', high, low, rest @ ..] = line {
        if let (Some(high), Some(low)) = (hex(*high), hex(*low)) {
            return (high << 4 | low, rest);
        }
    }
    let byte = match line[0] {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'a' => 0x07,
        other => other,
    };
    (byte, &line[1..])
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(line: &[u8]) -> Result<Vec<Vec<u8>>, Unbalanced> {
        let (mut ranges, mut text) = (Vec::new(), Vec::new());
        split(line, &mut ranges, &mut text)?;
        Ok(ranges
            .into_iter()
            .map(|range| text[range].to_vec())
            .collect())
    }

    #[test]
    fn quoting_is_as_redis_7_0_answers_to_echo() {
        let cases: [(&[u8], &[&[u8]]); 12] = [
            (b"", &[]),
            (b" \t\x0b\x0c ", &[]),
            (b"SET  k\tv", &[b"SET", b"k", b"v"]),
            (b"\"\" ''", &[b"", b""]),
            (b"a\"b c\"", &[b"ab c"]),
            (b"'it\\'s' 'a\\nb'", &[b"it's", b"a\\nb"]),
            (
                b"\"\\x41\\xfF\\n\\r\\t\\b\\a\\q\"",
                &[b"A\xff\n\r\t\x08\x07q"],
            ),
            (b"\"\\x4\" \"\\xg1\"", &[b"x4", b"xg1"]),
            (b"\"a\\\"b\\\\\"", &[b"a\"b\\"]),
            (b"a\x0bb", &[b"a\x0bb"]),
            (b"\x0bq\x0b", &[b"q\x0b"]),
            (b"\"a\"\x0bb", &[b"a", b"b"]),
        ];
        for (line, expected) in cases {
            assert_eq!(words(line).unwrap(), expected, "{}", line.escape_ascii());
        }
    }

    #[test]
    fn unbalanced_quotes_are_found_out() {
        for line in [
            &b"\"abc"[..],
            b"'abc",
            b"\"a\"b",
            b"'a'b",
            b"\"a\"\"b\"",
            b"\"a\\\"",
            b"\"a\\",
            b"'a\\'",
            b"ok \"",
        ] {
            assert_eq!(words(line), Err(Unbalanced), "{}", line.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn what_is_quoted_comes_back(args in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..12), 0..6)) {
            let mut line = Vec::new();
            for arg in &args {
                line.extend_from_slice(b" \"");
                for byte in arg {
                    line.extend_from_slice(format!("\\x{byte:02x}").as_bytes());
                }
                line.push(b'"');
            }
            prop_assert_eq!(words(&line).unwrap(), args);
        }

        #[test]
        fn nothing_grows_beyond_the_line(line in prop::collection::vec(prop::sample::select(b"ab \\x4\"'\t\x0b".to_vec()), 0..40)) {
            let (mut ranges, mut text) = (Vec::new(), Vec::new());
            let _ = split(&line, &mut ranges, &mut text);
            prop_assert!(text.len() <= line.len() && ranges.len() <= line.len());
        }
    }
}
