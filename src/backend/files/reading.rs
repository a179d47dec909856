//! How the index comes to know what is in the folder: by reading it in steps, and by what others are
//! told to have done.

use std::io;
use std::mem;
use std::time::SystemTime;

use super::folder::{self, Folder};
use super::format::{self, Stored};
use super::name::{self, Named};
use super::watch::Watch;
use super::{Change, Entries, STEP};
use crate::backend::BackendError;
use crate::backend::catalogue::{Catalogue, Key, Record};

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
        let found = self
            .folder
            .read(name)
            .map_err(|error| self.failed("read a file", &error))?;
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
        let seq = match stored.seq {
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
    /// somebody has changed. One that cannot be read is no entry for the time being.
    fn visit(&mut self, name: &str, is_news: bool, catalogue: &mut Catalogue) {
        let key = match name::read(name) {
            None => return,
            Some(Named::Key(key)) => Some(Key::from(key)),
            Some(Named::Hashed) => self.hashed.get(name).cloned(),
        };
        if let Some(key) = &key {
            let is_known = !is_news && catalogue.contains(key);
            if is_known || self.changes.contains_key(key) {
                return;
            }
        }
        if let Err(error) = self.reload_file(name, key.as_deref(), catalogue) {
            tracing::warn!(name, %error, "an entry is left out");
        }
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
                self.visit(name, false, catalogue);
            }
        }
        Ok(true)
    }

    pub(super) fn read_all(&mut self, catalogue: &mut Catalogue) -> Result<(), BackendError> {
        while self.read_some(catalogue)? {}
        Ok(())
    }

    /// Begins to read anew what there is.
    pub(super) fn read_anew(&mut self, catalogue: &mut Catalogue) -> Result<(), BackendError> {
        let list = self.folder.list();
        self.unread = Some(list.map_err(|error| self.failed("list files", &error))?);
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
        if self.is_lost {
            return self.return_to(catalogue);
        }
        if news.is_more {
            tracing::info!("more has changed in the folder than was told; it is read anew");
            self.read_anew(catalogue)?;
        }
        self.news.extend(news.names);
        if self.clearing.is_none() {
            for name in mem::take(&mut self.news) {
                self.visit(&name, true, catalogue);
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
        let opened = Folder::open(self.folder.path());
        let opened = opened.and_then(|folder| folder.ok_or(gone));
        self.folder = opened.map_err(|error| self.failed("go on", &error))?;
        let watch = Watch::start(self.folder.path());
        self.watch = watch.map_err(|error| self.failed("see changes", &error))?;
        self.is_lost = false;
        self.cleared = None;
        self.forgotten.clear();
        self.reserved = 0;
        let path = self.folder.path().display();
        tracing::warn!(folder = %path, "the folder was taken away; it is made and read anew");
        self.read_anew(catalogue)
    }
}
