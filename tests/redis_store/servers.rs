//! redis-servers on ports of their own, alone, watched by Sentinels, or as a cluster.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;

use memstore_cluster::backend::RedisBackend;
use memstore_cluster::config::Store;
use tempfile::TempDir;

use crate::common::installed::is_installed;
use crate::common::{Running, clean, eventually, folder};

/// A server. It ends when this is dropped, and can be started again where it was.
pub struct Server {
    pub port: u16,
    args: Vec<String>,
    folder: TempDir,
    running: Option<Running>,
}

impl Server {
    /// Starts one with these arguments; `None`, loudly, where there is no redis-server.
    pub fn start(args: &[&str]) -> Option<Self> {
        if !is_installed("redis-server") {
            return None;
        }
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        // A port may be taken by somebody else before the server has it.
        Some(eventually("a server with a free port", || {
            let mut server = Self {
                port: free_port(),
                args: Vec::clone(&args),
                folder: folder(),
                running: None,
            };
            server.begin().then_some(server)
        }))
    }

    /// Starts it, or starts it again.
    pub fn restart(&mut self) {
        eventually("the server has its port again", || {
            self.begin().then_some(())
        });
    }

    fn begin(&mut self) -> bool {
        let mut command = clean("redis-server");
        let port = self.port.to_string();
        command.args(["--port", &port, "--bind", "127.0.0.1"]);
        command.args(["--save", "", "--appendonly", "no", "--unixsocket", "sock"]);
        command.args(&self.args).current_dir(self.folder.path());
        let mut running = Running::start(&mut command);
        let is_there = eventually("the server listens, or has ended", || {
            if TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok() {
                return Some(true);
            }
            running.try_wait().map(|_| false)
        });
        self.running = Some(running);
        is_there
    }

    /// Kills it.
    pub fn kill(&mut self) {
        self.running = None;
    }

    /// The process, to stop and to continue it.
    pub fn process(&self) -> &Running {
        self.running.as_ref().expect("it runs")
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub fn sock(&self) -> PathBuf {
        self.folder.path().join("sock")
    }

    /// What the server answers to a command of another client.
    pub fn cli(&self, args: &[&str]) -> String {
        let mut cli = clean("redis-cli");
        cli.args(["-p", &self.port.to_string()]).args(args);
        let output = cli.output().expect("redis-cli comes with redis-server");
        String::from_utf8(output.stdout)
            .expect("text")
            .trim()
            .to_owned()
    }
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a free port");
    listener.local_addr().expect("it is bound").port()
}

/// Opens a backend by its URL.
pub fn open(url: &str) -> Result<RedisBackend, memstore_cluster::Error> {
    match url.parse().expect(url) {
        Store::Redis(redis) => RedisBackend::open(&redis),
        other => panic!("{other} is another store"),
    }
}
