//! Processes that use the library: this test program run again to play a part.
//!
//! A test program that uses this has one test that does nothing unless it is asked for a part:
//!
//! ```ignore
//! #[test]
//! fn play_a_part() {
//!     if let Some(part) = parts::asked() { .. }
//! }
//! ```

use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use super::{Running, clean, memstore};

/// The variable that asks for a part.
const PART: &str = "TEST_PART";
/// The variable with the socket that the part is about.
const SOCK: &str = "TEST_SOCK";

/// The part that this process is asked to play; `None` in the test program itself.
pub fn asked() -> Option<String> {
    std::env::var(PART).ok()
}

/// The socket that the part is about.
pub fn sock() -> std::path::PathBuf {
    std::env::var_os(SOCK)
        .expect("a part is told its socket")
        .into()
}

/// Asks a program for a part, or whatever it starts.
pub fn ask<'c>(command: &'c mut Command, part: &str, sock: &Path) -> &'c mut Command {
    command.env(PART, part).env(SOCK, sock)
}

/// The command line of this test program as a part.
pub fn line() -> Vec<OsString> {
    let program = std::env::current_exe().expect("this program has a file");
    let mut line = vec![program.into_os_string()];
    line.extend(["--exact", "play_a_part", "--nocapture"].map(OsString::from));
    line
}

/// This test program as a part.
pub fn part(part: &str, sock: &Path) -> Command {
    let line = line();
    let mut command = clean(&line[0]);
    command.args(&line[1..]);
    ask(&mut command, part, sock);
    command
}

/// The part as `run -- …` starts it.
pub fn wrapped<I: AsRef<OsStr>>(
    name: &str,
    sock: &Path,
    flags: impl IntoIterator<Item = I>,
) -> Command {
    let mut command = memstore(["run", "--sock"]);
    command.arg(sock).args(flags).arg("--").args(line());
    ask(&mut command, name, sock);
    command
}

/// Writes a line of its own in one piece; the test runner may have begun one.
pub fn say(line: &str) {
    let mut out = std::io::stdout();
    out.write_all(format!("\n{line}\n").as_bytes())
        .expect("the test listens");
    out.flush().expect("the test listens");
}

/// A master at `sock` that serves already.
pub fn serve<I: AsRef<OsStr>>(sock: &Path, flags: impl IntoIterator<Item = I>) -> Running {
    let mut command = memstore(["serve", "--sock"]);
    command.arg(sock).args(flags);
    let master = Running::start(&mut command);
    master.stderr().until_contains(" serving ");
    master
}

/// Starts a program that may use one core only.
pub fn start_on_one_core(command: &mut Command) -> Running {
    std::thread::scope(|scope| {
        let start = || {
            // What a thread starts inherits its affinity; the thread ends with its task.
            let me = Pid::from_raw(0);
            let all = sched_getaffinity(me).expect("every thread has an affinity");
            let first = (0..CpuSet::count()).find(|cpu| all.is_set(*cpu) == Ok(true));
            let mut one = CpuSet::new();
            one.set(first.expect("this thread runs"))
                .expect("it was set before");
            sched_setaffinity(me, &one).expect("a thread may bind itself");
            Running::start(command)
        };
        scope.spawn(start).join().expect("the program starts")
    })
}
