//! `publish` and `subscribe`, and a `destroy` that lasts, by the real program.

#![cfg(all(feature = "cli", target_os = "linux"))]
#![allow(clippy::unwrap_used, reason = "helpers may panic as the tests do")]

mod common;

use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};

use common::ended::{end, end_with_input};
use common::parts::serve;
use common::redis::Master;
use common::{Running, connect, eventually, memstore};
use memstore_cluster::Store;
use nix::sys::signal::Signal;

/// The command to this master.
fn command<I: AsRef<OsStr>>(master: &Master, line: impl IntoIterator<Item = I>) -> Command {
    let mut command = memstore(line);
    command.env("MEMSTORE_SOCK", master.sock());
    command
}

/// Publishes until so many hear it.
fn until_heard(store: &Store, channel: &str, message: &str, by: u64) {
    eventually("somebody hears it", || {
        (store.publish(channel, message).unwrap() == by).then_some(())
    });
}

#[test]
fn what_is_published_is_written_as_it_comes() {
    let master = Master::start(&[]);
    let store = connect(&master.sock());
    let json = Running::start(&mut command(&master, ["subscribe", "news", "other"]));
    let plain = Running::start(&mut command(
        &master,
        ["subscribe", "--plain", "--matching", "n*"],
    ));
    until_heard(&store, "other", "first", 1);
    until_heard(&store, "nothing", "first", 1);
    json.stdout().until_contains("first");
    plain.stdout().until_contains("first");
    let publish = |line: &[&str]| end(&mut command(&master, line)).with(0, &[]);
    assert_eq!(publish(&["publish", "news", "h\u{e9}llo"]).text(), "2\n");
    let binary = OsString::from_vec(vec![b'\xff']);
    let line = [OsStr::new("publish"), OsStr::new("news"), &binary];
    assert_eq!(end(&mut command(&master, line)).with(0, &[]).text(), "2\n");
    let piped = end_with_input(&mut command(&master, ["publish", "news"]), b"from a pipe");
    assert_eq!(piped.with(0, &[]).text(), "2\n");
    assert_eq!(publish(&["publish", "nobody", "x"]).text(), "0\n");
    json.stdout().until_contains("from a pipe");
    let lines = json.stdout().so_far();
    assert_eq!(
        lines[lines.len() - 3..],
        [
            r#"{"channel":"news","message":"héllo"}"#,
            r#"{"channel":"news","message_hex":"ff"}"#,
            r#"{"channel":"news","message":"from a pipe"}"#,
        ]
    );
    // The next line is bytes.
    plain.stdout().until_contains("h\u{e9}llo");
    assert_eq!(plain.stdout().so_far(), ["first", "h\u{e9}llo"]);
    let matching = Running::start(&mut command(&master, ["subscribe", "--matching", "m?"]));
    until_heard(&store, "m1", "x", 1);
    matching
        .stdout()
        .until_contains(r#"{"channel":"m1","pattern":"m?","message":"x"}"#);
}

#[test]
fn a_signal_ends_it_as_asked() {
    let master = Master::start(&[]);
    let store = connect(&master.sock());
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut news = Running::start(&mut command(&master, ["subscribe", "news"]));
        until_heard(&store, "news", "x", 1);
        news.signal(signal);
        let ended = news.finish();
        assert_eq!(ended.status.code(), Some(0), "{signal}: {ended:?}");
        assert_eq!(ended.stderr, [""; 0]);
    }
    eventually("the master has noticed", || {
        (store.publish("news", "x").unwrap() == 0).then_some(())
    });
}

/// Also where nothing comes that could not be written.
#[test]
fn a_reader_that_goes_away_ends_it() {
    let master = Master::start(&[]);
    let store = connect(&master.sock());
    let mut news = command(&master, ["subscribe", "news"]);
    let mut news = news.stdout(Stdio::piped()).spawn().unwrap();
    let mut reader = BufReader::new(news.stdout.take().unwrap());
    until_heard(&store, "news", "x", 1);
    reader.read_line(&mut String::new()).unwrap();
    drop(reader);
    let status = eventually("it ends", || news.try_wait().unwrap());
    assert_eq!((status.code(), status.signal()), (Some(0), None));
}

#[test]
fn a_gap_is_told_and_the_end_of_the_master_is_69() {
    let mut master = Master::start(&[]);
    let store = connect(&master.sock());
    let mut news = Running::start(&mut command(&master, ["subscribe", "news"]));
    until_heard(&store, "news", "before", 1);
    master.running.signal(Signal::SIGKILL);
    master.running.wait();
    {
        let _next = serve(&master.sock(), ["--log", "info"]);
        news.stderr().until_contains("messages were missed");
        let store = connect(&master.sock());
        until_heard(&store, "news", "after", 1);
        news.stdout().until_contains("after");
        assert!(news.try_wait().is_none());
    }
    let alone = end(&mut command(&master, ["subscribe", "news"]));
    alone.with(69, &["no master answers"]);
    let ended = news.finish();
    assert_eq!(ended.status.code(), Some(69), "{ended:?}");
}

#[test]
fn a_destroy_with_a_tombstone_is_not_undone() {
    let master = Master::start(&[]);
    let says = |line: &[&str], code| end(&mut command(&master, line)).with(code, &[]);
    says(&["set", "sess:1", "data"], 0);
    says(&["destroy", "sess:1", "--tombstone", "1h"], 0);
    says(&["set", "sess:1", "late"], 1);
    says(&["get", "sess:1"], 1);
    says(&["set", "sess:1", "new", "--nx"], 0);
    assert_eq!(says(&["get", "sess:1"], 0).text(), "new");
    says(&["destroy", "nothing", "--tombstone", "1h"], 1);
}
