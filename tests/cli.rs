//! The command line as its user meets it: help, mistakes, configuration, completions, manual.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, reason = "helpers may panic as the tests do")]

use std::fs;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// The program with these arguments, in an environment that says nothing.
fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_memstore-cluster"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("MEMSTORE_") {
            command.env_remove(name);
        }
    }
    command
        .args(arguments)
        // A directory that is there on every machine; nothing is made in it here.
        .env("XDG_RUNTIME_DIR", "/usr")
        .stdin(Stdio::null());
    command
}

struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn end(command: &mut Command) -> Ended {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    Ended {
        code: status.code(),
        stdout: String::from_utf8(stdout).unwrap(),
        stderr: String::from_utf8(stderr).unwrap(),
    }
}

fn run(arguments: &[&str]) -> Ended {
    end(&mut program(arguments))
}

const VERBS: [&str; 18] = [
    "run",
    "serve",
    "get",
    "set",
    "touch",
    "destroy",
    "all",
    "length",
    "clear",
    "ping",
    "publish",
    "subscribe",
    "dump",
    "load",
    "copy",
    "config",
    "completions",
    "man",
];

#[test]
fn help_and_version_go_to_standard_output() {
    let help = run(&["--help"]);
    assert_eq!((help.code, help.stderr.as_str()), (Some(0), ""));
    for word in VERBS
        .iter()
        .chain(&["EXAMPLES", "EXIT STATUS", "CONFIGURATION", "  126 "])
    {
        assert!(help.stdout.contains(word), "{word}: {}", help.stdout);
    }
    let version = run(&["--version"]);
    let expected = concat!("memstore-cluster ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!((version.code, version.stdout.as_str()), (Some(0), expected));
}

#[test]
fn the_help_of_every_sub_command_can_be_read() {
    for verb in VERBS {
        let help = run(&[verb, "--help"]);
        assert_eq!(help.code, Some(0), "{verb}: {}", help.stderr);
        assert!(
            help.stdout.contains("Usage: memstore-cluster "),
            "{}",
            help.stdout
        );
    }
    let help = run(&["run", "--help"]).stdout;
    for words in [
        "[environment: MEMSTORE_STOP_TIMEOUT]",
        "[default: 10s]",
        "[default: 8MiB]",
        "  MEMSTORE_WORKER ",
    ] {
        assert!(help.contains(words), "{words}: {help}");
    }
}

#[test]
fn wrong_usage_ends_with_2_and_a_sentence() {
    for (arguments, sentence) in [
        (&["run"][..], "run needs the command that the workers run"),
        (&["run", "--"], "memstore-cluster run -- node app.js"),
        (&["run", "node", "app.js"], "after two dashes: run -- node"),
        (
            &["run", "--workers", "0", "--", "x"],
            "--workers 0: must be at least 1; leave it out",
        ),
        (
            &["run", "--bogus", "--", "x"],
            "unexpected argument '--bogus'",
        ),
        (
            &["serve", "--sock", "none"],
            "--sock none: a master without workers",
        ),
        (&["get"], "KEY"),
        (
            &["get", "k", "--sock", "none"],
            "--sock none: without a socket",
        ),
        (&["set", "k", "v", "--nx", "--xx"], "cannot be used with"),
        (&["set", "k", "v", "--ttl", "0"], "longer than zero"),
        (&["touch", "k"], "--ttl"),
        (&["nonsense"], "unrecognized subcommand 'nonsense'"),
        (&["completions", "basic"], "invalid value 'basic'"),
    ] {
        let ended = run(arguments);
        assert_eq!(ended.code, Some(2), "{arguments:?}: {}", ended.stderr);
        assert_eq!(ended.stdout, "", "{arguments:?}");
        assert!(
            ended.stderr.starts_with("memstore-cluster: "),
            "{}",
            ended.stderr
        );
        assert!(
            ended.stderr.contains(sentence),
            "{arguments:?}: {}",
            ended.stderr
        );
    }
    let nothing = run(&[]);
    assert_eq!((nothing.code, nothing.stdout.as_str()), (Some(2), ""));
    assert!(
        nothing.stderr.contains("Usage: memstore-cluster"),
        "{}",
        nothing.stderr
    );
}

fn write(directory: &Path, name: &str, text: &str) -> String {
    let path = directory.join(name);
    fs::write(&path, text).unwrap();
    path.into_os_string().into_string().unwrap()
}

#[test]
fn a_wrong_file_or_environment_ends_with_78_and_all_problems() {
    let directory = tempfile::tempdir().unwrap();
    let file = write(
        directory.path(),
        "m.toml",
        "wrokers = 3\nmax-value = '1X'\n",
    );
    let ended =
        end(program(&["config", "--config", &file, "--bind", ""]).env("MEMSTORE_STORE", "sqlite:"));
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(78), ""));
    let lines: Vec<_> = ended.stderr.lines().collect();
    assert_eq!(lines.len(), 4, "{lines:#?}");
    for sentence in [
        format!("memstore-cluster: {file} line 1, wrokers: there is no such setting; did you mean"),
        format!("memstore-cluster: {file} line 2, max-value = 1X: has the unknown unit"),
        "memstore-cluster: MEMSTORE_STORE=sqlite:: must have the path of a file".to_owned(),
        "memstore-cluster: --bind \"\": \"\" is no address".to_owned(),
    ] {
        assert!(
            lines.iter().any(|line| line.starts_with(&sentence)),
            "{sentence}: {lines:#?}"
        );
    }
}

#[test]
fn a_file_that_cannot_be_read_ends_with_78_and_says_who_named_it() {
    for command in [
        program(&["config", "--config", "/nowhere/m.toml"]),
        program(&["serve", "--config", "/nowhere/m.toml"]),
    ] {
        let mut command = command;
        let ended = end(&mut command);
        assert_eq!(ended.code, Some(78));
        assert!(
            ended
                .stderr
                .contains("/nowhere/m.toml, which --config names: No such file")
        );
    }
    let ended = end(program(&["config"]).env("MEMSTORE_CONFIG", "/nowhere/m.toml"));
    assert_eq!(ended.code, Some(78));
    assert!(
        ended.stderr.contains("which MEMSTORE_CONFIG names"),
        "{}",
        ended.stderr
    );
}

#[test]
fn config_shows_each_value_with_where_it_came_from() {
    let directory = tempfile::tempdir().unwrap();
    let file = write(
        directory.path(),
        "m.toml",
        "\nmax-key = '1k'\nworkers = 3\n",
    );
    let ended = end(program(&["config", "--show", "--workers", "5"])
        .env("MEMSTORE_CONFIG", &file)
        .env("MEMSTORE_WORKERS", "4")
        .env("MEMSTORE_RESTART", "never"));
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    let line = |key: &str| {
        let found = ended
            .stdout
            .lines()
            .find(|line| line.starts_with(&format!("{key} = ")));
        let found = found.unwrap_or_else(|| panic!("no {key} in {}", ended.stdout));
        let (value, origin) = found.split_once("  # ").unwrap();
        (value.trim().to_owned(), origin.to_owned())
    };
    let expected = |value: &str, origin: &str| (value.to_owned(), origin.to_owned());
    assert_eq!(line("workers"), expected("workers = 5", "flag --workers"));
    assert_eq!(
        line("restart"),
        expected("restart = \"never\"", "environment MEMSTORE_RESTART")
    );
    assert_eq!(
        line("max-key"),
        expected("max-key = \"1KiB\"", &format!("file {file} line 2"))
    );
    assert_eq!(
        line("sock"),
        expected(
            "sock = \"/usr/memstore-cluster/default.sock\"",
            "detected: by --name in $XDG_RUNTIME_DIR"
        )
    );
    assert_eq!(line("timeout"), expected("timeout = \"5s\"", "default"));
    let again = write(directory.path(), "shown.toml", &ended.stdout);
    let checked = run(&["config", "--config", &again]);
    assert_eq!(
        (checked.code, checked.stdout.as_str()),
        (Some(0), ""),
        "{}",
        checked.stderr
    );
}

#[test]
fn inside_a_worker_the_outer_cluster_is_told_apart() {
    let ended = end(program(&["config", "--show"])
        .env("MEMSTORE_ROLE", "worker")
        .env("MEMSTORE_WORKERS", "64")
        .env("MEMSTORE_SOCK", "/outer.sock"));
    assert_eq!(ended.code, Some(0));
    assert!(
        ended.stdout.contains("# MEMSTORE_SOCK is passed over"),
        "{}",
        ended.stdout
    );
    assert!(
        ended.stdout.contains("workers = \"auto\""),
        "{}",
        ended.stdout
    );
    assert!(!ended.stdout.contains("/outer.sock"), "{}", ended.stdout);
}

#[test]
fn completions_know_the_sub_commands_and_flags() {
    for shell in ["bash", "zsh", "fish"] {
        let ended = run(&["completions", shell]);
        assert_eq!(
            (ended.code, ended.stderr.as_str()),
            (Some(0), ""),
            "{shell}"
        );
        for word in VERBS.iter().chain(&["stop-timeout", "if-seq"]) {
            assert!(ended.stdout.contains(word), "{shell} does not know {word}");
        }
    }
}

/// Where `groff` is missing, only the macros are looked for.
#[test]
fn the_manual_is_written_and_renders() {
    let directory = tempfile::tempdir().unwrap();
    let ended = run(&["man", directory.path().to_str().unwrap()]);
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (Some(0), ""),
        "{}",
        ended.stderr
    );
    let mut names = vec!["memstore-cluster.1".to_owned()];
    names.extend(VERBS.map(|verb| format!("memstore-cluster-{verb}.1")));
    for name in names {
        let page = fs::read_to_string(directory.path().join(&name)).unwrap();
        for part in [".TH ", ".SH NAME", ".SH SYNOPSIS", ".SH OPTIONS"] {
            assert!(page.contains(part), "{part} in {name}");
        }
    }
    let page = run(&["man"]).stdout;
    assert_eq!(page.matches(".TH ").count(), VERBS.len() + 1);
    if let Some(text) = rendered(&page) {
        assert!(text.contains("MEMSTORE_STOP_TIMEOUT"), "{text}");
        assert!(
            text.contains("memstore-cluster run --bind 0.0.0.0:8080 -- node app.js"),
            "{text}"
        );
        assert!(
            text.contains("\n         127  the command of run was not found"),
            "{text}"
        );
    }
    let nowhere = run(&["man", "/nowhere"]);
    assert_eq!(nowhere.code, Some(1));
    assert!(
        nowhere.stderr.contains("cannot write /nowhere/"),
        "{}",
        nowhere.stderr
    );
}

fn rendered(page: &str) -> Option<String> {
    let mut groff = Command::new("groff")
        .args(["-man", "-Tascii", "-P-cbou", "-rHY=0", "-ww", "-rLL=200n"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .ok()?;
    let mut stdin = groff.stdin.take().unwrap();
    let page = page.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(page.as_bytes()));
    let output = groff.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    Some(String::from_utf8(output.stdout).unwrap())
}

/// An end of a stream whose other end is closed.
fn broken_pipe() -> Stdio {
    let (ours, theirs) = UnixStream::pair().unwrap();
    drop(theirs);
    OwnedFd::from(ours).into()
}

#[test]
fn a_reader_that_has_gone_is_no_failure() {
    for arguments in [
        &["completions", "bash"][..],
        &["man"],
        &["config", "--show"],
        &["--help"],
    ] {
        let ended = end(program(arguments).stdout(broken_pipe()));
        assert_eq!(
            (ended.code, ended.stderr.as_str()),
            (Some(0), ""),
            "{arguments:?}"
        );
    }
}

#[test]
fn a_full_disk_is_a_failure() {
    let full = fs::OpenOptions::new().write(true).open("/dev/full");
    let Ok(full) = full else { return };
    let ended = end(program(&["completions", "bash"]).stdout(full));
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.stderr.contains("cannot write to standard output"),
        "{}",
        ended.stderr
    );
}

/// The path cannot be bound, so that the master ends by itself.
#[test]
fn a_closed_standard_error_is_no_reason_to_panic() {
    let serve = ["serve", "--sock", "/dev/null/x.sock", "--log", "trace"];
    for arguments in [&serve[..], &["run"], &["config", "--bind", ""]] {
        let ended = end(program(arguments).stderr(broken_pipe()));
        let code = ended.code.unwrap();
        assert!(code != 0 && code != 101, "{arguments:?} ended with {code}");
    }
}
