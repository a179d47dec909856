//! `redis://HOST` and its relatives: which servers, how they are reached, and our own options.
//!
//! The forms are `redis://HOST`, `rediss://HOST` (TLS), `redis+unix:PATH`,
//! `redis-sentinel://HOST,HOST/SERVICE` and `redis-cluster://HOST,HOST`, each with
//! `USER:PASSWORD@` before the hosts, a database number where there are databases, and options
//! behind a question mark. A password is in no error and is never shown.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::login::{Login, around_password, is_cut_short, text};
use super::url::Url;
use crate::config::{ByteSize, Invalid, duration};

const PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;
const TIMEOUT: Duration = Duration::from_secs(1);

/// Redis in one of its arrangements, and how it is used.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Redis {
    /// Where the servers are.
    pub servers: Servers,
    /// As whom to log in.
    pub login: Login,
    /// Whether TLS is spoken: `rediss:`, or the option `tls=yes`.
    pub is_encrypted: bool,
    /// The file with the certificates that a server's is checked against, instead of the system's:
    /// the option `ca`.
    pub ca: Option<PathBuf>,
    /// What stands before every key on the servers: the option `prefix`.
    pub prefix: String,
    /// How long the servers may take for everything that is asked of them at once: the option
    /// `timeout`, a second by default.
    pub timeout: Duration,
    /// Bytes of the near cache, where there is to be one: the option `near`.
    pub near: Option<ByteSize>,
    url: String,
}

/// What of Redis there is at the other end.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Servers {
    /// One server.
    Single {
        /// Where it is.
        host: Host,
        /// The number of the database.
        database: u8,
    },
    /// One server, by the socket at this path.
    Unix {
        /// The socket.
        path: PathBuf,
        /// The number of the database.
        database: u8,
    },
    /// A server and its replicas, which Sentinels watch.
    Sentinel {
        /// The Sentinels.
        sentinels: Vec<Host>,
        /// What they call the server.
        service: String,
        /// The number of the database.
        database: u8,
    },
    /// A cluster.
    Cluster {
        /// Some of its nodes.
        nodes: Vec<Host>,
    },
}

/// A server's name or address, and its port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// A name or an address.
    pub name: String,
    /// Its port.
    pub port: u16,
}

/// For messages: without user and password.
impl fmt::Display for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, hosts: &[Host]| {
            let hosts: Vec<String> = hosts.iter().map(Host::to_string).collect();
            f.write_str(&hosts.join(","))
        };
        match self {
            Self::Single { host, .. } => write!(f, "redis at {host}"),
            Self::Unix { path, .. } => write!(f, "redis at {}", path.display()),
            Self::Sentinel {
                sentinels, service, ..
            } => {
                write!(f, "redis {service} by the sentinels ")?;
                list(f, sentinels)
            }
            Self::Cluster { nodes } => {
                f.write_str("the redis cluster of ")?;
                list(f, nodes)
            }
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.contains(':') {
            write!(f, "[{}]:{}", self.name, self.port)
        } else {
            write!(f, "{}:{}", self.name, self.port)
        }
    }
}

impl Redis {
    /// Whether a scheme is one of these.
    pub(super) fn has(scheme: &str) -> bool {
        matches!(
            scheme,
            "redis" | "rediss" | "redis+unix" | "redis-sentinel" | "redis-cluster"
        )
    }

    /// `text` is the whole URL.
    pub(super) fn read(text: &str) -> Result<Self, Invalid> {
        let (scheme, rest) = text.split_once(':').unwrap_or((text, ""));
        Self::parse(text, scheme, rest).map_err(|why| {
            if is_cut_short(rest) {
                return Invalid::new(
                    "cannot be read, and why is not told, as it would show a part of what may be a \
                     password: in one, /, ? and @ are written %2F, %3F and %40",
                );
            }
            why
        })
    }

    fn parse(text: &str, scheme: &str, rest: &str) -> Result<Self, Invalid> {
        let mut url = Url::new(rest)?;
        let (login, place) = Login::split(url.place())?;
        if place.is_empty() || (scheme != "redis+unix" && !rest.starts_with("//")) {
            let example = match scheme {
                "redis+unix" => "redis+unix:/run/redis.sock",
                "redis-sentinel" => "redis-sentinel://a,b,c/my-master",
                "redis-cluster" => "redis-cluster://a,b,c",
                _ => "redis://localhost",
            };
            let why = format!("must say where Redis is, as in {example}");
            return Err(Invalid::new(why));
        }
        if scheme == "redis+unix" && rest.starts_with("//") && !place.starts_with('/') {
            let why = "has no path behind //, as in redis+unix:///run/redis.sock";
            return Err(Invalid::new(why));
        }
        let option: Option<Number> = url.option("db")?;
        let redis = Self {
            servers: servers(scheme, place, option)?,
            login: login.with_file(url.option("password-file")?.map(|Text(path)| path.into()))?,
            is_encrypted: match url.option::<Answer>("tls")? {
                Some(Answer(is_encrypted)) => is_encrypted,
                None => scheme == "rediss",
            },
            ca: url.option("ca")?.map(|Text(path)| path.into()),
            prefix: url
                .option("prefix")?
                .map_or_else(String::new, |Text(prefix)| prefix),
            timeout: url
                .option("timeout")?
                .map_or(TIMEOUT, |Limit(timeout)| timeout),
            near: url.option("near")?,
            url: text.to_owned(),
        };
        url.end()?;
        redis.check()?;
        Ok(redis)
    }
}

impl Redis {
    /// Whether all that is asked for can be had together.
    pub(crate) fn check(&self) -> Result<(), Invalid> {
        if self.near.is_some() && matches!(self.servers, Servers::Cluster { .. }) {
            let why =
                "has near=…, but a near cache needs a single primary and a cluster has several";
            return Err(Invalid::new(why));
        }
        Ok(())
    }
}

#[cfg(feature = "cli")]
impl Redis {
    /// Whether its keys are all among those of the other one, as far as the URLs tell.
    pub(crate) fn is_within(&self, other: &Self) -> bool {
        self.servers.are(&other.servers) && self.prefix.starts_with(&other.prefix)
    }
}

#[cfg(feature = "cli")]
impl Servers {
    fn are(&self, other: &Self) -> bool {
        let share = |one: &[Host], other: &[Host]| one.iter().any(|host| other.contains(host));
        match (self, other) {
            (Self::Cluster { nodes: one }, Self::Cluster { nodes: other }) => share(one, other),
            (
                Self::Sentinel {
                    sentinels: ours,
                    service: one,
                    database: number,
                },
                Self::Sentinel {
                    sentinels: theirs,
                    service: other,
                    database,
                },
            ) => number == database && one == other && share(ours, theirs),
            (one, other) => one == other,
        }
    }
}

impl fmt::Display for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (before, after) = around_password(&self.url);
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

/// The value of an option that is any text.
struct Text(String);

impl FromStr for Text {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        Ok(Self(text.to_owned()))
    }
}

/// Yes or no.
struct Answer(bool);

impl FromStr for Answer {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "yes" => Ok(Self(true)),
            "no" => Ok(Self(false)),
            _ => Err(Invalid::new("must be yes or no")),
        }
    }
}

/// A time that is not nothing.
struct Limit(Duration);

impl FromStr for Limit {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match duration::parse(text)? {
            Duration::ZERO => Err(Invalid::new("must be longer than nothing")),
            time => Ok(Self(time)),
        }
    }
}

/// The number of a database.
#[derive(Clone, Copy)]
struct Number(u8);

impl FromStr for Number {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let number = text.parse().map(Self);
        number.map_err(|_| Invalid::new("must be the number of a database"))
    }
}

fn servers(scheme: &str, place: &str, option: Option<Number>) -> Result<Servers, Invalid> {
    let (hosts, path) = place.split_once('/').unwrap_or((place, ""));
    let database = |path: &str| match (path, option) {
        ("", option) => Ok(option.map_or(0, |Number(number)| number)),
        (path, None) => path
            .parse()
            .map(|Number(number)| number)
            .map_err(|_| Invalid::new("has what is no database's number behind the host")),
        (_, Some(_)) => Err(Invalid::new("names the database twice")),
    };
    Ok(match scheme {
        "redis+unix" => Servers::Unix {
            path: text(place)?.into(),
            database: database("")?,
        },
        "redis-sentinel" => {
            let (service, number) = path.split_once('/').unwrap_or((path, ""));
            if service.is_empty() {
                let why = "must name the service behind the sentinels, as in \
                           redis-sentinel://a,b,c/my-master";
                return Err(Invalid::new(why));
            }
            Servers::Sentinel {
                sentinels: several(hosts, SENTINEL_PORT)?,
                service: text(service)?,
                database: database(number)?,
            }
        }
        "redis-cluster" if !path.is_empty() || option.is_some() => {
            return Err(Invalid::new("names a database, and a cluster has none"));
        }
        "redis-cluster" => Servers::Cluster {
            nodes: several(hosts, PORT)?,
        },
        _ if hosts.contains(',') => {
            let why = "names several servers, for which there are redis-cluster: and \
                       redis-sentinel:";
            return Err(Invalid::new(why));
        }
        _ => Servers::Single {
            host: host(hosts, PORT)?,
            database: database(path)?,
        },
    })
}

fn several(hosts: &str, port: u16) -> Result<Vec<Host>, Invalid> {
    hosts.split(',').map(|text| host(text, port)).collect()
}

fn host(text: &str, port: u16) -> Result<Host, Invalid> {
    let (name, rest) = match text.strip_prefix('[').map(|rest| rest.split_once(']')) {
        Some(Some(parts)) => parts,
        Some(None) => return Err(Invalid::new("has a [ without a ] among its hosts")),
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    // What stands for a port may be a password, where the host behind it was forgotten.
    let no_host = || {
        let rest = if rest.is_empty() { "" } else { ":…" };
        Invalid::new(format!("has \"{name}{rest}\", which is no HOST:PORT"))
    };
    let port = match rest.strip_prefix(':') {
        Some(port) => port.parse().map_err(|_| no_host())?,
        None if rest.is_empty() => port,
        None => return Err(no_host()),
    };
    if name.is_empty() || port == 0 {
        return Err(no_host());
    }
    let name = name.to_owned();
    Ok(Host { name, port })
}

#[cfg(test)]
mod tests {
    use super::super::Password;
    use super::*;

    fn redis(url: &str) -> Redis {
        Redis::read(url).unwrap_or_else(|error| panic!("{url} {error}"))
    }

    fn hosts(list: &[(&str, u16)]) -> Vec<Host> {
        list.iter()
            .map(|(name, port)| Host {
                name: (*name).to_owned(),
                port: *port,
            })
            .collect()
    }

    #[test]
    fn every_form_is_understood() {
        let one = redis("redis://u:p%40ss@example.org:7000/3?prefix=a%3A&timeout=250ms&near=16mb");
        assert_eq!(
            one.servers,
            Servers::Single {
                host: hosts(&[("example.org", 7000)]).remove(0),
                database: 3
            }
        );
        assert_eq!(one.login.user.as_deref(), Some("u"));
        let password = Some(Password::Given("p@ss".into()));
        assert_eq!(one.login.password, password);
        assert_eq!((one.prefix.as_str(), one.timeout.as_millis()), ("a:", 250));
        assert!(one.near.is_some() && !one.is_encrypted);
        assert!(redis("rediss://h").is_encrypted);
        for unix in [
            "redis+unix:/run/r.sock?db=2",
            "redis+unix:///run/r.sock?db=2",
        ] {
            let path = PathBuf::from("/run/r.sock");
            assert_eq!(redis(unix).servers, Servers::Unix { path, database: 2 });
        }
        let sentinels = hosts(&[("a", 26379), ("::1", 5)]);
        assert_eq!(
            redis("redis-sentinel://:pw@a,[::1]:5/mine/1").servers,
            Servers::Sentinel {
                sentinels,
                service: "mine".into(),
                database: 1
            }
        );
        assert_eq!(
            redis("redis-cluster://a,b:7001").servers,
            Servers::Cluster {
                nodes: hosts(&[("a", 6379), ("b", 7001)])
            }
        );
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (url, part) in [
            ("redis://", "where Redis is"),
            ("redis:localhost", "where Redis is"),
            ("redis+unix:", "where Redis is"),
            ("redis-cluster://", "where Redis is"),
            ("redis://a:0", "no HOST:PORT"),
            ("redis://a,b", "several servers"),
            ("redis://a/x", "no database's number"),
            ("redis://a/1?db=2", "twice"),
            ("redis://a?colour=red", "no option \"colour\""),
            ("redis://a?timeout=0s", "longer than nothing"),
            ("redis-sentinel://a", "name the service"),
            ("redis-cluster://a/1", "a cluster has none"),
            ("redis-cluster://a?near=1mb", "near"),
        ] {
            let error = Redis::read(url).unwrap_err().to_string();
            assert!(error.contains(part), "{url}: {error}");
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        for (text, shown) in [
            ("redis://me:p@ss@host/1", "redis://me:***@host/1"),
            ("redis://:pass@host", "redis://:***@host"),
            (
                "redis-cluster://u:p@a,b?prefix=@",
                "redis-cluster://u:***@a,b?prefix=@",
            ),
        ] {
            let redis = redis(text);
            assert_eq!(redis.to_string(), shown);
            assert!(format!("{redis:?}").contains(shown));
        }
    }
}
