//! The codec held to its bytes: golden frames, round trips and hostile bodies.

use std::borrow::Cow;

use proptest::prelude::*;

use super::*;
use crate::contract::{Capabilities, Condition, Kind};
use crate::protocol::message::{
    Auth, Entry, Hello, Item, Messages, Page, Put, Record, Records, Regenerate, Set, Subscribe,
    Topic, Welcome,
};

const MAX: usize = 1 << 20;

fn request_bytes(request: &Request<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    write_request(&mut out, 7, request);
    out
}

fn reply_bytes(reply: &Reply<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    write_reply(&mut out, 7, reply);
    out
}

/// A frame with id 7 around a body.
fn framed(code: u8, body: &[&[u8]]) -> Vec<u8> {
    let body = body.concat();
    let mut out = vec![0xB5, 1, code, 0, 7, 0, 0, 0];
    out.extend(u32::try_from(body.len()).unwrap().to_le_bytes());
    out.extend([0; 4]);
    out.extend(body);
    out
}

fn topic(is_pattern: bool, name: &[u8]) -> Topic<'_> {
    Topic { is_pattern, name }
}

/// A message of `vv` to the channel `k`.
fn delivery(pattern: Option<&'static [u8]>) -> Delivery<'static> {
    Delivery {
        pattern: pattern.map(Cow::Borrowed),
        channel: Cow::Borrowed(b"k"),
        message: Cow::Borrowed(b"vv"),
    }
}

const ONE: [u8; 8] = [1, 0, 0, 0, 0, 0, 0, 0];
const TWO: [u8; 8] = [2, 0, 0, 0, 0, 0, 0, 0];

#[test]
fn the_bytes_of_requests_are_these() {
    let key = b"k".as_slice();
    let hello = Hello {
        min_version: 1,
        max_version: 2,
        pid: 0x0403_0201,
    };
    let set = Set {
        expiry: Expiry::AfterMs(1),
        condition: Condition::IfSeq(Seq(2)),
        key,
        value: b"vv",
    };
    let golden: [(Request<'_>, Vec<u8>); 12] = [
        (
            Request::Hello(hello),
            framed(0x01, &[&[1, 2], &[1, 2, 3, 4]]),
        ),
        (
            Request::Auth(Auth {
                nonce: [3; 32],
                proof: [4; 32],
            }),
            framed(0x02, &[&[3; 32], &[4; 32]]),
        ),
        (Request::Ping, framed(0x10, &[])),
        (Request::Get { key }, framed(0x11, &[&ONE, b"k"])),
        (
            Request::Set(set),
            framed(
                0x12,
                &[
                    &[1, 0, 0, 0],
                    &ONE,
                    &[3, 0, 0, 0],
                    &TWO,
                    &ONE,
                    b"k",
                    &TWO,
                    b"vv",
                ],
            ),
        ),
        (
            Request::Touch {
                key,
                expiry: Expiry::Never,
            },
            framed(0x13, &[&[0; 4], &ONE, b"k"]),
        ),
        (Request::Destroy { key }, framed(0x14, &[&ONE, b"k"])),
        (
            Request::All {
                cursor: 2,
                limit: 5,
            },
            framed(0x15, &[&TWO, &[5, 0, 0, 0]]),
        ),
        (Request::Length, framed(0x16, &[])),
        (Request::Clear, framed(0x17, &[])),
        (
            Request::Bury {
                key,
                tombstone_ms: 2,
            },
            framed(0x18, &[&TWO, &ONE, b"k"]),
        ),
        (
            Request::Regenerate(Regenerate {
                grace_ms: 1,
                from: key,
                to: b"vv",
            }),
            framed(0x19, &[&ONE, &ONE, b"k", &TWO, b"vv"]),
        ),
    ];
    for (request, bytes) in golden {
        assert_eq!(request_bytes(&request), bytes, "{request:?}");
    }
}

#[test]
fn the_bytes_of_replies_are_these() {
    let welcome = Welcome {
        version: 1,
        capabilities: Capabilities::ALL.with(Capabilities::LENGTH),
        max_key: 1,
        max_value: 2,
        max_body: 1,
        slot: Some(3),
        workers: 4,
        generation: 0,
        pid: 5,
        proof: None,
    };
    let item = Item {
        key: Cow::Borrowed(b"k"),
        seq: Seq(2),
        ttl_ms: None,
        value: Cow::Borrowed(b"vv"),
    };
    let golden: [(Reply<'_>, Vec<u8>); 11] = [
        (
            Reply::Welcome(welcome),
            framed(
                0x80,
                &[
                    &[1, 3, 0, 0, 0, 0, 0, 0, 0],
                    &ONE,
                    &TWO,
                    &ONE,
                    &[1, 3, 0, 0, 0],
                    &[4, 0, 0, 0],
                    &[0, 0, 0, 0],
                    &[5, 0, 0, 0],
                    &[0],
                ],
            ),
        ),
        (
            Reply::Challenge { nonce: [9; 32] },
            framed(0x81, &[&[9; 32]]),
        ),
        (Reply::Pong, framed(0x82, &[])),
        (
            Reply::Entry(Entry {
                seq: Seq(1),
                ttl_ms: Some(2),
                value: Cow::Borrowed(b"vv"),
            }),
            framed(0x83, &[&ONE, &[1], &TWO, &TWO, b"vv"]),
        ),
        (Reply::Stored { seq: Seq(1) }, framed(0x84, &[&ONE])),
        (Reply::Done, framed(0x85, &[])),
        (
            Reply::Page(Page {
                next: 2,
                items: vec![item],
            }),
            framed(0x86, &[&TWO, &ONE, &ONE, b"k", &TWO, &[0], &TWO, b"vv"]),
        ),
        (Reply::Length(2), framed(0x87, &[&TWO])),
        (Reply::Missing, framed(0x88, &[])),
        (
            Reply::Conflict {
                found: Some(Seq(2)),
            },
            framed(0x89, &[&[1], &TWO]),
        ),
        (
            Reply::Error(Failure {
                code: ErrorCode::TooLarge,
                message: "no".into(),
            }),
            framed(0xC4, &[&TWO, b"no"]),
        ),
    ];
    for (reply, bytes) in golden {
        assert_eq!(reply_bytes(&reply), bytes, "{reply:?}");
    }
}

#[test]
fn the_bytes_about_records_are_these() {
    let key = b"k".as_slice();
    let records = Request::Records {
        database: 3,
        cursor: 2,
    };
    assert_eq!(request_bytes(&records), framed(0x1E, &[&[3], &TWO]));
    let put = Request::Put(Put {
        database: 3,
        kind: Kind::Hash,
        expiry: Expiry::Never,
        key,
        value: b"vv",
    });
    let body: [&[u8]; 7] = [&[3], &[1, 0, 0, 0], &[0; 4], &ONE, b"k", &TWO, b"vv"];
    assert_eq!(request_bytes(&put), framed(0x1F, &body));
    let record = Record {
        kind: Kind::Hash,
        item: Item {
            key: Cow::Borrowed(key),
            seq: Seq(2),
            ttl_ms: None,
            value: Cow::Borrowed(b"vv"),
        },
    };
    let reply = Reply::Records(Records {
        next: 2,
        items: vec![record],
    });
    let (hash, never): ([u8; 4], [u8; 1]) = ([1, 0, 0, 0], [0]);
    let body: [&[u8]; 9] = [&TWO, &ONE, &hash, &ONE, b"k", &TWO, &never, &TWO, b"vv"];
    assert_eq!(reply_bytes(&reply), framed(0x8C, &body));
    let bytes = reply_bytes(&reply);
    let frame = frame::split(&bytes, MAX).unwrap().unwrap();
    assert_eq!(read_reply(frame), Ok(reply));
}

#[test]
fn the_bytes_about_messages_are_these() {
    let key = b"k".as_slice();
    let requests = [
        (
            Request::Publish {
                channel: key,
                message: b"vv",
            },
            framed(0x1A, &[&ONE, b"k", &TWO, b"vv"]),
        ),
        (
            Request::Subscribe(Subscribe {
                topics: vec![topic(false, b"k"), topic(true, b"k*")],
            }),
            framed(0x1B, &[&TWO, &[0], &ONE, b"k", &[1], &TWO, b"k*"]),
        ),
        (
            Request::Receive {
                subscription: 2,
                wait_ms: 0x0403_0201,
            },
            framed(0x1C, &[&TWO, &[1, 2, 3, 4]]),
        ),
        (
            Request::Unsubscribe { subscription: 2 },
            framed(0x1D, &[&TWO]),
        ),
    ];
    for (request, bytes) in requests {
        assert_eq!(request_bytes(&request), bytes, "{request:?}");
    }
    let replies = [
        (Reply::Subscribed { subscription: 2 }, framed(0x8A, &[&TWO])),
        (
            Reply::Messages(Messages {
                missed: true,
                messages: vec![delivery(None), delivery(Some(b"k*"))],
            }),
            framed(
                0x8B,
                &[
                    &[1],
                    &TWO,
                    &[0],
                    &ONE,
                    b"k",
                    &TWO,
                    b"vv",
                    &[1],
                    &TWO,
                    b"k*",
                    &ONE,
                    b"k",
                    &TWO,
                    b"vv",
                ],
            ),
        ),
    ];
    for (reply, bytes) in replies {
        assert_eq!(reply_bytes(&reply), bytes, "{reply:?}");
    }
}

#[test]
fn messages_that_were_encoded_before_are_the_same_bytes() {
    let messages = vec![delivery(None), delivery(Some(b"k*"))];
    let encoded: Vec<_> = messages
        .iter()
        .map(|delivery| {
            let mut out = Vec::new();
            write_delivery(&mut out, delivery);
            assert_eq!(read_delivery(&out).as_ref(), Some(delivery));
            out
        })
        .collect();
    for missed in [false, true] {
        let mut out = Vec::new();
        write_messages(&mut out, 7, missed, encoded.iter().map(Vec::as_slice));
        let messages = messages.clone();
        let reply = Reply::Messages(Messages { missed, messages });
        assert_eq!(out, reply_bytes(&reply));
    }
}

#[test]
fn what_is_no_message_is_named() {
    let read = |bytes: &[u8]| {
        let frame = frame::split(bytes, MAX).unwrap().unwrap();
        (
            read_request(frame).map(|_| ()),
            read_reply(frame).map(|_| ()),
        )
    };
    let unknown = read(&framed(0x7f, &[]));
    assert_eq!(unknown.0, Err(DecodeError::UnknownOp(0x7f)));
    assert_eq!(unknown.1, Err(DecodeError::UnknownStatus(0x7f)));
    let trailing = read(&framed(0x11, &[&ONE, b"kk"]));
    assert_eq!(trailing.0, Err(DecodeError::Body("get")));
    let not_utf8 = read(&framed(0xC0, &[&ONE, &[0xff]]));
    assert_eq!(not_utf8.1, Err(DecodeError::Body("error")));
}

#[test]
fn a_length_that_lies_allocates_nothing() {
    let lie = (1u64 << 40).to_le_bytes();
    for body in [vec![0u8; 0], lie.to_vec(), [TWO, lie].concat()] {
        for code in 0..=u8::MAX {
            let bytes = framed(code, &[&body]);
            let frame = frame::split(&bytes, MAX).unwrap().unwrap();
            // Were the length believed, this would ask for a terabyte and abort.
            let _ = (read_request(frame), read_reply(frame));
        }
    }
}

fn expiry() -> impl Strategy<Value = Expiry> {
    prop_oneof![
        Just(Expiry::Never),
        any::<u64>().prop_map(Expiry::AfterMs),
        Just(Expiry::Keep)
    ]
}

fn condition() -> impl Strategy<Value = Condition> {
    prop_oneof![
        Just(Condition::Always),
        Just(Condition::IfAbsent),
        Just(Condition::IfPresent),
        any::<u64>().prop_map(|seq| Condition::IfSeq(Seq(seq)))
    ]
}

proptest! {
    #[test]
    fn a_request_comes_back_as_it_went(
        key in prop::collection::vec(any::<u8>(), 0..80),
        value in prop::collection::vec(any::<u8>(), 0..300),
        expiry in expiry(),
        condition in condition(),
        (cursor, limit) in any::<(u64, u32)>(),
        nonce in any::<[u8; 32]>(),
    ) {
        let key = key.as_slice();
        for request in [
            Request::Hello(Hello { min_version: nonce[0], max_version: nonce[1], pid: limit }),
            Request::Auth(Auth { nonce, proof: nonce }),
            Request::Get { key },
            Request::Set(Set { expiry, condition, key, value: &value }),
            Request::Touch { key, expiry },
            Request::Destroy { key },
            Request::All { cursor, limit },
            Request::Bury { key, tombstone_ms: cursor },
            Request::Regenerate(Regenerate { grace_ms: cursor, from: key, to: &value }),
            Request::Publish { channel: key, message: &value },
            Request::Subscribe(Subscribe {
                topics: value.chunks(7).map(|name| topic(name.len() == 7, name)).collect(),
            }),
            Request::Receive { subscription: cursor, wait_ms: limit },
            Request::Unsubscribe { subscription: cursor },
            Request::Records { database: nonce[0], cursor },
            Request::Put(Put {
                database: nonce[0],
                kind: if nonce[1] == 0 { Kind::Bytes } else { Kind::Hash },
                expiry,
                key,
                value: &value,
            }),
        ] {
            let bytes = request_bytes(&request);
            let frame = frame::split(&bytes, MAX).unwrap().unwrap();
            prop_assert_eq!(frame.wire_len(), bytes.len());
            prop_assert_eq!(read_request(frame), Ok(request));
        }
    }

    #[test]
    fn a_page_comes_back_as_it_went(
        next in any::<u64>(),
        items in prop::collection::vec(
            (prop::collection::vec(any::<u8>(), 0..40), any::<u64>(), any::<Option<u64>>(),
             prop::collection::vec(any::<u8>(), 0..200)), 0..10),
    ) {
        let items = items.iter().map(|(key, seq, ttl_ms, value)| Item {
            key: Cow::Borrowed(key), seq: Seq(*seq), ttl_ms: *ttl_ms, value: Cow::Borrowed(value),
        }).collect();
        let reply = Reply::Page(Page { next, items });
        let bytes = reply_bytes(&reply);
        prop_assert_eq!(read_reply(frame::split(&bytes, MAX).unwrap().unwrap()), Ok(reply));
    }

    #[test]
    fn no_body_panics(code in any::<u8>(), body in prop::collection::vec(any::<u8>(), 0..200)) {
        let bytes = framed(code, &[&body]);
        let frame = frame::split(&bytes, MAX).unwrap().unwrap();
        let _ = (read_request(frame), read_reply(frame));
    }
}
