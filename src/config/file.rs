//! The text of a configuration file as values of settings, each with its line.
//!
//! Flat TOML: one key per setting, the same word as the flag without its dashes. Reading the file
//! is the caller's.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::origin::{Origin, Problem};
use super::settings::{self, Shape};

/// What a configuration file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct File {
    path: PathBuf,
    entries: BTreeMap<&'static str, Entry>,
}

#[derive(Clone, PartialEq, Eq)]
struct Entry {
    line: usize,
    values: Vec<OsString>,
}

/// Without the values: that of `store` may have a password in it.
impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("line", &self.line)
            .finish_non_exhaustive()
    }
}

impl File {
    /// What the text of the file at `path` says, and what is wrong with it. The values are not
    /// looked into.
    pub(crate) fn parse(path: &Path, text: &str) -> (Self, Vec<Problem>) {
        let mut file = Self {
            path: path.to_owned(),
            entries: BTreeMap::new(),
        };
        let mut problems = Vec::new();
        let table = match DeTable::parse(text) {
            Ok(table) => table.into_inner(),
            Err(error) => {
                let line = line_of(text, error.span().map_or(0, |span| span.start));
                let reason = format!("this is not TOML: {}", error.message());
                problems.push(file.problem(line, "", reason));
                return (file, problems);
            }
        };
        let mut pairs: Vec<_> = table.iter().collect();
        pairs.sort_by_key(|(key, _)| key.span().start);
        for (key, value) in pairs {
            let line = line_of(text, key.span().start);
            let name: &str = key.get_ref();
            let Some(setting) = settings::find(name) else {
                problems.push(file.problem(line, name, unknown(name)));
                continue;
            };
            let values = match value.get_ref() {
                DeValue::Array(array) if setting.shape == Shape::List => {
                    array.iter().map(|item| plain(item.get_ref())).collect()
                }
                single => plain(single).map(|value| vec![value]),
            };
            match values {
                Some(values) => {
                    file.entries.insert(setting.key, Entry { line, values });
                }
                None => problems.push(file.problem(line, name, expected(setting.shape))),
            }
        }
        (file, problems)
    }

    /// What the file says about a setting, and where.
    pub(crate) fn get(&self, key: &str) -> Option<(Origin, &[OsString])> {
        let entry = self.entries.get(key)?;
        Some((self.origin(entry.line), &entry.values))
    }

    fn origin(&self, line: usize) -> Origin {
        Origin::File {
            path: self.path.clone(),
            line,
        }
    }

    fn problem(&self, line: usize, key: &str, reason: impl Into<String>) -> Problem {
        Problem {
            origin: self.origin(line),
            key: key.to_owned(),
            value: None,
            reason: reason.into(),
        }
    }
}

/// A value as it would be written on the command line.
fn plain(value: &DeValue<'_>) -> Option<OsString> {
    match value {
        DeValue::String(text) => Some(text.as_ref().into()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().into()),
        _ => None,
    }
}

fn expected(shape: Shape) -> &'static str {
    match shape {
        Shape::List => "must be an array of strings, or one string",
        Shape::One | Shape::OneOr(_) => "must be a string, or a whole number",
    }
}

fn unknown(key: &str) -> String {
    let written = key.to_lowercase().replace('_', "-");
    let likeness = |known: &&str| strsim::jaro_winkler(known, &written);
    let nearest = settings::all()
        .map(|setting| setting.key)
        .filter(|known| likeness(known) > 0.7)
        .max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    match nearest {
        Some(nearest) => format!("there is no such setting; did you mean {nearest}?"),
        None => "there is no such setting; config --show lists all".to_owned(),
    }
}

/// The line, from 1, in which the byte at `offset` is.
fn line_of(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().iter().take(offset);
    1 + before.filter(|&&byte| byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> (File, Vec<String>) {
        let (file, problems) = File::parse(Path::new("m.toml"), text);
        (file, problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn values_are_kept_with_their_lines() {
        let (file, problems) =
            parse("# mine\nworkers = 4\n\nbind = [\n  \"a:1\",\n  \"b:2\"]\nsock = 'x'\n");
        assert_eq!(problems, [""; 0]);
        let (origin, values) = file.get("workers").unwrap();
        assert_eq!(origin.to_string(), "file m.toml line 2");
        assert_eq!(values, ["4"]);
        assert_eq!(file.get("bind").unwrap().1, ["a:1", "b:2"]);
        assert_eq!(
            file.get("sock").unwrap().0.to_string(),
            "file m.toml line 7"
        );
        assert_eq!(file.get("name"), None);
    }

    #[test]
    fn all_problems_are_told_each_with_its_line() {
        let (_, problems) =
            parse("wrokers = 1\nmax_key = 2\nname = true\n[limits]\nmax-value = 3\n[[bind]]\n");
        let expected = [
            "m.toml line 1, wrokers: there is no such setting; did you mean workers?",
            "m.toml line 2, max_key: there is no such setting; did you mean max-key?",
            "m.toml line 3, name: must be a string, or a whole number",
            "m.toml line 4, limits: there is no such setting; config --show lists all",
            "m.toml line 6, bind: must be an array of strings, or one string",
        ];
        assert_eq!(problems, expected);
    }

    #[test]
    fn what_is_not_toml_is_told_with_its_line() {
        let (_, problems) = parse("name = \"a\"\nworkers 4\n");
        assert_eq!(problems.len(), 1);
        assert!(
            problems[0].starts_with("m.toml line 2: this is not TOML: "),
            "{problems:?}"
        );
    }
}
