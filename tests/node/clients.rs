//! The clients of Redis that Node programs use, and the libraries over them, against a master.
//!
//! Each has a program in `clients`, which holds what it expects. A redis-server has to meet that
//! first: so no program asks for more than there is anywhere else.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;

use crate::common::ended::end;
use crate::common::redis::Master;
use crate::common::{Running, clean, eventually, folder as temporary, skipped};
use crate::{folder, has_packages};

/// What clients have to know of a store that has a secret.
const SECRET: &str = "open, sesame: 16 bytes";

/// Runs a program that proves something to its end, which it sees to itself; `of` is what.
pub(crate) fn until_proved(node: &mut Command, of: &str) {
    let ended = end(node);
    let said = format!("{}\n{}", ended.text(), ended.stderr);
    assert_eq!(ended.code, Some(0), "{node:?} of {of}:\n{said}");
    let is_counted = said.contains("# pass ") || said.contains("ℹ pass ");
    assert!(is_counted, "{node:?} proves nothing:\n{said}");
}

/// Runs a program of `clients` with these flags of a redis-server, and with those of a master.
fn proves_with(program: &str, redis_flags: &[&str], master_flags: &[&str]) {
    if !has_packages() {
        return;
    }
    let run = |sock: &Path, of: &str| {
        let mut node = clean("node");
        node.arg(folder().join("clients").join(program));
        until_proved(node.env("STORE_SOCK", sock).env("SECRET", SECRET), of);
    };
    if Command::new("redis-server")
        .arg("--version")
        .output()
        .is_ok()
    {
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

fn proves(program: &str) {
    proves_with(program, &[], &[]);
}

#[test]
fn node_redis_finds_what_it_expects() {
    proves("node_redis.js");
}

#[test]
fn ioredis_finds_what_it_expects() {
    proves("ioredis.js");
}

#[test]
fn connect_redis_keeps_the_sessions_of_express() {
    proves("connect_redis.js");
}

#[test]
fn koa_redis_keeps_the_sessions_of_koa() {
    proves("koa.js");
}

#[test]
fn keyv_caches() {
    proves("keyv.js");
}

#[test]
fn rate_limits_of_express_and_fastify_hold() {
    proves("rate_limit.js");
}

#[test]
fn rate_limiter_flexible_counts() {
    proves("flexible.js");
}

#[test]
fn redlock_and_redis_semaphore_lock() {
    proves("locks.js");
}

#[test]
fn the_adapter_of_socket_io_connects_servers() {
    proves("socket_io.js");
}

#[test]
fn the_secret_is_a_password() {
    let folder = temporary();
    let file = folder.path().join("secret");
    fs::write(&file, SECRET).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    let flags = ["--secret-file", file.to_str().unwrap()];
    proves_with("secret.js", &["--requirepass", SECRET], &flags);
}
