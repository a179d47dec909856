//! The npm modules, all in one Node process that does what `originals.cjs` is told by lines of JSON.

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::cases::{self, Case, Work};
use super::common::{Result, keys};
use super::contest::{Contestant, Done, Who};

/// The folder below which `scripts/node-modules` installs.
fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

/// Whether the modules are there.
pub(crate) fn are_installed() -> bool {
    ["stores", "node"].iter().all(|packages| {
        let folder = tests().join(packages).join("node_modules");
        folder.join(".package-lock.json").exists()
    })
}

/// The process; dropping it kills it.
pub(crate) struct Node {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Node {
    /// Starts it, with sessions under the keys from 1 on.
    ///
    /// # Errors
    /// Where there is no Node, or not all that is to be installed.
    pub(crate) fn start(entries: u64) -> Result<Self> {
        if !are_installed() {
            return Err("the npm modules are not installed: run scripts/node-modules".into());
        }
        let script = "scripts/drivers/backends/originals.cjs";
        let mut child = Command::new("node")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(script))
            .arg(tests())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("node: {error}"))?;
        let input = child.stdin.take().ok_or("node has no input")?;
        let output = child.stdout.take().ok_or("node has no output")?;
        let mut node = Self {
            child,
            input,
            output: BufReader::new(output).lines(),
        };
        let keys = (1..=entries).map(|n| String::from_utf8_lossy(&keys::key(n)).into_owned());
        node.ask::<()>(json!({
            "command": "prepare",
            "keys": keys.collect::<Vec<_>>(),
            "body": cases::body(),
            "lifetime": cases::LIFETIME_MS,
        }))?;
        Ok(node)
    }

    #[allow(clippy::needless_pass_by_value, reason = "it is made for this")]
    fn ask<T: DeserializeOwned>(&mut self, command: Value) -> Result<T> {
        writeln!(self.input, "{command}")?;
        let line = self.output.next().ok_or("node has ended")??;
        let mut answer: Value = serde_json::from_str(&line)?;
        match answer["error"].take() {
            Value::Null => Ok(serde_json::from_value(answer["ok"].take())?),
            error => Err(format!("node: {error}").into()),
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One of the modules with a store of its own.
pub(crate) struct Original {
    node: Rc<RefCell<Node>>,
    case: Case,
    place: String,
    /// The process of the server that the module asks.
    server: Option<u32>,
    /// The module and what it needs, with their versions.
    pub(crate) version: String,
}

impl Original {
    /// Opens a store there and fills it.
    ///
    /// # Errors
    /// The module says no.
    pub(crate) fn open(
        node: &Rc<RefCell<Node>>,
        case: Case,
        place: String,
        server: Option<u32>,
    ) -> Result<Self> {
        let kind = case.storage.name();
        let version = node
            .borrow_mut()
            .ask(json!({ "command": "open", "kind": kind, "place": place }))?;
        node.borrow_mut()
            .ask::<()>(json!({ "command": "fill", "place": place }))?;
        Ok(Self {
            node: Rc::clone(node),
            case,
            place,
            server,
            version,
        })
    }
}

impl Contestant for Original {
    fn who(&self) -> Who {
        Who::Original
    }

    fn pids(&self) -> Vec<u32> {
        let node = self.node.borrow().child.id();
        [node].into_iter().chain(self.server).collect()
    }

    fn run(&mut self, work: Work, time: Duration) -> Result<Done> {
        self.node.borrow_mut().ask(json!({
            "command": "run",
            "place": self.place,
            "durable": self.case.is_durable,
            "operation": format!("{:?}", work.op).to_lowercase(),
            "calls": work.calls,
            "millis": time.as_secs_f64() * 1e3,
        }))
    }
}
