//! The settings themselves, a file for each heading of the help. To add one, add it there: nothing
//! else names it.

mod log;
mod socket;
mod store;
mod workers;

use super::{Purpose, Setting};

const RUN: &[Purpose] = &[Purpose::Run];
const MASTER: &[Purpose] = &[Purpose::Run, Purpose::Serve];
const CLIENT: &[Purpose] = &[Purpose::Client];
const ALL: &[Purpose] = &[Purpose::Run, Purpose::Serve, Purpose::Client];

/// All settings, in the order in which they are shown.
pub(crate) fn all() -> impl Iterator<Item = &'static Setting> {
    let groups = [
        socket::SETTINGS,
        workers::SETTINGS,
        store::SETTINGS,
        log::SETTINGS,
    ];
    groups.into_iter().flatten()
}
