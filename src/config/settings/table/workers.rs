//! The workers: how many, what they inherit, and what happens when one ends.

use super::RUN;
use crate::config::settings::{Setting, Shape};
use crate::config::values::{bind_address, number, parsed, positive_time, time, time_text};

const GROUP: &str = "Workers";

pub(super) static SETTINGS: &[Setting] = &[
    Setting {
        key: "workers",
        group: GROUP,
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
        group: GROUP,
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
        group: GROUP,
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
        group: GROUP,
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
        group: GROUP,
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
        group: GROUP,
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
        group: GROUP,
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
        group: GROUP,
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
        group: GROUP,
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
        group: GROUP,
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
        group: GROUP,
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
        group: GROUP,
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
];
