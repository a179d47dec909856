//! Subscriptions as a connection has them: when requests for messages are answered, and with what.

use std::borrow::Cow;

use super::*;
use crate::backend::MemoryBackend;
use crate::config::{KeyspaceEvents, Limits};
use crate::exec::{Conversation, Host, Next, Origin};
use crate::protocol::message::{Hello, Messages, Subscribe};
use crate::protocol::{Request, frame};

const NOW: Millis = Millis::from_unix(5_000);

/// A master with one connection, which was greeted.
struct Line {
    conversation: Conversation,
    hub: Hub,
    now: Millis,
}

/// The id of a reply, and what it says.
type Said = (u32, Reply<'static>);

fn read(bytes: &[u8]) -> Vec<Said> {
    let mut rest: &'static [u8] = bytes.to_vec().leak();
    let mut said = Vec::new();
    while let Some(frame) = frame::split(rest, 1 << 24).unwrap() {
        said.push((frame.header.id, codec::read_reply(frame).unwrap()));
        rest = &rest[frame.wire_len()..];
    }
    said
}

impl Line {
    fn new() -> Self {
        let mut hub = Hub::new(&Limits::default(), KeyspaceEvents::default());
        let mut line = Self {
            conversation: Conversation::new(Origin::Channel { slot: 0 }, hub.enter()),
            hub,
            now: NOW,
        };
        let hello = Hello {
            min_version: 1,
            max_version: 1,
            pid: 1,
        };
        line.ask(1, &Request::Hello(hello));
        line
    }

    /// What is answered at once.
    fn ask(&mut self, id: u32, request: &Request<'_>) -> Vec<Said> {
        let (limits, mut backend) = (Limits::default(), MemoryBackend::new());
        let mut host = Host {
            backend: &mut backend,
            now: self.now,
            limits: &limits,
            secret: None,
            hub: &mut self.hub,
            nonce: &|| [0; 32],
            workers: 1,
            generation: 0,
            pid: 1,
        };
        let (mut wire, mut out) = (Vec::new(), Vec::new());
        codec::write_request(&mut wire, id, request);
        let frame = frame::split(&wire, 1 << 24).unwrap().unwrap();
        let next = self.conversation.answer(&mut host, frame, &mut out);
        assert_eq!(next, Next::Continue);
        read(&out)
    }

    /// What is sent at the end of the turn.
    fn sent(&mut self) -> Vec<Said> {
        let outbox = self.hub.outbox(self.now);
        let own = self.conversation.id();
        let messages = outbox.into_iter().flat_map(|(client, messages)| {
            assert_eq!(client, own);
            messages
        });
        messages.flat_map(|message| read(&message)).collect()
    }

    fn subscribe(&mut self, topics: &[Topic<'_>]) -> Result<u64, ErrorCode> {
        let topics = topics.to_vec();
        let said = self.ask(2, &Request::Subscribe(Subscribe { topics }));
        match said.as_slice() {
            [(2, Reply::Subscribed { subscription })] => Ok(*subscription),
            [(2, Reply::Error(failure))] => Err(failure.code),
            other => panic!("{other:?}"),
        }
    }

    fn receive(&mut self, id: u32, subscription: u64, wait_ms: u32) -> Vec<Said> {
        let request = Request::Receive {
            subscription,
            wait_ms,
        };
        self.ask(id, &request)
    }

    fn publish(&mut self, message: &[u8]) -> u64 {
        let channel = b"news";
        let said = self.ask(9, &Request::Publish { channel, message });
        match said.as_slice() {
            [(9, Reply::Length(count))] => *count,
            other => panic!("{other:?}"),
        }
    }
}

fn topic(name: &str) -> Topic<'_> {
    Topic {
        is_pattern: name.contains('*'),
        name: name.as_bytes(),
    }
}

/// The reply with these messages to the channel `news`.
fn messages(id: u32, missed: bool, messages: &[&'static str]) -> Said {
    let delivery = |message: &&'static str| crate::protocol::message::Delivery {
        pattern: None,
        channel: Cow::Borrowed(b"news".as_slice()),
        message: Cow::Borrowed(message.as_bytes()),
    };
    let messages = messages.iter().map(delivery).collect();
    (id, Reply::Messages(Messages { missed, messages }))
}

#[test]
fn a_request_waits_for_the_next_message_and_takes_what_came_before() {
    let mut line = Line::new();
    let news = line.subscribe(&[topic("news")]).unwrap();
    assert_eq!(line.publish(b"1"), 1);
    assert_eq!(line.publish(b"2"), 1);
    assert!(line.sent().is_empty(), "nobody has asked");
    assert_eq!(
        line.receive(5, news, 100),
        [messages(5, false, &["1", "2"])]
    );
    assert!(line.receive(6, news, 100).is_empty());
    assert!(line.sent().is_empty());
    line.publish(b"3");
    line.publish(b"4");
    assert_eq!(line.sent(), [messages(6, false, &["3", "4"])]);
    assert_eq!(line.hub.next_deadline(), None);
    assert_eq!(line.receive(7, news, 0), [messages(7, false, &[])]);
}

#[test]
fn a_wait_ends_at_its_time() {
    let mut line = Line::new();
    let news = line.subscribe(&[topic("news")]).unwrap();
    let other = line.subscribe(&[topic("other")]).unwrap();
    line.receive(5, news, 100);
    line.receive(6, other, 50);
    assert_eq!(line.hub.next_deadline(), Some(NOW.after_ms(50)));
    line.now = NOW.after_ms(99);
    assert_eq!(line.sent(), [messages(6, false, &[])]);
    assert_eq!(line.hub.next_deadline(), Some(NOW.after_ms(100)));
    line.now = NOW.after_ms(100);
    assert_eq!(line.sent(), [messages(5, false, &[])]);
    assert!(line.sent().is_empty());
}

#[test]
fn of_two_waits_the_first_is_answered_at_once() {
    let mut line = Line::new();
    let news = line.subscribe(&[topic("news")]).unwrap();
    line.receive(5, news, 100);
    assert_eq!(line.receive(6, news, 100), [messages(5, false, &[])]);
    line.publish(b"1");
    assert_eq!(line.sent(), [messages(6, false, &["1"])]);
}

#[test]
fn a_subscription_ends_with_its_wait_and_with_its_connection() {
    let mut line = Line::new();
    let news = line.subscribe(&[topic("news"), topic("n*")]).unwrap();
    let other = line.subscribe(&[topic("news")]).unwrap();
    assert_eq!(line.publish(b"1"), 3);
    line.receive(4, news, 0);
    line.receive(5, news, 100);
    let end = Request::Unsubscribe { subscription: news };
    assert_eq!(
        line.ask(6, &end),
        [messages(5, false, &[]), (6, Reply::Done)]
    );
    assert_eq!(line.ask(6, &end), [(6, Reply::Missing)]);
    assert_eq!(line.receive(7, news, 100), [(7, Reply::Missing)]);
    assert_eq!(line.publish(b"2"), 1);
    line.receive(8, other, 0);
    line.receive(8, other, 100);
    let Line {
        conversation,
        mut hub,
        ..
    } = line;
    conversation.leave(&mut hub);
    assert_eq!(hub.publish(b"news", b"3"), 0);
    assert_eq!(hub.next_deadline(), None);
    assert!(hub.outbox(Millis::MAX).is_empty());
}

#[test]
fn a_message_says_by_which_pattern_it_came_and_comes_for_each_name() {
    let mut line = Line::new();
    let news = line.subscribe(&[topic("news"), topic("n*")]).unwrap();
    line.publish(b"1");
    let said = line.receive(5, news, 0);
    let [(5, Reply::Messages(messages))] = said.as_slice() else {
        panic!("{said:?}");
    };
    let patterns = messages.messages.iter().map(|one| one.pattern.as_deref());
    assert!(patterns.eq([None, Some(b"n*".as_slice())]));
}

#[test]
fn who_does_not_ask_loses_messages_and_is_told_where() {
    let mut line = Line::new();
    let news = line.subscribe(&[topic("news")]).unwrap();
    let large = vec![b'x'; 1 << 20];
    let fits = Limits::default().hard_cap() / large.len() + 1;
    for _ in 0..fits + 5 {
        assert_eq!(line.publish(&large), 1);
    }
    for number in 1..=fits {
        let said = line.receive(5, news, 100);
        let [(5, Reply::Messages(messages))] = said.as_slice() else {
            panic!("{said:?}");
        };
        assert_eq!(messages.messages.len(), 1, "a page has one of these");
        assert_eq!(messages.missed, number == fits);
    }
    assert!(line.receive(6, news, 100).is_empty());
    line.publish(b"on");
    assert_eq!(line.sent(), [messages(6, false, &["on"])]);
    // What no reply could hold, as only clients of Redis can publish it.
    line.receive(7, news, 100);
    line.hub.publish(&vec![b'n'; 16 << 20], b"");
    line.hub.publish(b"news", &vec![b'x'; 16 << 20]);
    assert_eq!(line.sent(), [messages(7, true, &[])]);
}

#[test]
fn a_connection_has_so_many_subscriptions_and_no_more() {
    let mut line = Line::new();
    let long = format!("{}*", "x".repeat(256));
    assert_eq!(line.subscribe(&[topic(&long)]), Err(ErrorCode::BadRequest));
    assert_eq!(
        line.subscribe(&vec![topic("*"); 1_025]),
        Err(ErrorCode::BadRequest)
    );
    let large = "x".repeat(1 << 20);
    for _ in 0..3 {
        line.subscribe(&[topic(&large)]).unwrap();
    }
    assert_eq!(
        line.subscribe(&[topic(&large)]),
        Err(ErrorCode::BadRequest),
        "together they are too large"
    );
    for _ in 3..MOST {
        line.subscribe(&[topic("news")]).unwrap();
    }
    assert_eq!(line.subscribe(&[]), Err(ErrorCode::BadRequest));
    assert_eq!(line.publish(b"1"), MOST as u64 - 3);
}

#[test]
fn what_is_too_large_is_not_published() {
    let mut line = Line::new();
    let limits = Limits::default();
    let (long, large) = (vec![0; limits.max_key + 1], vec![0; limits.max_value + 1]);
    for (channel, message, code) in [
        (long.as_slice(), b"".as_slice(), ErrorCode::KeyTooLong),
        (b"", large.as_slice(), ErrorCode::TooLarge),
    ] {
        let said = line.ask(5, &Request::Publish { channel, message });
        assert!(matches!(&said[..], [(5, Reply::Error(failure))] if failure.code == code));
    }
}
