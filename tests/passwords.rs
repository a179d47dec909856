//! No password is shown, wherever a store's URL with one can be written; and how to write none.

#![cfg(feature = "cli")]

mod common;

use std::fs;
use std::net::{Ipv4Addr, TcpListener};

use common::ended::{Ended, end};
use common::{folder, memstore};

const URL: &str = "redis://me:hunter2@host/1";
const MISTYPED: &str = "redis://me:hunter2@host:x";

/// Nothing of what was said is the password, or the part of the URL that has it.
#[track_caller]
fn says_no_password(ended: &Ended) {
    for secret in ["hunter2", "me:"] {
        let is_shown = ended.text().contains(secret) || ended.stderr.contains(secret);
        assert!(!is_shown, "{secret}: {ended:#?}");
    }
}

#[test]
fn a_mistyped_url_is_not_repeated() {
    let lines: [&[&str]; 14] = [
        &["serve", "--store", MISTYPED],
        &["run", "--store", MISTYPED, "--", "true"],
        &["config", "--store", MISTYPED],
        // Meant for a flag.
        &[URL],
        &["serve", URL],
        &["serve", "--store", "memory:", URL],
        &["serve", "--stor", URL],
        &["serve", "--stor=redis://me:hunter2@host"],
        &["serve", "--store:redis://me:hunter2@host"],
        &["run", URL, "--", "true"],
        &["set", "key", "value", "--ttl", URL],
        &["copy", MISTYPED, "memory:/tmp/none"],
        &["copy", "--live", "redsi://me:hunter2@host", "master:"],
        &["copy", URL, URL, URL],
    ];
    for line in lines {
        let ended = end(&mut memstore(line));
        assert!(
            matches!(ended.code, Some(2 | 78)) && !ended.stderr.is_empty(),
            "{line:?}: {ended:#?}"
        );
        says_no_password(&ended);
    }
}

#[test]
fn neither_is_one_of_the_environment_or_of_a_file() {
    let ended = end(memstore(["serve"]).env("MEMSTORE_STORE", MISTYPED));
    says_no_password(&ended.with(78, &["MEMSTORE_STORE=redis:…: has"]));
    let folder = folder();
    let path = folder.path().join("m.toml");
    for text in [
        format!("store = '{MISTYPED}'"),
        format!("store = ['{URL}']"),
        format!("store = {URL}"),
        format!("store: {URL}"),
        format!("store = '{URL}"),
        format!("store = \"\"\"{URL}"),
        format!("stroe = '{URL}'"),
    ] {
        fs::write(&path, &text).expect("a file");
        let file = path.to_str().expect("a path in UTF-8");
        let ended = end(&mut memstore(["serve", "--config", file]));
        says_no_password(&ended.with(78, &["line 1"]));
    }
}

#[test]
fn a_configuration_is_shown_without_it() {
    let ended = end(memstore(["config", "--show"]).env("MEMSTORE_STORE", URL));
    assert!(ended.text().contains("redis://me:***@host/1"), "{ended:#?}");
    assert!(!ended.text().contains("hunter2"), "{ended:#?}");
    // It is fine alone, and not with the other.
    let ended = end(memstore(["config", "--sync", "always"]).env("MEMSTORE_STORE", URL));
    says_no_password(&ended.with(2, &["--sync always"]));
}

/// At the most talkative, with a server that is not there.
#[test]
fn the_log_has_none() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = listener.local_addr().expect("it is bound").port();
    drop(listener);
    let url = format!("redis://me:hunter2@127.0.0.1:{port}?timeout=100ms");
    let folder = folder();
    let sock = folder.path().join("sock");
    let sock = sock.to_str().expect("a path in UTF-8");
    let talkative = ["--sock", sock, "--log", "trace"];
    let ended = end(memstore(["serve", "--store", &url]).args(talkative));
    let words = [
        "redis://me:***@127.0.0.1",
        "list of processes",
        "Connection refused",
    ];
    let ended = ended.with(1, &words);
    assert!(!ended.stderr.contains("hunter2"), "{ended:#?}");
    let ended = end(memstore(["serve"])
        .args(talkative)
        .env("MEMSTORE_STORE", &url));
    let ended = ended.with(1, &["redis://me:***@127.0.0.1"]);
    assert!(!ended.stderr.contains("hunter2"), "{ended:#?}");
    assert!(!ended.stderr.contains("list of processes"), "{ended:#?}");
    let ended = end(memstore(["copy", &url, "master:"]).args(talkative));
    assert!(!ended.stderr.contains("hunter2"), "{ended:#?}");
}

/// A worker has no use for the URL, and may be somebody else's program.
#[test]
fn a_worker_is_not_told_the_url() {
    let run = [
        "run",
        "--workers",
        "1",
        "--restart",
        "never",
        "--sock",
        "none",
    ];
    let mut run = memstore(run);
    run.args(["--", "sh", "-c", "env; echo the end"]);
    let ended = end(run.env("MEMSTORE_STORE", "memory:"));
    let env = ended.text();
    assert!(
        env.contains("MEMSTORE_ROLE=worker") && env.contains("the end"),
        "{ended:#?}"
    );
    assert!(!env.contains("MEMSTORE_STORE"), "{env}");
}
