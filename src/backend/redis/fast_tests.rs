//! What is sent to the server, and what is read of it.

use std::num::NonZeroU64;

use proptest::prelude::*;

use super::*;

fn read(asked: Asked, bytes: &[u8]) -> Result<Option<(usize, Said<'_>)>, NoReply> {
    Fast::default().read(asked, bytes)
}

#[test]
fn requests_are_commands_with_the_prefix_before_each_key() {
    let fast = Fast::new("p:", PAUSE);
    let asked = |plain: Plain<'_>| {
        let mut out = b"before ".to_vec();
        let asked = fast.ask(&plain, &mut out);
        let text = String::from_utf8(out).unwrap();
        (asked, text.replace("\r\n", " "))
    };
    let (key, value) = (&b"key"[..], &b""[..]);
    let ms = |ms| NonZeroU64::new(ms).unwrap();
    let set = |ttl_ms| Plain::Set { key, value, ttl_ms };
    let touch = |ttl_ms| Plain::Touch { key, ttl_ms };
    for (plain, asks, text) in [
        (Plain::Value { key }, Asked::Value, "*2 $3 GET $5 p:key "),
        (
            Plain::Get { key },
            Asked::Entry,
            "*2 $3 GET $5 p:key *2 $4 PTTL $5 p:key ",
        ),
        (set(None), Asked::Stored, "*3 $3 SET $5 p:key $0  "),
        (
            set(Some(ms(10))),
            Asked::Stored,
            "*5 $3 SET $5 p:key $0  $2 PX $2 10 ",
        ),
        (touch(ms(7)), Asked::Whether, "*3 $7 PEXPIRE $5 p:key $1 7 "),
        (
            touch(NonZeroU64::MAX),
            Asked::Whether,
            "*3 $7 PEXPIRE $5 p:key $16 1125899906842624 ",
        ),
        (
            Plain::Destroy { key },
            Asked::Whether,
            "*2 $6 UNLINK $5 p:key ",
        ),
    ] {
        assert_eq!(asked(plain), (asks, format!("before {text}")));
    }
}

/// What is said, in one line.
fn shown(said: &Said<'_>) -> String {
    let text = |value| String::from_utf8(Vec::from(value)).unwrap();
    match said {
        Said::Value(value) => format!("value {:?}", value.map(text)),
        Said::Entry(None) => "no entry".to_owned(),
        Said::Entry(Some(found)) => {
            assert_eq!(found.seq, version(found.value));
            format!("entry {} {:?}", text(found.value), found.ttl_ms)
        }
        Said::Stored => "stored".to_owned(),
        Said::Whether(is_so) => is_so.to_string(),
        Said::Failed(error) => error.to_string(),
        Said::Else => "else".to_owned(),
    }
}

#[test]
fn a_reply_is_read_when_it_is_whole_and_not_before() {
    for (asked, text, said) in [
        (
            Asked::Value,
            "$5\r\na\r\nb!\r\n",
            "value Some(\"a\\r\\nb!\")",
        ),
        (Asked::Value, "$0\r\n\r\n", "value Some(\"\")"),
        (Asked::Value, "$-1\r\n", "value None"),
        (Asked::Value, "-WRONGTYPE no\r\n", "WRONGTYPE no"),
        (Asked::Stored, "+OK\r\n", "stored"),
        (Asked::Stored, "-OOM no\r\n", "the store is full: no"),
        (Asked::Stored, "-READONLY no\r\n", "else"),
        (Asked::Whether, ":1\r\n", "true"),
        (Asked::Whether, ":0\r\n", "false"),
        (Asked::Entry, "$1\r\nv\r\n:-1\r\n", "entry v None"),
        (Asked::Entry, "$1\r\nv\r\n:70\r\n", "entry v Some(70)"),
        (Asked::Entry, "$1\r\nv\r\n:-2\r\n", "no entry"),
        (Asked::Entry, "$-1\r\n:-2\r\n", "no entry"),
        (Asked::Entry, "$-1\r\n:70\r\n", "no entry"),
        (Asked::Entry, "-ERR one\r\n-ERR two\r\n", "ERR one"),
        (Asked::Entry, "$1\r\nv\r\n-ERR two\r\n", "ERR two"),
    ] {
        let bytes = text.as_bytes();
        for cut in 0..bytes.len() {
            let read = read(asked, &bytes[..cut]);
            assert!(matches!(read, Ok(None)), "{text:?} to {cut}: {read:?}");
        }
        let more = [bytes, b"$1\r\n"].concat();
        let (len, read) = read(asked, &more).unwrap().expect("it is whole");
        assert_eq!(
            (len, shown(&read).as_str()),
            (bytes.len(), said),
            "{text:?}"
        );
    }
}

#[test]
fn what_is_no_reply_is_found_out() {
    let endless = vec![b'x'; LINE];
    for bytes in [
        &b"\r\n"[..],
        b"?\r\n",
        b"+OK\n",
        b"$x\r\n",
        b"$-2\r\n",
        b"$99999999999999999999\r\n",
        b":\r\n",
        b"*1\r\n",
        b"$1\r\nv!!",
        b"+OK\r\n",
        &endless,
    ] {
        let shown = bytes[..bytes.len().min(20)].escape_ascii();
        assert!(read(Asked::Value, bytes).is_err(), "{shown}");
    }
    assert!(read(Asked::Stored, b":1\r\n").is_err());
    assert!(read(Asked::Entry, b":1\r\n:1\r\n").is_err());
}

proptest! {
    #[test]
    fn whatever_comes_is_read_or_refused(bytes in proptest::collection::vec(
        prop_oneof![Just(b'$'), Just(b':'), Just(b'\r'), Just(b'\n'), Just(b'1'), any::<u8>()],
        0..64,
    )) {
        for asked in [Asked::Value, Asked::Entry, Asked::Stored, Asked::Whether] {
            if let Ok(Some((len, _))) = read(asked, &bytes) {
                prop_assert!((1..=bytes.len()).contains(&len));
            }
        }
    }

    #[test]
    fn numbers_are_written_as_they_are_read(number: u64) {
        let mut digits = [0; 20];
        let text = number.to_string();
        prop_assert_eq!(decimal(number, &mut digits), text.as_bytes());
    }
}

#[tokio::test]
async fn connections_are_current_from_their_offer_until_one_is_lost_or_they_are_withdrawn() {
    let fast = Fast::default();
    let told = std::sync::Arc::new(AtomicU64::new(0));
    let counted = std::sync::Arc::clone(&told);
    fast.wake_with(std::sync::Arc::new(move || {
        counted.fetch_add(1, Ordering::Relaxed);
    }));
    let streams = || vec![std::os::unix::net::UnixStream::pair().unwrap().0.into()];
    let first = fast.offer(streams());
    let second = fast.offer(streams());
    assert!(first < second && fast.is_current(second) && !fast.is_current(first));
    assert_eq!(fast.take().map(|taken| taken.number), Some(second));
    assert!(fast.take().is_none(), "they are taken once");
    fast.lost(first);
    assert!(fast.is_current(second), "those are lost already");
    fast.lost(second);
    assert!(!fast.is_current(second));
    let third = fast.offer(streams());
    fast.withdraw();
    fast.withdraw();
    assert!(!fast.is_current(third) && fast.take().is_none());
    assert_eq!(told.load(Ordering::Relaxed), 4, "three offers and one end");
}
