//! What each reply looks like in either version, and that no text breaks its line.

use super::*;
use crate::protocol::resp::{Args, Bounds, Parser, Progress, Trust};
use proptest::prelude::*;

fn written(protocol: Protocol, write: impl FnOnce(&mut Writer<'_>)) -> String {
    let mut out = Vec::new();
    write(&mut Writer::new(&mut out, protocol));
    out.escape_ascii().to_string()
}

#[test]
fn every_reply_has_its_form_in_either_version() {
    type Write = fn(&mut Writer<'_>);
    let cases: [(Write, &str, &str); 22] = [
        (|w| w.simple("OK"), r"+OK\r\n", r"+OK\r\n"),
        (|w| w.integer(-15), r":-15\r\n", r":-15\r\n"),
        (
            |w| w.bulk(b"a\r\nb"),
            r"$4\r\na\r\nb\r\n",
            r"$4\r\na\r\nb\r\n",
        ),
        (|w| w.bulk(b""), r"$0\r\n\r\n", r"$0\r\n\r\n"),
        (|w| w.bulk_u64(0), r"$1\r\n0\r\n", r"$1\r\n0\r\n"),
        (|w| w.bulk_u64(9), r"$1\r\n9\r\n", r"$1\r\n9\r\n"),
        (|w| w.bulk_u64(10), r"$2\r\n10\r\n", r"$2\r\n10\r\n"),
        (
            |w| w.bulk_u64(u64::MAX),
            r"$20\r\n18446744073709551615\r\n",
            r"$20\r\n18446744073709551615\r\n",
        ),
        (|w| w.null(), r"$-1\r\n", r"_\r\n"),
        (|w| w.null_array(), r"*-1\r\n", r"_\r\n"),
        (|w| w.array(0), r"*0\r\n", r"*0\r\n"),
        (|w| w.array(12), r"*12\r\n", r"*12\r\n"),
        (|w| w.map(3), r"*6\r\n", r"%3\r\n"),
        (|w| w.set(3), r"*3\r\n", r"~3\r\n"),
        (|w| w.push(3), r"*3\r\n", r">3\r\n"),
        (|w| w.double(1.5), r"$3\r\n1.5\r\n", r",1.5\r\n"),
        (
            |w| w.double(f64::NEG_INFINITY),
            r"$4\r\n-inf\r\n",
            r",-inf\r\n",
        ),
        (|w| w.boolean(true), r":1\r\n", r"#t\r\n"),
        (|w| w.boolean(false), r":0\r\n", r"#f\r\n"),
        (
            |w| w.verbatim(b"# S\r\n"),
            r"$5\r\n# S\r\n\r\n",
            r"=9\r\ntxt:# S\r\n\r\n",
        ),
        (
            |w| w.error("WRONGTYPE no"),
            r"-WRONGTYPE no\r\n",
            r"-WRONGTYPE no\r\n",
        ),
        (
            |w| w.error_parts(&[b"ERR Unsupported option ", b"\nO\r\nB\0\n", b"!\n\r\n"]),
            r"-ERR Unsupported option  O  B!\r\n",
            r"-ERR Unsupported option  O  B!\r\n",
        ),
    ];
    for (at, (write, resp2, resp3)) in cases.into_iter().enumerate() {
        assert_eq!(written(Protocol::Resp2, write), resp2, "case {at}");
        assert_eq!(written(Protocol::Resp3, write), resp3, "case {at}");
    }
}

#[test]
fn hello_goes_on_in_its_version() {
    let both = written(Protocol::Resp2, |writer| {
        writer.null();
        writer.set_protocol(Protocol::Resp3);
        writer.null();
    });
    assert_eq!(both, r"$-1\r\n_\r\n");
}

fn unknown(arguments: &[&[u8]]) -> Vec<u8> {
    let (mut wire, mut out) = (Vec::new(), Vec::new());
    let mut writer = Writer::new(&mut wire, Protocol::Resp2);
    writer.array(arguments.len());
    for argument in arguments {
        writer.bulk(argument);
    }
    let bounds = Bounds {
        bulk: 1 << 20,
        request: 1 << 20,
        trust: Trust::Authenticated,
    };
    let mut args = Args::default();
    let progress = Parser::default().parse(&wire, &mut args, &bounds);
    let Ok(Progress::Request(request)) = progress else {
        panic!("{progress:?}");
    };
    Writer::new(&mut out, Protocol::Resp3).unknown_command(&request);
    out
}

/// The texts were taken from redis-server 7.0.15.
#[test]
fn an_unknown_command_is_quoted_as_redis_quotes_it() {
    let text = |arguments: &[&[u8]]| unknown(arguments).escape_ascii().to_string();
    let long = [b'A'; 200];
    let quoted = |n: usize| "A".repeat(n);
    assert_eq!(
        text(&[b"foo"]),
        r"-ERR unknown command \'foo\', with args beginning with: \r\n"
    );
    assert_eq!(
        text(&[b""]),
        r"-ERR unknown command \'\', with args beginning with: \r\n"
    );
    assert_eq!(
        text(&[b"fo\r\no", b"a\0b", b"\r\n", b"c"]),
        r"-ERR unknown command \'fo  o\', with args beginning with: \'a\' \'  \' \'c\' \r\n"
    );
    assert_eq!(
        text(&[&long, &long, b"more"]),
        format!(
            r"-ERR unknown command \'{0}\', with args beginning with: \'{0}\' \r\n",
            quoted(128)
        )
    );
    for (first, second) in [(120, r" \'bbbbb\'"), (124, r" \'b\'"), (125, "")] {
        assert_eq!(
            text(&[b"N", &long[..first], b"bbbbbbbbbb", b"c"]),
            format!(
                r"-ERR unknown command \'N\', with args beginning with: \'{}\'{second} \r\n",
                quoted(first)
            )
        );
    }
}

proptest! {
    #[test]
    fn no_text_breaks_the_line_of_an_error(
        parts in prop::collection::vec(prop::collection::vec(prop::sample::select(b"a\r\n\0-'".to_vec()), 0..40), 1..6)
    ) {
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        let mut out = Vec::new();
        Writer::new(&mut out, Protocol::Resp2).error_parts(&parts);
        for reply in [out, unknown(&parts)] {
            let line = reply.strip_suffix(b"\r\n").unwrap();
            prop_assert_eq!(line[0], b'-');
            prop_assert!(!line.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
        }
    }
}
