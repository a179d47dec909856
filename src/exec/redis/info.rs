//! `INFO`: what clients and their operators read of it. What is not counted here is left out.

use std::fmt::Write;

use super::call::{Call, database, is_word};
use super::channels::Scope;
use super::config::policy;
use super::connection::databases;
use super::fault::Done;

/// The Redis whose words and replies these are.
pub(super) const VERSION: &str = "7.0.15";

/// Only there where the backend has a thread of its own.
const BACKEND: &str = "Backend";

/// A section: its name, whether it is told unasked, and what it says.
type Section = (&'static str, bool, fn(&mut Call<'_>, &mut String));

static SECTIONS: &[Section] = &[
    ("Server", true, server),
    ("Clients", true, clients),
    ("Memory", true, memory),
    ("Persistence", true, |_, text| {
        text.push_str("loading:0\r\n");
    }),
    ("Stats", true, stats),
    (BACKEND, true, |call, text| {
        if let Some(load) = &call.shared.load {
            load.describe(|arguments| line(text, arguments));
        }
    }),
    ("Replication", true, |_, text| {
        text.push_str("role:master\r\nconnected_slaves:0\r\n");
    }),
    ("Modules", true, |_, _| {}),
    ("Commandstats", false, |_, _| {}),
    ("Cluster", true, |_, text| {
        text.push_str("cluster_enabled:0\r\n");
    }),
    ("Keyspace", true, keyspace),
];

/// `INFO [section …]`
pub(super) fn info(call: &mut Call<'_>) -> Done {
    let has = |word: &str| call.args_from(1).any(|arg| is_word(arg, word));
    let is_plain = call.args.len() == 1 || has("default");
    let is_all = has("all") || has("everything");
    let wanted = SECTIONS.iter().filter(|(name, is_default, _)| {
        let is_there = *name != BACKEND || call.shared.load.is_some();
        let is_wanted = is_all || (is_plain && *is_default) || has(&name.to_ascii_lowercase());
        is_there && is_wanted
    });
    let wanted: Vec<_> = wanted.collect();
    let mut text = String::new();
    for (name, _, write) in wanted {
        if !text.is_empty() {
            text.push_str("\r\n");
        }
        line(&mut text, format_args!("# {name}"));
        write(call, &mut text);
    }
    call.reply.verbatim(text.as_bytes());
    Ok(())
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    text.write_fmt(line).expect("memory takes it");
    text.push_str("\r\n");
}

fn server(call: &mut Call<'_>, text: &mut String) {
    let (now, began) = (call.now.as_unix(), call.shared.started.as_unix());
    let seconds = now.saturating_sub(began) / 1_000;
    line(text, format_args!("redis_version:{VERSION}"));
    line(
        text,
        format_args!("memstore_cluster_version:{}", env!("CARGO_PKG_VERSION")),
    );
    line(text, format_args!("redis_mode:standalone"));
    line(text, format_args!("os:{}", std::env::consts::OS));
    line(text, format_args!("arch_bits:{}", usize::BITS));
    line(text, format_args!("process_id:{}", call.shared.pid));
    line(
        text,
        format_args!("run_id:{:024x}{:016x}", call.shared.pid, began),
    );
    line(text, format_args!("tcp_port:0"));
    line(
        text,
        format_args!("server_time_usec:{}", now.saturating_mul(1_000)),
    );
    line(text, format_args!("uptime_in_seconds:{seconds}"));
    line(text, format_args!("uptime_in_days:{}", seconds / 86_400));
}

fn clients(call: &mut Call<'_>, text: &mut String) {
    let clients = call.shared.clients();
    line(text, format_args!("connected_clients:{}", clients.len()));
    line(text, format_args!("maxclients:{}", call.limits.max_clients));
    line(text, format_args!("blocked_clients:0"));
}

fn memory(call: &mut Call<'_>, text: &mut String) {
    let used = call.backend.memory_use().unwrap_or_default();
    let bound = used.bound.unwrap_or(0);
    line(text, format_args!("used_memory:{}", used.bytes));
    line(
        text,
        format_args!("used_memory_human:{}", Human(used.bytes)),
    );
    line(text, format_args!("maxmemory:{bound}"));
    line(text, format_args!("maxmemory_human:{}", Human(bound)));
    line(text, format_args!("maxmemory_policy:{}", policy(call)));
}

fn stats(call: &mut Call<'_>, text: &mut String) {
    let shared = &*call.shared;
    let names = |scope| shared.channels.names(scope).len();
    line(
        text,
        format_args!("total_connections_received:{}", shared.received),
    );
    line(
        text,
        format_args!("total_commands_processed:{}", shared.served),
    );
    line(
        text,
        format_args!("pubsub_channels:{}", names(Scope::Channel)),
    );
    line(
        text,
        format_args!("pubsub_patterns:{}", names(Scope::Pattern)),
    );
    line(
        text,
        format_args!("pubsubshard_channels:{}", names(Scope::Shard)),
    );
    let used = call.backend.memory_use().unwrap_or_default();
    line(text, format_args!("evicted_keys:{}", used.evicted));
}

/// The deadlines are not counted by database.
fn keyspace(call: &mut Call<'_>, text: &mut String) {
    for number in 0..databases(call) {
        if !call.backend.has_database(number) {
            continue;
        }
        let length = database(call.backend, number).length(call.now);
        match length {
            Ok(keys) if keys > 0 => {
                line(
                    text,
                    format_args!("db{number}:keys={keys},expires=0,avg_ttl=0"),
                );
            }
            _ => {}
        }
    }
}

/// A size as Redis shows it.
struct Human(u64);

impl std::fmt::Display for Human {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let units = [("G", 30), ("M", 20), ("K", 10)];
        let unit = units.iter().find(|(_, bits)| self.0 >> bits > 0);
        let Some((unit, bits)) = unit else {
            return write!(f, "{}B", self.0);
        };
        let hundredths = (u128::from(self.0) * 100) >> bits;
        write!(f, "{}.{:02}{unit}", hundredths / 100, hundredths % 100)
    }
}
