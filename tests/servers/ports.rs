//! Servers that listen themselves, each at a port of its own: some read `PORT`, others are told.

use nix::sys::signal::{Signal, kill};

use crate::common::cluster::{start, until_started};
use crate::common::http::get;
use crate::common::{eventually, folder as temporary, free_ports, pid};
use crate::{folder, is_installed, python};

/// Every worker answers at the port of its slot, also one that was replaced.
fn works(command: &[&str]) {
    let folder = temporary();
    let base = free_ports(2);
    let flags = format!("--workers 2 --port-base {base} --stable-after 0");
    let mut master = start(&folder.path().join("m.sock"), &flags, command);
    let all_answer = || {
        for slot in 0..2 {
            let address = ([127, 0, 0, 1], base + slot).into();
            let answer = eventually("it answers", || get(address, "/").ok());
            assert_eq!(answer.body, format!("{slot} 127.0.0.1"));
        }
    };
    all_answer();
    let first = until_started(&master, 2)[0];
    kill(pid(first.1), Signal::SIGTERM).unwrap();
    let third = until_started(&master, 3)[2];
    assert_eq!(third.0, first.0);
    all_answer();
    master.signal(Signal::SIGTERM);
    let finished = master.finish();
    assert_eq!(finished.status.code(), Some(0), "{finished:?}");
}

#[test]
fn gunicorn_reads_its_port() {
    if let Some(gunicorn) = python("gunicorn") {
        works(&[&gunicorn, "--chdir", folder().to_str().unwrap(), "wsgi:app"]);
    }
}

#[test]
fn waitress_is_told_its_port() {
    if let Some(waitress) = python("waitress-serve") {
        let command = "cd \"$1\"; exec \"$0\" --listen=127.0.0.1:$PORT wsgi:app";
        works(&["sh", "-c", command, &waitress, folder().to_str().unwrap()]);
    }
}

#[test]
fn puma_is_told_its_port() {
    if is_installed("puma") {
        let command = "exec puma --bind tcp://127.0.0.1:$PORT \"$0\"";
        let app = folder().join("config.ru");
        works(&["sh", "-c", command, app.to_str().unwrap()]);
    }
}

#[test]
fn php_s_own_server_is_told_its_port() {
    if is_installed("php") {
        let command = "exec php -S 127.0.0.1:$PORT \"$0\"";
        let page = folder().join("index.php");
        works(&["sh", "-c", command, page.to_str().unwrap()]);
    }
}

#[test]
fn java_reads_its_port() {
    if is_installed("javac") {
        works(&["java", folder().join("Server.java").to_str().unwrap()]);
    }
}
