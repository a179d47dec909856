//! The values of Lua, as far as known scripts have them, and what becomes of them: what a command
//! answers becomes a value, and the value that a script returns becomes a reply, as in Redis.

use std::borrow::Cow;

use crate::protocol::resp::Writer;
use crate::protocol::resp::number::{parse_i64, write_double};

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value<'a> {
    Nil,
    Boolean(bool),
    Number(f64),
    Text(Cow<'a, [u8]>),
    /// What is in it from 1 on.
    Table(Vec<Value<'a>>),
    /// The table that `OK` becomes.
    Okay,
    /// The table that an error becomes: its text, without the dash.
    Error(Cow<'static, [u8]>),
}

impl<'a> Value<'a> {
    pub(super) const ZERO: Self = Self::Number(0.0);
    pub(super) const ONE: Self = Self::Number(1.0);

    pub(super) fn text(text: &'a [u8]) -> Self {
        Self::Text(Cow::Borrowed(text))
    }

    /// Whether it counts as true in a condition.
    pub(super) fn is_true(&self) -> bool {
        !matches!(self, Self::Nil | Self::Boolean(false))
    }

    /// What `tonumber` makes of it.
    pub(super) fn to_number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => {
                // It is a C string to Lua: a zero byte is its end.
                let text = text.split(|byte| *byte == 0).next()?;
                let text = std::str::from_utf8(text).ok()?;
                let text = text.trim_matches(|c: char| c.is_ascii_whitespace() || c == '\x0b');
                match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
                    #[expect(clippy::cast_precision_loss, reason = "as C does it")]
                    Some(digits) => u64::from_str_radix(digits, 16).ok().map(|n| n as f64),
                    None => text.parse().ok(),
                }
            }
            _ => None,
        }
    }

    /// What a value is, as errors of Lua name it.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Nil => "nil",
            Self::Boolean(_) => "boolean",
            Self::Number(_) => "number",
            Self::Text(_) => "string",
            Self::Table(_) | Self::Okay | Self::Error(_) => "table",
        }
    }

    /// The argument of a command that it becomes; `None` if it can be none.
    pub(super) fn to_argument(&self) -> Option<Cow<'_, [u8]>> {
        match self {
            Self::Text(text) => Some(Cow::Borrowed(text)),
            Self::Number(number) => {
                let mut text = Vec::new();
                write_double(&mut text, *number);
                Some(Cow::Owned(text))
            }
            _ => None,
        }
    }

    /// The reply that it becomes: numbers lose their fraction, and a table ends at its first nil.
    pub(super) fn write(&self, reply: &mut Writer<'_>) {
        match self {
            Self::Nil | Self::Boolean(false) => reply.null(),
            Self::Boolean(true) => reply.integer(1),
            Self::Number(number) => reply.integer(truncate(*number)),
            Self::Text(text) => reply.bulk(text),
            Self::Table(values) => {
                let len = values.iter().take_while(|value| **value != Self::Nil);
                let len = len.count();
                reply.array(len);
                for value in &values[..len] {
                    value.write(reply);
                }
            }
            Self::Okay => reply.simple("OK"),
            Self::Error(text) => reply.error_parts(&[text]),
        }
    }

    /// The value that a reply of ours in RESP2 becomes. A null becomes false.
    pub(super) fn of_reply(reply: &[u8]) -> Value<'static> {
        let value = read_reply(reply).map(|(value, _)| value);
        value.expect("the writer makes whole replies")
    }
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Self::Boolean(value)
    }
}

impl From<f64> for Value<'_> {
    fn from(value: f64) -> Self {
        Self::Number(value)
    }
}

/// What `(long long)` makes of a double on x86-64.
fn truncate(number: f64) -> i64 {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if (-LIMIT..LIMIT).contains(&number) {
        #[expect(clippy::cast_possible_truncation, reason = "that is what is asked for")]
        return number as i64;
    }
    i64::MIN
}

fn read_reply(reply: &[u8]) -> Option<(Value<'static>, &[u8])> {
    let end = reply.windows(2).position(|pair| pair == b"\r\n")?;
    let (line, rest) = (&reply[1..end], &reply[end + 2..]);
    Some(match reply[0] {
        b'+' if line == b"OK" => (Value::Okay, rest),
        b':' => {
            #[expect(clippy::cast_precision_loss, reason = "Lua has no other numbers")]
            let number = parse_i64(line)? as f64;
            (Value::Number(number), rest)
        }
        b'$' if line == b"-1" => (Value::Boolean(false), rest),
        b'$' => {
            let len = usize::try_from(parse_i64(line)?).ok()?;
            let text = rest.get(..len)?.to_vec();
            (Value::Text(Cow::Owned(text)), rest.get(len + 2..)?)
        }
        b'*' => {
            let mut values = Vec::new();
            let mut rest = rest;
            for _ in 0..parse_i64(line)? {
                let (value, behind) = read_reply(rest)?;
                values.push(value);
                rest = behind;
            }
            (Value::Table(values), rest)
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::resp::Protocol;

    #[test]
    fn a_reply_becomes_a_value_and_a_value_a_reply() {
        let reply = b"*5\r\n:-7\r\n$2\r\nab\r\n$-1\r\n+OK\r\n*0\r\n";
        let value = Value::of_reply(reply);
        let Value::Table(values) = &value else {
            panic!("{value:?}")
        };
        assert_eq!(values[0], Value::Number(-7.0));
        assert_eq!(values[2], Value::Boolean(false));
        let mut out = Vec::new();
        value.write(&mut Writer::new(&mut out, Protocol::Resp2));
        assert_eq!(out, reply);
    }

    #[test]
    fn a_table_ends_at_nil_and_a_number_has_no_fraction() {
        let table = [
            Value::from(2.9),
            Value::from(-2.9),
            Value::from(f64::NAN),
            Value::from(true),
            Value::Nil,
            Value::ONE,
        ];
        let mut out = Vec::new();
        Value::Table(table.to_vec()).write(&mut Writer::new(&mut out, Protocol::Resp2));
        assert_eq!(out, b"*4\r\n:2\r\n:-2\r\n:-9223372036854775808\r\n:1\r\n");
    }

    #[test]
    fn a_text_is_a_number_where_lua_takes_it_for_one() {
        let cases: [(&[u8], Option<f64>); 9] = [
            (b"1\0x", Some(1.0)),
            (b"10", Some(10.0)),
            (b" -1.5e2\n", Some(-150.0)),
            (b"0x1F", Some(31.0)),
            (b"", None),
            (b" ", None),
            (b"1x", None),
            (b"1 2", None),
            (b"\xff", None),
        ];
        for (text, number) in cases {
            let case = text.escape_ascii();
            assert_eq!(Value::text(text).to_number(), number, "{case}");
        }
    }
}
