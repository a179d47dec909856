//! What the fuzz targets of `tests/fuzz` run, and the test that runs their seeds. Not for users.
//!
//! Each function takes any bytes and panics where something that must hold does not.

use super::codec;
use super::frame;
use super::message::Op;
use super::resp::{Args, Bounds, Extended, Parser, Progress, Protocol, Trust, Writer};
use super::resp::{RequestError, glob, number};

/// So large may a body or a request be here.
const MAX: usize = 1 << 16;

/// The native dialect: a stream of frames, each of them decoded as a request and as a reply. What
/// decodes is written and read again.
///
/// # Panics
/// If it does not come back.
pub fn frame(input: &[u8]) {
    let mut rest = input;
    while let Ok(Some(frame)) = frame::split(rest, MAX) {
        rest = &rest[frame.wire_len()..];
        let id = frame.header.id;
        let mut again = Vec::new();
        if let Ok(request) = codec::read_request(frame) {
            codec::write_request(&mut again, id, &request);
            assert_eq!(Op::from_code(frame.header.code), Some(request.op()));
            assert_eq!(frame::split(&again, MAX), Ok(Some(frame)), "{request:?}");
        }
        again.clear();
        if let Ok(reply) = codec::read_reply(frame) {
            codec::write_reply(&mut again, id, &reply);
            assert_eq!(frame::split(&again, MAX), Ok(Some(frame)), "{reply:?}");
        }
    }
}

/// The Redis protocol: the first byte says in what pieces the rest arrives, which must not matter.
/// What was parsed is written and parsed again, and goes through patterns, numbers and errors.
///
/// # Panics
/// If the pieces matter, if something does not come back, or if a reply breaks its line.
pub fn resp(input: &[u8]) {
    let Some((first, stream)) = input.split_first() else {
        return;
    };
    let trust = if first % 2 == 0 {
        Trust::Authenticated
    } else {
        Trust::Unauthenticated
    };
    let bounds = Bounds {
        bulk: MAX / 2,
        request: MAX,
        trust,
    };
    let (requests, end) = parse(stream, stream.len().max(1), &bounds);
    let piece = usize::from(first / 2) + 1;
    assert_eq!(parse(stream, piece, &bounds), (requests.clone(), end));
    for request in &requests {
        check(request);
    }
    if let Err(error) = end {
        check_error(|writer| error.write(writer));
    }
}

type Requests = Vec<Vec<Vec<u8>>>;

/// The requests of a stream that arrives in pieces, and whether it ends as one may.
fn parse(stream: &[u8], piece: usize, bounds: &Bounds) -> (Requests, Result<(), RequestError>) {
    let (mut parser, mut args) = (Parser::default(), Args::default());
    let (mut requests, mut start, mut end) = (Vec::new(), 0, 0);
    loop {
        match parser.parse(&stream[start..end], &mut args, bounds) {
            Ok(Progress::Request(request)) => {
                start += request.wire_len();
                requests.push(request.iter().map(<[u8]>::to_vec).collect());
            }
            Ok(Progress::Missing(missing)) => {
                assert_ne!(missing, 0);
                if end == stream.len() {
                    return (requests, Ok(()));
                }
                end = (end + piece).min(stream.len());
            }
            Err(error) => return (requests, Err(error)),
        }
    }
}

fn check(request: &[Vec<u8>]) {
    let mut wire = Vec::new();
    let mut writer = Writer::new(&mut wire, Protocol::Resp2);
    writer.array(request.len());
    for argument in request {
        writer.bulk(argument);
    }
    let bounds = Bounds {
        bulk: usize::MAX,
        request: usize::MAX,
        trust: Trust::Authenticated,
    };
    let mut args = Args::default();
    match Parser::default().parse(&wire, &mut args, &bounds) {
        Ok(Progress::Request(again)) => {
            assert!(again.iter().eq(request.iter().map(Vec::as_slice)));
            assert_eq!(again.wire_len(), wire.len());
            check_error(|writer| writer.unknown_command(&again));
        }
        other => panic!("{other:?}"),
    }
    let mut text = Vec::new();
    for argument in request {
        text.clear();
        if let Some(integer) = number::parse_i64(argument) {
            number::write_i64(&mut text, integer);
            assert_eq!(&text, argument);
        }
        text.clear();
        if let Some(float) = Extended::parse(argument) {
            float.write(&mut text);
            assert!(Extended::parse(&text).is_some(), "{float:?}");
        }
        check_error(|writer| writer.error_parts(&[b"ERR ", argument]));
    }
    if let [pattern, text, ..] = request {
        let literal: Vec<u8> = text.iter().flat_map(|byte| [b'\\', *byte]).collect();
        assert!(glob::matches(&literal, text));
        glob::matches(pattern, text);
    }
}

fn check_error(write: impl FnOnce(&mut Writer<'_>)) {
    let mut out = Vec::new();
    write(&mut Writer::new(&mut out, Protocol::Resp3));
    let line = out.strip_suffix(b"\r\n").expect("an error ends its line");
    assert_eq!(line.first(), Some(&b'-'));
    assert!(!line.iter().any(|byte| matches!(byte, b'\r' | b'\n')));
}
