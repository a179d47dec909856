//! Roles and handles: how a program comes by a store, whatever process holds it.
//!
//! [`Options::create`] gives a [`Store`]; [`Cluster`] starts the calling program again as its
//! workers. What stands behind a handle is [`link`]; who becomes the master is decided by
//! [`election`].

mod batch;
mod election;
mod inherited;
pub(crate) mod launch;
pub(crate) mod link;
pub(crate) mod options;
mod run;
mod secret;
pub(crate) mod serving;
mod store;

pub use batch::{Batch, Outcome};
pub use inherited::Listener;
pub use options::{Options, Role, Source};
pub use run::{Cluster, Worker};
pub use secret::read_secret;
pub use store::{All, Entry, SetOptions, Store};
