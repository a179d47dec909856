//! Requests: a stream of bytes into lists of arguments that are borrowed from it.
//!
//! Knows no command and answers nothing. Whoever owns a connection's input calls
//! [`Parser::parse`] at the front of it, as with [`frame::split`](crate::protocol::frame::split).
//!
//! What holds it together: a [`Parser`] is where the parsing of one connection's
//! unfinished request stands, and owns no memory; [`Args`] is memory for the arguments of one
//! request and can serve all connections in turn. What was looked at once is not looked at again
//! when more arrives, except once more when the request is whole, to note where its arguments are;
//! and at first everything is taken for a whole request of the plainest form, as nearly all are.
//! So a request costs what its bytes cost, in however many pieces they come, and nothing is
//! allocated by a length that a peer declares. The result does not depend on the pieces either.

use std::ops::{Index, Range};

use super::inline;
use super::number::parse_i64;
use super::reply::Writer;

/// The longest line before its end: an inline command, or the count or length in front of data.
pub const MAX_LINE: usize = 64 << 10;
/// The most arguments of a request.
pub const MAX_ARGS: usize = 1 << 20;
/// The most arguments before a peer has authenticated itself.
pub const MAX_ARGS_UNAUTHENTICATED: usize = 10;
/// The longest argument before a peer has authenticated itself, in bytes.
pub const MAX_BULK_UNAUTHENTICATED: usize = 16 << 10;

/// So much is kept allocated in [`Args`]; what a rare large request needed beyond it is freed.
const KEPT: usize = 4 << 10;

/// Whether a peer has authenticated itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// It has, or need not.
    Authenticated,
    /// It has yet to; its requests are small.
    Unauthenticated,
}

/// How large a request may be. May change from one request to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The longest argument, in bytes (Redis's `proto-max-bulk-len`).
    pub bulk: usize,
    /// The largest request, in bytes on the wire. At least the longest line, so it does not bear
    /// on inline commands.
    pub request: usize,
    /// Whether the smaller bounds hold.
    pub trust: Trust,
}

/// Why a stream holds no request. The connection cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// A line without `*` does not end within [`MAX_LINE`].
    #[error("too big inline request")]
    InlineTooLong,
    /// The line with an array's count does not end within [`MAX_LINE`].
    #[error("too big mbulk count string")]
    CountTooLong,
    /// The line with an argument's length does not end within [`MAX_LINE`].
    #[error("too big bulk count string")]
    LengthTooLong,
    /// An array's count is no number or above [`MAX_ARGS`].
    #[error("invalid multibulk length")]
    Count,
    /// An argument's length is no number, negative, or above [`Bounds::bulk`].
    #[error("invalid bulk length")]
    Length,
    /// An array's count is above [`MAX_ARGS_UNAUTHENTICATED`].
    #[error("unauthenticated multibulk length")]
    UnauthenticatedCount,
    /// An argument's length is above [`MAX_BULK_UNAUTHENTICATED`].
    #[error("unauthenticated bulk length")]
    UnauthenticatedLength,
    /// An argument does not start with `$` but with this.
    #[error("expected '$', got '{}'", .0.escape_ascii())]
    NoBulk(u8),
    /// A quote is not closed, or something follows a closing one.
    #[error("unbalanced quotes in request")]
    UnbalancedQuotes,
    /// The request is above [`Bounds::request`]. Not an error of Redis.
    #[error("too big request")]
    TooLarge,
}

impl RequestError {
    /// Writes the reply that Redis gives before it closes the connection.
    pub fn write(self, writer: &mut Writer<'_>) {
        match self {
            Self::NoBulk(byte) => {
                writer.error_parts(&[b"ERR Protocol error: expected '$', got '", &[byte], b"'"]);
            }
            _ => writer.error(&format!("ERR Protocol error: {self}")),
        }
    }
}

/// Memory for the arguments of a request. One serves any number of connections in turn.
#[derive(Debug, Default)]
pub struct Args {
    ranges: Vec<Range<usize>>,
    /// The unquoted arguments of an inline command; those of an array stay in the input.
    unquoted: Vec<u8>,
}

impl Args {
    fn clear(&mut self) {
        self.ranges.clear();
        self.unquoted.clear();
        if self.ranges.capacity() > KEPT {
            self.ranges.shrink_to(KEPT);
        }
        if self.unquoted.capacity() > KEPT {
            self.unquoted.shrink_to(KEPT);
        }
    }

    /// The request with these arguments, which came over no wire.
    pub(crate) fn fill<'a>(&'a mut self, arguments: &[impl AsRef<[u8]>]) -> Request<'a> {
        self.clear();
        for argument in arguments {
            let start = self.unquoted.len();
            self.unquoted.extend_from_slice(argument.as_ref());
            self.ranges.push(start..self.unquoted.len());
        }
        Request {
            text: &self.unquoted,
            ranges: &self.ranges,
            wire_len: 0,
        }
    }

    #[cfg(test)]
    pub(super) fn heap_bytes(&self) -> usize {
        self.ranges.capacity() * size_of::<Range<usize>>() + self.unquoted.capacity()
    }
}

/// A whole request: the command's name and its arguments.
///
/// It has none at all if the peer sent a blank line or an empty array. That gets no reply.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    text: &'a [u8],
    ranges: &'a [Range<usize>],
    wire_len: usize,
}

impl<'a> Request<'a> {
    /// How many arguments there are, the command's name included.
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Whether nothing is asked.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The argument at `index`; the command's name is at 0.
    pub fn get(&self, index: usize) -> Option<&'a [u8]> {
        let range = self.ranges.get(index)?;
        self.text.get(range.clone())
    }

    /// All arguments, the command's name first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &'a [u8]> + use<'a> {
        let text = self.text;
        self.ranges.iter().map(move |range| &text[range.clone()])
    }

    /// Bytes of the request on the wire: what is to be taken off the front of the input.
    pub fn wire_len(&self) -> usize {
        self.wire_len
    }
}

/// # Panics
/// If there is no such argument, as a slice does. Check the number of arguments before.
impl Index<usize> for Request<'_> {
    type Output = [u8];

    fn index(&self, index: usize) -> &[u8] {
        &self.text[self.ranges[index].clone()]
    }
}

/// What stands at the front of the input.
#[derive(Debug, Clone, Copy)]
pub enum Progress<'a> {
    /// A whole request.
    Request(Request<'a>),
    /// The beginning of one, of which at least so many bytes are missing; never 0.
    Missing(usize),
}

/// What the parser waits for.
#[derive(Debug, Clone, Copy, Default)]
enum Stage {
    /// The first line, which decides between an array and an inline command.
    #[default]
    First,
    /// The line with an argument's length; `left` arguments are not there yet.
    Length { left: usize },
    /// The bytes of an argument; `left` counts it.
    Bulk { left: usize, len: usize },
}

/// Where the parsing of one connection's unfinished request stands.
#[derive(Debug, Clone, Copy, Default)]
pub struct Parser {
    stage: Stage,
    /// Where in the input that begins which the stage waits for.
    pos: usize,
    /// The line that begins at `pos` does not end before this.
    searched: usize,
}

/// What a pass over the input came to, in bytes.
enum Pass {
    Whole(usize),
    Missing(usize),
}

impl Parser {
    /// Parses the request at the front of `input`.
    ///
    /// After [`Progress::Missing`] the next call must be given the same bytes, with more behind
    /// them or not; after [`Progress::Request`], what follows the request; after an error, nothing.
    ///
    /// ```
    /// use memstore_cluster::protocol::resp::{Args, Bounds, Parser, Progress, Trust};
    ///
    /// let bounds = Bounds { bulk: 1 << 20, request: 2 << 20, trust: Trust::Authenticated };
    /// let (mut parser, mut args) = (Parser::default(), Args::default());
    /// let input = b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\nPI";
    /// let Progress::Request(request) = parser.parse(input, &mut args, &bounds)? else {
    ///     panic!("it is whole");
    /// };
    /// assert_eq!((&request[0], &request[1]), (&b"GET"[..], &b"k"[..]));
    /// let rest = &input[request.wire_len()..];
    /// assert!(matches!(parser.parse(rest, &mut args, &bounds)?, Progress::Missing(_)));
    /// # Ok::<(), memstore_cluster::protocol::resp::RequestError>(())
    /// ```
    pub fn parse<'a>(
        &mut self,
        input: &'a [u8],
        args: &'a mut Args,
        bounds: &Bounds,
    ) -> Result<Progress<'a>, RequestError> {
        args.clear();
        let is_resumed = self.pos > 0;
        if !is_resumed {
            if let Some(wire_len) = plain_request(input, args, bounds) {
                *self = Self::default();
                return Ok(Progress::Request(Request {
                    text: input,
                    ranges: &args.ranges,
                    wire_len,
                }));
            }
            args.clear();
        }
        let mut pass = self.advance(input, args, bounds)?;
        if is_resumed && matches!(pass, Pass::Whole(_)) {
            *self = Self::default();
            args.clear();
            pass = self.advance(input, args, bounds)?;
        }
        match pass {
            Pass::Missing(bytes) => Ok(Progress::Missing(bytes)),
            Pass::Whole(wire_len) => {
                *self = Self::default();
                let is_array = input.first() == Some(&b'*');
                Ok(Progress::Request(Request {
                    text: if is_array { input } else { &args.unquoted },
                    ranges: &args.ranges,
                    wire_len,
                }))
            }
        }
    }

    /// Goes on from where the parsing stands, and notes the arguments that it meets.
    fn advance(
        &mut self,
        input: &[u8],
        args: &mut Args,
        bounds: &Bounds,
    ) -> Result<Pass, RequestError> {
        loop {
            match self.stage {
                Stage::First => {
                    match input.first() {
                        None => return Ok(Pass::Missing(1)),
                        Some(b'*') => {}
                        Some(_) => return self.inline(input, args),
                    }
                    let Some(line) = self.header(input, RequestError::CountTooLong)? else {
                        return Ok(Pass::Missing(1));
                    };
                    let left = count(line, bounds)?;
                    if left == 0 {
                        return Ok(Pass::Whole(self.pos));
                    }
                    self.stage = Stage::Length { left };
                }
                Stage::Length { left } => {
                    let Some(line) = self.header(input, RequestError::LengthTooLong)? else {
                        return Ok(Pass::Missing(1));
                    };
                    let len = length(line, bounds)?;
                    if self.after(len) > bounds.request {
                        return Err(RequestError::TooLarge);
                    }
                    self.stage = Stage::Bulk { left, len };
                }
                Stage::Bulk { left, len } => {
                    let after = self.after(len);
                    if input.len() < after {
                        return Ok(Pass::Missing(after - input.len()));
                    }
                    args.ranges.push(self.pos..self.pos + len);
                    self.pos = after;
                    if left == 1 {
                        return Ok(Pass::Whole(after));
                    }
                    self.stage = Stage::Length { left: left - 1 };
                }
            }
        }
    }

    /// Where that begins which follows an argument of `len` bytes at `pos`, and its line end.
    fn after(&self, len: usize) -> usize {
        self.pos.saturating_add(len).saturating_add(2)
    }

    fn inline(&mut self, input: &[u8], args: &mut Args) -> Result<Pass, RequestError> {
        let Some(end) = self.line_end(input, b'\n', RequestError::InlineTooLong)? else {
            return Ok(Pass::Missing(1));
        };
        let line = &input[..end];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        inline::split(line, &mut args.ranges, &mut args.unquoted)
            .map_err(|inline::Unbalanced| RequestError::UnbalancedQuotes)?;
        Ok(Pass::Whole(end + 1))
    }

    /// The line at `pos` without its end, which is any two bytes of which the first is a carriage
    /// return, as in Redis. Goes on to what follows it.
    fn header<'a>(
        &mut self,
        input: &'a [u8],
        too_long: RequestError,
    ) -> Result<Option<&'a [u8]>, RequestError> {
        match self.line_end(input, b'\r', too_long)? {
            Some(end) if end + 1 < input.len() => {
                let line = &input[self.pos..end];
                self.pos = end + 2;
                Ok(Some(line))
            }
            _ => Ok(None),
        }
    }

    /// Where the line at `pos` has its `end`. That is to be among its first [`MAX_LINE`] + 1 bytes,
    /// whatever else has arrived.
    fn line_end(
        &mut self,
        input: &[u8],
        end: u8,
        too_long: RequestError,
    ) -> Result<Option<usize>, RequestError> {
        let limit = self.pos + MAX_LINE + 1;
        let from = self.searched.max(self.pos);
        let to = input.len().min(limit);
        let unsearched = input.get(from..to).unwrap_or_default();
        if let Some(at) = unsearched.iter().position(|byte| *byte == end) {
            return Ok(Some(from + at));
        }
        self.searched = to;
        if to == limit {
            return Err(too_long);
        }
        Ok(None)
    }
}

/// The length of the request at the front of `input`, whose arguments are noted, if it is a whole
/// array whose numbers are all plain and within the bounds.
fn plain_request(input: &[u8], args: &mut Args, bounds: &Bounds) -> Option<usize> {
    let (count, mut at) = plain_number(input, 0, b'*')?;
    check_count(count, bounds).ok()?;
    for _ in 0..count {
        let (len, start) = plain_number(input, at, b'$')?;
        check_length(len, bounds).ok()?;
        let end = start + len;
        at = end + 2;
        if at > input.len().min(bounds.request) {
            return None;
        }
        args.ranges.push(start..end);
    }
    Some(at)
}

/// The number in the line at `at`, and where that begins which follows the line: this marker, a few
/// digits without a leading zero, two bytes of which the first is a carriage return.
fn plain_number(input: &[u8], at: usize, marker: u8) -> Option<(usize, usize)> {
    const MOST_DIGITS: usize = 7;
    let (first, line) = input.get(at..)?.split_first()?;
    let mut number = 0;
    for (digits, byte) in line.iter().enumerate().take(MOST_DIGITS + 1) {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            let is_number = digits == 1 || (digits > 1 && line[0] != b'0');
            let is_end = *byte == b'\r' && line.len() > digits + 1;
            return (*first == marker && is_number && is_end).then_some((number, at + digits + 3));
        }
        number = number * 10 + usize::from(digit);
    }
    None
}

/// The number of arguments that an array's first line announces. A negative one counts as none.
fn count(line: &[u8], bounds: &Bounds) -> Result<usize, RequestError> {
    let count = parse_i64(&line[1..]).ok_or(RequestError::Count)?;
    let count = usize::try_from(count.max(0)).map_err(|_| RequestError::Count)?;
    check_count(count, bounds)
}

fn check_count(count: usize, bounds: &Bounds) -> Result<usize, RequestError> {
    if count > MAX_ARGS {
        return Err(RequestError::Count);
    }
    if bounds.trust == Trust::Unauthenticated && count > MAX_ARGS_UNAUTHENTICATED {
        return Err(RequestError::UnauthenticatedCount);
    }
    Ok(count)
}

/// The length of an argument that its line announces.
fn length(line: &[u8], bounds: &Bounds) -> Result<usize, RequestError> {
    let digits = match line {
        [b'$', digits @ ..] => digits,
        [other, ..] => return Err(RequestError::NoBulk(*other)),
        [] => return Err(RequestError::NoBulk(b'\r')),
    };
    let len = parse_i64(digits).ok_or(RequestError::Length)?;
    let len = usize::try_from(len).map_err(|_| RequestError::Length)?;
    check_length(len, bounds)
}

fn check_length(len: usize, bounds: &Bounds) -> Result<usize, RequestError> {
    if len > bounds.bulk {
        return Err(RequestError::Length);
    }
    if bounds.trust == Trust::Unauthenticated && len > MAX_BULK_UNAUTHENTICATED {
        return Err(RequestError::UnauthenticatedLength);
    }
    Ok(len)
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
