//! The clients of Redis that programs of Python, PHP and Ruby use, and the libraries over them,
//! against a master: each has a program in `clients`.

use std::process::Command;

use crate::common::installed::does;
use crate::common::proof::Proof;
use crate::common::{clean, skipped};
use crate::{folder, python};

/// A program of `clients`, and what it says at its end.
fn proof<'a>(
    interpreter: &'a str,
    flags: &'a [&'a str],
    program: &'a str,
    says: &'a [&'a str],
) -> Proof<'a, impl Fn() -> Command> {
    let program = move || {
        let mut command = clean(interpreter);
        command.args(flags).arg(program);
        command.current_dir(folder().join("clients"));
        command
    };
    Proof { program, says }
}

fn in_python(program: &str) {
    if let Some(python) = python("python") {
        proof(&python, &["-W", "ignore"], program, &["OK"]).holds();
    }
}

fn in_php(program: &str) {
    let probe = "require 'Predis/autoload.php'; require 'Illuminate/Session/autoload.php'; \
                 require 'Symfony/Component/Cache/autoload.php'; new Redis;";
    if does("php", &["-d", "error_reporting=0", "-r", probe]) {
        proof("php", &[], program, &["proved "]).holds();
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
    if let Some(python) = python("python") {
        proof(&python, &[], "secret.py", &["OK"]).holds_with_a_secret();
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
    if does("ruby", &["-W0", "-e", probe]) {
        proof("ruby", &["-W0"], "clients.rb", &[" 0 failures, 0 errors"]).holds();
    } else {
        skipped("Ruby or its libraries are not installed: see scripts/test");
    }
}
