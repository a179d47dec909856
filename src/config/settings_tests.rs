//! The table of settings against its own promises.

use std::collections::BTreeSet;

use super::*;
use crate::config::Surroundings;

fn defaults() -> Config {
    Config::new(&Surroundings {
        runtime_dir: Some("/run/user/1".into()),
        temp_dir: "/tmp".into(),
        uid: 1,
    })
}

#[test]
fn no_two_settings_share_a_name() {
    let mut seen = BTreeSet::new();
    for setting in all() {
        for name in [setting.key.to_owned(), setting.flag(), setting.env()] {
            assert!(seen.insert(name.clone()), "{name} is there twice");
        }
    }
}

#[test]
fn what_a_setting_shows_it_reads() {
    for setting in all() {
        let mut config = defaults();
        let shown = (setting.show)(&config);
        if setting.shape == Shape::List {
            assert_eq!(shown, [""; 0], "{}: a list starts empty", setting.key);
        }
        for value in &shown {
            let read = (setting.read)(&mut config, OsStr::new(value));
            assert_eq!(read, Ok(()), "{} = {value}", setting.key);
        }
        assert_eq!(config, defaults(), "{} = {shown:?}", setting.key);
        assert!(
            !shown.is_empty() || setting.otherwise.is_some(),
            "{}",
            setting.key
        );
    }
}

#[test]
fn every_setting_refuses_what_makes_no_sense() {
    for (key, values) in [
        ("name", &["", "a/b"][..]),
        ("sock", &[""]),
        ("secret-file", &[""]),
        ("load-on-start", &[""]),
        ("dump-on-exit", &[""]),
        ("allow-uid", &["root", "-1", ""]),
        ("timeout", &["0", "soon"]),
        ("workers", &["0", "x", "4097"]),
        ("bind", &[""]),
        ("port-base", &["0", "65536", "", "http"]),
        ("node-preload", &["always", ""]),
        ("standalone", &["yes", ""]),
        ("restart", &["no"]),
        ("max-memory", &["", "0", "1023KiB", "plenty"]),
        ("max-memory-policy", &["", "lru"]),
        ("stop-timeout", &["x"]),
        ("backoff-min", &["0"]),
        ("backoff-max", &["0"]),
        ("stable-after", &["x"]),
        ("max-restarts", &["x", "-1"]),
        ("restart-window", &["0"]),
        ("store", &["mysql://h", "redis:", ""]),
        ("sync", &["often", "", "2s"]),
        ("max-key", &["0", "64KiB"]),
        ("max-value", &["0", "513MiB"]),
        ("max-clients", &["0", "x"]),
        ("handshake-timeout", &["0"]),
        ("tombstones", &["sess:", "sess:=", "sess:=soon", ""]),
        (
            "sessions",
            &["sess:", "sess:=", "sess:=soon", "sess:=0", ""],
        ),
        ("backend-timeout", &["0"]),
        ("log", &["loud", "info,loud", "", "x=loud"]),
        ("log-format", &["xml"]),
    ] {
        let setting = find(key).unwrap();
        for value in values {
            let read = (setting.read)(&mut defaults(), OsStr::new(value));
            assert!(read.is_err(), "{key} = {value:?}");
        }
    }
}

#[test]
fn what_is_not_utf8_is_only_a_path() {
    use std::os::unix::ffi::OsStrExt;
    let value = OsStr::from_bytes(b"/tmp/\xff");
    for setting in all() {
        let read = (setting.read)(&mut defaults(), value);
        assert_eq!(
            read.is_ok(),
            matches!(
                setting.key,
                "sock" | "secret-file" | "load-on-start" | "dump-on-exit"
            ),
            "{}",
            setting.key
        );
    }
}
