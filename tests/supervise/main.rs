//! Workers of a real master: what they find, how they are replaced and how they are ended.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, reason = "helpers may panic as the tests do")]

#[path = "../common/mod.rs"]
mod common;

mod bind;
mod death;
mod mistakes;
mod ports;
mod restart;
mod stop;
mod surroundings;

/// No test of its own: workers of the tests run it.
#[test]
fn play_a_part() {
    match common::parts::asked().as_deref() {
        Some(common::diligent::PART) => common::diligent::work(),
        Some(bind::DOORKEEPER) => bind::keep_doors(),
        Some(ports::LONER) => ports::keep_a_door(),
        _ => {}
    }
}
