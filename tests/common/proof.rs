//! Programs of other languages that prove something of a store, which they take for a Redis.
//!
//! Each holds what it expects. A redis-server has to meet that first, before a master has to: so no
//! program asks for more than there is anywhere else.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;

use super::ended::end;
use super::installed::is_installed;
use super::redis::Master;
use super::{Running, clean, eventually, folder};

/// What clients have to know of a store that has a secret.
const SECRET: &str = "open, sesame: 16 bytes";

/// How a program is started, and what it says when it has proved what it is there for: one of
/// these.
pub struct Proof<'a, F> {
    pub program: F,
    pub says: &'a [&'a str],
}

impl<F: Fn() -> Command> Proof<'_, F> {
    /// Runs the program against either store.
    pub fn holds(&self) {
        self.holds_with(&[], &[]);
    }

    /// Runs the program against either store, each with a secret.
    pub fn holds_with_a_secret(&self) {
        let folder = folder();
        let file = folder.path().join("secret");
        fs::write(&file, SECRET).expect("the file can be written");
        fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("it is ours");
        let file = file.to_str().expect("the folder's name is text");
        self.holds_with(&["--requirepass", SECRET], &["--secret-file", file]);
    }

    fn holds_with(&self, redis_flags: &[&str], master_flags: &[&str]) {
        if is_installed("redis-server") {
            let folder = folder();
            let sock = folder.path().join("redis");
            let mut redis = clean("redis-server");
            redis.args(["--port", "0", "--save", "", "--unixsocket"]);
            redis.arg(&sock).args(redis_flags);
            let _redis = Running::start(redis.current_dir(folder.path()));
            eventually("it listens", || UnixStream::connect(&sock).ok());
            self.holds_of(&sock, "redis-server");
        }
        let master = Master::start(master_flags);
        self.holds_of(&master.sock(), "a master");
    }

    fn holds_of(&self, sock: &Path, of: &str) {
        let mut program = (self.program)();
        program.env("STORE_SOCK", sock).env("SECRET", SECRET);
        until_said(&mut program, self.says, of);
    }
}

/// Runs a program to its end, which it sees to itself and says one of these at; `of` is what it is
/// about.
pub fn until_said(program: &mut Command, words: &[&str], of: &str) {
    let ended = end(program);
    let said = format!("{}\n{}", ended.text(), ended.stderr);
    let is_proved = ended.code == Some(0) && words.iter().any(|words| said.contains(words));
    assert!(is_proved, "{program:?} of {of}:\n{said}");
}
