//! `copy`: the entries of one store into another, once or until the application has moved.
//!
//! Both are used as an application uses them, so any two kinds can be named. A pass goes over all
//! entries of one and writes into the other what it does not have like that; so a copy that was
//! stopped is taken up by beginning anew, and a live one is passes without end, that also remove
//! what they had copied and is gone. At the end both are read again and compared.
//!
//! | module | what is there |
//! |---|---|
//! | `place` | the two stores: what they are called, how they are opened, which two make no sense |
//! | `reading` | entries with the time at which they were read, which says when they end |
//! | `others` | what not every store has: hashes, and databases other than the first |
//! | `pass` | one pass over everything |
//! | `verify` | whether both have the same |

mod others;
mod pass;
mod place;
mod reading;
mod verify;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use self::pass::Work;
use self::place::{Place, Trouble};
use super::exit::{Exit, Failure};
use super::output;
use crate::cluster::Subscription;
use crate::config::{self, Config};
use crate::error::Error;
use crate::master::FAREWELL;

/// The pause between two passes of a live copy, and the longest where they fail.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));
/// How often a pause looks whether it is to end.
const GLANCE: Duration = Duration::from_millis(50);

/// What was typed.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Copy {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) is_live: bool,
}

impl fmt::Debug for Copy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Copy")
            .field("from", &config::Store::told(&self.from))
            .field("to", &config::Store::told(&self.to))
            .field("is_live", &self.is_live)
            .finish()
    }
}

impl Copy {
    /// Does it; `config` says where a master is that is only named `master:`.
    pub(crate) fn run(&self, config: &Config) -> Result<Exit, Failure> {
        let from = Place::read(&self.from, config)?;
        let to = Place::read(&self.to, config)?;
        from.check_with(&to)?;
        let is_master = matches!(from, Place::Master(_));
        let mut work = Work::new(from.open(config)?, to.open(config)?, self.is_live);
        // Until everything is compared: so long its master waits with its end.
        let mut farewell = None;
        if self.is_live {
            let stop = Arc::new(AtomicBool::new(false));
            for signal in signal_hook::consts::TERM_SIGNALS {
                let code = i32::from(Exit::Failed.code());
                // Whoever asks a second time does not want the last pass.
                signal_hook::flag::register_conditional_shutdown(*signal, code, Arc::clone(&stop))
                    .and_then(|_| signal_hook::flag::register(*signal, Arc::clone(&stop)))
                    .map_err(Error::io("wait for signals"))?;
            }
            if is_master {
                farewell = Some(work.from.store.subscribe(&[FAREWELL])?);
            }
            follow(&mut work, &stop, farewell.as_mut())?;
        }
        work.pass()?;
        work.tell();
        let verified = work.verify();
        drop(farewell);
        verified
    }
}

/// Passes until somebody says that it is enough, or the master of the first store is about to end.
/// What fails is tried again: a store may be away for a while.
fn follow(
    work: &mut Work,
    stop: &AtomicBool,
    mut farewell: Option<&mut Subscription>,
) -> Result<(), Trouble> {
    let (mut pause, mut is_told) = (PAUSES.0, false);
    while !stop.load(Ordering::Relaxed) {
        let begin = Instant::now();
        match work.pass() {
            Ok(()) => {
                pause = PAUSES.0;
                if !is_told {
                    is_told = true;
                    work.tell();
                    work.left_out
                        .sentence(&work.to)
                        .iter()
                        .for_each(|text| output::say(text));
                    let behind = begin.elapsed() + pause;
                    output::say(&format!("in step, {behind:.1?} behind; {}", end(&farewell)));
                }
            }
            Err(trouble) if trouble.is_lasting() => return Err(trouble),
            Err(trouble) => {
                is_told = false;
                output::say(&format!("{trouble}; trying again"));
                pause = (2 * pause).min(PAUSES.1);
            }
        }
        let next = Instant::now() + pause;
        while Instant::now() < next && !stop.load(Ordering::Relaxed) {
            match farewell.as_mut().map(|farewell| farewell.receive(GLANCE)) {
                Some(Ok(Some(_))) => {
                    output::say("the first store's master is about to end: the last pass");
                    return Ok(());
                }
                Some(Ok(None)) => {}
                // It is away; the next pass finds out.
                None | Some(Err(_)) => std::thread::park_timeout(GLANCE),
            }
        }
    }
    Ok(())
}

/// How the user ends it.
fn end(farewell: &Option<&mut Subscription>) -> &'static str {
    match farewell {
        Some(_) => {
            "to end this, stop the application, whose master then waits for a last pass; or when \
             nobody writes any more, Ctrl-C"
        }
        None => {
            "when nobody writes to the first store any more, end this with Ctrl-C or SIGTERM for a \
             last pass"
        }
    }
}
