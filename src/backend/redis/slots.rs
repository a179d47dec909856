//! Which server of a cluster has a key, as the servers say it.                              (pure)

use std::ops::RangeInclusive;

use redis::{Arg, Cmd, Value};

use super::node::{Reply, Trouble};
use crate::config::Host;

/// How many slots a cluster has.
const SLOTS: u16 = 16_384;

/// Slots, and the servers that have them: first the primary, of which there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Range {
    slots: RangeInclusive<u16>,
    primary: Host,
    replicas: Vec<Host>,
}

impl Range {
    pub(super) fn primary(&self) -> &Host {
        &self.primary
    }

    pub(super) fn hosts(&self) -> impl Iterator<Item = &Host> {
        [&self.primary].into_iter().chain(&self.replicas)
    }

    /// All of them, from the reply of the server at `asked` to `CLUSTER SLOTS`; at least one.
    pub(super) fn all(reply: &Value, asked: &Host) -> Result<Vec<Self>, Trouble> {
        let ranges = reply.as_sequence().and_then(|ranges| {
            let ranges = ranges.iter().map(|range| Self::read(range, asked));
            ranges.collect::<Option<Vec<_>>>()
        });
        match ranges {
            Some(ranges) if ranges.is_empty() => Err(Trouble::Away(format!(
                "{asked}: it is in no cluster that has slots"
            ))),
            Some(ranges) => Ok(ranges),
            None => Err(Trouble::Away(format!(
                "{asked}: its reply is no list of slots"
            ))),
        }
    }

    fn read(range: &Value, asked: &Host) -> Option<Self> {
        let [Value::Int(first), Value::Int(last), servers @ ..] = range.as_sequence()? else {
            return None;
        };
        let mut hosts = servers.iter().map(|server| {
            let [name, Value::Int(port), ..] = server.as_sequence()? else {
                return None;
            };
            let name = match name {
                Value::Nil => String::new(),
                name => redis::from_redis_value_ref(name).ok()?,
            };
            Some(Host {
                name: known_as(&name, asked),
                port: u16::try_from(*port).ok()?,
            })
        });
        Some(Self {
            slots: u16::try_from(*first).ok()?..=u16::try_from(*last).ok()?,
            primary: hosts.next()??,
            replicas: hosts.collect::<Option<_>>()?,
        })
    }
}

/// The primary that has the key of a command.
pub(super) fn owner<'r>(ranges: &'r [Range], key: &[u8]) -> Option<&'r Host> {
    let slot = slot(key);
    let range = ranges.iter().find(|range| range.slots.contains(&slot))?;
    Some(&range.primary)
}

/// Where a command goes next that was not done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Moved(Host),
    /// This once: the slot is on its way.
    Ask(Host),
}

impl Next {
    /// Where the server at `asked` says that the key is.
    pub(super) fn of(reply: &Reply, asked: &Host) -> Option<Self> {
        let Err(Trouble::Said(text)) = reply else {
            return None;
        };
        let mut words = text.split(' ');
        let next = match words.next()? {
            "MOVED" => Self::Moved,
            "ASK" => Self::Ask,
            _ => return None,
        };
        let (name, port) = words.nth(1)?.rsplit_once(':')?;
        Some(next(Host {
            name: known_as(name, asked),
            port: port.parse().ok()?,
        }))
    }
}

/// What a server is called. It may not know its own name, which is then that of whoever was asked.
fn known_as(name: &str, asked: &Host) -> String {
    match name {
        "" | "?" | "0.0.0.0" | "::" => asked.name.clone(),
        name => name.to_owned(),
    }
}

/// The key of a command that is sent to a cluster.
pub(super) fn key(command: &Cmd) -> &[u8] {
    let mut args = command.args_iter();
    let position = match args.next() {
        Some(Arg::Simple(b"EVAL")) => 2,
        _ => 0,
    };
    match args.nth(position) {
        Some(Arg::Simple(key)) => key,
        _ => b"",
    }
}

/// The slot of a key: of one with braces only what is in the first pair counts, if anything is.
fn slot(key: &[u8]) -> u16 {
    let open = key.iter().position(|byte| *byte == b'{');
    let tag = open.and_then(|open| {
        let rest = &key[open + 1..];
        let close = rest.iter().position(|byte| *byte == b'}')?;
        Some(&rest[..close]).filter(|tag| !tag.is_empty())
    });
    crc16(tag.unwrap_or(key)) % SLOTS
}

/// CRC-16/XMODEM.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc: u16, byte| {
        (0..8).fold(crc ^ u16::from(*byte) << 8, |crc, _| {
            let next = crc << 1;
            if crc & 0x8000 == 0 {
                next
            } else {
                next ^ 0x1021
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str, port: u16) -> Host {
        let name = name.to_owned();
        Host { name, port }
    }

    fn server(name: Value, port: i64) -> Value {
        Value::Array(vec![name, Value::Int(port), Value::Nil])
    }

    fn range(first: i64, servers: Vec<Value>) -> Value {
        let slots = [Value::Int(first), Value::Int(first + 1)];
        Value::Array(slots.into_iter().chain(servers).collect())
    }

    fn text(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    #[test]
    fn a_key_has_the_slot_that_redis_gives_it() {
        // As `CLUSTER KEYSLOT` has it.
        for (key, expected) in [
            (&b"123456789"[..], 0x31C3 % SLOTS),
            (b"", 0),
            (b"foo", 12_182),
            (b"sess:{foo}1", 12_182),
            (b"{}foo", slot(b"{}foo")),
            (b"foo{", crc16(b"foo{") % SLOTS),
            (b"{a}{foo}", 15_495),
            (b"a", 15_495),
        ] {
            assert_eq!(slot(key), expected, "{}", key.escape_ascii());
        }
        assert_ne!(slot(b"{}foo"), slot(b"foo"));
    }

    #[test]
    fn the_key_of_a_script_is_behind_it() {
        let mut eval = redis::cmd("EVAL");
        eval.arg("return 1").arg(1).arg("k").arg("x");
        assert_eq!(key(&eval), b"k");
        assert_eq!(key(redis::cmd("SET").arg("k").arg("v")), b"k");
        assert_eq!(key(&redis::cmd("PING")), b"");
    }

    #[test]
    fn each_slot_is_found_by_the_name_that_its_server_goes_by() {
        let reply = Value::Array(vec![
            range(0, vec![server(text("a"), 1), server(text("b"), 2)]),
            range(2, vec![server(text(""), 3)]),
            range(15_494, vec![server(Value::Nil, 4)]),
        ]);
        let ranges = Range::all(&reply, &host("asked", 9)).unwrap();
        let primaries: Vec<&Host> = ranges.iter().map(Range::primary).collect();
        assert_eq!(
            primaries,
            [&host("a", 1), &host("asked", 3), &host("asked", 4)]
        );
        let hosts: Vec<&Host> = ranges[0].hosts().collect();
        assert_eq!(hosts, [&host("a", 1), &host("b", 2)]);
        assert_eq!(owner(&ranges, b"a"), Some(&host("asked", 4)));
        assert_eq!(owner(&ranges, b"foo"), None);
        for wrong in [
            Value::Okay,
            Value::Array(Vec::new()),
            Value::Array(vec![text("a")]),
            Value::Array(vec![range(0, Vec::new())]),
            Value::Array(vec![range(0, vec![server(text("a"), 65_536)])]),
            Value::Array(vec![range(-1, vec![server(text("a"), 1)])]),
        ] {
            assert!(Range::all(&wrong, &host("asked", 9)).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_server_says_where_a_key_is_instead() {
        let next = |text: &str| Next::of(&Err(Trouble::Said(text.to_owned())), &host("asked", 9));
        assert_eq!(next("MOVED 7 a:1"), Some(Next::Moved(host("a", 1))));
        assert_eq!(next("ASK 7 :1"), Some(Next::Ask(host("asked", 1))));
        assert_eq!(next("MOVED 7 ::1:5"), Some(Next::Moved(host("::1", 5))));
        for other in [
            "MOVED",
            "MOVED 7",
            "MOVED 7 a",
            "MOVED 7 a:x",
            "ERR MOVED 7 a:1",
        ] {
            assert_eq!(next(other), None, "{other}");
        }
    }
}
