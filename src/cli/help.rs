//! What the manual says: the texts of the help, which the manual pages repeat.

mod examples;

use crate::config::settings::{Setting, Shape};
use crate::config::{Config, Surroundings};

use super::exit::Exit;

/// What the program is.
pub(super) const ABOUT: &str = "\
Run a command on every core, with one store for all of them.

A master process keeps one worker per core running, restarts those that end, opens the listening \
sockets for them, and holds a store of keys and values with expiry in its own memory: sessions \
that all workers share, without a server to install. Other processes of the same user reach the \
store through a socket.";

/// What `run` does.
pub(super) const RUN: &str = "\
Keep a worker per core running the command, and a store for them.

The workers share the listening sockets that --bind opens, reach the store through a channel they \
inherit, and are started again when they end. SIGTERM, SIGINT and SIGQUIT stop them gracefully \
and then the master; a second SIGINT stops at once. When the master dies, so do its workers.";

/// What `dump` does.
pub(super) const DUMP: &str = "\
Write all entries to a file, with their deadlines, to be loaded again.

The master goes on serving: it is asked for a page at a time. What is in the store from the start \
to the end is in the dump; what is written meanwhile may be in it as it was before or after. A \
file is replaced when all of it is written, and readable by its owner only. The binary format \
has checksums, so that damage is noticed; jsonl has a JSON object per line, as all prints them.";

/// What `load` does.
pub(super) const LOAD: &str = "\
Write the entries of a dump to the store.

Reads both formats of dump. Entries that are past their deadline are skipped; others keep theirs. \
Entries that are there already are replaced, and those that are not in the dump stay. Stops where \
the dump is damaged, with code 65, and where the store is full; what was loaded before stays, and \
loading again does no harm.";

/// What `copy` does.
pub(super) const COPY: &str = "\
Copy all entries of a store to another of any kind, with their deadlines.

A store is named by its URL, as of --store, and opened here; the one in the memory of a running \
master is master: (the master of --sock or --name) or master:SOCKET. What the second store has \
alike is not written again, so a copy that was stopped is taken up by running it again; what else \
it has, it keeps. At the end both are read again and compared, with a checksum; the code is 1 where \
they differ. With --live what is written and removed meanwhile is copied too, about once a second, \
until this is ended by Ctrl-C or SIGTERM, when a last pass is made; only then stop the first store. Hashes and \
other databases than 0, which masters have, are copied to masters; other stores have no room for \
them, which is said, with code 1. What was removed while no copy ran stays in the second store. A \
password in a URL can be read by every \
user of this machine in the list of processes; redis://HOST?password-file=PATH has it in a file that \
nobody else may read.";

/// What `publish` does.
pub(super) const PUBLISH: &str = "\
Send a message to all who are subscribed to a channel at this moment, and write to how many \
subscriptions it went.

It is kept for nobody else; where nobody listens, 0 is written and the code is 0 all the same.";

/// What `subscribe` does.
pub(super) const SUBSCRIBE: &str = "\
Write what is published to these channels to standard output as it comes, one JSON object per line.

The members are channel and message, and with --matching the pattern; bytes that are no UTF-8 stand \
in base 16, as channel_hex, message_hex and pattern_hex. Only what is published from now on comes, by \
whoever uses the store in whatever dialect. Where messages are missing, because they were not read in \
time or the master was replaced, standard error says so, and it goes on. It ends with code 0 at \
SIGTERM, SIGINT and SIGQUIT, and within a second or two when nobody reads its output any more; with 69 \
when there is no master for as long as --timeout.";

/// What `config` does.
pub(super) const CONFIG: &str = "\
Check the configuration, or show it.

Takes every flag, reads the environment and the file as run does, and tells all that is wrong. \
What --show prints is itself a configuration file: each value, and where it came from.";

/// A part of the manual. Lines that begin with two spaces stand as they are.
pub(super) struct Section {
    pub(super) title: &'static str,
    pub(super) text: String,
}

/// The sections at the end of the help of a sub-command, or of the program for its own name.
pub(super) fn sections(name: &str) -> Vec<Section> {
    let mut sections = Vec::new();
    let mut add = |title, text: &str| {
        let text = text.trim_end().to_owned();
        sections.push(Section { title, text });
    };
    if name == "run" {
        add("ENVIRONMENT OF A WORKER", WORKER_ENVIRONMENT);
    }
    if let Some(examples) = examples::of(name) {
        add("EXAMPLES", examples);
    }
    if name == "memstore-cluster" {
        add("CONFIGURATION", CONFIGURATION);
    }
    if !matches!(name, "completions" | "man") {
        add("EXIT STATUS", &Exit::table());
    }
    sections
}

/// The command line with the sections at the end of each long help.
pub(super) fn attach(command: clap::Command) -> clap::Command {
    let with_sections = |command: clap::Command| {
        let part = |section: &Section| format!("{}:\n{}\n", section.title, section.text);
        let parts: Vec<_> = sections(command.get_name()).iter().map(part).collect();
        command.after_long_help(parts.join("\n"))
    };
    with_sections(command).mut_subcommands(with_sections)
}

/// The help of a setting in one sentence.
pub(super) fn short(setting: &Setting) -> String {
    let sentence = setting
        .help
        .split_once(". ")
        .map_or(setting.help, |(first, _)| first);
    sentence.trim_end_matches('.').to_owned()
}

/// The whole help of a setting: what it does, its default, its variable.
pub(super) fn long(setting: &Setting) -> String {
    let repeat = match setting.shape {
        Shape::List => ", with commas between the values",
        Shape::One | Shape::OneOr(_) => "",
    };
    format!(
        "{}\n[default: {}]\n[environment: {}]{repeat}",
        setting.help,
        default(setting),
        setting.env()
    )
}

fn default(setting: &Setting) -> String {
    if let Some(otherwise) = setting.otherwise {
        return otherwise.to_owned();
    }
    // Only `sock` depends on the surroundings, and it has words of its own.
    let surroundings = Surroundings {
        runtime_dir: None,
        temp_dir: "/tmp".into(),
        uid: 0,
    };
    (setting.show)(&Config::new(&surroundings)).join(", ")
}

const WORKER_ENVIRONMENT: &str = "\
Besides the environment of the master, a worker has:
  MEMSTORE_ROLE        worker; standalone where the command is the only process
  MEMSTORE_FD          the descriptor of the channel to the store
  MEMSTORE_SOCK        the path of the master's socket, if it has one
  MEMSTORE_WORKER      the worker's number, from 0; its replacement has the same
  MEMSTORE_WORKERS     how many workers there are
  MEMSTORE_GENERATION  how many times all workers were replaced
  LISTEN_FDS, LISTEN_PID, LISTEN_FDNAMES
                       the listening sockets, from descriptor 3 up
  PORT                 with --port-base, the worker's own port

With MEMSTORE_SOCK set, a script that runs as a worker reaches its own master by \
'memstore-cluster get' without more. run and serve pass over the MEMSTORE_SOCK and \
MEMSTORE_WORKERS of a master whose worker they are.
";

const CONFIGURATION: &str = "\
Each setting can be given as a flag, as an environment variable and in a file; the first of these \
that has it decides. The variable of --max-key is MEMSTORE_MAX_KEY, an empty one counts as not \
set. The file is TOML, named by --config or MEMSTORE_CONFIG, and its keys are the flags without \
their dashes:
  workers = 4
  bind = [\"0.0.0.0:8080\"]
  max-value = \"1MiB\"

Sizes are bytes, or have a unit: k, M, G (powers of 1024, also KiB, MiB, GiB), kB, MB, GB (powers \
of 1000). Durations have units as in 500ms, 10s, 5m, 1h30m, 2d; a plain number is seconds.
";
