//! Commands about the connection itself.

use super::call::Call;
use super::fault::{Done, Fault};
use crate::contract::Capabilities;
use crate::protocol::resp::Protocol;
use crate::protocol::resp::number::parse_i64;

/// How many databases there are, where there are several.
const DATABASES: u8 = 16;

/// How many databases can be selected.
pub(super) fn databases(call: &Call<'_>) -> u8 {
    let has_all = call.backend.capabilities().has(Capabilities::DATABASES);
    if has_all { DATABASES } else { 1 }
}

/// `PING [message]`
pub(super) fn ping(call: &mut Call<'_>) -> Done {
    let message = match call.args.len() {
        1 => None,
        2 => Some(call.arg(1)),
        _ => return Err(Fault::arguments("ping")),
    };
    if call.session.is_subscribed() && call.reply.protocol() == Protocol::Resp2 {
        call.reply.array(2);
        call.reply.bulk(b"pong");
        call.reply.bulk(message.unwrap_or_default());
        return Ok(());
    }
    match message {
        Some(message) => call.reply.bulk(message),
        None => call.reply.simple("PONG"),
    }
    Ok(())
}

/// `ECHO message`
pub(super) fn echo(call: &mut Call<'_>) -> Done {
    call.reply.bulk(call.arg(1));
    Ok(())
}

/// `QUIT`
pub(super) fn quit(call: &mut Call<'_>) -> Done {
    call.session.close("it said QUIT");
    call.reply.simple("OK");
    Ok(())
}

/// The number of a database that is there.
pub(super) fn parse_database(call: &Call<'_>, text: &[u8]) -> Result<u8, Fault> {
    let number = parse_i64(text).ok_or(Fault::NOT_AN_INTEGER)?;
    if i32::try_from(number).is_err() {
        return Err(Fault::say(format!(
            "ERR value is out of range, value must between {} and {}",
            i32::MIN,
            i32::MAX
        )));
    }
    let number = u8::try_from(number).ok();
    let number = number.filter(|number| *number < databases(call));
    number.ok_or(Fault::of("ERR DB index is out of range"))
}

/// `SELECT number`
pub(super) fn select(call: &mut Call<'_>) -> Done {
    call.session.database = parse_database(call, call.arg(1))?;
    call.reply.simple("OK");
    Ok(())
}

/// `READONLY`, `READWRITE`
pub(super) fn readonly(_: &mut Call<'_>) -> Done {
    Err(Fault::of("ERR This instance has cluster support disabled"))
}

/// `WAIT replicas timeout`: there are no replicas.
pub(super) fn wait(call: &mut Call<'_>) -> Done {
    call.integer(1)?;
    let timeout = parse_i64(call.arg(2));
    let timeout = timeout.ok_or(Fault::of("ERR timeout is not an integer or out of range"))?;
    if timeout < 0 {
        return Err(Fault::of("ERR timeout is negative"));
    }
    call.reply.integer(0);
    Ok(())
}
