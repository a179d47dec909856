//! Signals as events of the loop: signal-hook's self-pipe behind mio.
//!
//! Collated: a signal that came five times since the loop last looked has come once. What a
//! signal means is decided by the master; this only says that it came. The handlers are installed
//! for the whole process and do nothing more once the [`Signals`] are dropped.

use std::fmt;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use libc::c_int;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use signal_hook::consts;
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::SignalOnly;

/// The signals that a master may want to hear of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Signal {
    Terminate,
    Interrupt,
    Quit,
    Hangup,
    Child,
    User1,
    User2,
}

impl Signal {
    pub(crate) const EVERY: [Self; 7] = [
        Self::Terminate,
        Self::Interrupt,
        Self::Quit,
        Self::Hangup,
        Self::Child,
        Self::User1,
        Self::User2,
    ];

    const fn number(self) -> c_int {
        match self {
            Self::Terminate => consts::SIGTERM,
            Self::Interrupt => consts::SIGINT,
            Self::Quit => consts::SIGQUIT,
            Self::Hangup => consts::SIGHUP,
            Self::Child => consts::SIGCHLD,
            Self::User1 => consts::SIGUSR1,
            Self::User2 => consts::SIGUSR2,
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// The signals that came. Walks in the order of [`Signal::EVERY`].
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct SignalSet(u8);

impl SignalSet {
    pub(crate) fn has(&self, signal: Signal) -> bool {
        self.0 & signal.bit() != 0
    }
}

impl Iterator for SignalSet {
    type Item = Signal;

    fn next(&mut self) -> Option<Signal> {
        // The loop asks at every turn, and hardly ever one has come.
        if self.0 == 0 {
            return None;
        }
        let signal = Signal::EVERY.into_iter().find(|signal| self.has(*signal))?;
        self.0 &= !signal.bit();
        Some(signal)
    }
}

impl fmt::Debug for SignalSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.clone()).finish()
    }
}

/// Catches signals and makes a descriptor readable when one comes.
pub(super) struct Signals(SignalDelivery<UnixStream, SignalOnly>);

impl Signals {
    /// From here on these signals no longer do what they do by default.
    pub(super) fn catch(signals: &[Signal]) -> io::Result<Self> {
        let (read, write) = UnixStream::pair()?;
        // Who may not write so far into a file is told by the error as well, and need not end.
        let numbers = signals.iter().map(|signal| signal.number());
        let numbers = numbers.chain([libc::SIGXFSZ]);
        SignalDelivery::with_pipe(read, write, SignalOnly, numbers).map(Self)
    }

    pub(super) fn register(&self, registry: &Registry, token: Token) -> io::Result<()> {
        let fd = self.0.get_read().as_raw_fd();
        registry.register(&mut SourceFd(&fd), token, Interest::READABLE)
    }

    /// Empties the pipe and says what came. Never blocks.
    pub(super) fn take(&mut self) -> SignalSet {
        let came = |number| {
            let known = Signal::EVERY.into_iter();
            known.filter(move |signal| signal.number() == number)
        };
        let pending = self.0.pending().flat_map(came);
        SignalSet(pending.fold(0, |set, signal| set | signal.bit()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::signal::{self, raise};

    #[test]
    fn signals_are_collated_and_taken_once() {
        let mut signals = Signals::catch(&[Signal::User1, Signal::Hangup]).unwrap();
        assert_eq!(signals.take(), SignalSet::default());
        for _ in 0..5 {
            raise(signal::SIGUSR1).unwrap();
        }
        raise(signal::SIGHUP).unwrap();
        let came = signals.take();
        assert!(came.has(Signal::User1) && !came.has(Signal::Terminate));
        assert_eq!(
            came.collect::<Vec<_>>(),
            [Signal::Hangup, Signal::User1],
            "each once"
        );
        assert_eq!(signals.take(), SignalSet::default());
    }

    #[test]
    fn every_signal_has_its_own_bit() {
        let all = Signal::EVERY
            .iter()
            .fold(0, |set, signal| set | signal.bit());
        assert_eq!(SignalSet(all).count(), Signal::EVERY.len());
    }
}
