//! From what a URL asks for to the library's clients. Nothing is connected to yet.

use std::fs;
use std::path::Path;
use std::sync::Once;
use std::time::Duration;

use redis::cluster::ClusterClientBuilder;
use redis::sentinel::{SentinelClientBuilder, SentinelServerType};
use redis::{
    Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion,
    RedisConnectionInfo, RedisError, TlsCertificates, TlsMode,
};

use super::link::Dial;
use crate::config::{Host, Password, Redis, Servers};
use crate::error::Error;
use crate::secrets;

/// How often a command is sent anew where a cluster's slots move, and how long after.
const CLUSTER_RETRIES: u32 = 8;
const CLUSTER_PAUSES: (u64, u64) = (10, 200);

/// # Errors
/// In words, what of it cannot be used.
pub(super) fn dial(target: &Redis) -> Result<Dial, String> {
    static PROVIDER: Once = Once::new();
    if target.is_encrypted {
        // Whoever embeds this may have chosen one already.
        PROVIDER.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
    }
    let ca = target.ca.as_ref().map(|path| {
        fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
    });
    let ca = ca.transpose()?;
    let password = match &target.login.password {
        Some(Password::File(path)) => Some(password(path)?),
        Some(Password::Given(password)) => Some(password.clone()),
        None => None,
    };
    made(target, password.as_deref(), ca).map_err(|error| error.to_string())
}

fn password(path: &Path) -> Result<String, String> {
    let bytes = secrets::read(path, "password").map_err(|error| match error {
        Error::Io { action, source } => format!("cannot {action}: {source}"),
        other => other.to_string(),
    })?;
    match std::str::from_utf8(&bytes) {
        Ok("") => Err(format!("there is no password in {}", path.display())),
        Ok(password) => Ok(password.to_owned()),
        Err(_) => Err(format!("the password in {} is not UTF-8", path.display())),
    }
}

fn made(target: &Redis, password: Option<&str>, ca: Option<Vec<u8>>) -> Result<Dial, RedisError> {
    let certificates = |root_cert| TlsCertificates {
        client_tls: None,
        root_cert: Some(root_cert),
    };
    Ok(match &target.servers {
        Servers::Single { host, database } => {
            let info = info(address(host, target), settings(target, password, *database))?;
            Dial::One(match ca {
                Some(ca) => Client::build_with_tls(info, certificates(ca))?,
                None => Client::open(info)?,
            })
        }
        Servers::Unix { path, database } => {
            let settings = settings(target, password, *database);
            Dial::One(Client::open(info(
                ConnectionAddr::Unix(path.clone()),
                settings,
            )?)?)
        }
        Servers::Sentinel {
            sentinels,
            service,
            database,
        } => {
            let addresses = sentinels.iter().map(|host| address(host, target));
            let master = SentinelServerType::Master;
            let mut builder = SentinelClientBuilder::new(addresses, service, master)?
                .set_client_to_redis_db(i64::from(*database))
                .set_client_to_redis_protocol(ProtocolVersion::RESP3);
            if let Some(user) = &target.login.user {
                builder = builder.set_client_to_redis_username(user);
            }
            if let Some(password) = password {
                builder = builder.set_client_to_redis_password(password);
            }
            if target.is_encrypted {
                builder = builder.set_client_to_redis_tls_mode(TlsMode::Secure);
            }
            if let Some(ca) = ca {
                builder = builder
                    .set_client_to_redis_certificates(certificates(ca.clone()))
                    .set_client_to_sentinel_certificates(certificates(ca));
            }
            Dial::Sentinel(Box::new(builder.build()?))
        }
        Servers::Cluster { nodes } => {
            let infos: Result<Vec<_>, _> = nodes
                .iter()
                .map(|host| info(address(host, target), settings(target, password, 0)))
                .collect();
            // One node's silence must not use up the time of everything that is asked at once.
            let part = (target.timeout / 2).max(Duration::from_millis(1));
            let mut builder = ClusterClientBuilder::new(infos?)
                .retries(CLUSTER_RETRIES)
                .min_retry_wait(CLUSTER_PAUSES.0)
                .max_retry_wait(CLUSTER_PAUSES.1)
                .connection_timeout(part)
                .response_timeout(part)
                .overall_response_timeout(Some(target.timeout));
            if let Some(ca) = ca {
                builder = builder.certs(certificates(ca));
            }
            Dial::Cluster {
                client: builder.build()?,
                host: nodes
                    .first()
                    .map_or_else(String::new, |node| node.name.clone()),
            }
        }
    })
}

fn info(
    address: ConnectionAddr,
    settings: RedisConnectionInfo,
) -> Result<ConnectionInfo, RedisError> {
    Ok(address.into_connection_info()?.set_redis_settings(settings))
}

fn address(host: &Host, target: &Redis) -> ConnectionAddr {
    if target.is_encrypted {
        ConnectionAddr::TcpTls {
            host: host.name.clone(),
            port: host.port,
            insecure: false,
            tls_params: None,
        }
    } else {
        ConnectionAddr::Tcp(host.name.clone(), host.port)
    }
}

fn settings(target: &Redis, password: Option<&str>, database: u8) -> RedisConnectionInfo {
    let mut settings = RedisConnectionInfo::default()
        .set_db(i64::from(database))
        .set_protocol(ProtocolVersion::RESP3)
        .set_lib_name(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
    if let Some(user) = &target.login.user {
        settings = settings.set_username(user);
    }
    if let Some(password) = password {
        settings = settings.set_password(password);
    }
    settings
}
