//! The Redis protocol: requests in pieces, patterns, numbers, errors.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| memstore_cluster::protocol::fuzzing::resp(input));
