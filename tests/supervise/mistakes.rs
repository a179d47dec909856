//! Mistakes in the command that the workers shall run.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::common::cluster::{run, start, until_started};
use crate::common::{Running, eventually, folder, memstore};

#[test]
fn a_command_that_is_not_there_or_cannot_run_ends_with_the_codes_of_the_shell() {
    let folder = folder();
    let file = |name: &str, text: &str, mode: u32| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    };
    file("plain", "#!/bin/sh\necho ran", 0o644);
    file("odd", "#!/no/such/interpreter\n", 0o755);
    for (command, code, sentence) in [
        ("./missing", 127, "there is no such file"),
        (
            "no-such-command-anywhere",
            127,
            "no directory in PATH has this command",
        ),
        ("./plain/below", 127, "there is no such file"),
        ("./odd", 127, "the interpreter that its first line names"),
        ("./plain", 126, "this user may not execute it (chmod +x)"),
        (".", 126, "it is a directory"),
    ] {
        let sock = folder.path().join("m.sock");
        let mut run = run(&sock, "--workers 3", &[command]);
        let end = Running::start(run.current_dir(folder.path())).finish();
        assert_eq!(end.status.code(), Some(code), "{command}: {end:#?}");
        let said = |text: &str| end.stderr.iter().filter(|line| line.contains(text)).count();
        assert!(said(sentence) > 0, "{command}: {end:#?}");
        // Each slot was tried once at the most.
        assert!(said("cannot start") <= 3, "{command}: {end:#?}");
        assert_eq!(said("worker started"), 0, "{command}: {end:#?}");
        assert!(end.stdout.is_empty());
        assert!(!sock.exists(), "{command}: the socket was left behind");
    }
}

#[test]
fn a_command_that_vanishes_while_its_workers_run_is_tried_again() {
    let folder = folder();
    let program = folder.path().join("app");
    let install = || {
        let new = folder.path().join("new");
        fs::write(&new, "#!/bin/sh\ntest -e stay || exit 1\nexec sleep 600\n").unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(&new, &program).unwrap();
    };
    install();
    let flags = "--workers 1 --max-restarts 0 --backoff-min 1ms --backoff-max 20ms";
    let mut run = run(&folder.path().join("m.sock"), flags, &["./app"]);
    let master = Running::start(run.current_dir(folder.path()));
    until_started(&master, 2);
    fs::remove_file(&program).unwrap();
    master.stderr().until_contains("command not found");
    fs::write(folder.path().join("stay"), "").unwrap();
    install();
    let pid = eventually("a worker stays", || {
        let children = crate::common::children(master.pid());
        children.into_iter().find(|pid| {
            fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm == "sleep\n")
        })
    });
    assert!(crate::common::is_alive(pid));
}

#[test]
fn no_workers_at_all_is_a_mistake_wherever_it_is_said() {
    let flag = memstore(["run", "--workers", "0", "--", "true"]);
    let mut variable = memstore(["run", "--", "true"]);
    variable.env("MEMSTORE_WORKERS", "0");
    for (mut command, code, sentence) in [
        (flag, 2, "--workers 0: must be at least 1"),
        (variable, 78, "MEMSTORE_WORKERS=0: must be at least 1"),
    ] {
        let end = Running::start(&mut command).finish();
        assert_eq!(end.status.code(), Some(code), "{end:#?}");
        assert!(end.stderr.join("\n").contains(sentence), "{end:#?}");
    }
}

#[test]
fn a_path_that_cannot_be_a_socket_is_said_before_anything_is_started() {
    let folder = folder();
    let occupied = folder.path().join("file");
    fs::write(&occupied, "precious").unwrap();
    let long = folder.path().join("x".repeat(120));
    let nowhere = folder.path().join("nowhere/m.sock");
    for (sock, sentence) in [
        (&occupied, "no socket"),
        (&long, "bytes"),
        (&nowhere, "nowhere"),
    ] {
        let end = start(sock, "--workers 1", &["echo", "started"]).finish();
        assert_ne!(end.status.code(), Some(0));
        assert!(end.stdout.is_empty());
        assert!(end.stderr.join("\n").contains(sentence), "{end:#?}");
    }
    assert_eq!(fs::read(&occupied).unwrap(), b"precious");
}
