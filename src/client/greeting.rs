//! How a connection starts: hello, a proof where the master asks for one, and its welcome.

use std::borrow::Cow;
use std::io;
use std::process;
use std::time::Instant;

use super::connection::Connection;
use super::error::{CallError, unexpected};
use crate::config::Limits;
use crate::contract::Capabilities;
use crate::error::{Error, Result};
use crate::protocol::auth::{Bytes32, Secret, Side};
use crate::protocol::frame::VERSION;
use crate::protocol::message::{Auth, Hello, Welcome};
use crate::protocol::{Reply, Request};

/// Why the other end may be talked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// The channel was inherited from it.
    Inherited,
    /// It proves that it knows the secret, if there is one: anybody may sit at a path.
    ByProof,
}

/// What is known of a master that has said nothing.
pub(super) const STRANGER: Welcome = Welcome {
    version: VERSION,
    capabilities: Capabilities::BASIC,
    max_key: 0,
    max_value: 0,
    max_body: 0,
    slot: None,
    workers: 0,
    generation: 0,
    pid: 0,
    proof: None,
};

const UNPROVEN: Error = Error::Authentication(Cow::Borrowed(
    "the master did not prove that it knows the secret",
));

enum Answer {
    Welcome(Welcome),
    Challenge(Bytes32),
}

/// Greets the master at the other end of a connection on which nothing was said yet.
pub(super) fn greet(
    connection: &Connection,
    trust: Trust,
    secret: Option<&Secret>,
    deadline: Instant,
) -> Result<Welcome, CallError> {
    let hello = Request::Hello(Hello {
        min_version: VERSION,
        max_version: VERSION,
        pid: process::id(),
    });
    let welcome = match ask(connection, &hello, deadline)? {
        Answer::Welcome(welcome) if trust == Trust::Inherited || secret.is_none() => welcome,
        Answer::Welcome(_) => return Err(UNPROVEN.into()),
        Answer::Challenge(nonce) => prove(connection, secret, &nonce, deadline)?,
    };
    if welcome.version != VERSION {
        return Err(CallError::Failed(Error::Protocol(format!(
            "the master chose protocol version {}, asked for was {VERSION}",
            welcome.version
        ))));
    }
    Ok(bounded(welcome))
}

fn prove(
    connection: &Connection,
    secret: Option<&Secret>,
    server_nonce: &Bytes32,
    deadline: Instant,
) -> Result<Welcome, CallError> {
    let secret = secret.ok_or(Error::Authentication(Cow::Borrowed(
        "the master asks for a secret and none is configured",
    )))?;
    let mut nonce = Bytes32::default();
    getrandom::fill(&mut nonce)
        .map_err(|error| io::Error::other(error.to_string()))
        .map_err(Error::io("get random bytes for a nonce"))?;
    let auth = Request::Auth(Auth {
        nonce,
        proof: secret.prove(Side::Client, server_nonce, &nonce),
    });
    let Answer::Welcome(welcome) = ask(connection, &auth, deadline)? else {
        return Err(Error::Protocol("the master asked for a second proof".to_owned()).into());
    };
    match &welcome.proof {
        Some(proof) if secret.verify(Side::Server, server_nonce, &nonce, proof) => Ok(welcome),
        _ => Err(UNPROVEN.into()),
    }
}

fn ask(
    connection: &Connection,
    request: &Request<'_>,
    deadline: Instant,
) -> Result<Answer, CallError> {
    connection.call_until(request, Instant::now(), deadline, |reply| match reply {
        Reply::Welcome(welcome) => Ok(Answer::Welcome(welcome)),
        Reply::Challenge { nonce } => Ok(Answer::Challenge(nonce)),
        other => Err(unexpected(request, &other)),
    })
}

/// Limits beyond what can be configured are taken as those: lengths must fit a frame, and a reply
/// some memory.
fn bounded(welcome: Welcome) -> Welcome {
    let ceiling = Limits {
        max_key: Limits::MAX_KEY_CEILING,
        max_value: Limits::MAX_VALUE_CEILING,
        ..Limits::default()
    };
    Welcome {
        max_key: welcome.max_key.min(ceiling.max_key as u64),
        max_value: welcome.max_value.min(ceiling.max_value as u64),
        max_body: welcome.max_body.min(ceiling.max_body() as u64),
        ..welcome
    }
}
