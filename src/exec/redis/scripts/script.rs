//! What a known script has at hand while it runs: keys, arguments, and the commands, which it runs
//! as a client would. Errors come with the script's place in them, as Redis gives them.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::super::call::Call;
use super::super::fault::Fault;
use super::super::lookup::lookup;
use super::super::table::{Flag, Run};
use super::Loaded;
use super::value::Value;
use crate::protocol::resp::{Args, Request};

/// What a script returns.
pub(super) type Returned<'a> = Result<Value<'a>, Fault>;

/// What a script may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Full,
    ReadOnly,
}

/// A script being run. Places in tables are counted from 1, as in Lua; calls from 0, in the order
/// in which the script's text has them.
pub(super) struct Script<'s, 'c> {
    pub(super) call: &'s mut Call<'c>,
    /// The request that asks for it, and how many keys it has.
    request: Request<'c>,
    key_count: usize,
    access: Access,
    loaded: &'s Loaded,
    /// The line of the call that was last made.
    line: u32,
    /// Memory for the commands.
    args: Args,
    reply: Vec<u8>,
}

/// Where in the request the keys begin.
const KEYS: usize = 3;

impl<'s, 'c> Script<'s, 'c> {
    pub(super) fn new(
        call: &'s mut Call<'c>,
        key_count: usize,
        access: Access,
        loaded: &'s Loaded,
    ) -> Self {
        Self {
            request: call.args,
            call,
            key_count,
            access,
            loaded,
            line: 1,
            args: Args::default(),
            reply: Vec::new(),
        }
    }

    /// How many keys there are.
    pub(super) fn key_count(&self) -> usize {
        self.key_count
    }

    /// How many arguments there are.
    pub(super) fn arg_count(&self) -> usize {
        self.request.len() - KEYS - self.key_count
    }

    /// `KEYS[at]`
    pub(super) fn key(&self, at: usize) -> Value<'c> {
        let key = self.request.get(KEYS - 1 + at);
        let key = key.filter(|_| (1..=self.key_count).contains(&at));
        key.map_or(Value::Nil, Value::text)
    }

    /// All keys.
    pub(super) fn keys(&self) -> impl Iterator<Item = Value<'c>> + use<'c> {
        let keys = self.request.iter().skip(KEYS).take(self.key_count);
        keys.map(Value::text)
    }

    /// `ARGV[at]`
    pub(super) fn arg(&self, at: usize) -> Value<'c> {
        let arg = self.request.get(KEYS - 1 + self.key_count + at);
        arg.map_or(Value::Nil, Value::text)
    }

    /// `redis.call`: the `site`th of the text.
    pub(super) fn call(
        &mut self,
        site: usize,
        command: &'static str,
        args: &[&Value<'_>],
    ) -> Returned<'static> {
        self.line = self.loaded.sites.get(site).copied().unwrap_or(1);
        let done = self.run(command, args);
        done.map_err(|fault| self.place(&fault))
    }

    /// `redis.pcall`, which returns an error.
    pub(super) fn pcall(&mut self, command: &'static str, args: &[&Value<'_>]) -> Value<'static> {
        let done = self.run(command, args);
        done.unwrap_or_else(|fault| Value::Error(fault.0))
    }

    fn run(&mut self, command: &'static str, args: &[&Value<'_>]) -> Returned<'static> {
        const NO_ARGUMENT: Fault =
            Fault::of("ERR Lua redis lib command arguments must be strings or integers");
        const ARGUMENTS: Fault =
            Fault::of("ERR Wrong number of args calling Redis command from script");
        let name = Cow::Borrowed(command.as_bytes());
        let args = args.iter().map(|arg| arg.to_argument());
        let words: Option<Vec<_>> = std::iter::once(Some(name)).chain(args).collect();
        let request = self.args.fill(&words.ok_or(NO_ARGUMENT)?);
        let found = lookup(&request).map_err(|_| ARGUMENTS)?;
        let command = found.command;
        if self.access == Access::ReadOnly && command.has(Flag::Write) {
            return Err(Fault::of(
                "ERR Write commands are not allowed from read-only scripts.",
            ));
        }
        let Run::Do(run) = command.run else {
            return Err(Fault::of(
                "ERR This Redis command is not allowed from script",
            ));
        };
        self.reply.clear();
        let mut call = self.call.within(request, &mut self.reply);
        let done = call.attempt(command, run);
        self.call.shared.statistics.of(found).count(&done);
        done?;
        Ok(Value::of_reply(&self.reply))
    }

    /// A number to calculate with, which may be a text.
    pub(super) fn number(&self, value: &Value<'_>) -> Result<f64, Fault> {
        value.to_number().ok_or_else(|| {
            let found = value.type_name();
            self.error(&format!(
                "attempt to perform arithmetic on field '?' (a {found} value)"
            ))
        })
    }

    /// How two values compare, which must be both numbers or both texts. `None`: not at all.
    pub(super) fn order(
        &self,
        one: &Value<'_>,
        other: &Value<'_>,
    ) -> Result<Option<Ordering>, Fault> {
        match (one, other) {
            (Value::Number(one), Value::Number(other)) => Ok(one.partial_cmp(other)),
            (Value::Text(one), Value::Text(other)) => Ok(Some(one.cmp(other))),
            _ => {
                let (one, other) = (one.type_name(), other.type_name());
                let what = if one == other {
                    format!("attempt to compare two {one} values")
                } else {
                    format!("attempt to compare {one} with {other}")
                };
                Err(self.error(&what))
            }
        }
    }

    /// Whether a value is less than a number.
    pub(super) fn is_less(&self, value: &Value<'_>, than: f64) -> Result<bool, Fault> {
        let order = self.order(value, &Value::Number(than))?;
        Ok(order == Some(Ordering::Less))
    }

    /// Whether a value is above a number.
    pub(super) fn is_above(&self, value: &Value<'_>, than: f64) -> Result<bool, Fault> {
        let order = self.order(&Value::Number(than), value)?;
        Ok(order == Some(Ordering::Less))
    }

    /// An error of Lua's own. It names the line of the last call: that of the error is not known.
    pub(super) fn error(&self, what: &str) -> Fault {
        self.place(&Fault::say(format!(
            "ERR user_script:{}: {what}",
            self.line
        )))
    }

    fn place(&self, fault: &Fault) -> Fault {
        let Self { loaded, line, .. } = self;
        let place = format!(" script: {}, on @user_script:{line}.", loaded.digest);
        Fault([&*fault.0, place.as_bytes()].concat().into())
    }
}
