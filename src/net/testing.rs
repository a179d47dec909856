//! What the tests of this module share: an echo, and this test program run again as a child.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{self, Command, Stdio};

use super::handler::{CloseReason, Handler, Refusal, Taken, Verdict};
use super::peer::Peer;
use super::token::ConnectionId;
use crate::protocol::frame;

/// Replies with the request itself; the codes below make exceptions. Its session counts frames.
#[derive(Default)]
pub(super) struct Echo {
    pub(super) closed: Vec<(ConnectionId, CloseReason)>,
    pub(super) refused: Vec<Refusal>,
    pub(super) turn_away: Option<Refusal>,
    /// Where requests go instead of being answered.
    pub(super) elsewhere: Option<Elsewhere>,
}

/// Takes requests along.
#[derive(Default)]
pub(super) struct Elsewhere {
    /// How many chunks it takes until it is full.
    pub(super) room: usize,
    pub(super) chunks: VecDeque<(ConnectionId, Vec<u8>)>,
}

impl Elsewhere {
    fn take(&mut self, id: ConnectionId, bytes: &[u8]) -> Taken {
        let mut whole = 0;
        while let Ok(Some(frame)) = frame::split(&bytes[whole..], MAX_BODY) {
            whole += frame.wire_len();
        }
        if whole == 0 {
            return Taken::Nothing;
        }
        if self.room == 0 {
            return Taken::Full;
        }
        self.room -= 1;
        self.chunks.push_back((id, bytes[..whole].to_vec()));
        Taken::Along(whole)
    }
}

/// The peer has introduced itself.
pub(super) const INTRODUCE: u8 = 2;
/// The connection is to be closed after the reply.
pub(super) const GOODBYE: u8 = 3;
/// The body is a number: how many bytes the reply is to have.
pub(super) const INFLATE: u8 = 4;
/// The code of the reply to what is no frame.
pub(super) const BROKEN: u8 = 0xC0;
/// The code of what a refused peer is told.
pub(super) const REFUSED: u8 = 0xC6;
/// Why a connection with that is closed.
pub(super) const GARBAGE: &str = "no frame";
/// The largest body.
pub(super) const MAX_BODY: usize = 1 << 20;

impl Handler for Echo {
    type Session = u64;

    fn accepted(&mut self, _peer: Peer) -> Result<u64, Refusal> {
        self.turn_away.map_or(Ok(0), Err)
    }

    fn refused(&mut self, why: Refusal, out: &mut Vec<u8>) {
        self.refused.push(why);
        frame::write(out, REFUSED, 0, |_| ());
    }

    fn request(
        &mut self,
        id: ConnectionId,
        frames: &mut u64,
        bytes: &[u8],
        out: &mut Vec<u8>,
    ) -> Taken {
        if let Some(elsewhere) = &mut self.elsewhere {
            return elsewhere.take(id, bytes);
        }
        let frame = match frame::split(bytes, MAX_BODY) {
            Ok(Some(frame)) => frame,
            Ok(None) => return Taken::Nothing,
            Err(_) => {
                frame::write(out, BROKEN, 0, |_| ());
                return Taken::Garbage(GARBAGE);
            }
        };
        *frames += 1;
        let header = frame.header;
        frame::write(out, header.code, header.id, |out| match header.code {
            INFLATE => {
                let len = u32::from_le_bytes(frame.body.try_into().unwrap());
                out.resize(out.len() + usize::try_from(len).unwrap(), 0xAA);
            }
            _ => out.extend_from_slice(frame.body),
        });
        let verdict = match frame.header.code {
            INTRODUCE => Verdict::Introduced,
            GOODBYE => Verdict::Close("it said goodbye"),
            _ => Verdict::Continue,
        };
        Taken::Request(frame.wire_len(), verdict)
    }

    fn closed(&mut self, id: ConnectionId, _frames: u64, why: CloseReason) {
        self.closed.push((id, why));
    }
}

/// A request of the echo.
pub(super) fn request(code: u8, id: u32, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    frame::write(&mut out, code, id, |out| out.extend_from_slice(body));
    out
}

/// A child process that dies with the test.
pub(super) struct Child(process::Child);

/// Runs the test of this name alone in another process, with these variables set, by which it
/// knows that it is the child.
pub(super) fn this_test_again(name: &str, variables: &[(&str, &OsStr)]) -> Child {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .envs(variables.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    Child(child.unwrap())
}

impl Child {
    /// Waits for the child's [`report_ready`].
    pub(super) fn wait_until_ready(&mut self) {
        let output = BufReader::new(self.0.stdout.take().unwrap());
        let mut lines = output.lines().map(Result::unwrap);
        assert!(lines.any(|line| line.contains(READY)), "the child failed");
    }

    pub(super) fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const READY: &str = "the child is ready";

pub(super) fn report_ready() {
    let mut stdout = std::io::stdout();
    writeln!(stdout, "\n{READY}").unwrap();
    stdout.flush().unwrap();
}

/// Waits for the parent to kill this process, or to die itself.
pub(super) fn wait_to_be_killed() -> ! {
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    process::exit(0)
}
