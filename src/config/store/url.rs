//! The parts of `SCHEME:PATH?OPTION=VALUE&…` that all backends read alike, and how they are shown.
//!
//! In paths and values `%XX` is a byte, so that every path can be written: `?` as `%3F`, `%` as
//! `%25`. An option that nobody asked for is refused by [`Url::end`], which knows from those that
//! were asked for which there are.

use std::ffi::{OsStr, OsString};
use std::fmt::{self, Write as _};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::Invalid;

/// What follows the scheme and its colon.
#[derive(Debug)]
pub(super) struct Url<'a> {
    path: &'a str,
    /// Names and values that were not asked for yet.
    options: Vec<(&'a str, &'a str)>,
    asked: Vec<&'static str>,
}

impl<'a> Url<'a> {
    pub(super) fn new(rest: &'a str) -> Result<Self, Invalid> {
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut options: Vec<(&str, &str)> = Vec::new();
        for option in query.split('&').filter(|option| !option.is_empty()) {
            let Some((name, value)) = option.split_once('=') else {
                return Err(Invalid::new(format!(
                    "must give the option {option:?} a value, as in {option}=VALUE"
                )));
            };
            if options.iter().any(|(other, _)| *other == name) {
                return Err(Invalid::new(format!("has the option {name:?} twice")));
            }
            options.push((name, value));
        }
        Ok(Self {
            path,
            options,
            asked: Vec::new(),
        })
    }

    /// What stands before the options, as it is written.
    pub(super) fn place(&self) -> &'a str {
        self.path
    }

    pub(super) fn has_no_path(&self) -> bool {
        self.path.is_empty()
    }

    /// The path, which has to be that of a `what`. `///PATH` is `/PATH`, as in URLs.
    pub(super) fn path(&self, what: &str) -> Result<PathBuf, Invalid> {
        let path = match self.path.strip_prefix("//") {
            Some(path) if path.starts_with('/') => path,
            Some(_) => {
                return Err(Invalid::new(format!(
                    "names a host before the path; it must have the path of a {what}"
                )));
            }
            None => self.path,
        };
        let bytes = decoded(path)?;
        if bytes.is_empty() || bytes.contains(&0) {
            return Err(Invalid::new(format!("must have the path of a {what}")));
        }
        Ok(OsString::from_vec(bytes).into())
    }

    /// The value of an option, if it is given.
    pub(super) fn option<T: FromStr<Err = Invalid>>(
        &mut self,
        name: &'static str,
    ) -> Result<Option<T>, Invalid> {
        self.asked.push(name);
        let Some(at) = self.options.iter().position(|(given, _)| *given == name) else {
            return Ok(None);
        };
        let (_, value) = self.options.remove(at);
        let of_option =
            |reason: &dyn fmt::Display| Invalid::new(format!("has {name}={value}, which {reason}"));
        let text = String::from_utf8(decoded(value)?).map_err(|_| of_option(&"is not UTF-8"))?;
        text.parse().map(Some).map_err(|error| of_option(&error))
    }

    /// Refuses what is left.
    pub(super) fn end(self) -> Result<(), Invalid> {
        let Some((name, _)) = self.options.first() else {
            return Ok(());
        };
        let known = match self.asked.as_slice() {
            [] => "it has none".to_owned(),
            asked => format!("it has {}", asked.join(", ")),
        };
        Err(Invalid::new(format!("has no option {name:?}; {known}")))
    }
}

/// `%XX` as the byte that it stands for.
pub(super) fn decoded(text: &str) -> Result<Vec<u8>, Invalid> {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let code = part
            .get(..2)
            .filter(|code| code.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let byte = code.and_then(|code| u8::from_str_radix(code, 16).ok());
        let Some(byte) = byte else {
            return Err(Invalid::new(
                "has a % that two hexadecimal digits do not follow; % itself is written %25",
            ));
        };
        bytes.push(byte);
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    Ok(bytes)
}

/// Writes such a URL: only the options that are not as they are by default.
pub(super) struct Shown<'f, 'b> {
    f: &'f mut fmt::Formatter<'b>,
    separator: char,
}

impl<'f, 'b> Shown<'f, 'b> {
    pub(super) fn new(
        f: &'f mut fmt::Formatter<'b>,
        scheme: &str,
        path: &Path,
    ) -> Result<Self, fmt::Error> {
        write!(f, "{scheme}:")?;
        // A path that begins so would be read as that of a host.
        let prefix = if path.as_os_str().as_bytes().starts_with(b"//") {
            "//"
        } else {
            ""
        };
        f.write_str(prefix)?;
        encoded(f, path.as_os_str(), "%?")?;
        Ok(Self { f, separator: '?' })
    }

    pub(super) fn option<T: fmt::Display + PartialEq>(
        &mut self,
        name: &str,
        value: &T,
        default: &T,
    ) -> fmt::Result {
        if value == default {
            return Ok(());
        }
        write!(self.f, "{}{name}=", self.separator)?;
        self.separator = '&';
        encoded(self.f, OsStr::new(&value.to_string()), "%&")
    }
}

/// Writes `text`; what is in `special` and what is no text as `%XX`.
fn encoded(f: &mut fmt::Formatter<'_>, text: &OsStr, special: &str) -> fmt::Result {
    for chunk in text.as_bytes().utf8_chunks() {
        for letter in chunk.valid().chars() {
            if special.contains(letter) || letter.is_ascii_control() {
                write!(f, "%{:02X}", u32::from(letter))?;
            } else {
                f.write_char(letter)?;
            }
        }
        for byte in chunk.invalid() {
            write!(f, "%{byte:02X}")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{Sqlite, Store};
    use super::*;

    struct Path(PathBuf);

    impl fmt::Display for Path {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            Shown::new(f, "x", &self.0).map(drop)
        }
    }

    #[test]
    fn every_path_can_be_written_and_is_shown_so_that_it_can_be_read() {
        for path in [
            &b"a"[..],
            b"/a b/c",
            b"what?",
            b"100%",
            b"a%41",
            b"\xff\xfe/\x01",
            "zürich".as_bytes(),
            b"//a",
            b"a&b=c:d",
        ] {
            let path = PathBuf::from(OsStr::from_bytes(path));
            let shown = Path(path.clone()).to_string();
            let url = Url::new(shown.strip_prefix("x:").unwrap()).unwrap();
            assert_eq!(url.path("file").unwrap(), path, "{shown}");
        }
        assert_eq!(Path("/a%?b".into()).to_string(), "x:/a%25%3Fb");
    }

    #[test]
    fn what_cannot_be_read_is_told_why() {
        let read = |text: &str| Sqlite::read(Url::new(text)?).map(Store::Sqlite);
        for (text, hint) in [
            ("", "must have the path of a file"),
            ("//host/x", "names a host"),
            ("x%", "written %25"),
            ("x%zz", "written %25"),
            ("x%+1", "written %25"),
            ("x%00", "must have the path"),
            ("x?table", "table=VALUE"),
            ("x?table=a&table=b", "\"table\" twice"),
            (
                "x?colour=green",
                "no option \"colour\"; it has table, synchronous",
            ),
            (
                "x?synchronous=maybe",
                "synchronous=maybe, which must be one of",
            ),
            ("x?table=%ff", "not UTF-8"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(hint), "{text}: {error}");
        }
    }
}
