//! What holds the data, and its bounds.

use super::MASTER;
use crate::config::settings::{Setting, Shape};
use crate::config::values::{
    memory_bound, number, parsed, path, path_text, positive_time, size_text, size_up_to, store,
    text, time_text,
};
use crate::config::{ByteSize, Invalid, Limits};

const GROUP: &str = "Store";

pub(super) static SETTINGS: &[Setting] = &[
    Setting {
        key: "store",
        group: GROUP,
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
        group: GROUP,
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
        group: GROUP,
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
        group: GROUP,
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
        group: GROUP,
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
        group: GROUP,
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
        group: GROUP,
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
        group: GROUP,
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
        group: GROUP,
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
        group: GROUP,
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
        group: GROUP,
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
        group: GROUP,
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
        group: GROUP,
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
        group: GROUP,
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
];
