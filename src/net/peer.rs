//! Who is at the other end of a Unix socket, as the kernel tells it, and who may be.
//!
//! Used by the reactor when it accepts, and by the handler that decides.

use std::io;
use std::os::fd::AsFd;

use nix::unistd::geteuid;

/// The process that connected. It may have handed the socket on since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Peer {
    /// Its effective user when it connected.
    pub(crate) uid: u32,
    /// Its effective group when it connected.
    pub(crate) gid: u32,
    /// Its process id, where the system tells it and the process is visible from here.
    pub(crate) pid: Option<u32>,
}

impl Peer {
    /// Asks the kernel.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(crate) fn of(socket: &impl AsFd) -> io::Result<Self> {
        use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
        let credentials = getsockopt(socket, PeerCredentials)?;
        Ok(Self {
            uid: credentials.uid(),
            gid: credentials.gid(),
            pid: u32::try_from(credentials.pid()).ok().filter(|pid| *pid > 0),
        })
    }

    /// Asks the kernel.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub(crate) fn of(socket: &impl AsFd) -> io::Result<Self> {
        let (uid, gid) = nix::unistd::getpeereid(socket)?;
        Ok(Self {
            uid: uid.as_raw(),
            gid: gid.as_raw(),
            pid: None,
        })
    }
}

/// The users whose processes may connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AllowedUids(Vec<u32>);

impl AllowedUids {
    const ROOT: u32 = 0;

    /// Root, the user of this process, and `others`.
    pub(crate) fn ours_and(others: &[u32]) -> Self {
        let ours = [Self::ROOT, geteuid().as_raw()];
        Self([&ours, others].concat())
    }

    pub(crate) fn allows(&self, peer: Peer) -> bool {
        self.0.contains(&peer.uid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn the_kernel_tells_who_the_peer_is() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let peer = Peer::of(&ours).unwrap();
        assert_eq!(peer.uid, geteuid().as_raw());
        assert_eq!(peer.gid, nix::unistd::getegid().as_raw());
        if cfg!(target_os = "linux") {
            assert_eq!(peer.pid, Some(std::process::id()));
        }
    }

    #[test]
    fn root_and_ourselves_and_the_named_may_connect_and_nobody_else() {
        let of = |uid| Peer {
            uid,
            gid: 0,
            pid: None,
        };
        let own = geteuid().as_raw();
        let stranger = own.wrapping_add(4_711).max(1);
        let named = stranger.wrapping_add(1).max(1);
        let allowed = AllowedUids::ours_and(&[named]);
        assert!(allowed.allows(of(0)) && allowed.allows(of(own)) && allowed.allows(of(named)));
        assert!(!allowed.allows(of(stranger)));
    }
}
