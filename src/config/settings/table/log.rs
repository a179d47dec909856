//! What is logged, and how.

use super::ALL;
use crate::config::settings::{Setting, Shape};
use crate::config::values::{log_filter, parsed};

const GROUP: &str = "Log";

pub(super) static SETTINGS: &[Setting] = &[
    Setting {
        key: "log",
        group: GROUP,
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
        group: GROUP,
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
