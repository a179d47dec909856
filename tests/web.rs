//! The web application on several workers: one session, whoever answers, whatever happens.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, reason = "helpers may panic as the tests do")]

mod common;

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use common::cluster::{bound, start, until_started};
use common::{PATIENCE, Running, example, folder, pid};
use nix::sys::signal::{Signal, kill};

const WORKERS: usize = 3;

/// A browser: it keeps its cookie and makes a new connection for every visit.
struct Browser {
    address: SocketAddr,
    cookie: Option<String>,
}

/// What the page says.
#[derive(Debug, PartialEq, Eq)]
struct Page {
    visits: u64,
    pid: u32,
}

impl Browser {
    fn new(address: SocketAddr) -> Self {
        let cookie = None;
        Self { address, cookie }
    }

    fn connect(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(stream)
    }

    fn request(&self) -> String {
        let cookie = self
            .cookie
            .iter()
            .map(|cookie| format!("Cookie: theme=dark; {cookie}\r\n"));
        let cookie: String = cookie.collect();
        format!("GET / HTTP/1.1\r\nHost: test\r\n{cookie}Connection: close\r\n\r\n")
    }

    fn visit(&mut self) -> Page {
        let mut stream = self.connect().unwrap();
        stream.write_all(self.request().as_bytes()).unwrap();
        self.read(stream).unwrap()
    }

    /// Reads the answer to its end. An answer that is not whole and good is a panic; a connection
    /// that ends without one is an error.
    fn read(&mut self, mut stream: TcpStream) -> io::Result<Page> {
        let mut answer = String::new();
        let read = stream.read_to_string(&mut answer);
        if answer.is_empty() {
            read?;
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        let header = |name: &str| {
            let line = head
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            line.unwrap_or_else(|| panic!("no {name} in {head}"))
        };
        assert_eq!(header("Content-Length"), body.len().to_string(), "{answer}");
        let cookie = header("Set-Cookie").split(';').next().unwrap().to_owned();
        let known = self.cookie.get_or_insert_with(|| cookie.clone());
        assert_eq!(*known, cookie, "the session was changed");
        Ok(Page {
            visits: element(body, "visits").parse().unwrap(),
            pid: element(body, "pid").parse().unwrap(),
        })
    }
}

/// What stands in the element with this id.
fn element<'a>(body: &'a str, id: &str) -> &'a str {
    let start = format!("<b id={id}>");
    let rest = body
        .split(&start)
        .nth(1)
        .unwrap_or_else(|| panic!("no {id} in {body}"));
    rest.split('<').next().unwrap()
}

/// The application on its workers, all of which are ready, and where it is.
fn serve(sock: &Path, flags: &str) -> (Running, SocketAddr) {
    let flags = format!("--workers {WORKERS} --bind 127.0.0.1:0 {flags}");
    let master = start(sock, &flags, &[example("web")]);
    master
        .stderr()
        .until("all workers have introduced themselves", |log| {
            let ready = log.iter().filter(|line| line.contains("sign=Announced"));
            (ready.count() == WORKERS).then_some(())
        });
    let address = bound(&master);
    (master, address)
}

#[test]
fn a_session_goes_on_across_workers_and_their_deaths() {
    let folder = folder();
    let (mut master, address) = serve(&folder.path().join("m.sock"), "--stable-after 0");
    let mut browser = Browser::new(address);
    let mut visits = 0;
    let mut visit = || {
        let page = browser.visit();
        visits += 1;
        assert_eq!(page.visits, visits, "{page:?}");
        page.pid
    };
    let several = |visit: &mut dyn FnMut() -> u32| {
        let mut pids = BTreeSet::new();
        for _ in 0..500 {
            pids.insert(visit());
            if pids.len() > 1 {
                return pids;
            }
        }
        panic!("{pids:?} answered every visit");
    };
    several(&mut visit);
    for death in 0..6 {
        let victim = visit();
        kill(pid(victim), Signal::SIGKILL).unwrap();
        until_started(&master, WORKERS + death + 1);
        let survivors = several(&mut visit);
        assert!(!survivors.contains(&victim));
    }
    let mut other = Browser::new(address);
    assert_eq!(other.visit().visits, 1, "another browser, another session");
    master.signal(Signal::SIGTERM);
    assert_eq!(master.finish().status.code(), Some(0));
}

/// Browsers that go on until nobody listens any more: an answer that comes is whole and right, and
/// what was answered was counted.
#[test]
fn a_graceful_stop_finishes_what_it_answers() {
    let folder = folder();
    let (mut master, address) = serve(&folder.path().join("m.sock"), "--stop-timeout 1h");
    let all = AtomicU64::new(0);
    thread::scope(|scope| {
        let browsers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut browser = Browser::new(address);
                    let mut visits = 0;
                    let deadline = Instant::now() + PATIENCE;
                    while let Ok(stream) = browser.connect() {
                        assert!(Instant::now() < deadline, "somebody still listens");
                        let request = browser.request();
                        if (&stream).write_all(request.as_bytes()).is_err() {
                            continue;
                        }
                        let Ok(page) = browser.read(stream) else {
                            continue;
                        };
                        // A visit whose answer was cut off may have been counted.
                        assert!(page.visits > visits, "{page:?} after {visits}");
                        visits = page.visits;
                        all.fetch_add(1, Ordering::Relaxed);
                    }
                    visits
                })
            })
            .collect();
        common::eventually("there is load", || {
            (all.load(Ordering::Relaxed) > 200).then_some(())
        });
        master.signal(Signal::SIGTERM);
        let end = master.finish();
        assert_eq!(end.status.code(), Some(0), "{end:#?}");
        let ends = end
            .stderr
            .iter()
            .filter(|line| line.contains("worker ended"));
        assert!(
            ends.clone().all(|line| line.contains("exit code 0")),
            "{end:#?}"
        );
        assert_eq!(ends.count(), WORKERS);
        assert!(
            browsers
                .into_iter()
                .all(|browser| browser.join().unwrap() > 0)
        );
    });
}
