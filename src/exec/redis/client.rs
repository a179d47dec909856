//! `CLIENT`: what connections tell of themselves.

use super::call::{Call, is_word};
use super::fault::{Done, Fault};
use super::help;
use super::session::Replies;
use super::table::Flag::{Admin, Loading, NoScript, Stale};
use super::table::{Command, Keys, command};
use crate::protocol::resp::number::parse_i64;

/// `CLIENT ID`
fn id(call: &mut Call<'_>) -> Done {
    let id = call.session.id().0;
    call.reply.integer(i64::try_from(id).unwrap_or(i64::MAX));
    Ok(())
}

/// `CLIENT GETNAME`
fn getname(call: &mut Call<'_>) -> Done {
    let labels = call.session.profile.labels().borrow();
    if labels.name.is_empty() {
        call.reply.null();
    } else {
        call.reply.bulk(&labels.name);
    }
    Ok(())
}

/// `CLIENT SETNAME name`
fn setname(call: &mut Call<'_>) -> Done {
    name(call, call.arg(2))?;
    call.reply.simple("OK");
    Ok(())
}

/// Names the connection, or takes its name away.
pub(super) fn name(call: &mut Call<'_>, name: &[u8]) -> Done {
    check_label(call, name, "Client names")?;
    let mut labels = call.session.profile.labels().borrow_mut();
    name.clone_into(&mut labels.name);
    Ok(())
}

/// `CLIENT SETINFO LIB-NAME name`, `CLIENT SETINFO LIB-VER version`, as in Redis 7.2.
fn setinfo(call: &mut Call<'_>) -> Done {
    let (option, value) = (call.arg(2), call.arg(3));
    let (is_name, label) = if is_word(option, "LIB-NAME") {
        (true, "lib-name")
    } else if is_word(option, "LIB-VER") {
        (false, "lib-ver")
    } else {
        let option = String::from_utf8_lossy(&option[..option.len().min(128)]);
        return Err(Fault::say(format!("ERR Unrecognized option '{option}'")));
    };
    check_label(call, value, label)?;
    let mut labels = call.session.profile.labels().borrow_mut();
    let place = if is_name {
        &mut labels.library
    } else {
        &mut labels.version
    };
    value.clone_into(place);
    call.reply.simple("OK");
    Ok(())
}

fn check_label(call: &Call<'_>, text: &[u8], what: &str) -> Done {
    if !text.iter().all(u8::is_ascii_graphic) {
        return Err(Fault::say(format!(
            "ERR {what} cannot contain spaces, newlines or special characters."
        )));
    }
    if text.len() > call.limits.max_key {
        return Err(Fault::say(format!("ERR {what} cannot be so long")));
    }
    Ok(())
}

/// `CLIENT INFO`
fn info(call: &mut Call<'_>) -> Done {
    call.session.show(call.now, "client|info");
    let mut text = Vec::new();
    call.session.profile.describe(call.now, &mut text);
    call.reply.verbatim(&text);
    Ok(())
}

/// `CLIENT LIST [TYPE normal | master | replica | pubsub] [ID id [id …]]`
fn list(call: &mut Call<'_>) -> Done {
    call.session.show(call.now, "client|list");
    let mut text = Vec::new();
    match call.args.get(2) {
        None => {
            for client in call.shared.clients() {
                client.describe(call.now, &mut text);
            }
        }
        Some(option) if is_word(option, "TYPE") && call.args.len() == 4 => {
            let kind = call.arg(3);
            let is_wanted = |is_subscribed: bool| {
                (is_word(kind, "normal") && !is_subscribed)
                    || (is_word(kind, "pubsub") && is_subscribed)
            };
            let kinds = ["normal", "slave", "replica", "pubsub", "master"];
            if !kinds.iter().any(|known| is_word(kind, known)) {
                let kind = String::from_utf8_lossy(&kind[..kind.len().min(128)]);
                return Err(Fault::say(format!("ERR Unknown client type '{kind}'")));
            }
            for client in call.shared.clients() {
                if is_wanted(client.is_subscribed()) {
                    client.describe(call.now, &mut text);
                }
            }
        }
        Some(option) if is_word(option, "ID") && call.args.len() > 3 => {
            for id in call.args_from(3) {
                let id = parse_i64(id).and_then(|id| u64::try_from(id).ok());
                let id = id.ok_or(Fault::of("ERR Invalid client ID"))?;
                if let Some(client) = call.shared.client(id) {
                    client.describe(call.now, &mut text);
                }
            }
        }
        Some(_) => return Err(Fault::SYNTAX),
    }
    call.reply.verbatim(&text);
    Ok(())
}

/// `CLIENT REPLY ON | OFF | SKIP`
fn reply(call: &mut Call<'_>) -> Done {
    let (session, mode) = (&mut *call.session, call.args.get(2).unwrap_or_default());
    if is_word(mode, "ON") {
        session.replies = Replies::Sent;
        call.reply.simple("OK");
    } else if is_word(mode, "OFF") {
        session.replies = Replies::Dropped;
    } else if is_word(mode, "SKIP") {
        if session.replies == Replies::Sent {
            session.replies = Replies::DropNext;
        }
    } else {
        return Err(Fault::SYNTAX);
    }
    Ok(())
}

/// `CLIENT NO-EVICT ON | OFF`, `CLIENT NO-TOUCH ON | OFF`: nothing here depends on them.
fn ignored_switch(call: &mut Call<'_>) -> Done {
    let mode = call.arg(2);
    if !is_word(mode, "ON") && !is_word(mode, "OFF") {
        return Err(Fault::SYNTAX);
    }
    call.reply.simple("OK");
    Ok(())
}

/// `CLIENT TRACKING ON | OFF …`
fn tracking(call: &mut Call<'_>) -> Done {
    if is_word(call.arg(2), "OFF") {
        call.reply.simple("OK");
        return Ok(());
    }
    Err(Fault::of("ERR client side caching is not supported"))
}

/// The sub-commands of `CLIENT`.
pub(super) static SUBS: &[Command] = &[
    command("client|getname", 2, OWN, Keys::NONE, getname),
    command("client|getredir", 2, OWN, Keys::NONE, |call| {
        call.reply.integer(-1);
        Ok(())
    }),
    command("client|help", 2, &[Loading, Stale], Keys::NONE, |call| {
        help::write(call, help::CLIENT)
    }),
    command("client|id", 2, OWN, Keys::NONE, id),
    command("client|info", 2, OWN, Keys::NONE, info),
    command("client|list", -2, OTHERS, Keys::NONE, list),
    command("client|no-evict", 3, OTHERS, Keys::NONE, ignored_switch),
    command("client|no-touch", 3, OWN, Keys::NONE, ignored_switch),
    command("client|reply", 3, OWN, Keys::NONE, reply),
    command("client|setinfo", 4, OWN, Keys::NONE, setinfo),
    command("client|setname", 3, OWN, Keys::NONE, setname),
    command("client|tracking", -3, OWN, Keys::NONE, tracking),
];

const OWN: &[super::table::Flag] = &[NoScript, Loading, Stale];
const OTHERS: &[super::table::Flag] = &[Admin, NoScript, Loading, Stale];
