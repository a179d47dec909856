//! `subscribe`: what is published to some channels, a line for each message as it comes, until this
//! is ended.

use std::io::{self, Write};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::Serialize;

use super::exit::{Exit, Failure};
use super::output;
use crate::cluster::{Message, Store};
use crate::error::Error;
use crate::snapshot::lines::{Text, text_or_hex};

/// How often is looked whether anybody still reads what is written.
const LOOK: Duration = Duration::from_secs(1);

/// What was typed.
#[derive(Debug, PartialEq)]
pub(crate) struct Subscribe {
    pub(crate) names: Vec<Vec<u8>>,
    /// The names are patterns.
    pub(crate) is_matching: bool,
    /// Messages are written as they are.
    pub(crate) is_plain: bool,
}

impl Subscribe {
    /// Writes every message to `out`. Comes back only with why it cannot go on; a signal to end
    /// ends the process.
    pub(crate) fn run(&self, store: &Store, out: &mut impl Write) -> Result<Exit, Failure> {
        for signal in signal_hook::consts::TERM_SIGNALS {
            // Whatever has come is written by then, and it must not take a message to end this.
            let code = i32::from(Exit::Ok.code());
            let always = Arc::new(AtomicBool::new(true));
            signal_hook::flag::register_conditional_shutdown(*signal, code, always)
                .map_err(Error::io("wait for signals"))?;
        }
        let mut messages = if self.is_matching {
            store.subscribe_matching(&self.names)?
        } else {
            store.subscribe(&self.names)?
        };
        loop {
            match messages.receive(LOOK) {
                Ok(Some(message)) => {
                    self.write(out, &message)?;
                    out.flush()?;
                }
                Ok(None) if is_unread() => return Err(Failure::ReaderGone),
                // After a timeout it is told that something is missing.
                Ok(None) | Err(Error::Timeout { .. }) => {}
                Err(missed @ Error::Missed(_)) => output::say(&missed.to_string()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn write(&self, out: &mut impl Write, message: &Message) -> io::Result<()> {
        if self.is_plain {
            out.write_all(&message.payload)?;
        } else {
            serde_json::to_writer(&mut *out, &Line::of(message))?;
        }
        out.write_all(b"\n")
    }
}

/// A message as a line of JSON.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel_hex: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pattern: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pattern_hex: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_hex: Text<'a>,
}

impl<'a> Line<'a> {
    fn of(message: &'a Message) -> Self {
        let (channel, channel_hex) = text_or_hex(&message.channel);
        let pattern = message.pattern.as_deref();
        let (pattern, pattern_hex) = pattern.map_or((None, None), text_or_hex);
        let (message, message_hex) = text_or_hex(&message.payload);
        Self {
            channel,
            channel_hex,
            pattern,
            pattern_hex,
            message,
            message_hex,
        }
    }
}

/// Whether the other end of standard output is gone, which otherwise only the next message tells.
fn is_unread() -> bool {
    let out = io::stdout();
    let mut fds = [PollFd::new(out.as_fd(), PollFlags::empty())];
    matches!(poll(&mut fds, PollTimeout::ZERO), Ok(1..))
}
