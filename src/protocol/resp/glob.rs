//! Patterns of `KEYS`, `SCAN … MATCH`, `PSUBSCRIBE` and `CONFIG GET`: as Redis matches them.
//!
//! `*` any bytes, `?` any byte, `[a-c]` one of these, `[^x]` none of these, `\x` the byte itself.
//! Case matters. Bytes, not characters.
//!
//! The time is at most in the order of pattern × text: a mismatch goes back to the last star only.
//! That is enough, because whatever an earlier star could gain by taking more, the last one can
//! take as well.

/// Whether `text` is what `pattern` describes.
///
/// The empty text matches only the empty pattern, so not `*`, as in Redis; where keys are listed,
/// Redis takes `*` for "all" without asking.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    if text.is_empty() {
        return pattern.is_empty();
    }
    let (mut pattern, mut text) = (pattern, text);
    // What follows the last star, and the text from which it is to be tried next.
    let mut star: Option<(&[u8], &[u8])> = None;
    loop {
        if let [b'*', rest @ ..] = pattern {
            if rest.is_empty() {
                return true;
            }
            pattern = rest;
            star = Some((rest, text));
            continue;
        }
        let step = match text {
            [] if pattern.is_empty() => return true,
            [] => return false,
            [byte, rest @ ..] => one(pattern, *byte).map(|pattern| (pattern, rest)),
        };
        if let Some(next) = step {
            (pattern, text) = next;
            continue;
        }
        let Some((after_star, [_, shorter @ ..])) = star else {
            return false;
        };
        star = Some((after_star, shorter));
        (pattern, text) = (after_star, shorter);
    }
}

/// What follows the first element of a pattern, no star, if that stands for `byte`.
fn one(pattern: &[u8], byte: u8) -> Option<&[u8]> {
    let (is_match, rest) = match pattern {
        [] => return None,
        [b'?', rest @ ..] => (true, rest),
        [b'[', rest @ ..] => class(rest, byte),
        [b'\\', literal, rest @ ..] | [literal, rest @ ..] => (*literal == byte, rest),
    };
    is_match.then_some(rest)
}

/// Whether a class, given without its bracket, has `byte`, and what follows the class. One that is
/// not closed ends with the pattern.
fn class(pattern: &[u8], byte: u8) -> (bool, &[u8]) {
    let (is_negated, mut rest) = match pattern {
        [b'^', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let mut is_listed = false;
    loop {
        let (is_match, after) = match rest {
            [b'\\', literal, after @ ..] => (*literal == byte, after),
            [b']', after @ ..] => return (is_listed != is_negated, after),
            [] => return (is_listed != is_negated, rest),
            [from, b'-', to, after @ ..] => (is_between(*from, *to, byte), after),
            [literal, after @ ..] => (*literal == byte, after),
        };
        is_listed |= is_match;
        rest = after;
    }
}

/// Whether `byte` is in a range, whichever end is named first. Bytes are ordered as the signed
/// `char` of x86-64 orders them, which shows only in a range from ASCII to beyond it.
fn is_between(from: u8, to: u8, byte: u8) -> bool {
    let [from, to, byte] = [from, to, byte].map(|byte| i8::from_le_bytes([byte]));
    (from.min(to)..=from.max(to)).contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Redis's definition: a star is followed by a match of the rest at any later byte.
    fn model(pattern: &[u8], text: &[u8]) -> bool {
        if text.is_empty() {
            return pattern.is_empty();
        }
        let Some(first) = pattern.first() else {
            return false;
        };
        if *first == b'*' {
            let rest = &pattern[1..];
            return rest.iter().all(|byte| *byte == b'*')
                || (0..text.len()).any(|at| model(rest, &text[at..]));
        }
        let Some(rest) = one(pattern, text[0]) else {
            return false;
        };
        let is_end = text.len() == 1 && rest.iter().all(|byte| *byte == b'*');
        is_end || model(rest, &text[1..])
    }

    #[test]
    fn patterns_match_as_in_redis_7_0() {
        let matching: [(&[u8], &[u8]); 24] = [
            (b"", b""),
            (b"*", b"a"),
            (b"a*", b"a"),
            (b"a**", b"a"),
            (b"*a*b*", b"xxaxxbxx"),
            (b"h?llo", b"hello"),
            (b"h[ae]llo", b"hallo"),
            (b"h[^e]llo", b"hallo"),
            (b"h[a-b]llo", b"hbllo"),
            (b"h[b-a]llo", b"hallo"),
            (b"h\\*llo", b"h*llo"),
            (b"a\\", b"a\\"),
            (b"[a", b"a"),
            (b"[ab", b"b"),
            (b"[^", b"a"),
            (b"[^]", b"a"),
            (b"[\\]]", b"]"),
            (b"[a-]", b"_"),
            (b"[a-\\]]", b"`]"),
            (b"[\\^a]", b"^"),
            (b"[a^]", b"^"),
            (b"[abc\\", b"\\"),
            (b"[\xfe-\x02]", b"\x00"),
            (b"[a-\xff]", b"\x10"),
        ];
        for (pattern, text) in matching {
            let case = (pattern.escape_ascii(), text.escape_ascii());
            assert!(matches(pattern, text), "{} on {}", case.0, case.1);
        }
        let differing: [(&[u8], &[u8]); 14] = [
            (b"", b"a"),
            (b"a", b""),
            (b"*", b""),
            (b"**", b""),
            (b"a", b"A"),
            (b"?", b""),
            (b"a?", b"a"),
            (b"[", b"["),
            (b"[]", b"a"),
            (b"[]a]", b"a"),
            (b"[^a]", b"a"),
            (b"h[^e]llo", b"hello"),
            (b"*a", b"ab"),
            (b"[a-\xff]", b"z"),
        ];
        for (pattern, text) in differing {
            let case = (pattern.escape_ascii(), text.escape_ascii());
            assert!(!matches(pattern, text), "{} on {}", case.0, case.1);
        }
    }

    /// With exponential time this would not end before the universe does.
    #[test]
    fn many_stars_do_not_blow_up() {
        let mut pattern = b"a*".repeat(2000);
        pattern.push(b'b');
        let mut text = vec![b'a'; 10_000];
        assert!(!matches(&pattern, &text));
        text.push(b'b');
        assert!(matches(&pattern, &text));
    }

    fn bytes_of(alphabet: &[u8], len: usize) -> impl Strategy<Value = Vec<u8>> + use<> {
        prop::collection::vec(prop::sample::select(alphabet.to_vec()), 0..=len)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]
        #[test]
        fn the_last_star_is_enough(
            pattern in bytes_of(b"aab*?[]^-\\", 9),
            text in bytes_of(b"aab-]", 9),
        ) {
            prop_assert_eq!(matches(&pattern, &text), model(&pattern, &text));
        }

        #[test]
        fn no_bytes_panic(pattern: Vec<u8>, text: Vec<u8>) {
            matches(&pattern, &text);
        }

        #[test]
        fn an_escaped_text_matches_itself_alone(text: Vec<u8>, other: Vec<u8>) {
            let pattern: Vec<u8> = text.iter().flat_map(|byte| [b'\\', *byte]).collect();
            prop_assert!(matches(&pattern, &text));
            prop_assert_eq!(matches(&pattern, &other), text == other);
        }
    }
}
