//! Requests that wait for their turn, and what the backend is asked ahead for them.

use std::collections::VecDeque;

use super::chunk::{Author, Chunk};
use super::desk::Job;
use crate::backend::{Backend, Look, Ticket};
use crate::config::Limits;
use crate::exec::ahead;
use crate::protocol::Dialect;
use crate::time::Millis;

/// Keys that the backend is asked for at once, about: so many that it costs little, and so few that
/// some requests can be run while it is asked for those of others.
const ASKED_AT_ONCE: usize = 64;

/// Jobs in their order, one at least.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) jobs: VecDeque<Job>,
    /// What was asked for them, until the first is run.
    pub(super) ticket: Option<Ticket>,
}

/// Has the backend ask for what these will look at, where it can.
pub(super) fn gather(
    backend: &mut dyn Backend,
    now: Millis,
    jobs: VecDeque<Job>,
    limits: &Limits,
) -> Vec<Group> {
    let mut groups = Vec::new();
    let Some(pipelined) = backend.pipelined() else {
        if !jobs.is_empty() {
            groups.push(Group { jobs, ticket: None });
        }
        return groups;
    };
    let mut jobs = jobs.into_iter().peekable();
    while jobs.peek().is_some() {
        let (mut group, mut keys) = (VecDeque::new(), Keys::default());
        while keys.ends.len() < ASKED_AT_ONCE {
            let Some(job) = jobs.next() else { break };
            if let Job::Run(chunk) = &job {
                keys.add(chunk, limits);
            }
            group.push_back(job);
        }
        groups.push(Group {
            jobs: group,
            ticket: Some(pipelined.ask(now, &|visit| keys.each(visit))),
        });
    }
    groups
}

/// Keys, one after the other.
#[derive(Debug, Default)]
struct Keys {
    bytes: Vec<u8>,
    /// Where each ends, and what of its entry is looked at.
    ends: Vec<(usize, Look)>,
}

impl Keys {
    /// Adds those that requests look at.
    fn add(&mut self, chunk: &Chunk, limits: &Limits) {
        let dialect = match chunk.author {
            Author::Connection { dialect, .. } => dialect,
            Author::Handle(_) => Dialect::Native,
        };
        ahead::keys(dialect, &chunk.bytes, limits, &mut |key, look| {
            self.bytes.extend_from_slice(key);
            self.ends.push((self.bytes.len(), look));
        });
    }

    fn each(&self, visit: &mut dyn FnMut(&[u8], Look)) {
        let mut start = 0;
        for (end, look) in &self.ends {
            visit(&self.bytes[start..*end], *look);
            start = *end;
        }
    }
}
