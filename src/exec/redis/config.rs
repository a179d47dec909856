//! `CONFIG`: what clients ask before they trust a server, and the one thing they may change.

use std::borrow::Cow;

use super::call::Call;
use super::connection::databases;
use super::fault::{Done, Fault};
use super::help;
use super::table::Flag::{self, Admin, Loading, NoScript, Stale};
use super::table::{Command, Keys, command};
use crate::backend::WhenFull;
use crate::config::KeyspaceEvents;
use crate::protocol::resp::glob;

/// A parameter: its name in Redis, and what holds here.
type Parameter = (&'static str, fn(&Call<'_>) -> Cow<'static, str>);

/// The one that can be set.
const EVENTS: &str = "notify-keyspace-events";

static PARAMETERS: &[Parameter] = &[
    ("appendonly", |_| "no".into()),
    ("databases", |call| databases(call).to_string().into()),
    ("maxclients", |call| {
        call.limits.max_clients.to_string().into()
    }),
    ("maxmemory", |call| {
        let bound = call.backend.memory_use().and_then(|used| used.bound);
        bound.unwrap_or(0).to_string().into()
    }),
    ("maxmemory-policy", |call| policy(call).into()),
    (EVENTS, |call| call.hub.events.to_string().into()),
    ("port", |_| "0".into()),
    ("proto-max-bulk-len", |call| {
        let longest = call.limits.max_value.max(call.limits.max_key);
        longest.to_string().into()
    }),
    ("save", |_| "".into()),
    ("timeout", |_| "0".into()),
];

/// What happens where memory is full, in Redis's word for it.
pub(super) fn policy(call: &Call<'_>) -> &'static str {
    match call.backend.memory_use().map(|used| used.when_full) {
        Some(WhenFull::Evict) => "allkeys-lru",
        Some(WhenFull::Reject) | None => "noeviction",
    }
}

/// `CONFIG GET pattern [pattern …]`
fn get(call: &mut Call<'_>) -> Done {
    let found: Vec<_> = PARAMETERS
        .iter()
        .filter_map(|(name, value)| Some((wanted(call, name)?, value)))
        .collect();
    call.reply.map(found.len());
    for (name, value) in found {
        let value = value(call);
        call.reply.bulk(name);
        call.reply.bulk(value.as_bytes());
    }
    Ok(())
}

/// The name of a parameter that is asked for: as it was asked for, if not by a pattern.
fn wanted<'c>(call: &Call<'c>, name: &'static str) -> Option<&'c [u8]> {
    let mut patterns = call.args_from(2);
    let asked = patterns.find(|asked| {
        let pattern = asked.to_ascii_lowercase();
        glob::matches(&pattern, name.as_bytes())
    })?;
    let is_pattern = asked.iter().any(|byte| b"[*?".contains(byte));
    Some(if is_pattern { name.as_bytes() } else { asked })
}

/// `CONFIG SET name value [name value …]`
fn set(call: &mut Call<'_>) -> Done {
    if call.args.len() % 2 != 0 {
        return Err(Fault::SYNTAX);
    }
    let mut events = None;
    for at in (2..call.args.len()).step_by(2) {
        let (name, value) = (call.arg(at), call.arg(at + 1));
        let known = |(known, _): &&Parameter| name.eq_ignore_ascii_case(known.as_bytes());
        let Some((name, _)) = PARAMETERS.iter().find(known) else {
            let text = "ERR Unknown option or number of arguments for CONFIG SET - '";
            return Err(Fault::quoting(text, name, "'"));
        };
        if *name != EVENTS {
            return Err(failed(name, "can't set immutable config"));
        }
        if events.replace(value).is_some() {
            return Err(failed(name, "duplicate parameter"));
        }
    }
    if let Some(events) = events {
        let events: Option<KeyspaceEvents> = std::str::from_utf8(events)
            .ok()
            .and_then(|events| events.parse().ok());
        call.hub.events = events.ok_or_else(|| {
            failed(
                EVENTS,
                "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.",
            )
        })?;
    }
    call.reply.simple("OK");
    Ok(())
}

fn failed(name: &str, why: &str) -> Fault {
    Fault::say(format!(
        "ERR CONFIG SET failed (possibly related to argument '{name}') - {why}"
    ))
}

/// `CONFIG RESETSTAT`
fn resetstat(call: &mut Call<'_>) -> Done {
    call.shared.statistics.reset();
    call.shared.received = 0;
    call.reply.simple("OK");
    Ok(())
}

/// The sub-commands of `CONFIG`.
pub(super) static SUBS: &[Command] = &[
    command("config|get", -3, ADMIN, Keys::NONE, get),
    command("config|help", 2, &[Loading, Stale], Keys::NONE, |call| {
        help::write(call, help::CONFIG)
    }),
    command("config|resetstat", 2, ADMIN, Keys::NONE, resetstat),
    command("config|set", -4, ADMIN, Keys::NONE, set),
];

const ADMIN: &[Flag] = &[Admin, NoScript, Loading, Stale];
