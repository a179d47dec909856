//! Taking connections from a listener without ever losing its edge.
//!
//! A listener whose `accept` fails for lack of descriptors would hang silent for ever: its edge is
//! spent and its queue never empties. So a descriptor is held in reserve and given up to take the
//! connection and close it. Used by the reactor.

use std::fs::File;
use std::io;

use nix::errno::Errno;

/// Connections that are taken from one listener in one tick.
pub(super) const ACCEPTS_PER_TICK: usize = 64;

/// A descriptor that can be given up.
pub(super) struct Reserve(Option<File>);

impl Reserve {
    pub(super) fn new() -> io::Result<Self> {
        Self::open().map(|file| Self(Some(file)))
    }

    fn open() -> io::Result<File> {
        File::open("/dev/null")
    }

    fn refill(&mut self) {
        if self.0.is_none() {
            self.0 = Self::open().ok();
        }
    }

    /// Runs `action` with one more descriptor free; it must not keep one open.
    fn lend<T>(&mut self, action: impl FnOnce() -> T) -> T {
        self.0 = None;
        let result = action();
        self.refill();
        result
    }
}

/// What one attempt to take a connection came to.
#[derive(Debug)]
pub(super) enum Attempt<S> {
    Taken(S),
    /// There was a connection and no descriptor for it: it was refused.
    Refused,
    /// Nothing of note; there may be more.
    Again,
    /// The queue is empty; an event will tell when it is not.
    Empty,
    /// The system cannot do it now and nothing will tell when it can.
    Failed(io::Error),
}

/// Tries to take one connection; `refuse` says goodbye to one that cannot be kept.
pub(super) fn attempt<S>(
    mut accept: impl FnMut() -> io::Result<S>,
    reserve: &mut Reserve,
    refuse: impl FnOnce(S),
) -> Attempt<S> {
    let error = match accept() {
        Ok(stream) => {
            reserve.refill();
            return Attempt::Taken(stream);
        }
        Err(error) => error,
    };
    match error.kind() {
        io::ErrorKind::WouldBlock => Attempt::Empty,
        io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => Attempt::Again,
        _ if lacks_descriptors(&error) => match reserve.lend(|| accept().map(refuse)) {
            Ok(()) => Attempt::Refused,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Attempt::Empty,
            Err(error) => Attempt::Failed(error),
        },
        _ => Attempt::Failed(error),
    }
}

fn lacks_descriptors(error: &io::Error) -> bool {
    [Errno::EMFILE, Errno::ENFILE]
        .iter()
        .any(|errno| error.raw_os_error() == Some(*errno as i32))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    fn errno(errno: Errno) -> io::Result<u8> {
        Err(io::Error::from_raw_os_error(errno as i32))
    }

    /// What the attempts come to when `accept` gives `script`, and who was refused.
    fn play(script: Vec<io::Result<u8>>) -> (Vec<String>, Vec<u8>) {
        let mut script = VecDeque::from(script);
        let mut reserve = Reserve::new().unwrap();
        let (mut seen, mut refused) = (Vec::new(), Vec::new());
        while !script.is_empty() {
            let attempt = attempt(
                || script.pop_front().unwrap(),
                &mut reserve,
                |stream| refused.push(stream),
            );
            seen.push(match attempt {
                Attempt::Failed(error) => format!("failed {}", error.raw_os_error().unwrap()),
                other => format!("{other:?}"),
            });
            assert!(reserve.0.is_some(), "the reserve was not filled again");
        }
        (seen, refused)
    }

    #[test]
    fn a_connection_without_a_descriptor_is_refused_and_the_next_is_taken() {
        for lack in [Errno::EMFILE, Errno::ENFILE] {
            let (seen, refused) = play(vec![errno(lack), Ok(1), Ok(2), errno(Errno::EAGAIN)]);
            assert_eq!(seen, ["Refused", "Taken(2)", "Empty"]);
            assert_eq!(refused, [1]);
        }
    }

    #[test]
    fn a_connection_that_went_away_does_not_end_the_accepting() {
        let (seen, _) = play(vec![errno(Errno::ECONNABORTED), errno(Errno::EINTR), Ok(3)]);
        assert_eq!(seen, ["Again", "Again", "Taken(3)"]);
    }

    #[test]
    fn what_cannot_be_helped_is_reported_and_not_mistaken_for_an_empty_queue() {
        let (seen, _) = play(vec![errno(Errno::ENOMEM)]);
        assert_eq!(seen, [format!("failed {}", Errno::ENOMEM as i32)]);
        let (seen, _) = play(vec![errno(Errno::EMFILE), errno(Errno::EMFILE)]);
        assert_eq!(seen, [format!("failed {}", Errno::EMFILE as i32)]);
        let (seen, _) = play(vec![errno(Errno::EMFILE), errno(Errno::EAGAIN)]);
        assert_eq!(seen, ["Empty"]);
    }
}
