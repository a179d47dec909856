//! The examples for Python: copied elsewhere and wrapped as they say, with two workers, they do
//! what they are for.

use std::fs;
use std::path::Path;

use nix::sys::signal::Signal;

use crate::common::cluster::{bound, run};
use crate::common::proof::until_said;
use crate::common::redis::Wire;
use crate::common::{Running, clean, folder as temporary};
use crate::{folder, python};

/// The folder of an example.
fn example(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("examples")
        .join(name)
}

/// Wraps an example and visits it; then its sessions are in this database.
fn does_what_it_says(name: &str, application: &str, database: u8) {
    let (Some(python), Some(gunicorn)) = (python("python"), python("gunicorn")) else {
        return;
    };
    let copy = temporary();
    fs::copy(example(name).join("app.py"), copy.path().join("app.py")).unwrap();
    let sock = copy.path().join("sock");
    let flags = "--workers 2 --bind 127.0.0.1:0 --stable-after 0 --max-restarts 0";
    let mut command = run(&sock, flags, &[gunicorn.as_str(), application]);
    let mut master = Running::start(command.current_dir(copy.path()));
    let mut visitor = clean(python);
    visitor.arg(folder().join("visits/pages.py"));
    visitor.env("URL", format!("http://{}", bound(&master)));
    until_said(&mut visitor, &["OK"], name);
    // Bob and Carol have not logged out.
    let mut wire = Wire::connect(&sock);
    wire.ask(&format!("SELECT {database}"), "+OK\r\n");
    wire.ask("DBSIZE", ":2\r\n");
    master.signal(Signal::SIGTERM);
    let finished = master.finish();
    assert_eq!(finished.status.code(), Some(0), "{:#?}", finished.stderr);
}

#[test]
fn flask_keeps_its_sessions_in_the_store() {
    does_what_it_says("flask", "app:app", 0);
}

#[test]
fn django_keeps_its_sessions_in_the_store() {
    does_what_it_says("django", "app:application", 1);
}

/// What the examples are tried with is what they ask for.
#[test]
fn their_packages_are_those_of_the_tests() {
    let tried = fs::read_to_string(folder().join("requirements.txt")).unwrap();
    for name in ["flask", "django"] {
        let asked = fs::read_to_string(example(name).join("requirements.txt")).unwrap();
        for package in asked.lines() {
            assert!(
                tried.lines().any(|line| line == package),
                "{package} of {name}"
            );
        }
    }
}
