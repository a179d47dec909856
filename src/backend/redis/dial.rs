//! From what a URL asks for to connections: to a server, or to the one that the Sentinels name.
//!
//! Nothing here has a limit of time; whoever dials sets one.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ErrorKind, IntoConnectionInfo as _,
    ProtocolVersion, PushInfo, RedisConnectionInfo, RedisError, TlsCertificates, Value,
};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};

use crate::config::{Host, Password, Redis, Servers};
use crate::error::Error;
use crate::secrets;

/// Is given what a server says without being asked.
pub(super) type Listener = Arc<dyn Fn(PushInfo) + Send + Sync>;

/// Makes connections.
pub(super) struct Dialer {
    target: Redis,
    ca: Option<Vec<u8>>,
    /// The server that was connected to last, and its database.
    last: Mutex<Option<(ConnectionAddr, u8)>>,
}

/// Where a connection leads.
#[derive(Debug, Clone)]
pub(super) enum Place {
    /// To what the URL names, which is no cluster.
    Only,
    /// To this server of a cluster.
    Node(Host),
}

impl Dialer {
    /// # Errors
    /// In words, what of it cannot be used.
    pub(super) fn new(target: &Redis) -> Result<Self, String> {
        static PROVIDER: Once = Once::new();
        if target.is_encrypted {
            // Whoever embeds this may have chosen one already.
            PROVIDER.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
        }
        let ca = target.ca.as_ref().map(|path| {
            fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
        });
        if let Some(Password::File(path)) = &target.login.password {
            password(path)?;
        }
        Ok(Self {
            target: target.clone(),
            ca: ca.transpose()?,
            last: Mutex::default(),
        })
    }

    /// Connects and logs in.
    pub(super) async fn connect(
        &self,
        place: &Place,
        listener: Listener,
    ) -> Result<MultiplexedConnection, RedisError> {
        let (address, database) = match (place, &self.target.servers) {
            (Place::Node(host), _) => (self.address(host), 0),
            (Place::Only, Servers::Single { host, database }) => (self.address(host), *database),
            (Place::Only, Servers::Unix { path, database }) => {
                (ConnectionAddr::Unix(path.clone()), *database)
            }
            (
                Place::Only,
                Servers::Sentinel {
                    sentinels,
                    service,
                    database,
                },
            ) => {
                return self.primary(sentinels, service, *database, listener).await;
            }
            (Place::Only, Servers::Cluster { .. }) => {
                unreachable!("the servers of a cluster are dialled one by one")
            }
        };
        self.server(address, database, listener).await
    }

    async fn server(
        &self,
        address: ConnectionAddr,
        database: u8,
        listener: Listener,
    ) -> Result<MultiplexedConnection, RedisError> {
        let settings = self
            .login()?
            .set_db(i64::from(database))
            .set_protocol(ProtocolVersion::RESP3)
            .set_lib_name(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
        let config = config().set_push_sender(move |push| {
            listener(push);
            Ok::<(), ()>(())
        });
        let client = self.client(address.clone(), settings)?;
        let connection = client.get_multiplexed_async_connection_with_config(&config);
        let connection = connection.await?;
        *self.last() = Some((address, database));
        Ok(connection)
    }

    /// Connects to the same server as the last time, logs in, and gives the bare connection.
    ///
    /// # Errors
    /// Also where such a connection is not possible: it would have to be encrypted.
    pub(super) async fn stream(&self) -> io::Result<OwnedFd> {
        let last = self.last().clone();
        match last {
            Some((ConnectionAddr::Tcp(name, port), database)) => {
                let mut stream = TcpStream::connect((name, port)).await?;
                stream.set_nodelay(true)?;
                self.introduce(&mut stream, database).await?;
                stream.into_std().map(OwnedFd::from)
            }
            Some((ConnectionAddr::Unix(path), database)) => {
                let mut stream = UnixStream::connect(path).await?;
                self.introduce(&mut stream, database).await?;
                stream.into_std().map(OwnedFd::from)
            }
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Says who we are and which database is meant; the server has to agree to everything.
    async fn introduce(
        &self,
        stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
        database: u8,
    ) -> io::Result<()> {
        let login = self.login().map_err(io::Error::other)?;
        let mut commands = Vec::new();
        if let Some(password) = login.password() {
            let mut auth = redis::cmd("AUTH");
            auth.arg(login.username()).arg(password);
            commands.push(auth);
        }
        if database > 0 {
            let mut select = redis::cmd("SELECT");
            select.arg(database);
            commands.push(select);
        }
        commands.push(redis::cmd("PING"));
        let bytes: Vec<u8> = commands.iter().flat_map(Cmd::get_packed_command).collect();
        stream.write_all(&bytes).await?;
        for _ in commands {
            // Short lines, a few of them, once in the life of a connection.
            let mut line = Vec::new();
            while !line.ends_with(b"\r\n") {
                line.push(stream.read_u8().await?);
            }
            if line.first() != Some(&b'+') {
                let line = String::from_utf8_lossy(&line);
                return Err(io::Error::other(line.trim_end().to_owned()));
            }
        }
        Ok(())
    }

    fn last(&self) -> MutexGuard<'_, Option<(ConnectionAddr, u8)>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Connects to the server that the Sentinels name and that takes itself for a primary. All of
    /// them are asked at once: some may be gone, together with the old primary at that.
    async fn primary(
        &self,
        sentinels: &[Host],
        service: &str,
        database: u8,
        listener: Listener,
    ) -> Result<MultiplexedConnection, RedisError> {
        let asked = sentinels.iter().map(|host| self.named(host, service));
        let mut named: FuturesUnordered<_> = asked.collect();
        let mut tried = Vec::new();
        let mut failure = None;
        while let Some(host) = named.next().await {
            let found = match host {
                Ok(host) if tried.contains(&host) => continue,
                Ok(host) => {
                    let server = self.server(self.address(&host), database, Arc::clone(&listener));
                    let found = checked(server.await, &host).await;
                    tried.push(host);
                    found
                }
                Err(error) => Err(error),
            };
            match found {
                Ok(connection) => return Ok(connection),
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.expect("there is a Sentinel"))
    }

    /// The primary that a Sentinel names. One that wants a password is given the servers' one.
    async fn named(&self, sentinel: &Host, service: &str) -> Result<Host, RedisError> {
        let stranger = RedisConnectionInfo::default();
        let named = match self.asked(sentinel, service, stranger).await {
            Err(error) if error.code() == Some("NOAUTH") => {
                self.asked(sentinel, service, self.login()?).await?
            }
            named => named?,
        };
        match named {
            Value::Nil => {
                let why = format!("the sentinel {sentinel} does not know {service}");
                Err((ErrorKind::Client, "no such service", why).into())
            }
            named => {
                let (name, port) = redis::from_redis_value(named)?;
                Ok(Host { name, port })
            }
        }
    }

    async fn asked(
        &self,
        sentinel: &Host,
        service: &str,
        login: RedisConnectionInfo,
    ) -> Result<Value, RedisError> {
        let client = self.client(self.address(sentinel), login)?;
        let config = config();
        let connection = client.get_multiplexed_async_connection_with_config(&config);
        let mut question = redis::cmd("SENTINEL");
        question.arg("GET-MASTER-ADDR-BY-NAME").arg(service);
        question.query_async(&mut connection.await?).await
    }

    fn client(
        &self,
        address: ConnectionAddr,
        settings: RedisConnectionInfo,
    ) -> Result<Client, RedisError> {
        let info = address.into_connection_info()?.set_redis_settings(settings);
        match &self.ca {
            Some(ca) if self.target.is_encrypted => {
                let certificates = TlsCertificates {
                    client_tls: None,
                    root_cert: Some(ca.clone()),
                };
                Client::build_with_tls(info, certificates)
            }
            _ => Client::open(info),
        }
    }

    fn address(&self, host: &Host) -> ConnectionAddr {
        if self.target.is_encrypted {
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

    /// A password in a file may have changed since the last time.
    fn login(&self) -> Result<RedisConnectionInfo, RedisError> {
        let login = &self.target.login;
        let mut settings = RedisConnectionInfo::default();
        if let Some(user) = &login.user {
            settings = settings.set_username(user);
        }
        match &login.password {
            Some(Password::Given(password)) => settings = settings.set_password(password),
            Some(Password::File(path)) => {
                let password = password(path)
                    .map_err(|why| (ErrorKind::InvalidClientConfig, "no password", why))?;
                settings = settings.set_password(&password);
            }
            None => {}
        }
        Ok(settings)
    }
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

/// Whoever dials or asks has a limit of time of their own.
fn config() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_connection_timeout(None)
        .set_response_timeout(None)
}

/// The connection, unless what it leads to is a replica. Who may not ask finds out when it writes.
async fn checked(
    connection: Result<MultiplexedConnection, RedisError>,
    host: &Host,
) -> Result<MultiplexedConnection, RedisError> {
    let mut connection = connection?;
    match redis::cmd("ROLE").query_async(&mut connection).await {
        Ok(Value::Array(role)) if role.first() != Some(&Value::BulkString(b"master".into())) => {
            let why = format!("{host} is no primary, though a sentinel says so");
            Err((ErrorKind::Client, "not the primary", why).into())
        }
        _ => Ok(connection),
    }
}
