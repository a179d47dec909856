//! What tests need that is not ours: whether it is on this machine.

use std::path::Path;
use std::process::{Command, Stdio};

use super::skipped;

/// Whether a program is there and does this well.
pub fn does(program: &str, args: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(args).stdout(Stdio::null());
    let status = command.stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// Whether a program is installed, which says its version when asked; if not, that is said.
pub fn is_installed(program: &str) -> bool {
    let is_there = does(program, &["--version"]);
    if !is_there {
        skipped(&format!("{program} is not installed"));
    }
    is_there
}

/// Whether there is a Node and what `scripts/node-modules` installs for it in this folder.
pub fn has_node_modules(folder: &Path) -> bool {
    if !is_installed("node") {
        return false;
    }
    let is_there = folder.join("node_modules/.package-lock.json").exists();
    if !is_there {
        skipped("the packages are not installed: run scripts/node-modules");
    }
    is_there
}
