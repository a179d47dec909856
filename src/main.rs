//! The `memstore-cluster` binary.
fn main() {}
