//! The steps of a case, as text.
//!
//! A case is a text with a step on each line. Blank lines and what follows `#` at the beginning of
//! a line are left out.
//!
//! ```text
//! SET k "a \x00 byte" PX 100000    a command on connection 1; quoted as redis-cli has it
//! 2> GET k                         on connection 2, which is opened when first used
//! 2/3> UNSUBSCRIBE                 it has three replies; a command has one unless it says so
//! @raw "*1\r\n$4\r\nPING\r\n"      these bytes
//! 2/1> @read                       waits for a reply that nobody asked for
//! @settle k                        if k expires within a second: waits until it has, on both
//! @lapse k                         makes k expire, if it is there, and waits for it
//! @scan MATCH a*                   SCAN until the cursor is 0; what it found is compared
//! ```

use std::fmt;

/// Something to do to both servers.
#[derive(Clone, PartialEq, Eq)]
pub struct Step {
    pub connection: u8,
    /// How many replies it has.
    pub replies: usize,
    pub what: What,
}

#[derive(Clone, PartialEq, Eq)]
pub enum What {
    /// A command, sent as an array.
    Command(Vec<Vec<u8>>),
    /// Bytes as they are.
    Raw(Vec<u8>),
    /// Nothing is sent, only read.
    Read,
    /// A key that is about to expire is waited for.
    Settle(Vec<u8>),
    /// A key expires.
    Lapse(Vec<u8>),
    /// A whole SCAN with these options.
    Scan(Vec<Vec<u8>>),
}

impl Step {
    /// A command with as many replies as it usually has.
    pub fn command(connection: u8, args: Vec<Vec<u8>>) -> Self {
        Self {
            connection,
            replies: usual_replies(&args),
            what: What::Command(args),
        }
    }

    /// The step of a line; `None` if there is none.
    fn read(line: &str) -> Option<Self> {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            return None;
        }
        let (place, text) = match line.split_once("> ") {
            Some((place, text)) if place.starts_with(|c: char| c.is_ascii_digit()) => (place, text),
            _ => ("1", line),
        };
        let (connection, replies) = match place.split_once('/') {
            Some((connection, replies)) => (connection, Some(replies.parse().expect("a number"))),
            None => (place, None),
        };
        let connection = connection.parse().expect("the number of a connection");
        let mut args = split(text);
        let what = match args[0].as_slice() {
            b"@raw" => What::Raw(args.remove(1)),
            b"@read" => What::Read,
            b"@settle" => What::Settle(args.remove(1)),
            b"@lapse" => What::Lapse(args.remove(1)),
            b"@scan" => What::Scan(args.split_off(1)),
            directive if directive.starts_with(b"@") => panic!("what is {line}?"),
            _ => What::Command(args),
        };
        let usual = match &what {
            What::Command(args) => usual_replies(args),
            What::Raw(_) | What::Read => 1,
            What::Settle(_) | What::Lapse(_) | What::Scan(_) => 0,
        };
        Some(Self {
            connection,
            replies: replies.unwrap_or(usual),
            what,
        })
    }

    /// The steps of a text.
    pub fn all(text: &str) -> Vec<Self> {
        text.lines().filter_map(Self::read).collect()
    }

    /// What is sent.
    pub fn bytes(&self) -> Vec<u8> {
        match &self.what {
            What::Command(args) => encode(args),
            What::Raw(bytes) => bytes.clone(),
            What::Read | What::Settle(_) | What::Lapse(_) | What::Scan(_) => Vec::new(),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (directive, args): (&str, &[Vec<u8>]) = match &self.what {
            What::Command(args) => ("", args),
            What::Raw(bytes) => ("@raw ", std::slice::from_ref(bytes)),
            What::Read => ("@read", &[]),
            What::Settle(key) => ("@settle ", std::slice::from_ref(key)),
            What::Lapse(key) => ("@lapse ", std::slice::from_ref(key)),
            What::Scan(args) => ("@scan ", args),
        };
        write!(f, "{}/{}> {directive}", self.connection, self.replies)?;
        let args: Vec<_> = args.iter().map(|arg| quoted(arg)).collect();
        f.write_str(&args.join(" "))
    }
}

/// A command as clients send it.
pub fn encode(args: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        let arg = arg.as_ref();
        out.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// Subscriptions are answered one by one.
fn usual_replies(args: &[Vec<u8>]) -> usize {
    let name = args[0].to_ascii_lowercase();
    let is_subscription = name.ends_with(b"subscribe");
    if is_subscription {
        args.len().saturating_sub(1).max(1)
    } else {
        1
    }
}

fn quoted(arg: &[u8]) -> String {
    let is_plain = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
    if !arg.is_empty() && arg.iter().all(is_plain) {
        String::from_utf8_lossy(arg).into_owned()
    } else {
        let escaped = arg.escape_ascii().to_string();
        format!("\"{}\"", escaped.replace("\\'", "'"))
    }
}

/// The words of a line; in double quotes `\n \r \t \" \\ \xFF` stand for bytes.
fn split(line: &str) -> Vec<Vec<u8>> {
    let (mut args, mut rest) = (Vec::new(), line.trim_start());
    while !rest.is_empty() {
        let mut arg = Vec::new();
        if let Some(quoted) = rest.strip_prefix('"') {
            let mut bytes = quoted.bytes();
            loop {
                match bytes.next().expect("a closing quote") {
                    b'"' => break,
                    b'\\' => arg.push(match bytes.next().expect("something escaped") {
                        b'n' => b'\n',
                        b'r' => b'\r',
                        b't' => b'\t',
                        b'x' => {
                            let mut digit = || {
                                let digit = bytes.next().map(char::from);
                                digit.and_then(|digit| digit.to_digit(16)).expect("hex")
                            };
                            let value = 16 * digit() + digit();
                            u8::try_from(value).expect("two digits")
                        }
                        byte => byte,
                    }),
                    byte => arg.push(byte),
                }
            }
            rest = &quoted[quoted.len() - bytes.len()..];
        } else {
            let end = rest.find(' ').unwrap_or(rest.len());
            arg.extend_from_slice(&rest.as_bytes()[..end]);
            rest = &rest[end..];
        }
        args.push(arg);
        rest = rest.trim_start();
    }
    args
}
