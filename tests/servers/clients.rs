//! The clients of Redis that programs of Python, PHP and Ruby use, and the libraries over them,
//! against a master.
//!
//! Each has a program in `clients`, which holds what it expects. A redis-server has to meet that
//! first: so no program asks for more than there is anywhere else.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::common::ended::end;
use crate::common::redis::Master;
use crate::common::{Running, clean, eventually, folder as temporary, skipped};
use crate::{folder, python};

/// What clients have to know of a store that has a secret.
const SECRET: &str = "open, sesame: 16 bytes";

/// Runs a program to its end, which it sees to itself; it says `proof` then. `of` is whom it tried.
pub(crate) fn until_proved(program: &mut Command, proof: &str, of: &str) {
    let ended = end(program);
    let said = format!("{}\n{}", ended.text(), ended.stderr);
    let is_proved = ended.code == Some(0) && said.contains(proof);
    assert!(is_proved, "{program:?} of {of}:\n{said}");
}

/// Runs a program of `clients` with these flags of a redis-server, and with those of a master.
fn proves_with(
    interpreter: &str,
    flags: &[&str],
    (program, proof): (&str, &str),
    redis_flags: &[&str],
    master_flags: &[&str],
) {
    let run = |sock: &Path, of: &str| {
        let mut command = clean(interpreter);
        command.args(flags).arg(program);
        command.current_dir(folder().join("clients"));
        command.env("STORE_SOCK", sock).env("SECRET", SECRET);
        until_proved(&mut command, proof, of);
    };
    if has("redis-server", &["--version"]) {
        let folder = temporary();
        let sock = folder.path().join("redis");
        let mut redis = clean("redis-server");
        redis.args(["--port", "0", "--save", "", "--unixsocket"]);
        redis.arg(&sock).args(redis_flags);
        let _redis = Running::start(redis.current_dir(folder.path()));
        eventually("it listens", || UnixStream::connect(&sock).ok());
        run(&sock, "redis-server");
    } else {
        skipped("redis-server is not installed");
    }
    let master = Master::start(master_flags);
    run(&master.sock(), "a master");
}

/// Whether a program is there and does this well.
fn has(program: &str, args: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(args).stdout(Stdio::null());
    let status = command.stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

fn in_python(program: &str) {
    if let Some(python) = python("python") {
        proves_with(&python, &["-W", "ignore"], (program, "OK"), &[], &[]);
    }
}

fn in_php(program: &str) {
    let probe = "require 'Predis/autoload.php'; require 'Illuminate/Session/autoload.php'; \
                 require 'Symfony/Component/Cache/autoload.php'; new Redis;";
    if has("php", &["-d", "error_reporting=0", "-r", probe]) {
        proves_with("php", &[], (program, "proved "), &[], &[]);
    } else {
        skipped("PHP or its libraries are not installed: see scripts/test");
    }
}

#[test]
fn redis_py_finds_what_it_expects() {
    in_python("redis_py.py");
}

#[test]
fn redis_py_for_asyncio_finds_what_it_expects() {
    in_python("redis_asyncio.py");
}

#[test]
fn django_caches_and_keeps_its_sessions() {
    in_python("django_caches.py");
}

#[test]
fn flask_and_starlette_cache_and_keep_their_sessions() {
    in_python("frameworks.py");
}

#[test]
fn limits_and_locks_of_python_are_among_the_known_scripts() {
    in_python("limiters.py");
}

#[test]
fn the_secret_is_a_password() {
    let folder = temporary();
    let file = folder.path().join("secret");
    fs::write(&file, SECRET).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    let flags = ["--secret-file", file.to_str().unwrap()];
    if let Some(python) = python("python") {
        let redis_flags = ["--requirepass", SECRET];
        proves_with(&python, &[], ("secret.py", "OK"), &redis_flags, &flags);
    }
}

#[test]
fn phpredis_keeps_the_sessions_of_php() {
    in_php("phpredis.php");
}

#[test]
fn predis_symfony_and_laravel_find_what_they_expect() {
    in_php("php_frameworks.php");
}

#[test]
fn redis_rb_rack_and_rails_find_what_they_expect() {
    let probe = "require 'minitest'; require 'redis-rack'; require 'active_support'; \
                 require 'active_support/cache/redis_store'";
    if has("ruby", &["-W0", "-e", probe]) {
        proves_with(
            "ruby",
            &["-W0"],
            ("clients.rb", " 0 failures, 0 errors"),
            &[],
            &[],
        );
    } else {
        skipped("Ruby or its libraries are not installed: see scripts/test");
    }
}
