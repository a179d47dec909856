//! The rules of the public suite that no clock is part of: the servers have their own, which cannot
//! be told to go on. What concerns time is in `single`.

use memstore_cluster::testing::conformance::Suite;

use crate::servers::{Server, open};

#[test]
fn the_contract_is_kept_where_no_clock_is_part_of_it() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    for rule in [
        "keys_differ_by_every_byte",
        "an_entry_that_is_refused_is_not_there",
        "what_is_not_there_is_not_found",
        "what_is_destroyed_is_gone",
        "of_two_compare_and_sets_from_the_same_version_one_wins",
        "a_walk_ends_while_others_write",
        "clear_removes_everything_at_once",
        "what_it_cannot_do_is_refused_and_not_done",
    ] {
        let fresh = || {
            server.cli(&["FLUSHALL"]);
            open(&format!("{}?timeout=10s", server.url())).unwrap()
        };
        Suite::new(fresh).only(rule).check();
    }
}
