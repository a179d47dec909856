//! Native frames and what is in them.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| memstore_cluster::protocol::fuzzing::frame(input));
