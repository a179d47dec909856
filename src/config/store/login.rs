//! As whom to log in to Redis, and what keeps a password from being shown.
//!
//! A login is `USER:PASSWORD@` before the hosts, of which the password may stand in a file instead;
//! the file is not read here. A password that has a `/`, `?` or `@` as it is cuts its own URL into
//! other parts, and then nothing of those parts may be quoted: [`is_cut_short`].

use std::fmt;
use std::path::PathBuf;

use super::url::decoded;
use crate::config::Invalid;

/// As whom to log in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Login {
    /// The user; without one, the default user.
    pub user: Option<String>,
    /// The password.
    pub password: Option<Password>,
}

/// A password, or where it is. The former is never shown.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Password {
    /// The password itself.
    Given(String),
    /// The file that has it: the option `password-file`. It is read when the store is opened, and
    /// must be readable by nobody else.
    File(PathBuf),
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given(_) => f.write_str("***"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

impl Login {
    /// Splits `//USER:PASSWORD@` off.
    pub(super) fn split(place: &str) -> Result<(Self, &str), Invalid> {
        let Some(rest) = place.strip_prefix("//") else {
            return Ok((Self::default(), place));
        };
        let end = rest.find('/').unwrap_or(rest.len());
        // A password may have an @ of its own.
        let Some(at) = rest[..end].rfind('@') else {
            return Ok((Self::default(), rest));
        };
        let (user, password) = rest[..at].split_once(':').unwrap_or((&rest[..at], ""));
        let some = |part: &str| match part {
            "" => Ok(None),
            part => text(part).map(Some),
        };
        let login = Self {
            user: some(user)?,
            password: some(password)?.map(Password::Given),
        };
        Ok((login, &rest[at + 1..]))
    }

    /// The same with its password in a file, if there is to be one.
    pub(super) fn with_file(mut self, file: Option<PathBuf>) -> Result<Self, Invalid> {
        if let Some(file) = file {
            if self.password.is_some() {
                let why = "has a password and a password-file; leave out one of the two";
                return Err(Invalid::new(why));
            }
            self.password = Some(Password::File(file));
        }
        if self.user.is_some() && self.password.is_none() {
            // Whoever writes a password alone means this; it must not be shown as a name.
            let why = "has a user without a password; a password without a user is :PASSWORD@";
            return Err(Invalid::new(why));
        }
        Ok(self)
    }
}

/// Whether there is an `@` behind where a login can end, in what follows the scheme: then what
/// looks like another part may be that of a password.
pub(super) fn is_cut_short(rest: &str) -> bool {
    let start = if rest.starts_with("//") { 2 } else { 0 };
    let end = rest[start..].find(['/', '?']);
    end.is_some_and(|end| rest[start + end..].contains('@'))
}

/// The parts of a URL around its user's password.
pub(super) fn around_password(url: &str) -> (&str, &str) {
    let authority = url.find("//").map_or(url.len(), |at| at + 2);
    let end = url[authority..]
        .find(['/', '?'])
        .map_or(url.len(), |at| authority + at);
    let Some(at) = url[authority..end].rfind('@') else {
        return (url, "");
    };
    match url[authority..authority + at].find(':') {
        Some(user) => (&url[..authority + user], &url[authority + at..]),
        None => (url, ""),
    }
}

pub(super) fn text(part: &str) -> Result<String, Invalid> {
    let text = String::from_utf8(decoded(part)?);
    text.map_err(|_| Invalid::new("has a part that is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::super::Store;
    use super::*;

    #[test]
    fn no_error_about_a_url_has_its_password() {
        let mistyped = [
            "redis://me:hunter2",
            "redis://:hunter2",
            "redis://me:hunter2@",
            "redis://me:hunter2@host:0",
            "redis://me:hunter2@host:x",
            "redis://me:hunter2@host/x",
            "redis://me:hunter2@host?colour=red",
            "redis://me:hunter2@host?timeout=x",
            "redis://me:hunter2@a,b",
            "redis://me:hunt/hunter2@host",
            "redis://me:hunter2/x@host/1",
            "redis://me:6379/hunter2@host/1",
            "redis://me:hunt?hunter2@host",
            "redis://me:hunt?hunter2=1@host",
            "redis://me:hunter2?x@host",
            "redis://me:hunt@hunter2/x@host",
            "redis://me:hunter2%@host",
            "redis://hunter2@host",
            "redis://host?password=hunter2",
            "redis:me:hunter2@host",
            "redis:/me:hunter2@host",
            "redis//me:hunter2@host",
            "redsi://me:hunter2@host",
            "redis+unix://me:hunter2@",
            "redis+unix://me:hunt/hunter2@/run/sock",
            "redis-sentinel://me:hunter2@a,b",
            "redis-sentinel://me:hunt/hunter2@a,b/mine",
            "redis-cluster://me:hunter2@a/1",
            "redis-cluster://me:hunter2@a?near=1mb",
            "redis://me:hunter2@host?password-file=x",
        ];
        for url in mistyped {
            let error = url.parse::<Store>().expect_err(url);
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
            assert!(!Store::told(url).contains("hunter2"), "{url}");
        }
    }

    #[test]
    fn a_password_that_cuts_its_url_is_told_how_to_be_written() {
        for url in ["//u:p/w@h", "//u:p?w@h", "//u:p@x/w@h", ":p/@h"] {
            assert!(is_cut_short(url), "{url}");
        }
        for url in ["//u:p@h/1?prefix=a", "//u:p@w@h", "//h", "u:p@h"] {
            assert!(!is_cut_short(url), "{url}");
        }
    }

    #[test]
    fn a_password_is_in_the_url_or_in_a_file() {
        let login = |place: &str, file: Option<&str>| {
            let (login, _) = Login::split(place)?;
            login.with_file(file.map(PathBuf::from))
        };
        let told = login("//me@h", Some("/run/password")).unwrap();
        assert_eq!(told.user.as_deref(), Some("me"));
        assert_eq!(told.password, Some(Password::File("/run/password".into())));
        for (place, file, part) in [
            ("//me@h", None, "is :PASSWORD@"),
            ("//:p@h", Some("f"), "leave out"),
        ] {
            let error = login(place, file).unwrap_err().to_string();
            assert!(error.contains(part), "{place}: {error}");
        }
        let shown = format!("{:?}", login("//me:hunter2@h", None).unwrap());
        assert!(
            shown.contains("me") && !shown.contains("hunter2"),
            "{shown}"
        );
    }
}
