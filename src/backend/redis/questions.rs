//! What servers are asked for: ahead, for many at once, or when somebody looks.

use redis::Value;

use super::flight::Flight;
use super::held::{Held, entry};
use super::node::{Repeat, Reply, Trouble};
use super::sending::Sent;
use super::{RedisBackend, command};
use crate::backend::{BackendError, Foreseen, Look, Pipelined, Ticket, Wake};
use crate::time::Millis;

/// Keys that are asked for at once.
const MOST_KEYS: usize = 4_096;
/// Bytes of values, about, that are asked for at once.
const BYTES: usize = 16 << 20;

/// What is said of a key.
type Answer = Result<Option<Held>, BackendError>;

/// Keys whose entries were asked for.
pub(super) struct Question {
    ticket: Ticket,
    now: Millis,
    /// In their order.
    keys: Vec<Asked>,
    /// The values that nothing else is asked with are in the first reply.
    is_at_once: bool,
    flight: Flight,
}

/// A key whose entry was asked for.
struct Asked {
    key: Vec<u8>,
    look: Look,
    /// The near cache has it, and the servers were not asked.
    near: Option<Held>,
    /// It was written since, so what is said of it is old.
    is_late: bool,
}

impl RedisBackend {
    pub(super) fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    /// Asks for entries.
    pub(super) fn question(&mut self, now: Millis, mut keys: Vec<(Vec<u8>, Look)>) -> Question {
        keys.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        keys.dedup_by(|(key, look), (kept, both)| {
            let is_same = key == kept;
            if is_same {
                *both = both.and(*look);
            }
            is_same
        });
        let mut asked: Vec<Asked> = Vec::with_capacity(keys.len());
        for (key, look) in keys {
            let cache = self.near.as_ref();
            asked.push(Asked {
                near: cache.and_then(|near| near.ask(&self.name(&key))),
                // What it is to keep has to be known as a whole.
                look: cache.map_or(look, |_| Look::Entry),
                key,
                is_late: false,
            });
        }
        // Several values by one command are the least work for everybody; of a cluster, each may be
        // somewhere else.
        let at_once = asked.iter().filter(|asked| asked.is_value()).count();
        let is_at_once = at_once > 1 && !self.link.is_cluster();
        let mut commands = Vec::new();
        if is_at_once {
            let mut values = redis::cmd("MGET");
            for asked in asked.iter().filter(|asked| asked.is_value()) {
                values.arg(self.name(&asked.key));
            }
            commands.push(values);
        }
        for asked in asked.iter().filter(|asked| asked.near.is_none()) {
            let name = self.name(&asked.key);
            if asked.look != Look::Deadline && !(is_at_once && asked.is_value()) {
                commands.push(command("GET", &name));
            }
            if asked.look != Look::Value {
                commands.push(command("PTTL", &name));
            }
        }
        Question {
            ticket: self.ticket(),
            now,
            keys: asked,
            is_at_once,
            flight: self.link.send(commands, Repeat::Yes),
        }
    }

    /// Waits for what is said to it. Of keys that were written since, that is nothing.
    pub(super) fn answers(&mut self, question: Question) -> Vec<(Vec<u8>, Answer)> {
        let mut replies = question.flight.replies().into_iter();
        let at_once = question.is_at_once.then(|| replies.next()).flatten();
        let mut at_once = at_once.map(Several::new);
        let mut answers = Vec::with_capacity(question.keys.len());
        let (mut bytes, mut values) = (0, 0);
        for asked in question.keys {
            let is_value = asked.is_value();
            let answer = if let Some(held) = asked.near {
                Ok(Some(held))
            } else {
                let value = match &mut at_once {
                    Some(several) if is_value => Some(several.next()),
                    _ if asked.look == Look::Deadline => None,
                    _ => replies.next(),
                };
                let has_term = asked.look != Look::Value;
                let ttl = has_term.then(|| replies.next()).flatten();
                let held = entry(question.now, value, ttl);
                let found = held.as_ref().ok().and_then(Option::as_ref);
                if let Some(value) = found.and_then(|found| found.value.as_ref()) {
                    bytes += value.len();
                    values += 1;
                }
                if let Some(near) = &self.near {
                    near.answered(&self.name(&asked.key), found);
                }
                held
            };
            if !asked.is_late {
                answers.push((asked.key, answer));
            }
        }
        if let Some(mean) = bytes.checked_div(values) {
            self.value_len = usize::midpoint(self.value_len, mean);
        }
        answers
    }

    /// What was known of a key is not so any more, nor will be what is being asked for.
    pub(super) fn forget(&mut self, key: &[u8]) {
        self.found.remove(key);
        for question in &mut self.questions {
            let keys = &mut question.keys;
            if let Ok(place) = keys.binary_search_by(|asked| asked.key.as_slice().cmp(key)) {
                keys[place].is_late = true;
            }
        }
        if let Some(near) = &self.near {
            near.written(&self.name(key));
        }
    }

    /// How many keys have about so many bytes of values.
    pub(super) fn at_once(&self, bytes: usize) -> usize {
        (bytes / (self.value_len + 1)).clamp(1, MOST_KEYS)
    }

    /// What is known of a key, which is asked for where that is not enough for the look.
    pub(super) fn held(
        &mut self,
        now: Millis,
        key: &[u8],
        look: Look,
    ) -> Result<Option<&Held>, BackendError> {
        let is_enough = |known: &Option<Held>| known.as_ref().is_none_or(|held| held.shows(look));
        if !self.known(key).is_some_and(is_enough) {
            let question = self.question(now, vec![(key.to_vec(), look)]);
            for (key, answer) in self.answers(question) {
                self.learn(key, answer?);
            }
        }
        let held = self.known(key).and_then(Option::as_ref);
        Ok(held.filter(|held| held.deadline().is_none_or(|deadline| deadline > now)))
    }

    fn known(&self, key: &[u8]) -> Option<&Option<Held>> {
        let sent = || self.sent.as_ref()?.written.get(key);
        let found = || self.found.get(key);
        self.written.get(key).or_else(sent).or_else(found)
    }

    /// What servers say of a key becomes known, as far as it was not or is to become something else.
    fn learn(&mut self, key: Vec<u8>, answer: Option<Held>) {
        let sent = self.sent.as_mut();
        let sent = sent.and_then(|sent| sent.written.get_mut(&key));
        let there = self.written.get_mut(&key).or(sent);
        match (there.or_else(|| self.found.get_mut(&key)), answer) {
            (Some(Some(held)), Some(answer)) => held.learn(answer),
            (Some(known), answer) => *known = answer,
            (None, answer) => drop(self.found.insert(key, answer)),
        }
    }
}

impl Asked {
    /// Whether it is asked for by its value alone.
    fn is_value(&self) -> bool {
        self.near.is_none() && self.look == Look::Value
    }
}

/// The values of several keys, in their order.
enum Several {
    Values(std::vec::IntoIter<Value>),
    /// There are none, for this reason.
    Trouble(Trouble),
}

impl Several {
    fn new(reply: Reply) -> Self {
        match reply {
            Ok(Value::Array(values)) => Self::Values(values.into_iter()),
            // Too few of them are no value.
            Ok(_) => Self::Values(Vec::new().into_iter()),
            Err(trouble) => Self::Trouble(trouble),
        }
    }

    fn next(&mut self) -> Reply {
        match self {
            Self::Values(values) => Ok(values.next().unwrap_or(Value::Okay)),
            Self::Trouble(trouble) => Err(trouble.clone()),
        }
    }
}

impl Pipelined for RedisBackend {
    fn wake_with(&mut self, wake: Wake) {
        self.link.wake_with(wake);
    }

    fn ask(&mut self, now: Millis, keys: &Foreseen<'_>) -> Ticket {
        let mut wanted = Vec::new();
        let most = self.at_once(BYTES);
        keys(&mut |key, look| {
            if wanted.len() < most && !self.is_written(key) {
                wanted.push((key.to_vec(), look));
            }
        });
        let question = self.question(now, wanted);
        let ticket = question.ticket;
        self.questions.push_back(question);
        ticket
    }

    fn look(&mut self, now: Millis, ticket: Ticket) {
        self.found.clear();
        let is_this = |question: &Question| question.ticket == ticket;
        let Some(place) = self.questions.iter().position(is_this) else {
            return;
        };
        let Some(question) = self.questions.remove(place) else {
            return;
        };
        let is_late = |asked: &&Asked| asked.is_late && !self.is_written(&asked.key);
        let late = question.keys.iter().filter(is_late);
        let late: Vec<_> = late.map(|asked| (asked.key.clone(), asked.look)).collect();
        let mut answers = self.answers(question);
        if !late.is_empty() {
            let again = self.question(now, late);
            answers.extend(self.answers(again));
        }
        // What failed is asked for again by whoever needs it, and told to them.
        let found = answers.into_iter();
        self.found
            .extend(found.filter_map(|(key, answer)| Some((key, answer.ok()?))));
    }

    fn submit(&mut self) -> Ticket {
        self.send_on_ticket()
    }

    fn finish(&mut self, ticket: Ticket) -> Result<(), BackendError> {
        self.told(ticket)
    }

    fn is_here(&mut self, ticket: Ticket) -> bool {
        let question = self.questions.iter().find(|one| one.ticket == ticket);
        let sent = self.sent.as_ref().filter(|sent| sent.ticket == ticket);
        question.is_none_or(|one| one.flight.has_landed()) && sent.is_none_or(Sent::has_landed)
    }
}
