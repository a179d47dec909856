//! The seeds of the fuzz targets, each through its target: what once was found stays found, also
//! where there is no fuzzer. `scripts/fuzz` goes on from them.

use std::fs;
use std::panic;
use std::path::Path;

use memstore_cluster::protocol::fuzzing;

fn run(target: &str, check: fn(&[u8])) {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fuzz/seeds")
        .join(target);
    let mut broken = Vec::new();
    let mut count = 0;
    for entry in fs::read_dir(&seeds).expect("seeds are there") {
        let path = entry.expect("a readable entry").path();
        let input = fs::read(&path).expect("a readable seed");
        // Each beginning is an input as well, and one that a connection really meets.
        let is_sound = |end: usize| panic::catch_unwind(|| check(&input[..end])).is_ok();
        let ends = (0..=input.len()).step_by(input.len() / 512 + 1);
        if !ends.chain([input.len()]).all(is_sound) {
            broken.push(path);
        }
        count += 1;
    }
    assert!(count >= 8, "only {count} seeds in {}", seeds.display());
    assert!(broken.is_empty(), "{broken:?}");
}

#[test]
fn seeds_of_native_frames_hold() {
    run("frame", fuzzing::frame);
}

#[test]
fn seeds_of_the_redis_protocol_hold() {
    run("resp", fuzzing::resp);
}
