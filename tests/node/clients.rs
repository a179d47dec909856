//! The clients of Redis that Node programs use, and the libraries over them, against a master.
//!
//! Each has a program in `clients`, which holds what it expects. A redis-server has to meet that
//! first: so no program asks for more than there is anywhere else.

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;

use crate::common::redis::Master;
use crate::common::{Running, clean, eventually, folder as temporary, skipped};
use crate::{folder, has_packages};

/// Runs a program of `clients` to its end.
fn run(program: &str, sock: &Path, store: &str) {
    let mut node = clean("node");
    node.arg(folder().join("clients").join(program));
    let mut running = Running::start(node.env("STORE_SOCK", sock));
    let finished = running.finish();
    let said = [finished.stdout, finished.stderr].concat().join("\n");
    assert!(finished.status.success(), "{program}, {store}:\n{said}");
    let is_counted = said.contains("# pass ") || said.contains("ℹ pass ");
    assert!(is_counted, "{program} proves nothing:\n{said}");
}

fn proves(program: &str) {
    if !has_packages() {
        return;
    }
    if Command::new("redis-server")
        .arg("--version")
        .output()
        .is_ok()
    {
        let folder = temporary();
        let sock = folder.path().join("redis");
        let mut redis = clean("redis-server");
        redis.args(["--port", "0", "--save", "", "--unixsocket"]);
        let redis = Running::start(redis.arg(&sock).current_dir(folder.path()));
        eventually("it listens", || UnixStream::connect(&sock).ok());
        run(program, &sock, "redis-server");
        drop(redis);
    } else {
        skipped("redis-server is not installed");
    }
    let master = Master::start(&[]);
    run(program, &master.sock(), "a master");
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
fn rate_limit_redis_counts_for_express_rate_limit() {
    proves("rate_limit.js");
}

#[test]
fn rate_limiter_flexible_counts() {
    proves("flexible.js");
}

#[test]
fn redlock_locks() {
    proves("redlock.js");
}

#[test]
fn the_adapter_of_socket_io_connects_servers() {
    proves("socket_io.js");
}
