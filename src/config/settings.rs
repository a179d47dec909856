//! The table of settings: the one place where a setting is described.
//!
//! The flag, the environment variable and the file's key are all made from `key`, so none can be
//! missing. The command line's definition and its help, the merge, the check of the file's keys
//! and `config --show` all go through [`all`]. A default is not written here: it is what
//! [`Config::new`] has, shown.

use std::ffi::OsStr;

use super::{Config, Invalid};

mod table;

pub(crate) use table::all;

/// What a configuration is made for; decides which settings count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A master with workers.
    Run,
    /// A master without workers.
    Serve,
    /// A command to a master.
    Client,
    /// To be looked at: everything counts, and is read as for [`Purpose::Run`].
    Show,
}

/// How many values a setting has, and how they may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// One.
    One,
    /// One, and the flag alone means this one.
    OneOr(&'static str),
    /// Any number: the flag again and again, commas in the environment, an array in the file.
    List,
}

/// One setting.
#[derive(Debug)]
pub(crate) struct Setting {
    /// Its name: the file's key; the flag and the variable are made of it.
    pub(crate) key: &'static str,
    /// The heading of the help under which it stands.
    pub(crate) group: &'static str,
    /// For what it counts, besides [`Purpose::Show`].
    pub(crate) used_by: &'static [Purpose],
    /// What stands for the value in the help.
    pub(crate) value: &'static str,
    /// How many values.
    pub(crate) shape: Shape,
    /// What it does, in sentences for the manual.
    pub(crate) help: &'static str,
    /// What holds where nothing is asked for, if [`Config::new`] cannot say it.
    pub(crate) otherwise: Option<&'static str>,
    /// Puts one value into the configuration.
    pub(crate) read: fn(&mut Config, &OsStr) -> Result<(), Invalid>,
    /// The values in the configuration.
    pub(crate) show: fn(&Config) -> Vec<String>,
}

impl Setting {
    /// The flag, with its dashes.
    pub(crate) fn flag(&self) -> String {
        format!("--{}", self.key)
    }

    /// The environment variable.
    pub(crate) fn env(&self) -> String {
        format!(
            "MEMSTORE_{}",
            self.key.to_ascii_uppercase().replace('-', "_")
        )
    }

    /// Whether it counts for `purpose`.
    pub(crate) fn counts_for(&self, purpose: Purpose) -> bool {
        purpose == Purpose::Show || self.used_by.contains(&purpose)
    }
}

/// The setting with this key.
pub(crate) fn find(key: &str) -> Option<&'static Setting> {
    all().find(|setting| setting.key == key)
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
