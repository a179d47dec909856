//! Tells what others do to the files of a folder (`inotify(7)`).
//!
//! The kernel notes a change before whoever made it goes on, so asking before every operation is
//! enough to know of all that came before it. Systems without inotify have no watch: there a store
//! has to be the only one that changes its folder.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

/// What has happened to the folder since it was last asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct News {
    /// Names of files that were written, moved or removed.
    pub(super) names: BTreeSet<String>,
    /// There was more than could be noted.
    pub(super) is_more: bool,
    /// The folder was moved or removed.
    pub(super) is_lost: bool,
}

#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) use inotify::Watch;

#[cfg(any(target_os = "linux", target_os = "android"))]
mod inotify {
    use nix::errno::Errno;
    use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

    use super::{News, Path, io};

    /// Watches a folder.
    #[derive(Debug)]
    pub(in super::super) struct Watch(Inotify);

    impl Watch {
        pub(in super::super) fn start(folder: &Path) -> io::Result<Self> {
            let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
            let changes = AddWatchFlags::IN_CLOSE_WRITE
                | AddWatchFlags::IN_MOVED_TO
                | AddWatchFlags::IN_MOVED_FROM
                | AddWatchFlags::IN_DELETE
                | AddWatchFlags::IN_DELETE_SELF
                | AddWatchFlags::IN_MOVE_SELF
                | AddWatchFlags::IN_ONLYDIR;
            inotify.add_watch(folder, changes)?;
            Ok(Self(inotify))
        }

        /// What has happened since; does not wait.
        pub(in super::super) fn news(&self) -> io::Result<News> {
            let lost = AddWatchFlags::IN_DELETE_SELF
                | AddWatchFlags::IN_MOVE_SELF
                | AddWatchFlags::IN_UNMOUNT
                | AddWatchFlags::IN_IGNORED;
            let mut news = News::default();
            loop {
                let events = match self.0.read_events() {
                    Ok(events) => events,
                    Err(Errno::EAGAIN) => return Ok(news),
                    Err(Errno::EINTR) => continue,
                    Err(errno) => return Err(errno.into()),
                };
                for event in events {
                    news.is_more |= event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW);
                    news.is_lost |= event.mask.intersects(lost);
                    // What is no text is no name of ours.
                    let name = event.name.and_then(|name| name.into_string().ok());
                    news.names.extend(name);
                }
            }
        }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
#[derive(Debug)]
pub(super) struct Watch;

#[cfg(not(any(target_os = "linux", target_os = "android")))]
impl Watch {
    #[expect(clippy::unnecessary_wraps, reason = "as where there is something")]
    pub(super) fn start(_folder: &Path) -> io::Result<Self> {
        Ok(Self)
    }

    #[expect(clippy::unnecessary_wraps, reason = "as where there is something")]
    pub(super) fn news(&self) -> io::Result<News> {
        Ok(News::default())
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_others_do_is_told_once() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("old"), "").unwrap();
        let watch = Watch::start(folder.path()).unwrap();
        assert_eq!(watch.news().unwrap(), News::default());
        fs::write(at("new"), "").unwrap();
        fs::rename(at("new"), at("moved")).unwrap();
        fs::remove_file(at("old")).unwrap();
        let names = ["moved", "new", "old"].map(str::to_owned);
        assert_eq!(watch.news().unwrap().names, BTreeSet::from(names));
        assert_eq!(watch.news().unwrap(), News::default());
        folder.close().unwrap();
        assert!(watch.news().unwrap().is_lost);
    }
}
