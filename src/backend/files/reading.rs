//! How the index comes to know what is in the folder: by reading it in steps, and by what others are
//! told to have done.

use std::collections::BTreeMap;
use std::io;
use std::mem;
use std::time::SystemTime;

use super::folder::{self, Folder};
use super::format::{self, Stored};
use super::name::{self, Named};
use super::watch::Watch;
use super::{Change, Entries, STEP};
use crate::backend::catalogue::{Catalogue, Key, Record};
use crate::backend::{BackendError, Upkeep};
use crate::time::Millis;

/// How often what could not be read is tried again by itself, in milliseconds.
const AGAIN: u64 = 5_000;

/// Files that could not be read. What was known of them is forgotten, so that nothing comes of it;
/// who asks for such an entry is told, and they are read as soon as they can be.
#[derive(Debug, Default)]
pub(super) struct Missed {
    /// By their names: whether that is [passing](folder::is_passing).
    names: BTreeMap<String, bool>,
    next_try: Option<Millis>,
}

impl Missed {
    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Whether that is new.
    fn note(&mut self, name: &str, error: &io::Error) -> bool {
        let is_passing = folder::is_passing(error);
        self.names.insert(name.to_owned(), is_passing).is_none()
    }
}

impl Entries {
    /// Brings the record of a key up to date with its file.
    pub(super) fn reload(
        &mut self,
        key: &[u8],
        catalogue: &mut Catalogue,
    ) -> Result<(), BackendError> {
        let name = name::of(key);
        self.reload_file(&name, Some(key), catalogue)
    }

    /// Reads a file; `key` is the one that its name has, where that is known.
    fn reload_file(
        &mut self,
        name: &str,
        key: Option<&[u8]>,
        catalogue: &mut Catalogue,
    ) -> Result<(), BackendError> {
        let found = match self.folder.read(name) {
            Ok(found) => found,
            Err(error) => {
                if self.missed.note(name, &error) {
                    tracing::warn!(name, %error, "a file cannot be read; it is tried again");
                }
                if let Some(key) = key {
                    catalogue.remove(key);
                }
                return Err(self.failed("read a file", &error));
            }
        };
        self.missed.names.remove(name);
        let Some(content) = found else {
            if let Some(key) = key {
                catalogue.remove(key);
            }
            return Ok(());
        };
        let mark = crc32fast::hash(&content.bytes);
        let known = key.and_then(|key| catalogue.get(key));
        if known.is_some_and(|known| known.mark == mark) {
            return Ok(());
        }
        let Some(stored) = format::decode(&content.bytes, self.ttl) else {
            if let Some(key) = key {
                catalogue.remove(key);
            }
            self.set_aside(name);
            return Ok(());
        };
        let named = key.map_or(stored.key.as_deref(), Some);
        let Some(key) = named.filter(|key| name::of(key) == name).map(Key::from) else {
            tracing::debug!(
                name,
                "a file with another name than its key has is left alone"
            );
            return Ok(());
        };
        if name::is_hashed(name) {
            self.hashed.insert(name.to_owned(), Key::clone(&key));
        }
        if self.is_cleared(&stored, content.modified) {
            catalogue.remove(&key);
            self.forgotten.push_back(key);
            return Ok(());
        }
        let seq = match stored.seq.filter(|seq| seq.0 < folder::HIGHEST) {
            Some(seq) => seq,
            None => self.number(false)?,
        };
        self.next = self.next.max(seq.0 + 1);
        let birth = catalogue.get(&key).map(|known| known.birth);
        let record = Record {
            deadline: stored.deadline,
            seq,
            kind: stored.kind,
            birth: birth.or(stored.birth).unwrap_or(seq.0),
            mark,
        };
        catalogue.put(&key, record);
        Ok(())
    }

    fn is_cleared(&self, stored: &Stored<'_>, modified: SystemTime) -> bool {
        self.cleared.is_some_and(|cleared| match stored.seq {
            Some(seq) => seq.0 < cleared.before,
            None => modified < cleared.at,
        })
    }

    fn set_aside(&self, name: &str) {
        let file = self.folder.path().join(name);
        let file = file.display();
        match self.folder.set_aside(name) {
            Ok(to) => {
                let to = to.display();
                tracing::warn!(%file, %to, "a file is damaged, and was set aside");
            }
            Err(error) => tracing::warn!(%file, %error, "a damaged file cannot be set aside"),
        }
    }

    /// Looks at a file of this name: one that was not looked at before or, with `is_news`, that
    /// somebody has changed.
    ///
    /// # Errors
    /// If it cannot be read; it is [missed](Missed) then.
    fn visit(
        &mut self,
        name: &str,
        is_news: bool,
        catalogue: &mut Catalogue,
    ) -> Result<(), BackendError> {
        let key = match name::read(name) {
            None => return Ok(()),
            Some(Named::Key(key)) => Some(Key::from(key)),
            Some(Named::Hashed) => self.hashed.get(name).cloned(),
        };
        if let Some(key) = &key {
            let is_known = !is_news && catalogue.contains(key);
            if is_known || self.changes.contains_key(key) {
                return Ok(());
            }
        }
        self.reload_file(name, key.as_deref(), catalogue)
    }

    /// Looks at some files that were not looked at before; whether there are more.
    pub(super) fn read_some(&mut self, catalogue: &mut Catalogue) -> Result<bool, BackendError> {
        for _ in 0..STEP {
            let next = self.unread.as_mut().and_then(Iterator::next);
            let Some(entry) = next else {
                self.unread = None;
                return Ok(false);
            };
            let name = entry.map_err(|error| self.failed("list files", &error))?;
            if let Some(name) = folder::text(&name.file_name()) {
                // What is missed is tried again.
                let _ = self.visit(name, false, catalogue);
            }
        }
        Ok(true)
    }

    /// Looks at all files that were not looked at before.
    ///
    /// # Errors
    /// Where one cannot be read only for the moment; others are left out.
    pub(super) fn read_all(&mut self, catalogue: &mut Catalogue) -> Result<(), BackendError> {
        while self.unread.is_some() && self.read_some(catalogue)? {}
        let missed = self.missed.names.iter();
        let passing = missed.filter(|(_, is_passing)| **is_passing);
        let names: Vec<_> = passing.map(|(name, _)| name.clone()).collect();
        names
            .iter()
            .try_for_each(|name| self.visit(name, true, catalogue))
    }

    /// Tries again, now and then, what could not be read; when to come again.
    pub(super) fn read_missed(&mut self, now: Millis, catalogue: &mut Catalogue) -> Upkeep {
        if self.missed.is_empty() {
            self.missed.next_try = None;
            return Upkeep::Idle;
        }
        let next = *self.missed.next_try.get_or_insert(now.after_ms(AGAIN));
        if now < next {
            return Upkeep::Until(next);
        }
        let names: Vec<_> = self.missed.names.keys().cloned().collect();
        for name in &names {
            let _ = self.visit(name, true, catalogue);
        }
        let next = now.after_ms(AGAIN);
        self.missed.next_try = Some(next);
        Upkeep::Until(next)
    }

    /// Begins to read anew what there is.
    ///
    /// # Errors
    /// If that is not possible: then it is tried again before anything else is done.
    pub(super) fn read_anew(&mut self, catalogue: &mut Catalogue) -> Result<(), BackendError> {
        self.is_stale = true;
        let list = self.folder.list();
        self.unread = Some(list.map_err(|error| self.failed("list files", &error))?);
        self.is_stale = false;
        self.missed = Missed::default();
        *catalogue = Catalogue::default();
        for (key, change) in &self.changes {
            if let Change::Written(_, record) = change {
                catalogue.put(key, *record);
            }
        }
        Ok(())
    }

    /// Takes note of what others have done.
    pub(super) fn hear(&mut self, catalogue: &mut Catalogue) -> Result<(), BackendError> {
        let news = self.watch.news();
        let news = news.map_err(|error| self.failed("see changes", &error))?;
        // The folder itself is not told to be removed as long as the lock in it is open.
        self.is_lost |= news.is_lost || news.names.contains(folder::OURS);
        self.news.extend(news.names);
        if news.is_more {
            tracing::info!("more has changed in the folder than was told; it is read anew");
            self.is_stale = true;
        }
        if self.is_lost {
            return self.return_to(catalogue);
        }
        if self.is_stale {
            self.read_anew(catalogue)?;
        }
        if self.clearing.is_none() {
            for name in mem::take(&mut self.news) {
                let _ = self.visit(&name, true, catalogue);
            }
        }
        Ok(())
    }

    /// Makes the folder anew after somebody has taken it away.
    fn return_to(&mut self, catalogue: &mut Catalogue) -> Result<(), BackendError> {
        let gone = io::Error::new(io::ErrorKind::NotFound, "somebody has taken it away");
        if !self.changes.is_empty() || self.clearing.is_some() {
            return Err(self.failed("go on", &gone));
        }
        // It may be the same one, and back in its place.
        self.folder.give_up();
        let opened = Folder::open(self.folder.path());
        let opened = opened.and_then(|folder| folder.ok_or(gone));
        let folder = opened.map_err(|error| self.failed("go on", &error))?;
        let watch = Watch::start(folder.path());
        self.watch = watch.map_err(|error| self.failed("see changes", &error))?;
        self.folder = folder;
        self.is_lost = false;
        self.cleared = None;
        self.forgotten.clear();
        self.reserved = 0;
        let path = self.folder.path().display();
        tracing::warn!(folder = %path, "the folder was taken away; it is made and read anew");
        self.read_anew(catalogue)
    }
}
