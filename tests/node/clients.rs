//! The clients of Redis that Node programs use, and the libraries over them, against a master: each
//! has a program in `clients`.

use crate::common::clean;
use crate::common::proof::Proof;
use crate::{PASS, folder, has_packages};

/// A program of `clients`.
fn proof(name: &str) -> Proof<'static, impl Fn() -> std::process::Command> {
    let file = folder().join("clients").join(name);
    Proof {
        program: move || {
            let mut node = clean("node");
            node.arg(&file);
            node
        },
        says: PASS,
    }
}

fn proves(program: &str) {
    if has_packages() {
        proof(program).holds();
    }
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
    if has_packages() {
        proof("secret.js").holds_with_a_secret();
    }
}
