//! Which entries are sessions of express-session's kind.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::{Invalid, duration};

/// For a session whose cookie has no end.
const RESTART: &str = "restart";

/// Which entries are sessions, that live as long as their cookie says.
///
/// ```
/// use std::time::Duration;
/// use memstore_cluster::config::Sessions;
///
/// let sessions: Sessions = "sess:=1d".parse()?;
/// assert_eq!(sessions.prefix, b"sess:");
/// assert_eq!(sessions.ttl, Some(Duration::from_secs(86_400)));
/// assert_eq!("sess:=restart".parse::<Sessions>()?.ttl, None);
/// # Ok::<(), memstore_cluster::config::Invalid>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sessions {
    /// What their keys begin with; empty: all keys.
    pub prefix: Vec<u8>,
    /// How long a session lives whose cookie has no end because it lives as long as the browser;
    /// `None`: until the store is opened again.
    pub ttl: Option<Duration>,
}

impl FromStr for Sessions {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (prefix, ttl) = text.rsplit_once('=').ok_or_else(|| {
            Invalid::new("must be the beginning of keys and a duration, as in sess:=1d")
        })?;
        let ttl = match ttl {
            RESTART => None,
            ttl => Some(duration::parse(ttl)?),
        };
        if ttl == Some(Duration::ZERO) {
            return Err(Invalid::new("must let a session live longer than nothing"));
        }
        let prefix = prefix.into();
        Ok(Self { prefix, ttl })
    }
}

impl fmt::Display for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}=", String::from_utf8_lossy(&self.prefix))?;
        match self.ttl {
            Some(ttl) => duration::display(ttl).fmt(f),
            None => f.write_str(RESTART),
        }
    }
}
