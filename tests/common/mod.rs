//! What the process tests share: real programs in a folder of their own, ended when dropped.

#![allow(dead_code, unreachable_pub, reason = "each test program uses its part")]
#![allow(clippy::unwrap_used, reason = "helpers may panic as the tests do")]

pub mod cluster;
pub mod diligent;
pub mod ended;
pub mod http;
pub mod installed;
pub mod parts;
pub mod peer;
pub mod proof;
pub mod proxy;
pub mod redis;

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use memstore_cluster::{Options, Store};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use tempfile::TempDir;

/// How long anything may take before a test gives up: far above what it takes.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The binary under test.
pub fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_memstore-cluster"))
}

/// An example program, built by the same `cargo test`.
pub fn example(name: &str) -> PathBuf {
    let folder = binary().parent().expect("the binary is in a folder");
    let path = folder.join("examples").join(name);
    assert!(
        path.exists(),
        "{} was not built: run `cargo build --examples`",
        path.display()
    );
    path
}

/// A folder of the test's own.
pub fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// Says loudly that a test cannot be had here, and why.
pub fn skipped(why: &str) {
    let _ = writeln!(std::io::stderr(), "!! SKIPPED: {why}");
    let is_ci = std::env::var_os("CI").is_some_and(|ci| ci == "true");
    assert!(!is_ci, "nothing may be skipped here");
}

/// Waits until `condition` gives something.
pub fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(Instant::now() < deadline, "in vain: {what}");
        thread::park_timeout(Duration::from_millis(2));
    }
}

/// A program that is running. When this is dropped its process group is killed, and those of its
/// children: a worker leads one of its own.
pub struct Running {
    child: Child,
    stdout: Lines,
    stderr: Lines,
}

/// What is left of a program that has ended.
#[derive(Debug)]
pub struct Finished {
    pub status: ExitStatus,
    pub stdout: Vec<String>,
    pub stderr: Vec<String>,
}

/// The lines that a program has written so far.
#[derive(Clone, Default)]
pub struct Lines(Arc<(Mutex<Page>, Condvar)>);

#[derive(Default)]
struct Page {
    lines: Vec<String>,
    is_over: bool,
}

impl Lines {
    fn collect(source: impl Read + Send + 'static) -> Self {
        let lines = Self::default();
        let collected = lines.clone();
        thread::spawn(move || {
            let (page, news) = &*collected.0;
            let page = || page.lock().unwrap_or_else(PoisonError::into_inner);
            for line in BufReader::new(source).lines().map_while(Result::ok) {
                page().lines.push(line);
                news.notify_all();
            }
            page().is_over = true;
            news.notify_all();
        });
        lines
    }

    /// What was written so far.
    pub fn so_far(&self) -> Vec<String> {
        self.page().lines.clone()
    }

    fn page(&self) -> MutexGuard<'_, Page> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `enough` gives something for all lines so far.
    pub fn until<T>(&self, what: &str, mut enough: impl FnMut(&[String]) -> Option<T>) -> T {
        self.until_page(what, |page| enough(&page.lines))
    }

    /// Waits until nothing more can come.
    pub fn until_end(&self) -> Vec<String> {
        self.until_page("the end of the output", |page| {
            page.is_over.then(|| page.lines.clone())
        })
    }

    fn until_page<T>(&self, what: &str, mut enough: impl FnMut(&Page) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut page = self.page();
        loop {
            if let Some(found) = enough(&page) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            // What came is shown when the program is dropped.
            assert!(!left.is_zero(), "in vain: {what}");
            page = self
                .0
                .1
                .wait_timeout(page, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Waits for a line that contains `text`.
    pub fn until_contains(&self, text: &str) -> String {
        self.until(text, |lines| {
            lines.iter().find(|line| line.contains(text)).cloned()
        })
    }
}

impl Running {
    /// Starts a program in a process group of its own.
    pub fn start(command: &mut Command) -> Self {
        command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let stdout = Lines::collect(child.stdout.take().expect("it is piped"));
        let stderr = Lines::collect(child.stderr.take().expect("it is piped"));
        Self {
            child,
            stdout,
            stderr,
        }
    }

    pub fn stdout(&self) -> &Lines {
        &self.stdout
    }

    pub fn stderr(&self) -> &Lines {
        &self.stderr
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        kill(pid(self.pid()), signal).expect("it is there to be signalled");
    }

    /// How it ended, if it has.
    pub fn try_wait(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("it is a child of ours")
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        let mut ended = || self.child.try_wait().expect("it can be waited for");
        eventually("the program ends", &mut ended)
    }

    /// Waits for its end and for the last line of its output, also that of what it started.
    pub fn finish(&mut self) -> Finished {
        let status = self.wait();
        Finished {
            status,
            stdout: self.stdout.until_end(),
            stderr: self.stderr.until_end(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        for leader in children(self.pid()).into_iter().chain([self.pid()]) {
            let _ = killpg(pid(leader), Signal::SIGKILL);
        }
        let _ = self.child.wait();
        if thread::panicking() {
            let text = format!(
                "--- stdout\n{:#?}\n--- stderr\n{:#?}\n",
                self.stdout.so_far(),
                self.stderr.so_far()
            );
            let _ = std::io::stderr().write_all(text.as_bytes());
        }
    }
}

pub fn pid(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).expect("a pid is small"))
}

/// `memstore-cluster …` without what the environment of the tests may say to it.
pub fn memstore<I: AsRef<OsStr>>(args: impl IntoIterator<Item = I>) -> Command {
    let mut command = clean(binary());
    command.args(args);
    command
}

/// A program without what the environment of the tests may say to it.
pub fn clean(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("MEMSTORE_") {
            command.env_remove(name);
        }
    }
    command
}

/// A handle to the master at `sock`.
pub fn connect(sock: &Path) -> Store {
    Options {
        sock: Some(sock.to_owned()),
        connect: true,
        ..Options::default()
    }
    .create()
    .expect("a master answers")
}

/// Whether a process is there and no zombie.
pub fn is_alive(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        !stat
            .rsplit(')')
            .next()
            .is_some_and(|rest| rest.starts_with(" Z"))
    })
}

/// How many descriptors a process has open.
pub fn open_fds(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// The children of a process, zombies included.
pub fn children(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .flatten();
    tasks
        .filter_map(|task| fs::read_to_string(task.path().join("children")).ok())
        .flat_map(|list| {
            list.split_whitespace()
                .filter_map(|pid| pid.parse().ok())
                .collect::<Vec<u32>>()
        })
        .collect()
}

/// A port from which on so many are free. They are below those that the system gives out, so that
/// nobody gets one by chance.
pub fn free_ports(count: u16) -> u16 {
    eventually("there are free ports", || {
        let base = fastrand::u16(10_000..32_000);
        let is_free = |port| std::net::TcpListener::bind(("0.0.0.0", port)).is_ok();
        (base..base + count).all(is_free).then_some(base)
    })
}
