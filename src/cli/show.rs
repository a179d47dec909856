//! `config`: checks the configuration, or prints each value with where it came from.
//!
//! What is printed is itself a configuration file, so that it can be kept and edited.

use std::io::Write as _;

use crate::config::merge::Merged;
use crate::config::origin::Origin;
use crate::config::settings::{Setting, Shape};

use super::args::What;
use super::exit::{Exit, Failure};
use super::output;

/// Checks, which is done by now, and prints if that was asked for.
pub(crate) fn run(what: What, merged: &Merged) -> Result<Exit, Failure> {
    if what == What::Show {
        let mut out = output::stdout();
        out.write_all(render(merged).as_bytes())?;
        out.flush()?;
    }
    Ok(Exit::Ok)
}

fn render(merged: &Merged) -> String {
    let lines: Vec<_> = merged
        .origins
        .iter()
        .map(|(setting, origin)| (assignment(setting, merged), comment(setting, origin)))
        .collect();
    let width = lines.iter().map(|(left, _)| left.chars().count()).max();
    let width = width.unwrap_or(0).min(60);
    let notes = merged
        .notes
        .iter()
        .map(|note| format!("# {}\n", on_one_line(note)));
    let lines = lines
        .iter()
        .map(|(left, comment)| format!("{left:width$}  # {comment}\n"));
    notes.chain(lines).collect()
}

fn assignment(setting: &Setting, merged: &Merged) -> String {
    let values = (setting.show)(&merged.config);
    let values: Vec<_> = values.iter().map(|text| value(text)).collect();
    match (setting.shape, values.first()) {
        (Shape::List, _) => format!("{} = [{}]", setting.key, values.join(", ")),
        (_, Some(value)) => format!("{} = {value}", setting.key),
        (_, None) => format!("# {} is not set", setting.key),
    }
}

/// A value as TOML: a plain number, or a string on one line.
fn value(text: &str) -> String {
    match text.parse() {
        // A name may look like a number that is written in another way, as 007 does.
        Ok(number) if i64::to_string(&number) == text => text.to_owned(),
        // JSON's escapes are among TOML's, and TOML wants one more.
        _ => serde_json::Value::from(text)
            .to_string()
            .replace('\u{7f}', "\\u007f"),
    }
}

fn comment(setting: &Setting, origin: &Origin) -> String {
    match (origin, setting.otherwise) {
        (Origin::Default, Some(otherwise)) => format!("default: {otherwise}"),
        _ => on_one_line(&origin.to_string()),
    }
}

/// A name of a file can have a line break in it, a comment cannot.
fn on_one_line(text: &str) -> String {
    text.replace(char::is_control, "?")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Surroundings;
    use crate::config::file::File;
    use crate::config::merge::{Environment, Flags, Sources, merge};
    use crate::config::settings::{self, Purpose};

    fn merged(flags: &Flags, file: &File) -> Merged {
        let surroundings = Surroundings {
            runtime_dir: None,
            temp_dir: "/tmp".into(),
            uid: 0,
        };
        let sources = Sources {
            flags,
            environment: &Environment::new(),
            file,
            surroundings: &surroundings,
        };
        merge(Purpose::Show, &sources).unwrap()
    }

    #[test]
    fn what_is_shown_is_a_file_that_means_the_same() {
        let mut flags = Flags::new();
        for (key, value) in [
            ("secret-file", "/a \"b\"\\c\n\u{1}\u{7f}é"),
            ("bind", "127.0.0.1:80"),
            ("workers", "3"),
            ("allow-uid", "8"),
            ("name", "007"),
        ] {
            flags.insert(key, vec![value.into()]);
        }
        let first = merged(&flags, &File::default());
        let text = render(&first);
        assert_eq!(text.lines().count(), settings::all().count(), "{text}");
        assert!(text.contains("workers = 3 "), "{text}");
        assert!(text.contains("  # flag --workers\n"), "{text}");
        let (file, problems) = File::parse(Path::new("shown"), &text);
        assert_eq!(problems, [], "{text}");
        assert_eq!(merged(&Flags::new(), &file).config, first.config, "{text}");
    }

    #[test]
    fn what_is_not_set_is_said_to_be_so() {
        let text = render(&merged(&Flags::new(), &File::default()));
        assert!(text.contains("# secret-file is not set"), "{text}");
        assert!(text.contains("# default: no secret"), "{text}");
        assert!(text.contains("# detected: by --name"), "{text}");
    }
}
