//! Files that are no store for this master: refused with a sentence, and left as they were.

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};

use memstore_cluster::{Error, Options, Source, Standalone};
use nix::sys::signal::Signal;

use crate::common::ended::end;
use crate::common::{connect, memstore};
use crate::{Place, url};

/// Both kinds of masters say all of `words` and end with 78, and the file is unchanged.
#[track_caller]
fn refused(place: &Place, words: &[&str]) {
    let before = fs::read(place.store()).unwrap();
    let blocks = || fs::metadata(place.store()).unwrap().blocks();
    let blocks_before = blocks();
    for master in &mut place.masters("") {
        let ended = end(master).with(78, words);
        assert!(ended.stderr.contains(place.store().to_str().unwrap()));
        assert!(!place.sock().exists(), "nobody is let in");
    }
    assert!(
        fs::read(place.store()).unwrap() == before,
        "the file was changed"
    );
    assert_eq!(blocks(), blocks_before);
}

/// A file with a store in it.
fn stored() -> Place {
    let place = Place::new();
    let mut master = place.serve("");
    let store = connect(&place.sock());
    (0..100u8).for_each(|n| assert!(store.set([n], [n; 1000]).is_ok()));
    master.signal(Signal::SIGTERM);
    assert_eq!(master.finish().status.code(), Some(0));
    place
}

#[test]
fn a_file_of_another_version_is_refused() {
    let place = stored();
    let file = fs::File::options().write(true).open(place.store()).unwrap();
    file.write_all_at(&7u32.to_le_bytes(), 16).unwrap();
    refused(&place, &["format 7", "reads format 1", "dump it"]);
}

#[test]
fn a_truncated_file_is_refused() {
    let place = stored();
    let file = fs::File::options().write(true).open(place.store()).unwrap();
    let len = file.metadata().unwrap().len();
    for len in [len - 1, 18 << 16, 17 << 16, 1 << 16, 4096, 16] {
        file.set_len(len).unwrap();
        refused(&place, &["truncated"]);
    }
}

#[test]
fn what_is_no_store_is_refused() {
    let place = Place::new();
    for garbage in [b"hello".to_vec(), vec![b'x'; 3 << 20], vec![0; 3 << 20]] {
        fs::write(place.store(), garbage).unwrap();
        refused(&place, &["is not a store of memstore-cluster"]);
    }
}

#[test]
fn a_store_with_a_damaged_front_is_refused() {
    let place = stored();
    let mut options = fs::File::options();
    let file = options.read(true).write(true).open(place.store()).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 30).unwrap();
    file.write_all_at(&[!byte[0]], 30).unwrap();
    refused(&place, &["first page is damaged"]);
}

#[test]
fn a_file_in_use_is_refused_and_its_master_goes_on() {
    let place = Place::new();
    let mut master = place.serve("");
    let store = connect(&place.sock());
    store.set("key", "value").unwrap();
    let other = place.at("other");
    for verb in [&["serve"][..], &["run", "--workers", "1"]] {
        let mut second = memstore(verb);
        second
            .arg("--sock")
            .arg(&other)
            .arg("--store")
            .arg(url(&place.store()));
        if verb[0] == "run" {
            second.args(["--", "true"]);
        }
        end(&mut second).with(78, &["in use by another master"]);
    }
    let standalone = Options {
        standalone: Standalone::Always,
        store: Source::file(place.store(), memstore_cluster::config::Syncing::Never),
        ..Options::default()
    };
    let error = standalone.create().unwrap_err();
    assert!(matches!(error, Error::Config(_)), "{error:?}");
    assert_eq!(store.get("key").unwrap().unwrap().value, b"value");
    master.signal(Signal::SIGTERM);
    assert_eq!(master.finish().status.code(), Some(0));
}

#[test]
fn a_directory_is_refused() {
    let place = Place::new();
    fs::create_dir(place.store()).unwrap();
    for master in &mut place.masters("") {
        end(master).with(78, &["a directory", "name a file"]);
    }
}

#[test]
fn a_file_in_a_folder_that_is_not_there_is_refused() {
    let place = Place::new();
    let missing = place.at("missing/store");
    let mut serve = memstore(["serve", "--sock"]);
    serve.arg(place.sock()).arg("--store").arg(url(&missing));
    end(&mut serve).with(78, &["cannot be opened for writing: No such file"]);
}

#[test]
fn a_command_that_keeps_its_own_store_has_no_use_for_a_file() {
    let place = Place::new();
    let [_, mut run] = place.masters("");
    end(run.env("MEMSTORE_STANDALONE", "always")).with(78, &["leave out --standalone or --store"]);
    assert!(!place.store().exists());
    let [mut serve, _] = place.masters("--sync often");
    end(&mut serve).with(2, &["never, 1s, always"]);
    let mut serve = memstore(["serve", "--sync", "always", "--sock"]);
    end(serve.arg(place.sock())).with(2, &["nothing to sync in memory"]);
}
