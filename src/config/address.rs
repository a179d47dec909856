//! An address to listen at, as it is typed: `--bind ADDRESS`. Names are resolved, and sockets
//! opened, by `supervisor::listeners`.

use std::collections::HashSet;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// Where to listen.
///
/// | typed | meant |
/// |---|---|
/// | `127.0.0.1:8080`, `[::1]:8080` | exactly this address; `[::]:8080` is IPv6 only |
/// | `:8080`, `8080` | every interface, IPv6 and IPv4 by one socket; IPv4 only where there is no IPv6 |
/// | `localhost:8080` | the first address of the name that this machine has |
/// | `unix:run/app.sock`, `/run/app.sock` | a unix socket at this path |
///
/// Port 0 is any free port.
///
/// ```
/// use memstore_cluster::config::BindAddress;
///
/// let address: BindAddress = ":8080".parse()?;
/// assert_eq!(address, BindAddress::AnyInterface { port: 8080 });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BindAddress {
    /// Every interface.
    AnyInterface {
        /// The TCP port.
        port: u16,
    },
    /// Exactly this TCP address.
    Ip(SocketAddr),
    /// The TCP address of a name.
    Name {
        /// The name, not empty.
        host: String,
        /// The TCP port.
        port: u16,
    },
    /// A unix socket at this path, not empty.
    Unix(PathBuf),
}

/// Why a text is no address to listen at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no address to listen at: {problem}")]
pub struct BindAddressError {
    text: String,
    problem: &'static str,
}

impl BindAddress {
    /// The first of these addresses that cannot be listened at because it was named before.
    pub(crate) fn repeated(addresses: &[Self]) -> Option<&Self> {
        let mut seen = HashSet::new();
        addresses
            .iter()
            .filter(|address| !address.is_any_port())
            .find(|address| !seen.insert(*address))
    }

    /// Whether the system chooses the port.
    fn is_any_port(&self) -> bool {
        match self {
            Self::AnyInterface { port } | Self::Name { port, .. } => *port == 0,
            Self::Ip(address) => address.port() == 0,
            Self::Unix(_) => false,
        }
    }
}

const PORT: &str = "the port must be a number from 0 to 65535";

impl FromStr for BindAddress {
    type Err = BindAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = |problem| BindAddressError {
            text: text.to_owned(),
            problem,
        };
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let port = |port: &str| {
            let digits = Some(port).filter(|port| is_number(port));
            digits
                .and_then(|digits| digits.parse().ok())
                .ok_or_else(|| error(PORT))
        };
        if text.is_empty() {
            return Err(error(
                "it is empty; write HOST:PORT, :PORT, or unix:PATH for a unix socket",
            ));
        }
        if let Some(path) = text.strip_prefix("unix:") {
            if path.is_empty() {
                return Err(error("the path after unix: is empty"));
            }
            return Ok(Self::Unix(path.into()));
        }
        if text.starts_with('/') {
            return Ok(Self::Unix(text.into()));
        }
        if text.contains("://") {
            return Err(error("leave out the scheme; write HOST:PORT"));
        }
        if let Ok(address) = text.parse() {
            return Ok(Self::Ip(address));
        }
        if text.starts_with('[') {
            return Err(error(
                "write an IPv6 address and its port as [ADDRESS]:PORT",
            ));
        }
        match text.rsplit_once(':') {
            None if is_number(text) => Ok(Self::AnyInterface { port: port(text)? }),
            None if text.contains('/') => Err(error("write unix:PATH for a unix socket")),
            None => Err(error("the port is missing; write HOST:PORT")),
            Some(("", digits)) => Ok(Self::AnyInterface {
                port: port(digits)?,
            }),
            Some((host, _)) if host.contains(':') => Err(error(
                "an IPv6 address goes into brackets; write [ADDRESS]:PORT",
            )),
            Some((host, digits)) => Ok(Self::Name {
                host: host.to_owned(),
                port: port(digits)?,
            }),
        }
    }
}

/// As it is typed; it can be parsed again.
impl fmt::Display for BindAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AnyInterface { port } => write!(f, ":{port}"),
            Self::Ip(address) => write!(f, "{address}"),
            Self::Name { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> BindAddress {
        text.parse().unwrap()
    }

    fn problem(text: &str) -> String {
        text.parse::<BindAddress>().unwrap_err().to_string()
    }

    #[test]
    fn every_form_is_understood() {
        assert_eq!(
            parse("127.0.0.1:80"),
            BindAddress::Ip(([127, 0, 0, 1], 80).into())
        );
        assert_eq!(
            parse("[::1]:80"),
            BindAddress::Ip("[::1]:80".parse().unwrap())
        );
        assert_eq!(parse(":80"), BindAddress::AnyInterface { port: 80 });
        assert_eq!(parse("0"), BindAddress::AnyInterface { port: 0 });
        let host = "localhost".to_owned();
        assert_eq!(parse("localhost:80"), BindAddress::Name { host, port: 80 });
        assert_eq!(parse("unix:a/b"), BindAddress::Unix("a/b".into()));
        assert_eq!(parse("/a:80"), BindAddress::Unix("/a:80".into()));
    }

    #[test]
    fn what_is_wrong_is_told_in_a_sentence() {
        assert_eq!(
            problem("localhost"),
            r#""localhost" is no address to listen at: the port is missing; write HOST:PORT"#
        );
        for port in [
            ":65536",
            ":-1",
            ":+1",
            ":x",
            ":",
            "70000",
            "h:",
            "1.2.3.4:x",
        ] {
            assert!(problem(port).ends_with(PORT), "{}", problem(port));
        }
        assert!(problem("").contains("it is empty"));
        assert!(problem("unix:").contains("path after unix: is empty"));
        assert!(problem("::1:80").contains("brackets"));
        assert!(problem("[::1]").contains("[ADDRESS]:PORT"));
        assert!(problem("run/app.sock").contains("unix:PATH"));
        assert!(problem("http://x:80").contains("scheme"));
    }

    #[test]
    fn an_address_that_was_named_before_is_found_unless_its_port_is_any() {
        let repeated = |texts: &[&str]| {
            let addresses: Vec<_> = texts.iter().map(|text| parse(text)).collect();
            BindAddress::repeated(&addresses).map(ToString::to_string)
        };
        assert_eq!(repeated(&[":80", "127.0.0.1:80", "unix:a", ":81"]), None);
        assert_eq!(
            repeated(&[":0", "0", "h:0", "h:0", "[::]:0", "[::]:0"]),
            None
        );
        assert_eq!(repeated(&[":80", "unix:a", "80"]).as_deref(), Some(":80"));
        assert_eq!(repeated(&["/a", "unix:/a"]).as_deref(), Some("unix:/a"));
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_means_what_it_shows(text in r"(unix:)?[a-z0-9:./\[\]-]{0,20}") {
            if let Ok(address) = text.parse::<BindAddress>() {
                prop_assert_eq!(address.to_string().parse(), Ok(address));
            }
        }
    }
}
