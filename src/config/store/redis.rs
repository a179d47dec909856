//! `redis://HOST` and its relatives.
//!
//! Only the scheme is looked at here; the rest is for whoever connects. A password in it is never
//! shown.

use std::fmt;

use crate::config::Invalid;

/// Redis in one of its arrangements.
#[derive(Clone, PartialEq, Eq)]
pub struct Redis {
    /// How many servers of which kind.
    pub arrangement: Arrangement,
    url: String,
}

/// What of Redis there is at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Arrangement {
    /// One server: `redis://HOST`, `rediss://HOST` by TLS, `redis+unix:PATH` by a socket.
    Single,
    /// A server and its replicas, which Sentinels watch: `redis-sentinel://SENTINEL,…`.
    Sentinel,
    /// A cluster: `redis-cluster://HOST,…`.
    Cluster,
}

impl Arrangement {
    /// The one that a scheme stands for.
    pub(super) fn of(scheme: &str) -> Option<Self> {
        match scheme {
            "redis" | "rediss" | "redis+unix" => Some(Self::Single),
            "redis-sentinel" => Some(Self::Sentinel),
            "redis-cluster" => Some(Self::Cluster),
            _ => None,
        }
    }
}

impl Redis {
    /// `text` is the whole URL.
    pub(super) fn read(arrangement: Arrangement, text: &str) -> Result<Self, Invalid> {
        let (scheme, rest) = text.split_once(':').unwrap_or((text, ""));
        let place = match scheme {
            "redis+unix" => rest,
            _ => rest.strip_prefix("//").unwrap_or_default(),
        };
        if place.is_empty() {
            let example = match scheme {
                "redis+unix" => "redis+unix:/run/redis.sock",
                "redis-sentinel" => "redis-sentinel://a,b,c/my-master",
                "redis-cluster" => "redis-cluster://a,b,c",
                _ => "redis://localhost",
            };
            return Err(Invalid::new(format!(
                "must say where Redis is, as in {example}"
            )));
        }
        Ok(Self {
            arrangement,
            url: text.to_owned(),
        })
    }

    /// The whole URL, with its password.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its parts around the password.
    fn without_password(&self) -> (&str, &str) {
        let url = self.url.as_str();
        let authority = url.find("//").map_or(url.len(), |at| at + 2);
        let end = url[authority..]
            .find(['/', '?'])
            .map_or(url.len(), |at| authority + at);
        // A password may have an @ of its own.
        let Some(at) = url[authority..end].rfind('@') else {
            return (url, "");
        };
        let user = url[authority..authority + at].find(':').unwrap_or(at);
        (&url[..authority + user], &url[authority + at..])
    }
}

impl fmt::Display for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (before, after) = self.without_password();
        f.write_str(before)?;
        if !after.is_empty() {
            write!(f, ":***{after}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Redis").field(&self.to_string()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Redis, Invalid> {
        let (scheme, _) = text.split_once(':').unwrap();
        Redis::read(Arrangement::of(scheme).unwrap(), text)
    }

    #[test]
    fn the_scheme_says_how_many_servers_there_are() {
        for (text, arrangement) in [
            ("redis://localhost:6379/1", Arrangement::Single),
            ("rediss://localhost", Arrangement::Single),
            ("redis+unix:/run/redis.sock", Arrangement::Single),
            (
                "redis-sentinel://a,b:26379/my-master",
                Arrangement::Sentinel,
            ),
            ("redis-cluster://a,b,c", Arrangement::Cluster),
        ] {
            let redis = read(text).unwrap();
            assert_eq!((redis.arrangement, redis.url()), (arrangement, text));
            assert_eq!(redis.to_string(), text);
        }
        for text in [
            "redis:",
            "redis://",
            "redis:localhost",
            "redis-cluster://",
            "redis+unix:",
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains("must say where Redis is"), "{text}: {error}");
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        for (text, shown) in [
            ("redis://me:p@ss@host/1", "redis://me:***@host/1"),
            ("redis://:pass@host", "redis://:***@host"),
            (
                "redis-cluster://u:p@a,b?x=@",
                "redis-cluster://u:***@a,b?x=@",
            ),
        ] {
            let redis = read(text).unwrap();
            assert_eq!(redis.to_string(), shown);
            assert!(format!("{redis:?}").contains(shown));
            assert_eq!(redis.url(), text);
        }
    }
}
