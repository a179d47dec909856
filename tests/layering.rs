//! Who may use whom: the arrows of the house, read from the `use crate::…` lines.
//!
//! A module may use what its row names and nothing else of the crate; so no circle can grow. The
//! bottom (`contract`, `time`, `error`, `config`, `secrets`, `sys`) is everybody's.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const BOTTOM: [&str; 6] = ["contract", "time", "error", "config", "secrets", "sys"];

/// A path prefix (modules joined by `/`) and the modules it may use besides the bottom and itself.
/// The longest prefix that fits a file is its row.
const MAY_USE: &[(&str, &[&str])] = &[
    ("contract", &[]),
    ("time", &[]),
    ("error", &[]),
    ("config", &[]),
    ("secrets", &[]),
    ("sys", &[]),
    ("protocol", &[]),
    ("store", &[]),
    ("snapshot", &[]),
    ("leveldb", &[]),
    ("backend", &["store", "leveldb"]),
    ("exec", &["protocol", "backend"]),
    ("net", &["protocol"]),
    ("supervisor/state", &[]),
    ("supervisor/policy", &[]),
    ("supervisor", &[]),
    ("client", &["protocol"]),
    (
        "master",
        &["protocol", "backend", "exec", "net", "supervisor"],
    ),
    (
        "cluster",
        &[
            "protocol",
            "backend",
            "exec",
            "net",
            "supervisor",
            "client",
            "master",
            "snapshot",
        ],
    ),
    (
        "testing",
        &[
            "protocol", "backend", "exec", "net", "client", "master", "cluster",
        ],
    ),
    ("integrations", &["cluster"]),
    (
        "cli",
        &[
            "protocol",
            "backend",
            "net",
            "supervisor",
            "client",
            "master",
            "cluster",
            "snapshot",
        ],
    ),
    ("main", &["cli"]),
    ("lib", &["backend", "cluster", "supervisor"]),
];

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("src is there") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

/// Whether a file, named without its ending, is only there for unit tests.
fn is_test_code(name: &str) -> bool {
    let mut parts = name.split('/').skip(1);
    parts.any(|part| matches!(part, "tests" | "testing" | "simulator" | "model" | "rules"))
        || name.ends_with("_tests")
}

/// The code of a file without its unit tests, which may use what they like.
fn code(text: &str) -> &str {
    text.split("\n#[cfg(test)]\nmod ").next().unwrap_or(text)
}

/// The first segment of every `crate::…` path in a line.
fn used(line: &str) -> Vec<&str> {
    line.split("crate::")
        .skip(1)
        .filter(|_| !line.trim_start().starts_with("//"))
        .filter_map(|rest| {
            rest.split(|c: char| !c.is_alphanumeric() && c != '_')
                .next()
        })
        .collect()
}

#[test]
fn every_module_uses_only_what_is_below_it() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    assert!(files.len() > 20, "only {} files were found", files.len());
    let rows: BTreeMap<&str, &[&str]> = MAY_USE.iter().copied().collect();
    let (mut wrong, mut looked_at) = (Vec::new(), 0);
    for file in &files {
        let name = file
            .strip_prefix(&src)
            .expect("below src")
            .with_extension("");
        let name = name.to_string_lossy().into_owned();
        if is_test_code(&name) {
            continue;
        }
        let prefix = (0..=name.len())
            .rev()
            .filter(|end| *end == name.len() || name.as_bytes()[*end] == b'/')
            .find_map(|end| rows.get_key_value(&name[..end]));
        let Some((row, allowed)) = prefix else {
            wrong.push(format!("src/{name}.rs has no row in tests/layering.rs"));
            continue;
        };
        let own = row.split('/').next().unwrap_or(row);
        let text = fs::read_to_string(file).expect("a readable source");
        for (number, line) in code(&text).lines().enumerate() {
            for module in used(line) {
                looked_at += 1;
                let is_type = module.starts_with(char::is_uppercase);
                let is_below =
                    module == own || BOTTOM.contains(&module) || allowed.contains(&module);
                let is_error = is_type && module == "Error";
                if !is_below && !is_error {
                    wrong.push(format!(
                        "src/{name}.rs:{}: {row} must not use {module}",
                        number + 1
                    ));
                }
            }
        }
    }
    assert!(looked_at > 40, "only {looked_at} uses were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_forbidden_use_would_be_seen() {
    assert_eq!(used("use crate::net::Reactor;"), ["net"]);
    assert_eq!(
        used("    let x = crate::exec::execute(crate::time::now());"),
        ["exec", "time"]
    );
    assert!(used("/// See [`crate::net`].").is_empty());
    assert_eq!(
        code("a\n#[cfg(test)]\nmod tests {\nuse crate::net;\n}"),
        "a"
    );
}
