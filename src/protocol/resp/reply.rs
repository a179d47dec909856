//! Replies: what a command answers, in the version of the protocol that the peer has chosen.
//!
//! Knows no command. A [`Writer`] appends to a buffer that it borrows; nothing but a float
//! allocates. Whoever announces a number of elements writes as many; nothing here counts them.
//!
//! The text of a peer never breaks the framing: errors are the only replies on a line of their own
//! that carry any, and their line ends become spaces.

use super::number::{write_double, write_i64, write_u64};
use super::request::Request;

/// The version of the protocol. A connection starts with 2; `HELLO` changes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// RESP2: strings, integers, arrays, errors.
    #[default]
    Resp2,
    /// RESP3, which has more types.
    Resp3,
}

/// Appends replies to a buffer.
///
/// ```
/// use memstore_cluster::protocol::resp::{Protocol, Writer};
///
/// let mut out = Vec::new();
/// let mut writer = Writer::new(&mut out, Protocol::Resp2);
/// writer.map(1);
/// writer.bulk(b"ttl");
/// writer.integer(-1);
/// assert_eq!(out, b"*2\r\n$3\r\nttl\r\n:-1\r\n");
/// ```
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
    protocol: Protocol,
}

impl<'a> Writer<'a> {
    /// A writer that appends to `out`.
    pub fn new(out: &'a mut Vec<u8>, protocol: Protocol) -> Self {
        Self { out, protocol }
    }

    /// The version it writes.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Goes on in another version, as the reply to `HELLO` does.
    pub fn set_protocol(&mut self, protocol: Protocol) {
        self.protocol = protocol;
    }

    /// A word of ours: `OK`, `PONG`, `QUEUED`.
    pub fn simple(&mut self, word: &'static str) {
        self.line(b'+', word.as_bytes());
    }

    /// An error. The text starts with its code, such as `ERR` or `WRONGTYPE`, and no dash.
    pub fn error(&mut self, text: &str) {
        self.error_parts(&[text.as_bytes()]);
    }

    /// An error of several parts, which may quote what a peer sent. As Redis does: a part ends at
    /// its first zero byte, line ends become spaces, and are cut off where they end the text.
    pub fn error_parts(&mut self, parts: &[&[u8]]) {
        self.out.push(b'-');
        let start = self.out.len();
        for part in parts {
            self.out.extend_from_slice(until_zero(part));
        }
        self.end_error(start);
    }

    /// The error that Redis 7.0 gives where no command has the name that a request starts with.
    pub fn unknown_command(&mut self, request: &Request<'_>) {
        const QUOTED: usize = 128;
        let mut arguments = request.iter();
        let name = arguments.next().unwrap_or_default();
        self.out.push(b'-');
        let start = self.out.len();
        self.out.extend_from_slice(b"ERR unknown command '");
        self.out.extend_from_slice(beginning(name, QUOTED));
        self.out.extend_from_slice(b"', with args beginning with: ");
        let quoted = self.out.len();
        for argument in arguments {
            let used = self.out.len() - quoted;
            if used >= QUOTED {
                break;
            }
            self.out.push(b'\'');
            self.out
                .extend_from_slice(beginning(argument, QUOTED - used));
            self.out.extend_from_slice(b"' ");
        }
        self.end_error(start);
    }

    fn end_error(&mut self, start: usize) {
        let is_line_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
        let text = &mut self.out[start..];
        let kept = text.iter().rposition(|byte| !is_line_end(byte));
        let kept = kept.map_or(0, |last| last + 1);
        for byte in text[..kept].iter_mut().filter(|byte| is_line_end(byte)) {
            *byte = b' ';
        }
        self.out.truncate(start + kept);
        self.end();
    }

    /// An integer.
    pub fn integer(&mut self, value: i64) {
        self.out.push(b':');
        write_i64(self.out, value);
        self.end();
    }

    /// A string of any bytes.
    pub fn bulk(&mut self, value: &[u8]) {
        self.header(b'$', value.len());
        self.out.extend_from_slice(value);
        self.end();
    }

    /// A string that is a number, such as a cursor.
    pub fn bulk_u64(&mut self, value: u64) {
        self.header(
            b'$',
            value.checked_ilog10().map_or(1, |log| log as usize + 1),
        );
        write_u64(self.out, value);
        self.end();
    }

    /// No string.
    pub fn null(&mut self) {
        self.out.extend_from_slice(match self.protocol {
            Protocol::Resp2 => b"$-1\r\n",
            Protocol::Resp3 => b"_\r\n",
        });
    }

    /// No array, as an aborted `EXEC` answers.
    pub fn null_array(&mut self) {
        self.out.extend_from_slice(match self.protocol {
            Protocol::Resp2 => b"*-1\r\n",
            Protocol::Resp3 => b"_\r\n",
        });
    }

    /// The beginning of an array of `len` replies.
    pub fn array(&mut self, len: usize) {
        self.header(b'*', len);
    }

    /// The beginning of `len` pairs of replies. In RESP2 an array of twice as many.
    pub fn map(&mut self, len: usize) {
        match self.protocol {
            Protocol::Resp2 => self.array(2 * len),
            Protocol::Resp3 => self.header(b'%', len),
        }
    }

    /// The beginning of a set of `len` replies. In RESP2 an array.
    pub fn set(&mut self, len: usize) {
        self.resp3_header(b'~', len);
    }

    /// The beginning of `len` replies that nobody asked for. In RESP2 an array.
    pub fn push(&mut self, len: usize) {
        self.resp3_header(b'>', len);
    }

    /// A double. In RESP2 a string.
    pub fn double(&mut self, value: f64) {
        let mut text = Vec::new();
        write_double(&mut text, value);
        match self.protocol {
            Protocol::Resp2 => self.bulk(&text),
            Protocol::Resp3 => self.line(b',', &text),
        }
    }

    /// Yes or no. In RESP2 1 or 0.
    pub fn boolean(&mut self, value: bool) {
        match self.protocol {
            Protocol::Resp2 => self.integer(value.into()),
            Protocol::Resp3 => self.line(b'#', if value { b"t" } else { b"f" }),
        }
    }

    /// A text for people to read, as `INFO` answers. In RESP2 a string.
    pub fn verbatim(&mut self, text: &[u8]) {
        const FORMAT: &[u8] = b"txt:";
        match self.protocol {
            Protocol::Resp2 => self.bulk(text),
            Protocol::Resp3 => {
                self.header(b'=', FORMAT.len() + text.len());
                self.out.extend_from_slice(FORMAT);
                self.out.extend_from_slice(text);
                self.end();
            }
        }
    }

    fn resp3_header(&mut self, marker: u8, len: usize) {
        match self.protocol {
            Protocol::Resp2 => self.array(len),
            Protocol::Resp3 => self.header(marker, len),
        }
    }

    fn header(&mut self, marker: u8, len: usize) {
        self.out.push(marker);
        write_u64(self.out, len as u64);
        self.end();
    }

    fn line(&mut self, marker: u8, text: &[u8]) {
        self.out.push(marker);
        self.out.extend_from_slice(text);
        self.end();
    }

    fn end(&mut self) {
        self.out.extend_from_slice(b"\r\n");
    }
}

/// What C takes for a string.
fn until_zero(text: &[u8]) -> &[u8] {
    text.split(|byte| *byte == 0).next().unwrap_or_default()
}

fn beginning(text: &[u8], max: usize) -> &[u8] {
    until_zero(&text[..text.len().min(max)])
}

#[cfg(test)]
#[path = "reply_tests.rs"]
mod tests;
