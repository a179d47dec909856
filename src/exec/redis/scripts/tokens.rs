//! What a Lua text says, without how it is written: so that a script is known again in its next
//! release.
//!
//! White space, comments, quotes, the names of locals, the case of commands and of their options,
//! semicolons and brackets around a whole condition do not matter. All else does: two texts of the
//! same [`Canonical`] form do the same. Nothing is run or parsed here; a text that is no Lua has a
//! form that is like none.

use std::collections::HashMap;

/// No script that is known has so many tokens.
const MOST_TOKENS: usize = 1_000;

const KEYWORDS: [&[u8]; 21] = [
    b"and",
    b"break",
    b"do",
    b"else",
    b"elseif",
    b"end",
    b"false",
    b"for",
    b"function",
    b"if",
    b"in",
    b"local",
    b"nil",
    b"not",
    b"or",
    b"repeat",
    b"return",
    b"then",
    b"true",
    b"until",
    b"while",
];
/// Names that a script does not choose. A global that is missing here counts as a local, which
/// is as good: the form has it where the known script has a local of its own.
const GLOBALS: [&[u8]; 11] = [
    b"ARGV",
    b"KEYS",
    b"ipairs",
    b"math",
    b"pairs",
    b"redis",
    b"string",
    b"table",
    b"tonumber",
    b"tostring",
    b"unpack",
];
/// Words that known scripts have as options of commands only.
const OPTIONS: [&[u8]; 4] = [b"ex", b"nx", b"px", b"xx"];
/// Those of several characters before those that they begin with.
const SYMBOLS: [&[u8]; 28] = [
    b"...", b"..", b"==", b"~=", b"<=", b">=", b"+", b"-", b"*", b"/", b"%", b"^", b"#", b"<",
    b">", b"=", b"(", b")", b"{", b"}", b"[", b"]", b";", b":", b",", b".", b"&", b"|",
];

/// A text without how it is written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Canonical {
    pub(super) tokens: Vec<Token>,
    /// The line of each `redis.call` and `redis.pcall`, as errors tell it.
    pub(super) sites: Vec<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Token {
    /// A keyword, a global or a field.
    Name(Vec<u8>),
    /// A name that the script has chosen, by when it is first met.
    Local(usize),
    Text(Vec<u8>),
    /// The bits of the number.
    Number(u64),
    Symbol(&'static [u8]),
}

impl Canonical {
    /// What a text says. `None` if it is too long for a known one or has what Lua has not.
    pub(super) fn of(text: &[u8]) -> Option<Self> {
        let mut reader = Reader {
            rest: text,
            line: 1,
            locals: HashMap::new(),
            canonical: Self {
                tokens: Vec::new(),
                sites: Vec::new(),
            },
        };
        while reader.read_token()? {
            if reader.canonical.tokens.len() > MOST_TOKENS {
                return None;
            }
        }
        let mut canonical = reader.canonical;
        canonical.tokens.retain(|token| !is(token, b";"));
        canonical.strip_conditions();
        Some(canonical)
    }

    /// Takes away the brackets of `if (…) then`.
    fn strip_conditions(&mut self) {
        let mut at = 0;
        while at + 1 < self.tokens.len() {
            if matches!(&self.tokens[at], Token::Name(name) if name == b"if" || name == b"elseif")
                && is(&self.tokens[at + 1], b"(")
            {
                if let Some(close) = self.closing(at + 1) {
                    if matches!(self.tokens.get(close + 1), Some(Token::Name(name)) if name == b"then")
                    {
                        self.tokens.remove(close);
                        self.tokens.remove(at + 1);
                        continue;
                    }
                }
            }
            at += 1;
        }
    }

    /// Where the bracket that opens at this place closes.
    fn closing(&self, open: usize) -> Option<usize> {
        let mut depth = 0;
        for (at, token) in self.tokens.iter().enumerate().skip(open) {
            if is(token, b"(") {
                depth += 1;
            } else if is(token, b")") {
                depth -= 1;
                if depth == 0 {
                    return Some(at);
                }
            }
        }
        None
    }
}

fn is(token: &Token, symbol: &[u8]) -> bool {
    matches!(token, Token::Symbol(other) if *other == symbol)
}

struct Reader<'t> {
    rest: &'t [u8],
    line: u32,
    locals: HashMap<&'t [u8], usize>,
    canonical: Canonical,
}

impl<'t> Reader<'t> {
    /// Reads what comes next. Whether there was anything; `None` if it is no Lua.
    fn read_token(&mut self) -> Option<bool> {
        self.skip_blanks()?;
        let Some(first) = self.rest.first() else {
            return Some(false);
        };
        match first {
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => self.read_name(),
            b'0'..=b'9' => self.read_number()?,
            b'\'' | b'"' => {
                let text = self.read_quoted()?;
                self.push_text(text);
            }
            b'[' if long_bracket(self.rest).is_some() => {
                let text = self.take_long()?;
                self.push_text(text.to_vec());
            }
            _ => self.read_symbol()?,
        }
        Some(true)
    }

    fn skip_blanks(&mut self) -> Option<()> {
        loop {
            let blank = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0x0b;
            let blanks = self.rest.iter().take_while(|byte| blank(byte)).count();
            self.take(blanks);
            let Some(comment) = self.rest.strip_prefix(b"--") else {
                return Some(());
            };
            if long_bracket(comment).is_some() {
                self.take(2);
                self.take_long()?;
            } else {
                let len = self.rest.iter().take_while(|byte| **byte != b'\n').count();
                self.take(len);
            }
        }
    }

    /// Takes so many bytes, of which there are enough.
    fn take(&mut self, len: usize) -> &'t [u8] {
        let (taken, rest) = self.rest.split_at(len);
        self.rest = rest;
        for _ in taken.iter().filter(|byte| **byte == b'\n') {
            self.line = self.line.saturating_add(1);
        }
        taken
    }

    fn read_name(&mut self) {
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        let len = self.rest.iter().take_while(|byte| is_part(byte)).count();
        let name = self.take(len);
        let last = self.canonical.tokens.last();
        let is_field = last.is_some_and(|last| is(last, b".") || is(last, b":"));
        let token = if is_field || KEYWORDS.contains(&name) || GLOBALS.contains(&name) {
            Token::Name(name.to_vec())
        } else {
            let number = self.locals.len();
            Token::Local(*self.locals.entry(name).or_insert(number))
        };
        self.canonical.tokens.push(token);
    }

    fn read_number(&mut self) -> Option<()> {
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'.';
        let len = self.rest.iter().take_while(|byte| is_part(byte)).count();
        // In `1..x` the dots are not the number's.
        let len = self.rest[..len]
            .windows(2)
            .position(|pair| pair == b"..")
            .unwrap_or(len);
        let text = std::str::from_utf8(self.take(len)).ok()?;
        let number: f64 = text.parse().ok()?;
        self.canonical.tokens.push(Token::Number(number.to_bits()));
        Some(())
    }

    fn read_quoted(&mut self) -> Option<Vec<u8>> {
        let quote = self.take(1)[0];
        let mut text = Vec::new();
        loop {
            match *self.rest.first()? {
                byte if byte == quote => {
                    self.take(1);
                    return Some(text);
                }
                b'\n' => return None,
                b'\\' => {
                    self.take(1);
                    text.push(self.read_escape()?);
                }
                byte => {
                    self.take(1);
                    text.push(byte);
                }
            }
        }
    }

    fn read_escape(&mut self) -> Option<u8> {
        let digits = self.rest.iter().take(3);
        let digits = digits.take_while(|byte| byte.is_ascii_digit()).count();
        if digits > 0 {
            return std::str::from_utf8(self.take(digits)).ok()?.parse().ok();
        }
        self.rest.first()?;
        Some(match self.take(1)[0] {
            b'a' => 0x07,
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'v' => 0x0b,
            byte => byte,
        })
    }

    /// Takes a long bracket with what is in it, which is returned.
    fn take_long(&mut self) -> Option<&'t [u8]> {
        let level = long_bracket(self.rest)?;
        self.take(level + 2);
        let mut close = vec![b'='; level + 2];
        (close[0], close[level + 1]) = (b']', b']');
        let mut windows = self.rest.windows(close.len());
        let len = windows.position(|window| window == close)?;
        let inner = self.take(len);
        self.take(close.len());
        Some(
            inner
                .strip_prefix(b"\r\n")
                .or(inner.strip_prefix(b"\n"))
                .unwrap_or(inner),
        )
    }

    fn push_text(&mut self, mut text: Vec<u8>) {
        if self.is_after_call() || OPTIONS.iter().any(|word| word.eq_ignore_ascii_case(&text)) {
            text.make_ascii_lowercase();
        }
        self.canonical.tokens.push(Token::Text(text));
    }

    fn read_symbol(&mut self) -> Option<()> {
        let mut symbols = SYMBOLS.iter();
        let symbol = *symbols.find(|symbol| self.rest.starts_with(symbol))?;
        let line = self.line;
        self.take(symbol.len());
        // After a semicolon a bracket begins something, without one it goes on.
        let last = self.canonical.tokens.last();
        if symbol == b"(" && last.is_some_and(|last| is(last, b";")) {
            return None;
        }
        self.canonical.tokens.push(Token::Symbol(symbol));
        if self.is_after_call() {
            self.canonical.sites.push(line);
        }
        Some(())
    }

    /// Whether the last tokens are `redis.call(` or `redis.pcall(`.
    fn is_after_call(&self) -> bool {
        let [.., Token::Name(redis), dot, Token::Name(call), open] = &self.canonical.tokens[..]
        else {
            return false;
        };
        redis == b"redis"
            && is(dot, b".")
            && is(open, b"(")
            && (call == b"call" || call == b"pcall")
    }
}

/// The level of the long bracket that opens here, if one does.
fn long_bracket(text: &[u8]) -> Option<usize> {
    let inner = text.strip_prefix(b"[")?;
    let level = inner.iter().take_while(|byte| **byte == b'=').count();
    (inner.get(level) == Some(&b'[')).then_some(level)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tokens(text: &str) -> Option<Vec<Token>> {
        Canonical::of(text.as_bytes()).map(|canonical| canonical.tokens)
    }

    #[test]
    fn how_a_text_is_written_does_not_matter() {
        let plain = tokens("local a = redis.call('get', KEYS[1]) if a == 'x' then return 10 end");
        assert!(plain.is_some());
        for text in [
            "local value=redis.call(\"GET\",KEYS[1]);if(value==\"x\")then return 10 end;",
            "-- a\nlocal b --[[ c\n ]] = redis . call([[get]], KEYS [ 1 ])\nif b == '\\120'\r\n\
             then\n\treturn 1e1 --[==[ ]] ]==]\nend -- the end",
        ] {
            assert_eq!(tokens(text), plain, "{text}");
        }
    }

    #[test]
    fn what_a_text_says_matters() {
        let all = [
            "return redis.call('get', KEYS[1])",
            "return redis.call('get', KEYS[2])",
            "return redis.call('get', ARGV[1])",
            "return redis.pcall('get', KEYS[1])",
            "return redis.call('set', KEYS[1])",
            "return redis.call('get', 'KEYS[1]')",
            "return redis.call(get, KEYS[1])",
            "local a, b = 1, 2 return a",
            "local a, b = 1, 2 return b",
            "local a, b = 1, 2 return 'a'",
            "local a, b = 1, 2 return 'A'",
            "return (a) and b",
            "return (a and b)",
            "if (a) and b then return end",
            "if (a) and (b) then return end",
            "return 1 .. 2",
            "return - 1",
            "",
        ];
        for (at, one) in all.iter().enumerate() {
            assert!(tokens(one).is_some(), "{one}");
            for other in &all[at + 1..] {
                assert_ne!(tokens(one), tokens(other), "{one} and {other}");
            }
        }
        for text in [
            "'",
            "'\n'",
            "[[",
            "--[[",
            "1x",
            "!",
            "#!lua",
            "local a = b; (c)()",
        ] {
            assert_eq!(tokens(text), None, "{text}");
        }
        assert_eq!(tokens(&"a ".repeat(MOST_TOKENS + 2)), None);
    }

    #[test]
    fn calls_are_on_their_lines() {
        let text =
            b"-- a\nredis.call('a')\n\nlocal x = [[\n]] redis.pcall\n(\n'b') redis.call('c')";
        assert_eq!(Canonical::of(text).unwrap().sites, [2, 6, 7]);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[-a1'\"\\\\\\[=\\]\n;.() ]{0,40}") {
            Canonical::of(text.as_bytes());
        }
    }
}
