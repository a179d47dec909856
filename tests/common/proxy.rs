//! A socket between clients and a master: it records what passes, and can lose it.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Instant;

use super::PATIENCE;

/// Serves a path by passing everything on to another. Its threads end with their streams.
#[derive(Clone)]
pub struct Proxy(Arc<Shared>);

struct Shared {
    master: PathBuf,
    state: Mutex<State>,
    news: Condvar,
}

#[derive(Default)]
struct State {
    /// All bytes of both directions.
    seen: Vec<u8>,
    /// How many replies were kept back.
    kept_back: usize,
    /// Whether replies are kept back.
    is_deaf: bool,
    streams: Vec<UnixStream>,
}

impl Proxy {
    /// Serves `path` from now on.
    pub fn start(path: &Path, master: &Path) -> Self {
        let proxy = Self(Arc::new(Shared {
            master: master.to_owned(),
            state: Mutex::default(),
            news: Condvar::new(),
        }));
        let listener = UnixListener::bind(path).expect("the path is free");
        let accepting = proxy.clone();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                // A client that comes while there is no master finds its connection closed.
                if let Ok(master) = UnixStream::connect(&accepting.0.master) {
                    accepting.join(client, master);
                }
            }
        });
        proxy
    }

    /// Everything that was said so far, by both sides.
    pub fn seen(&self) -> Vec<u8> {
        self.lock().seen.clone()
    }

    /// From now on what the master says does not arrive.
    pub fn keep_replies_back(&self) {
        let mut state = self.lock();
        state.is_deaf = true;
        state.kept_back = 0;
    }

    /// Waits until the master has answered something that did not arrive.
    pub fn until_one_is_kept_back(&self) {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.lock();
        while state.kept_back == 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "nothing was asked");
            state = self
                .0
                .news
                .wait_timeout(state, left)
                .expect("no panics in here")
                .0;
        }
    }

    /// Ends all connections; later ones work.
    pub fn cut(&self) {
        let mut state = self.lock();
        state.is_deaf = false;
        for stream in state.streams.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().expect("no panics in here")
    }

    fn join(&self, client: UnixStream, master: UnixStream) {
        let copy = |stream: &UnixStream| stream.try_clone().expect("a descriptor is free");
        self.lock().streams.extend([copy(&client), copy(&master)]);
        let (to_client, to_master) = (copy(&client), copy(&master));
        let (asking, answering) = (self.clone(), self.clone());
        thread::spawn(move || asking.pass(client, to_master, Direction::Requests));
        thread::spawn(move || answering.pass(master, to_client, Direction::Replies));
    }

    fn pass(&self, mut from: UnixStream, mut to: UnixStream, direction: Direction) {
        let mut bytes = vec![0; 64 << 10];
        while let Ok(read @ 1..) = from.read(&mut bytes) {
            let mut state = self.lock();
            state.seen.extend_from_slice(&bytes[..read]);
            if state.is_deaf && direction == Direction::Replies {
                state.kept_back += 1;
                self.0.news.notify_all();
                continue;
            }
            drop(state);
            if to.write_all(&bytes[..read]).is_err() {
                break;
            }
        }
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Requests,
    Replies,
}
