//! Who is subscribed to what, and the messages that go out.
//!
//! Two views of the same: [`Channels`] knows the subscribers of each name, [`Subscriptions`] the
//! names of one connection. Only [`Channels::add`] and [`Channels::remove`] change them, both
//! together. A message is encoded once for each form, however many receive it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::mailbox::{Form, Mailbox, Message};
use crate::protocol::codec;
use crate::protocol::message::Delivery;
use crate::protocol::resp::{Protocol, Writer, glob};

/// How many scopes there are.
pub(super) const SCOPES: usize = 3;
/// The longest pattern. Each is tried at each message.
const MAX_PATTERN: usize = 256;
/// The most patterns of one connection.
const MAX_PATTERNS: usize = 1_024;
/// The most memory that the subscriptions of one connection may take, in bytes.
const MAX_BYTES: usize = 4 << 20;
/// What a subscription takes besides its name, in bytes, about.
const OVERHEAD: usize = 128;

/// What a name stands for. Each has names of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    Channel,
    /// For all channels that match it.
    Pattern,
    /// A channel of the sharded forms.
    Shard,
}

impl Scope {
    const ALL: [Self; SCOPES] = [Self::Channel, Self::Pattern, Self::Shard];

    /// The word with which a message says how it was received.
    fn word(self) -> &'static [u8] {
        match self {
            Self::Channel => b"message",
            Self::Pattern => b"pmessage",
            Self::Shard => b"smessage",
        }
    }
}

type Name = Arc<[u8]>;

/// The names that one subscriber is subscribed to.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    names: [BTreeSet<Name>; SCOPES],
    bytes: usize,
}

impl Subscriptions {
    pub(super) fn counts(&self) -> [usize; SCOPES] {
        std::array::from_fn(|scope| self.names[scope].len())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.names.iter().all(BTreeSet::is_empty)
    }

    /// The number that a confirmation tells: sharded ones are counted for themselves.
    pub(super) fn count(&self, scope: Scope) -> usize {
        let [channels, patterns, shards] = self.counts();
        match scope {
            Scope::Shard => shards,
            Scope::Channel | Scope::Pattern => channels + patterns,
        }
    }

    /// A name that it has, if any.
    pub(super) fn first(&self, scope: Scope) -> Option<Name> {
        self.names[scope as usize].first().cloned()
    }

    /// What they are for those who share the subscriber's bounds.
    pub(super) fn load(&self) -> Load {
        Load {
            bytes: self.bytes,
            patterns: self.names[Scope::Pattern as usize].len(),
        }
    }
}

/// How much all subscriptions of one connection are.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Load {
    bytes: usize,
    patterns: usize,
}

impl Load {
    /// With these names besides, if that is not too much for one connection.
    pub(super) fn with<'n>(
        self,
        scope: Scope,
        names: impl ExactSizeIterator<Item = &'n [u8]>,
    ) -> Option<Self> {
        let is_pattern = scope == Scope::Pattern;
        let count = if is_pattern { names.len() } else { 0 };
        let (mut bytes, mut longest) = (self.bytes, 0);
        for name in names {
            bytes += name.len() + OVERHEAD;
            longest = longest.max(name.len());
        }
        let patterns = self.patterns + count;
        let is_too_long = is_pattern && longest > MAX_PATTERN;
        let fits = bytes <= MAX_BYTES && patterns <= MAX_PATTERNS && !is_too_long;
        fits.then_some(Self { bytes, patterns })
    }
}

impl std::iter::Sum for Load {
    fn sum<I: Iterator<Item = Self>>(loads: I) -> Self {
        loads.fold(Self::default(), |sum, one| Self {
            bytes: sum.bytes + one.bytes,
            patterns: sum.patterns + one.patterns,
        })
    }
}

/// All subscriptions, and who has mail that is to be sent.
#[derive(Debug)]
pub(super) struct Channels {
    subscribers: [BTreeMap<Name, BTreeMap<u64, Arc<Mailbox>>>; SCOPES],
    outgoing: Vec<Arc<Mailbox>>,
    /// The largest channel and message together that a reply of the native dialect holds.
    largest: usize,
}

impl Channels {
    /// Nobody is subscribed.
    pub(super) fn new(largest: usize) -> Self {
        Self {
            subscribers: Default::default(),
            outgoing: Vec::new(),
            largest,
        }
    }

    /// Who has something to be sent since this was last asked.
    pub(super) fn take_outgoing(&mut self) -> Vec<Arc<Mailbox>> {
        std::mem::take(&mut self.outgoing)
    }

    /// Whether somebody has something to be sent.
    pub(super) fn has_outgoing(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Has something sent to a subscriber, be it that there is nothing.
    pub(super) fn list(&mut self, mailbox: Arc<Mailbox>) {
        if mailbox.list() {
            self.outgoing.push(mailbox);
        }
    }

    /// Subscribes a subscriber, unless it is already.
    pub(super) fn add(
        &mut self,
        scope: Scope,
        name: &[u8],
        mailbox: &Arc<Mailbox>,
        own: &mut Subscriptions,
    ) {
        let all = &mut self.subscribers[scope as usize];
        let known = all.get_key_value(name).map(|(name, _)| Arc::clone(name));
        let name = known.unwrap_or_else(|| name.into());
        if own.names[scope as usize].insert(Arc::clone(&name)) {
            own.bytes += name.len() + OVERHEAD;
            let subscribers = all.entry(name).or_default();
            subscribers.insert(mailbox.number, Arc::clone(mailbox));
        }
    }

    /// Ends a subscription, if there is one.
    pub(super) fn remove(
        &mut self,
        scope: Scope,
        name: &[u8],
        mailbox: &Mailbox,
        own: &mut Subscriptions,
    ) {
        if !own.names[scope as usize].remove(name) {
            return;
        }
        own.bytes -= name.len() + OVERHEAD;
        let all = &mut self.subscribers[scope as usize];
        let subscribers = all.get_mut(name).expect("both views say the same");
        subscribers.remove(&mailbox.number);
        if subscribers.is_empty() {
            all.remove(name);
        }
    }

    /// Ends all subscriptions of a subscriber.
    pub(super) fn clear(&mut self, mailbox: &Mailbox, own: &mut Subscriptions) {
        for scope in Scope::ALL {
            while let Some(name) = own.first(scope) {
                self.remove(scope, &name, mailbox, own);
            }
        }
    }

    /// The names that somebody is subscribed to.
    pub(super) fn names(&self, scope: Scope) -> impl ExactSizeIterator<Item = &[u8]> {
        self.subscribers[scope as usize].keys().map(AsRef::as_ref)
    }

    /// How many are subscribed to this name.
    pub(super) fn count(&self, scope: Scope, name: &[u8]) -> usize {
        let subscribers = self.subscribers[scope as usize].get(name);
        subscribers.map_or(0, BTreeMap::len)
    }

    /// Whether a message could reach anybody.
    pub(super) fn is_empty(&self) -> bool {
        self.subscribers.iter().all(BTreeMap::is_empty)
    }

    /// Posts a message to all who are to have it: how many, a subscriber counted once for each of
    /// its names.
    pub(super) fn publish(&mut self, scope: Scope, channel: &[u8], message: &[u8]) -> usize {
        let mut count = 0;
        let mut post = Post {
            scope,
            pattern: None,
            channel,
            message,
            largest: self.largest,
            outgoing: &mut self.outgoing,
        };
        if let Some(subscribers) = self.subscribers[scope as usize].get(channel) {
            count += post.to(subscribers);
        }
        if scope == Scope::Channel {
            post.scope = Scope::Pattern;
            for (pattern, subscribers) in &self.subscribers[Scope::Pattern as usize] {
                if glob::matches(pattern, channel) {
                    post.pattern = Some(pattern);
                    count += post.to(subscribers);
                }
            }
        }
        count
    }
}

/// A message on its way to subscribers.
struct Post<'m> {
    scope: Scope,
    /// What it is received by, where that is a pattern.
    pattern: Option<&'m [u8]>,
    channel: &'m [u8],
    message: &'m [u8],
    largest: usize,
    outgoing: &'m mut Vec<Arc<Mailbox>>,
}

impl Post<'_> {
    /// Posts it to each of these: how many.
    fn to(&mut self, subscribers: &BTreeMap<u64, Arc<Mailbox>>) -> usize {
        let mut encoded: [Option<Option<Message>>; 3] = [None, None, None];
        for mailbox in subscribers.values() {
            let encode = |form| {
                let known = &mut encoded[form as usize];
                known.get_or_insert_with(|| self.encode(form)).clone()
            };
            if mailbox.post(encode) {
                self.outgoing.push(Arc::clone(mailbox));
            }
        }
        subscribers.len()
    }

    /// `None` where it is larger than the dialect takes.
    fn encode(&self, form: Form) -> Option<Message> {
        let mut bytes = Vec::new();
        match form {
            Form::Resp2 => self.push(&mut Writer::new(&mut bytes, Protocol::Resp2)),
            Form::Resp3 => self.push(&mut Writer::new(&mut bytes, Protocol::Resp3)),
            Form::Native if self.channel.len() + self.message.len() > self.largest => return None,
            Form::Native => codec::write_delivery(
                &mut bytes,
                &Delivery {
                    pattern: self.pattern.map(Cow::Borrowed),
                    channel: Cow::Borrowed(self.channel),
                    message: Cow::Borrowed(self.message),
                },
            ),
        }
        Some(Arc::new(bytes))
    }

    fn push(&self, writer: &mut Writer<'_>) {
        writer.push(if self.pattern.is_some() { 4 } else { 3 });
        writer.bulk(self.scope.word());
        if let Some(pattern) = self.pattern {
            writer.bulk(pattern);
        }
        writer.bulk(self.channel);
        writer.bulk(self.message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::hub::ClientId;
    use crate::exec::mailbox::Room;

    fn subscriber(number: u64, form: Form) -> (Arc<Mailbox>, Subscriptions) {
        let mailbox = Mailbox::new(number, ClientId(number), form, Room::new(100));
        (mailbox, Subscriptions::default())
    }

    #[test]
    fn a_message_reaches_each_subscription_and_is_encoded_once() {
        let mut channels = Channels::new(1 << 20);
        let (first, mut of_first) = subscriber(1, Form::Resp2);
        let (second, mut of_second) = subscriber(2, Form::Resp2);
        channels.add(Scope::Channel, b"news", &first, &mut of_first);
        channels.add(Scope::Channel, b"news", &second, &mut of_second);
        channels.add(Scope::Pattern, b"n*", &second, &mut of_second);
        channels.add(Scope::Shard, b"news", &second, &mut of_second);
        assert_eq!(channels.publish(Scope::Channel, b"news", b"x"), 3);
        assert_eq!(channels.take_outgoing().len(), 2);
        let (to_first, to_second) = (first.take_all(), second.take_all());
        assert_eq!((to_first.len(), to_second.len()), (1, 2));
        assert!(Arc::ptr_eq(&to_first[0], &to_second[0]));
        assert_eq!(
            *to_first[0],
            b"*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$1\r\nx\r\n"
        );
    }

    #[test]
    fn each_subscriber_gets_its_form() {
        let mut channels = Channels::new(5);
        let mut all =
            [Form::Resp2, Form::Resp3, Form::Native].map(|form| subscriber(form as u64, form));
        for (mailbox, own) in &mut all {
            channels.add(Scope::Pattern, b"n*", mailbox, own);
        }
        assert_eq!(channels.publish(Scope::Channel, b"news", b"x"), 3);
        let resp = b"4\r\n$8\r\npmessage\r\n$2\r\nn*\r\n$4\r\nnews\r\n$1\r\nx\r\n";
        let [two, three, native] = all.each_ref().map(|(mailbox, _)| mailbox.take_all());
        assert_eq!(two[0][..], [b"*", &resp[..]].concat());
        assert_eq!(three[0][..], [b">", &resp[..]].concat());
        let delivery = codec::read_delivery(&native[0]).unwrap();
        assert_eq!(delivery.pattern.as_deref(), Some(&b"n*"[..]));
        assert_eq!(
            (&*delivery.channel, &*delivery.message),
            (&b"news"[..], &b"x"[..])
        );
        channels.publish(Scope::Channel, b"news", b"xx");
        let batch = all[2].0.take_page();
        assert!(batch.missed && batch.messages.is_empty(), "it is too large");
        assert_eq!(all[0].0.take_all().len(), 1);
    }

    #[test]
    fn what_a_connection_will_not_live_to_read_is_not_kept() {
        let mut channels = Channels::new(1 << 20);
        let (slow, mut own) = subscriber(1, Form::Resp2);
        channels.add(Scope::Channel, b"news", &slow, &mut own);
        for _ in 0..1_000 {
            assert_eq!(channels.publish(Scope::Channel, b"news", &[b'x'; 60]), 1);
        }
        let kept: usize = slow.take_all().iter().map(|message| message.len()).sum();
        assert!((101..300).contains(&kept), "{kept}");
        assert_eq!(channels.take_outgoing().len(), 1);
    }

    #[test]
    fn nothing_is_left_of_a_subscriber_that_went() {
        let mut channels = Channels::new(1 << 20);
        let (mailbox, mut own) = subscriber(1, Form::Native);
        for scope in Scope::ALL {
            channels.add(scope, b"a", &mailbox, &mut own);
            channels.add(scope, b"a", &mailbox, &mut own);
            channels.add(scope, b"b", &mailbox, &mut own);
        }
        assert_eq!(own.counts(), [2; SCOPES]);
        channels.remove(Scope::Channel, b"c", &mailbox, &mut own);
        channels.clear(&mailbox, &mut own);
        assert!(channels.is_empty() && own.is_empty() && own.bytes == 0);
        assert_eq!(Arc::strong_count(&mailbox), 1);
    }

    #[test]
    fn one_connection_has_so_many_subscriptions_and_no_more() {
        let none = Load::default();
        let with =
            |load: Load, scope, name: &[u8], count| load.with(scope, vec![name; count].into_iter());
        let long = vec![b'x'; MAX_PATTERN + 1];
        assert!(with(none, Scope::Channel, &long, 1).is_some());
        assert!(with(none, Scope::Pattern, &long, 1).is_none());
        let most = with(none, Scope::Pattern, b"name", MAX_PATTERNS).unwrap();
        assert!(with(most, Scope::Pattern, b"name", 1).is_none());
        assert!(with(most, Scope::Channel, b"name", 1).is_some());
        assert!(with([most, none].into_iter().sum(), Scope::Pattern, b"x", 1).is_none());
        let huge = vec![b'x'; MAX_BYTES];
        assert!(with(none, Scope::Shard, &huge, 1).is_none());
    }
}
