//! Where a master and its clients meet, and who may.

use super::{ALL, CLIENT, MASTER};
use crate::config::check_name;
use crate::config::settings::{Setting, Shape};
use crate::config::values::{number, path, path_text, positive_time, sock_path, text, time_text};

const GROUP: &str = "Socket";

pub(super) static SETTINGS: &[Setting] = &[
    Setting {
        key: "name",
        group: GROUP,
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
        group: GROUP,
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
        group: GROUP,
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
        group: GROUP,
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
        group: GROUP,
        used_by: CLIENT,
        value: "DURATION",
        shape: Shape::One,
        help: "How long to wait for the master to answer.",
        otherwise: None,
        read: |config, value| positive_time(value).map(|time| config.timeout = time),
        show: |config| time_text(config.timeout),
    },
];
