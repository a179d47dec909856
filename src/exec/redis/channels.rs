//! Who is subscribed to what, and the messages that go out.
//!
//! Two views of the same: [`Channels`] knows the subscribers of each name, [`Subscriptions`] the
//! names of one connection. Only [`Channels::add`] and [`Channels::remove`] change them, both
//! together. A message is encoded once for each version of the protocol, however many receive it.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::profile::{Message, Profile};
use super::shared::ClientId;
use crate::protocol::resp::{Protocol, Writer};

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

type Name = Rc<[u8]>;

/// The subscriptions of one connection.
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

    /// Whether a connection may be subscribed to these too.
    pub(super) fn have_room<'n>(
        &self,
        scope: Scope,
        names: impl ExactSizeIterator<Item = &'n [u8]>,
    ) -> bool {
        let is_pattern = scope == Scope::Pattern;
        let count = self.names[scope as usize].len() + names.len();
        let (mut bytes, mut longest) = (self.bytes, 0);
        for name in names {
            bytes += name.len() + OVERHEAD;
            longest = longest.max(name.len());
        }
        bytes <= MAX_BYTES && !(is_pattern && (longest > MAX_PATTERN || count > MAX_PATTERNS))
    }
}

/// All subscriptions, and who has mail.
#[derive(Debug)]
pub(super) struct Channels {
    subscribers: [BTreeMap<Name, BTreeMap<ClientId, Rc<Profile>>>; SCOPES],
    outbox: Outbox,
}

/// Who has mail.
#[derive(Debug)]
struct Outbox {
    clients: Vec<Rc<Profile>>,
    /// The most output that a connection may leave unread, in bytes.
    most: usize,
}

impl Channels {
    /// Nobody is subscribed. A connection that leaves more than `most` bytes unread is closed.
    pub(super) fn new(most: usize) -> Self {
        Self {
            subscribers: Default::default(),
            outbox: Outbox {
                clients: Vec::new(),
                most,
            },
        }
    }

    /// Who has got mail since this was last asked.
    pub(super) fn outbox(&mut self) -> std::vec::Drain<'_, Rc<Profile>> {
        self.outbox.clients.drain(..)
    }

    /// Subscribes a connection, unless it is already.
    pub(super) fn add(
        &mut self,
        scope: Scope,
        name: &[u8],
        client: &Rc<Profile>,
        own: &mut Subscriptions,
    ) {
        let all = &mut self.subscribers[scope as usize];
        let known = all.get_key_value(name).map(|(name, _)| Rc::clone(name));
        let name = known.unwrap_or_else(|| name.into());
        if own.names[scope as usize].insert(Rc::clone(&name)) {
            own.bytes += name.len() + OVERHEAD;
            let subscribers = all.entry(name).or_default();
            subscribers.insert(client.id, Rc::clone(client));
        }
    }

    /// Ends a subscription, if there is one.
    pub(super) fn remove(
        &mut self,
        scope: Scope,
        name: &[u8],
        client: ClientId,
        own: &mut Subscriptions,
    ) {
        if !own.names[scope as usize].remove(name) {
            return;
        }
        own.bytes -= name.len() + OVERHEAD;
        let all = &mut self.subscribers[scope as usize];
        let subscribers = all.get_mut(name).expect("both views say the same");
        subscribers.remove(&client);
        if subscribers.is_empty() {
            all.remove(name);
        }
    }

    /// Ends all subscriptions of a connection.
    pub(super) fn clear(&mut self, client: ClientId, own: &mut Subscriptions) {
        for scope in Scope::ALL {
            while let Some(name) = own.first(scope) {
                self.remove(scope, &name, client, own);
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

    /// Posts a message to all who are to have it: how many, a connection counted once for each of
    /// its subscriptions.
    pub(super) fn publish(&mut self, scope: Scope, channel: &[u8], message: &[u8]) -> usize {
        let outbox = &mut self.outbox;
        let mut count = 0;
        if let Some(subscribers) = self.subscribers[scope as usize].get(channel) {
            count += outbox.post(subscribers, &[scope.word(), channel, message]);
        }
        if scope == Scope::Channel {
            for (pattern, subscribers) in &self.subscribers[Scope::Pattern as usize] {
                if crate::protocol::resp::glob::matches(pattern, channel) {
                    let parts = [Scope::Pattern.word(), pattern, channel, message];
                    count += outbox.post(subscribers, &parts);
                }
            }
        }
        count
    }
}

impl Outbox {
    /// Posts a message to each of these: how many.
    fn post(&mut self, subscribers: &BTreeMap<ClientId, Rc<Profile>>, parts: &[&[u8]]) -> usize {
        let mut encoded: [Option<Message>; 2] = [None, None];
        for client in subscribers.values() {
            let protocol = client.protocol();
            let known = &mut encoded[usize::from(protocol == Protocol::Resp3)];
            let message = known.get_or_insert_with(|| encode(parts, protocol));
            if client.post(Rc::clone(message), self.most) {
                self.clients.push(Rc::clone(client));
            }
        }
        subscribers.len()
    }
}

fn encode(parts: &[&[u8]], protocol: Protocol) -> Message {
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes, protocol);
    writer.push(parts.len());
    for part in parts {
        writer.bulk(part);
    }
    Rc::new(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::Origin;
    use crate::time::Millis;

    fn client(id: u64) -> (Rc<Profile>, Subscriptions) {
        let profile = Profile::new(ClientId(id), Origin::Path, "".into(), Millis::ZERO);
        (Rc::new(profile), Subscriptions::default())
    }

    #[test]
    fn a_message_reaches_each_subscription_and_is_encoded_once() {
        let mut channels = Channels::new(1 << 20);
        let (first, mut of_first) = client(1);
        let (second, mut of_second) = client(2);
        channels.add(Scope::Channel, b"news", &first, &mut of_first);
        channels.add(Scope::Channel, b"news", &second, &mut of_second);
        channels.add(Scope::Pattern, b"n*", &second, &mut of_second);
        channels.add(Scope::Shard, b"news", &second, &mut of_second);
        assert_eq!(channels.publish(Scope::Channel, b"news", b"x"), 3);
        assert_eq!(channels.outbox().len(), 2);
        let (to_first, to_second) = (first.take_mail(), second.take_mail());
        assert_eq!((to_first.len(), to_second.len()), (1, 2));
        assert!(Rc::ptr_eq(&to_first[0], &to_second[0]));
        assert_eq!(
            *to_first[0],
            b"*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$1\r\nx\r\n"
        );
    }

    #[test]
    fn what_a_connection_will_not_live_to_read_is_not_kept() {
        let mut channels = Channels::new(100);
        let (slow, mut own) = client(1);
        channels.add(Scope::Channel, b"news", &slow, &mut own);
        for _ in 0..1_000 {
            assert_eq!(channels.publish(Scope::Channel, b"news", &[b'x'; 60]), 1);
        }
        let kept: usize = slow.take_mail().iter().map(|message| message.len()).sum();
        assert!((101..300).contains(&kept), "{kept}");
        assert_eq!(channels.outbox().len(), 1);
    }

    #[test]
    fn nothing_is_left_of_a_connection_that_went() {
        let mut channels = Channels::new(1 << 20);
        let (profile, mut own) = client(1);
        for scope in Scope::ALL {
            channels.add(scope, b"a", &profile, &mut own);
            channels.add(scope, b"a", &profile, &mut own);
            channels.add(scope, b"b", &profile, &mut own);
        }
        assert_eq!(own.counts(), [2; SCOPES]);
        channels.remove(Scope::Channel, b"c", profile.id, &mut own);
        channels.clear(profile.id, &mut own);
        assert!(channels.is_empty() && own.is_empty() && own.bytes == 0);
        assert_eq!(Rc::strong_count(&profile), 1);
    }

    #[test]
    fn one_connection_has_so_many_subscriptions_and_no_more() {
        let (_, own) = client(1);
        let long = vec![b'x'; MAX_PATTERN + 1];
        assert!(own.have_room(Scope::Channel, [long.as_slice()].into_iter()));
        assert!(!own.have_room(Scope::Pattern, [long.as_slice()].into_iter()));
        let mut many = vec![b"name".as_slice(); MAX_PATTERNS];
        assert!(own.have_room(Scope::Pattern, many.iter().copied()));
        many.push(b"name");
        assert!(!own.have_room(Scope::Pattern, many.iter().copied()));
        let huge = vec![b'x'; MAX_BYTES];
        assert!(!own.have_room(Scope::Shard, [huge.as_slice()].into_iter()));
    }
}
