//! A program that listens is ready.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use crate::common::cluster::start;
use crate::common::folder;
use crate::{app, has_node, until_listening};

#[test]
fn a_program_that_listens_says_so_to_whoever_wants_to_know() {
    if !has_node() {
        return;
    }
    let folder = folder();
    let notify = folder.path().join("systemd-notify");
    let said = folder.path().join("said");
    let script = format!(
        "#!/bin/sh\necho $1 to $NOTIFY_SOCKET > {}\n",
        said.display()
    );
    fs::write(&notify, script).unwrap();
    fs::set_permissions(&notify, Permissions::from_mode(0o755)).unwrap();
    let bin = folder.path().display();
    let shell = format!("PATH={bin}:$PATH NOTIFY_SOCKET=@there exec \"$@\"");
    let shell = ["sh", "-c", &shell, "sh"].map(str::to_owned);
    let command: Vec<String> = shell.into_iter().chain(app("form.js port")).collect();
    let flags = "--workers 1 --bind 127.0.0.1:0";
    let master = start(&folder.path().join("m.sock"), flags, &command);
    until_listening(&master, 1);
    let said = crate::common::eventually("it is said", || {
        fs::read_to_string(&said)
            .ok()
            .filter(|said| said.ends_with('\n'))
    });
    assert_eq!(said, "--ready to @there\n");
}
