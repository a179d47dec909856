//! The environment of a worker. Pure: what the master has goes in, what the worker gets comes out.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// The first descriptor that is handed over, as `sd_listen_fds(3)` has it.
pub(crate) const FIRST_FD: usize = 3;

/// What was meant for the master, or says who it is itself in some outer cluster. The store's URL
/// may have a password in it.
pub(super) const REMOVED: [&str; 18] = [
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "LISTEN_PID",
    "LISTEN_PIDFDID",
    "MEMSTORE_FD",
    "MEMSTORE_GENERATION",
    "MEMSTORE_MASTER_PID",
    "MEMSTORE_ROLE",
    "MEMSTORE_SOCK",
    "MEMSTORE_STORE",
    "MEMSTORE_WORKER",
    "MEMSTORE_WORKERS",
    "NODE_CHANNEL_FD",
    "NODE_CHANNEL_SERIALIZATION_MODE",
    "NODE_UNIQUE_ID",
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
];

/// Who a worker is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Identity {
    /// Its slot, from 0.
    pub slot: u16,
    /// How many slots there are.
    pub workers: u16,
    /// How many times the fleet was reloaded.
    pub generation: u64,
    /// The socket that the master serves beside the inherited channel.
    pub sock: Option<PathBuf>,
}

/// A change to the environment: a name and its value, `None` to remove it.
pub type EnvChange = (OsString, Option<OsString>);

/// The environment of a worker that gets these listeners, but for `LISTEN_PID`, which only the
/// worker's own process can know.
///
/// In rising precedence: what the master has, without what was meant for the master; what makes
/// other frameworks behave as one worker (`NODE_APP_INSTANCE`, `WEB_CONCURRENCY=1`); the user's
/// `changes`; what tells the worker its role and its descriptors.
pub fn worker_env(
    inherited: impl IntoIterator<Item = (OsString, OsString)>,
    changes: &[EnvChange],
    identity: &Identity,
    listener_names: &[&str],
) -> BTreeMap<OsString, OsString> {
    let mut env: BTreeMap<OsString, OsString> = inherited.into_iter().collect();
    let mut set = |name: &str, value: &OsStr| env.insert(name.into(), value.into());
    set("NODE_APP_INSTANCE", identity.slot.to_string().as_ref());
    set("WEB_CONCURRENCY", "1".as_ref());
    for (name, value) in changes {
        match value {
            Some(value) => env.insert(name.clone(), value.clone()),
            None => env.remove(name),
        };
    }
    for name in REMOVED {
        env.remove(OsStr::new(name));
    }
    let mut set = |name: &str, value: &OsStr| env.insert(name.into(), value.into());
    let channel = FIRST_FD + listener_names.len();
    set("MEMSTORE_ROLE", "worker".as_ref());
    set("MEMSTORE_FD", channel.to_string().as_ref());
    set("MEMSTORE_WORKER", identity.slot.to_string().as_ref());
    set("MEMSTORE_WORKERS", identity.workers.to_string().as_ref());
    let generation = identity.generation.to_string();
    set("MEMSTORE_GENERATION", generation.as_ref());
    if let Some(sock) = &identity.sock {
        set("MEMSTORE_SOCK", sock.as_ref());
    }
    if !listener_names.is_empty() {
        let names: Vec<String> = listener_names.iter().map(|name| fd_name(name)).collect();
        set("LISTEN_FDS", listener_names.len().to_string().as_ref());
        set("LISTEN_FDNAMES", names.join(":").as_ref());
    }
    env
}

/// A name as `LISTEN_FDNAMES` can carry it: at most 255 printable ASCII characters, no colon
/// (`sd_listen_fds(3)`).
fn fd_name(name: &str) -> String {
    let allowed = |c: char| (' '..='~').contains(&c) && c != ':';
    let name: String = name
        .chars()
        .map(|c| if allowed(c) { c } else { '_' })
        .take(255)
        .collect();
    if name.is_empty() {
        "unknown".to_owned()
    } else {
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn os(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
        pairs
            .iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect()
    }

    fn text(env: &BTreeMap<OsString, OsString>) -> Vec<String> {
        env.iter()
            .map(|(name, value)| format!("{}={}", name.to_string_lossy(), value.to_string_lossy()))
            .collect()
    }

    #[test]
    fn a_worker_is_told_who_it_is_and_where_its_descriptors_are() {
        let identity = Identity {
            slot: 2,
            workers: 4,
            generation: 7,
            sock: Some("/run/x.sock".into()),
        };
        let env = worker_env(
            os(&[("HOME", "/root")]),
            &[],
            &identity,
            &["127.0.0.1:80", ""],
        );
        assert_eq!(
            text(&env),
            [
                "HOME=/root",
                "LISTEN_FDNAMES=127.0.0.1_80:unknown",
                "LISTEN_FDS=2",
                "MEMSTORE_FD=5",
                "MEMSTORE_GENERATION=7",
                "MEMSTORE_ROLE=worker",
                "MEMSTORE_SOCK=/run/x.sock",
                "MEMSTORE_WORKER=2",
                "MEMSTORE_WORKERS=4",
                "NODE_APP_INSTANCE=2",
                "WEB_CONCURRENCY=1",
            ]
        );
    }

    #[test]
    fn what_was_meant_for_the_master_does_not_reach_a_worker() {
        let inherited: Vec<_> = REMOVED
            .iter()
            .map(|name| (OsString::from(name), OsString::from("outer")))
            .collect();
        let env = worker_env(inherited, &[], &Identity::default(), &[]);
        assert_eq!(
            text(&env),
            [
                "MEMSTORE_FD=3",
                "MEMSTORE_GENERATION=0",
                "MEMSTORE_ROLE=worker",
                "MEMSTORE_WORKER=0",
                "MEMSTORE_WORKERS=0",
                "NODE_APP_INSTANCE=0",
                "WEB_CONCURRENCY=1",
            ]
        );
    }

    #[test]
    fn changes_win_over_habits_but_not_over_the_role() {
        let changes = [
            ("WEB_CONCURRENCY".into(), Some("3".into())),
            ("NODE_APP_INSTANCE".into(), None),
            ("MEMSTORE_FD".into(), Some("99".into())),
            ("LISTEN_PID".into(), Some("1".into())),
            ("HOME".into(), None),
        ];
        let env = worker_env(
            os(&[("HOME", "/root")]),
            &changes,
            &Identity::default(),
            &[],
        );
        let value = |name: &str| env.get(OsStr::new(name)).and_then(|value| value.to_str());
        assert_eq!(value("WEB_CONCURRENCY"), Some("3"));
        assert_eq!(value("NODE_APP_INSTANCE"), None);
        assert_eq!(value("MEMSTORE_FD"), Some("3"));
        assert_eq!(value("LISTEN_PID"), None);
        assert_eq!(value("HOME"), None);
    }
}
