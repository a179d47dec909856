//! The examples for Node: copied elsewhere and wrapped as they say, with two workers, they do what
//! they are for.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use memstore_cluster::Store;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::common::cluster::{bound, run};
use crate::common::proof::until_said;
use crate::common::{Running, clean, connect, folder as temporary};
use crate::{PASS, folder, has_packages};

/// The program of `visits` of this name visits the example; then `look` looks at the store.
fn does_what_it_says(name: &str, look: impl FnOnce(&Store)) {
    if !has_packages() {
        return;
    }
    let copy = temporary();
    let example = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("examples")
        .join(name);
    for file in fs::read_dir(&example).unwrap() {
        let file = file.unwrap();
        // What somebody may have installed who tried it.
        if file.file_type().unwrap().is_file() {
            fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
        }
    }
    symlink(
        folder().join("node_modules"),
        copy.path().join("node_modules"),
    )
    .unwrap();

    let sock = copy.path().join("sock");
    let flags = "--workers 2 --bind 127.0.0.1:0 --stable-after 0 --max-restarts 0";
    let mut command = run(&sock, flags, &["node", "app.js"]);
    let mut master = Running::start(command.current_dir(copy.path()));
    let mut visitor = clean("node");
    visitor.arg(folder().join("visits").join(format!("{name}.js")));
    visitor.env("URL", format!("http://{}", bound(&master)));
    until_said(&mut visitor, PASS, name);
    look(&connect(&sock));
    master.signal(Signal::SIGTERM);
    let finished = master.finish();
    assert_eq!(finished.status.code(), Some(0), "{:#?}", finished.stderr);
}

#[test]
fn express_keeps_its_sessions_in_the_store() {
    does_what_it_says("express", |store| {
        let all: Vec<_> = store.all().map(Result::unwrap).collect();
        let mut sessions = all.iter().filter(|(key, _)| key.starts_with(b"sess:"));
        let (_, carol) = sessions.next().expect("who has not logged out is there");
        let session: Value = serde_json::from_slice(&carol.value).unwrap();
        assert_eq!(session["user"], "Carol");
        assert!(sessions.next().is_none(), "{all:?}");
    });
}

#[test]
fn rate_limit_has_one_limit_for_all_workers() {
    does_what_it_says("rate_limit", |_| {});
}

#[test]
fn socket_io_lets_people_at_different_workers_talk() {
    does_what_it_says("socket_io", |_| {});
}

/// What the examples are tried with is what they ask for.
#[test]
fn their_packages_are_those_of_the_tests() {
    let read = |file: &Path| -> Value {
        let text = fs::read(file.join("package.json")).unwrap();
        serde_json::from_slice(&text).unwrap()
    };
    let tried = read(&folder());
    for name in ["express", "rate_limit", "socket_io"] {
        let example = read(
            &Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("examples")
                .join(name),
        );
        for (package, version) in example["dependencies"].as_object().unwrap() {
            assert_eq!(
                tried["dependencies"][package], *version,
                "{package} of {name}"
            );
        }
    }
}
