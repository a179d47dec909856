//! Command lines and what they say.

use std::time::Duration;

use super::*;
use crate::contract::Seq;

fn parse_line(line: &[&str]) -> Result<Typed, String> {
    let arguments = ["memstore-cluster"].iter().chain(line).map(OsString::from);
    parse(&arguments.collect::<Vec<_>>()).map_err(|error| error.to_string())
}

fn action(line: &[&str]) -> Action {
    parse_line(line)
        .unwrap_or_else(|error| panic!("{line:?}: {error}"))
        .action
}

fn set(line: &[&str]) -> (Expiry, Condition) {
    match action(&[&["set", "k", "v"], line].concat()) {
        Action::Ask(Request::Set {
            expiry, condition, ..
        }) => (expiry, condition),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_definition_holds_together() {
    command().debug_assert();
}

#[test]
fn every_setting_is_a_flag_where_it_counts_and_only_there() {
    let command = command();
    for sub in command.get_subcommands() {
        let purpose = purpose(sub.get_name());
        for setting in settings::all() {
            let arg = sub
                .get_arguments()
                .find(|arg| arg.get_long() == Some(setting.key));
            let counts = purpose.is_some_and(|purpose| setting.counts_for(purpose));
            assert_eq!(
                arg.is_some(),
                counts,
                "{} of {}",
                setting.flag(),
                sub.get_name()
            );
            if let Some(arg) = arg {
                let help = arg.get_long_help().unwrap().to_string();
                assert!(
                    help.contains(&format!("[environment: {}]", setting.env())),
                    "{help}"
                );
                assert!(help.contains("[default: "), "{help}");
            }
        }
    }
}

#[test]
fn what_comes_after_two_dashes_is_the_command_whatever_it_looks_like() {
    let typed = parse_line(&["run", "--workers", "2", "--", "x", "--workers", "3"]).unwrap();
    let command = ["x", "--workers", "3"].map(OsString::from).to_vec();
    assert_eq!(typed.action, Action::Run(command));
    assert_eq!(typed.flags["workers"], ["2"]);
}

#[test]
fn a_run_without_a_command_is_told_what_to_write() {
    for line in [&["run"][..], &["run", "--"], &["run", "--workers", "2"]] {
        let error = parse_line(line).unwrap_err();
        assert!(error.contains("run -- node app.js"), "{line:?}: {error}");
    }
    let error = parse_line(&["run", "node", "app.js"]).unwrap_err();
    assert!(error.contains("-- node"), "{error}");
}

#[test]
fn standalone_alone_is_always_and_takes_no_word_that_follows() {
    let typed = parse_line(&["run", "--standalone", "--", "x"]).unwrap();
    assert_eq!(typed.flags["standalone"], ["always"]);
    let typed = parse_line(&["run", "--standalone=never", "--", "x"]).unwrap();
    assert_eq!(typed.flags["standalone"], ["never"]);
}

#[test]
fn lists_are_given_again_and_again_and_single_values_once() {
    let typed = parse_line(&["run", "--bind", "a,b", "--bind", "c", "--", "x"]).unwrap();
    assert_eq!(typed.flags["bind"], ["a,b", "c"]);
    let twice = parse_line(&["serve", "--sock", "a", "--sock", "b"]).unwrap_err();
    assert!(twice.contains("cannot be used multiple times"), "{twice}");
}

#[test]
fn a_dump_names_a_file_or_a_standard_stream() {
    let dump = |format, file: Option<&str>| Action::Dump(format, file.map(PathBuf::from));
    assert_eq!(action(&["dump"]), dump(Format::Binary, None));
    assert_eq!(action(&["dump", "-"]), dump(Format::Binary, None));
    assert_eq!(
        action(&["dump", "--format", "jsonl", "./-"]),
        dump(Format::Jsonl, Some("./-"))
    );
    assert_eq!(action(&["load"]), Action::Load(None, Condition::Always));
    assert_eq!(
        action(&["load", "x", "--if-absent"]),
        Action::Load(Some("x".into()), Condition::IfAbsent)
    );
}

#[test]
fn a_set_says_until_when_and_on_which_condition() {
    assert_eq!(set(&[]), (Expiry::Never, Condition::Always));
    assert_eq!(
        set(&["--ttl", "90"]),
        (Expiry::AfterMs(90_000), Condition::Always)
    );
    assert_eq!(set(&["--ttl", "1us"]).0, Expiry::AfterMs(1));
    assert_eq!(
        set(&["--keep-ttl", "--xx"]),
        (Expiry::Keep, Condition::IfPresent)
    );
    assert_eq!(set(&["--nx"]).1, Condition::IfAbsent);
    assert_eq!(set(&["--if-seq", "7"]).1, Condition::IfSeq(Seq(7)));
    for line in [
        &["--nx", "--xx"][..],
        &["--nx", "--if-seq", "7"],
        &["--ttl", "1s", "--keep-ttl"],
        &["--ttl", "0"],
        &["--ttl", "soon"],
        &["--if-seq", "0"],
    ] {
        let line = [&["set", "k", "v"], line].concat();
        assert!(parse_line(&line).is_err(), "{line:?}");
    }
}

#[test]
fn a_value_comes_from_the_arguments_or_from_standard_input() {
    let value = |line: &[&str]| match action(line) {
        Action::Ask(Request::Set { value, .. }) => value,
        other => panic!("{other:?}"),
    };
    assert_eq!(value(&["set", "k"]), None);
    assert_eq!(value(&["set", "k", ""]), Some(Vec::new()));
    assert_eq!(value(&["set", "k", "-5"]), Some(b"-5".to_vec()));
    assert_eq!(value(&["set", "k", "--", "--ttl"]), Some(b"--ttl".to_vec()));
}

#[test]
fn a_touch_says_until_when() {
    let touch = |line: &[&str]| action(&[&["touch", "k"], line].concat());
    let expected = |expiry| {
        Action::Ask(Request::Touch {
            key: b"k".to_vec(),
            expiry,
        })
    };
    assert_eq!(touch(&["--ttl", "2s"]), expected(Expiry::AfterMs(2_000)));
    assert_eq!(touch(&["--no-expiry"]), expected(Expiry::Never));
    assert!(parse_line(&["touch", "k"]).is_err());
    assert!(parse_line(&["touch", "k", "--ttl", "2s", "--no-expiry"]).is_err());
}

#[test]
fn what_was_typed_is_shown_without_passwords() {
    let url = "redis://me:hunter2@host";
    for line in [
        &["serve", "--store", url][..],
        &["copy", url, "master:"],
        &["copy", "master:", url],
    ] {
        let shown = format!("{:?}", parse_line(line).unwrap());
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

#[test]
fn a_destroy_says_for_how_long_it_lasts() {
    let destroy = |line: &[&str]| action(&[&["destroy", "k"], line].concat());
    let expected = |tombstone| {
        let key = b"k".to_vec();
        Action::Ask(Request::Destroy { key, tombstone })
    };
    assert_eq!(destroy(&[]), expected(None));
    let ten = Some(Duration::from_secs(10));
    assert_eq!(destroy(&["--tombstone", "10s"]), expected(ten));
    assert!(parse_line(&["destroy", "k", "--tombstone", "0"]).is_err());
}

#[test]
fn channels_are_one_or_more_and_messages_may_look_like_numbers() {
    let subscribe = |line: &[&str]| match action(&[&["subscribe"], line].concat()) {
        Action::Subscribe(subscribe) => subscribe,
        other => panic!("{other:?}"),
    };
    let two = subscribe(&["a", "b", "--plain"]);
    assert_eq!(two.names, [b"a", b"b"]);
    assert!(two.is_plain && !two.is_matching);
    assert!(subscribe(&["--matching", "a*"]).is_matching);
    assert!(parse_line(&["subscribe"]).is_err());
    let channel = b"news".to_vec();
    let message = Some(b"-5".to_vec());
    assert_eq!(
        action(&["publish", "news", "-5"]),
        Action::Ask(Request::Publish { channel, message })
    );
}

#[test]
fn keys_are_bytes() {
    use std::os::unix::ffi::OsStringExt;
    let line = [b"m".to_vec(), b"get".to_vec(), vec![0xff]];
    let typed = parse(&line.map(OsString::from_vec)).unwrap();
    assert_eq!(typed.action, Action::Ask(Request::Get { key: vec![0xff] }));
}
