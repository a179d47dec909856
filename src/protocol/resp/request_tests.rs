//! Every rule of the parser, and that pieces, bounds and garbage do what they should.

use super::*;
use crate::protocol::resp::Protocol;
use proptest::prelude::*;

const BOUNDS: Bounds = Bounds {
    bulk: 512 << 20,
    request: 1 << 30,
    trust: Trust::Authenticated,
};
const UNAUTHENTICATED: Bounds = Bounds {
    trust: Trust::Unauthenticated,
    ..BOUNDS
};

type Arguments = Vec<Vec<u8>>;

/// Everything that a stream holds, given to the parser in pieces of these lengths, in turn.
fn parse_pieces(
    stream: &[u8],
    pieces: &[usize],
    bounds: &Bounds,
) -> (Vec<Arguments>, Result<usize, RequestError>) {
    let (mut parser, mut args) = (Parser::default(), Args::default());
    let (mut requests, mut start, mut end) = (Vec::new(), 0, 0);
    let mut pieces = pieces.iter().cycle();
    loop {
        match parser.parse(&stream[start..end], &mut args, bounds) {
            Err(error) => return (requests, Err(error)),
            Ok(Progress::Request(request)) => {
                start += request.wire_len();
                requests.push(request.iter().map(<[u8]>::to_vec).collect());
            }
            Ok(Progress::Missing(_)) if end == stream.len() => {
                return (requests, Ok(stream.len() - start));
            }
            Ok(Progress::Missing(_)) => {
                end = (end + pieces.next().unwrap()).min(stream.len());
            }
        }
    }
}

/// The requests that are not empty, and the bytes that are left or what is wrong.
fn parse(stream: &[u8], bounds: &Bounds) -> (Vec<Arguments>, Result<usize, RequestError>) {
    let (requests, end) = parse_pieces(stream, &[usize::MAX >> 1], bounds);
    let asked = requests.into_iter().filter(|request| !request.is_empty());
    (asked.collect(), end)
}

fn encode(requests: &[Arguments]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = Writer::new(&mut out, Protocol::Resp2);
    for request in requests {
        writer.array(request.len());
        for argument in request {
            writer.bulk(argument);
        }
    }
    out
}

fn missing(input: &[u8]) -> usize {
    let mut args = Args::default();
    match Parser::default().parse(input, &mut args, &BOUNDS) {
        Ok(Progress::Missing(bytes)) => bytes,
        other => panic!("{other:?}"),
    }
}

fn reply(error: RequestError) -> Vec<u8> {
    let mut out = Vec::new();
    error.write(&mut Writer::new(&mut out, Protocol::Resp2));
    out
}

#[test]
fn requests_of_both_kinds_follow_each_other() {
    let stream =
        b"*2\r\n$3\r\nGET\r\n$2\r\n\r\n\r\nPING\r\nset k \"a b\"\n*1\r\n$4\r\nQUIT\r\n*1\r";
    let (requests, end) = parse(stream, &BOUNDS);
    let expected: [&[&[u8]]; 4] = [
        &[b"GET", b"\r\n"],
        &[b"PING"],
        &[b"set", b"k", b"a b"],
        &[b"QUIT"],
    ];
    assert_eq!(requests, expected);
    assert_eq!(end, Ok(3));
}

#[test]
fn blank_lines_and_empty_arrays_ask_nothing() {
    let (requests, end) = parse(b"\r\n\n \t\r\n*0\r\n*-1\r\n*-5\r\nPING\r\n", &BOUNDS);
    assert_eq!(requests, [[b"PING"]]);
    assert_eq!(end, Ok(0));
}

#[test]
fn the_two_bytes_behind_an_argument_may_be_any() {
    let (requests, end) = parse(b"*1\rX$4\rXPINGXX", &BOUNDS);
    assert_eq!((requests, end), (vec![vec![b"PING".to_vec()]], Ok(0)));
}

/// The texts were taken from redis-server 7.0.15.
#[test]
fn errors_are_those_of_redis() {
    let cases: [(&[u8], &[u8]); 17] = [
        (b"*1\r\n$-1\r\n", b"invalid bulk length"),
        (b"*1\r\n$536870913\r\n", b"invalid bulk length"),
        (b"*1\r\n$\r\n", b"invalid bulk length"),
        (b"*1\r\n$01\r\n", b"invalid bulk length"),
        (b"*1\r\n$99999999999999999999\r\n", b"invalid bulk length"),
        (b"*2147483648\r\n", b"invalid multibulk length"),
        (b"*1048577\r\n", b"invalid multibulk length"),
        (b"*\r\n", b"invalid multibulk length"),
        (b"*01\r\n", b"invalid multibulk length"),
        (b"*+1\r\n", b"invalid multibulk length"),
        (b"*-0\r\n", b"invalid multibulk length"),
        (b"*1\r\nPING\r\n", b"expected '$', got 'P'"),
        (b"*1\r\n\r\n\r\n", b"expected '$', got ' '"),
        (b"*1\r\n\xff\r\n", b"expected '$', got '\xff'"),
        (b"\"abc\r\n", b"unbalanced quotes in request"),
        (b"ECHO \"a\"b\r\n", b"unbalanced quotes in request"),
        (b"PING 'a\r\n", b"unbalanced quotes in request"),
    ];
    for (stream, text) in cases {
        let (_, end) = parse(stream, &BOUNDS);
        let expected = [b"-ERR Protocol error: ", text, b"\r\n"].concat();
        let got = reply(end.unwrap_err());
        assert_eq!(got, expected, "{}", stream.escape_ascii());
    }
}

#[test]
fn a_line_has_64_kib_before_its_end() {
    let cases: [(&[u8], u8, RequestError, &[u8]); 3] = [
        (
            b"",
            b'x',
            RequestError::InlineTooLong,
            b"too big inline request",
        ),
        (
            b"",
            b'*',
            RequestError::CountTooLong,
            b"too big mbulk count string",
        ),
        (
            b"*1\r\n",
            b'X',
            RequestError::LengthTooLong,
            b"too big bulk count string",
        ),
    ];
    for (before, byte, error, text) in cases {
        let mut stream = before.to_vec();
        stream.resize(before.len() + MAX_LINE, byte);
        assert_eq!(parse(&stream, &BOUNDS).1, Ok(stream.len()), "{error}");
        let mut ended = stream.clone();
        ended.extend_from_slice(if byte == b'x' { b"\n" } else { b"\r\n" });
        assert_ne!(parse(&ended, &BOUNDS).1, Err(error));
        stream.extend_from_slice(b"1\r\n");
        assert_eq!(parse(&stream, &BOUNDS).1, Err(error));
        assert_eq!(
            reply(error),
            [b"-ERR Protocol error: ", text, b"\r\n"].concat()
        );
    }
}

#[test]
fn who_has_not_authenticated_asks_little() {
    let cases: [(&[u8], Result<usize, RequestError>); 5] = [
        (b"*10\r\n$16384\r\n", Ok(13)),
        (b"*11\r\n", Err(RequestError::UnauthenticatedCount)),
        (
            b"*1\r\n$16385\r\n",
            Err(RequestError::UnauthenticatedLength),
        ),
        (b"*2147483648\r\n", Err(RequestError::Count)),
        (b"*1\r\n$536870913\r\n", Err(RequestError::Length)),
    ];
    for (stream, end) in cases {
        assert_eq!(
            parse(stream, &UNAUTHENTICATED).1,
            end,
            "{}",
            stream.escape_ascii()
        );
    }
    assert_eq!(
        reply(RequestError::UnauthenticatedCount),
        b"-ERR Protocol error: unauthenticated multibulk length\r\n"
    );
    assert_eq!(
        reply(RequestError::UnauthenticatedLength),
        b"-ERR Protocol error: unauthenticated bulk length\r\n"
    );
}

#[test]
fn a_request_that_is_too_large_is_refused_when_it_says_so() {
    let bounds = Bounds {
        bulk: 100,
        request: 60,
        ..BOUNDS
    };
    assert_eq!(parse(b"*1\r\n$49\r\n", &bounds).1, Ok(9));
    assert_eq!(
        parse(b"*1\r\n$50\r\n", &bounds).1,
        Err(RequestError::TooLarge)
    );
    let many = [b"*100\r\n".as_slice(), &b"$0\r\n\r\n".repeat(10)].concat();
    assert_eq!(parse(&many, &bounds).1, Err(RequestError::TooLarge));
    let huge = Bounds {
        bulk: usize::MAX,
        request: usize::MAX,
        ..BOUNDS
    };
    assert_eq!(parse(b"*1\r\n$9223372036854775807\r\n", &huge).1, Ok(26));
}

#[test]
fn what_is_known_to_be_missing_is_told() {
    assert_eq!(missing(b""), 1);
    assert_eq!(missing(b"*1\r\n$1"), 1);
    assert_eq!(missing(b"*1\r\n$1000\r\n"), 1002);
    assert_eq!(missing(b"*2\r\n$1000\r\nabc"), 999);
    assert_eq!(missing(b"*1\r\n$1\r\na\r"), 1);
}

#[test]
fn indexing_and_counting_include_the_name() {
    let mut args = Args::default();
    let progress = Parser::default().parse(b"GET key\r\n", &mut args, &BOUNDS);
    let Ok(Progress::Request(request)) = progress else {
        panic!("{progress:?}");
    };
    assert_eq!((request.len(), request.is_empty()), (2, false));
    assert_eq!((&request[1], request.get(2)), (&b"key"[..], None));
}

/// What stands in front is not looked at again: a quadratic parser would look at some 2⁴⁰ bytes.
#[test]
fn small_pieces_of_a_large_request_cost_no_more() {
    let many = vec![b"x".to_vec(); MAX_ARGS];
    let mut stream = encode(&[many]);
    let (mut parser, mut args) = (Parser::default(), Args::default());
    for end in (0..stream.len()).step_by(7) {
        let progress = parser.parse(&stream[..end], &mut args, &BOUNDS);
        assert!(matches!(progress, Ok(Progress::Missing(_))));
    }
    let Ok(Progress::Request(request)) = parser.parse(&stream, &mut args, &BOUNDS) else {
        panic!("it is whole");
    };
    assert!(request.len() == MAX_ARGS && request.iter().all(|argument| argument == b"x"));

    stream = encode(&[vec![vec![0; 16 << 20]]]);
    for end in (0..stream.len()).step_by(16) {
        let progress = parser.parse(&stream[..end], &mut args, &BOUNDS);
        assert!(matches!(progress, Ok(Progress::Missing(_))));
    }
    let line = vec![b'x'; MAX_LINE];
    parser = Parser::default();
    for end in 0..=line.len() {
        let progress = parser.parse(&line[..end], &mut args, &BOUNDS);
        assert!(matches!(progress, Ok(Progress::Missing(1))));
    }
}

#[test]
fn memory_that_a_large_request_needed_is_given_back() {
    let (mut parser, mut args) = (Parser::default(), Args::default());
    let large = encode(&[vec![Vec::new(); 100_000]]);
    assert!(matches!(
        parser.parse(&large, &mut args, &BOUNDS),
        Ok(Progress::Request(_))
    ));
    assert!(args.heap_bytes() > 1 << 20);
    assert!(matches!(
        parser.parse(b"PING\r\n", &mut args, &BOUNDS),
        Ok(Progress::Request(_))
    ));
    assert!(args.heap_bytes() <= KEPT * size_of::<Range<usize>>() + KEPT);
}

fn arguments() -> impl Strategy<Value = Arguments> {
    prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..6)
}

/// Bytes that a parser meets more often than others.
fn likely_bytes() -> impl Strategy<Value = Vec<u8>> {
    let pieces = [
        "*",
        "$",
        "1",
        "2",
        "0",
        "-",
        "\r\n",
        "\r",
        "\n",
        "a",
        " ",
        "\"",
        "'",
        "\\x41",
        "*1\r\n$1\r\na\r\n",
    ];
    prop::collection::vec(prop::sample::select(pieces.to_vec()), 0..60)
        .prop_map(|pieces| pieces.concat().into_bytes())
}

proptest! {
    #[test]
    fn what_is_written_is_parsed(requests in prop::collection::vec(arguments(), 0..5)) {
        let (parsed, end) = parse(&encode(&requests), &BOUNDS);
        prop_assert_eq!(parsed, requests);
        prop_assert_eq!(end, Ok(0));
    }

    #[test]
    fn pieces_do_not_matter(
        requests in prop::collection::vec(arguments(), 0..4),
        garbage in likely_bytes(),
        pieces in prop::collection::vec(1usize..30, 1..20),
        bounds in prop::sample::select(vec![BOUNDS, UNAUTHENTICATED]),
    ) {
        let mut stream = encode(&requests);
        stream.extend_from_slice(&garbage);
        let whole = parse_pieces(&stream, &[stream.len().max(1)], &bounds);
        prop_assert_eq!(parse_pieces(&stream, &pieces, &bounds), whole);
    }

    #[test]
    fn no_bytes_panic_or_allocate_beyond_their_number(
        stream in prop_oneof![any::<Vec<u8>>(), likely_bytes()],
    ) {
        let (mut parser, mut args) = (Parser::default(), Args::default());
        let mut rest = stream.as_slice();
        while let Ok(Progress::Request(request)) = parser.parse(rest, &mut args, &BOUNDS) {
            prop_assert!((1..=rest.len()).contains(&request.wire_len()));
            rest = &rest[request.wire_len()..];
        }
        // Four ranges are the least that a vector allocates; an argument of an inline command has
        // at least two bytes with its space.
        prop_assert!(args.heap_bytes() <= 128 + 20 * stream.len(), "{}", args.heap_bytes());
    }
}
