//! What servers are asked for: ahead, for many at once, or when somebody looks.

use super::flight::Flight;
use super::held::{Held, entry};
use super::node::Repeat;
use super::sending::Sent;
use super::{RedisBackend, command};
use crate::backend::{BackendError, Foreseen, Pipelined, Ticket, Wake};
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
    flight: Flight,
}

/// A key whose entry was asked for.
struct Asked {
    key: Vec<u8>,
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
    pub(super) fn question(&mut self, now: Millis, mut keys: Vec<Vec<u8>>) -> Question {
        keys.sort_unstable();
        keys.dedup();
        let mut commands = Vec::new();
        let mut asked = Vec::with_capacity(keys.len());
        for key in keys {
            let name = self.name(&key);
            let near = self.near.as_ref().and_then(|near| near.ask(&name));
            if near.is_none() {
                commands.extend([command("GET", &name), command("PTTL", &name)]);
            }
            asked.push(Asked {
                key,
                near,
                is_late: false,
            });
        }
        Question {
            ticket: self.ticket(),
            now,
            keys: asked,
            flight: self.link.send(commands, Repeat::Yes),
        }
    }

    /// Waits for what is said to it. Of keys that were written since, that is nothing.
    pub(super) fn answers(&mut self, question: Question) -> Vec<(Vec<u8>, Answer)> {
        let mut replies = question.flight.replies().into_iter();
        let mut answers = Vec::with_capacity(question.keys.len());
        let (mut bytes, mut values) = (0, 0);
        for Asked { key, near, is_late } in question.keys {
            let answer = if let Some(held) = near {
                Ok(Some(held))
            } else {
                let held = entry(question.now, replies.next(), replies.next());
                let found = held.as_ref().ok().and_then(Option::as_ref);
                if let Some(found) = found {
                    bytes += found.value.len();
                    values += 1;
                }
                if let Some(near) = &self.near {
                    near.answered(&self.name(&key), found);
                }
                held
            };
            if !is_late {
                answers.push((key, answer));
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

    /// What is known of a key, which is asked for where nothing is.
    pub(super) fn held(&mut self, now: Millis, key: &[u8]) -> Result<Option<&Held>, BackendError> {
        if self.known(key).is_none() {
            let question = self.question(now, vec![key.to_vec()]);
            for (key, answer) in self.answers(question) {
                self.found.insert(key, answer?);
            }
        }
        let held = self.known(key).and_then(Option::as_ref);
        Ok(held.filter(|held| held.deadline.is_none_or(|deadline| deadline > now)))
    }

    fn known(&self, key: &[u8]) -> Option<&Option<Held>> {
        let sent = || self.sent.as_ref()?.written.get(key);
        let found = || self.found.get(key);
        self.written.get(key).or_else(sent).or_else(found)
    }
}

impl Pipelined for RedisBackend {
    fn wake_with(&mut self, wake: Wake) {
        self.link.wake_with(wake);
    }

    fn ask(&mut self, now: Millis, keys: &Foreseen<'_>) -> Ticket {
        let mut wanted = Vec::new();
        let most = self.at_once(BYTES);
        keys(&mut |key| {
            if wanted.len() < most && !self.is_written(key) {
                wanted.push(key.to_vec());
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
        let late: Vec<_> = late.map(|asked| asked.key.clone()).collect();
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

    fn is_here(&self, ticket: Ticket) -> bool {
        let question = self.questions.iter().find(|one| one.ticket == ticket);
        let sent = self.sent.as_ref().filter(|sent| sent.ticket == ticket);
        question.is_none_or(|one| one.flight.has_landed()) && sent.is_none_or(Sent::has_landed)
    }
}
