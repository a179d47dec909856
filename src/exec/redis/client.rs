//! `CLIENT`: what connections tell of themselves.

use super::call::{Call, is_word};
use super::fault::{Done, Fault};
use super::help;
use super::profile::Profile;
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
        return Err(Fault::quoting("ERR Unrecognized option '", option, "'"));
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

/// Which connections are meant.
#[derive(Default)]
struct Wanted<'a> {
    id: Option<u64>,
    kind: Option<&'a [u8]>,
    address: Option<&'a [u8]>,
    own_address: Option<&'a [u8]>,
    /// Whether the one that asks may be among them.
    own: bool,
}

impl<'a> Wanted<'a> {
    /// The options of `CLIENT KILL`.
    fn read(call: &Call<'a>) -> Result<Self, Fault> {
        let mut wanted = Self::default();
        let mut args = call.args_from(2);
        while let Some(option) = args.next() {
            let value = args.next().ok_or(Fault::SYNTAX)?;
            if is_word(option, "ID") {
                let id = parse_i64(value).and_then(|id| u64::try_from(id).ok());
                let id = id.filter(|id| *id > 0);
                wanted.id = Some(id.ok_or(Fault::of("ERR client-id should be greater than 0"))?);
            } else if is_word(option, "TYPE") {
                check_kind(value)?;
                wanted.kind = Some(value);
            } else if is_word(option, "ADDR") {
                wanted.address = Some(value);
            } else if is_word(option, "LADDR") {
                wanted.own_address = Some(value);
            } else if is_word(option, "USER") {
                if value != b"default" {
                    return Err(Fault::quoting("ERR No such user '", value, "'"));
                }
            } else if is_word(option, "SKIPME") && is_word(value, "YES") {
                wanted.own = false;
            } else if is_word(option, "SKIPME") && is_word(value, "NO") {
                wanted.own = true;
            } else {
                return Err(Fault::SYNTAX);
            }
        }
        Ok(wanted)
    }

    /// Whether it is one of them. A channel is only where it is named: its worker could not open
    /// it again.
    fn has(&self, client: &Profile) -> bool {
        let is_at = |asked: &[u8]| asked == client.address().as_bytes();
        let is_named = self.id.is_some() || self.address.is_some();
        self.id.is_none_or(|id| client.id().0 == id)
            && self.kind.is_none_or(|kind| is_of_kind(client, kind))
            && self.address.is_none_or(is_at)
            && self.own_address.is_none_or(is_at)
            && (is_named || !client.is_channel())
    }
}

/// `CLIENT KILL address`, `CLIENT KILL [ID id] [TYPE kind] [ADDR address] [LADDR address]
/// [USER name] [SKIPME yes | no]`
fn kill(call: &mut Call<'_>) -> Done {
    let is_old_form = call.args.len() == 3;
    let wanted = if is_old_form {
        Wanted {
            address: Some(call.arg(2)),
            own: true,
            ..Wanted::default()
        }
    } else {
        Wanted::read(call)?
    };
    let own = call.session.id();
    let found = call.shared.clients().filter(|client| wanted.has(client));
    let found: Vec<_> = found
        .map(Profile::id)
        .filter(|id| wanted.own || *id != own)
        .collect();
    for id in &found {
        if *id == own {
            call.session.close("it has killed itself");
        } else {
            call.shared.kill(*id);
        }
    }
    match found.len() {
        0 if is_old_form => return Err(Fault::of("ERR No such client")),
        _ if is_old_form => call.reply.simple("OK"),
        count => call.count(count),
    }
    Ok(())
}

/// Whether this is a kind that Redis knows.
fn check_kind(kind: &[u8]) -> Done {
    let kinds = ["normal", "slave", "replica", "pubsub", "master"];
    if kinds.iter().any(|known| is_word(kind, known)) {
        return Ok(());
    }
    Err(Fault::quoting("ERR Unknown client type '", kind, "'"))
}

fn is_of_kind(client: &Profile, kind: &[u8]) -> bool {
    let own = if client.is_subscribed() {
        "pubsub"
    } else {
        "normal"
    };
    is_word(kind, own)
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
            check_kind(kind)?;
            let clients = call.shared.clients();
            for client in clients.filter(|client| is_of_kind(client, kind)) {
                client.describe(call.now, &mut text);
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
    command("client|kill", -3, OTHERS, Keys::NONE, kill),
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
