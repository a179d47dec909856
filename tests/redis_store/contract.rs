//! The rules of the public suite. The servers have clocks of their own, and a version is named by
//! its value; all else holds as it does of every backend.

use memstore_cluster::backend::RedisBackend;
use memstore_cluster::testing::conformance::{Begin, Suite};

use crate::servers::{Server, open};
use crate::several;

/// Holds what is kept under a URL, which is on these servers, to the contract.
fn check(url: &str, servers: &[Server]) {
    let open = |begin| -> RedisBackend {
        if begin == Begin::Empty {
            for server in servers {
                // A replica refuses, and loses it with its primary.
                server.cli(&["FLUSHALL"]);
            }
        }
        open(url).unwrap()
    };
    let suite = Suite::lasting(open).in_real_time();
    suite.with_versions_of_values().histories(10).check();
}

#[test]
fn a_server_keeps_the_contract() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    check(&format!("{}?timeout=10s", server.url()), &[server]);
}

#[test]
fn a_server_keeps_the_contract_behind_a_prefix() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    check(
        &format!("{}?timeout=10s&prefix=a*%3A", server.url()),
        &[server],
    );
}

#[test]
fn a_near_cache_keeps_the_contract() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    check(&format!("{}?timeout=10s&near=1mb", server.url()), &[server]);
}

#[test]
fn a_cluster_keeps_the_contract() {
    let Some((nodes, url)) = several::cluster() else {
        return;
    };
    check(&url, &nodes);
}
