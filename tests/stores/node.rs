//! A session store of Node in a process of its own, asked by lines of JSON.

use std::io::{BufRead, BufReader, Lines, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use serde_json::{Value, json};

use crate::common::clean;
use crate::common::installed::has_node_modules;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stores")
}

/// Whether there is a Node and what `scripts/node-modules` installs for it.
pub(crate) fn has_packages() -> bool {
    has_node_modules(&folder())
}

/// `apps/store.cjs`.
pub(crate) struct NodeStore {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl NodeStore {
    /// A store of this kind, over what is there.
    pub(crate) fn start(kind: &str, place: &Path) -> Self {
        let mut child = clean("node")
            .arg(folder().join("apps/store.cjs"))
            .arg(kind)
            .arg(place)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut store = Self {
            input: child.stdin.take().unwrap(),
            output: BufReader::new(child.stdout.take().unwrap()).lines(),
            child,
        };
        assert_eq!(store.answer(), Ok(json!("ready")));
        store
    }

    fn answer(&mut self) -> Result<Value, String> {
        let line = self.output.next().expect("it answers").unwrap();
        let answer: Value = serde_json::from_str(&line).unwrap();
        match &answer["error"] {
            Value::Null => Ok(answer["ok"].clone()),
            error => Err(error.to_string()),
        }
    }

    /// Calls a method of the store; the callback is not among the arguments.
    pub(crate) fn call(&mut self, method: &str, args: &[Value]) -> Result<Value, String> {
        let line: Vec<_> = [json!(method)].into_iter().chain(args.to_vec()).collect();
        writeln!(self.input, "{}", Value::Array(line)).unwrap();
        self.answer()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn get(&mut self, sid: &str) -> Value {
        self.call("get", &[json!(sid)]).unwrap()
    }

    pub(crate) fn set(&mut self, sid: &str, session: &Value) {
        self.call("set", &[json!(sid), session.clone()]).unwrap();
    }
}

impl Drop for NodeStore {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
