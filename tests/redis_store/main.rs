//! A store that real redis-servers keep: one, one that Sentinels watch, and a cluster.
//!
//! `single` holds the backend to what it promises, `several` is about Sentinel and Cluster, `near`
//! about the near cache, `fast` about the fast path, `hung` about servers that are there and do not
//! answer, `refusals` about some that take no writes for a while, `tls` about the way there. All
//! servers are started here.

#![cfg(all(feature = "cli", feature = "redis"))]
#![allow(clippy::unwrap_used, reason = "helpers may panic as the tests do")]
#![allow(unreachable_pub, reason = "modules of a test program, as `common` is")]

#[path = "../common/mod.rs"]
mod common;

mod contract;
mod fast;
mod hung;
mod masters;
mod near;
mod refusals;
mod servers;
mod several;
mod single;
mod tls;
