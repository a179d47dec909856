//! The merge against made-up flags, environments and files.

use std::path::{Path, PathBuf};

use super::*;
use crate::config::{Restart, Syncing, Workers};

/// One set of sources, to be changed by a test.
#[derive(Clone)]
struct Case {
    flags: Flags,
    environment: Environment,
    file: File,
    surroundings: Surroundings,
}

fn case() -> Case {
    Case {
        flags: Flags::new(),
        environment: Environment::new(),
        file: File::default(),
        surroundings: Surroundings {
            runtime_dir: Some("/run/user/7".into()),
            temp_dir: "/tmp".into(),
            uid: 7,
        },
    }
}

impl Case {
    fn flag(mut self, key: &'static str, values: &[&str]) -> Self {
        self.flags
            .insert(key, values.iter().map(Into::into).collect());
        self
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.into(), value.into());
        self
    }

    fn file(mut self, text: &str) -> Self {
        let (file, problems) = File::parse(Path::new("m.toml"), text);
        assert_eq!(problems, []);
        self.file = file;
        self
    }

    fn merge(&self, purpose: Purpose) -> Result<Merged, Vec<String>> {
        let sources = Sources {
            flags: &self.flags,
            environment: &self.environment,
            file: &self.file,
            surroundings: &self.surroundings,
        };
        merge(purpose, &sources)
            .map_err(|problems| problems.iter().map(ToString::to_string).collect())
    }

    fn origin(&self, purpose: Purpose, key: &str) -> String {
        self.merge(purpose).unwrap().origin(key).to_string()
    }
}

fn exactly(n: usize) -> Workers {
    Workers::Exactly(n.try_into().unwrap())
}

fn bound(config: &Config) -> Vec<String> {
    config.bind.iter().map(ToString::to_string).collect()
}

#[test]
fn a_flag_wins_over_the_environment_over_the_file_over_the_default() {
    let case = case();
    assert_eq!(
        case.merge(Purpose::Run).unwrap().config,
        Config::new(&case.surroundings)
    );
    assert_eq!(case.origin(Purpose::Run, "workers"), "default");
    let case = case.file("workers = 2");
    assert_eq!(case.merge(Purpose::Run).unwrap().config.workers, exactly(2));
    assert_eq!(case.origin(Purpose::Run, "workers"), "file m.toml line 1");
    let case = case.env("MEMSTORE_WORKERS", "3");
    assert_eq!(case.merge(Purpose::Run).unwrap().config.workers, exactly(3));
    assert_eq!(
        case.origin(Purpose::Run, "workers"),
        "environment MEMSTORE_WORKERS"
    );
    let case = case.flag("workers", &["4"]);
    assert_eq!(case.merge(Purpose::Run).unwrap().config.workers, exactly(4));
    assert_eq!(case.origin(Purpose::Run, "workers"), "flag --workers");
}

/// Every setting can be given by flag, variable and file, with the same values and the same
/// outcome: what it shows by default, or a value of a list.
#[test]
fn every_setting_has_its_flag_its_variable_and_its_key() {
    for setting in settings::all() {
        let mut values = (setting.show)(&Config::new(&case().surroundings));
        if values.is_empty() {
            let example = match setting.key {
                "bind" => ":7",
                "notify-keyspace-events" => "AKE",
                "sync" => "always",
                "tombstones" | "sessions" => "sess:=7s",
                _ => "7",
            };
            values.push(example.to_owned());
        }
        // Of no use without the other.
        let case = || match setting.key {
            "sync" => case().env("MEMSTORE_STORE", "memory:/a"),
            _ => case(),
        };
        let flag = case().flag(setting.key, &[&values[0]]);
        let env = case().env(&setting.env(), &values[0]);
        let file = case().file(&format!("{} = {:?}", setting.key, values[0]));
        let configs = [&flag, &env, &file].map(|case| case.merge(Purpose::Show).unwrap().config);
        assert_eq!(configs[0], configs[1], "{}", setting.key);
        assert_eq!(configs[0], configs[2], "{}", setting.key);
        assert_eq!((setting.show)(&configs[0]), values, "{}", setting.key);
        let origins = [&flag, &env, &file].map(|case| case.origin(Purpose::Show, setting.key));
        let expected = [
            format!("flag {}", setting.flag()),
            format!("environment {}", setting.env()),
            "file m.toml line 1".to_owned(),
        ];
        assert_eq!(origins, expected);
    }
}

#[test]
fn a_list_comes_whole_from_one_source() {
    let case = case()
        .file("bind = ['file:1', 'file:2']")
        .env("MEMSTORE_ALLOW_UID", "1, 2");
    let config = case.merge(Purpose::Run).unwrap().config;
    assert_eq!(bound(&config), ["file:1", "file:2"]);
    assert_eq!(config.allow_uids, [1, 2]);
    let case = case.flag("bind", &["flag:1"]);
    assert_eq!(bound(&case.merge(Purpose::Run).unwrap().config), ["flag:1"]);
    let case = case.file("bind = []");
    assert_eq!(bound(&case.merge(Purpose::Run).unwrap().config), ["flag:1"]);
}

#[test]
fn an_empty_variable_counts_as_not_set() {
    let case = case().file("restart = 'never'").env("MEMSTORE_RESTART", "");
    let merged = case.merge(Purpose::Run).unwrap();
    assert_eq!(merged.config.supervision.restart, Restart::Never);
}

#[test]
fn all_problems_are_told_at_once_in_the_words_of_their_origins() {
    let problems = case()
        .flag("workers", &["0"])
        .env("MEMSTORE_MAX_KEY", "1M")
        .file("store = 'mysql://h'\nrestart = 'no'")
        .flag("allow-uid", &["1", "root"])
        .merge(Purpose::Run)
        .unwrap_err();
    assert_eq!(problems.len(), 5, "{problems:#?}");
    for expected in [
        "--workers 0: must be at least 1; leave it out for one worker per core",
        "MEMSTORE_MAX_KEY=1M: must be at least 1 and at most 65535 bytes",
        "m.toml line 1, store = mysql:…: names a kind of store that there is not; there are",
        "m.toml line 2, restart = no: must be one of always, on-failure, never",
        "--allow-uid root: must be a number",
    ] {
        assert!(
            problems.iter().any(|p| p.starts_with(expected)),
            "{expected}: {problems:#?}"
        );
    }
}

#[test]
fn what_is_overridden_or_of_no_use_is_not_looked_into() {
    let case = case().env("MEMSTORE_WORKERS", "zero");
    assert!(case.merge(Purpose::Run).is_err());
    assert!(case.merge(Purpose::Client).is_ok());
    assert!(case.flag("workers", &["1"]).merge(Purpose::Run).is_ok());
}

#[test]
fn a_cluster_inside_a_worker_does_not_take_the_outer_ones_facts() {
    let case = case()
        .env("MEMSTORE_ROLE", "worker")
        .env("MEMSTORE_WORKERS", "64")
        .env("MEMSTORE_SOCK", "/outer.sock")
        .env("MEMSTORE_DUMP_ON_EXIT", "/outer.dump")
        .file("workers = 2");
    for purpose in [Purpose::Run, Purpose::Show] {
        let merged = case.merge(purpose).unwrap();
        assert_eq!(merged.config.workers, exactly(2));
        let own = Path::new("/run/user/7/memstore-cluster/default.sock");
        assert_eq!(merged.config.sock.as_deref(), Some(own));
        assert_eq!(merged.config.dump_on_exit, None);
        assert_eq!(merged.notes.len(), 3, "{:?}", merged.notes);
        assert!(
            merged
                .notes
                .iter()
                .any(|note| note.contains("MEMSTORE_SOCK is passed over"))
        );
        assert!(
            merged
                .notes
                .iter()
                .any(|note| note.contains("--workers to set it"))
        );
    }
    let client = case.merge(Purpose::Client).unwrap();
    assert_eq!(client.config.sock, Some(PathBuf::from("/outer.sock")));
    assert_eq!(client.notes, [""; 0]);
    let asked = case.flag("workers", &["5"]).merge(Purpose::Run).unwrap();
    assert_eq!(asked.config.workers, exactly(5));
}

#[test]
fn the_more_explicit_of_name_and_sock_decides() {
    let by_name = |case: &Case| {
        let merged = case.merge(Purpose::Client).unwrap();
        (merged.config.sock.unwrap(), merged.origins[1].1.to_string())
    };
    let case = case()
        .env("MEMSTORE_SOCK", "/env.sock")
        .file("name = 'web'");
    assert_eq!(by_name(&case).0, Path::new("/env.sock"));
    let case = case.env("MEMSTORE_NAME", "web");
    assert_eq!(by_name(&case).0, Path::new("/env.sock"));
    let case = case.flag("name", &["web"]);
    let (path, origin) = by_name(&case);
    assert_eq!(path, Path::new("/run/user/7/memstore-cluster/web.sock"));
    assert_eq!(origin, "detected: by --name in $XDG_RUNTIME_DIR");
}

#[test]
fn what_cannot_work_together_is_a_problem_of_the_more_explicit_one() {
    let max = case()
        .flag("backoff-max", &["50ms"])
        .merge(Purpose::Run)
        .unwrap_err();
    assert_eq!(
        max,
        ["--backoff-max 50ms: must be at least backoff-min, which is 100ms"]
    );
    let min = case()
        .env("MEMSTORE_BACKOFF_MIN", "1m")
        .merge(Purpose::Run)
        .unwrap_err();
    assert_eq!(
        min,
        ["MEMSTORE_BACKOFF_MIN=1m: must be at most backoff-max, which is 10s"]
    );
    let none = case().flag("sock", &["none"]);
    assert!(none.merge(Purpose::Run).unwrap().config.sock.is_none());
    assert!(none.merge(Purpose::Serve).unwrap_err()[0].contains("serves nobody"));
    assert!(none.merge(Purpose::Client).unwrap_err()[0].contains("no master to ask"));
}

#[test]
fn only_a_file_can_be_synced() {
    let sync = || case().flag("sync", &["always"]);
    assert_eq!(
        sync().merge(Purpose::Serve).unwrap_err(),
        [
            "--sync always: there is nothing to sync in memory; name a file, with --store \
             memory:PATH"
        ]
    );
    let config = sync().flag("store", &["memory:a/b"]).merge(Purpose::Run);
    let config = config.unwrap().config;
    assert_eq!(config.store, Store::File("a/b".into()));
    assert_eq!(config.sync, Some(Syncing::Always));
}

#[test]
fn a_password_is_in_no_problem_and_no_note_and_not_shown() {
    let url = "redis://me:hunter2@host";
    let mistyped = "redis://me:hunter2@host:x";
    let file = |url: &str| case().file(&format!("store = '{url}'"));
    let [flag, env] = [
        case().flag("store", &[mistyped]),
        case().env("MEMSTORE_STORE", mistyped),
    ];
    for (case, told) in [
        (flag, "--store redis:…: has"),
        (env, "MEMSTORE_STORE=redis:…: has"),
        (file(mistyped), "m.toml line 1, store = redis:…: has"),
    ] {
        let problems = case.merge(Purpose::Serve).unwrap_err();
        assert!(problems[0].starts_with(told), "{problems:?}");
        assert!(!problems[0].contains("hunter2"), "{problems:?}");
    }
    let together = case().flag("store", &[url]).flag("max-memory", &["1g"]);
    let problems = together.merge(Purpose::Serve).unwrap_err().join("\n");
    assert!(!problems.contains("hunter2"), "{problems}");

    let merged = case().flag("store", &[url]).merge(Purpose::Serve).unwrap();
    assert!(merged.notes[0].contains("list of processes"));
    for case in [file(url), case().env("MEMSTORE_STORE", url)] {
        assert_eq!(case.merge(Purpose::Serve).unwrap().notes, [""; 0]);
        assert!(!format!("{:?}", case.file).contains("hunter2"));
    }
    let shown = (settings::find("store").unwrap().show)(&merged.config);
    assert_eq!(shown, ["redis://me:***@host"]);
    assert!(!format!("{merged:?}").contains("hunter2"));
}

#[test]
#[cfg(feature = "sqlite")]
fn what_is_about_memory_is_not_asked_of_a_database() {
    let database = case().flag("store", &["sqlite:s.db"]);
    assert!(database.clone().merge(Purpose::Serve).is_ok());
    let problems = database
        .flag("sync", &["always"])
        .flag("max-memory", &["64MiB"])
        .merge(Purpose::Serve)
        .unwrap_err();
    for hint in ["an option in their URL", "which this store is not"] {
        assert!(
            problems.iter().any(|problem| problem.contains(hint)),
            "{problems:#?}"
        );
    }
}

#[test]
fn evicting_needs_a_bound() {
    let evict = case().flag("max-memory-policy", &["evict"]);
    assert_eq!(
        evict.merge(Purpose::Serve).unwrap_err(),
        [
            "--max-memory-policy evict: evicts at a bound, and there is none; give one with \
          --max-memory"
        ]
    );
    let bounded = evict.env("MEMSTORE_MAX_MEMORY", "64M");
    let memory = bounded.merge(Purpose::Serve).unwrap().config.memory;
    assert_eq!(memory.max, Some(64 << 20));
}

#[test]
fn a_command_that_stands_alone_has_no_dump_of_a_master() {
    let case = case()
        .flag("standalone", &["always"])
        .env("MEMSTORE_LOAD_ON_START", "x");
    assert_eq!(
        case.merge(Purpose::Run).unwrap_err(),
        [
            "MEMSTORE_LOAD_ON_START=x: standalone, the store is the command's own, and so are its dumps"
        ]
    );
    assert!(case.merge(Purpose::Serve).is_ok());
}

#[test]
fn one_address_is_not_bound_twice() {
    let twice = case().flag("bind", &[":80", ":81", ":80"]);
    assert_eq!(
        twice.merge(Purpose::Run).unwrap_err(),
        ["--bind :80,:81,:80: :80 is given twice, and only one socket can listen there"]
    );
    let any = case().flag("bind", &[":0", ":0"]);
    assert_eq!(
        bound(&any.merge(Purpose::Run).unwrap().config),
        [":0", ":0"]
    );
}

#[test]
fn ports_are_for_workers_that_share_none_and_reach_to_the_last() {
    let case = case().flag("port-base", &["65535"]);
    let config = case.merge(Purpose::Run).unwrap().config;
    assert_eq!(
        config.port_base.map(|base| base.to_string()).unwrap(),
        "65535"
    );
    assert_eq!(
        case.clone()
            .env("MEMSTORE_WORKERS", "2")
            .merge(Purpose::Run)
            .unwrap_err(),
        ["--port-base 65535: must be at most 65534 for 2 workers: there is no port above 65535"]
    );
    assert_eq!(
        case.file("bind = [':80']").merge(Purpose::Run).unwrap_err(),
        [
            "--port-base 65535: is for servers that cannot use the sockets of --bind, and where \
             there are some all workers share their ports; leave out one of the two"
        ]
    );
}

#[test]
fn a_default_socket_in_a_deep_directory_is_told_as_too_long() {
    let mut case = case();
    case.surroundings.runtime_dir = Some(PathBuf::from("/x".repeat(60)));
    let problems = case.merge(Purpose::Run).unwrap_err();
    assert!(problems[0].starts_with("sock = /x/x"), "{problems:?}");
    assert!(
        problems[0].ends_with("with a shorter name, with --sock"),
        "{problems:?}"
    );
    assert!(case.flag("sock", &["none"]).merge(Purpose::Run).is_ok());
}
