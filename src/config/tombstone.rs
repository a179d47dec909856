//! Which keys are remembered for a while after they were destroyed.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::{Invalid, duration};

/// How long after a destroy writes that know nothing of it are refused, for keys that begin alike.
///
/// ```
/// use std::time::Duration;
/// use memstore_cluster::config::Tombstone;
///
/// let sessions: Tombstone = "sess:=10s".parse()?;
/// assert_eq!(sessions.prefix, b"sess:");
/// assert_eq!(sessions.lasting, Duration::from_secs(10));
/// # Ok::<(), memstore_cluster::config::Invalid>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tombstone {
    /// How the keys begin; empty: all keys.
    pub prefix: Vec<u8>,
    /// How long; zero: not at all, which makes an exception of a longer prefix.
    pub lasting: Duration,
}

impl Tombstone {
    /// For keys that begin with `prefix`, so long.
    pub fn new(prefix: impl Into<Vec<u8>>, lasting: Duration) -> Self {
        Self {
            prefix: prefix.into(),
            lasting,
        }
    }
}

impl FromStr for Tombstone {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        // What comes behind the last one is no part of a prefix that has some.
        let (prefix, lasting) = text.rsplit_once('=').ok_or_else(|| {
            Invalid::new("must be the beginning of keys and a duration, as in sess:=10s")
        })?;
        Ok(Self::new(prefix, duration::parse(lasting)?))
    }
}

impl fmt::Display for Tombstone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = String::from_utf8_lossy(&self.prefix);
        write!(f, "{prefix}={}", duration::display(self.lasting))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_may_be_anything_and_what_is_shown_reads_back() {
        let second = Duration::from_secs(1);
        for (text, prefix, lasting) in [
            ("sess:=10s", "sess:", 10 * second),
            ("a=b=90", "a=b", 90 * second),
            ("=500ms", "", second / 2),
            ("sess:short:=0s", "sess:short:", Duration::ZERO),
        ] {
            let tombstone: Tombstone = text.parse().unwrap();
            assert_eq!(tombstone, Tombstone::new(prefix, lasting), "{text}");
            assert_eq!(tombstone.to_string().parse(), Ok(tombstone), "{text}");
        }
        for text in ["", "sess:", "sess:=", "10s"] {
            assert!(text.parse::<Tombstone>().is_err(), "{text}");
        }
    }
}
