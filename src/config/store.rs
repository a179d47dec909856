//! What holds the data, named like a URL.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::Invalid;

/// What holds the data, named by a scheme as in `memory:`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Store {
    /// The master's own memory: `memory:`.
    #[default]
    Memory,
    /// The memory of a file, which outlives the master: `memory:PATH`.
    File(PathBuf),
}

impl FromStr for Store {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text.split_once(':') {
            Some(("memory", "")) => Ok(Self::Memory),
            Some(("memory", path)) => Ok(Self::File(path.into())),
            Some((scheme, _)) if !scheme.is_empty() => Err(Invalid::new(format!(
                "names a store of the kind {scheme:?}, which is not built into this program; the \
                 only one that is built in is memory:"
            ))),
            _ => Err(Invalid::new(
                "must name the kind of store before a colon, as in memory:",
            )),
        }
    }
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory:"),
            Self::File(path) => write!(f, "memory:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_built_in_can_be_a_store() {
        assert_eq!("memory:".parse(), Ok(Store::Memory));
        assert_eq!(Store::Memory.to_string(), "memory:");
        let file = Store::File("/dev/shm/a:b".into());
        assert_eq!("memory:/dev/shm/a:b".parse(), Ok(file.clone()));
        assert_eq!(file.to_string(), "memory:/dev/shm/a:b");
        for (text, hint) in [
            ("redis://localhost", "\"redis\", which is not built into"),
            ("sqlite:/tmp/x", "\"sqlite\", which is not built into"),
            ("memory", "before a colon"),
            (":", "before a colon"),
            ("", "before a colon"),
        ] {
            let error = text.parse::<Store>().unwrap_err().to_string();
            assert!(error.contains(hint), "{text}: {error}");
        }
    }
}
