//! Who a peer is and what it speaks: `HELLO`, `AUTH`, `RESET`.
//!
//! There is one user, `default`, whose password is the secret of the master. Having a channel
//! proves as much as knowing it.

use super::call::{Call, is_word};
use super::client;
use super::fault::{Done, Fault};
use super::info::VERSION;
use super::session::Replies;
use crate::protocol::resp::Protocol;
use crate::protocol::resp::number::parse_i64;

/// `HELLO [2 | 3 [AUTH user password] [SETNAME name]]`
pub(super) fn hello(call: &mut Call<'_>) -> Done {
    let protocol = match call.args.get(1) {
        None => call.session.protocol,
        Some(version) => match parse_i64(version) {
            Some(2) => Protocol::Resp2,
            Some(3) => Protocol::Resp3,
            Some(_) => return Err(Fault::of("NOPROTO unsupported protocol version")),
            None => {
                return Err(Fault::of(
                    "ERR Protocol version is not an integer or out of range",
                ));
            }
        },
    };
    let mut options = call.args_from(2);
    while let Some(option) = options.next() {
        if is_word(option, "AUTH") && options.len() >= 2 {
            let mut next = || options.next().unwrap_or_default();
            authenticate(call, next(), next())?;
        } else if is_word(option, "SETNAME") && options.len() >= 1 {
            client::name(call, options.next().unwrap_or_default())?;
        } else {
            let text = "ERR Syntax error in HELLO option '";
            return Err(Fault::quoting(text, option, "'"));
        }
    }
    if !call.session.is_authenticated {
        return Err(Fault::of(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the \
             HELLO AUTH <user> <pass> option can be used to authenticate the client and select \
             the RESP protocol version at the same time",
        ));
    }
    call.session.protocol = protocol;
    welcome(call, protocol);
    Ok(())
}

fn welcome(call: &mut Call<'_>, protocol: Protocol) {
    let id = i64::try_from(call.session.id().0).unwrap_or(i64::MAX);
    let reply = &mut call.reply;
    reply.set_protocol(protocol);
    reply.map(7);
    reply.bulk(b"server");
    reply.bulk(b"redis");
    reply.bulk(b"version");
    reply.bulk(VERSION.as_bytes());
    reply.bulk(b"proto");
    reply.integer(match protocol {
        Protocol::Resp2 => 2,
        Protocol::Resp3 => 3,
    });
    reply.bulk(b"id");
    reply.integer(id);
    reply.bulk(b"mode");
    reply.bulk(b"standalone");
    reply.bulk(b"role");
    reply.bulk(b"master");
    reply.bulk(b"modules");
    reply.array(0);
}

/// `AUTH [user] password`
pub(super) fn auth(call: &mut Call<'_>) -> Done {
    match call.args.len() {
        2 if call.secret.is_none() => {
            return Err(Fault::of(
                "ERR AUTH <password> called without any password configured for the default \
                 user. Are you sure your configuration is correct?",
            ));
        }
        2 => authenticate(call, b"default", call.arg(1))?,
        3 => authenticate(call, call.arg(1), call.arg(2))?,
        _ => return Err(Fault::SYNTAX),
    }
    call.reply.simple("OK");
    Ok(())
}

/// Without a secret any password will do, as for Redis's user without one.
fn authenticate(call: &mut Call<'_>, user: &[u8], password: &[u8]) -> Done {
    let is_right = call.secret.is_none_or(|secret| secret.is(password));
    if user != b"default" || !is_right {
        return Err(Fault::of(
            "WRONGPASS invalid username-password pair or user is disabled.",
        ));
    }
    call.session.is_authenticated = true;
    Ok(())
}

/// `RESET`
pub(super) fn reset(call: &mut Call<'_>) -> Done {
    let session = &mut *call.session;
    let (mailbox, own) = (session.profile.mailbox(), &mut session.subscriptions);
    call.hub.channels.clear(mailbox, own);
    session.transaction.end(&mut call.hub.watches);
    session.replies = Replies::Sent;
    session.database = 0;
    session.protocol = Protocol::default();
    session.is_authenticated = session.is_trusted || call.secret.is_none();
    session.profile.labels().borrow_mut().name = Vec::new();
    call.reply.set_protocol(session.protocol);
    call.reply.simple("RESET");
    Ok(())
}
