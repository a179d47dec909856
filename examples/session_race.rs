//! Two requests use one session at the same time: what goes wrong, and what helps.
//!
//! ```text
//! cargo run --example session_race
//! ```
//!
//! The requests come one step of one, one step of the other, so that every run shows the same. In
//! a real application they are on two threads or in two workers, and it goes wrong once in a while.

#![allow(clippy::print_stdout, reason = "an example shows")]

use std::time::Duration;

use memstore_cluster::config::Tombstone;
use memstore_cluster::{DestroyOptions, Error, Options, SetOptions, Standalone, Store};

type Cart = Vec<String>;

/// Longer than any request takes.
const GRACE: Duration = Duration::from_secs(10);

fn main() -> Result<(), Error> {
    let options = Options {
        standalone: Standalone::Always,
        ..Options::default()
    };
    let store = options.clone().create()?;
    lost_update(&store)?;
    undone_logout(&store)?;
    new_id(&store)?;

    // Where the sessions are written by code that knows nothing of this, such as express-session,
    // the store can be told which keys are sessions: `--tombstones sess:=10s`.
    let guarded = Options {
        tombstones: vec![Tombstone::new("sess:", GRACE)],
        ..options
    };
    unaware_of_it_all(&guarded.create()?)
}

fn lost_update(store: &Store) -> Result<(), Error> {
    store.set_json("sess:1", &Cart::new(), SetOptions::new())?;
    let mut slow: Cart = store.get_json("sess:1")?.expect("it was just written");
    let mut quick: Cart = store.get_json("sess:1")?.expect("it was just written");
    quick.push("pear".to_owned());
    store.set_json("sess:1", &quick, SetOptions::new())?;
    slow.push("apple".to_owned());
    store.set_json("sess:1", &slow, SetOptions::new())?;
    let cart: Cart = store.get_json("sess:1")?.expect("it was just written");
    println!("both saved what they had loaded: {cart:?}");
    assert_eq!(cart, ["apple"], "the pear is lost");

    // The cure: say what changes, and let the store find out what it changes.
    store.set_json("sess:1", &Cart::new(), SetOptions::new())?;
    let mut is_first_try = true;
    store.update_json("sess:1", |slow: &mut Cart| {
        if std::mem::take(&mut is_first_try) {
            let add = |quick: &mut Cart| quick.push("pear".to_owned());
            store.update_json("sess:1", add).expect("it is there");
        }
        slow.push("apple".to_owned());
    })?;
    let cart: Cart = store.get_json("sess:1")?.expect("it was just written");
    println!("both updated it: {cart:?}");
    assert_eq!(cart, ["pear", "apple"]);
    Ok(())
}

fn undone_logout(store: &Store) -> Result<(), Error> {
    store.set("sess:2", "alice")?;
    let slow = store.get("sess:2")?.expect("it was just written");
    store.destroy("sess:2")?;
    store.set("sess:2", &slow.value)?;
    let is_back = store.get("sess:2")?.is_some();
    println!("after a logout and a late save, alice is logged in: {is_back}");
    assert!(is_back);

    // The cure: a save says that it is no login.
    let slow = store.get("sess:2")?.expect("it came back");
    store.destroy("sess:2")?;
    let save = SetOptions::new().if_present();
    let refused = store.set_with("sess:2", &slow.value, save);
    assert!(matches!(refused, Err(Error::Conflict { found: None })));
    // Or the logout says how long it is to be remembered, whoever saves and however.
    store.set("sess:2", "alice")?;
    let logout = DestroyOptions::new().tombstone(GRACE);
    store.destroy_with("sess:2", logout)?;
    let refused = store.set("sess:2", &slow.value);
    assert!(matches!(refused, Err(Error::Conflict { found: None })));
    let is_back = store.get("sess:2")?.is_some();
    println!("after a logout that is remembered: {is_back}");
    assert!(!is_back);
    Ok(())
}

fn new_id(store: &Store) -> Result<(), Error> {
    store.set("sess:3", "visitor")?;
    let slow = store.get("sess:3")?.expect("it was just written");
    // The login gives the session an id that nobody has seen before.
    let is_moved = store.regenerate("sess:3", "sess:4", GRACE)?.is_some();
    assert!(is_moved);
    store.update("sess:4", |_| "alice")?;
    // A request that was sent with the old id goes on as before, and changes nothing of the new.
    store.set("sess:3", &slow.value)?;
    let [old, new] = ["sess:3", "sess:4"].map(|key| store.get(key));
    let (old, new) = (old?.expect("for the grace"), new?.expect("for ever"));
    println!(
        "after a login the old id is {} for at most {GRACE:?}, the new one is {}",
        String::from_utf8_lossy(&old.value),
        String::from_utf8_lossy(&new.value)
    );
    assert!(old.ttl <= Some(GRACE) && old.ttl.is_some());
    assert_eq!((&*new.value, new.ttl), (&b"alice"[..], None));
    Ok(())
}

fn unaware_of_it_all(store: &Store) -> Result<(), Error> {
    store.set("sess:5", "alice")?;
    let slow = store.get("sess:5")?.expect("it was just written");
    store.destroy("sess:5")?;
    let refused = store.set("sess:5", &slow.value);
    println!(
        "with --tombstones a late save is refused: {}",
        refused.is_err()
    );
    assert!(matches!(refused, Err(Error::Conflict { found: None })));
    Ok(())
}
