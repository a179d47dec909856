//! The settings themselves. To add one, add it here: nothing else names it.

use super::{Purpose, Setting, Shape};
use crate::config::values::{
    bind_address, log_filter, memory_bound, number, parsed, path, path_text, positive_time,
    size_text, size_up_to, sock_path, store, text, time, time_text,
};
use crate::config::{ByteSize, Invalid, Limits, check_name};

const RUN: &[Purpose] = &[Purpose::Run];
const MASTER: &[Purpose] = &[Purpose::Run, Purpose::Serve];
const CLIENT: &[Purpose] = &[Purpose::Client];
const ALL: &[Purpose] = &[Purpose::Run, Purpose::Serve, Purpose::Client];

const SOCKET: &str = "Socket";
const WORKERS: &str = "Workers";
const STORE: &str = "Store";
const LOG: &str = "Log";

/// All settings, in the order in which they are shown.
pub(crate) static SETTINGS: &[Setting] = &[
    Setting {
        key: "name",
        group: SOCKET,
        used_by: ALL,
        value: "NAME",
        shape: Shape::One,
        help: "Tells the clusters of one user apart: the default socket is named by it. If both \
               --name and --sock are given, the more explicit one decides (a flag over the \
               environment over the file), and --sock where they are equal.",
        otherwise: None,
        read: |config, value| {
            let name = text(value)?;
            check_name(name)?;
            name.clone_into(&mut config.name);
            Ok(())
        },
        show: |config| vec![config.name.clone()],
    },
    Setting {
        key: "sock",
        group: SOCKET,
        used_by: ALL,
        value: "PATH|none",
        shape: Shape::One,
        help: "The path of the socket on which a master serves its clients and on which clients \
               find it. Workers need none, they inherit a channel; none makes none.",
        otherwise: Some(
            "memstore-cluster/NAME.sock in $XDG_RUNTIME_DIR, or memstore-cluster-UID/NAME.sock in \
             the temporary folder",
        ),
        read: |config, value| sock_path(value).map(|sock| config.sock = sock),
        show: |config| {
            config.sock.as_ref().map_or_else(
                || vec!["none".to_owned()],
                |path| vec![path.display().to_string()],
            )
        },
    },
    Setting {
        key: "secret-file",
        group: SOCKET,
        used_by: ALL,
        value: "PATH",
        shape: Shape::One,
        help: "A file with a secret. Clients of the socket must prove to know it, and the master \
               proves it to them; it is never sent. The file must be readable by nobody else.",
        otherwise: Some("no secret: the user of the other side is checked, nothing else"),
        read: |config, value| {
            config.secret_file = Some(path(value)?.into());
            Ok(())
        },
        show: |config| path_text(config.secret_file.as_deref()),
    },
    Setting {
        key: "allow-uid",
        group: SOCKET,
        used_by: MASTER,
        value: "UID",
        shape: Shape::List,
        help: "The number of a user who may connect to the socket, besides root and the user who \
               runs the master. Can be given more than once. The socket then has the mode 0666 \
               instead of 0600, and the master sends away who is not named; those users need a \
               way into its directory, so name one with --sock: the default directory is closed \
               to others.",
        otherwise: Some("nobody else"),
        read: |config, value| {
            config.allow_uids.push(number(value)?);
            Ok(())
        },
        show: |config| config.allow_uids.iter().map(u32::to_string).collect(),
    },
    Setting {
        key: "timeout",
        group: SOCKET,
        used_by: CLIENT,
        value: "DURATION",
        shape: Shape::One,
        help: "How long to wait for the master to answer.",
        otherwise: None,
        read: |config, value| positive_time(value).map(|time| config.timeout = time),
        show: |config| time_text(config.timeout),
    },
    Setting {
        key: "workers",
        group: WORKERS,
        used_by: RUN,
        value: "N|auto",
        shape: Shape::One,
        help: "How many workers to keep; auto is one for each core that this process may really \
               use, as its CPU affinity and its cgroup's quota say.",
        otherwise: None,
        read: |config, value| parsed(value).map(|workers| config.workers = workers),
        show: |config| vec![config.workers.to_string()],
    },
    Setting {
        key: "bind",
        group: WORKERS,
        used_by: RUN,
        value: "ADDRESS",
        shape: Shape::List,
        help: "An address to listen on for all workers. The master opens the socket, and each \
               worker inherits it by the LISTEN_FDS protocol, from descriptor 3 up in the order \
               given. Can be given more than once.",
        otherwise: Some("none: the workers open their own"),
        read: |config, value| {
            config.bind.push(bind_address(value)?);
            Ok(())
        },
        show: |config| config.bind.iter().map(ToString::to_string).collect(),
    },
    Setting {
        key: "port-base",
        group: WORKERS,
        used_by: RUN,
        value: "PORT",
        shape: Shape::One,
        help: "For servers that cannot inherit a listening socket: gives each worker a port of its \
               own in the variable PORT, this one to worker 0, the next to worker 1 and so on; a \
               replacement has the port of its predecessor. The workers listen there themselves, \
               and something in front has to know all the ports. Not together with --bind.",
        otherwise: Some("none: PORT is as the master has it"),
        read: |config, value| parsed(value).map(|base| config.port_base = Some(base)),
        show: |config| config.port_base.iter().map(ToString::to_string).collect(),
    },
    Setting {
        key: "node-preload",
        group: WORKERS,
        used_by: RUN,
        value: "WHEN",
        shape: Shape::One,
        help: "Whether Node programs use the addresses of --bind unasked: a file given to them by \
               NODE_OPTIONS makes listen() take the socket that all workers share, and lets a \
               program without a handler of its own finish its requests at SIGTERM. WHEN is auto \
               (where there is a --bind; other programs do not notice) or never.",
        otherwise: None,
        read: |config, value| parsed(value).map(|when| config.node_preload = when),
        show: |config| vec![config.node_preload.to_string()],
    },
    Setting {
        key: "standalone",
        group: WORKERS,
        used_by: RUN,
        value: "WHEN",
        shape: Shape::OneOr("always"),
        help: "Whether to be one process: no master, no socket, no channel; the command takes this \
               process over with MEMSTORE_ROLE=standalone and keeps its store in itself. WHEN is \
               always, never or auto (on one core); the flag alone is always.",
        otherwise: None,
        read: |config, value| parsed(value).map(|when| config.standalone = when),
        show: |config| vec![config.standalone.to_string()],
    },
    Setting {
        key: "restart",
        group: WORKERS,
        used_by: RUN,
        value: "WHICH",
        shape: Shape::One,
        help: "Which ended workers are replaced: always (all of them), on-failure (those that were \
               killed or ended with another code than 0) or never.",
        otherwise: None,
        read: |config, value| parsed(value).map(|which| config.supervision.restart = which),
        show: |config| vec![config.supervision.restart.to_string()],
    },
    Setting {
        key: "stop-timeout",
        group: WORKERS,
        used_by: RUN,
        value: "DURATION",
        shape: Shape::One,
        help: "How long a worker may take to end after SIGTERM; then its whole process group is \
               killed. 0 kills at once.",
        otherwise: None,
        read: |config, value| time(value).map(|time| config.supervision.stop_timeout = time),
        show: |config| time_text(config.supervision.stop_timeout),
    },
    Setting {
        key: "backoff-min",
        group: WORKERS,
        used_by: RUN,
        value: "DURATION",
        shape: Shape::One,
        help: "The pause before a worker that ended early is first started again. Each further \
               pause is twice as long, with some chance in it.",
        otherwise: None,
        read: |config, value| {
            positive_time(value).map(|time| config.supervision.backoff_min = time)
        },
        show: |config| time_text(config.supervision.backoff_min),
    },
    Setting {
        key: "backoff-max",
        group: WORKERS,
        used_by: RUN,
        value: "DURATION",
        shape: Shape::One,
        help: "The longest pause before a worker is started again.",
        otherwise: None,
        read: |config, value| {
            positive_time(value).map(|time| config.supervision.backoff_max = time)
        },
        show: |config| time_text(config.supervision.backoff_max),
    },
    Setting {
        key: "stable-after",
        group: WORKERS,
        used_by: RUN,
        value: "DURATION",
        shape: Shape::One,
        help: "A worker that lived so long did not end early: the pauses begin again at \
               --backoff-min.",
        otherwise: None,
        read: |config, value| time(value).map(|time| config.supervision.stable_after = time),
        show: |config| time_text(config.supervision.stable_after),
    },
    Setting {
        key: "max-restarts",
        group: WORKERS,
        used_by: RUN,
        value: "N",
        shape: Shape::One,
        help: "More restarts than this within --restart-window are a crash loop, and the master \
               gives up. 0 is no limit: it never gives up.",
        otherwise: None,
        read: |config, value| {
            config.supervision.max_restarts = Some(number(value)?).filter(|most| *most > 0);
            Ok(())
        },
        show: |config| vec![config.supervision.max_restarts.unwrap_or(0).to_string()],
    },
    Setting {
        key: "restart-window",
        group: WORKERS,
        used_by: RUN,
        value: "DURATION",
        shape: Shape::One,
        help: "The time over which --max-restarts counts.",
        otherwise: None,
        read: |config, value| {
            positive_time(value).map(|time| config.supervision.restart_window = time)
        },
        show: |config| time_text(config.supervision.restart_window),
    },
    Setting {
        key: "store",
        group: STORE,
        used_by: MASTER,
        value: "URL",
        shape: Shape::One,
        help: "What holds the data: memory: is the master's own memory, which ends with it; \
               memory:PATH is that of a file, which the master makes if it is not there and has \
               to itself. In the file the data survives the master, however that ends; on a tmpfs \
               as /dev/shm until the machine stops, on a disk as long as --sync says. A file that \
               is no store, or not one that this version can read, is left as it is. sqlite:PATH \
               is a table of an SQLite database, as connect-session-knex keeps its sessions, \
               leveldb:DIR and files:DIR are as level-session-store and session-file-store have \
               theirs, and redis://HOST is a Redis elsewhere. Options follow a question mark, as in \
               sqlite:PATH?synchronous=normal; a byte that would be misread is written %XX, as %3F \
               for the question mark. A password on the command line can be read by every user of \
               this machine: give the URL in the variable or in the file of --config, or the \
               password in a file of its own, as redis://USER@HOST?password-file=PATH, which must \
               be readable by nobody else.",
        otherwise: None,
        read: |config, value| store(value).map(|store| config.store = store),
        show: |config| vec![config.store.to_string()],
    },
    Setting {
        key: "sync",
        group: STORE,
        used_by: MASTER,
        value: "WHEN",
        shape: Shape::One,
        help: "When what is written to --store memory:PATH is taken to the disk, to survive a loss \
               of power too: never (when the system likes), 1s (once a second, so that the last \
               two seconds may be lost) or always (before it is acknowledged; each turn of the \
               master then waits for the disk, and if the disk fails, the master ends).",
        otherwise: Some("1s with a file, and nothing to sync without"),
        read: |config, value| parsed(value).map(|when| config.sync = Some(when)),
        show: |config| config.sync.iter().map(ToString::to_string).collect(),
    },
    Setting {
        key: "max-memory",
        group: STORE,
        used_by: MASTER,
        value: "SIZE|none",
        shape: Shape::One,
        help: "How much memory the store may take: entries and everything that is kept to find and \
               to expire them; at least 1MiB. What else the master needs (connections, the \
               program) comes on top: some MiB. Without a bound the store grows with what is \
               written.",
        otherwise: None,
        read: |config, value| memory_bound(value).map(|max| config.memory.max = max),
        show: |config| {
            let max = config.memory.max.map(|max| ByteSize(max).to_string());
            vec![max.unwrap_or_else(|| "none".to_owned())]
        },
    },
    Setting {
        key: "max-memory-policy",
        group: STORE,
        used_by: MASTER,
        value: "WHICH",
        shape: Shape::One,
        help: "What happens to a write for which --max-memory leaves no room: reject answers it \
               with an error, and what is stored stays; evict removes entries that were not used \
               lately, of whatever size, whether or not they have a deadline.",
        otherwise: None,
        read: |config, value| parsed(value).map(|which| config.memory.when_full = which),
        show: |config| vec![config.memory.when_full.to_string()],
    },
    Setting {
        key: "load-on-start",
        group: STORE,
        used_by: MASTER,
        value: "PATH",
        shape: Shape::One,
        help: "A dump to load before anybody is served. A missing file is a first start; a damaged \
               one ends the master with code 65 and is left as it is; a store that has entries \
               already is left as it is too. May be the file of --dump-on-exit.",
        otherwise: Some("none: the store is as its kind keeps it"),
        read: |config, value| {
            config.load_on_start = Some(path(value)?.into());
            Ok(())
        },
        show: |config| path_text(config.load_on_start.as_deref()),
    },
    Setting {
        key: "dump-on-exit",
        group: STORE,
        used_by: MASTER,
        value: "PATH",
        shape: Shape::One,
        help: "The file to which all entries are written when the master has been stopped, the \
               workers have ended and the last client was served. It is replaced as a whole, and \
               stays as it was if that fails. A master that is killed writes nothing.",
        otherwise: Some("none"),
        read: |config, value| {
            config.dump_on_exit = Some(path(value)?.into());
            Ok(())
        },
        show: |config| path_text(config.dump_on_exit.as_deref()),
    },
    Setting {
        key: "max-key",
        group: STORE,
        used_by: MASTER,
        value: "SIZE",
        shape: Shape::One,
        help: "The longest key, in bytes; at most 65535.",
        otherwise: None,
        read: |config, value| {
            size_up_to(value, Limits::MAX_KEY_CEILING).map(|size| config.limits.max_key = size)
        },
        show: |config| size_text(config.limits.max_key),
    },
    Setting {
        key: "max-value",
        group: STORE,
        used_by: MASTER,
        value: "SIZE",
        shape: Shape::One,
        help: "The largest value, in bytes; at most 512MiB.",
        otherwise: None,
        read: |config, value| {
            size_up_to(value, Limits::MAX_VALUE_CEILING).map(|size| config.limits.max_value = size)
        },
        show: |config| size_text(config.limits.max_value),
    },
    Setting {
        key: "max-clients",
        group: STORE,
        used_by: MASTER,
        value: "N",
        shape: Shape::One,
        help: "The most connections at once, those of the workers included.",
        otherwise: None,
        read: |config, value| {
            let max: u32 = number(value)?;
            if max == 0 {
                return Err(Invalid::new("must be at least 1"));
            }
            config.limits.max_clients = usize::try_from(max).unwrap_or(usize::MAX);
            Ok(())
        },
        show: |config| vec![config.limits.max_clients.to_string()],
    },
    Setting {
        key: "handshake-timeout",
        group: STORE,
        used_by: MASTER,
        value: "DURATION",
        shape: Shape::One,
        help: "How long a connection to the socket may take to introduce itself.",
        otherwise: None,
        read: |config, value| {
            positive_time(value).map(|time| config.limits.handshake_timeout = time)
        },
        show: |config| time_text(config.limits.handshake_timeout),
    },
    Setting {
        key: "backend-timeout",
        group: STORE,
        used_by: MASTER,
        value: "DURATION",
        shape: Shape::One,
        help: "How long a --store that is not memory may take to come to a request, or to do it, \
               before that is answered with an error. Nobody else waits for it meanwhile.",
        otherwise: None,
        read: |config, value| positive_time(value).map(|time| config.limits.backend_timeout = time),
        show: |config| time_text(config.limits.backend_timeout),
    },
    Setting {
        key: "notify-keyspace-events",
        group: STORE,
        used_by: MASTER,
        value: "FLAGS",
        shape: Shape::One,
        help: "Which changes of keys are published to subscribers of the Redis dialect, in the \
               letters of Redis: K and E for the channels __keyspace@0__:KEY and \
               __keyevent@0__:EVENT, A for all changes. CONFIG SET changes it while the master \
               runs.",
        otherwise: Some("none"),
        read: |config, value| {
            config.keyspace_events = text(value)?.parse()?;
            Ok(())
        },
        show: |config| {
            let events = config.keyspace_events;
            let shown = Some(events.to_string());
            shown.into_iter().filter(|_| !events.is_empty()).collect()
        },
    },
    Setting {
        key: "tombstones",
        group: STORE,
        used_by: MASTER,
        value: "PREFIX=DURATION",
        shape: Shape::List,
        help: "For so long after an entry was destroyed whose key begins with PREFIX, as in \
               sess:=10s, writes that do not say that they create it are refused: what a request \
               that was under way still saves does not undo a logout. Give it somewhat more than \
               the longest request takes. SET answers nil then, INCR and its like an error; SET NX \
               goes through. Of several prefixes that fit the longest counts. Can be given more \
               than once. Remembered are some fifty thousand keys at a time, in up to 8MiB.",
        otherwise: Some("none: a write after a destroy is a new entry"),
        read: |config, value| {
            config.tombstones.push(parsed(value)?);
            Ok(())
        },
        show: |config| config.tombstones.iter().map(ToString::to_string).collect(),
    },
    Setting {
        key: "sessions",
        group: STORE,
        used_by: MASTER,
        value: "PREFIX=DURATION|restart",
        shape: Shape::One,
        help: "Entries whose key begins with PREFIX are sessions as express-session writes them, \
               JSON with a cookie: without a deadline of their own they live as long as the cookie \
               says, and after a touch the cookie says what the touch did. One whose cookie lives as \
               long as the browser lives for the DURATION, or until the store is opened again.",
        otherwise: Some("none: an entry lives as long as its writer says"),
        read: |config, value| parsed(value).map(|sessions| config.sessions = Some(sessions)),
        show: |config| config.sessions.iter().map(ToString::to_string).collect(),
    },
    Setting {
        key: "log",
        group: LOG,
        used_by: ALL,
        value: "LEVEL",
        shape: Shape::One,
        help: "What is logged to standard error: off, error, warn, info, debug or trace, or levels \
               by part as in info,memstore_cluster::net=debug.",
        otherwise: None,
        read: |config, value| {
            log_filter(value)?.clone_into(&mut config.log);
            Ok(())
        },
        show: |config| vec![config.log.clone()],
    },
    Setting {
        key: "log-format",
        group: LOG,
        used_by: ALL,
        value: "FORMAT",
        shape: Shape::One,
        help: "How it is logged: text (a line per event, in colour on a terminal) or json (an \
               object per line).",
        otherwise: None,
        read: |config, value| parsed(value).map(|format| config.log_format = format),
        show: |config| vec![config.log_format.to_string()],
    },
];
