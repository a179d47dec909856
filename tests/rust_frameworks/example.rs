//! examples/axum, wrapped with one command, as a user would.

use std::collections::BTreeSet;
use std::thread;

use nix::sys::signal::{Signal, kill};

use super::browser::Browser;
use super::common::cluster::{bound, start, until_started};
use super::common::{Running, example, folder, pid};

const WORKERS: usize = 2;

/// The example on its workers, all of which are ready.
fn serve(folder: &tempfile::TempDir) -> Running {
    let flags = format!("--workers {WORKERS} --bind 127.0.0.1:0 --stable-after 0");
    let master = start(&folder.path().join("s"), &flags, &[example("axum")]);
    master
        .stderr()
        .until("all workers have introduced themselves", |log| {
            let ready = log.iter().filter(|line| line.contains("sign=Announced"));
            (ready.count() == WORKERS).then_some(())
        });
    master
}

/// What stands in the element with this id.
fn element(body: &str, id: &str) -> String {
    let rest = body.split(&format!(" id={id}>")).nth(1);
    let rest = rest.unwrap_or_else(|| panic!("no {id} in {body}"));
    rest.split('<').next().unwrap().to_owned()
}

/// Visits the page; the number of the visit and who answered.
fn visit(browser: &mut Browser) -> (u64, u32) {
    let body = browser.get("/").ok();
    let number = |id| element(&body, id).parse::<u64>().unwrap();
    (number("visits"), u32::try_from(number("pid")).unwrap())
}

#[test]
fn login_counter_and_logout_on_several_workers() {
    let folder = folder();
    let mut master = serve(&folder);
    let servers = [bound(&master)];
    let mut browser = Browser::new(&servers);
    assert_eq!(element(&browser.get("/").ok(), "who"), "nobody");
    assert!(browser.cookies.is_empty());
    assert_eq!(browser.post("/login", "user=%3Cb%3Eferris").status, 303);
    assert_eq!(element(&browser.get("/").ok(), "who"), "&lt;b>ferris");

    let mut visits = 1;
    let mut pids = BTreeSet::new();
    while pids.len() < WORKERS {
        let (number, pid) = visit(&mut browser);
        visits += 1;
        assert_eq!(number, visits);
        assert!(visits < 500, "{pids:?} answered every visit");
        pids.insert(pid);
    }

    // Many tabs at once.
    let tabs = 4;
    thread::scope(|scope| {
        for _ in 0..tabs {
            let mut tab = browser.clone();
            scope.spawn(move || {
                for _ in 0..10 {
                    visit(&mut tab);
                }
            });
        }
    });
    visits += tabs * 10;
    let (number, victim) = visit(&mut browser);
    visits += 1;
    assert_eq!(number, visits);

    // A worker dies, the session does not.
    kill(pid(victim), Signal::SIGKILL).unwrap();
    until_started(&master, WORKERS + 1);
    for _ in 0..10 {
        visits += 1;
        assert_eq!(visit(&mut browser).0, visits);
    }

    // The id from before the login is worth nothing, nor is the one from before the logout.
    let mut old = browser.clone();
    assert_eq!(browser.post("/login", "user=ferris").status, 303);
    assert_eq!(element(&old.get("/").ok(), "who"), "nobody");
    let mut other_tab = browser.clone();
    assert_eq!(browser.post("/logout", "").status, 303);
    assert!(browser.cookies.is_empty());
    assert_eq!(element(&other_tab.get("/").ok(), "who"), "nobody");

    master.signal(Signal::SIGTERM);
    let end = master.finish();
    assert_eq!(end.status.code(), Some(0), "{end:#?}");
    let ends = end
        .stderr
        .iter()
        .filter(|line| line.contains("worker ended"));
    let clean = ends.filter(|line| line.contains("exit code 0")).count();
    assert_eq!(clean, WORKERS, "{end:#?}");
}
