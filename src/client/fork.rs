//! Whether this process was forked since a connection was made.
//!
//! A child that goes on using its parent's stream would take replies that are the parent's, and
//! so somebody else's session. Asking for the process id at each call costs a system call (154 ns
//! where this was measured); a counter that `fork` itself advances costs a load. `vfork` and
//! `posix_spawn` do not advance it and need not: what they start is another program.

#![allow(unsafe_code, reason = "pthread_atfork has no safe wrapper")]

use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

static GENERATION: AtomicU32 = AtomicU32::new(0);
static INSTALL: Once = Once::new();

/// The generation of this process. One that was forked from it has another.
pub(super) fn watched() -> u32 {
    INSTALL.call_once(|| {
        // SAFETY: the handler is a function that lives as long as the program, and does nothing
        // but an atomic addition, which is allowed between fork and exec (signal-safety(7)).
        let failed = unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
        if failed != 0 {
            tracing::warn!(errno = failed, "forks of this process cannot be noticed");
        }
    });
    current()
}

/// The generation now, to be compared with what [`watched`] gave.
pub(super) fn current() -> u32 {
    GENERATION.load(Ordering::Relaxed)
}

extern "C" fn in_child() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use nix::sys::wait::{WaitStatus, waitpid};
    use nix::unistd::{ForkResult, fork};

    use crate::client::peer::{self, LONG};
    use crate::client::{Broken, CallError};
    use crate::protocol::Request;

    #[test]
    fn a_forked_child_is_refused_and_its_parent_goes_on() {
        let (connection, master) = peer::served();
        let ping = || connection.call(&Request::Ping, LONG, |_| Ok(()));
        // SAFETY: the child only makes a call that is refused before it allocates or takes a
        // lock, and ends without running anything else.
        match unsafe { fork() }.unwrap() {
            ForkResult::Child => {
                let refused = matches!(ping(), Err(CallError::NotSent(Broken::Forked)));
                // SAFETY: `_exit` may be called anywhere.
                unsafe { libc::_exit(i32::from(!refused)) }
            }
            ForkResult::Parent { child } => {
                assert_eq!(waitpid(child, None).unwrap(), WaitStatus::Exited(child, 0));
            }
        }
        ping().unwrap();
        drop(connection);
        master.join().unwrap();
    }
}
