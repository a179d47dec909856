//! Flags over environment over file over what was detected or is the default: the merge.
//!
//! Each setting is taken whole from its most explicit source, and where it came from is kept. All
//! problems are found in one go; a source that is overridden is not looked into. Pure: the
//! environment and the file's text are arguments.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::file::File;
use super::origin::{Origin, Problem};
use super::settings::{self, Purpose, Setting, Shape};
use super::{
    BindAddress, Config, Standalone, Store, Surroundings, WhenFull, Workers, check_sock_path,
    duration,
};

/// The variables of a process.
pub(crate) type Environment = BTreeMap<OsString, OsString>;

/// The flags that were given, by key, each with its values.
pub(crate) type Flags = BTreeMap<&'static str, Vec<OsString>>;

/// Settings whose variables are about the master where a worker has them: some tell it about that
/// master, and no cluster inside may write to the outer one's dump.
const TOLD_TO_WORKERS: [&str; 4] = ["workers", "sock", "load-on-start", "dump-on-exit"];
/// The variable that says that this process is such a worker.
const ROLE: &str = "MEMSTORE_ROLE";

/// Where the values can come from.
pub(crate) struct Sources<'a> {
    pub(crate) flags: &'a Flags,
    pub(crate) environment: &'a Environment,
    pub(crate) file: &'a File,
    pub(crate) surroundings: &'a Surroundings,
}

/// A validated configuration, and how it came about.
#[derive(Debug)]
pub(crate) struct Merged {
    pub(crate) config: Config,
    /// Where the value of each setting that counts came from, in the order of [`settings::all`].
    pub(crate) origins: Vec<(&'static Setting, Origin)>,
    /// What was passed over and why, and what better would be otherwise, in sentences.
    pub(crate) notes: Vec<String>,
}

/// Makes the configuration for `purpose`, or tells everything that is wrong with it.
pub(crate) fn merge(purpose: Purpose, sources: &Sources<'_>) -> Result<Merged, Vec<Problem>> {
    let mut merged = Merged {
        config: Config::new(sources.surroundings),
        origins: Vec::new(),
        notes: Vec::new(),
    };
    let mut problems = Vec::new();
    for setting in settings::all().filter(|setting| setting.counts_for(purpose)) {
        let (origin, values) = find(setting, purpose, sources, &mut merged.notes);
        if values.is_empty() && setting.shape != Shape::List {
            problems.extend((origin != Origin::Default).then(|| Problem {
                origin: origin.clone(),
                key: setting.key.to_owned(),
                value: None,
                reason: "must have a value".to_owned(),
            }));
        }
        for value in &values {
            if let Err(invalid) = (setting.read)(&mut merged.config, value) {
                problems.push(Problem {
                    origin: origin.clone(),
                    key: setting.key.to_owned(),
                    reason: invalid.to_string(),
                    value: invalid
                        .told
                        .or_else(|| Some(value.to_string_lossy().into_owned())),
                });
            }
        }
        merged.origins.push((setting, origin));
    }
    if problems.is_empty() {
        name_the_sock(&mut merged, sources.surroundings);
        note_a_password(&mut merged);
        check_together(purpose, &merged, &mut problems);
    }
    if problems.is_empty() {
        Ok(merged)
    } else {
        Err(problems)
    }
}

/// The most explicit source of a setting and the values it gives.
fn find(
    setting: &'static Setting,
    purpose: Purpose,
    sources: &Sources<'_>,
    notes: &mut Vec<String>,
) -> (Origin, Vec<OsString>) {
    if let Some(values) = sources.flags.get(setting.key) {
        return (Origin::Flag(setting.flag()), values.clone());
    }
    if let Some(value) = variable(sources.environment, &setting.env()) {
        if is_about_the_outer_cluster(setting, purpose, sources.environment) {
            notes.push(format!(
                "{} is passed over: this process is itself a worker, and the variable tells it \
                 about its own master; use {} to set it for the cluster inside",
                setting.env(),
                setting.flag()
            ));
        } else {
            return (Origin::Environment(setting.env()), split(setting, value));
        }
    }
    match sources.file.get(setting.key) {
        Some((origin, values)) => (origin, values.to_vec()),
        None => (Origin::Default, Vec::new()),
    }
}

/// A variable; an empty one counts as not set, as a shell script can hardly unset it for one
/// command.
fn variable<'a>(environment: &'a Environment, name: &str) -> Option<&'a OsString> {
    environment
        .get(OsStr::new(name))
        .filter(|value| !value.is_empty())
}

/// Whether the variable of `setting` is not asked of the master that is being configured, but
/// tells this process about the master whose worker it is.
fn is_about_the_outer_cluster(
    setting: &Setting,
    purpose: Purpose,
    environment: &Environment,
) -> bool {
    purpose != Purpose::Client
        && TOLD_TO_WORKERS.contains(&setting.key)
        && variable(environment, ROLE).is_some()
}

fn split(setting: &Setting, value: &OsStr) -> Vec<OsString> {
    if setting.shape != Shape::List {
        return vec![value.to_owned()];
    }
    let parts = value.as_bytes().split(|&byte| byte == b',');
    parts
        .map(|part| OsString::from_vec(part.trim_ascii().to_vec()))
        .collect()
}

/// The socket is named by `--name`, unless it was itself named at least as explicitly.
fn name_the_sock(merged: &mut Merged, surroundings: &Surroundings) {
    let name = merged.origin("name").rank();
    for (setting, origin) in &mut merged.origins {
        if setting.key == "sock" && (*origin == Origin::Default || origin.rank() < name) {
            let (path, why) = surroundings.default_sock(&merged.config.name);
            merged.config.sock = Some(path);
            *origin = Origin::Detected(why);
        }
    }
}

/// The list of processes is everybody's on this machine.
fn note_a_password(merged: &mut Merged) {
    if matches!(merged.origin("store"), Origin::Flag(_)) && merged.config.store.has_password() {
        merged.notes.push(
            "--store has a password in it, which every user of this machine can read in the list \
             of processes; give it in MEMSTORE_STORE or in the file of --config, or leave it in a \
             file of its own, as redis://HOST?password-file=PATH"
                .to_owned(),
        );
    }
}

/// What each is fine alone and cannot work together.
fn check_together(purpose: Purpose, merged: &Merged, problems: &mut Vec<Problem>) {
    let config = &merged.config;
    let mut problem = |key: &str, reason: String| problems.push(merged.problem(key, reason));
    match &config.sock {
        Some(path) => {
            if let Err(invalid) = check_sock_path(path) {
                problem("sock", format!("{invalid}, with --sock"));
            }
        }
        None if purpose == Purpose::Serve => problem(
            "sock",
            "a master without workers and without a socket serves nobody; give it a path".into(),
        ),
        None if purpose == Purpose::Client => problem(
            "sock",
            "without a socket there is no master to ask; give the path of its socket".into(),
        ),
        None => {}
    }
    if config.sync.is_some() && !matches!(config.store, Store::File(_)) {
        let reason = match &config.store {
            Store::Memory => {
                "there is nothing to sync in memory; name a file, with --store memory:PATH"
            }
            _ => "is for --store memory:PATH; other kinds of stores have an option in their URL",
        };
        problem("sync", reason.into());
    }
    if config.memory.max.is_some() && !config.store.is_memory() {
        let reason = "bounds the memory of --store memory:, which this store is not";
        problem("max-memory", reason.into());
    }
    if let Some(address) = BindAddress::repeated(&config.bind) {
        problem(
            "bind",
            format!("{address} is given twice, and only one socket can listen there"),
        );
    }
    if let Some(base) = config.port_base {
        if !config.bind.is_empty() {
            let reason = "is for servers that cannot use the sockets of --bind, and where there are \
                          some all workers share their ports; leave out one of the two";
            problem("port-base", reason.into());
        } else if let Workers::Exactly(workers) = config.workers {
            let workers = u16::try_from(workers.get()).unwrap_or(u16::MAX);
            if let Err(invalid) = base.check(workers) {
                problem("port-base", invalid.to_string());
            }
        }
    }
    if config.memory.when_full == WhenFull::Evict && config.memory.max.is_none() {
        let reason = "evicts at a bound, and there is none; give one with --max-memory";
        problem("max-memory-policy", reason.into());
    }
    let kept = [
        (&config.load_on_start, "load-on-start"),
        (&config.dump_on_exit, "dump-on-exit"),
    ];
    for (_, key) in kept.iter().filter(|(path, _)| path.is_some()) {
        if config.standalone == Standalone::Always {
            problem(
                key,
                "standalone, the store is the command's own, and so are its dumps".into(),
            );
        }
    }
    let supervision = &config.supervision;
    if supervision.backoff_max < supervision.backoff_min {
        let (key, reason) =
            if merged.origin("backoff-max").rank() < merged.origin("backoff-min").rank() {
                let max = duration::display(supervision.backoff_max);
                (
                    "backoff-min",
                    format!("must be at most backoff-max, which is {max}"),
                )
            } else {
                let min = duration::display(supervision.backoff_min);
                (
                    "backoff-max",
                    format!("must be at least backoff-min, which is {min}"),
                )
            };
        problem(key, reason);
    }
}

impl Merged {
    /// Where the value of a setting came from; `Default` for one that does not count.
    fn origin(&self, key: &str) -> &Origin {
        let found = self.origins.iter().find(|(setting, _)| setting.key == key);
        found.map_or(&Origin::Default, |(_, origin)| origin)
    }

    fn problem(&self, key: &str, reason: String) -> Problem {
        let shown = settings::find(key).map(|setting| (setting.show)(&self.config));
        Problem {
            origin: self.origin(key).clone(),
            key: key.to_owned(),
            value: shown.map(|values| values.join(",")),
            reason,
        }
    }
}

#[cfg(test)]
#[path = "merge_tests.rs"]
mod tests;
