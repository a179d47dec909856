//! A web application on every core behind one port, its sessions in the master.
//!
//! ```text
//! scripts/demo                       # wrapped: memstore-cluster run --bind … -- web
//! cargo run --release --example web  # or by itself: it is its own master
//! ```
//!
//! The page counts the visits of a session. Whichever worker answers, the count goes on: reload
//! the page and watch the slot and the process id change.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use memstore_cluster::{Cluster, Error, Listener, SetOptions, Store};
use serde::{Deserialize, Serialize};
use signal_hook::consts::SIGTERM;
use signal_hook::iterator::Signals;
use tiny_http::{Header, Request, Response, Server};

const SESSION_TTL: Duration = Duration::from_secs(30 * 60);
/// Requests that one worker answers at a time.
const THREADS: usize = 4;

fn main() -> Result<ExitCode, Error> {
    Cluster::new().bind("127.0.0.1:8080").run(|worker| {
        let store = worker.store().clone();
        let Some(Listener::Tcp(listener)) = worker.into_listeners().pop() else {
            return Err(Error::Config(
                "start me with one --bind HOST:PORT".to_owned(),
            ));
        };
        serve(listener, &store)
    })
}

fn serve(listener: std::net::TcpListener, store: &Store) -> Result<(), Error> {
    let server =
        Server::from_listener(listener, None).map_err(|error| Error::Config(error.to_string()))?;
    let server = Arc::new(server);
    let stop = Arc::clone(&server);
    let mut signals = Signals::new([SIGTERM]).map_err(Error::io("handle SIGTERM"))?;
    thread::spawn(move || {
        // Requests that were read before are answered before the threads end. This one keeps the
        // server: one that is dropped answers with 500 what it has read since.
        for _ in signals.forever() {
            (0..THREADS).for_each(|_| stop.unblock());
        }
    });
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                server
                    .incoming_requests()
                    .for_each(|request| answer(request, store));
            });
        }
    });
    Ok(())
}

#[derive(Default, Serialize, Deserialize)]
struct Session {
    visits: u64,
}

fn answer(request: Request, store: &Store) {
    if request.url() != "/" {
        let _ = request.respond(Response::from_string("not found\n").with_status_code(404));
        return;
    }
    let sid = session_id(&request).unwrap_or_else(new_session_id);
    let response = match visit(store, &sid) {
        Ok(visits) => Response::from_string(page(store, visits)).with_status_code(200),
        Err(error) => Response::from_string(format!("no session: {error}\n")).with_status_code(503),
    };
    let cookie = format!(
        "sid={sid}; Path=/; HttpOnly; SameSite=Lax; Max-Age={}",
        SESSION_TTL.as_secs()
    );
    let response = response
        .with_header(header("Set-Cookie", &cookie))
        .with_header(header("Content-Type", "text/html; charset=utf-8"))
        .with_header(header("Cache-Control", "no-store"));
    // A browser that went away is no concern of ours.
    let _ = request.respond(response);
}

/// Counts a visit. Two workers may answer the same session at once: whoever finds that the other
/// was faster starts again from what the other wrote, so no visit is lost.
fn visit(store: &Store, sid: &str) -> Result<u64, Error> {
    let key = format!("sess:{sid}");
    let options = SetOptions::new().ttl(SESSION_TTL);
    loop {
        let (mut session, options) = match store.get(&key)? {
            Some(entry) => (entry.json::<Session>()?, options.if_seq(entry.seq)),
            None => (Session::default(), options.if_absent()),
        };
        session.visits += 1;
        match store.set_json(&key, &session, options) {
            Ok(_) => return Ok(session.visits),
            Err(Error::Conflict { .. }) => {}
            Err(error) => return Err(error),
        }
    }
}

fn page(store: &Store, visits: u64) -> String {
    let who = match store.worker() {
        Some(slot) => format!("worker {slot}"),
        None => "standalone".to_owned(),
    };
    format!(
        "<!doctype html><title>memstore-cluster</title>\
         <h1>Visit number <b id=visits>{visits}</b></h1>\
         <p>answered by <b id=worker>{who}</b>, process <b id=pid>{}</b></p>\n",
        std::process::id()
    )
}

fn session_id(request: &Request) -> Option<String> {
    let cookies = request
        .headers()
        .iter()
        .find(|header| header.field.equiv("Cookie"))?;
    let sid = cookies
        .value
        .as_str()
        .split(';')
        .find_map(|cookie| cookie.trim().strip_prefix("sid="))?;
    let is_ours = sid.len() == 32 && sid.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_ours.then(|| sid.to_owned())
}

fn new_session_id() -> String {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the system has random bytes");
    bytes.iter().fold(String::new(), |mut sid, byte| {
        let _ = write!(sid, "{byte:02x}");
        sid
    })
}

fn header(name: &str, value: &str) -> Header {
    Header::from_bytes(name, value).expect("our headers are ASCII")
}
