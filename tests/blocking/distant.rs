//! A backend that asks a server, of which a test says when it answers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use memstore_cluster::Source;
use memstore_cluster::backend::{
    Backend, BackendError, Deadline, EntryRef, Foreseen, Pipelined, SetOutcome, Ticket, Wake,
};
use memstore_cluster::contract::{Capabilities, Condition, Kind, Seq};
use memstore_cluster::time::Millis;

use super::gate::PATIENCE;
use super::peer::until;

type Values = BTreeMap<Vec<u8>, Vec<u8>>;

/// The server, as a test sees it.
#[derive(Clone, Default)]
pub(crate) struct Server(Arc<(Mutex<State>, Condvar)>);

#[derive(Default)]
struct State {
    values: Values,
    wake: Option<Wake>,
    tickets: u64,
    /// What is under way: which keys are asked for, and what is to be written.
    asked: BTreeMap<Ticket, BTreeSet<Vec<u8>>>,
    sent: BTreeMap<Ticket, Values>,
    /// Why what is written next is not done.
    failure: Option<BackendError>,
}

impl Server {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.0.lock().unwrap()
    }

    /// The keys of the questions that wait for an answer, and how many writes do.
    pub(crate) fn under_way(&self) -> (Vec<String>, usize) {
        let state = self.lock();
        let text = |keys: &BTreeSet<Vec<u8>>| {
            let keys: Vec<_> = keys
                .iter()
                .map(|key| String::from_utf8_lossy(key))
                .collect();
            keys.join(" ")
        };
        let asked = state.asked.values().map(text);
        (
            asked.filter(|keys| !keys.is_empty()).collect(),
            state.sent.len(),
        )
    }

    /// Answers everything that is under way.
    pub(crate) fn answer(&self, failure: Option<BackendError>) {
        let mut state = self.lock();
        for written in std::mem::take(&mut state.sent).into_values() {
            if failure.is_none() {
                state.values.extend(written);
            }
        }
        state.failure = failure;
        drop(state);
        self.answer_questions();
    }

    /// Answers what was asked for, and has no writes done.
    pub(crate) fn answer_questions(&self) {
        let mut state = self.lock();
        state.asked.clear();
        if let Some(wake) = &state.wake {
            wake();
        }
        self.0.1.notify_all();
    }

    /// The same whatever is asked for, until this is so.
    pub(crate) fn answer_questions_until(&self, mut is_so: impl FnMut() -> bool) {
        until("what the answers are for", || {
            self.answer_questions();
            is_so()
        });
    }

    fn has_answered(&self, ticket: Ticket) -> bool {
        let state = self.lock();
        !state.asked.contains_key(&ticket) && !state.sent.contains_key(&ticket)
    }

    fn wait_for(&self, ticket: Ticket) {
        let is_under_way = |state: &mut State| {
            state.asked.contains_key(&ticket) || state.sent.contains_key(&ticket)
        };
        let waited = self
            .0
            .1
            .wait_timeout_while(self.lock(), PATIENCE, is_under_way);
        assert!(!waited.unwrap().1.timed_out(), "never answered");
    }

    /// Backends that ask this server.
    pub(crate) fn source(&self) -> Source {
        let server = self.clone();
        Source::new(move || {
            Ok(Box::new(Distant {
                server: server.clone(),
                open: Values::new(),
                sent: Values::new(),
                undone: Values::new(),
            }))
        })
    }
}

/// It has no room for conditions and deadlines.
struct Distant {
    server: Server,
    open: Values,
    sent: Values,
    undone: Values,
}

impl Distant {
    fn found(&self, key: &[u8]) -> Option<Vec<u8>> {
        let own = self.open.get(key).or_else(|| self.sent.get(key));
        own.cloned()
            .or_else(|| self.server.lock().values.get(key).cloned())
    }
}

impl Backend for Distant {
    fn capabilities(&self) -> Capabilities {
        Capabilities::BASIC
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn blocks(&self) -> bool {
        true
    }

    fn pipelined(&mut self) -> Option<&mut dyn Pipelined> {
        Some(self)
    }

    fn get(&mut self, _: Millis, key: &[u8]) -> Result<Option<EntryRef<'_>>, BackendError> {
        Ok(self.found(key).map(|value| EntryRef {
            value: value.into(),
            deadline: None,
            seq: Seq(1),
            kind: Kind::Bytes,
        }))
    }

    fn set(
        &mut self,
        _: Millis,
        key: &[u8],
        value: &[u8],
        _: Deadline,
        _: Condition,
    ) -> Result<SetOutcome, BackendError> {
        self.open.insert(key.to_vec(), value.to_vec());
        Ok(SetOutcome::Stored(Seq(1)))
    }

    fn touch(&mut self, _: Millis, key: &[u8], _: Deadline) -> Result<bool, BackendError> {
        Ok(self.found(key).is_some())
    }

    fn destroy(&mut self, _: Millis, _: &[u8]) -> Result<bool, BackendError> {
        Err(BackendError::Unsupported("destroy"))
    }

    fn is_done(&self, key: &[u8]) -> bool {
        !self.undone.contains_key(key)
    }
}

impl Pipelined for Distant {
    fn wake_with(&mut self, wake: Wake) {
        self.server.lock().wake = Some(wake);
    }

    fn ask(&mut self, _: Millis, keys: &Foreseen<'_>) -> Ticket {
        let mut asked = BTreeSet::new();
        keys(&mut |key, _| {
            asked.insert(key.to_vec());
        });
        let mut state = self.server.lock();
        state.tickets += 1;
        let ticket = Ticket(state.tickets);
        if !asked.is_empty() {
            state.asked.insert(ticket, asked);
        }
        ticket
    }

    fn look(&mut self, _: Millis, ticket: Ticket) {
        self.server.wait_for(ticket);
    }

    fn submit(&mut self) -> Ticket {
        assert!(self.sent.is_empty(), "one flight at a time");
        self.sent = std::mem::take(&mut self.open);
        let mut state = self.server.lock();
        state.tickets += 1;
        let ticket = Ticket(state.tickets);
        if !self.sent.is_empty() {
            state.sent.insert(ticket, self.sent.clone());
        }
        ticket
    }

    fn finish(&mut self, ticket: Ticket) -> Result<(), BackendError> {
        self.server.wait_for(ticket);
        let sent = std::mem::take(&mut self.sent);
        let failure = self
            .server
            .lock()
            .failure
            .take()
            .filter(|_| !sent.is_empty());
        if failure.is_some() {
            self.open.retain(|key, _| !sent.contains_key(key));
            self.undone = sent;
        }
        failure.map_or(Ok(()), Err)
    }

    fn is_here(&mut self, ticket: Ticket) -> bool {
        self.server.has_answered(ticket)
    }
}
